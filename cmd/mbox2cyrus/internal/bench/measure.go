package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A sample is what one step of one round cost.
type sample struct {
	wall time.Duration
	cpu  time.Duration // of the processes that were waited for; 0: not known
	peak int64         // resident memory of the program alone, in bytes; 0: not known
	// owed is what a sync right after the step took: dirty pages that it left behind
	// although it was to leave none.
	owed time.Duration
}

// cacheState says what is in the page cache when a step begins.
type cacheState string

const (
	warm cacheState = "warm" // all that the step reads
	cold cacheState = "cold" // nothing
)

// prepare makes one state of the machine for every step: nothing left to be written from
// the steps before, and in the page cache what the state says.
func (b *bench) prepare(state cacheState, reads []string) error {
	if b.ctx.Err() != nil {
		return errors.New("stopped by a signal")
	}
	unix.Sync()
	if state == cold {
		// 3: pages, and the directory entries and inodes too (Linux,
		// Documentation/admin-guide/sysctl/vm.rst).
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0o200); err != nil {
			return fmt.Errorf("emptying the page cache, which needs root: %w", err)
		}
		return nil
	}
	for _, path := range reads {
		if err := readAll(path); err != nil {
			return err
		}
	}
	return nil
}

// timed prepares the machine, does the step and adds to its sample how long it took, if it
// does not say so itself, and what it left to be written.
func (b *bench) timed(state cacheState, reads []string, step func() (sample, error)) (sample, error) {
	if err := b.prepare(state, reads); err != nil {
		return sample{}, err
	}
	start := time.Now()
	s, err := step()
	if err != nil {
		return sample{}, err
	}
	if s.wall == 0 {
		s.wall = time.Since(start)
	}
	start = time.Now()
	if err := b.sync(); err != nil {
		return sample{}, err
	}
	s.owed = time.Since(start)
	return s, nil
}

// sync writes the file system of the scratch directory to the disk.
func (b *bench) sync() (err error) {
	dir, err := os.Open(b.scratch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("sync of the file system of %s: %w", b.scratch, err)
	}
	return nil
}

// readAll reads a file, or all files below a directory.
func readAll(path string) error {
	return filepath.WalkDir(path, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, f)
		return errors.Join(err, f.Close())
	})
}

// run runs a command and returns its cost. Its standard output is returned too, unless the
// command has a place for it.
func run(cmd *exec.Cmd) (s sample, out string, err error) {
	var stdout, stderr strings.Builder
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return s, "", fmt.Errorf("%s: %w", cmd, err)
	}
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			s.peak = max(s.peak, highWater(cmd.Process.Pid))
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	err = cmd.Wait()
	s.wall = time.Since(start)
	close(done)
	watch.Wait()
	if err != nil {
		return s, "", fmt.Errorf("%s: %w: %s%s", cmd, err, stdout.String(), stderr.String())
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return s, stdout.String(), nil
}

// highWater returns VmHWM of a process in bytes, 0 when it is gone. It is asked for again
// and again: ru_maxrss would be simpler, but begins with the memory of the process that
// started this one (Linux, fs/exec.c exec_mmap).
func highWater(pid int) int64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if rest, ok := strings.CutPrefix(sc.Text(), "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err == nil {
				return kb << 10
			}
		}
	}
	return 0
}

// program runs mbox2cyrus, which must end with exit code 0.
func (b *bench) program(args ...string) (sample, error) {
	cmd := exec.Command(b.binary, args...)
	cmd.Stdout = io.Discard
	s, _, err := run(cmd)
	return s, err
}

// migration are the arguments of a command on a host, a Cyrus and a ledger.
func (b *bench) migration(command, host, conf, state string, more ...string) []string {
	return append([]string{command, "--quiet", "--source-root", host, "--imapd-conf", conf, "--state", state,
		"--source-timezone", "UTC", "--jobs", strconv.Itoa(b.jobs)}, more...)
}
