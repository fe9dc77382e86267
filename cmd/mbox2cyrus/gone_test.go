package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestParentGone: what was above a folder that is gone had no folder, so none of its is gone.
func TestParentGone(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/mail/work/old", letter(2))
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	if err := os.RemoveAll(filepath.Join(h.root, "home/joe/mail/work")); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"migrate", "verify"} {
		o := runJSON(t, append([]string{command}, flags...)...)
		if p := o.problems("source-gone"); o.code != 2 || len(p) != 1 || p[0]["folder"] != "work/old" {
			t.Errorf("%s: exit code %d\n%s", command, o.code, strings.Join(o.severe(), "\n"))
		}
	}
}
