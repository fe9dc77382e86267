package target

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// stillNew is an error if Cyrus has other mailboxes by now in the place of some of entries, which
// it did not have at the last Refresh: an account may be made at any time, by the first mail that
// comes for it (autocreate). ctl_mboxlist -u would put ours in its place, and nobody would see its
// mail any more.
func (c *Cyrus) stillNew(ctx context.Context, entries []reconstruct.Entry) error {
	if c.unchanged() {
		return nil
	}
	var names []string
	var asked []reconstruct.Entry
	for _, e := range entries {
		if name := cyrusspool.Name(e.Name); !c.Has(name) {
			names, asked = append(names, c.operand(name)), append(asked, e)
		}
	}
	if len(names) == 0 {
		return nil
	}
	paths, err := c.Programs.Paths(ctx, names)
	if err != nil {
		return err
	}
	for i, e := range asked {
		p, there := paths[names[i]]
		if !there {
			continue
		}
		// It may be ours, entered a moment ago for several users together.
		place := c.Place(e.Partition, c.Dir(e))
		if filepath.Clean(p.Data) == place.Messages() {
			header, err := place.ReadHeader()
			if err != nil {
				return fmt.Errorf("%s: %w", e.Name, err)
			}
			if header.UniqueID == e.UniqueID {
				continue
			}
		}
		return fmt.Errorf("%s was made in Cyrus while this run went on, and is left as it is: run again", e.Name)
	}
	return nil
}

// knownList is the state in which mailboxes.db was when all that it had was known: whatever else
// writes there changes it.
type knownList struct {
	mu    sync.Mutex
	state listState
}

// listState tells one state of mailboxes.db from another. The zero value is none that is known.
type listState struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

// listState returns the state of mailboxes.db, if that is a file.
func (c *Cyrus) listState() listState {
	var st unix.Stat_t
	if path, ok := c.pathOf(mailboxList); !ok || unix.Stat(path, &st) != nil {
		return listState{}
	}
	return listState{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}
}

// listed takes a state of mailboxes.db for one of which all is known.
func (c *Cyrus) listed(state listState) {
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	c.known.state = state
}

// unchanged reports whether nobody wrote to mailboxes.db since, as a server may do at any moment.
func (c *Cyrus) unchanged() bool {
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	return c.Alone && c.known.state != listState{} && c.known.state == c.listState()
}
