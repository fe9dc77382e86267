package export

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"mbox2cyrus/mbox"
)

// partialSuffix ends the name of what is not complete. It goes with the last step.
const partialSuffix = ".partial"

// output is a file or a tree that is written under another name and gets its own
// when it is complete and on the disk. Nothing that exists is ever written into or
// replaced, and no link is followed but root's on the way to the directory that it is in.
type output struct {
	parent *os.File // directory that it is in
	name   string
	owner  *Owner
	dirs   []*os.File          // all that were made, of a tree; the first is the tree
	made   map[string]*os.File // by their path in the tree
}

// newOutput refuses a path that exists, or that a run which was cut off began.
func newOutput(path string, owner *Owner) (*output, error) {
	path = filepath.Clean(path)
	parent, err := mbox.OpenOutputDir(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("export to %s: the directory that it is to be in: %w", path, err)
	}
	o := &output{parent: parent, name: filepath.Base(path), owner: owner}
	for _, name := range []string{o.name, o.name + partialSuffix} {
		var st unix.Stat_t
		err := unix.Fstatat(int(parent.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == unix.ENOENT {
			continue
		}
		hint := "nothing is ever overwritten"
		if name != o.name {
			hint = "it is left of an export that was cut off or failed: remove it"
		}
		if err == nil {
			err = fmt.Errorf("%w; %s", fs.ErrExist, hint)
		}
		return nil, errors.Join(&fs.PathError{Op: "export to", Path: filepath.Join(parent.Name(), name), Err: err}, o.close())
	}
	return o, nil
}

// file makes the output a file.
func (o *output) file() (*os.File, error) { return createAt(o.parent, o.name+partialSuffix) }

// tree makes the output a directory.
func (o *output) tree() error {
	d, err := makeDirAt(o.parent, o.name+partialSuffix)
	if err == nil {
		o.dirs = append(o.dirs, d)
	}
	return err
}

// fileAt makes a file in the tree, and the directories above it.
func (o *output) fileAt(path string) (*os.File, error) {
	d, err := o.dirAt(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	return createAt(d, filepath.Base(path))
}

// dirAt returns a directory of the tree, which is made if it is not there.
func (o *output) dirAt(path string) (*os.File, error) {
	if path == "." {
		return o.dirs[0], nil
	}
	if d, ok := o.made[path]; ok {
		return d, nil
	}
	above, err := o.dirAt(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	d, err := makeDirAt(above, filepath.Base(path))
	if err != nil {
		return nil, err
	}
	if o.made == nil {
		o.made = map[string]*os.File{}
	}
	o.made[path] = d
	o.dirs = append(o.dirs, d)
	return d, nil
}

// finishFile gives a written file its owner, puts it on the disk and closes it.
func (o *output) finishFile(f *os.File) error {
	var err error
	if o.owner != nil {
		err = f.Chown(o.owner.UID, o.owner.GID)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// commit gives the output its name.
func (o *output) commit() error {
	for _, d := range o.dirs {
		if o.owner != nil {
			if err := d.Chown(o.owner.UID, o.owner.GID); err != nil {
				return err
			}
		}
		if err := d.Sync(); err != nil {
			return err
		}
	}
	at := int(o.parent.Fd())
	err := unix.Renameat2(at, o.name+partialSuffix, at, o.name, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL { // of NFS, FUSE and others, which know no such flag
		err = o.renameByHand(at)
	}
	if err != nil {
		return &fs.PathError{Op: "rename", Path: filepath.Join(o.parent.Name(), o.name+partialSuffix), Err: err}
	}
	return o.parent.Sync()
}

// renameByHand gives the output its name by calls that replace nothing either: link(2) fails
// where the name is taken, and rename(2) puts a directory in the place of nothing but an empty
// directory.
func (o *output) renameByHand(at int) error {
	if len(o.dirs) > 0 {
		return unix.Renameat(at, o.name+partialSuffix, at, o.name)
	}
	if err := unix.Linkat(at, o.name+partialSuffix, at, o.name, 0); err != nil {
		return err
	}
	return unix.Unlinkat(at, o.name+partialSuffix, 0)
}

// abandon removes a file that is not complete. A tree is left for the person to see
// what it has.
func (o *output) abandon() error {
	err := unix.Unlinkat(int(o.parent.Fd()), o.name+partialSuffix, 0)
	if err != nil {
		return &fs.PathError{Op: "unlink", Path: filepath.Join(o.parent.Name(), o.name+partialSuffix), Err: err}
	}
	return nil
}

func (o *output) close() error {
	err := o.parent.Close()
	for _, d := range o.dirs {
		err = errors.Join(err, d.Close())
	}
	return err
}

func createAt(d *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(d.Fd()), name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: filepath.Join(d.Name(), name), Err: err}
	}
	return os.NewFile(uintptr(fd), filepath.Join(d.Name(), name)), nil
}

// makeDirAt makes a directory, and opens the very one: where others may write into
// the directory above, they could have put another in its place.
func makeDirAt(parent *os.File, name string) (*os.File, error) {
	fail := func(err error) (*os.File, error) {
		return nil, &fs.PathError{Op: "make directory", Path: filepath.Join(parent.Name(), name), Err: err}
	}
	if err := unix.Mkdirat(int(parent.Fd()), name, 0o700); err != nil {
		return fail(err)
	}
	fd, err := unix.Openat(int(parent.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	d := os.NewFile(uintptr(fd), filepath.Join(parent.Name(), name))
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fail(errors.Join(err, d.Close()))
	}
	if st.Uid != uint32(os.Geteuid()) || st.Mode&0o077 != 0 {
		return fail(errors.Join(errors.New("somebody put another directory in its place"), d.Close()))
	}
	return d, nil
}

// fileName is what a component of a Cyrus name is called as a file. UW keeps
// modified UTF-7 as clients send it, so that it stays.
func fileName(component string, slash bool) string {
	if slash {
		component = strings.ReplaceAll(component, "^", ".") // a dot, as users see it
	}
	switch component {
	case "", ".", "..":
		return strings.Repeat("_", max(1, len(component)))
	}
	return strings.Map(func(c rune) rune {
		if c == '/' || c < ' ' || c == 0x7f {
			return '_'
		}
		return c
	}, component)
}
