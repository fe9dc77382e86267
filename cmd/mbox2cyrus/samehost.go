package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/mbox"
)

// errOtherHost is wrapped where the state directory is that of another UW host.
var errOtherHost = errors.New("another UW host")

func sameHostFlag() cli.Flag {
	return stringFlag(flagSameHost, "", "the UW host is the one that earlier runs with this --state found at `DIR`, or a copy of it")
}

// holdTo holds the plan to what earlier runs did. A host at another place than theirs, or
// with other marks, is refused until somebody says that it is the same: its joe may be another
// person, and would take the place of theirs in Cyrus.
func (s *session) holdTo(c *cli.Context, l *ledger.Ledger) error {
	if l.SourceRoot() != "" && l.Len() > 0 {
		was, err := realPath(l.SourceRoot())
		if err != nil {
			return err
		}
		is, err := realPath(s.opts.host.Root)
		if err != nil {
			return err
		}
		told, err := realPath(c.String(flagSameHost))
		if err != nil {
			return err
		}
		if !c.IsSet(flagSameHost) || told != was {
			if err := s.otherHost(was, is, mbox.OtherMarks(l.Marks(), s.host.Marks())); err != nil {
				return fmt.Errorf("%w, --%s %s; nothing was touched", err, flagSameHost, report.Quote(was))
			}
		}
	}
	if err := s.holdToZone(l); err != nil {
		return err
	}
	return s.plan.HoldTo(l)
}

// otherHost says by what the host at is seems to be another one than that which was at was.
func (s *session) otherHost(was, is string, marks []string) error {
	const advice = "give each host a --state directory of its own, or, if it is the same host"
	switch {
	case was != is:
		return fmt.Errorf("%w: the runs recorded in %s were of the host at %s, this one is of the host at %s; %s at another place", errOtherHost, s.state, report.Quote(was), report.Quote(is), advice)
	case len(marks) > 0:
		return fmt.Errorf("%w: the runs recorded in %s were of another host at %s than is there now, by %s below it; %s with another name and other keys", errOtherHost, s.state, report.Quote(was), strings.Join(marks, ", "), advice)
	}
	return nil
}

// realPath is where a directory is, without links; of one that is not there any more, where
// it was said to be.
func realPath(path string) (string, error) {
	abs, err := absolute(path)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real, nil
	}
	return abs, nil
}
