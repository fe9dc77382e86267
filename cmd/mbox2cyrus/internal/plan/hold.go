package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
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
	before, err := u.broughtFrom(l, boxes)
	if err != nil {
		u.fail("user-failed", err.Error())
		return nil
	}
	for _, f := range u.Folders {
		for _, place := range PlacesOf(f.File) {
			if was, ok := before[place]; ok && was != f.Mailbox {
				u.fail("name-changed", fmt.Sprintf("%s became mailbox %s in an earlier run and would become %s now; %s",
					report.Quote(place), was, f.Mailbox, u.whatKeepsName(was, f)))
				return nil
			}
		}
	}
	return nil
}

// broughtFrom returns the mailboxes that passes brought, by the paths of their files: of an INBOX
// of several places that of the first, and those that are folders in the plan now.
func (u *User) broughtFrom(l *ledger.Ledger, boxes []ledger.Mailbox) (map[string]cyrusspool.Name, error) {
	before := map[string]cyrusspool.Name{}
	var joined []ledger.Mailbox
	for _, m := range boxes {
		// In one that was begun and never finished nothing may have come. A later pass that was
		// cut off has left what those before it brought.
		if m.Source == "" || m.State == ledger.Begun && m.Previous == "" {
			continue
		}
		before[string(m.Source)] = cyrusspool.Name(m.Name)
		if m.Name == string(cyrusspool.InboxName(u.ID)) && m.SourceID != nil && m.SourceID.Digest != "" {
			joined = append(joined, m)
		}
	}
	unknown := map[string]bool{}
	for _, f := range u.Folders {
		if _, known := before[f.File.Path]; !known && !f.File.Inbox {
			unknown[f.File.Path] = true
		}
	}
	for _, m := range joined {
		if len(unknown) == 0 {
			break
		}
		manifest := m.Manifest
		if m.State == ledger.Begun {
			manifest = m.Previous
		}
		if err := l.EachMessage(manifest, func(msg ledger.Message) error {
			for at := msg.File; strings.Contains(at, "/"); at = path.Dir(at) { // it may be a file in a directory
				if unknown[at] {
					before[at] = cyrusspool.Name(m.Name)
				}
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return before, nil
}

// whatKeepsName says what lets a folder keep the name that it had.
func (u *User) whatKeepsName(was cyrusspool.Name, f Folder) string {
	inbox := cyrusspool.InboxName(u.ID)
	if cyrusspool.InboxName(was.User()) != inbox {
		return "give the same --domain as then, and in imapd.conf the same unixhierarchysep and username_tolower, or undo this user first (undo --user)"
	}
	if was == inbox || f.Mailbox == inbox {
		return "give the same --inbox-dir, --inbox-template, --inbox-extra and --mail-dir as then, or undo this user first (undo --user)"
	}
	then := "give the same --names and --filename-charset as then, and in imapd.conf the same unixhierarchysep, or choose its name by --names"
	if renumbered(was, f.Mailbox) {
		then = "a folder whose name becomes the same came or went since, or --names is missing: by --names let this folder keep the name that it had, and give a new one another"
	}
	if slices.ContainsFunc(f.Changes, func(c cyrusspool.Change) bool { return c.Kind == cyrusspool.KindReserved }) {
		// Neither would help where a prefix of imapd.conf is that name.
		then += "; if imapd.conf's userprefix, sharedprefix or altprefix is its name, change that setting, or undo this user first (undo --user)"
	}
	return then
}

// PlacesOf are the paths of a folder, below the source root: of an INBOX there may be several.
func PlacesOf(f mbox.File) (paths []string) {
	for _, part := range f.Parts {
		paths = append(paths, part.Path)
	}
	if paths == nil {
		paths = []string{f.Path}
	}
	return paths
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
