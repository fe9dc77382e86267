package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCrashEndsBySignal: when Go's runtime gives the program up, as for a panic, it ends by a
// signal, not with an exit code that means something else, and leaves no core, in which mail
// could be.
func TestCrashEndsBySignal(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	if err := unix.Mkfifo(users, 0o600); err != nil {
		t.Fatal(err)
	}
	// Where the hard limit is 0, there can be no core anyway.
	cmd := exec.Command("sh", "-c", `ulimit -S -c "$(ulimit -H -c)"; exec mbox2cyrus plan --users-from "$1"`, "sh", users)
	cmd.Dir, cmd.Env = dir, withScratch(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(users, os.O_WRONLY, 0) // waits until it reads
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", cmd.Process.Pid))
	if err == nil && !regexp.MustCompile(`Max core file size +[01] `).Match(limits) {
		t.Errorf("a core could be written:\n%s", limits)
	}
	if err := cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGABRT || status.CoreDump() {
		t.Errorf("it ended with %v (%v)", cmd.ProcessState, err)
	}
	if !bytes.Contains(stderr.Bytes(), []byte("SIGQUIT: quit")) {
		t.Errorf("it says %q", stderr.String())
	}
	if cores, err := filepath.Glob(filepath.Join(dir, "*core*")); err != nil || len(cores) > 0 {
		t.Errorf("there is %q, %v", cores, err)
	}
}
