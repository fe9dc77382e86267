package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestMailboxesOfAnotherLogin: Joe and joe are two people, and one user in Cyrus. Whoever has
// the mailboxes keeps them, whichever of the two is on the host now.
func TestMailboxesOfAnotherLogin(t *testing.T) {
	upper, lower := "Joe:x:1001:1001::/home/Joe:/bin/sh\n", "joe:x:1002:1002::/home/joe:/bin/sh\n"
	for _, tt := range []struct {
		name, first, then string
		owner, other      string
	}{
		{"another comes", upper, upper + lower, "Joe", "joe"},
		{"he leaves and another comes", upper, lower, "Joe", "joe"},
		{"he leaves and another stays", upper + lower, upper, "joe", "Joe"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			h := newPassHost(t)
			h.writeAs(1001, "var/mail/Joe", letter(1)+letter(2))
			h.writeAs(1001, "home/Joe/mail/work", letter(3))
			h.writeAs(1002, "var/mail/joe", letter(4)+letter(5)+letter(6))
			h.writeAs(1002, "home/joe/mail/private", letter(7))
			state := filepath.Join(t.TempDir(), "state")
			flags := flagsFor(srv, h.root, state)
			h.write("etc/passwd", tt.first)
			if o := runJSON(t, append([]string{"migrate", "--user", tt.owner}, flags...)...); o.summary(t)["messages_verified"] == 0. {
				t.Fatalf("the first pass: exit code %d\n%s", o.code, o.stderr)
			}
			before := snapshot(t, srv.Spool)
			h.write("etc/passwd", tt.then)
			for _, args := range [][]string{{"plan"}, {"migrate", "--dry-run"}, {"migrate"}, {"migrate", "--user", tt.other}, {"migrate", "--merge"}, {"verify", "--level", "content"}} {
				o := runJSON(t, append(args, flags...)...)
				told := false
				for _, p := range o.problems("user-collision") {
					told = told || p["user"] == tt.other
				}
				if o.code != 1 || !told {
					t.Errorf("%v: exit code %d\n%s", args, o.code, strings.Join(o.severe(), "\n"))
				}
				if diff := diffSnapshots(before, snapshot(t, srv.Spool)); diff != "" {
					t.Fatalf("%v touched the mailboxes of %s: %s", args, tt.owner, diff)
				}
			}
			if o := runJSON(t, append([]string{"undo", "--user", tt.owner}, cyrusFlagsFor(srv, state)...)...); o.code != 0 {
				t.Fatalf("undo: exit code %d\n%s", o.code, o.stderr)
			}
			h.write("etc/passwd", lower)
			if err := os.Remove(filepath.Join(h.root, "var/mail/Joe")); err != nil {
				t.Fatal(err)
			}
			if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 || o.summary(t)["messages_verified"] != 4. {
				t.Errorf("after the undo: exit code %d\n%s", o.code, strings.Join(o.severe(), "\n"))
			}
		})
	}
}

// TestAdministratorsAreTold: a user of the UW host is an administrator of Cyrus, which shows
// him everybody's mailboxes in place of his own folders.
func TestAdministratorsAreTold(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\ncyrus:x:1002:1002::/home/cyrus:/bin/sh\n")
	h.write("var/mail/joe", letter(1))
	h.writeAs(1002, "var/mail/cyrus", letter(2))
	h.writeAs(1002, "home/cyrus/mail/work", letter(3))
	for _, command := range []string{"plan", "migrate"} {
		o := runJSON(t, append([]string{command}, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)...)
		if p := o.problems("user-admin"); o.code != 2 || len(p) != 1 || p[0]["user"] != "cyrus" {
			t.Errorf("%s: exit code %d, %v\n%s", command, o.code, p, o.stderr)
		}
	}
	if err := srv.AddUser("cyrus", "secret"); err != nil {
		t.Fatal(err)
	}
	whileServed(t, srv, func() {
		c, err := cyrustest.Login(srv.IMAPAddr(), "cyrus", "secret")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		list, err := c.List("", "*", nil).Collect()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, l := range list {
			names = append(names, l.Mailbox)
		}
		if strings.Join(names, " ") != "user/joe" {
			t.Errorf("Cyrus shows him %q: is what is told of it still true?", names)
		}
	})
}

// TestWhoseMailWouldBounce: Cyrus refuses mail for a login that it does not know, so the run
// tells of users who get another one, and of those who get no mailbox, as they have no mail yet.
func TestWhoseMailWouldBounce(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{DotSeparator: true})
	h := newPassHost(t)
	c := &cutHost{passHost: h, srv: srv}
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nann:x:1002:1002::/home/ann:/bin/sh\n"+
		"j.smith:x:1003:1003::/home/smith:/bin/sh\ndaemon:x:1004:1004::/:/bin/sh\nexim:x:995:995::/var/spool/exim:/bin/sh\n")
	h.writeAs(995, "var/spool/exim/log", "no person's\n")
	h.write("var/mail/joe", letter(1))
	h.writeAs(1002, "home/ann/notes", "no mail\n")
	h.writeAs(1003, "var/mail/j.smith", letter(2))
	for _, command := range []string{"plan", "migrate"} {
		o := runJSON(t, append([]string{command}, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)...)
		p := o.problems("no-mailbox")
		if len(p) != 1 || p[0]["severity"] != "note" || !strings.Contains(fmt.Sprint(p[0]["text"]), "get no mailbox: ann;") {
			t.Errorf("%s: %v\n%s", command, p, o.stderr)
		}
		p = o.problems("user-dot")
		if len(p) != 1 || p[0]["user"] != "j.smith" || !strings.Contains(fmt.Sprint(p[0]["text"]), "an alias j.smith: j_smith") {
			t.Errorf("%s: %v\n%s", command, p, o.stderr)
		}
	}
	c.create("user.ann")
	if p := runJSON(t, append([]string{"plan"}, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)...).problems("no-mailbox"); len(p) != 0 {
		t.Errorf("ann, who has a mailbox now: %v", p)
	}
}
