// Package migrate does the whole job for a plan: it fills the mailboxes of a
// user, makes them durable, makes Cyrus know and rebuild them, compares what
// Cyrus's index then says with what the source said, and records all of it in
// the ledger. Users run in parallel; one user's failure never stops another.
package migrate

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/internal/beside"
)

// Engine migrates users.
type Engine struct {
	Source   *source.Source
	Cyrus    *target.Cyrus
	Ledger   *ledger.Ledger
	Report   *report.Reporter
	Progress Progress
	Jobs     int
	// Running says that a Cyrus master serves this configuration now, so that
	// nothing which it could have open may be touched.
	Running bool
	// Merge allows users who have mail in Cyrus already: what they have on the UW host
	// is appended to it.
	Merge bool
	// AppendOnConflict says what to do where both the folder and the mailbox in Cyrus
	// changed since an earlier pass: append what is new in the folder, or leave both.
	AppendOnConflict bool
	// NoCache leaves all that derives from messages to reconstruct.
	NoCache bool

	roots   quotaRoots
	uses    useScript
	disks   cyrusspool.Disks
	back    writeBack
	filled  atomic.Int64 // bytes of the folders that were filled
	idle    beside.Pool  // of jobs that fill nothing: they write message files for those that do
	cutOff  atomic.Bool  // a stop left users undone who had been begun
	started started
	turns   chan struct{} // has Jobs places, one for each user of whom something is read now

	ahead   func() *target.Ahead         // asks Cyrus, the first time
	parsers chan *cyrusspool.CacheParser // that wait for the next mailbox
}

// Progress is told which users are being worked on.
type Progress interface {
	plan.Progress
	// UserWaits is told of a user who was started and whose turn to be read comes later:
	// he is started again then.
	UserWaits(name string)
	// UserRead is told of a user whose folders are all read, and whose mailboxes wait for
	// Cyrus's programs.
	UserRead(name string)
}

// Filled returns how many bytes the folders have that this run filled into mailboxes.
func (e *Engine) Filled() int64 { return e.filled.Load() }

// Run migrates the users of a plan, in the order of [plan.Plan.Each]. It returns an error only
// when the run as a whole cannot go on (the context's error when it was
// stopped); whatever concerns one user is reported and goes into the exit code.
func (e *Engine) Run(ctx context.Context, p *plan.Plan) error {
	err := e.run(ctx, p, e.complete)
	e.settleQuotas(context.WithoutCancel(ctx))
	return err
}

// Fill does the first half of the job for the users of a plan: their mailboxes
// are complete and on the disk, but Cyrus does not know of them. Run goes on
// from there.
func (e *Engine) Fill(ctx context.Context, p *plan.Plan) error {
	return e.run(ctx, p, e.settle)
}

// run takes users through stages: what is to be done is found out, they are begun, filled
// and finished. Beginning waits for the disk, which must know that a mailbox is begun
// before anything of it is written: that is done for all at once who have come while those
// before them were filled. Filling is bound by making files; finishing waits for the disk
// and for Cyrus. So each has something to do while another waits.
func (e *Engine) run(ctx context.Context, p *plan.Plan, finish func(context.Context, []*job) error) (err error) {
	e.roots.plan = p
	e.back.disks = &e.disks
	defer func() {
		e.back.done.Wait()
		err = errors.Join(err, e.disks.Close())
	}()
	if err := e.disks.Watch(append(e.Cyrus.Directories(), e.Ledger.ManifestDir())...); err != nil {
		return err
	}
	jobs := max(1, e.Jobs)
	e.idle.Add(jobs)
	e.turns = make(chan struct{}, jobs)
	e.ahead = sync.OnceValue(func() *target.Ahead { return e.askAhead(ctx) })
	e.parsers = make(chan *cyrusspool.CacheParser, jobs)
	triaged := make(chan *job, maxBatchUsers)
	begun := make(chan *job)
	filled := make(chan *job, maxBatchUsers)
	var beginner, fillers, finishers sync.WaitGroup
	beginner.Go(func() { e.begin(triaged, begun) })
	for range jobs {
		fillers.Go(func() { e.fillEach(ctx, begun, filled) })
	}
	finishing := jobs
	if jobs > 1 { // else whoever wants one thing at a time gets that
		finishing++ // they wait for the disk more than they work
	}
	for range finishing {
		finishers.Go(func() {
			for batch := nextBatch(filled); len(batch) > 0; batch = nextBatch(filled) {
				e.finish(ctx, batch, finish)
			}
		})
	}
	err = p.Each(ctx, jobs, func(u *plan.User) {
		if j := e.triageUser(ctx, u); j != nil {
			triaged <- j
		}
	})
	close(triaged)
	beginner.Wait()
	close(begun)
	fillers.Wait()
	close(filled)
	finishers.Wait()
	if err == nil && e.cutOff.Load() { // all had been begun when it came
		err = ctx.Err()
	}
	return err
}

// begin records of all users who wait that their mailboxes are begun, and passes them on.
func (e *Engine) begin(triaged <-chan *job, begun chan<- *job) {
	var ahead sync.WaitGroup
	defer ahead.Wait()
	for batch := waiting(triaged); len(batch) > 0; batch = waiting(triaged) {
		err := e.setBegun(batch)
		for _, j := range batch {
			if err != nil {
				e.nothingToFinish(j, err)
			} else {
				todo := j.toFill()
				// A home that hangs must not keep others waiting.
				ahead.Go(func() { e.readAhead(j.user, todo[:min(foldersAhead, len(todo))]...) })
				begun <- j
			}
		}
	}
}

// setBegun records which mailboxes will be written. That is durable before anything of them
// is, so that a cut-off run leaves nothing that the next one does not know for its own.
func (e *Engine) setBegun(batch []*job) error {
	var begun []ledger.Mailbox
	for _, j := range batch {
		for _, m := range j.toFill() {
			m.rec.State, m.rec.Folder = ledger.Begun, ledger.RawName(m.folderName())
			if m.before != nil {
				m.rec.Previous = m.before.Manifest
				m.rec.Manifest = m.rec.OtherManifest(m.rec.Previous)
			}
			begun = append(begun, m.rec)
		}
	}
	if len(begun) == 0 {
		return nil
	}
	return e.Ledger.Set(begun...)
}

// fillEach fills one user after another, and passes on those who are to be finished.
func (e *Engine) fillEach(ctx context.Context, begun <-chan *job, filled chan<- *job) {
	for j := range begun {
		e.idle.Claim()
		j = e.fillUser(ctx, j)
		e.idle.Give()
		if j != nil {
			filled <- j
		}
	}
}

// askAhead finds out what may be written ahead of reconstruct. That takes some of Cyrus's
// programs, so it is put off until there is a mailbox to be filled.
func (e *Engine) askAhead(ctx context.Context) *target.Ahead {
	a := target.NothingAhead("--no-cache")
	if !e.NoCache {
		var err error
		if a, err = e.Cyrus.Ahead(context.WithoutCancel(ctx)); err != nil { // which costs time only
			a = target.NothingAhead(err.Error())
		}
	}
	e.Report.Log(report.Info, "cache", a.String())
	return a
}

// turn has do read what is a user's, when fewer than Jobs others do.
func (e *Engine) turn(do func() error) error {
	e.turns <- struct{}{}
	defer func() { <-e.turns }()
	return do()
}

// Bounds of a batch. Starting Cyrus's programs costs as much as reconstructing some
// hundred messages or ten mailboxes, so a batch is waited for until it is worth that.
const (
	maxBatchUsers     = 32
	minBatchMailboxes = 200
	minBatchMessages  = 2000
	maxBatchMessages  = 8000
)

// nextBatch takes what is there, and waits for more while that is little; it is empty
// when there will be no more.
func nextBatch(filled <-chan *job) (batch []*job) {
	var mailboxes int
	var messages int64
	for len(batch) < maxBatchUsers && messages < maxBatchMessages {
		var j *job
		if mailboxes < minBatchMailboxes && messages < minBatchMessages {
			j = <-filled
		} else {
			select {
			case j = <-filled:
			default:
			}
		}
		if j == nil {
			break
		}
		batch = append(batch, j)
		mailboxes += len(j.work())
		messages += j.messages()
	}
	return batch
}

// finish ends the jobs of a batch. When something goes wrong for all of them,
// each is tried alone: one user's failure never stops another.
func (e *Engine) finish(ctx context.Context, batch []*job, do func(context.Context, []*job) error) {
	if ctx.Err() != nil { // the next run goes on from the ledger
		e.cutOff.Store(true)
		return
	}
	if all := do(ctx, batch); all != nil {
		for _, j := range batch {
			err := all
			if len(batch) > 1 {
				err = do(ctx, []*job{j})
			}
			if err != nil {
				e.fail(j.user, err)
				j.boxes = nil
			}
		}
	}
	for _, j := range batch {
		e.report(j)
		e.Report.User(j.user.Name)
		e.Progress.UserDone(j.user.Name)
	}
}

// waiting takes what is there, and waits for one where there is none; it is empty when there
// will be no more.
func waiting(jobs <-chan *job) (batch []*job) {
	for j := range jobs {
		batch = append(batch, j)
		if len(jobs) == 0 || len(batch) == maxBatchUsers {
			break
		}
	}
	return batch
}

// triageUser finds out what is to be done for one user. It returns nil when that is nothing.
func (e *Engine) triageUser(ctx context.Context, u *plan.User) *job {
	e.Progress.UserStarted(u.Name, u.Bytes)
	for _, p := range u.Problems {
		e.Report.Problem(p)
	}
	j := &job{user: u}
	var left []ledger.Mailbox // of a user without folders: no more is done than a run that was cut off left undone
	var err error
	if len(u.Folders) == 0 && u.ID != "" {
		left, err = e.leftFilled(u, nil)
	}
	if err == nil && len(u.Folders)+len(left) > 0 {
		err = e.turn(func() (err error) {
			if j.boxes, err = e.triage(ctx, u); err != nil {
				return err
			}
			return e.skipBusy(ctx, j)
		})
	}
	if err == nil && !u.Failed() {
		err = e.gone(u, j)
	}
	if err == nil && len(j.work()) > 0 {
		e.Progress.UserWaits(u.Name)
		return j
	}
	e.nothingToFinish(j, err)
	return nil
}

// fillUser fills the mailboxes of a user who was begun. It returns nil when there is nothing
// to finish.
func (e *Engine) fillUser(ctx context.Context, j *job) *job {
	e.Progress.UserStarted(j.user.Name, j.user.Bytes)
	err := ctx.Err() // else stopped before the user's turn came: the next run knows what was begun
	if err == nil {
		err = e.turn(func() error { return e.fillAll(ctx, j) })
	}
	if err == nil && len(j.work()) > 0 {
		e.Progress.UserRead(j.user.Name)
		return j
	}
	if err != nil && ctx.Err() != nil {
		e.cutOff.Store(true)
	}
	e.nothingToFinish(j, err)
	return nil
}

// nothingToFinish ends with a user for whom Cyrus has nothing to do, or err happened.
func (e *Engine) nothingToFinish(j *job, err error) {
	u := j.user
	if err == nil && len(u.Folders) > 0 {
		err = e.resubscribe(u)
	}
	switch {
	case errors.Is(err, context.Canceled): // he is not finished
		e.Progress.UserWaits(u.Name)
		return
	case err != nil:
		e.fail(u, err)
	default:
		e.quotaNotGiven(j)
		e.report(j)
	}
	e.Report.User(u.Name)
	e.Progress.UserDone(u.Name)
}

// gone tells of folders that an earlier run migrated and that are no longer there. Their
// mailboxes stay: a file system that is not mounted must not empty a Cyrus.
func (e *Engine) gone(u *plan.User, j *job) error {
	there := map[string]bool{}
	for _, m := range j.boxes {
		there[m.rec.Name] = m.folder != nil
	}
	known, err := e.Ledger.MailboxesOf(u.Name)
	if err != nil {
		return err
	}
	for _, rec := range known {
		if rec.Folder == "" || there[rec.Name] || u.WasRetired(rec) {
			continue
		}
		e.Report.Problem(u.SourceGone(rec, "; the mailbox stays", ": remove it in Cyrus if it is not wanted"))
		e.reportHeldBefore(rec.Name)
	}
	return nil
}

// fail reports that a user is not finished.
func (e *Engine) fail(u *plan.User, err error) {
	e.Report.Problem(report.Problem{Severity: report.Failure, User: u.Name, Offset: -1, Kind: "user-failed", Text: err.Error()})
}

func now() time.Time { return time.Now().UTC() }
