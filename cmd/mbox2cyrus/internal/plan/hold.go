package plan

import (
	"fmt"
	"slices"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
)

// HoldTo compares the plan with what earlier runs did, and fails users with whom it does not
// agree: nothing of them may be touched.
func (p *Plan) HoldTo(l *ledger.Ledger) error {
	p.holdToOwners(l)
	for _, u := range p.Users {
		if err := u.holdToNames(l); err != nil {
			return err
		}
	}
	return nil
}

// holdToOwners fails users who would become a Cyrus user of whom mailboxes are another login's
// by the ledger, whether that one is still on the host or not: two people's mail must never be
// mixed, and neither may take the place of the other's.
func (p *Plan) holdToOwners(l *ledger.Ledger) {
	logins := map[string][]string{} // by Cyrus user
	for name, user := range l.Owners() {
		id, login := cyrusspool.Name(name).User(), string(user)
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

// holdToNames fails a user of whom a folder would now become another mailbox than before: the
// mail would be in Cyrus twice.
func (u *User) holdToNames(l *ledger.Ledger) error {
	boxes, err := l.MailboxesOf(u.Name)
	if err != nil {
		return err
	}
	before := map[string]string{}
	for _, m := range boxes {
		// In one that was begun and never finished nothing may have come. A later pass that was
		// cut off has left what those before it brought.
		if m.Source != "" && (m.State != ledger.Begun || m.Previous != "") {
			before[string(m.Source)] = m.Name
		}
	}
	for _, f := range u.Folders {
		was, ok := before[f.File.Path]
		if ok && was != string(f.Mailbox) {
			then := "give the same --names, --filename-charset and --domain as then, or choose its name by --names"
			if renumbered(cyrusspool.Name(was), f.Mailbox) {
				then = "a folder whose name becomes the same came or went since, or --names is missing: by --names let this folder keep the name that it had, and give a new one another"
			}
			if slices.ContainsFunc(f.Changes, func(c cyrusspool.Change) bool { return c.Kind == cyrusspool.KindReserved }) {
				// Neither would help where a prefix of imapd.conf is that name.
				then += "; if imapd.conf's userprefix, sharedprefix or altprefix is its name, change that setting, or undo this user first (undo --user)"
			}
			u.fail("name-changed", fmt.Sprintf("%s became mailbox %s in an earlier run and would become %s now; %s",
				report.Quote(f.File.Path), was, f.Mailbox, then))
			break
		}
	}
	return nil
}

// renumbered reports whether two names may differ only in the numbers behind those that would be
// the same.
func renumbered(a, b cyrusspool.Name) bool {
	bare := func(n cyrusspool.Name) []string {
		components := n.Folder()
		for i, c := range components {
			components[i] = strings.TrimSuffix(strings.TrimRight(c, "0123456789"), "-")
		}
		return components
	}
	return a.User() == b.User() && slices.Equal(bare(a), bare(b))
}
