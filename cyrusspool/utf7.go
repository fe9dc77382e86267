package cyrusspool

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrUTF7 is the error of a string that is not the one modified UTF-7 form of its text.
var ErrUTF7 = errors.New("not modified UTF-7")

// mutf7Alphabet is base64's with "," for "/" (RFC 3501 5.1.3).
const mutf7Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,"

// mutf7Base64 is strict: the bits left over at the end must be zero, as Cyrus wants.
var mutf7Base64 = base64.NewEncoding(mutf7Alphabet).WithPadding(base64.NoPadding).Strict()

// EncodeUTF7 returns text in modified UTF-7 (RFC 3501 5.1.3). Text that is not valid
// UTF-8 is refused, and so are ASCII control characters: the RFC could carry them, but
// Cyrus refuses every shifted ASCII character (imap/mboxname.c, mboxname_policycheck).
func EncodeUTF7(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", fmt.Errorf("modified UTF-7 of %q: not valid UTF-8", text)
	}
	for _, c := range text {
		if c < ' ' || c == 0x7f {
			return "", fmt.Errorf("modified UTF-7 of %q: control character %#x", text, c)
		}
	}
	return encodeUTF7([]rune(text)), nil
}

// encodeUTF7 encodes runes that are printable ASCII or above ASCII.
func encodeUTF7(text []rune) string {
	var out strings.Builder
	for len(text) > 0 {
		if text[0] < 0x80 {
			out.WriteByte(byte(text[0]))
			if text[0] == '&' {
				out.WriteByte('-')
			}
			text = text[1:]
			continue
		}
		n := 1
		for n < len(text) && text[n] >= 0x80 {
			n++
		}
		var units []byte
		for _, u := range utf16.Encode(text[:n]) {
			units = append(units, byte(u>>8), byte(u))
		}
		out.WriteByte('&')
		out.WriteString(mutf7Base64.EncodeToString(units))
		out.WriteByte('-')
		text = text[n:]
	}
	return out.String()
}

// DecodeUTF7 returns the text of a name in modified UTF-7. It takes only what
// [EncodeUTF7] writes, so it is strict in the way of Cyrus: no byte outside printable
// ASCII, no bare "&", no shifted ASCII, no two adjacent shifted sequences, no stray
// bits, no half surrogate pair. The error wraps [ErrUTF7].
func DecodeUTF7(name string) (string, error) {
	var out strings.Builder
	shifted := false // the last thing was a shifted sequence
	for i := 0; i < len(name); {
		c := name[i]
		if c < ' ' || c > '~' {
			return "", fmt.Errorf("byte %#x at %d of %q: %w", c, i, name, ErrUTF7)
		}
		if c != '&' {
			out.WriteByte(c)
			shifted = false
			i++
			continue
		}
		code, _, closed := strings.Cut(name[i+1:], "-")
		if !closed {
			return "", fmt.Errorf("unclosed %q in %q: %w", name[i:], name, ErrUTF7)
		}
		if code == "" {
			out.WriteByte('&')
			shifted = false
		} else {
			if shifted {
				return "", fmt.Errorf("adjacent sequences at %d of %q: %w", i, name, ErrUTF7)
			}
			text, err := decodeShifted(code)
			if err != nil {
				return "", fmt.Errorf("%q in %q: %w", code, name, err)
			}
			out.WriteString(text)
			shifted = true
		}
		i += len("&") + len(code) + len("-")
	}
	return out.String(), nil
}

// decodeShifted decodes what stands between "&" and "-".
func decodeShifted(code string) (string, error) {
	for i := 0; i < len(code); i++ {
		// The decoder would skip line ends.
		if strings.IndexByte(mutf7Alphabet, code[i]) < 0 {
			return "", ErrUTF7
		}
	}
	units, err := mutf7Base64.DecodeString(code)
	if err != nil || len(units)%2 != 0 {
		return "", ErrUTF7
	}
	var out strings.Builder
	for i := 0; i < len(units); i += 2 {
		c := rune(units[i])<<8 | rune(units[i+1])
		if c < 0x80 {
			return "", ErrUTF7
		}
		if utf16.IsSurrogate(c) {
			if i += 2; i >= len(units) {
				return "", ErrUTF7
			}
			c = utf16.DecodeRune(c, rune(units[i])<<8|rune(units[i+1]))
			if c == utf8.RuneError {
				return "", ErrUTF7
			}
		}
		out.WriteRune(c)
	}
	return out.String(), nil
}
