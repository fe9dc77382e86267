package cyrusspool

import (
	"bytes"
	"strings"
)

// fieldScratch is memory for what header fields become, used again for each message.
type fieldScratch struct {
	cached    []byte // header fields for the cache, of the message alone
	text      []byte // unfolded and upper-cased strings
	addresses []cacheAddress
}

func (s *fieldScratch) reset() {
	if s.text == nil {
		s.text = make([]byte, 0, 1<<12) // a string that is empty is not nil
	}
	s.cached, s.text, s.addresses = s.cached[:0], s.text[:0], s.addresses[:0]
}

// keep returns a copy of b that lives as long as the message is parsed; never nil.
func (s *fieldScratch) keep(b []byte) []byte {
	n := len(s.text)
	s.text = append(s.text, b...)
	return s.text[n:len(s.text):len(s.text)]
}

// parseHeader parses the header at pos, up to and including the blank line
// (imap/message.c, message_parse_headers).
func (p *CacheParser) parseHeader(pos int, b *cachePart, top bool) (end int, ok bool) {
	b.headerOffset = uint32(pos)
	if pos == len(p.msg) && len(p.boundaries) > 0 { // the part that a multipart has for being cut off
		b.contentOffset = uint32(pos)
		return pos, true
	}
	start := -1 // of the field that is being read
	for at := pos; ; {
		i := bytes.IndexByte(p.msg[at:], '\n')
		if i < 1 || p.msg[at+i-1] != '\r' {
			return 0, false // the message ends in its header, or a lone LF
		}
		line := p.msg[at : at+i+1]
		if b.headerLines++; b.headerLines > MaxCachedLines || !plainLine(line[:i-1]) {
			return 0, false
		}
		if continues := line[0] == ' ' || line[0] == '\t'; !continues {
			if start >= 0 && !p.parseField(p.msg[start:at-2], b, top) {
				return 0, false
			}
			start = at
		} else if start < 0 {
			return 0, false
		}
		if i == 1 {
			end = at + 2
			b.headerSize, b.contentOffset = uint32(end-pos), uint32(end)
			return end, true
		}
		if len(p.boundaries) > 0 && bytes.HasPrefix(line, dashes) {
			if found, ok := p.isBoundary(line); found || !ok {
				return 0, false
			}
		}
		at += i + 1
	}
}

// plainLine tells whether a line has no control characters but tabs.
func plainLine(line []byte) bool {
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// parseField takes a header field, without the line end behind it, into b.
func (p *CacheParser) parseField(field []byte, b *cachePart, top bool) bool {
	line, _, _ := bytes.Cut(field, crlf)
	name, _, ok := bytes.Cut(line, colon)
	if !ok {
		return true // no field to Cyrus
	}
	if !isASCII(name) {
		return false
	}
	value := field[len(name)+1:]
	if top && isCachedField(name) {
		p.fields.cached = append(append(p.fields.cached, field...), crlf...)
	}
	if len(name) > len("Content-Transfer-Encoding") {
		return true
	}
	var lower [len("Content-Transfer-Encoding")]byte
	n := copy(lower[:], name)
	for i, c := range lower[:n] {
		lower[i] = toLower(c)
	}
	addresses := func(to *[]cacheAddress) (ok bool) {
		*to, ok = p.fields.parseAddresses(value)
		return ok
	}
	text := func(to *[]byte) bool {
		*to = p.fields.unfold(value)
		return true
	}
	// A field that comes again counts instead of the one before, but one that says
	// what the content is must come once.
	once := func(to *[]byte) bool { return *to == nil && text(to) }
	env := &b.env
	switch string(lower[:n]) {
	case "bcc":
		return addresses(&env.bcc)
	case "cc":
		return addresses(&env.cc)
	case "from":
		return addresses(&env.from)
	case "reply-to":
		return addresses(&env.replyTo)
	case "sender":
		return addresses(&env.sender)
	case "to":
		return addresses(&env.to)
	case "date":
		return text(&env.date)
	case "in-reply-to":
		return text(&env.inReplyTo)
	case "message-id":
		return text(&env.messageID)
	case "subject":
		return text(&env.subject)
	case "content-description":
		return once(&b.description)
	case "content-id":
		return once(&b.id)
	case "content-location":
		return once(&b.location)
	case "content-md5":
		return once(&b.md5)
	case "content-type":
		return b.kind == nil && p.fields.parseType(value, b)
	case "content-disposition":
		return b.disposition == nil && p.fields.parseDisposition(value, b)
	case "content-transfer-encoding":
		return b.encoding == nil && p.fields.parseToken(value, &b.encoding)
	case "content-language":
		return b.language == nil && p.fields.parseToken(value, &b.language) && isLanguage(b.language)
	}
	return true
}

var crlf, colon = []byte("\r\n"), []byte(":")

// uncachedFields are the fields that Cyrus does not keep in its cache because it has them
// elsewhere or nobody asks for them, and cachedXFields those whose names begin with X-
// that it does keep, unlike others (imap/mailbox_header_cache.gperf).
var (
	uncachedFields = fieldSet("bcc cc date delivery-date envelope-to from in-reply-to mime-version received return-path subject to " +
		"dkim-signature domainkey-signature domainkey-x509 message-id arc-seal arc-message-signature arc-authentication-results " +
		"authentication-results received-spf archived-at listbox-message-date topicbox-message-uuid topicbox-policy-reasoning")
	cachedXFields = fieldSet("x-mailer x-trace x-ref x-priority x-msmail-priority x-msoesrec x-spam-score x-resolved-to x-delivered-to " +
		"x-mail-from x-truedomain-domain x-me-message-id x-cyrus-session-id x-universally-unique-identifier x-uniform-type-identifier " +
		"x-apple-base-url x-apple-mail-remote-attachments")
)

func fieldSet(names string) map[string]bool {
	set := map[string]bool{}
	for name := range strings.FieldsSeq(names) {
		set[name] = true
	}
	return set
}

// isCachedField tells whether a field goes into the cache (imap/mailbox.c,
// is_cached_header): one with a name of 32 bytes or more never does.
func isCachedField(name []byte) bool {
	var lower [31]byte
	if len(name) > len(lower) {
		return false
	}
	n := copy(lower[:], name)
	for i, c := range lower[:n] {
		lower[i] = toLower(c)
	}
	if bytes.HasPrefix(lower[:n], xPrefix) {
		return cachedXFields[string(lower[:n])]
	}
	return !uncachedFields[string(lower[:n])]
}

var xPrefix = []byte("x-")

func toLower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func toUpper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}

// unfold returns a field's value without the blanks before it and without the line ends in
// it; blanks at its end stay (imap/message.c, message_parse_string).
func (s *fieldScratch) unfold(value []byte) []byte {
	for len(value) > 0 && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:] // stays other than nil
	}
	if !bytes.Contains(value, crlf) {
		return value
	}
	n := len(s.text)
	for {
		line, rest, more := bytes.Cut(value, crlf)
		s.text = append(s.text, line...)
		if !more {
			return s.text[n:len(s.text):len(s.text)]
		}
		value = rest
	}
}

func (s *fieldScratch) upper(b []byte) []byte {
	b = s.keep(b)
	for i, c := range b {
		b[i] = toUpper(c)
	}
	return b
}

// isTokenByte tells whether c can be in a MIME token: printable ASCII without tspecials
// (imap/message.h, MIME_TSPECIALS).
func isTokenByte(c byte) bool {
	return c > ' ' && c < 0x7f && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
}

// A mimeValue is the rest of a value that is being read. Comments are not known.
type mimeValue []byte

// blanks skips white space, line ends included.
func (v *mimeValue) blanks() {
	for len(*v) > 0 && isSpace((*v)[0]) {
		*v = (*v)[1:]
	}
}

func (v *mimeValue) token() []byte {
	n := 0
	for n < len(*v) && isTokenByte((*v)[n]) {
		n++
	}
	t := (*v)[:n]
	*v = (*v)[n:]
	return t
}

// next takes c, and the white space on both sides.
func (v *mimeValue) next(c byte) bool {
	v.blanks()
	if len(*v) == 0 || (*v)[0] != c {
		return false
	}
	*v = (*v)[1:]
	v.blanks()
	return true
}

// parseToken takes a value that is one token.
func (s *fieldScratch) parseToken(value []byte, to *[]byte) bool {
	v := mimeValue(value)
	v.blanks()
	t := v.token()
	v.blanks()
	*to = s.upper(t)
	return len(t) > 0 && len(v) == 0
}

// isLanguage tells whether tag is what Cyrus takes for a language (imap/message.c,
// message_parse_language).
func isLanguage(tag []byte) bool {
	for _, c := range tag {
		if c != '-' && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

func (s *fieldScratch) parseType(value []byte, b *cachePart) (ok bool) {
	v := mimeValue(value)
	v.blanks()
	kind := v.token()
	if !v.next('/') {
		return false
	}
	subtype := v.token()
	if len(kind) == 0 || len(subtype) == 0 {
		return false
	}
	b.kind, b.subtype = s.upper(kind), s.upper(subtype)
	b.params, ok = s.parseParams(v)
	return ok
}

func (s *fieldScratch) parseDisposition(value []byte, b *cachePart) (ok bool) {
	v := mimeValue(value)
	v.blanks()
	disposition := v.token()
	if len(disposition) == 0 {
		return false
	}
	b.disposition = s.upper(disposition)
	b.dispositionParams, ok = s.parseParams(v)
	return ok
}

// parseParams takes parameters up to the end of the field (imap/message.c,
// message_parse_params). A value in parts (RFC 2231) is not known.
func (s *fieldScratch) parseParams(v mimeValue) (params []cacheParam, ok bool) {
	for {
		v.blanks()
		if len(v) == 0 {
			return params, true
		}
		if !v.next(';') {
			return nil, false
		}
		if len(v) == 0 {
			return params, true
		}
		attribute := v.token()
		if len(attribute) == 0 || !v.next('=') || len(v) == 0 {
			return nil, false
		}
		if star := bytes.IndexByte(attribute, '*'); star >= 0 && star != len(attribute)-1 {
			return nil, false
		}
		value, ok := v.paramValue()
		if !ok {
			return nil, false
		}
		params = append(params, cacheParam{s.upper(attribute), value})
	}
}

// paramValue takes a quoted string that quotes nothing, or what Cyrus takes for a token:
// everything up to a semicolon.
func (v *mimeValue) paramValue() (value []byte, ok bool) {
	if (*v)[0] == '"' {
		rest := (*v)[1:]
		n := bytes.IndexAny(rest, "\"\\\r")
		if n < 0 || rest[n] != '"' {
			return nil, false
		}
		*v = rest[n+1:]
		return rest[:n:n], isASCII(rest[:n])
	}
	n := bytes.IndexByte(*v, ';')
	if n < 0 {
		n = len(*v)
	}
	value = bytes.TrimRight((*v)[:n], " \t\r\n")
	*v = (*v)[n:]
	// A semicolon, a comment or a line end among it is read otherwise.
	return value, len(value) > 0 && isASCII(value) && !bytes.ContainsAny(value, "(\r\"\\")
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c > '~' {
			return false
		}
	}
	return true
}
