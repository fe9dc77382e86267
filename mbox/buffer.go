package mbox

import "sync"

// bufferSize is the size of the buffers that are used again: those of a folder of half
// that or more. To make one anew for each folder would cost clearing it each time.
const bufferSize = windowSize

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// newBuffer returns size bytes of any content.
func newBuffer(size int) []byte {
	if size < bufferSize/2 || size > bufferSize {
		return make([]byte, size)
	}
	return buffers.Get().(*[bufferSize]byte)[:size]
}

// release takes back the buffers of a reader that has come to its end.
func release(w *window, c *converter) {
	for _, b := range [][]byte{w.buf, c.buf} {
		if cap(b) == bufferSize {
			buffers.Put((*[bufferSize]byte)(b[:bufferSize]))
		}
	}
	w.buf, w.n, c.buf = nil, 0, nil
}
