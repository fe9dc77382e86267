package plan

import (
	"fmt"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// HoldTo compares the plan with what earlier runs did. A user of whom a folder would
// now become another mailbox than before is not migrated: his mail would be in
// Cyrus twice.
func (p *Plan) HoldTo(l *ledger.Ledger) {
	type source struct{ user, path string }
	before := map[source]string{}
	for _, m := range l.Mailboxes() {
		if m.Source != "" && m.State != ledger.Begun {
			before[source{string(m.User), string(m.Source)}] = m.Name
		}
	}
	for _, u := range p.Users {
		for _, f := range u.Folders {
			was, ok := before[source{u.Name, f.File.Path}]
			if ok && was != string(f.Mailbox) {
				u.fail("name-changed", fmt.Sprintf("%s became mailbox %s in an earlier run and would become %s now; give the same --names, --filename-charset and --domain as then, or choose its name by --names",
					report.Quote(f.File.Path), was, f.Mailbox))
				break
			}
		}
	}
}
