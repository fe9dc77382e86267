package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestCyrusNeverStarted: nothing is wrong with a Cyrus that was installed and not started yet,
// although its programs complain of it.
func TestCyrusNeverStarted(t *testing.T) {
	srv, h := cyrustest.ForTest(t, cyrustest.Options{}), newPassHost(t)
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/mail/sent-mail", letter(1))
	if err := os.Remove(filepath.Join(srv.ConfigDir, "db/skipstamp")); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "state")
	runWith(t, flagsFor(srv, h.root, state)...)(0, "migrate", "--quota", "1G")
	if have := specialUses(t, srv); !strings.Contains(have, "ent") {
		t.Errorf("special uses: %q", have)
	}
	runWith(t, "--imapd-conf", srv.Conf, "--state", state)(0, "undo", "--all")
}
