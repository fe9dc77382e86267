package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How long a run waits for programs of one that is no more, and how often it says so.
// Tests shorten them.
var (
	programsWait  = time.Hour
	programsTell  = time.Minute
	programsCheck = 200 * time.Millisecond
)

// ErrPrograms is returned when Cyrus programs of a run that was killed do not end.
var ErrPrograms = errors.New("programs of Cyrus that a killed run had started are still at work")

// HoldPrograms waits for the Cyrus programs that a run had started which was killed: they
// go on without it, on the same mailboxes. say is told whom it waits for. Then it returns
// a file that all programs are to inherit which this run starts: as long as one of them
// has it open, the next run can tell.
func (l *Ledger) HoldPrograms(ctx context.Context, say func(string)) (hold *os.File, err error) {
	if err := l.awaitPrograms(ctx, say); err != nil {
		return nil, err
	}
	// For reading only: the programs run as Cyrus's user, who must not write here. What is
	// locked is this open file, which is theirs too once they have inherited it.
	if hold, err = os.OpenFile(l.lock.Name(), os.O_RDONLY|unix.O_NOFOLLOW, 0); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := unix.FcntlFlock(hold.Fd(), unix.F_OFD_SETLK, byteLock(lockOfPrograms, unix.F_RDLCK)); err != nil {
		return nil, errors.Join(fmt.Errorf("state directory %s: lock: %w", l.dir, err), hold.Close())
	}
	l.hold = hold
	return hold, nil
}

func (l *Ledger) awaitPrograms(ctx context.Context, say func(string)) error {
	start := time.Now()
	var told time.Time
	for {
		// Only asked for: this run has the other lock, so nobody takes this one now.
		lock := byteLock(lockOfPrograms, unix.F_WRLCK)
		if err := unix.FcntlFlock(l.lock.Fd(), unix.F_OFD_GETLK, lock); err != nil {
			return fmt.Errorf("state directory %s: lock: %w", l.dir, err)
		}
		if lock.Type == unix.F_UNLCK {
			return nil
		}
		if time.Since(start) >= programsWait {
			return fmt.Errorf("state directory %s: %w after %v: %s; see what they are doing, and run this again when they have ended", l.dir, ErrPrograms, programsWait, l.holders())
		}
		if now := time.Now(); now.Sub(told) >= programsTell {
			told = now
			say("waiting for Cyrus programs that a killed run had started and that are still at work: " + l.holders())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(programsCheck):
		}
	}
}

// holders names the processes that have the lock open besides this one, as far as /proc
// tells.
func (l *Ledger) holders() string {
	var names []string
	own, err := l.lock.Stat()
	if err != nil {
		return "unknown processes (" + err.Error() + ")"
	}
	// Of processes that end meanwhile, and of others' that we may not look at, there is nothing.
	open, _ := filepath.Glob("/proc/[0-9]*/fd/[0-9]*") // its only error is of the pattern
	for _, fd := range open {
		info, err := os.Stat(fd)
		if err != nil || !os.SameFile(info, own) {
			continue
		}
		process := filepath.Dir(filepath.Dir(fd))
		pid, err := strconv.Atoi(filepath.Base(process))
		if err != nil || pid == os.Getpid() {
			continue
		}
		name, err := os.ReadFile(filepath.Join(process, "comm"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		names = append(names, fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(name)), pid))
	}
	if len(names) == 0 {
		return "processes that cannot be seen from here"
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}
