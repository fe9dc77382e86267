package retire

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/mbox"
)

// placeUnchanged returns what tells whether a file is still the one that it is now.
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
		if _, found := r.would[p.Path]; found {
			return nil // the list of subscriptions of another login, who has the same home
		}
		r.would[p.Path] = u.Name
		r.tell(u.Name, string(m.Folder), fileSize(p), "would go to "+report.Quote(to))
		return unchanged(false)
	}
	sum, err := sumOf(ctx, p.File, p.Folder)
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

// oneName returns the state of what is in the archive, there, and was on its way in a state. btrfs may have
// both names of a file that was renamed when the power went between the syncs of the two
// directories: then that goes from where it was renamed.
func oneName(source, archive *os.File, name string, there unix.Stat_t, state State) (State, error) {
	st, ok, err := entry(source, name)
	if err != nil {
		return state, err
	}
	if !ok || st.Ino != there.Ino || st.Dev != there.Dev || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return Moved, nil
	}
	from, now := source, Moved
	if state == Restoring {
		from, now = archive, Restored
	}
	if err := unix.Unlinkat(int(from.Fd()), name, 0); err != nil {
		return state, &fs.PathError{Op: "unlink", Path: filepath.Join(from.Name(), name), Err: err}
	}
	return now, nil
}

// settle finds out where one file or directory is that was on its way, and records that.
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
	source, err := openWithoutLinks(string(m.Dir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	st, ok, err := entry(dest, name)
	if err != nil {
		return err
	}
	switch {
	case ok && st.Ino == m.Ino && !isBlock(st):
		if m.State, err = oneName(source, dest, name, st, m.State); err != nil {
			return err
		}
	case ok && !isBlock(st):
		return fmt.Errorf("in the archive is another file of that name; somebody put it in the place of the folder: look at it, and move it away from %s", report.Quote(filepath.Join(dest.Name(), name)))
	default:
		m.State = Restored
		if err := removeBlock(dest, name); err != nil {
			return err
		}
	}
	if err := errors.Join(source.Sync(), dest.Sync()); err != nil {
		return err
	}
	if err := r.Record.Set(m); err != nil || m.State == Moved {
		return err
	}
	return a.prune(filepath.Dir(string(m.Path)))
}
