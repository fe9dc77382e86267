package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/migrate"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/mbox"
)

// convertCommand is the first argument with which this program does one conversion and
// nothing else, so that its memory and its processor time are those of a process of its own.
const convertCommand = "convert"

// conversion is one conversion: the first half of the job.
type conversion struct {
	host, conf, state string
	jobs              int
	cache             bool // with cache records
	profile           string
}

// convert has this program, started again, do the conversion.
func (c conversion) convert() (sample, error) {
	self, err := os.Executable()
	if err != nil {
		return sample{}, err
	}
	s, out, err := run(exec.Command(self, convertCommand, "-host", c.host, "-conf", c.conf, "-state", c.state,
		"-jobs", strconv.Itoa(c.jobs), "-cache="+strconv.FormatBool(c.cache), "-cpuprofile", c.profile))
	if err != nil {
		return s, err
	}
	if s.wall, err = time.ParseDuration(strings.TrimSpace(out)); err != nil {
		return s, fmt.Errorf("what the conversion said: %w", err)
	}
	return s, nil
}

// convertMain is the program when it was started by convert. It prints the time that the
// conversion took, from reading passwd until all is on the disk: asking Cyrus for its
// settings first is not in it.
func convertMain(args []string) error {
	var c conversion
	flags := flag.NewFlagSet(convertCommand, flag.ExitOnError)
	flags.StringVar(&c.host, "host", "", "source root")
	flags.StringVar(&c.conf, "conf", "", "imapd.conf")
	flags.StringVar(&c.state, "state", "", "directory of the ledger")
	flags.StringVar(&c.profile, "cpuprofile", "", "file for a CPU profile")
	flags.IntVar(&c.jobs, "jobs", 2, "users at a time")
	flags.BoolVar(&c.cache, "cache", true, "with cache records")
	if err := flags.Parse(args); err != nil {
		return err
	}
	took, err := c.do()
	if err != nil {
		return err
	}
	fmt.Println(took)
	return nil
}

// do converts, through the same code as the program: everything until the mailboxes are
// on the disk, Cyrus not yet told.
func (c conversion) do() (took time.Duration, err error) {
	ctx := context.Background()
	cyrus, err := target.Open(ctx, target.Options{IMAPDConf: c.conf})
	if err != nil {
		return 0, err
	}
	l, err := ledger.Open(c.state)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if c.profile != "" {
		f, err := os.Create(c.profile)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return 0, err
		}
		defer pprof.StopCPUProfile()
	}
	migrate.SpareProcessors()
	start := time.Now()
	host, err := mbox.OpenHost(mbox.HostOptions{Root: c.host, MailDir: "mail", MinUID: 500})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	homes, err := plan.Look(ctx, host, plan.Selection{})
	if err != nil {
		return 0, err
	}
	p, err := homes.Plan(cyrus.Rules, nil)
	if err != nil {
		return 0, err
	}
	for _, u := range p.Users {
		u.Partition = cyrus.Partition
	}
	rep := report.New(report.Options{Stdout: io.Discard, Stderr: os.Stderr, Quiet: true, Command: "migrate"})
	e := &migrate.Engine{Source: &source.Source{Host: host, Location: time.UTC}, Cyrus: cyrus, Ledger: l, Report: rep, Progress: silent{}, Jobs: c.jobs, NoCache: !c.cache}
	if err := e.Fill(ctx, p); err != nil {
		return 0, err
	}
	if code := rep.ExitCode(); code != report.ExitOK {
		return 0, fmt.Errorf("converting: exit code %d", code)
	}
	return time.Since(start), nil
}

// silent shows no progress.
type silent struct{}

func (silent) UserStarted(string, int64) {}
func (silent) UserWaits(string)          {}
func (silent) UserRead(string)           {}
func (silent) UserDone(string)           {}
