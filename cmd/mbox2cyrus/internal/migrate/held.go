package migrate

import (
	"cmp"
	"context"
	"errors"

	"mbox2cyrus/cmd/mbox2cyrus/internal/held"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
)

// holder keeps what a folder has for no message.
type holder struct {
	*held.Writer
	messages int64
}

func (e *Engine) holder(u *plan.User, m *mailbox) *holder {
	f := held.Folder{UniqueID: m.rec.UniqueID, User: u.Name, Name: m.folderName()}
	if m.folder != nil {
		f.Source = m.folder.File.Path
	}
	return &holder{Writer: held.NewWriter(e.Ledger.HeldDir(), f)}
}

// hold is a source.Hold.
func (h *holder) hold(a source.Aside) (err error) {
	it := held.Item{File: ledger.RawName(a.File), Offset: a.Offset, Length: a.Length, Reason: cmp.Or(string(a.Kind), held.TooLarge), Text: a.Text}
	if a.Message {
		h.messages++
	}
	if a.Open == nil {
		return h.Hold(it, nil)
	}
	r, err := a.Open()
	if err != nil {
		return err
	}
	return errors.Join(h.Hold(it, r), r.Close())
}

// commit makes durable what is held, and returns how much it is; nil for nothing.
func (h *holder) commit() (*ledger.Held, error) {
	if err := h.Commit(); err != nil {
		return nil, err
	}
	items, bytes := h.Count()
	if items == 0 {
		return nil, nil
	}
	size, sha1 := h.Mbox()
	return &ledger.Held{Items: items, Bytes: bytes, Messages: h.messages, MboxSize: size, MboxSHA1: sha1}, nil
}

// heldOf is how much of the mailbox's folder is held.
func (m *mailbox) heldOf() ledger.Held {
	if m.rec.Held == nil {
		return ledger.Held{}
	}
	return *m.rec.Held
}

// reportHeld tells what of the mailbox's folder is held, be it by an earlier run.
func (e *Engine) reportHeld(m *mailbox) { e.reportHeldOf(m.rec, m.folderName()) }

// reportHeldBefore tells what an earlier run held of the folder of a mailbox that this run leaves
// as it is: it waits for a person all the same.
func (e *Engine) reportHeldBefore(name string) {
	rec, ok, err := e.Ledger.Mailbox(name)
	switch {
	case err != nil:
		e.Report.Problem(report.Problem{Severity: report.Failure, Offset: -1, Kind: "held-lost", Text: err.Error()})
	case ok && (rec.State == ledger.Filled || rec.State == ledger.Verified): // else what is held is not complete, or goes
		e.reportHeldOf(rec, string(rec.Folder))
	}
}

func (e *Engine) reportHeldOf(rec ledger.Mailbox, folder string) {
	err := verify.Held(context.Background(), e.Ledger, rec, false, e.Report.Problem) // which waits for nothing
	if err != nil {
		e.Report.Problem(report.Problem{Severity: report.Failure, User: string(rec.User), Folder: folder, Offset: -1, Kind: "held-lost", Text: err.Error()})
	}
}
