package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// TestCyrusStartedMeanwhile: Cyrus is started while a pass runs, and mail comes to a mailbox that
// the pass is filling, or has looked at and will fill. That mail stays; what is in the folder
// comes with a later pass.
func TestCyrusStartedMeanwhile(t *testing.T) {
	const came = "Subject: came meanwhile\r\n\r\nhello\r\n"
	for _, test := range []struct {
		name string
		slow string // whose folder is being read then
		args []string
		made bool // joe has an empty account, else mail of an earlier pass
	}{
		{name: "being filled", slow: "joe", args: []string{"--on-conflict", "append"}},
		{name: "merged", slow: "joe", args: []string{"--merge"}},
		{name: "waits", slow: "ann"},
		{name: "waits, was empty", slow: "ann", made: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := &cutHost{newPassHost(t), cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: true}), filepath.Join(t.TempDir(), "state")}
			c.write("etc/passwd", "ann:x:1002:1002::/home/ann:/bin/sh\njoe:x:1001:1001::/home/joe:/bin/sh\n")
			joe, ann := letter(1)+letter(2), ""
			c.write("var/mail/joe", joe)
			switch {
			case test.made:
				c.create("user/joe")
			case slices.Contains(test.args, "--merge"):
				c.pass(0, append([]string{"migrate"}, flagsFor(c.srv, c.root, filepath.Join(t.TempDir(), "old"))...)...)
			default:
				c.pass(0, c.migrate()...)
				if test.args != nil {
					useCyrus(t, c.srv, appendAndFlag)
				}
			}
			for i := range 40 {
				ann += letter(i)
			}
			if joe += letter(3); test.slow == "joe" {
				joe, ann = joe+ann, letter(1)
			}
			c.write("var/mail/joe", joe)
			c.writeAs(1002, "var/mail/ann", ann)

			begun := func() int { // how often joe was
				journal, err := os.ReadFile(filepath.Join(c.state, ledger.JournalName))
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
				return bytes.Count(journal, []byte(`"state":"begun","user":"joe"`))
			}
			before := begun()
			done := make(chan outcome)
			go func() { done <- runJSON(t, c.migrate(append(test.args, "--jobs", "1", "--bwlimit", "800")...)...) }()
			until(t, "it is being filled", func() bool {
				_, err := os.Lstat(filepath.Join(c.srv.Spool, "user", test.slow, "cyrus.index.NEW"))
				return err == nil
			})
			late := begun() == before // he is looked at when the mail has come: that is told, too
			useCyrus(t, c.srv, func(client *imapclient.Client) error {
				a := client.Append("INBOX", int64(len(came)), nil)
				if _, err := a.Write([]byte(came)); err != nil {
					return err
				}
				if err := a.Close(); err != nil {
					return err
				}
				_, err := a.Wait()
				return err
			})
			o := <-done
			if ok := o.code == 1 && len(o.problems("user-failed")) > 0; !ok && !(late && o.code == 2 && len(o.problems("source-changed")) > 0) {
				t.Errorf("exit code %d\n%s", o.code, o.stderr)
			}
			if test.args == nil {
				test.args = []string{"--on-conflict", "append"}
			}
			if !late || !test.made { // else the account has mail that is not ours
				c.pass(0, c.migrate(test.args...)...)
				c.proved()
			}
			n := 0
			for _, path := range c.mail() {
				if mustRead(t, path) == came {
					n++
				}
			}
			if n != 1 {
				t.Errorf("what came to Cyrus is there %d times", n)
			}
		})
	}
}

// TestMailWhileUndoing: mail comes to a mailbox that undo has looked at and is about to remove.
func TestMailWhileUndoing(t *testing.T) {
	c := &cutHost{newPassHost(t), cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: true}), filepath.Join(t.TempDir(), "state")}
	c.write("var/mail/joe", letter(1)+letter(2))
	c.pass(0, c.migrate()...)
	// As Cyrus would, in that moment: the program that removes the entry is run then, and once
	// before, to look whether mailboxes.db is damaged.
	bin := programsWithout(t, c.srv, "cyr_dbtool")
	script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *consistent*) ;; *) (cd %s && touch 3. cyrus.index) ;; esac\nexec %s/cyr_dbtool \"$@\"\n", c.box(""), cyrustest.BinDir)
	if err := os.WriteFile(filepath.Join(bin, "cyr_dbtool"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	o := c.pass(1, append([]string{"undo", "--all", "--cyrus-bin", bin}, cyrusFlagsFor(c.srv, c.state)...)...)
	if len(o.problems("undo-failed")) != 1 {
		t.Error(o.stderr)
	}
	if n := len(c.mail()); n != 3 {
		t.Errorf("%d message files are there, want 3", n)
	}
	c.pass(2, append([]string{"undo", "--all"}, cyrusFlagsFor(c.srv, c.state)...)...)
	mustRead(t, c.box("3."))
}
