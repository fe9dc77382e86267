package main

import (
	"errors"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
)

func now() time.Time { return time.Now().UTC() }

func (p *program) verifyCommand() *cli.Command {
	level := stringFlag(flagLevel, "index", "`LEVEL`: count (numbers), index (every message in Cyrus's index), content (also every byte of source and spool)")
	return &cli.Command{
		Name:  "verify",
		Usage: "compare source, ledger and Cyrus again, changing nothing",
		Flags: slices.Concat(sourceFlags(), cyrusFlags(), lockFlags(), runFlags(), []cli.Flag{level}, outputFlags()),
		Action: func(c *cli.Context) (err error) {
			want := verify.Level(c.String(flagLevel))
			if !slices.Contains(verify.Levels, want) {
				return usagef("--level %s: count, index or content", want)
			}
			s, err := p.open(c)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.close()) }()
			l, err := ledger.Read(s.state)
			if err != nil {
				return err
			}
			if want == verify.LevelContent {
				if err := p.takeLocks(c, s); err != nil {
					return err
				}
			}
			if err := p.progress(c, s, l, false); err != nil {
				return err
			}
			v := &verify.Verifier{Source: s.source(p.display), Cyrus: s.cyrus, Ledger: l, Report: s.report, Progress: p.display, Jobs: s.opts.jobs, Level: want}
			err = v.Run(c.Context, s.plan)
			p.display.Stop()
			return p.finish(s, err)
		},
	}
}
