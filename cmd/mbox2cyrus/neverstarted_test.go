package main

import (
	"bytes"
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

// TestNoPlaceForLocks: where the directory of Cyrus's locks cannot be made, doctor and migrate
// say so, and what mends it, before anything is written.
func TestNoPlaceForLocks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: everything belongs to who runs it")
	}
	srv, h := cyrustest.ForTest(t, cyrustest.Options{}), newPassHost(t)
	h.write("var/mail/joe", letter(1))
	above := filepath.Join(filepath.Dir(srv.ConfigDir), "run") // where Cyrus's user can look
	if err := os.Mkdir(above, 0o755); err != nil {
		t.Fatal(err)
	}
	conf, err := os.ReadFile(srv.Conf)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(conf), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "mboxname_lockpath:") {
			lines[i] = "mboxname_lockpath: " + above + "/cyrus/lock"
		}
	}
	if err := os.WriteFile(srv.Conf, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "state")
	flags := flagsFor(srv, h.root, state)
	for _, command := range []string{"doctor", "migrate"} {
		var said bytes.Buffer
		code := run(append([]string{"mbox2cyrus", command}, flags...), &said, &said)
		if code != 78 || !strings.Contains(said.String(), above+"/cyrus is not there") || !strings.Contains(said.String(), "install -d -o ") {
			t.Errorf("%s: exit code %d\n%s", command, code, &said)
		}
	}
	if err := os.MkdirAll(filepath.Join(above, "cyrus"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(above, "cyrus"), srv.UID, srv.GID); err != nil {
		t.Fatal(err)
	}
	runWith(t, flags...)(0, "migrate")
}
