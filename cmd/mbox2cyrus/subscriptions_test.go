package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// TestSubscriptionsCutOff kills a later pass just after changed subscriptions took their
// place, before the ledger says so. They are this program's own all the same: the next pass
// brings what the host has then, and undo takes them away.
func TestSubscriptionsCutOff(t *testing.T) {
	needStrace(t)
	first, cut, later := "mail/work/2003\nmail/sent-mail\n", "mail/sent-mail\n", "mail/opened\n"
	tests := []struct{ name, list string }{
		{"as the run that was cut off had them", cut}, {"as before it", first}, {"changed again", later}, {"undo", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t, "", "", "")
			g.firstMail()
			g.must(g.migrate()...)
			file := g.subscriptionFile("joe")
			before := g.sum(file)
			g.host.write("home/joe/.mailboxlist", cut)
			// The directory is synced once the file has its new name.
			killAtPaths(t, "fsync", []string{filepath.Dir(file)}, g.migrate()...)
			if g.sum(file) == before {
				t.Fatal("it was killed before the subscriptions took their place")
			}
			if wrong := g.falseClaims(); len(wrong) > 0 {
				t.Errorf("after the kill: %q", wrong)
			}
			if tt.list == "" {
				g.undoneWithout(file)
				return
			}
			g.host.write("home/joe/.mailboxlist", tt.list)
			log := filepath.Join(t.TempDir(), "calls")
			again := exec.Command("strace", append([]string{"-f", "-b", "execve", "-qq", "-o", log, "-P", filepath.Dir(file),
				"-e", "trace=fsync", "-e", "signal=none", "mbox2cyrus"}, g.migrate()...)...)
			if out, err := again.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			g.subscribed("joe", tt.list)
			if calls, err := os.ReadFile(log); err != nil || !bytes.Contains(calls, []byte("fsync(")) {
				t.Errorf("the name of the file is not synced, as the run that was killed had not done: %s, %v", calls, err)
			}
		})
	}
}

// undoneWithout runs undo, after which a file must not be there.
func (g *ground) undoneWithout(file string) {
	g.t.Helper()
	g.must(append([]string{"undo", "--quiet", "--all"}, cyrusFlagsFor(g.srv, g.state)...)...)
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		g.t.Errorf("after undo %s is there: %v", file, err)
	}
}

// TestFirstSubscriptionsCutOff: the first subscriptions are in their place, and the power
// fails before the ledger's line that says so is on the disk. They are this program's own
// all the same.
func TestFirstSubscriptionsCutOff(t *testing.T) {
	first, later := "mail/work/2003\nmail/sent-mail\n", "mail/opened\n"
	tests := []struct {
		name, list string
		unwritten  bool // the file is not there either
	}{
		{"as the run that was cut off had them", first, false}, {"changed", later, false}, {"none any more", "\n", false},
		{"before they were written", first, true}, {"before that, and changed", later, true}, {"before that, and none any more", "\n", true},
		{"undo", "", false}, {"undo before they were written", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t, "", "", "")
			g.firstMail()
			g.must(g.migrate()...)
			file := g.subscriptionFile("joe")
			g.cutLedger(writtenOfJoe)
			if tt.unwritten {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
			if tt.list == "" {
				g.undoneWithout(file)
				return
			}
			g.host.write("home/joe/.mailboxlist", tt.list)
			g.must(g.migrate()...)
			g.subscribed("joe", tt.list)
			if wrong := g.falseClaims(); len(wrong) > 0 {
				t.Errorf("%q", wrong)
			}
			if _, err := os.Stat(file); (err == nil) != (tt.list != "\n" || !tt.unwritten) {
				t.Errorf("the file: %v", err)
			}
		})
	}
}

// TestSubscriptionsOfCyrusOwn: what a user subscribed to in Cyrus, after a run was cut off
// that was about to write what he had on the host, stays his.
func TestSubscriptionsOfCyrusOwn(t *testing.T) {
	g := newGround(t, "", "", "")
	g.firstMail()
	g.must(g.migrate()...)
	file := g.subscriptionFile("joe")
	g.cutLedger(writtenOfJoe)
	own, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	own = bytes.Replace(own, []byte("sent-mail"), []byte("opened"), 1)
	if err := os.WriteFile(file, own, 0o600); err != nil {
		t.Fatal(err)
	}
	if o := runJSON(t, g.migrate()...); o.code != 0 || len(o.problems("subscriptions-kept")) != 1 {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	if have, err := os.ReadFile(file); err != nil || !bytes.Equal(have, own) {
		t.Errorf("%q, %v", have, err)
	}
	l, err := ledger.Read(g.state)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // read only
	if s, ok := l.Subscriptions("joe"); ok {
		t.Errorf("the ledger takes them for its own: %+v", s)
	}
}

// TestSubscriptionsOnBothSides: what changed on the host does not take the place of what the user
// changed in Cyrus since an earlier pass. Undo, for which it would be lost, refuses.
func TestSubscriptionsOnBothSides(t *testing.T) {
	g := newGround(t, "", "", "")
	g.firstMail()
	g.must(g.migrate()...)
	file := g.subscriptionFile("joe")
	own := strings.Replace(mustRead(t, file), "sent-mail", "opened", 1)
	if err := os.WriteFile(file, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	g.host.write("home/joe/.mailboxlist", "mail/work/2003\n")
	for range 2 {
		if o := runJSON(t, g.migrate()...); o.code != 2 || len(o.problems("subscriptions-kept")) != 1 {
			t.Errorf("exit code %d\n%s", o.code, o.stderr)
		}
	}
	if o := runJSON(t, append([]string{"undo", "--all"}, cyrusFlagsFor(g.srv, g.state)...)...); o.code != 2 || len(o.problems("changed-since")) == 0 {
		t.Errorf("undo: exit code %d\n%s", o.code, o.stderr)
	}
	if have := mustRead(t, file); have != own {
		t.Errorf("%q, want %q", have, own)
	}
}

// subscribed wants a user to be subscribed to what a list has, and nothing else.
func (g *ground) subscribed(user, list string) {
	g.t.Helper()
	have, err := os.ReadFile(g.subscriptionFile(user))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.t.Fatal(err)
	}
	for _, folder := range []string{"work/2003", "sent-mail", "opened"} {
		if want := strings.Contains(list, folder); want != bytes.Contains(have, []byte(strings.ReplaceAll(folder, "/", "\x1f"))) {
			g.t.Errorf("%s: subscribed %v, want %v, in %q", folder, !want, want, have)
		}
	}
}

// subscriptionFile is where Cyrus keeps those of a user.
func (g *ground) subscriptionFile(user string) string {
	g.t.Helper()
	l, err := ledger.Read(g.state)
	if err != nil {
		g.t.Fatal(err)
	}
	defer l.Close() // read only
	s, ok := l.Subscriptions(user)
	if !ok {
		g.t.Fatalf("the ledger knows no subscriptions of %s", user)
	}
	return filepath.Join(g.srv.ConfigDir, s.Path)
}

// TestSubscriptionsStay: where the list that an earlier pass brought is gone, what Cyrus has
// stays, as mailboxes do whose folders are gone; a list that is there is brought again.
func TestSubscriptionsStay(t *testing.T) {
	const list, home = "home/joe/.mailboxlist", "home/joe"
	first := "mail/work/2003\nmail/sent-mail\n"
	remove := func(g *ground, path string) {
		g.t.Helper()
		if err := os.Remove(filepath.Join(g.host.root, path)); err != nil {
			g.t.Fatal(err)
		}
	}
	rename := func(g *ground, from, to string) {
		g.t.Helper()
		if err := os.Rename(filepath.Join(g.host.root, from), filepath.Join(g.host.root, to)); err != nil {
			g.t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		gone  func(g *ground)
		code  int
		kind  string // of a problem that tells
		back  func(g *ground)
		after string // what joe is subscribed to then
	}{
		{name: "home not mounted", code: 2, kind: "subscriptions-kept", after: first,
			gone: func(g *ground) { rename(g, home, "home/away") },
			back: func(g *ground) { rename(g, "home/away", home) }},
		{name: "mail directory not mounted", code: 2, kind: "source-gone", after: first,
			gone: func(g *ground) { rename(g, home+"/mail", home+"/away") },
			back: func(g *ground) { rename(g, home+"/away", home+"/mail") }},
		{name: "list deleted", code: 2, kind: "subscriptions-kept", after: "mail/opened\n",
			gone: func(g *ground) { remove(g, list) },
			back: func(g *ground) { g.host.write(list, "mail/opened\n") }},
		{name: "list deleted and written empty", code: 2, kind: "subscriptions-kept",
			gone: func(g *ground) { remove(g, list) },
			back: func(g *ground) { g.host.write(list, "") }},
		{name: "list deleted after a run that was cut off", code: 2, kind: "subscriptions-kept", after: "mail/opened\n",
			gone: func(g *ground) {
				l, err := ledger.Open(g.state)
				if err != nil {
					g.t.Fatal(err)
				}
				s, _ := l.Subscriptions("joe")
				s.SHA1, s.Next = s.Next, s.SHA1 // as if these had been the first
				s.Names = ""
				if err := errors.Join(l.SetSubscriptions(s), l.Close()); err != nil {
					g.t.Fatal(err)
				}
				remove(g, list)
			},
			back: func(g *ground) { g.host.write(list, "mail/opened\n") }},
		{name: "retired", code: 0, kind: "retired", after: first,
			gone: func(g *ground) {
				g.must(g.retire()...)
				g.host.write("home/joe/mail/filtered", letter(9))
			},
			back: func(g *ground) {
				remove(g, "home/joe/mail/filtered")
				g.must("retire", "--quiet", "--restore", "--state", g.state)
				g.host.write("home/joe/mail/filtered", letter(9))
			}},
		{name: "retired and written anew", code: 2, kind: "retired-place", after: "mail/opened\n",
			gone: func(g *ground) {
				g.must(g.retire()...)
				g.host.write("home/joe/mail/filtered", letter(9))
				g.host.write(list, "mail/filtered\n")
			},
			back: func(g *ground) {
				remove(g, list)
				g.must("retire", "--quiet", "--restore", "--state", g.state)
				g.host.write(list, "mail/opened\n")
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t, "", "", "")
			g.firstMail()
			g.must(g.migrate()...)
			tt.gone(g)
			for range 2 {
				if o := runJSON(t, g.migrate()...); o.code != tt.code || len(o.problems(tt.kind)) == 0 {
					t.Errorf("exit code %d, want %d, and %s\n%s", o.code, tt.code, tt.kind, o.stderr)
				}
				g.subscribed("joe", first)
			}
			l, err := ledger.Read(g.state)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close() // read only
			if s, ok := l.Subscriptions("joe"); !ok || s.Next != "" {
				t.Errorf("the ledger says %+v", s)
			}
			tt.back(g)
			g.must(g.migrate()...)
			g.subscribed("joe", tt.after)
		})
	}
}

// TestSubscriptionsLookedAt: that a client asks for the list between two passes is no change of
// it. The next pass brings what changed on the UW host, and undo removes it.
func TestSubscriptionsLookedAt(t *testing.T) {
	for _, byName := range []bool{false, true} {
		t.Run(fmt.Sprintf("by name %t", byName), func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: byName})
			h := newPassHost(t)
			state := filepath.Join(t.TempDir(), "state")
			flags := flagsFor(srv, h.root, state)
			h.write("var/mail/joe", letter(3))
			h.write("home/joe/mail/work", letter(1))
			h.write("home/joe/mail/lists", letter(2))
			for _, subscribed := range []string{"lists", "work"} {
				h.write("home/joe/.mailboxlist", "mail/"+subscribed+"\n")
				if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
					t.Fatalf("exit code %d\n%s", o.code, strings.Join(o.severe(), "\n"))
				}
				for name, v := range serve(t, srv) {
					if v.Subscribed != (name == subscribed) {
						t.Errorf("subscribed to %s: %t, want only %s", name, v.Subscribed, subscribed)
					}
				}
			}
			if o := runJSON(t, append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)...); o.code != 0 {
				t.Errorf("undo: exit code %d\n%s", o.code, strings.Join(o.severe(), "\n"))
			}
		})
	}
}

// TestSubscriptionsWhileCyrusRuns: the first ones are written, also where a run was cut off
// before that; those that would take the place of others wait until it is stopped.
func TestSubscriptionsWhileCyrusRuns(t *testing.T) {
	const list = "home/joe/.mailboxlist"
	g := newGround(t, "", "", "")
	g.firstMail()
	if err := g.srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.must(g.migrate()...)
	g.subscribed("joe", "mail/work/2003\nmail/sent-mail\n")
	file := g.subscriptionFile("joe")
	g.cutLedger(writtenOfJoe)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	g.host.write(list, "mail/sent-mail\n")
	g.must(g.migrate()...)
	g.subscribed("joe", "mail/sent-mail\n")
	g.host.write(list, "mail/opened\n")
	if o := runJSON(t, g.migrate()...); o.code != 2 || len(o.problems("subscriptions-kept")) != 1 {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	g.subscribed("joe", "mail/sent-mail\n")
	if err := g.srv.Stop(); err != nil {
		t.Fatal(err)
	}
	g.must(g.migrate()...)
	g.subscribed("joe", "mail/opened\n")
}

// TestSubscriptionsChangedInCyrus: what a user changes in Cyrus alone is his affair. Later passes do
// not tell of it, also where they bring mail.
func TestSubscriptionsChangedInCyrus(t *testing.T) {
	g := newGround(t, "", "", "")
	g.firstMail()
	g.must(g.migrate()...)
	file := g.subscriptionFile("joe")
	own, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	own = bytes.Replace(own, []byte("sent-mail"), []byte("opened"), 1)
	if err := os.WriteFile(file, own, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if o := runJSON(t, g.migrate()...); o.code != 0 || len(o.problems("subscriptions-kept")) != 0 {
			t.Errorf("exit code %d\n%s", o.code, o.stderr)
		}
		if have, err := os.ReadFile(file); err != nil || !bytes.Equal(have, own) {
			t.Errorf("%q, %v", have, err)
		}
		g.host.append("home/joe/mail/sent-mail", letter(9))
	}
}

// TestSubscriptionsOfVersion3: Cyrus 3.12 makes version 3 of the file as soon as a client lists
// mailboxes. The user has changed nothing then: a later pass brings what is new, and undo takes
// them back.
func TestSubscriptionsOfVersion3(t *testing.T) {
	g := newGround(t, "", "", "")
	g.firstMail()
	g.must(g.migrate()...)
	file := g.subscriptionFile("joe")
	upgrade := func() {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		three := bytes.Replace(text, []byte("\x1fVER\x1f\t2\n"), []byte("\x1fVER\x1f\t3\n"), 1)
		if bytes.Equal(text, three) {
			t.Skipf("this Cyrus has another form: %q", text)
		}
		if err := os.WriteFile(file, three, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	upgrade()
	g.host.write("home/joe/.mailboxlist", "mail/opened\n")
	g.must(g.migrate()...)
	g.subscribed("joe", "mail/opened\n")
	upgrade()
	g.undoneWithout(file)
}
