package cyrusspool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WriteFile writes the subscriptions to path, which lies below root (Cyrus's
// configdirectory), and makes the directories that are missing. It does not
// replace a file that is there: then the error is fs.ErrExist. The file is on
// the disk when WriteFile returns.
func (s *Subscriptions) WriteFile(root, path string, o Owner) (err error) {
	content, err := s.Append(nil)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrSubscriptions, path, err)
	}
	dir, err := makeDir(root, filepath.Dir(rel), o)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSubscriptions, err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := writeNew(dir, filepath.Base(rel), content, o); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrSubscriptions, path, err)
	}
	return nil
}

// writeNew writes a whole file under another name and links it into place, so
// that it is there complete or not at all.
func writeNew(dir *os.File, name string, content []byte, o Owner) error {
	at := int(dir.Fd())
	temporary := name + newSuffix
	if err := unix.Unlinkat(at, temporary, 0); err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "unlink", Path: temporary, Err: err}
	}
	fd, err := unix.Openat(at, temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &fs.PathError{Op: "create", Path: temporary, Err: err}
	}
	f := os.NewFile(uintptr(fd), temporary)
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(o.FileMode.Perm())
	}
	if err == nil && o.UID >= 0 {
		err = f.Chown(o.UID, o.GID)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		if err = unix.Linkat(at, temporary, at, name, 0); err != nil {
			err = &fs.PathError{Op: "link", Path: name, Err: err}
		}
	}
	if uerr := unix.Unlinkat(at, temporary, 0); err == nil && uerr != nil {
		err = &fs.PathError{Op: "unlink", Path: temporary, Err: uerr}
	}
	if err != nil {
		return err
	}
	return dir.Sync()
}
