package mbox

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestRecognise(t *testing.T) {
	mbx := "*mbx*\r\n3edb6d2000000009\r\n"
	for _, c := range []struct {
		head string
		size int64 // 0: as long as head
		want Format
	}{
		{mbx, 2048, FormatMBX},
		{mbx, 2047, FormatNone},
		{strings.Replace(mbx, "3", "x", 1), 2048, FormatNone},
		{" 2-Jun-2003 10:11:12 -0400,22;000000000000\nx", 0, FormatTenex},
		{"2-Jun-2003 10:11:12 -0400,22;000000000000\nx", 0, FormatTenex},
		{" 2-Jun-2003 10:11:12 -0400,22;000000000000\r\nx", 0, FormatMTX},
		{" 2-Jun-2003 10:11:12 -0400,22 000000000000\nx", 0, FormatNone},
		{" 2-Jun-2003 10:11:12 -0400 22;000000000000\nx", 0, FormatNone},
		{" 2-Jun-2003,x;\n", 0, FormatNone},
		{" 2-Jun-2003 10:11:12 \x000400,22;000000000000\nx", 0, FormatNone},
		{"\x01\x01\x01\x01\nFrom x\n", 0, FormatMMDF},
		{"\n\x01\x01\x01\x01\nFrom x\n", 0, FormatNone},
		{from, 0, FormatUnix},
		{strings.TrimSuffix(from, "\n"), 0, FormatNone},
		{"\n\t\n\r\n" + from, 0, FormatUnix},
		{"\n\t" + from, 0, FormatNone},
		{strings.Repeat("\n", 1023-len(from)) + from, 0, FormatUnix},
		{strings.Repeat("\n", 1024-len(from)) + from, 0, FormatUnixDoubtful},
		{"From " + strings.Repeat("x", 3000) + " Mon Jun  2 10:11:12 2003\n", 0, FormatUnixDoubtful},
		{strings.TrimSuffix(from, "\n") + "\r\r\n\r\r\n", 0, FormatUnixDoubtful},
		{"From here on\n", 0, FormatNone},
		{" \t\r\n", 0, FormatEmpty},
		{" \t\r\n", 5000, FormatNone},
		{"\x00\x00", 0, FormatNone},
		{"", 0, FormatEmpty},
		{"", 10, FormatNone},
	} {
		if c.size == 0 {
			c.size = int64(len(c.head))
		}
		head := []byte(c.head)
		if got := Recognise(head, c.size); got != c.want {
			t.Errorf("%.60q of %d bytes: %v, want %v", c.head, c.size, got, c.want)
		}
		if string(head) != c.head {
			t.Errorf("%.60q was changed", c.head)
		}
	}
}

// FuzzRecognise: what is recognised as unix format is what Reader can read.
func FuzzRecognise(f *testing.F) {
	for _, s := range parts {
		f.Add([]byte(s))
	}
	f.Add([]byte("*mbx*\r\n3edb6d2000000009\r\n"))
	f.Add([]byte(" 2-Jun-2003 10:11:12 -0400,22;000000000000\r\nx"))
	f.Add([]byte("From joe@example.com Mon Jun  2 10:11:12 200\r\r\nx")) // the year "200\r"
	f.Fuzz(func(t *testing.T, file []byte) {
		before := fmt.Sprintf("%q", file)
		format := Recognise(file, int64(len(file)))
		if after := fmt.Sprintf("%q", file); after != before {
			t.Fatalf("%s became %s", before, after)
		}
		_, err := NewReader(bytes.NewReader(file), int64(len(file)), Options{}).Next()
		if format == FormatUnix && err != nil && err != io.EOF { // EOF: only UW's own data message
			t.Errorf("%q: %v, but %v", file, format, err)
		}
		if format == FormatNone && err == nil && len(file) <= 4096 {
			t.Errorf("%q: %v, but there is a message", file, format)
		}
	})
}
