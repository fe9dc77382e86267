package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
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

	"github.com/google/go-cmp/cmp"
)

// cclient is UW's c-client library, asked by the program testdata/cclient.c about
// mailboxes in any format below a home directory of its own.
type cclient struct {
	program, home string
	credential    *syscall.Credential // nil: as whoever runs the test
}

// newCClient builds the program. It skips the test where that cannot be done.
func newCClient(t testing.TB) *cclient {
	t.Helper()
	cc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc to build the program with that asks c-client")
	}
	if _, err := os.Stat("/usr/include/c-client/c-client.h"); err != nil {
		t.Skip("c-client is not installed (Debian package libc-client2007e-dev)")
	}
	dir, err := os.MkdirTemp("", "cclient")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	c := &cclient{program: filepath.Join(dir, "cclient"), home: filepath.Join(dir, "home")}
	if out, err := exec.Command(cc, "-O1", "-o", c.program, filepath.Join("testdata", "cclient.c"), "-lc-client").CombinedOutput(); err != nil {
		t.Fatalf("building testdata/cclient.c: %v\n%s", err, out)
	}
	for _, err := range []error{os.Mkdir(c.home, 0o755), os.Chmod(dir, 0o755), os.Chmod(c.program, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 { // c-client does not serve root
		c.credential = unprivileged(t)
		c.give(t, c.home)
	}
	return c
}

// unprivileged is the system's user for those who have no rights.
func unprivileged(t testing.TB) *syscall.Credential {
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf("c-client does not serve root, and there is no other user: %v", err)
	}
	var ids [2]uint64
	for i, s := range []string{nobody.Uid, nobody.Gid} {
		if ids[i], err = strconv.ParseUint(s, 10, 32); err != nil {
			t.Fatal(err)
		}
	}
	return &syscall.Credential{Uid: uint32(ids[0]), Gid: uint32(ids[1])}
}

// give makes a file or directory one of the user that c-client runs as.
func (c *cclient) give(t testing.TB, path string) {
	t.Helper()
	if c.credential == nil {
		return
	}
	if err := os.Lchown(path, int(c.credential.Uid), int(c.credential.Gid)); err != nil {
		t.Fatal(err)
	}
}

// path is that of a file in the home directory.
func (c *cclient) path(name string) string { return filepath.Join(c.home, name) }

// write puts a file into the home directory.
func (c *cclient) write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(c.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
	c.give(t, c.path(name))
}

// file returns the bytes of a file in the home directory.
func (c *cclient) file(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(c.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// command is the program, not yet started.
func (c *cclient) command(t testing.TB, args ...string) *exec.Cmd {
	return c.commandOf(t, c.program, args...)
}

// commandOf is a program of UW's, not yet started. It runs in New York, as UW's hosts in
// the fixtures did.
func (c *cclient) commandOf(t testing.TB, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = []string{"HOME=" + c.home, "TZ=America/New_York"}
	cmd.Dir = c.home
	cmd.WaitDelay = time.Second
	if c.credential != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.credential}
	}
	return cmd
}

// do has c-client change something, and fails the test if it does not.
func (c *cclient) do(t testing.TB, stdin string, args ...string) {
	t.Helper()
	cmd := c.command(t, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("c-client %q: %v\n%s", args, err, out)
	}
}

// mailutil has UW's mailutil, which copies between formats, change something.
func (c *cclient) mailutil(t testing.TB, args ...string) {
	t.Helper()
	program, err := exec.LookPath("mailutil")
	if err != nil {
		t.Skip("mailutil is not installed (Debian package uw-mailutils)")
	}
	if out, err := c.commandOf(t, program, args...).CombinedOutput(); err != nil {
		t.Fatalf("mailutil %q: %v\n%s", args, err, out)
	}
}

// uwMailbox is a mailbox as c-client shows it.
type uwMailbox struct {
	refused        bool // it does not open it, for any reason
	driver         string
	validity, last uint64
	sticky         bool           // UIDs are kept
	keywords       map[int]string // by bit
	messages       []uwMessage
}

// uwMessage is one message of it.
type uwMessage struct {
	uid   uint64
	flags string    // as letters has them
	date  time.Time // with the zone that UW shows
	text  string    // as imapd sends it
}

// read opens mailboxes read-only and returns what c-client shows of each, and what it
// said about all of them.
func (c *cclient) read(t testing.TB, names ...string) (mailboxes []uwMailbox, said string) {
	t.Helper()
	cmd := c.command(t, append([]string{"read"}, names...)...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	runErr := cmd.Run()
	in := bufio.NewReader(&out)
	for len(mailboxes) < len(names) {
		m, err := readUWMailbox(in)
		if err != nil {
			t.Fatalf("c-client and %q: %v, %v\n%s", names[len(mailboxes)], err, runErr, log.String())
		}
		mailboxes = append(mailboxes, m)
	}
	if runErr != nil {
		t.Fatalf("c-client: %v\n%s", runErr, log.String())
	}
	return mailboxes, log.String()
}

// readUWMailbox reads what the program writes of one mailbox.
func readUWMailbox(in *bufio.Reader) (m uwMailbox, err error) {
	m.keywords = map[int]string{}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return m, err
		}
		line = strings.TrimSuffix(line, "\n")
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "refused":
			m.refused = true
		case "mailbox":
			var n, sticky int
			_, err = fmt.Sscan(rest, &m.driver, &n, &m.validity, &m.last, &sticky)
			m.sticky = sticky != 0
		case "keyword":
			var bit int
			var name []byte
			if _, err = fmt.Sscanf(rest, "%d %x", &bit, &name); err == nil {
				m.keywords[bit] = string(name)
			}
		case "message":
			err = m.readMessage(in, rest)
		case "end":
			return m, nil
		default:
			err = errors.New("unknown line")
		}
		if err != nil {
			return m, fmt.Errorf("%q: %w", line, err)
		}
	}
}

func (m *uwMailbox) readMessage(in *bufio.Reader, line string) (err error) {
	fields := strings.SplitN(line, " ", 5)
	if len(fields) != 5 {
		return errors.New("not five fields")
	}
	var w uwMessage
	var keywords, size uint64
	for _, f := range []struct {
		text string
		base int
		to   *uint64
	}{{fields[0], 10, &w.uid}, {fields[2], 16, &keywords}, {fields[3], 10, &size}} {
		if *f.to, err = strconv.ParseUint(f.text, f.base, 64); err != nil {
			return err
		}
	}
	w.flags = strings.Trim(fields[1], "-")
	for bit := range 64 {
		if name := m.keywords[bit]; name != "" && keywords&(1<<bit) != 0 {
			w.flags += " " + name
		}
	}
	// UW shows the 30th of February too; then the date is not compared.
	if w.date, err = time.Parse("_2-Jan-2006 15:04:05 -0700", fields[4]); err != nil && !strings.Contains(err.Error(), "out of range") {
		return err
	}
	text := make([]byte, size+1)
	if _, err := io.ReadFull(in, text); err != nil {
		return err
	}
	w.text = string(text[:size])
	m.messages = append(m.messages, w)
	return nil
}

// collected is all that a Mailbox says.
type collected struct {
	messages []Message
	texts    []string
	findings []Finding
	mailbox  Mailbox
}

// lostText is in the place of the text of a message that cannot be read.
const lostText = "\x00unreadable"

// collect reads a mailbox to its end and writes the messages that write chooses. open is
// given opts with a place for the findings.
func collect(opts Options, write func(n int) bool, open func(Options) (Mailbox, error)) (res collected, err error) {
	opts.Findings = func(f Finding) { res.findings = append(res.findings, f) }
	if res.mailbox, err = open(opts); err != nil {
		return res, err
	}
	for {
		m, err := res.mailbox.Next()
		if err == io.EOF {
			return res, nil
		}
		if err != nil {
			return res, err
		}
		var b bytes.Buffer
		if write(m.Number) {
			if n, err := m.WriteTo(&b); errors.Is(err, ErrUnreadable) {
				b.Reset()
				b.WriteString(lostText)
			} else if err != nil || n != int64(b.Len()) {
				return res, fmt.Errorf("message %d: wrote %d of %d bytes: %w", m.Number, n, b.Len(), err)
			}
		}
		res.messages, res.texts = append(res.messages, *m), append(res.texts, b.String())
	}
}

// kinds are those of the findings, sorted, each once.
func (res *collected) kinds() []Kind {
	var kinds []Kind
	for _, f := range res.findings {
		kinds = append(kinds, f.Kind)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// checkUW holds what was read to what c-client shows: count, UIDs, UIDVALIDITY, UIDNEXT,
// flags, keywords, dates and bytes. normalise is applied to c-client's bytes, for repairs
// that are ours; nil if there are none.
func checkUW(t testing.TB, want uwMailbox, res *collected, normalise func(string) string) {
	t.Helper()
	if want.refused {
		t.Fatal("c-client does not open it")
	}
	if len(res.messages) != len(want.messages) {
		t.Fatalf("%d messages, c-client has %d", len(res.messages), len(want.messages))
	}
	// A UIDVALIDITY that c-client makes up is the time of day.
	madeUp := !want.sticky || time.Since(time.Unix(int64(want.validity), 0)) < time.Hour && res.mailbox.UIDValidity() == 0
	if !madeUp && (uint64(res.mailbox.UIDValidity()) != want.validity || uint64(res.mailbox.LastUID()) != want.last) {
		t.Errorf("UIDVALIDITY %d, last UID %d, c-client has %d, %d", res.mailbox.UIDValidity(), res.mailbox.LastUID(), want.validity, want.last)
	}
	keywords := res.mailbox.Keywords()
	for bit := range 64 {
		name := ""
		if bit < len(keywords) {
			name = keywords[bit]
		}
		if name != want.keywords[bit] {
			t.Errorf("keyword %d is %q, c-client has %q", bit, name, want.keywords[bit])
		}
	}
	for i, w := range want.messages {
		m := &res.messages[i]
		if uint64(m.UID) != w.uid {
			t.Errorf("message %d: UID %d, c-client has %d", i+1, m.UID, w.uid)
		}
		if got := letters(m, keywords); !sameLetters(got, w.flags) {
			t.Errorf("message %d: flags %q, c-client has %q", i+1, got, w.flags)
		}
		if !w.date.IsZero() && !m.Date.Equal(w.date) {
			t.Errorf("message %d: date %v (%v), c-client has %v", i+1, m.Date, m.DateSource, w.date)
		}
		text := w.text
		if normalise != nil {
			text = normalise(text)
		}
		if res.texts[i] != text {
			t.Errorf("message %d: %q, c-client has %q", i+1, res.texts[i], w.text)
		}
	}
}

// TestCClient: the reader of unix format was held to UW before there was this way of
// asking; so it is the way of asking that this tests.
func TestCClient(t *testing.T) {
	c := newCClient(t)
	opts := Options{Location: newYork(t), ModTime: fileTime}
	for _, prefix := range []string{"3 ", "4 ", "71 "} {
		f := fixtures[slices.IndexFunc(fixtures, func(f fixture) bool { return strings.HasPrefix(f.name, prefix) })]
		// UW reads dates without a zone rightly for one half of the year only.
		file := strings.ReplaceAll(f.file, " 2003\n", " 2003 -0400\n")
		c.write(t, "unix", []byte(file))
		got, said := c.read(t, "unix")
		if got[0].driver != "unix" {
			t.Fatalf("%s: driver %q; %s", f.name, got[0].driver, said)
		}
		res, err := collect(opts, always, func(o Options) (Mailbox, error) {
			return NewReader(strings.NewReader(file), int64(len(file)), o), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		checkUW(t, got[0], &res, nil)
	}
	// What it makes it can read, with the flags, the keyword and the date given.
	const text = "Subject: x\r\n\r\nbo\x80y\r\n"
	c.do(t, "", "create", "#driver.mbx/made")
	c.do(t, text, "append", "made", `\Seen`, " 2-Jun-2003 10:11:12 -0400")
	c.do(t, "", "flag", "made", "1", `\Flagged Work`)
	got, said := c.read(t, "made", "none")
	want := []uwMessage{{uid: 1, flags: "RF Work", text: text, date: time.Date(2003, 6, 2, 14, 11, 12, 0, time.UTC)}}
	if diff := cmp.Diff(want, got[0].messages, cmp.AllowUnexported(uwMessage{})); diff != "" || got[0].driver != "mbx" || got[0].keywords[0] != "Work" {
		t.Errorf("made a mailbox of format %q with keywords %v; %s: %s", got[0].driver, got[0].keywords, said, diff)
	}
	if !got[1].refused || said == "" {
		t.Errorf("a mailbox that is not there: %+v, %q", got[1], said)
	}
}
