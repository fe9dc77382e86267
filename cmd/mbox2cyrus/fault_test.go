package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
)

// everyFault makes the tests that kill the program, fail its system calls or cut its power
// try every system call, not a sample of them. It takes hours.
var everyFault = os.Getenv("MBOX2CYRUS_EVERY_FAULT") != ""

// runWithFault runs the program under strace, which meddles with the nth system call
// of that name in each of its threads, not with Cyrus's programs. It returns the exit code, -1 if the program was killed.
func runWithFault(t *testing.T, fault, call string, nth int, args ...string) (code int, stderr string) {
	t.Helper()
	inject := fmt.Sprintf("inject=%s:%s:when=%d", call, fault, nth)
	cmd := exec.Command("strace", append([]string{"-f", "-b", "execve", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", inject, "mbox2cyrus"}, args...)...)
	cmd.Env = withScratch(t)
	var buf bytes.Buffer
	cmd.Stderr = &buf
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	// The threads of it that are still there go too, but not the Cyrus programs that it
	// started, which have groups of their own.
	if kerr := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); kerr != nil && !errors.Is(kerr, syscall.ESRCH) {
		t.Fatal(kerr)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), buf.String()
}

// withScratch is the environment of a program that is killed: with a directory of its own
// for temporary files, which nobody removes then.
func withScratch(t *testing.T) []string {
	t.Helper()
	dir, err := os.MkdirTemp("", "killed-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // Cyrus must get in
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return append(os.Environ(), "TMPDIR="+dir)
}

// nextFault is how the tests go through the calls: the first two, then ever fewer.
func nextFault(n int, rnd *rand.Rand) int {
	if everyFault || n < 2 {
		return n + 1
	}
	return n + 1 + rnd.IntN(2*n)
}

// needStrace skips where the program cannot be traced.
func needStrace(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		t.Skipf("no strace that works: %v %s", err, out)
	}
}

// TestFailingSystemCalls lets system calls fail as a full or broken disk does. The
// program says so with its exit code, and the next run puts everything right.
func TestFailingSystemCalls(t *testing.T) {
	needStrace(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for _, f := range []struct{ call, errno string }{
		{"write", "ENOSPC"}, {"write", "EIO"}, {"pwrite64", "EIO"}, {"openat", "EMFILE"}, {"openat", "ENOSPC"}, {"pread64", "EIO"},
		{"renameat", "ENOSPC"}, {"mkdirat", "EDQUOT"}, {"fchown", "EPERM"}, {"utimensat", "EIO"},
		{"syncfs", "EIO"}, {"fdatasync", "EIO"}, {"getdents64", "EIO"}, {"unlinkat", "EROFS"},
	} {
		t.Run(f.call+"-"+f.errno, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
			truth, err := samplehost.Write(root, samplehost.Options{Seed: rnd.Uint64(), Users: 1, Messages: 20, Plain: true, Location: newYork(t)})
			if err != nil {
				t.Fatal(err)
			}
			args := flagsFor(srv, root, state)
			failed := 0
			for n, tries := 1, 0; tries < 5 || everyFault && tries < 200; n, tries = nextFault(n, rnd), tries+1 {
				code, stderr := runWithFault(t, "error="+f.errno, f.call, n, append([]string{"migrate", "--quiet"}, args...)...)
				if code != 0 {
					failed++
				}
				if strings.Contains(stderr, "netpollBreak write failed") {
					continue // it hit Go's own runtime, which gives up then: as good as a kill
				}
				if code == -1 || strings.Contains(stderr, "panic") || strings.Contains(stderr, "fatal error:") {
					t.Fatalf("call %d: exit code %d\n%s", n, code, stderr)
				}
				if code == 0 {
					// Nothing failed, or it did no harm: then it is all there.
					if v := runJSON(t, append([]string{"verify", "--level", "content"}, args...)...); v.code != 0 {
						t.Fatalf("call %d failed, the run says it is well, verify does not: exit code %d\n%s", n, v.code, v.stderr)
					}
					break
				}
			}
			t.Logf("%d runs failed", failed)
			if last := runJSON(t, append([]string{"migrate"}, args...)...); last.code != 0 {
				t.Fatalf("the last run: exit code %d\n%s", last.code, last.stderr)
			}
			if v := runJSON(t, append([]string{"verify", "--level", "content"}, args...)...); v.code != 0 {
				t.Errorf("verify: exit code %d\n%s", v.code, v.stderr)
			}
			compareWithTruth(t, srv, cyrustest.Options{}, truth)
		})
	}
}

// TestCutOffTwice: an account that was there before is filled by a run that is killed when
// the index is written and the ledger does not say so. The next one is killed while it
// fills the mailbox again. The third knows the index for the first one's.
func TestCutOffTwice(t *testing.T) {
	needStrace(t)
	g := newGround(t, "", "", "")
	g.begin(phases[0])
	args := g.migrate("--no-cache") // which would make message files elsewhere first
	g.must(args...)
	journal := filepath.Join(g.state, ledger.JournalName)
	text, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(journal, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte(`"state":"begun"`)) && bytes.Contains(line, []byte(`"user":"kim"`)) {
			_, err = f.Write(line) // as the first run left it
		}
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if rec := g.records()["user.kim"]; rec.State != ledger.Begun {
			t.Fatalf("kim's mailbox is %s", rec.State)
		}
		if code, stderr := runWithFault(t, "signal=KILL", "utimensat", 1, args...); code != -1 {
			t.Fatalf("it was not killed: exit code %d\n%s", code, stderr)
		}
	}
	if code, stderr := g.command(args...); code != 0 {
		t.Errorf("run again: exit code %d\n%s", code, stderr)
	}
	if err := g.ledgerCloses(phases[0]); err != nil {
		t.Error(err)
	}
	manifests, err := filepath.Glob(filepath.Join(g.state, "manifests", g.records()["user.kim"].UniqueID+"*"))
	if err != nil || len(manifests) != 1 {
		t.Errorf("manifests of the mailbox: %q, %v", manifests, err)
	}
}
