package retire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
	"mbox2cyrus/mbox"
)

// Retirer moves source folders into archives.
type Retirer struct {
	Host     *mbox.Host
	Locks    *mbox.Locks     // nil: none are taken
	Verifier verify.Verifier // Report is not used
	Record   *Record
	Archives []*Archive
	Report   *report.Reporter
	DryRun   bool

	moved []Move            // by this run
	would map[string]string // logins by the paths that a dry run would move as theirs
}

// Run retires the users of a plan, one after another. Whatever keeps one from it is
// reported; the error is the context's.
func (r *Retirer) Run(ctx context.Context, p *plan.Plan) error {
	defer r.lookAgain(context.WithoutCancel(ctx))
	r.would = map[string]string{}
	for _, u := range p.Users {
		if err := ctx.Err(); err != nil {
			return err
		}
		// First: whether a file was moved may still be open.
		err := r.recover(u.Name)
		for _, pr := range u.Problems {
			// The block that an earlier run left in an INBOX's place is no news.
			if pr.Kind != string(mbox.SkipDirectory) || !r.Record.blocked(ledger.RawName(pr.Folder)) {
				r.Report.Problem(pr)
			}
		}
		if err == nil {
			err = r.user(ctx, u)
		}
		if err != nil && ctx.Err() == nil {
			r.fail(u.Name, err)
		}
		r.Report.User(u.Name)
	}
	return ctx.Err()
}

// lastWriters is how long after the last move one looks for those who had a file open and
// waited for its lock (flock, fcntl): they write into the archive as soon as they have it.
const lastWriters = 500 * time.Millisecond

// lookAgain tells what came to files after they were moved.
func (r *Retirer) lookAgain(ctx context.Context) {
	if len(r.moved) == 0 {
		return
	}
	time.Sleep(lastWriters)
	for _, m := range r.moved {
		p, err := m.check(ctx, m.IsDir) // what is written into a file leaves the times of its directory
		switch {
		case err != nil:
			r.fail(string(m.User), fmt.Errorf("%s: %w", report.Quote(m.archived()), err))
		case p.Kind != "":
			p.User, p.Folder, p.Offset = string(m.User), string(m.Folder), -1
			p.Text = report.Quote(m.archived()) + ": " + p.Text + "; a program that had it open wrote into it, and what came is in the archive only: end that program, and deliver what came (a delivery is behind what was there) to its user's mailbox in Cyrus"
			r.Report.Problem(p)
		}
	}
}

func (r *Retirer) fail(user string, err error) {
	r.Report.Problem(report.Problem{Severity: report.Failure, User: user, Offset: -1, Kind: "retire-failed", Text: err.Error()})
}

// user retires one user: all of his folders if verify finds nothing wrong, then his lists of
// subscriptions. What keeps a folder where it is, is told; after an error no more is moved.
func (r *Retirer) user(ctx context.Context, u *plan.User) error {
	switch {
	case u.Failed():
		return nil // the plan said why
	case len(u.Folders) == 0 && !r.Record.began(u.Name):
		return nil
	case len(u.Folders) == 0:
		// All of it is in the archive, but a run may have been cut off before this.
		return r.subscriptions(ctx, u)
	}
	clean, err := r.isProved(ctx, u)
	if err != nil {
		return err
	}
	if !clean {
		r.Report.Problem(report.Problem{Severity: report.Attention, User: u.Name, Offset: -1, Kind: "not-retired",
			Text: "verify finds that not all mail of this user is in Cyrus as it is in the source now; nothing of his was moved"})
		return nil
	}
	// Paths in order: a mailbox that is a directory comes before those in it.
	folders := r.withoutShared(u)
	slices.SortFunc(folders, func(a, b plan.Folder) int { return strings.Compare(firstPath(a.File), firstPath(b.File)) })
	if err := r.sameFileSystems(u, folders); err != nil {
		return err
	}
	var dirs, stay []string // that were moved, or not: "a-b" comes between "a" and "a/c"
	for i, f := range folders {
		above := func(dir string) bool { return isBelow(f.File.Path, dir) }
		if slices.ContainsFunc(stay, above) {
			continue
		}
		if i := slices.IndexFunc(dirs, above); i >= 0 {
			if r.DryRun {
				r.would[f.File.Path] = u.Name
			}
			r.tell(u.Name, f.File.Name, f.File.Size, "went with "+report.Quote(dirs[i]))
			continue
		}
		moved, err := r.folder(ctx, u, f, folders[i+1:])
		var other *leftOutError
		if errors.As(err, &other) {
			stay = append(stay, other.dir)
			r.Report.Problem(report.Problem{Severity: report.Attention, User: u.Name, Folder: f.File.Name, Offset: -1, Kind: "not-retired", Text: err.Error()})
			continue
		}
		if r.unsummed(u.Name, f.File.Name, f.File.Path, err) {
			stay = append(stay, f.File.Path)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", report.Quote(f.File.Path), err)
		}
		dirs = append(dirs, moved...)
	}
	return r.subscriptions(ctx, u)
}

// firstPath is what puts a folder before those in it: the first by name of its places.
func firstPath(f mbox.File) string {
	first := f.Path
	for _, part := range f.Parts {
		first = min(first, part.Path)
	}
	return first
}

func isBelow(path, dir string) bool { return strings.HasPrefix(path, dir+"/") }

// leftOutError says that in a directory is what the plan leaves out though it may be mail.
type leftOutError struct{ dir, path string }

func (e *leftOutError) Error() string {
	return fmt.Sprintf("%s stays where it is, with all that is in it: %s, which may be mail, was not migrated; look at it, move it away, and run retire again",
		report.Quote(e.dir), report.Quote(e.path))
}

// unsummed tells of what stays since it, or something in it, has no sum. It reports whether err is
// that.
func (r *Retirer) unsummed(user, folder, path string, err error) bool {
	var unsummed *unsummedError
	if !errors.As(err, &unsummed) {
		return false
	}
	r.Report.Problem(report.Problem{Severity: report.Attention, User: user, Folder: folder, Offset: -1, Kind: "not-retired",
		Text: fmt.Sprintf("%s stays where it is, with all that is in it: %v, and run retire again", report.Quote(path), err)})
	return true
}

// withoutShared returns a user's folders but for those that went with another login who has
// the same home, and tells of these.
func (r *Retirer) withoutShared(u *plan.User) (left []plan.Folder) {
	for _, f := range u.Folders {
		if m, found := r.Record.ofAnother(u.Name, f.File.Path); found {
			r.tell(u.Name, f.File.Name, 0, "went with those of "+report.Quote(string(m.User))+", who has the same home")
			continue
		}
		if login, found := r.would[f.File.Path]; found {
			r.tell(u.Name, f.File.Name, 0, "would go with those of "+report.Quote(login)+", who has the same home")
			continue
		}
		left = append(left, f)
	}
	return left
}

// sameFileSystems refuses a user before anything of him is moved.
func (r *Retirer) sameFileSystems(u *plan.User, folders []plan.Folder) error {
	for _, f := range folders {
		folder, err := r.Host.Open(u.User, f.File)
		if err != nil {
			return err
		}
		for _, p := range folder.Places() {
			if _, err = r.archiveFor(p.Dir); err != nil {
				err = fmt.Errorf("%s: %w; nothing of this user was moved", report.Quote(p.Path), err)
				break
			}
		}
		if err := errors.Join(err, folder.Close()); err != nil {
			return err
		}
	}
	return nil
}

// errChanged keeps what came after the verification out of the archive.
var errChanged = errors.New("the folder changed since it was verified; run migrate and retire again")

// folder moves one folder, and returns the paths of those of its places that are directories.
// Others of the user's, which may be in these, are in left.
func (r *Retirer) folder(ctx context.Context, u *plan.User, one plan.Folder, left []plan.Folder) (dirs []string, err error) {
	f := one.File
	folder, err := r.Host.Open(u.User, f)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	for _, p := range folder.Places() {
		for _, pr := range u.Problems {
			if p.Folder && pr.Severity > report.Note && isBelow(pr.Folder, p.Path) {
				return nil, &leftOutError{p.Path, pr.Folder}
			}
		}
	}
	if r.Locks != nil && !r.DryRun {
		lock, err := r.Locks.Take(ctx, folder)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, lock.Release()) }()
	}
	// As a whole before its first place moves: the move changes the identity of all.
	now, err := folder.Identity()
	if err == nil && !now.Equal(f.Identity) {
		err = errChanged
	}
	if err != nil {
		return nil, err
	}
	parts := f.Parts
	if len(parts) == 0 {
		parts = []mbox.File{f}
	}
	for i, p := range folder.Places() {
		was := ledger.NewFileID(parts[i].Identity)
		m := Move{User: ledger.RawName(u.Name), Folder: ledger.RawName(f.Name), Mailbox: string(one.Mailbox), Was: &was}
		var below []plan.Folder
		if p.Folder {
			below = slices.DeleteFunc(slices.Clone(left), func(f plan.Folder) bool { return !isBelow(f.File.Path, p.Path) })
		}
		if err := r.withBelow(ctx, u, p, m, parts[i], below); err != nil {
			return dirs, err
		}
		if p.Folder {
			dirs = append(dirs, p.Path)
		}
	}
	return dirs, nil
}

// withBelow moves one place of a folder, with the folders below it.
func (r *Retirer) withBelow(ctx context.Context, u *plan.User, p mbox.Place, m Move, f mbox.File, below []plan.Folder) (err error) {
	inside := make([]*mbox.Folder, 0, len(below))
	defer func() {
		for _, folder := range inside {
			err = errors.Join(err, folder.Close())
		}
	}()
	for _, b := range below {
		folder, err := r.Host.Open(u.User, b.File)
		if err != nil {
			return fmt.Errorf("%s: %w", report.Quote(b.File.Path), err)
		}
		inside = append(inside, folder)
		// The lock of a file would be one more file in the directory, which would not be as it
		// was verified any more.
		if r.Locks == nil || r.DryRun || !folder.Places()[0].Folder {
			continue
		}
		lock, err := r.Locks.Take(ctx, folder)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, lock.Release()) }()
	}
	return r.place(ctx, u, p, m, f.Inbox, func(renamed bool) error {
		now, err := p.Identity()
		if renamed && p.Folder { // which gives a directory itself another change time
			now.ChangeTime, now.ModTime = f.ChangeTime, f.ModTime
		}
		same := err == nil && now.Equal(f.Identity)
		for i := 0; same && i < len(inside); i++ {
			now, err = inside[i].Identity()
			same = err == nil && now.Equal(below[i].File.Identity)
		}
		if err == nil && !same {
			err = errChanged
		}
		return err
	})
}

func (r *Retirer) subscriptions(ctx context.Context, u *plan.User) error {
	places, err := r.Host.SubscriptionFiles(u.User)
	defer func() {
		for _, p := range places {
			p.Close() // opened for reading: nothing can be lost
		}
	}()
	if err != nil {
		return err
	}
	for _, p := range places {
		err := r.place(ctx, u, p, Move{User: ledger.RawName(u.Name)}, false, placeUnchanged(p))
		if err != nil && !r.unsummed(u.Name, "", p.Path, err) {
			return fmt.Errorf("%s: %w", report.Quote(p.Path), err)
		}
	}
	return nil
}

func (r *Retirer) tell(user, folder string, size int64, outcome string) {
	list := folder == ""
	if list {
		folder = "(subscriptions)"
	}
	r.Report.Folder(report.Folder{User: user, Folder: folder, Bytes: size, Outcome: outcome, NoFolder: list})
}
