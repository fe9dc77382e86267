package undo

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// Undoer takes users out of Cyrus again.
type Undoer struct {
	Cyrus  *target.Cyrus
	Ledger *ledger.Ledger
	Report *report.Reporter
	DryRun bool
	// Recognised allows to remove mailboxes that were recognised, of which no record says
	// that this program made them.
	Recognised bool
	// Retired, if not nil, reports whether what a mailbox was filled from is in an archive. Such
	// a user is left as he is: else his mail would be neither in Cyrus nor on the UW host.
	Retired func(ledger.Mailbox) bool
}

// maxBatch is how many users' entries go with one call of Cyrus's programs, each
// of which reads the whole mailboxes.db.
const maxBatch = 100

// user is one user who is to be undone.
type user struct {
	login string // on the UW host
	boxes []ledger.Mailbox
}

// id is the user's id in Cyrus.
func (one *user) id() string { return cyrusspool.Name(one.boxes[0].Name).User() }

// known reports whether clients may know a mailbox of the user that is to be as it was.
func (one *user) known() bool {
	return slices.ContainsFunc(one.boxes, func(rec ledger.Mailbox) bool { return rec.Keep != nil })
}

// left are the names of the user's mailboxes that are to be as they were.
func (one *user) left() (names []string) {
	for _, rec := range one.boxes {
		if stays(rec) {
			names = append(names, rec.Name)
		}
	}
	return names
}

// Run undoes users. What was changed since it was migrated is reported and that
// user left alone. The error is the context's: the run was stopped between users.
func (u *Undoer) Run(ctx context.Context, logins []string) error {
	for batch := range slices.Chunk(logins, maxBatch) {
		if err := ctx.Err(); err != nil {
			return err
		}
		var clean []*user
		for _, login := range batch {
			one := &user{login: login}
			var err error
			if one.boxes, err = u.Ledger.MailboxesOf(login); err != nil {
				u.fail(one, err)
				continue
			}
			// A mailbox comes before the one that it is in.
			slices.SortFunc(one.boxes, func(a, b ledger.Mailbox) int { return strings.Compare(b.Name, a.Name) })
			if u.mayUndo(one) {
				clean = append(clean, one)
			}
		}
		if !u.DryRun {
			if _, running, err := u.Cyrus.Programs.Running(ctx); err != nil || running {
				return cmp.Or(err, errors.New("while undo went on, Cyrus was started, and may have open what is to be removed: stop it and run undo again to go on"))
			}
			// What was begun is finished: a stop waits for the batch.
			u.undo(context.WithoutCancel(ctx), clean)
		}
		for _, one := range clean {
			u.tell(one)
		}
	}
	return nil
}

func (u *Undoer) mayUndo(one *user) bool {
	if u.Retired != nil && slices.ContainsFunc(one.boxes, u.Retired) {
		u.Report.Problem(report.Problem{Severity: report.Attention, User: one.login, Offset: -1, Kind: "retired",
			Text: "his folders are in an archive: his mail would be there only, where migrate does not find it; bring them back first (retire --restore --user NAME); nothing of this user was undone"})
		return false
	}
	findings, err := u.check(one)
	if err != nil {
		u.fail(one, err)
		return false
	}
	for _, f := range findings {
		u.Report.Problem(report.Problem{Severity: report.Attention, User: one.login, Folder: string(f.rec.Folder), Offset: -1,
			Kind: "changed-since", Text: f.text + "; nothing of this user was undone (how to remove him all the same: docs/way-back.md)"})
	}
	return len(findings) == 0
}

func (u *Undoer) fail(one *user, err error) {
	one.boxes = nil
	u.Report.Problem(report.Problem{Severity: report.Failure, User: one.login, Offset: -1, Kind: "undo-failed",
		Text: err.Error() + "; run undo again to go on"})
}

func (u *Undoer) failAll(users []*user, err error) {
	for _, one := range users {
		u.fail(one, err)
	}
}

func (u *Undoer) tell(one *user) {
	if len(one.boxes) == 0 {
		return
	}
	for _, rec := range slices.Backward(one.boxes) {
		u.Report.Folder(report.Folder{User: one.login, Folder: string(rec.Folder), Mailbox: rec.Name, Found: rec.Messages,
			Bytes: rec.Size, UIDValidity: rec.UIDValid, UIDNext: rec.UIDNext, Outcome: outcome(rec, u.DryRun)})
	}
	if u.Cyrus.Xapian() && !u.DryRun {
		text := "his search index is left below the search partitions (…searchpartition-… in imapd.conf), and knows messages that are gone: remove it there"
		if slices.ContainsFunc(one.boxes, stays) {
			text += ", and his xapianactive; squatter -i -u " + one.id() + " makes both anew"
		}
		u.Report.Problem(report.Problem{Severity: report.Note, User: one.login, Offset: -1, Kind: "search-index", Text: text})
	}
	u.Report.User(one.login)
}

// undo undoes users whose mailboxes were found untouched.
func (u *Undoer) undo(ctx context.Context, users []*user) {
	if err := u.forgetInCyrus(ctx, users); err != nil {
		u.failAll(users, err)
		return
	}
	for _, one := range users {
		if err := u.removeMailboxes(one); err != nil {
			u.fail(one, err)
		}
	}
	// Counting writes into the users' own files, which are put back after it.
	if err := u.giveQuotaBack(ctx, users); err != nil {
		u.failAll(users, err)
	}
	for _, one := range users {
		err := u.removeBeside(one)
		if err == nil && one.known() && u.Cyrus.Conversations() {
			if err = u.Cyrus.BuildConversations(ctx, one.id()); err == nil {
				err = u.Cyrus.Programs.RecountConversations(ctx, one.id(), one.left())
			}
		}
		if err != nil {
			u.fail(one, err)
		}
	}
	if err := u.settle(users); err != nil {
		u.failAll(users, err)
	}
}

// forgetInCyrus marks the mailboxes and takes their entries out of mailboxes.db.
func (u *Undoer) forgetInCyrus(ctx context.Context, users []*user) error {
	var marked []ledger.Mailbox
	var made []reconstruct.Entry
	var adopted []reconstruct.Record
	for _, one := range users {
		for i := range one.boxes {
			rec := &one.boxes[i]
			raised, err := u.keepCounters(rec)
			if err != nil {
				return err
			}
			if rec.State != ledger.Undoing {
				if err := u.keepIndexID(rec); err != nil {
					return err
				}
			}
			if rec.State != ledger.Undoing || raised {
				rec.State = ledger.Undoing
				marked = append(marked, *rec)
			}
			if stays(*rec) {
				adopted = append(adopted, rec.Original.Records...)
			} else { // one that is gone already, or was never entered, does no harm
				made = append(made, reconstruct.Entry{Name: rec.Name, UniqueID: rec.UniqueID})
			}
		}
	}
	if len(marked) > 0 {
		if err := u.Ledger.Set(marked...); err != nil {
			return err
		}
	}
	if err := u.Cyrus.Remove(ctx, made); err != nil {
		return err
	}
	return u.Cyrus.PutBack(ctx, adopted)
}

// keepIndexID records which cyrus.index it is that check took for ours, where no pass came to
// recording it: if undo is cut off, and Cyrus started, another one has what came since.
func (u *Undoer) keepIndexID(rec *ledger.Mailbox) (err error) {
	_, in, err := u.Cyrus.Entry(cyrusspool.Name(rec.Name))
	if err != nil || in && rec.IndexID != nil { // of one that is not in, a run may have written another
		return err
	}
	rec.IndexID = &ledger.FileID{} // that of none
	d, err := openIfThere(u.Cyrus.Place(rec.Partition, rec.Dir).Roots.Index, rec.Dir)
	if d == nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	id, err := identityAt(d, "cyrus.index")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	rec.IndexID = &id
	return err
}

// settle removes the directories that are empty now, makes all of it durable and
// lets the ledger forget the mailboxes.
func (u *Undoer) settle(users []*user) error {
	roots := map[string]bool{u.Cyrus.ConfigDir: true}
	// Those above mailboxes of others are left to the batch that has these.
	dirs := map[ledger.MadeDir]bool{}
	above := func(root, dir string) {
		for ; dir != "." && !dirs[ledger.MadeDir{Root: root, Dir: dir}]; dir = filepath.Dir(dir) {
			dirs[ledger.MadeDir{Root: root, Dir: dir}] = true
		}
	}
	var undone []ledger.Mailbox
	for _, one := range users {
		for _, rec := range one.boxes {
			for _, root := range u.Cyrus.Place(rec.Partition, rec.Dir).Roots.All() {
				roots[root] = true
				above(root, rec.Dir)
			}
			for _, files := range rec.UserFiles {
				above(u.Cyrus.ConfigDir, files.Dir)
			}
			rec.State = ledger.Undone
			undone = append(undone, rec)
		}
	}
	if len(undone) == 0 {
		return nil
	}
	for _, made := range u.Ledger.MadeDirs(dirs) {
		if _, err := cyrusspool.RemoveDir(made.Root, made.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := cyrusspool.SyncFS(slices.Sorted(maps.Keys(roots))...); err != nil {
		return err
	}
	for _, one := range users {
		if _, written := u.Ledger.Subscriptions(one.login); written && len(one.boxes) > 0 {
			if err := u.Ledger.SetSubscriptions(ledger.Subscriptions{User: ledger.RawName(one.login)}); err != nil {
				return err
			}
		}
	}
	if err := u.Ledger.Set(undone...); err != nil {
		return err
	}
	return u.Ledger.ForgetUndone()
}
