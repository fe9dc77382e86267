package target

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// Close lets other runs write to this Cyrus.
func (c *Cyrus) Close() error {
	if c.lock == nil {
		return nil
	}
	return c.lock.Close()
}
