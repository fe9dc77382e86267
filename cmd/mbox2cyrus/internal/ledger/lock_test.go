package ledger

import (
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestLockOfStartingProgram: a run was killed while it started a program, and the new process
// has not yet let go of its lock. The next run waits for that, and says of no run that it goes on.
func TestLockOfStartingProgram(t *testing.T) {
	for name, begin := range map[string]func(dir string) error{
		"open": func(dir string) error {
			l, err := Open(dir)
			if err != nil {
				return err
			}
			return l.Close()
		},
		"in use": func(dir string) error {
			holder, err := InUse(dir)
			if holder != "" {
				t.Errorf("in use by %s", holder)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir)
			program := exec.Command("sleep", "0.1")
			program.ExtraFiles = []*os.File{l.lock}
			if err := program.Start(); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil { // as when the run is killed
				t.Fatal(err)
			}
			if err := begin(dir); err != nil {
				t.Error(err)
			}
			if err := program.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLockWait: a run that goes on is waited for no longer than lockWait.
func TestLockWait(t *testing.T) {
	defer func(wait time.Duration) { lockWait = wait }(lockWait)
	lockWait = 30 * time.Millisecond
	dir := t.TempDir()
	l := open(t, dir)
	defer l.Close()
	if _, err := Open(dir); !errors.Is(err, ErrBusy) {
		t.Errorf("second Open = %v, want ErrBusy", err)
	}
	if holder, err := InUse(dir); err != nil || holder == "" {
		t.Errorf("InUse = %q, %v", holder, err)
	}
}
