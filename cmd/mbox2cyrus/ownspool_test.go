package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestCyrusUserIsNoUser: where Cyrus's own user is among those whose mail is looked for, and
// Cyrus's mail is where his folders would be (as on Debian sid, /var/spool/cyrus/mail), no message
// of Cyrus's is taken for a folder: it would come into Cyrus once more, and retire would take it away.
func TestCyrusUserIsNoUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: everything belongs to who runs it")
	}
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := &passHost{t: t, root: filepath.Dir(srv.Spool)}
	h.write("etc/passwd", fmt.Sprintf("joe:x:1001:1001::/home/joe:/bin/sh\ncyrus:x:%d:%d::/:/bin/sh\n", srv.UID, srv.GID))
	h.write("var/mail/joe", letter(1))
	if err := os.MkdirAll(filepath.Join(h.root, "home/joe"), 0o755); err != nil {
		t.Fatal(err)
	}
	own := filepath.Base(srv.Spool)
	flags := append(flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state")), "--min-uid", fmt.Sprint(srv.UID), "--mail-dir", own)
	runWith(t, flags...)(0, "migrate")

	// A message that somebody appended by IMAP: Cyrus takes any first line.
	h.writeAs(srv.UID, own+"/2.", letter(2))
	o := runWith(t, flags...)(0, "migrate")
	if p := o.problems("server-directory"); len(p) != 1 || strings.Contains(fmt.Sprint(o), "user.cyrus") {
		t.Errorf("%v\n%s", p, o.stderr)
	}
}
