package retire

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

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

	moved []Move // by this run
}

// Run retires the users of a plan, one after another. Whatever keeps one from it is
// reported; the error is the context's.
func (r *Retirer) Run(ctx context.Context, p *plan.Plan) error {
	defer r.lookAgain(context.WithoutCancel(ctx))
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
		p, err := m.check(ctx, false)
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

// withoutShared returns a user's folders but for those that went with another login who has
// the same home, and tells of these.
func (r *Retirer) withoutShared(u *plan.User) (left []plan.Folder) {
	for _, f := range u.Folders {
		if m, found := r.Record.ofAnother(u.Name, f.File.Path); found {
			r.tell(u.Name, f.File.Name, 0, "went with those of "+report.Quote(string(m.User))+", who has the same home")
			continue
		}
		left = append(left, f)
	}
	return left
}

// findings takes what a verification finds.
type findings struct {
	problems []report.Problem
	folders  []report.Folder
}

func (f *findings) Problem(p report.Problem) { f.problems = append(f.problems, p) }
func (f *findings) Folder(o report.Folder)   { f.folders = append(f.folders, o) }
func (f *findings) User(string)              {}

// isProved verifies a user and reports why he is not clean. Mail that came into Cyrus
// since is as it should be, and so is what users do to mail that was proved to be there
// when it was migrated, and folders that an earlier run moved.
func (r *Retirer) isProved(ctx context.Context, u *plan.User) (bool, error) {
	found := &findings{}
	v := r.Verifier
	v.Report, v.Level, v.InUse = found, verify.LevelIndex, true
	one := *u
	one.Problems = nil // reported, and what they tell of is not moved
	one.Folders = slices.Clone(u.Folders)
	for i, f := range one.Folders {
		// An earlier run moved the first places of an INBOX, and came no further.
		rec, known, err := v.Ledger.Mailbox(string(f.Mailbox))
		if err != nil {
			return false, err
		}
		if known {
			if whole, same := u.Rejoined(f.File, rec); same {
				one.Folders[i].File.Identity = whole
			}
		}
	}
	if err := v.Run(ctx, &plan.Plan{Users: []*plan.User{&one}}); err != nil {
		return false, err
	}
	moved := map[string]bool{}
	recs, err := v.Ledger.MailboxesOf(u.Name)
	if err != nil {
		return false, err
	}
	for _, rec := range recs {
		if rec.Source == "" || r.Record.anyOf(rec, func(s State) bool { return s == Moved }) {
			moved[rec.Name] = true
		}
	}
	clean := true
	for _, p := range found.problems {
		switch {
		case p.Kind == "newer-mail":
			p.Severity = report.Note
		case p.Kind == "source-gone" && moved[p.Mailbox]:
			continue
		case p.Kind == string(mbox.KindUnreadable):
			// Also if it is approved of: what is moved is read as a whole, for its SHA-256.
			p.Severity = report.Attention
		}
		clean = clean && p.Severity == report.Note
		r.Report.Problem(p)
	}
	for _, f := range found.folders {
		clean = clean && f.Found == f.Verified+f.HeldMail
	}
	return clean, nil
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

// archiveFor returns the archive on the file system of a directory.
func (r *Retirer) archiveFor(dir *os.File) (*Archive, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return nil, err
	}
	for _, a := range r.Archives {
		if a.dev == uint64(st.Dev) {
			return a, nil
		}
	}
	return nil, fmt.Errorf("no --archive is on the same file system, and nothing is copied between file systems: name one there too (--archive may be repeated)")
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

func placeUnchanged(p mbox.Place) func(bool) error {
	before, berr := ledger.Stat(p.File)
	return func(bool) error {
		now, err := ledger.Stat(p.File)
		if err := errors.Join(berr, err); err != nil {
			return err
		}
		if !now.Equal(before) {
			return errors.New("it changed while it was read; run migrate and retire again")
		}
		return nil
	}
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
		if err := r.place(ctx, u, p, Move{User: ledger.RawName(u.Name)}, false, placeUnchanged(p)); err != nil {
			return fmt.Errorf("%s: %w", report.Quote(p.Path), err)
		}
	}
	return nil
}

// place moves one file or directory into the archive. unchanged is an error if it is not as it
// was verified; it is asked before the rename and, of a directory, behind it.
func (r *Retirer) place(ctx context.Context, u *plan.User, p mbox.Place, m Move, inbox bool, unchanged func(renamed bool) error) (err error) {
	if r.Record.Archived(ledger.RawName(p.Path)) {
		r.leave(u.Name, m, p)
		return nil
	}
	a, err := r.archiveFor(p.Dir)
	if err != nil {
		return err
	}
	var dir unix.Stat_t
	if err := unix.Fstat(int(p.Dir.Fd()), &dir); err != nil {
		return err
	}
	to := filepath.Join(a.Path, p.Path)
	if r.DryRun {
		r.tell(u.Name, string(m.Folder), fileSize(p), "would go to "+report.Quote(to))
		return unchanged(false)
	}
	var sum content
	if p.Folder {
		sum, err = sumDir(ctx, p.File)
	} else {
		sum, err = sumFile(ctx, p.File)
	}
	if err == nil {
		err = unchanged(false)
	}
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(p.File.Fd()), &st); err != nil {
		return err
	}
	canon, err := canonical(p.Dir)
	if err != nil {
		return err
	}
	m.State, m.Path, m.Dir, m.DirUID, m.Archive = Moving, ledger.RawName(p.Path), ledger.RawName(canon), dir.Uid, ledger.RawName(a.Path)
	m.Ino, m.Size, m.SHA256, m.IsDir, m.ModTime = st.Ino, sum.size, sum.sum, p.Folder, time.Unix(st.Mtim.Unix()).UTC()
	m.Blocked = inbox && dir.Uid != u.UID
	if err := r.Record.Set(m); err != nil {
		return err
	}
	if err := r.move(p, a, m, unchanged); err != nil {
		return err
	}
	m.State = Moved
	if err := r.Record.Set(m); err != nil {
		return err
	}
	r.moved = append(r.moved, m)
	r.tell(u.Name, string(m.Folder), m.Size, "archived as "+report.Quote(to))
	return nil
}

// leave tells of a file that somebody wrote where one was that is in an archive. It stays: the
// record knows one file of a path, and must not forget that one.
func (r *Retirer) leave(user string, m Move, p mbox.Place) {
	was := r.Record.moves[ledger.RawName(p.Path)]
	r.Report.Problem(report.Problem{Severity: report.Attention, User: user, Folder: string(m.Folder), Offset: -1, Kind: "not-retired",
		Text: fmt.Sprintf("%s was written after the one that was there was retired to %s; it is left where it is: remove it if nothing in it is wanted, or move it away",
			report.Quote(p.Path), report.Quote(was.archived()))})
}

// move renames, and looks whether it was the right one.
func (r *Retirer) move(p mbox.Place, a *Archive, m Move, unchanged func(renamed bool) error) (err error) {
	dest, err := a.open(filepath.Dir(p.Path), true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dest.Close()) }()
	name := filepath.Base(p.Path)
	if m.Blocked {
		if err := makeBlock(dest, name); err != nil {
			return err
		}
	}
	if err := rename(p.Dir, p.Name, dest, name, m.Blocked); err != nil {
		return r.giveUp(a, dest, m, err)
	}
	st, ok, err := entry(dest, name)
	switch {
	case err != nil:
		return err
	case !ok || st.Ino != m.Ino:
		err = errors.New("another file was put in its place while it was being moved; it was put back")
	case !m.IsDir && (st.Size != m.Size || !time.Unix(st.Mtim.Unix()).Equal(m.ModTime)):
		err = errors.New("somebody wrote into it while it was being moved; it was put back: run migrate and retire again")
	case m.IsDir:
		if err = unchanged(true); err != nil {
			err = fmt.Errorf("%w (it was put back)", err)
		}
	}
	if err != nil {
		if back := rename(dest, name, p.Dir, p.Name, m.Blocked); back != nil {
			return errors.Join(err, back)
		}
		return r.giveUp(a, dest, m, err)
	}
	return errors.Join(syncOf(p.Dir), dest.Sync())
}

// giveUp records that nothing was moved.
func (r *Retirer) giveUp(a *Archive, dest *os.File, m Move, cause error) error {
	if m.Blocked {
		cause = errors.Join(cause, removeBlock(dest, filepath.Base(string(m.Path))), dest.Sync())
	}
	m.State = Restored
	return errors.Join(cause, r.Record.Set(m), a.prune(filepath.Dir(string(m.Path))))
}

// syncOf syncs a directory that was opened only to look names up.
func syncOf(d *os.File) error {
	fd, err := unix.Openat(int(d.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: d.Name(), Err: err}
	}
	f := os.NewFile(uintptr(fd), d.Name())
	return errors.Join(f.Sync(), f.Close())
}

func fileSize(p mbox.Place) int64 {
	info, err := p.File.Stat()
	if err != nil || p.Folder {
		return 0
	}
	return info.Size()
}

func (r *Retirer) tell(user, folder string, size int64, outcome string) {
	if folder == "" {
		folder = "(subscriptions)"
	}
	r.Report.Folder(report.Folder{User: user, Folder: folder, Bytes: size, Outcome: outcome})
}

// recover settles what a run that was cut off left open: of whatever was on its way it
// finds out on which side it is.
func (r *Retirer) recover(user string) error {
	if r.DryRun {
		return nil
	}
	for _, m := range r.Record.movesOf(ledger.RawName(user)) {
		if m.State != Moving && m.State != Restoring {
			continue
		}
		if err := r.settle(m); err != nil {
			return fmt.Errorf("%s, which a run that was cut off was moving: %w", report.Quote(string(m.Path)), err)
		}
	}
	return nil
}

func (r *Retirer) settle(m Move) (err error) {
	a, err := OpenArchive(string(m.Archive))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	name := filepath.Base(string(m.Path))
	dest, err := a.open(filepath.Dir(string(m.Path)), true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dest.Close()) }()
	st, ok, err := entry(dest, name)
	if err != nil {
		return err
	}
	switch {
	case ok && st.Ino == m.Ino && !isBlock(st):
		m.State = Moved
	case ok && !isBlock(st):
		return fmt.Errorf("in the archive is another file of that name; somebody put it in the place of the folder: look at it, and move it away from %s", report.Quote(filepath.Join(dest.Name(), name)))
	default:
		m.State = Restored
		if err := removeBlock(dest, name); err != nil {
			return err
		}
	}
	source, err := openWithoutLinks(string(m.Dir))
	if err == nil {
		err = errors.Join(source.Sync(), source.Close())
	}
	if err := errors.Join(err, dest.Sync()); err != nil {
		return err
	}
	if err := r.Record.Set(m); err != nil || m.State == Moved {
		return err
	}
	return a.prune(filepath.Dir(string(m.Path)))
}
