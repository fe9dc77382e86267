package target

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrBusy is returned by Lock when another run writes to this Cyrus.
var ErrBusy = errors.New("another run of mbox2cyrus, with another state directory, is writing to this Cyrus")

// Lock keeps runs with other state directories from writing to this Cyrus until Close, and as
// long as programs go on that it was asked to run meanwhile. Then it asks Cyrus again which
// mailboxes it has: another run may have made some since.
//
// The lock is on the configdirectory itself (flock(2)), so that nothing is left there. A file
// system that knows no such locks is no reason not to go on.
func (c *Cyrus) Lock(ctx context.Context) error {
	dir, err := os.Open(c.ConfigDir)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return errors.Join(fmt.Errorf("configdirectory %s: %w: run this again when that has ended", c.ConfigDir, ErrBusy), dir.Close())
	}
	c.lock = dir
	c.Programs.Hold = append(c.Programs.Hold, dir)
	return c.Refresh(ctx)
}

// Close lets other runs write to this Cyrus.
func (c *Cyrus) Close() error {
	if c.lock == nil {
		return nil
	}
	return c.lock.Close()
}
