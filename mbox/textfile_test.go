package mbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTextFile(t *testing.T) {
	unixText := "From a@example.org Mon Jun  2 10:11:12 2003\nSubject: a\n\nb\n\n"
	mbx := "*mbx*\r\n3edb6d2000000000\r\n" + strings.Repeat("\x00", 2048-25)
	for name, tt := range map[string]struct {
		content string
		text    bool
	}{
		"unix": {unixText, true}, "empty": {"", true}, "mbx": {mbx, false},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		p := part{path: path, file: file}
		if err := p.recognise(); err != nil && tt.text {
			t.Fatal(err)
		}
		f := &Folder{parts: []part{p}}
		if got := f.TextFile("") != nil; got != tt.text {
			t.Errorf("%s: text %v, want %v", name, got, tt.text)
		}
		if f.TextFile("other") != nil {
			t.Errorf("%s: it has no file of another name", name)
		}
	}
	a, b := &os.File{}, &os.File{}
	f := &Folder{parts: []part{{path: "var/mail/joe", format: FormatUnix, file: a}, {path: "home/joe/INBOX", format: FormatMBX, file: b}}}
	if f.TextFile("var/mail/joe") != a || f.TextFile("home/joe/INBOX") != nil || f.TextFile("") != nil {
		t.Error("an INBOX of two places has the wrong files")
	}
}
