package plan

import (
	"errors"
	"fmt"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/mbox"
)

// Selection says whose mail is meant.
type Selection struct {
	Users   []string // empty: all
	Exclude []string
	Shard   Shard
	// Done are users who are left out because an earlier run left nothing to do for a
	// person; nil: none.
	Done map[string]bool
	// Retired is what is in archives, by users, CutOff what may be.
	Retired, CutOff map[string][]Retired
	// known returns the logins whom the ledger knows. It is asked only if a user who is
	// named is not on the host; nil: there are none.
	known func() ([]string, error)
}

// ErrUnknownUser is returned by Look when a selected user is not on the host, and was not
// migrated from it either.
var ErrUnknownUser = errors.New("no such user")

// check refuses names that are misspelt: of users whom the host does not have.
func (s Selection) check(all []mbox.User, skipped []mbox.Skipped, inPasswd func(name string) bool) error {
	known := map[string]bool{}
	for _, u := range all {
		known[u.Name] = true
	}
	unknown := func(name string) bool { return !known[name] }
	if s.known != nil && slices.ContainsFunc(slices.Concat(s.Users, s.Exclude), unknown) {
		logins, err := s.known()
		if err != nil {
			return err
		}
		for _, login := range logins {
			known[login] = true
		}
	}
	if i := slices.IndexFunc(s.Users, unknown); i >= 0 {
		return fmt.Errorf("%w: %s is not in the passwd file, or has neither home nor INBOX, or its uid is below --min-uid", ErrUnknownUser, report.Quote(s.Users[i]))
	}
	for _, sk := range skipped {
		known[sk.User] = true // to be excluded: mail of nobody, say
	}
	if i := slices.IndexFunc(s.Exclude, func(name string) bool { return unknown(name) && !inPasswd(name) }); i >= 0 {
		return fmt.Errorf("%w: %s, to be excluded, is not in the passwd file", ErrUnknownUser, report.Quote(s.Exclude[i]))
	}
	for _, name := range s.Users {
		if slices.Contains(s.Exclude, name) {
			return fmt.Errorf("%w: %s is both selected and excluded", ErrUnknownUser, report.Quote(name))
		}
	}
	return nil
}

// hostProblem tells of what lies beside the users' own files. It needs a person
// only when it may be mail that this run was to bring.
func (s Selection) hostProblem(sk mbox.Skipped) report.Problem {
	p := skippedProblem(sk)
	if slices.Contains(s.Exclude, sk.User) {
		p.Severity = report.Note
	}
	if p.Severity == report.Attention && (sk.Kind == mbox.SkipSystemUser || sk.Kind == mbox.SkipNoUser) {
		p.Text += " (else --exclude-user " + report.Quote(sk.User) + ")"
	}
	return p
}

// Tells reports whether a run tells what there is beside users' own files, of somebody or ("")
// of nobody: where users are named, of them alone, or a report would take that for all there is.
// Who is excluded is told as that.
func (s Selection) Tells(name string) bool {
	return (len(s.Users) == 0 || slices.Contains(s.Users, name)) && (name == "" || s.Shard.Has(name))
}

// Has reports whether a user is selected.
func (s Selection) Has(name string) bool {
	return (len(s.Users) == 0 || slices.Contains(s.Users, name)) && !slices.Contains(s.Exclude, name) && s.Shard.Has(name) && !s.Done[name]
}

// all reports whether every user is.
func (s Selection) all() bool {
	return len(s.Users) == 0 && len(s.Exclude) == 0 && s.Shard.N == 0 && s.Done == nil
}
