package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestListIsNotAll: Cyrus does not tell of a mailbox that it has, with exit status 0 and without
// a word. Another host's joe does not take its place.
func TestListIsNotAll(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		cause      func(t *testing.T, srv *cyrustest.Server) (bin string, mend func())
	}{
		{"nothing is printed", "it does not say which mailboxes there are", func(t *testing.T, srv *cyrustest.Server) (string, func()) {
			dir := filepath.Join(srv.Dir, "programs")
			wrapProgram(t, srv, dir, "ctl_mboxlist", "if [ \"$3\" = -d ]; then exit 0; fi\n")
			return dir, func() {}
		}},
		{"mailboxes.db is damaged", "mailboxes.db is damaged", func(t *testing.T, srv *cyrustest.Server) (string, func()) {
			path := filepath.Join(srv.ConfigDir, "mailboxes.db")
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			put := func(db []byte) {
				if err := os.WriteFile(path, db, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			damaged := bytes.Clone(whole)
			record := bytes.Index(damaged, []byte("Nuser\x1fann")) // joe's are after it
			clear(damaged[record-32 : record])                     // what leads on from there to the next
			put(damaged)
			return cyrustest.BinDir, func() { put(whole) }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			one, two := newPassHost(t), newPassHost(t)
			one.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nann:x:1001:1001::/home/ann:/bin/sh\n")
			one.write("var/mail/ann", letter(1))
			one.write("var/mail/joe", letter(1)+letter(2))
			two.write("var/mail/joe", letter(3))
			state := filepath.Join(t.TempDir(), "one")
			if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, one.root, state)...)...); o.code != 0 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			bin, mend := tt.cause(t, srv)
			spool := snapshot(t, srv.Spool)
			for _, command := range []string{"plan", "migrate"} {
				o := runJSON(t, append([]string{command, "--cyrus-bin", bin}, flagsFor(srv, two.root, filepath.Join(t.TempDir(), "two"))...)...)
				if o.code != 1 || !strings.Contains(o.stderr, tt.says) {
					t.Errorf("%s: exit code %d\n%s", command, o.code, o.stderr)
				}
			}
			for _, more := range [][]string{{"--dry-run"}, nil} {
				args := append([]string{"undo", "--all", "--cyrus-bin", bin}, more...)
				if o := runJSON(t, append(args, cyrusFlagsFor(srv, state)...)...); o.code != 1 || !strings.Contains(o.stderr, tt.says) {
					t.Errorf("%v: exit code %d\n%s", args, o.code, o.stderr)
				}
			}
			if diff := diffSnapshots(spool, snapshot(t, srv.Spool)); diff != "" {
				t.Errorf("the spool was changed: %s", diff)
			}
			mend()
			if got, want := describe(serve(t, srv)["INBOX"]), []string{"1  22", "2  22"}; !slices.Equal(got, want) {
				t.Errorf("INBOX has %q, want %q", got, want)
			}
		})
	}
}

// TestExportOfADamagedList: Cyrus lists some of a user's mailboxes only. An export does not take
// these for all.
func TestExportOfADamagedList(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/mail/play", letter(2))
	h.write("home/joe/mail/work", letter(3))
	if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	path := filepath.Join(srv.ConfigDir, "mailboxes.db")
	db, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	record := bytes.Index(db, []byte("Nuser\x1fjoe\x1fplay"))
	clear(db[record-32 : record]) // what leads on from there to the next
	if err := os.WriteFile(path, db, 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "joe")
	o := runJSON(t, "export", "--imapd-conf", srv.Conf, "--cyrus-bin", cyrustest.BinDir, "--user", "joe", "--output", out)
	if o.code != 1 || !strings.Contains(o.stderr, "mailboxes.db is damaged") {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	if _, err := os.Lstat(out); err == nil {
		t.Errorf("%v was exported", snapshotFiles(t, out))
	}
}
