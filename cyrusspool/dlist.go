package cyrusspool

import (
	"fmt"
	"strconv"
	"strings"
)

// maxAtom is the length from which Cyrus no longer writes an atom or a quoted string
// (lib/imparse.c, imparse_isnatom; lib/prot.c, MAXQSTRING).
const maxAtom = 1024

// isAtom tells whether Cyrus takes s for an atom (lib/imparse.c, imparse_isnatom).
func isAtom(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`{()"%*\`, s[i]) >= 0 {
			return false
		}
	}
	return s != "" && len(s) < maxAtom
}

// appendAstring appends s as an atom, a quoted string or a literal, whichever is the
// first that can hold it (lib/prot.c, prot_printastring).
func appendAstring(b []byte, s string) []byte {
	if isAtom(s) && s != "NIL" {
		return append(b, s...)
	}
	quotable := len(s) < maxAtom
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 || strings.IndexByte("\r\n\"%\\", s[i]) >= 0 {
			quotable = false
		}
	}
	if quotable {
		return append(append(append(b, '"'), s...), '"')
	}
	b = append(b, '{')
	b = strconv.AppendInt(b, int64(len(s)), 10)
	return append(append(b, "+}\r\n"...), s...)
}

// A dlistParser takes a dlist (lib/dlist.c, dlist_parsesax) apart from the left. Its
// first error stays and ends everything.
type dlistParser struct {
	rest string
	err  error
}

func (p *dlistParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: %s", ErrHeader, fmt.Sprintf(format, args...))
	}
}

// expect takes token, which must be next.
func (p *dlistParser) expect(token string) {
	rest, ok := strings.CutPrefix(p.rest, token)
	if !ok {
		p.fail("%q expected before %.20q", token, p.rest)
		return
	}
	p.rest = rest
}

// list goes to the next element of a list and tells whether the list is at its end
// instead. first says that no element was taken yet.
func (p *dlistParser) list(first bool) (end bool) {
	if rest, ok := strings.CutPrefix(p.rest, ")"); ok {
		p.rest = rest
		return true
	}
	if !first {
		p.expect(" ")
	}
	return false
}

// word takes a string, which must not be NIL.
func (p *dlistParser) word() string {
	before := p.rest
	word := p.nilWord()
	if p.err == nil && word == "" && !strings.HasPrefix(before, `"`) && !strings.HasPrefix(before, "{") {
		p.fail("NIL")
	}
	return word
}

// nilWord takes a string; NIL is "".
func (p *dlistParser) nilWord() string {
	switch {
	case p.err != nil:
		return ""
	case strings.HasPrefix(p.rest, `"`):
		return p.quoted()
	case strings.HasPrefix(p.rest, "{"):
		return p.literal()
	}
	end := strings.IndexAny(p.rest, " )\r\n")
	if end <= 0 {
		p.fail("string expected before %.20q", p.rest)
		return ""
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	if word == "NIL" {
		return ""
	}
	return word
}

// quoted takes a quoted string. A backslash quotes whatever follows.
func (p *dlistParser) quoted() string {
	var word strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return word.String()
		case c == '\\' && i+1 < len(p.rest):
			i++
			word.WriteByte(p.rest[i])
		default:
			word.WriteByte(c)
		}
	}
	p.fail("quoted string without an end")
	return ""
}

// literal takes "{n}" or "{n+}", a line end and n bytes.
func (p *dlistParser) literal() string {
	size, rest, ok := strings.Cut(p.rest[1:], "}\r\n")
	n, err := strconv.ParseUint(strings.TrimSuffix(size, "+"), 10, 31)
	if !ok || err != nil || n > uint64(len(rest)) {
		p.fail("bad literal at %.20q", p.rest)
		return ""
	}
	p.rest = rest[n:]
	return rest[:n]
}
