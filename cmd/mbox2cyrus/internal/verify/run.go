package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/held"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/served"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/internal/beside"
	"mbox2cyrus/internal/plural"
	"mbox2cyrus/mbox"
)

// Level says how much is compared.
type Level string

// Count compares numbers; Index every message with Cyrus's index; Content also
// reads every byte of source and spool again.
const (
	LevelCount   Level = "count"
	LevelIndex   Level = "index"
	LevelContent Level = "content"
)

// Levels are all of them, the cheapest first.
var Levels = []Level{LevelCount, LevelIndex, LevelContent}

// Verifier compares source, ledger and Cyrus again and changes nothing.
type Verifier struct {
	Source   *source.Source
	Cyrus    *target.Cyrus
	Ledger   *ledger.Ledger
	Report   Sink
	Progress plan.Progress
	Jobs     int
	Level    Level
	// InUse says that Cyrus serves users since: in a mailbox that was verified before, what they
	// do to mail (other flags and keywords, removed messages) is a note and no difference. Such
	// messages count as verified.
	InUse bool

	// Retired, if not nil, tells whether the folder of a mailbox is in an archive, and what
	// is wrong with it there; read says that the archive is to be read.
	Retired func(ctx context.Context, rec ledger.Mailbox, read bool) (retired bool, problems []report.Problem, err error)
	// Served, if not nil, is asked what clients would see of every mailbox.
	Served *served.Server
	// Answers, if not nil, is told of every user of whom it answered.
	Answers func(report.Served)
	// Message, if not nil, is told of every message that is compared.
	Message func(report.Message)
	// Opinion, if not nil, is told what go-mbox makes of every folder.
	Opinion func(report.Opinion)

	idle *beside.Pool // of jobs that have no user: they read message files for those that have
}

// Sink takes what a Verifier finds. A [report.Reporter] is one.
type Sink interface {
	Problem(report.Problem)
	Folder(report.Folder)
	User(name string)
}

// Run verifies the users of a plan. Whatever is found is reported; the error is
// the context's. [CheckRules] must have taken the plan.
func (v *Verifier) Run(ctx context.Context, p *plan.Plan) error {
	jobs := max(1, v.Jobs)
	v.idle = &beside.Pool{}
	v.idle.Add(jobs)
	return p.Each(ctx, jobs, func(u *plan.User) {
		v.idle.Claim()
		defer v.idle.Give()
		v.Progress.UserStarted(u.Name, u.Bytes)
		defer v.Progress.UserDone(u.Name)
		v.user(ctx, u)
	})
}

// CheckRules refuses a plan of which a folder was migrated by other rules, with an error that
// wraps source.ErrRules: by these its messages may have other bounds and UIDs.
func CheckRules(l *ledger.Ledger, p *plan.Plan, rules string) error {
	for _, u := range p.Users {
		for _, f := range u.Folders {
			rec, ok, err := l.Mailbox(string(f.Mailbox))
			if err != nil {
				return err
			}
			if ok && rec.State != ledger.Begun && rec.SourceID != nil && rec.Rules != rules {
				return fmt.Errorf("%w: %s was migrated with %s, this run was given %s; %s",
					source.ErrRules, rec.Name, source.DescribeRules(rec.Rules), source.DescribeRules(rules), source.WayBack(rec.Rules, rules))
			}
		}
	}
	return nil
}

// user verifies all of one user, and tells what became of each of his folders.
func (v *Verifier) user(ctx context.Context, u *plan.User) {
	for _, pr := range u.Problems {
		v.Report.Problem(pr)
	}
	defer func() {
		if ctx.Err() == nil { // else what earlier runs found stays said of him
			v.Report.User(u.Name)
		}
	}()
	known, err := v.Ledger.MailboxesOf(u.Name)
	if err != nil {
		v.failed(u, "", err)
		return
	}
	v.unfinished(u, known)
	seen := map[string]bool{}
	one := func(name cyrusspool.Name, f *plan.Folder) {
		seen[string(name)] = true
		if err := v.mailbox(ctx, u, name, f); err != nil && !errors.Is(err, context.Canceled) {
			folder := ""
			if f != nil {
				folder = f.File.Name
			}
			v.failed(u, folder, err)
		}
	}
	v.parents(u, one)
	for i := range u.Folders {
		if ctx.Err() != nil {
			return
		}
		f := &u.Folders[i]
		if ours, err := v.ours(u, f); err != nil {
			v.failed(u, f.File.Name, err)
		} else if ours {
			one(f.Mailbox, f)
		}
	}
	gone := v.gone(ctx, u, known, seen, one)
	if v.Served != nil && u.ID != "" && !u.Failed() && len(seen) > 0 {
		if err := v.served(ctx, u, slices.Sorted(maps.Keys(seen))); err != nil && ctx.Err() == nil {
			v.Report.Problem(report.Problem{Severity: report.Failure, User: u.Name, Offset: -1, Kind: "imap-failed", Text: err.Error()})
		}
	}
	for _, rec := range gone {
		v.tellGone(ctx, u, rec)
	}
}

// parents verifies the mailboxes that were made above others.
func (v *Verifier) parents(u *plan.User, one func(cyrusspool.Name, *plan.Folder)) {
	for _, parent := range u.Parents {
		rec, known, err := v.Ledger.Mailbox(string(parent))
		if err != nil {
			v.failed(u, "", err)
			continue
		}
		if known && rec.Folder != "" {
			continue // its folder is gone
		}
		if _, there := v.Cyrus.Entered(parent); !known && there {
			continue // Cyrus had it before
		}
		one(parent, nil)
	}
}

// ours reports whether a folder is what its mailbox was made of, and not another that came to be
// when that was retired; of such a one that needs a person it tells.
func (v *Verifier) ours(u *plan.User, f *plan.Folder) (bool, error) {
	rec, known, err := v.Ledger.Mailbox(string(f.Mailbox))
	switch {
	case err != nil:
		return false, err
	case !known || v.Retired == nil:
		return true, nil
	case u.RetiredFrom(f.File.Path) != nil:
		return false, nil // a new file: what was migrated is in the archive, of which gone tells
	case u.WasRetired(rec):
		kind, text := u.PartRetired(f.File, rec)
		v.Report.Problem(report.Problem{Severity: report.Attention, User: u.Name, Folder: f.File.Name, Offset: -1, Kind: kind, Text: rec.Name + ": " + text})
		return false, nil
	}
	return true, nil
}

// tellGone tells of a mailbox whose folder is gone.
func (v *Verifier) tellGone(ctx context.Context, u *plan.User, rec ledger.Mailbox) {
	v.Report.Problem(u.SourceGone(rec, "", "; what was migrated is in Cyrus only: remove it there if it is not wanted"))
	if err := v.held(ctx, rec, string(rec.Folder)); err != nil && ctx.Err() == nil {
		v.failed(u, string(rec.Folder), err)
	}
}

// held tells what is held of the folder of a mailbox, whatever is to be said of both otherwise.
func (v *Verifier) held(ctx context.Context, rec ledger.Mailbox, folder string) error {
	if rec.State != ledger.Filled && rec.State != ledger.Verified {
		return nil // what is held is not complete, or goes
	}
	err := Held(ctx, v.Ledger, rec, v.Level == LevelContent, v.Report.Problem)
	if errors.Is(err, held.ErrLost) {
		v.Report.Problem(report.Problem{Severity: report.Difference, User: string(rec.User), Folder: folder, Offset: -1, Kind: "held-lost", Text: err.Error()})
		return nil
	}
	return err
}

// failed tells that a user, or one of his folders, could not be verified.
func (v *Verifier) failed(u *plan.User, folder string, err error) {
	p := report.Problem{Severity: report.Failure, User: u.Name, Folder: folder, Offset: -1, Kind: "verify-failed", Text: err.Error()}
	if errors.Is(err, mbox.ErrBusy) {
		p.Severity, p.Kind = report.Attention, "busy"
		p.Text += "; verify again when nobody uses it, or give a longer --lock-wait"
	}
	v.Report.Problem(p)
}

// unfinished tells that a run was cut off before it was done with the user, of whom these
// mailboxes are known. What it has written may be right already, but not all is there.
func (v *Verifier) unfinished(u *plan.User, known []ledger.Mailbox) {
	by, left := map[string]int{}, map[string]string{} // how much, and one of it for an example
	note := func(command, what string) {
		by[command]++
		left[command] = what
	}
	for _, rec := range known {
		switch rec.State {
		case ledger.Verified:
		case ledger.Undoing:
			note("undo", rec.Name)
		default:
			note("migrate", rec.Name)
		}
	}
	if s, ok := v.Ledger.Subscriptions(u.Name); ok && s.Next != "" {
		note("migrate", "the subscriptions")
	}
	for _, command := range slices.Sorted(maps.Keys(by)) {
		text := left[command]
		if n := by[command] - 1; n > 0 {
			text += " and " + plural.Count(n, "other")
		}
		v.Report.Problem(report.Problem{Severity: report.Attention, User: u.Name, Offset: -1, Kind: command + "-cut-off",
			Text: fmt.Sprintf("%s did not come to its end here (%s): run it again, and it ends this or says what is in the way", command, text)})
	}
}

// gone verifies the mailboxes, of those known of the user, that are not in seen and whose folders
// were retired, and returns those whose folders are gone without that.
func (v *Verifier) gone(ctx context.Context, u *plan.User, known []ledger.Mailbox, seen map[string]bool, one func(cyrusspool.Name, *plan.Folder)) (gone []ledger.Mailbox) {
	for _, rec := range known {
		if seen[rec.Name] || u.Failed() || ctx.Err() != nil {
			continue
		}
		switch {
		case v.isRetired(ctx, u, rec):
			one(cyrusspool.Name(rec.Name), nil)
		case rec.Folder != "": // else it was only made above others
			gone = append(gone, rec)
		}
	}
	return gone
}

// isRetired reports whether the folder of a mailbox is in an archive, and tells what is wrong
// with it there.
func (v *Verifier) isRetired(ctx context.Context, u *plan.User, rec ledger.Mailbox) bool {
	if v.Retired == nil {
		return false
	}
	retired, problems, err := v.Retired(ctx, rec, v.Level == LevelContent)
	if err != nil {
		problems = []report.Problem{{Severity: report.Failure, User: u.Name, Folder: string(rec.Folder), Offset: -1, Kind: "verify-failed", Text: err.Error()}}
	}
	for _, p := range problems {
		v.Report.Problem(p)
	}
	return retired
}

// mailbox verifies one mailbox; f is its folder, nil of one that has none on the host.
func (v *Verifier) mailbox(ctx context.Context, u *plan.User, name cyrusspool.Name, f *plan.Folder) error {
	folder := report.Folder{User: u.Name, Mailbox: string(name)}
	if f != nil {
		folder.Folder = f.File.Name
	}
	differ := func(severity report.Severity, kind, text string) {
		v.Report.Problem(report.Problem{Severity: severity, User: u.Name, Folder: folder.Folder, Mailbox: string(name), Offset: -1, Kind: kind, Text: string(name) + ": " + text})
	}
	rec, ok, err := v.Ledger.Mailbox(string(name))
	if err != nil {
		return err
	}
	if f == nil {
		folder.Folder = string(rec.Folder) // retired, or "" for a parent
	}
	if !ok || rec.State == ledger.Begun {
		differ(report.Difference, "not-migrated", "the ledger has no record that it was migrated")
		return nil
	}
	if f != nil && rec.Folder == "" { // made above others, when the folder was not there
		differ(report.Difference, "not-migrated", "it was made without its folder, which was not migrated")
		return nil
	}
	if err := v.held(ctx, rec, folder.Folder); err != nil {
		return err
	}
	entry, ok, err := v.Cyrus.Entry(name)
	if err != nil {
		return err
	}
	if !ok || entry.UniqueID != rec.UniqueID {
		differ(report.Difference, "not-in-cyrus", "Cyrus does not have the mailbox that was made")
		return nil
	}
	if dir := v.Cyrus.Dir(entry); entry.Partition != rec.Partition || dir != rec.Dir {
		// What is compared below is what was made there, and not what Cyrus serves.
		differ(report.Difference, "not-in-cyrus", fmt.Sprintf("Cyrus looks for it in %s of partition %s, and it was made in %s of %s",
			report.Quote(dir), report.Quote(entry.Partition), report.Quote(rec.Dir), report.Quote(rec.Partition)))
		return nil
	}
	if err := v.Cyrus.CheckIndex(v.Cyrus.Place(rec.Partition, rec.Dir)); err != nil {
		differ(report.Difference, "not-in-cyrus", err.Error())
		return nil
	}
	if f != nil && v.Level != LevelContent && (rec.SourceID == nil || !rec.SourceID.Equal(plan.FileID(f.File))) {
		differ(report.Attention, "source-changed", changed(rec.SourceID, f))
	}
	res, err := v.compare(ctx, u, rec, f)
	if err != nil {
		return err
	}
	for _, p := range res.Problems {
		v.Report.Problem(p)
	}
	if res.Unthreaded > 0 && v.Cyrus.Conversations() {
		differ(report.Attention, "conversations", fmt.Sprintf("Cyrus has %s of it in no conversation: ctl_conversationsdb -b %s, which says nothing if it fails", plural.Count(res.Unthreaded, "message"), u.ID))
	}
	folder.Found, folder.Verified, folder.Bytes = rec.Messages, res.Verified, rec.Size
	if rec.Held != nil {
		folder.Held, folder.HeldBytes, folder.HeldMail = rec.Held.Items, rec.Held.Bytes, rec.Held.Messages
		folder.Found += rec.Held.Messages
	}
	folder.UIDValidity, folder.UIDNext = rec.UIDValid, rec.UIDNext
	v.Report.Folder(folder)
	if v.Opinion != nil && f != nil {
		return v.opinion(ctx, u.User, f.File)
	}
	return nil
}

// changed says what is the matter with a folder that is not the file, at the times, that was
// migrated.
func changed(was *ledger.FileID, f *plan.Folder) string {
	if now := plan.FileID(f.File); was != nil && was.Size == now.Size && was.MTime.Equal(now.MTime) {
		return "since it was migrated the folder was moved (as by retire --restore), copied or given other rights; its size and date are the same: run migrate, which reads it again and brings what is new"
	}
	return "the folder changed since it was migrated: run migrate, which brings what is new"
}

// compare compares the mailbox in Cyrus with the ledger, and with the source, as deep as
// the level says.
func (v *Verifier) compare(ctx context.Context, u *plan.User, rec ledger.Mailbox, f *plan.Folder) (res Result, err error) {
	place := v.Cyrus.Place(rec.Partition, rec.Dir)
	if v.Level == LevelCount {
		return Count(rec, place)
	}
	each := messages{tell: v.Message, inUse: v.InUse, read: v.Level == LevelContent && (f != nil || rec.Source != "")}
	var deep Result
	switch {
	case each.read && f == nil:
		deep, each.faults, err = v.spool(ctx, rec, place)
	case each.read:
		deep, each.faults, err = v.content(ctx, rec, u.User, f.File, place)
	}
	if err != nil {
		return res, err
	}
	seen, err := v.Cyrus.Seen(u.ID)
	if err != nil {
		return res, err
	}
	if res, err = index(v.Ledger, rec, place, seen, each); err != nil {
		return res, err
	}
	if each.read {
		res.Problems = append(res.Problems, deep.Problems...)
		res.Verified = min(res.Verified, deep.Verified)
	}
	return res, nil
}
