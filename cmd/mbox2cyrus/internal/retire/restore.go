package retire

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// Restore moves back what is in the archive of the users who are wanted. What is not as
// it was moved, and a place that is taken, is reported and left; the error is the
// context's.
func (r *Retirer) Restore(ctx context.Context, wanted func(login string) bool) error {
	var names []string
	named := map[ledger.RawName]bool{}
	for _, m := range r.Record.Moves() {
		if !named[m.User] && wanted(string(m.User)) {
			names = append(names, string(m.User))
		}
		named[m.User] = true
	}
	for _, user := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.recover(user); err != nil {
			r.fail(user, err)
			continue
		}
		for _, m := range slices.Backward(r.Record.movesOf(ledger.RawName(user))) {
			if m.State != Moved {
				continue
			}
			if err := r.restore(ctx, m); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				p := report.Problem{Severity: report.Failure, User: user, Folder: string(m.Folder), Offset: -1, Kind: "restore-failed",
					Text: fmt.Sprintf("%s: %v", report.Quote(string(m.Path)), err)}
				var refused *refusal
				if errors.As(err, &refused) {
					p.Severity, p.Kind = refused.severity, refused.kind
				}
				r.Report.Problem(p)
			}
		}
		if err := r.tidy(user); err != nil {
			r.fail(user, err)
		}
		r.Report.User(user)
	}
	return nil
}

// tidy removes the empty directories that what went back left in the archive, also
// where a run was cut off before it came to that.
func (r *Retirer) tidy(user string) error {
	if r.DryRun {
		return nil
	}
	type place struct{ archive, dir string }
	done := map[place]bool{}
	for _, m := range r.Record.movesOf(ledger.RawName(user)) {
		p := place{string(m.Archive), filepath.Dir(string(m.Path))}
		if m.State != Restored || done[p] {
			continue
		}
		done[p] = true
		a, err := OpenArchive(p.archive)
		if errors.Is(err, fs.ErrNotExist) {
			continue // everything is back, and the archive removed
		}
		if err != nil {
			return err
		}
		if err := errors.Join(a.prune(p.dir), a.Close()); err != nil {
			return err
		}
	}
	return nil
}

// refusal is why a file is not moved back.
type refusal struct {
	severity report.Severity
	kind     string
	text     string
}

func (r *refusal) Error() string { return r.text }

// restore moves one file or directory back. A [*refusal] says why it was left in the archive. The
// record has it as Restoring before the rename and as Restored behind it: if this is cut off,
// recover finds out where it is.
func (r *Retirer) restore(ctx context.Context, m Move) (err error) {
	a, err := OpenArchive(string(m.Archive))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	from, err := a.open(filepath.Dir(string(m.Path)), false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	name := filepath.Base(string(m.Path))
	m.Ino, err = r.checkSum(ctx, from, name, m)
	if err != nil {
		return err
	}
	to, err := openWithoutLinks(string(m.Dir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if err := free(to, name, m); err != nil {
		return err
	}
	if r.DryRun {
		r.tell(string(m.User), string(m.Folder), m.Size, "would go back to "+report.Quote(filepath.Join(string(m.Dir), name)))
		return nil
	}
	block := false
	if m.Blocked {
		_, block, err = entry(to, name)
		if err != nil {
			return err
		}
	}
	m.State = Restoring
	if err := r.Record.Set(m); err != nil {
		return err
	}
	if err := rename(from, name, to, name, block); err != nil {
		m.State = Moved
		return errors.Join(err, r.Record.Set(m))
	}
	if err := errors.Join(to.Sync(), from.Sync()); err != nil {
		return err
	}
	if block {
		// What is recorded as restored is not looked at again.
		if err := errors.Join(removeBlock(from, name), from.Sync()); err != nil {
			return err
		}
	}
	m.State = Restored
	if err := r.Record.Set(m); err != nil {
		return err
	}
	r.tell(string(m.User), string(m.Folder), m.Size, "back as "+report.Quote(filepath.Join(string(m.Dir), name)))
	return nil
}

// checkSum compares what is in the archive with what was moved there. It returns its
// inode, which another one may have if the archive itself was copied since.
func (r *Retirer) checkSum(ctx context.Context, d *os.File, name string, m Move) (ino uint64, err error) {
	flags := unix.O_RDONLY | unix.O_NONBLOCK
	if m.IsDir {
		flags |= unix.O_DIRECTORY
	}
	fd, err := openat(d, name, flags)
	if err != nil {
		return 0, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer func() { err = errors.Join(err, f.Close()) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	if !m.IsDir && st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, &refusal{report.Difference, "checksum", "what is in the archive is no file"}
	}
	if !m.IsDir && st.Size != m.Size {
		return 0, &refusal{report.Difference, "checksum",
			fmt.Sprintf("in the archive it has %d bytes, it was moved there with %d; it was left there", st.Size, m.Size)}
	}
	sum, err := sumOf(ctx, f, m.IsDir)
	var unsummed *unsummedError
	if errors.As(err, &unsummed) { // which was not so when it was moved
		return 0, &refusal{report.Difference, "checksum", fmt.Sprintf("in the archive, %v; it was left there", err)}
	}
	if err != nil {
		return 0, err
	}
	if sum.sum != m.SHA256 {
		return 0, &refusal{report.Difference, "checksum",
			fmt.Sprintf("in the archive it has SHA-256 %s and %d bytes, it was moved there with %s and %d; it was left there", sum.sum, sum.size, m.SHA256, m.Size)}
	}
	return st.Ino, nil
}

// free is nil if the old place of a file is free, and a [*refusal] if it is not.
func free(d *os.File, name string, m Move) error {
	var dir unix.Stat_t
	if err := unix.Fstat(int(d.Fd()), &dir); err != nil {
		return err
	}
	if dir.Uid != m.DirUID {
		return &refusal{report.Attention, "place-changed", fmt.Sprintf("%s belongs to uid %d now, to uid %d when it was moved; it was left in the archive", m.Dir, dir.Uid, m.DirUID)}
	}
	st, taken, err := entry(d, name)
	if err != nil || !taken || m.Blocked && isBlock(st) {
		return err
	}
	return &refusal{report.Attention, "place-taken", fmt.Sprintf("there is something in its place now (%d bytes, of uid %d, changed %s), which is not overwritten; it was left in the archive",
		st.Size, st.Uid, time.Unix(st.Mtim.Unix()).UTC().Format(time.RFC3339))}
}
