package cyrusspool

import (
	"bytes"
	"strings"
)

// A cacheAddress is an address of an ENVELOPE. A group begins with one that has a mailbox
// and no domain, and ends with one that has neither.
type cacheAddress struct{ name, mailbox, domain []byte }

// unspecifiedDomain stands where an address has no domain (lib/parseaddr.c).
var unspecifiedDomain = []byte("unspecified-domain")

// parseAddresses takes an address list as Cyrus does (lib/parseaddr.c, parseaddr_list).
// Routes, and whatever Cyrus reads in a way of its own, are not known.
func (s *fieldScratch) parseAddresses(value []byte) (list []cacheAddress, ok bool) {
	first := len(s.addresses)
	v := addressValue{s: s, rest: value}
	add := func(name, mailbox, domain []byte) {
		if len(name) == 0 {
			name = nil
		}
		if domain != nil && len(domain) == 0 {
			domain = unspecifiedDomain
		}
		s.addresses = append(s.addresses, cacheAddress{name, mailbox, domain})
	}
	group := false
	for stop := byte(' '); stop != 0; {
		specials := ",@<:"
		if group {
			specials = ",@<;"
		}
		var phrase, mailbox, domain, comment []byte
		if phrase, stop, ok = v.phrase(specials); !ok {
			return nil, false
		}
		switch stop {
		case ':':
			if len(phrase) == 0 {
				return nil, false
			}
			add(nil, phrase, nil)
			group = true
			continue
		case '@':
			if domain, comment, stop, ok = v.domain(true); !ok || len(phrase) == 0 {
				return nil, false
			}
			add(comment, phrase, domain)
		case '<':
			if mailbox, stop, ok = v.phrase("@>"); !ok {
				return nil, false
			}
			domain = unspecifiedDomain
			if stop == '@' {
				if domain, _, stop, ok = v.domain(false); !ok || len(mailbox) == 0 {
					return nil, false
				}
			}
			if stop != '>' {
				return nil, false
			}
			add(phrase, mailbox, domain)
			continue
		default:
			if len(phrase) > 0 {
				add(nil, phrase, unspecifiedDomain)
			}
		}
		switch stop {
		case 0, ',':
		case ';':
			if !group {
				return nil, false
			}
			add(nil, nil, nil)
			group = false
		default:
			return nil, false
		}
	}
	if group {
		add(nil, nil, nil)
	}
	if len(s.addresses) == first {
		return nil, true
	}
	return s.addresses[first:len(s.addresses):len(s.addresses)], true
}

// addressValue is the rest of an address list.
type addressValue struct {
	s    *fieldScratch
	rest []byte
}

// peek returns the next byte, 0 at the end.
func (v *addressValue) peek() byte {
	if len(v.rest) == 0 {
		return 0
	}
	return v.rest[0]
}

// take returns the next byte and goes behind it, 0 at the end.
func (v *addressValue) take() byte {
	c := v.peek()
	if c != 0 {
		v.rest = v.rest[1:]
	}
	return c
}

// blanks skips white space and comments.
func (v *addressValue) blanks() (ok bool) {
	for {
		switch c := v.peek(); {
		case c == '(':
			if !v.comment() {
				return false
			}
		case c != 0 && isSpace(c):
			v.take()
		default:
			return true
		}
	}
}

// comment skips a comment, others in it included.
func (v *addressValue) comment() (ok bool) {
	v.take()
	for depth := 1; depth > 0; {
		switch v.take() {
		case 0:
			return false
		case '\\':
			if v.take() == 0 {
				return false
			}
		case '(':
			depth++
		case ')':
			depth--
		}
	}
	return true
}

// phrase takes a phrase up to one of specials, or to the end, which is stop 0.
func (v *addressValue) phrase(specials string) (text []byte, stop byte, ok bool) {
	if !v.blanks() {
		return nil, 0, false
	}
	buf := &v.s.text
	from := len(*buf)
	for {
		switch c := v.peek(); {
		case c == '"':
			if v.take(); !v.quoted() {
				return nil, 0, false
			}
		case c == '(' || c != 0 && isSpace(c):
			if !v.blanks() {
				return nil, 0, false
			}
			*buf = append(*buf, ' ')
		case c == 0 || strings.IndexByte(specials, c) >= 0:
			v.take()
			text = bytes.TrimSuffix((*buf)[from:], blank)
			return text[:len(text):len(text)], c, true
		default:
			v.take()
			*buf = append(*buf, c)
		}
	}
}

var blank = []byte(" ")

// quoted takes the rest of a quoted string.
func (v *addressValue) quoted() (ok bool) {
	for {
		c := v.take()
		switch c {
		case 0:
			return false
		case '"':
			return true
		case '\r':
			v.take() // the line end of a fold, the blank behind it stays
			continue
		case '\\':
			if c = v.take(); c == 0 || c == '\r' {
				return false
			}
		}
		v.s.text = append(v.s.text, c)
	}
}

// domain takes a domain and what ends it; with named, a comment at its end is the name.
func (v *addressValue) domain(named bool) (domain, name []byte, stop byte, ok bool) {
	if !v.blanks() {
		return nil, nil, 0, false
	}
	buf := &v.s.text
	from := len(*buf)
	for {
		c := v.peek()
		switch {
		case 'a' <= toLower(c) && toLower(c) <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '[' || c == ']' || c == ':':
			*buf = append(*buf, c)
			name = nil
		case c == '.':
			if n := len(*buf); n > from && (*buf)[n-1] != '.' {
				*buf = append(*buf, c)
			}
			name = nil
		case c == '(':
			if name != nil {
				return nil, nil, 0, false
			}
			inside := v.rest[1:]
			if !v.comment() {
				return nil, nil, 0, false
			}
			if inside = inside[:len(inside)-len(v.rest)-1]; named {
				if bytes.ContainsAny(inside, "(\\\r") {
					return nil, nil, 0, false
				}
				name = inside
			}
			continue
		case c != 0 && isSpace(c):
		case c == '@':
			return nil, nil, 0, false
		default:
			v.take()
			domain = bytes.TrimSuffix((*buf)[from:], dot)
			return domain[:len(domain):len(domain)], name, c, true
		}
		v.take()
	}
}

var dot = []byte(".")
