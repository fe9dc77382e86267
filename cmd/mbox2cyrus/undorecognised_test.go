package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestUndoRecognised: the state directory was lost, and migrate recognised its work. Undo
// removes it if told to, and leaves nothing but directories, which it cannot know.
func TestUndoRecognised(t *testing.T) {
	for _, opts := range []cyrustest.Options{{}, {LegacyDirs: true, HashIMAPSpool: true}} {
		t.Run(fmt.Sprintf("by name %v", opts.LegacyDirs), func(t *testing.T) {
			srv := cyrustest.ForTest(t, opts)
			h := newPassHost(t)
			h.write("var/mail/joe", letter(1)+letter(2))
			h.write("home/joe/mail/work", letter(1))
			h.write("home/joe/.mailboxlist", "mail/work\n")
			before := cyrusTree(t, srv)
			state := filepath.Join(t.TempDir(), "state")
			migrate := func() {
				t.Helper()
				if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, state)...)...); o.code != 0 {
					t.Fatalf("exit code %d\n%s", o.code, o.stderr)
				}
			}
			migrate()
			if err := os.RemoveAll(state); err != nil {
				t.Fatal(err)
			}
			migrate()
			migrated := cyrusTree(t, srv)
			undo := func(args ...string) outcome {
				return runJSON(t, append(append([]string{"undo", "--all"}, args...), cyrusFlagsFor(srv, state)...)...)
			}
			o := undo()
			if said := fmt.Sprint(o.problems("changed-since")); o.code != 2 || !strings.Contains(said, "--recognised") {
				t.Errorf("exit code %d, %s", o.code, said)
			}
			o = undo("--recognised", "--dry-run")
			if o.code != 0 || !strings.Contains(o.stderr, "would be removed (recognised") {
				t.Errorf("dry run: exit code %d\n%s", o.code, o.stderr)
			}
			if diff := diffTrees(migrated, cyrusTree(t, srv)); diff != "" {
				t.Errorf("something was changed:\n%s", diff)
			}
			if o := undo("--recognised"); o.code != 0 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			after := cyrusTree(t, srv)
			for path, what := range after {
				if _, was := before[path]; !was && strings.HasPrefix(what, "d") {
					delete(after, path) // a directory, and it is empty
				}
			}
			if diff := diffTrees(before, after); diff != "" {
				t.Errorf("Cyrus is not as it was:\n%s", diff)
			}
			migrate()
		})
	}
}

// TestUndoRecognisedRefuses: what the user did since stands in the way of --recognised too.
func TestUndoRecognisedRefuses(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1)+letter(2))
	state := filepath.Join(t.TempDir(), "state")
	args := append([]string{"migrate"}, flagsFor(srv, h.root, state)...)
	for range 2 {
		if o := runJSON(t, args...); o.code != 0 {
			t.Fatalf("exit code %d\n%s", o.code, o.stderr)
		}
		if err := os.RemoveAll(filepath.Join(state)); err != nil {
			t.Fatal(err)
		}
	}
	if o := runJSON(t, args...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	if out, err := srv.Run(t.Context(), "reconstruct", "-x", "-p", "default", "user/joe/mine"); err != nil {
		t.Fatal(err, out)
	}
	touched := cyrusTree(t, srv)
	o := runJSON(t, append([]string{"undo", "--all", "--recognised"}, cyrusFlagsFor(srv, state)...)...)
	if said := fmt.Sprint(o.problems("changed-since")); o.code != 2 || !strings.Contains(said, "user.joe.mine below it") {
		t.Errorf("exit code %d, %s", o.code, said)
	}
	if diff := diffTrees(touched, cyrusTree(t, srv)); diff != "" {
		t.Errorf("something was changed:\n%s", diff)
	}
}

// TestUndoRecognisedCutOff goes on with an undo that was cut off when Cyrus had forgotten the
// mailboxes.
func TestUndoRecognisedCutOff(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1)+letter(2))
	c.write("home/joe/mail/play", letter(1))
	c.pass(0, c.migrate()...)
	if err := os.RemoveAll(c.state); err != nil {
		t.Fatal(err)
	}
	c.pass(0, c.migrate()...)
	undo := append([]string{"undo", "--all", "--recognised"}, cyrusFlagsFor(c.srv, c.state)...)
	c.killAt("unlinkat", c.box(""), append(undo, "--quiet")...)
	c.pass(0, undo...)
	if left := c.mail(); len(left) > 0 {
		t.Errorf("message files are left: %v", left)
	}
	c.pass(0, c.migrate()...)
	c.proved()
}
