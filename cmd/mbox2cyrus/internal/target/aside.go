package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/databases"
	"mbox2cyrus/cmd/mbox2cyrus/internal/scratch"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// A database is one of Cyrus's that a copy can stand in for.
type database struct {
	backend string // setting that says of what kind it is
	path    string // setting that says where it is
	file    string // below the configdirectory, if that is not set
	// own says that the programs have one of their own in its place, which they make, and which
	// is not put there.
	own bool
}

var (
	mailboxList = database{backend: "mboxlist_db", path: "mboxlist_db_path", file: "mailboxes.db"}
	annotations = database{backend: "annotation_db", path: "annotation_db_path", file: "annotations.db"}
)

const (
	// asideWait is how long other programs that have a database's lock are waited for.
	asideWait = 5 * time.Second
	// asideLimit is how long programs may take that work on copies.
	asideLimit = time.Minute
	// asideFactor is how many times the size of the databases must be free in memory: they
	// grow, and a program may write them anew.
	asideFactor = 4
	asideRoom   = 32 << 20 // bytes more
)

// errNoCopies says why none stand in.
var errNoCopies = errors.New("no copies can stand in for databases")

// aside calls do with programs that work on copies of databases in memory, which are put in
// place of the databases if they succeed: Cyrus's programs sync a database three times for each
// entry that they write. conf are the programs' settings.
//
// done is false, without an error, where that could not be done, whatever the reason:
// nothing has come of it, and the programs have to work on the databases themselves, where the
// reason, if it matters, comes again. It is not tried again then.
func (c *Cyrus) aside(ctx context.Context, conf []cyrusspool.Setting, dbs []database, do func(context.Context, *reconstruct.Programs) error) (done bool, err error) {
	if c.noCopies.Load() {
		return false, nil
	}
	if err = c.onCopies(ctx, conf, dbs, do); err == nil {
		return true, nil
	}
	c.noCopies.Store(true)
	return false, ctx.Err()
}

// onCopies is aside without its memory of what cannot be done: it locks the databases, copies
// them into memory, calls do with programs that are configured to work on the copies, and puts
// these in place of the databases if do has no error.
func (c *Cyrus) onCopies(ctx context.Context, conf []cyrusspool.Setting, dbs []database, do func(context.Context, *reconstruct.Programs) error) (err error) {
	if !c.Alone {
		return errNoCopies // a server may have them open
	}
	var paths []string
	for _, db := range dbs {
		path, ok := c.pathOf(db)
		if !ok {
			return errNoCopies
		}
		if !db.own {
			paths = append(paths, path)
		}
	}
	held, err := databases.Hold(ctx, asideWait, c.owner, paths...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Release()) }()
	known := c.unchanged()
	if !roomInMemory(asideFactor*held.Size() + asideRoom) {
		return errNoCopies
	}
	var copied []cyrusspool.Setting
	for _, s := range conf {
		if !slices.ContainsFunc(dbs, func(db database) bool { return db.path == s.Key }) {
			copied = append(copied, s)
		}
	}
	dir, err := scratch.MakeIn(scratch.Memory, scratch.Databases)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Remove()) }()
	home := filepath.Join(dir.Path, "db")
	if err := c.makeOwn(home); err != nil {
		return err
	}
	copies, err := held.CopyTo(home, c.owner)
	if err != nil {
		return err
	}
	left := copies
	for _, db := range dbs {
		path := filepath.Join(home, db.file)
		if !db.own {
			path, left = left[0], left[1:]
		}
		copied = append(copied, cyrusspool.Setting{Key: db.path, Value: path})
	}
	p, err := c.configure(dir, copied)
	if err != nil {
		return err
	}
	// They are quick, unless they wait for a program that waits for our locks.
	limited, cancel := context.WithTimeout(ctx, asideLimit)
	defer cancel()
	if err := do(limited, p); err != nil {
		return err
	}
	if err := held.Replace(copies, c.owner); err != nil {
		return err
	}
	if known { // and what was done to it since is our own
		c.listed(c.listState())
	}
	return nil
}

// pathOf returns where a database is. It reports false where a copy cannot stand in for it:
// releases before 2.5 cannot be told of another place, and some kinds are more than one file.
func (c *Cyrus) pathOf(db database) (path string, ok bool) {
	path, ok = c.settings[db.path]
	switch backend := c.settings[db.backend]; {
	case !ok || backend != "twoskip" && backend != "skiplist":
		return "", false
	case path == "":
		path = filepath.Join(c.ConfigDir, db.file)
	}
	return path, true
}

// roomInMemory reports whether n bytes are free in a file system that is in memory.
func roomInMemory(n int64) bool {
	var st unix.Statfs_t
	return unix.Statfs(scratch.Memory, &st) == nil && st.Type == unix.TMPFS_MAGIC && int64(st.Bavail)*int64(st.Bsize) >= n
}

// makeOwn makes a directory that belongs to Cyrus's user alone.
func (c *Cyrus) makeOwn(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err == nil && os.Geteuid() == 0 {
		err = os.Lchown(dir, c.owner.UID, c.owner.GID)
	}
	return err
}

// configure returns Cyrus's programs with the configuration conf, which is written into a
// directory.
func (c *Cyrus) configure(dir *scratch.Dir, conf []cyrusspool.Setting) (*reconstruct.Programs, error) {
	var text strings.Builder
	for _, s := range conf {
		fmt.Fprintln(&text, s)
	}
	path := filepath.Join(dir.Path, "imapd.conf")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil { // it may hold passwords
		return nil, err
	}
	if cred := c.Programs.Credential; cred != nil {
		if err := os.Chown(path, int(cred.Uid), int(cred.Gid)); err != nil {
			return nil, err
		}
	}
	p := *c.Programs
	p.Conf, p.Hold = path, append(slices.Clone(p.Hold), dir.File)
	return &p, nil
}
