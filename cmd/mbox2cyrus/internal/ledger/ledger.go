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
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/groupsync"
	"mbox2cyrus/mbox"
)

// Version of the journal's format, in its first line. docs/ledger.md describes it.
// Version 1, which is read too, had no undo: it lacks the states of one, and of
// its mailboxes it is not known what was there before.
const Version = 2

const oldestVersion = 1

// JournalName is the journal's file in a state directory.
const JournalName = "ledger.jsonl"

// State is how far a mailbox has come. Each state is durable before the next
// is begun.
type State string

const (
	// Begun: its unique id is chosen; its directory may hold anything.
	Begun State = "begun"
	// Filled: message files, header, index and manifest are complete on disk,
	// but Cyrus may not know of it yet.
	Filled State = "filled"
	// Verified: Cyrus rebuilt its index and the index says what the source said.
	Verified State = "verified"
	// Undoing: the mailbox is being taken out of Cyrus again and may be half gone.
	Undoing State = "undoing"
	// Undone: Cyrus is as it was before the mailbox was begun. It is forgotten.
	Undone State = "undone"
)

// RawName is a name from the UW host, any bytes. In JSON it is a string where
// it is UTF-8, else {"b64": …}.
type RawName string

// MarshalJSON implements json.Marshaler.
func (n RawName) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal(map[string]string{"b64": base64.StdEncoding.EncodeToString([]byte(n))})
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *RawName) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err == nil {
		*n = RawName(s)
		return nil
	}
	var m struct {
		B64 []byte `json:"b64"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	*n = RawName(m.B64)
	return nil
}

// FileID is what tells whether a file is still the one that was seen. UW sets
// the mtime by hand and keeps the size when only flags change, so the ctime
// counts (uw-mbox 8.3).
type FileID struct {
	Dev    uint64    `json:"dev"`
	Ino    uint64    `json:"ino"`
	Size   int64     `json:"size"`
	MTime  time.Time `json:"mtime"`
	CTime  time.Time `json:"ctime"`
	Digest string    `json:"digest,omitempty"` // of all files of a folder that has several
}

// Equal reports whether both describe the same unchanged file.
func (a FileID) Equal(b FileID) bool {
	return a.Dev == b.Dev && a.Ino == b.Ino && a.Size == b.Size && a.Digest == b.Digest && a.MTime.Equal(b.MTime) && a.CTime.Equal(b.CTime)
}

// NewFileID is the ledger's form of a folder's identity.
func NewFileID(id mbox.Identity) FileID {
	return FileID{Dev: id.Dev, Ino: id.Ino, Size: id.Size, MTime: id.ModTime.UTC(), CTime: id.ChangeTime.UTC(), Digest: id.Digest}
}

// Identity is that of which a is the ledger's form.
func (a FileID) Identity() mbox.Identity {
	return mbox.Identity{Dev: a.Dev, Ino: a.Ino, Size: a.Size, ModTime: a.MTime, ChangeTime: a.CTime, Digest: a.Digest}
}

// Stat returns the identity of an open file.
func Stat(f *os.File) (FileID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return FileID{}, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	return FileID{Dev: st.Dev, Ino: st.Ino, Size: st.Size,
		MTime: time.Unix(st.Mtim.Unix()).UTC(), CTime: time.Unix(st.Ctim.Unix()).UTC()}, nil
}

// Mailbox is the state of one Cyrus mailbox that this program makes.
type Mailbox struct {
	State     State   `json:"state"`
	User      RawName `json:"user"`   // login on the UW host
	Folder    RawName `json:"folder"` // name on the UW host; "" for a mailbox made only as a parent
	Name      string  `json:"mailbox"`
	UniqueID  string  `json:"uniqueid"`
	Partition string  `json:"partition"`
	Dir       string  `json:"dir"` // below the partition
	Adopted   bool    `json:"adopted,omitempty"`
	// Recognised: the state directory was lost, and the mailbox was found to hold what the
	// folder holds. Whether this program made it is not known.
	Recognised bool `json:"recognised,omitempty"`
	// Merged: messages were appended to mail that Cyrus had, of which Original is what it
	// was, and nobody changed it between the passes.
	Merged   bool `json:"merged,omitempty"`
	QuotaSet bool `json:"quota_set,omitempty"` // of one of his mailboxes: the user had no quota, and was given one

	Source     RawName          `json:"source,omitempty"` // path below the source root
	SourceID   *FileID          `json:"source_id,omitempty"`
	Rules      string           `json:"rules,omitempty"`        // flags that changed what was read of it; "": none
	Bytes      map[string]int64 `json:"source_bytes,omitempty"` // bytes of the source by reason; they add up to its size
	Held       *Held            `json:"held,omitempty"`         // nil: nothing
	Messages   int64            `json:"messages"`
	Size       int64            `json:"size"` // bytes of all messages in Cyrus
	Keywords   []string         `json:"keywords,omitempty"`
	Manifest   string           `json:"manifest,omitempty"` // file below manifests/
	UIDValid   uint32           `json:"uidvalidity,omitempty"`
	UIDNext    uint32           `json:"uidnext,omitempty"`
	IndexID    *FileID          `json:"index_id,omitempty"` // cyrus.index as verified
	IndexSHA1  string           `json:"index_sha1,omitempty"`
	NewUIDVald bool             `json:"new_uidvalidity,omitempty"` // the source had none that could be kept
	Assigned   bool             `json:"assigned,omitempty"`        // UIDs are not the source's: those of an earlier pass were kept
	FirstUID   uint32           `json:"first_uid,omitempty"`       // of our messages, in a mailbox to which they were appended
	Previous   string           `json:"previous,omitempty"`        // manifest of the pass before, until this one is verified
	// Mixed: runs that were cut off wrote an index that Cyrus changed since, and what is new is
	// being appended to that. Until it is verified.
	Mixed bool `json:"mixed,omitempty"`

	// What undo must know of the time before.
	MadeDirs  []MadeDir   `json:"made_dirs,omitempty"`  // those above Dir that were not there
	Original  *Original   `json:"original,omitempty"`   // of an adopted mailbox
	UserFiles []UserFiles `json:"user_files,omitempty"` // of an INBOX: what its user had besides mailboxes; the first has the subscriptions
	Stamp     *FileID     `json:"stamp,omitempty"`      // of a merged mailbox: Cyrus's stamp of its last start, before the first append
	Keep      *Counters   `json:"keep,omitempty"`       // of a merged mailbox that is undone: what clients may have seen
}

// Manifests are the names that the manifest of a mailbox can have. A pass writes the one
// that the index, as it is, is not of: that one is needed until the new index is verified.
func (m Mailbox) Manifests() []string { return []string{m.UniqueID + ".tsv", m.UniqueID + ".1.tsv"} }

// OtherManifest is the name that is not this one.
func (m Mailbox) OtherManifest(name string) string {
	names := m.Manifests()
	if name == names[0] {
		return names[1]
	}
	return names[0]
}

// Held is how much of a folder is in no message, and listed in HeldDir.
type Held struct {
	Items    int64 `json:"items"`
	Bytes    int64 `json:"bytes"`
	Messages int64 `json:"messages,omitempty"` // items that are messages, but larger than Cyrus's index can say
	// Of the file with the bytes; "" and 0: not known.
	MboxSize int64  `json:"mbox_size,omitempty"`
	MboxSHA1 string `json:"mbox_sha1,omitempty"`
}

// Counters are what of a mailbox may never go back once a client has seen it.
type Counters struct {
	UIDNext       uint32 `json:"uidnext"`
	HighestModSeq uint64 `json:"highestmodseq"`
}

// Subscriptions are those that were written for a user.
type Subscriptions struct {
	User  RawName `json:"user"`
	Path  string  `json:"path"`  // of the file, below Cyrus's configdirectory
	Names string  `json:"names"` // identifies what he was subscribed to
	SHA1  string  `json:"sha1"`  // of the file; "": none was written
	// Next is the SHA-1 of the file that a run is about to put in place of it, or where there
	// was none. A run that was cut off leaves one of the two. SetSubscriptions without it says
	// that it is done. Before the first it stands without Names.
	Next string `json:"next,omitempty"`
}

// Wrote reports whether the file with a SHA-1 is one that a run wrote.
func (s Subscriptions) Wrote(sum string) bool {
	return sum == s.SHA1 || s.Next != "" && sum == s.Next
}

// Run marks where a run began and with what.
type Run struct {
	Start      time.Time `json:"start"`
	Program    string    `json:"program"`
	SourceRoot string    `json:"source_root"`
	IMAPDConf  string    `json:"imapd_conf"`
	Cyrus      string    `json:"cyrus"`
	// Marks are what the UW host is told by from others (mbox.Host.Marks).
	Marks map[string]string `json:"marks,omitempty"`
}

// End marks how a run ended.
type End struct {
	Time     time.Time `json:"time"`
	ExitCode int       `json:"exit_code"`
	Bytes    int64     `json:"bytes,omitempty"`   // of the folders that were read, because they were new or changed
	Seconds  float64   `json:"seconds,omitempty"` // from the start
}

// Pace is how fast runs were, by what they recorded: for one, the seconds it takes with
// nothing to do, for the other the bytes of changed folders that it brings in one more
// second.
type Pace struct{ Idle, BytesPerSecond float64 }

// learn takes up what another run measured. The least time that a run took is that with
// nothing to do; the last large one tells the speed.
func (p *Pace) learn(e End) {
	if e.Seconds <= 0 || e.ExitCode != 0 && e.ExitCode != 2 {
		return
	}
	if p.Idle == 0 || e.Seconds < p.Idle {
		p.Idle = e.Seconds
	}
	if e.Bytes > 0 && (e.Bytes >= 1<<20 || p.BytesPerSecond == 0) {
		p.BytesPerSecond = float64(e.Bytes) / e.Seconds
	}
}

type line struct {
	Ledger  int      `json:"ledger,omitempty"`
	Run     *Run     `json:"run,omitempty"`
	Mailbox *Mailbox `json:"set,omitempty"`
	End     *End     `json:"end,omitempty"`

	Subscriptions *Subscriptions `json:"subscriptions,omitempty"`
	Approval      *Approval      `json:"approved,omitempty"`
}

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
	made    map[MadeDir]bool // directories that this program made, once
	gone    []Mailbox        // undone, as far as it is needed to forget them
	quotas  map[RawName]bool // of users who were given one
	subs    map[RawName]Subscriptions
	pace    Pace
	cutOff  bool // of the runs of migrate the last did not come to its end

	migrate bool              // the run that was read last is one of migrate
	root    string            // of the source of the last migrate
	marks   map[string]string // of that host

	approved map[string]approvedBy // by id of the held item
}

// ErrBusy is returned by Open when another run holds the state directory.
var ErrBusy = errors.New("another run of mbox2cyrus is using this state directory")

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
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	// An open-file-description lock: a POSIX lock would be lost as soon as any
	// goroutine closed any descriptor of this file.
	err = unix.FcntlFlock(lock.Fd(), unix.F_OFD_SETLK, byteLock(lockOfRun, unix.F_WRLCK))
	if err != nil {
		holder, _ := io.ReadAll(io.LimitReader(lock, 200))
		cerr := lock.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, fmt.Errorf("state directory %s: %w (%s)", dir, ErrBusy, bytes.TrimSpace(holder))
		}
		return nil, errors.Join(fmt.Errorf("state directory %s: lock: %w", dir, err), cerr)
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

func (l *Ledger) open() error {
	if err := l.lock.Truncate(0); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if _, err := l.lock.WriteAt(fmt.Appendf(nil, "pid %d since %s\n", os.Getpid(), time.Now().UTC().Format(time.RFC3339)), 0); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
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

// InUse tells which run holds the state directory, "" for none. Nothing is made or held.
func InUse(dir string) (holder string, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("state directory: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lock := byteLock(lockOfRun, unix.F_WRLCK)
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, lock); err != nil || lock.Type == unix.F_UNLCK {
		return "", nil // a file system that knows no locks tells nothing, and no run writes there
	}
	text, err := io.ReadAll(io.LimitReader(f, 200))
	return cmp.Or(string(bytes.TrimSpace(text)), "no pid is told"), err
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

// read loads the journal and returns the length of its undamaged part.
func (l *Ledger) read(path string) (good int64, err error) {
	l.boxes, l.subs, l.approved = mailboxes{}, map[RawName]Subscriptions{}, map[string]approvedBy{}
	l.made, l.gone, l.quotas = map[MadeDir]bool{}, nil, map[RawName]bool{}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ledger: %w", err)
	}
	l.journal = f
	var block []parsed
	for n, br := 1, bufio.NewReaderSize(f, 1<<16); ; {
		var rerr error
		block, rerr = readBlock(br, block)
		last := rerr == io.EOF || rerr == io.ErrUnexpectedEOF
		if rerr != nil && !last {
			return 0, fmt.Errorf("ledger %s: line %d: %w", path, n+len(block), rerr)
		}
		parse(block)
		for i := range block {
			p := &block[i]
			if p.err != nil && rerr == io.EOF && i == len(block)-1 {
				return good, nil // torn
			}
			if p.err != nil {
				return 0, fmt.Errorf("ledger %s: line %d at offset %d is damaged: %w", path, n, good, p.err)
			}
			at := span{good, len(p.text)}
			if err := l.take(&p.line, at, n == 1); err != nil {
				return 0, fmt.Errorf("ledger %s: line %d: %w", path, n, err)
			}
			good += int64(len(p.text))
			n++
		}
		if last {
			return good, nil
		}
	}
}

// take takes what the line at a place of the journal says.
func (l *Ledger) take(ln *line, at span, first bool) error {
	if first || ln.Ledger != 0 { // a later one: a newer program went on with the journal
		if ln.Ledger < oldestVersion || ln.Ledger > Version {
			return fmt.Errorf("version %d, this program reads %d to %d and writes %d", ln.Ledger, oldestVersion, Version, Version)
		}
		l.version = ln.Ledger
	}
	if ln.Mailbox != nil {
		l.put(ln.Mailbox, at)
	}
	if ln.Run != nil {
		l.migrate = ln.Run.SourceRoot != "" // undo has none
		l.cutOff = l.cutOff || l.migrate
		l.root = cmp.Or(ln.Run.SourceRoot, l.root)
		if len(ln.Run.Marks) > 0 {
			l.marks = ln.Run.Marks
		}
	}
	if ln.End != nil {
		l.cutOff = l.cutOff && !l.migrate
		l.pace.learn(*ln.End)
	}
	if ln.Subscriptions != nil {
		l.putSubscriptions(*ln.Subscriptions)
	}
	if ln.Approval != nil {
		l.putApproval(*ln.Approval)
	}
	return nil
}

// parsed is a line of the journal.
type parsed struct {
	text []byte
	line line
	err  error
}

// blockLines is how many lines are parsed together, by as many processors as there are.
const blockLines = 1024

// readBlock reads the next lines, into the block that was parsed before. They are the last
// where the error is io.EOF, or io.ErrUnexpectedEOF if another follows without its end,
// which is torn.
func readBlock(br *bufio.Reader, block []parsed) ([]parsed, error) {
	block = slices.Grow(block[:0], blockLines)
	for n := range blockLines {
		text, err := readLine(br, block[:blockLines][n].text[:0])
		if err == io.EOF && len(text) > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return block, err
		}
		block = append(block, parsed{text: text})
	}
	if _, err := br.Peek(1); err == io.EOF {
		return block, io.EOF
	}
	return block, nil
}

// readLine appends the next line to text.
func readLine(br *bufio.Reader, text []byte) ([]byte, error) {
	for {
		piece, err := br.ReadSlice('\n')
		text = append(text, piece...)
		if err != bufio.ErrBufferFull {
			return text, err
		}
	}
}

// parse parses the lines of a block.
func parse(block []parsed) {
	var group sync.WaitGroup
	for piece := range slices.Chunk(block, blockLines/16) {
		group.Go(func() {
			for i := range piece {
				piece[i].err = json.Unmarshal(piece[i].text, &piece[i].line)
			}
		})
	}
	group.Wait()
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

// load returns what the last line about a mailbox says, from the journal if it is not kept.
func (l *Ledger) load(k *known) (Mailbox, error) {
	if k.box == nil {
		damaged := func(err error) (Mailbox, error) {
			return Mailbox{}, fmt.Errorf("ledger %s: line of %s at offset %d: %w", l.journal.Name(), k.name, k.at.offset, err)
		}
		text := make([]byte, k.at.length)
		if _, err := l.journal.ReadAt(text, k.at.offset); err != nil {
			return damaged(err)
		}
		var ln line
		if err := json.Unmarshal(text, &ln); err != nil {
			return damaged(err)
		}
		if ln.Mailbox == nil || ln.Mailbox.Name != k.name {
			return damaged(errors.New("the journal was changed while it was open"))
		}
		l.boxes.keep(k, ln.Mailbox)
	}
	return *k.box, nil
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

// putSubscriptions takes what a line says: without a path, that there are none.
func (l *Ledger) putSubscriptions(s Subscriptions) {
	if s.Path == "" {
		delete(l.subs, s.User)
		return
	}
	l.subs[s.User] = s
}

// Subscriptions returns those that were written for a user of the UW host.
func (l *Ledger) Subscriptions(user string) (Subscriptions, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.subs[RawName(user)]
	return s, ok
}

// SetSubscriptions records the subscriptions that were written; without a path, that
// they were removed again. What is to be written, Next, is on the disk when it returns. That
// it was written comes there with what is synced next; where that is lost, the next run finds
// the file as it would write it.
func (l *Ledger) SetSubscriptions(subs ...Subscriptions) error {
	if len(subs) == 0 {
		return nil
	}
	lines := make([]line, len(subs))
	sync := false
	for i := range subs {
		lines[i].Subscriptions = &subs[i]
		sync = sync || subs[i].Next != ""
	}
	if _, err := l.append(sync, lines...); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range subs {
		l.putSubscriptions(s)
	}
	return nil
}

// Pace returns how fast earlier runs were; its BytesPerSecond is 0 if there were none.
func (l *Ledger) Pace() Pace { return l.pace }

// SourceRoot returns where the UW host was in the last migrate before the ledger was opened,
// "" if there was none.
func (l *Ledger) SourceRoot() string { return l.root }

// Marks returns those of the UW host in the last migrate before the ledger was opened that
// found any.
func (l *Ledger) Marks() map[string]string { return l.marks }

// Begin records the start of a run.
func (l *Ledger) Begin(r Run) error { return l.write(line{Run: &r}) }

// CutOff reports whether the last migrate did not come to its end before the ledger was
// opened. An undo since changes nothing of that: it does not do what was left.
func (l *Ledger) CutOff() bool { return l.cutOff }

// End records the end of a run.
func (l *Ledger) End(e End) error { return l.write(line{End: &e}) }

// write appends a line and syncs it to disk.
func (l *Ledger) write(ln line) error {
	_, err := l.append(true, ln)
	return err
}

// append appends lines and returns where they are.
func (l *Ledger) append(sync bool, lines ...line) (at []span, err error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	at = make([]span, len(lines)) // offsets in buf at first
	for i, ln := range lines {
		at[i].offset = int64(buf.Len())
		if err := enc.Encode(ln); err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
		at[i].length = buf.Len() - int(at[i].offset)
	}
	l.mu.Lock()
	for i := range at {
		at[i].offset += l.size
	}
	if err = AppendWhole(l.f, buf.Bytes()); err == nil {
		l.size += int64(buf.Len())
	} else if info, serr := l.f.Stat(); serr == nil {
		l.size = info.Size()
	}
	l.mu.Unlock()
	if err == nil && sync {
		err = l.disk.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return at, nil
}

// AppendWhole appends all of b, or nothing: where a disk was full for a moment, what comes next
// must not follow the beginning of a line.
func AppendWhole(f *os.File, b []byte) error {
	n, err := f.Write(b)
	if err == nil || n == 0 {
		return err
	}
	info, serr := f.Stat()
	if serr == nil {
		serr = f.Truncate(info.Size() - int64(n))
	}
	return errors.Join(err, serr)
}

// RemoveManifest removes a manifest that no mailbox refers to any more.
func (l *Ledger) RemoveManifest(name string) error {
	if err := os.Remove(filepath.Join(l.dir, manifestDir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}

// Dir returns the state directory.
func (l *Ledger) Dir() string { return l.dir }

// ManifestDir returns the directory of the manifests, for syncing.
func (l *Ledger) ManifestDir() string { return filepath.Join(l.dir, manifestDir) }

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
