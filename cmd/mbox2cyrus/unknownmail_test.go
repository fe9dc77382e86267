package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestMailThatCyrusDoesNotKnow: mailboxes.db is lost, and a pass with a state directory that
// knows nothing comes to a user whose mail is in the partition. It stays.
func TestMailThatCyrusDoesNotKnow(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: true})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1)+letter(2))
	if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "one"))...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	if out, err := srv.Run(t.Context(), "cyr_dbtool", filepath.Join(srv.ConfigDir, "mailboxes.db"), "twoskip", "delete", "Nuser\x1fjoe"); err != nil {
		t.Fatal(out, err)
	}
	before := snapshot(t, srv.Spool)
	h.write("var/mail/joe", letter(3))
	o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "two"))...)...)
	if o.code != 1 || len(o.problems("user-failed")) != 1 {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	if diff := diffSnapshots(before, snapshot(t, srv.Spool)); diff != "" {
		t.Errorf("the spool was touched: %s", diff)
	}
}

// TestMailInAnEmptyAccount: an account that was made beforehand has message files that its index
// does not know: a backup was brought there, or the index was lost. They stay.
func TestMailInAnEmptyAccount(t *testing.T) {
	for _, name := range []string{"1.", "9."} { // one that migrate would write, and one that it would not
		t.Run(name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			h := newPassHost(t)
			h.write("var/mail/joe", letter(1)+letter(2))
			if out, err := srv.Run(t.Context(), "reconstruct", "-x", "-p", "default", "user/joe"); err != nil {
				t.Fatal(err, out)
			}
			dir, err := srv.Run(t.Context(), "mbpath", "user/joe")
			if err != nil {
				t.Fatal(err)
			}
			appendTo(t, filepath.Join(strings.TrimSpace(dir), name), "Subject: 9\r\n\r\nlost\r\n")
			before := cyrusTree(t, srv)
			o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)...)
			if o.code != 1 || len(o.problems("user-failed")) != 1 {
				t.Errorf("exit code %d\n%s", o.code, o.stderr)
			}
			if diff := diffTrees(before, cyrusTree(t, srv)); diff != "" {
				t.Errorf("a refused user was touched:\n%s", diff)
			}
		})
	}
}

// TestMailThatTheIndexForgot: a mailbox that a pass filled has a message file since that its index
// does not know: an older index was brought back, or records were lost. A later pass that has mail
// for it leaves all of it alone.
func TestMailThatTheIndexForgot(t *testing.T) {
	for _, name := range []string{"3.", "9."} { // one that the pass would write, and one that it would not
		for _, used := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " used ", used), func(t *testing.T) {
				c := newCutHost(t)
				c.write("var/mail/joe", letter(1)+letter(2))
				c.pass(0, c.migrate()...)
				if used {
					useCyrus(t, c.srv, appendAndFlag)
					if name == "3." {
						name = "4."
					}
				}
				appendTo(t, c.box(name), "Subject: 9\r\n\r\nlost\r\n")
				if os.Geteuid() == 0 {
					if err := os.Chown(c.box(name), c.srv.UID, c.srv.GID); err != nil {
						t.Fatal(err)
					}
				}
				c.write("var/mail/joe", letter(1)+letter(2)+letter(3))
				before := cyrusTree(t, c.srv)
				o := runJSON(t, c.migrate("--on-conflict", "append")...)
				if o.code != 2 || len(o.problems("cyrus-changed")) != 1 {
					t.Errorf("exit code %d\n%s", o.code, o.stderr)
				}
				if diff := diffTrees(before, cyrusTree(t, c.srv)); diff != "" {
					t.Errorf("the mailbox was touched:\n%s", diff)
				}
				if out, err := c.srv.Run(t.Context(), "reconstruct", "user/joe"); err != nil {
					t.Fatal(err, out)
				}
				c.pass(0, c.migrate("--on-conflict", "append")...)
				if n := len(c.mail()); n < 4 {
					t.Errorf("%d message files: %v", n, c.mail())
				}
			})
		}
	}
}

// TestOlderMailboxBroughtBack: after two passes Cyrus's files come back from a backup that was made
// between them, and Cyrus may have given a UID of the second since. What the second brought comes
// again, with UIDs that nobody had.
func TestOlderMailboxBroughtBack(t *testing.T) {
	for _, used := range []bool{false, true} {
		t.Run(fmt.Sprint("used ", used), func(t *testing.T) {
			c := newCutHost(t)
			c.write("var/mail/joe", letter(1)+letter(2))
			c.pass(0, c.migrate()...)
			backup := filepath.Join(t.TempDir(), "backup")
			copyAll(t, c.box(""), backup)
			c.write("var/mail/joe", letter(1)+letter(2)+letter(3))
			c.pass(0, c.migrate()...)
			if err := os.RemoveAll(c.box("")); err != nil {
				t.Fatal(err)
			}
			copyAll(t, backup, c.box(""))
			want := []string{"1  22", "2  22", "4  22", "5  22"}
			if used {
				useCyrus(t, c.srv, appendAndFlag)
				want = []string{`1 \Flagged 22`, "2  22", "3  33", "4  22", "5  22"}
			}
			c.write("var/mail/joe", letter(1)+letter(2)+letter(3)+letter(4))
			c.pass(0, c.migrate("--on-conflict", "append")...)
			c.proved()
			if got := describe(serve(t, c.srv)["INBOX"]); !slices.Equal(got, want) {
				t.Errorf("INBOX: %q, want %q", got, want)
			}
		})
	}
}

// TestMergedMailboxBroughtBack: after mail was appended to what joe has in Cyrus, his mailbox
// comes back from a backup that was made before. The next pass brings what was appended again,
// and does not take it for removed by him, though nothing is new in the folder.
func TestMergedMailboxBroughtBack(t *testing.T) {
	for _, used := range []bool{false, true} {
		t.Run(fmt.Sprint("used ", used), func(t *testing.T) {
			c := newCutHost(t)
			old := newPassHost(t)
			old.write("var/mail/joe", letter(1)+letter(2))
			c.pass(0, append([]string{"migrate"}, flagsFor(c.srv, old.root, filepath.Join(t.TempDir(), "old"))...)...)
			backup := filepath.Join(t.TempDir(), "backup")
			copyAll(t, c.box(""), backup)
			c.write("var/mail/joe", letter(7)+letter(8))
			c.pass(0, c.migrate("--merge")...)
			if err := os.RemoveAll(c.box("")); err != nil {
				t.Fatal(err)
			}
			copyAll(t, backup, c.box(""))
			want := []string{"1  22", "2  22", "5  22", "6  22"}
			if used {
				useCyrus(t, c.srv, appendAndFlag)
				want = []string{`1 \Flagged 22`, "2  22", "3  33", "5  22", "6  22"}
			}
			c.pass(0, c.migrate("--merge")...)
			c.proved()
			c.pass(0, c.migrate("--merge")...)
			if got := describe(serve(t, c.srv)["INBOX"]); !slices.Equal(got, want) {
				t.Errorf("INBOX: %q, want %q", got, want)
			}
		})
	}
}

func copyAll(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
}

// TestMergeWithAnotherState: what an earlier run brought is not appended to itself, where a later
// pass was given another state directory by mistake.
func TestMergeWithAnotherState(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	const base = "X-IMAPbase: 1054563072 1"
	h.write("var/mail/joe", letter(1, base, "X-UID: 1"))
	migrate := func(code int, state string, more ...string) outcome {
		t.Helper()
		o := runJSON(t, slices.Concat([]string{"migrate"}, more, flagsFor(srv, h.root, state))...)
		if o.code != code {
			t.Fatalf("%v: exit code %d, want %d\n%s", more, o.code, code, o.stderr)
		}
		return o
	}
	migrate(0, state)
	h.write("var/mail/joe", letter(1, base, "X-UID: 1")+letter(2))
	if o := migrate(1, state+"2", "--merge"); !strings.Contains(o.stderr, "give the --state directory of that run") {
		t.Error(o.stderr)
	}
	migrate(0, state)
	if got, want := describe(serve(t, srv)["INBOX"]), []string{"1  22", "2  22"}; !slices.Equal(got, want) {
		t.Errorf("INBOX has %q, want %q", got, want)
	}
}
