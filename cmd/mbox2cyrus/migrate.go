package main

import (
	"errors"
	"slices"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/calibrate"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/migrate"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

const migrateName = "migrate"

func (p *program) migrateCommand() *cli.Command {
	return &cli.Command{
		Name:  migrateName,
		Usage: "the whole safe job: convert, reconstruct, verify",
		Flags: slices.Concat(sourceFlags(), cyrusFlags(), lockFlags(), runFlags(), accountFlags(), []cli.Flag{
			boolFlag(flagDryRun, "write nothing: show what would be done, and each command that Cyrus would be given"),
			sameHostFlag(),
			stringFlag("plan", "", "apply this reviewed plan `FILE`, and stop where the source changed since"),
			boolFlag("merge", "append to users who have mail in Cyrus already, with new UIDs; without it they are refused"),
			boolFlag(flagNoCache, "leave all of cyrus.cache to reconstruct, which then reads every message"),
			stringFlag("on-conflict", "skip", "a folder and its mailbox both changed since an earlier pass: `DO` skip, or append what is new"),
			mapFlag()}, outputFlags()),
		Action: func(c *cli.Context) (err error) {
			if err := checkLocks(c); err != nil {
				return err
			}
			s, err := p.open(c)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.close()) }()
			if do := c.String("on-conflict"); do != "skip" && do != "append" {
				return usagef("--on-conflict %s: skip or append", do)
			}
			if path := c.String("plan"); path != "" {
				if err := s.plan.Apply(path, s.opts.rules, s.opts.selection); err != nil {
					return err
				}
			}
			if err := s.writeMap(c); err != nil {
				return err
			}
			if c.Bool(flagDryRun) {
				return p.dryRun(c, s, sayCommands)
			}
			return p.migrate(c, s)
		},
	}
}

// migrate brings what the plan has into Cyrus. The ledger has the beginning of the run before
// anything is written, and its end when all is told.
func (p *program) migrate(c *cli.Context, s *session) (err error) {
	start := now()
	if err := s.checkDatabase(c.Context); err != nil {
		return err
	}
	if err := s.takeLedger(c); err != nil {
		return err
	}
	l := s.ledger
	if err := s.holdTo(c, l); err != nil {
		return err
	}
	if c.String("plan") == "" { // which says already of whom something is gone
		if _, err := s.plan.AddGone(l, s.opts.selection); err != nil {
			return err
		}
	}
	s.plan.HoldToRetire()
	root, err := realPath(s.opts.host.Root)
	if err != nil {
		return err
	}
	_, running, err := s.cyrus.Programs.Running(c.Context)
	if err != nil {
		return err
	}
	s.cyrus.Alone = !running
	s.sayMurder()
	e := &migrate.Engine{Cyrus: s.cyrus, Ledger: l, Report: s.report, Jobs: s.opts.jobs, Running: running,
		Merge: c.Bool("merge"), NoCache: c.Bool(flagNoCache), AppendOnConflict: c.String("on-conflict") == "append"}
	if err := l.Begin(ledger.Run{Start: start, Program: version + " " + commit, SourceRoot: root, Marks: s.host.Marks(), Zone: s.machineZone(),
		IMAPDConf: s.cyrus.IMAPDConf, Cyrus: s.cyrus.Version}); err != nil {
		return err
	}
	if err := s.keepRecord(c, start); err != nil {
		return err
	}
	s.dates = calibrate.New(s.opts.location, s.opts.zone)
	p.takeLocks(c, s)
	if err := p.progress(c, s, l, true); err != nil {
		return err
	}
	e.Source, e.Progress = s.source(p.display), p.display
	s.reportPlan()
	migrate.SpareProcessors()
	err = e.Run(c.Context, s.plan)
	p.display.Stop()
	s.sayDates(false)
	if err != nil && !p.stopped(err) {
		s.report.Problem(report.Problem{Severity: report.Failure, Offset: -1, Kind: "run-failed", Text: err.Error()})
		err = nil // it is in the account now
	}
	s.sayFull()
	if err := p.finish(s, err); err != nil {
		return err
	}
	end := now()
	return l.End(ledger.End{Time: end, ExitCode: p.code, Bytes: e.Filled(), Seconds: end.Sub(start).Seconds()})
}

// takeLedger opens the ledger for writing, if that was not done, and makes sure that there is
// room for what is to come.
func (s *session) takeLedger(c *cli.Context) (err error) {
	merge := c.Bool("merge")
	if s.ledger != nil {
		if err := holdPrograms(c, s.ledger, s.cyrus, s.report); err != nil {
			return err
		}
		return s.checkRoom(s.ledger, merge)
	}
	if err := s.checkRoom(&ledger.Ledger{}, merge); err != nil { // and it is not made where there is no room
		return err
	}
	s.ledger, err = openLedger(c, s.state, s.cyrus, s.report)
	return err
}

// sayMurder says what a back end of a murder needs.
func (s *session) sayMurder() {
	if master := s.cyrus.MUPDATE(); master != "" {
		s.report.Problem(report.Problem{Severity: report.Note, Offset: -1, Kind: "murder",
			Text: "this Cyrus is a back end of a murder: its master, " + master + ", hears of new mailboxes when ctl_mboxlist -m is run, as most cyrus.conf do at start; " +
				"run ctl_mboxlist -mw before, and do not start it if that says \"Remove Local Mailbox\" (docs/murder.md)"})
	}
}
