package migrate_test

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/migrate"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/mbox"
)

// pass migrates a host as the command does.
func pass(t *testing.T, srv *cyrustest.Server, root, state string, progress func(user, folder string, bytes, messages int64)) {
	t.Helper()
	cyrus, err := target.Open(t.Context(), target.Options{IMAPDConf: srv.Conf})
	if err != nil {
		t.Fatal(err)
	}
	cyrus.Alone = true
	l, err := ledger.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	host, err := mbox.OpenHost(mbox.HostOptions{Root: root, MailDir: "mail", MinUID: 500})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	homes, err := plan.Look(t.Context(), host, plan.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := homes.Plan(cyrus.Rules, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range p.Users {
		u.Partition = cyrus.Partition
	}
	if err := p.HoldTo(l); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	rep := report.New(report.Options{Stdout: &said, Stderr: &said, Command: "migrate"})
	e := &migrate.Engine{Cyrus: cyrus, Ledger: l, Report: rep, Progress: silent{}, Jobs: 1,
		Source: &source.Source{Host: host, Location: time.UTC, Progress: progress}}
	if err := e.Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if code := rep.ExitCode(); code != report.ExitOK {
		t.Fatalf("exit code %d\n%s", code, said.String())
	}
}

type silent struct{}

func (silent) UserStarted(string, int64) {}
func (silent) UserWaits(string)          {}
func (silent) UserRead(string)           {}
func (silent) UserDone(string)           {}

// messageFile returns what the spool has as a message.
func messageFile(t *testing.T, srv *cyrustest.Server, name string) (text string) {
	t.Helper()
	err := filepath.WalkDir(srv.Spool, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != name {
			return err
		}
		b, err := os.ReadFile(path)
		text = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestChangedAndBack: in a later pass a folder changes under the reader, who writes message
// files of what is there at that moment, and changes back before it is read once more.
// Those files have the size that they should have, and other mail.
func TestChangedAndBack(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	dir := t.TempDir()
	root, state := filepath.Join(dir, "host"), filepath.Join(dir, "state")
	letter := func(day int, body string) string {
		return fmt.Sprintf("From joe@example.com Mon Jun %2d 10:11:12 2003\nSubject: %d\n\n%s\n\n", day, day, body)
	}
	start := letter(1, "one") + letter(2, strings.Repeat(strings.Repeat("x", 70)+"\n", 3<<14)) // the window ends in it
	three, four := letter(3, "three"), letter(4, "four.")
	folder := filepath.Join(root, "var/mail/joe")
	for path, text := range map[string]string{
		filepath.Join(root, "etc/passwd"): "joe:x:1001:1001::/home/joe:/bin/sh\n",
		folder:                            start + three + four,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(folder, 1001, 1001); err != nil {
		t.Fatal(err)
	}
	pass(t, srv, root, state, nil)

	f, err := os.OpenFile(folder, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(letter(5, "five")); err != nil {
		t.Fatal(err)
	}
	put := func(text string) {
		t.Helper()
		time.Sleep(20 * time.Millisecond) // so that the folder has another time
		if _, err := f.WriteAt([]byte(text), int64(len(start))); err != nil {
			t.Fatal(err)
		}
	}
	tries := 0
	pass(t, srv, root, state, func(_, _ string, _, messages int64) {
		switch {
		case tries == 0 && messages == 1:
			put(four + three)
			tries++
		case tries == 1 && messages == 0: // all is read
			put(three + four)
			tries++
		}
	})
	if tries != 2 {
		t.Fatalf("the folder changed %d times", tries)
	}
	for n, body := range map[int]string{1: "one", 3: "three", 4: "four.", 5: "five"} {
		want := fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", n, body)
		if got := messageFile(t, srv, fmt.Sprintf("%d.", n)); got != want {
			t.Errorf("UID %d: %q, want %q", n, got, want)
		}
	}
}
