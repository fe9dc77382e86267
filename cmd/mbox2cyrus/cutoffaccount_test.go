package main

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// account makes an empty mailbox of joe's in Cyrus, as an administrator does beforehand.
func (c *cutHost) account(name string) {
	c.t.Helper()
	if out, err := c.srv.Run(c.t.Context(), "reconstruct", "-x", "-p", "default", name); err != nil {
		c.t.Fatal(err, out)
	}
}

// create makes a mailbox as an administrator does, or Cyrus itself for a user who comes in.
func (c *cutHost) create(name string) {
	c.t.Helper()
	c.asAdmin(func(admin *imapclient.Client) error { return admin.Create(name, nil).Wait() })
}

// asAdmin does something in Cyrus as its administrator.
func (c *cutHost) asAdmin(do func(admin *imapclient.Client) error) {
	c.t.Helper()
	if err := c.srv.AddUser("cyrus", "secret"); err != nil {
		c.t.Fatal(err)
	}
	whileServed(c.t, c.srv, func() {
		admin, err := cyrustest.Login(c.srv.IMAPAddr(), "cyrus", "secret")
		if err != nil {
			c.t.Fatal(err)
		}
		defer admin.Close()
		if err := do(admin); err != nil {
			c.t.Fatal(err)
		}
	})
}

// mail are the message files in the spool.
func (c *cutHost) mail() (paths []string) {
	c.t.Helper()
	for path := range messageFiles(c.t, c.srv) {
		if filepath.Base(path) != "stage." { // Cyrus's directory for what comes in
			paths = append(paths, path)
		}
	}
	return paths
}

// TestAccountMadeAfterCutOff kills the first pass when all is written and Cyrus knows nothing of
// it. Then somebody makes the account: the next pass fills that, or appends to it, and leaves
// nothing of what the first wrote.
func TestAccountMadeAfterCutOff(t *testing.T) {
	for _, layout := range []struct {
		name string
		opts cyrustest.Options
	}{{"by name", cyrustest.Options{LegacyDirs: true}}, {"by unique id", cyrustest.Options{}}} {
		for _, merge := range []bool{false, true} {
			name, want := layout.name, []string{"1  22", "2  22"}
			if merge {
				name, want = name+", with mail", []string{"1  33", "2  22", "3  22"}
			}
			t.Run(name, func(t *testing.T) {
				needStrace(t)
				c := &cutHost{newPassHost(t), cyrustest.ForTest(t, layout.opts), filepath.Join(t.TempDir(), "state")}
				c.write("var/mail/joe", letter(1)+letter(2))
				c.write("home/joe/mail/work", letter(1))
				c.killAt("syncfs", c.srv.Spool, c.migrate("--quiet")...)
				first := c.record("user.joe")
				if files := c.mail(); first.State != ledger.Begun || len(files) != 3 {
					t.Fatalf("it was killed when the mailbox was %q, with %q", first.State, files)
				}
				c.create("user/joe")
				if merge {
					useCyrus(t, c.srv, appendMail)
				}
				args := c.migrate()
				if merge {
					c.pass(1, args...)
					args = c.migrate("--merge")
				}
				c.pass(0, args...)
				c.proved()
				c.pass(0, args...)
				if got := describe(serve(t, c.srv)["INBOX"]); !slices.Equal(got, want) {
					t.Errorf("INBOX: %q, want %q", got, want)
				}
				if files := c.mail(); len(files) != len(want)+1 {
					t.Errorf("%q", files)
				}
				if left, err := filepath.Glob(filepath.Join(c.state, "*", first.UniqueID+"*")); err != nil || len(left) > 0 {
					t.Errorf("the state directory still has %q (%v)", left, err)
				}
				c.pass(0, append([]string{"undo", "--all"}, cyrusFlagsFor(c.srv, c.state)...)...)
				if files := c.mail(); len(files) != len(want)-2 {
					t.Errorf("after undo: %q", files)
				}
				if got := describe(serve(t, c.srv)["INBOX"]); !slices.Equal(got, want[:len(want)-2]) {
					t.Errorf("after undo: INBOX: %q", got)
				}
			})
		}
	}
}

// TestAccountFoundAfterCutOff is the same where Cyrus's reconstruct makes the account, and finds
// what was written: that does not come again.
func TestAccountFoundAfterCutOff(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1)+letter(2, "Status: RO"))
	c.killAt("syncfs", c.srv.Spool, c.migrate("--quiet")...)
	for _, args := range [][]string{{"-x", "-p", "default", "user/joe"}, {"-G", "user/joe"}} {
		if out, err := c.srv.Run(t.Context(), "reconstruct", args...); err != nil {
			t.Fatal(err, out)
		}
	}
	c.write("var/mail/joe", letter(1)+letter(2, "Status: RO")+letter(3))
	c.pass(1, c.migrate()...)
	c.pass(0, c.migrate("--merge")...)
	c.proved()
	if got, want := len(serve(t, c.srv)["INBOX"].Messages), 3; got != want {
		t.Errorf("%d messages, want %d", got, want)
	}
}
