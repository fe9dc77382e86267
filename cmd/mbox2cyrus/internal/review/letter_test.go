package review

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func letters(t *testing.T, hosts ...string) []*Letter {
	t.Helper()
	all, others, err := load(t, hosts...).Letters()
	if err != nil {
		t.Fatal(err)
	}
	if others != 3 {
		t.Errorf("%d users are left out, want eve, dan and fred", others)
	}
	return all
}

func TestLetters(t *testing.T) {
	tmpl, err := LetterTemplate("")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "letters.txt", func(w io.Writer) error {
		for _, l := range letters(t, "north") {
			var b bytes.Buffer
			if err := tmpl.Execute(&b, l); err != nil {
				return err
			}
			for line := range strings.Lines(b.String()) {
				if strings.HasSuffix(strings.TrimSuffix(line, "\n"), " ") || strings.Contains(line, "\x1b") {
					t.Errorf("letter to %q: line %q", l.User, line)
				}
			}
			if _, err := b.WriteString("========\n"); err != nil {
				return err
			}
			if _, err := b.WriteTo(w); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestLetterOnLogin: what the administrator is to do about a login is not in the letter.
func TestLetterOnLogin(t *testing.T) {
	var l Letter
	l.problem(Problem{Kind: "user-dot", Text: "user a.b becomes a_b; mail for him needs an alias"})
	l.problem(Problem{Kind: "user-admin", Text: "root is one of Cyrus's administrators"})
	if diff := cmp.Diff([]string{"user a.b becomes a_b"}, l.Login); diff != "" || len(l.Look) > 0 {
		t.Errorf("%s%v", diff, l.Look)
	}
}

// TestAFolderOfTheNameINBOX is not the inbox, which keeps its name.
func TestAFolderOfTheNameINBOX(t *testing.T) {
	state := t.TempDir()
	for name, text := range map[string]string{
		"ledger.jsonl": `{"ledger":2}
{"run":{"start":"2026-11-27T02:00:00Z","program":"1.0 abc","source_root":"/srv/north","imapd_conf":"/etc/imapd.conf","cyrus":"3.6.1"}}
{"set":{"state":"verified","user":"ann","folder":"INBOX","mailbox":"user.ann","uniqueid":"1","messages":3}}
{"set":{"state":"verified","user":"ann","folder":"INBOX","mailbox":"user.ann.INBOX^saved","uniqueid":"2","messages":2}}
`,
		"history/migrate.jsonl": `{"run":1,"message_type":"run","command":"migrate","start":"2026-11-27T02:00:00Z","host":"north"}
{"run":1,"message_type":"folder","user":"ann","folder":"INBOX","mailbox":"user.ann","read":true}
{"run":1,"message_type":"folder","user":"ann","folder":"INBOX","mailbox":"user.ann.INBOX^saved","shown_as":"INBOX.saved","renamed_why":"only the inbox can be called INBOX","read":true}
{"run":1,"message_type":"user","user":"ann","time":"2026-11-27T02:00:03Z","folders":2}
`} {
		path := filepath.Join(state, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Load([]string{state}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	letters, _, err := r.Letters()
	if err != nil || len(letters) != 1 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	if diff := cmp.Diff([]string{"INBOX.saved"}, letters[0].Afresh); diff != "" {
		t.Error(diff)
	}
}

func TestWriteLetters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "letter")
	if err := os.WriteFile(path, []byte("{{.User}}: {{range .Renamed}}{{.New}}{{end}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	tmpl, err := LetterTemplate(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "letters")
	all := append(letters(t, "north", "south"), &Letter{User: "../../up"}, &Letter{User: ".."})
	login := []*Letter{{User: "ann@south", Host: "north"}, {User: "ann", Host: "north"}, {User: "ann", Host: "south"}}
	apart := filepath.Join(t.TempDir(), "apart")
	if _, _, err := WriteLetters(apart, login, tmpl, true); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(apart); err != nil || len(files) != len(login) {
		t.Errorf("%d files of %d letters, %v", len(files), len(login), err)
	}
	for range 2 { // the second time replaces the first
		n, others, err := WriteLetters(dir, all, tmpl, true)
		if err != nil || n != len(all) || others != 0 {
			t.Fatalf("%d of %d written: %v", n, len(all), err)
		}
	}
	got := map[string]string{}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[f.Name()] = string(b)
	}
	want := map[string]string{"ann.txt": "ann: a^b", "ann@south.txt": "ann: ", "bob.txt": "bob: ", "caf%E9.txt": "caf\xe9: ",
		"%2E.%2F..%2Fup.txt": "../../up: ", "%2E..txt": "..: "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Those to users who are told nothing now are there still.
	if n, others, err := WriteLetters(dir, all, tmpl, false); err != nil || n != 3 || others != 3 {
		t.Errorf("%d letters tell of a change, %d others, %v; want those to ann, bob and the third", n, others, err)
	}
}

// TestLettersBesideTraps: who can write to the directory of the letters gets no letter to
// another, and no other file than his own is written to.
func TestLettersBesideTraps(t *testing.T) {
	tmpl, err := LetterTemplate("")
	if err != nil {
		t.Fatal(err)
	}
	dir, secret := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	path := filepath.Join(dir, "ann.txt")
	for name, trap := range map[string]func() error{
		"symbolic link": func() error { return os.Symlink(secret, path) },
		"hard link":     func() error { return os.Link(secret, path) },
		"FIFO":          func() error { return unix.Mkfifo(path, 0o666) },
		"open to all":   func() error { return os.WriteFile(path, nil, 0o666) },
	} {
		if err := errors.Join(os.WriteFile(secret, []byte("secret"), 0o600), trap()); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, _, err := WriteLetters(dir, []*Letter{{User: "ann"}}, tmpl, true)
			done <- err
		}()
		select {
		case err = <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: it waits for ever", name)
		}
		if b, rerr := os.ReadFile(secret); err != nil || rerr != nil || string(b) != "secret" {
			t.Errorf("%s: %v; what was not to be written to has %q, %v", name, err, b, rerr)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != 0o600 || info.Size() == 0 {
			t.Errorf("%s: the letter is %v, %v", name, info, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestATemplateWithAnErrorIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "letter")
	if err := os.WriteFile(path, []byte("Dear\n{{.User"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LetterTemplate(path); err == nil || !strings.Contains(err.Error(), "2") {
		t.Errorf("%v, want the line", err)
	}
}
