package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// lockHost is a host of joe, whose INBOX has 300 messages, and what it looks like.
func lockHost(t *testing.T) (root string, files func() map[string]fileState) {
	t.Helper()
	root = filepath.Join(t.TempDir(), "host")
	var mail bytes.Buffer
	for i := range 300 {
		fmt.Fprintf(&mail, "From a@b Mon Jun  2 10:11:12 2003\nSubject: %d\n\nbody\n\n", i)
	}
	for path, content := range map[string]string{
		"etc/passwd":   fmt.Sprintf("joe:x:%d:100::/home/joe:/bin/sh\n", max(1000, os.Getuid())),
		"var/mail/joe": mail.String(),
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root, func() map[string]fileState {
		all := snapshot(t, root)
		delete(all, filepath.Join(root, "var/mail")) // its times tell of the lock
		return all
	}
}

// runAfterLocks runs the program after one that ended while it held locks: it brings
// everything, and nothing of a lock is left.
func runAfterLocks(t *testing.T, root string, before map[string]fileState, files func() map[string]fileState, args ...string) {
	t.Helper()
	again := runJSON(t, args...)
	if s := again.summary(t); again.code != 0 || s["messages_verified"] != 300.0 {
		t.Errorf("the next run: exit code %d, %v\n%s", again.code, s, again.stderr)
	}
	if diff := diffSnapshots(before, files()); diff != "" {
		t.Errorf("the source was changed: %s", diff)
	}
	if left := sessionLock(t, root); left != "" {
		t.Errorf("session lock %s was left", left)
	}
}

// TestLocksAfterTheEnd ends the program in every way while it holds locks: a signal leaves
// none, two signals neither, and after a kill the next run removes what is its own.
func TestLocksAfterTheEnd(t *testing.T) {
	tests := []struct {
		name    string
		signals []syscall.Signal
		code    int
	}{
		{"stopped", []syscall.Signal{syscall.SIGTERM}, 143},
		{"stopped at once", []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM}, 143},
		{"killed", []syscall.Signal{syscall.SIGKILL}, -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			state := filepath.Join(t.TempDir(), "state")
			root, files := lockHost(t)
			before := files()
			lock := filepath.Join(root, "var/mail/joe.lock")
			args := append([]string{"migrate", "--lock", "yes", "--lock-wait", "1ms"}, flagsFor(srv, root, state)...)
			// So slowly that it holds its locks for minutes.
			cmd := exec.Command("mbox2cyrus", append(args, "--quiet", "--bwlimit", "50")...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill() }) // where the test ends before
			// The lock of the look whether it is free is gone when the spool has something.
			seen := false
			for deadline := time.Now().Add(3 * time.Minute); !seen && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
				entries, err := os.ReadDir(srv.Spool)
				_, lockErr := os.Stat(lock)
				seen = err == nil && len(entries) > 0 && lockErr == nil
			}
			if !seen {
				t.Fatalf("the program held no lock\n%s", stderr.String())
			}
			for _, sig := range test.signals {
				// It may have come to its end after the first.
				if err := cmd.Process.Signal(sig); err != nil && err != os.ErrProcessDone {
					t.Fatal(err)
				}
			}
			err := cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Fatalf("exit code %d (%v), want %d\n%s", code, err, test.code, stderr.String())
			}
			if _, err := os.Stat(lock); (err == nil) != (test.code < 0) {
				t.Errorf("the lock after the end: %v", err)
			}
			runAfterLocks(t, root, before, files, args...)
		})
	}
}

// TestKilledWhileLocking kills the program at each step of making and removing its locks:
// none is left that the next run would take for somebody else's.
func TestKilledWhileLocking(t *testing.T) {
	needStrace(t)
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	root, files := lockHost(t)
	before := files()
	for _, call := range []string{"flock", "fchmod", "linkat", "unlinkat"} {
		for n := 1; ; n++ {
			state := filepath.Join(t.TempDir(), "state")
			args := append([]string{"migrate", "--lock", "yes", "--lock-wait", "1ms"}, flagsFor(srv, root, state)...)
			code, stderr := runWithFault(t, "signal=KILL", call, n, append(args, "--quiet")...)
			if code != 0 && code != -1 {
				t.Fatalf("%s %d: exit code %d\n%s", call, n, code, stderr)
			}
			runAfterLocks(t, root, before, files, args...)
			if t.Failed() {
				t.Fatalf("after it was killed at %s %d", call, n)
			}
			undone := runJSON(t, append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)...)
			if undone.code != 0 {
				t.Fatalf("undo: exit code %d\n%s", undone.code, undone.stderr)
			}
			// The look whether it is free takes every lock; reading takes them again.
			if code == 0 || n == 3 && !everyFault {
				t.Logf("%s: tried %d calls", call, n)
				break
			}
		}
	}
}

// sessionLock names the session lock of joe's INBOX, if it is there.
func sessionLock(t *testing.T, root string) string {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(root, "var/mail/joe"), &st); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/tmp/.%x.%x", st.Dev, st.Ino)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}
