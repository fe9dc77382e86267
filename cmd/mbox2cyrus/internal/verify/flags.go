package verify

import (
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// flags pairs the system flags of UW, of the ledger and of Cyrus.
var flags = [...]struct {
	uw     mbox.Flags
	ledger ledger.Flags
	cyrus  uint32
}{
	{mbox.Seen, ledger.Seen, cyrusspool.FlagSeen},
	{mbox.Answered, ledger.Answered, cyrusspool.FlagAnswered},
	{mbox.Flagged, ledger.Flagged, cyrusspool.FlagFlagged},
	{mbox.Deleted, ledger.Deleted, cyrusspool.FlagDeleted},
	{mbox.Draft, ledger.Draft, cyrusspool.FlagDraft},
}

// LedgerFlags are UW's flags as the ledger has them.
func LedgerFlags(f mbox.Flags) (out ledger.Flags) {
	for _, p := range flags {
		if f&p.uw != 0 {
			out |= p.ledger
		}
	}
	return out
}

// SystemFlags are the ledger's flags as a Cyrus index record has them.
func SystemFlags(f ledger.Flags) (out uint32) {
	for _, p := range flags {
		if f&p.ledger != 0 {
			out |= p.cyrus
		}
	}
	return out
}

func ledgerFlagsOf(system uint32) (out ledger.Flags) {
	for _, p := range flags {
		if system&p.cyrus != 0 {
			out |= p.ledger
		}
	}
	return out
}
