package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/google/renameio/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cyrusspool"
)

// fileVersion is the format of plan files.
const fileVersion = 1

// ErrFile is wrapped by every error of a plan file that cannot be read.
var ErrFile = errors.New("plan")

// file is a plan as it is kept for review: what is decided, and of which state
// of the source.
type file struct {
	Version    int    `json:"mbox2cyrus_plan"`
	SourceRoot string `json:"source_root"`
	Rules      string `json:"rules,omitempty"` // as source.Rules has it
	// Partial says that some users were chosen when it was made: of others nobody expects to
	// find them in it.
	Partial bool       `json:"partial,omitempty"`
	Users   []fileUser `json:"users"`
}

type fileUser struct {
	User          ledger.RawName    `json:"user"`
	UserID        string            `json:"cyrus_user"`
	Partition     string            `json:"partition"`
	Folders       []fileFolder      `json:"folders"`
	Parents       []cyrusspool.Name `json:"parents"`
	Subscriptions []cyrusspool.Name `json:"subscriptions"`
}

type fileFolder struct {
	Folder  ledger.RawName  `json:"folder"`
	Path    ledger.RawName  `json:"path"`
	Mailbox cyrusspool.Name `json:"mailbox"`
	Format  string          `json:"format"`
	Source  ledger.FileID   `json:"source_id"`
}

func (u *User) file() fileUser {
	f := fileUser{User: ledger.RawName(u.Name), UserID: u.ID, Partition: u.Partition, Parents: u.Parents, Subscriptions: u.Subscriptions}
	for _, folder := range u.Folders {
		f.Folders = append(f.Folders, fileFolder{Folder: ledger.RawName(folder.File.Name), Path: ledger.RawName(folder.File.Path),
			Mailbox: folder.Mailbox, Format: fmt.Sprint(folder.File.Format), Source: FileID(folder.File)})
	}
	return f
}

// WriteFile writes the plan, of the users who were selected, for review, to be applied by
// migrate --plan.
func (p *Plan) WriteFile(path, sourceRoot string, rules source.Rules, sel Selection) error {
	f := file{Version: fileVersion, SourceRoot: sourceRoot, Rules: rules.String(), Partial: !sel.all()}
	for _, u := range p.Users {
		f.Users = append(f.Users, u.file())
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	if err := renameio.WriteFile(path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	return nil
}

// Apply holds the plan, which was made just now of the users who are selected, to the one
// that was reviewed: a user of whom anything is no longer as it was reviewed is not migrated,
// nor one who is not in it and has mail; if it was made for some users, the others are left
// out. A plan that was reviewed under other rules is an error that wraps source.ErrRules, one
// that cannot be read wraps [ErrFile].
func (p *Plan) Apply(path string, rules source.Rules, sel Selection) (err error) {
	r, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFile, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var reviewed file
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&reviewed); err != nil {
		return fmt.Errorf("%w %s: offset %d: %w", ErrFile, path, dec.InputOffset(), err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w %s: something follows the plan at offset %d", ErrFile, path, dec.InputOffset())
	}
	if reviewed.Version != fileVersion {
		return fmt.Errorf("%w %s: version %d, this program knows %d", ErrFile, path, reviewed.Version, fileVersion)
	}
	if reviewed.Rules != rules.String() {
		return fmt.Errorf("plan %s: %w: it was made with %s; give migrate the same flags, it was given %s",
			path, source.ErrRules, source.DescribeRules(reviewed.Rules), source.DescribeRules(rules.String()))
	}
	byName := map[string]fileUser{}
	for _, u := range reviewed.Users {
		byName[string(u.User)] = u
	}
	p.LeftOut = map[string]bool{}
	p.Users = slices.DeleteFunc(p.Users, func(u *User) bool {
		if _, in := byName[u.Name]; !in && reviewed.Partial {
			p.LeftOut[u.Name] = true
		}
		return p.LeftOut[u.Name]
	})
	for _, u := range p.Users {
		was, in := byName[u.Name]
		delete(byName, u.Name)
		switch {
		case u.Failed() || !in && len(u.Folders) == 0:
		case !in:
			u.fail("plan-changed", "has mail, and is not in the plan; make and review a new plan")
		default:
			if what := changed(was, u.file()); what != "" {
				u.fail("plan-changed", "not as it was planned: "+what+"; make and review a new plan")
			}
		}
	}
	for name, u := range byName {
		if len(u.Folders) > 0 && sel.Has(name) {
			p.Problems = append(p.Problems, report.Problem{Severity: report.Failure, User: name, Offset: -1, Kind: "plan-changed",
				Text: "was planned, but has no mail now; make and review a new plan"})
		}
	}
	return nil
}

// changed says in which way a user is not as reviewed, "" if he is.
func changed(was, is fileUser) string {
	if was.UserID != is.UserID {
		return fmt.Sprintf("becomes Cyrus user %s, not %s", report.Quote(is.UserID), report.Quote(was.UserID))
	}
	if was.Partition != is.Partition {
		return fmt.Sprintf("goes to partition %s, not %s", report.Quote(is.Partition), report.Quote(was.Partition))
	}
	at := func(all []fileFolder, f fileFolder) int {
		return slices.IndexFunc(all, func(o fileFolder) bool { return o.Folder == f.Folder && o.Path == f.Path })
	}
	for _, f := range was.Folders {
		name := report.Quote(string(f.Path))
		i := at(is.Folders, f)
		switch {
		case i < 0:
			return name + " is gone"
		case is.Folders[i].Mailbox != f.Mailbox:
			return fmt.Sprintf("%s becomes %s, not %s", name, is.Folders[i].Mailbox, f.Mailbox)
		case is.Folders[i].Format != f.Format, !is.Folders[i].Source.Equal(f.Source):
			return name + " has changed"
		}
	}
	for _, f := range is.Folders {
		if at(was.Folders, f) < 0 {
			return report.Quote(string(f.Path)) + " is new"
		}
	}
	if !slices.Equal(was.Parents, is.Parents) || !slices.Equal(was.Subscriptions, is.Subscriptions) {
		return "parents or subscriptions have changed"
	}
	return ""
}
