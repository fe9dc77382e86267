package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/doctor"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
)

func (p *program) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "look whether everything is ready, and say what mends what is not",
		Flags: slices.Concat(sourceFlags(), cyrusFlags(), []cli.Flag{boolFlag("json", "JSON Lines on standard output")}),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("doctor takes no arguments, only flags: %q", c.Args().First())
			}
			opts, err := parseSource(c)
			if err != nil {
				return err
			}
			state, err := absolute(c.String(flagState))
			if err != nil {
				return err
			}
			conf, err := absolute(c.String("imapd-conf"))
			if err != nil {
				return err
			}
			checks := doctor.Examine(c.Context, doctor.Patient{Source: opts.host, Zone: opts.zone, ZoneGiven: c.IsSet("source-timezone"), State: state, Jobs: opts.jobs,
				Cyrus: target.Options{IMAPDConf: conf, BinDir: c.String("cyrus-bin"), Partition: c.String("partition"), Domain: c.String(flagDomain), ACL: opts.acl}})
			return p.sayChecks(c, checks)
		},
	}
}

// sayChecks writes what was looked at. The exit code is the one that migrate would stumble
// with first.
func (p *program) sayChecks(c *cli.Context, checks []doctor.Check) error {
	for _, check := range checks {
		switch check.State {
		case doctor.Warning:
			if p.code == report.ExitOK {
				p.code = report.ExitAttention
			}
		case doctor.Wrong:
			if p.code == report.ExitOK || p.code == report.ExitAttention {
				p.code = max(check.Code, report.ExitFailed)
			}
		}
		if err := p.sayCheck(c.Bool("json"), check); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) sayCheck(asJSON bool, check doctor.Check) error {
	if asJSON {
		b, err := json.Marshal(struct {
			Type string `json:"message_type"`
			doctor.Check
		}{"check", check})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.stdout, "%s\n", b)
		return err
	}
	_, err := fmt.Fprintf(p.stdout, "%-8s %s: %s\n", check.State, check.Name, report.Printable(check.Text))
	if err == nil && check.Fix != "" {
		_, err = fmt.Fprintf(p.stdout, "%-8s   -> %s\n", "", report.Printable(check.Fix))
	}
	return err
}
