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
)

// Retired tells a plan what is in archives, by users, and what a run that was cut off was
// moving there or back: that may be in either place.
func (r *Record) Retired() (moved, cutOff map[string][]plan.Retired) {
	moved, cutOff = map[string][]plan.Retired{}, map[string][]plan.Retired{}
	for _, m := range r.Moves() {
		users := cutOff
		switch m.State {
		case Moved:
			users = moved
		case Restored:
			continue
		}
		users[string(m.User)] = append(users[string(m.User)], plan.Retired{User: string(m.User), Folder: string(m.Folder), Path: string(m.Path), Mailbox: m.Mailbox,
			To: m.archived(), Time: m.Time, Blocked: m.Blocked, Was: m.Was})
	}
	return moved, cutOff
}

// archived is the path of what was moved.
func (m Move) archived() string { return filepath.Join(string(m.Archive), string(m.Path)) }

// Check looks after what became of the folder of a mailbox. It is retired if it, or a
// directory that it was in, is in an archive; a mailbox that never had a folder is, if some
// folder of its user is. What is in the archive must be what was moved: by inode, size and
// time, and where these are others, or read is set, by SHA-256. What is not is returned.
func (r *Record) Check(ctx context.Context, rec ledger.Mailbox, read bool) (retired bool, problems []report.Problem, err error) {
	moves := r.with(rec)
	if rec.Source == "" {
		moves = r.movesOf(rec.User)
	}
	for _, m := range moves {
		if m.Folder == "" || m.State == Restored {
			continue
		}
		if m.State != Moved {
			return true, []report.Problem{{Severity: report.Attention, User: string(rec.User), Folder: string(rec.Folder), Offset: -1, Kind: "retire-cut-off",
				Text: fmt.Sprintf("%s: a retire was cut off while it moved this; run retire (or retire --restore) again", report.Quote(string(m.Path)))}}, nil
		}
		retired = true
		if rec.Source == "" {
			return true, nil, nil
		}
		p, err := m.check(ctx, read)
		if err != nil {
			return true, nil, fmt.Errorf("%s: %w", report.Quote(m.archived()), err)
		}
		if p.Kind != "" {
			p.User, p.Folder, p.Offset = string(rec.User), string(rec.Folder), -1
			p.Text = report.Quote(m.archived()) + ": " + p.Text
			problems = append(problems, p)
		}
	}
	return retired, problems, nil
}

// ofAnother returns what was moved as that of another login, and is now with the folder at a
// path in an archive.
func (r *Record) ofAnother(user, path string) (m Move, found bool) {
	for at := path; at != "." && at != "/" && at != ""; at = filepath.Dir(at) {
		if m := r.moves[ledger.RawName(at)]; m.State == Moved && string(m.User) != user && (at == path || m.IsDir) {
			return m, true
		}
	}
	return m, false
}

// check compares what is in the archive with what was moved. Its problem has no kind if
// they are the same.
func (m Move) check(ctx context.Context, read bool) (p report.Problem, err error) {
	differs := func(format string, args ...any) (report.Problem, error) {
		return report.Problem{Severity: report.Difference, Kind: "archive-differs", Text: fmt.Sprintf(format, args...)}, nil
	}
	a, err := OpenArchive(string(m.Archive))
	if errors.Is(err, fs.ErrNotExist) {
		return report.Problem{Severity: report.Note, Kind: "archive-away", Text: "the archive is not here, so that the copy could not be compared with what was retired"}, nil
	}
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	dir, err := a.open(filepath.Dir(string(m.Path)), false)
	if errors.Is(err, fs.ErrNotExist) {
		return differs("it is no longer in the archive")
	}
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	name := filepath.Base(string(m.Path))
	st, ok, err := entry(dir, name)
	switch {
	case err != nil:
		return p, err
	case !ok:
		return differs("it is no longer in the archive")
	case m.IsDir != (st.Mode&unix.S_IFMT == unix.S_IFDIR) || !m.IsDir && st.Mode&unix.S_IFMT != unix.S_IFREG:
		return differs("it is no longer what was retired, but another kind of file")
	case !m.IsDir && st.Size != m.Size:
		return differs("it has %d bytes, had %d when it was retired", st.Size, m.Size)
	}
	if !read && st.Ino == m.Ino && time.Unix(st.Mtim.Unix()).Equal(m.ModTime) {
		return p, nil
	}
	fd, err := openat(dir, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return p, err
	}
	f := os.NewFile(uintptr(fd), name)
	sum := sumFile
	if m.IsDir {
		sum = sumDir
	}
	c, err := sum(ctx, f)
	err = errors.Join(err, f.Close())
	var unsummed *unsummedError
	if errors.As(err, &unsummed) { // which was not so when it was retired
		return differs("%v", err)
	}
	if err != nil {
		return p, err
	}
	if c.sum != m.SHA256 {
		return differs("its SHA-256 is %s, was %s when it was retired", c.sum, m.SHA256)
	}
	return p, nil
}
