package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestHardLinks: a file that is two folders is told, as is one that has a name elsewhere.
func TestHardLinks(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(2))
	h.write("home/joe/mail/one", letter(1))
	h.write("home/joe/mail/elsewhere", letter(1))
	h.write("home/joe/mail/alone", letter(1))
	for from, to := range map[string]string{"home/joe/mail/one": "home/joe/mail/two", "home/joe/mail/elsewhere": "copy"} {
		if err := os.Link(filepath.Join(h.root, from), filepath.Join(h.root, to)); err != nil {
			t.Fatal(err)
		}
	}
	o := runJSON(t, append([]string{"plan"}, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)...)
	said := map[string]string{}
	for _, p := range o.problems("hard-link") {
		said[fmt.Sprint(p["folder"])] = fmt.Sprint(p["severity"], " ", p["text"])
	}
	if o.code != 2 || len(said) != 3 || !strings.Contains(said["two"], "attention is the same file as one") ||
		!strings.Contains(said["elsewhere"], "note the file has 2 names") || !strings.Contains(said["one"], "note the file has 2 names") {
		t.Errorf("exit code %d, %q\n%s", o.code, said, o.stderr)
	}
}
