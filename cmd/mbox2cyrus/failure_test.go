package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
)

// TestKilledAndRunAgain kills the program at random points and runs it again:
// in the end everything is there once, as if nothing had happened.
func TestKilledAndRunAgain(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	truth, err := samplehost.Write(root, samplehost.Options{Seed: 11, Users: 8, Messages: 800, Location: newYork(t)})
	if err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, root)
	args := append([]string{"migrate", "--quiet"}, flagsFor(srv, root, state)...)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	killed := 0
	for range 12 {
		if killedAfter(t, time.Duration(rnd.Int64N(int64(1500*time.Millisecond))), args...) {
			killed++
		}
	}
	t.Logf("killed %d times", killed)
	last := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...)
	if last.code != 0 && last.code != 2 {
		t.Fatalf("last run: exit code %d\n%s", last.code, last.stderr)
	}
	verify := runJSON(t, append([]string{"verify", "--level", "content"}, flagsFor(srv, root, state)...)...)
	if n := verify.summary(t); n["messages_found"] != n["messages_verified"] || verify.code != last.code {
		t.Errorf("verify: exit code %d, %v\n%s", verify.code, n, strings.Join(verify.severe(), "\n"))
	}
	if diff := diffSnapshots(before, snapshot(t, root)); diff != "" {
		t.Errorf("the source was changed: %s", diff)
	}
	compareWithTruth(t, srv, cyrustest.Options{}, truth)
}

// TestStopWaitsForAProgram: Cyrus's reconstruct hangs. A signal to stop says what is waited for,
// and a second one ends the run at once.
func TestStopWaitsForAProgram(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1))
	bin, hangs := filepath.Join(srv.Dir, "programs"), filepath.Join(srv.Dir, "hangs")
	wrapProgram(t, srv, bin, "reconstruct", fmt.Sprintf("touch %s; exec sleep 30\n", hangs))
	cmd := exec.Command("mbox2cyrus", append([]string{"migrate", "--quiet", "--cyrus-bin", bin}, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(hangs); err == nil {
			break
		}
	}
	for _, wait := range []time.Duration{stopping + 2*time.Second, 0} {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		time.Sleep(wait)
	}
	start := time.Now()
	_ = cmd.Wait() // the exit code tells
	if code := cmd.ProcessState.ExitCode(); code != 143 || time.Since(start) > 10*time.Second || strings.Count(stderr.String(), "a second signal ends this at once") != 1 {
		t.Errorf("exit code %d after %v\n%s", code, time.Since(start), stderr.String())
	}
}

// TestWithin: what hangs is waited for so long and no longer.
func TestWithin(t *testing.T) {
	hangs, failed := make(chan error), errors.New("failed")
	defer close(hangs)
	if err := within(time.Millisecond, func() error { return <-hangs }); err == nil || !strings.Contains(err.Error(), "more than 1ms") {
		t.Errorf("what hangs: %v", err)
	}
	if err := within(time.Hour, func() error { return failed }); err != failed {
		t.Errorf("what fails: %v", err)
	}
}

// TestTimeIsUpWaitsForAProgram: --max-duration is over, and Cyrus's reconstruct takes longer. It
// is said what the run waits for.
func TestTimeIsUpWaitsForAProgram(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1))
	const most = 4 * time.Second // enough to come to reconstruct
	bin := filepath.Join(srv.Dir, "programs")
	wrapProgram(t, srv, bin, "reconstruct", fmt.Sprintf("sleep %d\n", int((most+stopping+2*time.Second)/time.Second)))
	flags := append(flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state")), "--cyrus-bin", bin, "--max-duration", most.String())
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); strings.Count(o.stderr, "--max-duration 4s is over: what was begun is finished first") != 1 {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
}

// TestStoppedBySignal stops the program with SIGTERM: it comes to a safe point,
// says so with its exit code, and the next run goes on.
func TestStoppedBySignal(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	if _, err := samplehost.Write(root, samplehost.Options{Seed: 12, Users: 40, Messages: 4000, Plain: true, OmitMessages: true, Location: newYork(t)}); err != nil {
		t.Fatal(err)
	}
	status := filepath.Join(t.TempDir(), "status.json")
	args := append([]string{"migrate", "--json", "--jobs", "1", "--status-file", status}, flagsFor(srv, root, state)...)
	cmd := exec.Command("mbox2cyrus", args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// As soon as it has begun to write.
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if entries, err := os.ReadDir(srv.Spool); err != nil || len(entries) > 0 {
			break
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 143 {
		t.Fatalf("exit code %d (%v), want 143\n%s", code, err, stderr.String())
	}
	if !strings.Contains(stdout.String(), `"exit_code":143`) || !strings.Contains(stdout.String(), `"message_type":"summary"`) {
		t.Errorf("no summary with the exit code:\n%s", stdout.String())
	}
	// Who watches the file must not take it for done.
	var shown, sum map[string]any
	b, err := os.ReadFile(status)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if err := errors.Join(json.Unmarshal(b, &shown), json.Unmarshal([]byte(lines[len(lines)-1]), &sum)); err != nil {
		t.Fatal(err)
	}
	if shown["state"] != "stopped" || shown["users_done"] != sum["users"] {
		t.Errorf("the status is %s\nthe summary %v", b, sum)
	}
	again := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...)
	if s := again.summary(t); again.code != 0 || s["messages_verified"] != s["messages_found"] || s["users"] != 40.0 {
		t.Errorf("the next run: exit code %d, %v\n%s", again.code, s, again.stderr)
	}
}

// TestCutOffInARoomForOne: what a run that was cut off has written of a large folder needs no
// room once more.
func TestCutOffInARoomForOne(t *testing.T) {
	c := newCutHost(t)
	if err := unix.Mount("tmpfs", c.srv.Spool, "tmpfs", 0, "size=9m,mode=0755"); err != nil {
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(c.srv.Spool, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chown(c.srv.Spool, c.srv.UID, c.srv.GID); err != nil {
		t.Fatal(err)
	}
	var large strings.Builder
	for n := range 60 {
		large.WriteString(letter(n) + strings.Repeat("one more line of text\n", 4000))
	}
	c.write("var/mail/joe", large.String())
	if code, stderr := runWithFault(t, "signal=KILL", "syncfs", 1, c.migrate("--quiet")...); code > 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	if s := c.record("user.joe").State; s != ledger.Begun {
		t.Fatalf("it was killed when the mailbox was %q", s)
	}
	if o := c.pass(0, append([]string{"plan"}, flagsFor(c.srv, c.root, c.state)...)...); len(o.problems("no-space")) > 0 {
		t.Errorf("plan: %s", o.stderr)
	}
	c.pass(0, c.migrate()...)
}

// TestFullDisk lets the partition run full. The run fails and says why, the
// source is as before, and with more room the next run brings everything.
func TestFullDisk(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	if err := unix.Mount("tmpfs", srv.Spool, "tmpfs", 0, "size=700k,mode=0755"); err != nil {
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(srv.Spool, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chown(srv.Spool, srv.UID, srv.GID); err != nil {
		t.Fatal(err)
	}
	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	// Small messages: they fit by their bytes, which the check beforehand
	// counts, but not by their blocks.
	if _, err := samplehost.Write(root, samplehost.Options{Seed: 13, Users: 4, Messages: 250, Bytes: 300 << 10, Plain: true, OmitMessages: true, Location: newYork(t)}); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, root)
	full := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...)
	if full.code != 1 || !strings.Contains(full.stderr, "no space left on device") {
		t.Fatalf("exit code %d\n%s", full.code, full.stderr)
	}
	if err := unix.Mount("tmpfs", srv.Spool, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	again := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...)
	if s := again.summary(t); again.code != 0 || s["messages_verified"] != s["messages_found"] || s["users"] != 4.0 {
		t.Errorf("with more room: exit code %d, %v\n%s", again.code, s, again.stderr)
	}
	if diff := diffSnapshots(before, snapshot(t, root)); diff != "" {
		t.Errorf("the source was changed: %s", diff)
	}
	// What is there already needs no room once more: not for a plan either, by which the
	// window is chosen.
	var st unix.Statfs_t
	if err := unix.Statfs(srv.Spool, &st); err != nil {
		t.Fatal(err)
	}
	used := (st.Blocks - st.Bfree) * uint64(st.Bsize)
	if err := unix.Mount("tmpfs", srv.Spool, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", used+128<<10)); err != nil {
		t.Fatal(err)
	}
	later := runJSON(t, append([]string{"plan"}, flagsFor(srv, root, state)...)...)
	if later.code != 0 || len(later.problems("no-space")) != 0 {
		t.Errorf("plan after the pass: exit code %d\n%s", later.code, later.stderr)
	}
	var said bytes.Buffer
	run(append([]string{"mbox2cyrus", "doctor", "--state", filepath.Join(srv.Spool, "state")}, flagsFor(srv, root, state)[:4]...), &said, &said)
	if n := strings.Count(said.String(), "-> make room, or choose other partitions"); n != 1 || !strings.Contains(said.String(), "-> make room, or choose another directory by --state") {
		t.Errorf("doctor: other partitions are advised %d times\n%s", n, &said)
	}
}

// TestTooSmallPartition refuses a run that cannot fit before it writes anything.
func TestTooSmallPartition(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	if err := unix.Mount("tmpfs", srv.Spool, "tmpfs", 0, "size=100k,mode=0755"); err != nil {
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(srv.Spool, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	if _, err := samplehost.Write(root, samplehost.Options{Seed: 13, Users: 2, Messages: 100, Bytes: 400 << 10, Plain: true, OmitMessages: true, Location: newYork(t)}); err != nil {
		t.Fatal(err)
	}
	o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...)
	if o.code != 1 || !strings.Contains(o.stderr, "nothing was written") {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	if entries, err := os.ReadDir(srv.Spool); err != nil || len(entries) > 0 {
		t.Errorf("the spool holds %v, %v", entries, err)
	}
}

// TestStateLost removes the state directory between runs. What is complete is taken for
// what it is, and nothing is there twice.
func TestStateLost(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	truth, err := samplehost.Write(root, samplehost.Options{Seed: 14, Users: 3, Messages: 120, Plain: true, Location: newYork(t)})
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"migrate"}, flagsFor(srv, root, state)...)
	first := runJSON(t, args...)
	if first.code != 0 {
		t.Fatalf("exit code %d\n%s", first.code, first.stderr)
	}
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	spool := messageFiles(t, srv)
	again := runJSON(t, args...)
	if s := again.summary(t); again.code != 0 || s["messages_written"] != 0.0 || s["messages_verified"] != first.summary(t)["messages_verified"] {
		t.Fatalf("without the state: exit code %d, %v\n%s", again.code, s, again.stderr)
	}
	if now := messageFiles(t, srv); !maps.Equal(spool, now) {
		t.Errorf("message files were written again: %d before, %d now", len(spool), len(now))
	}
	if v := runJSON(t, append([]string{"verify", "--level", "content"}, flagsFor(srv, root, state)...)...); v.code != 0 {
		t.Errorf("verify: exit code %d\n%s", v.code, v.stderr)
	}
	compareWithTruth(t, srv, cyrustest.Options{}, truth)
}
