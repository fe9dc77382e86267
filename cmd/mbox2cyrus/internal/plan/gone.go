package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/internal/plural"
	"mbox2cyrus/mbox"
)

// AddGone adds the selected users whom earlier runs migrated and of whom no folder was
// found now. They must not be passed over: what they had may be on a file system
// that is not mounted, and nobody would hear of it. Whose folders are all in an archive is
// not added. It returns those whom it added, and those of whom something else was found.
func (p *Plan) AddGone(l *ledger.Ledger, sel Selection) ([]*User, error) {
	logins, err := sel.notRetired(l)
	return p.addGone(l, sel, logins), err
}

// AddRetired is AddGone with those whose folders are all in an archive too: what they have in
// Cyrus can still be compared.
func (p *Plan) AddRetired(l *ledger.Ledger, sel Selection) error {
	logins, err := logins(l, nil)
	p.addGone(l, sel, logins)
	return err
}

func (p *Plan) addGone(l *ledger.Ledger, sel Selection, logins []string) (gone []*User) {
	planned, ids, noMail := map[string]bool{}, map[string]bool{}, map[string]*User{}
	for _, u := range p.Users {
		planned[u.Name], ids[u.ID] = true, true
		if len(u.Folders) == 0 && !u.Failed() && len(u.CutOff) == 0 { // else he is told of
			noMail[u.Name] = u
		}
	}
	for _, login := range logins {
		if u := noMail[login]; u != nil {
			u.Gone = u.onlyHomeMail()
			gone = append(gone, u)
			continue
		}
		if planned[login] || !sel.Has(login) {
			continue
		}
		u := &User{Retired: sel.Retired[login], CutOff: sel.CutOff[login], Gone: true}
		u.Name = login
		// An id that another login has now is that one's: nothing may be done for two at a time.
		if id := cyrusspool.Name(l.NamesOf(login)[0]).User(); !ids[id] {
			u.ID = id
		}
		u.sayRetired()
		gone = append(gone, u)
	}
	for _, u := range gone {
		if noMail[u.Name] == nil {
			p.Users = append(p.Users, u)
		}
	}
	return gone
}

// onlyHomeMail reports whether nothing was found of a user but mailboxes in his home that are not
// converted.
func (u *User) onlyHomeMail() bool {
	return len(u.Folders) == 0 && !slices.ContainsFunc(u.Problems, func(p report.Problem) bool { return p.Kind != string(mbox.SkipHomeMail) })
}

// logins returns those who have a mailbox of a folder in the ledger, but for those of whom
// all are leftOut, which may be nil.
func logins(l *ledger.Ledger, leftOut func(ledger.Mailbox) bool) (all []string, err error) {
	listed := map[ledger.RawName]bool{}
	for name, user := range l.Owners() {
		if listed[user] {
			continue
		}
		rec, _, err := l.Mailbox(name)
		if err != nil {
			return nil, err
		}
		if rec.Folder != "" && (leftOut == nil || !leftOut(rec)) {
			listed[user] = true
			all = append(all, string(user))
		}
	}
	return all, nil
}

// notRetired returns the logins who have a mailbox in the ledger whose folder is not in an
// archive.
func (s Selection) notRetired(l *ledger.Ledger) ([]string, error) {
	moved := map[string]bool{}
	for _, all := range s.Retired {
		for _, r := range all {
			moved[r.Path] = true // also of other logins, who had the same home
		}
	}
	of := map[string]*retiredIndex{}
	for login, all := range s.Retired {
		of[login] = indexRetired(all)
	}
	return logins(l, func(rec ledger.Mailbox) bool {
		i := of[string(rec.User)]
		return moved[string(rec.Source)] || i != nil && i.has(rec)
	})
}

// AcceptKnown lets users be named whom the host does not know, if the ledger in a state
// directory does.
func (s *Selection) AcceptKnown(state string) {
	s.known = func() (_ []string, err error) {
		l, err := ledger.Read(state)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		return logins(l, nil)
	}
}

// leftOut are kinds of what the reader tells of a file or directory that is there, and that it
// takes for no folder, or for none that it may read.
var leftOut = []mbox.SkipKind{mbox.SkipUnreadable, mbox.SkipWrongOwner, mbox.SkipNotFolder, mbox.SkipFormat, mbox.SkipDirectory, mbox.SkipSymlink, mbox.SkipFIFO,
	mbox.SkipSocket, mbox.SkipDevice, mbox.SkipSparse, mbox.SkipTooDeep, mbox.SkipChanged, mbox.SkipLimit}

// LeftOut returns what was told of the path of the folder of a mailbox, or of a directory that it
// was in: the folder may be there still. It is nil if nothing was.
func (u *User) LeftOut(rec ledger.Mailbox) *report.Problem {
	for i, p := range u.Problems {
		if slices.Contains(leftOut, mbox.SkipKind(p.Kind)) && p.Folder != "" && strings.HasPrefix(string(rec.Source)+"/", p.Folder+"/") {
			return &u.Problems[i]
		}
	}
	return nil
}

// WhyGone says what is the matter with the folder of a mailbox of the user's that was not found.
func (u *User) WhyGone(rec ledger.Mailbox) string {
	switch p := u.LeftOut(rec); {
	case p == nil:
		return u.whyGone()
	case p.Kind == string(mbox.SkipUnreadable):
		return fmt.Sprintf("whether its folder is still there cannot be told, as %s was not read", report.Quote(p.Folder))
	default:
		return fmt.Sprintf("what is at %s now is left out (%s)", report.Quote(p.Folder), p.Kind)
	}
}

// SourceGone tells of a mailbox whose folder was not found: what to do where a run was cut off in
// it, else that it was migrated. Then comes what becomes of the mailbox, and, unless the folder may
// be there still, wayOn.
func (u *User) SourceGone(rec ledger.Mailbox, becomes, wayOn string) report.Problem {
	text := u.cutOffAndGone(rec)
	if text == "" {
		text = fmt.Sprintf("%s was migrated, but %s", rec.Name, u.WhyGone(rec)) + becomes
		if u.LeftOut(rec) == nil {
			text += wayOn
		}
	}
	return report.Problem{Severity: report.Attention, User: u.Name, Folder: string(rec.Folder), Mailbox: rec.Name, Offset: -1, Kind: "source-gone", Text: text}
}

// cutOffAndGone says what to do with a mailbox whose folder was not found and in which a run was
// cut off; "" of another, which was migrated.
func (u *User) cutOffAndGone(rec ledger.Mailbox) string {
	switch rec.State {
	case ledger.Begun:
		return fmt.Sprintf("a run was cut off while it wrote %s, and %s: what Cyrus has of it is not what the folder had; put the folder back and run migrate again, or undo it", rec.Name, u.WhyGone(rec))
	case ledger.Undoing:
		return fmt.Sprintf("an undo was cut off at %s, and %s; run undo again to end it", rec.Name, u.WhyGone(rec))
	}
	return ""
}

func (u *User) whyGone() string {
	if u.Gone {
		return "no mail of its user is on the UW host now: his files are not there, or not mounted, or he is not in the passwd file, or his uid is below --min-uid"
	}
	return "its folder is no longer there"
}

// SayGone adds a problem to a user of whom no folder is left, for those who do not look at each
// mailbox.
func (u *User) SayGone(l *ledger.Ledger) {
	boxes := l.NamesOf(u.Name)
	what := boxes[0] + " was migrated"
	if n := len(boxes) - 1; n > 0 {
		what = fmt.Sprintf("%s and %s were migrated", boxes[0], plural.Count(n, "other"))
	}
	why := "none of his folders is there now"
	if u.Gone {
		why = u.whyGone()
	}
	u.Problems = append(u.Problems, report.Problem{Severity: report.Attention, User: u.Name, Offset: -1, Kind: "source-gone",
		Text: what + ", but " + why})
}
