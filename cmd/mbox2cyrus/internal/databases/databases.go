// Package databases takes copies of Cyrus's databases and puts them in the place of the
// databases, as Cyrus itself does with one that it repacks (lib/cyrusdb_twoskip.c,
// mycheckpoint; lib/cyrusdb_skiplist.c, likewise): under the lock of the old file, whole and
// synced, by a rename. So all that was done with a copy is in the database then, or nothing.
// Cyrus's programs wait for the lock, and find out then that the file is another one
// (lib/mappedfile.c, mappedfile_readlock; lib/lock_fcntl.c, lock_reopen_ex).
package databases

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cyrusspool"
)

// MaxSize is the size of the largest database, in bytes, that is held: a copy of it is in
// memory, and is written as a whole.
const MaxSize = 128 << 20

// ErrUnfit is the cause where a database cannot be held: it is no plain file, too
// large, or another program has its lock for long.
var ErrUnfit = errors.New("no copy can be taken of the database")

// Held are databases whose locks are held, so that no program of Cyrus reads or writes them.
type Held []*held

type held struct {
	dir  *os.File
	name string
	file *os.File
	stat unix.Stat_t
}

// Hold takes the locks of the databases at paths, which are Cyrus's user's. It waits for
// other programs, but never while it holds a lock, so that nobody waits for anybody in a
// circle.
func Hold(ctx context.Context, wait time.Duration, owner cyrusspool.Owner, paths ...string) (h Held, err error) {
	until := time.Now().Add(wait)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		h, err = try(owner, paths)
		if !errors.Is(err, unix.EAGAIN) {
			return h, err
		}
		if time.Now().After(until) {
			return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func try(owner cyrusspool.Owner, paths []string) (h Held, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Release())
			h = nil
		}
	}()
	for _, path := range paths {
		d, err := open(owner, path)
		if err != nil {
			return h, fmt.Errorf("database %s: %w", path, err)
		}
		h = append(h, d)
	}
	return h, nil
}

// open opens a database and takes its lock, or fails with EAGAIN.
func open(owner cyrusspool.Owner, path string) (d *held, err error) {
	d = &held{name: filepath.Base(path)}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.dir, err = os.Open(filepath.Dir(path)); err != nil { // as the administrator named it
		return d, err
	}
	err = owner.Do(func() error {
		fd, err := unix.Openat(int(d.dir.Fd()), d.name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnfit, err)
		}
		d.file = os.NewFile(uintptr(fd), path)
		return nil
	})
	if err != nil {
		return d, err
	}
	if err := unix.Fstat(int(d.file.Fd()), &d.stat); err != nil {
		return d, err
	}
	if d.stat.Mode&unix.S_IFMT != unix.S_IFREG || d.stat.Nlink != 1 || d.stat.Size > MaxSize {
		return d, ErrUnfit
	}
	// Cyrus is built with one of these kinds of locks (lib/lock_fcntl.c, lib/lock_flock.c).
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(d.file.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		if err == unix.EACCES {
			err = unix.EAGAIN
		}
		return d, err
	}
	if err := unix.Flock(int(d.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return d, err
	}
	// Who had the lock may have put another file there.
	var now unix.Stat_t
	if err := unix.Fstatat(int(d.dir.Fd()), d.name, &now, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return d, err
	}
	if now.Dev != d.stat.Dev || now.Ino != d.stat.Ino {
		return d, unix.EAGAIN
	}
	return d, unix.Fstat(int(d.file.Fd()), &d.stat)
}

// Size returns the size of the databases together, in bytes.
func (h Held) Size() (n int64) {
	for _, d := range h {
		n += d.stat.Size
	}
	return n
}

// CopyTo copies the databases into an empty directory, which belongs to Cyrus's user alone,
// and returns the paths of the copies.
func (h Held) CopyTo(dir string, owner cyrusspool.Owner) (paths []string, err error) {
	for _, d := range h {
		path := filepath.Join(dir, d.name)
		err := owner.Do(func() (err error) {
			out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, out.Close()) }()
			_, err = io.Copy(out, io.NewSectionReader(d.file, 0, d.stat.Size))
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("copy of %s: %w", d.file.Name(), err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// Replace puts copies, which CopyTo has made and programs have changed, in place of the
// databases. They are on the disk when it returns.
func (h Held) Replace(copies []string, owner cyrusspool.Owner) error {
	for i, d := range h {
		if err := owner.Do(func() error { return d.replace(copies[i], owner) }); err != nil {
			return fmt.Errorf("database %s: %w", d.file.Name(), err)
		}
	}
	return nil
}

func (d *held) replace(path string, owner cyrusspool.Owner) (err error) {
	in, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	owner.FileMode = fs.FileMode(d.stat.Mode & 0o777)
	return cyrusspool.ReplaceFile(d.dir, d.name, in, owner)
}

// Release gives the locks back.
func (h Held) Release() error {
	var errs []error
	for _, d := range h {
		errs = append(errs, d.close())
	}
	return errors.Join(errs...)
}

func (d *held) close() error {
	var err error
	if d.file != nil {
		err = d.file.Close()
	}
	if d.dir != nil {
		err = errors.Join(err, d.dir.Close())
	}
	return err
}
