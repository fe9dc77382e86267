package mbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

var fileTime = time.Date(2004, 5, 6, 7, 8, 9, 0, time.UTC)

func newYork(t testing.TB) *time.Location {
	loc, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// result is all that a Reader says about a file.
type result struct {
	messages []Message
	texts    []string
	findings []Finding
	err      error // other than io.EOF
	r        *Reader
}

// readAll reads a file with a window of that many bytes; write tells which messages to
// write.
func readAll(file []byte, window int, opts Options, write func(n int) bool) (res result) {
	opts.Findings = func(f Finding) { res.findings = append(res.findings, f) }
	res.r = newReader(bytes.NewReader(file), int64(len(file)), unixDelimiter{}, opts, window)
	for {
		m, err := res.r.Next()
		if err != nil {
			if err != io.EOF {
				res.err = err
			}
			return res
		}
		text := ""
		if write(m.Number) {
			var b bytes.Buffer
			n, err := m.WriteTo(&b)
			if err != nil || n != int64(b.Len()) {
				res.err = fmt.Errorf("message %d: wrote %d of %d bytes: %w", m.Number, n, b.Len(), err)
				return res
			}
			text = b.String()
		}
		res.messages, res.texts = append(res.messages, *m), append(res.texts, text)
	}
}

func always(int) bool { return true }

// letters are flags and keywords as fixtures have them.
func letters(m *Message, keywords []string) string {
	s := ""
	for i, c := range "RAFDTr" {
		if m.Flags&(1<<i) != 0 {
			s += string(c)
		}
	}
	for i, name := range keywords {
		if m.Keywords&(1<<i) != 0 {
			s += " " + name
		}
	}
	return s
}

// sameLetters compares ignoring the order of flags.
func sameLetters(a, b string) bool {
	sorted := func(s string) string {
		flags, keywords, _ := strings.Cut(s, " ")
		b := []byte(flags)
		slices.Sort(b)
		return string(b) + " " + keywords
	}
	return sorted(a) == sorted(b)
}

func TestFixtures(t *testing.T) {
	if len(fixtures) != 81 {
		t.Errorf("%d fixtures, want 81", len(fixtures))
	}
	opts := Options{Location: newYork(t), ModTime: fileTime}
	for _, f := range slices.Concat(fixtures, wrecks) {
		t.Run(f.name, func(t *testing.T) {
			file := []byte(f.file)
			if got := Recognise(file[:min(len(file), 4096)], int64(len(file))); got != f.format {
				t.Errorf("format %v, want %v", got, f.format)
			}
			for _, window := range []int{windowSize, 1, 17, 30, 64, 1000} {
				res := readAll(file, window, opts, always)
				checkFixture(t, f, res)
				if t.Failed() {
					t.Fatalf("with a window of %d bytes", window)
				}
			}
		})
	}
}

func checkFixture(t *testing.T, f fixture, res result) {
	if f.format == FormatNone && f.messages == nil && f.next == 0 {
		var not *NotMailboxError
		if len(res.messages) > 0 || res.err != nil && !errors.As(res.err, &not) {
			t.Errorf("%d messages, error %v; want no mailbox", len(res.messages), res.err)
		}
		return
	}
	if res.err != nil {
		t.Fatal(res.err)
	}
	if len(res.messages) != len(f.messages) {
		t.Fatalf("%d messages, want %d", len(res.messages), len(f.messages))
	}
	if v := res.r.UIDValidity(); v != f.validity {
		t.Errorf("UIDVALIDITY %d, want %d", v, f.validity)
	}
	if n := res.r.LastUID() + 1; n != f.next {
		t.Errorf("UIDNEXT %d, want %d", n, f.next)
	}
	if k := strings.Join(res.r.Keywords(), " "); k != f.keywords {
		t.Errorf("keywords %q, want %q", k, f.keywords)
	}
	for i, want := range f.messages {
		m := &res.messages[i]
		if m.Number != i+1 || m.UID != want.uid || !sameLetters(letters(m, res.r.Keywords()), want.flags) {
			t.Errorf("message %d (%d): UID %d, flags %q, want %d, %q", i+1, m.Number, m.UID, letters(m, res.r.Keywords()), want.uid, want.flags)
		}
		if want.text != "" && res.texts[i] != want.text {
			t.Errorf("message %d: %q, want %q", i+1, res.texts[i], want.text)
		}
		date := want.date
		switch {
		case date == "file":
			if m.DateSource != FileTime || !m.Date.Equal(fileTime) {
				t.Errorf("message %d: date %v from %v, want that of the file", i+1, m.Date, m.DateSource)
			}
			continue
		case date == "" && strings.HasPrefix(f.file[m.Offset:], from):
			date = "2-Jun-2003 10:11:12 -0400"
		case date == "":
			continue
		}
		d, err := time.Parse("2-Jan-2006 15:04:05 -0700", date)
		if err != nil {
			t.Fatal(err)
		}
		if !m.Date.Equal(d) {
			t.Errorf("message %d: date %v, want %v", i+1, m.Date, d)
		}
	}
	if len(f.file) < 2000 && f.name[:3] == "36 " && len(res.texts[0]) != 1175 {
		t.Errorf("%d bytes, want 1175", len(res.texts[0]))
	}
}

// TestFindings checks that doubts and repairs are reported, with offsets into the file.
func TestFindings(t *testing.T) {
	for _, c := range []struct {
		fixture string
		want    []Kind
	}{
		{"2 ", []Kind{KindPseudoMessage}},
		{"4 ", nil},
		{"5 ", []Kind{KindPseudoKept}},
		{"6 ", []Kind{KindForeignBase, KindPseudoStray}},
		{"11 ", []Kind{KindUIDEpochLost}},
		{"12 ", []Kind{KindUIDIgnored}},
		{"13 ", []Kind{KindUIDIgnored}},
		{"18 ", []Kind{KindUIDEpochLost}},
		{"24 ", []Kind{KindForeignBase, KindUIDIgnored}},
		{"25 ", []Kind{KindKeywordHole, KindKeywordUnknown}},
		{"36 ", slices.Repeat([]Kind{KindFromLookalike}, 16)},
		{"37 ", []Kind{KindDateUnparsable, KindSuspiciousSplit, KindSuspiciousSplit}},
		{"38 ", []Kind{KindSuspiciousSplit}},
		{"40 ", []Kind{KindFromInHeader}},
		{"41 ", []Kind{KindHeaderCut}},
		{"44 ", []Kind{KindNoFinalNewline, KindTruncatedFromLine}},
		{"46 ", []Kind{KindNoFinalNewline}},
		{"56 ", []Kind{KindLoneCR}},
		{"58 ", []Kind{KindNUL}},
		{"64 ", []Kind{KindLeadingBlank}},
		{"68 ", []Kind{KindContentLength}},
		{"77 ", []Kind{KindUIDEpochLost}},
		{"E1 header at EOF, rewritten by 2002e", []Kind{KindNULHole}},
		{"E3 ", []Kind{KindNULTail}},
		{"E4 ", []Kind{KindNULHole}},
		{"E10 double-CR file", []Kind{KindDoubleCR}},
	} {
		all := slices.Concat(fixtures, wrecks)
		i := slices.IndexFunc(all, func(f fixture) bool { return strings.HasPrefix(f.name, c.fixture) })
		res := readAll([]byte(all[i].file), windowSize, Options{Location: newYork(t), ModTime: fileTime}, always)
		var got []Kind
		for _, f := range res.findings {
			got = append(got, f.Kind)
			if f.Offset < 0 || f.Offset > int64(len(all[i].file)) || f.Message > len(res.messages) || f.Text == "" {
				t.Errorf("%s: finding %+v", all[i].name, f)
			}
			if f.Kind == KindSenderInternal {
				got = got[:len(got)-1] // many fixtures are short of UW's own headers
			}
		}
		sort.Slice(got, func(i, j int) bool { return got[i] < got[j] })
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: findings %q, want %q", all[i].name, got, c.want)
		}
	}
}
