package cyrusspool

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// headerMagic begins every cyrus.header (imap/mailbox.h, MAILBOX_HEADER_MAGIC).
const headerMagic = "\241\002\213\015Cyrus mailbox header\n" +
	"\"The best thing about this system was that it had lots of goals.\"\n" +
	"\t--Jim Morris on Andrew\n"

// MaxUserFlags is the number of keywords that a mailbox can hold (imap/mailbox.h,
// MAX_USER_FLAGS). Servers of 3.0 and later let clients add no more than 100.
const MaxUserFlags = 128

// ErrHeader is the error of a cyrus.header that cannot be read, or written.
var ErrHeader = errors.New("malformed cyrus.header")

// HeaderForm is one of the two forms of cyrus.header.
type HeaderForm int

// The forms of cyrus.header. Cyrus 3.6 and later write the dlist form and still read
// the other.
const (
	HeaderTab   HeaderForm = iota // three lines, up to Cyrus 3.4
	HeaderDlist                   // one dlist, Cyrus 3.6 and later
)

// An ACLEntry grants an identifier rights ("joe" "lrswipkxtecdan").
type ACLEntry struct{ ID, Rights string }

// Header is the content of cyrus.header.
type Header struct {
	Form      HeaderForm
	QuotaRoot string // internal name of the quota root, "" for none
	UniqueID  string
	Name      Name   // dlist form only
	Type      string // letters of the mailbox type, dlist form only: "e" mail, "l" layout by name
	JMAPID    string // dlist form only, of releases after 3.12
	ACL       []ACLEntry
	// Flags are the keywords, in the order of the bits in the index records. A keyword
	// that was removed leaves "", a hole; up to 3.4 reconstruct drops what comes after
	// one, so none should be written there.
	Flags []string
}

// ParseHeader reads a whole cyrus.header in either form. The error wraps [ErrHeader].
// A key of the dlist form that this package does not know is an error: writing the
// header again would lose it.
func ParseHeader(b []byte) (*Header, error) {
	text, ok := bytes.CutPrefix(b, []byte(headerMagic))
	if !ok {
		return nil, fmt.Errorf("%w: no magic", ErrHeader)
	}
	var h *Header
	var err error
	if bytes.HasPrefix(text, []byte("%")) {
		h, err = parseDlistHeader(string(text))
	} else {
		h, err = parseTabHeader(string(text))
	}
	if err != nil {
		return nil, err
	}
	if len(h.Flags) > MaxUserFlags {
		return nil, fmt.Errorf("%w: %d user flags", ErrHeader, len(h.Flags))
	}
	return h, nil
}

// parseTabHeader reads "quotaroot TAB uniqueid", the flags with a space behind each,
// and the ACL with a tab behind each word.
func parseTabHeader(text string) (*Header, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return nil, fmt.Errorf("%w: not three lines behind the magic", ErrHeader)
	}
	h := &Header{Form: HeaderTab}
	var ok bool
	if h.QuotaRoot, h.UniqueID, ok = strings.Cut(lines[0], "\t"); !ok {
		return nil, fmt.Errorf("%w: no tab in %q", ErrHeader, lines[0])
	}
	if strings.Contains(h.UniqueID, "\t") {
		return nil, fmt.Errorf("%w: more than two words in %q", ErrHeader, lines[0])
	}
	if lines[1] != "" {
		flags, ok := strings.CutSuffix(lines[1], " ")
		if !ok {
			return nil, fmt.Errorf("%w: no space behind the last flag", ErrHeader)
		}
		h.Flags = strings.Split(flags, " ")
	}
	if lines[2] != "" {
		acl, ok := strings.CutSuffix(lines[2], "\t")
		words := strings.Split(acl, "\t")
		if !ok || len(words)%2 != 0 {
			return nil, fmt.Errorf("%w: ACL %q is not made of pairs", ErrHeader, lines[2])
		}
		for pair := range slices.Chunk(words, 2) {
			h.ACL = append(h.ACL, ACLEntry{pair[0], pair[1]})
		}
	}
	return h, nil
}

// parseDlistHeader reads "%(T e N user.joe I … A %(joe …) U (…))".
func parseDlistHeader(text string) (*Header, error) {
	p := dlistParser{rest: text}
	h := &Header{Form: HeaderDlist}
	p.expect("%(")
	for seen := ""; p.err == nil && !p.list(len(seen) == 0); {
		key := p.word()
		if len(key) == 1 && strings.Contains(seen, key) {
			p.fail("key %s twice", key)
		}
		seen += "," + key
		p.expect(" ")
		switch key {
		case "T":
			h.Type = p.word()
		case "N":
			h.Name = Name(p.nilWord()) // none after relocate_by_id on a mailbox of 3.4 or older
		case "I":
			h.UniqueID = p.word()
		case "Q":
			h.QuotaRoot = p.word()
		case "J":
			h.JMAPID = p.word()
		case "A":
			p.expect("%(")
			for p.err == nil && !p.list(len(h.ACL) == 0) {
				id := p.word()
				p.expect(" ")
				h.ACL = append(h.ACL, ACLEntry{id, p.word()})
			}
		case "U":
			p.expect("(")
			for p.err == nil && !p.list(len(h.Flags) == 0) {
				h.Flags = append(h.Flags, p.nilWord())
			}
		default:
			p.fail("unknown key %q", key)
		}
	}
	p.expect("\n")
	if p.err == nil && p.rest != "" {
		p.fail("%d bytes behind the end", len(p.rest))
	}
	if p.err != nil {
		return nil, p.err
	}
	return h, nil
}

// Append appends the whole file to b. Everything must be representable: in the tab form
// no tabs, spaces or line ends where they would separate, nowhere NUL, and keywords
// must be IMAP atoms, for Cyrus drops others. The error wraps [ErrHeader].
func (h *Header) Append(b []byte) ([]byte, error) {
	if h.UniqueID == "" {
		return b, fmt.Errorf("%w: no unique id", ErrHeader)
	}
	if len(h.Flags) > MaxUserFlags {
		return b, fmt.Errorf("%w: %d user flags, Cyrus holds %d", ErrHeader, len(h.Flags), MaxUserFlags)
	}
	for _, flag := range h.Flags {
		if flag != "" && !isAtom(flag) || h.Form == HeaderDlist && flag == "NIL" {
			return b, fmt.Errorf("%w: user flag %q is not an atom", ErrHeader, flag)
		}
	}
	words := []string{h.QuotaRoot, h.UniqueID, string(h.Name), h.Type, h.JMAPID}
	for _, e := range h.ACL {
		words = append(words, e.ID, e.Rights)
	}
	for _, word := range words {
		if strings.ContainsAny(word, "\x00\t\r\n") {
			return b, fmt.Errorf("%w: %q cannot be written", ErrHeader, word)
		}
	}
	b = append(b, headerMagic...)
	if h.Form == HeaderDlist {
		return h.appendDlist(b), nil
	}
	return h.appendTab(b), nil
}

func (h *Header) appendTab(b []byte) []byte {
	b = append(b, h.QuotaRoot+"\t"+h.UniqueID+"\n"...)
	for _, flag := range h.Flags {
		b = append(b, flag+" "...)
	}
	b = append(b, '\n')
	for _, e := range h.ACL {
		b = append(b, e.ID+"\t"+e.Rights+"\t"...)
	}
	return append(b, '\n')
}

// appendDlist writes the keys in the order of Cyrus (imap/mailbox.c,
// mailbox_commit_header), which leaves out what is empty but for the ACL.
func (h *Header) appendDlist(b []byte) []byte {
	b = append(b, "%("...)
	for _, kv := range [...]struct{ key, value string }{
		{"T", h.Type}, {"N", string(h.Name)}, {"I", h.UniqueID}, {"J", h.JMAPID}, {"Q", h.QuotaRoot},
	} {
		if kv.value != "" {
			b = append(b, kv.key+" "...)
			b = append(appendAstring(b, kv.value), ' ')
		}
	}
	b = append(b, "A %("...)
	for i, e := range h.ACL {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(appendAstring(b, e.ID), ' ')
		b = appendAstring(b, e.Rights)
	}
	b = append(b, ')')
	if len(h.Flags) > 0 {
		b = append(b, " U ("...)
		for i, flag := range h.Flags {
			if i > 0 {
				b = append(b, ' ')
			}
			if flag == "" {
				flag = "NIL"
			}
			b = append(b, flag...)
		}
		b = append(b, ')')
	}
	return append(b, ")\n"...)
}
