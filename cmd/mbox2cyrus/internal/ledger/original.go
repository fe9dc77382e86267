package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"mbox2cyrus/reconstruct"
)

const originalDir = "originals"

// Original is what an adopted mailbox was before it was filled.
type Original struct {
	Records []reconstruct.Record `json:"records"` // of mailboxes.db
	Files   []KeptFile           `json:"files"`   // of its directory: all, or all but the messages of one that had some
}

// UserFiles are the files that Cyrus keeps for a user outside his mailboxes, in one
// directory: subscriptions, counters and the like.
type UserFiles struct {
	Dir      string     `json:"dir"`                 // below Cyrus's configdirectory
	Prefix   string     `json:"prefix,omitempty"`    // of the files there that are his; "": all
	MadeDirs []MadeDir  `json:"made_dirs,omitempty"` // Dir and those above it, as far as they were not there
	Files    []KeptFile `json:"files,omitempty"`     // as they were
	// Left are the SHA-256 of files that were written here, by name, as they were left. ""
	// is that of one which a run is about to write: one that was cut off left it anyhow.
	Left map[string]string `json:"left,omitempty"`
	// Stamp is Cyrus's stamp of its last start, from when a file in Left became "".
	Stamp *FileID `json:"stamp,omitempty"`
}

// MadeDir is a directory that was not there before this program.
type MadeDir struct {
	Root string `json:"root"` // of a partition, or Cyrus's configdirectory
	Dir  string `json:"dir"`  // below it
}

// KeptFile is a file of which a copy is kept below originals/.
type KeptFile struct {
	Root   string `json:"root"` // that its directory is below
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // hexadecimal
	Copy   string `json:"copy"`   // name of the copy
	// Access is the owner, group and permission bits; nil in old records.
	Access *Access `json:"access,omitempty"`
}

// Access says who may use a file.
type Access struct {
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	Mode uint32 `json:"mode"` // permission bits
}

// AccessOf returns who may use an open file.
func AccessOf(f *os.File) (*Access, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	return &Access{UID: int(st.Uid), GID: int(st.Gid), Mode: st.Mode & 0o777}, nil
}

// Keep copies a file of the mailbox with a unique id into the state directory, and
// returns its SHA-256 in hexadecimal. The copy is on the disk when Keep returns. name
// must be a plain file name.
func (l *Ledger) Keep(id, name string, r io.Reader) (digest string, err error) {
	dir := filepath.Join(l.dir, originalDir, id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("keeping %s: %w", name, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return "", fmt.Errorf("keeping %s: %w", name, err)
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), r)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("keeping %s: %w", name, err)
	}
	for _, dir := range []string{dir, filepath.Dir(dir), l.dir} {
		if err := syncDir(dir); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// KeptPath is where the copy is that Keep made.
func (l *Ledger) KeptPath(id, name string) string {
	return filepath.Join(l.dir, originalDir, id, name)
}

// OpenKept opens the copy that Keep made.
func (l *Ledger) OpenKept(id, name string) (*os.File, error) {
	f, err := os.OpenFile(l.KeptPath(id, name), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("kept original: %w", err)
	}
	return f, nil
}

// ForgetUndone removes what is kept of mailboxes that are undone: their manifests, what is
// held of their folders, which are there to be migrated again, and the copies that Keep
// made; also what a run left that was cut off here.
func (l *Ledger) ForgetUndone() error {
	l.mu.Lock()
	used := map[string]bool{}
	for _, k := range l.boxes.byName {
		used[k.id] = true // an empty mailbox of Cyrus's own that was undone may be filled again
	}
	gone := l.gone
	l.gone = nil
	l.mu.Unlock()
	for _, m := range gone {
		if used[m.UniqueID] {
			continue
		}
		if err := l.forget(m); err != nil {
			return err
		}
	}
	return nil
}

// Forget says that a mailbox is undone, whose unique id none has now, and removes what is kept
// of it.
func (l *Ledger) Forget(m Mailbox) error {
	m.State = Undone
	if err := l.Set(m); err != nil {
		return err
	}
	return l.forget(m)
}

func (l *Ledger) forget(m Mailbox) error {
	for _, name := range append(m.Manifests(), m.Manifest, m.Previous) {
		if name == "" {
			continue
		}
		if err := l.RemoveManifest(name); err != nil {
			return err
		}
	}
	for _, suffix := range []string{".jsonl", ".mbox"} {
		if err := os.Remove(filepath.Join(l.dir, heldDir, m.UniqueID+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("held mail: %w", err)
		}
	}
	if err := os.RemoveAll(filepath.Join(l.dir, originalDir, m.UniqueID)); err != nil {
		return fmt.Errorf("kept originals: %w", err)
	}
	return nil
}
