package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// TestVerifyWithoutNames: verify and retire go by other names than migrate did. That is not a
// difference in Cyrus, and is said.
func TestVerifyWithoutNames(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	base := t.TempDir()
	names, archive := filepath.Join(base, "names.csv"), makeArchive(t, base)
	if err := os.WriteFile(names, []byte("user,old_name,new_name\njoe,work,office\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/mail/work", letter(2))
	flags := flagsFor(srv, h.root, filepath.Join(base, "state"))
	if o := runJSON(t, append([]string{"migrate", "--names", names}, flags...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	for _, args := range [][]string{{"verify"}, {"verify", "--imap"}, {"plan"}, {"retire", "--archive", archive}} {
		o := runJSON(t, append(args, flags...)...)
		if o.code != 1 || len(o.problems("name-changed")) != 1 || len(o.severe()) != 1 {
			t.Errorf("%v: exit code %d\n%s", args, o.code, strings.Join(o.severe(), "\n"))
		}
	}
	if o := runJSON(t, append([]string{"verify", "--names", names}, flags...)...); o.code != 0 {
		t.Errorf("with the names: exit code %d\n%s", o.code, o.stderr)
	}
}

// TestLongestName: Cyrus takes every name that a folder is given.
func TestLongestName(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	dir := filepath.Join("home/joe/mail", strings.Repeat("d", 240))
	h.write("var/mail/joe", letter(1))
	h.write(filepath.Join(dir, strings.Repeat("a", 239)), letter(2)) // user.joe. and this: 489 bytes
	h.write(filepath.Join(dir, strings.Repeat("b", 240)), letter(3))
	h.write(filepath.Join(dir, strings.Repeat("c", 241)), letter(4))
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	o := runJSON(t, append([]string{"migrate"}, flags...)...)
	if sum := o.summary(t); o.code != 2 || sum["messages_verified"] != 4.0 || len(o.problems("name-long")) != 2 {
		t.Errorf("exit code %d, %v\n%s", o.code, sum, strings.Join(o.severe(), "\n"))
	}
	if o := runJSON(t, append([]string{"verify", "--level", "content"}, flags...)...); o.code != 2 || o.summary(t)["messages_verified"] != 4.0 {
		t.Errorf("verify: exit code %d\n%s", o.code, strings.Join(o.severe(), "\n"))
	}
}

// TestNamesOfFoldersThatAreGone: a file of names is given in every run, also when a folder
// that it names is gone since, is retired, or its user has left.
func TestNamesOfFoldersThatAreGone(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	base := t.TempDir()
	names, archive := filepath.Join(base, "names.csv"), makeArchive(t, base)
	const chosen = "user,old_name,new_name\njoe,a,aa\njoe,b,bb\nkim,c,cc\n"
	if err := os.WriteFile(names, []byte(chosen), 0o600); err != nil {
		t.Fatal(err)
	}
	const joe, kim = "joe:x:1001:1001::/home/joe:/bin/sh\n", "kim:x:1002:1002::/home/kim:/bin/sh\n"
	h.write("etc/passwd", joe+kim)
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/mail/a", letter(2))
	h.write("home/joe/mail/b", letter(3))
	h.writeAs(1002, "var/mail/kim", letter(4))
	h.writeAs(1002, "home/kim/mail/c", letter(5))
	flags := append(flagsFor(srv, h.root, filepath.Join(base, "state")), "--names", names)
	want := func(why string, code int, args ...string) {
		t.Helper()
		if o := runJSON(t, append(args, flags...)...); o.code != code {
			t.Errorf("%s: %v: exit code %d, want %d\n%s%s", why, args, o.code, code, strings.Join(o.severe(), "\n"), o.stderr)
		}
	}
	want("all is there", 0, "migrate")
	if err := os.Remove(filepath.Join(h.root, "home/joe/mail/b")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"plan"}, {"migrate"}, {"verify"}} {
		code := 2 // the folder is gone
		if args[0] == "plan" {
			code = 0
		}
		want("a folder is gone", code, args...)
	}
	h.write("home/joe/mail/b", letter(3))
	want("it is back", 0, "migrate")
	want("retire", 0, "retire", "--archive", archive)
	want("all is retired", 0, "migrate")
	want("all is retired", 0, "verify")
	h.write("etc/passwd", joe)
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code == 78 {
		t.Errorf("a user has left: exit code %d\n%s", o.code, o.stderr)
	}
	if err := os.WriteFile(names, []byte(chosen+"joe,never,x\nnobody,b,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("a folder that never was", 78, "migrate")
}

// TestNumberedSince: a folder whose name becomes that of another came or went between two
// passes, so that the number that tells them apart would change. What is said to be the way on is.
func TestNumberedSince(t *testing.T) {
	for _, tt := range []struct {
		name, before, after string // folders, besides a*b
		keep                string // lines of --names
		mailboxes           []string
	}{
		{"came", "", "a_b", "joe,a*b,a_b\njoe,a_b,mine\n", []string{"INBOX", "a_b", "mine"}},
		{"went", "a_b", "", "joe,a*b,a_b-2\n", []string{"INBOX", "a_b", "a_b-2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			h := newPassHost(t)
			h.write("var/mail/joe", letter(1))
			h.write("home/joe/mail/a*b", letter(2))
			if tt.before != "" {
				h.write("home/joe/mail/"+tt.before, letter(3))
			}
			base := t.TempDir()
			flags := flagsFor(srv, h.root, filepath.Join(base, "state"))
			if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 && o.code != 2 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			if tt.before != "" {
				if err := os.Remove(filepath.Join(h.root, "home/joe/mail", tt.before)); err != nil {
					t.Fatal(err)
				}
			}
			if tt.after != "" {
				h.write("home/joe/mail/"+tt.after, letter(3))
			}
			o := runJSON(t, append([]string{"migrate"}, flags...)...)
			p := o.problems("name-changed")
			if o.code != 1 || len(p) != 1 || !strings.Contains(p[0]["text"].(string), "came or went since") || strings.Contains(p[0]["text"].(string), "--domain") {
				t.Errorf("exit code %d, %v", o.code, p)
			}
			names := filepath.Join(base, "names.csv")
			if err := os.WriteFile(names, []byte("user,old_name,new_name\n"+tt.keep), 0o600); err != nil {
				t.Fatal(err)
			}
			if o := runJSON(t, append([]string{"migrate", "--names", names}, flags...)...); o.code != 0 && o.code != 2 {
				t.Errorf("with the names: exit code %d\n%s", o.code, o.stderr)
			}
			served := serve(t, srv)
			for _, name := range tt.mailboxes {
				if n := len(served[name].Messages); n != 1 || len(served) != len(tt.mailboxes) {
					t.Errorf("%s has %d messages, want 1, of %d mailboxes", name, n, len(served))
				}
			}
		})
	}
}

// TestOtherNameAfterCutOff: a later pass is cut off, and the next one is given another name for
// the folder. It must not bring what is in Cyrus already to a second mailbox.
func TestOtherNameAfterCutOff(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1))
	c.write("home/joe/mail/work", letter(2))
	c.pass(0, c.migrate()...)
	c.write("home/joe/mail/work", letter(2)+letter(3))
	c.killAt("renameat", c.box("work"), c.migrate("--quiet")...)
	if rec := c.record("user.joe.work"); rec.State != ledger.Begun || rec.Previous == "" {
		t.Fatalf("it was killed when the mailbox was %q, after %q", rec.State, rec.Previous)
	}
	names := filepath.Join(t.TempDir(), "names.csv")
	if err := os.WriteFile(names, []byte("user,old_name,new_name\njoe,work,office\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := c.pass(1, c.migrate("--names", names)...); len(o.problems("name-changed")) != 1 {
		t.Errorf("%q", o.severe())
	}
	c.pass(0, c.migrate()...)
	served := serve(t, c.srv)
	if n := len(served["work"].Messages); n != 2 || len(served) != 2 {
		t.Errorf("work has %d messages, want 2, of %d mailboxes", n, len(served))
	}
}
