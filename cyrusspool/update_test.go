package cyrusspool

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// TestUpdateMailbox: of four messages one stays as it is, one gets a flag, one goes, one
// changes its bytes; one is new. The cache and what Cyrus computed of those that stay
// must be kept.
func TestUpdateMailbox(t *testing.T) {
	partition := t.TempDir()
	w := createMailbox(t, partition)
	writeAndAdd(t, w, 1, 2, 3, 4)
	if err := w.Commit(IndexHeader{UIDValidity: 77, LastUID: 9, Generation: 5}, testHeader); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(partition, DirByID("abc1"))
	cache := []byte("\x00\x00\x00\x05computed by Cyrus")
	if err := os.WriteFile(filepath.Join(dir, fileCache), cache, 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(filepath.Join(dir, "1."))
	if err != nil {
		t.Fatal(err)
	}

	u, err := UpdateMailbox(partition, DirByID("abc1"), nobody)
	if err != nil {
		t.Fatal(err)
	}
	h := u.Old().Header()
	update := func(uid uint32, text string) {
		t.Helper()
		old := messageText(uid)
		size, guid, kept, err := u.UpdateMessage(uid, time.Unix(int64(uid), 0), strings.NewReader(text), int64(len(old)), sha1.Sum([]byte(old)))
		if err != nil {
			t.Fatal(err)
		}
		if want := text == old; kept != want || size != int64(len(text)) || guid != sha1.Sum([]byte(text)) {
			t.Errorf("UID %d: kept %v, size %d, SHA-1 %x", uid, kept, size, guid)
		}
		r := Record{UID: uid, InternalDate: int64(uid), Size: uint64(size), GUID: guid, ModSeq: 1}
		for old, err := u.Old().Next(); err == nil; old, err = u.Old().Next() {
			if old.UID == uid && kept {
				r = old
			}
			if old.UID >= uid {
				break
			}
		}
		if uid == 2 {
			r.SystemFlags |= FlagFlagged
		}
		if err := u.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	update(1, messageText(1))
	update(2, messageText(2))
	update(4, strings.ReplaceAll(messageText(4), "x", "y")) // as long as the old one
	if _, _, err := u.WriteMessage(10, time.Unix(10, 0), strings.NewReader("Subject: new\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := u.Add(Record{UID: 10, InternalDate: 10, Size: 16, GUID: sha1.Sum([]byte("Subject: new\r\n\r\n")), ModSeq: 1}); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(h, testHeader); err != nil {
		t.Fatal(err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}

	if got, want := list(t, partition), []string{"1.", "10.", "2.", "4.", fileCache, fileHeader, fileIndex}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	if after, err := os.Stat(filepath.Join(dir, "1.")); err != nil || !os.SameFile(before, after) {
		t.Errorf("the file of a message that stays was written again (%v)", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, fileCache)); err != nil || !bytes.Equal(got, cache) {
		t.Errorf("cache %q, %v", got, err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, fileIndex))
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewIndexReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if h := r.Header(); h.Exists != 4 || h.LastUID != 10 || h.UIDValidity != 77 || h.Generation != 5 {
		t.Errorf("header %+v", h)
	}
	var uids []uint32
	for rec, err := r.Next(); err != io.EOF; rec, err = r.Next() {
		if err != nil {
			t.Fatal(err)
		}
		uids = append(uids, rec.UID)
		if rec.UID == 1 && rec.ModSeq != 2 {
			t.Errorf("UID 1: modseq %d: not the old record", rec.ModSeq)
		}
	}
	if !slices.Equal(uids, []uint32{1, 2, 4, 10}) {
		t.Errorf("UIDs %d", uids)
	}
}

// TestUpdateMailboxAbandoned: without Commit nothing changes but message files.
func TestUpdateMailboxAbandoned(t *testing.T) {
	partition := t.TempDir()
	if _, err := UpdateMailbox(partition, DirByID("abc1"), nobody); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no mailbox: %v", err)
	}
	w := createMailbox(t, partition)
	writeAndAdd(t, w, 1)
	if err := w.Commit(IndexHeader{UIDValidity: 77}, testHeader); err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(partition, DirByID("abc1"), fileIndex)
	before, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	u, err := UpdateMailbox(partition, DirByID("abc1"), nobody)
	if err != nil {
		t.Fatal(err)
	}
	h := u.Old().Header()
	h.Generation++
	if err := u.Commit(h, testHeader); err == nil {
		t.Error("an index of another generation than the cache was written")
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(index); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the index changed (%v)", err)
	}
}

// TestHasMessage: a message that is known is in its place where its file is one and as large.
func TestHasMessage(t *testing.T) {
	partition := t.TempDir()
	w := createMailbox(t, partition)
	defer w.Close()
	writeAndAdd(t, w, 1)
	if err := os.Symlink("1.", filepath.Join(partition, DirByID("abc1"), "2.")); err != nil {
		t.Fatal(err)
	}
	size := int64(len(messageText(1)))
	if err := os.Symlink(strings.Repeat("x", int(size)), filepath.Join(partition, DirByID("abc1"), "4.")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(partition, DirByID("abc1"), "5."), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		uid         uint32
		size, limit int64
		want        bool
	}{
		{1, size, MaxMessageSize, true},
		{1, size, size, true},
		{1, size, size - 1, false}, // to be refused
		{1, size - 1, MaxMessageSize, false},
		{2, size, MaxMessageSize, false}, // a link
		{3, size, MaxMessageSize, false}, // not there
		{3, 0, MaxMessageSize, false},
		{4, size, MaxMessageSize, false}, // a link that is as large itself
		{5, 0, MaxMessageSize, false},    // no message is empty
		{1, size, 1 << 60, true},
	} {
		w.Limit(test.limit)
		if got := w.HasMessage(test.uid, test.size); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

// TestUpdateMessageLost: what should have its file, and has none, or not one of that size, is
// written again.
func TestUpdateMessageLost(t *testing.T) {
	partition := t.TempDir()
	w := createMailbox(t, partition)
	writeAndAdd(t, w, 1, 2, 3, 4)
	if err := w.Commit(IndexHeader{UIDValidity: 77, Generation: 5}, testHeader); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(partition, DirByID("abc1"))
	err := errors.Join(os.Remove(filepath.Join(dir, "1.")), os.Truncate(filepath.Join(dir, "2."), 3),
		os.Rename(filepath.Join(dir, "3."), filepath.Join(dir, "other")), os.Symlink("other", filepath.Join(dir, "3.")))
	if err != nil {
		t.Fatal(err)
	}
	u, err := UpdateMailbox(partition, DirByID("abc1"), nobody)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	for uid := range uint32(4) {
		uid++
		text := messageText(uid)
		_, _, kept, err := u.UpdateMessage(uid, time.Unix(1, 0), strings.NewReader(text), int64(len(text)), sha1.Sum([]byte(text)))
		info, serr := os.Lstat(filepath.Join(dir, messageName(uid)))
		if err != nil || serr != nil {
			t.Fatal(err, serr)
		}
		if kept != (uid == 4) || !info.Mode().IsRegular() || info.Size() != int64(len(text)) {
			t.Errorf("UID %d: kept %v, %v of %d bytes", uid, kept, info.Mode(), info.Size())
		}
	}
}

// TestUpdateMessageLonger: a message of several Writes whose first is the old one.
func TestUpdateMessageLonger(t *testing.T) {
	partition := t.TempDir()
	w := createMailbox(t, partition)
	writeAndAdd(t, w, 1)
	if err := w.Commit(IndexHeader{UIDValidity: 77}, testHeader); err != nil {
		t.Fatal(err)
	}
	u, err := UpdateMailbox(partition, DirByID("abc1"), nobody)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	old := messageText(1)
	longer := io.MultiReader(strings.NewReader(old), strings.NewReader("more"))
	_, _, _, err = u.UpdateMessage(1, time.Unix(1, 0), copier{longer}, int64(len(old)), sha1.Sum([]byte(old)))
	if !errors.Is(err, ErrLonger) {
		t.Errorf("error %v, want ErrLonger", err)
	}
	if got, err := os.ReadFile(filepath.Join(partition, DirByID("abc1"), "1.")); err != nil || string(got) != old {
		t.Errorf("the file holds %q, %v", got, err)
	}
}

// TestUpdateMessageFails: the file of a message stays where the one that was to replace it is
// not complete, whatever is left of that one.
func TestUpdateMessageFails(t *testing.T) {
	partition := t.TempDir()
	w := createMailbox(t, partition)
	writeAndAdd(t, w, 1)
	if err := w.Commit(IndexHeader{UIDValidity: 77}, testHeader); err != nil {
		t.Fatal(err)
	}
	u, err := UpdateMailbox(partition, DirByID("abc1"), nobody)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	old, stray := messageText(1), filepath.Join(partition, DirByID("abc1"), "cyrus.message.NEW")
	is := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(filepath.Join(partition, DirByID("abc1"), "1.")); err != nil || string(got) != want {
			t.Errorf("the file holds %q, %v, want %q", got, err, want)
		}
	}
	fails := errors.New("it cannot be read")
	broken := io.MultiReader(strings.NewReader("one piece\r\n"), strings.NewReader("another\r\n"), iotest.ErrReader(fails))
	if _, _, _, err = u.UpdateMessage(1, time.Unix(1, 0), copier{broken}, int64(len(old)), sha1.Sum([]byte(old))); !errors.Is(err, fails) {
		t.Errorf("error %v, want %v", err, fails)
	}
	is(old)
	if _, err := os.Lstat(stray); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a part is left: %v", err)
	}
	// A killed run leaves one.
	if err := os.WriteFile(stray, []byte("a part"), 0o600); err != nil {
		t.Fatal(err)
	}
	size, guid, kept, err := u.UpdateMessage(1, time.Unix(1, 0), strings.NewReader(old), -1, sha1.Sum([]byte(old)))
	if err != nil || kept || size != int64(len(old)) {
		t.Errorf("%d bytes, %v, %v; want it written anew", size, kept, err)
	}
	is(old)
	if err := errors.Join(os.WriteFile(stray, []byte("a part"), 0o600), u.Add(Record{UID: 1, Size: uint64(size), GUID: guid})); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(u.Old().Header(), testHeader); err != nil {
		t.Fatal(err)
	}
	is(old)
	if _, err := os.Lstat(stray); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a killed run left is there still: %v", err)
	}
}

// copier writes what it reads, a piece at a time.
type copier struct{ r io.Reader }

func (c copier) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, struct{ io.Reader }{c.r})
}
