package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRetireTwoInboxes: a folder ~/mail/INBOX has the name of the INBOX, and is another one. A
// retire ends between the two. What is in the archive is not the INBOX's, nor of it: the INBOX
// goes on being migrated, the next retire goes on, and of an INBOX that is gone it is told.
func TestRetireTwoInboxes(t *testing.T) {
	between := func(t *testing.T) *retirement {
		r := newRetirement(t)
		r.write("home/joe/mail/INBOX", letter(1)+letter(2))
		r.write("var/mail/joe", letter(3))
		r.migrate()
		r.write("var/mail/joe.lock", "1") // by a delivery
		r.do(1, append(slices.Clone(r.retire), "--lock", "yes", "--lock-wait", "1s")...)
		r.archived("home/joe/mail/INBOX")
		if err := os.Remove(filepath.Join(r.root, "var/mail/joe.lock")); err != nil {
			t.Fatal(err)
		}
		return r
	}
	verify := func(r *retirement) []string { return append([]string{"verify", "--level", "content"}, r.flags...) }
	t.Run("more mail", func(t *testing.T) {
		r := between(t)
		r.do(0, verify(r)...)
		r.write("var/mail/joe", letter(3)+letter(4))
		r.migrate()
		r.do(0, verify(r)...)
		r.do(0, r.retire...)
		r.archived("home/joe/mail/INBOX", "var/mail/joe")
		r.do(0, verify(r)...)
	})
	t.Run("gone", func(t *testing.T) {
		r := between(t)
		if err := os.Remove(filepath.Join(r.root, "var/mail/joe")); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{append([]string{"plan"}, r.flags...), append([]string{"migrate"}, r.flags...), verify(r)} {
			if o := runJSON(t, args...); o.code != 2 || len(o.problems("source-gone")) != 1 {
				t.Errorf("%s: exit code %d, %q", args[0], o.code, o.severe())
			}
		}
	})
	t.Run("both", func(t *testing.T) {
		r := between(t)
		r.do(0, r.retire...)
		damaged := filepath.Join(r.archive, "home/joe/mail/INBOX")
		appendTo(t, damaged, "x")
		if o := r.do(3, verify(r)...); len(o.problems("archive-differs")) != 1 {
			t.Errorf("%q", o.severe())
		}
	})
	t.Run("several places", func(t *testing.T) {
		r := newRetirement(t)
		r.write("home/joe/mail/INBOX", letter(1)+letter(2))
		r.write("home/joe/mbox", letter(3))
		r.write("var/mail/joe", letter(4))
		r.migrate()
		r.failSecond()
		r.archived("home/joe/mail/INBOX")
		if o := r.do(2, verify(r)...); len(o.problems("retire-cut-off")) != 1 {
			t.Errorf("%q", o.severe())
		}
		r.do(0, r.retire...)
		r.archived("var/mail/joe")
		r.do(0, verify(r)...)
	})
}

// TestReportTwoInboxes: what was found in one of the two stays in the report when only the other
// is read again, and goes when it is read itself.
func TestReportTwoInboxes(t *testing.T) {
	r := newRetirement(t)
	paths := []string{"home/joe/mail/INBOX", "var/mail/joe"}
	bad := strings.Replace(letter(1), "\n\n", "\n\n\x00", 1)
	for _, path := range paths {
		r.write(path, bad)
	}
	found := func(want int, when string) {
		t.Helper()
		r.migrate()
		var out, errs bytes.Buffer
		run([]string{"mbox2cyrus", "report", "--format", "csv", "--table", "problems", "--state", r.flags[slices.Index(r.flags, "--state")+1]}, &out, &errs)
		if n := strings.Count(out.String(), ",nul,"); n != want {
			t.Errorf("%s: %d findings, want %d\n%s%s", when, n, want, out.String(), errs.String())
		}
	}
	found(2, "both read")
	for _, path := range paths {
		r.write(path, bad+letter(2))
		found(2, path+" read again")
	}
	r.write("var/mail/joe", letter(1)+letter(2))
	found(1, "INBOX mended")
	for range 5 { // what no longer counts is removed in between
		r.write("var/mail/joe", letter(1)+letter(3))
		found(1, "INBOX read again and again")
	}
	r.write("home/joe/mail/INBOX", letter(1)+letter(2))
	found(0, "both mended")
}
