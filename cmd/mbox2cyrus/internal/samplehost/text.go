package samplehost

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"strings"
)

// Words for subjects and bodies. The second list has letters outside ASCII,
// which a 2003 host stored in ISO 8859-1 as often as in UTF-8.
var (
	words = strings.Fields(`the and of to in that is was for it with as on be at by this have from not are but had
		his they you which one we all her she there would their will when who him been has more if no out so
		server backup report meeting budget printer please thanks attached version install release kernel
		question answer yesterday tomorrow Monday Friday office travel invoice draft review database
		network password account project schedule paper figure chapter student lecture exam course
		weather holiday photographs concert train ticket telephone number address window machine`)
	accentedWords = strings.Fields(`über für Grüße möglich Straße café déjà naïve reçu élève señor mañana
		København Ærø smörgås fjäll Zürich Köln Île français`)
)

// lines is a store of ready-made text, cut at line ends.
type lines struct {
	text   []byte
	starts []int // offset of each line
}

func newLines(text []byte) lines {
	l := lines{text: text}
	for at := 0; at < len(text); {
		l.starts = append(l.starts, at)
		at += bytes.IndexByte(text[at:], '\n') + 1
	}
	return l
}

// appendTo appends whole lines to dst, beginning at a random line, until size
// bytes are reached or just passed.
func (l lines) appendTo(dst []byte, rng *rand.Rand, size int) []byte {
	for size > 0 {
		rest := l.text[l.starts[rng.IntN(len(l.starts))]:]
		if size < len(rest) {
			end := size + bytes.IndexByte(rest[size-1:], '\n')
			rest = rest[:end]
		}
		dst = append(dst, rest...)
		size -= len(rest)
	}
	return dst
}

// texts are the stores that all mail of one host is cut from. Cutting instead
// of composing makes a gigabyte of mail in seconds.
type texts struct {
	plain, utf8, latin1, quotedPrintable, html, base64 lines
}

const storeSize = 256 << 10

func newTexts(rng *rand.Rand) *texts {
	utf8 := prose(rng, storeSize, 0.1, "")
	return &texts{
		plain:           newLines(prose(rng, storeSize, 0, "")),
		utf8:            newLines(utf8),
		latin1:          newLines(toLatin1(utf8)),
		quotedPrintable: newLines(toQuotedPrintable(utf8)),
		html:            newLines(prose(rng, storeSize, 0, "<br>")),
		base64:          newLines(randomBase64(rng, 4*storeSize)),
	}
}

// prose makes paragraphs of at most 72 columns with the given share of
// accented words, in UTF-8.
func prose(rng *rand.Rand, size int, accented float64, lineEnd string) []byte {
	var b []byte
	for len(b) < size {
		for range 1 + rng.IntN(9) {
			start := len(b)
			for len(b)-start < 56 {
				if len(b) > start {
					b = append(b, ' ')
				}
				if rng.Float64() < accented {
					b = append(b, pick(rng, accentedWords)...)
				} else {
					b = append(b, pick(rng, words)...)
				}
			}
			b = append(b, lineEnd...)
			b = append(b, '\n')
		}
		b = append(b, '\n')
	}
	return b
}

// toLatin1 converts UTF-8 whose characters are all in ISO 8859-1.
func toLatin1(utf8 []byte) []byte {
	b := make([]byte, 0, len(utf8))
	for _, r := range string(utf8) {
		b = append(b, byte(r))
	}
	return b
}

// toQuotedPrintable encodes line by line (RFC 2045 6.7); short lines make soft
// line breaks unnecessary, so any run of lines is valid by itself. The lines
// of prose stay below 76 columns only if few characters are encoded: longer
// ones are broken softly.
func toQuotedPrintable(text []byte) []byte {
	const hex = "0123456789ABCDEF"
	var b []byte
	column := 0
	for _, c := range text {
		if c == '\n' {
			b, column = append(b, '\n'), 0
			continue
		}
		if column > 70 {
			b, column = append(b, "=\n"...), 0
		}
		if c < 0x80 && c != '=' {
			b, column = append(b, c), column+1
		} else {
			b, column = append(b, '=', hex[c>>4], hex[c&15]), column+3
		}
	}
	return b
}

// randomBase64 is random data as lines of 76 columns (RFC 2045 6.8).
func randomBase64(rng *rand.Rand, size int) []byte {
	var b []byte
	row := make([]byte, 57)
	for len(b) < size {
		for i := range row {
			row[i] = byte(rng.Uint32())
		}
		b = base64.StdEncoding.AppendEncode(b, row)
		b = append(b, '\n')
	}
	return b
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }
