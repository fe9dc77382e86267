package cyrusspool

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/fsrights"
)

// makeDir opens dir below root and makes what is missing of it, each directory with the
// owner's DirMode. It goes down by descriptors, so that nothing below root can lead
// elsewhere. A directory that this process's user owns although o names another was
// left by a run that was interrupted before it could give it away: that is done now.
func makeDir(root, dir string, o Owner) (*os.File, error) {
	if !filepath.IsLocal(dir) || dir != filepath.Clean(dir) || dir == "." {
		return nil, fmt.Errorf("directory %q: not a clean path below the partition", dir)
	}
	at, err := openRoot(root)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(dir, "/") {
		next, err := makeDirAt(at, name, o)
		unix.Close(at) // opened for reading: nothing can be lost
		if err != nil {
			return nil, &fs.PathError{Op: "make directory", Path: filepath.Join(root, dir) + ", at " + name, Err: err}
		}
		at = next
	}
	return os.NewFile(uintptr(at), filepath.Join(root, dir)), nil
}

func makeDirAt(parent int, name string, o Owner) (fd int, err error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err = unix.Openat(parent, name, flags, 0)
	made := false
	if err == unix.ENOENT {
		// Two writers can make the same directory of two mailboxes at once.
		if err := unix.Mkdirat(parent, name, 0o700); err != nil && err != unix.EEXIST {
			return -1, err
		}
		made = true
		fd, err = unix.Openat(parent, name, flags, 0)
	}
	if err != nil {
		return -1, err
	}
	if err := giveDir(fd, made, o); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// giveDir sets owner and mode of a directory that was made, now or by a run that did
// not come so far.
func giveDir(fd int, made bool, o Owner) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	orphan := o.UID >= 0 && st.Uid != uint32(o.UID) && st.Uid == uint32(os.Geteuid())
	if !made && !orphan {
		return nil
	}
	return fsrights.AsSelf(func() error {
		if err := unix.Fchmod(fd, uint32(o.DirMode.Perm())); err != nil {
			return err
		}
		if o.UID >= 0 {
			return unix.Fchown(fd, o.UID, o.GID)
		}
		return nil
	})
}
