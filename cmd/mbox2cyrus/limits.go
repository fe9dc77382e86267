package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/throttle"
)

const (
	flagMaxDuration = "max-duration"
	flagBWLimit     = "bwlimit"
	flagStatusFile  = "status-file"
)

// runFlags say how a long run behaves beside other work.
func runFlags() []cli.Flag {
	return []cli.Flag{
		&cli.DurationFlag{Name: flagMaxDuration, Usage: "stop at a safe point after `T`, as 2h30m; run again to go on (exit code 2)", EnvVars: env(flagMaxDuration), DefaultText: ""},
		stringFlag(flagBWLimit, "", "read no more than `RATE` bytes of mail a second: 500k, 20M"),
		stringFlag(flagStatusFile, "", "keep `FILE` up to date with how far the run is: JSON, replaced once a second"),
	}
}

// limit begins to hold the session to the limits of runFlags.
func (p *program) limit(c *cli.Context, s *session) error {
	rate, err := throttle.ParseRate(c.String(flagBWLimit))
	if err != nil {
		return usagef("--%s: %v", flagBWLimit, err)
	}
	s.limit = throttle.New(rate)
	s.most = c.Duration(flagMaxDuration)
	if s.most < 0 || s.most == 0 && c.IsSet(flagMaxDuration) {
		return usagef("--%s %v: not a time to run", flagMaxDuration, s.most)
	}
	if s.most == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(c.Context)
	c.Context = ctx
	timer := time.AfterFunc(s.most, func() {
		p.timeUp.Store(true)
		cancel()
	})
	late := time.AfterFunc(s.most+stopping, func() {
		s.report.Say(fmt.Sprintf("mbox2cyrus: --%s %v is over: what was begun is finished first, by Cyrus's programs too; two signals (SIGTERM) end this at once, which is safe", flagMaxDuration, s.most))
	})
	s.endLimit = func() {
		timer.Stop()
		late.Stop()
		cancel()
	}
	return nil
}

// stopped reports whether err is that the run was told to stop, by a signal or by the
// clock, and nothing besides.
func (p *program) stopped(err error) bool {
	return onlyCanceled(err) && (p.caught.exitCode() != 0 || p.timeUp.Load())
}

// onlyCanceled is errors.Is(err, context.Canceled), but for an error that joins others to it:
// what failed while a run was being stopped must be told.
func onlyCanceled(err error) bool {
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(one error) bool { return !onlyCanceled(one) })
	case interface{ Unwrap() error }:
		return onlyCanceled(e.Unwrap())
	}
	return err == context.Canceled
}

// end is finish for a command without a session.
func (p *program) end(rep *report.Reporter, err error) error {
	if err != nil && !p.stopped(err) {
		return err
	}
	p.code, err = rep.Finish(p.caught.exitCode())
	return err
}

// finish writes the summary. err is what the run ended with: an error of a run that was
// told to stop is no failure.
func (p *program) finish(s *session, err error) error {
	if err != nil && !p.stopped(err) {
		return err
	}
	if err != nil && p.caught.exitCode() == 0 {
		all := int64(len(s.plan.Users))
		s.report.StoppedEarly("time-is-up", fmt.Sprintf("--%s %v is over: %d of %d users are not finished; run the same command again to go on",
			flagMaxDuration, s.most, all-s.report.Totals().Users, all))
	}
	stopped := err != nil
	p.code, err = s.report.Finish(p.caught.exitCode())
	record, gauges := s.record, s.gauges
	s.record, s.gauges = nil, nil
	return errors.Join(err, record.Close(stopped), gauges.end(p.code))
}
