package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// quotas sets the quota of users who are to have one and have none, and has Cyrus count
// what is used where there is a quota. Where a quota root is above a user, which others are of
// too, or where one has a name like his, all are counted when all users are done.
func (e *Engine) quotas(ctx context.Context, batch []*job) {
	roots, err := e.quotaRoots()
	given, serr := map[string]bool{}, error(nil)
	if err == nil {
		given, serr = e.setQuotas(ctx, batch, roots)
	}
	for _, j := range batch {
		if len(j.work()) == 0 {
			continue
		}
		u := j.user
		if err != nil {
			if u.Quota > 0 || !errors.Is(err, reconstruct.ErrNoProgram) {
				e.undone(u, "quota", err, "quota -f -u "+u.ID)
			}
			continue
		}
		inbox := cyrusspool.InboxName(u.ID)
		own, all := roots.Of(inbox)
		all = all || e.roots.expected.Alike(inbox)
		if given[u.ID] && serr != nil {
			e.undone(u, "quota", serr, fmt.Sprintf("set a quota of %d bytes", u.Quota))
		} else if given[u.ID] {
			own = true
		}
		if own && !all {
			if err := e.Cyrus.Programs.RecountQuota(ctx, []string{u.ID}); err != nil {
				e.undone(u, "quota", err, "quota -f -u "+u.ID)
			}
		}
		if own || all {
			e.roots.brought(j, all)
		}
	}
}

// quotaNotGiven tells of a user who is to have a quota and has none, and of whom nothing is to
// be done: to count what is used would change mailboxes that are as they were left.
func (e *Engine) quotaNotGiven(j *job) {
	u := j.user
	if u.Quota == 0 || len(j.boxes) == 0 || e.Ledger.GaveQuota(u.Name) { // else somebody took it away
		return
	}
	roots, err := e.quotaRoots()
	if err == nil {
		if _, have := roots.Root(cyrusspool.InboxName(u.ID)); have {
			return
		}
		err = errors.New("a quota is given with mail, and none comes for this user")
	}
	e.undone(u, "quota", err, fmt.Sprintf("set a quota of %d bytes", u.Quota))
}

// setQuotas gives the users of a batch who are to have quotas and have none theirs, and returns
// who these are. That they are of our making is recorded first, so that undo knows: of a
// mailbox that was filled, since nothing may be recorded of others.
func (e *Engine) setQuotas(ctx context.Context, batch []*job, roots target.Quotas) (given map[string]bool, err error) {
	given = map[string]bool{}
	limits := map[string]int64{}
	var recs []ledger.Mailbox
	for _, j := range batch {
		u := j.user
		if _, have := roots.Root(cyrusspool.InboxName(u.ID)); have || u.Quota == 0 || len(j.work()) == 0 {
			continue
		}
		m := j.work()[0]
		m.rec.QuotaSet = true
		recs = append(recs, m.rec)
		given[u.ID], limits[u.ID] = true, u.Quota
	}
	if len(recs) == 0 {
		return given, nil
	}
	if err := e.Ledger.Set(recs...); err != nil {
		return given, err
	}
	return given, e.Cyrus.SetQuotas(ctx, limits)
}

// quotaRoots are those that Cyrus had when the run began.
func (e *Engine) quotaRoots() (target.Quotas, error) {
	e.roots.once.Do(func() {
		e.roots.all, e.roots.err = e.Cyrus.Quotas(context.Background())
		expected := map[cyrusspool.Name]reconstruct.Quota{}
		maps.Copy(expected, e.roots.all.All())
		for _, u := range e.roots.plan.Users {
			if u.Quota > 0 {
				expected[cyrusspool.InboxName(u.ID)] = reconstruct.Quota{}
			}
		}
		e.roots.expected = target.NewQuotas(expected)
	})
	return e.roots.all, e.roots.err
}

// quotaRoots is what a run knows of quota roots.
type quotaRoots struct {
	plan     *plan.Plan
	once     sync.Once
	all      target.Quotas
	expected target.Quotas // with those that the plan gives
	err      error

	mu    sync.Mutex
	count bool                           // all must be counted
	boxes map[cyrusspool.Name]*plan.User // mailboxes that mail was brought into, of users with quotas
}

// asRecorded returns the mailboxes of which all quota roots are to be counted, and whose indexes
// are those that were recorded: counting tells them of their root, and so changes them.
func (e *Engine) asRecorded() (left []ledger.Mailbox, err error) {
	for name := range e.roots.boxes {
		rec, known, err := e.Ledger.Mailbox(string(name))
		if err != nil {
			return nil, err
		}
		if !known || rec.State != ledger.Verified || rec.IndexID == nil {
			continue
		}
		id, _, err := e.indexID(rec)
		if err != nil {
			return nil, err
		}
		if id.Equal(*rec.IndexID) {
			left = append(left, rec)
		}
	}
	return left, nil
}

// recordCounted records the indexes that counting changed, if they say the same of every message
// still: else undo would take them for changed by their user.
func (e *Engine) recordCounted(left []ledger.Mailbox) error {
	var counted []ledger.Mailbox
	for _, rec := range left {
		id, _, err := e.indexID(rec)
		if err != nil {
			return err
		}
		if id.Equal(*rec.IndexID) {
			continue
		}
		res, err := e.compareIndex(cyrusspool.Name(rec.Name).User(), rec)
		if err != nil {
			return err
		}
		if len(res.Problems) == 0 && !res.Newer {
			rec.IndexID = &res.IndexID
			counted = append(counted, rec)
		}
	}
	if len(counted) == 0 {
		return nil
	}
	return e.Ledger.Set(counted...)
}

// indexID is what the index of a mailbox is now, if there is one.
func (e *Engine) indexID(rec ledger.Mailbox) (id ledger.FileID, there bool, err error) {
	place := e.Cyrus.Place(rec.Partition, rec.Dir)
	f, err := cyrusspool.OpenFile(place.Roots.Index, place.IndexFile())
	if errors.Is(err, fs.ErrNotExist) {
		return id, false, nil
	}
	if err == nil {
		id, err = ledger.Stat(f)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return id, false, fmt.Errorf("%s: %w", rec.Name, err)
	}
	return id, true, nil
}

func (q *quotaRoots) brought(j *job, count bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.boxes == nil {
		q.boxes = map[cyrusspool.Name]*plan.User{}
	}
	for _, m := range j.work() {
		q.boxes[cyrusspool.Name(m.rec.Name)] = j.user
	}
	q.count = q.count || count
}

// settleQuotas counts all quota roots, if mail came that asks for it, and tells who is
// over his quota now, or nearly. A run that was cut off may have left that undone, also
// for users who are not in this one.
func (e *Engine) settleQuotas(ctx context.Context) {
	if e.Ledger.CutOff() {
		roots, err := e.quotaRoots()
		for name := range e.Ledger.Owners() {
			if inbox := cyrusspool.InboxName(cyrusspool.Name(name).User()); err == nil && !e.roots.count {
				_, shared := roots.Of(inbox)
				e.roots.count = shared || e.roots.expected.Alike(inbox)
			}
		}
	}
	undone := func(err error) {
		e.Report.Problem(report.Problem{Severity: report.Attention, Offset: -1, Kind: "quota",
			Text: fmt.Sprintf("the mail is there, but this is left to do: quota -f (%v)", err)})
	}
	if e.roots.count {
		left, err := e.asRecorded()
		if err == nil {
			err = e.Cyrus.Programs.RecountAllQuotas(ctx)
		}
		if err == nil {
			err = e.recordCounted(left)
		}
		if err != nil {
			undone(err)
			return
		}
	}
	if len(e.roots.boxes) == 0 {
		return
	}
	now, err := e.Cyrus.Quotas(ctx)
	if err != nil {
		undone(err)
		return
	}
	loads := plan.QuotaLoads{}
	for name, u := range e.roots.boxes {
		loads.Add(now.RootOf(name), u.Name, plan.Size{})
	}
	for _, root := range slices.Sorted(maps.Keys(loads)) {
		if p, ok := loads[root].Problem(now.All()[root]); ok {
			e.Report.Problem(p)
		}
	}
}
