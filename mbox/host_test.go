package mbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUsers(t *testing.T) {
	needRoot(t) // the least uid decides
	h := newHostTree(t)
	for i, name := range []string{"zoe", "both", "homeless", "inboxless"} {
		h.user(name, i)
	}
	h.must(os.RemoveAll(h.path("home/homeless")))
	h.passwd("daemon:x:499:1::/var/mail:/bin/sh\n" + // below the least uid
		"least:x:500:1::/home/zoe:/bin/sh\n" +
		"nothing:x:600:1::/nonexistent:/bin/false\n" +
		"device:x:601:1::/etc/passwd:/bin/false\n" +
		"empty:x:602:1:::/bin/false\n" +
		"Both:x:1001:1::/nonexistent:/bin/false\n" + // a second name for one uid
		"both:x:1099:1::/home/evil:/bin/sh\n" +
		"+::::::\n")
	for _, name := range []string{"both", "homeless", "Both", "root", "daemon", "stranger", "both.lock", "stranger.lock",
		".both.pop", "both.pop", "stranger.pop", ".stranger.pop", "BOGUS.both.XXXX", ".cache"} {
		h.file("var/mail/"+name, oneMessage)
	}
	h.file("var/mail/inboxless.lock", "")
	h.file("var/mail/.inboxless.pop", "")
	h.file("var/mail/gone", "")
	h.dir("var/mail/h/a")
	h.symlink("both", "var/mail/link")
	h.must(unix.Mkfifo(h.path("var/mail/fifo"), 0o600))

	before := h.freeze()
	users, skipped, err := h.open(HostOptions{}).Users()
	h.must(err)
	h.unchanged(before)

	var got []string
	for _, u := range users {
		got = append(got, fmt.Sprintf("%s %d %d %s inbox=%t home=%t", u.Name, u.UID, u.GID, u.Home, u.HasInbox, u.HasHome))
	}
	checkEqual(t, "users", got, []string{
		"Both 1001 1 /nonexistent inbox=true home=false",
		"both 1001 100 /home/both inbox=true home=true",
		"homeless 1002 100 /home/homeless inbox=true home=false",
		"inboxless 1003 100 /home/inboxless inbox=false home=true",
		"least 500 1 /home/zoe inbox=false home=true",
		"zoe 1000 100 /home/zoe inbox=false home=true",
	})
	got = nil
	for _, s := range skipped {
		got = append(got, fmt.Sprintf("%s %s %s %t", s.Path, s.Kind, s.User, s.MayHoldMail))
	}
	checkEqual(t, "skipped", got, []string{
		" no-mail empty false",
		"etc/passwd duplicate-user both false",
		"etc/passwd passwd-line  true",
		"etc/passwd no-mail device false",
		"nonexistent no-mail nothing false",
		"var/mail/.cache dot-file  true",
		"var/mail/.inboxless.pop dot-file  false",
		"var/mail/.stranger.pop inbox-elsewhere  true",
		"var/mail/BOGUS.both.XXXX bogus-file  true",
		"var/mail/both.lock lock-file both false",
		"var/mail/daemon system-user daemon true",
		"var/mail/fifo fifo  false",
		"var/mail/gone no-user gone false",
		"var/mail/h directory  true",
		"var/mail/inboxless.lock lock-file inboxless false",
		"var/mail/link symlink  true",
		"var/mail/root system-user root true",
		"var/mail/stranger no-user stranger true",
		"var/mail/stranger.lock lock-file  false",
		"var/mail/stranger.pop no-user stranger.pop true",
	})
	for _, s := range skipped {
		if s.Text == "" {
			t.Errorf("%s comes without a text", s.Path)
		}
	}
}

func TestOpenHostErrors(t *testing.T) {
	h := newHostTree(t)
	h.file("etc/file", "")
	missing := filepath.Join(h.root, "missing")
	tests := []struct {
		name string
		opts HostOptions
		want error
		text string
	}{
		{"no root", HostOptions{Root: missing}, fs.ErrNotExist, missing},
		{"root is a file", HostOptions{Root: h.path("etc/file")}, unix.ENOTDIR, "source root"},
		{"no inbox directory", HostOptions{InboxDir: "var/spool/mail"}, fs.ErrNotExist, "var/spool/mail"},
		{"inbox directory is a file", HostOptions{InboxDir: "etc/file"}, unix.ENOTDIR, "inbox directory"},
		{"no passwd", HostOptions{Passwd: "etc/shadow"}, fs.ErrNotExist, "etc/shadow"},
		{"no absolute passwd", HostOptions{Passwd: missing}, fs.ErrNotExist, missing},
		{"passwd is a directory", HostOptions{Passwd: "etc"}, unix.EISDIR, "passwd"},
		{"directory and template", HostOptions{InboxDir: "var/mail", InboxTemplate: "var/mail/%u"}, fs.ErrInvalid, "one of them"},
		{"template without a user", HostOptions{InboxTemplate: "/var/mail/inbox"}, fs.ErrInvalid, "%u"},
		{"getent for a copied host", HostOptions{Getent: true}, fs.ErrInvalid, "getent"},
		{"more INBOX mail outside the home", HostOptions{InboxExtra: []string{"../x"}}, fs.ErrInvalid, "below each home"},
		{"absolute mail directory", HostOptions{MailDir: "/mail"}, fs.ErrInvalid, "absolute"},
		{"mail directory outside", HostOptions{MailDir: "mail/../.."}, fs.ErrInvalid, "leaves the home"},
		{"negative uid", HostOptions{MinUID: -1}, fs.ErrInvalid, "uid"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.opts.Root == "" {
				test.opts.Root = h.root
			}
			host, err := OpenHost(test.opts)
			if err == nil {
				host.Close()
			}
			if !errors.Is(err, test.want) || !strings.Contains(fmt.Sprint(err), test.text) {
				t.Errorf("error %v; want one that wraps %v and mentions %q", err, test.want, test.text)
			}
		})
	}
}

// TestOpenHostPaths: the ways to write where passwd and the inboxes are.
func TestOpenHostPaths(t *testing.T) {
	h := newHostTree(t)
	h.user("alice", 1)
	h.file("usr/mail/alice", oneMessage)
	h.own("usr/mail/alice", 1)
	h.must(os.Rename(h.path("etc/passwd"), h.path("etc/people")))
	for _, opts := range []HostOptions{
		{Passwd: "etc/people", InboxDir: "usr/mail"},
		{Passwd: "./etc//people", InboxDir: "/usr/mail/"},
		{Passwd: h.path("etc/people"), InboxDir: h.path("usr/mail")},
	} {
		users, _, err := h.open(opts).Users()
		h.must(err)
		if len(users) != 1 || !users[0].HasInbox {
			t.Errorf("%+v: users %+v; want alice with an inbox", opts, users)
		}
	}
}

// TestAdministratorsLinks: links of root's or the source root's owner are followed
// inside the source root, others are not.
func TestAdministratorsLinks(t *testing.T) {
	tests := []struct {
		name  string
		build func(h *hostTree)
		home  string
	}{
		{"relative, macOS", func(h *hostTree) {
			h.dir("private")
			h.must(os.Rename(h.path("var"), h.path("private/var")))
			h.symlink("private/var", "var")
		}, "/home/alice"},
		{"absolute target is inside the root", func(h *hostTree) {
			h.dir("export")
			h.must(os.Rename(h.path("home/alice"), h.path("export/alice")))
			h.symlink("/export/alice", "home/alice")
		}, "/home/alice"},
		{"parent of the root is the root", func(h *hostTree) {
			h.symlink("../../../home", "u")
		}, "/u/alice"},
		{"parent inside a path", func(h *hostTree) {}, "/var/mail/../../home/./alice/"},
		{"the home itself", func(h *hostTree) {
			h.symlink("home/alice", "a")
		}, "/a"},
		{"passwd", func(h *hostTree) {
			h.must(os.Rename(h.path("etc/passwd"), h.path("etc/p")))
			h.symlink("../etc/p", "etc/passwd")
		}, "/home/alice"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			h.dir("home/alice/mail")
			h.file("home/alice/mail/x", oneMessage)
			h.file("var/mail/alice", oneMessage)
			h.own("home/alice", 1)
			h.own("var/mail/alice", 1)
			h.passwd(fmt.Sprintf("alice:x:%d:100::%s:/bin/sh\n", h.uid(1), test.home))
			test.build(h)
			host := h.open(HostOptions{})
			users, _, err := host.Users()
			h.must(err)
			if len(users) != 1 {
				t.Fatalf("users %+v; want alice", users)
			}
			tree, err := host.Folders(users[0])
			h.must(err)
			if tree.Inbox == nil || len(tree.Folders) != 1 || len(tree.Skipped) != 0 {
				t.Fatalf("tree %+v; want an inbox and a folder", tree)
			}
			f, err := host.Open(users[0], tree.Folders[0])
			h.must(err)
			h.must(f.Close())
		})
	}
}

func TestRefusedHomes(t *testing.T) {
	tests := []struct {
		name  string
		build func(h *hostTree)
		kind  SkipKind // SkipNoHome for a home that is simply not there
	}{
		{"link of the user's", func(h *hostTree) {
			needRoot(h.t)
			h.symlink("/home/bob", "home/alice")
			h.own("home/alice", 1)
		}, SkipSymlink},
		{"link of another's on the way", func(h *hostTree) {
			needRoot(h.t)
			h.must(os.Rename(h.path("home"), h.path("real")))
			h.symlink("real", "home")
			h.own("home", 3)
		}, SkipSymlink},
		{"loop", func(h *hostTree) { h.symlink("alice", "home/alice") }, SkipUnreadable},
		{"FIFO", func(h *hostTree) { h.must(unix.Mkfifo(h.path("home/alice"), 0o600)) }, SkipNoHome},
		{"file", func(h *hostTree) { h.file("home/alice", oneMessage) }, SkipNoHome},
		{"dangling link", func(h *hostTree) { h.symlink("nowhere", "home/alice") }, SkipNoHome},
		{"nothing", func(h *hostTree) {}, SkipNoHome},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			h.must(os.RemoveAll(h.path("home/alice")))
			h.file("home/bob/mail/secret", oneMessage)
			h.file("var/mail/alice", oneMessage)
			h.own("var/mail/alice", 1)
			test.build(h)
			host := h.open(HostOptions{})
			users, _, err := host.Users()
			h.must(err)
			if len(users) != 1 || users[0].HasHome != (test.kind != SkipNoHome) {
				t.Errorf("users %+v; want alice, home %t", users, test.kind != SkipNoHome)
			}
			tree, err := host.Folders(alice)
			h.must(err)
			if tree.Inbox == nil || len(tree.Folders) != 0 {
				t.Errorf("tree %+v; want the inbox only", tree)
			}
			checkEqual(t, "skipped", skippedKinds(tree.Skipped), []string{"home/alice: " + string(test.kind)})
			_, err = host.Open(alice, File{Name: "secret"})
			var refused *RefusedError
			if !errors.As(err, &refused) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("open below the home: error %v; want a refusal or not-exist", err)
			}
		})
	}
}
