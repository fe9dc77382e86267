package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/calibrate"
	"mbox2cyrus/cmd/mbox2cyrus/internal/history"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/progress"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/retire"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cmd/mbox2cyrus/internal/throttle"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
	"mbox2cyrus/reconstruct"
)

// session is what plan, migrate and verify have in common: an open UW host, an
// open Cyrus, the plan between them and a reporter.
type session struct {
	opts   sourceOptions
	host   *mbox.Host
	cyrus  *target.Cyrus
	plan   *plan.Plan
	report *report.Reporter
	state  string
	dates  *calibrate.Sample // of the folders that are read; nil: not wanted

	ledger *ledger.Ledger // opened for a run that will write; nil: not yet

	locks *mbox.Locks // nil: none are taken

	record *history.Recorder // nil: none is kept
	gauges *gauges           // nil: no --metrics-file

	limit    *throttle.Limit // of reading; nil: none
	most     time.Duration   // that the run may take; 0: any
	endLimit func()

	closeLog func() error
}

func (p *program) open(c *cli.Context) (*session, error) {
	if c.Args().Present() {
		return nil, usagef("%s takes no arguments, only flags: %q", c.Command.Name, c.Args().First())
	}
	opts, err := parseSource(c)
	if err != nil {
		return nil, err
	}
	if err := checkOutputs(c); err != nil {
		return nil, err
	}
	s := &session{opts: opts, endLimit: func() {}}
	if s.report, s.closeLog, err = p.reporter(c); err != nil {
		return nil, err
	}
	err = p.limit(c, s)
	if err == nil {
		err = s.fitJobs()
	}
	if err == nil {
		err = s.open(c)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *session) open(c *cli.Context) (err error) {
	if s.state, err = absolute(c.String(flagState)); err != nil {
		return err
	}
	s.opts.host.Spared, s.opts.host.Slow = s.opts.selection.Exclude, s.saySlow
	if s.opts.host.Apart, err = ownDirectories(c); err != nil {
		return err
	}
	if s.host, err = source.OpenHost(s.opts.host); err != nil {
		return err
	}
	sweep(s.report)
	go programSum() // which will be wanted
	if c.Bool(flagOnlyFailed) {
		if err := s.leaveOutProved(); err != nil {
			return err
		}
	}
	retired, err := retire.OpenRecord(s.state, false)
	if err != nil {
		return err
	}
	s.opts.selection.Retired, s.opts.selection.CutOff = retired.Retired()
	names, err := s.readNames(c.String("names"))
	if err != nil {
		return err
	}
	s.opts.selection.AcceptKnown(s.state)
	homes, err := s.look(c)
	if err != nil {
		return err
	}
	s.cyrus.Rules.Charset = s.opts.charset
	if s.plan, err = homes.Plan(s.cyrus.Rules, names); err != nil {
		return err
	}
	s.plan.SayWithoutMailbox(s.cyrus.Has)
	s.spareMemory()
	return s.choose(c)
}

// checkDatabase makes sure that a mailbox which Cyrus does not list is not there, if the plan has
// one.
func (s *session) checkDatabase(ctx context.Context) error {
	unlisted := func(name cyrusspool.Name) bool { return !s.cyrus.Has(name) }
	for _, u := range s.plan.Users {
		if slices.ContainsFunc(u.Parents, unlisted) || slices.ContainsFunc(u.Folders, func(f plan.Folder) bool { return unlisted(f.Mailbox) }) {
			return s.cyrus.CheckDatabase(ctx)
		}
	}
	return nil
}

// readNames reads the names that --names gives, nil without it.
func (s *session) readNames(path string) (*plan.Names, error) {
	if path == "" {
		return nil, nil
	}
	names, err := plan.ReadNames(path)
	if err != nil {
		return nil, err
	}
	l, err := ledger.Read(s.state)
	if err != nil {
		return nil, err
	}
	return names, errors.Join(names.Brought(l, s.opts.selection.Retired), l.Close())
}

// look reads the host, and the ledger for a run that will write, while Cyrus's programs,
// which take some time to start, are asked.
func (s *session) look(c *cli.Context) (homes *plan.Homes, err error) {
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	var lookErr, ledgerErr error
	var done sync.WaitGroup
	done.Go(func() { homes, lookErr = plan.Look(ctx, s.host, s.opts.selection) })
	// A ledger that is not there is not made yet: much may still stand against the run.
	if migrates(c) && ledger.Exists(s.state) {
		done.Go(func() { s.ledger, ledgerErr = ledger.Open(s.state) })
	}
	if s.cyrus, err = openCyrus(c, s.opts.acl); err != nil {
		cancel()
	}
	done.Wait()
	return homes, cmp.Or(err, lookErr, ledgerErr)
}

// saySlow tells of a user whose home takes long: all others wait for it.
func (s *session) saySlow(user string) {
	s.report.Say(fmt.Sprintf("mbox2cyrus: still looking at the home and INBOX of user %s: they have very many files, or are on a server that does not answer (--exclude-user leaves a user out)", report.Quote(user)))
}

// migrates reports whether mail is to be migrated, and not only what would be done is to be shown.
func migrates(c *cli.Context) bool { return c.Command.Name == migrateName && !c.Bool(flagDryRun) }

// ownDirectories are those of the Cyrus that the flags name. On later Debians its user is one
// of those whose mail is looked for, and his home is above its mail.
func ownDirectories(c *cli.Context) ([]string, error) {
	conf, err := absolute(c.String("imapd-conf"))
	if err != nil {
		return nil, err
	}
	return target.OwnDirectories(conf)
}

// openCyrus opens the Cyrus that the flags name. acl is what new mailboxes get besides
// the owner's rights.
func openCyrus(c *cli.Context, acl []reconstruct.ACL) (*target.Cyrus, error) {
	conf, err := absolute(c.String("imapd-conf"))
	if err != nil {
		return nil, err
	}
	return target.Open(c.Context, target.Options{IMAPDConf: conf, BinDir: c.String("cyrus-bin"), Partition: c.String("partition"),
		Domain: c.String(flagDomain), ACL: acl, Writes: migrates(c)})
}

func (s *session) close() error {
	s.endLimit()
	var err error
	if s.ledger != nil {
		err = s.ledger.Close()
	}
	if s.cyrus != nil {
		err = errors.Join(err, s.cyrus.Close())
	}
	if s.host != nil {
		err = errors.Join(err, s.host.Close())
	}
	// A run that came to its end has closed these.
	return errors.Join(err, s.record.Close(true), s.gauges.end(report.ExitFailed), s.closeLog())
}

// source returns the reader of the host's folders, whose progress d shows.
func (s *session) source(d *progress.Display) *source.Source {
	count := func(user, folder string, bytes, messages int64) {
		d.Add(user, folder, bytes, messages)
		s.record.Count(bytes, messages)
	}
	return &source.Source{Host: s.host, Location: s.opts.location, Rules: s.opts.rules, Dates: s.dates, Locks: s.locks, Limit: s.limit, Progress: count}
}

// sayDates reports what the sample of dates says: always, or only if it
// contradicts how they are read.
func (s *session) sayDates(always bool) {
	v := s.dates.Verdict()
	if v.Text == "" || !always && !v.Contradicts {
		return
	}
	p := report.Problem{Severity: report.Note, Offset: -1, Kind: "from-dates", Text: v.Text}
	if v.Contradicts {
		p.Severity = report.Attention
	}
	s.report.Problem(p)
}

// reportPlan reports what the plan tells that concerns no user.
func (s *session) reportPlan() {
	if len(s.opts.selection.Done) > 0 && len(s.plan.Users) == 0 {
		s.report.NobodyLeft()
	}
	for _, p := range s.plan.Problems {
		s.report.Problem(p)
	}
}

// writeMap writes the map of names if --map asks for it.
func (s *session) writeMap(c *cli.Context) error {
	if path := c.String(flagMap); path != "" {
		return s.plan.WriteMap(path, s.cyrus.Rules)
	}
	return nil
}

// progress starts to show how far the run over the plan's users has come. l knows how
// many messages folders had in an earlier pass; nil: nobody does. changed says that only
// folders which changed since will be read.
func (p *program) progress(c *cli.Context, s *session, l *ledger.Ledger, changed bool) (err error) {
	users, err := toRead(s.plan, l, changed)
	if err != nil {
		return err
	}
	p.display, err = progress.Start(progress.Options{Stdout: p.stdout, Stderr: p.stderr, Report: s.report, JSON: c.Bool("json"), Quiet: c.Bool("quiet"),
		StatusFile: c.String(flagStatusFile), Asked: p.asked, Users: users})
	say := s.report.Say
	p.caught.say.Store(&say)
	return err
}

// toRead is how much of each user a run has to read.
func toRead(pl *plan.Plan, l *ledger.Ledger, changed bool) (map[string]progress.Amount, error) {
	users := map[string]progress.Amount{}
	for _, u := range pl.Users {
		var a progress.Amount
		for _, f := range u.Folders {
			var rec ledger.Mailbox
			known := false
			if l != nil {
				var err error
				if rec, known, err = l.Mailbox(string(f.Mailbox)); err != nil {
					return nil, err
				}
			}
			known = known && rec.SourceID != nil && rec.State != ledger.Begun
			switch {
			case known && changed && rec.State == ledger.Verified && rec.SourceID.Equal(plan.FileID(f.File)):
			case known && rec.SourceID.Size > 0:
				of := float64(f.File.Size) / float64(rec.SourceID.Size)
				a = a.Plus(progress.Amount{Bytes: f.File.Size, Messages: int64(float64(rec.Messages) * of)})
			default:
				a = a.Plus(progress.Amount{Bytes: f.File.Size, New: f.File.Size})
			}
		}
		users[u.Name] = a
	}
	return users, nil
}
