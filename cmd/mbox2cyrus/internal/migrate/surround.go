package migrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// surround gives the users of a batch what belongs to their mail in Cyrus: special uses
// of folders, quota, conversations and the search index, each by Cyrus's own program.
// Some of these change the index, so it comes before that is compared and recorded; a
// run that is cut off does it again. The mail is there whatever comes of it: what
// cannot be done is told, with what would do it.
//
// Indexing can take long and can be done at any time: it alone is ended by stop.
func (e *Engine) surround(ctx, stop context.Context, batch []*job) {
	var users []string // whose mailboxes were changed
	names := map[string]*plan.User{}
	changed := map[string][]string{}
	for _, j := range batch {
		if len(j.work()) > 0 {
			users = append(users, j.user.ID)
			names[j.user.ID] = j.user
			for _, m := range j.work() {
				changed[j.user.ID] = append(changed[j.user.ID], m.rec.Name)
			}
		}
	}
	e.specialUses(ctx, batch)
	e.quotas(ctx, batch)
	if e.Cyrus.Conversations() {
		for _, id := range users {
			if err := e.Cyrus.BuildConversations(ctx, id); err != nil {
				e.undone(names[id], "conversations", err, "ctl_conversationsdb -b "+id)
			}
			// -b counts messages without their subjects, by which Cyrus tells whether a reply begins
			// another conversation, and knows nothing of flags that changed.
			if err := e.Cyrus.Programs.RecountConversations(ctx, id, changed[id]); err != nil {
				e.undone(names[id], "conversations", err, "ctl_conversationsdb -R "+id)
			}
		}
	}
	if e.Cyrus.Search() {
		e.indexForSearch(stop, users, names)
	}
}

// indexForSearch has what users have indexed. Cyrus's program ends at what it cannot index:
// then they come one by one, so that it is but one who goes without.
func (e *Engine) indexForSearch(stop context.Context, users []string, names map[string]*plan.User) {
	all := e.Cyrus.IndexForSearch(stop, users)
	if all == nil {
		return
	}
	for _, id := range users {
		err := all
		if len(users) > 1 {
			err = e.Cyrus.IndexForSearch(stop, []string{id})
		}
		if err != nil {
			e.undone(names[id], "search-index", err, "squatter -i -u "+id)
		}
	}
}

// undone tells that something beside the mail is left to do.
func (e *Engine) undone(u *plan.User, kind string, err error, command string) {
	e.Report.Problem(report.Problem{Severity: report.Attention, User: u.Name, Offset: -1, Kind: kind,
		Text: fmt.Sprintf("the mail is there, but this is left to do: %s (%v)", command, err)})
}

// specialUses marks the folders whose first pass this is.
func (e *Engine) specialUses(ctx context.Context, batch []*job) {
	uses := map[cyrusspool.Name]string{}
	owners := map[cyrusspool.Name]*mailbox{}
	users := map[cyrusspool.Name]*plan.User{}
	var entered []reconstruct.Entry
	for _, j := range batch {
		for _, m := range j.work() {
			entered = append(entered, m.entry)
			// One that was there before the pass keeps what its user made of its use. The record
			// tells, also of one that a run which was cut off has filled.
			if m.specialUse() != "" && m.rec.Previous == "" && m.rec.FirstUID == 0 {
				name := cyrusspool.Name(m.rec.Name)
				uses[name], owners[name], users[name] = strings.ToLower(m.specialUse()), m, j.user
			}
		}
	}
	if len(uses) == 0 {
		return
	}
	kept, err := e.Cyrus.SetSpecialUse(ctx, uses, entered)
	for _, name := range kept {
		e.Report.Problem(report.Problem{Severity: report.Note, User: users[name].Name, Folder: owners[name].folderName(), Offset: -1, Kind: "special-use-other",
			Text: fmt.Sprintf(`%s is not \%s: the user has another such folder in Cyrus`, name, owners[name].specialUse())})
	}
	if err == nil {
		return
	}
	severity := report.Attention
	if errors.Is(err, target.ErrNoSpecialUse) {
		severity = report.Note // UW had none: nothing is lost
	}
	path, werr := e.specialUseScript(uses)
	if werr != nil {
		severity, err = report.Attention, errors.Join(err, werr)
	}
	e.uses.told.Do(func() {
		e.Report.Problem(report.Problem{Severity: severity, Offset: -1, Kind: "special-use",
			Text: fmt.Sprintf("special uses of folders could not be set (%v): %s has the IMAP commands that set them when Cyrus runs", err, path)})
	})
}

// useScript is the file of commands for special uses that could not be set.
type useScript struct {
	mu   sync.Mutex
	told sync.Once
}

// specialUseScript appends the commands that set special uses (RFC 5464, RFC 6154 5.3),
// to be given by each user or by an administrator in his name. They are on the disk on
// return: a mailbox that is recorded as done gets them no more.
func (e *Engine) specialUseScript(uses map[cyrusspool.Name]string) (path string, err error) {
	e.uses.mu.Lock()
	defer e.uses.mu.Unlock()
	path = filepath.Join(e.Ledger.Dir(), "special-use.imap")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return path, fmt.Errorf("special use: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var names []cyrusspool.Name
	for name := range uses {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		// No name of Cyrus holds a quotation mark or a backslash.
		use := strings.ToUpper(uses[name][:1]) + uses[name][1:]
		if _, err := fmt.Fprintf(f, "# user %s\n. SETMETADATA \"%s\" (/private/specialuse \"\\\\%s\")\n", name.User(), e.Cyrus.ClientName(name), use); err != nil {
			return path, fmt.Errorf("special use: %w", err)
		}
	}
	return path, e.disks.Sync(e.Ledger.Dir())
}
