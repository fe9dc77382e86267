package migrate

import (
	"context"
	"fmt"

	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/undo"
	"mbox2cyrus/reconstruct"
)

// checkStrangers refuses a user who is new to the ledger but has mail in Cyrus
// in mailboxes that are not in the plan: he is in use there already.
func (e *Engine) checkStrangers(u *plan.User, boxes []*mailbox) error {
	planned := map[string]bool{}
	for _, m := range boxes {
		planned[m.rec.Name] = true
		rec, known, err := e.Ledger.Mailbox(m.rec.Name)
		if err != nil || known && tellsOfUser(rec) {
			return err
		}
	}
	for _, entry := range e.Cyrus.UserEntries(u.ID) {
		if planned[entry.Name] || e.Merge {
			continue
		}
		if err := e.mustBeEmpty(entry); err != nil {
			return err
		}
	}
	return nil
}

// triageFound looks after a mailbox that Cyrus has and the ledger does not know.
func (e *Engine) triageFound(ctx context.Context, u *plan.User, m *mailbox) error {
	if err := e.checkNotRenamed(m.entry); err != nil {
		return err
	}
	m.rec = e.newRecord(u, m)
	m.rec.Adopted = true
	m.todo = fill
	if err := e.rememberIndex(m); err != nil {
		return err
	}
	refused := e.mayAdopt(u, m)
	if refused == nil {
		return undo.Remember(ctx, e.Cyrus, e.Ledger, &m.rec, m.entry)
	}
	if ours, err := e.recognise(ctx, u, m); err != nil || ours {
		return err
	}
	if e.Merge {
		return e.mayMerge(ctx, m)
	}
	return refused
}

// mayAdopt allows an existing mailbox to be filled only if it never held a
// message: an administrator often makes the accounts beforehand.
func (e *Engine) mayAdopt(u *plan.User, m *mailbox) error {
	entry := m.entry
	if u.PartitionChosen && entry.Partition != u.Partition {
		return fmt.Errorf("%s is in Cyrus already, on partition %s and not on %s; nothing of this user was touched", report.Quote(entry.Name), entry.Partition, u.Partition)
	}
	if err := e.mustBeEmpty(entry); err != nil {
		return err
	}
	if e.Running {
		return fmt.Errorf("an empty %s is in Cyrus already, which is running: stop Cyrus, so that the mailbox can be filled", report.Quote(entry.Name))
	}
	return e.mustHaveNoMail(m, "its index in Cyrus is empty")
}

// mustHaveNoMail refuses a mailbox that the ledger does not know where message files are in its
// directory: a mailboxes.db or an index that is lost, or another imapd.conf, does not make them
// nobody's mail. why says in which way Cyrus does not know them.
func (e *Engine) mustHaveNoMail(m *mailbox, why string) error {
	place := e.place(m)
	name, err := undo.MessageFile(place, 1)
	if err == nil && name != "" {
		err = fmt.Errorf("%s, but %s has mail (%s): if it is the user's, Cyrus's reconstruct finds it, else move it away; nothing of this user was touched",
			why, report.Quote(place.Messages()), name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	return nil
}

func (e *Engine) mustBeEmpty(entry reconstruct.Entry) error {
	refuse := func(err error) error {
		return fmt.Errorf("%s is in Cyrus already, and this program did not make it: %w; nothing of this user was touched", report.Quote(entry.Name), err)
	}
	if !e.Cyrus.HasPartition(entry.Partition) {
		return refuse(fmt.Errorf("its partition %q is not configured", entry.Partition))
	}
	h, err := e.Cyrus.Place(entry.Partition, e.Cyrus.Dir(entry)).IndexHeader()
	if err != nil {
		return refuse(err)
	}
	if h.NumRecords > 0 || h.LastUID > 0 {
		return refuse(fmt.Errorf("it has or had mail (%d messages, UIDNEXT %d)", h.Exists, h.LastUID+1))
	}
	return nil
}

// mayMerge is mayAppend for a mailbox with mail of which nothing was known. What it is now
// is remembered first.
func (e *Engine) mayMerge(ctx context.Context, m *mailbox) error {
	if m.folder == nil {
		m.todo = nothing // a mailbox above others, and it is there
		return nil
	}
	if err := e.mayAppend(m); err != nil {
		return err
	}
	h, err := e.place(m).IndexHeader()
	if err != nil {
		return fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	why, err := e.unknownMail(m)
	if err != nil {
		return err
	}
	// Cyrus gives a mailbox of its own another one; recognise has read that of the folder.
	if m.rec.UIDValid == h.UIDValidity && !m.rec.NewUIDVald {
		why = fmt.Sprintf("has the UIDVALIDITY of the folder, %d: an earlier run brought it, and all of its messages would be there twice; give the --state directory of that run", h.UIDValidity)
	}
	if why != "" {
		return fmt.Errorf("%s %s; nothing of this user was touched", report.Quote(m.rec.Name), why)
	}
	m.rec.Merged = true
	m.rec.Mixed = m.mixed && h.Version.HasGUID()
	return undo.Remember(ctx, e.Cyrus, e.Ledger, &m.rec, m.entry)
}
