package mbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/fsrights"
)

// Locks takes the locks that UW IMAP itself takes, on the folders of a live host, so that
// none is read while a session or a delivery changes it. It breaks nobody's lock and
// leaves none behind. Its methods may be called from several goroutines.
type Locks struct {
	// SessionDir is where c-client keeps the locks of sessions, default "/tmp".
	SessionDir string
	// Wait is how long to wait for a lock that somebody else has, default 10 s.
	Wait time.Duration

	mu     sync.Mutex
	closed bool
	held   map[*FolderLock]bool
}

const (
	defaultLockWait = 10 * time.Second
	lockRetry       = 200 * time.Millisecond
)

// ErrBusy is wrapped by every [*BusyError].
var ErrBusy = errors.New("busy")

// errLocksClosed ends waiting for locks when the program ends.
var errLocksClosed = errors.New("locks are closed")

// BusyError says that somebody else has a lock on a folder.
type BusyError struct {
	Path string // raw, of the folder
	Lock string // which lock
	PID  int    // process that holds it, 0 if it cannot be told
	Hint string // what to do, "" if it is only to wait
}

func (e *BusyError) Error() string {
	who := ""
	if e.PID > 0 {
		who = fmt.Sprintf(" by process %d", e.PID)
	}
	if e.Hint != "" {
		who += "; " + e.Hint
	}
	return fmt.Sprintf("mbox %q: busy: %s is held%s", e.Path, e.Lock, who)
}

// Unwrap makes it an [ErrBusy].
func (e *BusyError) Unwrap() error { return ErrBusy }

// FolderLock is all locks of one folder.
type FolderLock struct {
	// Doubts are the locks that could not be taken although nobody has them, for an
	// administrator: a directory that is not writable has no place for a dot lock. UW
	// goes on without them too ("Mailbox vulnerable").
	Doubts []string

	locks   *Locks
	once    sync.Once
	err     error
	undo    []func() error // the last first
	refresh []*os.File     // dot locks
	stop    chan struct{}
}

// Take takes the locks of all files of a folder, in UW's order (unix.c unix_lock, mbx.c
// mbx_open, mix.c mix_open, mx.c mx_lockindex):
//
//   - unix and mmdf: the session lock of the file, exclusive; FILE.lock; a shared flock(2)
//     of the file and, for other programs, a read lock of fcntl(2);
//   - mbx, tenex and mtx: the session lock and the shared locks;
//   - mix: a shared flock of the three files of the index;
//   - mx: an exclusive flock of the index;
//   - mh: none.
//
// They are taken with the process's own rights, whosever the goroutine uses.
//
// What somebody else has after the time to wait is a [*BusyError], and nothing is locked.
// The folder must stay open until the lock is released.
func (l *Locks) Take(ctx context.Context, f *Folder) (*FolderLock, error) {
	k := &FolderLock{locks: l, stop: make(chan struct{})}
	l.mu.Lock()
	if l.held == nil {
		l.held = make(map[*FolderLock]bool)
	}
	l.held[k] = true
	l.mu.Unlock()
	deadline := time.Now().Add(cmp.Or(l.Wait, defaultLockWait))
	err := fsrights.AsSelf(func() error {
		for i := range f.parts {
			if err := k.part(ctx, &f.parts[i], deadline); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, k.Release())
	}
	if len(k.refresh) > 0 {
		go k.keepYoung()
	}
	return k, nil
}

// Release gives all locks back and removes the files that were made for them. The second
// call does nothing.
func (k *FolderLock) Release() error {
	k.once.Do(func() {
		close(k.stop)
		k.locks.mu.Lock()
		defer k.locks.mu.Unlock()
		k.err = fsrights.AsSelf(func() error {
			var errs []error
			for i := len(k.undo) - 1; i >= 0; i-- {
				errs = append(errs, k.undo[i]())
			}
			return errors.Join(errs...)
		})
		delete(k.locks.held, k)
	})
	return k.err
}

// Close releases all locks, and none can be taken any more: for a program that is about
// to end while it still reads.
func (l *Locks) Close() error {
	l.mu.Lock()
	l.closed = true
	var held []*FolderLock
	for k := range l.held {
		held = append(held, k)
	}
	l.mu.Unlock()
	var errs []error
	for _, k := range held {
		errs = append(errs, k.Release())
	}
	return errors.Join(errs...)
}

// part takes the locks of one place.
func (k *FolderLock) part(ctx context.Context, p *part, deadline time.Time) error {
	wait := func(try func() error) error { return k.wait(ctx, deadline, try) }
	shared := func() error {
		if err := wait(func() error { return k.flock(p, p.file, "the file", unix.LOCK_SH) }); err != nil {
			return err
		}
		return wait(func() error { return k.rangeLock(p) })
	}
	index := func(how int, names ...string) error {
		for _, name := range names {
			if err := wait(func() error { return k.member(p, name, how) }); err != nil {
				return err
			}
		}
		return nil
	}
	switch p.format {
	case FormatMix:
		return index(unix.LOCK_SH, ".mixmeta", ".mixindex", ".mixstatus")
	case FormatMX:
		return index(unix.LOCK_EX, ".mxindex")
	case FormatMH:
		return nil
	}
	if err := wait(func() error { return k.session(p) }); err != nil {
		return err
	}
	switch p.format {
	case FormatMBX, FormatTenex, FormatMTX:
	default:
		if err := wait(func() error { return k.dotLock(p) }); err != nil {
			return err
		}
	}
	return shared()
}

// wait calls try, which must not block, until it succeeds, fails otherwise than by being
// busy, or the time is over. No lock is taken once the locks are closed.
func (k *FolderLock) wait(ctx context.Context, deadline time.Time, try func() error) error {
	for {
		k.locks.mu.Lock()
		err := errLocksClosed
		if !k.locks.closed {
			err = try()
		}
		k.locks.mu.Unlock()
		if !errors.Is(err, ErrBusy) || !time.Now().Before(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockRetry):
		}
	}
}

func (k *FolderLock) doubt(format string, args ...any) {
	k.Doubts = append(k.Doubts, fmt.Sprintf(format, args...))
}

// flock locks an open file as flock(2) does.
func (k *FolderLock) flock(p *part, file *os.File, what string, how int) error {
	err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
	switch err {
	case nil:
		k.undo = append(k.undo, func() error { return unix.Flock(int(file.Fd()), unix.LOCK_UN) })
		return nil
	case unix.EWOULDBLOCK:
		busy := &BusyError{Path: p.path, Lock: "the lock (flock) of " + what}
		if st, err := fstat(file); err == nil {
			busy.PID = lockHolder(st, flocks)
		}
		return busy
	case unix.ENOLCK, unix.EOPNOTSUPP:
		k.doubt("%q cannot be locked by flock: %v", p.path, err)
		return nil
	}
	return fmt.Errorf("mbox %q: flock: %w", p.path, err)
}

// rangeLock locks the file for programs that know only fcntl(2).
func (k *FolderLock) rangeLock(p *part) error {
	err := readLock(p.file, unix.F_RDLCK)
	switch err {
	case nil:
		k.undo = append(k.undo, func() error { return readLock(p.file, unix.F_UNLCK) })
		return nil
	case unix.EAGAIN, unix.EACCES:
		busy := &BusyError{Path: p.path, Lock: "the lock (fcntl) of the file"}
		if st, err := fstat(p.file); err == nil {
			busy.PID = lockHolder(st, fcntlLocks)
		}
		return busy
	case unix.ENOLCK, unix.EOPNOTSUPP, unix.EINVAL:
		k.doubt("%q cannot be locked by fcntl: %v", p.path, err)
		return nil
	}
	return fmt.Errorf("mbox %q: fcntl: %w", p.path, err)
}

// member locks a file of a mailbox directory by flock. One that is not there needs no
// lock.
func (k *FolderLock) member(p *part, name string, how int) error {
	file, _, err := p.dir.open(name)
	var refused *RefusedError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &refused):
		return nil // whoever reads the mailbox says so
	case err != nil:
		return fmt.Errorf("mbox %q: %w", p.path, err)
	}
	before := len(k.undo)
	if err := k.flock(p, file, name, how); err != nil {
		return errors.Join(err, file.Close())
	}
	if len(k.undo) == before {
		return file.Close()
	}
	unlock := k.undo[before]
	k.undo[before] = func() error { return errors.Join(unlock(), file.Close()) }
	return nil
}
