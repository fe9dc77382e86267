package target

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestDatabaseType knows databases by their first bytes, up to Cyrus 2.4, which does not
// say its setting.
func TestDatabaseType(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mailboxes.db")
	for head, want := range map[string]string{
		"\xa1\x02\x8b\x0dskiplist file\x00\x00\x00\x00\x00\x00\x01":                        "skiplist",
		"\xa1\x02\x8b\x0dtwoskip file\x00\x00\x00\x00\x00\x00\x00\x01":                     "twoskip",
		"\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x62\x31\x05\x00\x09\x00\x00\x00": "", // Berkeley
		"user.joe\t0 default": "",
	} {
		if err := os.WriteFile(path, []byte(head), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := databaseType(path)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %q, %v; want %q", head, got, err, want)
		}
	}
}
