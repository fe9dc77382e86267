// Package ledger is the durable record of what was done: which file of the UW
// host became which Cyrus mailbox, message by message.
//
// It lives in the state directory:
//
//	lock                 held (fcntl) by the one run that may write, and by its programs
//	ledger.jsonl         the journal: one JSON object a line, only ever appended
//	manifests/ID.tsv     one line a message of the mailbox with that unique id
//	held/ID.…            what of its folder is in no message, see package held
//	originals/ID/…       what was there of an adopted mailbox before it was filled
//
// The last line about a mailbox in the journal is its state. A line is synced
// to disk before anything relies on it. A torn last line, as a crash leaves it,
// is dropped; damage anywhere else is an error, never guessed around.
package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/groupsync"
)

// Ledger is an open state directory.
type Ledger struct {
	dir     string
	lock    *os.File
	hold    *os.File // what Cyrus's programs inherit; nil: not asked for
	version int      // of the journal's last part

	disk groupsync.Sync // of the journal

	mu      sync.Mutex
	f       *os.File // nil: read only
	journal *os.File // to read from; nil: there is none
	size    int64    // of the journal
	boxes   mailboxes
	made    map[MadeDir]bool      // directories that this program made, once
	gone    []Mailbox             // undone, as far as it is needed to forget them
	quotas  map[RawName]bool      // of users who were given one
	undone  map[RawName]time.Time // when the run began that last took a mailbox of a user out of Cyrus
	subs    map[RawName]Subscriptions
	pace    Pace
	cutOff  bool // of the runs of migrate the last did not come to its end

	began   time.Time         // the run that was read last
	migrate bool              // it is one of migrate
	root    string            // of the source of the last migrate
	marks   map[string]string // of that host
	zone    string            // of the machine, as runs recorded it

	approved map[string]approvedBy // by id of the held item
}

// Open opens the state directory for a run, making it if need be, and takes
// its lock.
func Open(dir string) (*Ledger, error) {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = onlyOurs(dir)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, manifestDir), 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	lock, err := takeLock(dir)
	if err != nil {
		return nil, err
	}
	l := &Ledger{dir: dir, lock: lock}
	if err := l.open(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return l, nil
}

// onlyOurs refuses a directory that others can write to. By what is recorded there files are
// removed and moved, with root's rights, and they could put links in the place of its files.
func onlyOurs(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	others := uint32(0o022)
	if st.Gid == uint32(os.Getegid()) { // ours, as umask 002 leaves it
		others = 0o002
	}
	if st.Uid != uint32(os.Geteuid()) || st.Mode&others != 0 {
		return fmt.Errorf("%w: %s belongs to uid %d with mode %04o; it must belong to uid %d and be writable by nobody else: see who made it and what is in it, or give another --state",
			fs.ErrPermission, dir, st.Uid, st.Mode&0o7777, os.Geteuid())
	}
	return nil
}

// open loads the journal, mends its end and opens it for writing.
func (l *Ledger) open() error {
	path := filepath.Join(l.dir, JournalName)
	good, err := l.read(path)
	if l.journal != nil {
		err = errors.Join(err, l.journal.Close())
	}
	if err != nil {
		return err
	}
	l.f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	l.journal, l.size = l.f, good
	l.disk.Do = func() error {
		if err := unix.Fdatasync(int(l.f.Fd())); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		return nil
	}
	if good == 0 {
		if err := l.f.Truncate(0); err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
		if err := l.write(line{Ledger: Version}); err != nil {
			return err
		}
		return syncDir(l.dir)
	}
	// A torn last line goes, so that the next one starts on its own line.
	if err := l.f.Truncate(good); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if l.version < Version {
		return l.write(line{Ledger: Version})
	}
	return nil
}

// Exists reports whether the state directory has a ledger.
func Exists(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, JournalName))
	return err == nil
}

// Read opens the state directory for looking only: no lock, nothing made. A
// directory without a ledger is an empty ledger. Close closes the journal.
func Read(dir string) (*Ledger, error) {
	l := &Ledger{dir: dir}
	if _, err := l.read(filepath.Join(dir, JournalName)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// put takes the new state of a mailbox, which the journal has at that place.
func (l *Ledger) put(m *Mailbox, at span) {
	for _, dir := range m.MadeDirs {
		l.made[dir] = true
	}
	for _, u := range m.UserFiles {
		for _, dir := range u.MadeDirs {
			l.made[dir] = true
		}
	}
	if m.State == Undone {
		delete(l.quotas, m.User)
		l.undone[m.User] = l.began
		l.gone = append(l.gone, Mailbox{UniqueID: m.UniqueID, Manifest: m.Manifest, Previous: m.Previous})
		l.boxes.remove(m.Name)
		return
	}
	if m.QuotaSet {
		l.quotas[m.User] = true
	}
	if m.State == "" && m.QuotaSet {
		return // of an INBOX of which nothing was to do, as earlier versions said it
	}
	l.boxes.put(m, at)
}

// MadeDirs returns those of some directories that were not there before this program, the
// deepest first: above mailboxes, and of users, mailboxes that were undone included.
func (l *Ledger) MadeDirs(some map[MadeDir]bool) (made []MadeDir) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for dir := range some {
		if l.made[dir] {
			made = append(made, dir)
		}
	}
	slices.SortFunc(made, func(a, b MadeDir) int {
		return cmp.Or(strings.Count(b.Dir, "/")-strings.Count(a.Dir, "/"), strings.Compare(a.Dir, b.Dir), strings.Compare(a.Root, b.Root))
	})
	return made
}

// Mailbox returns what is known of a mailbox by Cyrus's internal name.
func (l *Ledger) Mailbox(name string) (m Mailbox, known bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, known := l.boxes.byName[name]
	if known {
		m, err = l.load(k)
	}
	return m, known, err
}

// Knows reports whether anything is known of a mailbox by Cyrus's internal name.
func (l *Ledger) Knows(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.boxes.byName[name] != nil
}

// NameWithID returns the name by which the mailbox with a unique id is known, "" for none.
// When Cyrus renames a mailbox it leaves it its id.
func (l *Ledger) NameWithID(id string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.boxes.withID(id); k != nil {
		return k.name
	}
	return ""
}

// Len returns how many mailboxes are known.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.boxes.byName)
}

// Owners iterates over the names of all mailboxes and the users of the UW host whose they
// are, in the order in which they were begun.
func (l *Ledger) Owners() iter.Seq2[string, RawName] {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.boxes.all()
	return func(yield func(string, RawName) bool) {
		for _, k := range all {
			if !yield(k.name, k.user) {
				return
			}
		}
	}
}

// Users returns the logins of those who have mailboxes, sorted.
func (l *Ledger) Users() (logins []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for login, boxes := range l.boxes.byUser {
		if slices.ContainsFunc(boxes, func(k *known) bool { return l.boxes.has(k) && k.user == login }) {
			logins = append(logins, string(login))
		}
	}
	slices.Sort(logins)
	return logins
}

// NamesOf returns the names of the mailboxes of a user of the UW host in the order in which
// they were begun.
func (l *Ledger) NamesOf(user string) (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.boxes.of(RawName(user)) {
		names = append(names, k.name)
	}
	return names
}

// MailboxesOf returns the mailboxes of a user of the UW host in the order in which they were
// begun.
func (l *Ledger) MailboxesOf(user string) (boxes []Mailbox, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.boxes.of(RawName(user)) {
		m, err := l.load(k)
		if err != nil {
			return nil, err
		}
		boxes = append(boxes, m)
	}
	return boxes, nil
}

// Undone returns when the run began that last took a mailbox of a user out of Cyrus again; the
// zero time if none did.
func (l *Ledger) Undone(user string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.undone[RawName(user)]
}

// Each calls do for each mailbox in the order in which they were begun. An error of do ends it.
func (l *Ledger) Each(do func(Mailbox) error) error {
	for name := range l.Owners() {
		m, known, err := l.Mailbox(name)
		if err == nil && known {
			err = do(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// GaveQuota reports whether a user of the UW host was given a quota.
func (l *Ledger) GaveQuota(user string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.quotas[RawName(user)]
}

// Set appends the new states of mailboxes and syncs them to disk together, and together with
// those of other calls that wait.
func (l *Ledger) Set(boxes ...Mailbox) error {
	lines := make([]line, len(boxes))
	for i := range boxes {
		lines[i].Mailbox = &boxes[i]
	}
	at, err := l.append(true, lines...)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, m := range boxes {
		l.put(&m, at[i])
	}
	return nil
}

// SourceRoot returns where the UW host was in the last migrate before the ledger was opened,
// "" if there was none.
func (l *Ledger) SourceRoot() string { return l.root }

// Marks returns those of the UW host in the last migrate before the ledger was opened that
// found any.
func (l *Ledger) Marks() map[string]string { return l.marks }

// Zone returns the machine's zone in the last migrate before the ledger was opened that read
// dates in it, "" if none did.
func (l *Ledger) Zone() string { return l.zone }

// Begin records the start of a run.
func (l *Ledger) Begin(r Run) error { return l.write(line{Run: &r}) }

// CutOff reports whether the last migrate did not come to its end before the ledger was
// opened. An undo since changes nothing of that: it does not do what was left.
func (l *Ledger) CutOff() bool { return l.cutOff }

// End records the end of a run.
func (l *Ledger) End(e End) error { return l.write(line{End: &e}) }

// Dir returns the state directory.
func (l *Ledger) Dir() string { return l.dir }

// Close releases the state directory.
func (l *Ledger) Close() error {
	var err error
	if l.journal != nil {
		err = l.journal.Close()
	}
	if l.hold != nil {
		err = errors.Join(err, l.hold.Close())
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := d.Sync(); err != nil {
		return errors.Join(fmt.Errorf("ledger: sync %s: %w", dir, err), d.Close())
	}
	return d.Close()
}
