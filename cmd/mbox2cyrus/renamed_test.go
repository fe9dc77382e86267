package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestRenamedInCyrus: a mailbox has another name in Cyrus than the ledger knows, and so has its
// folder. The user is refused, and what the ledger has of the mailbox stays as it is.
func TestRenamedInCyrus(t *testing.T) {
	for name, work := range map[string]string{"with mail": letter(2) + letter(3), "empty": ""} {
		t.Run(name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			h := newPassHost(t)
			state := filepath.Join(t.TempDir(), "state")
			h.write("var/mail/joe", letter(1))
			h.write("home/joe/mail/work", work)
			flags := flagsFor(srv, h.root, state)
			if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			rename := func(from, to string) {
				t.Helper()
				useCyrus(t, srv, func(c *imapclient.Client) error { return c.Rename(from, to, nil).Wait() })
				if err := os.Rename(filepath.Join(h.root, "home/joe/mail", from), filepath.Join(h.root, "home/joe/mail", to)); err != nil {
					t.Fatal(err)
				}
			}
			rename("work", "work2")
			h.write("home/joe/mail/work2", work+letter(4))
			before, spool := snapshot(t, filepath.Join(state, "manifests")), snapshot(t, srv.Spool)
			for _, args := range [][]string{{"migrate"}, {"migrate", "--merge"}} {
				o := runJSON(t, append(args, flags...)...)
				p := o.problems("user-failed")
				if o.code != 1 || len(p) != 1 || !strings.Contains(p[0]["text"].(string), "made as user.joe.work") {
					t.Errorf("%v: exit code %d\n%s", args, o.code, strings.Join(o.severe(), "\n"))
				}
				if diff := diffSnapshots(before, snapshot(t, filepath.Join(state, "manifests"))); diff != "" {
					t.Errorf("%v changed manifests: %s", args, diff)
				}
				if diff := diffSnapshots(spool, snapshot(t, srv.Spool)); diff != "" {
					t.Errorf("%v touched the spool: %s", args, diff)
				}
			}
			rename("work2", "work")
			h.write("home/joe/mail/work", work)
			if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
				t.Errorf("renamed back: exit code %d\n%s", o.code, strings.Join(o.severe(), "\n"))
			}
			if o := runJSON(t, append([]string{"verify", "--level", "content"}, flags...)...); o.code != 0 {
				t.Errorf("verify: exit code %d\n%s", o.code, strings.Join(o.severe(), "\n"))
			}
		})
	}
}

// TestRenamedAfterCutOff: a pass is cut off, and then a user renames a mailbox in Cyrus, where mail
// comes into it, or removes it, and Cyrus keeps it for some time. Its directory is that of its
// unique id, under any name: neither a pass nor undo touches it.
func TestRenamedAfterCutOff(t *testing.T) {
	rename := func(c *imapclient.Client) error {
		if err := c.Rename("work", "archive", nil).Wait(); err != nil {
			return err
		}
		return appendMailTo(c, "archive")
	}
	remove := func(c *imapclient.Client) error { return c.Delete("work").Wait() }
	for _, tt := range []struct {
		name  string
		first bool // pass, when Cyrus had done its part
		use   func(*imapclient.Client) error
		now   string // its name
	}{
		{"a later pass, renamed", false, rename, "user.joe.archive"},
		{"a later pass, removed", false, remove, "DELETED.user.joe.work"},
		{"the first pass, renamed", true, rename, "user.joe.archive"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needStrace(t)
			c := &cutHost{newPassHost(t), cyrustest.ForTest(t, cyrustest.Options{}), filepath.Join(t.TempDir(), "state")}
			c.write("var/mail/joe", letter(1))
			c.write("home/joe/mail/work", letter(2))
			if out, err := c.srv.Run(t.Context(), "reconstruct", "-x", "-p", "default", "user/joe"); err != nil { // undo leaves it there
				t.Fatal(err, out)
			}
			c.pass(0, c.migrate()...)
			dir := func() string {
				out, err := c.srv.Run(t.Context(), "mbpath", "user/joe/work")
				if err != nil {
					t.Fatal(err, out)
				}
				return strings.TrimSpace(out)
			}()
			if tt.first {
				cutAtFilled(t, c.state)
			} else {
				c.write("home/joe/mail/work", letter(2)+letter(3))
				killAtPaths(t, "renameat", []string{dir}, c.migrate("--quiet")...)
			}
			useCyrus(t, c.srv, tt.use)
			before := snapshot(t, dir)
			if o := c.pass(2, append([]string{"undo", "--all"}, cyrusFlagsFor(c.srv, c.state)...)...); !strings.Contains(o.stderr, tt.now) {
				t.Errorf("undo: %q", o.severe())
			}
			if o := c.pass(2, c.migrate("--on-conflict", "append")...); len(o.problems("cyrus-changed")) != 1 || !strings.Contains(o.stderr, tt.now) {
				t.Errorf("migrate: %q", o.severe())
			}
			if diff := diffSnapshots(before, snapshot(t, dir)); diff != "" {
				t.Errorf("it was touched: %s", diff)
			}
		})
	}
}

// TestUserRenamedInCyrus: an administrator gives a user another name in Cyrus, and his folders and
// subscriptions change on the UW host. Nothing is made for a user who is no more, and nothing of
// the one who was renamed is written over.
func TestUserRenamedInCyrus(t *testing.T) {
	c := &cutHost{newPassHost(t), cyrustest.ForTest(t, cyrustest.Options{Extra: []string{"allowusermoves: yes"}}), filepath.Join(t.TempDir(), "state")}
	c.write("var/mail/joe", letter(1))
	c.write("home/joe/mail/work", letter(2))
	c.write("home/joe/.mailboxlist", "mail/work\n")
	c.pass(0, c.migrate()...)
	c.asAdmin(func(admin *imapclient.Client) error { return admin.Rename("user/joe", "user/joseph", nil).Wait() })
	before := cyrusTree(t, c.srv)
	c.write("home/joe/mail/play", letter(3))
	c.write("home/joe/.mailboxlist", "mail/play\n")
	o := c.pass(1, c.migrate()...)
	if p := o.problems("user-failed"); len(p) != 1 || !strings.Contains(p[0]["text"].(string), "is user.joseph in Cyrus now") {
		t.Errorf("%q", o.severe())
	}
	if diff := diffTrees(before, cyrusTree(t, c.srv)); diff != "" {
		t.Errorf("Cyrus was changed:\n%s", diff)
	}
}
