package main

import (
	"fmt"
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

// TestAnotherHostAtThePlace: two hosts are mounted at one place, one after the other. By what
// lies below it they are told apart, if both have it; the same host keeps something.
func TestAnotherHostAtThePlace(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	const name, id, key = "etc/hostname", "etc/machine-id", "etc/ssh/ssh_host_rsa_key.pub"
	for i, tc := range []struct {
		about    string
		one, two map[string]string
		differ   string // "": they go for one host
	}{
		{"no mark in common", map[string]string{name: "one\n"}, map[string]string{id: "2\n"}, ""},
		{"an empty file is none", map[string]string{id: ""}, map[string]string{id: "2\n"}, ""},
		{"renamed", map[string]string{name: "one\n", key: "ssh-rsa A\n"}, map[string]string{name: "two\n", key: "ssh-rsa A\n"}, ""},
		{"another", map[string]string{name: "one\n", id: "1\n", key: "ssh-rsa A\n"}, map[string]string{name: "two\n", id: "2\n"}, name + ", " + id},
	} {
		t.Run(tc.about, func(t *testing.T) {
			login := fmt.Sprintf("joe%d", i)
			h := newPassHost(t)
			h.write("etc/passwd", login+":x:1001:1001::/home/"+login+":/bin/sh\n")
			marks := func(files map[string]string) {
				for _, path := range []string{name, id, key} {
					if err := os.Remove(filepath.Join(h.root, path)); err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
				}
				for path, text := range files {
					h.write(path, text)
				}
			}
			state := filepath.Join(t.TempDir(), "state")
			marks(tc.one)
			h.write("var/mail/"+login, letter(1)+letter(2))
			if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, state)...)...); o.code != 0 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			marks(tc.two)
			h.write("var/mail/"+login, letter(3))
			for _, args := range [][]string{{"plan"}, {"migrate"}} {
				o := runJSON(t, append(args, flagsFor(srv, h.root, state)...)...)
				if refused := o.code == 78; refused != (tc.differ != "") || !strings.Contains(o.stderr, tc.differ) {
					t.Errorf("%v: exit code %d\n%s", args, o.code, o.stderr)
				}
			}
			if tc.differ == "" {
				return
			}
			for _, args := range [][]string{{"migrate", "--same-host", h.root}, {"migrate"}} {
				if o := runJSON(t, append(args, flagsFor(srv, h.root, state)...)...); o.code != 0 {
					t.Errorf("%v: exit code %d\n%s", args, o.code, o.stderr)
				}
			}
		})
	}
}
