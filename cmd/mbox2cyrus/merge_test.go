package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// TestMerge: the user has mail in Cyrus already, in use there.
func TestMerge(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	old := newPassHost(t)
	old.write("var/mail/joe", letter(1)+letter(2))
	old.write("home/joe/mail/work", letter(1))
	if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, old.root, filepath.Join(t.TempDir(), "old"))...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	useCyrus(t, srv, appendAndFlag)

	h := newPassHost(t)
	h.write("var/mail/joe", letter(1)+letter(7, "Status: RO"))
	h.write("home/joe/mail/play", letter(1))
	args := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	before := snapshot(t, srv.Spool)
	if o := runJSON(t, append([]string{"migrate"}, args...)...); o.code != 1 {
		t.Fatalf("without --merge: exit code %d\n%s", o.code, o.stderr)
	}
	if diff := diffSnapshots(before, snapshot(t, srv.Spool)); diff != "" {
		t.Errorf("a refused user was touched: %s", diff)
	}
	for range 2 { // the second time there is nothing to do
		if o := runJSON(t, append([]string{"migrate", "--merge"}, args...)...); o.code != 0 {
			t.Fatalf("exit code %d\n%s", o.code, o.stderr)
		}
	}
	if o := runJSON(t, append([]string{"verify", "--level", "content"}, args...)...); o.code != 0 {
		t.Errorf("verify: exit code %d\n%s", o.code, o.stderr)
	}
	after := snapshot(t, srv.Spool)
	for path, s := range before {
		if strings.HasSuffix(path, ".") && after[path] != s {
			t.Errorf("%s, a message that was there, is not as it was", path)
		}
	}
	views := serve(t, srv)
	if got, want := describe(views["INBOX"]), []string{`1 \Flagged 22`, "2  22", "3  33", "4  22", `5 \Seen 22`}; !slices.Equal(got, want) {
		t.Errorf("INBOX: %q, want %q", got, want)
	}
	if len(views["work"].Messages) != 1 || len(views["play"].Messages) != 1 {
		t.Errorf("work %q, play %q", describe(views["work"]), describe(views["play"]))
	}
}

// TestMergeOursAsLeft: messages that were appended follow the folder as long as nobody changes
// the mailbox, whoever writes its index.
func TestMergeOursAsLeft(t *testing.T) {
	flag := func(uid imap.UID) func(*cyrustest.Server) {
		return func(srv *cyrustest.Server) {
			useCyrus(t, srv, func(c *imapclient.Client) error {
				if _, err := c.Select("INBOX", nil).Wait(); err != nil {
					return err
				}
				return c.Store(imap.UIDSetNum(uid), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagAnswered}}, nil).Close()
			})
		}
	}
	for _, tt := range []struct {
		name string
		do   func(srv *cyrustest.Server)
		want []string
	}{
		{"reconstruct", func(srv *cyrustest.Server) {
			if _, err := srv.Run(t.Context(), "reconstruct", "-G", "-r", "user/joe"); err != nil {
				t.Fatal(err)
			}
		}, []string{"1  22", `4 \Seen 22`, "5  22"}},
		{"a client looks", func(srv *cyrustest.Server) {
			useCyrus(t, srv, func(c *imapclient.Client) error {
				_, err := c.Select("INBOX", nil).Wait()
				return err
			})
		}, []string{"1  22", `4 \Seen 22`, "5  22"}},
		{"mail before them is changed", flag(1), []string{`1 \Answered 22`, "2  22", "3  22", "4  22", "5  22"}},
		{"one of them is changed", flag(2), []string{"1  22", `2 \Answered 22`, "3  22", "4  22", "5  22"}},
		{"mail has come", func(srv *cyrustest.Server) { useCyrus(t, srv, appendAndFlag) },
			[]string{`1 \Flagged 22`, "2  22", "3  22", "4  22", "5  33", "6  22"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			old := newPassHost(t)
			old.write("var/mail/joe", letter(1))
			if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, old.root, filepath.Join(t.TempDir(), "old"))...)...); o.code != 0 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			h := newPassHost(t)
			args := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
			pass := func() {
				t.Helper()
				if o := runJSON(t, append([]string{"migrate", "--merge"}, args...)...); o.code != 0 {
					t.Fatalf("exit code %d\n%s", o.code, o.stderr)
				}
			}
			h.write("var/mail/joe", letter(2)+letter(3)+letter(4))
			pass()
			tt.do(srv)
			h.write("var/mail/joe", letter(4, "Status: RO")+letter(5))
			pass()
			pass()
			if o := runJSON(t, append([]string{"verify", "--level", "content"}, args...)...); o.code != 0 {
				t.Errorf("verify: exit code %d\n%s", o.code, o.stderr)
			}
			if got := describe(serve(t, srv)["INBOX"]); !slices.Equal(got, tt.want) {
				t.Errorf("INBOX: %q, want %q", got, tt.want)
			}
		})
	}
}

// TestAppendBack: after a pass that appends, a message leaves the folder and comes back. Cyrus
// has it all the time, and gets it once; unless its user removed it there meanwhile.
func TestAppendBack(t *testing.T) {
	for _, tt := range []struct {
		name    string
		begin   func(t *testing.T, srv *cyrustest.Server, args []string) []string
		removed bool
		want    []string
	}{
		{name: "made", want: []string{`1 \Flagged 22`, "2  22", "3  33", "4  22"}},
		{name: "removed in Cyrus", removed: true, want: []string{"2  22", "3  33", "4  22", "5  22"}},
		{name: "empty before", want: []string{`1 \Flagged 22`, "2  22", "3  33", "4  22"},
			begin: func(t *testing.T, srv *cyrustest.Server, args []string) []string {
				create(t, srv, "user/joe")
				return args
			}},
		// Its own message 1 is another one.
		{name: "merged", want: []string{`1 \Flagged 22`, "2  22", "3  22", "4  33", "5  22"},
			begin: func(t *testing.T, srv *cyrustest.Server, args []string) []string {
				old := newPassHost(t)
				old.write("var/mail/joe", letter(1))
				if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, old.root, filepath.Join(t.TempDir(), "old"))...)...); o.code != 0 {
					t.Fatalf("exit code %d\n%s", o.code, o.stderr)
				}
				return append(args, "--merge")
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			h := newPassHost(t)
			flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
			args := []string{"migrate", "--on-conflict", "append"}
			if tt.begin != nil {
				args = tt.begin(t, srv, args)
			}
			for i, mail := range []string{letter(1) + letter(2), letter(2) + letter(3), letter(2) + letter(3) + letter(1)} {
				h.write("var/mail/joe", mail)
				if o := runJSON(t, append(args, flags...)...); o.code != 0 {
					t.Fatalf("exit code %d\n%s", o.code, o.stderr)
				}
				switch {
				case i == 0:
					useCyrus(t, srv, appendAndFlag)
				case i == 1 && tt.removed:
					useCyrus(t, srv, func(c *imapclient.Client) error {
						if _, err := c.Select("INBOX", nil).Wait(); err != nil {
							return err
						}
						if err := c.Store(imap.UIDSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
							return err
						}
						return c.UIDExpunge(imap.UIDSetNum(1)).Close()
					})
				}
			}
			if o := runJSON(t, append([]string{"verify", "--level", "content"}, flags...)...); o.code != 0 {
				t.Errorf("verify: exit code %d\n%s", o.code, o.stderr)
			}
			if got := describe(serve(t, srv)["INBOX"]); !slices.Equal(got, tt.want) {
				t.Errorf("INBOX: %q, want %q", got, tt.want)
			}
		})
	}
}

// TestMergeProved: what was appended is proved too where joe has no INBOX on the host, above
// which his folders are, and where a folder has a UIDVALIDITY of its own.
func TestMergeProved(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	old := newPassHost(t)
	old.write("var/mail/joe", letter(1))
	old.write("home/joe/mail/work", letter(2))
	if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, old.root, filepath.Join(t.TempDir(), "old"))...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	h := newPassHost(t)
	h.write("var/mail/kim", "") // no user of this host
	h.write("home/joe/mail/work", letter(3, "X-IMAPbase: 1060000000 0000000007", "Status: RO", "X-UID: 7"))
	args := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	if o := runJSON(t, append([]string{"migrate", "--merge"}, args...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	for _, level := range []string{"count", "index", "content"} {
		if o := runJSON(t, append([]string{"verify", "--level", level}, args...)...); o.code != 0 {
			t.Errorf("verify --level %s: exit code %d\n%s", level, o.code, o.stderr)
		}
	}
}

// TestMergeCutOff kills passes that append to mail which joe has in Cyrus: the first of them
// twice, or one after it. In the end all is there, no message twice, and undo takes it back.
func TestMergeCutOff(t *testing.T) {
	tests := []struct {
		name string
		kill func(c *cutHost, merge []string)
		want []string
	}{
		{"the first, twice, with an index in place", func(c *cutHost, merge []string) {
			c.killAt("write", c.box("play/1."), merge...)
			c.killAtOneOf("write", c.manifests(), merge...)
		}, []string{"1  22", "2  22", "3  33", "4  22", "5 \\Seen 22"}},
		{"a later one, before its manifest is whole", func(c *cutHost, merge []string) {
			c.pass(0, merge...)
			c.write("var/mail/joe", letter(7, "Status: RO", "X-Status: F")+letter(8))
			c.killAt("write", c.box("6."), merge...)
		}, []string{"1  22", "2  22", "3  33", `5 \Flagged,\Seen 22`, "6  22"}},
		{"a later one, twice, with an index in place", func(c *cutHost, merge []string) {
			c.pass(0, merge...)
			c.write("var/mail/joe", letter(7, "Status: RO", "X-Status: F")+letter(8))
			c.write("home/joe/mail/play", letter(1)+letter(2))
			c.killAt("write", c.box("play/2."), merge...)
			c.write("var/mail/joe", letter(7, "Status: RO")+letter(8)+letter(9))
			c.killAt("write", c.box("7."), merge...)
		}, []string{"1  22", "2  22", "3  33", `5 \Seen 22`, "6  22", "7  22"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCutHost(t)
			old := newPassHost(t)
			old.write("var/mail/joe", letter(1)+letter(2))
			c.pass(0, append([]string{"migrate"}, flagsFor(c.srv, old.root, filepath.Join(t.TempDir(), "old"))...)...)
			useCyrus(t, c.srv, appendAndFlag)
			c.write("var/mail/joe", letter(1)+letter(7, "Status: RO"))
			c.write("home/joe/mail/play", letter(1))
			before := cyrusTree(t, c.srv)

			tt.kill(c, c.migrate("--quiet", "--merge"))
			c.pass(0, c.migrate("--merge")...)
			c.proved()
			c.pass(0, c.migrate("--merge")...)
			served := serve(t, c.srv)["INBOX"]
			tt.want[0] = `1 \Flagged 22`
			if got := describe(served); !slices.Equal(got, tt.want) {
				t.Errorf("INBOX: %q, want %q", got, tt.want)
			}
			c.pass(0, append([]string{"undo", "--all"}, cyrusFlagsFor(c.srv, c.state)...)...)
			after := cyrusTree(t, c.srv)
			for path := range before {
				if _, ok := after[path]; !ok && strings.Contains(path, "user/joe") {
					t.Errorf("undo took away %s", path)
				}
			}
			if got, want := describe(serve(t, c.srv)["INBOX"]), []string{`1 \Flagged 22`, "2  22", "3  33"}; !slices.Equal(got, want) {
				t.Errorf("after undo: INBOX: %q, want %q", got, want)
			}
		})
	}
}

// TestMergeCutOffAndUsed kills a pass that appends to joe's mail before all is filled. Then
// mail comes in to Cyrus, with UIDs that the pass had given, or behind them: it stays, and no
// message comes twice.
func TestMergeCutOffAndUsed(t *testing.T) {
	for _, tt := range []struct {
		name, call, file string // that is being written
		use              func(*imapclient.Client) error
		want             []string
	}{
		{"with an index in place", "write", "play/1.", appendAndFlag, []string{`1 \Flagged 22`, "2  22", "3  22", `4 \Seen 22`, "5  33"}},
		{"without", "write", "3.", appendAndFlag, []string{`1 \Flagged 22`, "2  22", "3  33", "4  22", `5 \Seen 22`}},
		{"with a whole manifest, but without", "renameat", "", appendMail, []string{"1  22", "2  22", "3  33", "4  22", `5 \Seen 22`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newMergeHost(t)
			c.killAt(tt.call, c.box(tt.file), c.migrate("--quiet", "--merge")...)
			if s := c.record("user.joe").State; s != ledger.Begun {
				t.Fatalf("it was killed when the mailbox was %q", s)
			}
			useCyrus(t, c.srv, tt.use)
			for range 2 {
				c.pass(0, c.migrate("--merge")...)
			}
			c.proved()
			if got := describe(serve(t, c.srv)["INBOX"]); !slices.Equal(got, tt.want) {
				t.Errorf("INBOX: %q, want %q", got, tt.want)
			}
		})
	}
}

// newMergeHost is a cutHost whose joe has two messages in Cyrus already, of another host, and
// mail and a folder to be merged.
func newMergeHost(t *testing.T) *cutHost {
	t.Helper()
	c := newCutHost(t)
	old := newPassHost(t)
	old.write("var/mail/joe", letter(1)+letter(2))
	c.pass(0, append([]string{"migrate"}, flagsFor(c.srv, old.root, filepath.Join(t.TempDir(), "old"))...)...)
	c.write("var/mail/joe", letter(5)+letter(7, "Status: RO"))
	c.write("home/joe/mail/play", letter(1))
	return c
}

// TestUndoMergeCutOffAndUsed kills a pass that appends to joe's mail when his INBOX is filled.
// Where he only looks at it undo takes the pass back, but not what he did to its messages.
func TestUndoMergeCutOffAndUsed(t *testing.T) {
	for _, tt := range []struct {
		flags []imap.Flag // that he sets
		code  int
		want  []string
	}{
		{nil, 0, []string{"1  22", "2  22"}},
		{[]imap.Flag{imap.FlagAnswered}, 2, []string{"1  22", "2  22", `3 \Answered 22`, `4 \Seen 22`}},
	} {
		c := newMergeHost(t)
		c.killAt("renameat", c.srv.ConfigDir, c.migrate("--merge", "--quiet")...)
		if s := c.record("user.joe").State; s != ledger.Filled {
			t.Fatalf("it was killed when the mailbox was %q", s)
		}
		useCyrus(t, c.srv, func(c *imapclient.Client) error {
			if _, err := c.Select("INBOX", nil).Wait(); err != nil || tt.flags == nil {
				return err
			}
			return c.Store(imap.UIDSetNum(3), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: tt.flags}, nil).Close()
		})
		c.pass(tt.code, append([]string{"undo", "--all"}, cyrusFlagsFor(c.srv, c.state)...)...)
		if got := describe(serve(t, c.srv)["INBOX"]); !slices.Equal(got, tt.want) {
			t.Errorf("%v: INBOX: %q, want %q", tt.flags, got, tt.want)
		}
	}
}
