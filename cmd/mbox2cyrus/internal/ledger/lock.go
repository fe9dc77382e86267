package ledger

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/lockwait"
)

// lockName is the file in a state directory that runs lock.
const lockName = "lock"

// Two bytes of it are locked, each for itself. They need not be there.
const (
	lockOfRun      = iota // exclusively, by the one run that may write
	lockOfPrograms        // shared, by the run and the Cyrus programs that it started
)

// byteLock describes a lock on one of them.
func byteLock(which int64, how int16) *unix.Flock_t {
	return &unix.Flock_t{Type: how, Start: which, Len: 1}
}

// lockWait is how long a lock is waited for. Tests shorten it.
var lockWait = lockwait.Longest

// ErrBusy is returned by Open when another run holds the state directory.
var ErrBusy = errors.New("another run of mbox2cyrus is using this state directory")

// takeLock takes the lock of the run that may write, and tells in the file which run that is.
func takeLock(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	// An open-file-description lock: a POSIX lock would be lost as soon as any
	// goroutine closed any descriptor of this file.
	err = lockwait.For(lockWait, func() error {
		return unix.FcntlFlock(lock.Fd(), unix.F_OFD_SETLK, byteLock(lockOfRun, unix.F_WRLCK))
	})
	if lockwait.Refused(err) {
		holder, _ := io.ReadAll(io.LimitReader(lock, 200))
		return nil, errors.Join(fmt.Errorf("state directory %s: %w (%s)", dir, ErrBusy, bytes.TrimSpace(holder)), lock.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("state directory %s: lock: %w", dir, err), lock.Close())
	}
	if err = lock.Truncate(0); err == nil {
		_, err = lock.WriteAt(fmt.Appendf(nil, "pid %d since %s\n", os.Getpid(), time.Now().UTC().Format(time.RFC3339)), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("state directory: %w", err), lock.Close())
	}
	return lock, nil
}

// InUse tells which run holds the state directory, "" for none. Nothing is made or held.
func InUse(dir string) (holder string, err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("state directory: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	err = lockwait.For(lockWait, func() error {
		lock := byteLock(lockOfRun, unix.F_WRLCK)
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, lock); err == nil && lock.Type != unix.F_UNLCK {
			return unix.EAGAIN
		}
		return nil // a file system that knows no locks tells nothing, and no run writes there
	})
	if err == nil {
		return "", nil
	}
	text, err := io.ReadAll(io.LimitReader(f, 200))
	return cmp.Or(string(bytes.TrimSpace(text)), "no pid is told"), err
}
