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

// How long a lock is waited for, and how often it is tried. A run that was killed while it
// started a program leaves its locks to the new process, which lets go of them when it
// executes the program: some milliseconds later, or more on a busy machine. Tests shorten
// the wait.
var (
	lockWait  = 2 * time.Second
	lockCheck = 10 * time.Millisecond
)

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
	err = waitForLock(func() error {
		return unix.FcntlFlock(lock.Fd(), unix.F_OFD_SETLK, byteLock(lockOfRun, unix.F_WRLCK))
	})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
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

// waitForLock tries until it is not refused for somebody else's lock, or lockWait is over.
func waitForLock(try func() error) (err error) {
	for end := time.Now().Add(lockWait); ; time.Sleep(lockCheck) {
		err = try()
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) || time.Now().After(end) {
			return err
		}
	}
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
	err = waitForLock(func() error {
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
