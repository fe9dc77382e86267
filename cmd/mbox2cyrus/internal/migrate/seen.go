package migrate

import (
	"context"
	"fmt"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cyrusspool"
)

// giveSeen tells a Cyrus that has \Seen in a file of the user (2.1 to 2.3) what
// he has seen of the mailboxes of this run. There is no room for \Recent: nothing
// that was migrated is.
func (e *Engine) giveSeen(ctx context.Context, j *job) error {
	if e.Cyrus.SeenInIndex() {
		return nil
	}
	have, err := e.Cyrus.Seen(j.user.ID)
	if err != nil {
		return err
	}
	states := map[string]cyrusspool.SeenState{}
	for _, m := range j.work() {
		// Of messages that Cyrus had there before, it stays as it is.
		state := cyrusspool.SeenState{LastRead: now().Unix(), LastChange: now().Unix(), LastUID: m.rec.UIDNext - 1,
			Seen: have[m.rec.UniqueID].Seen.Below(m.rec.FirstUID)}
		if err := e.addSeen(&state.Seen, m.rec); err != nil {
			return fmt.Errorf("%s: %w", m.rec.Name, err)
		}
		states[m.rec.UniqueID] = state
	}
	return e.Cyrus.SetSeen(ctx, j.user.ID, states)
}

// addSeen adds the messages of a manifest that were seen.
func (e *Engine) addSeen(seen *cyrusspool.UIDSet, rec ledger.Mailbox) error {
	return e.Ledger.EachMessage(rec.Manifest, func(m ledger.Message) error {
		if m.UID >= rec.FirstUID && m.Flags&ledger.Seen != 0 {
			seen.Add(m.UID)
		}
		return nil
	})
}
