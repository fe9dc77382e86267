package plan

import (
	"fmt"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// skippedProblem tells of a file that does not become mail. A person must look
// where it may hold some.
func skippedProblem(s mbox.Skipped) report.Problem {
	p := report.Problem{Severity: report.Note, User: s.User, Folder: s.Path, Offset: -1, Kind: string(s.Kind), Text: s.Text}
	if s.MayHoldMail {
		p.Severity = report.Attention
	}
	if s.Kind == mbox.SkipSubscription {
		p.Folder = s.Subscription
	}
	return p
}

func userChange(login string, c cyrusspool.Change) report.Problem {
	p := report.Problem{Severity: report.Attention, User: login, Offset: -1, Kind: string(c.Kind),
		Text: fmt.Sprintf("user %[1]s becomes %[2]s in Cyrus and must log in so; his mail must go there too (an alias %[1]s: %[2]s), or it bounces", report.Quote(c.Old), report.Quote(c.New))}
	if c.Kind == cyrusspool.KindUserDot {
		p.Text += "; before the first pass, unixhierarchysep: yes in imapd.conf spares him both"
	}
	if c.Kind == cyrusspool.KindUserCase {
		// Cyrus lower-cases what is typed at login, so nobody notices.
		p.Severity, p.Text = report.Note, fmt.Sprintf("user %s is %s in Cyrus, which takes both at login", report.Quote(c.Old), report.Quote(c.New))
	}
	return p
}

// maxWithoutTold is how many users without mail are told by name.
const maxWithoutTold = 20

// SayWithoutMailbox tells of users who have no mail, and so get no mailbox, unless Cyrus has their
// INBOX already. UW's host would have made them one when their first mail came.
func (p *Plan) SayWithoutMailbox(has func(cyrusspool.Name) bool) {
	var names []string
	count := 0
	for _, u := range p.without {
		if u.id != "" && has(cyrusspool.InboxName(u.id)) {
			continue
		}
		if count++; count <= maxWithoutTold {
			names = append(names, report.Quote(u.login))
		}
	}
	p.without = nil
	if count == 0 {
		return
	}
	list := strings.Join(names, " ")
	if more := count - len(names); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	p.Problems = append(p.Problems, report.Problem{Severity: report.Note, Offset: -1, Kind: "no-mailbox", Count: int64(count),
		Text: fmt.Sprintf("users of whom no mail is brought get no mailbox: %s; Cyrus refuses mail for them until they have one (docs/runbook.md)", list)})
}

// adminProblem tells of a user who is one of Cyrus's administrators: altnamespace is not for
// them, and LIST gives them everybody's mailboxes but their own (seen with 3.6.1).
func adminProblem(login, id string) report.Problem {
	return report.Problem{Severity: report.Attention, User: login, Offset: -1, Kind: "user-admin",
		Text: fmt.Sprintf("%s is one of Cyrus's administrators (admins in imapd.conf): he sees everybody's mailboxes in place of his own, and may delete them; take him out of admins, or leave his mail out with --exclude-user", report.Quote(id))}
}

// folderChange tells of a changed name. A person must look only where two
// names fell together or a name was cut: the rest follows from Cyrus's rules.
func folderChange(login string, m cyrusspool.Mapping, c cyrusspool.Change) report.Problem {
	p := report.Problem{Severity: report.Note, User: login, Folder: m.From, Offset: -1, Kind: "name-" + string(c.Kind)}
	switch {
	case c.Warning():
		p.Text = fmt.Sprintf("%s: %s", report.Quote(c.Old), whyChanged[c.Kind])
	default:
		p.Text = fmt.Sprintf("%s becomes %s (mailbox %s): %s", report.Quote(c.Old), report.Quote(c.New), m.To, whyChanged[c.Kind])
	}
	if c.Kind == cyrusspool.KindCollision || c.Kind == cyrusspool.KindLong {
		p.Severity = report.Attention
		p.Text += "; before the first pass --names can choose another"
	}
	return p
}

// firstPersonUID is where the uids of people begin on Debian and later systems, whose accounts for
// programs are then below it; on older hosts people may be there too.
const firstPersonUID = 1000

// mayBePerson reports whether a user who has no mail may be somebody who will get some.
func mayBePerson(u mbox.User) bool {
	return u.Home != "/" && !(u.UID < firstPersonUID && u.HasSystemHome())
}
