package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// Retired is a place of a folder's mail, or a list of subscriptions, that retire moved into
// an archive.
type Retired struct {
	User         string // login as whose it was moved
	Folder, Path string // raw; Path is below the source root; Folder is "" for a list
	Mailbox      string // Cyrus's internal name of what the folder became; "": a list, or not known
	To           string // absolute
	Time         time.Time
	Blocked      bool           // an empty directory is in its place
	Was          *ledger.FileID // identity before it was moved; nil: a list, or not known
}

// sharedHomes returns the logins of each home that several have.
func sharedHomes(all []mbox.User) map[string][]string {
	homes := map[string][]string{}
	for _, u := range all {
		homes[u.Home] = append(homes[u.Home], u.Name)
	}
	maps.DeleteFunc(homes, func(_ string, logins []string) bool { return len(logins) < 2 })
	return homes
}

// sayShared tells that folders of the user's home come into mailboxes of others too. logins are
// all who have that home; of those left out nothing comes.
func (u *User) sayShared(logins, leftOut []string) {
	var others []string
	for _, login := range logins {
		if login != u.Name && !slices.Contains(leftOut, login) {
			others = append(others, report.Quote(login))
		}
	}
	home := strings.Trim(u.Home, "/") + "/"
	if len(others) == 0 || !slices.ContainsFunc(u.Folders, func(f Folder) bool { return strings.HasPrefix(f.File.Path, home) }) {
		return
	}
	u.Problems = append(u.Problems, report.Problem{Severity: report.Note, User: u.Name, Offset: -1, Kind: "shared-home",
		Text: fmt.Sprintf("has the same home as %s: the folders in it come into the mailboxes of each of them (--exclude-user leaves one out)", strings.Join(others, " and "))})
}

// retiredOf returns what was retired of a user, and what was retired from his home as that of
// others who have it too: it was as much his.
func retiredOf(u mbox.User, logins []string, by map[string][]Retired) []Retired {
	all := slices.Clip(by[u.Name]) // which stays as it is
	for _, login := range logins {
		for _, r := range by[login] {
			if login != u.Name && strings.HasPrefix(r.Path, strings.Trim(u.Home, "/")+"/") {
				all = append(all, r)
			}
		}
	}
	return all
}

// RetiredFrom returns what was retired from a path, nil for none.
func (u *User) RetiredFrom(path string) *Retired {
	i := slices.IndexFunc(u.Retired, func(r Retired) bool { return r.Path == path })
	if i < 0 {
		return nil
	}
	return &u.Retired[i]
}

// OfFolder reports whether a place that was a folder's when it was moved, or was given to a
// mailbox then, is one of those that the folder of a mailbox has. Of a login's folders two can
// have one name: the INBOX, and a file INBOX in his directory of folders. Records of earlier
// versions do not tell these apart.
func OfFolder(rec ledger.Mailbox, folder, mailbox string) bool {
	return folder == string(rec.Folder) && (mailbox == "" || cyrusspool.Name(mailbox).IsInbox() == cyrusspool.Name(rec.Name).IsInbox())
}

// retiredIndex is what was retired of a user, so that it can be asked for each of his mailboxes.
type retiredIndex struct {
	paths map[string]bool
	ofs   map[string][]string // mailboxes by folder
}

func indexRetired(all []Retired) *retiredIndex {
	i := &retiredIndex{paths: map[string]bool{}, ofs: map[string][]string{}}
	for _, r := range all {
		i.paths[r.Path] = true
		if boxes := i.ofs[r.Folder]; !slices.Contains(boxes, r.Mailbox) {
			i.ofs[r.Folder] = append(boxes, r.Mailbox)
		}
	}
	return i
}

// has reports whether the folder of a mailbox, or a directory that it was in, was retired.
func (i *retiredIndex) has(rec ledger.Mailbox) bool {
	if slices.ContainsFunc(i.ofs[string(rec.Folder)], func(mailbox string) bool { return OfFolder(rec, string(rec.Folder), mailbox) }) {
		return true
	}
	for path := string(rec.Source); ; {
		if i.paths[path] {
			return true
		}
		slash := strings.LastIndexByte(path, '/')
		if slash < 0 {
			return false
		}
		path = path[:slash]
	}
}

// WasRetired reports whether the folder of a mailbox, or a directory that it was in, was
// retired.
func (u *User) WasRetired(rec ledger.Mailbox) bool {
	if u.retired == nil {
		u.retired = indexRetired(u.Retired)
	}
	return u.retired.has(rec)
}

// Rejoined returns the identity that a folder of several places has with those of them that were
// retired, as they were: that which the mailbox's record has, if a retire came no further and
// nothing of the rest changed since.
func (u *User) Rejoined(f mbox.File, rec ledger.Mailbox) (whole mbox.Identity, same bool) {
	var ids []mbox.Identity
	for _, r := range u.Retired {
		if r.User == u.Name && r.Was != nil && OfFolder(rec, r.Folder, r.Mailbox) {
			ids = append(ids, r.Was.Identity())
		}
	}
	if len(ids) == 0 {
		return f.Identity, false
	}
	if len(f.Parts) == 0 {
		ids = append(ids, f.Identity)
	}
	for _, part := range f.Parts {
		ids = append(ids, part.Identity)
	}
	whole = mbox.JoinIdentities(ids)
	return whole, rec.SourceID != nil && rec.SourceID.Equal(ledger.NewFileID(whole))
}

// PartRetired says what is the matter with a mailbox of which a part was retired, and that now
// has a folder that is not all of what it had.
func (u *User) PartRetired(f mbox.File, rec ledger.Mailbox) (kind, text string) {
	if _, same := u.Rejoined(f, rec); same {
		return "retire-cut-off", fmt.Sprintf("a part of its folder was retired, and %s, which was migrated too, not yet: run retire again, or retire --restore", report.Quote(f.Path))
	}
	return "retired-place", fmt.Sprintf("its folder, or a part of it, was retired, and there is mail in %s; it is not brought: restore what was retired, or deliver it in Cyrus", report.Quote(f.Path))
}

// RetiredList returns what was retired of the user's lists of subscriptions, nil for nothing.
func (u *User) RetiredList() *Retired {
	i := slices.IndexFunc(u.Retired, func(r Retired) bool { return r.Folder == "" })
	if i < 0 {
		return nil
	}
	return &u.Retired[i]
}

// stands reports whether a thing that is no folder is only what retire left in the place
// of one.
func (u *User) stands(s mbox.Skipped) bool {
	r := u.RetiredFrom(s.Path)
	return s.Kind == mbox.SkipDirectory && r != nil && r.Blocked
}

// blocks returns the places, of all users, in which retire left an empty directory.
func (s Selection) blocks() map[string]bool {
	all := map[string]bool{}
	for _, ofUser := range s.Retired {
		for _, r := range ofUser {
			if r.Blocked {
				all[r.Path] = true
			}
		}
	}
	return all
}

// sayRetired adds a note for each thing that was retired, and a problem for each file that
// somebody wrote in its place since.
func (u *User) sayRetired() {
	for _, r := range u.Retired {
		what := ""
		if r.Folder == "" {
			what = "the list of subscriptions "
		}
		u.Problems = append(u.Problems, report.Problem{Severity: report.Note, User: u.Name, Folder: r.Folder, Offset: -1, Kind: "retired",
			Text: fmt.Sprintf("%swas retired to %s on %s", what, report.Quote(r.To), r.Time.Format("2006-01-02"))})
	}
	if r := u.RetiredList(); r != nil && u.SubscriptionList != "" {
		u.Problems = append(u.Problems, report.Problem{Severity: report.Attention, User: u.Name, Offset: -1, Kind: "retired-place",
			Text: fmt.Sprintf("%s is a list of subscriptions, but that of the user was retired on %s; somebody still subscribes there. It is not brought: subscribe in Cyrus, and remove it",
				report.Quote(u.SubscriptionList), r.Time.Format("2006-01-02"))})
	}
	for _, f := range u.Folders {
		if r := u.RetiredFrom(f.File.Path); r != nil {
			u.Problems = append(u.Problems, report.Problem{Severity: report.Attention, User: u.Name, Folder: f.File.Name, Offset: -1, Kind: "retired-place",
				Text: fmt.Sprintf("%s is a new file: the folder that was there was retired on %s; somebody still writes there. Its mail is not brought: deliver it in Cyrus, or move it to a folder of another name",
					report.Quote(f.File.Path), r.Time.Format("2006-01-02"))})
		}
	}
}

// HoldToRetire fails users of whom a retire that was cut off may have moved something. What is
// in such a place may be the folder, or what somebody wrote there since: its mail must not
// become the mailbox's.
func (p *Plan) HoldToRetire() {
	for _, u := range p.Users {
		for _, r := range u.CutOff {
			u.fail("retire-cut-off", fmt.Sprintf("%s: a retire was cut off while it moved this; run retire --user %s (or retire --restore --user %[2]s) again first",
				report.Quote(r.Path), report.Quote(r.User)))
		}
	}
}
