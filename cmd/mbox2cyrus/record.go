package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/history"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/review"
)

// keepRecord begins the history of a run, for reports, and the file of --metrics-file:
// from now on they keep what is reported. What cannot be kept of a verify is not worth a failure: it may be run by
// somebody who may only read, or on a copy.
func (s *session) keepRecord(c *cli.Context, start time.Time) error {
	if err := s.startGauges(c); err != nil {
		return err
	}
	run := history.Run{Command: c.Command.Name, Start: start, Program: version + " " + commit, SourceRoot: s.opts.host.Root,
		IMAPDConf: s.cyrus.IMAPDConf, Cyrus: s.cyrus.Version, Level: c.String(flagLevel), Shard: c.String(flagShard),
		Chosen: len(s.opts.selection.Users)+len(s.plan.LeftOut) > 0}
	var err error
	if run.Host, err = os.Hostname(); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	if run.Binary, err = programSum(); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	if run.Plan = c.String("plan"); run.Plan != "" {
		if run.PlanSHA256, err = fileSum(run.Plan); err != nil {
			return fmt.Errorf("history: %w", err)
		}
	}
	record, err := history.Begin(s.state, run)
	why := ""
	switch {
	case err == nil:
		s.record = record
		s.report.SetRecord(record)
		planned := map[string]bool{}
		for _, u := range s.plan.Users {
			planned[u.Name] = true
		}
		sel := s.opts.selection
		// A run by a reviewed plan does not tell of users who are gone.
		record.Beside(func(user string) bool { return run.Plan == "" && sel.Tells(user) && !planned[user] },
			func(user string, own bool) bool {
				return own && (slices.Contains(sel.Exclude, user) || sel.Done[user]) || run.Plan != "" && !planned[user]
			})
		return nil
	case run.Command != history.Verify:
		return err
	case errors.Is(err, fs.ErrNotExist):
		why = "there is no state directory"
	case errors.Is(err, history.ErrBusy), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		why = err.Error()
	default:
		return err
	}
	s.report.Problem(report.Problem{Severity: report.Note, Offset: -1, Kind: "not-recorded",
		Text: "reports will not tell of this run: " + why})
	return nil
}

// leaveOutProved leaves out the users of whom a report would say that they are proved, but not those
// to whom a run that ended early did not come: they may have new mail.
func (s *session) leaveOutProved() (err error) {
	r, err := review.Load([]string{s.state}, now())
	if errors.Is(err, review.ErrNoLedger) {
		return usagef("--%s: nothing was migrated with the state directory %s yet", flagOnlyFailed, s.state)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	s.opts.selection.Done = map[string]bool{}
	for _, u := range r.Users {
		if u.State == review.Proved && u.HadTurn() {
			s.opts.selection.Done[string(u.Name)] = true
		}
	}
	return nil
}

// programSum returns the SHA-256 of this program's file, in hexadecimal.
var programSum = sync.OnceValues(func() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	return fileSum(path)
})

// fileSum returns the SHA-256 of a file, in hexadecimal.
func fileSum(path string) (sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
