package mbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/fsrights"
)

// maxLinks is how many symbolic links one path may go through, as in the Linux
// kernel (MAXSYMLINKS).
const maxLinks = 40

// errForeignLink is wrapped when the administrator's part of a path goes through a
// symbolic link that somebody else made.
var errForeignLink = errors.New("symbolic link is neither root's nor the administrator's")

// sourceRoot resolves the administrator's part of paths: those to passwd, to the
// inbox directory and to each home. Unlike the users' part (open.go), symbolic
// links are usual there (/var -> private/var, /home -> /export/home). They are
// followed when root or the owner of the source root made them, and never lead out
// of the source root: an absolute target starts again at the root, as it did on the
// host that was copied, and ".." at the root stays there.
type sourceRoot struct {
	dir   *os.File
	owner uint32
}

// openSourceRoot opens the directory at path, which the administrator chose and
// which is therefore resolved as the system does.
func openSourceRoot(path string) (*sourceRoot, error) {
	fd, err := unix.Open(path, pathOnly|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	dir := os.NewFile(uintptr(fd), path)
	st, err := fstat(dir)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return &sourceRoot{dir: dir, owner: st.Uid}, nil
}

// OpenOutputDir opens a directory to write into, through no symbolic link but those of root and
// of who runs the program: users may control a part of its path.
func OpenOutputDir(path string) (*os.File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	r, err := openSourceRoot("/")
	if err != nil {
		return nil, err
	}
	defer r.Close() // opened to look names up only: nothing can be lost
	r.owner = uint32(os.Geteuid())
	dir, err := r.open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (r *sourceRoot) Close() error { return r.dir.Close() }

// open opens a path below the root: a regular file for reading, a directory to look
// things up in and, after [reopen], to list. Its error wraps that of the system, so
// fs.ErrNotExist and unix.ENOTDIR can be told, or errForeignLink.
//
// These paths are the system's, so it goes with the process's own rights, whatever
// user it is asked for.
func (r *sourceRoot) open(path string) (f *os.File, err error) {
	err = fsrights.AsSelf(func() (err error) {
		f, err = r.walk(path)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

// openFile is open for what must be a regular file.
func (r *sourceRoot) openFile(path string) (*os.File, error) {
	f, err := r.open(path)
	if err != nil {
		return nil, err
	}
	st, err := fstat(f)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = &fs.PathError{Op: "read", Path: path, Err: unix.EISDIR}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// walk follows a path from the source root as the UW host would, links included: one that begins
// with "/" begins at the root again, and ".." never leads above it. A link must be root's or of
// who owns the root. A directory is opened to look names up in it, a regular file to be read.
func (r *sourceRoot) walk(path string) (*os.File, error) {
	// The directories from the root to where we are; ".." takes one off.
	trail := []*os.File{r.dir}
	defer func() {
		for _, d := range trail[1:] {
			d.Close() // opened to look up names only: nothing can be lost
		}
	}()
	back := func(to int) {
		for _, d := range trail[to:] {
			d.Close()
		}
		trail = trail[:to]
	}
	todo := splitPath(path)
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		if name == ".." {
			back(max(1, len(trail)-1))
			continue
		}
		here := trail[len(trail)-1]
		st, err := lstatAt(here, name)
		if err != nil {
			return nil, err
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			if links++; links > maxLinks {
				return nil, unix.ELOOP
			}
			if st.Uid != 0 && st.Uid != r.owner {
				return nil, fmt.Errorf("%q: %w (owner %d)", name, errForeignLink, st.Uid)
			}
			target, err := readLinkAt(here, name, st)
			if err != nil {
				return nil, err
			}
			if strings.HasPrefix(target, "/") {
				back(1)
			}
			todo = append(splitPath(target), todo...)
			if len(todo) > unix.PathMax {
				return nil, unix.ENAMETOOLONG
			}
		case unix.S_IFDIR:
			d, err := openAt(here, name, pathOnly|unix.O_DIRECTORY, st)
			if err != nil {
				return nil, err
			}
			trail = append(trail, d)
		case unix.S_IFREG:
			if len(todo) > 0 {
				return nil, unix.ENOTDIR
			}
			return openAt(here, name, unix.O_RDONLY|unix.O_NONBLOCK, st)
		default:
			return nil, fmt.Errorf("%q: %s: %w", name, fileType(st), unix.ENOTDIR)
		}
	}
	// A descriptor of its own, as all of the trail is closed on return.
	return reopen(trail[len(trail)-1], pathOnly)
}

// splitPath returns the elements of a path without "." and empty ones.
func splitPath(path string) []string {
	var names []string
	for name := range strings.SplitSeq(path, "/") {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return names
}

// cleanPath is a path below the source root as it is shown in messages: without a
// leading slash.
func cleanPath(path string) string { return strings.Join(splitPath(path), "/") }

// readLinkAt returns the target of the link that st describes. The owner was judged
// by st, so it must be the same link before and after the target was read.
func readLinkAt(dir *os.File, name string, st *unix.Stat_t) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
	if err != nil {
		return "", err
	}
	now, err := lstatAt(dir, name)
	if err != nil {
		return "", err
	}
	if !sameFile(now, st) || now.Ctim != st.Ctim {
		return "", errReplaced
	}
	return string(buf[:n]), nil
}
