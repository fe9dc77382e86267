package main

import (
	"errors"
	"slices"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/scratch"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
)

// knownState is the state directory of commands that have nothing to do without its
// ledger, or what orIn finds there. One without is misspelt or was forgotten, and must not
// count for success.
func knownState(c *cli.Context, so string, orIn ...func(state string) bool) (string, error) {
	state, err := absolute(c.String(flagState))
	if err != nil {
		return "", err
	}
	if !ledger.Exists(state) && !slices.ContainsFunc(orIn, func(is func(string) bool) bool { return is(state) }) {
		return "", usagef("--%s %s: there is no ledger, so %s", flagState, state, so)
	}
	return state, nil
}

// openLedger opens the state directory for a run on cyrus that may write. Programs of
// Cyrus's that a killed run had started come to their end first.
func openLedger(c *cli.Context, state string, cyrus *target.Cyrus, rep *report.Reporter) (*ledger.Ledger, error) {
	l, err := ledger.Open(state)
	if err != nil {
		return nil, err
	}
	if err := holdPrograms(c, l, cyrus, rep); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// holdPrograms waits for Cyrus's programs that a killed run had started, and has those of
// this run keep the next one waiting in turn. Nor may a run with another state directory write
// to this Cyrus from then on.
func holdPrograms(c *cli.Context, l *ledger.Ledger, cyrus *target.Cyrus, rep *report.Reporter) error {
	hold, err := l.HoldPrograms(c.Context, func(what string) {
		rep.Say("mbox2cyrus: " + what) // quiet or not: it would look as if it hung
		rep.Log(report.Info, "waiting-for-programs", what)
	})
	if err != nil {
		return err
	}
	cyrus.Programs.Hold = append(cyrus.Programs.Hold, hold)
	return cyrus.Lock(c.Context)
}

// sweep removes the scratch directories that killed runs have left. What it cannot remove
// is in nobody's way, and told.
func sweep(rep *report.Reporter) {
	if err := scratch.Sweep(); err != nil {
		rep.Problem(report.Problem{Severity: report.Note, Offset: -1, Kind: "scratch-left", Text: err.Error()})
	}
}
