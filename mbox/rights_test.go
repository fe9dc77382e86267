package mbox

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"mbox2cyrus/internal/fsrights"
)

func TestParseGroups(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*maxGroupWord)
	for _, test := range []struct {
		name, file string
		want       map[string][]uint32
	}{
		{"none", "", map[string][]uint32{}},
		{"as usual", "staff:x:50:joe,amy\nmail:x:8:joe\n", map[string][]uint32{"joe": {8, 50}, "amy": {50}}},
		{"no line end", "staff:x:50:joe", map[string][]uint32{"joe": {50}}},
		{"CR LF", "staff:x:50:joe,amy\r\n", map[string][]uint32{"joe": {50}, "amy": {50}}},
		{"spaces", "staff:x: 50 : joe , amy \n", map[string][]uint32{"joe": {50}, "amy": {50}}},
		{"twice", "a:x:7:joe,joe\nb:x:7:joe\n", map[string][]uint32{"joe": {7}}},
		{"nobody's", "a:x:7:eve\n", map[string][]uint32{}},
		{"bad gids", "a:x:-1:joe\nb:x:4294967296:joe\nc:x::joe\nd:x:seven:joe\n", map[string][]uint32{}},
		{"NIS, comments, short lines", "+:::\n+\n# joe,amy\n\na:x\n", map[string][]uint32{}},
		{"the gid before is not kept", "a:x:7:amy\nb:x\njoe\n", map[string][]uint32{"amy": {7}}},
		{"more fields", "a:x:7:amy:joe\n", map[string][]uint32{"amy": {7}}},
		{"long words", long + ":x:7:joe," + long + ",amy\n", map[string][]uint32{"joe": {7}, "amy": {7}}},
		{"a name at the end of a long word", "a:x:7:" + strings.Repeat("x", 2*maxGroupWord) + "joe,amy\n", map[string][]uint32{"amy": {7}}},
	} {
		got, err := parseGroups(strings.NewReader(test.file), func(name string) bool { return name == "joe" || name == "amy" })
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		checkEqual(t, test.name, got, test.want)
	}
}

// TestRights has a user's folders read with his own rights.
func TestRights(t *testing.T) {
	needRoot(t)
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.file("home/alice/mail/locked", oneMessage)
	h.file("home/alice/mail/locked-dir/x", oneMessage)
	h.own("home/alice", 1)
	h.must(os.Chmod(h.path("home/alice/mail/locked"), 0))
	h.must(os.Chmod(h.path("home/alice/mail/locked-dir"), 0))
	// A group file may say so of root's.
	h.file("etc/group", "staff:x:4711:bob,alice\nother:x:4712:bob\n")
	put := func(path string, gid int, mode os.FileMode) {
		h.file(path, oneMessage)
		h.must(os.Chown(h.path(path), 0, gid))
		h.must(os.Chmod(h.path(path), mode))
	}
	put("home/alice/mail/own-group", 100, 0o640)
	put("home/alice/mail/staff", 4711, 0o640)
	put("home/alice/mail/other", 4712, 0o640)
	put("home/alice/mail/root-group", 0, 0o640)
	put("home/alice/mail/root-dir/x", 0, 0o644)
	h.must(os.Chmod(h.path("home/alice/mail/root-dir"), 0o700))

	put("var/mail/alice", 0, 0o600)
	// Where she linked or moved it herself, and took her own right to write away.
	put("home/alice/mail/trap/x", 0, 0o600)
	h.must(os.Chown(h.path("home/alice/mail/trap"), int(alice.UID), 100))
	h.must(os.Chmod(h.path("home/alice/mail/trap"), 0o555))

	if h.folders(alice).Inbox == nil {
		t.Error("root's file in root's directory is no INBOX")
	}
	h.must(os.Chmod(h.path("var/mail"), 0o777|os.ModeSticky))
	tree := h.folders(alice)
	if tree.Inbox != nil {
		t.Errorf("root's file in a directory that all may write to became the INBOX: %v", tree.Inbox)
	}
	checkEqual(t, "folders", folderNames(tree), []string{"locked", "locked-dir/x", "own-group", "staff"})
	checkEqual(t, "skipped", skippedKinds(tree.Skipped), []string{
		"home/alice/mail/other: wrong-owner",
		"home/alice/mail/root-dir: wrong-owner",
		"home/alice/mail/root-group: wrong-owner",
		"home/alice/mail/trap/x: wrong-owner",
		"var/mail/alice: wrong-owner",
	})
	for _, s := range tree.Skipped {
		if !s.MayHoldMail || !strings.Contains(s.Text, "chown it") {
			t.Errorf("%s: %q, may hold mail %v", s.Path, s.Text, s.MayHoldMail)
		}
	}
	host := h.open(HostOptions{})
	for _, f := range tree.Folders {
		folder, err := host.Open(alice, f)
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		r, err := folder.Mailbox(Options{})
		h.must(err)
		if _, err := r.Next(); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		h.must(folder.Close())
	}
	// What root took back since it was listed stays closed.
	h.must(os.Chmod(h.path("home/alice/mail/staff"), 0o600))
	for _, f := range tree.Folders {
		if f.Name != "staff" {
			continue
		}
		folder, err := host.Open(alice, f)
		var refused *RefusedError
		if !errors.As(err, &refused) {
			t.Errorf("root's file: %v, %v; want it refused", folder, err)
		}
	}
	if uid := fsrights.UID(); uid != 0 {
		t.Errorf("now with the rights of %d", uid)
	}
}

// TestRightsOfCopy has a host read that root copied without its owners.
func TestRightsOfCopy(t *testing.T) {
	needRoot(t)
	h := newHostTree(t)
	alice := h.user("alice", 1)
	for _, path := range []string{"var/mail/alice", "home/alice/mail/x", "home/alice/mail/sub/y"} {
		h.file(path, oneMessage)
		h.must(os.Chmod(h.path(path), 0o600))
	}
	for _, path := range []string{"home/alice/mail/sub", "home/alice/mail", "home/alice"} {
		h.must(os.Chmod(h.path(path), 0o700))
	}
	tree := h.folders(alice)
	checkEqual(t, "folders", folderNames(tree), []string{"sub/y", "x"})
	checkEqual(t, "skipped", skippedKinds(tree.Skipped), []string(nil))
	for _, f := range tree.Folders {
		folder, err := h.open(HostOptions{}).Open(alice, f)
		h.must(err)
		h.must(folder.Close())
	}
}

// TestRightsOfMembers has the messages of a mailbox that is a directory opened with its
// user's rights, although that is long after it was itself.
func TestRightsOfMembers(t *testing.T) {
	needRoot(t)
	h := newHostTree(t)
	alice := h.user("alice", 1)
	for _, name := range []string{".mxindex", "1", "2", "3"} {
		h.file("home/alice/mail/box/"+name, map[bool]string{true: "V00000001L00000003", false: "Subject: x\r\n\r\ntext\r\n"}[name == ".mxindex"])
	}
	h.own("home/alice", 1)
	h.must(os.Chown(h.path("home/alice/mail/box/2"), 0, 0))
	h.must(os.Chmod(h.path("home/alice/mail/box/3"), 0))
	tree := h.folders(alice)
	checkEqual(t, "folders", folderNames(tree), []string{"box"})
	folder, err := h.open(HostOptions{}).Open(alice, tree.Folders[0])
	h.must(err)
	defer folder.Close()
	r, err := folder.Mailbox(Options{})
	h.must(err)
	var uids []uint32
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		h.must(err)
		uids = append(uids, m.UID)
	}
	checkEqual(t, "messages", uids, []uint32{1, 3})
	if account := r.Account(); account.Total() == 0 || account[ReasonDamage] == 0 {
		t.Errorf("account %v: want root's private file under damage", account)
	}
}

// TestRightsWithin opens a user's folders where another user's rights are used: those who
// write a folder into Cyrus have Cyrus's.
func TestRightsWithin(t *testing.T) {
	needRoot(t)
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.file("home/alice/.mminit", "set keywords Work, Play\n")
	h.file("home/alice/mail/x", oneMessage)
	h.file("home/alice/mail/box/.mxindex", "V00000001L00000003")
	h.file("home/alice/mail/box/1", "Subject: x\r\n\r\ntext\r\n")
	h.own("home/alice", 1)
	h.must(os.Chmod(h.path("home/alice"), 0o700))
	host := h.open(HostOptions{})
	h.must(fsrights.Identity{UID: 4242, GID: 4242}.Do(func() error {
		keywords, err := host.Keywords(alice)
		h.must(err)
		checkEqual(t, "keywords", keywords, []string{"Work", "Play"})
		tree, err := host.Folders(alice)
		h.must(err)
		checkEqual(t, "folders", folderNames(tree), []string{"box", "x"})
		for _, f := range tree.Folders {
			folder, err := host.Open(alice, f)
			h.must(err)
			locks := &Locks{SessionDir: h.root}
			lock, err := locks.Take(t.Context(), folder)
			h.must(err)
			r, err := folder.Mailbox(Options{})
			h.must(err)
			_, err = r.Next()
			h.must(err)
			if _, err = r.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: %v, want one message", f.Name, err)
			}
			checkEqual(t, "doubts of locks", lock.Doubts, []string(nil))
			h.must(lock.Release())
			h.must(folder.Close())
		}
		if uid := fsrights.UID(); uid != 4242 {
			t.Errorf("now with the rights of %d", uid)
		}
		return nil
	}))
}
