package cyrusspool

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOpensOnlyFilesBelowTheRoot: Cyrus's user can put anything in the place of its files. A
// FIFO is not waited for, and a link in any part of a path not followed.
func TestOpensOnlyFilesBelowTheRoot(t *testing.T) {
	root := t.TempDir()
	box := filepath.Join(root, "q", "joe")
	elsewhere := t.TempDir()
	for _, dir := range []string{box, filepath.Join(elsewhere, "joe")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(elsewhere, "joe", fileIndex)
	if err := os.WriteFile(file, []byte("index"), 0o600); err != nil {
		t.Fatal(err)
	}
	place := OneRoot(root).At("q/joe")
	refused := func(what string) {
		t.Helper()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for name, open := range map[string]func() error{
				"index":  func() error { f, _, err := place.OpenIndex(); f.Close(); return err },
				"header": func() error { _, err := place.ReadHeader(); return err },
				"cache":  func() error { _, err := place.OpenCache(); return err },
				"file":   func() error { _, err := OpenFile(root, place.IndexFile()); return err },
			} {
				if err := open(); err == nil {
					t.Errorf("%s, %s: it was opened", what, name)
				}
			}
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: it is waited for", what)
		}
	}
	for _, name := range []string{fileIndex, fileHeader, fileCache} {
		if err := unix.Mkfifo(filepath.Join(box, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused("FIFO")
	w, err := os.OpenFile(place.IndexFile(), os.O_RDWR, 0) // somebody who never says anything
	if err != nil {
		t.Fatal(err)
	}
	refused("FIFO with a writer")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fileIndex, fileHeader, fileCache} {
		at := filepath.Join(box, name)
		if err := os.Remove(at); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(file, at); err != nil {
			t.Fatal(err)
		}
	}
	refused("link")
	if err := os.RemoveAll(filepath.Dir(box)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Dir(box)); err != nil {
		t.Fatal(err)
	}
	refused("directory that is a link")
}
