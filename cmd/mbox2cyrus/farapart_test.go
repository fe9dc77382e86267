package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestUIDsFarApart: where two UIDs of a mailbox are more than 2^31 apart, Cyrus's reconstruct
// removes messages. A sender can bring that about, with fields in the first mail of an inbox,
// also so that it is only the mail that comes to Cyrus which is too far from what was there.
func TestUIDsFarApart(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{Extra: []string{"expunge_mode: immediate"}})
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	flags := flagsFor(srv, h.root, state)
	base := func(last uint32) string { return fmt.Sprintf("X-IMAPbase: 1054563072 %d", last) }
	h.write("var/mail/joe", letter(1, base(3_000_000_000), "X-UID: 5")+letter(2))
	h.write("home/joe/mail/later", letter(1, base(100), "X-UID: 5"))
	h.write("home/joe/mail/near", letter(1, base(1<<31-2), "X-UID: 5"))
	h.write("home/joe/mail/mbx", mbxFolder("3edb6d20b2d05e05", "0005", "b2d05e05"))
	h.write("home/joe/mail/mx/.mxindex", "V3edb6d20Lb2d05e05M00000005;00000000.0001Mb2d05e05;00000000.0001")
	for _, name := range []string{"5", "3000000005"} {
		h.write("home/joe/mail/mx/"+name, "Subject: "+name+"\r\n\r\nbody\r\n")
	}
	migrate := func() {
		t.Helper()
		o := runJSON(t, append([]string{"migrate"}, flags...)...)
		if sum := o.summary(t); o.code != 0 || sum["messages_verified"] != sum["messages_found"] {
			t.Fatalf("exit code %d\n%s", o.code, strings.Join(o.severe(), "\n"))
		}
	}
	migrate()
	h.write("home/joe/mail/later", letter(1, base(3_000_000_000), "X-UID: 5")+letter(2, "X-UID: 2999999999"))
	migrate()
	migrate()
	if o := runJSON(t, append([]string{"verify", "--level", "content"}, flags...)...); o.code != 0 {
		t.Errorf("verify: exit code %d\n%s", o.code, strings.Join(o.severe(), "\n"))
	}
	useCyrus(t, srv, func(c *imapclient.Client) error {
		for range 8 {
			if err := appendMailTo(c, "near"); err != nil {
				return err
			}
		}
		if _, err := c.Select("near", nil).Wait(); err != nil {
			return err
		}
		// Only the first and the last are left.
		if err := c.Store(imap.SeqSet{{Start: 2, Stop: 8}}, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
			return err
		}
		return c.Expunge().Close()
	})
	reconstructsQuietly(t, srv, '/')
	served := serve(t, srv)
	if n := len(served["near"].Messages); n != 2 {
		t.Errorf("near has %d messages in Cyrus, want 2", n)
	}
	for _, name := range []string{"INBOX", "later", "mbx", "mx"} {
		if n := len(served[name].Messages); n != 2 {
			t.Errorf("%s has %d messages in Cyrus, want 2", name, n)
		}
	}
}

// mbxFolder is a folder in mbx format: UIDVALIDITY and last UID, and a message for each UID.
func mbxFolder(numbers string, uids ...string) string {
	header := "*mbx*\r\n" + numbers + "\r\n"
	folder := header + strings.Repeat("\r\n", 30)
	folder += strings.Repeat("\x00", 2048-len(folder))
	const text = "Subject: a\r\n\r\nbody\r\n"
	for _, uid := range uids {
		folder += fmt.Sprintf(" 2-Jun-2003 10:11:12 -0400,%d;000000000010-%08s\r\n%s", len(text), uid, text)
	}
	return folder
}

// TestUIDValidityLeavesRoom: after the last UIDVALIDITY that there is, which a sender can bring
// about too, Cyrus gives 0 to the next folder that is made.
func TestUIDValidityLeavesRoom(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: true, Extra: []string{"conversations: yes"}})
	h := newPassHost(t)
	const last = "X-IMAPbase: 4294967295 5"
	h.write("var/mail/joe", letter(1, last, "X-UID: 5"))
	h.write("home/joe/mail/unix", letter(1, last, "X-UID: 5"))
	h.write("home/joe/mail/mbx", mbxFolder("ffffffff00000005", "00000005"))
	h.write("home/joe/mail/mx/.mxindex", "VffffffffL00000005M00000005;00000000.0001")
	h.write("home/joe/mail/mx/5", "Subject: 5\r\n\r\nbody\r\n")
	o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)...)
	if o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	if n := len(o.problems("uid-epoch-lost")); n != 4 {
		t.Errorf("%d folders were told to lose their UIDVALIDITY, want 4", n)
	}
	useCyrus(t, srv, func(c *imapclient.Client) error {
		for _, name := range []string{"unix", "mbx", "mx"} {
			if err := c.Rename(name, name+" renamed", nil).Wait(); err != nil {
				return err
			}
			if err := c.Create(name, nil).Wait(); err != nil {
				return err
			}
			status, err := c.Status(name, &imap.StatusOptions{UIDValidity: true}).Wait()
			if err != nil {
				return err
			}
			if status.UIDValidity == 0 {
				t.Errorf("the folder that joe made after %s was renamed has UIDVALIDITY 0", name)
			}
		}
		return nil
	})
}
