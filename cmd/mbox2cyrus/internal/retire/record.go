package retire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
)

// Version of the record's format, in its first line. docs/way-back.md describes it.
const Version = 1

const recordName = "retired.jsonl"

// State is where a file is, or is going.
type State string

// The states of a move. Each is on the disk before what follows it is begun.
const (
	Moving    State = "moving"    // to the archive; it is in one of both places
	Moved     State = "moved"     // in the archive
	Restoring State = "restoring" // back; it is in one of both places
	Restored  State = "restored"  // at its old place
)

// Move is one file or directory that was moved.
type Move struct {
	State   State          `json:"state"`
	Time    time.Time      `json:"time"`
	User    ledger.RawName `json:"user"`
	Folder  ledger.RawName `json:"folder"`            // "" for a list of subscriptions
	Mailbox string         `json:"mailbox,omitempty"` // of the folder; "": a list, or of an earlier version
	Path    ledger.RawName `json:"path"`              // below the source root, and below the archive
	Dir     ledger.RawName `json:"dir"`               // absolute, without links: directory that it was in
	DirUID  uint32         `json:"dir_uid"`
	Archive ledger.RawName `json:"archive"` // absolute
	Ino     uint64         `json:"ino"`
	Size    int64          `json:"size"` // bytes; of a directory, of all files in it
	ModTime time.Time      `json:"mtime"`
	SHA256  string         `json:"sha256"`        // of a directory: of its listing, see docs/way-back.md
	IsDir   bool           `json:"is_dir"`        //
	Was     *ledger.FileID `json:"was,omitempty"` // of a folder's place: its identity, as the ledger has it
	Blocked bool           `json:"blocked"`       // an empty directory stays in its place
}

type recordLine struct {
	Retired int   `json:"retired,omitempty"`
	Move    *Move `json:"move,omitempty"`
}

// Record is the record of what was moved where: a journal, only ever appended to. The
// last line about a path counts. The ledger's lock must be held to write it.
type Record struct {
	f     *os.File // nil: read only
	moves map[ledger.RawName]Move
	order []ledger.RawName
	// ofUser are the paths of each login's, ofFolder of each of his folders. What became another's
	// since may be among them.
	ofUser   map[ledger.RawName][]ledger.RawName
	ofFolder map[folderOf][]ledger.RawName
}

// folderOf is a folder of a login's.
type folderOf struct{ user, folder ledger.RawName }

func newRecord() *Record {
	return &Record{moves: map[ledger.RawName]Move{}, ofUser: map[ledger.RawName][]ledger.RawName{}, ofFolder: map[folderOf][]ledger.RawName{}}
}

// Exists reports whether a state directory has a record, be it without a ledger: what was
// moved can be brought back by it.
func Exists(state string) bool {
	_, err := os.Lstat(filepath.Join(state, recordName))
	return err == nil
}

// OpenRecord opens the record in a state directory. Read only, one that is not there
// is empty.
func OpenRecord(state string, write bool) (*Record, error) {
	r := newRecord()
	path := filepath.Join(state, recordName)
	good, err := r.read(path)
	if err != nil || !write {
		return r, err
	}
	if r.f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	err = r.f.Truncate(good) // a torn last line goes
	if err == nil && good == 0 {
		if err = r.append(recordLine{Retired: Version}); err == nil {
			err = syncDir(state)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("record: %w", err), r.f.Close())
	}
	return r, nil
}

// read loads the record and returns the length of its undamaged part.
func (r *Record) read(path string) (good int64, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("record: %w", err)
	}
	defer f.Close() // read only: nothing can be lost
	defer func() {
		if err == nil && good == 0 {
			if err = ledger.BeginsTorn(f); err != nil {
				err = fmt.Errorf("record: %w", err)
			}
		}
	}()
	br := bufio.NewReader(f)
	for n := 1; ; n++ {
		b, err := br.ReadBytes('\n')
		if err == io.EOF {
			return good, nil
		}
		if err != nil {
			return 0, fmt.Errorf("record %s: line %d: %w", path, n, err)
		}
		var line recordLine
		if err := json.Unmarshal(b, &line); err != nil {
			if _, more := br.Peek(1); more == io.EOF {
				return good, nil
			}
			return 0, fmt.Errorf("record %s: line %d is damaged: %w", path, n, err)
		}
		if n == 1 && line.Retired != Version {
			return 0, fmt.Errorf("record %s: version %d, this program knows %d", path, line.Retired, Version)
		}
		if line.Move != nil {
			r.put(*line.Move)
		}
		good += int64(len(b))
	}
}

func (r *Record) put(m Move) {
	was, known := r.moves[m.Path]
	if !known {
		r.order = append(r.order, m.Path)
	}
	add := func(paths []ledger.RawName) []ledger.RawName {
		if known && slices.Contains(paths, m.Path) { // it was another's in between
			return paths
		}
		return append(paths, m.Path)
	}
	if !known || was.User != m.User {
		r.ofUser[m.User] = add(r.ofUser[m.User])
	}
	if folder := (folderOf{m.User, m.Folder}); !known || was.User != m.User || was.Folder != m.Folder {
		r.ofFolder[folder] = add(r.ofFolder[folder])
	}
	r.moves[m.Path] = m
}

// Set records a move's new state. It is on the disk when Set returns.
func (r *Record) Set(m Move) error {
	m.Time = time.Now().UTC()
	if err := r.append(recordLine{Move: &m}); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	r.put(m)
	return nil
}

func (r *Record) append(line recordLine) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(line); err != nil {
		return err
	}
	if err := ledger.AppendWhole(r.f, b.Bytes()); err != nil {
		return err
	}
	return unix.Fdatasync(int(r.f.Fd()))
}

// Moves returns the last state of every path, in the order in which they were first
// moved.
func (r *Record) Moves() (all []Move) {
	for _, path := range r.order {
		all = append(all, r.moves[path])
	}
	return all
}

// movesOf returns the last state of every path of a login's, in the order in which they were
// first moved.
func (r *Record) movesOf(login ledger.RawName) (all []Move) {
	for _, path := range r.ofUser[login] {
		if m := r.moves[path]; m.User == login {
			all = append(all, m)
		}
	}
	return all
}

// with returns what a mailbox has its mail from, as far as it was moved: the places of its
// folder, and the directories that it is in. What is of a path may have been moved as that of
// another login who has the same home.
func (r *Record) with(rec ledger.Mailbox) (all []Move) {
	own := func(m Move) bool { return m.User == rec.User && plan.OfFolder(rec, string(m.Folder), m.Mailbox) }
	for _, path := range r.ofFolder[folderOf{rec.User, rec.Folder}] {
		if m := r.moves[path]; own(m) {
			all = append(all, m)
		}
	}
	for path := string(rec.Source); path != "" && path != "." && path != "/"; path = filepath.Dir(path) {
		if m, known := r.moves[ledger.RawName(path)]; known && !own(m) && (m.IsDir || path == string(rec.Source)) {
			all = append(all, m)
		}
	}
	return all
}

// Knows reports whether anything of a login's was ever moved.
func (r *Record) Knows(login string) bool {
	return r.anyMove(login, func(Move) bool { return true })
}

// anyMove reports whether the last state of a path of a login's is wanted.
func (r *Record) anyMove(login string, wanted func(Move) bool) bool {
	return slices.ContainsFunc(r.ofUser[ledger.RawName(login)], func(path ledger.RawName) bool {
		m := r.moves[path]
		return string(m.User) == login && wanted(m)
	})
}

// Archived reports whether what was at a path is in the archive.
func (r *Record) Archived(path ledger.RawName) bool { return r.moves[path].State == Moved }

// blocked reports whether what was at a path is in the archive, and an empty directory
// keeps its place.
func (r *Record) blocked(path ledger.RawName) bool {
	return r.moves[path].State == Moved && r.moves[path].Blocked
}

// Keeps reports whether a mailbox's folder, a part of it, or a directory that it was in, is in
// an archive, or may be, as a run was cut off.
func (r *Record) Keeps(rec ledger.Mailbox) bool {
	return r.anyOf(rec, func(s State) bool { return s != Restored })
}

// anyOf reports whether what a mailbox has its mail from was moved, in whole or in part, and is
// in one of the states wanted.
func (r *Record) anyOf(rec ledger.Mailbox, wanted func(State) bool) bool {
	return slices.ContainsFunc(r.with(rec), func(m Move) bool { return m.Folder != "" && wanted(m.State) })
}

// began reports whether something of a user is in the archive.
func (r *Record) began(user string) bool {
	return r.anyMove(user, func(m Move) bool { return m.State == Moved })
}

// Close closes the record.
func (r *Record) Close() error {
	if r.f == nil {
		return nil
	}
	return r.f.Close()
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
