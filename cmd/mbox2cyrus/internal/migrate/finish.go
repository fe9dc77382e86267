package migrate

import (
	"context"
	"fmt"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/undo"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// settle makes filled mailboxes durable, and then their state.
func (e *Engine) settle(_ context.Context, batch []*job) error {
	dirs := []string{e.Ledger.ManifestDir()}
	var filled []ledger.Mailbox
	for _, j := range batch {
		var boxes []ledger.Mailbox
		for _, m := range j.boxes {
			if m.todo == fill {
				m.rec.State, m.rec.IndexID = ledger.Filled, nil
				boxes = append(boxes, m.rec)
				dirs = append(dirs, e.place(m).Dirs()...)
			}
		}
		boxes, err := e.aboutToChange(j, boxes)
		if err != nil {
			return err
		}
		filled = append(filled, boxes...)
	}
	e.back.settled()
	if err := e.disks.Sync(dirs...); err != nil {
		return err
	}
	return e.Ledger.Set(filled...)
}

// complete makes Cyrus know the mailboxes, lets it rebuild what derives from
// the messages, and compares its index with the manifests. Each step is durable
// before the next one relies on it, and each can be repeated.
func (e *Engine) complete(ctx context.Context, batch []*job) error {
	if err := e.settle(ctx, batch); err != nil {
		return err
	}
	var entries []reconstruct.Entry
	byUser := map[string][]reconstruct.Entry{}
	for _, j := range batch {
		for _, m := range j.work() {
			m.entry.UIDValidity = m.rec.UIDValid
			entries = append(entries, m.entry)
			byUser[j.user.ID] = append(byUser[j.user.ID], m.entry)
		}
	}
	// A Cyrus program that is killed half-way leaves more to put right than
	// one that is let finish: a stop waits for it.
	stop := ctx
	ctx = context.WithoutCancel(ctx)
	subscriptions, err := e.Cyrus.Enter(ctx, entries)
	if err != nil {
		return err
	}
	rep, err := e.Cyrus.Reconstruct(ctx, byUser)
	if err != nil && len(batch) > 1 { // each is tried alone then, and who is visited is known
		rep.Complaints = slices.DeleteFunc(rep.Complaints, func(c reconstruct.Complaint) bool { return c.Kind == reconstruct.KindUnvisited })
	}
	e.complaints(batch, rep)
	if err != nil {
		return err
	}
	e.surround(ctx, stop, batch)
	if err := e.announce(batch, subscriptions); err != nil {
		return err
	}
	var proved []ledger.Mailbox
	var old []string // manifests
	for _, j := range batch {
		err := e.giveSeen(ctx, j)
		var boxes []ledger.Mailbox
		var replaced []string
		if err == nil {
			boxes, replaced, err = e.prove(j, subscriptions[j.user.ID])
		}
		if err != nil {
			e.fail(j.user, err)
			continue
		}
		proved, old = append(proved, boxes...), append(old, replaced...)
	}
	if len(proved) == 0 {
		return nil
	}
	if err := e.Ledger.Set(proved...); err != nil {
		return err
	}
	for _, name := range old {
		if err := e.Ledger.RemoveManifest(name); err != nil {
			return err
		}
	}
	return nil
}

// prove compares what Cyrus's index now says of a user's mailboxes with the
// manifests, and gives him his subscriptions. It returns what is to be recorded, and
// manifests, which may be there, that nothing refers to when it is.
func (e *Engine) prove(j *job, subscriptions string) (proved []ledger.Mailbox, old []string, err error) {
	seen, err := e.Cyrus.Seen(j.user.ID)
	if err != nil {
		return nil, nil, err
	}
	unthreaded := int64(0)
	for _, m := range j.work() {
		res, err := verify.Index(e.Ledger, m.rec, e.place(m), seen)
		if err != nil {
			return nil, nil, err
		}
		unthreaded += res.Unthreaded
		m.verified = res.Verified
		for _, p := range res.Problems {
			e.Report.Problem(p)
		}
		m.rec.IndexID = &res.IndexID // as it was left, for undo, even if it is not what it must be
		if res.Newer {
			m.rec.IndexID = &ledger.FileID{} // that of none: what came in to Cyrus must not go for ours
		}
		// What a user removed in Cyrus is told, but it is done.
		if !slices.ContainsFunc(res.Problems, func(p report.Problem) bool { return p.Severity >= report.Failure }) {
			m.rec.State, m.rec.Previous, m.rec.Mixed = ledger.Verified, "", false
			old = append(old, m.rec.OtherManifest(m.rec.Manifest))
		}
		proved = append(proved, m.rec)
	}
	if unthreaded > 0 && e.Cyrus.Conversations() {
		e.undone(j.user, "conversations", fmt.Errorf("%d of his messages are in no conversation afterwards: his conversations database may be damaged, or Cyrus may not open it", unthreaded),
			"ctl_conversationsdb -b "+j.user.ID)
	}
	// Before the mailboxes are recorded as done: a run that is cut off here does it again.
	if err := e.subscribe(j.user, subscriptions); err != nil {
		return nil, nil, err
	}
	proved, err = e.leaveUser(j, proved)
	return proved, old, err
}

// leaveUser records what the files beside a user's mailboxes are now, and returns boxes with
// that.
func (e *Engine) leaveUser(j *job, boxes []ledger.Mailbox) ([]ledger.Mailbox, error) {
	return e.withUserFiles(j, boxes, func(rec *ledger.Mailbox) (bool, error) { return true, undo.Leave(e.Cyrus, rec) })
}

// aboutToChange records that Cyrus will change files beside a user's mailboxes, and returns
// boxes with that.
func (e *Engine) aboutToChange(j *job, boxes []ledger.Mailbox) ([]ledger.Mailbox, error) {
	return e.withUserFiles(j, boxes, func(rec *ledger.Mailbox) (bool, error) { return undo.AboutToChange(e.Cyrus, rec, !e.Running) })
}

// withUserFiles changes what a record says of the files beside a user's mailboxes, and
// returns boxes, which are to be recorded, with that. A record that is not among them yet
// comes first: if the ledger gets only the first of what it is given, none is done without it.
func (e *Engine) withUserFiles(j *job, boxes []ledger.Mailbox, change func(*ledger.Mailbox) (bool, error)) ([]ledger.Mailbox, error) {
	var first []ledger.Mailbox
	known, err := e.Ledger.MailboxesOf(j.user.Name)
	if err != nil {
		return nil, err
	}
	for _, rec := range known {
		if len(rec.UserFiles) == 0 {
			continue
		}
		i := slices.IndexFunc(boxes, func(box ledger.Mailbox) bool { return box.Name == rec.Name })
		if i >= 0 {
			rec = boxes[i]
		}
		changed, err := change(&rec)
		if err != nil {
			return nil, err
		}
		if i >= 0 {
			boxes[i] = rec
		} else if changed {
			first = append(first, rec)
		}
		for _, m := range j.boxes {
			if m.rec.Name == rec.Name {
				m.rec.UserFiles = rec.UserFiles
			}
		}
	}
	return append(first, boxes...), nil
}

// complaints turns what reconstruct said beyond the ordinary into problems of
// the user whose mailbox it names.
func (e *Engine) complaints(batch []*job, rep reconstruct.Report) {
	owner := map[string]string{} // of a mailbox, by both spellings of its name
	for _, j := range batch {
		owner[j.user.ID] = j.user.Name
		for _, m := range j.boxes {
			name := cyrusspool.Name(m.rec.Name)
			owner[m.rec.Name], owner[name.External(e.Cyrus.Rules.Separator())] = j.user.Name, j.user.Name
		}
	}
	for _, c := range rep.Complaints {
		e.Report.Problem(report.Problem{Severity: report.Attention, User: owner[c.Mailbox], Offset: -1,
			Kind: "reconstruct-complaint", Text: fmt.Sprintf("reconstruct said: %s", c)})
	}
}

func (e *Engine) report(j *job) {
	for _, m := range j.boxes {
		if m.todo == leave {
			if m.folder != nil {
				e.Report.Left()
				e.reportHeldBefore(m.rec.Name)
			}
			continue
		}
		e.reportHeld(m)
		held := m.heldOf()
		shown, why := "", ""
		if m.folder != nil {
			shown, why = m.folder.Renamed(e.Cyrus.Rules)
		}
		e.Report.Folder(report.Folder{
			Read: m.todo == fill, ShownAs: shown, RenamedWhy: why,
			User: j.user.Name, Folder: m.folderName(), Mailbox: m.rec.Name, SpecialUse: m.specialUse(),
			Found: m.rec.Messages + held.Messages, Held: held.Items, HeldBytes: held.Bytes, HeldMail: held.Messages, Written: m.written, Verified: m.verified, Bytes: m.rec.Size, Doubts: m.doubts,
			Unchanged: m.todo == nothing, UIDValidity: m.rec.UIDValid, UIDNext: m.rec.UIDNext,
		})
		e.reportPOP3(j.user, m)
	}
}
