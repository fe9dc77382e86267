package retire

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Archive is a directory that source folders are moved into.
type Archive struct {
	Path string // absolute
	dir  *os.File
	in   mount
}

// mount is what a name can be renamed within: a file system (a subvolume of btrfs is one), where
// it is mounted. One that is mounted in several places (mount --bind) is not enough (rename(2),
// EXDEV).
type mount struct {
	dev uint64
	id  uint64 // 0: not known (Linux before 5.8)
}

// has is an error of what is mounted in a directory that was reached by the mount.
func (m mount) has(f *os.File) error {
	in, err := mountOf(f)
	if err != nil {
		return err
	}
	same := in.id == m.id // within which a subvolume of btrfs goes with the directory it is in
	if in.id == 0 || m.id == 0 {
		same = in.dev == m.dev
	}
	if !same {
		return &unsummedError{"something is mounted there, which would not be in the archive; unmount it"}
	}
	return nil
}

func mountOf(dir *os.File) (mount, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return mount{}, err
	}
	m := mount{dev: uint64(st.Dev)}
	var stx unix.Statx_t
	err := unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &stx)
	if err == nil && stx.Mask&unix.STATX_MNT_ID != 0 {
		m.id = stx.Mnt_id
	}
	return m, nil // a rename that cannot be says so too
}

// directoryFlags open a directory to be listed, never through a link.
const directoryFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// OpenArchive opens an archive directory. It must be there, belong to who runs the
// program, and be closed to all others for writing: what is in it is mail of users.
func OpenArchive(path string) (*Archive, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open(path, directoryFlags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open archive", Path: path, Err: err}
	}
	a := &Archive{Path: path, dir: os.NewFile(uintptr(fd), path)}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	if st.Uid != uint32(os.Geteuid()) || st.Mode&0o022 != 0 {
		return nil, errors.Join(fmt.Errorf("archive %s: it belongs to uid %d with mode %04o; it must belong to uid %d and be writable by nobody else",
			path, st.Uid, st.Mode&0o7777, os.Geteuid()), a.Close())
	}
	if a.in, err = mountOf(a.dir); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Close closes the archive.
func (a *Archive) Close() error { return a.dir.Close() }

// open opens the directory of a path below the archive, and makes it if wanted, each
// with mode 0700.
func (a *Archive) open(dir string, create bool) (*os.File, error) {
	at, err := unix.Dup(int(a.dir.Fd()))
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(at)
	for name := range strings.SplitSeq(dir, "/") {
		if name == "." {
			continue
		}
		next, err := openBelow(at, name, create)
		unix.Close(at) // opened for reading: nothing can be lost
		if errors.Is(err, fs.ErrInvalid) {
			err = fmt.Errorf("path %q: %w", dir, err)
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: filepath.Join(a.Path, dir) + ", at " + name, Err: err}
		}
		at = next
	}
	return os.NewFile(uintptr(at), filepath.Join(a.Path, dir)), nil
}

// openBelow opens the directory name in that of the descriptor at. With create, one that is
// not there is made, and its name is on the disk on return.
func openBelow(at int, name string, create bool) (fd int, err error) {
	if name == "" || name == ".." {
		return -1, fs.ErrInvalid
	}
	if create {
		if err := unix.Mkdirat(at, name, 0o700); err != nil && err != unix.EEXIST {
			return -1, err
		}
	}
	fd, err = unix.Openat(at, name, directoryFlags, 0)
	if err != nil || !create {
		return fd, err
	}
	if err := unix.Fsync(at); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// prune removes the directories of a path that are empty, from the deepest on. A run that
// was cut off may have removed some of them.
func (a *Archive) prune(dir string) error {
	for ; dir != "." && dir != "/"; dir = filepath.Dir(dir) {
		above, err := a.open(filepath.Dir(dir), false)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = unix.Unlinkat(int(above.Fd()), filepath.Base(dir), unix.AT_REMOVEDIR)
		if err := above.Close(); err != nil {
			return err
		}
		if err == unix.ENOTEMPTY || err == unix.EEXIST {
			return nil
		}
		if err != nil && err != unix.ENOENT {
			return &fs.PathError{Op: "remove directory", Path: filepath.Join(a.Path, dir), Err: err}
		}
	}
	return nil
}

// openWithoutLinks opens an absolute directory, none of whose parts may be a link.
func openWithoutLinks(dir string) (*os.File, error) {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: fs.ErrInvalid}
	}
	at, err := unix.Open("/", directoryFlags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "/", Err: err}
	}
	for name := range strings.SplitSeq(strings.TrimPrefix(dir, "/"), "/") {
		if name == "" {
			continue
		}
		next, err := unix.Openat(at, name, directoryFlags, 0)
		unix.Close(at) // opened for reading: nothing can be lost
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: dir + ", at " + name, Err: err}
		}
		at = next
	}
	return os.NewFile(uintptr(at), dir), nil
}

// canonical is the absolute path of an open directory, without links.
func canonical(d *os.File) (string, error) {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", d.Fd()))
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%s: its path cannot be told (%q)", d.Name(), path)
	}
	return path, nil
}

// entry describes a name in a directory, without following a link. ok is false where
// there is none.
func entry(d *os.File, name string) (st unix.Stat_t, ok bool, err error) {
	err = unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return st, false, nil
	}
	if err != nil {
		return st, false, &fs.PathError{Op: "stat", Path: filepath.Join(d.Name(), name), Err: err}
	}
	return st, true, nil
}

// isBlock reports whether an entry is one of the empty directories that keep a place. In a
// directory with the setgid bit they have that too.
func isBlock(st unix.Stat_t) bool {
	return st.Mode&(unix.S_IFMT|0o777) == unix.S_IFDIR && st.Uid == uint32(os.Geteuid())
}

// makeBlock makes such a directory; one that a run which was cut off left is taken.
func makeBlock(d *os.File, name string) error {
	err := unix.Mkdirat(int(d.Fd()), name, 0)
	if err == unix.EEXIST {
		if st, _, serr := entry(d, name); serr == nil && isBlock(st) {
			return nil
		}
	}
	if err != nil {
		return &fs.PathError{Op: "make directory", Path: filepath.Join(d.Name(), name), Err: err}
	}
	return nil
}

// removeBlock removes one, if it is there. Only an empty directory goes.
func removeBlock(d *os.File, name string) error {
	err := unix.Unlinkat(int(d.Fd()), name, unix.AT_REMOVEDIR)
	if err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "remove directory", Path: filepath.Join(d.Name(), name), Err: err}
	}
	return nil
}

// rename moves a name from one directory to another where there is none. With block,
// to hold an empty directory that changes places with it.
func rename(from *os.File, name string, to *os.File, toName string, block bool) error {
	flags := uint(unix.RENAME_NOREPLACE)
	if block {
		flags = unix.RENAME_EXCHANGE
	}
	err := unix.Renameat2(int(from.Fd()), name, int(to.Fd()), toName, flags)
	switch {
	case err == unix.EXDEV:
		err = fmt.Errorf("%w: nothing is copied between file systems; give an archive on the same one", err)
	case err == unix.EINVAL:
		err = fmt.Errorf("%w: this file system cannot rename without replacing", err)
	}
	if err != nil {
		return &fs.PathError{Op: "move", Path: filepath.Join(from.Name(), name), Err: err}
	}
	return nil
}

// archiveFor returns the archive that what is in a directory can be renamed into.
func (r *Retirer) archiveFor(dir *os.File) (*Archive, error) {
	in, err := mountOf(dir)
	if err != nil {
		return nil, err
	}
	elsewhere := ""
	for _, a := range r.Archives {
		if a.in == in {
			return a, nil
		}
		if a.in.dev == in.dev {
			elsewhere = fmt.Sprintf(" (%s is, but that is mounted twice, and the archive must be below the same mount)", a.Path)
		}
	}
	return nil, fmt.Errorf("no --archive is on the same file system%s, and nothing is copied between file systems: name one there too (--archive may be repeated)", elsewhere)
}
