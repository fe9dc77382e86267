package ledger

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestHoldPrograms: a program outlives the run that started it. The next run names it, does
// not wait for it for ever, and goes on once it has ended.
func TestHoldPrograms(t *testing.T) {
	defer func(wait, tell, check time.Duration) {
		programsWait, programsTell, programsCheck = wait, tell, check
	}(programsWait, programsTell, programsCheck)
	dir := t.TempDir()
	silent := func(what string) { t.Errorf("said %q", what) }
	l := open(t, dir)
	hold, err := l.HoldPrograms(t.Context(), silent)
	if err != nil {
		t.Fatalf("with no program at work: %v", err)
	}
	if _, err := hold.Write([]byte("x")); err == nil {
		t.Error("a program can write to the lock")
	}
	program := exec.Command("sleep", "600")
	program.ExtraFiles = []*os.File{hold}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() {
		_ = program.Process.Kill() // or it has ended
		_ = program.Wait()         // killed
	}
	defer end()
	if err := l.Close(); err != nil { // as when the run is killed
		t.Fatal(err)
	}

	l = open(t, dir)
	defer l.Close()
	name := fmt.Sprintf("sleep (process %d)", program.Process.Pid)
	programsWait, programsTell, programsCheck = time.Second, 20*time.Millisecond, time.Millisecond // a busy machine tells more than once too
	var said []string
	say := func(what string) { said = append(said, what) }
	_, err = l.HoldPrograms(t.Context(), say)
	if !errors.Is(err, ErrPrograms) || !strings.Contains(fmt.Sprint(err), name) {
		t.Errorf("after the longest wait: %v", err)
	}
	if len(said) < 2 || !strings.HasSuffix(said[1], name) {
		t.Errorf("said %q, want %s more than once", said, name)
	}
	programsWait, programsTell = time.Minute, time.Minute
	said = nil
	_, err = l.HoldPrograms(t.Context(), func(what string) { say(what); end() })
	if err != nil || len(said) != 1 {
		t.Errorf("when it ends: %v, said %q", err, said)
	}
}
