package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// TestUserGone: nothing is left of joe on the host, as when a file system is not mounted or
// the passwd file is not the one it was. All of his mailboxes are told of, what he has in Cyrus
// stays, and ann goes on.
func TestUserGone(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	const ann = "ann:x:1002:1002::/home/ann:/bin/sh\n"
	both := mustRead(t, filepath.Join(h.root, "etc/passwd")) + ann
	h.write("etc/passwd", both)
	h.write("var/mail/joe", letter(1)+letter(2))
	h.write("home/joe/mail/work/old", letter(3))
	h.write("home/joe/.mailboxlist", "mail/work/old\n")
	h.writeAs(1002, "var/mail/ann", letter(4))
	list := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(list, []byte("ann\njoe\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(code, gone int, args ...string) {
		t.Helper()
		o := runJSON(t, append(args, flagsFor(srv, h.root, state)...)...)
		if o.code != code || len(o.problems("source-gone")) != gone {
			t.Errorf("%v: exit code %d, want %d, with %d folders that are gone, want %d\n%s\n%s", args, o.code, code, len(o.problems("source-gone")), gone, strings.Join(o.severe(), "\n"), o.stderr)
		}
	}
	do(0, 0, "migrate")
	cyrus := func() map[string]fileState { // locks are taken, which changes no more than these
		files := snapshot(t, srv.Spool)
		maps.Copy(files, snapshot(t, filepath.Join(srv.ConfigDir, "user")))
		maps.Copy(files, snapshot(t, filepath.Join(srv.ConfigDir, "mailboxes.db")))
		return files
	}
	before := cyrus()
	away := t.TempDir()
	there := func(path string) string { return filepath.Join(h.root, path) }
	other := func(path string) string { return filepath.Join(away, strings.ReplaceAll(path, "/", "_")) }
	move := func(paths []string, from, to func(string) string) {
		t.Helper()
		for _, path := range paths {
			if err := os.Rename(from(path), to(path)); err != nil {
				t.Error(err)
			}
		}
	}
	for _, tt := range []struct {
		name, passwd string
		away         []string
	}{
		{name: "mail, but not the home", passwd: both, away: []string{"var/mail/joe", "home/joe/mail"}},
		{name: "home and INBOX", passwd: both, away: []string{"var/mail/joe", "home/joe"}},
		{name: "passwd entry", passwd: ann},
		{name: "all of passwd", passwd: ""},
		{name: "renamed", passwd: ann + "xoe:x:1001:1001::/home/xoe:/bin/sh\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			move(tt.away, there, other)
			h.write("etc/passwd", tt.passwd)
			gone := 2 // INBOX and old: work is only above it
			if tt.passwd == "" {
				gone++
			}
			do(2, gone, "migrate")
			do(2, gone, "verify", "--level", "content")
			if piped, _ := imapdOnPipe(); piped {
				do(2, gone, "verify", "--imap")
			}
			do(2, gone-1, "plan") // which tells of users
			for _, command := range []string{"migrate", "verify"} {
				do(2, 2, command, "--user", "joe")
				do(2, gone, command, "--users-from", list)
				do(64, 0, command, "--user", "nobody")
			}
			if tt.passwd != "" {
				do(0, 0, "verify", "--user", "ann")
				do(0, 0, "verify", "--exclude-user", "joe")
			}
			move(tt.away, other, there)
			h.write("etc/passwd", both)
		})
	}
	if diff := diffSnapshots(before, cyrus()); diff != "" {
		t.Errorf("Cyrus was changed: %s", diff)
	}
	do(0, 0, "migrate")
	do(0, 0, "verify", "--level", "content")
}

// TestParentGone: what was above a folder that is gone had no folder, so none of its is gone.
func TestParentGone(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/mail/work/old", letter(2))
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	if err := os.RemoveAll(filepath.Join(h.root, "home/joe/mail/work")); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"migrate", "verify"} {
		o := runJSON(t, append([]string{command}, flags...)...)
		if p := o.problems("source-gone"); o.code != 2 || len(p) != 1 || p[0]["folder"] != "work/old" {
			t.Errorf("%s: exit code %d\n%s", command, o.code, strings.Join(o.severe(), "\n"))
		}
	}
}

// TestFilledAndUserGone kills a later pass when a new folder is filled, and before Cyrus knows
// of it. Then nothing is left of the user's folders: what was filled is all that there is. His
// list of subscriptions is left, and must not come to nothing for that.
func TestFilledAndUserGone(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1))
	c.write("home/joe/mail/work", letter(1))
	c.write("home/joe/.mailboxlist", "mail/work\nmail/play\n")
	c.pass(0, c.migrate()...)
	c.write("home/joe/mail/play", letter(1)+letter(2))
	c.killAt("renameat", c.srv.ConfigDir, c.migrate("--quiet")...)
	if s := c.record("user.joe.play").State; s != ledger.Filled {
		t.Fatalf("it was killed when the mailbox was %q", s)
	}
	for _, path := range []string{"var/mail/joe", "home/joe/mail/work", "home/joe/mail/play"} {
		if err := os.Remove(filepath.Join(c.root, path)); err != nil {
			t.Fatal(err)
		}
	}
	c.write("home/joe/mail/odd", "this is no mail\n") // he is in the plan for it
	for range 2 {
		if o := c.pass(2, c.migrate()...); len(o.problems("source-gone")) != 3 {
			t.Errorf("%q", o.severe())
		}
	}
	served := serve(t, c.srv)
	if got := []int{len(served["INBOX"].Messages), len(served["play"].Messages)}; !slices.Equal(got, []int{1, 2}) {
		t.Errorf("INBOX and play have %d messages, want 1 and 2", got)
	}
	if !served["work"].Subscribed {
		t.Error("work is no longer subscribed")
	}
}

// TestMailOfNobody: an INBOX without a line in passwd is told by verify as by migrate, unless
// its user is left out.
func TestMailOfNobody(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	h.write("var/mail/joe", letter(1))
	h.write("var/mail/ghost", letter(2))
	for _, args := range [][]string{{"migrate"}, {"verify"}, {"verify", "--level", "content"}} {
		o := runJSON(t, append(args, flags...)...)
		if p := o.problems("no-user"); o.code != 2 || len(p) != 1 || p[0]["user"] != "ghost" {
			t.Errorf("%v: exit code %d\n%s", args, o.code, strings.Join(o.severe(), "\n"))
		}
		if o := runJSON(t, append(append(args, "--exclude-user", "ghost"), flags...)...); o.code != 0 {
			t.Errorf("%v without ghost: exit code %d\n%s", args, o.code, strings.Join(o.severe(), "\n"))
		}
	}
	if o := runJSON(t, append([]string{"verify", "--only-failed"}, flags...)...); o.code == 64 {
		t.Errorf("verify --only-failed: exit code %d\n%s", o.code, o.stderr)
	}
}

// TestUserGoneButNote: all mail of joe is gone, but something that is no mail is left, of which
// there is a note. That must not keep plan from telling what migrate and verify tell.
func TestUserGoneButNote(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/mail/work", letter(2))
	fifo := filepath.Join(h.root, "home/joe/mail/fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(fifo, 1001, 1001); err != nil {
		t.Fatal(err)
	}
	for _, left := range []bool{true, false} {
		code, gone := 0, map[string]int{}
		if !left {
			code, gone = 2, map[string]int{"plan": 1, "migrate": 2, "verify": 2} // plan tells of users
			for _, path := range []string{"var/mail/joe", "home/joe/mail/work"} {
				if err := os.Remove(filepath.Join(h.root, path)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, command := range []string{"migrate", "verify", "plan"} {
			o := runJSON(t, append([]string{command}, flags...)...)
			if o.code != code || len(o.problems("source-gone")) != gone[command] {
				t.Errorf("%s, mail left %v: exit code %d\n%s", command, left, o.code, o.stderr)
			}
		}
	}
}

// TestFolderNotRead: a folder in a directory that cannot be read now is not told of as gone, and
// nobody is asked to remove its mailbox. The directory is a mount of its user's (sshfs, say), which
// root may not look into.
func TestFolderNotRead(t *testing.T) {
	withOwnMounts(t, func(t *testing.T) {
		srv := cyrustest.ForTest(t, cyrustest.Options{})
		h := newPassHost(t)
		state := filepath.Join(t.TempDir(), "state")
		h.write("var/mail/joe", letter(1))
		h.write("home/joe/mail/work/old", letter(2))
		h.write("home/joe/mail/work2", letter(3))
		if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, state)...)...); o.code != 0 {
			t.Fatalf("exit code %d\n%s", o.code, o.stderr)
		}
		if err := os.Remove(filepath.Join(h.root, "home/joe/mail/work2")); err != nil {
			t.Fatal(err)
		}
		fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
		if err != nil {
			t.Skipf("there is no FUSE here: %v", err)
		}
		defer fuse.Close() // nobody answers there
		dir := filepath.Join(h.root, "home/joe/mail/work")
		if err := unix.Mount("joe", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=1001,group_id=1001", fuse.Fd())); err != nil {
			t.Skipf("no FUSE can be mounted here: %v", err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		for _, command := range []string{"migrate", "verify"} {
			o := runJSON(t, append([]string{command}, flagsFor(srv, h.root, state)...)...)
			said := map[string]string{}
			for _, p := range o.problems("source-gone") {
				said[p["folder"].(string)] = p["text"].(string)
			}
			if o.code != 2 || len(said) != 2 || !strings.Contains(said["work2"], "its folder is no longer there") ||
				!strings.Contains(said["work/old"], "cannot be told, as home/joe/mail/work was not read") || strings.Contains(said["work/old"], "remove") {
				t.Errorf("%s: exit code %d, %q\n%s", command, o.code, said, o.stderr)
			}
		}
	})
}

// TestLeftOutIsNotGone: of a folder in whose place is what is left out now (damaged, somebody
// else's, a link, a directory) nobody says that it is no longer there, and to remove its mailbox.
func TestLeftOutIsNotGone(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	h.write("var/mail/joe", letter(1))
	for i, name := range []string{"damaged", "text", "above/linked", "gone"} {
		h.write("home/joe/mail/"+name, letter(2+i))
	}
	if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, state)...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	h.write("home/joe/mail/damaged", "garbage\n\n"+letter(2))
	h.write("home/joe/mail/text", "a note\n")
	dir := filepath.Join(h.root, "home/joe")
	if err := errors.Join(os.Remove(dir+"/mail/gone"), os.Rename(dir+"/mail/above", dir+"/above"), os.Symlink("../above", dir+"/mail/above"),
		os.Remove(h.root+"/var/mail/joe"), os.Mkdir(h.root+"/var/mail/joe", 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"migrate", "verify"} {
		o := runJSON(t, append([]string{command}, flagsFor(srv, h.root, state)...)...)
		said := map[string]string{}
		for _, p := range o.problems("source-gone") {
			said[p["folder"].(string)] = p["text"].(string)
		}
		for folder, want := range map[string]string{"damaged": "what is at home/joe/mail/damaged now is left out (not-a-folder)", "text": "text now is left out (not-a-folder)",
			"above/linked": "what is at home/joe/mail/above now is left out (symlink)", "INBOX": "what is at var/mail/joe now is left out (directory)", "gone": "its folder is no longer there"} {
			if text := said[folder]; !strings.Contains(text, want) || folder != "gone" && strings.Contains(text, "remove") {
				t.Errorf("%s: %s: %q", command, folder, text)
			}
		}
		if o.code != 2 || len(said) != 5 {
			t.Errorf("%s: exit code %d, %q", command, o.code, o.severe())
		}
	}
}

// TestVerifyOfParentWithFolder: a mailbox was made as a parent alone, as its folder was no folder then.
// When it is one, verify says at each level that it was not migrated, and not what is wrong with it.
func TestVerifyOfParentWithFolder(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	h.write("var/mail/joe", "garbage\n\n"+letter(1))
	h.write("home/joe/mail/work", letter(2))
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 2 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	h.write("var/mail/joe", letter(1))
	for _, level := range []string{"count", "index", "content"} {
		o := runJSON(t, append([]string{"verify", "--level", level}, flags...)...)
		if p := o.problems("not-migrated"); o.code != 3 || len(p) != 1 || p[0]["folder"] != "INBOX" || len(o.severe()) != 1 {
			t.Errorf("%s: exit code %d, %q", level, o.code, o.severe())
		}
	}
	for _, command := range []string{"migrate", "verify"} {
		if o := runJSON(t, append([]string{command}, flags...)...); o.code != 0 {
			t.Errorf("%s: exit code %d, %q", command, o.code, o.severe())
		}
	}
}
