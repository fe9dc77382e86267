package retire

import (
	"context"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
	"mbox2cyrus/mbox"
)

// findings takes what a verification finds.
type findings struct {
	problems []report.Problem
	folders  []report.Folder
}

func (f *findings) Problem(p report.Problem) { f.problems = append(f.problems, p) }
func (f *findings) Folder(o report.Folder)   { f.folders = append(f.folders, o) }
func (f *findings) User(string)              {}

// isProved verifies a user and reports why he is not clean. Mail that came into Cyrus
// since is as it should be, and so is what users do to mail that was proved to be there
// when it was migrated, and folders that an earlier run moved.
func (r *Retirer) isProved(ctx context.Context, u *plan.User) (bool, error) {
	found := &findings{}
	v := r.Verifier
	v.Report, v.Level, v.InUse = found, verify.LevelIndex, true
	one := *u
	one.Problems = nil // reported, and what they tell of is not moved
	one.Folders = slices.Clone(u.Folders)
	for i, f := range one.Folders {
		// An earlier run moved the first places of an INBOX, and came no further.
		rec, known, err := v.Ledger.Mailbox(string(f.Mailbox))
		if err != nil {
			return false, err
		}
		if known {
			if whole, same := u.Rejoined(f.File, rec); same {
				one.Folders[i].File.Identity = whole
			}
		}
	}
	alone := &plan.Plan{Users: []*plan.User{&one}}
	if err := verify.CheckRules(v.Ledger, alone, v.Source.Rules.String()); err != nil {
		return false, err
	}
	if err := v.Run(ctx, alone); err != nil {
		return false, err
	}
	moved := map[string]bool{}
	recs, err := v.Ledger.MailboxesOf(u.Name)
	if err != nil {
		return false, err
	}
	for _, rec := range recs {
		if rec.Source == "" || r.Record.anyOf(rec, func(s State) bool { return s == Moved }) {
			moved[rec.Name] = true
		}
	}
	clean := true
	for _, p := range found.problems {
		switch {
		case p.Kind == "newer-mail":
			p.Severity = report.Note
		case p.Kind == "source-gone" && moved[p.Mailbox]:
			continue
		case p.Kind == string(mbox.KindUnreadable):
			// Also if it is approved of: what is moved is read as a whole, for its SHA-256.
			p.Severity = report.Attention
		}
		clean = clean && p.Severity == report.Note
		r.Report.Problem(p)
	}
	for _, f := range found.folders {
		clean = clean && f.Found == f.Verified+f.HeldMail
	}
	return clean, nil
}
