package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cyrusspool"
)

// expunge is what a user does who removes messages of a mailbox.
func expunge(mailbox string, uids ...imap.UID) func(*imapclient.Client) error {
	return func(c *imapclient.Client) error {
		if _, err := c.Select(mailbox, nil).Wait(); err != nil {
			return err
		}
		if err := c.Store(imap.UIDSetNum(uids...), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
			return err
		}
		return c.Expunge().Close()
	}
}

// TestRemovedSinceTheLastPass: joe removes a message in Cyrus, and no pass comes after it. It is
// no loss where the index proves that, as long as Cyrus keeps the record and the file.
func TestRemovedSinceTheLastPass(t *testing.T) {
	for _, mode := range []string{"delayed", "immediate"} {
		t.Run(mode, func(t *testing.T) {
			c := &cutHost{passHost: newPassHost(t), srv: cyrustest.ForTest(t, cyrustest.Options{Extra: []string{"expunge_mode: " + mode}}), state: filepath.Join(t.TempDir(), "state")}
			c.write("var/mail/joe", letter(1)+letter(2)+letter(3))
			c.pass(0, c.migrate()...)
			index, err := os.ReadFile(filepath.Join(c.srv.Spool, dirOf(t, c.srv, "user/joe"), "cyrus.index"))
			if err != nil {
				t.Fatal(err)
			}
			if head, err := cyrusspool.ParseIndexHeader(index); err != nil || head.Version < cyrusspool.Version12 {
				t.Skip("needs an index that keeps what was expunged, of Cyrus 2.4 or later", err)
			}
			useCyrus(t, c.srv, expunge("INBOX", 2))
			levels := [][]string{{"--level", "index"}, {"--level", "content"}}
			if piped, err := imapdOnPipe(); err != nil {
				t.Fatal(err)
			} else if piped {
				levels = append(levels, []string{"--imap"})
			}
			verify := func(code int, kinds ...string) {
				t.Helper()
				for _, level := range levels {
					o := c.pass(code, append(append([]string{"verify"}, level...), flagsFor(c.srv, c.root, c.state)...)...)
					for _, kind := range kinds {
						if len(o.problems(kind)) != 1 {
							t.Errorf("%q: no %s: %q", level, kind, o.severe())
						}
					}
					if code == 2 && len(o.severe()) != len(kinds) {
						t.Errorf("%q: %q", level, o.severe())
					}
				}
			}
			file := filepath.Join(c.srv.Spool, dirOf(t, c.srv, "user/joe"), "2.")
			text, err := os.ReadFile(file)
			switch {
			case errors.Is(err, fs.ErrNotExist): // removed at once: nothing tells it from a loss
				verify(3, "message-missing", "count")
				return
			case err != nil:
				t.Fatal(err)
			}
			verify(2, "message-removed")
			if err := os.WriteFile(file, text[1:], 0o600); err != nil {
				t.Fatal(err)
			}
			verify(3) // "message-missing", or "content"
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(filepath.Dir(file), "3.")); err != nil {
				t.Fatal(err)
			}
			if out, err := c.srv.Run(t.Context(), "reconstruct", "user/joe"); err != nil {
				t.Fatal(err, out)
			}
			verify(3, "message-removed", "message-missing") // 3 is marked as expunged, too
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			verify(3)
		})
	}
}

// TestRemovedInCyrus: joe removes messages in Cyrus, and new ones come on the host. A pass that
// appends them tells what he removed, and is done: the next has nothing to do.
func TestRemovedInCyrus(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1)+letter(2))
	c.pass(0, c.migrate()...)
	verify := append([]string{"verify"}, flagsFor(c.srv, c.root, c.state)...)
	appendTwice := func(removed int) {
		t.Helper()
		if o := c.pass(2, c.migrate("--on-conflict", "append")...); len(o.problems("message-removed")) != removed {
			t.Errorf("%q", o.severe())
		}
		if s := c.record("user.joe").State; s != ledger.Verified {
			t.Errorf("the ledger says %q", s)
		}
		if o := c.pass(2, verify...); len(o.problems("message-removed")) != removed || len(o.severe()) != removed {
			t.Errorf("verify: %q", o.severe())
		}
		spool := snapshot(t, c.srv.Spool)
		c.pass(0, c.migrate()...)
		if diff := diffSnapshots(spool, snapshot(t, c.srv.Spool)); diff != "" {
			t.Errorf("a pass without changes touched the spool: %s", diff)
		}
	}
	useCyrus(t, c.srv, expunge("INBOX", 1))
	c.write("var/mail/joe", letter(1)+letter(2)+letter(3))
	appendTwice(1)
	useCyrus(t, c.srv, expunge("INBOX", 3)) // one that was appended
	c.pass(0, c.migrate()...)
	c.write("var/mail/joe", letter(1)+letter(2)+letter(3)+letter(4))
	appendTwice(2)
	if got, want := describe(serve(t, c.srv)["INBOX"]), []string{"2  22", "4  22"}; !slices.Equal(got, want) {
		t.Errorf("INBOX: %q, want %q", got, want)
	}
}

// TestMailBeforeVerified kills a pass that appends, when its mailboxes are filled. Then mail
// comes in to Cyrus: what the host loses later is not taken for it.
func TestMailBeforeVerified(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1)+letter(2))
	c.pass(0, c.migrate()...)
	useCyrus(t, c.srv, appendAndFlag)
	c.write("var/mail/joe", letter(1)+letter(2)+letter(3))
	c.write("home/joe/mail/play", letter(1))
	c.killAt("renameat", c.srv.ConfigDir, c.migrate("--quiet", "--on-conflict", "append")...)
	if s := c.record("user.joe").State; s != ledger.Filled {
		t.Fatalf("it was killed when the mailbox was %q", s)
	}
	useCyrus(t, c.srv, appendAndFlag)
	if o := runJSON(t, c.migrate("--on-conflict", "append")...); o.code == 3 {
		t.Logf("%q", o.severe())
	}
	c.write("var/mail/joe", letter(1)+letter(2))
	o := runJSON(t, c.migrate("--on-conflict", "append")...)
	if got, want := describe(serve(t, c.srv)["INBOX"]), []string{`1 \Flagged 22`, "2  22", "3  33", "4  22", "5  33"}; !slices.Equal(got, want) {
		t.Errorf("INBOX: %q, want %q\n%d %q", got, want, o.code, o.severe())
	}
}

// inTheWay puts a directory where the first message of a mailbox of joe's is to be, so that he
// fails there, when his INBOX has been filled. It returns what takes that away.
func (c *cutHost) inTheWay(name string) (remove func()) {
	c.t.Helper()
	path := c.box(name + "/1.")
	if err := os.MkdirAll(path, 0o700); err != nil {
		c.t.Fatal(err)
	}
	for _, path := range []string{filepath.Dir(c.box("")), c.box(""), c.box(name), path} {
		if err := os.Chown(path, c.srv.UID, c.srv.GID); err != nil {
			c.t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			c.t.Fatal(err)
		}
	}
}

// TestFailedAndUsed: a pass fails for joe when his INBOX has its new index, and he uses that
// before the next. What is new is appended then: nothing is lost, and nothing comes twice, also
// where that is cut off.
func TestFailedAndUsed(t *testing.T) {
	tests := []struct {
		name  string
		first func(c *cutHost)
		mail  string // when the pass fails
		then  string // after that
		use   func(*imapclient.Client) error
		want  []string
	}{
		{"an account that was empty", func(c *cutHost) { c.account("user/joe") },
			letter(1) + letter(2), letter(1) + letter(2) + letter(2) + letter(3), appendAndFlag,
			[]string{`1 \Flagged 22`, "2  22", "3  33", "4  22", "5  22"}},
		{"an account that was empty, of which he removes a message", func(c *cutHost) { c.account("user/joe") },
			letter(1) + letter(2), letter(1) + letter(2) + letter(3), expunge("INBOX", 1),
			[]string{"2  22", "3  22"}},
		{"a later pass", func(c *cutHost) {
			c.write("var/mail/joe", letter(1)+letter(2))
			c.pass(0, c.migrate()...)
		}, letter(1) + letter(2) + letter(3), letter(1) + letter(2) + letter(3) + letter(4), appendAndFlag,
			[]string{`1 \Flagged 22`, "2  22", "3  22", "4  33", "5  22"}},
		{"a later pass with a UIDVALIDITY of the host's", func(c *cutHost) {
			c.write("var/mail/joe", letter(1)+letter(2))
			c.pass(0, c.migrate()...)
		}, letter(2, "X-IMAPbase: 1054563072 0000000001", "Status: RO", "X-UID: 1") + letter(3),
			letter(2, "X-IMAPbase: 1054563072 0000000001", "Status: RO", "X-UID: 1") + letter(3) + letter(4), appendAndFlag,
			[]string{`1 \Flagged,\Seen 22`, "2  22", "3  33", "4  22"}},
	}
	for _, tt := range tests {
		for _, cut := range []bool{false, true} {
			name := tt.name
			if cut {
				name += ", and cut off"
			}
			t.Run(name, func(t *testing.T) {
				c := newCutHost(t)
				tt.first(c)
				remove := c.inTheWay("work")
				c.write("var/mail/joe", tt.mail)
				c.write("home/joe/mail/work", letter(1))
				c.pass(1, c.migrate()...)
				useCyrus(t, c.srv, tt.use)
				remove()
				c.write("var/mail/joe", tt.then)
				if o := c.pass(2, c.migrate()...); len(o.problems("cyrus-changed")) != 1 {
					t.Errorf("%q", o.severe())
				}
				conflict := []string{"--on-conflict", "append"}
				if cut {
					c.write("home/joe/mail/more", letter(1))
					c.killAtOneOf("write", c.manifests(), c.migrate(append(conflict, "--quiet")...)...)
					c.killAt("write", c.box("more/1."), c.migrate(append(conflict, "--quiet")...)...)
				}
				code := 0
				if tt.want[0][0] != '1' {
					code = 2 // it was removed
				}
				c.pass(code, c.migrate(conflict...)...)
				if r := c.record("user.joe"); r.State != ledger.Verified || r.Mixed {
					t.Errorf("the ledger says %q, mixed %v", r.State, r.Mixed)
				}
				c.pass(code, append([]string{"verify", "--level", "content"}, flagsFor(c.srv, c.root, c.state)...)...)
				c.pass(0, c.migrate()...)
				if got := describe(serve(t, c.srv)["INBOX"]); !slices.Equal(got, tt.want) {
					t.Errorf("INBOX: %q, want %q", got, tt.want)
				}
			})
		}
	}
}

// TestFilledAndUsed kills passes when the INBOX is filled, and joe uses that before the next.
// What he did can no longer be proved: it stays, and what is new is appended.
func TestFilledAndUsed(t *testing.T) {
	seen := func(c *imapclient.Client) error {
		if _, err := c.Select("INBOX", nil).Wait(); err != nil {
			return err
		}
		return c.Store(imap.UIDSetNum(3), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close()
	}
	conflict := []string{"--on-conflict", "append"}
	tests := []struct {
		name  string
		merge bool
		flags []string // of the pass that is killed
		use   func(*imapclient.Client) error
		left  bool // without --on-conflict append
		code  int
		want  []string
	}{
		{"a later pass, and he reads", false, nil, seen, true, 0, []string{"1  22", "2  22", `3 \Seen 22`}},
		{"a later pass, and he removes", false, nil, expunge("INBOX", 1), true, 2, []string{"2  22", "3  22"}},
		{"a pass that appends, and he reads", false, conflict, seen, false, 0, []string{`1 \Flagged 22`, "2  22", `3 \Seen 33`, "4  22"}},
		{"merge, and he reads", true, []string{"--merge"}, seen, false, 0, []string{"1  22", "2  22", `3 \Seen 22`, "4  22"}},
		{"merge, and mail comes", true, []string{"--merge"}, appendAndFlag, false, 0, []string{`1 \Flagged 22`, "2  22", "3  22", "4  22", "5  33"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCutHost(t)
			mail := letter(1) + letter(2)
			if tt.merge {
				old := newPassHost(t)
				old.write("var/mail/joe", mail)
				c.pass(0, append([]string{"migrate"}, flagsFor(c.srv, old.root, filepath.Join(t.TempDir(), "old"))...)...)
				c.write("var/mail/joe", letter(5)+letter(7))
			} else {
				c.write("var/mail/joe", mail)
				c.pass(0, c.migrate()...)
				c.write("var/mail/joe", mail+letter(3))
			}
			if slices.Equal(tt.flags, conflict) {
				useCyrus(t, c.srv, appendAndFlag)
			}
			c.write("home/joe/mail/play", letter(1))
			c.killAt("renameat", c.srv.ConfigDir, c.migrate(append(tt.flags, "--quiet")...)...)
			if s := c.record("user.joe").State; s != ledger.Filled {
				t.Fatalf("it was killed when the mailbox was %q", s)
			}
			useCyrus(t, c.srv, tt.use)
			if tt.left {
				if o := c.pass(2, c.migrate()...); len(o.problems("cyrus-changed")) != 1 {
					t.Errorf("%q", o.severe())
				}
				tt.flags = conflict
			}
			c.pass(tt.code, c.migrate(tt.flags...)...)
			if r := c.record("user.joe"); r.State != ledger.Verified || r.Mixed {
				t.Errorf("the ledger says %q, mixed %v", r.State, r.Mixed)
			}
			c.pass(tt.code, append([]string{"verify", "--level", "content"}, flagsFor(c.srv, c.root, c.state)...)...)
			c.pass(0, c.migrate(tt.flags...)...)
			if got := describe(serve(t, c.srv)["INBOX"]); !slices.Equal(got, tt.want) {
				t.Errorf("INBOX: %q, want %q", got, tt.want)
			}
		})
	}
}
