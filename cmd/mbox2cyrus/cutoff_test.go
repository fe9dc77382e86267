package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
	return runWith(c.t)(code, args...)
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
	for _, o := range []outcome{
		c.pass(3, append([]string{"verify"}, c.migrate()[1:]...)...), // the INBOX is not there yet
		c.pass(2, c.migrate()...),
	} {
		if gone := o.problems("source-gone"); len(gone) != 1 || !strings.Contains(fmt.Sprint(gone[0]["text"]), "a run was cut off while it wrote user.joe.work") {
			t.Errorf("%v", o.severe())
		}
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
