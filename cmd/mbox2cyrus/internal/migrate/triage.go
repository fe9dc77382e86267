package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/undo"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
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
		m.entry = e.Cyrus.NewEntry(name, u.ID, cyrusspool.NewUniqueID(), u.Partition)
		m.rec = e.newRecord(u, m)
		m.todo = fill
		if m.index, err = e.place(m).IndexState(); err != nil {
			return nil, fmt.Errorf("%s: %w", m.rec.Name, err)
		}
		return m, undo.Remember(ctx, e.Cyrus, e.Ledger, &m.rec, m.entry)
	case !known:
		if err := e.checkNotRenamed(entry); err != nil {
			return nil, err
		}
		m.entry, m.entered = entry, true
		m.rec = e.newRecord(u, m)
		m.rec.Adopted = true
		m.todo = fill
		if m.index, err = e.place(m).IndexState(); err != nil {
			return nil, fmt.Errorf("%s: %w", m.rec.Name, err)
		}
		err := e.mayAdopt(u, entry)
		if err == nil {
			return m, undo.Remember(ctx, e.Cyrus, e.Ledger, &m.rec, m.entry)
		}
		if ours, rerr := e.recognise(ctx, u, m); rerr != nil || ours {
			return m, rerr
		}
		if e.Merge {
			return m, e.mayMerge(ctx, m)
		}
		return m, err
	case rec.State == ledger.Undoing:
		return nil, fmt.Errorf("%s: an undo was cut off here; run undo again to end it", report.Quote(rec.Name))
	}
	m.rec = rec
	if inCyrus && entry.UniqueID != rec.UniqueID {
		e.leave(u, m, "cyrus-changed", "the mailbox in Cyrus is not the one that this program made; it is left alone")
		return m, nil
	}
	if inCyrus && !undo.InPlaceOf(e.Cyrus, rec, entry) { // nobody would see what is brought to the old place
		e.leave(u, m, "cyrus-changed", fmt.Sprintf("the mailbox was made in %s of partition %s, and Cyrus looks for it in %s of %s; it is left alone",
			report.Quote(rec.Dir), report.Quote(rec.Partition), report.Quote(e.Cyrus.Dir(entry)), report.Quote(entry.Partition)))
		return m, nil
	}
	if m.entered = inCyrus; inCyrus {
		m.entry = entry
	} else {
		m.entry = e.Cyrus.NewEntry(name, u.ID, rec.UniqueID, rec.Partition)
	}
	if m.index, err = e.place(m).IndexState(); err != nil {
		return nil, fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	same := folder == nil && rec.SourceID == nil || folder != nil && rec.SourceID != nil && rec.SourceID.Equal(plan.FileID(folder.File))
	if folder == nil && rec.Folder != "" && (rec.State != ledger.Begun || rec.Previous != "") {
		// Its folder is gone, of which gone tells; that others are below it must not empty it.
		m.todo = leave
		if rec.State == ledger.Filled {
			m.todo = enter
		}
		return m, nil
	}
	if folder != nil && rec.SourceID != nil && !same && (rec.State == ledger.Verified || rec.Previous != "") {
		if left, err := e.leavePlaces(ctx, u, m); err != nil || left {
			return m, err
		}
	}
	otherRules := folder != nil && rec.SourceID != nil && rec.Rules != e.Source.Rules.String()
	switch {
	case otherRules && (rec.State == ledger.Verified || rec.Previous != ""):
		// By other rules messages have other bounds and UIDs: the two do not mix.
		e.leave(u, m, "other-rules", "the mailbox was migrated by an earlier run with "+source.DescribeRules(rec.Rules)+
			", not as this one; it is left alone (give the same flags; to have it by these, undo the user first)")
	case rec.State == ledger.Begun, rec.State == ledger.Filled && (!same || otherRules):
		return m, e.triageCutOff(u, m)
	case rec.State == ledger.Filled:
		m.todo = enter
		if !inCyrus {
			return m, nil
		}
		// Cyrus may have served it since. Of mail that came in it is told when it is proved; what
		// else its user did could never be proved. (Without SHA-1s, up to Cyrus 2.2, ours could not
		// be told from it.)
		holds, h, err := e.indexHolds(m, rec.Manifest, true)
		if err == nil && !holds && h.Version.HasGUID() {
			err = e.triageCutOff(u, m)
		}
		return m, err
	case !inCyrus:
		e.leave(u, m, "cyrus-changed", "the mailbox was migrated by an earlier run and has since been removed from Cyrus; it is left so (to migrate it again, use another --state directory)")
	default:
		return m, e.triageVerified(u, m, same)
	}
	return m, nil
}

// neverEntered reports whether a mailbox that a run began never came as far as to be Cyrus's,
// which has another of its name now: somebody made the account since. If its user has been
// given anything beside his mailboxes, that is for a person to judge.
func (e *Engine) neverEntered(u *plan.User, rec ledger.Mailbox, entry reconstruct.Entry) bool {
	_, subscribed := e.Ledger.Subscriptions(u.Name)
	return entry.UniqueID != rec.UniqueID && rec.State == ledger.Begun && rec.Previous == "" && !rec.Adopted &&
		!subscribed && !e.Ledger.GaveQuota(u.Name) && !e.Cyrus.HasID(rec.UniqueID)
}

// discard forgets such a mailbox, for the one that Cyrus has now.
func (e *Engine) discard(m *mailbox, rec ledger.Mailbox, entry reconstruct.Entry) error {
	if e.Running {
		return fmt.Errorf("%s is in Cyrus, which is running, and was made there since a run that was cut off began to write it: stop Cyrus, so that it can be filled", report.Quote(rec.Name))
	}
	if m.mixed = undo.InPlaceOf(e.Cyrus, rec, entry); m.mixed && !e.Merge {
		// If it is to be refused, the next run must know too what wrote there.
		if err := e.mustBeEmpty(entry); err != nil {
			return err
		}
	}
	if err := undo.Discard(e.Cyrus, e.Ledger, rec, entry); err != nil {
		return fmt.Errorf("%s: %w", report.Quote(rec.Name), err)
	}
	return nil
}

// triageCutOff looks after a mailbox that an earlier run began to fill. If Cyrus knows
// it, it may have been used since: then what the index says is neither what was there
// before nor what that run wrote.
func (e *Engine) triageCutOff(u *plan.User, m *mailbox) error {
	m.rec.User = ledger.RawName(u.Name)
	m.todo = fill
	if m.rec.Previous != "" { // a later pass was cut off
		prev := m.rec
		prev.Manifest = m.rec.Previous
		m.prev = &prev
	}
	if !m.entered {
		return nil
	}
	if e.Running {
		e.leave(u, m, "cut-off", "a run was cut off while it wrote this mailbox, and Cyrus, which has it, is running: stop Cyrus and run again")
		return nil
	}
	tells, h, err := e.manifestOfIndex(m)
	if err != nil {
		return err
	}
	if tells != "" && tells != m.rec.Previous {
		// That run came as far as to write the index: what it gave is what was given. The manifest
		// that tells of it stays until there is another index.
		if m.prev == nil {
			m.rec.Manifest = m.rec.OtherManifest(tells)
		} else if h.LastUID > 0 {
			if m.rec.FirstUID == 0 {
				m.rec.UIDValid, m.rec.UIDNext = h.UIDValidity, h.LastUID+1
			}
			prev := m.rec
			m.prev = &prev
		}
	}
	if m.rec.FirstUID > 0 {
		if m.asLeft = tells != ""; m.rec.Merged {
			if m.rec.Merged, err = undo.Untouched(e.Cyrus, e.Ledger, m.rec); err != nil {
				return err
			}
			// Once it was filled, its index told: what ours are now is their user's affair.
			m.asLeft = m.asLeft || m.rec.Merged && m.rec.State != ledger.Filled
		}
		if !m.asLeft && h.LastUID >= m.rec.FirstUID && h.Version.HasGUID() {
			// From there on mail of Cyrus's may be among ours: which is which its SHA-1 tells.
			m.rec.Mixed, m.rec.Merged, m.rec.FirstUID = true, false, 0
		}
		return e.mayAppend(m)
	}
	if tells != "" {
		return nil
	}
	switch {
	case m.prev == nil && e.mustBeEmpty(m.entry) == nil:
	case e.AppendOnConflict && (m.prev != nil || h.Version.HasGUID()):
		m.rec.Mixed = h.Version.HasGUID()
		return e.mayAppend(m)
	default:
		e.leave(u, m, "cyrus-changed", "a run was cut off while it wrote this mailbox, and Cyrus has changed it since; it is left alone (--on-conflict append brings what is new)")
	}
	return nil
}

// manifestOfIndex finds the manifest of which the index is, and returns its name, "" if it is
// of none, and the header of the index. The one of the pass before, if there is one, is looked
// at first.
func (e *Engine) manifestOfIndex(m *mailbox) (name string, h cyrusspool.IndexHeader, err error) {
	names := []string{m.rec.Previous, m.rec.Manifest}
	if m.prev == nil {
		names = m.rec.Manifests() // a run after the one that wrote the index may have been cut off too
	}
	for _, name := range names {
		holds, h, err := e.indexHolds(m, name, false)
		if err != nil || holds {
			return name, h, err
		}
	}
	if h, err = e.place(m).IndexHeader(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", h, fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	return "", h, nil
}

// indexHolds reports whether the index has the messages of a manifest, with their flags,
// and no others, and returns its header; of a mailbox to which messages were appended, these
// only. If it may be served, mail that came in since is no other, and what Cyrus marks for
// itself no flag. A manifest that is not there, or not complete, is no such one. A mailbox
// without an index holds what any manifest says: Cyrus cannot use it.
func (e *Engine) indexHolds(m *mailbox, name string, served bool) (holds bool, h cyrusspool.IndexHeader, err error) {
	if name == "" {
		return false, h, nil
	}
	manifest, err := e.Ledger.OpenManifest(name)
	if err != nil {
		return false, h, nil
	}
	defer manifest.Close() // read only: nothing can be lost
	f, index, err := e.place(m).OpenIndex()
	if errors.Is(err, fs.ErrNotExist) {
		return true, h, nil
	}
	if err != nil {
		return false, h, fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	defer f.Close()
	userFlags, err := e.userFlagsOf(m, name)
	if err != nil {
		return false, h, err
	}
	counts := index.Header().Version.SystemFlags()
	if served {
		counts &^= cyrusspool.FlagSnoozed | cyrusspool.FlagSplitConversation | cyrusspool.FlagNeedsCleanup | cyrusspool.FlagArchived
	}
	for {
		r, rerr := index.Next()
		for rerr == nil && r.UID < m.rec.FirstUID {
			r, rerr = index.Next()
		}
		w, werr := manifest.Next()
		for werr == nil && w.UID < m.rec.FirstUID {
			w, werr = manifest.Next()
		}
		if werr == io.EOF && (rerr == io.EOF || rerr == nil && served && r.UID >= m.rec.UIDNext) {
			return true, index.Header(), nil
		}
		if rerr != nil && rerr != io.EOF {
			return false, h, fmt.Errorf("%s: %w", m.rec.Name, rerr)
		}
		if rerr != nil || werr != nil || r.UID != w.UID || index.Header().Version.HasGUID() && r.GUID != w.GUID || r.SystemFlags&counts != verify.SystemFlags(w.Flags)&counts ||
			!userFlags(r, w) {
			return false, index.Header(), nil
		}
	}
}

// userFlagsOf returns what reports whether a record has the keywords of a message in a
// manifest, as far as it is known what their bits mean there: the ledger has the names of the
// pass that came to fill the mailbox last.
func (e *Engine) userFlagsOf(m *mailbox, manifest string) (func(cyrusspool.Record, ledger.Message) bool, error) {
	last := m.rec.Previous
	if m.rec.State == ledger.Filled {
		last = m.rec.Manifest
	}
	if manifest != last {
		return func(cyrusspool.Record, ledger.Message) bool { return true }, nil
	}
	header, err := e.place(m).ReadHeader()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	keywords := verify.KeywordsOf(m.rec, header.Flags)
	return func(r cyrusspool.Record, w ledger.Message) bool {
		flags, ok := keywords.UserFlags(w.Keywords)
		return ok && r.UserFlags == flags
	}, nil
}

// triageVerified looks after a mailbox that an earlier run finished.
func (e *Engine) triageVerified(u *plan.User, m *mailbox, sourceSame bool) error {
	untouched, err := e.indexUntouched(u, m)
	if err != nil {
		return err
	}
	switch {
	case sourceSame && (untouched || m.rec.FirstUID > 0):
		m.todo, m.verified = nothing, m.rec.Messages
	case sourceSame:
		e.leave(u, m, "cyrus-changed", "the mailbox was changed in Cyrus since it was migrated; it is left alone (verify tells what differs)")
	case e.Running:
		e.leave(u, m, "source-changed", "the folder changed since it was migrated; stop Cyrus and run again to bring the changes")
	case m.rec.FirstUID > 0, !untouched && e.AppendOnConflict:
		prev := m.rec
		m.todo, m.prev = fill, &prev
		if m.asLeft = untouched; !untouched {
			m.rec.Merged = false
			if m.asLeft, err = e.oursAsLeft(u, m); err != nil {
				return err
			}
		}
		if !m.asLeft {
			// What earlier passes brought is Cyrus's affair from now on.
			m.rec.FirstUID = 0
		}
		return e.mayAppend(m)
	case !untouched:
		e.leave(u, m, "source-changed", "the folder changed since it was migrated, and so did the mailbox in Cyrus; both are left alone (--on-conflict append brings what is new)")
	default:
		prev := m.rec
		m.todo, m.prev, m.update = fill, &prev, true // Cyrus has not touched it
	}
	return nil
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

// mayAdopt allows an existing mailbox to be filled only if it never held a
// message: an administrator often makes the accounts beforehand.
func (e *Engine) mayAdopt(u *plan.User, entry reconstruct.Entry) error {
	if u.PartitionChosen && entry.Partition != u.Partition {
		return fmt.Errorf("%s is in Cyrus already, on partition %s and not on %s; nothing of this user was touched", report.Quote(entry.Name), entry.Partition, u.Partition)
	}
	if err := e.mustBeEmpty(entry); err != nil {
		return err
	}
	if e.Running {
		return fmt.Errorf("an empty %s is in Cyrus already, which is running: stop Cyrus, so that the mailbox can be filled", report.Quote(entry.Name))
	}
	return nil
}

// mayAppend makes a mailbox one that messages are appended to, if Cyrus cannot have it
// open. From which UID on they are ours is known before anything is written.
func (e *Engine) mayAppend(m *mailbox) error {
	if e.Running {
		return fmt.Errorf("%s is in Cyrus already, which is running: stop Cyrus, so that messages can be appended", report.Quote(m.rec.Name))
	}
	h, err := e.place(m).IndexHeader()
	if err != nil {
		return fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	m.append = true
	if m.rec.FirstUID == 0 {
		m.rec.FirstUID = h.LastUID + 1
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
	n, example, err := undo.Strays(e.place(m))
	if err != nil {
		return fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	if n > 0 {
		return fmt.Errorf("%s has %d message files in Cyrus that its index does not know, %s for one: run Cyrus's reconstruct on it, look at what comes up, and run again; nothing of this user was touched", report.Quote(m.rec.Name), n, example)
	}
	m.rec.Merged = true
	m.rec.Mixed = m.mixed && h.Version.HasGUID()
	return undo.Remember(ctx, e.Cyrus, e.Ledger, &m.rec, m.entry)
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

// indexUntouched reports whether cyrus.index is the very file that was verified, or one
// that says the same of every message: reconstruct and other programs of Cyrus's write a
// new one, and that changes nothing.
func (e *Engine) indexUntouched(u *plan.User, m *mailbox) (bool, error) {
	id, there, err := e.indexID(m.rec)
	if err != nil || !there {
		return false, err
	}
	if m.rec.IndexID != nil && id.Equal(*m.rec.IndexID) {
		return true, nil
	}
	if m.rec.FirstUID > 0 {
		return false, nil
	}
	res, err := e.compareIndex(u.ID, m.rec)
	if err != nil || len(res.Problems) > 0 {
		return false, err
	}
	m.rec.IndexID = &res.IndexID
	return true, e.Ledger.Set(m.rec)
}

// compareIndex compares what the index of a user's mailbox says now with its manifest.
func (e *Engine) compareIndex(userid string, rec ledger.Mailbox) (verify.Result, error) {
	seen, err := e.Cyrus.Seen(userid)
	if err != nil {
		return verify.Result{}, err
	}
	return verify.Index(e.Ledger, rec, e.Cyrus.Place(rec.Partition, rec.Dir), seen)
}

// oursAsLeft reports whether a mailbox of which the index is another one has the messages that
// it had before others were appended, and these are as they were verified: Cyrus's programs,
// or a session, wrote the index anew.
func (e *Engine) oursAsLeft(u *plan.User, m *mailbox) (bool, error) {
	same, err := undo.Untouched(e.Cyrus, e.Ledger, m.rec)
	if err != nil || !same {
		return false, err
	}
	res, err := e.compareIndex(u.ID, m.rec)
	return err == nil && !res.Newer && len(res.Problems) == 0, err
}
