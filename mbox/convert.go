package mbox

import (
	"bytes"
	"io"
)

const (
	// outputSize is the largest piece that is written at once.
	outputSize = 1 << 20
	// leastRoom is for how many bytes of text there must be room, or what is there is
	// written first: pieces would become ever smaller.
	leastRoom = 1024
)

// converter writes text as UW IMAP 2007f sends it: LF becomes CRLF, other CRs go, and a
// NUL becomes 0x80 (unix.c unix_header and unix_text_work; imapd.c ptext). What becomes of
// a byte depends on no other, unless CRs are kept, as UW 2002 did.
type converter struct {
	w       io.Writer
	buf     []byte
	n       int64 // bytes written to w
	err     error // the first error of w; nothing is written after it
	keepCRs bool  // CRs that end no line stay
	cr      bool  // with keepCRs: the last byte of the text was a CR
}

// text converts b. plain says that it has no CR and no NUL.
func (c *converter) text(b []byte, plain bool) {
	for len(b) > 0 && c.err == nil {
		room := (cap(c.buf) - len(c.buf)) / 2 // every byte may become two
		if room < min(len(b), leastRoom) {
			c.flush()
			continue
		}
		part := b[:min(len(b), room)]
		b = b[len(part):]
		if c.keepCRs {
			c.keeping(part)
			continue
		}
		if plain {
			c.buf = appendCRLF(c.buf, part)
			continue
		}
		for len(part) > 0 {
			i := bytes.IndexByte(part, '\r')
			if i < 0 {
				i = len(part)
			}
			from := len(c.buf)
			c.buf = appendCRLF(c.buf, part[:i])
			replaceNULs(c.buf[from:])
			part = part[min(i+1, len(part)):]
		}
	}
}

// keeping converts b, for which there is room, and keeps its CRs.
func (c *converter) keeping(b []byte) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		line := b
		if i >= 0 {
			line = b[:i]
		}
		if len(line) > 0 {
			from := len(c.buf)
			c.buf = append(c.buf, line...)
			replaceNULs(c.buf[from:])
			c.cr = line[len(line)-1] == '\r'
		}
		if i < 0 {
			return
		}
		if !c.cr {
			c.buf = append(c.buf, '\r')
		}
		c.buf, c.cr = append(c.buf, '\n'), false
		b = b[i+1:]
	}
}

// raw appends s, a few bytes, as it is.
func (c *converter) raw(s string) {
	if cap(c.buf)-len(c.buf) < len(s) {
		c.flush()
	}
	c.buf, c.cr = append(c.buf, s...), false
}

// flush writes what has been converted.
func (c *converter) flush() {
	if len(c.buf) > 0 && c.err == nil {
		var n int
		n, c.err = c.w.Write(c.buf)
		if c.n += int64(n); c.err == nil && n < len(c.buf) {
			c.err = io.ErrShortWrite
		}
	}
	c.buf = c.buf[:0]
}

// appendCRLF appends b, for twice the length of which dst has room.
func appendCRLF(dst, b []byte) []byte {
	n, all := len(dst), dst[:cap(dst)]
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return all[:n+copy(all[n:], b)]
		}
		n += copy(all[n:], b[:i])
		all[n], all[n+1] = '\r', '\n'
		n += 2
		b = b[i+1:]
	}
}

func replaceNULs(b []byte) {
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return
		}
		b[i] = 0x80
		b = b[i+1:]
	}
}
