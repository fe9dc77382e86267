package cyrustest

import (
	"bytes"
	"crypto/sha256"
	"hash"
)

// A Digest takes the bytes of one message, and tells two that are the same text from two
// that are the same to the byte. The zero value is ready.
type Digest struct {
	whole, text hash.Hash
	tail        []byte // of the header: what its end could begin with
	inText      bool
	ends        []byte // line ends that more text may follow
}

var headerEnd = []byte("\r\n\r\n")

// Write never fails.
func (d *Digest) Write(p []byte) (int, error) {
	if d.whole == nil {
		d.whole, d.text = sha256.New(), sha256.New()
	}
	d.whole.Write(p)
	n := len(p)
	if !d.inText {
		head := append(d.tail, p...)
		at := bytes.Index(head, headerEnd)
		if at < 0 {
			d.tail = append([]byte(nil), head[max(0, len(head)-len(headerEnd)+1):]...)
			return n, nil
		}
		d.inText, p = true, head[at+len(headerEnd):]
	}
	text := bytes.TrimRight(p, "\r\n")
	if len(text) > 0 {
		d.text.Write(d.ends)
		d.text.Write(text)
		d.ends = d.ends[:0]
	}
	d.ends = append(d.ends, p[len(text):]...)
	return n, nil
}

// Sums returns the SHA-256 of all bytes, and of the text: what follows the header, without
// the line ends that it ends with.
func (d *Digest) Sums() (whole, text [sha256.Size]byte) {
	if d.whole != nil {
		d.whole.Sum(whole[:0])
		d.text.Sum(text[:0])
	}
	return whole, text
}
