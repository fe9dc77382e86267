package cyrusspool

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"hash"
	"slices"
)

// The encodings of content, by Cyrus's numbers (lib/charset.h).
const (
	encodingNone   = 0
	encodingQP     = 1
	encodingBase64 = 2
)

// charset returns the charset of a part, by the name that it has there, and its encoding;
// nil for a part that is no text (imap/message.c, message_parse_charset).
func (b *cachePart) charset() (name []byte, encoding int) {
	switch {
	case bytes.Equal(b.kind, typeMessage):
		if b.isMessage() {
			return nil, encodingNone
		}
		return usASCII, encodingNone
	case bytes.Equal(b.kind, typeText):
		name = usASCII
		for _, param := range b.params {
			if bytes.Equal(param.attribute, paramCharset) {
				name = param.value
			}
		}
	}
	switch string(b.encoding) {
	case "QUOTED-PRINTABLE":
		encoding = encodingQP
	case "BASE64":
		encoding = encodingBase64
	}
	return name, encoding
}

// certainCharset tells whether it is certain what Cyrus makes of the encoding and the
// charset of a part. Charsets go by lists of Cyrus and, for others, of ICU: these are in
// all of them (lib/charset/aliases.txt).
func (b *cachePart) certainCharset() bool {
	switch string(b.encoding) {
	case "", "7BIT", "8BIT", "BINARY", "QUOTED-PRINTABLE", "BASE64":
	default:
		return false
	}
	if bytes.Equal(b.kind, typeMessage) || b.isMultipart() {
		// Releases differ in what an encoding does here, where it must not be (RFC 2045,
		// 6.4).
		return string(b.encoding) != "QUOTED-PRINTABLE" && string(b.encoding) != "BASE64"
	}
	if !bytes.Equal(b.kind, typeText) {
		return true
	}
	seen := false
	for _, param := range b.params {
		if !bytes.HasPrefix(param.attribute, paramCharset) {
			continue
		}
		if seen || len(param.attribute) != len(paramCharset) || len(param.value) > len("windows-1252") {
			return false
		}
		seen = true
		var lower [len("windows-1252")]byte
		n := copy(lower[:], param.value)
		for i, c := range lower[:n] {
			lower[i] = toLower(c)
		}
		if !certainCharsets[string(lower[:n])] {
			return false
		}
	}
	return true
}

var certainCharsets = fieldSet("us-ascii ascii utf-8 utf8 iso-8859-1 iso-8859-2 iso-8859-3 iso-8859-4 iso-8859-5 iso-8859-6 iso-8859-7 " +
	"iso-8859-8 iso-8859-9 iso-8859-10 iso-8859-13 iso-8859-14 iso-8859-15 windows-1250 windows-1251 windows-1252 windows-1253 " +
	"windows-1254 windows-1255 windows-1256 windows-1257 windows-1258 koi8-r koi8-u iso-2022-jp euc-jp shift_jis euc-kr gb2312 gbk big5")

// contentSum is the SHA-1 of content without its encoding.
type contentSum struct {
	hash hash.Hash
	buf  []byte
}

// sum finds the SHA-1 and the size of a part's content (imap/message.c,
// body_add_content_guid). A message/rfc822 has no encoding.
func (p *CacheParser) sum(b *cachePart) (ok bool) {
	s := &p.content
	if s.hash == nil {
		s.hash = sha1.New()
	}
	text := p.msg[b.contentOffset:][:b.contentSize]
	_, encoding := b.charset()
	if encoding == encodingNone {
		s.hash.Reset()
		s.hash.Write(text)
		b.decodedSize = b.contentSize
		s.hash.Sum(b.guid[:0])
		return true
	}
	s.buf = s.buf[:0]
	if encoding == encodingBase64 {
		s.buf = appendBase64(s.buf, text)
	} else if s.buf, ok = appendQP(s.buf, text); !ok {
		return false
	}
	s.hash.Reset()
	s.hash.Write(s.buf)
	b.decodedSize = uint32(len(s.buf))
	s.hash.Sum(b.guid[:0])
	return true
}

// base64Values has the value of each digit, 64 for the padding and 65 for others.
var base64Values = func() (values [256]byte) {
	for i := range values {
		values[i] = 65
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") {
		values[c] = byte(i)
	}
	return values
}()

// base64Group has the values of the four digits of a group where they belong in its 24
// bits, noDigit for what is none.
var base64Group = func() (group [4][256]uint32) {
	for i := range group {
		for c, value := range base64Values {
			if group[i][c] = noDigit; value < 64 {
				group[i][c] = uint32(value) << (18 - 6*i)
			}
		}
	}
	return group
}()

const noDigit = 1 << 31

// base64Value decodes the group of which b has the digits, the first lowest. noDigit is set
// if one is none.
func base64Value(b uint32) uint32 {
	return base64Group[0][byte(b)] | base64Group[1][byte(b>>8)] | base64Group[2][byte(b>>16)] | base64Group[3][byte(b>>24)]
}

// base64Groups decodes the groups at the beginning of text, as many as there are together and
// dst has room for, with a byte or two to spare, and returns how many bytes they are.
func base64Groups(dst, text []byte) (n int) {
	i := 0
	for ; i <= len(text)-8 && n <= len(dst)-8; i, n = i+8, n+6 {
		b := binary.LittleEndian.Uint64(text[i:])
		v, w := base64Value(uint32(b)), base64Value(uint32(b>>32))
		if (v|w)&noDigit != 0 {
			break
		}
		binary.BigEndian.PutUint64(dst[n:], uint64(v)<<40|uint64(w)<<16)
	}
	if i <= len(text)-4 && n <= len(dst)-4 {
		if v := base64Value(binary.LittleEndian.Uint32(text[i:])); v&noDigit == 0 {
			binary.BigEndian.PutUint32(dst[n:], v<<8)
			n += 3
		}
	}
	return n
}

// appendBase64 decodes base64 as Cyrus does (lib/charset.c, b64_2byte): padding begins a
// new group, whatever else is no digit is passed over.
func appendBase64(out, text []byte) []byte {
	out = slices.Grow(out, len(text)/4*3+4)
	var group uint32
	n := 0
	for i := 0; i < len(text); {
		if n == 0 {
			// Whole groups at once, which is nearly all there is.
			k := base64Groups(out[len(out):cap(out)], text[i:])
			out = out[:len(out)+k]
			i += k / 3 * 4
			from := i
			for i < len(text) && base64Values[text[i]] >= 64 {
				i++
			}
			if i > from || i == len(text) {
				continue
			}
		}
		v := base64Values[text[i]]
		i++
		if v == 64 {
			n, group = 0, 0
		}
		if v >= 64 {
			continue
		}
		group = group<<6 | uint32(v)
		switch n {
		case 0:
			n = 1
		case 1:
			out = append(out, byte(group>>4))
			n = 2
		case 2:
			out = append(out, byte(group>>2))
			n = 3
		case 3:
			out = append(out, byte(group))
			n, group = 0, 0
		}
	}
	return out
}

// maxQPLine is the longest line of quoted-printable of which it is certain what becomes
// of it: Cyrus cuts longer ones.
const maxQPLine = 900

// appendQP decodes quoted-printable as Cyrus does (lib/charset.c, qp_flushline): blanks at
// the end of a line go, a = at its end joins it with the next, and one that is no code
// stays.
func appendQP(out, text []byte) (decoded []byte, ok bool) {
	for len(text) > 0 {
		n := bytes.IndexByte(text, '\n')
		ends := n >= 0
		line := text
		if ends {
			line, text = text[:n], text[n+1:]
		} else {
			text = nil
		}
		if len(line) > maxQPLine {
			return nil, false
		}
		line = bytes.TrimSuffix(line, cr)
		if bytes.IndexByte(line, '\r') >= 0 {
			return nil, false
		}
		line = bytes.TrimRight(line, " \t")
		for {
			i := bytes.IndexByte(line, '=')
			if i < 0 {
				out = append(out, line...)
				break
			}
			out = append(out, line[:i]...)
			line = line[i:]
			if len(line) == 1 {
				ends = false
				break
			}
			if len(line) > 2 {
				if high, low := hexValue(line[1]), hexValue(line[2]); high < 16 && low < 16 {
					out = append(out, high<<4|low)
					line = line[3:]
					continue
				}
			}
			out = append(out, '=')
			line = line[1:]
		}
		if ends {
			out = append(out, crlf...)
		}
	}
	return out, true
}

var cr = []byte("\r")

// hexValue returns the value of a hexadecimal digit, 16 for others.
func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
