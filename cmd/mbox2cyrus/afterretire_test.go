package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestUndoRetired: what would be taken out of Cyrus is nowhere else where it can be read, so
// it stays until it is back on the UW host.
func TestUndoRetired(t *testing.T) {
	srv, root, state, archive := retireHost(t, 2)
	flags := flagsFor(srv, root, state)
	if r := runJSON(t, append([]string{"retire", "--archive", archive, "--user", "joe"}, flags...)...); r.code != 0 {
		t.Fatalf("retire: exit code %d\n%s", r.code, r.stderr)
	}
	had := len(messageFiles(t, srv))
	undo := func(code, retired int, more ...string) {
		t.Helper()
		o := runJSON(t, slices.Concat([]string{"undo", "--all"}, more, cyrusFlagsFor(srv, state))...)
		if o.code != code || len(o.problems("retired")) != retired {
			t.Errorf("undo %v: exit code %d, want %d\n%s", more, o.code, code, o.stderr)
		}
	}
	undo(2, 1, "--dry-run")
	undo(2, 1)
	if left := len(messageFiles(t, srv)); left == 0 || left == had { // joe's, and not ann's
		t.Errorf("%d message files are left of %d", left, had)
	}
	if o := runJSON(t, append([]string{"verify", "--user", "joe"}, flags...)...); o.code != 0 {
		t.Errorf("verify: exit code %d\n%s", o.code, o.stderr)
	}
	if o := runJSON(t, "retire", "--restore", "--state", state); o.code != 0 {
		t.Errorf("restore: exit code %d\n%s", o.code, o.stderr)
	}
	o := runJSON(t, append([]string{"verify", "--user", "joe"}, flags...)...)
	if p := o.problems("source-changed"); o.code != 2 || len(p) == 0 || !strings.Contains(p[0]["text"].(string), "as by retire --restore") || !strings.Contains(p[0]["text"].(string), "run migrate") {
		t.Errorf("verify after the restore: exit code %d, %v", o.code, p)
	}
	undo(0, 0)
	if left := len(messageFiles(t, srv)); left != 0 {
		t.Errorf("%d message files are left", left)
	}
}

// TestReportOfUndoneAfterRetire: who was undone is unfinished, also if migrate had no folder of
// his to tell of when it last finished him, since all were in the archive.
func TestReportOfUndoneAfterRetire(t *testing.T) {
	srv, root, state, archive := retireHost(t, 1)
	flags := flagsFor(srv, root, state)
	for _, args := range [][]string{
		append([]string{"retire", "--archive", archive}, flags...),
		append([]string{"migrate"}, flags...),
		{"retire", "--restore", "--state", state},
		append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...),
	} {
		if o := runJSON(t, args...); o.code != 0 {
			t.Fatalf("%v: exit code %d\n%s", args, o.code, o.stderr)
		}
	}
	var out, errs strings.Builder
	if code := run([]string{"mbox2cyrus", "report", "--state", state}, &out, &errs); code != 1 || !strings.Contains(out.String(), "unfinished 1") {
		t.Errorf("report: exit code %d\n%s%s", code, out.String(), errs.String())
	}
}

// TestUndoHalfRestored: of an INBOX of two places the first is back, and the other cannot be.
// Its mail would be in the archive only, so it stays in Cyrus.
func TestUndoHalfRestored(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	archive, state := makeArchive(t, filepath.Dir(h.root)), filepath.Join(t.TempDir(), "state")
	h.write("home/joe/mbox", letter(1)+letter(2))
	h.write("var/mail/joe", letter(3))
	do := runWith(t)
	undo := append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)
	do(0, append([]string{"migrate"}, flagsFor(srv, h.root, state)...)...)
	do(0, append([]string{"retire", "--archive", archive}, flagsFor(srv, h.root, state)...)...)
	had := len(messageFiles(t, srv))
	h.write("var/mail/joe", letter(9)) // joe has his inbox directory for himself here
	if o := do(2, "retire", "--restore", "--state", state); len(o.problems("place-taken")) != 1 {
		t.Errorf("%v", o.severe())
	}
	mustRead(t, filepath.Join(h.root, "home/joe/mbox"))
	if o := do(2, undo...); len(o.problems("retired")) != 1 {
		t.Errorf("%v", o.severe())
	}
	if left := len(messageFiles(t, srv)); left != had {
		t.Errorf("%d message files are left of %d", left, had)
	}
	if err := os.Remove(filepath.Join(h.root, "var/mail/joe")); err != nil {
		t.Fatal(err)
	}
	do(0, "retire", "--restore", "--state", state)
	do(0, undo...)
}

// TestVerifyAfterRetire: what was retired is known to be, compared with Cyrus by the
// record and with the archive, and never taken for mail that was expunged.
func TestVerifyAfterRetire(t *testing.T) {
	srv, root, state, archive := retireHost(t, 2)
	flags := flagsFor(srv, root, state)
	migrated := runJSON(t, append([]string{"verify"}, flags...)...).summary(t)
	if r := runJSON(t, append([]string{"retire", "--archive", archive}, flags...)...); r.code != 0 {
		t.Fatalf("retire: exit code %d\n%s", r.code, r.stderr)
	}
	do := runWith(t, flags...)
	for _, args := range [][]string{{"verify"}, {"verify", "--level", "count"}, {"verify", "--level", "content"}} {
		o := do(0, args...)
		s := o.summary(t)
		if s["messages_verified"] != migrated["messages_verified"] || s["messages_found"] != migrated["messages_found"] || s["folders"] != migrated["folders"] {
			t.Errorf("%v: %v, before it was retired %v", args, s, migrated)
		}
		found := false
		for _, p := range o.problems("retired") {
			found = found || p["folder"] == "Drafts" && strings.Contains(p["text"].(string), archive+"/home/joe/mail/Drafts on "+time.Now().UTC().Format("2006"))
		}
		if !found {
			t.Errorf("%v does not say where it was retired to, and when: %v", args, o.problems("retired"))
		}
	}
	do(0, "plan")
	do(0, "migrate")

	// The copy in the archive is not what it was.
	copied := filepath.Join(archive, "home", "joe", "mail", "Drafts")
	good, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(copied)
	if err != nil {
		t.Fatal(err)
	}
	put := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(copied, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(copied, time.Time{}, info.ModTime()); err != nil {
			t.Fatal(err)
		}
	}
	put(append(good, 'x'))
	if o := do(3, "verify"); len(o.problems("archive-differs")) != 1 {
		t.Errorf("%v", o.severe())
	}
	bad := append([]byte{}, good...)
	bad[len(bad)-3] ^= 1
	put(bad) // as many bytes, and the time that it had: only reading shows it
	do(0, "verify")
	if o := do(3, "verify", "--level", "content"); len(o.problems("archive-differs")) != 1 {
		t.Errorf("%v", o.severe())
	}
	put(good)
	if err := os.Rename(copied, copied+".away"); err != nil {
		t.Fatal(err)
	}
	do(3, "verify")
	if err := os.Rename(copied+".away", copied); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(archive, archive+".tape"); err != nil {
		t.Fatal(err)
	}
	if o := do(0, "verify", "--level", "content"); len(o.problems("archive-away")) == 0 {
		t.Error("that the archive is not there is not told")
	}
	if err := os.Rename(archive+".tape", archive); err != nil {
		t.Fatal(err)
	}

	// Cyrus is compared with the record still.
	file := func() string {
		for path := range messageFiles(t, srv) {
			return path
		}
		return ""
	}()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("X"), text[1:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := do(3, "verify", "--level", "content"); len(o.problems("content")) != 1 {
		t.Errorf("%v", o.severe())
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}

	// Somebody writes where a folder was.
	place := filepath.Join(root, "home", "joe", "mail", "Drafts")
	if err := os.WriteFile(place, []byte(letter(1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(copied); err != nil {
		t.Fatal(err)
	} else if sys := st.Sys().(*syscall.Stat_t); os.Geteuid() == 0 {
		if err := os.Chown(place, int(sys.Uid), int(sys.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range []string{"plan", "migrate", "verify"} {
		if o := do(2, command); len(o.problems("retired-place")) != 1 {
			t.Errorf("%s: %v", command, o.severe())
		}
	}
	for _, level := range []string{"index", "content"} {
		o := do(2, "verify", "--level", level)
		if s := o.summary(t); len(o.severe()) != 1 || s["messages_verified"] != migrated["messages_verified"] {
			t.Errorf("verify --level %s: %v messages are left of %v\n%v", level, s["messages_verified"], migrated["messages_verified"], o.severe())
		}
	}
	if err := os.Rename(copied, copied+".away"); err != nil {
		t.Fatal(err)
	}
	do(3, "verify")
	if err := os.Rename(copied+".away", copied); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(place); err != nil {
		t.Fatal(err)
	}
	if s := do(0, "verify", "--level", "content").summary(t); s["messages_verified"] != migrated["messages_verified"] {
		t.Errorf("%v messages are left of %v", s["messages_verified"], migrated["messages_verified"])
	}

	// The accounts are gone too.
	if err := os.WriteFile(filepath.Join(root, "etc", "passwd"), []byte("eve:x:1900:1900::/home/eve:/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify", "--level", "content"}, {"verify"}} {
		if s := do(0, args...).summary(t); s["messages_verified"] != migrated["messages_verified"] {
			t.Errorf("without accounts: %v messages are verified of %v", s["messages_verified"], migrated["messages_verified"])
		}
	}
	do(0, "verify", "--user", "joe")
	do(0, "migrate")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if o := do(3, "verify"); len(o.problems("file-missing")) != 1 {
		t.Errorf("%v", o.severe())
	}
}
