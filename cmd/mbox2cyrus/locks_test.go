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
			root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
			var mail bytes.Buffer
			for i := range 6000 {
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
			files := func() map[string]fileState {
				all := snapshot(t, root)
				delete(all, filepath.Join(root, "var/mail")) // its times tell of the lock
				return all
			}
			before := files()
			lock := filepath.Join(root, "var/mail/joe.lock")
			args := append([]string{"migrate", "--quiet", "--lock", "yes", "--lock-wait", "1ms"}, flagsFor(srv, root, state)...)
			cmd := exec.Command("mbox2cyrus", args...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// The second time: the first is the look whether it is free.
			seen := false
			for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
				_, lockErr := os.Stat(lock)
				entries, err := os.ReadDir(srv.Spool)
				if seen = lockErr == nil && err == nil && len(entries) > 0; seen {
					break
				}
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
			again := runJSON(t, append([]string{"migrate", "--lock", "yes", "--lock-wait", "1ms"}, flagsFor(srv, root, state)...)...)
			if s := again.summary(t); again.code != 0 || s["messages_verified"] != 6000.0 {
				t.Errorf("the next run: exit code %d, %v\n%s", again.code, s, again.stderr)
			}
			if diff := diffSnapshots(before, files()); diff != "" {
				t.Errorf("the source was changed: %s", diff)
			}
			if left := sessionLock(t, root); left != "" {
				t.Errorf("session lock %s was left", left)
			}
		})
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
