package main

import (
	"cmp"
	"errors"
	"os"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/export"
)

func (p *program) exportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "a Cyrus mailbox, or all of a user's, back to mbox",
		ArgsUsage: "[MAILBOX]",
		Flags: append(append(installedFlags(),
			stringFlag("user", "", "all mailboxes and the subscriptions of this user `ID` of Cyrus, into a directory like a home on a UW host"),
			stringFlag("output", "", "new `FILE` (of a mailbox) or directory (of a user); nothing is overwritten"),
			stringFlag("owner", "", "owner `UID[:GID]` of what is written (default: who runs this)"),
			stringFlag("source-timezone", "", "`ZONE` of the UW host, as in Europe/Vienna, for the dates in the file (default: this machine's)"),
		), outputFlags()...),
		Action: func(c *cli.Context) (err error) {
			mailbox, user, out := c.Args().First(), c.String("user"), c.String("output")
			switch {
			case c.NArg() > 1:
				return usagef("export takes one mailbox: %q", c.Args().Get(1))
			case (mailbox == "") == (user == ""):
				return usagef("export wants either a MAILBOX (user/joe/Sent) or --user ID")
			case out == "":
				return usagef("export wants --output")
			}
			x := &export.Exporter{}
			if o := c.String("owner"); o != "" {
				if x.Owner, err = export.ParseOwner(o); err != nil {
					return usagef("--owner: %v", err)
				}
			}
			if x.Location, err = sourceZone(c); err != nil {
				return err
			}
			host, err := os.Hostname()
			if err != nil {
				return err
			}
			x.Host = cmp.Or(host, "localhost")
			var closeLog func() error
			if x.Report, closeLog, err = p.reporter(c); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeLog()) }()
			if x.Cyrus, err = openCyrus(c, nil); err != nil {
				return err
			}
			if user != "" {
				err = x.User(c.Context, user, out)
			} else {
				err = x.Mailbox(c.Context, mailbox, out)
			}
			if errors.Is(err, export.ErrNoMailbox) {
				return usagef("%v", err)
			}
			return p.end(x.Report, err)
		},
	}
}
