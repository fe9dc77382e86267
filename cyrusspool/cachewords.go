package cyrusspool

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// A wordDecoder gives header text the form in which Cyrus searches it: UTF-8.
type wordDecoder struct{ buf, word []byte }

// decode decodes the encoded words of RFC 2047 in s, if it is certain what Cyrus makes of
// them (lib/charset.c, mimeheader_cat). White space between two of them is no text; what
// stands for itself should be ASCII, and becomes U+FFFD for each byte that is not. The
// result is valid until the next call.
func (d *wordDecoder) decode(s []byte) (text []byte, ok bool) {
	if d.buf == nil {
		d.buf = make([]byte, 0, 256) // "" is not nil
	}
	d.buf = d.buf[:0]
	for after := false; ; after = true {
		start := bytes.Index(s, encodedWord)
		plain := s
		if start >= 0 {
			plain = s[:start]
		}
		if start < 0 || !after || len(bytes.TrimLeft(plain, " \t")) > 0 {
			for _, c := range plain {
				if c < utf8.RuneSelf {
					d.buf = append(d.buf, c)
				} else {
					d.buf = utf8.AppendRune(d.buf, utf8.RuneError)
				}
			}
		}
		if start < 0 {
			return d.buf, true
		}
		if s, ok = d.decodeWord(s[start+len(encodedWord):]); !ok {
			return nil, false
		}
	}
}

var encodedWord, wordEnd = []byte("=?"), []byte("?=")

// decodeWord decodes an encoded word from behind its "=?", and returns what follows it.
func (d *wordDecoder) decodeWord(s []byte) (rest []byte, ok bool) {
	charset, s, ok := bytes.Cut(s, question)
	if !ok || len(s) < 2 || s[1] != '?' {
		return nil, false
	}
	encoding := toLower(s[0])
	text, rest, ok := bytes.Cut(s[2:], wordEnd)
	if !ok || len(text) == 0 || bytes.IndexByte(text, '?') >= 0 {
		return nil, false
	}
	switch encoding {
	case 'b':
		if d.word, ok = appendWholeBase64(d.word[:0], text); !ok {
			return nil, false
		}
	case 'q':
		if d.word, ok = appendQWord(d.word[:0], text); !ok {
			return nil, false
		}
	default:
		return nil, false
	}
	for _, c := range d.word {
		if c < ' ' || c == 0x7f {
			return nil, false
		}
	}
	return rest, d.appendDecoded(charset)
}

var question = []byte("?")

// appendQWord decodes the text of an encoded word of encoding Q without anything odd.
func appendQWord(out, text []byte) (decoded []byte, ok bool) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '_':
			out = append(out, ' ')
		case c == '=':
			if i+2 >= len(text) {
				return nil, false
			}
			high, low := hexValue(text[i+1]), hexValue(text[i+2])
			if high > 15 || low > 15 {
				return nil, false
			}
			out = append(out, high<<4|low)
			i += 2
		case c <= ' ' || c > '~':
			return nil, false
		default:
			out = append(out, c)
		}
	}
	return out, true
}

// appendWholeBase64 decodes base64 in whole groups.
func appendWholeBase64(out, text []byte) (decoded []byte, ok bool) {
	digits := bytes.TrimRight(text, "=")
	if len(text)%4 != 0 || len(text)-len(digits) > 2 {
		return nil, false
	}
	for _, c := range digits {
		if base64Values[c] > 63 {
			return nil, false
		}
	}
	return appendBase64(out, text), true
}

// appendDecoded appends the decoded word in UTF-8.
func (d *wordDecoder) appendDecoded(charset []byte) (ok bool) {
	var lower [16]byte
	if len(charset) > len(lower) {
		return false
	}
	n := copy(lower[:], charset)
	for i, c := range lower[:n] {
		lower[i] = toLower(c)
	}
	switch name := string(lower[:n]); name {
	case "us-ascii":
		for _, c := range d.word {
			if c >= utf8.RuneSelf {
				return false
			}
		}
		d.buf = append(d.buf, d.word...)
	case "utf-8":
		for rest := d.word; len(rest) > 0; {
			r, n := utf8.DecodeRune(rest)
			if r >= 0xfff0 || r == 0xfeff || r >= 0x80 && r < 0xa0 {
				return false
			}
			rest = rest[n:]
		}
		d.buf = append(d.buf, d.word...)
	default:
		table := wordCharsets[name]
		if table == nil {
			return false
		}
		for _, c := range d.word {
			r := table.DecodeByte(c)
			if r == utf8.RuneError || r >= 0x80 && r < 0xa0 {
				return false
			}
			d.buf = utf8.AppendRune(d.buf, r)
		}
	}
	return true
}

// wordCharsets are charsets of one byte a character. Cyrus takes iso-8859-1 for
// windows-1252 (lib/charset/aliases.txt), which is no difference where it is known.
var wordCharsets = map[string]*charmap.Charmap{
	"iso-8859-1":   charmap.ISO8859_1,
	"iso-8859-2":   charmap.ISO8859_2,
	"iso-8859-15":  charmap.ISO8859_15,
	"windows-1250": charmap.Windows1250,
	"windows-1251": charmap.Windows1251,
	"windows-1252": charmap.Windows1252,
	"koi8-r":       charmap.KOI8R,
}

// appendAddresses writes addresses in the form in which Cyrus searches them
// (imap/message.c, message_write_searchaddr).
func (d *wordDecoder) appendAddresses(out []byte, list []cacheAddress) (_ []byte, ok bool) {
	comma := false
	for _, a := range list {
		switch {
		case a.domain == nil && a.mailbox == nil:
			out = append(out, ';')
			comma = true
			continue
		case comma:
			out = append(out, ',')
		}
		if a.domain == nil {
			name, ok := d.decode(a.mailbox)
			if !ok {
				return nil, false
			}
			out = append(append(out, name...), ':')
			comma = false
			continue
		}
		if a.name != nil {
			name, ok := d.decode(a.name)
			if !ok {
				return nil, false
			}
			out = append(appendName(out, name), ' ')
		}
		out = append(out, '<')
		out = appendLower(out, a.mailbox)
		out = append(out, '@')
		out = appendLower(out, a.domain)
		out = append(out, '>')
		comma = true
	}
	return out, true
}

// appendName writes a name, quoted unless it has atext and white space alone.
func appendName(out, name []byte) []byte {
	plain := true
	for _, c := range name {
		plain = plain && (isLetter(c) || '0' <= c && c <= '9' || isSpace(c) || c != 0 && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0)
	}
	if plain {
		return append(out, name...)
	}
	out = append(out, '"')
	for _, c := range name {
		if c == '"' || c == '\\' {
			out = append(out, '\\')
		}
		out = append(out, c)
	}
	return append(out, '"')
}

func appendLower(out, s []byte) []byte {
	for _, c := range s {
		out = append(out, toLower(c))
	}
	return out
}
