// Package plan says what a run would do: which users, which of their files are
// folders, and which Cyrus mailbox each becomes. It only reads.
package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// Plan is what a run would do.
type Plan struct {
	Users    []*User
	Problems []report.Problem // of the host; those of a user are with him
	// LeftOut are those of whom something was found, and whom a reviewed plan leaves out, as it was
	// made for others.
	LeftOut map[string]bool

	without []mailless // see SayWithoutMailbox
}

// mailless is a user without mail: his login, and his user id in Cyrus.
type mailless struct{ login, id string }

// User is one user who has mail.
type User struct {
	mbox.User
	ID            string // Cyrus's user id
	Folders       []Folder
	Parents       []cyrusspool.Name // mailboxes without a folder of their own, needed above others
	Subscriptions []cyrusspool.Name
	// SubscriptionList is the path, below the source root, of the list that they are from;
	// "": none was found.
	SubscriptionList string
	Unmade           []Unmade // subscribed too
	Problems         []report.Problem
	Bytes            int64  // of all folders
	Partition        string // of Cyrus, that new mailboxes go to
	// PartitionChosen says that the administrator named the partition. Mailboxes that
	// Cyrus has on another one are then not filled.
	PartitionChosen bool
	Quota           int64 // of all mail in Cyrus, in bytes; 0: none is set

	Retired []Retired // what is in an archive
	CutOff  []Retired // what may be, as a retire was cut off

	// Gone says that nothing of the user was found on the host, though earlier runs migrated
	// him. He has no folders.
	Gone bool

	hasMailDir bool
	retired    *retiredIndex // of Retired
}

// Folder is one folder and the mailbox that it becomes.
type Folder struct {
	File    mbox.File
	Mailbox cyrusspool.Name
	Changes []cyrusspool.Change // why its name is not simply that of the file
	Chosen  bool                // by the administrator
	// SpecialUse is what the folder is for, as in the attributes of RFC 6154 without
	// the backslash; "": nothing of that.
	SpecialUse string
}

// Unmade is what a user is subscribed to though there is no such folder now. Where there
// was one, its mailbox may still be in Cyrus.
type Unmade struct {
	Folder  string          // raw
	Mailbox cyrusspool.Name // that it would become
}

// Homes are the users of a host who are selected, and what was found of each.
type Homes struct {
	all, chosen []mbox.User
	skipped     []mbox.Skipped
	found       []found // of those who are chosen
	selection   Selection
}

// found is what was found of a user.
type found struct {
	tree *mbox.Tree
	err  error
}

// Look reads the host: some users at a time, for it waits for the disk more than for
// anything else. It ends early, with an error, when the context does.
func Look(ctx context.Context, host *mbox.Host, sel Selection) (*Homes, error) {
	all, skipped, err := host.Users()
	if err != nil {
		return nil, err
	}
	h := &Homes{all: all, skipped: skipped, selection: sel}
	if err := sel.check(all, skipped, host.InPasswd); err != nil {
		return nil, err
	}
	for _, u := range all {
		if sel.Has(u.Name) {
			h.chosen = append(h.chosen, u)
		}
	}
	h.found = make([]found, len(h.chosen))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, u := range h.chosen {
		group.Go(func() error {
			if ctx.Err() == nil {
				h.found[i].tree, h.found[i].err = host.Folders(u)
			}
			return nil
		})
	}
	return h, errors.Join(group.Wait(), ctx.Err())
}

// Plan says what becomes of what was found. A user whose files could not be read is in the
// plan with a problem of severity Failure and without folders. names are those that the
// administrator chose, nil if none; an error in them wraps [ErrNames]. It is called once: what
// was found of a user is forgotten as soon as he is in the plan, since a host may have a hundred
// thousand folders.
func (h *Homes) Plan(rules cyrusspool.NameRules, names *Names) (*Plan, error) {
	p := &Plan{}
	blocks := h.selection.blocks()
	for _, s := range h.skipped {
		// A directory may be that of a user who has no account any more.
		if h.selection.Tells(s.User) && (s.Kind != mbox.SkipDirectory || !blocks[s.Path]) {
			p.Problems = append(p.Problems, h.selection.hostProblem(s))
		}
	}
	ids := userIDs(h.all, rules)
	anyMailDir, anyInbox := false, false
	shared := sharedHomes(h.all)
	for i, mu := range h.chosen {
		logins := shared[mu.Home]
		u := &User{User: mu, Retired: retiredOf(mu, logins, h.selection.Retired), CutOff: retiredOf(mu, logins, h.selection.CutOff)}
		if f := h.found[i]; f.err != nil {
			u.fail("unreadable", f.err.Error())
		} else {
			u.fill(f.tree, rules, names, ids[mu.Name])
			anyInbox = anyInbox || f.tree.Inbox != nil
		}
		h.found[i] = found{}
		u.sayShared(logins, h.selection.Exclude)
		u.sayRetired()
		if len(u.Folders) > 0 || len(u.Problems) > 0 {
			p.Users = append(p.Users, u)
		}
		if len(u.Folders) == 0 && !u.Failed() && len(u.Retired)+len(u.CutOff) == 0 && mu.HasHome && mayBePerson(mu) {
			p.without = append(p.without, mailless{u.Name, u.ID})
		}
		anyMailDir = anyMailDir || u.hasMailDir
	}
	if err := names.finish(p.Users, h.all, h.selection.Has); err != nil {
		return nil, err
	}
	if len(p.Users) > 0 && !anyMailDir {
		p.Problems = append(p.Problems, report.Problem{Severity: report.Note, Offset: -1, Kind: "no-mail-dir",
			Text: "no user has a folder directory of the name given by --mail-dir: if they have folders, it has another name"})
	}
	if kind, text := h.missing(anyInbox); kind != "" {
		p.Problems = append(p.Problems, report.Problem{Severity: report.Attention, Offset: -1, Kind: kind, Text: text})
	}
	return p, nil
}

// fewUsers may well be without any INBOX.
const fewUsers = 3

// missing tells what a host lacks that every host has: users, and INBOXes. It is the wrong
// place then, or not mounted, or has its users from elsewhere, and a run that finds nothing
// there must not end as if all had arrived. anyInbox says that a selected user has an INBOX.
func (h *Homes) missing(anyInbox bool) (kind, text string) {
	if len(h.selection.Retired) > 0 || len(h.selection.CutOff) > 0 {
		return "", "" // all of it may be in an archive
	}
	if len(h.all) == 0 {
		return "no-users", "there are no users: the passwd file has nobody from --min-uid on who has a home or an INBOX; " +
			"is this the root of the UW host, and all of it mounted? Else give --passwd the file that has them (or getent), or a smaller --min-uid"
	}
	if anyInbox || len(h.all) < fewUsers || slices.ContainsFunc(h.all, func(u mbox.User) bool { return u.HasInbox }) {
		return "", ""
	}
	return "no-inboxes", fmt.Sprintf("not one of %d users has an INBOX: is the directory of INBOXes mounted, or are they elsewhere? "+
		"(--inbox-dir, --inbox-template)", len(h.all))
}

// identity is the user id in Cyrus of one login on the UW host.
type identity struct {
	id      string
	changes []cyrusspool.Change
	owner   string // login that has this id; not this one: a collision
}

// userIDs maps every login of the host, selected or not, so that the result
// does not depend on the selection. Where two logins become one id, the one
// that is not changed has it, else the first by name; the other is left out,
// since two people's mail must never be mixed.
func userIDs(all []mbox.User, rules cyrusspool.NameRules) map[string]identity {
	ids := map[string]identity{}
	owner := map[string]string{}
	for _, u := range all {
		id, changes := rules.UserID(u.Name)
		ids[u.Name] = identity{id: id, changes: changes}
		first, taken := owner[id]
		if !taken || len(changes) == 0 && len(ids[first].changes) > 0 {
			owner[id] = u.Name
		}
	}
	for name, i := range ids {
		i.owner = owner[i.id]
		ids[name] = i
	}
	return ids
}

// fill plans what becomes of a user's folders.
func (u *User) fill(tree *mbox.Tree, rules cyrusspool.NameRules, chosen *Names, who identity) {
	u.hasMailDir, u.SubscriptionList = tree.HasMailDir, tree.SubscriptionList
	for _, s := range tree.Skipped {
		if !u.stands(s) {
			p := skippedProblem(s)
			if s.Kind == mbox.SkipLimit && s.Path == tree.SubscriptionList {
				p.Severity = report.Attention // folders that he has may be in the rest
			}
			u.Problems = append(u.Problems, p)
		}
	}
	if who.owner == u.Name {
		u.ID = who.id
	}
	if tree.Inbox == nil && len(tree.Folders) == 0 {
		return // a user without any mail gets nothing (uw-mbox 11.4)
	}
	u.ID = who.id
	for _, c := range who.changes {
		u.Problems = append(u.Problems, userChange(u.Name, c))
	}
	if who.owner != u.Name {
		u.fail("user-collision", fmt.Sprintf("would become Cyrus user %s, who is %s already; rename one of them on the UW host", report.Quote(who.id), report.Quote(who.owner)))
		return
	}
	if slices.Contains(rules.Admins, u.ID) {
		u.Problems = append(u.Problems, adminProblem(u.Name, u.ID))
	}
	u.mapFolders(tree, rules, chosen)
}

// mapFolders gives each folder its mailbox, and adds the parents that mailboxes need and the
// subscriptions.
func (u *User) mapFolders(tree *mbox.Tree, rules cyrusspool.NameRules, names *Names) {
	u.Folders = make([]Folder, 0, 1+len(tree.Folders))
	if tree.Inbox != nil {
		u.Folders = append(u.Folders, Folder{File: *tree.Inbox, Mailbox: cyrusspool.InboxName(u.ID)})
		u.doubt(*tree.Inbox)
	}
	// The first "INBOX" is the inbox; another one is a folder of that name.
	raw := []string{"INBOX"}
	for _, f := range tree.Folders {
		raw = append(raw, f.Name)
	}
	mailboxes := rules.MapFolders(u.ID, raw)[1:]
	chosen := names.choose(u, rules, mailboxes)
	byName := map[string]cyrusspool.Name{}
	for i, m := range mailboxes {
		u.Folders = append(u.Folders, Folder{File: tree.Folders[i], Mailbox: m.To, Changes: m.Changes, Chosen: chosen[i]})
		if chosen[i] {
			u.Problems = append(u.Problems, chosenProblem(u.Name, m.From, rules.Text(m.To), m.To))
		}
		u.doubt(tree.Folders[i])
		byName[m.From] = m.To
		for _, c := range m.Changes {
			u.Problems = append(u.Problems, folderChange(u.Name, m, c))
		}
	}
	slices.SortFunc(u.Folders, func(a, b Folder) int { return strings.Compare(string(a.Mailbox), string(b.Mailbox)) })
	u.hardLinks()

	made := map[cyrusspool.Name]bool{}
	boxes := []cyrusspool.Name{}
	for _, f := range u.Folders {
		made[f.Mailbox] = true
		boxes = append(boxes, f.Mailbox)
		u.Bytes += f.File.Size
	}
	for _, parent := range cyrusspool.Parents(boxes) {
		if !made[parent] {
			made[parent] = true
			u.Parents = append(u.Parents, parent)
		}
	}
	u.subscribe(tree.Subscriptions, rules, byName, made)
}

// maxUnmadeTold is how many subscriptions of no folder are told one by one of a user. A list has
// room for 100,000, and what is told of all users is in memory at once.
const maxUnmadeTold = 1000

// subscribe keeps the subscriptions of mailboxes that will exist.
func (u *User) subscribe(subscriptions []mbox.Subscription, rules cyrusspool.NameRules, byName map[string]cyrusspool.Name, made map[cyrusspool.Name]bool) {
	wanted := map[cyrusspool.Name]bool{}
	for _, s := range subscriptions {
		name := s.Name
		box, ok := byName[name]
		if s.Inbox {
			box, ok = cyrusspool.InboxName(u.ID), true
		}
		if !ok {
			// A client may have written the name otherwise than the file
			// system has it; a directory is a mailbox only as a parent.
			box = rules.MapFolders(u.ID, []string{"INBOX", strings.TrimSuffix(name, "/")})[1].To
		}
		if !made[box] {
			u.Unmade = append(u.Unmade, Unmade{name, box})
			continue
		}
		wanted[box] = true
	}
	u.sayUnmade()
	u.Subscriptions = slices.Sorted(maps.Keys(wanted))
}

// sayUnmade reports the subscriptions of no folder.
func (u *User) sayUnmade() {
	p := report.Problem{Severity: report.Note, User: u.Name, Offset: -1, Kind: "subscription-dropped", Text: "subscribed, but there is no such folder"}
	for _, s := range u.Unmade[:min(len(u.Unmade), maxUnmadeTold)] {
		p.Folder = s.Folder
		u.Problems = append(u.Problems, p)
	}
	if more := len(u.Unmade) - maxUnmadeTold; more > 0 {
		p.Folder, p.Count = "", int64(more)
		p.Text = fmt.Sprintf("%d more subscriptions of no folder are not listed one by one", more)
		u.Problems = append(u.Problems, p)
	}
}

// hardLinks reports folders that have other names, and those that are one file.
func (u *User) hardLinks() {
	type file struct{ dev, ino uint64 }
	first := map[file]string{}
	for _, f := range u.Folders {
		if f.File.Links < 2 {
			continue
		}
		at := file{f.File.Dev, f.File.Ino}
		p := report.Problem{Severity: report.Note, User: u.Name, Folder: f.File.Name, Offset: -1, Kind: "hard-link",
			Text: fmt.Sprintf("the file has %d names (hard links): who writes to another of them changes this folder", f.File.Links)}
		if same, twice := first[at]; twice {
			p.Severity = report.Attention
			p.Text = fmt.Sprintf("is the same file as %s (hard links): its mail comes into both mailboxes; remove one name if it is wanted once", report.Quote(same))
		} else {
			first[at] = f.File.Name
		}
		u.Problems = append(u.Problems, p)
	}
}

// doubt reports that a file may be no folder.
func (u *User) doubt(f mbox.File) {
	if f.Warning != "" {
		u.Problems = append(u.Problems, report.Problem{Severity: report.Note, User: u.Name, Folder: f.Name, Offset: -1,
			Kind: "folder-doubt", Text: f.Warning})
	}
}

func (u *User) fail(kind, text string) {
	u.Problems = append(u.Problems, report.Problem{Severity: report.Failure, User: u.Name, Offset: -1, Kind: kind, Text: text})
	u.Folders, u.Parents = nil, nil
}

// FileID is the identity of a folder's file as it was found.
func FileID(f mbox.File) ledger.FileID { return ledger.NewFileID(f.Identity) }

// Failed reports whether the user cannot be migrated as planned.
func (u *User) Failed() bool {
	return slices.ContainsFunc(u.Problems, func(p report.Problem) bool { return p.Severity == report.Failure })
}
