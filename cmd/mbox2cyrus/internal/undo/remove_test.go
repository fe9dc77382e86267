package undo

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// TestUnlinkEach: of more files than names are kept at a time, all go that are meant, the first
// before the last are listed.
func TestUnlinkEach(t *testing.T) {
	dir := t.TempDir()
	for i := 1; i <= unlinkAtOnce+10; i++ {
		f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)+"."))
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"cyrus.index", "cyrus.header", "kept"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	first, listed := "", 0
	err = unlinkEach(d, func(name string) bool {
		if messageUID(name) == 0 {
			return false
		}
		if listed++; listed == 1 {
			first = name
		}
		if _, err := os.Lstat(filepath.Join(dir, first)); listed == unlinkAtOnce+1 && err == nil {
			t.Errorf("%d names are kept", listed)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := (&Undoer{}).empty(ledger.Mailbox{}, dir, d); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "kept" {
		t.Errorf("%d files are left, %v: %v", len(left), left[:min(len(left), 5)], err)
	}
}
