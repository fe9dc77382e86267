package mbox

import "math/bits"

// Sizes of the buffers that are used again, powers of two. To make one anew for each folder
// would cost clearing it, and collecting it, each time.
const (
	minBufferBits = 12
	maxBufferBits = 20 // windowSize
)

// buffers are those that wait to be used again, by size: as many as two readers have.
var buffers = func() (free [maxBufferBits + 1]chan []byte) {
	for i := minBufferBits; i <= maxBufferBits; i++ {
		free[i] = make(chan []byte, 4)
	}
	return free
}()

// newBuffer returns size bytes of any content.
func newBuffer(size int) []byte {
	class := bits.Len(uint(size - 1))
	if class < minBufferBits || class > maxBufferBits {
		return make([]byte, size)
	}
	select {
	case b := <-buffers[class]:
		return b[:size]
	default:
		return make([]byte, size, 1<<class)
	}
}

// release takes back the buffers of a reader that has come to its end.
func release(w *window, c *converter) {
	for _, b := range [][]byte{w.buf, c.buf} {
		class := bits.Len(uint(cap(b))) - 1
		if class < minBufferBits || class > maxBufferBits || cap(b) != 1<<class {
			continue
		}
		select {
		case buffers[class] <- b:
		default:
		}
	}
	w.buf, w.n, c.buf = nil, 0, nil
}
