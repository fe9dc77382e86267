package mbox

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestVisibleParts: what is written of a header is all but its internal lines, in however many
// parts they leave it.
func TestVisibleParts(t *testing.T) {
	for parts := range 2*maxVisibleParts + 3 {
		for _, long := range []int{1, windowSize / 3} {
			if long > 1 && parts > 6 {
				continue
			}
			var file, want strings.Builder
			file.WriteString(from)
			for i := range parts {
				line := fmt.Sprintf("X-Part-%d: %s\n", i, strings.Repeat("a", long))
				file.WriteString("Status: RO\n" + line + "\tmore of it\n")
				want.WriteString(line + "\tmore of it\n")
			}
			file.WriteString("X-Status: A\n of no sense\n\nbody\n")
			want.WriteString("\nbody\n")
			r := NewReader(strings.NewReader(file.String()), int64(file.Len()), Options{})
			m, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			if _, err := m.WriteTo(&got); err != nil {
				t.Fatal(err)
			}
			if all := r.visible.all; all != (parts < maxVisibleParts) { // the blank line is one
				t.Errorf("%d parts: all are remembered: %v", parts, all)
			}
			if want := strings.ReplaceAll(want.String(), "\n", "\r\n"); got.String() != want {
				t.Errorf("%d parts, lines of %d bytes: %.300q, want %.300q", parts, long, got.String(), want)
			}
			if _, err := r.Next(); err != io.EOF {
				t.Error(err)
			}
		}
	}
}

// TestCRsInNames: UW 2006 and later take the CRs out before they look for their own fields,
// 2002 leaves both. The texts are c-client's.
func TestCRsInNames(t *testing.T) {
	many := strings.Repeat("\r", 20)
	for _, c := range []struct{ header, want, want2002 string }{
		{"a: b\n\rStatus: R\n\n", "a: b\r\n\r\n", "a: b\r\n\rStatus: R\r\n\r\n"},
		{"Sta\rtus: R\nX-\rU\rID: 4\n\n", "\r\n", "Sta\rtus: R\r\nX-\rU\rID: 4\r\n\r\n"},
		{"Status\rx: R\nX-UID\r: 4\n\n", "Statusx: R\r\n\r\n", "\r\n"},
		{"Status: R\n\r folded\n\r\tmore\n\n", "\r\n", "\r folded\r\n\r\tmore\r\n\r\n"},
		{"Status\r\na: b\r\n\r\n", "a: b\r\n\r\n", "a: b\r\n\r\n"},
		{"Status: O\n\r\r\n x\n\n", "\r\n x\r\n\r\n", "\r\r\n x\r\n\r\n"},
		{"Sub\rj\x00ect: x\n\n", "Subj ect: x\r\n\r\n", "Sub\rj\x80ect: x\r\n\r\n"},
		{"Status" + many + "x: y\n\n", "Statusx: y\r\n\r\n", "\r\n"},
		{many + " x\n\n", " x\r\n\r\n", many + " x\r\n\r\n"},
	} {
		for _, window := range []int{minWindowSize, 40, windowSize} {
			for version, want := range map[UWVersion]string{0: c.want, UW2002: c.want2002} {
				res := readAll([]byte(from+c.header+"x\n"), window, Options{UWVersion: version}, always)
				if want += "x\r\n"; len(res.texts) != 1 || res.texts[0] != want {
					t.Errorf("%q, window %d, UW %d: %q, want %q", c.header, window, version, res.texts, want)
				}
			}
		}
	}
}
