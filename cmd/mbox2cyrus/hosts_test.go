package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestAnotherHost: a second host comes with the state directory of the first, as the default
// one. Its joe is another person.
func TestAnotherHost(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	one, two := newPassHost(t), newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	one.write("var/mail/joe", letter(1)+letter(2))
	two.write("var/mail/joe", letter(3))
	if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, one.root, state)...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	journal := filepath.Join(state, "ledger.jsonl")
	before := snapshot(t, srv.Spool)
	kept, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"plan"}, {"migrate", "--dry-run"}, {"migrate"}, {"migrate", "--same-host", two.root}, {"migrate", "--on-conflict", "append"}} {
		o := runJSON(t, append(args, flagsFor(srv, two.root, state)...)...)
		if o.code != 78 || !strings.Contains(o.stderr, one.root) {
			t.Errorf("%v: exit code %d\n%s", args, o.code, o.stderr)
		}
	}
	if diff := diffSnapshots(before, snapshot(t, srv.Spool)); diff != "" {
		t.Errorf("the mail of the first host was touched: %s", diff)
	}
	if now, err := os.ReadFile(journal); err != nil || string(now) != string(kept) {
		t.Errorf("the record of the first host was touched: %v\n%s", err, now)
	}
	if o := runJSON(t, append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)...); o.code != 0 {
		t.Fatalf("undo: exit code %d\n%s", o.code, o.stderr)
	}
	if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, two.root, state)...)...); o.code != 0 {
		t.Errorf("nothing is left of the first host: exit code %d\n%s", o.code, o.stderr)
	}
}

// TestHostMountedElsewhere: the host of the first pass is at another place in the second,
// once as a copy and once by a link. What was brought stays brought.
func TestHostMountedElsewhere(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	h.write("var/mail/joe", letter(1)+letter(2))
	if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, state)...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	link, copied := h.root+".link", h.root+".copy"
	if err := os.Symlink(h.root, link); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", h.root, copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, link, state)...)...); o.code != 0 || o.summary(t)["messages_written"] != 0. {
		t.Errorf("by a link: exit code %d\n%s", o.code, o.stderr)
	}
	for _, args := range [][]string{{"plan", "--same-host", link}, {"migrate", "--same-host", link}, {"migrate"}, {"verify", "--level", "content"}} {
		o := runJSON(t, append(args, flagsFor(srv, copied, state)...)...)
		if o.code != 0 {
			t.Errorf("%v: exit code %d\n%s", args, o.code, o.stderr)
		}
		if n := o.summary(t)["messages_written"]; args[0] == "migrate" && n != 0. {
			t.Errorf("%v wrote %v messages again", args, n)
		}
	}
}
