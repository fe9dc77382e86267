package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/review"
)

func (p *program) reportCommand() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "the ledgers of hosts as text, JSON, CSV or one HTML page",
		ArgsUsage: "[STATE-DIR...]",
		Flags: []cli.Flag{
			stringFlag("format", "text", "write `FORMAT`: text, json, csv or html"),
			stringFlag("table", "users", "with --format csv: `TABLE` "+strings.Join(review.Tables, ", ")),
			stringFlag(flagOut, "", "write `FILE` instead of standard output"),
			stringFlag(flagState, "/var/lib/mbox2cyrus", "`DIR` of the ledger, if no arguments name others"),
		},
		Action: p.report,
	}
}

// report ends with the exit code of the worst host.
func (p *program) report(c *cli.Context) (err error) {
	format, table := c.String("format"), c.String("table")
	switch {
	case !slices.Contains([]string{"text", "json", "csv", "html"}, format):
		return usagef("--format %s: text, json, csv or html", format)
	case !slices.Contains(review.Tables, table):
		return usagef("--table %s: %s", table, strings.Join(review.Tables, ", "))
	case c.IsSet("table") && format != "csv":
		return usagef("--table is for --format csv")
	}
	if err := checkOutputs(c); err != nil {
		return err
	}
	r, err := p.load(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	write := map[string]func(io.Writer) error{"text": r.WriteText, "json": r.WriteJSON, "html": r.WriteHTML,
		"csv": func(w io.Writer) error { return r.WriteCSV(w, table) }}[format]
	if path := c.String(flagOut); path != "" {
		err = writeFile(path, write)
	} else {
		err = write(p.stdout)
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	p.code = r.Totals.ExitCode
	return nil
}

// load reads the state directories that the command line names.
func (p *program) load(c *cli.Context) (*review.Review, error) {
	dirs := c.Args().Slice()
	if len(dirs) == 0 {
		dirs = []string{c.String(flagState)}
	} else if slices.ContainsFunc(p.args, func(a string) bool { return a == "--"+flagState || strings.HasPrefix(a, "--"+flagState+"=") }) {
		return nil, usagef("%s takes either --%s or arguments", c.Command.Name, flagState)
	}
	r, err := review.Load(dirs, now())
	if err != nil {
		return nil, err
	}
	r.Program = version + " " + commit
	if r.Binary, err = programSum(); err != nil {
		return nil, err
	}
	return r, nil
}

// writeFile writes a file of mode 0600, whole or not at all.
func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Cleanup()) }()
	if err := write(f); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}
