package plan

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape writes a name of any bytes as printable UTF-8, so that unescape gives it
// back: "\xNN" stands for a byte, "\\" for a backslash. Everything that is printable
// stands for itself, but for what would make a spreadsheet take the name for a
// formula: = + - and @ at its beginning.
func Escape(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); {
		c, n := utf8.DecodeRuneInString(name[i:])
		switch {
		case c == '\\':
			b.WriteString(`\\`)
		case c == utf8.RuneError && n == 1, !unicode.IsPrint(c), i == 0 && strings.ContainsRune("=+-@", c):
			for _, raw := range []byte(name[i : i+n]) {
				fmt.Fprintf(&b, `\x%02x`, raw)
			}
		default:
			b.WriteString(name[i : i+n])
		}
		i += n
	}
	return b.String()
}

// unescape reads what Escape wrote.
func unescape(text string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			b.WriteByte(text[i])
			continue
		}
		rest := text[i+1:]
		switch {
		case strings.HasPrefix(rest, `\`):
			b.WriteByte('\\')
			i++
		case len(rest) >= 3 && rest[0] == 'x':
			raw, err := hex.DecodeString(rest[1:3])
			if err != nil {
				return "", fmt.Errorf("%q: \\x must be followed by two hexadecimal digits", text)
			}
			b.Write(raw)
			i += 3
		default:
			return "", fmt.Errorf("%q: a backslash is written \\\\, a byte \\xNN", text)
		}
	}
	return b.String(), nil
}
