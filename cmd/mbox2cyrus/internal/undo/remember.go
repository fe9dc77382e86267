package undo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// Remember completes the record of a mailbox that is about to be begun for the
// first time with what undo must know: which directories are missing, and of a
// mailbox that is adopted, its entry and files; if it has messages, to which others are
// to be appended, all but those. Of an INBOX it also takes down
// what the user has outside his mailboxes. Copies are on the disk on return.
func Remember(ctx context.Context, c *target.Cyrus, l *ledger.Ledger, rec *ledger.Mailbox, entry reconstruct.Entry) error {
	roots := c.Place(rec.Partition, rec.Dir).Roots.All()
	for _, root := range roots {
		made, err := missing(root, filepath.Dir(rec.Dir))
		if err != nil {
			return fmt.Errorf("%s: %w", rec.Name, err)
		}
		rec.MadeDirs = append(rec.MadeDirs, made...)
	}
	if rec.Adopted {
		var err error
		if rec.Original, err = original(ctx, c, l, rec, entry, roots); err != nil {
			return fmt.Errorf("%s: %w", rec.Name, err)
		}
	}
	if rec.Merged {
		var err error
		if rec.Stamp, err = startStamp(c); err != nil {
			return fmt.Errorf("%s: %w", rec.Name, err)
		}
	}
	if len(cyrusspool.Name(rec.Name).Folder()) > 0 {
		return nil
	}
	return RememberUser(c, l, rec, entry)
}

// RememberUser takes down, in the record of one of his mailboxes, what a user has outside
// of them. inbox is the entry of his INBOX.
func RememberUser(c *target.Cyrus, l *ledger.Ledger, rec *ledger.Mailbox, inbox reconstruct.Entry) error {
	for i, dir := range c.UserDirs(inbox) {
		u, err := userFiles(c, l, rec.UniqueID, i, dir)
		if err != nil {
			return fmt.Errorf("files of the user of %s: %w", rec.Name, err)
		}
		rec.UserFiles = append(rec.UserFiles, u)
	}
	return nil
}

// Recognise takes down where the user of an INBOX that was recognised has his other files.
// What he had before is not known.
func Recognise(c *target.Cyrus, rec *ledger.Mailbox, inbox reconstruct.Entry) error {
	for _, dir := range c.UserDirs(inbox) {
		u := ledger.UserFiles{Dir: dir.Dir, Prefix: dir.Prefix}
		if dir.Prefix == "" { // by the unique id of this INBOX: nobody else's
			u.MadeDirs = []ledger.MadeDir{{Root: c.ConfigDir, Dir: dir.Dir}}
		}
		rec.UserFiles = append(rec.UserFiles, u)
	}
	return Leave(c, rec)
}

// AboutToChange records that a run is about to change files of a user beside his mailboxes,
// so that what they are like is not known until Leave says it. alone says that Cyrus's
// server does not run. changed is false if that is recorded already.
func AboutToChange(c *target.Cyrus, rec *ledger.Mailbox, alone bool) (changed bool, err error) {
	rec.UserFiles = slices.Clone(rec.UserFiles) // the ledger has the same
	for i := range rec.UserFiles {
		u := &rec.UserFiles[i]
		left := map[string]string{}
		for name := range u.Left {
			left[name] = ""
		}
		if u.Prefix != "" && !c.SeenInIndex() {
			left[u.Prefix+"seen"] = "" // it may not be there yet
		}
		if maps.Equal(left, u.Left) {
			continue
		}
		changed, u.Left, u.Stamp = true, left, nil
		if alone {
			if u.Stamp, err = startStamp(c); err != nil {
				return false, fmt.Errorf("files of the user of %s: %w", rec.Name, err)
			}
		}
	}
	return changed, nil
}

// Leave records, of the files of a user that migrate changes beside his mailboxes, what
// they are now: if undo finds them otherwise, something happened in his account since.
func Leave(c *target.Cyrus, rec *ledger.Mailbox) error {
	rec.UserFiles = slices.Clone(rec.UserFiles) // the ledger has the same
	for i := range rec.UserFiles {
		if err := leave(c, rec, &rec.UserFiles[i]); err != nil {
			return fmt.Errorf("files of the user of %s: %w", rec.Name, err)
		}
	}
	return nil
}

func leave(c *target.Cyrus, rec *ledger.Mailbox, u *ledger.UserFiles) (err error) {
	u.Left, u.Stamp = nil, nil
	d, err := openIfThere(c.ConfigDir, u.Dir)
	if d == nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	left := map[string]string{}
	err = eachEntry(d, func(e fs.DirEntry) (err error) {
		if !e.Type().IsRegular() || !belongs(*u, e.Name()) {
			return nil
		}
		switch kind := fileKind(*u, e.Name()); {
		case kind == derived && (rec.Adopted || len(u.Files) > 0), kind == seenState && !c.SeenInIndex():
			left[e.Name()], err = sumAt(d, e.Name(), sha256.New())
		}
		return err
	})
	u.Left = left
	return err
}

// startStamp returns the identity of the file that Cyrus writes whenever its server
// starts (ctl_cyrusdb -r; lib/cyrusdb_skiplist.c, myinit) and no other program does; nil
// if there is none.
func startStamp(c *target.Cyrus) (id *ledger.FileID, err error) {
	d, err := openIfThere(c.ConfigDir, "db")
	if d == nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	stamp, err := identityAt(d, "skipstamp")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return &stamp, err
}

// sameStart reports whether Cyrus's server was certainly not started since a stamp was taken.
func sameStart(c *target.Cyrus, stamp *ledger.FileID) (bool, error) {
	now, err := startStamp(c)
	return err == nil && now != nil && stamp != nil && now.Equal(*stamp), err
}

// missing returns dir and the directories above it, below root, that are not there.
func missing(root, dir string) (dirs []ledger.MadeDir, err error) {
	for ; dir != "."; dir = filepath.Dir(dir) {
		_, err := os.Lstat(filepath.Join(root, dir))
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		dirs = append(dirs, ledger.MadeDir{Root: root, Dir: dir})
	}
	return dirs, nil
}

// original keeps what an adopted mailbox is. Where Cyrus has no program that tells the
// records of mailboxes.db, or it cannot, there is nothing to keep: migrate does without,
// and undo will refuse the mailbox.
func original(ctx context.Context, c *target.Cyrus, l *ledger.Ledger, rec *ledger.Mailbox, entry reconstruct.Entry, roots []string) (*ledger.Original, error) {
	if err := c.CanRemove(); err != nil {
		return nil, nil
	}
	records, err := c.Records(ctx, entry)
	var exit *reconstruct.ExitError
	if errors.As(err, &exit) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o := &ledger.Original{Records: records}
	for i, root := range roots {
		files, err := keepFiles(l, rec.UniqueID, fmt.Sprintf("mailbox%d:", i), root, rec.Dir, func(name string) bool {
			return !rec.Merged || isMailboxFile(name)
		})
		if err != nil {
			return nil, err
		}
		o.Files = append(o.Files, files...)
	}
	return o, nil
}

func userFiles(c *target.Cyrus, l *ledger.Ledger, id string, n int, dir target.UserDir) (u ledger.UserFiles, err error) {
	u.Dir, u.Prefix = dir.Dir, dir.Prefix
	if u.MadeDirs, err = missing(c.ConfigDir, u.Dir); err != nil {
		return u, err
	}
	u.Files, err = keepFiles(l, id, fmt.Sprintf("user%d:", n), c.ConfigDir, u.Dir, func(name string) bool { return belongs(u, name) })
	return u, err
}

// belongs reports whether a file in the directory of a user's files is his. In
// the layout by name the directory has many users' files, each "login.what".
func belongs(u ledger.UserFiles, name string) bool {
	what, ok := strings.CutPrefix(name, u.Prefix)
	what = strings.TrimSuffix(what, ".NEW")
	return ok && (u.Prefix == "" || what != "" && !strings.Contains(strings.TrimSuffix(what, target.FlatSuffix), "."))
}

// keepFiles copies the regular files of a directory that are wanted, each under its name
// with mark in front.
func keepFiles(l *ledger.Ledger, id, mark, root, dir string, wanted func(string) bool) (kept []ledger.KeptFile, err error) {
	d, err := openIfThere(root, dir)
	if d == nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	err = eachEntry(d, func(e fs.DirEntry) error {
		if !e.Type().IsRegular() || !wanted(e.Name()) {
			return nil
		}
		f, err := cyrusspool.OpenFileAt(d, e.Name())
		if err != nil {
			return err
		}
		k := ledger.KeptFile{Root: root, Name: e.Name(), Copy: mark + e.Name()}
		if k.Access, err = ledger.AccessOf(f); err == nil {
			k.SHA256, err = l.Keep(id, k.Copy, f)
		}
		kept = append(kept, k)
		return errors.Join(err, f.Close())
	})
	return kept, err
}

// openIfThere opens a directory below root as [cyrusspool.OpenDir] does. One that is not there
// is nil, without an error.
func openIfThere(root, dir string) (*os.File, error) {
	d, err := cyrusspool.OpenDir(root, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return d, err
}

// eachEntry calls do for every entry of a directory, in no order, in bounded memory.
func eachEntry(d *os.File, do func(fs.DirEntry) error) error {
	if _, err := d.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	for {
		entries, err := d.ReadDir(1000)
		for _, e := range entries {
			if err := do(e); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
	}
}

// sumAt returns the hash of a file in hexadecimal, "" if there is none.
func sumAt(d *os.File, name string, h hash.Hash) (sum string, err error) {
	f, err := cyrusspool.OpenFileAt(d, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("%s: %w", f.Name(), err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
