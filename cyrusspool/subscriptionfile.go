package cyrusspool

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WriteFile writes the subscriptions to path, which lies below root (Cyrus's
// configdirectory), and makes the directories that are missing. It does not
// replace a file that is there: then the error is fs.ErrExist. The file is on
// the disk when WriteFile returns, and sum is its SHA-1.
func (s *Subscriptions) WriteFile(root, path string, o Owner) (sum [20]byte, err error) {
	return s.place(root, path, o, writeNew)
}

// ErrSubscriptionsChanged is the error of ReplaceFile for a file that is not the one
// to be replaced.
var ErrSubscriptionsChanged = errors.New("subscriptions were changed")

// SumOfSubscriptions returns the SHA-1 of a subscription file of version 2, and of one of version 3
// what it would be as version 2: Cyrus 3.12 makes 3 of 2 as soon as a client lists its mailboxes,
// with the same keys (seen with 3.12.4), and nobody has changed anything then.
func SumOfSubscriptions(r io.Reader) (sum [20]byte, err error) {
	const two, three = dbVersionKey + "\t2\n", dbVersionKey + "\t3\n"
	h, in := sha1.New(), bufio.NewReader(r)
	if begin, _ := in.Peek(len(three)); string(begin) == three { // a shorter file ends before, and an error comes again
		in.Discard(len(three))
		io.WriteString(h, two)
	}
	if _, err := io.Copy(h, in); err != nil {
		return sum, err
	}
	return [20]byte(h.Sum(nil)), nil
}

// ReplaceFile is [Subscriptions.WriteFile] in place of a file whose SHA-1 (as of
// [SumOfSubscriptions]) is old. If it
// has another, or is gone, the error is [ErrSubscriptionsChanged]. Cyrus must not be
// running.
func (s *Subscriptions) ReplaceFile(root, path string, o Owner, old [20]byte) (sum [20]byte, err error) {
	return s.place(root, path, o, func(dir *os.File, name string, content []byte, o Owner) error {
		f, err := OpenFileAt(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			return ErrSubscriptionsChanged
		}
		if err != nil {
			return err
		}
		have, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		sum, err := SumOfSubscriptions(bytes.NewReader(have))
		switch {
		case err != nil:
			return err
		case bytes.Equal(have, content):
			return nil
		case sum != old:
			return ErrSubscriptionsChanged
		}
		return writeOver(dir, name, content, o)
	})
}

// SHA1 returns the SHA-1 of the file that the subscriptions make.
func (s *Subscriptions) SHA1() ([20]byte, error) {
	content, err := s.Append(nil)
	return sha1.Sum(content), err
}

// place makes the content and has do put it below root.
func (s *Subscriptions) place(root, path string, o Owner, do func(dir *os.File, name string, content []byte, o Owner) error) (sum [20]byte, err error) {
	content, err := s.Append(nil)
	if err != nil {
		return sum, err
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return sum, fmt.Errorf("write subscriptions %s: %w", path, err)
	}
	err = o.Do(func() (err error) {
		dir, err := makeDir(root, filepath.Dir(rel), o)
		if err != nil {
			return fmt.Errorf("write subscriptions %s: %w", path, err)
		}
		defer func() { err = errors.Join(err, dir.Close()) }()
		if err := do(dir, filepath.Base(rel), content, o); err != nil {
			return fmt.Errorf("write subscriptions %s: %w", path, err)
		}
		return nil
	})
	return sha1.Sum(content), err
}

// writeNew writes a whole file under another name and links it into place, so
// that it is there complete or not at all.
func writeNew(dir *os.File, name string, content []byte, o Owner) error {
	at := int(dir.Fd())
	temporary := name + newSuffix
	err := writeWhole(dir, temporary, bytes.NewReader(content), o)
	if err == nil {
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

// writeOver is writeNew in place of what has the name.
func writeOver(dir *os.File, name string, content []byte, o Owner) error {
	return ReplaceFile(dir, name, bytes.NewReader(content), o)
}

// ReplaceFile writes a file of a directory under another name, Cyrus's own for files that it
// writes anew, and renames it into place: on the disk there is then the old one or the new
// one, whole. The file belongs to o, and [Owner.Do] is the caller's affair.
func ReplaceFile(dir *os.File, name string, content io.Reader, o Owner) error {
	at := int(dir.Fd())
	temporary := name + newSuffix
	err := writeWhole(dir, temporary, content, o)
	if err == nil {
		if err = unix.Renameat(at, temporary, at, name); err == nil {
			return dir.Sync()
		}
		err = &fs.PathError{Op: "rename", Path: name, Err: err}
	}
	if uerr := unix.Unlinkat(at, temporary, 0); uerr != nil && uerr != unix.ENOENT {
		err = errors.Join(err, &fs.PathError{Op: "unlink", Path: temporary, Err: uerr})
	}
	return err
}

// writeWhole makes a file, in place of what was left over from an earlier try, and
// syncs it to the disk.
func writeWhole(dir *os.File, name string, content io.Reader, o Owner) error {
	at := int(dir.Fd())
	if err := unix.Unlinkat(at, name, 0); err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "unlink", Path: name, Err: err}
	}
	fd, err := unix.Openat(at, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &fs.PathError{Op: "create", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(o.FileMode.Perm())
	}
	if err == nil && o.UID >= 0 {
		err = f.Chown(o.UID, o.GID)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
