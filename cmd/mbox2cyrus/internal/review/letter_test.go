package review

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	for range 2 { // the second time replaces the first
		n, err := WriteLetters(dir, all, tmpl, true)
		if err != nil || n != len(all) {
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
	if n, err := WriteLetters(dir, all, tmpl, false); err != nil || n != 3 {
		t.Errorf("%d letters tell of a change, %v; want those to ann, bob and the third", n, err)
	}
	// A link that somebody put there is not followed.
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.Remove(filepath.Join(dir, "ann.txt")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "ann.txt")); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteLetters(dir, all, tmpl, true); err == nil {
		t.Error("a link was followed")
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
