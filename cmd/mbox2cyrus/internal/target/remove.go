package target

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// database tells where Cyrus's mailboxes.db is.
func (c *Cyrus) database() (db reconstruct.Database, err error) {
	db = reconstruct.Database{Path: c.settings["mboxlist_db_path"], Type: c.settings["mboxlist_db"]}
	if db.Path == "" {
		db.Path = filepath.Join(c.ConfigDir, "mailboxes.db")
	}
	if db.Type == "" { // up to 2.4 Cyrus cannot be asked
		if db.Type, err = databaseType(db.Path); err != nil {
			return db, err
		}
	}
	switch c.settings["improved_mboxlist_sort"] {
	case "yes", "on", "1", "t", "true":
		db.Sorted = true
	}
	return db, nil
}

// magics begin databases of Cyrus (lib/cyrusdb_skiplist.c, cyrusdb_twoskip.c,
// HEADER_MAGIC).
var magics = map[string]string{
	"\xa1\x02\x8b\x0dskiplist file\x00\x00\x00":    "skiplist",
	"\xa1\x02\x8b\x0dtwoskip file\x00\x00\x00\x00": "twoskip",
}

// databaseType finds out by its beginning of which backend a database is.
func databaseType(path string) (backend string, err error) {
	f, err := cyrusspool.OpenFile(filepath.Dir(path), path)
	if err != nil {
		return "", fmt.Errorf("%w: mailboxes.db: %w", ErrConfig, err)
	}
	var head [20]byte
	_, err = io.ReadFull(f, head[:])
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	backend, ok := magics[string(head[:])]
	if !ok {
		return "", fmt.Errorf("%w: %s is neither skiplist nor twoskip, and this Cyrus does not say what it is: set mboxlist_db in imapd.conf to what it is", ErrConfig, path)
	}
	return backend, nil
}

// CanRemove refuses a Cyrus in whose mailboxes.db nothing can be removed or put back, with
// the way out.
func (c *Cyrus) CanRemove() error {
	if !c.Programs.Has("cyr_dbtool") {
		return fmt.Errorf("%w: there is no cyr_dbtool in %s (Cyrus has it from 2.3 on), without which nothing can be taken out of mailboxes.db: remove the mailboxes in Cyrus itself (cyradm: setacl, deletemailbox), which also removes the files", ErrConfig, c.Programs.Dir)
	}
	_, err := c.database()
	return err
}

// Remove makes Cyrus forget mailboxes; their files stay. Cyrus must not run.
func (c *Cyrus) Remove(ctx context.Context, entries []reconstruct.Entry) error {
	db, err := c.database()
	if err != nil {
		return err
	}
	return c.Programs.Remove(ctx, db, c.Fresh.ListForm, entries)
}

// Records returns what mailboxes.db has of a mailbox, for PutBack.
func (c *Cyrus) Records(ctx context.Context, e reconstruct.Entry) ([]reconstruct.Record, error) {
	db, err := c.database()
	if err != nil {
		return nil, err
	}
	return c.Programs.Records(ctx, db, c.Fresh.ListForm, e)
}

// PutBack gives mailboxes.db records that it had before. Cyrus must not run.
func (c *Cyrus) PutBack(ctx context.Context, records []reconstruct.Record) error {
	db, err := c.database()
	if err != nil {
		return err
	}
	return c.Programs.PutBack(ctx, db, records)
}

// UserDirs returns the directories, below configdirectory, in which Cyrus keeps
// files of the owner of an INBOX outside his mailboxes, and what the names of his
// files begin with there, "" where all are his (imap/mboxname.c,
// mboxname_conf_getpath; cyrus-format 1.3). The first is where the subscriptions
// are. In the layout by unique id the second, by name, is used as long as Cyrus
// does not know the INBOX: by the very program that enters it.
func (c *Cyrus) UserDirs(inbox reconstruct.Entry) []UserDir {
	file := c.Fresh.hashing.UserFile(cyrusspool.Name(inbox.Name), "")
	dirs := []UserDir{{Dir: filepath.Dir(file), Prefix: filepath.Base(file)}}
	if c.Fresh.byName(inbox.Type) {
		return dirs
	}
	return append([]UserDir{{Dir: filepath.Join("user", cyrusspool.DirByID(inbox.UniqueID))}}, dirs...)
}

// UserDir is a directory that has files of a user.
type UserDir struct{ Dir, Prefix string }

// SubscriptionFile returns the path of the subscriptions of a user whose INBOX
// Cyrus has.
func (c *Cyrus) SubscriptionFile(ctx context.Context, userid string) (string, error) {
	inbox := cyrusspool.InboxName(userid)
	external := c.operand(inbox)
	paths, err := c.Programs.Paths(ctx, []string{external})
	if err != nil {
		return "", err
	}
	p, ok := paths[external]
	if !ok {
		return "", fmt.Errorf("Cyrus has no INBOX of %q", userid)
	}
	return c.subscriptions(inbox, p)
}

// SumOfSubscriptions is [cyrusspool.SumOfSubscriptions] of a file in hexadecimal, "" if
// there is none. path is as SubscriptionFile returns it.
func (c *Cyrus) SumOfSubscriptions(path string) (sum string, err error) {
	f, err := cyrusspool.OpenFile(c.ConfigDir, path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	h, err := cyrusspool.SumOfSubscriptions(f)
	return hex.EncodeToString(h[:]), errors.Join(err, f.Close())
}
