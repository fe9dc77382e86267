package cyrusspool

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// appendNString writes a string as IMAP has it, as a literal where it is long or has bytes
// that a quoted string should not have (imap/message.c, message_write_nstring_map).
func appendNString(out, s []byte) []byte {
	if s == nil {
		return append(out, "NIL"...)
	}
	literal := len(s) >= 1024
	for i := 0; i < len(s) && !literal; i++ {
		switch c := s[i]; {
		case c == 0, c >= 0x80, c == '\r', c == '\n', c == '"', c == '%', c == '\\':
			literal = true
		}
	}
	if literal {
		out = append(out, '{')
		out = strconv.AppendUint(out, uint64(len(s)), 10)
		out = append(out, "}\r\n"...)
		return append(out, s...)
	}
	out = append(out, '"')
	out = append(out, s...)
	return append(out, '"')
}

// appendEnvelope writes ENVELOPE (imap/message.c, message_write_envelope).
func appendEnvelope(out []byte, e *cacheEnvelope) []byte {
	orFrom := func(list []cacheAddress) []cacheAddress {
		if list == nil {
			return e.from
		}
		return list
	}
	out = append(out, '(')
	out = appendNString(out, e.date)
	out = append(out, ' ')
	out = appendNString(out, e.subject)
	for _, list := range [][]cacheAddress{e.from, orFrom(e.sender), orFrom(e.replyTo), e.to, e.cc, e.bcc} {
		out = append(out, ' ')
		if list == nil {
			out = append(out, "NIL"...)
			continue
		}
		out = append(out, '(')
		for _, a := range list {
			out = append(out, '(')
			out = appendNString(out, a.name)
			out = append(out, " NIL "...) // no route
			out = appendNString(out, a.mailbox)
			out = append(out, ' ')
			out = appendNString(out, a.domain)
			out = append(out, ')')
		}
		out = append(out, ')')
	}
	out = append(out, ' ')
	out = appendNString(out, e.inReplyTo)
	out = append(out, ' ')
	out = appendNString(out, e.messageID)
	return append(out, ')')
}

// appendStructure writes BODY, or with extended BODYSTRUCTURE (imap/message.c,
// message_write_body).
func (p *CacheParser) appendStructure(out []byte, b *cachePart, extended bool) []byte {
	out = append(out, '(')
	if b.isMultipart() {
		for _, child := range b.children {
			out = p.appendStructure(out, &p.parts[child], extended)
		}
		out = append(out, ' ')
		out = appendNString(out, b.subtype)
		if extended {
			out = append(out, ' ')
			out = appendParams(out, b.params)
			out = appendDisposition(out, b)
		}
		return append(out, ')')
	}
	out = appendNString(out, b.kind)
	out = append(out, ' ')
	out = appendNString(out, b.subtype)
	out = append(out, ' ')
	out = appendParams(out, b.params)
	out = append(out, ' ')
	out = appendNString(out, b.id)
	out = append(out, ' ')
	out = appendNString(out, b.description)
	out = append(out, ' ')
	if b.encoding == nil {
		out = append(out, `"7BIT"`...)
	} else {
		out = appendNString(out, b.encoding)
	}
	out = append(out, ' ')
	out = strconv.AppendUint(out, uint64(b.contentSize), 10)
	if b.isMessage() {
		inner := &p.parts[b.children[0]]
		out = append(out, ' ')
		out = appendEnvelope(out, &inner.env)
		out = append(out, ' ')
		out = p.appendStructure(out, inner, extended)
	}
	if b.isMessage() || bytes.Equal(b.kind, typeText) {
		out = append(out, ' ')
		out = strconv.AppendUint(out, uint64(b.contentLines), 10)
	}
	if extended {
		out = append(out, ' ')
		out = appendNString(out, b.md5)
		out = appendDisposition(out, b)
	}
	return append(out, ')')
}

// appendDisposition writes the last three fields of a BODYSTRUCTURE.
func appendDisposition(out []byte, b *cachePart) []byte {
	out = append(out, ' ')
	if b.disposition == nil {
		out = append(out, "NIL"...)
	} else {
		out = append(out, '(')
		out = appendNString(out, b.disposition)
		out = append(out, ' ')
		out = appendParams(out, b.dispositionParams)
		out = append(out, ')')
	}
	out = append(out, ' ')
	if b.language == nil {
		out = append(out, "NIL"...)
	} else {
		out = append(out, '(')
		out = appendNString(out, b.language)
		out = append(out, ')')
	}
	out = append(out, ' ')
	return appendNString(out, b.location)
}

func appendParams(out []byte, params []cacheParam) []byte {
	if len(params) == 0 {
		return append(out, "NIL"...)
	}
	for i, param := range params {
		out = append(out, "( "[min(i, 1)])
		out = appendNString(out, param.attribute)
		out = append(out, ' ')
		out = appendNString(out, param.value)
	}
	return append(out, ')')
}

// appendMessageSection writes where the sections of a message are: a number of entries,
// one for the message and one for each of its parts, and then the same of each part
// (imap/message.c, message_write_section). All numbers have 4 bytes, big-endian.
func (p *CacheParser) appendMessageSection(out []byte, message *cachePart) []byte {
	if !message.isMultipart() {
		out = binary.BigEndian.AppendUint32(out, 2)
		out = appendPlace(out, message)
		out = appendText(out, noCharset, message)
		out = appendPlace(out, message)
		out = appendCharset(out, message)
		return p.appendPartSection(out, message)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(message.children)+1))
	out = appendPlace(out, message)
	out = appendText(out, noCharset, message)
	return p.appendChildren(out, message)
}

func (p *CacheParser) appendPartSection(out []byte, b *cachePart) []byte {
	switch {
	case b.isMessage():
		return p.appendMessageSection(out, &p.parts[b.children[0]])
	case b.isMultipart():
		out = binary.BigEndian.AppendUint32(out, uint32(len(b.children)+1))
		// A multipart itself cannot be fetched.
		for _, n := range []uint32{0, noSize, 0, noSize} {
			out = binary.BigEndian.AppendUint32(out, n)
		}
		out = appendText(out, noCharset, &cachePart{})
		return p.appendChildren(out, b)
	}
	return binary.BigEndian.AppendUint32(out, 0)
}

func (p *CacheParser) appendChildren(out []byte, b *cachePart) []byte {
	for _, child := range b.children {
		out = appendPlace(out, &p.parts[child])
		out = appendCharset(out, &p.parts[child])
	}
	for _, child := range b.children {
		out = p.appendPartSection(out, &p.parts[child])
	}
	return out
}

const (
	noSize    = 1<<32 - 1
	noCharset = 0xffff // in place of length of charset and encoding
)

func appendPlace(out []byte, b *cachePart) []byte {
	for _, n := range []uint32{b.headerOffset, b.headerSize, b.contentOffset, b.contentSize} {
		out = binary.BigEndian.AppendUint32(out, n)
	}
	return out
}

// appendText writes the first number given, and what the content of b is.
func appendText(out []byte, first uint32, b *cachePart) []byte {
	out = binary.BigEndian.AppendUint32(out, first)
	return appendContent(out, b)
}

func appendContent(out []byte, b *cachePart) []byte {
	out = append(out, b.guid[:]...)
	out = binary.BigEndian.AppendUint32(out, b.decodedSize)
	return binary.BigEndian.AppendUint32(out, b.contentLines)
}

// appendCharset writes the length of the name of the charset in the high half of a number
// and the encoding in its lowest byte, the name with at least one NUL, up to a multiple of
// 4 bytes, and the content (imap/message.c, message_write_charset).
func appendCharset(out []byte, b *cachePart) []byte {
	charset, encoding := b.charset()
	size := 0
	if charset != nil {
		size = (len(charset)/4 + 1) * 4
	}
	out = binary.BigEndian.AppendUint32(out, uint32(size)<<16|uint32(encoding))
	out = append(out, charset...)
	out = append(out, make([]byte, size-len(charset))...)
	return appendContent(out, b)
}
