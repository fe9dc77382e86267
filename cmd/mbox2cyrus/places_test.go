package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// TestPlaceGone: an INBOX has mail in several places, and one of them goes, as when the home
// is not mounted. Its mail stays in Cyrus, with its UIDs, and when it is back all goes on.
func TestPlaceGone(t *testing.T) {
	for _, place := range []string{"home/joe/mbox", "var/mail/joe"} {
		t.Run(filepath.Base(place), func(t *testing.T) {
			c := newCutHost(t)
			c.write("home/joe/mbox", letter(1)+letter(2))
			c.write("var/mail/joe", letter(3))
			c.pass(0, c.migrate()...)
			path := filepath.Join(c.root, place)
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if o := c.pass(2, c.migrate()...); len(o.problems("source-gone")) != 1 {
					t.Errorf("%q", o.severe())
				}
			}
			if err := os.Rename(path+".away", path); err != nil {
				t.Fatal(err)
			}
			c.write("var/mail/joe", letter(3)+letter(4))
			c.pass(0, c.migrate()...)
			c.proved()
			if got, want := describe(serve(t, c.srv)["INBOX"]), []string{"1  22", "2  22", "3  22", "4  22"}; !slices.Equal(got, want) {
				t.Errorf("INBOX: %q, want %q", got, want)
			}
		})
	}
}

// TestPlaceBelowNewGone: homes are below a directory that is called as one of Maildir's.
func TestPlaceBelowNewGone(t *testing.T) {
	for _, top := range []string{"new", "cur"} {
		t.Run(top, func(t *testing.T) {
			c := newCutHost(t)
			c.write("etc/passwd", "joe:x:1001:1001::/"+top+"/joe:/bin/sh\n")
			old := top + "/joe/mail/old"
			c.write("var/mail/joe", letter(1))
			c.write(old, letter(2))
			c.pass(0, c.migrate("--inbox-extra", "mail/old")...)
			if err := os.Remove(filepath.Join(c.root, old)); err != nil {
				t.Fatal(err)
			}
			if o := c.pass(2, c.migrate("--inbox-extra", "mail/old")...); len(o.problems("source-gone")) != 1 {
				t.Errorf("%q", o.severe())
			}
			if n := len(serve(t, c.srv)["INBOX"].Messages); n != 2 {
				t.Errorf("the INBOX has %d messages, want 2", n)
			}
		})
	}
}

// TestFilledAndPlaceGone kills a pass when the INBOX is filled, and before Cyrus knows of what
// came. Then a place of the INBOX is gone: what was filled is all that there is of its mail.
func TestFilledAndPlaceGone(t *testing.T) {
	for _, passes := range []int{0, 1} {
		t.Run(fmt.Sprint(passes), func(t *testing.T) {
			c := newCutHost(t)
			c.write("var/mail/joe", letter(3))
			for range passes {
				c.pass(0, c.migrate()...)
			}
			c.write("home/joe/mbox", letter(1)+letter(2))
			c.killAt("renameat", c.srv.ConfigDir, c.migrate("--quiet")...)
			if s := c.record("user.joe").State; s != ledger.Filled {
				t.Fatalf("it was killed when the mailbox was %q", s)
			}
			path := filepath.Join(c.root, "home/joe/mbox")
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if o := c.pass(2, c.migrate()...); len(o.problems("source-gone")) != 1 {
					t.Errorf("%q", o.severe())
				}
			}
			if n := len(serve(t, c.srv)["INBOX"].Messages); n != 3 {
				t.Errorf("the INBOX has %d messages, want 3", n)
			}
			if err := os.Rename(path+".away", path); err != nil {
				t.Fatal(err)
			}
			c.pass(0, c.migrate()...)
			c.proved()
		})
	}
}

// TestPlaceMoved: what UW does by itself, or a user with mv, is no loss: all mail of a place
// that is gone is in another.
func TestPlaceMoved(t *testing.T) {
	c := newCutHost(t)
	c.write("home/joe/mbox", letter(1)+letter(2))
	c.write("var/mail/joe", letter(3))
	c.write("home/joe/mail/B\xfccher", letter(5))
	c.pass(0, c.migrate()...)
	c.write("home/joe/mbox", letter(1)+letter(2)+letter(3)+letter(4))
	for _, path := range []string{"var/mail/joe", "home/joe/mail/B\xfccher"} {
		if err := os.Remove(filepath.Join(c.root, path)); err != nil {
			t.Fatal(err)
		}
	}
	c.write("home/joe/mail/B\xc3\xbccher", letter(5)+letter(6))
	c.pass(0, c.migrate()...)
	c.proved()
	served := serve(t, c.srv)
	if got, want := describe(served["INBOX"]), []string{"1  22", "2  22", "3  22", "4  22"}; !slices.Equal(got, want) {
		t.Errorf("INBOX: %q, want %q", got, want)
	}
	if got := len(served["B\u00fccher"].Messages); got != 2 {
		t.Errorf("B\xc3\xbccher has %d messages, want 2", got)
	}
}

// TestPlaceMovedInPart: of two messages that are the same one comes to the file that is there now.
func TestPlaceMovedInPart(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1))
	c.write("home/joe/mail/B\xfccher", letter(5)+letter(5))
	c.pass(0, c.migrate()...)
	if err := os.Remove(filepath.Join(c.root, "home/joe/mail/B\xfccher")); err != nil {
		t.Fatal(err)
	}
	c.write("home/joe/mail/B\xc3\xbccher", letter(5))
	if o := c.pass(2, c.migrate()...); len(o.problems("source-gone")) != 1 {
		t.Errorf("%q", o.severe())
	}
	if got := len(serve(t, c.srv)["B\u00fccher"].Messages); got != 2 {
		t.Errorf("B\xc3\xbccher has %d messages, want 2", got)
	}
}

// TestPlacesThatChange: a place of an INBOX is a directory, and its message goes.
// Another place is where qpopper has the INBOX during a session, which ends.
func TestPlacesThatChange(t *testing.T) {
	for name, tt := range map[string]struct{ place, gone string }{
		"directory": {"home/joe/INBOX", "home/joe/INBOX/1"},
		"qpopper":   {"var/mail/.joe.pop", "var/mail/.joe.pop"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCutHost(t)
			c.write("var/mail/joe", letter(1))
			if tt.place == tt.gone {
				c.write(tt.place, letter(2))
			} else {
				c.writeMX(tt.place, 2)
			}
			o := runJSON(t, c.migrate()...)
			if o.code != 0 && o.code != 2 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			n := len(serve(t, c.srv)["INBOX"].Messages)
			if err := os.Remove(filepath.Join(c.root, tt.gone)); err != nil {
				t.Fatal(err)
			}
			if o := runJSON(t, c.migrate()...); len(o.problems("source-gone")) != 0 {
				t.Errorf("exit code %d\n%s", o.code, o.stderr)
			}
			if got := len(serve(t, c.srv)["INBOX"].Messages); got != n-1 {
				t.Errorf("INBOX has %d messages, and had %d", got, n)
			}
			c.proved()
		})
	}
}

// TestPlaceTaken: another folder comes that makes a mailbox of the same name as one that is
// gone, whatever the name.
func TestPlaceTaken(t *testing.T) {
	for name, mailbox := range map[string]string{"B%cher": "B&APw-cher", "B%cher.pop": "B&APw-cher^pop"} {
		t.Run(name, func(t *testing.T) {
			c := newCutHost(t)
			was, is := "home/joe/mail/"+strings.Replace(name, "%", "\xfc", 1), "home/joe/mail/"+strings.Replace(name, "%", "\xc3\xbc", 1)
			c.write("var/mail/joe", letter(1))
			c.write(was, letter(5))
			c.pass(0, c.migrate()...)
			if err := os.Remove(filepath.Join(c.root, was)); err != nil {
				t.Fatal(err)
			}
			c.write(is, letter(16))
			if o := c.pass(2, c.migrate()...); len(o.problems("source-gone")) != 1 {
				t.Errorf("%q", o.severe())
			}
			if rec := c.record("user.joe." + mailbox); rec.Messages != 1 {
				t.Errorf("the ledger says %d messages", rec.Messages)
			}
			for box, view := range serve(t, c.srv) {
				if got := describe(view); box != "INBOX" && !slices.Equal(got, []string{"1  22"}) {
					t.Errorf("%s: %q", box, got)
				}
			}
		})
	}
}

// TestRetiredPlaces: what was retired stays in Cyrus where another file comes that would be
// the same mailbox, or where only a part of it is restored.
func TestRetiredPlaces(t *testing.T) {
	c := newCutHost(t)
	archive := makeArchive(t, filepath.Dir(c.root))
	c.write("home/joe/mbox", letter(1)+letter(2))
	c.write("var/mail/joe", letter(3))
	c.write("home/joe/mail/B\xfccher", letter(5))
	c.pass(0, c.migrate()...)
	c.pass(0, append([]string{"retire", "--archive", archive}, flagsFor(c.srv, c.root, c.state)...)...)
	stays := func(when string) {
		t.Helper()
		if o := c.pass(2, c.migrate()...); len(o.problems("retired-place")) == 0 {
			t.Errorf("%s: %q", when, o.severe())
		}
		served := serve(t, c.srv)
		if got, want := describe(served["INBOX"]), []string{"1  22", "2  22", "3  22"}; !slices.Equal(got, want) {
			t.Errorf("%s: INBOX: %q, want %q", when, got, want)
		}
		if got := len(served["B\u00fccher"].Messages); got != 1 {
			t.Errorf("%s: B\xc3\xbccher has %d messages, want 1", when, got)
		}
	}
	c.write("home/joe/mail/B\xc3\xbccher", letter(6)+letter(7))
	c.write("home/joe/INBOX", letter(8))
	stays("other files")
	for _, path := range []string{"home/joe/mail/B\xc3\xbccher", "home/joe/INBOX"} {
		if err := os.Remove(filepath.Join(c.root, path)); err != nil {
			t.Fatal(err)
		}
	}
	c.write("var/mail/joe", letter(9))
	c.pass(2, "retire", "--restore", "--state", c.state)
	stays("half of a restore")
}

// TestLongSubscriptionList: what is not read of a list of subscriptions may name folders that
// the user has. A person must know.
func TestLongSubscriptionList(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/mail/box", letter(2))
	for what, many := range map[string]string{"lines": strings.Repeat("box\n", 100_000), "bytes": strings.Repeat(strings.Repeat("a", 1000)+"\n", 1100)} {
		h.write("home/joe/.mailboxlist", many+"mail/box\n")
		o := runJSON(t, append([]string{"plan"}, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)...)
		if n := len(o.problems("limit")); o.code != 2 || n != 1 {
			t.Errorf("%s: exit code %d, %d problems\n%s", what, o.code, n, o.stderr)
		}
	}
}

// TestPlaceOfAnotherMailbox: a folder becomes a place of the INBOX, or such a place becomes a
// folder, because a pass is given other flags. Its mail is in Cyrus already, and must not come
// into a second mailbox.
func TestPlaceOfAnotherMailbox(t *testing.T) {
	extra := []string{"--inbox-extra", "mail/old"}
	for _, tt := range []struct {
		name         string
		first, later []string
		mailboxes    int
	}{{"added", nil, extra, 2}, {"dropped", extra, nil, 1}} {
		t.Run(tt.name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			h := newPassHost(t)
			h.write("var/mail/joe", letter(1)+letter(2))
			h.write("home/joe/mail/old", letter(3))
			flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
			with := func(command string, more []string) []string {
				return slices.Concat([]string{command}, more, flags)
			}
			if o := runJSON(t, with("migrate", tt.first)...); o.code != 0 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			before := snapshot(t, srv.Spool)
			for _, command := range []string{"plan", "migrate", "verify"} {
				o := runJSON(t, with(command, tt.later)...)
				p := o.problems("name-changed")
				if o.code != 1 || len(p) != 1 || len(o.severe()) != 1 || !strings.Contains(p[0]["text"].(string), "--inbox-extra") {
					t.Errorf("%s: exit code %d\n%s", command, o.code, strings.Join(o.severe(), "\n"))
				}
			}
			if diff := diffSnapshots(before, snapshot(t, srv.Spool)); diff != "" {
				t.Errorf("Cyrus was changed: %s", diff)
			}
			if o := runJSON(t, with("migrate", tt.first)...); o.code != 0 {
				t.Errorf("as before: exit code %d\n%s", o.code, o.stderr)
			}
			served := serve(t, srv)
			if n := len(served); n != tt.mailboxes {
				t.Errorf("there are %d mailboxes, want %d", n, tt.mailboxes)
			}
		})
	}
}
