package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// failSecond has the second place of joe's INBOX fail to be retired, when the first is in the
// archive.
func (r *retirement) failSecond() {
	r.t.Helper()
	taken := filepath.Join(r.archive, "var/mail/joe")
	if err := errors.Join(os.MkdirAll(filepath.Dir(taken), 0o700), os.WriteFile(taken, nil, 0o600)); err != nil {
		r.t.Fatal(err)
	}
	r.do(1, r.retire...)
	r.archived("home/joe/mbox")
	if err := os.Remove(taken); err != nil {
		r.t.Fatal(err)
	}
}

// TestRetireBetweenPlaces: a run ends when the first place of an INBOX is in the archive and the
// second is not. The next one goes on, if the second is as it was migrated; until then what is
// in Cyrus is not compared with the second alone.
func TestRetireBetweenPlaces(t *testing.T) {
	for _, late := range []bool{false, true} {
		r := newRetirement(t)
		r.write("home/joe/mbox", letter(1)+letter(2))
		r.write("var/mail/joe", letter(3))
		r.write("home/joe/mail/work", letter(4))
		r.migrate()
		r.failSecond()
		kind, code := "retire-cut-off", 0
		if late {
			r.write("var/mail/joe", letter(3)+letter(9))
			kind, code = "retired-place", 2
		}
		for _, args := range [][]string{{"migrate"}, {"verify"}, {"verify", "--level", "content"}} {
			if o := r.do(2, append(args, r.flags...)...); len(o.problems(kind)) != 1 {
				t.Errorf("%v: %v", args, o.severe())
			}
		}
		r.do(code, append(slices.Clone(r.retire), "--dry-run")...)
		r.do(code, r.retire...)
		if late {
			mustRead(t, filepath.Join(r.root, "var/mail/joe"))
			r.do(0, "retire", "--restore", "--state", r.flags[slices.Index(r.flags, "--state")+1])
			r.migrate()
			r.do(0, r.retire...)
		}
		r.archived("home/joe/mbox", "var/mail/joe", "home/joe/mail/work")
		r.do(0, r.retire...)
		r.do(0, append([]string{"verify", "--level", "content"}, r.flags...)...)
	}
}

// TestRetireBelowInbox: a mailbox in a place of the INBOX that is a directory goes with it, also
// if the INBOX has another place that comes behind it in the order of names.
func TestRetireBelowInbox(t *testing.T) {
	r := newRetirement(t)
	r.flags = append(r.flags, "--mail-dir", ".")
	r.retire = append(r.retire, "--mail-dir", ".")
	r.write("home/joe/mbox", letter(1))
	r.writeMX("home/joe/INBOX", 2)
	r.writeMX("home/joe/INBOX/old", 3)
	r.write("var/mail/joe", letter(4))
	r.migrate()
	r.do(0, r.retire...)
	r.archived("home/joe/mbox", "home/joe/INBOX/1", "home/joe/INBOX/old/1", "var/mail/joe")
	r.do(0, append([]string{"verify", "--level", "content"}, r.flags...)...)
}
