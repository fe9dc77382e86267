package verify

import (
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// What a keyword has instead of a number of a flag in cyrus.header.
const (
	flagMissing = -1 // the header must have its flag
	flagNone    = -2 // the ledger has no name for it: the mailbox could hold no more
)

// Keywords are, for each keyword of a mailbox in the ledger, the number of its flag in
// cyrus.header.
type Keywords []int

// KeywordsOf finds the keywords of a mailbox among the flags of its header.
func KeywordsOf(rec ledger.Mailbox, flags []string) Keywords {
	at := make(Keywords, len(rec.Keywords))
	for i, name := range rec.Keywords {
		if name == "" {
			at[i] = flagNone
		} else {
			at[i] = slices.Index(flags, name) // or flagMissing
		}
	}
	return at
}

// UserFlags are the flags of a record in the index whose message has the keywords of a
// manifest; ok is false if the header does not have one of them.
func (at Keywords) UserFlags(bits uint64) (flags [4]uint32, ok bool) {
	for i := range 64 {
		if bits&(1<<i) == 0 {
			continue
		}
		if i >= len(at) || at[i] == flagMissing {
			return flags, false
		}
		if at[i] == flagNone {
			continue
		}
		flags[at[i]/32] |= 1 << (at[i] % 32)
	}
	return flags, true
}
