package mbox

import (
	"bytes"
	"io"
)

// outputSize is the largest piece that is written at once: a message that is smaller
// after conversion takes one Write.
const outputSize = 1 << 20

// converter writes text as UW IMAP 2007f sends it: LF becomes CRLF, other CRs go, and a
// NUL becomes 0x80 (unix.c unix_header and unix_text_work; imapd.c ptext). It is without
// state, for what becomes of a byte depends on no other.
type converter struct {
	w   io.Writer
	buf []byte
	n   int64 // bytes written to w
	err error // the first error of w; nothing is written after it
}

// text converts b. plain says that it has no CR and no NUL.
func (c *converter) text(b []byte, plain bool) {
	for len(b) > 0 && c.err == nil {
		room := (cap(c.buf) - len(c.buf)) / 2 // every byte may become two
		if room < min(len(b), 1024) {
			c.flush()
			continue
		}
		part := b[:min(len(b), room)]
		b = b[len(part):]
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

// raw appends s, a few bytes, as it is.
func (c *converter) raw(s string) {
	if cap(c.buf)-len(c.buf) < len(s) {
		c.flush()
	}
	c.buf = append(c.buf, s...)
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

func appendCRLF(dst, b []byte) []byte {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return append(dst, b...)
		}
		dst = append(dst, b[:i]...)
		dst = append(dst, '\r', '\n')
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
