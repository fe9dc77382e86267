package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/calibrate"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/pop3"
	"mbox2cyrus/cmd/mbox2cyrus/internal/progress"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/resources"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

func (p *program) planCommand() *cli.Command {
	return &cli.Command{
		Name:  "plan",
		Usage: "read only: users, folders, target names, counts, sizes and doubts",
		Flags: slices.Concat(sourceFlags(), cyrusFlags(), runFlags(), []cli.Flag{sameHostFlag(), stringFlag(flagOut, "", "write the plan to `FILE`, for migrate --plan"), mapFlag(), helpDeskFlag()}, outputFlags()),
		Action: func(c *cli.Context) (err error) {
			s, err := p.open(c)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.close()) }()
			if path := c.String(flagOut); path != "" {
				if err := s.plan.WriteFile(path, s.opts.host.Root, s.opts.rules, s.opts.selection); err != nil {
					return err
				}
			}
			if err := s.writeMap(c); err != nil {
				return err
			}
			return p.dryRun(c, s, nil)
		},
	}
}

// dryRun reads everything and writes nothing: the plan. say, if not nil, tells more
// of it in the end.
func (p *program) dryRun(c *cli.Context, s *session, say func(context.Context, *session) error) (err error) {
	if err := s.checkDatabase(c.Context); err != nil {
		return err
	}
	l, err := ledger.Read(s.state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := s.holdTo(c, l); err != nil {
		return err
	}
	if c.String("plan") == "" {
		if err := s.sayGone(l); err != nil {
			return err
		}
	}
	s.plan.HoldToRetire()
	list := c.String(flagHelpDesk)
	if err := p.progress(c, s, nil, false); err != nil {
		return err
	}
	s.dates = calibrate.New(s.opts.location, s.opts.zone)
	s.reportPlan()
	sc := &plan.Scanner{Source: s.source(p.display), Report: s.report, Progress: p.display, Jobs: s.opts.jobs,
		UIDLFormat: pop3.Format(s.cyrus.UIDLFormat()), Ledger: l, Written: s.written,
		TellHeld: func(ctx context.Context, rec ledger.Mailbox, tell func(report.Problem)) error {
			return verify.Held(ctx, l, rec, false, tell)
		}}
	if list != "" {
		sc.HelpDesk = plan.NewHelpDesk(s.plan, s.cyrus.Rules)
	}
	need, err := sc.Run(c.Context, s.plan)
	p.display.Stop()
	s.sayDates(true)
	if err == nil {
		err = sayNeed(s, need, sc.More(), sc.Held())
	}
	if err == nil {
		err = sayQuotas(c.Context, s, l, sc.Sizes())
	}
	if err == nil {
		err = sayWindow(s, l)
	}
	if err == nil {
		s.sayMoving(sc.Moved())
	}
	if err == nil && say != nil {
		err = say(c.Context, s)
	}
	if err == nil && list != "" {
		err = sc.HelpDesk.WriteFile(list)
	}
	return p.finish(s, err)
}

// sayGone adds the users to the plan of whom nothing is left on the host, with a problem.
func (s *session) sayGone(l *ledger.Ledger) error {
	gone, err := s.plan.AddGone(l, s.opts.selection)
	for _, u := range gone {
		if len(u.CutOff) == 0 { // else it is for retire to say where that is
			u.SayGone(l)
		}
	}
	return err
}

// sayNeed compares what the plan needs, for the mailboxes that grow and what is held besides,
// with what there is.
func sayNeed(s *session, needs map[string]plan.Need, more map[cyrusspool.Name]plan.Size, held plan.HeldNeed) error {
	for _, partition := range slices.Sorted(maps.Keys(needs)) {
		need := needs[partition]
		room, err := resources.RoomIn(s.cyrus.MessagesRoot(partition), s.cyrus.Fresh.Owner.UID)
		if err != nil {
			return err
		}
		s.report.Printf("needs about %d bytes and %d inodes on partition %s, which has %s", need.Bytes, need.Inodes, partition, room)
	}
	if held.Bytes > 0 {
		room, err := resources.RoomIn(s.state, os.Geteuid())
		if err != nil {
			return err
		}
		s.report.Printf("needs about %d bytes for held mail in the state directory, which has %s", held.Bytes, room)
	}
	a := amount{held: held}
	for _, u := range s.plan.Users {
		a.users++
		for _, f := range u.Folders {
			if size, grows := more[f.Mailbox]; grows {
				a.add(f.File.Size)
				a.messages += size.Messages
			}
		}
	}
	short, err := s.short(needs, a)
	for _, text := range short {
		s.report.Problem(report.Problem{Severity: report.Failure, Offset: -1, Kind: "no-space", Text: text})
	}
	return err
}

// sayQuotas compares what mailboxes will hold with the quotas that Cyrus has for them, and with
// those that users are to have.
func sayQuotas(ctx context.Context, s *session, l *ledger.Ledger, sizes map[cyrusspool.Name]plan.Size) error {
	quotas, err := s.cyrus.Quotas(ctx)
	if err != nil {
		if !errors.Is(err, reconstruct.ErrNoProgram) {
			s.report.Problem(report.Problem{Severity: report.Note, Offset: -1, Kind: "quota", Text: fmt.Sprintf("whether the quotas that Cyrus has leave room cannot be told: %v", err)})
		}
	}
	quotas, given := withGiven(quotas, s.plan)
	if len(quotas.All()) == 0 {
		return nil
	}
	loads := plan.QuotaLoads{}
	for _, u := range s.plan.Users {
		for _, f := range u.Folders {
			more := sizes[f.Mailbox]
			rec, ok, err := l.Mailbox(string(f.Mailbox))
			if err != nil {
				return err
			}
			root := quotas.RootOf(f.Mailbox)
			if ok && rec.State == ledger.Verified && !given[root] { // else Cyrus counted none of it there
				more = more.Minus(plan.Size{Bytes: rec.Size, Messages: rec.Messages, Folders: 1})
			} else if s.cyrus.Has(f.Mailbox) {
				more.Folders = 0
			}
			if more != (plan.Size{}) {
				loads.Add(root, u.Name, more)
			}
		}
		for _, name := range u.Parents {
			if !s.cyrus.Has(name) {
				loads.Add(quotas.RootOf(name), u.Name, plan.Size{Folders: 1})
			}
		}
	}
	for _, root := range slices.Sorted(maps.Keys(loads)) {
		if p, ok := loads[root].Problem(quotas.All()[root]); ok {
			s.report.Problem(p)
		}
	}
	return nil
}

// withGiven adds the quotas that migrate would give, and returns which these are.
func withGiven(quotas target.Quotas, p *plan.Plan) (with target.Quotas, given map[cyrusspool.Name]bool) {
	all := map[cyrusspool.Name]reconstruct.Quota{}
	given = map[cyrusspool.Name]bool{}
	maps.Copy(all, quotas.All())
	for _, u := range p.Users {
		inbox := cyrusspool.InboxName(u.ID)
		if _, have := all[inbox]; have || u.Quota == 0 || u.ID == "" {
			continue
		}
		free := reconstruct.Resource{Limit: -1}
		all[inbox] = reconstruct.Quota{Root: string(inbox), Storage: reconstruct.Resource{Limit: (u.Quota + 1023) / 1024 * 1024}, // as Cyrus keeps it
			Messages: free, Folders: free}
		given[inbox] = true
	}
	return target.NewQuotas(all), given
}

// sayWindow tells how long a pass would take now, from what the passes before took, and of
// folders that it would leave alone, as they were migrated by other rules.
func sayWindow(s *session, l *ledger.Ledger) error {
	others := map[string]int{}
	folders, changed, bytes := 0, 0, int64(0)
	for _, u := range s.plan.Users {
		for _, f := range u.Folders {
			folders++
			rec, ok, err := l.Mailbox(string(f.Mailbox))
			if err != nil {
				return err
			}
			if !ok || rec.State != ledger.Verified || rec.SourceID == nil || !rec.SourceID.Equal(plan.FileID(f.File)) {
				changed++
				bytes += f.File.Size
			}
			if ok && rec.State == ledger.Verified && rec.SourceID != nil && rec.Rules != s.opts.rules.String() {
				others[rec.Rules]++
			}
		}
	}
	for _, rules := range slices.Sorted(maps.Keys(others)) {
		s.report.Problem(report.Problem{Severity: report.Attention, Offset: -1, Kind: "other-rules",
			Text: fmt.Sprintf("mailboxes that an earlier run migrated with %s, not as this one: %d; migrate leaves them alone (%s; to have them by these, undo their users first)",
				source.DescribeRules(rules), others[rules], source.WayBack(rules, s.opts.rules.String()))})
	}
	pace := l.Pace()
	if pace.BytesPerSecond == 0 {
		return nil
	}
	took := time.Duration((pace.Idle + float64(bytes)/pace.BytesPerSecond) * float64(time.Second)).Round(100 * time.Millisecond)
	text := fmt.Sprintf("%d of %d folders (%d bytes) are new or changed since the last pass; a pass now takes about %v, by the pace of those before", changed, folders, bytes, took)
	s.report.Problem(report.Problem{Severity: report.Note, Offset: -1, Kind: "window", Text: text, Routine: true})
	s.report.Printf("%s", text)
	return nil
}

// sayMoving warns that the source is in use, by what changed since the plan was made.
// Delivery is told apart: it appends to INBOXes.
func (s *session) sayMoving(folders []plan.Moved) {
	seen := map[bool]int{}
	for _, m := range folders {
		seen[m.Inbox && m.Grew]++
		if n := seen[m.Inbox && m.Grew]; n > movingNamed {
			continue
		}
		kind, what := "source-changing", "changed while it was planned: somebody uses it"
		if m.Inbox && m.Grew {
			kind, what = "delivery-running", "grew while it was planned: mail is still delivered"
		}
		s.report.Problem(report.Problem{Severity: report.Note, User: m.User, Folder: m.Folder, Offset: -1, Kind: kind, Text: what})
	}
	if n := seen[true]; n > 0 {
		s.report.Printf("delivery runs: INBOXes that grew while this was planned: %d; in the window, stop it before the last pass", n)
	}
	if n := seen[false]; n > 0 {
		s.report.Printf("the source is in use: folders that changed while this was planned: %d; in the window, stop UW IMAP and logins before the last pass", n)
	}
}

// movingNamed bounds how many folders are named.
const movingNamed = 20

var _ plan.Progress = (*progress.Display)(nil)
