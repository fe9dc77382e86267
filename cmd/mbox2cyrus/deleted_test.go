package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
)

// TestUserWhoWasDeletedFromCyrus migrates users whom an administrator had deleted there:
// from 3.6 on, Cyrus keeps a record of each mailbox that is no more.
func TestUserWhoWasDeletedFromCyrus(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	truth, err := samplehost.Write(root, samplehost.Options{Seed: 5, Users: 2, Messages: 40, Location: newYork(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.AddUser("cyrus", "admin"); err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := cyrustest.Login(srv.IMAPAddr(), "cyrus", "admin")
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range []string{"user/joe", "user/joe/sent-mail", "user/joe/gone"} {
		if err := c.Create(box, nil).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.SetACL("user/joe", "cyrus", imap.RightModificationReplace, imap.RightSet("lrswipkxtecda")).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete("user/joe").Wait(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := srv.Stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...)
		sum := got.summary(t)
		if got.code != 0 && got.code != 2 || sum["messages_found"] != sum["messages_verified"] {
			t.Fatalf("exit code %d, %v\n%s", got.code, sum, strings.Join(got.severe(), "\n"))
		}
		if got := runJSON(t, "undo", "--all", "--imapd-conf", srv.Conf, "--state", state); got.code != 0 {
			t.Fatalf("undo: exit code %d\n%s%s", got.code, got.stderr, strings.Join(got.severe(), "\n"))
		}
	}
	runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...)
	compareWithTruth(t, srv, cyrustest.Options{}, truth)
}
