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
