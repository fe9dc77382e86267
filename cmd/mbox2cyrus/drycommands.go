package main

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// sayCommands tells of each command that a run of the plan would have Cyrus
// execute. The unique ids of new mailboxes are drawn anew in every run.
func sayCommands(ctx context.Context, s *session) (err error) {
	l, err := ledger.Read(s.state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for _, u := range s.plan.Users {
		var entries []reconstruct.Entry
		add := func(name cyrusspool.Name, f *plan.Folder) error {
			entry, wanted, err := toMake(s.cyrus, l, u, name, f)
			if wanted {
				entries = append(entries, entry)
			}
			return err
		}
		for _, name := range u.Parents {
			if err := add(name, nil); err != nil {
				return err
			}
		}
		uses := map[cyrusspool.Name]string{}
		for i := range u.Folders {
			if use := u.Folders[i].SpecialUse; use != "" {
				uses[u.Folders[i].Mailbox] = strings.ToLower(use)
			}
			if err := add(u.Folders[i].Mailbox, &u.Folders[i]); err != nil {
				return err
			}
		}
		err := s.cyrus.Commands(ctx, u.ID, entries, u.Quota, uses, func(c reconstruct.Command) {
			s.report.Command(append([]string{c.Path}, c.Args...), c.Stdin, c.String())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// toMake returns the mailbox of a name, as Cyrus has it or would get it. wanted is false where
// an earlier run did all of it. f is nil for a parent.
func toMake(cyrus *target.Cyrus, l *ledger.Ledger, u *plan.User, name cyrusspool.Name, f *plan.Folder) (entry reconstruct.Entry, wanted bool, err error) {
	rec, known, err := l.Mailbox(string(name))
	if err != nil {
		return entry, false, err
	}
	if known && rec.State == ledger.Verified && (f == nil || rec.SourceID != nil && rec.SourceID.Equal(plan.FileID(f.File))) {
		return entry, false, nil
	}
	entry, have, err := cyrus.Entry(name)
	if err != nil || have {
		return entry, err == nil, err
	}
	return cyrus.NewEntry(name, u.ID, cmp.Or(rec.UniqueID, cyrusspool.NewUniqueID()), u.Partition), true, nil
}
