package verify

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mbox2cyrus/cmd/mbox2cyrus/internal/held"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/internal/beside"
	"mbox2cyrus/mbox"
)

// migrated is a folder and the mailbox that was made of it, as a migration leaves them. What
// is compared can be changed.
type migrated struct {
	t        *testing.T
	root     string // of the UW host
	src      *source.Source
	user     mbox.User
	l        *ledger.Ledger
	place    cyrusspool.Place
	dir      string // of the mailbox
	rec      ledger.Mailbox
	manifest []ledger.Message
	header   cyrusspool.IndexHeader
	records  []cyrusspool.Record
	names    []string // keywords, in cyrus.header
	seen     map[string]cyrusspool.SeenState
	inUse    bool
	damaged  int  // line of the manifest; 0: none
	gone     bool // the folder goes before it is read
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

const uniqueID = "abc1"

// letter is a message as it is in a folder, with UW's own header lines.
func letter(n int, internal ...string) string {
	return fmt.Sprintf("From joe@example.com Mon Jun  2 10:11:%02d 2003\nSubject: %d\nDate: Mon, 2 Jun 2003 10:11:12 +0000\n%s\nbody %d\n\n",
		n, n, strings.Join(append(internal, ""), "\n"), n)
}

// folderText is a folder whose first message has a UID above the others', whose second has a
// long header, whose last is too large, and with a keyword that no message has.
func folderText() string {
	return letter(1, "X-IMAP: 1054541472 8 One Two Three", "X-Keywords: One", "Status: RO") +
		second() +
		letter(3, "X-UID: 6", "Status: O") +
		letter(4, "X-UID: 7", "Status: RO", strings.Repeat("X-Long: line\n", 3000))
}

func second() string {
	return letter(2, "X-UID: 4", "X-Keywords: Two", "Status: RO", "X-Status: A", strings.Repeat("X-Long: header\n", 1300))
}

// migrate makes a mailbox of folderText. Where uids are given they are those of the messages
// in their order, and not the source's.
func migrate(t *testing.T, uids ...uint32) *migrated {
	t.Helper()
	m := &migrated{t: t, root: t.TempDir(), names: []string{"One", "Two", "Three"}}
	m.write("etc/passwd", fmt.Sprintf("joe:x:%d:%d::/home/joe:/bin/sh\n", max(1001, os.Getuid()), max(1001, os.Getgid())))
	m.write("home/joe/mail/x", folderText())
	if os.Getuid() == 0 {
		for _, path := range []string{"home", "home/joe", "home/joe/mail", "home/joe/mail/x"} {
			must(0, os.Chown(filepath.Join(m.root, path), 1001, 1001))
		}
	}
	must(0, os.MkdirAll(filepath.Join(m.root, "var/mail"), 0o755))
	host := must(mbox.OpenHost(mbox.HostOptions{Root: m.root, MailDir: "mail", MinUID: 500}))
	t.Cleanup(func() { host.Close() })
	m.src = &source.Source{Host: host, Location: time.UTC, Rules: source.Rules{HoldAbove: 30_000}}
	users, _, err := host.Users()
	if err != nil || len(users) != 1 {
		t.Fatal(users, err)
	}
	m.user = users[0]
	m.l = must(ledger.Open(filepath.Join(t.TempDir(), "state")))
	t.Cleanup(func() { m.l.Close() })
	partition := t.TempDir()
	m.place = cyrusspool.OneRoot(partition).At(cyrusspool.DirByID(uniqueID))
	m.dir = filepath.Join(partition, cyrusspool.DirByID(uniqueID))
	w := must(m.place.Create(cyrusspool.Version17, cyrusspool.Owner{UID: -1, GID: -1, FileMode: 0o600, DirMode: 0o700}))
	must(0, w.MakeCache(must(cyrusspool.NewCacheParser(11, time.UTC))))
	m.rec = ledger.Mailbox{State: ledger.Filled, User: "joe", Folder: "x", Name: "user.joe.x", UniqueID: uniqueID, Manifest: uniqueID + ".tsv",
		UIDValid: 1054541472, UIDNext: 10, Keywords: m.names, Assigned: len(uids) > 0}
	hold := held.NewWriter(m.l.HeldDir(), held.Folder{UniqueID: uniqueID, User: "joe", Name: "x", Source: "home/joe/mail/x"})
	n := 0
	_, err = m.src.ReadHolding(t.Context(), m.user, m.file(), func(msg *mbox.Message, _ []string) error {
		var b bytes.Buffer
		size := must(msg.WriteTo(&b))
		if err := m.src.Rules.CheckSize(size); err != nil {
			return err
		}
		uid := msg.UID
		if n < len(uids) {
			uid = uids[n]
		}
		n++
		_, guid, err := w.WriteMessage(uid, msg.Date, &b)
		lm := ledger.Message{UID: uid, Offset: msg.Offset, End: msg.EndOffset, Size: size, Date: msg.Date.Unix(), GUID: guid,
			Flags: LedgerFlags(msg.Flags), Keywords: msg.Keywords, File: msg.File}
		m.manifest = append(m.manifest, lm)
		m.rec.Messages, m.rec.Size = m.rec.Messages+1, m.rec.Size+size
		return err
	}, func(a source.Aside) error {
		r := must(a.Open())
		defer r.Close()
		return hold.Hold(held.Item{File: ledger.RawName(a.File), Offset: a.Offset, Length: a.Length, Reason: held.TooLarge, Text: a.Text}, r)
	})
	must(0, err)
	must(0, hold.Commit())
	m.rec.Held = &ledger.Held{Items: 1}
	slices.SortFunc(m.manifest, func(a, b ledger.Message) int { return int(a.UID) - int(b.UID) })
	for _, lm := range m.manifest {
		must(0, w.Add(cyrusspool.Record{UID: lm.UID, Size: uint64(lm.Size), GUID: lm.GUID, InternalDate: lm.Date, ModSeq: 1,
			SystemFlags: SystemFlags(lm.Flags), UserFlags: [4]uint32{uint32(lm.Keywords)}}))
	}
	must(0, w.Commit(cyrusspool.IndexHeader{UIDValidity: m.rec.UIDValid, LastUID: 9, Generation: 7}, m.cyrusHeader()))
	must(0, w.Close())
	f, index, err := m.place.OpenIndex()
	must(0, err)
	defer f.Close()
	m.header = index.Header()
	for {
		r, err := index.Next()
		if err == io.EOF {
			break
		}
		m.records = append(m.records, must(r, err))
	}
	for i := range m.records {
		if m.records[i].CacheOffset == 0 { // so long a header is left to reconstruct: any record serves
			with := m.records[(i+1)%len(m.records)]
			m.records[i].CacheOffset, m.records[i].CacheCRC = with.CacheOffset, with.CacheCRC
		}
	}
	return m
}

func (m *migrated) cyrusHeader() cyrusspool.Header {
	return cyrusspool.Header{Form: cyrusspool.HeaderTab, UniqueID: uniqueID, Flags: m.names, ACL: []cyrusspool.ACLEntry{{ID: "joe", Rights: "lr"}}}
}

func (m *migrated) write(path, text string) {
	path = filepath.Join(m.root, path)
	must(0, os.MkdirAll(filepath.Dir(path), 0o755))
	must(0, os.WriteFile(path, []byte(text), 0o644))
}

// file is the folder as it is.
func (m *migrated) file() mbox.File {
	tree := must(m.src.Host.Folders(m.user))
	if len(tree.Folders) != 1 {
		m.t.Fatal(tree)
	}
	return tree.Folders[0]
}

// edit changes the text of the folder.
func (m *migrated) edit(from, to string) {
	text := string(must(os.ReadFile(filepath.Join(m.root, "home/joe/mail/x"))))
	if !strings.Contains(text, from) {
		m.t.Fatalf("the folder has no %q", from)
	}
	m.write("home/joe/mail/x", strings.Replace(text, from, to, 1))
}

// old makes the index one of an old version, where \Seen is elsewhere.
func (m *migrated) old(v cyrusspool.Version, seen ...uint32) {
	m.header.Version = v
	for i := range m.records {
		m.records[i].SystemFlags &= v.SystemFlags()
	}
	var set cyrusspool.UIDSet
	for _, uid := range seen {
		set.Add(uid)
	}
	m.seen = map[string]cyrusspool.SeenState{uniqueID: {Seen: set}}
}

// message is the path of a message file.
func (m *migrated) message(uid int) string { return filepath.Join(m.dir, fmt.Sprint(uid)+".") }

// damage changes a byte of a message file.
func (m *migrated) damage(uid, at int) {
	b := must(os.ReadFile(m.message(uid)))
	b[(at+len(b))%len(b)] ^= 1
	must(0, os.WriteFile(m.message(uid), b, 0o600))
}

// verified is what was found.
type verified struct {
	said  string // severities and kinds of the problems, sorted
	n     int64  // messages that were verified
	marks string // of single messages, in the order in which they were told
}

// levelRetired is LevelContent of a folder that is in an archive.
const levelRetired Level = "retired"

// verify compares all, at a level.
func (m *migrated) verify(level Level, tell bool) (v verified) {
	w := must(m.l.CreateManifest(uniqueID + ".tsv"))
	for _, lm := range m.manifest {
		w.Add(lm)
	}
	must(0, w.Close())
	if path := filepath.Join(m.l.ManifestDir(), m.rec.Manifest); m.damaged > 0 {
		lines := strings.Split(string(must(os.ReadFile(path))), "\n")
		lines[m.damaged] = "x"
		must(0, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600))
	}
	text := must(m.header.AppendTo(nil))
	for i := range m.records {
		text = must(cyrusspool.AppendRecord(text, m.header.Version, &m.records[i]))
	}
	must(0, os.WriteFile(filepath.Join(m.dir, "cyrus.index"), text, 0o600))
	h := m.cyrusHeader()
	must(0, os.WriteFile(filepath.Join(m.dir, "cyrus.header"), must(h.Append(nil)), 0o600))

	ver := &Verifier{Source: m.src, Ledger: m.l, idle: &beside.Pool{}, Level: level}
	f := m.file()
	if path := filepath.Join(m.root, "home/joe/mail"); m.gone {
		must(0, os.Rename(path, path+".gone"))
		defer func() { must(0, os.Rename(path+".gone", path)) }()
	}
	var marks []string
	if tell {
		ver.idle.Add(2) // message files are read beside
		ver.Message = func(msg report.Message) { marks = append(marks, fmt.Sprintf("%c%d", msg.Mark, msg.UID)) }
	}
	var deep, res Result
	var err error
	each := messages{tell: ver.Message, inUse: m.inUse}
	switch level {
	case LevelContent:
		deep, each.faults, err = ver.content(m.t.Context(), m.rec, m.user, f, m.place)
		each.read = true
	case levelRetired:
		deep, each.faults, err = ver.spool(m.t.Context(), m.rec, m.place)
		each.read = true
	case LevelCount:
		res, err = Count(m.rec, m.place)
	}
	if err != nil {
		return verified{said: string(level) + ": error"}
	}
	if level != LevelCount {
		res, err = index(m.l, m.rec, m.place, m.seen, each)
	}
	if err != nil {
		return verified{said: "index: error"}
	}
	if id := must(os.Stat(filepath.Join(m.dir, "cyrus.index"))); res.IndexID.Size != id.Size() {
		m.t.Errorf("%s: the index is not the one that was read: %+v", level, res.IndexID)
	}
	v.n = res.Verified
	if each.read {
		v.n = min(v.n, deep.Verified)
	}
	var said []string
	for _, p := range append(deep.Problems, res.Problems...) {
		said = append(said, fmt.Sprintf("%v %s", p.Severity, p.Kind))
	}
	slices.Sort(said)
	v.said, v.marks = strings.Join(said, ", "), strings.Join(marks, " ")
	return v
}

// comparisons are what can be wrong. testdata/compare.txt has what is said of each.
var comparisons = []struct {
	name string
	do   func(*migrated)
	uids []uint32 // that were given to the messages; nil: the source's
}{
	{"nothing", func(m *migrated) {}, nil},
	{"a byte of a body", func(m *migrated) { m.damage(4, -3) }, nil},
	{"a byte of a header", func(m *migrated) { m.damage(6, 2) }, nil},
	{"a message file is shorter", func(m *migrated) { must(0, os.Truncate(m.message(4), 50)) }, nil},
	{"a message file is empty", func(m *migrated) { must(0, os.Truncate(m.message(4), 0)) }, nil},
	{"a message file is gone", func(m *migrated) { must(0, os.Remove(m.message(9))) }, nil},
	{"a message file is a link", func(m *migrated) { must(0, os.Remove(m.message(9))); must(0, os.Symlink("4.", m.message(9))) }, nil},
	{"a message file is a directory", func(m *migrated) { must(0, os.Remove(m.message(9))); must(0, os.Mkdir(m.message(9), 0o700)) }, nil},
	{"all message files are gone", func(m *migrated) {
		for _, lm := range m.manifest {
			must(0, os.Remove(m.message(int(lm.UID))))
		}
	}, nil},
	{"a flag", func(m *migrated) { m.records[0].SystemFlags ^= cyrusspool.FlagAnswered }, nil},
	{"a keyword", func(m *migrated) { m.records[0].UserFlags[0] = 0 }, nil},
	{"a keyword too many", func(m *migrated) { m.records[1].UserFlags[3] = 1 }, nil},
	{"the date", func(m *migrated) { m.records[2].InternalDate++ }, nil},
	{"the UID", func(m *migrated) { m.records[0].UID++ }, nil},
	{"the last UID", func(m *migrated) { m.records[2].UID-- }, nil},
	{"the size", func(m *migrated) { m.records[0].Size++ }, nil},
	{"the size, and it is counted so", func(m *migrated) {
		m.records[0].Size++
		m.header.QuotaMailboxUsed++
	}, nil},
	{"the SHA-1", func(m *migrated) { m.records[0].GUID[3]++ }, nil},
	{"a message was not parsed", func(m *migrated) { m.records[0].CacheOffset = 0 }, nil},
	{"the cache record of another", func(m *migrated) { m.records[2].CacheOffset = m.records[1].CacheOffset }, nil},
	{"a place beyond the cache", func(m *migrated) { m.records[0].CacheOffset = 1 << 20 }, nil},
	{"cache of another generation", func(m *migrated) { m.header.Generation++ }, nil},
	{"no cache", func(m *migrated) { must(0, os.Remove(m.dir+"/cyrus.cache")) }, nil},
	{"a message is expunged", func(m *migrated) { m.records[1].SystemFlags |= cyrusspool.FlagExpunged }, nil},
	{"a message is unlinked", func(m *migrated) { m.records[1].SystemFlags |= cyrusspool.FlagUnlinked }, nil},
	{"the last message is expunged", func(m *migrated) { m.records[2].SystemFlags |= cyrusspool.FlagExpunged }, nil},
	{"a message more that is expunged", func(m *migrated) {
		r := m.records[1]
		r.UID = 8
		r.SystemFlags |= cyrusspool.FlagExpunged
		m.records = slices.Insert(m.records, 2, r)
		m.header.NumRecords++
	}, nil},
	{"a message more", func(m *migrated) {
		r := m.records[1]
		r.UID = 8
		m.records = slices.Insert(m.records, 2, r)
		m.header.NumRecords++
		m.header.Exists++
		m.header.QuotaMailboxUsed += r.Size
	}, nil},
	{"mail came in", func(m *migrated) {
		r := m.records[1]
		r.UID = 10
		m.records = append(m.records, r)
		m.header.NumRecords++
		m.header.Exists++
		m.header.LastUID = 10
		m.header.QuotaMailboxUsed += r.Size
	}, nil},
	{"mail came in, and a message is lost", func(m *migrated) {
		m.records = m.records[1:]
		r := m.records[1]
		r.UID = 10
		m.records = append(m.records, r)
		m.header.LastUID, m.header.QuotaMailboxUsed = 10, r.Size+m.records[0].Size+m.records[1].Size
	}, nil},
	{"a record above the last UID", func(m *migrated) {
		r := m.records[1]
		r.UID = 10
		m.records = append(m.records, r)
		m.header.NumRecords++
		m.header.Exists++
		m.header.QuotaMailboxUsed += r.Size
	}, nil},
	{"UIDVALIDITY", func(m *migrated) { m.header.UIDValidity++ }, nil},
	{"UIDNEXT is less", func(m *migrated) { m.header.LastUID-- }, nil},
	{"UIDNEXT is more", func(m *migrated) { m.header.LastUID++ }, nil},
	{"a message is counted that is not there", func(m *migrated) { m.header.Exists++ }, nil},
	{"a byte is counted that is not there", func(m *migrated) { m.header.QuotaMailboxUsed++ }, nil},
	{"the last record is not counted", func(m *migrated) { m.header.NumRecords-- }, nil},
	{"a record is counted that is not there", func(m *migrated) { m.header.NumRecords++ }, nil},
	{"the keywords change places", func(m *migrated) { m.names = []string{"Two", "One", "Three"} }, nil},
	{"a keyword's name is gone", func(m *migrated) { m.names = []string{"One", "Three"} }, nil},
	{"a keyword that the mailbox could not hold", func(m *migrated) { m.rec.Keywords = []string{"One", "", "Three"}; m.records[0].UserFlags[0] = 0 }, nil},
	{"the same, and it is there", func(m *migrated) { m.rec.Keywords = []string{"One", "", "Three"} }, nil},
	{"the manifest lacks the first message", func(m *migrated) { m.manifest = m.manifest[1:] }, nil},
	{"the manifest lacks the last message", func(m *migrated) { m.manifest = m.manifest[:2] }, nil},
	{"the manifest has one more", func(m *migrated) { e := m.manifest[1]; e.UID = 8; m.manifest = slices.Insert(m.manifest, 2, e) }, nil},
	{"the manifest has one more at the end", func(m *migrated) { e := m.manifest[1]; e.UID = 10; m.manifest = append(m.manifest, e) }, nil},
	{"the manifest has another end", func(m *migrated) { m.manifest[0].End++ }, nil},
	{"the manifest has other flags", func(m *migrated) { m.manifest[1].Flags ^= ledger.Draft }, nil},
	{"the source lacks a message", func(m *migrated) { m.edit(second(), "") }, nil},
	{"the source has other flags", func(m *migrated) { m.edit("X-Status: A", "X-Status: F") }, nil},
	{"the source has another body", func(m *migrated) { m.edit("body 2", "bodi 2") }, nil},
	{"the source has one more", func(m *migrated) { m.write("home/joe/mail/x", folderText()+letter(5, "X-UID: 8")) }, nil},
	{"the source has one more behind all", func(m *migrated) { m.write("home/joe/mail/x", folderText()+letter(5)) }, nil},
	{"UIDVALIDITY of the source", func(m *migrated) { m.edit("1054541472 8", "1054541473 8") }, nil},
	{"UIDNEXT of the source", func(m *migrated) { m.edit("1054541472 8", "1054541472 9") }, nil},
	{"the source is empty", func(m *migrated) { m.write("home/joe/mail/x", "") }, nil},
	{"another name of a keyword", func(m *migrated) { m.edit("8 One Two", "8 One Twa"); m.edit("Keywords: Two", "Keywords: Twa") }, nil},
	{"a byte that is held", func(m *migrated) { m.edit("X-Long: line", "X-Long: lime") }, nil},
	{"the ledger knows of nothing that is held", func(m *migrated) { m.rec.Held = nil }, nil},
	{"the list of what is held is gone", func(m *migrated) { must(0, os.RemoveAll(m.l.HeldDir())) }, nil},
	{"a message more that is expunged, behind all", func(m *migrated) {
		r := m.records[1]
		r.UID, r.SystemFlags = 10, cyrusspool.FlagExpunged
		m.records = append(m.records, r)
		m.header.NumRecords++
		m.header.LastUID++
	}, nil},
	{"Cyrus 2.3", func(m *migrated) { m.old(cyrusspool.Version10, 4, 9) }, nil},
	{"Cyrus 2.3: \\Seen is missing", func(m *migrated) { m.old(cyrusspool.Version10, 9) }, nil},
	{"Cyrus 2.3: \\Seen of one more", func(m *migrated) { m.old(cyrusspool.Version10, 4, 6, 9) }, nil},
	{"Cyrus 2.3: the SHA-1", func(m *migrated) {
		m.old(cyrusspool.Version10, 4, 9)
		m.records[0].GUID[3]++
	}, nil},
	{"Cyrus 2.2, which has no SHA-1", func(m *migrated) { m.old(cyrusspool.Version6, 4, 9) }, nil},
	{"Cyrus 2.2: the size", func(m *migrated) {
		m.old(cyrusspool.Version6, 4, 9)
		m.records[0].Size++
	}, nil},
	{"Cyrus 2.2: a message is lost", func(m *migrated) {
		m.old(cyrusspool.Version6, 4, 9)
		m.records = m.records[1:]
		m.header.NumRecords--
	}, nil},
	{"a keyword more that no message has", func(m *migrated) { m.edit("One Two Three", "One Two Th Ee") }, nil},
	{"another name of a keyword that no message has", func(m *migrated) { m.edit("One Two Three", "One Two Thrii") }, nil},
	{"a keyword more that a message has", func(m *migrated) {
		m.edit("One Two Three", "One Two Three Four")
		m.edit("X-Keywords: One", "X-Keywords: One Four")
	}, nil},
	{"what is held could not be read", func(m *migrated) {
		w := held.NewWriter(m.l.HeldDir(), held.Folder{UniqueID: uniqueID, User: "joe", Name: "x", Source: "home/joe/mail/x"})
		must(0, w.Hold(held.Item{Length: 1, Reason: string(mbox.KindUnreadable)}, strings.NewReader("x")))
		must(0, w.Commit())
	}, nil},
	{"the list of what is held is damaged", func(m *migrated) {
		must(0, os.WriteFile(filepath.Join(m.l.HeldDir(), uniqueID+".jsonl"), []byte("x\n"), 0o600))
	}, nil},
	{"the first line of the manifest is damaged", func(m *migrated) { m.damaged = 1 }, nil},
	{"the last line of the manifest is damaged", func(m *migrated) { m.damaged = 3 }, nil},
	{"the manifest is behind the source, and damaged", func(m *migrated) {
		m.manifest = append(m.manifest, m.manifest[2], m.manifest[2])
		m.damaged = 4
	}, nil},
	{"no manifest", func(m *migrated) { m.rec.Manifest = "none" }, nil},
	{"the folder goes", func(m *migrated) { m.gone = true }, nil},
	{"given UIDs", func(m *migrated) {}, []uint32{1, 2, 3}},
	{"given UIDs: a byte of a body", func(m *migrated) { m.damage(2, -3) }, []uint32{1, 2, 3}},
	{"given UIDs: the source has one more", func(m *migrated) {
		m.write("home/joe/mail/x", folderText()+letter(5, "X-UID: 8"))
	}, []uint32{1, 2, 3}},
	{"given UIDs: a message is gone from the source and one has come", func(m *migrated) {
		m.edit(letter(3, "X-UID: 6", "Status: O"), letter(33, "X-UID: 6", "Status: O"))
	}, []uint32{1, 2, 3}},
	{"UIDs of another order", func(m *migrated) {}, []uint32{3, 1, 2}},
	{"UIDs of another order: a byte of a body", func(m *migrated) { m.damage(2, -3) }, []uint32{3, 1, 2}},
	{"UIDs of another order: the source has one more", func(m *migrated) {
		m.write("home/joe/mail/x", folderText()+letter(5, "X-UID: 8"))
	}, []uint32{3, 1, 2}},
	{"UIDs of another order: the source lacks the last message", func(m *migrated) {
		m.edit(letter(3, "X-UID: 6", "Status: O"), "")
	}, []uint32{2, 3, 1}},
}

// states are what a mailbox that is compared can have come to.
var states = []struct {
	name   string
	set    func(*migrated)
	levels []Level
}{
	{"", func(*migrated) {}, []Level{LevelCount, LevelIndex, LevelContent, levelRetired}},
	{" verified", func(m *migrated) { m.rec.State, m.rec.IndexID = ledger.Verified, &ledger.FileID{} }, []Level{LevelIndex}},
	{" in use", func(m *migrated) { m.inUse = true }, []Level{LevelIndex}},
	{" appended to", func(m *migrated) { m.inUse, m.rec.FirstUID = false, 6 }, []Level{LevelCount, LevelIndex, LevelContent, levelRetired}},
}

// TestCompare changes one thing of a folder, its mailbox or the ledger, and compares. What was
// said before of the same level is not repeated.
func TestCompare(t *testing.T) {
	golden := string(must(os.ReadFile("testdata/compare.txt")))
	want := map[string]string{}
	for _, part := range strings.Split(golden, "\n\n") {
		name, said, _ := strings.Cut(part, "\n")
		want[name] = strings.TrimSpace(said)
	}
	for _, c := range comparisons {
		t.Run(c.name, func(t *testing.T) {
			m := migrate(t, c.uids...)
			c.do(m)
			var have strings.Builder
			last := map[Level]string{}
			for _, s := range states {
				s.set(m)
				for _, level := range s.levels {
					v := m.verify(level, true)
					if now := fmt.Sprintf("%d %s: %s", v.n, v.marks, v.said); now != last[level] {
						fmt.Fprintf(&have, "%s%s %s\n", level, s.name, now)
						last[level] = now
					}
					if quiet := m.verify(level, false); quiet.said != v.said || quiet.n != v.n {
						t.Errorf("%s%s: with messages told %v, without %v", level, s.name, v, quiet)
					}
				}
			}
			if diff := cmp.Diff(want[c.name], strings.TrimSpace(have.String())); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
