package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// cutHost is a UW host of joe's and a Cyrus that has mailboxes in directories of their names,
// for runs that are killed at a system call on a certain file.
type cutHost struct {
	*passHost
	srv   *cyrustest.Server
	state string
}

func newCutHost(t *testing.T) *cutHost {
	t.Helper()
	needStrace(t)
	return &cutHost{newPassHost(t), cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: true}), filepath.Join(t.TempDir(), "state")}
}

// box is the directory of a mailbox of joe's, "" for his INBOX, or of a file there.
func (c *cutHost) box(name string) string { return filepath.Join(c.srv.Spool, "user/joe", name) }

func (c *cutHost) migrate(more ...string) []string {
	return append(append([]string{"migrate", "--jobs", "1"}, more...), flagsFor(c.srv, c.root, c.state)...)
}

// pass runs the program to its end, which must have an exit code.
func (c *cutHost) pass(code int, args ...string) outcome {
	c.t.Helper()
	o := runJSON(c.t, args...)
	if o.code != code {
		c.t.Fatalf("%v: exit code %d, want %d\n%s", args[0], o.code, code, o.stderr)
	}
	return o
}

// killAt runs it and kills it at the first call on path, or in that directory.
func (c *cutHost) killAt(call, path string, args ...string) {
	c.t.Helper()
	c.killAtOneOf(call, []string{path}, args...)
}

func (c *cutHost) killAtOneOf(call string, paths []string, args ...string) {
	c.t.Helper()
	killAtPaths(c.t, call, paths, args...)
}

// killAtPaths runs the program and kills it at the first call on one of the paths, or in one
// of those directories.
func killAtPaths(t *testing.T, call string, paths []string, args ...string) {
	t.Helper()
	strace := []string{"-f", "-b", "execve", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", "inject=" + call + ":signal=KILL"}
	for _, path := range paths {
		strace = append(strace, "-P", path)
	}
	cmd := exec.Command("strace", slices.Concat(strace, []string{"mbox2cyrus"}, args)...)
	cmd.Env = withScratch(t)
	if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() > 0 {
		t.Fatalf("%v: it was not killed at %s on %s: %v\n%s", args[0], call, paths, err, out)
	}
}

// proved runs verify, which must find nothing wrong.
func (c *cutHost) proved() {
	c.t.Helper()
	c.pass(0, append([]string{"verify", "--level", "content"}, flagsFor(c.srv, c.root, c.state)...)...)
}

// index is the header of the index of a mailbox.
func (c *cutHost) index(name string) cyrusspool.IndexHeader {
	c.t.Helper()
	dir := c.box(name)
	h, err := cyrusspool.OneRoot(filepath.Dir(dir)).At(filepath.Base(dir)).IndexHeader()
	if err != nil {
		c.t.Fatal(err)
	}
	return h
}

// record is what the ledger says of a mailbox.
func (c *cutHost) record(name string) ledger.Mailbox {
	c.t.Helper()
	l, err := ledger.Read(c.state)
	if err != nil {
		c.t.Fatal(err)
	}
	defer l.Close() // read only
	rec, ok, err := l.Mailbox(name)
	if !ok || err != nil {
		c.t.Fatalf("the ledger knows no %s: %v", name, err)
	}
	return rec
}

// manifests are the files that a manifest of the INBOX can be in.
func (c *cutHost) manifests() (paths []string) {
	c.t.Helper()
	id := c.record("user.joe").UniqueID
	for _, name := range []string{id + ".tsv", id + ".1.tsv"} {
		paths = append(paths, filepath.Join(c.state, "manifests", name))
	}
	return paths
}

// TestParentBecomesFolder: joe has no mail at first, and his INBOX is there for what is below
// it. Then mail comes, and then its file is gone, as when a file system is not mounted.
func TestParentBecomesFolder(t *testing.T) {
	c := newCutHost(t)
	c.write("home/joe/mail/work", letter(1))
	c.write("var/mail/kim", "") // no user of this host
	c.pass(0, c.migrate("--user", "joe")...)
	c.write("var/mail/joe", letter(2)+letter(3))
	if o := c.pass(3, append([]string{"verify", "--user", "joe"}, flagsFor(c.srv, c.root, c.state)...)...); len(o.problems("not-migrated")) != 1 {
		t.Errorf("verify: %q", o.severe())
	}
	c.pass(0, c.migrate()...)
	if got := len(serve(t, c.srv)["INBOX"].Messages); got != 2 {
		t.Fatalf("the INBOX has %d messages, want 2", got)
	}
	if err := os.Remove(filepath.Join(c.root, "var/mail/joe")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if o := c.pass(2, c.migrate()...); len(o.problems("source-gone")) != 1 {
			t.Errorf("%q", o.severe())
		}
	}
	if got := len(serve(t, c.srv)["INBOX"].Messages); got != 2 {
		t.Errorf("its file is gone, and the INBOX has %d messages, want 2", got)
	}
}

// TestCutOffAndServed kills a later pass, and starts Cyrus before the next: what it serves is
// not written under it.
func TestCutOffAndServed(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1)+letter(2))
	c.pass(0, c.migrate()...)
	c.write("var/mail/joe", letter(2)+letter(3))
	c.killAt("renameat", c.box(""), c.migrate("--quiet")...)
	whileServed(t, c.srv, func() {
		before := snapshot(t, c.srv.Spool)
		if o := c.pass(2, c.migrate()...); len(o.problems("cut-off")) != 1 {
			t.Errorf("%q", o.severe())
		}
		if diff := diffSnapshots(before, snapshot(t, c.srv.Spool)); diff != "" {
			t.Errorf("the spool was changed under a running Cyrus: %s", diff)
		}
	})
	c.pass(0, c.migrate()...)
	c.proved()
	if got, want := describe(serve(t, c.srv)["INBOX"]), []string{"2  22", "3  22"}; !slices.Equal(got, want) {
		t.Errorf("INBOX: %q, want %q", got, want)
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

// TestConflictCutOff kills a pass that appends what is new to a mailbox that joe uses, after
// its index is in place. Then the new message goes on the host: it goes in Cyrus too, as if
// nothing had been cut off.
func TestConflictCutOff(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1)+letter(2))
	c.write("home/joe/mail/play", letter(1))
	c.pass(0, c.migrate()...)
	useCyrus(t, c.srv, appendAndFlag)
	c.write("var/mail/joe", letter(1)+letter(2)+letter(4)+letter(5))
	c.write("home/joe/mail/play", letter(1)+letter(2))
	c.killAt("write", c.box("play/2."), c.migrate("--quiet", "--on-conflict", "append")...)
	c.write("var/mail/joe", letter(1)+letter(2)+letter(5))
	c.pass(0, c.migrate("--on-conflict", "append")...)
	c.proved()
	if got, want := describe(serve(t, c.srv)["INBOX"]), []string{`1 \Flagged 22`, "2  22", "3  33", "5  22"}; !slices.Equal(got, want) {
		t.Errorf("INBOX: %q, want %q", got, want)
	}
}

// TestModSeq: clients that know the mailbox by its HIGHESTMODSEQ (RFC 7162) are told of
// changes and of messages that went, whatever was cut off.
func TestModSeq(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1)+letter(2)+letter(3))
	c.pass(0, c.migrate()...)
	was := c.index("")
	next := func(what string, gone bool) {
		t.Helper()
		c.pass(0, c.migrate()...)
		h := c.index("")
		if h.HighestModSeq <= was.HighestModSeq {
			t.Errorf("%s: HIGHESTMODSEQ is %d, was %d", what, h.HighestModSeq, was.HighestModSeq)
		}
		if gone && h.DeletedModSeq <= was.HighestModSeq || !gone && h.DeletedModSeq != was.DeletedModSeq {
			t.Errorf("%s: DeletedModSeq is %d, was %d, with HIGHESTMODSEQ %d", what, h.DeletedModSeq, was.DeletedModSeq, was.HighestModSeq)
		}
		was = h
	}
	c.write("var/mail/joe", letter(1, "Status: RO")+letter(2)+letter(3))
	next("a flag changed", false)
	c.write("var/mail/joe", letter(1, "Status: RO")+letter(3))
	next("a message went", true)
	c.write("var/mail/joe", letter(1, "Status: RO")+letter(3)+letter(4))
	next("a message came", false)
	c.write("var/mail/joe", letter(1)+letter(4))
	c.killAt("renameat", c.box(""), c.migrate("--quiet")...)
	next("after a run that was cut off", true)
}

// TestModSeqOfUser: with conversations, clients know a user's mail by the highest modseq of all his
// mailboxes (JMAP's states, RFC 8620 5.2). So what a later pass brings, changes or takes away in
// one is above that, and what is new was created above it too.
func TestModSeqOfUser(t *testing.T) {
	for _, legacy := range []bool{true, false} {
		t.Run(fmt.Sprintf("legacy=%t", legacy), func(t *testing.T) {
			h := newPassHost(t)
			srv := cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: legacy, Extra: []string{"conversations: yes"}})
			flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
			pass := func() {
				t.Helper()
				if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
					t.Fatalf("exit code %d\n%s", o.code, o.stderr)
				}
			}
			var many string
			for i := range 40 {
				many += letter(i + 10)
			}
			h.write("var/mail/joe", letter(9))
			h.write("home/joe/mail/many", many) // the last to be taken into conversations
			h.write("home/joe/mail/flags", letter(1)+letter(2))
			h.write("home/joe/mail/gone", letter(1)+letter(2))
			pass()
			was := mailboxIndexes(t, srv, "joe")
			var highest uint64
			for _, box := range was {
				highest = max(highest, box.HighestModSeq)
			}
			if small := was["user/joe/flags"].HighestModSeq; small+3 > highest {
				t.Fatalf("the folder has modseq %d of %d: this proves nothing", small, highest)
			}
			h.write("home/joe/mail/flags", letter(1, "Status: RO")+letter(2)+letter(3))
			h.write("home/joe/mail/gone", letter(1))
			h.write("home/joe/mail/fresh", letter(4))
			pass()
			now := mailboxIndexes(t, srv, "joe")
			for _, tt := range []struct {
				what   string
				modseq uint64
			}{
				{"the modseq of a message whose flag changed", now["user/joe/flags"].records[1].ModSeq},
				{"the created modseq of a new message", now["user/joe/flags"].records[3].CreatedModSeq},
				{"the deleted modseq where a message went", now["user/joe/gone"].DeletedModSeq},
				{"the created modseq of a message in a new mailbox", now["user/joe/fresh"].records[1].CreatedModSeq},
				{"the created modseq of a new mailbox", now["user/joe/fresh"].CreatedModSeq},
				{"the created modseq of a new mailbox in Cyrus's list", now["user/joe/fresh"].entry.CreatedModSeq},
			} {
				if tt.modseq <= highest {
					t.Errorf("%s is %d, and the user's highest was %d", tt.what, tt.modseq, highest)
				}
			}
			if box := now["user/joe/fresh"]; box.DeletedModSeq != 0 {
				t.Errorf("the deleted modseq of a new mailbox is %d", box.DeletedModSeq)
			}
			if kept := now["user/joe/flags"].records[2]; kept != was["user/joe/flags"].records[2] {
				t.Errorf("a message that did not change is %+v, was %+v", kept, was["user/joe/flags"].records[2])
			}
		})
	}
}

// mailboxIndex is what Cyrus has of a mailbox.
type mailboxIndex struct {
	cyrusspool.IndexHeader
	entry   reconstruct.Entry
	records map[uint32]cyrusspool.Record // by UID
}

// mailboxIndexes reads the indexes of a user's mailboxes, by the names that Cyrus's programs know.
func mailboxIndexes(t *testing.T, srv *cyrustest.Server, user string) map[string]mailboxIndex {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	programs, err := reconstruct.Find(cyrustest.BinDir, srv.Conf)
	must(err)
	entries, _, err := programs.List(t.Context())
	must(err)
	all := map[string]mailboxIndex{}
	for _, e := range entries {
		if cyrusspool.Name(e.Name).User() != user {
			continue
		}
		external := cyrusspool.Name(e.Name).External('/')
		paths, err := programs.Paths(t.Context(), []string{external})
		must(err)
		f, err := os.Open(filepath.Join(paths[external].Data, "cyrus.index"))
		must(err)
		defer f.Close()
		r, err := cyrusspool.NewIndexReader(f)
		must(err)
		box := mailboxIndex{r.Header(), e, map[uint32]cyrusspool.Record{}}
		for {
			rec, err := r.Next()
			if err == io.EOF {
				break
			}
			must(err)
			box.records[rec.UID] = rec
		}
		all[external] = box
	}
	return all
}

// TestFilledAndGone kills the first pass when a folder is filled, and before Cyrus knows of
// it. Then the folder is gone: what was filled is all that there is of it.
func TestFilledAndGone(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1))
	c.write("home/joe/mail/play", letter(1)+letter(2))
	c.killAt("renameat", c.srv.ConfigDir, c.migrate("--quiet")...)
	if s := c.record("user.joe.play").State; s != ledger.Filled {
		t.Fatalf("it was killed when the mailbox was %q", s)
	}
	if err := os.Remove(filepath.Join(c.root, "home/joe/mail/play")); err != nil {
		t.Fatal(err)
	}
	if o := c.pass(2, c.migrate()...); len(o.problems("source-gone")) != 1 {
		t.Errorf("%q", o.severe())
	}
	if got := len(serve(t, c.srv)["play"].Messages); got != 2 {
		t.Errorf("play has %d messages, want 2", got)
	}
	if s := c.record("user.joe.play").State; s != ledger.Verified {
		t.Errorf("the ledger says %q", s)
	}
}

// TestLayoutChangedAfterCutOff kills the first pass before Cyrus knows of its mailboxes. Then
// imapd.conf gives them other directories: Cyrus must not be told of mailboxes without their mail.
func TestLayoutChangedAfterCutOff(t *testing.T) {
	for _, tt := range []struct {
		name, call string
		state      ledger.State
	}{{"filled", "renameat", ledger.Filled}, {"begun", "write", ledger.Begun}} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCutHost(t)
			c.write("var/mail/joe", letter(1)+letter(2))
			at := c.srv.ConfigDir
			if tt.state == ledger.Begun {
				at = c.box("2.")
			}
			c.killAt(tt.call, at, c.migrate("--quiet")...)
			if s := c.record("user.joe").State; s != tt.state {
				t.Fatalf("it was killed when the mailbox was %q", s)
			}
			setConf(t, c.srv, "hashimapspool: 0", "hashimapspool: 1\n")
			for range 2 {
				if o := c.pass(2, c.migrate()...); len(o.problems("cut-off")) != 1 {
					t.Errorf("%q", o.severe())
				}
			}
			c.pass(0, append([]string{"undo", "--user", "joe"}, cyrusFlagsFor(c.srv, c.state)...)...)
			mustNotBe(t, c.srv.Spool, "user/joe")
			c.pass(0, c.migrate()...)
			if n := len(serve(t, c.srv)["INBOX"].Messages); n != 2 {
				t.Errorf("the INBOX has %d messages, want 2", n)
			}
		})
	}
}

// TestKeywordAfterCutOff kills a later pass before its index is in place. Then joe gives a
// message a keyword, in Cyrus: both have changed, and his is not taken away.
func TestKeywordAfterCutOff(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1, "X-IMAPbase: 1054563072 0000000002 Work", "Status: RO", "X-Keywords: Work", "X-UID: 1")+letter(2, "Status: RO", "X-UID: 2"))
	c.pass(0, c.migrate()...)
	c.write("var/mail/joe", letter(1, "X-IMAPbase: 1054563072 0000000003 Work", "Status: RO", "X-Keywords: Work", "X-UID: 1")+letter(2, "Status: RO", "X-UID: 2")+letter(3, "X-UID: 3"))
	c.killAt("renameat", c.box(""), c.migrate("--quiet")...)
	useCyrus(t, c.srv, func(client *imapclient.Client) error {
		if _, err := client.Select("INBOX", nil).Wait(); err != nil {
			return err
		}
		return client.Store(imap.UIDSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{"Later"}}, nil).Close()
	})
	if o := c.pass(2, c.migrate()...); len(o.problems("cyrus-changed")) != 1 {
		t.Errorf("%q", o.severe())
	}
	c.pass(0, c.migrate("--on-conflict", "append")...)
	if got, want := describe(serve(t, c.srv)["INBOX"]), []string{`1 Work,\Seen 22`, `2 Later,\Seen 22`, "3  22"}; !slices.Equal(got, want) {
		t.Errorf("INBOX: %q, want %q", got, want)
	}
}

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

// account makes an empty mailbox of joe's in Cyrus, as an administrator does beforehand.
func (c *cutHost) account(name string) {
	c.t.Helper()
	if out, err := c.srv.Run(c.t.Context(), "reconstruct", "-x", "-p", "default", name); err != nil {
		c.t.Fatal(err, out)
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

// TestCutOffTwiceWithNewKeyword kills a pass that gave a message a new keyword when its index is
// there, and the next one before it writes another: the ledger does not have the names of the
// keywords that the index has.
func TestCutOffTwiceWithNewKeyword(t *testing.T) {
	c := newCutHost(t)
	const base = "X-IMAPbase: 1054563072 1 Work"
	c.write("var/mail/joe", letter(1, base, "X-UID: 1", "X-Keywords: Work"))
	c.write("home/joe/mail/play", letter(1))
	c.pass(0, c.migrate()...)
	c.write("var/mail/joe", letter(1, base+" Play", "X-UID: 1", "X-Keywords: Work Play")+letter(2))
	c.write("home/joe/mail/play", letter(1)+letter(2))
	c.killAt("write", c.box("play/2."), c.migrate("--quiet")...)
	c.killAt("write", filepath.Join(c.state, "manifests", c.record("user.joe").UniqueID+".tsv"), c.migrate("--quiet")...)
	c.pass(0, c.migrate()...)
	c.proved()
}

// TestCutOffAndGone: a run is killed while it writes a folder, which is gone at the next. That says
// what became of it and brings the user's others; when the folder is back, all of it comes.
func TestCutOffAndGone(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1))
	c.write("home/joe/mail/work", letter(2)+letter(3))
	c.killAt("write", c.box("work/2."), c.migrate("--quiet")...)
	folder := filepath.Join(c.root, "home/joe/mail/work")
	away := filepath.Join(filepath.Dir(c.root), "away")
	if err := os.Rename(folder, away); err != nil {
		t.Fatal(err)
	}
	o := c.pass(2, c.migrate()...)
	if gone := o.problems("source-gone"); len(gone) != 1 || !strings.Contains(fmt.Sprint(gone[0]["text"]), "a run was cut off while it wrote user.joe.work") {
		t.Errorf("%v", o.severe())
	}
	served := serve(t, c.srv)
	if _, there := served["work"]; there || len(describe(served["INBOX"])) != 1 {
		t.Errorf("joe has %v", served)
	}
	if err := os.Rename(away, folder); err != nil {
		t.Fatal(err)
	}
	c.pass(0, c.migrate()...)
	c.proved()
	if got := describe(serve(t, c.srv)["work"]); len(got) != 2 {
		t.Errorf("work has %q", got)
	}
}
