package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// mailbox is one mailbox of the user who is being migrated.
type mailbox struct {
	folder *plan.Folder // nil: only a parent
	entry  reconstruct.Entry
	rec    ledger.Mailbox
	todo   action

	written  int64
	verified int64
	doubts   int
	goMbox   source.Prediction
}

func (m *mailbox) folderName() string {
	if m.folder == nil {
		return ""
	}
	return m.folder.File.Name
}

// action is what a mailbox needs in this run.
type action int

const (
	nothing action = iota // an earlier run finished it and it is as it was left
	fill                  // everything
	enter                 // filled by an earlier run that was cut off: from there on
	leave                 // not to be touched; reported
)

// migrate takes one user all the way. Each step is durable before the next one
// relies on it, and each can be repeated: what a cut-off run left is either
// done again or carried on, by what the ledger says.
func (e *Engine) migrate(ctx context.Context, u *plan.User) error {
	boxes, err := e.triage(u)
	if err != nil {
		return err
	}
	var work []*mailbox // to be entered, rebuilt and verified
	for _, m := range boxes {
		if m.todo == fill || m.todo == enter {
			work = append(work, m)
		}
	}
	if len(work) > 0 {
		if err := e.fillAll(ctx, u, work); err != nil {
			return err
		}
		if err := e.rebuild(ctx, u, work); err != nil {
			return err
		}
	}
	e.report(u, boxes)
	return nil
}

// fillAll writes the directories of mailboxes and makes them durable.
func (e *Engine) fillAll(ctx context.Context, u *plan.User, work []*mailbox) error {
	var begun []ledger.Mailbox
	for _, m := range work {
		if m.todo == fill {
			m.rec.State = ledger.Begun
			begun = append(begun, m.rec)
		}
	}
	if len(begun) == 0 {
		return nil
	}
	if err := e.Ledger.Set(begun...); err != nil {
		return err
	}
	var filled []ledger.Mailbox
	dirs := []string{e.Ledger.ManifestDir()}
	for _, m := range work {
		if m.todo != fill {
			continue
		}
		if err := e.fill(ctx, u, m); err != nil {
			return fmt.Errorf("%s: %w", report.Quote(m.folderName()), err)
		}
		m.rec.State = ledger.Filled
		filled = append(filled, m.rec)
		dirs = append(dirs, e.dir(m))
	}
	if err := cyrusspool.SyncFS(dirs...); err != nil {
		return err
	}
	return e.Ledger.Set(filled...)
}

// rebuild makes Cyrus know the mailboxes, lets it rebuild what derives from the
// messages, and compares its index with the manifests.
func (e *Engine) rebuild(ctx context.Context, u *plan.User, work []*mailbox) error {
	// A Cyrus program that is killed half-way leaves more to put right than
	// one that is let finish: a stop waits for it.
	cctx := context.WithoutCancel(ctx)
	opinion := make(chan error, 1)
	go func() { opinion <- e.secondOpinion(ctx, u, work) }()

	entries := make([]reconstruct.Entry, len(work))
	for i, m := range work {
		m.entry.UIDValidity = m.rec.UIDValid
		entries[i] = m.entry
	}
	subscriptions, err := e.Cyrus.Enter(cctx, entries)
	if err == nil {
		var rep reconstruct.Report
		rep, err = e.Cyrus.Reconstruct(cctx, u.ID, entries)
		e.complaints(u, rep)
	}
	if oerr := <-opinion; err == nil {
		err = oerr
	}
	if err == nil {
		err = e.subscribe(u, subscriptions)
	}
	if err != nil {
		return err
	}
	var recs []ledger.Mailbox
	for _, m := range work {
		res, err := verify.Index(e.Ledger, m.rec, e.dir(m))
		if err != nil {
			return err
		}
		m.verified = res.Verified
		for _, p := range res.Problems {
			e.Report.Problem(p)
		}
		if len(res.Problems) > 0 {
			continue
		}
		m.rec.State, m.rec.IndexID = ledger.Verified, &res.IndexID
		recs = append(recs, m.rec)
	}
	return e.Ledger.Set(recs...)
}

// secondOpinion lets go-mbox, an independent reader, count the folders while
// Cyrus is at work.
func (e *Engine) secondOpinion(ctx context.Context, u *plan.User, work []*mailbox) error {
	for _, m := range work {
		if m.folder == nil || m.todo != fill || m.rec.SourceID == nil {
			continue
		}
		p, err := verify.SecondOpinion(ctx, e.Source.Host, u.User, m.folder.File, m.goMbox)
		if err != nil {
			return err
		}
		if p != nil {
			e.Report.Problem(*p)
		}
	}
	return nil
}

// complaints turns what reconstruct said beyond the ordinary into problems.
func (e *Engine) complaints(u *plan.User, rep reconstruct.Report) {
	for _, c := range rep.Complaints {
		e.Report.Problem(report.Problem{Severity: report.Attention, User: u.Name, Offset: -1,
			Kind: "reconstruct-complaint", Text: fmt.Sprintf("reconstruct said: %s", c.Text)})
	}
}

func (e *Engine) dir(m *mailbox) string {
	return filepath.Join(e.Cyrus.PartitionDir(m.rec.Partition), m.rec.Dir)
}

func (e *Engine) report(u *plan.User, boxes []*mailbox) {
	for _, m := range boxes {
		if m.todo == leave {
			continue
		}
		e.Report.Folder(report.Folder{
			User: u.Name, Folder: m.folderName(), Mailbox: string(m.rec.Name),
			Found: m.rec.Messages, Written: m.written, Verified: m.verified, Bytes: m.rec.Size, Doubts: int64(m.doubts),
			Unchanged: m.todo == nothing, UIDValidity: m.rec.UIDValid, UIDNext: m.rec.UIDNext,
		})
	}
}

// subscribe writes the user's subscriptions to path, when his INBOX has just
// been entered (else path is empty: an earlier run did it). Subscriptions that
// Cyrus has already stay: the user made them there.
func (e *Engine) subscribe(u *plan.User, path string) error {
	if path == "" || len(u.Subscriptions) == 0 {
		return nil
	}
	subs := cyrusspool.Subscriptions{Form: cyrusspool.SubscriptionDBNames, Owner: u.ID, Names: u.Subscriptions}
	if err := subs.WriteFile(e.Cyrus.ConfigDir, path, e.Cyrus.Fresh.Owner); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
