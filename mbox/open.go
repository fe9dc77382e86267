package mbox

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/fsrights"
)

// errReplaced is wrapped when a name led to another file a moment ago.
var errReplaced = errors.New("replaced by another file meanwhile")

// RefusedError is the error of [Host.Open] for a file or directory that must not be
// opened: it is not what it was when it was listed, or never was what it has to be.
type RefusedError struct {
	Skipped
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("mbox %q: %s: %s", e.Path, e.Kind, e.Text)
}

// openUserDir opens one directory of the users' part of a path, below its parent and
// through no link. It must belong to the user or to root. flags is O_RDONLY for a
// directory that will be listed, else pathOnly.
func openUserDir(parent *os.File, name string, uid uint32, flags int) (*os.File, *Skipped, error) {
	st, err := lstatAt(parent, name)
	if err != nil {
		return nil, nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, notRegular(parent, name, st), nil
	}
	if st.Uid != uid && st.Uid != 0 {
		return nil, &Skipped{Kind: SkipWrongOwner, MayHoldMail: true,
			Text: fmt.Sprintf("directory belongs to uid %d, not to the user (uid %d) or root; chown it if it is the user's", st.Uid, uid)}, nil
	}
	dir, err := openAt(parent, name, flags|unix.O_DIRECTORY, st)
	if errors.Is(err, errReplaced) {
		return nil, changed(), nil
	}
	if err == unix.EACCES && st.Uid == 0 {
		return nil, notForUser("directory ", uid), nil
	}
	return dir, nil, err
}

// openUserPath opens a directory some names further down in the users' part of a path,
// each as openUserDir does; dir itself, anew, for no names.
func openUserPath(dir *os.File, names []string, uid uint32, flags int) (*os.File, *Skipped, error) {
	if len(names) == 0 {
		again, err := reopen(dir, flags)
		return again, nil, err
	}
	here := dir
	for i, name := range names {
		want := pathOnly
		if i == len(names)-1 {
			want = flags
		}
		next, s, err := openUserDir(here, name, uid, want)
		if here != dir {
			here.Close()
		}
		if err != nil || s != nil {
			return nil, s, err
		}
		here = next
	}
	return here, nil, nil
}

// openUserFile opens one file of the users' part of a path for reading. It is looked
// at before it is opened, because opening a FIFO blocks and opening a tape rewinds
// it, and again afterwards, because its user may swap it in between. It must be
// regular, and its user must have been able to read it: it is his, or it is root's
// and either has no other name or can be read by everybody. (A user can give a
// private file of root's, say another mailbox in the inbox directory, a second name
// in his own folder, by link(2), or move it there.) Where the user's own rights are used
// (see [Host.as]), the system says the same; a process without that power has this.
func openUserFile(dir *os.File, name string, uid uint32) (*os.File, *unix.Stat_t, *Skipped, error) {
	st, err := lstatAt(dir, name)
	if err != nil {
		return nil, nil, nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, nil, notRegular(dir, name, st), nil
	}
	if s := wrongOwner(st, uid); s != nil {
		return nil, nil, s, nil
	}
	file, err := openAt(dir, name, unix.O_RDONLY|unix.O_NONBLOCK, st)
	if errors.Is(err, errReplaced) {
		return nil, nil, changed(), nil
	}
	if err == unix.EACCES && st.Uid == 0 {
		return nil, nil, notForUser("", uid), nil
	}
	if err != nil {
		return nil, nil, nil, err
	}
	// Owner, mode and links may have changed since; only now they can be trusted.
	if st, err = fstat(file); err != nil {
		return nil, nil, nil, errors.Join(err, file.Close())
	}
	if s := wrongOwner(st, uid); s != nil {
		file.Close()
		return nil, nil, s, nil
	}
	return file, st, nil, nil
}

// wrongOwner says why a regular file may not be opened on behalf of uid.
func wrongOwner(st *unix.Stat_t, uid uint32) *Skipped {
	const readByAll = 0o004
	switch {
	case st.Uid == uid:
		return nil
	case st.Uid != 0:
		return &Skipped{Kind: SkipWrongOwner, MayHoldMail: true,
			Text: fmt.Sprintf("belongs to uid %d, not to the user (uid %d) or root; chown it if it is the user's mail", st.Uid, uid)}
	case st.Nlink != 1 && st.Mode&readByAll == 0:
		return &Skipped{Kind: SkipWrongOwner, MayHoldMail: true,
			Text: fmt.Sprintf("belongs to root (uid 0), not to the user (uid %d), has %d names (hard links) and cannot be read by everybody: it may be another file of root's; chown it if it is the user's mail", uid, st.Nlink)}
	}
	return nil
}

// notForUser is the finding for what root owns and uid may not read, so that UW did not
// serve it either.
func notForUser(what string, uid uint32) *Skipped {
	return &Skipped{Kind: SkipWrongOwner, MayHoldMail: true,
		Text: fmt.Sprintf("%sbelongs to root (uid 0), and its user (uid %d) may not read it; chown it if it is the user's mail", what, uid)}
}

// changed is the finding for a name that was swapped between two system calls.
func changed() *Skipped {
	return &Skipped{Kind: SkipChanged, MayHoldMail: true, Text: "replaced while it was being opened; run again when its user is logged out"}
}

// notRegular describes a file that is not what was expected, by its type.
func notRegular(dir *os.File, name string, st *unix.Stat_t) *Skipped {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		text := "symbolic link"
		if target, err := readLinkAt(dir, name, st); err == nil {
			text = fmt.Sprintf("symbolic link to %q", clip(target))
		}
		return &Skipped{Kind: SkipSymlink, MayHoldMail: true,
			Text: text + ", not followed; if it leads to mail of this user that is nowhere else, put the file in its place"}
	case unix.S_IFIFO:
		return &Skipped{Kind: SkipFIFO, Text: "FIFO, not opened; it holds no mail"}
	case unix.S_IFSOCK:
		return &Skipped{Kind: SkipSocket, Text: "socket, not opened; it holds no mail"}
	case unix.S_IFDIR:
		return &Skipped{Kind: SkipDirectory, MayHoldMail: true, Text: "directory where a file belongs; look whether it holds mail"}
	case unix.S_IFREG:
		return &Skipped{Kind: SkipNotFolder, MayHoldMail: true, Text: "file where a directory belongs; look whether it is mail"}
	}
	return &Skipped{Kind: SkipDevice, Text: fileType(st) + ", not opened"}
}

// fileType names the type of a file for a message.
func fileType(st *unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "regular file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symbolic link"
	case unix.S_IFIFO:
		return "FIFO"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFCHR:
		return "character device"
	case unix.S_IFBLK:
		return "block device"
	}
	return fmt.Sprintf("file of unknown type %#o", st.Mode&unix.S_IFMT)
}

// openAt opens name below dir, never through a link, and checks that it got the file
// that st describes. Access times are left alone where that is permitted.
func openAt(dir *os.File, name string, flags int, st *unix.Stat_t) (*os.File, error) {
	flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC
	open := func(flags int) (fd int, err error) {
		for {
			fd, err = unix.Openat(int(dir.Fd()), name, flags, 0)
			if err != unix.EINTR {
				return fd, err
			}
		}
	}
	openQuietly := func() (fd int, err error) {
		fd, err = open(flags | noAtime)
		if err == unix.EPERM && noAtime != 0 {
			if fd, err = open(flags); err == nil {
				leaveAtime(fd)
			}
		}
		return fd, err
	}
	fd, err := openQuietly()
	if err == unix.EACCES && isHisAllTheSame(dir, st) {
		err = fsrights.AsSelf(func() (err error) {
			fd, err = openQuietly()
			return err
		})
	}
	if err == unix.ELOOP || err == unix.ENOTDIR || err == unix.ENXIO {
		// It was a file of the right type in st, and is now a link, no directory, or a
		// socket or device.
		return nil, errReplaced
	}
	if err == unix.EAGAIN {
		return nil, fmt.Errorf("another program has a lease on it (fcntl(2)), as Samba takes: run again: %w", err)
	}
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	got, err := fstat(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if !sameFile(got, st) {
		return nil, errors.Join(errReplaced, file.Close())
	}
	return file, nil
}

// leaveAtime sets O_NOATIME, which open(2) refuses to all but the file's owner and root, on
// a file that a user's rights were enough to open, as root if the process is that.
// Where it is not, the access time changes.
func leaveAtime(fd int) {
	_ = fsrights.AsSelf(func() error {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err == nil {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|noAtime)
		}
		return err
	})
}

// reopen returns another descriptor of a directory, with an offset of its own.
func reopen(dir *os.File, flags int) (*os.File, error) {
	st, err := fstat(dir)
	if err != nil {
		return nil, err
	}
	return openAt(dir, ".", flags|unix.O_DIRECTORY, st)
}

// lstatAt describes name below dir, without following a link.
func lstatAt(dir *os.File, name string) (*unix.Stat_t, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EACCES { // to look opens nothing; what is there can then be named
			err = fsrights.AsSelf(func() error {
				return unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
			})
		}
		if err != nil {
			return nil, err // without the name: it is hostile, and callers know the path
		}
		return &st, nil
	}
}

func fstat(f *os.File) (*unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	return &st, nil
}

func sameFile(a, b *unix.Stat_t) bool {
	return a.Dev == b.Dev && a.Ino == b.Ino && a.Mode&unix.S_IFMT == b.Mode&unix.S_IFMT
}

func timeOf(ts unix.Timespec) time.Time { return time.Unix(ts.Unix()) }
