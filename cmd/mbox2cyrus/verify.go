package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/retire"
	"mbox2cyrus/cmd/mbox2cyrus/internal/served"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
)

func now() time.Time { return time.Now().UTC() }

func (p *program) verifyCommand() *cli.Command {
	level := stringFlag(flagLevel, "index", "`LEVEL`: count (numbers), index (every message in Cyrus's index), content (also every byte of source and spool)")
	return &cli.Command{
		Name:  "verify",
		Usage: "compare source, ledger and Cyrus again, changing nothing",
		Flags: slices.Concat(sourceFlags(), cyrusFlags(), lockFlags(), runFlags(), accountFlags(), []cli.Flag{level,
			boolFlag("messages", "a line for each message: = same, + only in the source, - only in Cyrus, * differs, ! unreadable"),
			boolFlag("second-opinion", "have go-mbox, an independent reader, count every unix folder, and say why it counts otherwise"),
			boolFlag("imap", "ask Cyrus's imapd, on a pipe and without a daemon, what clients would see of every message")}, outputFlags()),
		Action: func(c *cli.Context) error {
			want := verify.Level(c.String(flagLevel))
			if !slices.Contains(verify.Levels, want) {
				return usagef("--level %s: count, index or content", want)
			}
			if c.Bool("messages") && want == verify.LevelCount {
				return usagef("--messages compares messages: give --level index or content")
			}
			return p.verify(c, want)
		},
	}
}

// verify compares source, ledger and Cyrus as deep as level says. It changes nothing.
func (p *program) verify(c *cli.Context, level verify.Level) (err error) {
	if err := checkLocks(c); err != nil {
		return err
	}
	s, err := p.open(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.sayInUse(); err != nil {
		return err
	}
	l, err := ledger.Read(s.state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if level == verify.LevelContent { // the others read no date of the source
		if err := s.holdToZone(l); err != nil {
			return err
		}
	}
	if err := s.plan.HoldTo(l); err != nil {
		return err
	}
	if err := s.plan.AddRetired(l, s.opts.selection); err != nil {
		return err
	}
	if err := verify.CheckRules(l, s.plan, s.opts.rules.String()); err != nil {
		return err
	}
	if level == verify.LevelContent || c.Bool("second-opinion") {
		p.takeLocks(c, s)
	}
	var imap *served.Server
	if c.Bool("imap") {
		if imap, err = served.Open(c.Context, s.cyrus); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, imap.Close()) }()
	}
	if err := s.keepRecord(c, now()); err != nil {
		return err
	}
	if err := p.progress(c, s, l, false); err != nil {
		return err
	}
	retired, err := retire.OpenRecord(s.state, false)
	if err != nil {
		return err
	}
	v := &verify.Verifier{Retired: retired.Check, Source: s.source(p.display), Cyrus: s.cyrus, Ledger: l, Report: s.report, Progress: p.display, Jobs: s.opts.jobs, Level: level,
		Served: imap, Answers: s.report.Served}
	if c.Bool("messages") {
		v.Message = s.report.Message
	}
	if c.Bool("second-opinion") {
		v.Opinion = s.report.Opinion
	}
	s.reportPlan()
	err = v.Run(c.Context, s.plan)
	p.display.Stop()
	return p.finish(s, err)
}

// sayInUse says that another run goes on.
func (s *session) sayInUse() error {
	holder, err := ledger.InUse(s.state)
	if err == nil && holder != "" {
		s.report.Problem(report.Problem{Severity: report.Attention, Offset: -1, Kind: "run-goes-on", Text: fmt.Sprintf(
			"another run of mbox2cyrus is using the state directory (%s): what it has not finished is told as cut off or missing; verify again when it has ended", holder)})
	}
	return err
}
