package plan

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/renameio/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// HelpDesk gathers what changes for each user, for those who will be asked about
// it. It is safe for use by many goroutines. A nil HelpDesk gathers nothing.
type HelpDesk struct {
	rules cyrusspool.NameRules

	host map[string][]report.Problem // of the host, by the user whom they concern

	mu       sync.Mutex
	affected []*affected
	others   int // users for whom nothing changes
}

// NewHelpDesk returns an empty list for a plan, which was made with those rules.
func NewHelpDesk(p *Plan, rules cyrusspool.NameRules) *HelpDesk {
	d := &HelpDesk{rules: rules, host: map[string][]report.Problem{}}
	for _, pr := range p.Problems {
		if pr.User != "" { // a lock file that may be his mail, say
			d.host[pr.User] = append(d.host[pr.User], pr)
		}
	}
	return d
}

// affected is what changes for one user.
type affected struct {
	user    string
	changes []change

	desk *HelpDesk
	look map[lookKey]int64 // problems that a person must look at

	// Of the inbox: messages, and those that qpopper has marked, which no other
	// program did: this user reads mail by POP3.
	inbox, popped int64
}

// lookKey puts problems that are alike together.
type lookKey struct{ folder, kind, text string }

// change is one thing that changes: what is login, folder, look or pop3.
type change struct {
	what     string
	old, new string // names; raw
	text     string // in plain words, without names
}

// maxLooks bounds how many different problems of a user are kept.
const maxLooks = 50

// user begins the list of one user with what the plan says of him.
func (d *HelpDesk) user(u *User) *affected {
	if d == nil {
		return nil
	}
	a := &affected{user: u.Name, desk: d, look: map[lookKey]int64{}}
	for _, p := range slices.Concat(d.host[u.Name], u.Problems) {
		a.problem(p)
	}
	if u.ID != "" && u.ID != u.Name && !strings.EqualFold(u.ID, u.Name) && !u.Failed() {
		a.changes = append(a.changes, change{"login", u.Name, u.ID, "logs in by another name"})
	}
	for _, f := range u.Folders {
		if name, text := f.Renamed(d.rules); text != "" {
			a.changes = append(a.changes, change{"folder", f.File.Name, name, text})
		}
	}
	return a
}

// Renamed returns the name that users will see, and why it is another one, in plain
// words; "" if it is not.
func (f Folder) Renamed(rules cyrusspool.NameRules) (name, why string) {
	same := func(c cyrusspool.Change) bool {
		return c.Warning() || c.Kind == cyrusspool.KindEncodedUTF8 || c.Kind == cyrusspool.KindAmpersand
	}
	if !f.Chosen && !slices.ContainsFunc(f.Changes, func(c cyrusspool.Change) bool { return !same(c) }) {
		return "", ""
	}
	return rules.Text(f.Mailbox), f.why()
}

// problem takes what may concern the user. Changes of names are told otherwise.
func (a *affected) problem(p report.Problem) {
	if a == nil || p.Severity == report.Note || strings.HasPrefix(p.Kind, "name-") || strings.HasPrefix(p.Kind, "user-") && p.Severity != report.Failure {
		return
	}
	key := lookKey{p.Folder, p.Kind, p.Text}
	for k := range a.look {
		if k.folder == key.folder && k.kind == key.kind {
			key.text = k.text // the first one stands for all
		}
	}
	if _, known := a.look[key]; !known && len(a.look) >= maxLooks {
		key = lookKey{text: "more in other folders"}
	}
	a.look[key] += max(1, p.Count)
}

// message takes a message of the user's inbox.
func (a *affected) message(f Folder, m *mbox.Message) {
	if a == nil || !f.File.Inbox {
		return
	}
	a.inbox++
	if hasField(m.Header(), "X-UIDL") {
		a.popped++
	}
}

// hasField reports whether a raw header has a field of that name.
func hasField(header []byte, name string) bool {
	for line := range bytes.Lines(header) {
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			return true
		}
	}
	return false
}

// done closes the list of the user.
func (a *affected) done() {
	if a == nil {
		return
	}
	for k, n := range a.look {
		text := k.text
		if n > 1 {
			text = fmt.Sprintf("%s (%d places)", text, n)
		}
		a.changes = append(a.changes, change{what: "look", old: k.folder, text: text})
	}
	if a.popped > 0 {
		a.changes = append(a.changes, change{what: "pop3", text: fmt.Sprintf(
			"reads mail by POP3: a client that leaves mail on the server will fetch the %d messages of the inbox again", a.inbox)})
	}
	rank := []string{"login", "folder", "look", "pop3"}
	slices.SortStableFunc(a.changes, func(x, y change) int {
		return cmp.Or(slices.Index(rank, x.what)-slices.Index(rank, y.what), cmp.Compare(x.old, y.old), cmp.Compare(x.text, y.text))
	})
	a.desk.mu.Lock()
	defer a.desk.mu.Unlock()
	if len(a.changes) == 0 {
		a.desk.others++
		return
	}
	a.desk.affected = append(a.desk.affected, a)
}

// WriteFile writes the list: as CSV if path ends in .csv, else as text.
func (d *HelpDesk) WriteFile(path string) error {
	slices.SortFunc(d.affected, func(a, b *affected) int { return cmp.Compare(a.user, b.user) })
	write := d.text
	if strings.HasSuffix(strings.ToLower(path), ".csv") {
		write = d.csv
	}
	b, err := write()
	if err == nil {
		err = renameio.WriteFile(path, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("help desk list: %w", err)
	}
	return nil
}

func (d *HelpDesk) csv() ([]byte, error) {
	table := [][]string{{"user", "what", "old", "new", "text"}}
	for _, a := range d.affected {
		for _, c := range a.changes {
			// The texts too may hold names that users chose.
			table = append(table, []string{Escape(a.user), c.what, Escape(c.old), Escape(c.new), Escape(c.text)})
		}
	}
	return tableCSV(table)
}

func (d *HelpDesk) text() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "What changes for users. It concerns %d of them; for %d nothing changes.\n", len(d.affected), d.others)
	for _, a := range d.affected {
		fmt.Fprintf(&b, "\n%s\n", report.Quote(a.user))
		for _, c := range a.changes {
			switch c.what {
			case "login":
				fmt.Fprintf(&b, "  Logs in as %s instead of %s.\n", report.Quote(c.new), report.Quote(c.old))
			case "folder":
				fmt.Fprintf(&b, "  The folder %s is now called %s: %s.\n", report.Quote(c.old), report.Quote(c.new), c.text)
			case "look":
				where := ""
				if c.old != "" {
					where = " in " + report.Quote(c.old)
				}
				fmt.Fprintf(&b, "  Mail needs a look%s: %s.\n", where, report.Printable(c.text))
			case "pop3":
				fmt.Fprintf(&b, "  The user %s.\n", c.text)
			}
		}
	}
	return b.Bytes(), nil
}
