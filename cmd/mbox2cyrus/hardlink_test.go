package main

import (
	"bytes"
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

// TestHardLinksAreToldOnce: each pass tells of them, and a report what the last one told.
func TestHardLinksAreToldOnce(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	h.write("var/mail/joe", letter(2))
	h.write("home/joe/mail/one", letter(1))
	if err := os.Link(filepath.Join(h.root, "home/joe/mail/one"), filepath.Join(h.root, "home/joe/mail/two")); err != nil {
		t.Fatal(err)
	}
	do := runWith(t, flagsFor(srv, h.root, state)...)
	told := func() int {
		t.Helper()
		var stdout, stderr bytes.Buffer
		run([]string{"mbox2cyrus", "report", "--state", state, "--format", "csv", "--table", "problems"}, &stdout, &stderr)
		return strings.Count(stdout.String(), "hard-link")
	}
	for pass := range 3 {
		do(2, "migrate")
		if n := told(); n != 2 {
			t.Errorf("after %d passes a report tells of hard links %d times", pass+1, n)
		}
	}
	if err := os.Remove(filepath.Join(h.root, "home/joe/mail/two")); err != nil {
		t.Fatal(err)
	}
	do(2, "migrate") // a folder is gone
	if n := told(); n != 0 {
		t.Errorf("where there are no hard links any more a report tells of them %d times", n)
	}
}
