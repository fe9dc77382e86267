package cyrusspool

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nobody leaves everything to the user who runs the tests.
var nobody = Owner{UID: -1, FileMode: 0o600, DirMode: 0o700}

var testHeader = Header{Form: HeaderDlist, UniqueID: "abc1", Name: "user.joe", Type: "e", ACL: []ACLEntry{{"joe", "lr"}}}

func createMailbox(t *testing.T, partition string) *Writer {
	t.Helper()
	w, err := CreateMailbox(partition, DirByID("abc1"), Version17, nobody)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// writeAndAdd writes a message of its own for each UID and adds its record.
func writeAndAdd(t *testing.T, w *Writer, uids ...uint32) {
	t.Helper()
	for _, uid := range uids {
		size, guid, err := w.WriteMessage(uid, time.Unix(int64(uid), 0), strings.NewReader(messageText(uid)))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(Record{UID: uid, InternalDate: int64(uid), Size: uint64(size), GUID: guid, ModSeq: uint64(uid) + 1,
			SystemFlags: uid & 0x1f}); err != nil {
			t.Fatal(err)
		}
	}
}

func messageText(uid uint32) string { return fmt.Sprintf("Subject: %d\r\n\r\nx\r\n", uid) }

// list returns the names in the mailbox's directory.
func list(t *testing.T, partition string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(partition, DirByID("abc1")))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWriter(t *testing.T) {
	partition := t.TempDir()
	w := createMailbox(t, partition)
	writeAndAdd(t, w, 20, 1, 2, 7, 21)
	if err := w.Commit(IndexHeader{UIDValidity: 77, LastUID: 30, RecentUID: 7, Generation: 0x01020304, HighestModSeq: 3,
		Options: OptSharedSeen}, testHeader); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(partition, DirByID("abc1"))
	want := []string{"1.", "2.", "20.", "21.", "7.", "cyrus.cache", "cyrus.header", "cyrus.index"}
	if got := list(t, partition); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	if got := readFile(t, dir, "cyrus.cache"); !bytes.Equal(got, []byte{1, 2, 3, 4}) {
		t.Errorf("cyrus.cache %x", got)
	}
	header := readFile(t, dir, "cyrus.header")
	if h, err := ParseHeader(header); err != nil || h.Name != "user.joe" {
		t.Errorf("cyrus.header %+v, %v", h, err)
	}
	h, records := readRecords(t, readFile(t, dir, "cyrus.index"))
	var size uint64
	for i, uid := range []uint32{1, 2, 7, 20, 21} {
		r, text := records[i], messageText(uid)
		if r.UID != uid || r.GUID != sha1.Sum([]byte(text)) || r.Size != uint64(len(text)) {
			t.Errorf("record %d: %+v", i, r)
		}
		size += r.Size
		path := filepath.Join(dir, messageName(uid))
		if got := readFile(t, path); string(got) != text {
			t.Errorf("message %d: %q", uid, got)
		}
		if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(time.Unix(int64(uid), 0)) || info.Mode() != 0o600 {
			t.Errorf("message %d: %v, %v", uid, info, err)
		}
	}
	wantHeader := IndexHeader{Generation: 0x01020304, Version: 17, HeaderSize: 160, RecordSize: 112, NumRecords: 5, Exists: 5,
		LastUID: 30, UIDValidity: 77, RecentUID: 7, QuotaMailboxUsed: size, HighestModSeq: 22,
		// Flags are the low bits of the UID: 1 \Answered, 2 \Flagged, 4 \Deleted, 16 \Seen.
		Answered: 3, Flagged: 2, Deleted: 3, Unseen: 3,
		Options:       OptPOP3NewUIDL | OptSharedSeen | OptNeedsRepack,
		HeaderFileCRC: crc32.ChecksumIEEE(header)}
	if h != wantHeader {
		t.Errorf("header\n%+v\nwant\n%+v", h, wantHeader)
	}
	if err := w.Add(Record{UID: 40, Size: 1}); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("add after commit: %v", err)
	}
	if err := w.Commit(IndexHeader{UIDValidity: 1}, testHeader); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("second commit: %v", err)
	}
	if err := SyncFS(dir); err != nil {
		t.Error(err)
	}
}

func TestWriterEmptyMailbox(t *testing.T) {
	partition := t.TempDir()
	w := createMailbox(t, partition)
	if err := w.Commit(IndexHeader{UIDValidity: 1, LastUID: 17}, testHeader); err != nil {
		t.Fatal(err)
	}
	h, records := readRecords(t, readFile(t, partition, DirByID("abc1"), "cyrus.index"))
	if h.LastUID != 17 || len(records) != 0 || h.HighestModSeq != 1 {
		t.Errorf("%+v, %d records", h, len(records))
	}
}

func TestWriterOldVersion(t *testing.T) {
	partition := t.TempDir()
	w, err := CreateMailbox(partition, "user/joe", Version10, nobody)
	if err != nil {
		t.Fatal(err)
	}
	writeAndAdd(t, w, 1)
	if err := w.Commit(IndexHeader{UIDValidity: 1}, Header{UniqueID: "1"}); err != nil {
		t.Fatal(err)
	}
	if h, _ := readRecords(t, readFile(t, partition, "user/joe/cyrus.index")); h.Options != OptPOP3NewUIDL {
		t.Errorf("options %#x of version 10", h.Options)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestWriterOrder(t *testing.T) {
	tests := []struct {
		uids []uint32
		ok   int // number of records that are taken
	}{
		{[]uint32{1, 2, 3}, 3},
		{[]uint32{100, 1, 2, 3, 101, 102}, 6},
		{[]uint32{1, 100, 2, 3, 101}, 5},
		{[]uint32{1, 9, 3, 2}, 3},      // 9 waits already
		{[]uint32{9, 9}, 1},            // twice, waiting
		{[]uint32{9, 5, 5}, 2},         // twice, written
		{[]uint32{9, 10, 11, 9}, 3},    // twice, long ago
		{[]uint32{0}, 0},               // no UID
		{[]uint32{100, 1, 200, 50}, 3}, // 100 was written when 200 came
	}
	for _, test := range tests {
		partition := t.TempDir()
		w := createMailbox(t, partition)
		var taken []uint32
		for i, uid := range test.uids {
			err := w.Add(Record{UID: uid, Size: 1})
			if (err == nil) != (i < test.ok) || err != nil && !errors.Is(err, ErrRecord) {
				t.Errorf("%v: uid %d, the %d.: %v", test.uids, uid, i+1, err)
			}
			if err == nil {
				taken = append(taken, uid)
			}
		}
		if err := w.Commit(IndexHeader{UIDValidity: 1}, testHeader); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(readFile(t, partition, DirByID("abc1"), "cyrus.index"))
		slices.Sort(taken)
		if err != nil || !slices.Equal(got, taken) {
			t.Errorf("%v: index has %v, %v, want %v", test.uids, got, err, taken)
		}
	}
	if err := createMailbox(t, t.TempDir()).Add(Record{UID: 1}); !errors.Is(err, ErrRecord) {
		t.Errorf("record of no bytes: %v", err)
	}
}

// TestWriterResume fills a mailbox that a run left half filled, with another message in
// place of one and others that are not there any more.
func TestWriterResume(t *testing.T) {
	partition := t.TempDir()
	first := createMailbox(t, partition)
	writeAndAdd(t, first, 1, 2, 3, 4)
	if err := first.Close(); err != nil { // as a run that is stopped
		t.Fatal(err)
	}
	dir := filepath.Join(partition, DirByID("abc1"))
	if slices.Contains(list(t, partition), "cyrus.index") {
		t.Error("a mailbox that was not committed has an index")
	}
	for _, name := range []string{"99999999999.", "02.", "0.", "notes.txt", "cyrus.annotations", "5", "cyrus.index.NEW"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second := createMailbox(t, partition)
	writeAndAdd(t, second, 2, 3, 8)
	if err := second.Commit(IndexHeader{UIDValidity: 1}, testHeader); err != nil {
		t.Fatal(err)
	}
	want := []string{"2.", "3.", "5", "8.", "cyrus.annotations", "cyrus.cache", "cyrus.header", "cyrus.index", "notes.txt"}
	if got := list(t, partition); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	before := readFile(t, dir, "cyrus.index")
	third := createMailbox(t, partition)
	writeAndAdd(t, third, 2, 3, 8)
	if err := third.Commit(IndexHeader{UIDValidity: 1}, testHeader); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, readFile(t, dir, "cyrus.index")) {
		t.Error("the same calls made another index")
	}
}

// TestWriterLeavesOtherMailAlone: Cyrus links one message file into several mailboxes.
func TestWriterLeavesOtherMailAlone(t *testing.T) {
	partition := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("other mail"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(partition, DirByID("abc1"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, plant := range map[string]func(string) error{
		"1.":               func(path string) error { return os.Link(outside, path) },
		"2.":               func(path string) error { return os.Symlink(outside, path) },
		"3.":               func(path string) error { return unix.Mkfifo(path, 0o600) },
		"4.":               func(path string) error { return os.Symlink("/nonexistent/x", path) },
		"5.":               func(path string) error { return os.Symlink(outside, path) }, // a stray
		"cyrus.index":      func(path string) error { return os.Symlink(outside, path) },
		"cyrus.index.NEW":  func(path string) error { return os.Symlink(outside, path) },
		"cyrus.header.NEW": func(path string) error { return os.Link(outside, path) },
		"cyrus.cache":      func(path string) error { return os.Symlink(outside, path) },
	} {
		if err := plant(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	w := createMailbox(t, partition)
	writeAndAdd(t, w, 1, 2, 3, 4)
	if err := w.Commit(IndexHeader{UIDValidity: 1}, testHeader); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, outside); string(got) != "other mail" {
		t.Errorf("the file outside is now %q", got)
	}
	if info, err := os.Stat(outside); err != nil || info.Mode() != 0o644 {
		t.Errorf("the file outside: %v, %v", info, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 7 {
		t.Errorf("files %v, %v", entries, err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			t.Errorf("%s is a %v", e.Name(), e.Type())
		}
	}
}

func TestCreateMailboxRefused(t *testing.T) {
	partition, elsewhere := t.TempDir(), t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(partition, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(partition, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", ".", "..", "../x", "/etc", "a/../b", "a//b", "a/", "link", "link/x", "file", "file/x", "a/../../x"} {
		if w, err := CreateMailbox(partition, dir, Version17, nobody); err == nil {
			t.Errorf("%q was taken", dir)
			w.Close()
		}
	}
	if entries, err := os.ReadDir(elsewhere); err != nil || len(entries) != 0 {
		t.Errorf("through the link: %v, %v", entries, err)
	}
	if _, err := CreateMailbox(partition, "x", 11, nobody); !errors.Is(err, ErrIndexVersion) {
		t.Errorf("version 11: %v", err)
	}
	if _, err := CreateMailbox(filepath.Join(partition, "missing"), "x", Version17, nobody); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no partition: %v", err)
	}
	viaLink := filepath.Join(elsewhere, "spool") // the partition itself is the administrator's business
	if err := os.Symlink(partition, viaLink); err != nil {
		t.Fatal(err)
	}
	w, err := CreateMailbox(viaLink, "a/b", Version17, nobody)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// writes is a source that makes one Write of each string, and ends in err.
type writes struct {
	texts   []string
	err     error
	swallow bool // of errors of the writer
}

func (s writes) WriteTo(w io.Writer) (n int64, err error) {
	for _, text := range s.texts {
		m, err := io.WriteString(w, text)
		n += int64(m)
		if err != nil && !s.swallow {
			return n, err
		}
	}
	return n, s.err
}

func TestWriteMessageRefused(t *testing.T) {
	partition := t.TempDir()
	w := createMailbox(t, partition)
	w.maxSize = 10
	broken := errors.New("source cannot be read")
	tests := []struct {
		name string
		m    writes
		want error
	}{
		{"no byte", writes{}, ErrEmptyMessage},
		{"empty writes", writes{texts: []string{"", ""}}, ErrEmptyMessage},
		{"fails at once", writes{err: broken}, broken},
		{"fails midway", writes{texts: []string{"half"}, err: broken}, broken},
		{"too large", writes{texts: []string{"12345", "678901"}}, ErrMessageTooLarge},
		{"too large, and does not look", writes{texts: []string{"12345", "678901", "2"}, swallow: true}, ErrMessageTooLarge},
		{"as large as can be", writes{texts: []string{"12345", "67890"}}, nil},
	}
	for _, test := range tests {
		size, guid, err := w.WriteMessage(5, time.Unix(1, 0), test.m)
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		left := slices.Contains(list(t, partition), "5.")
		if left != (test.want == nil) {
			t.Errorf("%s: file left: %v", test.name, left)
		}
		if test.want == nil && (size != 10 || guid != sha1.Sum([]byte("1234567890"))) {
			t.Errorf("%s: %d bytes, %x", test.name, size, guid)
		}
	}
	if _, _, err := w.WriteMessage(0, time.Time{}, writes{texts: []string{"x"}}); !errors.Is(err, ErrRecord) {
		t.Errorf("uid 0: %v", err)
	}
}

// TestWriteMessageDiskFull: every write to /dev/full fails with ENOSPC.
func TestWriteMessageDiskFull(t *testing.T) {
	fd, err := unix.Open("/dev/full", unix.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no /dev/full: %v", err)
	}
	defer unix.Close(fd)
	f := messageFile{fd: fd, sum: sha1.New(), max: MaxMessageSize}
	if n, err := f.Write([]byte("x")); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := f.Write([]byte("y")); n != 0 || !errors.Is(err, syscall.ENOSPC) || f.size != 0 {
		t.Errorf("the error did not stay: %d, %v", n, err)
	}
}

// TestMaxMessageSize counts bytes without writing 4 GiB.
func TestMaxMessageSize(t *testing.T) {
	f := messageFile{fd: -1, sum: sha1.New(), max: MaxMessageSize, size: 1<<32 - 2}
	if _, err := f.Write([]byte("xy")); !errors.Is(err, ErrMessageTooLarge) {
		t.Errorf("4 GiB: %v", err)
	}
	f = messageFile{fd: 1 << 30, sum: sha1.New(), max: MaxMessageSize, size: 1<<32 - 2}
	if _, err := f.Write([]byte("x")); !errors.Is(err, unix.EBADF) {
		t.Errorf("a byte less: %v, want the write to be tried", err)
	}
}

func TestCommitRefused(t *testing.T) {
	partition := t.TempDir()
	w := createMailbox(t, partition)
	writeAndAdd(t, w, 1)
	if err := w.Commit(IndexHeader{}, testHeader); err == nil {
		t.Error("UIDVALIDITY 0 was taken")
	}
	if err := w.Commit(IndexHeader{UIDValidity: 1}, Header{UniqueID: "1", Flags: []string{"a b"}}); !errors.Is(err, ErrHeader) {
		t.Errorf("bad flag: %v", err)
	}
	if err := w.Commit(IndexHeader{UIDValidity: 1, LastAppend: -1}, testHeader); !errors.Is(err, ErrRange) {
		t.Errorf("time before 1970: %v", err)
	}
	if got := list(t, partition); !slices.Equal(got, []string{"1.", "cyrus.index.NEW"}) {
		t.Errorf("files %q", got)
	}
}

// TestCommitInTheWay: what is in the way of a file fails the commit, and the mailbox has no
// index then: what is there of it is not taken for all.
func TestCommitInTheWay(t *testing.T) {
	for _, name := range []string{
		fileCache, fileCache + newSuffix, fileHeader, fileHeader + newSuffix, fileAnnots + newSuffix, fileIndex, "7.",
	} {
		for _, cache := range []bool{false, true} {
			if cache && name == fileCache+newSuffix {
				continue // met before
			}
			t.Run(fmt.Sprint(name, " ", cache), func(t *testing.T) {
				partition := t.TempDir()
				w := createMailbox(t, partition)
				w.annotations = []byte("x")
				if cache {
					if err := w.MakeCache(newCacheParser(t)); err != nil {
						t.Fatal(err)
					}
				}
				writeAndAdd(t, w, 1)
				dir := filepath.Join(partition, DirByID("abc1"))
				if err := os.MkdirAll(filepath.Join(dir, name, "x"), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := w.Commit(IndexHeader{UIDValidity: 1}, testHeader); err == nil {
					t.Error("committed")
				}
				if info, err := os.Stat(filepath.Join(dir, fileIndex)); name != "7." && err == nil && !info.IsDir() {
					t.Error("there is an index")
				}
			})
		}
	}
}

// TestWriterOwner needs root: everything must belong to the owner, also what a run that
// was interrupted left to root.
func TestWriterOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	partition := t.TempDir()
	if err := os.Chown(partition, 7, 8); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(partition, "uuid"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(partition, "kept"), 0o775); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(filepath.Join(partition, "kept"), 0o775), os.Chown(filepath.Join(partition, "kept"), 4, 8)); err != nil {
		t.Fatal(err)
	}
	owner := Owner{UID: 7, GID: 8, FileMode: 0o660, DirMode: 0o770} // more than the umask leaves
	for _, dir := range []string{DirByID("abc1"), "kept/x"} {
		w, err := CreateMailbox(partition, dir, Version17, owner)
		if err != nil {
			t.Fatal(err)
		}
		writeAndAdd(t, w, 1, 2)
		if err := w.Commit(IndexHeader{UIDValidity: 1}, testHeader); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(partition, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == partition {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		wantMode, wantUID := owner.FileMode, uint32(7)
		if d.IsDir() {
			wantMode = owner.DirMode
		}
		if d.Name() == "kept" { // another's, who lets the group write
			wantMode, wantUID = 0o775, 4
		}
		st := info.Sys().(*syscall.Stat_t)
		if st.Uid != wantUID || info.Mode().Perm() != wantMode {
			t.Errorf("%s: %v of user %d", path, info.Mode(), st.Uid)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestUIDRanges(t *testing.T) {
	var u uidRanges
	for _, uid := range []uint32{1, 2, 3, 7, 9, 10, 1<<32 - 1} {
		u.add(uid)
	}
	if len(u) != 4 {
		t.Errorf("%v", u)
	}
	for uid, want := range map[uint32]bool{0: false, 1: true, 3: true, 4: false, 7: true, 8: false, 10: true, 11: false, 1<<32 - 1: true} {
		if u.contains(uid) != want {
			t.Errorf("%d: %v", uid, !want)
		}
	}
}

func TestSyncDirs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := os.WriteFile(filepath.Join(dir, messageName(uint32(i+1))), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, syncfs := range []bool{true, false} {
		var disks Disks
		if err := errors.Join(disks.Watch(dir), disks.syncDirs([]string{dir, dir}, syncfs)); err != nil {
			t.Errorf("syncfs %v: %v", syncfs, err)
		}
		if err := errors.Join(disks.syncDirs([]string{dir, dir + "/missing"}, syncfs), disks.Close()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("syncfs %v, a directory that is not there: %v", syncfs, err)
		}
	}
	for release, want := range map[string]bool{
		"5.8.0": true, "5.10.0-8-amd64": true, "6.1": true, "10.0": true, "5.7.19": false, "4.18.0-553.el8": false, "": false, "x": false,
	} {
		if atLeast58(release) != want {
			t.Errorf("kernel %q: %v", release, !want)
		}
	}
}

// TestWriterAllocations: what a message costs must not grow with the message.
func TestWriterAllocations(t *testing.T) {
	w := createMailbox(t, t.TempDir())
	message := make([]byte, 1<<20)
	binary.BigEndian.PutUint32(message, 1)
	uid := uint32(0)
	source := bytes.NewReader(message)
	allocs := testing.AllocsPerRun(20, func() {
		uid++
		source.Seek(0, io.SeekStart)
		size, guid, err := w.WriteMessage(uid, time.Unix(1, 0), source)
		if err == nil {
			err = w.Add(Record{UID: uid, Size: uint64(size), GUID: guid})
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 12 {
		t.Errorf("%v allocations a message", allocs)
	}
}

// TestWriterRights needs root: nothing is written where the owner may not, and message files
// written within [Owner.Do] are the owner's as those that are given away are.
func TestWriterRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can take other rights")
	}
	partition := t.TempDir()
	owner := Owner{UID: 7, GID: 8, FileMode: 0o600, DirMode: 0o700}
	if _, err := CreateMailbox(partition, DirByID("abc1"), Version17, owner); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("in root's partition: %v", err)
	}
	if err := os.Chown(partition, 7, 8); err != nil {
		t.Fatal(err)
	}
	w, err := CreateMailbox(partition, DirByID("abc1"), Version17, owner)
	if err != nil {
		t.Fatal(err)
	}
	writeAndAdd(t, w, 1)
	if err := owner.Do(func() error { writeAndAdd(t, w, 2); return nil }); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(partition, DirByID("abc1"))
	for _, name := range []string{"1.", "2.", "cyrus.index.NEW"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 7 || st.Gid != 8 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v of %d:%d", name, info.Mode(), st.Uid, st.Gid)
		}
	}
	// Somebody else's mailbox, as a mistaken chown leaves it.
	if err := os.Chown(dir, 9, 9); err != nil {
		t.Fatal(err)
	}
	if err := w.MakeCache(newCacheParser(t)); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a cache in another's directory: %v", err)
	}
	if err := owner.Do(func() error {
		_, _, err := w.WriteMessage(3, time.Unix(1, 0), bytes.NewReader([]byte("a: b\r\n\r\n")))
		return err
	}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("in another's directory: %v", err)
	}
	if err := w.Commit(IndexHeader{UIDValidity: 1}, testHeader); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("commit in another's directory: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
