package export

import "slices"

// Limits of UW IMAP 2007f (mail.h NUSERFLAGS, MAXUSERFLAG).
const (
	maxKeywords      = 30
	maxKeywordLength = 50
)

// keywords are the names that a mailbox file lists, and where Cyrus's flags are
// among them.
type keywords struct {
	names []string
	at    []int // of Cyrus's flag n: position in names; -1: not there
	lost  []lostKeyword
}

type lostKeyword struct {
	name     string
	messages int64
}

// listKeywords chooses what of Cyrus's flags, of which used counts the messages, UW
// can know: all if they are few, else those that no message has give way first,
// and then the last.
func listKeywords(flags []string, used []int64) *keywords {
	k := &keywords{at: make([]int, len(flags))}
	fits := func(n int) bool { return flags[n] != "" && len(flags[n]) <= maxKeywordLength }
	chosen := make([]bool, len(flags))
	room := maxKeywords
	for _, wantUsed := range []bool{true, false} {
		for n := range flags {
			if room > 0 && fits(n) && (used[n] > 0) == wantUsed {
				chosen[n] = true
				room--
			}
		}
	}
	for n, name := range flags {
		k.at[n] = -1
		switch {
		case chosen[n]:
			k.at[n] = len(k.names)
			k.names = append(k.names, name)
		case used[n] > 0:
			k.lost = append(k.lost, lostKeyword{name, used[n]})
		}
	}
	return k
}

// of returns the names of a record's keywords, in the order of the list.
func (k *keywords) of(bits [4]uint32) (names []string) {
	var at []int
	for n := range k.at {
		if bits[n/32]&(1<<(n%32)) != 0 && k.at[n] >= 0 {
			at = append(at, k.at[n])
		}
	}
	slices.Sort(at)
	for _, i := range at {
		names = append(names, k.names[i])
	}
	return names
}
