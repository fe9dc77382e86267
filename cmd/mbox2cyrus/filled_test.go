package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// cutAtFilled makes the last run one that was cut off when Cyrus had done its part and the
// ledger did not yet say so: it returns the lines that are gone from the journal.
func cutAtFilled(t *testing.T, state string) (gone []byte) {
	t.Helper()
	journal := filepath.Join(state, ledger.JournalName)
	text, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	end := bytes.LastIndex(text, []byte(`"state":"filled"`))
	if end < 0 {
		t.Fatalf("nothing was filled: %s", text)
	}
	end += bytes.IndexByte(text[end:], '\n') + 1
	if err := os.WriteFile(journal, text[:end], 0o600); err != nil {
		t.Fatal(err)
	}
	return text[end:]
}

// specialUses is what Cyrus has of special uses.
func specialUses(t *testing.T, srv *cyrustest.Server) string {
	t.Helper()
	path := filepath.Join(srv.ConfigDir, "annotations.db")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	said, err := srv.Run(t.Context(), "cyr_dbtool", path, "twoskip", "show")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(specialUseIn.FindAllString(said, -1), " ")
}

// TestSpecialUseCutOff: a mailbox that was there before the pass gets no special use, whether
// or not a run was cut off when it was filled.
func TestSpecialUseCutOff(t *testing.T) {
	for _, tt := range []struct{ name, state, flag string }{
		{"later pass", "state", "--merge=false"}, {"merge", "another", "--merge"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			h, dir := newPassHost(t), t.TempDir()
			h.write("var/mail/joe", letter(1))
			h.write("home/joe/mail/sent-mail", letter(1))
			migrate := func(state, flag, uses string) {
				t.Helper()
				args := append([]string{"migrate", flag, "--special-use", uses}, flagsFor(srv, h.root, filepath.Join(dir, state))...)
				if o := runJSON(t, args...); o.code != 0 {
					t.Fatalf("exit code %d\n%s", o.code, o.stderr)
				}
			}
			migrate("state", "--merge=false", "off")
			h.write("home/joe/mail/sent-mail", letter(1)+letter(2))
			migrate(tt.state, tt.flag, "auto")
			if have := specialUses(t, srv); have != "" {
				t.Fatalf("an undisturbed run gives %s", have)
			}
			cutAtFilled(t, filepath.Join(dir, tt.state))
			migrate(tt.state, tt.flag, "auto")
			if have := specialUses(t, srv); have != "" {
				t.Errorf("one that goes on gives %s", have)
			}
		})
	}
}

// TestSpecialUseScriptSynced: the commands for special uses that could not be set are on the
// disk before the ledger says that the mailboxes are done, since no later run writes them.
func TestSpecialUseScriptSynced(t *testing.T) {
	needStrace(t)
	g := newGround(t, "", "", "")
	g.firstMail()
	bin := programsWithout(t, g.srv, "cvt_xlist_specialuse")
	log := filepath.Join(t.TempDir(), "calls")
	cmd := exec.Command("strace", append([]string{"-f", "-b", "execve", "-qq", "-y", "-s", "2000", "-o", log, "-e", "trace=write,syncfs", "mbox2cyrus"},
		g.migrate("--user", "joe", "--cyrus-bin", bin)...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	calls, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(calls), "special-use.imap>")
	between, _, ok2 := strings.Cut(after, `\"state\":\"verified\"`)
	if !ok || !ok2 {
		t.Fatalf("the commands or the record were not written:\n%s", calls)
	}
	if !strings.Contains(between, "syncfs(") {
		t.Errorf("between the commands and the record there is no sync:\n%s", between)
	}
}

// programsWithout returns a directory of Cyrus's programs, all but one.
func programsWithout(t *testing.T, srv *cyrustest.Server, program string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(cyrustest.BinDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(srv.Dir, "bin")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if filepath.Base(path) == program {
			continue
		}
		if err := os.Symlink(path, filepath.Join(dir, filepath.Base(path))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestUndoCutOffAtFilled takes back a pass that was cut off after Cyrus had written into files
// beside the user's mailboxes, at each line that the ledger had still to say of it.
func TestUndoCutOffAtFilled(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts cyrustest.Options
		pass func(u *inUse)
	}{
		{"INBOX", mergedLayouts[1].opts, func(u *inUse) { u.write("var/mail/joe", letter(7, "X-Status: F")+letter(8)) }},
		{"INBOX has nothing to do", mergedLayouts[1].opts, func(u *inUse) { u.write("home/joe/mail/play", letter(2)) }},
		{"by id, INBOX has nothing to do", cyrustest.Options{Extra: []string{"conversations: yes"}}, func(u *inUse) { u.write("home/joe/mail/play", letter(2)) }},
		{"INBOX's folder and another", mergedLayouts[1].opts, func(u *inUse) {
			u.write("var/mail/joe", letter(1)+letter(8))
			u.write("home/joe/mail/play", letter(2))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newInUse(t, tt.opts)
			u.merge(t)
			tt.pass(u)
			u.merge(t)
			gone := cutAtFilled(t, u.state)
			journal := filepath.Join(u.state, ledger.JournalName)
			text, err := os.ReadFile(journal)
			if err != nil {
				t.Fatal(err)
			}
			filled := text
			for line := range bytes.Lines(append([]byte(nil), gone...)) {
				if o := u.undo(t, "--dry-run"); o.code != 0 {
					t.Errorf("cut off before %.60s: exit code %d\n%s", line, o.code, o.stderr)
				}
				u.leftIsKnown(t)
				text = append(text, line...)
				if err := os.WriteFile(journal, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(journal, filled, 0o600); err != nil {
				t.Fatal(err)
			}
			if o := u.undo(t); o.code != 0 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			u.asBefore(t, "cut off")
		})
	}
}

// leftIsKnown fails if all mailboxes are recorded as done, so that no run comes back to them,
// and yet it is not known how files beside them were left.
func (u *inUse) leftIsKnown(t *testing.T) {
	t.Helper()
	l, err := ledger.Read(u.state)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // read only
	done := true
	eachRecord(t, l, func(rec ledger.Mailbox) { done = done && rec.State == ledger.Verified })
	if !done {
		return
	}
	eachRecord(t, l, func(rec ledger.Mailbox) {
		for _, files := range rec.UserFiles {
			for name, left := range files.Left {
				if left == "" {
					t.Errorf("%s: how %s was left is not known, and all is done", rec.Name, name)
				}
			}
		}
	})
}

// TestUndoCutOffAndServed: after a pass that was cut off at that place Cyrus was started, and
// the user changed another mailbox of his. What he did cannot be told from what the pass did,
// until the pass has come to its end.
func TestUndoCutOffAndServed(t *testing.T) {
	u := newInUse(t, cyrustest.Options{Extra: []string{"conversations: yes"}})
	u.merge(t)
	u.write("home/joe/mail/play", letter(2))
	u.merge(t)
	cutAtFilled(t, u.state)
	useCyrus(t, u.srv, func(c *imapclient.Client) error {
		if _, err := c.Select("work", nil).Wait(); err != nil {
			return err
		}
		return c.Store(imap.UIDSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagAnswered}}, nil).Close()
	})
	touched := cyrusTree(t, u.srv)
	if o := u.undo(t); o.code != 2 || !strings.Contains(fmt.Sprint(o.problems("changed-since")), "run migrate to its end first") {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	if diff := diffTrees(touched, cyrusTree(t, u.srv)); diff != "" {
		t.Errorf("something was changed:\n%s", diff)
	}
	u.merge(t)
	if o := u.undo(t); o.code != 0 {
		t.Errorf("after the pass has come to its end: exit code %d\n%s", o.code, o.stderr)
	}
}

// TestSharedQuotaCutOff: a run was cut off when its mail was there and a quota root above its
// users was not counted. The next run counts it, also one over others.
func TestSharedQuotaCutOff(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	create(t, srv, "user/zoe")
	setQuota(t, srv, "user", "%(S (0 1000))")
	h, state := newPassHost(t), filepath.Join(t.TempDir(), "state")
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nzed:x:1003:1003::/home/zed:/bin/sh\n")
	h.write("var/mail/joe", longLetter("joe", 1, 200))
	h.writeAs(1003, "home/zed/notes", "no mail\n")
	migrate := func(user string) {
		t.Helper()
		if o := runJSON(t, append([]string{"migrate", "--user", user}, flagsFor(srv, h.root, state)...)...); o.code != 0 {
			t.Fatalf("exit code %d\n%s", o.code, o.stderr)
		}
	}
	migrate("joe")
	journal := filepath.Join(state, ledger.JournalName)
	text, err := os.ReadFile(journal)
	if err == nil {
		err = os.WriteFile(journal, text[:bytes.LastIndex(text, []byte(`{"end"`))], 0o600)
	}
	if err == nil {
		_, err = srv.Run(t.Context(), "cyr_dbtool", filepath.Join(srv.ConfigDir, "quotas.db"), "quotalegacy", "set", "user", "%(S (0 1000))")
	}
	if err != nil {
		t.Fatal(err)
	}
	migrate("zed") // who has no mail
	if said, err := srv.Run(t.Context(), "quota", "-f"); err != nil || strings.Contains(said, " usage was ") {
		t.Errorf("it was not counted: %q, %v", said, err)
	}
}

// TestQuotaOfMerged: a user who has mail in Cyrus, and no INBOX on the host, gets a quota. The
// next run finds nothing to do, and undo takes the quota away again; also where an earlier
// version recorded it of an INBOX that is in no state.
func TestQuotaOfMerged(t *testing.T) {
	for _, earlier := range []bool{false, true} {
		t.Run(fmt.Sprintf("earlier version %v", earlier), func(t *testing.T) {
			u := newInUse(t, cyrustest.Options{})
			if err := os.Remove(filepath.Join(u.root, "var/mail/joe")); err != nil {
				t.Fatal(err)
			}
			// cyr_dbtool makes that directory, and nothing removes it.
			dir := filepath.Join(u.srv.ConfigDir, "quota", "j")
			if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, u.srv.UID, u.srv.GID)); err != nil {
				t.Fatal(err)
			}
			u.before = cyrusTree(t, u.srv)
			args := append([]string{"migrate", "--merge", "--quota", "1G"}, flagsFor(u.srv, u.root, u.state)...)
			if o := runJSON(t, args...); o.code != 0 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			journal := filepath.Join(u.state, ledger.JournalName)
			text, err := os.ReadFile(journal)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(text, []byte(`"state":""`)) {
				t.Errorf("a mailbox is in no state:\n%s", text)
			}
			if earlier {
				text = bytes.ReplaceAll(text, []byte(`"quota_set":true,`), nil)
				text = append(text, `{"set":{"state":"","user":"joe","folder":"","mailbox":"user.joe","uniqueid":"x","partition":"default","dir":"x","quota_set":true,"messages":0,"size":0,"manifest":"x.tsv"}}`+"\n"...)
				if err := os.WriteFile(journal, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if o := runJSON(t, args...); o.code != 0 {
				t.Errorf("again: exit code %d\n%s", o.code, o.stderr)
			}
			if o := u.undo(t); o.code != 0 {
				t.Errorf("undo: exit code %d\n%s", o.code, o.stderr)
			}
			u.asBefore(t, "undone")
		})
	}
}

// TestQuotasAlike: users whose names begin alike keep their quotas, those that they had and
// those that they are given, and undo takes away only these.
func TestQuotasAlike(t *testing.T) {
	srv, h, state := cyrustest.ForTest(t, cyrustest.Options{}), newPassHost(t), filepath.Join(t.TempDir(), "state")
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\njoey:x:1001:1001::/home/joey:/bin/sh\n")
	h.write("var/mail/joe", letter(1))
	h.write("var/mail/joey", letter(2))
	create(t, srv, "user/joel")
	setQuota(t, srv, "user.joel", "%(S (0 1000))")
	roots := func(when string, want ...string) {
		t.Helper()
		said, err := srv.Run(t.Context(), "quota")
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for line := range strings.Lines(said) {
			if fields := strings.Fields(line); strings.HasPrefix(fields[len(fields)-1], "user/") {
				have = append(have, fields[len(fields)-1])
			}
		}
		slices.Sort(have)
		if have = slices.Compact(have); !slices.Equal(have, want) { // a line for each resource
			t.Errorf("%s there are quotas of %q, want %q", when, have, want)
		}
	}
	undo := func() {
		t.Helper()
		if o := runJSON(t, append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)...); o.code != 0 {
			t.Fatalf("undo: exit code %d\n%s", o.code, o.stderr)
		}
		roots("after undo", "user/joel")
	}
	for pass := range 3 {
		if o := runJSON(t, append([]string{"migrate", "--quota", "1G"}, flagsFor(srv, h.root, state)...)...); o.code != 0 {
			t.Fatalf("exit code %d\n%s", o.code, o.stderr)
		}
		roots("after migrate", "user/joe", "user/joel", "user/joey")
		if pass == 0 { // that all were counted is no change of joe's
			undo()
		}
		h.write("var/mail/joe", letter(1)+letter(3+pass))
	}
	undo()
}

// TestQuotaOfMade: undo takes away the quota of a user who was not in Cyrus before.
func TestQuotaOfMade(t *testing.T) {
	srv, h, state := cyrustest.ForTest(t, cyrustest.Options{}), newPassHost(t), filepath.Join(t.TempDir(), "state")
	h.write("var/mail/joe", letter(1))
	create(t, srv, "user/zoe")
	setQuota(t, srv, "user.zoe", "%(S (0 1000))")
	dir := filepath.Join(srv.ConfigDir, "quota", "j") // stays, empty
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, srv.UID, srv.GID)); err != nil {
		t.Fatal(err)
	}
	before := cyrusTree(t, srv)
	for _, args := range [][]string{append([]string{"migrate", "--quota", "1G"}, flagsFor(srv, h.root, state)...),
		append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)} {
		if o := runJSON(t, args...); o.code != 0 {
			t.Fatalf("%s: exit code %d\n%s", args[0], o.code, o.stderr)
		}
	}
	if diff := diffTrees(before, cyrusTree(t, srv)); diff != "" {
		t.Errorf("Cyrus is not as it was:\n%s", diff)
	}
}

// TestQuotaLater: a quota that is asked for when nothing is to be done for a user is not set,
// which is told until it is there.
func TestQuotaLater(t *testing.T) {
	srv, h, state := cyrustest.ForTest(t, cyrustest.Options{}), newPassHost(t), filepath.Join(t.TempDir(), "state")
	h.write("var/mail/joe", letter(1))
	for i, step := range []struct {
		flags []string
		code  int
	}{{nil, 0}, {[]string{"--quota", "1G"}, 2}, {nil, 0}, {[]string{"--quota", "1G"}, 0}, {[]string{"--quota", "1G"}, 0}} {
		if i == 3 {
			h.write("var/mail/joe", letter(1)+letter(2))
		}
		o := runJSON(t, append(append([]string{"migrate"}, step.flags...), flagsFor(srv, h.root, state)...)...)
		if o.code != step.code || len(o.problems("quota")) != step.code/2 {
			t.Errorf("pass %d: exit code %d, want %d: %q", i+1, o.code, step.code, o.severe())
		}
	}
}
