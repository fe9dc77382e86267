// Command bench measures mbox2cyrus against the machine, side by side in one run:
// converting against tar x of the finished spool, the whole migration against tar x and
// reconstruct of the same tree, later passes and verification against the first pass, and,
// on demand, other ways to move the same mail. It prints tables in Markdown. Only the ratios
// are worth something: machines differ and are shared. See docs/performance.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// bench is one run.
type bench struct {
	ctx      context.Context // ends when the run is to stop, before the next step
	binary   string
	jobs     int
	rounds   int
	states   []cacheState
	profile  string
	rest     time.Duration // after files had to be removed
	scratch  string
	left     *leftovers
	started  time.Time
	users    int
	messages int
	bytes    int64
	noCache  bool // migrate --no-cache too

	bigBytes  int64 // of the one folder
	bigRounds int
	hugeBytes int64 // of the one message

	rivalRounds int
	connections int // of the uploader
}

func main() {
	var err error
	if len(os.Args) > 1 && os.Args[1] == convertCommand {
		err = convertMain(os.Args[2:])
	} else {
		err = benchMain()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func benchMain() error {
	b := bench{states: []cacheState{warm}, started: time.Now(), left: &leftovers{}, noCache: true}
	flag.StringVar(&b.binary, "program", "bin/mbox2cyrus", "the mbox2cyrus to measure")
	flag.IntVar(&b.users, "users", 50, "users of the host")
	flag.IntVar(&b.messages, "messages", 20000, "messages of the host")
	mb := flag.Int64("mb", 200, "megabytes of mail of the host")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds; the median counts; 0: none of this host")
	flag.IntVar(&b.jobs, "jobs", 2, "users at a time: of the program, of reconstruct and of the rivals")
	withCold := flag.Bool("cold", false, "measure with an empty page cache too (needs root)")
	big := flag.Int64("big-mb", 400, "megabytes of the one folder of the one user; 0: none")
	flag.IntVar(&b.bigRounds, "big-rounds", 1, "rounds of that")
	huge := flag.Int64("huge-mb", 500, "megabytes of the one message; 0: none")
	flag.IntVar(&b.rivalRounds, "rivals", 0, "rounds of the other ways to move the mail; 0: none")
	flag.IntVar(&b.connections, "connections", 4, "IMAP connections of our own uploader")
	flag.DurationVar(&b.rest, "rest", 2*time.Minute, "how long to wait where files of earlier rounds had to be removed to make room, since ext4 is slow then")
	flag.StringVar(&b.profile, "cpuprofile", "", "file for a CPU profile of the conversion (of the last)")
	dir := flag.String("dir", "", "directory for the scratch files (default: that for temporary files)")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("%q: there are only flags", flag.Arg(0))
	}
	if b.jobs < 1 || b.users < 1 || b.messages < 1 || b.bigRounds < 1 || b.connections < 1 {
		return errors.New("-jobs, -users, -messages, -big-rounds and -connections are at least 1")
	}
	b.bytes, b.bigBytes, b.hugeBytes = *mb<<20, *big<<20, *huge<<20
	if *withCold {
		b.states = append(b.states, cold)
	}
	// Whoever stops it wants its servers ended and its gigabytes removed.
	var stop context.CancelFunc
	b.ctx, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return b.run(*dir)
}

func (b *bench) run(dir string) (err error) {
	if err := cyrustest.Available(); err != nil {
		return err
	}
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if b.rivalRounds > 0 {
		if err := rivalsHere(); err != nil {
			return err
		}
	}
	if err := b.about(); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp(dir, "mbox2cyrus-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.scratch)) }()
	if err := os.Chmod(b.scratch, 0o755); err != nil { // cyrus must get in
		return err
	}
	if err := b.room(b.bytes, 0); err != nil {
		return err
	}
	h, err := makeHost(filepath.Join(b.scratch, "host"), b.users, b.messages, b.bytes, false)
	if err != nil {
		return err
	}
	if b.rounds > 0 {
		if err := b.whole(h); err != nil {
			return err
		}
	}
	if b.bigBytes > 0 {
		if err := b.big(); err != nil {
			return fmt.Errorf("one folder: %w", err)
		}
	}
	if b.hugeBytes > 0 {
		if err := b.huge(); err != nil {
			return fmt.Errorf("one message: %w", err)
		}
	}
	if b.rivalRounds > 0 {
		return b.rivals(h)
	}
	return nil
}

// whole measures a host of many users, and one of a tenth of them.
func (b *bench) whole(h *host) error {
	tenth, err := makeHost(filepath.Join(b.scratch, "tenth"), max(1, b.users/10), max(1, b.messages/10), b.bytes/10, false)
	if err != nil {
		return err
	}
	records, err := b.roundsOf(h, tenth)
	if err != nil {
		return err
	}
	b.report(h, records, tenth)
	return nil
}

// big measures one user who has one folder, and one a tenth as large.
func (b *bench) big() error {
	if err := b.room(b.bigBytes+b.bigBytes/10, 0); err != nil {
		return err
	}
	h, err := makeHost(filepath.Join(b.scratch, "big-host"), 1, 0, b.bigBytes, true)
	if err != nil {
		return err
	}
	tenth, err := makeHost(filepath.Join(b.scratch, "big-tenth"), 1, 0, b.bigBytes/10, true)
	if err != nil {
		return err
	}
	of := *b
	of.rounds, of.noCache, of.scratch = b.bigRounds, false, filepath.Join(b.scratch, "big")
	if err := os.Mkdir(of.scratch, 0o755); err != nil {
		return err
	}
	records, err := of.roundsOf(h, tenth)
	if err != nil {
		return err
	}
	b.done(h.root)
	b.done(of.scratch)
	of.report(h, records, tenth)
	return nil
}

// about prints what is measured on what.
func (b *bench) about() error {
	_, version, err := run(exec.Command(b.binary, "--version"))
	if err != nil {
		return err
	}
	var system unix.Utsname
	if err := unix.Uname(&system); err != nil {
		return err
	}
	fmt.Printf("%s, Linux %s, %d processors\n", strings.TrimSpace(version), unix.ByteSliceToString(system.Release[:]), runtime.NumCPU())
	return nil
}

// progress tells how far the run is, on standard error.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%v: "+format+"\n", append([]any{time.Since(b.started).Round(time.Second)}, args...)...)
}
