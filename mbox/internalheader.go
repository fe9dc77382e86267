package mbox

import "bytes"

// Flags are the system flags of a message (RFC 9051 2.3.2), and Recent.
type Flags uint8

// The flags, with the letter that stands for each in Status or X-Status.
const (
	Seen     Flags = 1 << iota // R
	Answered                   // A
	Flagged                    // F
	Deleted                    // D
	Draft                      // T
	Recent                     // no O: the message came after UW last wrote the file
)

// Limits of UW IMAP 2007f (mail.h NUSERFLAGS, MAXUSERFLAG), and of 2002e, which reads any
// length in the list, but looks up no longer words (unix.c unix_parse).
const (
	maxKeywords          = 30
	maxKeywordLength     = 50
	maxKeywordLength2002 = 63
)

// internalNames are the fields that UW keeps its own data in and hides, in any spelling
// (unix.c, unix_hlines); it reads only these exact ones, with the colon.
var internalNames = [...]string{"Status:", "X-Status:", "X-Keywords:", "X-UID:", "X-IMAP:", "X-IMAPbase:"}

// IsInternal reports whether UW hides a header line because of its name: what precedes
// the first colon, blank, line end or NUL is, in any case, one of Status, X-Status,
// X-Keywords, X-UID, X-IMAP and X-IMAPbase (c-client mail.c, mail_filter). The beginning
// of the line is enough.
func IsInternal(line []byte) bool {
	if len(line) == 0 {
		return false
	}
	switch line[0] {
	case 'S', 's', 'X', 'x':
	default:
		return false
	}
	const longest = len("X-IMAPbase")
	name := line[:nameEnd(line[:min(len(line), longest+1)])]
	for _, s := range internalNames {
		if len(name) == len(s)-1 && bytes.EqualFold(name, []byte(s[:len(s)-1])) {
			return true
		}
	}
	return false
}

// isParsed reports whether b begins with an internal header that UW reads.
func isParsed(b []byte) bool {
	for _, s := range internalNames {
		if len(b) >= len(s) && string(b[:len(s)]) == s {
			return true
		}
	}
	return false
}

// internalPiece collects an internal header line and parses it when it is complete.
func (r *Reader) internalPiece(p *headerPiece) error {
	line := p.data
	if p.starts {
		r.line, r.lineOffset = r.line[:0], p.offset
	}
	if !p.starts || !p.ends {
		r.line = append(r.line, p.data[:min(len(p.data), maxInternalLine-len(r.line))]...)
		if !p.ends {
			return nil
		}
		line = r.line
		if len(line) == maxInternalLine {
			r.find(KindInternalCut, r.lineOffset, "an internal header line has more than %d bytes; the rest was not read", maxInternalLine)
		}
	}
	r.internals++
	if unreadable(r.win.src, r.msg.Offset, p.offset+p.size) != nil {
		return nil // the message is put aside, and whether this is still its header is not known
	}
	// A NUL ends the line for UW, or worse; line ends are not data.
	line = bytes.TrimRight(line, "\r\n")
	if i := bytes.IndexByte(line, 0); i >= 0 {
		line = line[:i]
	}
	return r.internalLine(line, r.lineOffset)
}

// internalLine obeys one internal header (unix.c unix_parse). Continuation lines and
// other spellings are hidden, but say nothing.
func (r *Reader) internalLine(line []byte, offset int64) error {
	if len(line) > 0 && isBlank(line[0]) {
		r.continuation(line, offset)
		return nil
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return nil
	}
	r.continues = internalName(name)
	switch r.continues {
	case "Status", "X-Status":
		r.hasStatus = r.hasStatus || r.continues == "Status"
		r.status(value)
	case "X-Keywords":
		r.setKeywords(value, offset)
	case "X-UID":
		r.hasStatus = true
		n, _ := number(bytes.TrimLeft(value, " "))
		return r.xuid(n, offset)
	case "X-IMAPbase", "X-IMAP":
		return r.base(value, r.continues == "X-IMAP", offset)
	}
	return nil
}

// internalName returns one of internalNames without its colon, "" if name is none.
func internalName(name []byte) string {
	for _, s := range internalNames {
		if string(name) == s[:len(s)-1] {
			return s[:len(s)-1]
		}
	}
	return ""
}

// status sets the flags whose letters are anywhere in the value.
func (r *Reader) status(value []byte) {
	for _, c := range value {
		switch c {
		case 'R':
			r.msg.Flags |= Seen
		case 'A':
			r.msg.Flags |= Answered
		case 'F':
			r.msg.Flags |= Flagged
		case 'D':
			r.msg.Flags |= Deleted
		case 'T':
			r.msg.Flags |= Draft
		case 'O':
			r.msg.Flags &^= Recent
		}
	}
}

// nextWord cuts the first word off a list. Words are separated by spaces; UW loops for
// ever at a lone CR, which here separates too. A tab is part of a word.
func nextWord(list []byte) (word, rest []byte) {
	list = bytes.TrimLeft(list, " \r")
	if i := bytes.IndexAny(list, " \r"); i >= 0 {
		return list[:i], list[i:]
	}
	return list, nil
}

// setKeywords looks up the words of X-Keywords.
func (r *Reader) setKeywords(value []byte, offset int64) {
	for word, rest := nextWord(value); len(word) > 0; word, rest = nextWord(rest) {
		if bit := r.lookup(word); bit >= 0 {
			r.msg.Keywords |= 1 << bit
		} else if !r.unlisted {
			r.unlisted = true
			r.find(KindKeywordUnknown, offset, "keyword %.60q is not in the mailbox's list, so UW does not show it (there may be more)", word)
		}
	}
	r.recoverKeywords(value, offset)
}

// lookup returns the position of a keyword that UW finds in the list, in any case, -1 if
// it finds none.
func (r *Reader) lookup(word []byte) int {
	if len(word) > maxKeywordLength && (r.opts.UWVersion != UW2002 || len(word) > maxKeywordLength2002) {
		return -1
	}
	for bit, name := range r.keywords[:r.reachable] {
		if len(name) == len(word) && bytes.EqualFold([]byte(name), word) {
			return bit
		}
	}
	return -1
}

// listKeywords takes the mailbox's keyword list. A name that is too long leaves a hole in
// UW's table, at which its look-up stops: the names after it are listed, but no message
// has them.
func (r *Reader) listKeywords(list []byte, offset int64) {
	if r.scouting != nil {
		r.scouting.words.add(list)
	}
	var keywords []string
	reachable, n := 0, 0
	for word, rest := nextWord(list); len(word) > 0; word, rest = nextWord(rest) {
		if n++; n > maxKeywords {
			r.find(KindKeywordsLost, offset, "the keyword list has more than %d names; UW knows none of the rest", maxKeywords)
			break
		}
		if len(word) > maxKeywordLength && r.opts.UWVersion != UW2002 {
			if reachable == 0 {
				r.find(KindKeywordHole, offset, "keyword %.60q has more than %d bytes; UW shows neither it nor those after it in any message", word, maxKeywordLength)
				reachable = len(keywords) + 1
			}
			continue
		}
		keywords = append(keywords, string(word))
	}
	if r.listed {
		return
	}
	r.keywords, r.reachable = keywords, len(keywords)
	if reachable > 0 {
		r.reachable = reachable - 1
	}
}

// number reads the decimal digits at the beginning of b; a number that is too large for
// any UID stays too large.
func number(b []byte) (n uint64, rest []byte) {
	for len(b) > 0 && b[0] >= '0' && b[0] <= '9' {
		if n < 1<<56 {
			n = 10*n + uint64(b[0]-'0')
		}
		b = b[1:]
	}
	return n, b
}

// parseBase reads the value of X-IMAPbase or X-IMAP: UIDVALIDITY, last UID, keywords.
func parseBase(value []byte) (validity, last uint64, keywords []byte, ok bool) {
	validity, rest := number(bytes.TrimLeft(value, " "))
	rest = bytes.TrimLeft(rest, " ")
	last, keywords = number(rest)
	return validity, last, keywords, validity > 0 && len(keywords) < len(rest)
}
