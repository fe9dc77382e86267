package mbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpen(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.file("var/mail/alice", oneMessage+"inbox")
	h.file("home/alice/mail/sub/x", oneMessage+"folder")
	h.own("home/alice", 1)
	h.own("var/mail/alice", 1)
	host := h.open(HostOptions{})
	tree, err := host.Folders(alice)
	h.must(err)
	before := h.freeze()
	var got []string
	for _, f := range []File{*tree.Inbox, tree.Folders[0]} {
		file, err := host.Open(alice, f)
		h.must(err)
		data, err := io.ReadAll(file.File())
		h.must(err)
		h.must(file.Close())
		got = append(got, string(data[len(oneMessage):]))
	}
	h.unchanged(before)
	checkEqual(t, "contents", got, []string{"inbox", "folder"})
}

// TestOpenChanged: what was listed is replaced before it is opened.
func TestOpenChanged(t *testing.T) {
	const folder = "home/alice/mail/sub/x"
	tests := []struct {
		name   string
		change func(h *hostTree)
		kind   SkipKind // "": gone
	}{
		{"file by another", func(h *hostTree) {
			h.file("home/alice/mail/sub/y", oneMessage)
			h.own("home/alice/mail/sub/y", 1)
			h.must(os.Rename(h.path("home/alice/mail/sub/y"), h.path(folder)))
		}, SkipChanged},
		{"file by a link to itself", func(h *hostTree) {
			h.must(os.Rename(h.path(folder), h.path(folder+".moved")))
			h.symlink("x.moved", folder)
		}, SkipSymlink},
		{"file by a FIFO", func(h *hostTree) {
			h.must(os.Remove(h.path(folder)))
			h.must(unix.Mkfifo(h.path(folder), 0o600))
		}, SkipFIFO},
		{"file by a directory", func(h *hostTree) {
			h.must(os.Remove(h.path(folder)))
			h.dir(folder)
		}, SkipDirectory},
		{"directory by a link to itself", func(h *hostTree) {
			h.must(os.Rename(h.path("home/alice/mail/sub"), h.path("home/alice/mail/moved")))
			h.symlink("moved", "home/alice/mail/sub")
		}, SkipSymlink},
		{"mail directory by a link to itself", func(h *hostTree) {
			h.must(os.Rename(h.path("home/alice/mail"), h.path("home/alice/moved")))
			h.symlink("moved", "home/alice/mail")
		}, SkipSymlink},
		{"owner of the file", func(h *hostTree) {
			needRoot(h.t)
			h.own(folder, 2)
		}, SkipWrongOwner},
		{"owner of the directory", func(h *hostTree) {
			needRoot(h.t)
			h.must(os.Chown(h.path("home/alice/mail/sub"), h.uid(2), 100))
		}, SkipWrongOwner},
		{"file gone", func(h *hostTree) { h.must(os.Remove(h.path(folder))) }, ""},
		{"home gone", func(h *hostTree) { h.must(os.RemoveAll(h.path("home/alice"))) }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			h.file(folder, oneMessage)
			h.own("home/alice", 1)
			host := h.open(HostOptions{})
			tree, err := host.Folders(alice)
			h.must(err)
			test.change(h)
			file, err := host.Open(alice, tree.Folders[0])
			if err == nil {
				file.Close()
			}
			var refused *RefusedError
			switch {
			case test.kind == "":
				if !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("error %v; want not-exist", err)
				}
			case !strings.Contains(fmt.Sprint(err), `"`+folder+`": `+string(test.kind)):
				t.Errorf("error %v; want one that names %s and %s", err, folder, test.kind)
			case !errors.As(err, &refused) || refused.Kind != test.kind || refused.Path != folder || refused.User != "alice":
				t.Errorf("error %v; want a refusal of %s, kind %s", err, folder, test.kind)
			}
		})
	}
}

// TestOpenInboxChanged: the inbox directory may be writable by everybody.
func TestOpenInboxChanged(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.file("var/mail/alice", oneMessage)
	h.own("var/mail/alice", 1)
	host := h.open(HostOptions{})
	tree, err := host.Folders(alice)
	h.must(err)
	h.must(os.Rename(h.path("var/mail/alice"), h.path("var/mail/moved")))
	h.symlink("moved", "var/mail/alice")
	_, err = host.Open(alice, *tree.Inbox)
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Kind != SkipSymlink {
		t.Errorf("error %v; want a refused link", err)
	}
}

// TestOpenInventedNames: names that no listing gives do not lead out.
func TestOpenInventedNames(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.file("home/alice/secret", oneMessage)
	h.own("home/alice", 1)
	host := h.open(HostOptions{})
	for _, name := range []string{"", ".", "..", "../secret", "x/../../secret", "/etc/passwd", "a//b", "a\x00b"} {
		if f, err := host.Open(alice, File{Name: name}); err == nil {
			f.Close()
			t.Errorf("folder %q was opened", name)
		}
	}
	for _, name := range []string{"", "..", "../../etc/passwd"} {
		if f, err := host.Open(User{Name: name, UID: alice.UID}, File{Inbox: true}); err == nil {
			f.Close()
			t.Errorf("inbox of %q was opened", name)
		}
		if _, err := host.Folders(User{Name: name}); err == nil {
			t.Errorf("folders of %q were listed", name)
		}
	}
}

// TestOpenAt: a name that has become a link since it was looked at is refused, even if
// the link leads to the very file.
func TestOpenAt(t *testing.T) {
	h := newHostTree(t)
	h.file("file", oneMessage)
	h.dir("dir")
	h.symlink("file", "file-link")
	h.symlink("dir", "dir-link")
	root, err := os.Open(h.root)
	h.must(err)
	defer root.Close()
	for name, flags := range map[string]int{"file": unix.O_RDONLY, "dir": unix.O_RDONLY | unix.O_DIRECTORY} {
		st, err := lstatAt(root, name)
		h.must(err)
		f, err := openAt(root, name, flags, st)
		h.must(err)
		h.must(f.Close())
		if _, err := openAt(root, name+"-link", flags, st); !errors.Is(err, errReplaced) {
			t.Errorf("%s: error %v; want %v", name, err, errReplaced)
		}
	}
	st, err := lstatAt(root, "dir")
	h.must(err)
	if _, err := openAt(root, "file", unix.O_RDONLY, st); !errors.Is(err, errReplaced) {
		t.Errorf("another file: error %v; want %v", err, errReplaced)
	}
}
