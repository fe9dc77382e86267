package cyrusspool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/fsrights"
)

// OpenDir opens the directory dir below root, through no symbolic link below root, for
// listing and as the place that the *at system calls start from. dir is a path as
// [DirByID] and [DirByName] return it. A directory that is not there wraps
// fs.ErrNotExist.
func OpenDir(root, dir string) (*os.File, error) {
	if !filepath.IsLocal(dir) || dir != filepath.Clean(dir) || dir == "." {
		return nil, fmt.Errorf("directory %q: not a clean path below %s", dir, root)
	}
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	at, err := openRoot(root)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(dir, "/") {
		next, err := unix.Openat(at, name, flags|unix.O_NOFOLLOW, 0)
		unix.Close(at) // opened for reading: nothing can be lost
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: filepath.Join(root, dir) + ", at " + name, Err: err}
		}
		at = next
	}
	return os.NewFile(uintptr(at), filepath.Join(root, dir)), nil
}

// openRoot opens a directory that the administrator named, with the process's own rights
// whatever [Owner.Do] says: what is above it is not Cyrus's.
func openRoot(root string) (fd int, err error) {
	err = fsrights.AsSelf(func() (err error) {
		fd, err = unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	return fd, nil
}

// OpenFile opens the file at path, which is below root, for reading, through no symbolic
// link below root; see [OpenFileAt].
func OpenFile(root, path string) (f *os.File, err error) {
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	var d *os.File
	if dir := filepath.Dir(rel); dir != "." {
		d, err = OpenDir(root, dir)
	} else {
		d, err = os.Open(root)
	}
	if err != nil {
		return nil, err
	}
	defer d.Close() // opened for reading: nothing can be lost
	return OpenFileAt(d, filepath.Base(rel))
}

// errNotRegular says that something else has the name of a file.
var errNotRegular = errors.New("no regular file")

// OpenFileAt opens a regular file of a directory for reading, never through a link and without
// waiting for the other end of a FIFO.
func OpenFileAt(d *os.File, name string) (*os.File, error) {
	path := filepath.Join(d.Name(), name)
	fd, err := unix.Openat(int(d.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errNotRegular
	}
	if err != nil {
		unix.Close(fd) // opened for reading: nothing can be lost
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// RemoveDir removes the directory dir below root if it is empty, reaching it through no
// symbolic link below root. One that is not there, or not empty, is left so without
// an error; removed tells.
func RemoveDir(root, dir string) (removed bool, err error) {
	parent := root
	var at *os.File
	if above := filepath.Dir(dir); above != "." {
		at, err = OpenDir(root, above)
		parent = above
	} else {
		at, err = os.Open(root)
	}
	if err == nil {
		err = retry(func() error { return unix.Unlinkat(int(at.Fd()), filepath.Base(dir), unix.AT_REMOVEDIR) })
		if err == nil {
			err = at.Sync()
			removed = err == nil
		}
		if cerr := at.Close(); err == nil {
			err = cerr
		}
	}
	switch {
	case err == nil, isErrno(err, unix.ENOENT, unix.ENOTEMPTY, unix.EEXIST):
		return removed, nil
	}
	return false, fmt.Errorf("remove directory %s below %s: %w", filepath.Base(dir), parent, err)
}

// isErrno reports whether err is or wraps one of the system's errors.
func isErrno(err error, any ...unix.Errno) bool {
	var errno unix.Errno
	return errors.As(err, &errno) && slices.Contains(any, errno)
}
