package main

import (
	"context"
	"errors"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
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
			rec, known, err := l.Mailbox(string(name))
			if err != nil {
				return err
			}
			if known && rec.State == ledger.Verified && (f == nil || rec.SourceID != nil && rec.SourceID.Equal(plan.FileID(f.File))) {
				return nil
			}
			entry, have, err := s.cyrus.Entry(name)
			if err != nil {
				return err
			}
			if !have {
				id := rec.UniqueID
				if id == "" {
					id = cyrusspool.NewUniqueID()
				}
				entry = s.cyrus.NewEntry(name, u.ID, id, u.Partition)
			}
			entries = append(entries, entry)
			return nil
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
