package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrBusy is returned by Lock when another run writes to this Cyrus.
var ErrBusy = errors.New("another run of mbox2cyrus, with another state directory, is writing to this Cyrus")

// How long the lock is waited for, and how often it is tried: a run that was killed while it
// started a program leaves it to the new process until that executes the program.
const (
	lockWait  = 2 * time.Second
	lockCheck = 10 * time.Millisecond
)

// Lock keeps runs with other state directories from writing to this Cyrus until Close, and as
// long as programs go on that it was asked to run after this. What is known of Cyrus's mailboxes
// is of a time when no other run could change them.
//
// The lock is on the configdirectory itself (flock(2)), so that nothing is left there. A file
// system that knows no such locks is no reason not to go on.
func (c *Cyrus) Lock(ctx context.Context) error {
	listed := c.lock != nil
	for end := time.Now().Add(lockWait); c.lock == nil; time.Sleep(lockCheck) {
		if err := c.tryLock(); err != nil && (!errors.Is(err, ErrBusy) || time.Now().After(end)) {
			return err
		}
	}
	c.Programs.Hold = append(c.Programs.Hold, c.lock)
	if listed { // by Open, which had the lock by then
		return nil
	}
	return c.Refresh(ctx)
}

// tryLock takes the lock if it is free.
func (c *Cyrus) tryLock() error {
	dir, err := os.Open(c.ConfigDir)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
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
