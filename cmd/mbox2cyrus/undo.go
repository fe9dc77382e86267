package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/retire"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cmd/mbox2cyrus/internal/undo"
)

func (p *program) undoCommand() *cli.Command {
	return &cli.Command{
		Name:  "undo",
		Usage: "remove from Cyrus what migrate made, if nothing touched it since",
		Flags: append(append(installedFlags(),
			stringFlag(flagState, "/var/lib/mbox2cyrus", "`DIR` of the ledger, the record of what was done"),
			&cli.StringSliceFlag{Name: "user", Usage: "this `NAME` on the UW host (may be repeated)", EnvVars: env("user")},
			&cli.BoolFlag{Name: "all", Usage: "all users in the ledger"}, // no environment variable: it must be said
			boolFlag(flagDryRun, "change nothing: show what would be removed, and what stands in the way"),
			&cli.BoolFlag{Name: "recognised", Usage: "also remove mailboxes that migrate recognised after its state directory was lost, and has no record of making"},
		), outputFlags()...),
		Action: func(c *cli.Context) (err error) {
			users := c.StringSlice("user")
			switch {
			case c.Args().Present():
				return usagef("undo takes no arguments, only flags: %q", c.Args().First())
			case c.Bool("all") == (len(users) > 0):
				return usagef("undo wants either --user NAME or --all")
			}
			rep, closeLog, err := p.reporter(c)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeLog()) }()
			sweep(rep)
			cyrus, err := openCyrus(c, nil)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, cyrus.Close()) }()
			return p.undo(c, cyrus, rep, users)
		},
	}
}

// undo undoes users, all that the ledger has with --all. Nothing is changed before it is sure that
// Cyrus does not run and can give back what is to be undone.
func (p *program) undo(c *cli.Context, cyrus *target.Cyrus, rep *report.Reporter, users []string) (err error) {
	state, err := knownState(c, "there is nothing to undo")
	if err != nil {
		return err
	}
	pid, running, err := cyrus.Programs.Running(c.Context)
	if err != nil {
		return err
	}
	if running && !c.Bool(flagDryRun) {
		return fmt.Errorf("a running Cyrus (process %d) may have open what is to be removed: stop it and run undo again; nothing was changed", pid)
	}
	if running {
		rep.Problem(report.Problem{Severity: report.Attention, Offset: -1, Kind: "cyrus-running",
			Text: fmt.Sprintf("Cyrus runs (process %d) and may have open what is to be removed: undo refuses until it is stopped", pid)})
	}
	if err := cyrus.CanRemove(); err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	// Of a list that ends early undo would take mailboxes for removed.
	if err := cyrus.CheckDatabase(c.Context); err != nil {
		return err
	}
	var l *ledger.Ledger
	if c.Bool(flagDryRun) {
		l, err = ledger.Read(state)
	} else {
		l, err = openLedger(c, state, cyrus, rep)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if !c.Bool(flagDryRun) {
		if err := l.ForgetUndone(); err != nil { // what a run that was cut off did not come to
			return err
		}
	}
	retired, err := retire.OpenRecord(state, false)
	if err != nil {
		return err
	}
	known := l.Users()
	if c.Bool("all") {
		users = known
	}
	for _, name := range users {
		if !slices.Contains(known, name) {
			return usagef("user %s has no mailboxes in the ledger below %s: nothing to undo", report.Quote(name), state)
		}
	}
	if !c.Bool(flagDryRun) {
		if err := l.Begin(ledger.Run{Start: now(), Program: version + " " + commit + " undo", IMAPDConf: cyrus.IMAPDConf, Cyrus: cyrus.Version}); err != nil {
			return err
		}
	}
	u := &undo.Undoer{Cyrus: cyrus, Ledger: l, Report: rep, DryRun: c.Bool(flagDryRun), Recognised: c.Bool("recognised"), Retired: retired.Keeps}
	err = u.Run(c.Context, slices.Compact(slices.Sorted(slices.Values(users))))
	if err = p.end(rep, err); err != nil || c.Bool(flagDryRun) {
		return err
	}
	return l.End(ledger.End{Time: now(), ExitCode: p.code})
}
