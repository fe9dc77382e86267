package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/lockwait"
)

// ErrBusy is returned by Lock when another run writes to this Cyrus.
var ErrBusy = errors.New("another run of mbox2cyrus, with another state directory, is writing to this Cyrus")

// Lock keeps runs with other state directories from writing to this Cyrus until Close, and as
// long as programs go on that it was asked to run after this. What is known of Cyrus's mailboxes
// is of a time when no other run could change them.
//
// The lock is on the configdirectory itself (flock(2)), so that nothing is left there. A file
// system that knows no such locks is no reason not to go on.
func (c *Cyrus) Lock(ctx context.Context) error {
	if r := c.LocksRefused(); r != nil {
		return c.refuse(*r)
	}
	listed := c.lock != nil // by Open, which asked for the mailboxes after it
	if !listed {
		if err := c.takeLock(lockwait.Longest); err != nil {
			return err
		}
	}
	c.Programs.Hold = append(c.Programs.Hold, c.lock)
	if listed {
		return nil
	}
	return c.Refresh(ctx)
}

// takeLock takes the lock, or returns an error that wraps ErrBusy.
func (c *Cyrus) takeLock(longest time.Duration) error {
	dir, err := os.Open(c.ConfigDir)
	if err != nil {
		return err
	}
	err = lockwait.For(longest, func() error { return unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errors.Join(fmt.Errorf("configdirectory %s: %w: run this again when that has ended", c.ConfigDir, ErrBusy), dir.Close())
	}
	c.lock = dir
	return nil
}

// LocksRefused says what is wrong with the directory in which Cyrus's programs lock mailboxes,
// nil if nothing is. Where it is set to be below /run, as Debian does, it is gone after each
// boot until the system or Cyrus makes it anew; without it programs that write end with an
// assertion that failed (imap/mboxlist.c, user_isnamespacelocked), user for user.
func (c *Cyrus) LocksRefused() *Refusal {
	const key = "mboxname_lockpath"
	dir, ok := c.conf.Get(key)
	if !ok {
		return nil // in the configdirectory
	}
	missing := dir
	for at := dir; ; at = filepath.Dir(at) {
		err := c.owner.Do(func() error {
			return unix.Faccessat(unix.AT_FDCWD, at, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
		})
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.ENOENT) && at != filepath.Dir(at):
			missing = at
		case at == dir:
			return &Refusal{key, dir, fmt.Sprintf("Cyrus's user cannot write there: %v", err),
				fmt.Sprintf("let uid %d write to that directory, and reach it", c.owner.UID)}
		default:
			return &Refusal{key, dir, fmt.Sprintf("%s is not there, and Cyrus's user cannot make it: %v", missing, err),
				fmt.Sprintf("start Cyrus once and stop it, or: install -d -o %d -g %d %s", c.owner.UID, c.owner.GID, missing)}
		}
	}
}

// Close lets other runs write to this Cyrus.
func (c *Cyrus) Close() error {
	if c.lock == nil {
		return nil
	}
	return c.lock.Close()
}
