package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// heldProgram makes a directory of Cyrus's programs in which one waits before it works on
// the Cyrus of srv, until the file "go" is there. It notes its process in "started". The
// directory is removed with the test, and nobody waits any more.
func heldProgram(t *testing.T, srv *cyrustest.Server, program string) (dir string) {
	t.Helper()
	dir = filepath.Join(srv.Dir, "held-"+program)
	wrapProgram(t, srv, dir, program, fmt.Sprintf("if [ ! -e %[1]q/go ]; then\n\techo $$ >>%[1]q/started\n\twhile [ -e %[1]q/started ] && [ ! -e %[1]q/go ]; do sleep 0.05; done\nfi\n", dir))
	return dir
}

// wrapProgram makes a directory of Cyrus's programs in which one of them runs a script of the
// shell first, when it is run on the server's own configuration.
func wrapProgram(t *testing.T, srv *cyrustest.Server, dir, program, script string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, srv.UID, srv.GID); err != nil { // programs run as Cyrus
		t.Fatal(err)
	}
	programs, err := os.ReadDir(cyrustest.BinDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if p.Name() == program {
			continue
		}
		if err := os.Symlink(filepath.Join(cyrustest.BinDir, p.Name()), filepath.Join(dir, p.Name())); err != nil {
			t.Fatal(err)
		}
	}
	script = fmt.Sprintf("#!/bin/sh\nif [ \"$2\" = %q ]; then\n%sfi\nexec %q \"$@\"\n", srv.Conf, script, filepath.Join(cyrustest.BinDir, program))
	if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
}

func release(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Error(err)
	}
}

// until waits for something for a minute at most.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// A runningProgram is a mbox2cyrus that somebody watches.
type runningProgram struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	err bytes.Buffer
}

func (r *runningProgram) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err.Write(b)
}

func (r *runningProgram) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err.String()
}

func start(t *testing.T, args ...string) *runningProgram {
	t.Helper()
	r := &runningProgram{cmd: exec.Command("mbox2cyrus", args...)}
	r.cmd.Stderr = r
	r.cmd.Env = withScratch(t)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			_ = r.cmd.Process.Kill() // or it has just ended
			_ = r.cmd.Wait()         // killed
		}
	})
	return r
}

// end waits for the end, a minute at most, and returns the exit code.
func (r *runningProgram) end() int {
	late := time.AfterFunc(time.Minute, func() { _ = r.cmd.Process.Kill() }) // or it has just ended
	defer late.Stop()
	_ = r.cmd.Wait() // the code tells
	return r.cmd.ProcessState.ExitCode()
}

// TestOrphanedProgram kills a run while Cyrus's program works for it. The next run waits
// until that has ended, says so, and can be stopped; then it goes on.
func TestOrphanedProgram(t *testing.T) {
	g := newGround(t, "", "", "")
	g.firstMail()
	dir := heldProgram(t, g.srv, "reconstruct")
	started := func() []string {
		b, err := os.ReadFile(filepath.Join(dir, "started"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return strings.Fields(string(b))
	}
	args := g.migrate("--cyrus-bin", dir, "--user", "joe") // one user: reconstruct runs once
	first := start(t, args...)
	until(t, "reconstruct is started", func() bool { return len(started()) > 0 })
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.end()

	undo := append([]string{"undo", "--quiet", "--all", "--cyrus-bin", dir}, cyrusFlagsFor(g.srv, g.state)...)
	waits := fmt.Sprintf("waiting for Cyrus programs that a killed run had started and that are still at work: reconstruct (process %s)", started()[0])
	for _, args := range [][]string{args, undo} {
		next := start(t, args...)
		until(t, args[0]+" says that it waits", func() bool {
			if len(started()) > 1 {
				t.Fatalf("%s does not wait:\n%s", args[0], next.said())
			}
			return strings.Contains(next.said(), "waiting for")
		})
		if err := next.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if code := next.end(); code != 130 || !strings.Contains(next.said(), waits) {
			t.Fatalf("%s: stopped while it waited: exit code %d, want 130 and %q:\n%s", args[0], code, waits, next.said())
		}
	}

	// Nobody who only looks has to wait, nor who approves.
	if code, stderr := g.command("approve", "--state", g.state, "--all", "--by", "ann"); code != 0 {
		t.Errorf("approve: exit code %d\n%s", code, stderr)
	}

	last := start(t, args...)
	until(t, "the last run says that it waits", func() bool { return strings.Contains(last.said(), waits) })
	release(t, dir)
	if code := last.end(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, last.said())
	}
	g.must(append([]string{"verify", "--quiet", "--level", "content", "--user", "joe"}, g.flags()...)...)
}

// TestScratchOfKilledRun kills a run while it probes Cyrus: its scratch directory is there
// as long as the program that works in it, and goes with the next run.
func TestScratchOfKilledRun(t *testing.T) {
	g := newGround(t, "", "", "")
	g.firstMail()
	tmp := filepath.Join(g.srv.Dir, "tmp")
	if err := os.Mkdir(tmp, 0o1777); err != nil {
		t.Fatal(err)
	}
	dir := heldProgram(t, g.srv, "ctl_mboxlist")
	// Every configuration but that of the Cyrus itself: the probe's.
	script := filepath.Join(dir, "ctl_mboxlist")
	text, err := os.ReadFile(script)
	if err == nil {
		err = os.WriteFile(script, bytes.Replace(text, []byte(`"$2" = `), []byte(`"$2" != `), 1), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	left := func() []string {
		t.Helper()
		dirs, err := filepath.Glob(filepath.Join(tmp, "mbox2cyrus-scratch-probe-*"))
		if err != nil {
			t.Fatal(err)
		}
		return dirs
	}
	run := func(args ...string) *runningProgram {
		r := &runningProgram{cmd: exec.Command("mbox2cyrus", args...)}
		r.cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
		r.cmd.Stderr = r
		if err := r.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := run(g.migrate("--cyrus-bin", dir)...)
	until(t, "ctl_mboxlist is started", func() bool {
		_, err := os.Stat(filepath.Join(dir, "started"))
		return err == nil
	})
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.end()
	if dirs := left(); len(dirs) != 1 {
		t.Fatalf("there are %q", dirs)
	}
	plan := append([]string{"plan", "--quiet"}, g.flags()...)
	if r := run(plan...); r.end() != 0 || len(left()) != 1 {
		t.Errorf("while a program works in it: %q\n%s", left(), r.said())
	}
	release(t, dir)
	until(t, "it goes with the program", func() bool {
		r := run(plan...)
		if r.end() != 0 {
			t.Fatal(r.said())
		}
		return len(left()) == 0
	})
}
