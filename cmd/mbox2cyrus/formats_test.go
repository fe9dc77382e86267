package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// uwHost is a host whose folders UW's own c-client writes and reads, as its one user
// joe.
type uwHost struct {
	*passHost
	program  string
	uid, gid int
}

func newUWHost(t *testing.T) *uwHost {
	t.Helper()
	cc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc to build the program with that asks c-client")
	}
	if _, err := os.Stat("/usr/include/c-client/c-client.h"); err != nil {
		t.Skip("c-client is not installed (Debian package libc-client2007e-dev)")
	}
	dir, err := os.MkdirTemp("", "uwhost")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	h := &uwHost{passHost: &passHost{t: t, root: filepath.Join(dir, "host")}, program: filepath.Join(dir, "cclient"), uid: os.Getuid(), gid: os.Getgid()}
	source := filepath.Join("..", "..", "mbox", "testdata", "cclient.c")
	if out, err := exec.Command(cc, "-O1", "-o", h.program, source, "-lc-client").CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", source, err, out)
	}
	if h.uid == 0 { // c-client does not serve root
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Skipf("c-client does not serve root, and there is no other user: %v", err)
		}
		for _, f := range []struct {
			text string
			to   *int
		}{{nobody.Uid, &h.uid}, {nobody.Gid, &h.gid}} {
			if *f.to, err = strconv.Atoi(f.text); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.write("etc/passwd", fmt.Sprintf("joe:x:%d:%d::/home/joe:/bin/sh\n", h.uid, h.gid))
	for _, d := range []string{"home/joe/mail", "var/mail"} {
		if err := os.MkdirAll(filepath.Join(h.root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{dir, h.root, h.path("home"), h.path("var"), h.path("var/mail"), h.path("home/joe"), h.path("home/joe/mail"), h.program} {
		if err := os.Chmod(d, 0o755); err != nil {
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
	if os.Getuid() == 0 {
		if err := os.Lchown(h.path(name), h.uid, h.gid); err != nil {
			h.t.Fatal(err)
		}
	}
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
func (h *uwHost) uw(stdin string, args ...string) []byte {
	h.t.Helper()
	cmd := h.command(args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		h.t.Fatalf("c-client %q: %v\n%s%s", args, err, out.Bytes(), log.Bytes())
	}
	return out.Bytes()
}

func (h *uwHost) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(h.t.Context(), h.program, args...)
	cmd.Env = []string{"HOME=" + h.path("home/joe"), "TZ=America/New_York"}
	cmd.Dir = h.path("home/joe")
	cmd.WaitDelay = time.Second
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(h.uid), Gid: uint32(h.gid)}}
	}
	return cmd
}

// uwView is a mailbox as c-client shows it.
type uwView struct {
	driver            string
	validity, uidNext uint32
	sticky            bool
	keywords          map[int]string
	messages          []uwLetter
}

type uwLetter struct {
	uid    uint32
	flags  []string // system flags and keywords, sorted, without \Recent
	date   time.Time
	size   int64
	sha256 [sha256.Size]byte
}

// view asks c-client for a mailbox. It opens it read-only.
func (h *uwHost) view(name string) uwView {
	h.t.Helper()
	in := bufio.NewReader(bytes.NewReader(h.uw("", "read", name)))
	v := uwView{keywords: map[int]string{}}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			h.t.Fatalf("c-client and %s: %v", name, err)
		}
		f := strings.Fields(line)
		switch f[0] {
		case "end":
			return v
		case "mailbox":
			var n, sticky int
			var last uint32
			if _, err := fmt.Sscan(strings.Join(f[1:], " "), &v.driver, &n, &v.validity, &last, &sticky); err != nil {
				h.t.Fatalf("%q: %v", line, err)
			}
			v.uidNext, v.sticky = last+1, sticky != 0
		case "keyword":
			var bit int
			var keyword []byte
			if _, err := fmt.Sscanf(line, "keyword %d %x", &bit, &keyword); err != nil {
				h.t.Fatalf("%q: %v", line, err)
			}
			v.keywords[bit] = string(keyword)
		case "message":
			v.messages = append(v.messages, h.letter(&v, in, f[1:]))
		default:
			h.t.Fatalf("c-client and %s: %q", name, line)
		}
	}
}

func (h *uwHost) letter(v *uwView, in io.Reader, f []string) (m uwLetter) {
	h.t.Helper()
	var keywords uint64
	if _, err := fmt.Sscan(f[0], &m.uid); err != nil {
		h.t.Fatal(err)
	}
	if _, err := fmt.Sscanf(f[2], "%x", &keywords); err != nil {
		h.t.Fatal(err)
	}
	if _, err := fmt.Sscan(f[3], &m.size); err != nil {
		h.t.Fatal(err)
	}
	var err error
	if m.date, err = time.Parse("_2-Jan-2006 15:04:05 -0700", strings.Join(f[4:], " ")); err != nil {
		h.t.Fatal(err)
	}
	for letter, name := range map[rune]string{'R': `\Seen`, 'A': `\Answered`, 'F': `\Flagged`, 'D': `\Deleted`, 'T': `\Draft`} {
		if strings.ContainsRune(f[1], letter) {
			m.flags = append(m.flags, name)
		}
	}
	for bit, name := range v.keywords {
		if keywords&(1<<bit) != 0 {
			m.flags = append(m.flags, name)
		}
	}
	slices.Sort(m.flags)
	text := make([]byte, m.size+1)
	if _, err := io.ReadFull(in, text); err != nil {
		h.t.Fatal(err)
	}
	m.sha256 = sha256.Sum256(text[:m.size])
	return m
}

// same compares a mailbox in Cyrus with what c-client showed of the folder.
func (want *uwView) same(t *testing.T, where string, have cyrustest.MailboxView) {
	t.Helper()
	if want.sticky && (have.UIDValidity != want.validity || have.UIDNext != want.uidNext) {
		t.Errorf("%s: UIDVALIDITY %d, UIDNEXT %d, UW has %d, %d", where, have.UIDValidity, have.UIDNext, want.validity, want.uidNext)
	}
	if len(have.Messages) != len(want.messages) {
		t.Errorf("%s: %d messages, UW has %d", where, len(have.Messages), len(want.messages))
		return
	}
	for i, w := range want.messages {
		m := have.Messages[i]
		if m.UID != w.uid || !slices.Equal(m.Flags, w.flags) || !m.InternalDate.Equal(w.date) || m.Size != w.size || m.SHA256 != w.sha256 {
			t.Errorf("%s: message %d:\n have UID %d %q %v, %d bytes, %x\n UW has UID %d %q %v, %d bytes, %x", where, i+1,
				m.UID, m.Flags, m.InternalDate.UTC(), m.Size, m.SHA256[:4], w.uid, w.flags, w.date.UTC(), w.size, w.sha256[:4])
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
	views := map[string]uwView{}
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
		if v.driver != f.driver || len(v.messages) == 0 {
			t.Fatalf("c-client has %d messages in %s format in %s", len(v.messages), v.driver, f.name)
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
		t.Logf("%s: %s, %d messages in UW, %d in Cyrus", name, want.driver, len(want.messages), len(served[name].Messages))
		want.same(t, name+" ("+want.driver+")", served[name])
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
	if inbox.driver != "mbx" {
		t.Fatalf("c-client takes an INBOX in %s format", inbox.driver)
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
	boxes.same(t, "work/boxes", served["work/boxes"])
	plain.same(t, "work/plain", served["work/plain"])
	// What UW would have moved from the spool follows what is in the mbx file.
	have := served["INBOX"]
	if n := len(inbox.messages); len(have.Messages) == n+2 {
		for i, m := range have.Messages[n:] {
			if want := inbox.uidNext + uint32(i); m.UID != want || m.Size != 22 || slices.Contains(m.Flags, `\Seen`) != (i == 1) {
				t.Errorf("INBOX: from the spool: UID %d, flags %q, %d bytes; want UID %d", m.UID, m.Flags, m.Size, want)
			}
		}
		have.Messages, have.UIDNext = have.Messages[:n], inbox.uidNext
	}
	inbox.same(t, "INBOX", have)
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
		hold := h.command("hold", name)
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
		v := h.view("mail/" + name)
		v.same(t, name, served[name])
	}
}
