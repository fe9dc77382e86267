package migrate

import (
	"context"
	"fmt"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/undo"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// triage decides what each mailbox of a user needs, from what the ledger, Cyrus
// and the source say now. An error means that nothing of the user may be
// touched.
func (e *Engine) triage(ctx context.Context, u *plan.User) ([]*mailbox, error) {
	var boxes []*mailbox
	add := func(name cyrusspool.Name, folder *plan.Folder) error {
		m, err := e.triageOne(ctx, u, name, folder)
		if err != nil {
			return err
		}
		boxes = append(boxes, m)
		return nil
	}
	for _, parent := range u.Parents {
		if err := add(parent, nil); err != nil {
			return nil, err
		}
	}
	for i := range u.Folders {
		if err := add(u.Folders[i].Mailbox, &u.Folders[i]); err != nil {
			return nil, err
		}
	}
	left, err := e.leftFilled(u, boxes)
	if err != nil {
		return nil, err
	}
	for _, rec := range left {
		if err := add(cyrusspool.Name(rec.Name), nil); err != nil {
			return nil, err
		}
	}
	if err := e.checkStrangers(u, boxes); err != nil {
		return nil, err
	}
	highest, err := e.Cyrus.HighestModSeq(u.ID)
	if err != nil {
		return nil, err
	}
	for _, m := range boxes {
		if m.userModSeq = highest + 1; !m.entered {
			m.entry.CreatedModSeq, m.entry.FolderModSeq = m.userModSeq, m.userModSeq
		}
	}
	return boxes, e.rememberUser(u, boxes)
}

// leftFilled are the mailboxes of folders that are gone, which a run that was cut off had
// filled: their mail is nowhere else now, and Cyrus is still to know of it.
func (e *Engine) leftFilled(u *plan.User, boxes []*mailbox) (left []ledger.Mailbox, err error) {
	known, err := e.Ledger.MailboxesOf(u.Name)
	for _, rec := range known {
		planned := slices.ContainsFunc(boxes, func(m *mailbox) bool { return m.rec.Name == rec.Name })
		if !planned && rec.State == ledger.Filled && rec.Folder != "" {
			left = append(left, rec)
		}
	}
	return left, err
}

// rememberUser takes down what a user has beside his mailboxes if he has an INBOX that
// this run leaves alone and no other run knew: in the record of a mailbox that it begins.
func (e *Engine) rememberUser(u *plan.User, boxes []*mailbox) error {
	inbox, there := e.Cyrus.Entered(cyrusspool.InboxName(u.ID))
	recs, err := e.Ledger.MailboxesOf(u.Name)
	if err != nil {
		return err
	}
	known := slices.ContainsFunc(recs, tellsOfUser)
	if !there || known || slices.ContainsFunc(boxes, func(m *mailbox) bool { return m.todo != nothing && len(m.rec.UserFiles) > 0 }) {
		return nil
	}
	for _, m := range boxes {
		if m.todo == fill {
			return undo.RememberUser(e.Cyrus, e.Ledger, &m.rec, inbox)
		}
	}
	return nil
}

// tellsOfUser reports whether a record shows that it is known what its user had in Cyrus. One
// that was begun does not by itself: that of his INBOX may have been discarded since.
func tellsOfUser(rec ledger.Mailbox) bool {
	return len(rec.UserFiles) > 0 || rec.State != ledger.Begun || rec.Previous != ""
}

// triageOne decides what one mailbox needs: that of a folder, or, without one, of a parent.
func (e *Engine) triageOne(ctx context.Context, u *plan.User, name cyrusspool.Name, folder *plan.Folder) (*mailbox, error) {
	m := &mailbox{folder: folder}
	rec, known, err := e.Ledger.Mailbox(string(name))
	if err != nil {
		return nil, err
	}
	entry, inCyrus, err := e.Cyrus.Entry(name)
	if err != nil {
		return nil, err
	}
	if known && inCyrus && (folder != nil || rec.Folder == "") && e.neverEntered(u, rec, entry) {
		if err := e.discard(m, rec, entry); err != nil {
			return nil, err
		}
		known = false
	}
	switch {
	case !known && !inCyrus:
		return m, e.triageNew(ctx, u, m, name)
	case !known:
		m.entry, m.entered = entry, true
		return m, e.triageFound(ctx, u, m)
	case rec.State == ledger.Undoing:
		return nil, fmt.Errorf("%s: an undo was cut off here; run undo again to end it", report.Quote(rec.Name))
	}
	m.rec = rec
	if !inCyrus {
		return m, e.triageNotInCyrus(ctx, u, m, name)
	}
	if why := e.notOurs(rec, entry); why != "" {
		e.leave(u, m, "cyrus-changed", why)
		return m, nil
	}
	m.entry, m.entered = entry, true
	return m, e.triageKnown(ctx, u, m)
}

// triageNew looks after a mailbox that neither Cyrus nor the ledger knows.
func (e *Engine) triageNew(ctx context.Context, u *plan.User, m *mailbox, name cyrusspool.Name) error {
	m.entry = e.Cyrus.NewEntry(name, u.ID, cyrusspool.NewUniqueID(), u.Partition)
	m.rec = e.newRecord(u, m)
	m.todo = fill
	if err := e.mustHaveNoMail(m, "Cyrus has no such mailbox"); err != nil {
		return err
	}
	if err := e.rememberIndex(m); err != nil {
		return err
	}
	return undo.Remember(ctx, e.Cyrus, e.Ledger, &m.rec, m.entry)
}

// triageNotInCyrus looks after a mailbox that the ledger knows and Cyrus has not by that name: a
// run was cut off before it entered it, or somebody renamed or removed it.
func (e *Engine) triageNotInCyrus(ctx context.Context, u *plan.User, m *mailbox, name cyrusspool.Name) error {
	rec := m.rec
	// Its files are those of the other name: they are in the same directory.
	now := e.Cyrus.NameOf(rec.UniqueID)
	if now != "" && len(name.Folder()) == 0 {
		// What he has beside his mailboxes is another's, and nobody would see a new mailbox.
		return fmt.Errorf("%s, which an earlier run made, is %s in Cyrus now: rename it back there; nothing of this user was touched", report.Quote(rec.Name), report.Quote(now))
	}
	if now != "" {
		e.leave(u, m, "cyrus-changed", fmt.Sprintf("the mailbox that an earlier run made is %s in Cyrus now; it is left so (to go on with it, rename it back there)", report.Quote(now)))
		return nil
	}
	m.entry = e.Cyrus.NewEntry(name, u.ID, rec.UniqueID, rec.Partition)
	if rec.State != ledger.Verified && !undo.InPlaceOf(e.Cyrus, rec, m.entry) {
		e.leave(u, m, "cut-off", fmt.Sprintf("a run was cut off while it wrote this mailbox in %s of partition %s, and with Cyrus and imapd.conf as they are now Cyrus would look for it in %s of %s; "+
			"it is left alone: change imapd.conf back (for a Cyrus that was upgraded, mailbox_legacy_dirs: yes), or undo this user and migrate him again",
			report.Quote(rec.Dir), report.Quote(rec.Partition), report.Quote(e.Cyrus.Dir(m.entry)), report.Quote(m.entry.Partition)))
		return nil
	}
	return e.triageKnown(ctx, u, m)
}

// notOurs says why a mailbox that Cyrus has is not the one that a run made there, "" if it is.
func (e *Engine) notOurs(rec ledger.Mailbox, entry reconstruct.Entry) string {
	switch {
	case entry.UniqueID != rec.UniqueID:
		return "the mailbox in Cyrus is not the one that this program made; it is left alone"
	case !undo.InPlaceOf(e.Cyrus, rec, entry): // nobody would see what is brought to the old place
		return fmt.Sprintf("the mailbox was made in %s of partition %s, and Cyrus looks for it in %s of %s; it is left alone",
			report.Quote(rec.Dir), report.Quote(rec.Partition), report.Quote(e.Cyrus.Dir(entry)), report.Quote(entry.Partition))
	}
	return ""
}

// rememberIndex remembers the state of a mailbox's index, before it is decided by what is in it
// what is to be done. One that Cyrus cannot read is an error.
func (e *Engine) rememberIndex(m *mailbox) (err error) {
	if m.index, err = e.place(m).IndexState(); err == nil {
		err = e.Cyrus.CheckIndex(e.place(m))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	return nil
}

// triageKnown looks after a mailbox that an earlier run began.
func (e *Engine) triageKnown(ctx context.Context, u *plan.User, m *mailbox) error {
	rec, folder := m.rec, m.folder
	if folder == nil && rec.Folder != "" && (rec.State != ledger.Begun || rec.Previous != "") {
		// Its folder is gone, of which gone tells; that others are below it must not empty it.
		m.todo = leave
		if rec.State == ledger.Filled {
			return e.enterFilled(u, m)
		}
		return nil
	}
	proved := rec.State == ledger.Verified || rec.Previous != "" // by the last pass, or one before
	brought := proved || rec.State == ledger.Filled
	same, otherRules := folder == nil && rec.SourceID == nil, false
	if folder != nil && rec.SourceID != nil {
		same = rec.SourceID.Equal(plan.FileID(folder.File))
		otherRules = rec.Rules != e.Source.Rules.String()
		if brought && !same {
			if left, err := e.leavePlaces(ctx, u, m); err != nil || left {
				return err
			}
		}
	}
	if rec.State != ledger.Verified || !same { // else it is not filled
		if err := e.rememberIndex(m); err != nil {
			return err
		}
	}
	switch {
	case otherRules && proved:
		// By other rules messages have other bounds and UIDs: the two do not mix.
		e.leave(u, m, "other-rules", "the mailbox was migrated by an earlier run with "+source.DescribeRules(rec.Rules)+
			", not as this one; it is left alone ("+source.WayBack(rec.Rules, e.Source.Rules.String())+"; to have it by these, undo the user first)")
		return nil
	case rec.State == ledger.Begun, rec.State == ledger.Filled && (!same || otherRules):
		return e.triageCutOff(u, m)
	case rec.State == ledger.Filled:
		return e.triageFilled(u, m)
	case !m.entered:
		e.leave(u, m, "cyrus-changed", "the mailbox was migrated by an earlier run and has since been removed from Cyrus; it is left so (to migrate it again, use another --state directory)")
		return nil
	}
	return e.triageVerified(u, m, same)
}

func (e *Engine) leave(u *plan.User, m *mailbox, kind, text string) {
	m.todo = leave
	e.Report.Problem(report.Problem{Severity: report.Attention, User: u.Name, Folder: m.folderName(), Mailbox: m.rec.Name, Offset: -1,
		Kind: kind, Text: m.rec.Name + ": " + text})
}

func (e *Engine) newRecord(u *plan.User, m *mailbox) ledger.Mailbox {
	return ledger.Mailbox{
		User: ledger.RawName(u.Name), Folder: ledger.RawName(m.folderName()),
		Name: m.entry.Name, UniqueID: m.entry.UniqueID, Partition: m.entry.Partition, Dir: e.Cyrus.Dir(m.entry),
		Manifest: m.entry.UniqueID + ".tsv",
	}
}
