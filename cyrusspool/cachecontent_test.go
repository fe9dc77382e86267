package cyrusspool

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"
)

// digitByDigit decodes base64 as lib/charset.c does, without looking at more than a digit.
func digitByDigit(text []byte) (out []byte) {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	n, bits := 0, uint32(0)
	for _, c := range text {
		v := strings.IndexByte(digits, c)
		switch {
		case c == '=':
			n, bits = 0, 0
		case v >= 0:
			bits = bits<<6 | uint32(v)
			if n++; n > 1 {
				out = append(out, byte(bits>>(2*(4-n))))
			}
			if n == 4 {
				n, bits = 0, 0
			}
		}
	}
	return out
}

func TestAppendBase64(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	plain := make([]byte, 300)
	for range 20_000 {
		for i := range plain {
			plain[i] = byte(random.Uint32())
		}
		text := []byte(base64.StdEncoding.EncodeToString(plain[:random.IntN(len(plain))]))
		for range random.IntN(6) {
			if len(text) == 0 {
				break
			}
			at := random.IntN(len(text))
			junk := []string{"\r\n", "\n", "=", "==", " ", "\x00", "\xff", "-", "A", "=\r\n", "!!!!", "\r\n\r\n"}[random.IntN(12)]
			text = append(text[:at:at], append([]byte(junk), text[at+random.IntN(2):]...)...)
		}
		before := []byte("before")[:random.IntN(7)]
		got := appendBase64(bytes.Clone(before), text)
		if want := append(bytes.Clone(before), digitByDigit(text)...); !bytes.Equal(got, want) {
			t.Fatalf("%q: %x, want %x", text, got, want)
		}
	}
}
