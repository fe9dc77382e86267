package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestVerifyWithoutNames: verify and retire go by other names than migrate did. That is not a
// difference in Cyrus, and is said.
func TestVerifyWithoutNames(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	base := t.TempDir()
	names, archive := filepath.Join(base, "names.csv"), filepath.Join(base, "archive")
	if err := os.WriteFile(names, []byte("user,old_name,new_name\njoe,work,office\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(archive, 0o700); err != nil {
		t.Fatal(err)
	}
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/mail/work", letter(2))
	flags := flagsFor(srv, h.root, filepath.Join(base, "state"))
	if o := runJSON(t, append([]string{"migrate", "--names", names}, flags...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	for _, args := range [][]string{{"verify"}, {"verify", "--imap"}, {"plan"}, {"retire", "--archive", archive}} {
		o := runJSON(t, append(args, flags...)...)
		if o.code != 1 || len(o.problems("name-changed")) != 1 || len(o.severe()) != 1 {
			t.Errorf("%v: exit code %d\n%s", args, o.code, strings.Join(o.severe(), "\n"))
		}
	}
	if o := runJSON(t, append([]string{"verify", "--names", names}, flags...)...); o.code != 0 {
		t.Errorf("with the names: exit code %d\n%s", o.code, o.stderr)
	}
}
