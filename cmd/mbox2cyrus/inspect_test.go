package main

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestInspectOfWhatMayNotBeRead wants the exit code of permissions, if nothing else failed.
func TestInspectOfWhatMayNotBeRead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	secret, own := filepath.Join(dir, "secret"), filepath.Join(dir, "own")
	for path, mode := range map[string]os.FileMode{secret: 0o600, own: 0o644} {
		if err := os.WriteFile(path, []byte(letter(1)), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		files []string
		code  int
	}{{[]string{own}, 0}, {[]string{own, secret}, 77}, {[]string{secret, filepath.Join(dir, "none")}, 1}} {
		var said strings.Builder
		code := 0
		as(t, 65534, func() { code = run(append([]string{"mbox2cyrus", "inspect"}, tt.files...), &said, &said) })
		if code != tt.code || tt.code == 77 && !strings.Contains(said.String(), "(exit code 77)") {
			t.Errorf("%v: exit code %d, want %d\n%s", tt.files, code, tt.code, said.String())
		}
	}
}

// as runs a function whose files are opened with the rights of another user.
func as(t *testing.T, uid int, do func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setfsuid(uid); err != nil {
		t.Fatal(err)
	}
	do()
	if err := unix.Setfsuid(0); err != nil {
		t.Fatal(err)
	}
}

// TestFieldsOfInspectAreDocumented wants every key of inspect --json in docs/reports.md.
func TestFieldsOfInspectAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/reports.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{inspected{}, mailboxView{}, recordView{}} {
		kind := "`message`"
		if _, ok := v.(inspected); !ok {
			kind = "`mailbox`, `record`"
		}
		_, row, found := strings.Cut(string(page), "\n| "+kind+" | ")
		if row, _, _ = strings.Cut(row, "\n"); !found {
			t.Errorf("docs/reports.md has no row for %s", kind)
		}
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if key != "message_type" && !strings.Contains(row, "`"+key+"`") {
				t.Errorf("%s: %s is not in docs/reports.md", kind, key)
			}
		}
	}
}
