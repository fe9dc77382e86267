package databases

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cyrusspool"
)

var nobodysOwn = cyrusspool.Owner{UID: os.Geteuid(), GID: os.Getegid()}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReplace(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	one, two := filepath.Join(dir, "one.db"), filepath.Join(dir, "two.db")
	write(t, one, "1", 0o640)
	write(t, two, "22", 0o600)
	precious := filepath.Join(other, "precious")
	write(t, precious, "x", 0o600)
	if err := os.Symlink(precious, one+".NEW"); err != nil { // left over, or put there
		t.Fatal(err)
	}
	h, err := Hold(t.Context(), time.Second, nobodysOwn, one, two)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	if h.Size() != 3 {
		t.Errorf("size %d", h.Size())
	}
	copies, err := h.CopyTo(t.TempDir(), nobodysOwn)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, copies[0]) + read(t, copies[1]); got != "122" {
		t.Errorf("copies: %q", got)
	}
	write(t, copies[0], "one more", 0o600)
	if read(t, one) != "1" {
		t.Error("the database changed with its copy")
	}
	if err := h.Replace(copies, nobodysOwn); err != nil {
		t.Fatal(err)
	}
	if read(t, one) != "one more" || read(t, two) != "22" || read(t, precious) != "x" {
		t.Errorf("replaced: %q, %q; elsewhere %q", read(t, one), read(t, two), read(t, precious))
	}
	if st, err := os.Stat(one); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("mode: %v, %v", st.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
}

// locker is a process that has a lock as Cyrus takes it: it says so, and goes on until it is
// spoken to.
func locker(t *testing.T, path string) (done func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLocker$")
	cmd.Env = append(os.Environ(), "LOCK="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return func() {
		in.Close()
		_ = cmd.Wait() // it has said what was wanted of it
	}
}

// TestLocker is that process.
func TestLocker(t *testing.T) {
	path := os.Getenv("LOCK")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	fmt.Print("x")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until it is closed
}

func TestHoldWaits(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.db"), filepath.Join(dir, "two.db")
	write(t, one, "1", 0o600)
	write(t, two, "2", 0o600)
	done := locker(t, two)
	if h, err := Hold(t.Context(), 50*time.Millisecond, nobodysOwn, one, two); !errors.Is(err, ErrUnfit) {
		t.Errorf("while another has the lock: %v, %v", h, err)
	}
	// And does not keep the one that it got.
	h, err := Hold(t.Context(), 0, nobodysOwn, one)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
	held := make(chan Held)
	go func() {
		h, err := Hold(t.Context(), time.Minute, nobodysOwn, one, two)
		if err != nil {
			t.Error(err)
		}
		held <- h
	}()
	// Who has the lock puts another file there before giving it back.
	write(t, two+".NEW", "another", 0o600)
	if err := os.Rename(two+".NEW", two); err != nil {
		t.Fatal(err)
	}
	done()
	h = <-held
	defer h.Release()
	copies, err := h.CopyTo(t.TempDir(), nobodysOwn)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, copies[1]); got != "another" {
		t.Errorf("held what is no longer there: %q", got)
	}
	if h, err := Hold(t.Context(), 0, nobodysOwn, one); !errors.Is(err, ErrUnfit) {
		t.Errorf("held twice: %v, %v", h, err)
	}
}

func TestUnfit(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "x", 0o600)
	for name, mk := range map[string]func(path string) error{
		"nothing":   func(string) error { return nil },
		"link":      func(path string) error { return os.Symlink(file, path) },
		"hardlink":  func(path string) error { return os.Link(file, path) },
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"large": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, MaxSize+1))
		},
	} {
		path := filepath.Join(dir, name)
		if err := mk(path); err != nil {
			t.Fatal(err)
		}
		if h, err := Hold(t.Context(), 0, nobodysOwn, path); !errors.Is(err, ErrUnfit) {
			t.Errorf("%s: %v, %v", name, h, err)
		}
	}
}
