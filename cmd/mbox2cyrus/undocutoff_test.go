package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestUndoCutOffTwice: a pass was cut off before it proved what it had entered, and the undo of
// it when nothing was removed yet. Then mail comes. The next undo leaves it there and says what
// to do, and what it says is the way on.
func TestUndoCutOffTwice(t *testing.T) {
	for _, tt := range []struct {
		name string
		byID bool
		had  string // what joe has in Cyrus before: nothing, an account, or mail
		mail int    // messages that he has then
	}{{"made", false, "nothing", 0}, {"made, by id", true, "nothing", 0}, {"made beforehand", false, "account", 0}, {"merged", false, "mail", 3}} {
		t.Run(tt.name, func(t *testing.T) {
			c := &cutHost{newPassHost(t), cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: !tt.byID}), filepath.Join(t.TempDir(), "state")}
			c.write("var/mail/joe", letter(1)+letter(2))
			switch tt.had {
			case "account":
				c.account("user/joe")
			case "mail":
				c.pass(0, c.migrate()...)
				useCyrus(t, c.srv, appendAndFlag)
				if err := os.RemoveAll(c.state); err != nil {
					t.Fatal(err)
				}
				c.write("var/mail/joe", letter(1)+letter(7))
			}
			c.pass(0, c.migrate("--merge")...)
			cutAtFilled(t, c.state)
			bin := programsWithout(t, c.srv, "cyr_dbtool")
			script := "#!/bin/sh\ncase \"$*\" in *delete*|*set*) echo no room >&2; exit 1;; esac\nexec " + filepath.Join(cyrustest.BinDir, "cyr_dbtool") + " \"$@\"\n"
			if err := os.WriteFile(filepath.Join(bin, "cyr_dbtool"), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			undo := append([]string{"undo", "--all"}, cyrusFlagsFor(c.srv, c.state)...)
			c.pass(1, append(undo, "--cyrus-bin", bin)...)
			useCyrus(t, c.srv, appendAndFlag)

			before := cyrusTree(t, c.srv)
			o := c.pass(2, undo...)
			said := fmt.Sprint(o.problems("changed-since"))
			if diff := diffTrees(before, cyrusTree(t, c.srv)); diff != "" {
				t.Errorf("something was changed:\n%s", diff)
			}
			if tt.had == "nothing" {
				if !strings.Contains(said, "remove the mailbox in Cyrus") {
					t.Errorf("it says %s", said)
				}
				c.deleteMailbox("user/joe")
				if out, err := c.srv.Run(t.Context(), "cyr_expire", "-E", "1", "-D", "0"); err != nil {
					t.Fatal(err, out)
				}
			} else {
				m := regexp.MustCompile("copy ([^ ]+) over ([^ ]+) while").FindStringSubmatch(said)
				if m == nil {
					t.Fatalf("it says %s", said)
				}
				if err := os.WriteFile(m[2], []byte(mustRead(t, m[1])), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c.pass(0, undo...)
			if left := c.mail(); len(left) != tt.mail {
				t.Errorf("Cyrus has %v, want %d messages", left, tt.mail)
			}
		})
	}
}

// deleteMailbox removes one as an administrator does.
func (c *cutHost) deleteMailbox(name string) {
	c.t.Helper()
	c.asAdmin(func(admin *imapclient.Client) error {
		if err := admin.SetACL(name, "cyrus", imap.RightModificationReplace, imap.RightSet("lrswipkxtecda")).Wait(); err != nil {
			return err
		}
		return admin.Delete(name).Wait()
	})
}
