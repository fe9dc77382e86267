package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/google/go-cmp/cmp"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
	"mbox2cyrus/cyrusspool"
)

// TestThereAndBack migrates a host, exports all its users, migrates the exports
// into a second Cyrus, and compares what the clients of both see.
func TestThereAndBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts cyrustest.Options
	}{
		{"slash", cyrustest.Options{}},
		{"dot by name", cyrustest.Options{LegacyDirs: true, HashIMAPSpool: true, DotSeparator: true, NoAltNamespace: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first := cyrustest.ForTest(t, tt.opts)
			root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
			truth, err := samplehost.Write(root, samplehost.Options{Seed: 7, Users: 3, Location: newYork(t)})
			if err != nil {
				t.Fatal(err)
			}
			if r := runJSON(t, append([]string{"migrate"}, flagsFor(first, root, state)...)...); r.code != 0 && r.code != 2 {
				t.Fatalf("migrate: exit code %d\n%s", r.code, r.stderr)
			}
			spool := cyrusTree(t, first)

			back := filepath.Join(t.TempDir(), "back")
			var passwd strings.Builder
			rules := cyrusspool.NameRules{UnixHierarchySep: !tt.opts.DotSeparator, UsernameToLower: true}
			var ids []string
			for i, u := range truth.Users {
				if len(u.Folders) == 0 {
					continue
				}
				id, _ := rules.UserID(u.Name)
				ids = append(ids, id)
				home := filepath.Join(back, "home", id)
				mkdirs(t, filepath.Join(back, "home"), filepath.Join(back, "var", "mail"), filepath.Join(back, "etc"))
				uid := 2000 + i
				fmt.Fprintf(&passwd, "%s:x:%d:%d::/home/%s:/bin/sh\n", id, uid, uid, id)
				r := runJSON(t, "export", "--imapd-conf", first.Conf, "--user", id, "--output", home, "--owner", fmt.Sprintf("%d:%d", uid, uid), "--source-timezone", "America/New_York")
				if s := r.summary(t); r.code != 0 || s["messages_found"] != s["messages_verified"] {
					t.Fatalf("export of %s: exit code %d, %v\n%s", id, r.code, s, r.stderr)
				}
				if err := os.Rename(filepath.Join(home, "INBOX"), filepath.Join(back, "var", "mail", id)); err != nil {
					t.Fatal(err)
				}
			}
			if diff := diffTrees(spool, cyrusTree(t, first)); diff != "" {
				t.Errorf("export changed Cyrus:\n%s", diff)
			}
			if err := os.WriteFile(filepath.Join(back, "etc", "passwd"), []byte(passwd.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			second := cyrustest.ForTest(t, tt.opts)
			r := runJSON(t, append([]string{"migrate"}, flagsFor(second, back, filepath.Join(t.TempDir(), "state2"))...)...)
			if r.code != 0 {
				t.Errorf("migrate of the export: exit code %d\n%s", r.code, r.stderr)
			}
			messages := 0
			have, want := serveUsers(t, second, ids), serveUsers(t, first, ids)
			for _, id := range ids {
				// A mailbox that only lies above others has no file in UW, and gets
				// a new UIDVALIDITY as the first time.
				for i := range want[id] {
					if len(want[id][i].Messages) == 0 && want[id][i].UIDNext == 1 && i < len(have[id]) && have[id][i].Name == want[id][i].Name {
						have[id][i].UIDValidity = want[id][i].UIDValidity
					}
					messages += len(want[id][i].Messages)
				}
				if diff := cmp.Diff(want[id], have[id]); diff != "" {
					t.Errorf("%s, the first Cyrus and the second:\n%s", id, diff)
				}
			}
			t.Logf("compared %d messages", messages)
			if messages < 100 {
				t.Errorf("only %d messages were compared", messages)
			}
		})
	}
}

func mkdirs(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// serveUsers starts Cyrus and reads all mail of users.
func serveUsers(t *testing.T, srv *cyrustest.Server, ids []string) map[string][]cyrustest.MailboxView {
	t.Helper()
	for _, id := range ids {
		if err := srv.AddUser(id, "secret"); err != nil {
			t.Fatal(err)
		}
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	}()
	views := map[string][]cyrustest.MailboxView{}
	for _, id := range ids {
		var err error
		if views[id], err = cyrustest.ReadAll(srv.IMAPAddr(), id, "secret"); err != nil {
			t.Fatal(err)
		}
	}
	return views
}

// TestExportToOtherFileSystems: NFS and FUSE cannot be told to rename without replacing
// (EINVAL). There, too, nothing is left half done, and nothing is overwritten.
func TestExportToOtherFileSystems(t *testing.T) {
	needStrace(t)
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	writeCyrusMailbox(t, srv, "user.joe", "abcdef", filepath.Join(srv.Spool, "uuid", "a", "b", "abcdef"), []string{"Subject: plain\r\n\r\nhello\r\n"})
	out := t.TempDir()
	for _, tt := range []struct {
		name, file string
		args       []string
	}{
		{"file", "", []string{"user/joe"}},
		{"tree", "INBOX", []string{"--user", "joe"}},
	} {
		output := filepath.Join(out, tt.name)
		args := append([]string{"export", "--quiet", "--imapd-conf", srv.Conf, "--output", output}, tt.args...)
		for _, code := range []int{0, 1} { // the second finds it there
			if have, stderr := runWithFault(t, "error=EINVAL", "renameat2", 1, args...); have != code {
				t.Errorf("%s: exit code %d, want %d\n%s", tt.name, have, code, stderr)
			}
		}
		if b, err := os.ReadFile(filepath.Join(output, tt.file)); err != nil || !strings.HasSuffix(string(b), "\nhello\n\n") {
			t.Errorf("%s: %q %v", tt.name, b, err)
		}
	}
	if entries, err := os.ReadDir(out); err != nil || len(entries) != 2 {
		t.Errorf("there is %v in the end, %v", entries, err)
	}
}

// TestExportOfOneMailbox looks at the very bytes, at what UW makes of lines that
// begin "From ", and at refusals.
func TestExportOfOneMailbox(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	// Mail that came to Cyrus later, with all that a unix mailbox cannot hold.
	texts := []string{
		"Return-Path: <ann@example.org>\r\nSubject: plain\r\n\r\nhello\r\n\r\n",
		"Subject: from\r\nFrom x Mon Jun  2 10:11:12 2003 in the header\r\n\r\nFrom here on it is text\r\n>From there too\r\nFrom a@example.org Mon Jun  2 10:11:12 2003\r\nlast\r\n",
		"Status: RO\r\nX-UID: 77\r\n more\r\nSubject: theirs\r\n\r\nbody\r\n",
		"Subject: no end",
		"\r\n",
		"Subject: odd\r\n\r\nlone\rCR and NUL\x00 and \nbare LF",
		"Subject: long\r\n\r\nFrom " + strings.Repeat("x", 200<<10) + "\r\nend\r\n",
	}
	dir := filepath.Join(srv.Spool, "uuid", "a", "b", "abcdef")
	writeCyrusMailbox(t, srv, "user.joe", "abcdef", dir, texts)
	out := filepath.Join(t.TempDir(), "joe.mbox")
	r := runJSON(t, "export", "--imapd-conf", srv.Conf, "--output", out, "--source-timezone", "America/New_York", "user/joe")
	if r.code != 2 || r.summary(t)["messages_found"] != 7.0 {
		t.Fatalf("exit code %d\n%s", r.code, r.stderr)
	}
	said := map[string]bool{}
	for _, p := range r.problems("not-identical") {
		text := p["text"].(string)
		said[text[strings.Index(text, "UID "):strings.Index(text, " comes")]] = true
	}
	if diff := cmp.Diff(map[string]bool{"UID 2": true, "UID 3": true, "UID 4": true, "UID 6": true, "UID 7": true}, said); diff != "" {
		t.Errorf("messages that do not come back the same:\n%s", diff)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	pad := func(s string, n int) string { return s + strings.Repeat(" ", n-len(s)) }
	want := "From ann@example.org Sat Sep  8 21:46:41 2001 -0400\n" +
		"Return-Path: <ann@example.org>\nSubject: plain\n" +
		"X-IMAPbase: 1234567 12 Work\nStatus: RO\nX-Status: F\n" + pad("X-Keywords: Work", 80) + "\nX-UID: 1\n\nhello\n\n\n" +
		"From joe Sat Sep  8 21:46:42 2001 -0400\n" +
		"Subject: from\nFrom x Mon Jun  2 10:11:12 2003 in the header\n" +
		"Status: RO\nX-Status: F\n" + pad("X-Keywords: Work", 50) + "\nX-UID: 2\n\n" +
		"From here on it is text\n>From there too\n>From a@example.org Mon Jun  2 10:11:12 2003\nlast\n\n" +
		"From joe Sat Sep  8 21:46:43 2001 -0400\n" +
		"X-Original-Status: RO\nX-Original-UID: 77\n more\nSubject: theirs\n"
	if !strings.HasPrefix(string(b), want) {
		t.Errorf("the file begins\n%q\nwant\n%q", b[:min(len(b), len(want)+200)], want)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}

	for _, tt := range []struct {
		name string
		code int
		says string
		args []string
	}{
		{"exists", 1, "nothing is ever overwritten", []string{"--output", out, "user/joe"}},
		{"no such mailbox", 64, "no such mailbox", []string{"--output", out + "2", "user/joe/nope"}},
		{"no such user", 64, "no such mailbox", []string{"--output", out + "2", "--user", "eve"}},
		{"both", 64, "either a MAILBOX", []string{"--output", out + "2", "--user", "joe", "user/joe"}},
		{"nowhere", 64, "wants --output", []string{"user/joe"}},
		{"owner", 64, "in numbers", []string{"--output", out + "2", "--owner", "joe", "user/joe"}},
	} {
		r := runJSON(t, append([]string{"export", "--imapd-conf", srv.Conf}, tt.args...)...)
		if r.code != tt.code || !strings.Contains(r.stderr, tt.says) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s", tt.name, r.code, tt.code, tt.says, r.stderr)
		}
	}

	// A damaged message file is an error, and leaves nothing behind.
	appendTo(t, filepath.Join(dir, "5."), "x")
	r = runJSON(t, "export", "--imapd-conf", srv.Conf, "--output", out+"3", "user/joe")
	if r.code != 1 || !strings.Contains(r.stderr, "UID 5: its file has 3 bytes") {
		t.Errorf("damaged: exit code %d\n%s", r.code, r.stderr)
	}
	if left, _ := filepath.Glob(out + "3*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// writeCyrusMailbox makes a mailbox of Cyrus's with messages that have UIDs from 1
// on, dates a second apart, and the keyword Work.
func writeCyrusMailbox(t *testing.T, srv *cyrustest.Server, name, id, dir string, texts []string) {
	t.Helper()
	rel, err := filepath.Rel(srv.Spool, dir)
	if err != nil {
		t.Fatal(err)
	}
	owner := cyrusspool.Owner{UID: srv.UID, GID: srv.GID, FileMode: 0o600, DirMode: 0o700}
	w, err := cyrusspool.CreateMailbox(srv.Spool, rel, cyrusspool.Version17, owner)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		uid := uint32(i + 1)
		date := int64(1000000000 + uid)
		size, guid, err := w.WriteMessage(uid, time.Unix(date, 0), strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(cyrusspool.Record{UID: uid, InternalDate: date, Size: uint64(size), GUID: guid, ModSeq: 1,
			SystemFlags: cyrusspool.FlagSeen | cyrusspool.FlagFlagged, UserFlags: [4]uint32{1}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(cyrusspool.IndexHeader{UIDValidity: 1234567, LastUID: 12, RecentUID: 12},
		cyrusspool.Header{Form: cyrusspool.HeaderDlist, UniqueID: id, Name: cyrusspool.Name(name), Type: "e", Flags: []string{"Work"},
			ACL: []cyrusspool.ACLEntry{{ID: "joe", Rights: "lrswipkxtecdan"}}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	entry := fmt.Sprintf(`{%q: {"uidvalidity": "1234567", "createdmodseq": "1", "foldermodseq": "1", "mbtype": "e", "partition": "default", "acl": {"joe": "lrswipkxtecdan"}, "uniqueid": %q}}`, name, id)
	if out, err := enter(srv, entry); err != nil {
		t.Fatal(err, out)
	}
}

// enter gives ctl_mboxlist -u what it reads.
func enter(srv *cyrustest.Server, entries string) ([]byte, error) {
	cmd := exec.Command(filepath.Join(cyrustest.BinDir, "ctl_mboxlist"), "-C", srv.Conf, "-u")
	cmd.Stdin = strings.NewReader(entries)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(srv.UID), Gid: uint32(srv.GID)}}
	return cmd.CombinedOutput()
}

// TestExportNamesAreSafe makes mailboxes whose names would lead out of the tree, or
// that UW cannot have as files.
func TestExportNamesAreSafe(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	text := []string{"Subject: x\r\n\r\nx\r\n"}
	names := []string{"user.joe", "user.joe.^^", "user.joe.^^.^^", "user.joe.^^.^^.etc", "user.joe.work", "user.joe.work.2003", "user.joe.work^mbox", "user.joe.^hidden"}
	for i, name := range names {
		id := fmt.Sprintf("%c%cmailbox", 'a'+i, 'a'+i)
		writeCyrusMailbox(t, srv, name, id, filepath.Join(srv.Spool, cyrusspool.DirByID(id)), text)
	}
	base := t.TempDir()
	out := filepath.Join(base, "joe")
	r := runJSON(t, "export", "--imapd-conf", srv.Conf, "--user", "joe", "--output", out)
	if r.code != 2 {
		t.Errorf("exit code %d, want 2: names were changed\n%s", r.code, r.stderr)
	}
	have := map[string]bool{}
	for path, state := range snapshot(t, base) {
		if rel, err := filepath.Rel(base, path); err == nil && state.mode.IsRegular() {
			have[rel] = true
		}
	}
	want := map[string]bool{"joe/INBOX": true, "joe/mail/__.mbox": true, "joe/mail/__/__.mbox": true, "joe/mail/__/__/etc": true,
		"joe/mail/work.mbox-2": true, "joe/mail/work/2003": true, "joe/mail/work.mbox": true, "joe/mail/.hidden": true}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("files:\n%s", diff)
	}
	if n := r.summary(t)["messages_verified"]; n != float64(len(names)) {
		t.Errorf("%v messages were read back", n)
	}
}

// TestExportThroughALink: a user's link on the way to the output leads nowhere, root's does.
func TestExportThroughALink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not run as root")
	}
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	writeCyrusMailbox(t, srv, "user.joe", "abcdef", filepath.Join(srv.Spool, "uuid", "a", "b", "abcdef"), []string{"Subject: plain\r\n\r\nhello\r\n"})
	home, outside := t.TempDir(), t.TempDir()
	link := filepath.Join(home, "back")
	if err := os.Symlink(outside, link); err != nil {
		t.Fatal(err)
	}
	args := []string{"export", "--imapd-conf", srv.Conf, "--output", filepath.Join(link, "joe"), "user/joe"}
	for _, tt := range []struct{ uid, code, files int }{{1001, 1, 0}, {0, 0, 1}} {
		if err := os.Lchown(link, tt.uid, tt.uid); err != nil {
			t.Fatal(err)
		}
		r := runJSON(t, args...)
		files, err := os.ReadDir(outside)
		if r.code != tt.code || err != nil || len(files) != tt.files {
			t.Errorf("link of uid %d: exit code %d, %v, %v\n%s", tt.uid, r.code, files, err, r.stderr)
		}
	}
}

// TestExportOfABusyMailbox changes the mailbox again and again while it is read:
// export says so and leaves nothing, or it writes a state that the mailbox had.
func TestExportOfABusyMailbox(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	dir := filepath.Join(srv.Spool, "uuid", "a", "b", "abcdef")
	var texts []string
	for i := range 3000 {
		texts = append(texts, fmt.Sprintf("Subject: %d\r\n\r\n%x\r\n", i, sha256.Sum256([]byte{byte(i)})))
	}
	writeCyrusMailbox(t, srv, "user.joe", "abcdef", dir, texts)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			// As Cyrus does it: a new index is renamed over the old one.
			b, err := os.ReadFile(filepath.Join(dir, "cyrus.index"))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "cyrus.index.NEW"), b, 0o600)
			}
			if err == nil {
				err = os.Rename(filepath.Join(dir, "cyrus.index.NEW"), filepath.Join(dir, "cyrus.index"))
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	out := filepath.Join(t.TempDir(), "out")
	r := runJSON(t, "export", "--imapd-conf", srv.Conf, "--output", out, "user/joe")
	close(stop)
	<-stopped
	if r.code != 1 || !strings.Contains(r.stderr, "the mailbox was changed in Cyrus while it was read") {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
	if left, _ := filepath.Glob(out + "*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if r := runJSON(t, "export", "--imapd-conf", srv.Conf, "--output", out, "user/joe"); r.code != 0 {
		t.Errorf("when it is quiet: exit code %d\n%s", r.code, r.stderr)
	}
}

// TestExportDates: a mailbox is exported whatever internal dates users gave its messages. One that
// UW does not know is told and becomes the nearest; one that is of 1969 in its zone is in UTC.
func TestExportDates(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	create(t, srv, "user/joe")
	const text = "Subject: dated\r\nDate: Sun, 29 Feb 2004 12:00:00 +0000\r\n\r\nhello\r\n"
	useCyrus(t, srv, func(c *imapclient.Client) error {
		for _, unix := range []int64{1, 1 << 30, 1<<32 - 1} {
			cmd := c.Append("INBOX", int64(len(text)), &imap.AppendOptions{Time: time.Unix(unix, 0).UTC()})
			_, err := cmd.Write([]byte(text))
			if err := errors.Join(err, cmd.Close()); err != nil {
				return err
			}
			if _, err := cmd.Wait(); err != nil {
				return err
			}
		}
		return nil
	})
	out := filepath.Join(t.TempDir(), "out")
	o := runJSON(t, "export", "--imapd-conf", srv.Conf, "--output", out, "--source-timezone", "America/New_York", "user/joe")
	told := o.problems("not-identical")
	if o.code != 2 || len(told) != 1 || !strings.Contains(told[0]["text"].(string), "UID 3 ") {
		t.Fatalf("exit code %d, %v\n%s", o.code, told, o.stderr)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var dates []string
	for line := range strings.Lines(string(b)) {
		if date, ok := strings.CutPrefix(line, "From joe "); ok {
			dates = append(dates, strings.TrimSuffix(date, "\n"))
		}
	}
	want := []string{"Thu Jan  1 00:00:01 1970 +0000", "Sat Jan 10 08:37:04 2004 -0500", "Tue Dec 31 18:59:59 2097 -0500"}
	if diff := cmp.Diff(want, dates); diff != "" {
		t.Error(diff)
	}
}

// TestExportLongNames: Cyrus lets users make mailboxes whose names no file can have for their
// length.
func TestExportLongNames(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	long, dir := strings.Repeat("n", 300), strings.Repeat("d", 253)
	create(t, srv, "user/joe")
	useCyrus(t, srv, func(c *imapclient.Client) error {
		for _, name := range []string{long, long + "other", dir, dir + "/below"} {
			if err := c.Create(name, nil).Wait(); err != nil {
				return err
			}
			if err := appendMailTo(c, name); err != nil {
				return err
			}
		}
		return nil
	})
	out := filepath.Join(t.TempDir(), "out")
	o := runJSON(t, "export", "--imapd-conf", srv.Conf, "--user", "joe", "--output", out)
	if s := o.summary(t); o.code != 2 || s["messages_found"] != 4.0 || s["messages_verified"] != 4.0 || len(o.problems("name-changed")) != 3 {
		t.Errorf("exit code %d, %v\n%s", o.code, s, o.stderr)
	}
}
