package mbox

import "bytes"

// maxRecovered is the longest name of a keyword that RepairKeywords recovers. No client
// makes longer ones.
const maxRecovered = 255

// keywordSet are names of keywords, each in its first spelling.
type keywordSet struct {
	names []string
	more  bool // there were more than a mailbox can have, or longer ones than maxRecovered
}

// add adds the words of a list.
func (k *keywordSet) add(list []byte) {
	for word, rest := nextRecovered(list); len(word) > 0; word, rest = nextRecovered(rest) {
		if k.full() {
			return
		}
		k.addWord(word)
	}
}

// full reports whether there is no room for another name. That there are more is taken for
// granted then, or a hostile list would be looked up for ever.
func (k *keywordSet) full() bool {
	k.more = k.more || len(k.names) > maxUnionKeywords
	return k.more && len(k.names) >= maxUnionKeywords
}

func (k *keywordSet) addWord(word []byte) {
	switch {
	case keywordIndex(k.names, word) >= 0:
	case len(word) > maxRecovered:
		k.more = true
	default:
		k.names = append(k.names, string(word))
	}
}

// keywordIndex returns the position of a name, in any case, -1 if it is not there.
func keywordIndex(names []string, word []byte) int {
	for i, name := range names {
		if len(name) == len(word) && bytes.EqualFold([]byte(name), word) {
			return i
		}
	}
	return -1
}

// nextRecovered cuts the first word off a list in which tabs separate too.
func nextRecovered(list []byte) (word, rest []byte) {
	list = bytes.TrimLeft(list, " \t\r")
	if i := bytes.IndexAny(list, " \t\r"); i >= 0 {
		return list[:i], list[i:]
	}
	return list, nil
}

// takeKeywords makes the keyword list: UW's own, then those that s met besides.
func (r *Reader) takeKeywords(s *Reader) {
	r.keywords, r.reachable, r.listed = s.keywords, s.reachable, true
	words := &s.scouting.words
	lost := words.more
	for _, name := range words.names {
		switch {
		case keywordIndex(r.keywords, []byte(name)) >= 0:
		case len(r.keywords) == maxUnionKeywords:
			lost = true
		default:
			r.keywords = append(r.keywords, name)
		}
	}
	if lost {
		r.find(KindKeywordsLost, 0, "the messages name more keywords than the %d that a mailbox can have here, or some of more than %d bytes; those are not recovered", maxUnionKeywords, maxRecovered)
	}
}

// recoverKeywords sets the keywords of an X-Keywords list that UW does not find.
func (r *Reader) recoverKeywords(list []byte, offset int64) {
	if !r.opts.Repairs.Has(RepairKeywords) {
		return
	}
	if r.scouting != nil {
		r.scouting.words.add(list)
		return
	}
	before := r.msg.Keywords
	var first []byte
	for word, rest := nextRecovered(list); len(word) > 0; word, rest = nextRecovered(rest) {
		if bit := keywordIndex(r.keywords, word); bit >= 0 && r.msg.Keywords&(1<<bit) == 0 {
			r.msg.Keywords |= 1 << bit
			if first == nil {
				first = word
			}
		}
	}
	if r.msg.Keywords != before {
		r.find(KindRepairKeyword, offset, "keyword %.60q, which UW does not show, was recovered (there may be more in this line)", first)
	}
}

// continuation takes a line that continues an internal header. UW ignores it.
func (r *Reader) continuation(line []byte, offset int64) {
	switch r.continues {
	case "X-Keywords":
		r.recoverKeywords(line, offset)
	case "X-IMAPbase", "X-IMAP":
		if r.isFirst && r.scouting != nil {
			r.scouting.words.add(line)
		}
	}
}
