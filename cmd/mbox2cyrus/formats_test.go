package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/internal/cclient"
)

// uwHost is a host whose folders UW's own c-client writes and reads, as its one user
// joe.
type uwHost struct {
	*passHost
	*cclient.CClient
}

func newUWHost(t *testing.T) *uwHost {
	t.Helper()
	c := cclient.New(t)
	h := &uwHost{&passHost{t: t, root: filepath.Join(c.Dir, "host")}, c}
	c.Home = h.path("home/joe")
	uid, gid := os.Getuid(), os.Getgid()
	if c.Credential != nil {
		uid, gid = int(c.Credential.Uid), int(c.Credential.Gid)
	}
	h.write("etc/passwd", fmt.Sprintf("joe:x:%d:%d::/home/joe:/bin/sh\n", uid, gid))
	for _, d := range []string{"home/joe/mail", "var/mail"} {
		if err := os.MkdirAll(h.path(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"", "home", "var", "var/mail", "home/joe", "home/joe/mail"} {
		if err := os.Chmod(h.path(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.give("home/joe")
	h.give("home/joe/mail")
	return h
}

func (h *uwHost) path(name string) string { return filepath.Join(h.root, name) }

func (h *uwHost) give(name string) {
	h.t.Helper()
	h.Give(h.t, h.path(name))
}

// put writes a file of joe's by hand.
func (h *uwHost) put(name, text string) {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Dir(h.path(name)), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.path(name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	for p := name; p != "home/joe" && p != "var/mail" && p != "."; p = filepath.Dir(p) {
		h.give(p)
	}
}

// uw lets c-client do something below joe's home.
func (h *uwHost) uw(stdin string, args ...string) {
	h.t.Helper()
	h.Do(h.t, stdin, args...)
}

// view asks c-client for a mailbox. It opens it read-only.
func (h *uwHost) view(name string) cclient.Mailbox {
	h.t.Helper()
	all, said := h.Read(h.t, name)
	if all[0].Refused {
		h.t.Fatalf("c-client does not open %s: %s", name, said)
	}
	return all[0]
}

// flagsOf are the system flags and keywords of a message as IMAP names them, sorted, without \Recent.
func flagsOf(m cclient.Message) []string {
	flags := slices.Clone(m.Keywords)
	for letter, name := range map[rune]string{'R': `\Seen`, 'A': `\Answered`, 'F': `\Flagged`, 'D': `\Deleted`, 'T': `\Draft`} {
		if strings.ContainsRune(m.Flags, letter) {
			flags = append(flags, name)
		}
	}
	slices.Sort(flags)
	return flags
}

// sameAsUW compares a mailbox in Cyrus with what c-client showed of the folder.
func sameAsUW(t *testing.T, where string, want cclient.Mailbox, have cyrustest.MailboxView) {
	t.Helper()
	if want.Sticky && (uint64(have.UIDValidity) != want.UIDValidity || uint64(have.UIDNext) != want.LastUID+1) {
		t.Errorf("%s: UIDVALIDITY %d, UIDNEXT %d, UW has %d, %d", where, have.UIDValidity, have.UIDNext, want.UIDValidity, want.LastUID+1)
	}
	if len(have.Messages) != len(want.Messages) {
		t.Errorf("%s: %d messages, UW has %d", where, len(have.Messages), len(want.Messages))
		return
	}
	for i, w := range want.Messages {
		m := have.Messages[i]
		flags, size, sum := flagsOf(w), int64(len(w.Text)), sha256.Sum256([]byte(w.Text))
		if uint64(m.UID) != w.UID || !slices.Equal(m.Flags, flags) || !m.InternalDate.Equal(w.Date) || m.Size != size || m.SHA256 != sum {
			t.Errorf("%s: message %d:\n have UID %d %q %v, %d bytes, %x\n UW has UID %d %q %v, %d bytes, %x", where, i+1,
				m.UID, m.Flags, m.InternalDate.UTC(), m.Size, m.SHA256[:4], w.UID, flags, w.Date.UTC(), size, sum[:4])
		}
	}
}

// appendLetters gives a folder messages through c-client, with flags, keywords and dates.
// Into an empty file it is the name to create that decides about the format.
func (h *uwHost) appendLetters(create, name string, keywords bool) {
	h.t.Helper()
	for i, flags := range []string{`()`, `(\Seen)`, `(\Seen \Answered \Flagged)`, `(\Deleted \Draft)`, `(\Seen)`} {
		text := fmt.Sprintf("From: joe@example.com\r\nSubject: letter %d in %s\r\nMessage-ID: <%d.%s@example.com>\r\n\r\nfirst line\r\nFrom here on\r\nlast line\r\n", i+1, name, i+1, name)
		h.uw(text, "append", create, flags, fmt.Sprintf(" %d-Jun-2003 10:11:%02d -0400", i+1, i))
	}
	if keywords {
		h.uw("", "flag", name, "2:3", "Work")
		h.uw("", "flag", name, "3", "Play")
	}
	h.uw("", "flag", name, "5", `\Deleted`)
	h.uw("", "expunge", name) // number 4 and 5
	h.uw("delivered later\r\n\r\nbody\r\n", "append", name, "()", "20-Jun-2003 00:00:00 +0000")
}

// TestFormats has UW's own code write a folder in every format that it can, migrates
// them, and compares what Cyrus serves with what UW's code shows.
func TestFormats(t *testing.T) {
	h := newUWHost(t)
	h.put("home/joe/.mh_profile", "Path: Mail\n")
	if err := os.Mkdir(h.path("home/joe/Mail"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.give("home/joe/Mail")
	views := map[string]cclient.Mailbox{}
	for _, f := range []struct {
		driver, create, name, cyrus string
	}{
		{"unix", "#driver.unix/mail/u", "mail/u", "u"},
		{"mbx", "#driver.mbx/mail/b", "mail/b", "b"},
		{"mix", "#driver.mix/mail/x", "mail/x", "x"},
		{"mx", "#driver.mx/mail/m", "mail/m", "m"},
		{"mmdf", "#driver.mmdf/mail/d", "mail/d", "d"},
		{"mh", "#mh/h", "#mh/h", "mh/h"},
		{"mtx", "#driver.mtx/mail/t", "mail/t", "t"},
		{"tenex", "#driver.tenex/mail/n", "mail/n", "n"},
	} {
		if f.driver == "mtx" { // and tenex: their keywords have names only here
			h.put("home/joe/.mminit", "set keywords Work, Play\n")
		}
		h.uw("", "create", f.create)
		h.appendLetters(f.create, f.name, f.driver != "mh")
		v := h.view(f.name)
		if v.Driver != f.driver || len(v.Messages) == 0 {
			t.Fatalf("c-client has %d messages in %s format in %s", len(v.Messages), v.Driver, f.name)
		}
		views[f.cyrus] = v
	}
	before := snapshot(t, h.root)

	srv := cyrustest.ForTest(t, cyrustest.Options{})
	args := append(flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state")), "--min-uid", "1")
	first := runJSON(t, append([]string{"migrate"}, args...)...)
	if first.code != 0 {
		t.Errorf("exit code %d\n%s", first.code, first.stderr)
	}
	if v := runJSON(t, append([]string{"verify", "--level", "content"}, args...)...); v.code != 0 {
		t.Errorf("verify: exit code %d\n%s", v.code, v.stderr)
	}
	second := runJSON(t, append([]string{"migrate"}, args...)...)
	if s := second.summary(t); second.code != 0 || s["messages_written"] != 0.0 {
		t.Errorf("second run: exit code %d, %v\n%s", second.code, s, second.stderr)
	}
	if diff := diffSnapshots(before, snapshot(t, h.root)); diff != "" {
		t.Errorf("the source was changed: %s", diff)
	}
	served := serve(t, srv)
	for name, want := range views {
		t.Logf("%s: %s, %d messages in UW, %d in Cyrus", name, want.Driver, len(want.Messages), len(served[name].Messages))
		sameAsUW(t, name+" ("+want.Driver+")", want, served[name])
	}
}

// TestHomeDirectoryHost: folders in the home itself, as UW has it when nobody configures
// anything; an INBOX in mbx format in the home, and what came to the spool since.
func TestHomeDirectoryHost(t *testing.T) {
	h := newUWHost(t)
	h.uw("", "create", "#driver.mbx/work/boxes", "work/plain")
	h.appendLetters("work/boxes", "work/boxes", true)
	h.appendLetters("work/plain", "work/plain", true)
	// UW takes ~/INBOX for the INBOX if it is mbx, mix or mx; c-client does not make one
	// there by that name.
	h.uw("", "create", "#driver.mbx/inb")
	h.appendLetters("inb", "inb", true)
	if err := os.Rename(h.path("home/joe/inb"), h.path("home/joe/INBOX")); err != nil {
		t.Fatal(err)
	}
	h.put("var/mail/joe", letter(1)+letter(2, "Status: RO"))
	h.put("home/joe/.bashrc", "umask 022\n")
	h.put("home/joe/.old-mail", letter(9))
	h.put("home/joe/thesis.tex", "\\documentclass{article}\n")
	h.put("home/joe/odd \xe9 %\"name", letter(3))
	h.put("home/joe/.mailboxlist", "work/plain\nINBOX\nwork/boxes\n")
	if err := os.Symlink("/etc/passwd", h.path("home/joe/link")); err != nil {
		t.Fatal(err)
	}
	inbox, boxes, plain := h.view("INBOX"), h.view("work/boxes"), h.view("work/plain")
	if inbox.Driver != "mbx" {
		t.Fatalf("c-client takes an INBOX in %s format", inbox.Driver)
	}
	before := snapshot(t, h.root)

	srv := cyrustest.ForTest(t, cyrustest.Options{})
	args := append(flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state")), "--min-uid", "1", "--mail-dir", ".")
	// The link wants a person.
	if o := runJSON(t, append([]string{"migrate"}, args...)...); o.code != 2 || len(o.severe()) != 1 || len(o.problems("symlink")) != 1 {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	if v := runJSON(t, append([]string{"verify", "--level", "content"}, args...)...); v.code != 2 || len(v.severe()) != 1 {
		t.Errorf("verify: exit code %d\n%s", v.code, v.stderr)
	}
	if diff := diffSnapshots(before, snapshot(t, h.root)); diff != "" {
		t.Errorf("the source was changed: %s", diff)
	}
	served := serve(t, srv)
	sameAsUW(t, "work/boxes", boxes, served["work/boxes"])
	sameAsUW(t, "work/plain", plain, served["work/plain"])
	// What UW would have moved from the spool follows what is in the mbx file.
	have := served["INBOX"]
	if n := len(inbox.Messages); len(have.Messages) == n+2 {
		for i, m := range have.Messages[n:] {
			if want := uint32(inbox.LastUID) + 1 + uint32(i); m.UID != want || m.Size != 22 || slices.Contains(m.Flags, `\Seen`) != (i == 1) {
				t.Errorf("INBOX: from the spool: UID %d, flags %q, %d bytes; want UID %d", m.UID, m.Flags, m.Size, want)
			}
		}
		have.Messages, have.UIDNext = have.Messages[:n], uint32(inbox.LastUID)+1
	}
	sameAsUW(t, "INBOX", inbox, have)
	names := slices.Sorted(maps.Keys(served))
	if want := []string{".old-mail", "INBOX", "odd é __name", "work", "work/boxes", "work/plain"}; !slices.Equal(names, want) {
		t.Errorf("mailboxes %q, want %q", names, want)
	}
	for _, name := range []string{"INBOX", "work/plain", "work/boxes"} {
		if !served[name].Subscribed {
			t.Errorf("%s is not subscribed to", name)
		}
	}
}

// TestMailboxInUse: UW has two folders open. The one in unix format is left to the next
// run; one in mbx format can be read beside a session, as UW itself does.
func TestMailboxInUse(t *testing.T) {
	h := newUWHost(t)
	h.uw("", "create", "mail/busy", "#driver.mbx/mail/busybox", "mail/idle")
	for _, name := range []string{"mail/busy", "mail/busybox", "mail/idle"} {
		h.appendLetters(name, name, false)
	}
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	args := append(flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state")), "--min-uid", "1", "--lock", "yes", "--lock-wait", "300ms")

	release := []func(){}
	for _, name := range []string{"mail/busy", "mail/busybox"} {
		hold := h.Command(t, "hold", name)
		stdin, err := hold.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := hold.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := hold.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "open\n" {
			t.Fatalf("c-client: %q, %v", line, err)
		}
		release = append(release, func() {
			_ = stdin.Close() // it ends with its input
			if err := hold.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	o := runJSON(t, append([]string{"migrate"}, args...)...)
	busy := o.problems("busy")
	if o.code != 2 || len(busy) != 1 || busy[0]["folder"] != "busy" || len(o.severe()) != 1 {
		t.Errorf("exit code %d, %v\n%s", o.code, busy, o.stderr)
	}
	if s := o.summary(t); s["messages_verified"] != 8.0 {
		t.Errorf("%v", s)
	}
	for _, f := range release {
		f()
	}
	before := snapshot(t, h.root)
	if o := runJSON(t, append([]string{"migrate"}, args...)...); o.code != 0 || o.summary(t)["messages_verified"] != 12.0 {
		t.Errorf("when they are free: exit code %d, %v\n%s", o.code, o.summary(t), o.stderr)
	}
	for path, s := range snapshot(t, h.root) {
		if was, ok := before[path]; !ok || was.sum != s.sum {
			t.Errorf("%s was changed or left behind", path)
		}
	}
	served := serve(t, srv)
	for _, name := range []string{"busy", "busybox", "idle"} {
		sameAsUW(t, name, h.view("mail/"+name), served[name])
	}
}
