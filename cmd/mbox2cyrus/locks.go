package main

import (
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/mbox"
)

// lockFlags say whether the folders are locked while they are read.
func lockFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("lock", "auto", "lock folders as UW does while they are read: `DO` yes, no, or auto: only below /, not on a copy"),
		&cli.DurationFlag{Name: "lock-wait", Value: 10 * time.Second, Usage: "how long to wait for a folder that is in use, `T`", EnvVars: env("lock-wait")},
	}
}

// checkLocks refuses lockFlags that say nothing, before a run begins and whether it takes locks or not.
func checkLocks(c *cli.Context) error {
	if how := c.String("lock"); how != "yes" && how != "no" && how != "auto" {
		return usagef("--lock %s: yes, no or auto", how)
	}
	if wait := c.Duration("lock-wait"); wait <= 0 {
		return usagef("--lock-wait %v: not a time to wait", wait)
	}
	return nil
}

// takeLocks makes the session read under locks, where they are wanted.
func (p *program) takeLocks(c *cli.Context, s *session) {
	why := "--lock no: nothing may use the folders while they are read"
	switch c.String("lock") {
	case "yes":
		why = ""
	case "auto":
		root := s.opts.host.Root
		if why = ""; filepath.Clean(root) != "/" {
			why = "no locks are taken: " + report.Quote(root) + " is taken for a copy of a host, which nobody uses (--lock yes if it is not)"
		}
	}
	if why != "" {
		s.report.Problem(report.Problem{Severity: report.Note, Offset: -1, Kind: "no-locks", Text: why, Routine: true})
		return
	}
	s.locks = &mbox.Locks{Wait: c.Duration("lock-wait")}
	p.caught.locks.Store(s.locks)
}
