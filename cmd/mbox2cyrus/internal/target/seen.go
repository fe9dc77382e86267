package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"mbox2cyrus/cyrusspool"
)

// SeenInIndex reports whether this Cyrus keeps an owner's \Seen in the index of
// the mailbox: from 2.4 on. Before, it is in a file of the user.
func (c *Cyrus) SeenInIndex() bool { return c.Fresh.IndexVersion >= cyrusspool.Version12 }

// checkSeen refuses a form of seen states that cannot be read back.
func (c *Cyrus) checkSeen() error {
	backend := c.seenBackend()
	if c.SeenInIndex() || backend == "flat" || backend == "skiplist" {
		return nil
	}
	return fmt.Errorf("%w: %s: seenstate_db: %s holds users' \\Seen, which this version cannot read there (it reads flat and skiplist); nothing was changed", ErrConfig, c.IMAPDConf, backend)
}

// maxSeen bounds a user's seen state.
const maxSeen = 64 << 20

// Seen returns what the user has seen, by the unique ids of mailboxes; nothing
// where that is in the index.
func (c *Cyrus) Seen(userid string) (map[string]cyrusspool.SeenState, error) {
	if c.SeenInIndex() {
		return nil, nil
	}
	raw, err := c.readSeen(c.seenFile(userid))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("seen state of %s: %w", userid, err)
	}
	states, err := cyrusspool.ParseSeen(raw)
	if err != nil {
		return nil, fmt.Errorf("seen state of %s: %w", userid, err)
	}
	return states, nil
}

// seenFile is the path of the user's seen state below the configdirectory.
func (c *Cyrus) seenFile(userid string) string {
	return c.Fresh.hashing.UserFile(cyrusspool.InboxName(userid), "seen")
}

func (c *Cyrus) readSeen(rel string) (raw []byte, err error) {
	f, err := cyrusspool.OpenFile(c.ConfigDir, filepath.Join(c.ConfigDir, rel))
	if err != nil {
		return nil, err
	}
	raw, err = io.ReadAll(io.LimitReader(f, maxSeen+1))
	if len(raw) > maxSeen {
		err = errors.Join(err, fmt.Errorf("%s: more than %d bytes", rel, maxSeen))
	}
	return raw, errors.Join(err, f.Close())
}

// SetSeen sets what the user has seen of some mailboxes, by their unique ids; of
// others it stays. It is for a Cyrus that does not keep that in the index.
func (c *Cyrus) SetSeen(ctx context.Context, userid string, states map[string]cyrusspool.SeenState) error {
	if len(states) == 0 {
		return nil
	}
	have, err := c.Seen(userid)
	if err != nil {
		return err
	}
	path := filepath.Join(c.ConfigDir, c.seenFile(userid))
	if backend := c.seenBackend(); backend == "flat" {
		all := maps.Clone(states)
		for id, s := range have {
			if _, ours := states[id]; !ours {
				all[id] = s
			}
		}
		err = cyrusspool.WriteSeenFile(c.ConfigDir, path, all, c.Fresh.Owner)
	} else {
		err = c.convertSeen(ctx, path, backend, states)
	}
	if err != nil {
		return fmt.Errorf("seen state of %s: %w", userid, err)
	}
	have, err = c.Seen(userid)
	if err != nil {
		return err
	}
	for id, s := range states {
		if have[id].String() != s.String() {
			return fmt.Errorf("seen state of %s: mailbox %s: %q is there after %q was written", userid, id, have[id], s)
		}
	}
	return nil
}

// FlatSuffix ends the name of the file that Cyrus's program reads, behind that of the seen
// state. A run that is killed may leave it.
const FlatSuffix = ".mbox2cyrus"

// convertSeen has Cyrus's own program put states into a user's database.
func (c *Cyrus) convertSeen(ctx context.Context, path, backend string, states map[string]cyrusspool.SeenState) error {
	flat := path + FlatSuffix
	if err := cyrusspool.WriteSeenFile(c.ConfigDir, flat, states, c.Fresh.Owner); err != nil {
		return err
	}
	err := c.Programs.ConvertDB(ctx, flat, "flat", path, backend)
	root, rerr := os.OpenRoot(c.ConfigDir)
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	rel, rerr := filepath.Rel(c.ConfigDir, flat)
	if rerr == nil {
		rerr = root.Remove(rel)
	}
	return errors.Join(err, rerr, root.Close())
}

// seenBackend is the form of seen states: as set from 2.2 on, whose default is
// skiplist; 2.1 has what it was built with, flat text as a rule (lib/imapoptions,
// seenstate_db; imap/seen_local.c of 2.1).
func (c *Cyrus) seenBackend() string {
	switch backend, ok := c.settings["seenstate_db"]; {
	case c.Fresh.IndexVersion == cyrusspool.Version4:
		return "flat"
	case ok:
		return backend
	}
	return "skiplist"
}
