package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/review"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/internal/plural"
)

func (p *program) notifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "notify",
		Usage:     "write a letter for each user for whom something changed",
		ArgsUsage: "[STATE-DIR...]",
		Flags: []cli.Flag{
			stringFlag("output", "", "`DIR` that the letters go to, a file a user"),
			stringFlag("template", "", "words of the letter: `FILE`, a Go text/template (docs/reports.md)"),
			boolFlag("everybody", "write to users for whom nothing changed, too"),
			stringFlag(flagState, "/var/lib/mbox2cyrus", "`DIR` of the ledger, if no arguments name others"),
		},
		Action: func(c *cli.Context) (err error) {
			dir := c.String("output")
			if dir == "" {
				return usagef("notify wants --output DIR")
			}
			tmpl, err := review.LetterTemplate(c.String("template"))
			if err != nil {
				return fmt.Errorf("%w: --template: %w", target.ErrConfig, err)
			}
			r, err := p.load(c)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, r.Close()) }()
			letters, others, err := r.Letters()
			if err != nil {
				return err
			}
			n, old, err := review.WriteLetters(dir, letters, tmpl, c.Bool("everybody"))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.stdout, "%s in %s, to %s whose mail arrived; none to %s whose mail did not\n",
				plural.Count(n, "letter"), dir, plural.Count(len(letters), "user"), plural.Count(others, "user"))
			if err == nil && old > 0 {
				p.code = report.ExitAttention
				_, err = fmt.Fprintf(p.stderr, "mbox2cyrus: %s in %s of an earlier time, which this report does not have: remove what is not to be sent\n", plural.Count(old, "letter"), dir)
			}
			return err
		},
	}
}
