package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// beingWritten waits until a run writes an index somewhere in Cyrus's spool.
func beingWritten(t *testing.T, srv *cyrustest.Server) {
	t.Helper()
	until(t, "a mailbox is being filled", func() bool {
		for path := range snapshot(t, srv.Spool) {
			if filepath.Base(path) == "cyrus.index.NEW" {
				return true
			}
		}
		return false
	})
}

// TestAccountMadeMeanwhile: Cyrus runs, or is started, and makes an account, which gets mail, while the first
// pass reads the folder that is to become its INBOX. That mail stays where it is seen, and the
// folder's comes with the next pass.
func TestAccountMadeMeanwhile(t *testing.T) {
	for _, tt := range []struct {
		name            string
		legacy, started bool
	}{
		{"by name", true, false},
		{"by unique id", false, false},
		{"by unique id, Cyrus started meanwhile", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := &cutHost{newPassHost(t), cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: tt.legacy, Extra: []string{"autocreate_quota: 0"}}), filepath.Join(t.TempDir(), "state")}
			text := ""
			for i := range 20 {
				text += letter(10 + i)
			}
			c.write("var/mail/joe", text)
			c.write("home/joe/mail/work", letter(1))
			done := make(chan outcome)
			migrate := func() {
				go func() { done <- runJSON(t, c.migrate("--bwlimit", "500")...) }()
				beingWritten(t, c.srv)
			}
			if tt.started {
				migrate()
			}
			whileServed(t, c.srv, func() {
				if !tt.started {
					migrate()
				}
				client, err := cyrustest.Login(c.srv.IMAPAddr(), "joe", "secret") // which makes it
				if err == nil {
					err = appendMail(client)
				}
				if err != nil {
					t.Error(err)
				}
				client.Close()
				if o := <-done; o.code != 1 || len(o.problems("user-failed")) != 1 {
					t.Errorf("exit code %d\n%s", o.code, o.stderr)
				}
			})
			if got, want := describe(serve(t, c.srv)["INBOX"]), []string{"1  33"}; !slices.Equal(got, want) {
				t.Fatalf("INBOX has %q, want %q", got, want)
			}
			c.pass(1, c.migrate()...) // he has mail
			c.pass(0, c.migrate("--merge")...)
			c.proved()
			views := serve(t, c.srv)
			if got := describe(views["INBOX"]); len(got) != 21 || got[0] != "1  33" {
				t.Errorf("INBOX has %q", got)
			}
			if got := describe(views["work"]); len(got) != 1 {
				t.Errorf("work has %q", got)
			}
			if files := c.mail(); len(files) != 22 {
				t.Errorf("message files: %q", files)
			}
		})
	}
}

// TestTwoStateDirectories: two hosts, each with a state directory, have a joe. Whoever comes
// while the other is at work is refused, and whoever comes after him finds that joe is there.
func TestTwoStateDirectories(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	one, two := newPassHost(t), newPassHost(t)
	text := ""
	for i := range 20 {
		text += letter(10 + i)
	}
	one.write("var/mail/joe", text)
	two.write("var/mail/joe", letter(1))
	two.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nann:x:1001:1001::/home/ann:/bin/sh\n")
	two.write("var/mail/ann", letter(2))
	ones, twos := flagsFor(srv, one.root, filepath.Join(t.TempDir(), "one")), flagsFor(srv, two.root, filepath.Join(t.TempDir(), "two"))
	done := make(chan outcome)
	go func() { done <- runJSON(t, append([]string{"migrate", "--bwlimit", "500"}, ones...)...) }()
	beingWritten(t, srv)
	if o := runJSON(t, append([]string{"migrate"}, twos...)...); o.code != 1 || !strings.Contains(o.stderr, "another run of mbox2cyrus, with another state directory") {
		t.Errorf("while another run is at work: exit code %d\n%s", o.code, o.stderr)
	}
	if o := <-done; o.code != 0 {
		t.Errorf("the first: exit code %d\n%s", o.code, o.stderr)
	}
	if o := runJSON(t, append([]string{"migrate"}, twos...)...); o.code != 1 || o.summary(t)["messages_verified"] != 1.0 {
		t.Errorf("after it: exit code %d\n%s", o.code, o.stderr)
	}
	if o := runJSON(t, append([]string{"verify", "--level", "content"}, ones...)...); o.code != 0 {
		t.Errorf("verify: exit code %d\n%s", o.code, o.stderr)
	}
	if got := describe(serve(t, srv)["INBOX"]); len(got) != 20 {
		t.Errorf("INBOX has %q", got)
	}
}

// TestLockedMeanwhile: a session locks a folder while another of its user's is being read. All of
// him is left for the next run, in which everything arrives once.
func TestLockedMeanwhile(t *testing.T) {
	c := newCutHost(t)
	text := ""
	for i := range 20 {
		text += letter(10 + i)
	}
	c.write("var/mail/joe", text)
	c.write("home/joe/mail/work", letter(1))
	lock := filepath.Join(c.root, "home/joe/mail/work.lock")
	args := c.migrate("--lock", "yes", "--lock-wait", "1ms", "--bwlimit", "500")
	done := make(chan outcome)
	go func() { done <- runJSON(t, args...) }()
	beingWritten(t, c.srv)
	if err := os.WriteFile(lock, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	o := <-done
	if o.code != 2 || len(o.problems("busy")) != 1 || o.summary(t)["messages_verified"] != 0.0 {
		t.Errorf("exit code %d, %v\n%s", o.code, o.severe(), o.stderr)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	c.pass(0, c.migrate()...)
	c.proved()
	served := serve(t, c.srv)
	for name, want := range map[string]int{"INBOX": 20, "work": 1} {
		if got := describe(served[name]); len(got) != want {
			t.Errorf("%s has %q, want %d messages", name, got, want)
		}
	}
}

// TestChangedMeanwhile: a folder without UIDs of its own changes while a later pass reads it again.
// No message gets the UID that was meant for another.
func TestChangedMeanwhile(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1))
	letters := func(first, last int) (text string) {
		for n := first; n <= last; n++ {
			text += letter(n)
		}
		return text
	}
	c.write("home/joe/mail/work", letters(1, 20))
	c.pass(0, c.migrate()...)
	before := serve(t, c.srv)["work"].Messages
	c.write("home/joe/mail/work", letters(2, 21))
	done := make(chan outcome)
	go func() { done <- runJSON(t, c.migrate("--bwlimit", "1000")...) }()
	beingWritten(t, c.srv)
	c.write("home/joe/mail/work", letters(3, 22))
	if o := <-done; o.code != 0 {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	c.pass(0, c.migrate()...)
	c.proved()
	now := serve(t, c.srv)["work"].Messages
	if len(before) != 20 || len(now) != 20 {
		t.Fatalf("%d messages, then %d", len(before), len(now))
	}
	for i, m := range now {
		if i < 18 && !reflect.DeepEqual(m, before[i+2]) || i >= 18 && m.UID <= before[19].UID {
			t.Errorf("message %d is %+v", i+1, m)
		}
	}
}
