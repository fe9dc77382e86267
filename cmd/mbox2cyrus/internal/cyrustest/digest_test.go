package cyrustest

import (
	"crypto/sha256"
	"testing"
)

// However the bytes come, a digest is that of them all, and that of the text.
func TestDigest(t *testing.T) {
	for _, tc := range []struct{ message, text string }{
		{"A: b\r\n\r\none\r\n\r\ntwo\r\n\r\n", "one\r\n\r\ntwo"},
		{"A: b\r\n\r\n\r\n\r\none", "\r\n\r\none"},
		{"A: b\r\n\r\n", ""},
		{"A: b\r\n", ""},
	} {
		for _, size := range []int{1, 3, 1000} {
			var d Digest
			for rest := []byte(tc.message); len(rest) > 0; {
				n := min(size, len(rest))
				if _, err := d.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			whole, text := d.Sums()
			if want := sha256.Sum256([]byte(tc.message)); whole != want {
				t.Errorf("%q in pieces of %d: the whole is %x, not %x", tc.message, size, whole, want)
			}
			if want := sha256.Sum256([]byte(tc.text)); text != want {
				t.Errorf("%q in pieces of %d: the text is not %q", tc.message, size, tc.text)
			}
		}
	}
}
