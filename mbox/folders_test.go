package mbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// TestFoldersNames is the tree of names and subscriptions that UW imapd was seen to
// serve. Only files in a mailbox format are folders, whatever they are called.
func TestFoldersNames(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	folders := []string{
		"a", "with space", "trail ", "dot.name", "star*x", "pct%x", `qu"ote`, `back\slash`,
		"caf\xc3\xa9", "caf\xe9", "Entw&APw-rfe", "am&p", ".hidden", "sub/deep/x", "sub/INBOX",
		"INBOX", "inbox", "nl\nx", "tab\tx", "at@x", strings.Repeat("L", 240), "tilde~x",
		"#hash", "123/x", "UPPER", "upper",
	}
	for _, name := range folders {
		h.file("home/alice/mail/"+name, oneMessage)
	}
	h.file("home/alice/mail/emptyfile", "")
	h.file("home/alice/mail/a.lock", "")
	h.file("home/alice/mail/real.lock", oneMessage)
	h.file("home/alice/mail/notes.txt", "buy milk\n")
	h.dir("home/alice/mail/emptydir")
	h.symlink("/etc/passwd", "home/alice/mail/link")
	h.symlink("..", "home/alice/mail/loop")
	h.symlink("now\x1bhe\xffre", "home/alice/mail/dangling")
	h.must(unix.Mkfifo(h.path("home/alice/mail/fifo"), 0o600))
	for _, name := range []string{"~tilde", "#hash", ".bashrc", "dead.letter", "inbox"} {
		h.file("home/alice/"+name, oneMessage)
	}
	h.file("home/alice/.mailboxlist", exampleMailboxList)
	h.own("home/alice", 1)

	before := h.freeze()
	tree := h.folders(alice)
	h.unchanged(before)

	want := append(slices.Clone(folders), "emptyfile", "real.lock")
	slices.Sort(want)
	checkEqual(t, "folders", folderNames(tree), want)
	for _, f := range tree.Folders {
		switch f.Name {
		case "emptyfile":
			checkEqual(t, "format of the empty file", f.Format, FormatEmpty)
		case "real.lock":
			if f.Warning == "" {
				t.Error("a mailbox called real.lock comes without a warning")
			}
			fallthrough
		default:
			checkEqual(t, "format of "+f.Name, f.Format, FormatUnix)
			checkEqual(t, "size of "+f.Name, f.Size, int64(len(oneMessage)))
		}
		checkEqual(t, "path", f.Path, "home/alice/mail/"+f.Name)
	}
	for _, s := range tree.Skipped {
		if strings.ContainsFunc(s.Text, func(r rune) bool { return r < ' ' || r == utf8.RuneError }) {
			t.Errorf("text %q is not printable", s.Text)
		}
	}
	checkEqual(t, "skipped", slices.DeleteFunc(skippedKinds(tree.Skipped), func(s string) bool {
		return strings.HasSuffix(s, ": subscription")
	}), []string{
		"home/alice: mail-in-home",
		"home/alice/mail/a.lock: lock-file",
		"home/alice/mail/dangling: symlink",
		"home/alice/mail/fifo: fifo",
		"home/alice/mail/link: symlink",
		"home/alice/mail/loop: symlink",
		"home/alice/mail/notes.txt: not-a-folder",
	})
	checkEqual(t, "subscriptions", tree.Subscriptions, exampleSubscriptions)
	if tree.Inbox != nil || !tree.HasMailDir {
		t.Errorf("inbox %v, mail directory %t; want none, true", tree.Inbox, tree.HasMailDir)
	}
}

func TestFoldersInbox(t *testing.T) {
	tests := []struct {
		name, content string
		format        Format
		kind          SkipKind
	}{
		{"unix", oneMessage, FormatUnix, ""},
		{"empty", "", FormatEmpty, ""},
		{"several CRs", strings.ReplaceAll(oneMessage, "\n", "\r\r\n"), FormatUnixDoubtful, ""},
		{"junk", "no mail\n", FormatNone, SkipNotFolder}, // SELECT fails on UW
		{"several CRs, then a delivery", strings.ReplaceAll(oneMessage, "\n", "\r\r\n") + oneMessage, FormatNone, SkipNotFolder},
		{"several CRs in the first line", strings.Replace(oneMessage, "\n", "\r\r\n", 1), FormatNone, SkipNotFolder},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			h.file("var/mail/alice", test.content)
			h.own("var/mail/alice", 1)
			h.own("home/alice", 1)
			tree := h.folders(alice)
			if test.kind != "" {
				if tree.Inbox != nil || len(tree.Skipped) != 1 || tree.Skipped[0].Kind != test.kind || !tree.Skipped[0].MayHoldMail {
					t.Errorf("inbox %v, skipped %v; want none, and %s that may hold mail", tree.Inbox, tree.Skipped, test.kind)
				}
				return
			}
			if tree.Inbox == nil || len(tree.Skipped) != 0 {
				t.Fatalf("inbox %v, skipped %v; want one, none", tree.Inbox, tree.Skipped)
			}
			got := *tree.Inbox
			checkEqual(t, "inbox", []any{got.Name, got.Inbox, got.Path, got.Format, got.Size},
				[]any{"INBOX", true, "var/mail/alice", test.format, int64(len(test.content))})
		})
	}
}

func TestFoldersDirectoryFormats(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	for _, path := range []string{
		"mix/.mixmeta", "mix/.mix00000001",
		"mx/.mxindex", "mx/2",
		"mh/.mh_sequences", "mh/1", "mh/12", "mh/,2",
		"maildir/cur/x", "maildir/new/y",
		"years/2003", "years/2004", // folders, without .mh_sequences
		"both/.mh_sequences", "both/1", "both/sent",
		"empty-mh/.mh_sequences",
	} {
		h.file("home/alice/mail/"+path, oneMessage)
	}
	h.file("home/alice/mail/mx/saved", oneMessage)  // a folder in a mailbox
	h.file("home/alice/mail/mx/notes", "no mail\n") // its reader tells of it
	h.file("home/alice/mail/mix/2003", oneMessage)  // likewise: mix has no messages of that name
	h.file("home/alice/mail/mix/sub/x", oneMessage)
	h.file("home/alice/mail/packed.gz", "\x1f\x8b\x08packed")
	h.dir("home/alice/mail/maildir/tmp")
	h.own("home/alice", 1)
	tree := h.folders(alice)
	var got []string
	for _, f := range tree.Folders {
		got = append(got, fmt.Sprintf("%s %s", f.Name, f.Format))
	}
	checkEqual(t, "folders", got, []string{
		"both/.mh_sequences unix", "both/1 unix", "both/sent unix", "empty-mh/.mh_sequences unix",
		"mh mh", "mix mix", "mix/2003 unix", "mix/sub/x unix", "mx mx", "mx/saved unix", "years/2003 unix", "years/2004 unix"})
	checkEqual(t, "skipped", skippedKinds(tree.Skipped), []string{"home/alice/mail/maildir: format-not-supported", "home/alice/mail/packed.gz: not-a-folder"})
	for _, s := range tree.Skipped {
		if !s.MayHoldMail {
			t.Errorf("%s is said to hold no mail", s.Path)
		}
	}
}

// TestFoldersMailDirFormat: a mail directory that is itself a mailbox still holds the
// user's other folders.
func TestFoldersMailDirFormat(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.file("home/alice/mail/.mxindex", "")
	h.file("home/alice/mail/sent", oneMessage)
	h.own("home/alice", 1)
	tree := h.folders(alice)
	checkEqual(t, "folders", folderNames(tree), []string{".mxindex", "sent"})
	checkEqual(t, "skipped", skippedKinds(tree.Skipped), []string{"home/alice/mail: format-not-supported"})
}

// TestFoldersLinks: no link that a user can make leads anywhere.
func TestFoldersLinks(t *testing.T) {
	tests := []struct {
		name    string
		build   func(h *hostTree)
		skipped []string
	}{
		{"folder", func(h *hostTree) { h.symlink("/etc/passwd", "home/alice/mail/x") },
			[]string{"home/alice/mail/x: symlink"}},
		{"folder relative", func(h *hostTree) { h.symlink("../secret", "home/alice/mail/x") },
			[]string{"home/alice/mail/x: symlink"}},
		{"directory", func(h *hostTree) { h.symlink("../../../var/mail", "home/alice/mail/x") },
			[]string{"home/alice/mail/x: symlink"}},
		{"itself", func(h *hostTree) { h.symlink("x", "home/alice/mail/x") },
			[]string{"home/alice/mail/x: symlink"}},
		{"mail directory", func(h *hostTree) {
			h.must(os.Remove(h.path("home/alice/mail")))
			h.symlink("/var/mail", "home/alice/mail")
		}, []string{"home/alice/mail: symlink"}},
		{"mail directory is a file", func(h *hostTree) {
			h.must(os.Remove(h.path("home/alice/mail")))
			h.file("home/alice/mail", oneMessage)
		}, []string{"home/alice/mail: not-a-folder"}},
		{"inbox", func(h *hostTree) { h.symlink("../../home/alice/secret", "var/mail/alice") },
			[]string{"var/mail/alice: symlink"}},
		{"inbox directory", func(h *hostTree) { h.dir("var/mail/alice") },
			[]string{"var/mail/alice: directory"}},
		{"subscriptions", func(h *hostTree) { h.symlink("/etc/passwd", "home/alice/.mailboxlist") },
			[]string{"home/alice/.mailboxlist: symlink"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			h.file("home/alice/secret", oneMessage)
			test.build(h)
			h.own("home/alice", 1)
			if _, err := os.Lstat(h.path("var/mail/alice")); err == nil {
				h.own("var/mail/alice", 1)
			}
			before := h.freeze()
			tree := h.folders(alice)
			h.unchanged(before)
			if tree.Inbox != nil || len(tree.Folders) != 0 || len(tree.Subscriptions) != 0 {
				t.Errorf("inbox %v, folders %v, subscriptions %v; want nothing", tree.Inbox, folderNames(tree), tree.Subscriptions)
			}
			checkEqual(t, "skipped", skippedKinds(withoutHomeMail(tree.Skipped)), test.skipped)
		})
	}
}

// TestFoldersSpecialFiles: nothing that blocks or acts when it is opened is opened.
func TestFoldersSpecialFiles(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.must(unix.Mkfifo(h.path("home/alice/mail/fifo"), 0o600))
	h.must(unix.Mkfifo(h.path("var/mail/alice"), 0o600))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	h.must(err)
	t.Cleanup(func() { unix.Close(fd) })
	t.Chdir(h.path("home/alice/mail")) // a socket's path must be short
	h.must(unix.Bind(fd, &unix.SockaddrUnix{Name: "socket"}))
	want := []string{"home/alice/mail/fifo: fifo", "home/alice/mail/socket: socket", "var/mail/alice: fifo"}
	h.own("home/alice", 1)
	tree := h.folders(alice)
	checkEqual(t, "folders", folderNames(tree), []string(nil))
	checkEqual(t, "skipped", skippedKinds(tree.Skipped), want)
}

func TestFoldersOwners(t *testing.T) {
	needRoot(t)
	h := newHostTree(t)
	alice, bob := h.user("alice", 1), h.user("bob", 2)
	h.file("var/mail/root", oneMessage)
	h.file("home/alice/mail/mine", oneMessage)
	h.dir("home/alice/mail/bobs-dir")
	h.file("home/alice/mail/bobs-dir/x", oneMessage)
	h.dir("home/alice/mail/roots-dir")
	h.file("home/alice/mail/roots-dir/x", oneMessage)
	h.own("home/alice", 1)
	h.own("home/bob", 2)
	h.own("home/alice/mail/bobs-dir", 2)
	h.must(os.Chown(h.path("home/alice/mail/roots-dir"), 0, 0))

	h.file("home/alice/mail/roots-private", oneMessage) // one name: root put it there, or alice moved it
	h.file("etc/public", oneMessage)
	h.must(os.Chmod(h.path("etc/public"), 0o644))
	h.must(os.Link(h.path("etc/public"), h.path("home/alice/mail/roots-public")))
	h.must(os.Link(h.path("var/mail/root"), h.path("home/alice/mail/roots-mail")))
	h.file("home/alice/mail/bobs-file", oneMessage)
	h.own("home/alice/mail/bobs-file", 2)
	h.must(os.Link(h.path("var/mail/root"), h.path("var/mail/alice")))
	h.file("var/mail/bob", oneMessage)
	h.own("var/mail/bob", 1) // alice was first to make it

	tree := h.folders(alice)
	checkEqual(t, "alice's folders", folderNames(tree), []string{"mine", "roots-dir/x", "roots-public"})
	checkEqual(t, "alice's skipped", skippedKinds(tree.Skipped), []string{
		"home/alice/mail/bobs-dir: wrong-owner",
		"home/alice/mail/bobs-file: wrong-owner",
		"home/alice/mail/roots-mail: wrong-owner",
		"home/alice/mail/roots-private: wrong-owner",
		"var/mail/alice: wrong-owner",
	})
	for _, s := range tree.Skipped {
		if !s.MayHoldMail || !strings.Contains(s.Text, "uid 1001") {
			t.Errorf("%s: %q: want the uids of both and that it may hold mail", s.Path, s.Text)
		}
	}
	checkEqual(t, "bob's skipped", skippedKinds(h.folders(bob).Skipped), []string{"var/mail/bob: wrong-owner"})
}

func TestFoldersUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root can read everything")
	}
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.dir("home/alice/mail/closed")
	h.file("home/alice/mail/private", oneMessage)
	h.file("home/alice/mail/open", oneMessage)
	h.must(os.Chmod(h.path("home/alice/mail/private"), 0))
	h.must(os.Chmod(h.path("home/alice/mail/closed"), 0))
	t.Cleanup(func() { os.Chmod(h.path("home/alice/mail/closed"), 0o700) })
	tree := h.folders(alice)
	checkEqual(t, "folders", folderNames(tree), []string{"open"})
	checkEqual(t, "skipped", skippedKinds(tree.Skipped), []string{
		"home/alice/mail/closed: unreadable", "home/alice/mail/private: unreadable"})
}

func TestFoldersDepth(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	deepest := strings.TrimSuffix(strings.Repeat("d/", maxDepth), "/")
	h.file("home/alice/mail/"+deepest+"/kept", oneMessage)
	h.file("home/alice/mail/"+deepest+"/d/lost", oneMessage)
	h.own("home/alice", 1)
	tree := h.folders(alice)
	checkEqual(t, "folders", folderNames(tree), []string{deepest + "/kept"})
	checkEqual(t, "skipped", skippedKinds(tree.Skipped), []string{"home/alice/mail/" + deepest + "/d: too-deep"})
}

// TestFoldersHardLinks: two names for one file have one identity.
func TestFoldersHardLinks(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.file("home/alice/mail/a", oneMessage)
	h.must(os.Link(h.path("home/alice/mail/a"), h.path("home/alice/mail/b")))
	h.file("home/alice/mail/c", oneMessage)
	h.own("home/alice", 1)
	f := h.folders(alice).Folders
	if f[0].Ino != f[1].Ino || f[0].Dev != f[1].Dev || f[0].Ino == f[2].Ino {
		t.Errorf("inodes %d %d %d; want the first two equal", f[0].Ino, f[1].Ino, f[2].Ino)
	}
}

// TestFoldersMany: a directory longer than one batch is read to its end.
func TestFoldersMany(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	for i := range 3*dirBatch + 1 {
		h.file(fmt.Sprintf("home/alice/mail/%04d", i), "")
	}
	h.own("home/alice", 1)
	if got := len(h.folders(alice).Folders); got != 3*dirBatch+1 {
		t.Errorf("%d folders, want %d", got, 3*dirBatch+1)
	}
}

// TestFoldersMailDir: the folder directory may have several elements, and may be
// missing.
func TestFoldersMailDir(t *testing.T) {
	h := newHostTree(t)
	alice, bob := h.user("alice", 1), h.user("bob", 2)
	h.file("home/alice/Library/Mail/x", oneMessage)
	h.own("home/alice", 1)
	h.own("home/bob", 2)
	host := h.open(HostOptions{MailDir: "Library//Mail/"})
	tree, err := host.Folders(alice)
	h.must(err)
	checkEqual(t, "folders", []any{folderNames(tree), tree.Folders[0].Path, tree.HasMailDir}, []any{[]string{"x"}, filepath.Join("home/alice/Library/Mail/x"), true})
	tree, err = host.Folders(bob)
	h.must(err)
	checkEqual(t, "folders of bob", []any{len(tree.Folders), len(tree.Skipped), tree.HasMailDir}, []any{0, 0, false})
}

// TestFoldersLimits: what is beyond a limit is reported once, and the walk ends.
func TestFoldersLimits(t *testing.T) {
	tests := []struct {
		name    string
		walker  walker
		folders int
	}{
		{"entries", walker{tree: &Tree{}, entries: maxEntries - 2}, 2},
		{"folders", walker{tree: &Tree{Folders: make([]File, maxFolders-1)}}, maxFolders},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			test.walker.user = h.user("alice", 1)
			for i := range 5 {
				h.file(fmt.Sprintf("home/alice/mail/%d", i), "")
			}
			h.own("home/alice", 1)
			dir, err := os.Open(h.path("home/alice/mail"))
			h.must(err)
			defer dir.Close()
			test.walker.directory(dir, "mail", "", 0)
			checkEqual(t, "folders", len(test.walker.tree.Folders), test.folders)
			skipped := test.walker.skipped.list
			if len(skipped) != 1 || skipped[0].Kind != SkipLimit || !skipped[0].MayHoldMail {
				t.Errorf("skipped %+v; want one limit beyond which there may be mail", skipped)
			}
		})
	}
}

func TestSkipListOverflow(t *testing.T) {
	var l skipList
	for i := range maxSkipped + 3 {
		l.add(Skipped{Path: fmt.Sprint(i), Kind: SkipFIFO})
	}
	l.add(Skipped{Kind: SkipSymlink, MayHoldMail: true})
	got := l.result("alice", "mail")
	checkEqual(t, "length", len(got), maxSkipped+2)
	checkEqual(t, "what follows the list", got[maxSkipped:], []Skipped{
		{User: "alice", Path: "mail", Kind: SkipLimit, Text: "3 more entries of kind fifo are not listed one by one"},
		{User: "alice", Path: "mail", Kind: SkipLimit, Text: "1 more entries of kind symlink are not listed one by one", MayHoldMail: true},
	})
}

func TestApart(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	for _, path := range []string{"mail/mine", "mail/spool/1.", "Mail/1."} {
		h.file("home/alice/"+path, oneMessage)
	}
	h.own("home/alice", 1)
	host := h.open(HostOptions{Apart: []string{h.path("home/alice/mail/spool"), h.path("home/alice/Mail"), h.path("gone")}})
	tree, err := host.Folders(alice)
	h.must(err)
	checkEqual(t, "folders", folderNames(tree), []string{"mine"})
	var skipped []string
	for _, s := range tree.Skipped {
		skipped = append(skipped, s.Path+": "+string(s.Kind))
	}
	checkEqual(t, "skipped", skipped, []string{"home/alice/mail/spool: server-directory"})
}
