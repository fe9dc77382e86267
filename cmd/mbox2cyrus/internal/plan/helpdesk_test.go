package plan

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
)

type silent struct{}

func (silent) UserStarted(string, int64) {}
func (silent) UserDone(string)           {}

// helpDesk plans a host and returns what is written for the help desk into a file
// of that name.
func helpDesk(t *testing.T, name string) string {
	t.Helper()
	h, root := newHostAt(t, map[string][]string{
		"ann":   nil,
		"bob":   {"caf\xc3\xa9", "this & that", "plain"}, // look the same
		"j*doe": {"Drafts"},
		"joe":   {"50%", "=1%", "marks"},
		"pop":   nil,
	})
	p := newPlan(t, h, nil)
	for _, u := range p.Users {
		for _, f := range u.Folders {
			path := filepath.Join(root, f.File.Path)
			var text string
			switch f.File.Path {
			case "home/joe/mail/marks":
				text = "From a@example.org Mon Jun  2 10:11:12 2003\nX-IMAPbase: 1054563072 1"
				for i := range 33 {
					text += fmt.Sprintf(" k%d", i)
				}
				text += "\nX-UID: 1\n\nb\n\n"
			case "var/mail/pop":
				text = strings.Replace(oneMessage, "\n", "\nx-uidl: 0f3b!!Q2\n", 1) + oneMessage
			default:
				continue
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	// More than a lock file holds: it may be mail.
	if err := os.WriteFile(filepath.Join(root, "var/mail/ann.lock"), []byte(strings.Repeat(oneMessage, 20)), 0o600); err != nil {
		t.Fatal(err)
	}
	p = newPlan(t, h, nil)
	desk := NewHelpDesk(p, rules)
	rep := report.New(report.Options{Stdout: io.Discard, Stderr: io.Discard, Command: "plan"})
	s := &Scanner{Source: &source.Source{Host: h, Location: time.UTC}, Report: rep, Progress: silent{}, Jobs: 2, HelpDesk: desk}
	if _, err := s.Run(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := desk.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHelpDeskText(t *testing.T) {
	want := `What changes for users. It concerns 4 of them; for 1 nothing changes.

ann
  Mail needs a look in var/mail/ann.lock: 59 bytes.

j*doe
  Logs in as j_doe instead of j*doe.

joe
  The folder 50% is now called 50_: characters that Cyrus refuses became _.
  The folder =1% is now called =1_: characters that Cyrus refuses became _.
  Mail needs a look in marks: keyword "k30" is one too many (3 places).

pop
  The user reads mail by POP3: a client that leaves mail on the server will fetch the 2 messages of the inbox again.
`
	got := helpDesk(t, "list.txt")
	// What the reader says of the keyword is its own business.
	if i := strings.Index(got, "  Mail needs a look in marks: "); i < 0 || !strings.Contains(got[i:], "\n\npop") {
		t.Fatalf("nothing is said of the lost keywords:\n%s", got)
	}
	cutLook := func(s string) string {
		return regexp.MustCompile(`(?m)^(  Mail needs a look in \S+: ).*$`).ReplaceAllString(s, "$1")
	}
	if diff := cmp.Diff(cutLook(want), cutLook(got)); diff != "" {
		t.Error(diff)
	}
}

func TestHelpDeskCSV(t *testing.T) {
	rows, err := csv.NewReader(strings.NewReader(helpDesk(t, "list.CSV"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range rows {
		got = append(got, strings.Join(row[:4], "|"))
		for _, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
				t.Errorf("%q is a formula to a spreadsheet", cell)
			}
		}
	}
	want := []string{"user|what|old|new", "ann|look|var/mail/ann.lock|", "j*doe|login|j*doe|j_doe", "joe|folder|50%|50_", `joe|folder|\x3d1%|\x3d1_`, "joe|look|marks|", "pop|pop3||"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
