package mbox

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func readRange(t *testing.T, f *Folder, name string, offset, length int64) (string, error) {
	t.Helper()
	r, err := f.OpenRange(name, offset, length)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b), nil
}

func TestOpenRange(t *testing.T) {
	dir := writeDirectory(t, map[string]string{"1": "Subject: a\n\na\n"})
	if err := os.Symlink("1", filepath.Join(dir, "2")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "box")
	if err := os.WriteFile(file, []byte("From here on"), 0o600); err != nil {
		t.Fatal(err)
	}
	single := &Folder{parts: []part{{path: file, file: mustOpen(t, file)}}}
	mh := &Folder{parts: []part{{path: "home/joe/mh", dir: &directory{file: mustOpen(t, dir), trusted: true}}}}
	both := &Folder{parts: append(append([]part{}, single.parts...), mh.parts...)}
	for _, tt := range []struct {
		folder         *Folder
		name           string
		offset, length int64
		want           string
	}{
		{single, "", 5, 4, "here"},
		{single, "", 5, 400, "here on"}, // the file is shorter than it was
		{mh, "1", 9, 1, "a"},
		{both, file, 0, 4, "From"},
		{both, "home/joe/mh/1", 0, 7, "Subject"},
	} {
		if got, err := readRange(t, tt.folder, tt.name, tt.offset, tt.length); err != nil || got != tt.want {
			t.Errorf("%q: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	var refused *RefusedError
	if _, err := readRange(t, mh, "2", 0, 1); !errors.As(err, &refused) {
		t.Errorf("a link: error %v", err)
	}
	for name, folder := range map[string]*Folder{"other": single, "": mh, "../x": mh, "a/b": mh, "3": mh, "home/joe/mh": both, "home/joe/mhx": both} {
		if _, err := readRange(t, folder, name, 0, 1); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: error %v", name, err)
		}
	}
	if _, err := readRange(t, single, "", -1, 1); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("before the beginning: error %v", err)
	}
}
