// Package scratch makes directories for what is needed for a while only, in the directory
// for temporary files or in memory, and removes those that killed runs have left there.
package scratch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a directory is for, a part of its name.
const (
	Probe         = "probe"
	SpecialUse    = "specialuse"
	Conversations = "conversations"
	IMAPD         = "imapd"
	Databases     = "databases"
)

// Memory is where Linux has a file system in memory for everybody (shm_overview(7)).
const Memory = "/dev/shm"

// prefix begins the names of directories that are locked while they are in use, which those
// of older programs are not.
const prefix = "mbox2cyrus-scratch-"

// name is that of a directory that Make made.
var name = regexp.MustCompile(`^` + prefix + `(` + Probe + `|` + SpecialUse + `|` + Conversations + `|` + IMAPD + `|` + Databases + `)-[0-9]+$`)

// Dir is a directory that belongs to this process's user. Others can search it, but they
// can neither list nor change what is in it.
type Dir struct {
	Path string
	// File is the open directory. It is in use as long as somebody has inherited this, also
	// when this process was killed.
	File *os.File
}

// Make makes one for a purpose, in the directory for temporary files.
func Make(what string) (*Dir, error) { return MakeIn(os.TempDir(), what) }

// MakeIn is Make in another directory: [Memory], or it is not found by [Sweep].
func MakeIn(dir, what string) (*Dir, error) {
	for {
		d, err := try(dir, what)
		if d != nil || err != nil {
			return d, err
		}
	}
}

// try makes one, or none if Sweep took it for left over before it was known to be in use.
func try(dir, what string) (d *Dir, err error) {
	path, err := os.MkdirTemp(dir, prefix+what+"-")
	if err != nil {
		return nil, fmt.Errorf("scratch directory: %w", err)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("scratch directory: %w", err), os.Remove(path))
	}
	d = &Dir{Path: path, File: f}
	defer func() {
		if err != nil {
			d, err = nil, errors.Join(fmt.Errorf("scratch directory %s: %w", path, err), d.Remove())
		}
	}()
	// A file system that has no locks is none to be swept either.
	taken := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == unix.EWOULDBLOCK
	var there, own os.FileInfo
	if own, err = f.Stat(); err != nil {
		return d, err
	}
	if there, err = os.Lstat(path); taken || errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(own, there) {
		return nil, f.Close()
	} else if err != nil {
		return d, err
	}
	return d, f.Chmod(0o711) // whatever the umask
}

// Remove removes it, whoever has it open.
func (d *Dir) Remove() error {
	return errors.Join(os.RemoveAll(d.Path), d.File.Close())
}

// Sweep removes the directories that this user's runs have left which were killed, and
// whose programs have ended. It returns what could not be removed.
func Sweep() error {
	err := sweepDir(os.TempDir())
	if merr := sweepDir(Memory); !errors.Is(merr, fs.ErrNotExist) && !errors.Is(merr, fs.ErrPermission) { // not everywhere
		err = errors.Join(err, merr)
	}
	return err
}

func sweepDir(dir string) error {
	tmp, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("scratch directories: %w", err)
	}
	defer tmp.Close() // only a place to start from: nothing can be lost
	entries, err := fs.ReadDir(tmp.FS(), ".")
	if err != nil {
		return fmt.Errorf("scratch directories: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !name.MatchString(e.Name()) {
			continue
		}
		if err := sweep(tmp, e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) { // others sweep too
			errs = append(errs, fmt.Errorf("scratch directory %s, which a killed run left: %w", filepath.Join(tmp.Name(), e.Name()), err))
		}
	}
	return errors.Join(errs...)
}

// sweep removes one if it is ours and nobody uses it. In a directory for temporary files
// anybody can have a name like ours, and exchange what has it.
func sweep(tmp *os.Root, name string) (err error) {
	seen, err := tmp.Lstat(name)
	if err != nil || !ours(seen) {
		return err
	}
	dir, err := tmp.OpenRoot(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if opened, err := f.Stat(); err != nil || !os.SameFile(seen, opened) {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil // in use, or it cannot be known
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	// Cyrus's user may write in some of these: no symbolic link is followed.
	for _, name := range names {
		if err := dir.RemoveAll(name); err != nil {
			return err
		}
	}
	return tmp.Remove(name) // only if it is empty
}

// ours reports whether it is a directory of this user's in which nobody else can write.
func ours(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && int(st.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
}
