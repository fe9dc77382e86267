package plan

import (
	"fmt"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
)

// HoldTo compares the plan with what earlier runs did, and fails users with whom it does not
// agree: nothing of them may be touched.
func (p *Plan) HoldTo(l *ledger.Ledger) {
	boxes := l.Mailboxes()
	p.holdToOwners(boxes)
	p.holdToNames(boxes)
}

// holdToOwners fails users who would become a Cyrus user of whom mailboxes are another login's
// by the ledger, whether that one is still on the host or not: two people's mail must never be
// mixed, and neither may take the place of the other's.
func (p *Plan) holdToOwners(boxes []ledger.Mailbox) {
	logins := map[string][]string{} // by Cyrus user
	for _, m := range boxes {
		id, login := cyrusspool.Name(m.Name).User(), string(m.User)
		if of := logins[id]; len(of) == 0 || of[len(of)-1] != login {
			logins[id] = append(of, login)
		}
	}
	for _, u := range p.Users {
		for _, login := range logins[u.ID] {
			if login != u.Name && !u.Failed() && len(u.Folders) > 0 {
				u.fail("user-collision", fmt.Sprintf("would become Cyrus user %s, whose mailboxes are %s's by the ledger; rename this user on the UW host, or, if they are to be his now, undo %s first (undo --user)",
					report.Quote(u.ID), report.Quote(login), report.Quote(login)))
			}
		}
	}
}

// holdToNames fails users of whom a folder would now become another mailbox than before: the
// mail would be in Cyrus twice.
func (p *Plan) holdToNames(boxes []ledger.Mailbox) {
	type source struct{ user, path string }
	before := map[source]string{}
	for _, m := range boxes {
		if m.Source != "" && m.State != ledger.Begun {
			before[source{string(m.User), string(m.Source)}] = m.Name
		}
	}
	for _, u := range p.Users {
		for _, f := range u.Folders {
			was, ok := before[source{u.Name, f.File.Path}]
			if ok && was != string(f.Mailbox) {
				then := "give the same --names, --filename-charset and --domain as then, or choose its name by --names"
				if slices.ContainsFunc(f.Changes, func(c cyrusspool.Change) bool { return c.Kind == cyrusspool.KindReserved }) {
					// Neither would help where a prefix of imapd.conf is that name.
					then += "; if imapd.conf's userprefix, sharedprefix or altprefix is its name, change that setting, or undo this user first (undo --user)"
				}
				u.fail("name-changed", fmt.Sprintf("%s became mailbox %s in an earlier run and would become %s now; %s",
					report.Quote(f.File.Path), was, f.Mailbox, then))
				break
			}
		}
	}
}
