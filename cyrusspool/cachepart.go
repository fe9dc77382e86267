package cyrusspool

import (
	"bytes"
)

// A cachePart is a part of a message, the message itself included, as Cyrus sees it
// (imap/message.h, struct body). Strings are nil where there are none: NIL is not "".
type cachePart struct {
	kind, subtype     []byte // upper case
	params            []cacheParam
	id, description   []byte
	encoding          []byte // upper case
	md5, location     []byte
	language          []byte // upper case, one only
	disposition       []byte // upper case
	dispositionParams []cacheParam
	env               cacheEnvelope

	headerOffset, headerSize, headerLines    uint32
	contentOffset, contentSize, contentLines uint32
	boundarySize, boundaryLines              uint32 // of what ends the part

	guid        [20]byte // of the decoded content; zeros for a multipart
	decodedSize uint32

	children []int // indexes of parts; one for a message/rfc822
}

type cacheParam struct{ attribute, value []byte }

// A cacheEnvelope is what ENVELOPE tells. An address list that is empty is nil.
type cacheEnvelope struct {
	date, subject, inReplyTo, messageID []byte
	from, sender, replyTo, to, cc, bcc  []cacheAddress
}

var (
	typeText, typeMultipart, typeMessage = []byte("TEXT"), []byte("MULTIPART"), []byte("MESSAGE")
	subtypeRFC822, subtypeDigest         = []byte("RFC822"), []byte("DIGEST")
	paramBoundary, paramCharset          = []byte("BOUNDARY"), []byte("CHARSET")
	usASCII                              = []byte("us-ascii")

	// defaultType is the type of a part that names none (imap/message.c,
	// DEFAULT_CONTENT_TYPE).
	defaultType = cachePart{kind: typeText, subtype: []byte("PLAIN"), params: []cacheParam{{paramCharset, usASCII}}}
)

func (b *cachePart) isMultipart() bool { return bytes.Equal(b.kind, typeMultipart) }

func (b *cachePart) isMessage() bool {
	return bytes.Equal(b.kind, typeMessage) && bytes.Equal(b.subtype, subtypeRFC822)
}

// parsePart parses the part at pos, up to and including the boundary that ends it, and
// returns its index and the position behind (imap/message.c, message_parse_body).
func (p *CacheParser) parsePart(pos int, otherwise *cachePart, depth int) (index, end int, ok bool) {
	if depth > MaxCachedDepth || len(p.parts) == maxCachedParts {
		return 0, 0, false
	}
	index = len(p.parts)
	p.parts = append(p.parts, cachePart{})
	b := &p.parts[index] // which stays where it is
	if end, ok = p.parseHeader(pos, b, index == 0); !ok {
		return 0, 0, false
	}
	if b.kind == nil {
		b.kind, b.subtype, b.params = otherwise.kind, otherwise.subtype, otherwise.params
	}
	if !b.certainCharset() {
		return 0, 0, false
	}
	switch {
	case b.isMultipart():
		end, ok = p.parseMultipart(end, b, depth)
	case b.isMessage():
		end, ok = p.parseMessage(end, b, depth)
	default:
		if end, ok = p.parseContent(end, b); ok {
			ok = p.sum(b)
		}
	}
	return index, end, ok
}

// parseMessage parses the message that a message/rfc822 part holds.
func (p *CacheParser) parseMessage(pos int, b *cachePart, depth int) (end int, ok bool) {
	child, end, ok := p.parsePart(pos, &defaultType, depth+1)
	if !ok {
		return 0, false
	}
	inner := &p.parts[child]
	b.children = []int{child}
	b.contentSize = inner.headerSize + inner.contentSize
	b.contentLines = inner.headerLines + inner.contentLines
	b.boundarySize, b.boundaryLines = inner.boundarySize, inner.boundaryLines
	return end, p.sum(b)
}

// parseMultipart parses the parts of a multipart (imap/message.c,
// message_parse_multipart). One that another's boundary closes is not known; the end of the
// message closes all that are open.
func (p *CacheParser) parseMultipart(pos int, b *cachePart, depth int) (end int, ok bool) {
	boundary, ok := b.boundary()
	if !ok || bytes.Equal(b.subtype, subtypeDigest) {
		return 0, false
	}
	p.boundaries = append(p.boundaries, boundary)
	open := len(p.boundaries)
	var preamble cachePart
	if end, ok = p.parseContent(pos, &preamble); !ok {
		return 0, false
	}
	b.contentSize = preamble.contentSize + preamble.boundarySize
	b.contentLines = preamble.contentLines + preamble.boundaryLines
	for len(p.boundaries) == open {
		var child int
		if child, end, ok = p.parsePart(end, &defaultType, depth+1); !ok {
			return 0, false
		}
		c := &p.parts[child]
		if c.boundarySize == 0 {
			if end != len(p.msg) {
				return 0, false
			}
			p.boundaries = p.boundaries[:0]
		}
		b.children = append(b.children, child)
		b.contentSize += c.headerSize + c.contentSize + c.boundarySize
		b.contentLines += c.headerLines + c.contentLines + c.boundaryLines
	}
	if len(b.children) == 0 {
		return 0, false
	}
	if len(p.boundaries) != open-1 {
		return end, true // at the end of the message, inside of others
	}
	var epilogue cachePart
	if end, ok = p.parseContent(end, &epilogue); !ok {
		return 0, false
	}
	b.contentSize += epilogue.contentSize
	b.contentLines += epilogue.contentLines
	b.boundarySize, b.boundaryLines = epilogue.boundarySize, epilogue.boundaryLines
	return end, true
}

// boundary returns the boundary of a multipart, if it has exactly one.
func (b *cachePart) boundary() (boundary []byte, ok bool) {
	for _, param := range b.params {
		if bytes.HasPrefix(param.attribute, paramBoundary) {
			if boundary != nil || len(param.attribute) != len(paramBoundary) || len(param.value) == 0 {
				return nil, false
			}
			boundary = param.value
		}
	}
	return boundary, boundary != nil
}

// parseContent goes over the text of a part up to and including a boundary, or to the
// end of the message where none comes (imap/message.c, message_parse_content).
func (p *CacheParser) parseContent(pos int, b *cachePart) (end int, ok bool) {
	text := p.msg[pos:]
	for at := 0; len(p.boundaries) > 0; {
		if !bytes.HasPrefix(text[at:], dashes) {
			i := bytes.Index(text[at:], newlineDashes)
			if i < 0 {
				break
			}
			at += i + 1
		}
		length := bytes.IndexByte(text[at:], '\n') + 1 // the message ends in one
		found, ok := p.isBoundary(text[at : at+length])
		if !ok {
			return 0, false
		}
		if found {
			b.contentSize, b.contentLines = uint32(at), uint32(bytes.Count(text[:at], newline))
			b.boundarySize, b.boundaryLines = uint32(length), 1
			// The line end before it belongs to the boundary.
			if b.contentLines > 0 {
				b.contentLines--
				b.boundaryLines++
			}
			if b.contentSize > 1 {
				b.contentSize -= 2
				b.boundarySize += 2
			}
			return pos + at + length, true
		}
		at += length
	}
	b.contentSize, b.contentLines = uint32(len(text)), uint32(bytes.Count(text, newline))
	return len(p.msg), true
}

var newline, dashes, newlineDashes = []byte("\n"), []byte("--"), []byte("\n--")

// isBoundary tells whether line, which begins with "--", is an open boundary, and closes
// it if the line does (imap/message.c, message_pendingboundary, without rfc2046_strict).
// The innermost alone is certain: ok is false if the line is another one that is open.
func (p *CacheParser) isBoundary(line []byte) (found, ok bool) {
	line = line[len(dashes):]
	for i, boundary := range p.boundaries {
		rest, is := bytes.CutPrefix(line, boundary)
		if !is {
			continue
		}
		if closes := bytes.HasPrefix(rest, dashes); closes || len(rest) < 2 || isSpace(rest[0]) {
			if i != len(p.boundaries)-1 {
				return false, false
			}
			if closes {
				p.boundaries = p.boundaries[:i]
			}
			return true, true
		}
		if rest[0] == 0 {
			return false, false
		}
	}
	return false, true
}

// isSpace is C's isspace in the C locale.
func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
