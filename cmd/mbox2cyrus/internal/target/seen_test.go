package target

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"mbox2cyrus/cyrusspool"
)

// TestSeenBackend: where \Seen is in the user's file, which form that has, and which
// is refused before anything is written.
func TestSeenBackend(t *testing.T) {
	for _, tt := range []struct {
		version cyrusspool.Version
		set     string
		want    string
		refused bool
	}{
		{cyrusspool.Version4, "", "flat", false},
		{cyrusspool.Version6, "", "skiplist", false},
		{cyrusspool.Version10, "flat", "flat", false},
		{cyrusspool.Version10, "berkeley", "berkeley", true},
		{cyrusspool.Version12, "berkeley", "berkeley", false},
	} {
		c := &Cyrus{settings: map[string]string{}, Fresh: Fresh{IndexVersion: tt.version}}
		if tt.set != "" {
			c.settings["seenstate_db"] = tt.set
		}
		err := c.checkSeen()
		if got := c.seenBackend(); got != tt.want || errors.Is(err, ErrConfig) != tt.refused {
			t.Errorf("index version %d, seenstate_db %q: %s, %v", tt.version, tt.set, got, err)
		}
	}
}

// TestSetSeenFlat is 2.1: the file is written as text, what it has of other mailboxes
// stays, and a link in its place leads nowhere.
func TestSetSeenFlat(t *testing.T) {
	c := &Cyrus{ConfigDir: t.TempDir(), settings: map[string]string{},
		Fresh: Fresh{IndexVersion: cyrusspool.Version4, Owner: cyrusspool.Owner{UID: -1, FileMode: 0o600, DirMode: 0o700}}}
	set := func(id, uids string) {
		t.Helper()
		seen, err := cyrusspool.ParseUIDSet(uids)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetSeen(t.Context(), "joe", map[string]cyrusspool.SeenState{id: {LastRead: 1, LastUID: 9, LastChange: 1, Seen: seen}}); err != nil {
			t.Fatal(err)
		}
	}
	set("b", "1:3,7")
	set("a", "")
	set("b", "1:4")
	path := filepath.Join(c.ConfigDir, "user/j/joe.seen")
	raw, err := os.ReadFile(path)
	if want := "a\t1 1 9 1 \nb\t1 1 9 1 1:4\n"; err != nil || string(raw) != want {
		t.Errorf("%q, %v, want %q", raw, err, want)
	}

	outside := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(outside, []byte("b\t1 1 9 1 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, path); err != nil {
		t.Fatal(err)
	}
	if states, err := c.Seen("joe"); err == nil {
		t.Errorf("a link out of the configdirectory was followed: %v", states)
	}
	if raw, err := os.ReadFile(outside); err != nil || string(raw) != "b\t1 1 9 1 1\n" {
		t.Errorf("what the link leads to was changed: %q, %v", raw, err)
	}
}
