package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// TestMailboxesOfAnotherRelease: Cyrus was upgraded to 3.6 or later and not started since, or
// downgraded from there. It lists no mailboxes, or has other names for them; what is made beside
// them would hide them for ever.
func TestMailboxesOfAnotherRelease(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: true})
	one, two := newPassHost(t), newPassHost(t)
	one.write("var/mail/joe", letter(1)+letter(2))
	two.write("etc/passwd", "ann:x:1001:1001::/home/ann:/bin/sh\n")
	two.write("var/mail/ann", letter(3))
	state := filepath.Join(t.TempDir(), "state")
	if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, one.root, state)...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	db := filepath.Join(srv.ConfigDir, "mailboxes.db")
	dbtool := func(args ...string) string {
		t.Helper()
		out, err := srv.Run(t.Context(), "cyr_dbtool", append([]string{db, "twoskip"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	programs, err := reconstruct.Find(cyrustest.BinDir, srv.Conf)
	if err != nil {
		t.Fatal(err)
	}
	list, form, err := programs.List(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	place := cyrusspool.Roots{Data: srv.Spool, Header: srv.Spool}.At("user/joe")
	header, err := place.ReadHeader()
	if err != nil {
		t.Fatal(err)
	}
	key, value, says := "user.joe", fmt.Sprintf("%%(A %%(joe lrswipkxtecdan) I %s P default M 1068000000)", header.UniqueID), "written by an older Cyrus"
	if form != reconstruct.FormJSON {
		key, value, says = "Nuser\x1fjoe", fmt.Sprintf("%%(T el I %s P default V 1068000000 C 1 F 1 M 1068000000 A %%(joe lrswipkxtecdan))", header.UniqueID), "written by Cyrus 3.6 or later"
	}
	before := dbtool("show")
	for line := range strings.Lines(before) {
		k, _, _ := strings.Cut(line, "\t")
		dbtool("delete", k)
	}
	dbtool("set", key, value)
	after := dbtool("show")

	for _, o := range []outcome{
		runJSON(t, append([]string{"plan"}, flagsFor(srv, two.root, filepath.Join(t.TempDir(), "two"))...)...),
		runJSON(t, append([]string{"migrate"}, flagsFor(srv, two.root, filepath.Join(t.TempDir(), "two"))...)...),
		runJSON(t, append([]string{"migrate"}, flagsFor(srv, one.root, state)...)...),
		runJSON(t, append([]string{"verify"}, flagsFor(srv, one.root, state)...)...),
		runJSON(t, append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)...),
	} {
		if o.code != 78 || !strings.Contains(o.stderr, says) {
			t.Errorf("exit code %d\n%s", o.code, o.stderr)
		}
	}
	if got := dbtool("show"); got != after {
		t.Errorf("mailboxes.db has now:\n%swant:\n%s", got, after)
	}
	if form != reconstruct.FormJSON {
		return // no release goes back
	}
	whileServed(t, srv, func() {})
	for _, args := range [][]string{
		append([]string{"migrate"}, flagsFor(srv, two.root, filepath.Join(t.TempDir(), "two"))...),
		append([]string{"verify", "--level", "content"}, flagsFor(srv, one.root, state)...),
	} {
		if o := runJSON(t, args...); o.code != 0 {
			t.Errorf("%s: exit code %d\n%s", args[0], o.code, o.stderr)
		}
	}
}

// TestUndoAfterUpgrade: an account was filled that an older Cyrus had, whose records of it this
// Cyrus does not read. They are not put beside its own.
func TestUndoAfterUpgrade(t *testing.T) {
	for _, merge := range []bool{false, true} {
		t.Run(fmt.Sprintf("merge=%v", merge), func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: true})
			h := newPassHost(t)
			h.write("var/mail/joe", letter(1)+letter(2))
			state := filepath.Join(t.TempDir(), "state")
			create(t, srv, "user/joe")
			if merge {
				useCyrus(t, srv, appendMail)
			}
			if o := runJSON(t, append([]string{"migrate", fmt.Sprintf("--merge=%v", merge)}, flagsFor(srv, h.root, state)...)...); o.code != 0 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			path := filepath.Join(state, "ledger.jsonl")
			ledger, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			ledger = regexp.MustCompile(`"records":\[[^]]*\]`).ReplaceAll(ledger, []byte(`"records":[{"key":"user.joe","value":"%(A %(joe lrs) I x P default M 1)"}]`))
			if err := os.WriteFile(path, ledger, 0o600); err != nil {
				t.Fatal(err)
			}
			before := cyrusTree(t, srv)
			o := runJSON(t, append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)...)
			p := o.problems("changed-since")
			if o.code != 2 || len(p) != 1 || !strings.Contains(p[0]["text"].(string), "Cyrus was upgraded since") {
				t.Errorf("exit code %d, %v\n%s", o.code, p, o.stderr)
			}
			if diff := diffTrees(before, cyrusTree(t, srv)); diff != "" {
				t.Errorf("Cyrus was changed:\n%s", diff)
			}
		})
	}
}

// TestIndexOfALaterRelease: Cyrus was downgraded and cannot open its mailboxes any more. Its
// reconstruct would make new indexes of them.
func TestIndexOfALaterRelease(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: true})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1, "Status: RO\n")+letter(2))
	state := filepath.Join(t.TempDir(), "state")
	flags := flagsFor(srv, h.root, state)
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	path := filepath.Join(srv.Spool, "user/joe/cyrus.index")
	later := reindex(t, path, cyrusspool.Version20)
	o := runJSON(t, append([]string{"verify"}, flags...)...)
	if p := o.problems("not-in-cyrus"); o.code != 3 || len(p) != 1 || !strings.Contains(p[0]["text"].(string), "of version 20") {
		t.Errorf("verify: exit code %d, %v\n%s", o.code, p, o.stderr)
	}
	h.write("var/mail/joe", letter(1, "Status: RO\n")+letter(2)+letter(3))
	for _, args := range [][]string{{"migrate"}, {"migrate", "--on-conflict", "append"}} {
		o := runJSON(t, append(args, flags...)...)
		if p := o.problems("user-failed"); o.code != 1 || len(p) != 1 || !strings.Contains(p[0]["text"].(string), "of version 20") {
			t.Errorf("%v: exit code %d, %v\n%s", args, o.code, p, o.stderr)
		}
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, later) {
		t.Errorf("the index was written anew (%v)", err)
	}
}

// reindex writes an index in another version, and returns its bytes.
func reindex(t *testing.T, path string, v cyrusspool.Version) []byte {
	t.Helper()
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := cyrusspool.NewIndexReader(bytes.NewReader(old))
	if err != nil {
		t.Fatal(err)
	}
	h := r.Header()
	h.Version = v
	index, err := h.AppendTo(nil)
	for err == nil {
		var rec cyrusspool.Record
		if rec, err = r.Next(); err == nil {
			index, err = cyrusspool.AppendRecord(index, v, &rec)
		}
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, index, 0o600); err != nil {
		t.Fatal(err)
	}
	return index
}
