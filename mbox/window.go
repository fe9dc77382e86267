package mbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	windowSize    = 1 << 20
	minWindowSize = 16 // room for every internal header's name and for the longest hold of a body
)

// window is the part of the file that is in memory: one buffer that slides over it.
type window struct {
	src io.ReaderAt
	end int64 // what counts as the end of the file
	// until is up to where bytes are read if no more are needed; 0: as many as fit.
	until int64
	buf   []byte
	off   int64 // offset of buf[0] in the file
	n     int   // bytes held
	nul   bool  // some byte held is NUL
	cr    bool  // some byte held is a CR
}

// held returns the bytes in memory from offset pos on; pos may be anywhere.
func (w *window) held(pos int64) []byte {
	if pos < w.off || pos >= w.off+int64(w.n) {
		return nil
	}
	return w.buf[pos-w.off : w.n]
}

// from returns the bytes from offset pos on: what is in memory if that is at least need
// bytes, else as much as the window can hold, or as there is up to until. Fewer than need bytes means that the file
// ends there. The slice is good until the next call.
func (w *window) from(pos int64, need int) ([]byte, error) {
	b := w.held(pos)
	if len(b) >= need || pos+int64(len(b)) >= w.end {
		return b, nil
	}
	kept := copy(w.buf, b)
	want := int(min(int64(len(w.buf)), w.end-pos))
	if w.until-pos >= int64(need) {
		want = int(min(int64(want), w.until-pos))
	}
	w.off, w.n = pos, kept
	if err := readFull(w.src, w.buf[kept:want], pos+int64(kept)); err != nil {
		w.n = 0
		return nil, err
	}
	w.n = want
	w.nul = bytes.IndexByte(w.buf[:w.n], 0) >= 0
	w.cr = bytes.IndexByte(w.buf[:w.n], '\r') >= 0
	return w.buf[:w.n], nil
}

// full reports whether b, which from returned, is as much as the window can hold.
func (w *window) full(b []byte) bool { return len(b) == len(w.buf) }

// readFull fills b from offset off. The file is known to be that long, so a short read
// is an error: never a quiet end of the mail.
func readFull(src io.ReaderAt, b []byte, off int64) error {
	n, err := src.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading at offset %d: %w", off+int64(n), err)
}
