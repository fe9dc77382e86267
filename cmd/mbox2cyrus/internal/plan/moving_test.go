package plan

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// usedHost calls do when a user is begun: what happens on a host that is in use.
type usedHost struct{ do func(user string) }

func (h usedHost) UserStarted(name string, _ int64) { h.do(name) }
func (usedHost) UserDone(string)                    {}

func TestFoldersThatMoveAreTold(t *testing.T) {
	const message = "From a@example.org Mon Jun  2 10:11:12 2003\nSubject: one\n\n"
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/passwd", "ann:x:1001:1001::/home/ann:\nbob:x:1002:1002::/home/bob:\ncat:x:1003:1003::/home/cat:\n")
	for _, user := range []string{"ann", "bob", "cat"} {
		write("var/mail/"+user, message)
		write("home/"+user+"/mail/f", message)
	}
	host, err := mbox.OpenHost(mbox.HostOptions{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	p, err := build(host, cyrusspool.NameRules{}, Selection{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // the clock of files is coarse
	failures := report.New(report.Options{Stdout: io.Discard, Stderr: io.Discard})
	s := &Scanner{Source: &source.Source{Host: host, Location: time.UTC}, Report: failures, Jobs: 1}
	s.Progress = usedHost{func(user string) {
		switch user {
		case "ann":
			write("var/mail/ann", message+message) // delivery
			write("home/ann/mail/f", "")           // a client
		case "cat":
			write("var/mail/bob", message+message) // who was done already
		}
	}}
	if _, err := s.Run(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	want := []Moved{{"ann", "INBOX", true, true}, {"ann", "f", false, false}, {"bob", "INBOX", true, true}}
	if diff := cmp.Diff(want, s.Moved()); diff != "" {
		t.Error(diff)
	}
	if code := failures.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// build looks at a host and plans what becomes of it.
func build(host *mbox.Host, rules cyrusspool.NameRules, sel Selection, names *Names) (*Plan, error) {
	homes, err := Look(context.Background(), host, sel)
	if err != nil {
		return nil, err
	}
	return homes.Plan(rules, names)
}
