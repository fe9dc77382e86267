package progress

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// terminal shows what a screen writes as a terminal of that many columns would: it
// knows line ends, CR, "cursor up" and "erase below", and nothing else may come.
type terminal struct {
	t     *testing.T
	width int
	rows  []string
	row   int
	col   int
}

func (m *terminal) Write(b []byte) (int, error) {
	for s := string(b); s != ""; {
		if rest, ok := strings.CutPrefix(s, "\x1b["); ok {
			end := strings.IndexAny(rest, "AJ")
			if end < 0 {
				m.t.Fatalf("control sequence %q", s)
			}
			if rest[end] == 'A' {
				n, err := strconv.Atoi(rest[:end])
				if err != nil || n > m.row {
					m.t.Fatalf("up %q from row %d", rest[:end], m.row)
				}
				m.row -= n
			} else {
				m.rows = m.rows[:m.row]
			}
			s = rest[end+1:]
			continue
		}
		c := []rune(s)[0]
		s = s[len(string(c)):]
		switch c {
		case '\r':
			m.col = 0
		case '\n':
			m.row, m.col = m.row+1, 0
		default:
			if m.col == m.width {
				m.row, m.col = m.row+1, 0
			}
			for len(m.rows) <= m.row {
				m.rows = append(m.rows, "")
			}
			m.rows[m.row] += string(c)
			m.col++
		}
	}
	return len(b), nil
}

// resize wraps all rows anew, as terminals do that know which rows were one line.
func (m *terminal) resize(width int) {
	var rows []string
	for _, r := range m.rows {
		for len(r) > width {
			rows = append(rows, r[:width])
			r = r[width:]
		}
		rows = append(rows, r)
	}
	m.rows, m.row, m.width = rows, len(rows), width
}

func TestScreenKeepsItsLinesBelowTheText(t *testing.T) {
	m := &terminal{t: t, width: 80}
	s := &screen{w: m, size: func() (int, int) { return m.width, 24 }}
	long := "joe " + strings.Repeat("x", 200)
	want := []string{}
	for i := range 5 {
		if err := s.set([]string{long, fmt.Sprintf("total %d", i)}); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("problem %d", i)
		want = append(want, text)
		if _, err := s.Write([]byte(text + "\n")); err != nil {
			t.Fatal(err)
		}
		if i == 2 { // the lines, of up to 79 columns, wrap now
			m.resize(40)
		}
		if i == 3 {
			m.resize(120)
		}
	}
	if got := append(slices.Clone(want), long[:119], "total 4"); !slices.Equal(m.rows, got) {
		t.Errorf("the terminal shows\n%s\nwant\n%s", strings.Join(m.rows, "\n"), strings.Join(got, "\n"))
	}
	if err := s.set(nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.rows, want) {
		t.Errorf("in the end the terminal shows %q, want only the text %q", m.rows, want)
	}
}

func TestScreenFitsTheHeight(t *testing.T) {
	lines := []string{"a", "b", "c", "d", "e", "total"}
	for height, want := range map[int][]string{
		9: lines, 6: lines,
		5: {"a", "b", "c", "  … and 2 more", "total"},
		3: {"a", "  … and 4 more", "total"},
		2: {"total"}, 1: {"total"},
	} {
		if got := fit(lines, height); !slices.Equal(got, want) {
			t.Errorf("height %d: %q, want %q", height, got, want)
		}
	}
	if got := fit(nil, 5); len(got) != 0 {
		t.Errorf("no lines became %q", got)
	}
}

func TestCutNeverWraps(t *testing.T) {
	for _, tt := range []struct {
		line, want string
		width      int
	}{
		{"abcdef", "abcdef", 6}, {"abcdef", "abcde", 5}, {"ab  cd", "ab", 4},
		{"é日本語", "é日", 4}, {"é日本語", "é日本", 5}, {"x", "", 0}, {"x", "", -1},
	} {
		if got, _ := cut(tt.line, tt.width); got != tt.want {
			t.Errorf("%q in %d columns: %q, want %q", tt.line, tt.width, got, tt.want)
		}
	}
}
