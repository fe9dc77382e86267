package migrate

import (
	"fmt"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/pop3"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
)

// reportPOP3 tells what POP3 clients meet in an INBOX that this run brought.
func (e *Engine) reportPOP3(u *plan.User, m *mailbox) {
	if len(cyrusspool.Name(m.rec.Name).Folder()) > 0 || m.todo != fill && m.todo != enter || m.rec.Manifest == "" {
		return
	}
	inbox, err := e.countPOP3(m)
	if err != nil {
		e.Report.Problem(report.Problem{Severity: report.Attention, User: u.Name, Folder: m.folderName(), Mailbox: m.rec.Name, Offset: -1, Kind: "pop3",
			Text: fmt.Sprintf("cannot say what POP3 clients fetch again: %v", err)})
		return
	}
	was := m.rec.UIDValid
	if m.rec.NewUIDVald {
		was = 0
	}
	v := inbox.Verdict(pop3.Format(e.Cyrus.UIDLFormat()), was, m.rec.UIDValid, m.rec.Assigned)
	e.Report.POP3(report.POP3{User: u.Name, Mailbox: m.rec.Name, Format: string(v.Format), UW: v.UW, Cyrus: v.Cyrus,
		Messages: inbox.Messages, Bytes: inbox.Bytes, Again: v.Again, AgainBytes: v.AgainBytes, Hidden: inbox.Hidden})
}

// countPOP3 counts by the manifest, which has the messages of the source.
func (e *Engine) countPOP3(m *mailbox) (inbox pop3.Inbox, err error) {
	err = e.Ledger.EachMessage(m.rec.Manifest, func(msg ledger.Message) error {
		inbox.Add(msg.UID, msg.Flags&ledger.Deleted != 0, msg.Flags&ledger.Seen != 0, msg.Size)
		return nil
	})
	return inbox, err
}
