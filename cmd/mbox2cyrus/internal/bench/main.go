// Command bench measures the program against the machine, side by side in one
// run: converting against tar x of the finished spool, the whole migration
// against tar x and reconstruct of the same tree, and the peak of its memory.
// Only the ratios are worth something: machines differ and are shared.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/migrate"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/mbox"
)

type bench struct {
	program  string
	users    int
	messages int
	bytes    int64
	rounds   int
	jobs     int
	bigBytes int64
	profile  string
	scratch  string
}

func main() {
	b := bench{}
	mb := flag.Int64("mb", 200, "megabytes of mail of the host")
	big := flag.Int64("big-mb", 2000, "megabytes of the one folder of the memory test; 0: none")
	flag.StringVar(&b.program, "program", "bin/mbox2cyrus", "the mbox2cyrus to measure")
	flag.IntVar(&b.users, "users", 50, "users of the host")
	flag.IntVar(&b.messages, "messages", 20000, "messages of the host")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds; the median counts")
	flag.IntVar(&b.jobs, "jobs", 2, "users at a time, for the program and for reconstruct")
	flag.StringVar(&b.profile, "cpuprofile", "", "file for a CPU profile of the conversion")
	dir := flag.String("dir", "", "directory for the scratch files (default: that for temporary files)")
	flag.Parse()
	b.bytes, b.bigBytes = *mb<<20, *big<<20
	if err := b.run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(dir string) (err error) {
	if err := cyrustest.Available(); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp(dir, "mbox2cyrus-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.scratch)) }()
	if err := os.Chmod(b.scratch, 0o755); err != nil {
		return err
	}
	if err := b.ratios(); err != nil {
		return err
	}
	if b.bigBytes > 0 {
		return b.memory()
	}
	return nil
}

// timings are the seconds of one round.
type timings struct {
	convert, tar, migrate, again    float64
	migrateNoCache                  float64
	reconstruct, reconstructNoCache float64
	peak                            int64
}

func (b *bench) ratios() error {
	host := filepath.Join(b.scratch, "host")
	if _, err := samplehost.Write(host, samplehost.Options{Seed: 3, Users: b.users, Messages: b.messages, Bytes: b.bytes, Plain: true, OmitMessages: true}); err != nil {
		return err
	}
	fmt.Printf("host: %d users, %d messages, %d MB of mail; %d jobs; source in the page cache; %d rounds, medians\n", b.users, b.messages, b.bytes>>20, b.jobs, b.rounds)
	var all []timings
	for n := range b.rounds {
		t, err := b.round(n, host)
		if err != nil {
			return err
		}
		all = append(all, t)
	}
	median := func(of func(timings) float64) float64 {
		v := make([]float64, len(all))
		for i, t := range all {
			v[i] = of(t)
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	ratio := func(a, b func(timings) float64) float64 {
		return median(func(t timings) float64 { return a(t) / b(t) })
	}
	convert := func(t timings) float64 { return t.convert }
	tar := func(t timings) float64 { return t.tar }
	migrate := func(t timings) float64 { return t.migrate }
	noCache := func(t timings) float64 { return t.migrateNoCache }
	restored := func(t timings) float64 { return t.tar + t.reconstruct }
	parsed := func(t timings) float64 { return t.tar + t.reconstructNoCache }
	fmt.Printf("%-62s %8.2f s\n", "tar x of the finished spool, sync", median(tar))
	fmt.Printf("%-62s %8.2f s   %.2f x tar x\n", "conversion alone (read, convert, hash, write, index, sync)", median(convert), ratio(convert, tar))
	fmt.Printf("%-62s %8.2f s\n", "tar x + reconstruct, nothing to parse (caches restored)", median(restored))
	fmt.Printf("%-62s %8.2f s\n", "tar x + reconstruct that parses every message (no caches)", median(parsed))
	fmt.Printf("%-62s %8.2f s   %.2f x and %.2f x of these\n", "whole migrate (conversion, reconstruct, verification)", median(migrate), ratio(migrate, restored), ratio(migrate, parsed))
	fmt.Printf("%-62s %8.2f s   %.2f x that; %.2f x and %.2f x of these\n", "the same with --no-cache", median(noCache), ratio(noCache, migrate), ratio(noCache, restored), ratio(noCache, parsed))
	fmt.Printf("%-62s %8.2f s   %.3f x the first\n", "the same again, nothing changed", median(func(t timings) float64 { return t.again }), ratio(func(t timings) float64 { return t.again }, migrate))
	fmt.Printf("%-62s %8.0f messages/s\n", "whole migrate", float64(b.messages)/median(migrate))
	fmt.Printf("%-62s %8.1f MB\n", "peak memory of the program", median(func(t timings) float64 { return float64(t.peak) / (1 << 20) }))
	return nil
}

// round measures everything once, each on files of its own: a directory from
// which much was deleted is slow for a while on ext4.
func (b *bench) round(n int, host string) (t timings, err error) {
	dir := filepath.Join(b.scratch, "round"+strconv.Itoa(n))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return t, err
	}
	tool, err := cyrustest.New(filepath.Join(dir, "tool"), cyrustest.Options{})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, tool.Close()) }()
	convert, err := cyrustest.New(filepath.Join(dir, "convert"), cyrustest.Options{})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, convert.Close()) }()
	plain, err := cyrustest.New(filepath.Join(dir, "no-cache"), cyrustest.Options{})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()

	args := func(conf, state string) []string {
		return []string{"migrate", "--quiet", "--source-root", host, "--imapd-conf", conf, "--state", filepath.Join(dir, state),
			"--source-timezone", "UTC", "--jobs", strconv.Itoa(b.jobs)}
	}
	if err := warm(host); err != nil {
		return t, err
	}
	if t.convert, err = b.convert(host, convert.Conf, filepath.Join(dir, "state-convert")); err != nil {
		return t, err
	}
	migrate := []func() error{
		func() (err error) {
			t.migrate, t.peak, err = b.measure(args(tool.Conf, "state"))
			return err
		},
		func() (err error) {
			t.migrateNoCache, _, err = b.measure(append(args(plain.Conf, "state-no-cache"), "--no-cache"))
			return err
		},
	}
	if n%2 == 1 {
		slices.Reverse(migrate)
	}
	for _, measure := range migrate {
		if err := measure(); err != nil {
			return t, err
		}
	}
	if t.again, _, err = b.measure(args(tool.Conf, "state")); err != nil {
		return t, err
	}
	tarFile := filepath.Join(dir, "spool.tar")
	if err := command("tar", "cf", tarFile, "-C", tool.Spool, "."); err != nil {
		return t, err
	}
	entries, err := tool.Run(context.Background(), "ctl_mboxlist", "-d")
	if err != nil {
		return t, err
	}
	if t.tar, t.reconstruct, err = b.restore(filepath.Join(dir, "restored"), tarFile, entries, false); err != nil {
		return t, err
	}
	if _, t.reconstructNoCache, err = b.restore(filepath.Join(dir, "restored-no-cache"), tarFile, entries, true); err != nil {
		return t, err
	}
	return t, nil
}

// convert does the first half of the job, through the same code as the program:
// everything until the mailboxes are on the disk, Cyrus not yet told.
func (b *bench) convert(root, conf, state string) (seconds float64, err error) {
	ctx := context.Background()
	cyrus, err := target.Open(ctx, target.Options{IMAPDConf: conf, Cache: true})
	if err != nil {
		return 0, err
	}
	l, err := ledger.Open(state)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	start := time.Now()
	host, err := mbox.OpenHost(mbox.HostOptions{Root: root, MailDir: "mail", MinUID: 500})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	p, err := plan.Build(host, cyrus.Rules, plan.Selection{}, nil)
	if err != nil {
		return 0, err
	}
	for _, u := range p.Users {
		u.Partition = cyrus.Partition
	}
	rep := report.New(report.Options{Stdout: io.Discard, Stderr: os.Stderr, Quiet: true, Command: "migrate"})
	e := &migrate.Engine{Source: &source.Source{Host: host, Location: time.UTC}, Cyrus: cyrus, Ledger: l, Report: rep, Progress: silent{}, Jobs: b.jobs}
	if b.profile != "" {
		f, err := os.Create(b.profile)
		if err != nil {
			return 0, err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return 0, errors.Join(err, f.Close())
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, f.Close())
		}()
	}
	if err := e.Fill(ctx, p); err != nil {
		return 0, err
	}
	if code := rep.ExitCode(); code != report.ExitOK {
		return 0, fmt.Errorf("converting: exit code %d", code)
	}
	return time.Since(start).Seconds(), nil
}

// silent shows no progress.
type silent struct{}

func (silent) UserStarted(string, int64) {}
func (silent) UserRead(string)           {}
func (silent) UserDone(string)           {}

// measure runs the program and returns its time and the peak of its resident
// memory, its own alone.
func (b *bench) measure(args []string) (seconds float64, peak int64, err error) {
	cmd := exec.Command(b.program, args...)
	cmd.Stdout, cmd.Stderr = io.Discard, os.Stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			peak = max(peak, highWater(cmd.Process.Pid))
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	err = cmd.Wait()
	seconds = time.Since(start).Seconds()
	close(done)
	wg.Wait()
	if err != nil {
		err = fmt.Errorf("%s %s: %w", b.program, strings.Join(args, " "), err)
	}
	return seconds, peak, err
}

// highWater returns VmHWM of a process in bytes, 0 when it is gone.
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

// restore unpacks the finished spool into a new Cyrus and has it reconstructed,
// as many users at a time as the program had.
func (b *bench) restore(dir, tarFile, entries string, dropCaches bool) (tar, reconstruct float64, err error) {
	srv, err := cyrustest.New(dir, cyrustest.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	start := time.Now()
	if err := command("tar", "xpf", tarFile, "-C", srv.Spool, "--same-owner"); err != nil {
		return 0, 0, err
	}
	if err := command("sync", "-f", srv.Spool); err != nil {
		return 0, 0, err
	}
	tar = time.Since(start).Seconds()
	if dropCaches {
		// Four zero bytes are the cache of a mailbox that was never parsed.
		if err := command("sh", "-c", `find "$1" -name cyrus.cache -exec sh -c 'for f; do printf "\000\000\000\000" >"$f"; done' sh {} +`, "sh", srv.Spool); err != nil {
			return 0, 0, err
		}
	}
	start = time.Now()
	enter := exec.Command(filepath.Join(cyrustest.BinDir, "ctl_mboxlist"), "-C", srv.Conf, "-u")
	enter.Stdin = strings.NewReader(entries)
	if out, err := enter.CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("ctl_mboxlist -u: %w: %s", err, out)
	}
	if err := b.reconstruct(srv); err != nil {
		return 0, 0, err
	}
	return tar, time.Since(start).Seconds(), nil
}

func (b *bench) reconstruct(srv *cyrustest.Server) error {
	users := make(chan string)
	errs := make([]error, b.jobs)
	var wg sync.WaitGroup
	for i := range b.jobs {
		wg.Go(func() {
			for u := range users {
				cmd := exec.Command(filepath.Join(cyrustest.BinDir, "reconstruct"), "-C", srv.Conf, "-u", u)
				if err := cmd.Run(); err != nil {
					errs[i] = fmt.Errorf("reconstruct -u %s: %w", u, err)
				}
			}
		})
	}
	list, err := srv.Run(context.Background(), "ctl_mboxlist", "-d")
	if err == nil {
		for _, u := range userIDs(list) {
			users <- u
		}
	}
	close(users)
	wg.Wait()
	return errors.Join(append(errs, err)...)
}

// userIDs finds the owners in a dump of mailboxes.db.
func userIDs(dump string) (ids []string) {
	for line := range strings.Lines(dump) {
		name, ok := strings.CutPrefix(line, `"user.`)
		if !ok {
			continue
		}
		id, _, _ := strings.Cut(name, `"`)
		if !strings.Contains(id, ".") {
			ids = append(ids, id)
		}
	}
	return ids
}

// memory migrates one user with one folder of many gigabytes.
func (b *bench) memory() error {
	dir := filepath.Join(b.scratch, "big")
	host := filepath.Join(dir, "host")
	for _, d := range []string{"etc", "var/mail", "home/big"} {
		if err := os.MkdirAll(filepath.Join(host, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(host, "etc/passwd"), []byte("big:x:1001:1001::/home/big:/bin/sh\n"), 0o644); err != nil {
		return err
	}
	if err := writeBig(filepath.Join(host, "var/mail/big"), b.bigBytes); err != nil {
		return err
	}
	srv, err := cyrustest.New(filepath.Join(dir, "cyrus"), cyrustest.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	seconds, peak, err := b.measure([]string{"migrate", "--quiet", "--source-root", host, "--imapd-conf", srv.Conf, "--state", filepath.Join(dir, "state"), "--source-timezone", "UTC"})
	if err != nil {
		return err
	}
	fmt.Printf("one folder of %d MB with a message of %d MB in it: %.1f s, peak memory of the program %.1f MB\n", b.bigBytes>>20, b.bigBytes>>22, seconds, float64(peak)/(1<<20))
	return nil
}

// writeBig writes a folder whose messages are of ordinary size but for one,
// which is a quarter of it.
func writeBig(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	line := strings.Repeat("abcdefghijklmnopqrstuvwxyz0123456789+/AB", 19)[:76] + "\n"
	var written int64
	for n := 0; written < size; n++ {
		body := int64(200+n*7919%40000) / 77
		if n == 1000 {
			body = size / 4 / 77
		}
		k, err := fmt.Fprintf(w, "From a@example.org Mon Jun  2 10:11:12 2003\nFrom: a@example.org\nSubject: message %d\nMessage-ID: <%d@example.org>\nDate: Mon, 2 Jun 2003 10:11:12 +0000\n\n", n, n)
		if err != nil {
			return err
		}
		written += int64(k)
		for range body {
			if _, err := w.WriteString(line); err != nil {
				return err
			}
		}
		if _, err := w.WriteString("\n"); err != nil {
			return err
		}
		written += body*77 + 1
	}
	return errors.Join(w.Flush(), f.Close())
}

// warm reads the host once, so that every measurement finds it in the cache.
func warm(host string) error {
	return command("sh", "-c", `find "$1" -type f -exec cat {} + >/dev/null`, "sh", host)
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
