package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestHomeMail: a mailbox at the top of a home is a note, and does not hide that what was
// migrated of the user is gone.
func TestHomeMail(t *testing.T) {
	r := newRetirement(t)
	r.write("var/mail/joe", letter(1))
	r.write("home/joe/saved", letter(2))
	for _, command := range []string{"plan", "migrate", "verify"} {
		if o := r.do(0, append([]string{command}, r.flags...)...); len(o.problems("mail-in-home")) != 1 {
			t.Errorf("%s: %s", command, o.stderr)
		}
	}
	if err := os.Remove(filepath.Join(r.root, "var/mail/joe")); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"plan", "migrate", "verify"} {
		if o := r.do(2, append([]string{command}, r.flags...)...); len(o.problems("mail-in-home")) != 1 || len(o.problems("source-gone")) != 1 {
			t.Errorf("%s, without the INBOX: %v\n%s", command, o.severe(), o.stderr)
		}
	}
}
