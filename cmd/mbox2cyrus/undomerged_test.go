package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// mergedLayouts are Cyrus servers in which a user has mail, and gets more.
var mergedLayouts = []struct {
	name string
	opts cyrustest.Options
}{
	{"by id, metapartition", cyrustest.Options{MetaFiles: "header index cache"}},
	{"by name, hashed, conversations", cyrustest.Options{LegacyDirs: true, HashIMAPSpool: true, Extra: []string{"conversations: yes"}}},
}

// inUse is a Cyrus in which joe has mail already and uses it, and a UW host with more of
// his.
type inUse struct {
	*passHost
	srv    *cyrustest.Server
	state  string
	before map[string]string // all of Cyrus, before the first pass
	times  map[string]string // of message files
}

func newInUse(t *testing.T, opts cyrustest.Options) *inUse {
	t.Helper()
	u := &inUse{srv: cyrustest.ForTest(t, opts), state: filepath.Join(t.TempDir(), "state")}
	old := newPassHost(t)
	old.write("var/mail/joe", letter(1)+letter(2))
	old.write("home/joe/mail/work", letter(1))
	if o := runJSON(t, append([]string{"migrate"}, flagsFor(u.srv, old.root, filepath.Join(t.TempDir(), "old"))...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	useCyrus(t, u.srv, appendAndFlag)
	u.passHost = newPassHost(t)
	u.write("var/mail/joe", letter(1)+letter(7, "Status: RO", "X-Keywords: Later"))
	u.write("home/joe/mail/play", letter(1))
	u.write("home/joe/.mailboxlist", "mail/play\n")
	u.before, u.times = cyrusTree(t, u.srv), messageTimes(t, u.srv)
	return u
}

// messageTimes are inode and times of the message files.
func messageTimes(t *testing.T, srv *cyrustest.Server) map[string]string {
	t.Helper()
	times := map[string]string{}
	for path := range messageFiles(t, srv) {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		times[path] = fmt.Sprint(st.Ino, st.Mtim, st.Nlink)
	}
	return times
}

func (u *inUse) merge(t *testing.T) {
	t.Helper()
	if o := runJSON(t, append([]string{"migrate", "--merge"}, flagsFor(u.srv, u.root, u.state)...)...); o.code != 0 {
		t.Fatalf("migrate --merge: exit code %d\n%s", o.code, o.stderr)
	}
}

func (u *inUse) undo(t *testing.T, args ...string) outcome {
	t.Helper()
	return runJSON(t, append(append([]string{"undo", "--all"}, args...), cyrusFlagsFor(u.srv, u.state)...)...)
}

// asBefore fails unless all of Cyrus is as it was before the first pass.
func (u *inUse) asBefore(t *testing.T, when string) {
	t.Helper()
	if diff := diffTrees(u.before, cyrusTree(t, u.srv)); diff != "" {
		t.Fatalf("%s: Cyrus is not as it was:\n%s", when, diff)
	}
	if times := messageTimes(t, u.srv); !maps.Equal(u.times, times) {
		t.Fatalf("%s: message files were %v, are %v", when, u.times, times)
	}
}

// TestUndoMerged takes back what was appended to mail that a user has in Cyrus, after one
// pass and after two.
func TestUndoMerged(t *testing.T) {
	for _, tt := range mergedLayouts {
		t.Run(tt.name, func(t *testing.T) {
			u := newInUse(t, tt.opts)
			u.merge(t)
			merged := cyrusTree(t, u.srv)
			dry := u.undo(t, "--dry-run")
			if dry.code != 0 {
				t.Errorf("dry run: exit code %d\n%s", dry.code, dry.stderr)
			}
			if diff := diffTrees(merged, cyrusTree(t, u.srv)); diff != "" {
				t.Errorf("the dry run changed something:\n%s", diff)
			}
			if o := u.undo(t); o.code != 0 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			u.asBefore(t, "one pass")

			u.merge(t)
			u.write("var/mail/joe", letter(7, "X-Status: F")+letter(8))
			u.write("home/joe/mail/play", letter(2))
			u.merge(t)
			if o := runJSON(t, append([]string{"verify", "--level", "content"}, flagsFor(u.srv, u.root, u.state)...)...); o.code != 0 {
				t.Errorf("verify: exit code %d\n%s", o.code, o.stderr)
			}
			if o := u.undo(t); o.code != 0 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			u.asBefore(t, "two passes")

			u.merge(t)
			views := serve(t, u.srv)
			if got, want := describe(views["INBOX"]), []string{`1 \Flagged 22`, "2  22", "3  33", `4 \Flagged 22`, "5  22"}; !slices.Equal(got, want) {
				t.Errorf("INBOX: %q, want %q", got, want)
			}
		})
	}
}

// TestUndoMergedAndServed: Cyrus was started since, and a client looked without leaving a
// trace in the mailbox. The messages go, and their UIDs are not given again.
func TestUndoMergedAndServed(t *testing.T) {
	for _, tt := range mergedLayouts {
		t.Run(tt.name, func(t *testing.T) {
			u := newInUse(t, tt.opts)
			u.merge(t)
			useCyrus(t, u.srv, func(c *imapclient.Client) error {
				data, err := c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
				if err == nil && data.UIDNext != 6 {
					err = fmt.Errorf("UIDNEXT %d", data.UIDNext)
				}
				return err
			})
			o := u.undo(t)
			if o.code != 0 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			if times := messageTimes(t, u.srv); !maps.Equal(u.times, times) {
				t.Errorf("message files were %v, are %v", u.times, times)
			}
			var status *imap.StatusData
			useCyrus(t, u.srv, func(c *imapclient.Client) (err error) {
				status, err = c.Status("INBOX", &imap.StatusOptions{NumMessages: true, UIDNext: true, NumUnseen: true}).Wait()
				return err
			})
			if *status.NumMessages != 3 || status.UIDNext != 6 || *status.NumUnseen != 3 {
				t.Errorf("%d messages, UIDNEXT %d, %d unseen; want 3, 6, 3", *status.NumMessages, status.UIDNext, *status.NumUnseen)
			}
			useCyrus(t, u.srv, appendAndFlag)
			views := serve(t, u.srv)
			if got, want := describe(views["INBOX"]), []string{`1 \Flagged 22`, "2  22", "3  33", "6  33"}; !slices.Equal(got, want) {
				t.Errorf("INBOX: %q, want %q", got, want)
			}
			if out, err := u.srv.Run(t.Context(), "reconstruct", "-r", "user/joe"); err != nil || strings.Contains(out, "pdat") || strings.Contains(out, "not found") {
				t.Errorf("reconstruct has something to say: %s %v", out, err)
			}
		})
	}
}

// TestUndoMergedRefuses leaves a user alone of whom something changed since.
func TestUndoMergedRefuses(t *testing.T) {
	u := newInUse(t, cyrustest.Options{Extra: []string{"conversations: yes"}})
	u.merge(t)
	dir, err := u.srv.Run(t.Context(), "mbpath", "user/joe")
	if err != nil {
		t.Fatal(err)
	}
	inbox := func(name string) string { return filepath.Join(strings.TrimSpace(dir), name) }
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	aside := filepath.Join(u.srv.Dir, "aside")
	answer := func(c *imapclient.Client) error {
		if _, err := c.Select("work", nil).Wait(); err != nil {
			return err
		}
		return c.Store(imap.UIDSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagAnswered}}, nil).Close()
	}
	for _, tt := range []struct {
		name        string
		touch, mend func() // mend nil: what follows comes on top of it
		says        string
	}{
		{"appended message gone", func() { move(inbox("5."), aside) }, func() { move(aside, inbox("5.")) }, "1 of its 5 message files are gone"},
		{"own message gone", func() { move(inbox("2."), aside) }, func() { move(aside, inbox("2.")) }, "1 of its 5 message files are gone"},
		{"appended message longer", func() { appendTo(t, inbox("4."), "x") }, func() {
			if err := os.Truncate(inbox("4."), 22); err != nil {
				t.Fatal(err)
			}
		}, "23 bytes, not 22"},
		{"message file", func() { appendTo(t, inbox("6."), "x") }, func() { move(inbox("6."), aside) }, "message file 6. that neither"},
		{"another mailbox of his", func() { useCyrus(t, u.srv, answer) }, nil, "something happened in his account"},
		{"flag", func() { useCyrus(t, u.srv, appendAndFlag) }, nil, "user.joe: Cyrus changed it since"},
	} {
		tt.touch()
		touched := cyrusTree(t, u.srv)
		o := u.undo(t)
		if said := fmt.Sprint(o.problems("changed-since")); o.code != 2 || !strings.Contains(said, tt.says) {
			t.Errorf("%s: exit code %d, %s, want 2 and %q", tt.name, o.code, said, tt.says)
		}
		if diff := diffTrees(touched, cyrusTree(t, u.srv)); diff != "" {
			t.Errorf("%s: something was changed:\n%s", tt.name, diff)
		}
		if tt.mend != nil {
			tt.mend()
		}
	}
}

// TestUndoConflict: a mailbox that Cyrus changed between two passes, and that was appended
// to all the same, is left alone; so is one to which mail was merged before that.
func TestUndoConflict(t *testing.T) {
	u := newInUse(t, cyrustest.Options{})
	u.merge(t)
	useCyrus(t, u.srv, appendAndFlag)
	u.write("var/mail/joe", letter(1)+letter(7)+letter(8))
	u.merge(t)
	touched := cyrusTree(t, u.srv)
	o := u.undo(t)
	if said := fmt.Sprint(o.problems("changed-since")); o.code != 2 || !strings.Contains(said, "Cyrus changed it between two passes") {
		t.Errorf("exit code %d, %s", o.code, said)
	}
	if diff := diffTrees(touched, cyrusTree(t, u.srv)); diff != "" {
		t.Errorf("something was changed:\n%s", diff)
	}
}

// TestMergeRefusesStrays: message files that the index does not know would become
// messages, or be lost.
func TestMergeRefusesStrays(t *testing.T) {
	u := newInUse(t, cyrustest.Options{})
	dir, err := u.srv.Run(t.Context(), "mbpath", "user/joe")
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, filepath.Join(strings.TrimSpace(dir), "9."), "Subject: 9\r\n\r\nlost\r\n")
	before := cyrusTree(t, u.srv)
	o := runJSON(t, append([]string{"migrate", "--merge"}, flagsFor(u.srv, u.root, u.state)...)...)
	if o.code != 1 || !strings.Contains(o.stderr, "message files in Cyrus that its index does not know (1, 9. for one)") {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	if diff := diffTrees(before, cyrusTree(t, u.srv)); diff != "" {
		t.Errorf("a refused user was touched:\n%s", diff)
	}
}

// TestUndoMergedKilled kills undo, or the migrate before it, at calls that change
// something: a few of each kind, with MBOX2CYRUS_KILLS=all many. In the end Cyrus is as it
// was.
func TestUndoMergedKilled(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: it kills the program at a chosen system call")
	}
	u := newInUse(t, cyrustest.Options{})
	killed := func(call string, n int, args ...string) bool {
		cmd := exec.Command(strace, append([]string{"-f", "-qq", "-b", "execve", "-o", "/dev/null", "-e", "trace=" + call,
			"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), "mbox2cyrus"}, args...)...)
		return cmd.Run() != nil
	}
	step := func(n int) int { return 4 * n }
	if os.Getenv("MBOX2CYRUS_KILLS") == "all" {
		step = func(n int) int { return 1 + n/2 }
	}
	kills := map[string]int{}
	for _, call := range []string{"unlinkat", "renameat", "fsync", "fdatasync", "write", "syncfs", "clone,clone3,vfork"} {
		for n := 1; ; n += step(n) {
			u.merge(t)
			was := killed(call, n, append([]string{"undo", "--all", "--quiet"}, cyrusFlagsFor(u.srv, u.state)...)...)
			if was {
				kills["undo"]++
				if o := u.undo(t); o.code != 0 {
					t.Fatalf("killed at %s %d: undo again: exit code %d\n%s", call, n, o.code, o.stderr)
				}
			}
			u.asBefore(t, fmt.Sprintf("undo killed at %s %d (%v)", call, n, was))
			if !was {
				break
			}
		}
	}
	for _, call := range []string{"renameat", "fsync", "fdatasync", "write", "syncfs", "clone,clone3,vfork"} {
		for n := 1; ; n += step(n) {
			if !killed(call, n, append([]string{"migrate", "--merge", "--quiet"}, flagsFor(u.srv, u.root, u.state)...)...) {
				if o := u.undo(t); o.code != 0 {
					t.Fatalf("exit code %d\n%s", o.code, o.stderr)
				}
				break
			}
			kills["migrate"]++
			u.merge(t) // to its end
			if o := u.undo(t); o.code != 0 {
				t.Fatalf("migrate killed at %s %d: undo: exit code %d\n%s", call, n, o.code, o.stderr)
			}
			u.asBefore(t, fmt.Sprintf("migrate killed at %s %d", call, n))
		}
	}
	t.Logf("killed %v times", kills)
	if kills["undo"] < 7 || kills["migrate"] < 6 {
		t.Errorf("killed only %v times", kills)
	}
}
