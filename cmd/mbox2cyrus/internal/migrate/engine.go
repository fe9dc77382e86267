// Package migrate does the whole job for a plan: it fills the mailboxes of a
// user, makes them durable, makes Cyrus know and rebuild them, compares what
// Cyrus's index then says with what the source said, and records all of it in
// the ledger. Users run in parallel; one user's failure never stops another.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
)

// Engine migrates users.
type Engine struct {
	Source   *source.Source
	Cyrus    *target.Cyrus
	Ledger   *ledger.Ledger
	Report   *report.Reporter
	Progress plan.Progress
	Jobs     int
	// Running says that a Cyrus master serves this configuration now, so that
	// nothing which it could have open may be touched.
	Running bool
}

// Run migrates the users of a plan, the largest first. It returns an error only
// when the run as a whole cannot go on (the context's error when it was
// stopped); whatever concerns one user is reported and goes into the exit code.
func (e *Engine) Run(ctx context.Context, p *plan.Plan) error {
	return p.Each(ctx, e.Jobs, func(u *plan.User) { e.user(ctx, u) })
}

// Fill does the first half of the job for the users of a plan: their mailboxes
// are complete and on the disk, but Cyrus does not know of them. Run goes on
// from there.
func (e *Engine) Fill(ctx context.Context, p *plan.Plan) error {
	return p.Each(ctx, e.Jobs, func(u *plan.User) {
		if len(u.Folders) == 0 {
			return
		}
		boxes, err := e.triage(u)
		if err == nil {
			err = e.fillAll(ctx, u, boxes)
		}
		if err != nil {
			e.fail(u, "", "user-failed", err)
		}
	})
}

// CheckSpace refuses a run that cannot fit on the partition. Folders that an
// earlier run finished need nothing.
func (e *Engine) CheckSpace(p *plan.Plan) error {
	var need int64
	for _, u := range p.Users {
		for _, f := range u.Folders {
			if m, ok := e.Ledger.Mailbox(string(f.Mailbox)); !ok || m.State == ledger.Begun {
				need += f.File.Size
			}
		}
	}
	free, _, err := e.Cyrus.Free()
	if err != nil {
		return err
	}
	// Line ends grow, files are rounded up to blocks, the cache is some 5 %:
	// a fifth more is what mail of ordinary sizes takes.
	if want := need + need/5; want > free {
		return fmt.Errorf("partition %s has %d bytes free, this run needs about %d; nothing was written", e.Cyrus.Partition, free, want)
	}
	return nil
}

// user migrates one user from beginning to end.
func (e *Engine) user(ctx context.Context, u *plan.User) {
	e.Progress.UserStarted(u.Name, u.Bytes)
	defer e.Progress.UserDone(u.Name)
	for _, p := range u.Problems {
		e.Report.Problem(p)
	}
	defer e.Report.User()
	if len(u.Folders) == 0 {
		return
	}
	if err := e.migrate(ctx, u); err != nil {
		if errors.Is(err, context.Canceled) {
			return // stopped at a safe point: the next run goes on from the ledger
		}
		e.fail(u, "", "user-failed", err)
	}
}

func (e *Engine) fail(u *plan.User, folder, kind string, err error) {
	e.Report.Problem(report.Problem{Severity: report.Failure, User: u.Name, Folder: folder, Offset: -1, Kind: kind, Text: err.Error()})
}

func now() time.Time { return time.Now().UTC() }
