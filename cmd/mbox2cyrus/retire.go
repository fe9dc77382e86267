package main

import (
	"errors"
	"slices"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/retire"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
)

func (p *program) retireCommand() *cli.Command {
	return &cli.Command{
		Name:  "retire",
		Usage: "after a clean verify: move source folders into an archive, or back",
		Flags: slices.Concat(sourceFlags(), cyrusFlags(), lockFlags(), runFlags(), []cli.Flag{
			&cli.StringSliceFlag{Name: "archive", Usage: "`DIR` of root's to move folders to; one on each file system that has some (may be repeated)", EnvVars: env("archive")},
			&cli.BoolFlag{Name: "restore", Usage: "move what is in the archive back, of the users who are chosen or of all"}, // no environment variable: it must be said
			boolFlag(flagDryRun, "move nothing: verify, and show what would be moved")}, outputFlags()),
		Action: func(c *cli.Context) error {
			if c.Bool("restore") {
				return p.restore(c)
			}
			if len(c.StringSlice("archive")) == 0 {
				return usagef("retire wants --archive DIR (or --restore)")
			}
			return p.retire(c)
		},
	}
}

// openRetirer opens the state directory, for writing only if something may be moved. cyrus
// is nil if it is not asked.
func (p *program) openRetirer(c *cli.Context, state string, cyrus *target.Cyrus, rep *report.Reporter) (_ *retire.Retirer, l *ledger.Ledger, err error) {
	switch {
	case c.Bool(flagDryRun):
		l, err = ledger.Read(state)
	case cyrus == nil:
		l, err = ledger.Open(state)
	default:
		l, err = openLedger(c, state, cyrus, rep)
	}
	if err != nil {
		return nil, nil, err
	}
	record, err := retire.OpenRecord(state, !c.Bool(flagDryRun))
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	return &retire.Retirer{Record: record, Report: rep, DryRun: c.Bool(flagDryRun)}, l, nil
}

// retire moves the folders of users whose mail is proved to be in Cyrus into the archives.
func (p *program) retire(c *cli.Context) (err error) {
	if err := checkLocks(c); err != nil {
		return err
	}
	s, err := p.open(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r, l, err := p.openRetirer(c, s.state, s.cyrus, s.report)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Record.Close(), l.Close()) }()
	if err := s.plan.HoldTo(l); err != nil {
		return err
	}
	if err := s.sayGone(l); err != nil {
		return err
	}
	for _, path := range c.StringSlice("archive") {
		a, err := retire.OpenArchive(path)
		if err != nil {
			return usagef("--archive: %v", err)
		}
		defer a.Close() // only a place to start from: nothing can be lost
		r.Archives = append(r.Archives, a)
	}
	p.takeLocks(c, s)
	if err := p.progress(c, s, l, false); err != nil {
		return err
	}
	r.Host, r.Locks = s.host, s.locks
	r.Verifier = verify.Verifier{Source: s.source(p.display), Cyrus: s.cyrus, Ledger: l, Progress: p.display, Jobs: 1}
	s.reportPlan()
	err = r.Run(c.Context, s.plan)
	p.display.Stop()
	return p.finish(s, err)
}

// restore is retire --restore: it moves back what is in archives, by the record alone.
func (p *program) restore(c *cli.Context) (err error) {
	if c.Args().Present() {
		return usagef("retire takes no arguments, only flags: %q", c.Args().First())
	}
	if c.Bool(flagOnlyFailed) {
		return usagef("retire --restore does not take --%s", flagOnlyFailed)
	}
	for _, name := range []string{flagMaxDuration, flagBWLimit, flagStatusFile} { // as settings they are of other commands
		if p.isArgument(c, name) {
			return usagef("retire --restore does not take --%s", name)
		}
	}
	sel, err := parseSelection(c)
	if err != nil {
		return err
	}
	rep, closeLog, err := p.reporter(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	state, err := knownState(c, "nothing was retired", retire.Exists)
	if err != nil {
		return err
	}
	r, l, err := p.openRetirer(c, state, nil, rep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Record.Close(), l.Close()) }()
	for _, name := range slices.Concat(sel.Users, sel.Exclude) {
		if !r.Record.Knows(name) {
			return usagef("nothing of %s was retired (what lies in a home that several logins have is recorded of one of them)", report.Quote(name))
		}
	}
	err = r.Restore(c.Context, sel.Has)
	return p.end(rep, err)
}
