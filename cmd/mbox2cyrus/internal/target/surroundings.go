package target

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/scratch"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// Conversations reports whether Cyrus keeps conversations.
func (c *Cyrus) Conversations() bool { return c.on("conversations") }

// Search reports whether Cyrus keeps an index for searching.
func (c *Cyrus) Search() bool {
	engine := c.settings["search_engine"]
	return engine != "" && engine != "none"
}

// Xapian reports whether that index is Xapian's: in partitions of its own, beside those of mail.
func (c *Cyrus) Xapian() bool { return c.settings["search_engine"] == "xapian" }

// on reads a switch of Cyrus's settings; one that this release does not have is off.
func (c *Cyrus) on(key string) bool {
	switch c.settings[key] {
	case "yes", "on", "1", "t", "true":
		return true
	}
	return false
}

// MUPDATE returns the master of the murder that this Cyrus is a back end of, "" if it is
// in none.
func (c *Cyrus) MUPDATE() string {
	master, _ := c.conf.Get("mupdate_server")
	return master
}

// UIDLFormat returns the setting uidl_format, "" where the release has none.
func (c *Cyrus) UIDLFormat() string { return c.settings["uidl_format"] }

// ClientName returns the name of a user's mailbox as his IMAP client spells it, in
// modified UTF-7 (unixhierarchysep, altnamespace).
func (c *Cyrus) ClientName(name cyrusspool.Name) string {
	sep := string(c.Rules.Separator())
	folder := name.Folder()
	if len(folder) == 0 {
		return "INBOX"
	}
	client := strings.Join(folder, sep)
	if sep == "/" {
		client = strings.ReplaceAll(client, "^", ".")
	}
	if !c.on("altnamespace") {
		client = "INBOX" + sep + client
	}
	return client
}

// quotaDB returns where quota roots are.
func (c *Cyrus) quotaDB() reconstruct.QuotaDB {
	db := reconstruct.QuotaDB{Path: c.settings["quota_db_path"], Type: c.settings["quota_db"], Lines: c.Fresh.IndexVersion < 13}
	if db.Path == "" {
		db.Path = filepath.Join(c.ConfigDir, "quotas.db")
	}
	if db.Type == "" {
		db.Type = "quotalegacy"
	}
	return db
}

// Quotas are quota roots by their names. They are asked of each user: none of it looks at all.
type Quotas struct {
	roots map[cyrusspool.Name]reconstruct.Quota
	names []cyrusspool.Name // sorted
}

// NewQuotas returns quota roots that may be asked for.
func NewQuotas(roots map[cyrusspool.Name]reconstruct.Quota) Quotas {
	return Quotas{roots, slices.Sorted(maps.Keys(roots))}
}

// Quotas asks Cyrus for its quota roots.
func (c *Cyrus) Quotas(ctx context.Context) (Quotas, error) {
	list, err := c.Programs.Quotas(ctx, c.quotaDB())
	if err != nil {
		return Quotas{}, err
	}
	roots := make(map[cyrusspool.Name]reconstruct.Quota, len(list))
	for _, root := range list {
		roots[cyrusspool.Name(root.Root)] = root
	}
	return NewQuotas(roots), nil
}

// All returns them by their names.
func (q Quotas) All() map[cyrusspool.Name]reconstruct.Quota { return q.roots }

// Root returns the quota root of a name.
func (q Quotas) Root(name cyrusspool.Name) (root reconstruct.Quota, have bool) {
	root, have = q.roots[name]
	return root, have
}

// Without returns them without some.
func (q Quotas) Without(some map[cyrusspool.Name]bool) Quotas {
	left := maps.Clone(q.roots)
	maps.DeleteFunc(left, func(name cyrusspool.Name, _ reconstruct.Quota) bool { return some[name] })
	return NewQuotas(left)
}

// RootOf returns the quota root that a mailbox is of, the nearest at it or above it; "" for
// none (imap/quota_db.c, quota_findroot).
func (q Quotas) RootOf(name cyrusspool.Name) (root cyrusspool.Name) {
	if _, have := q.roots[name]; have {
		return name
	}
	return q.above(name)
}

// above returns the nearest above a mailbox, "" for none. The root of a domain is its name
// and "!".
func (q Quotas) above(name cyrusspool.Name) cyrusspool.Name {
	for i := len(name) - 1; i > 0; i-- {
		if name[i] != '.' && name[i-1] != '!' {
			continue
		}
		if _, have := q.roots[name[:i]]; have {
			return name[:i]
		}
	}
	return ""
}

// Of reports whether a user has quota roots of his own, at or below his INBOX, and whether
// one is above it, which others may be of too.
func (q Quotas) Of(inbox cyrusspool.Name) (own, shared bool) {
	_, own = q.roots[inbox]
	return own || q.from(inbox+".", inbox+"."), q.above(inbox) != ""
}

// Alike reports whether the name of a quota root begins with that of an INBOX, and is not
// below it, as user.joey for user.joe. Where one user is counted, 3.2.6 takes it for one of his
// of which no mailbox is, and removes it (imap/quota.c, buildquotalist).
func (q Quotas) Alike(inbox cyrusspool.Name) bool {
	i, have := slices.BinarySearch(q.names, inbox)
	if have {
		i++
	}
	if i < len(q.names) && strings.HasPrefix(string(q.names[i]), string(inbox)) && q.names[i][len(inbox)] != '.' {
		return true
	}
	return q.from(inbox+"/", inbox) // "/" comes behind "."
}

// from reports whether the first name that does not come before another begins with prefix.
func (q Quotas) from(name, prefix cyrusspool.Name) bool {
	i, _ := slices.BinarySearch(q.names, name)
	return i < len(q.names) && strings.HasPrefix(string(q.names[i]), string(prefix))
}

// SetQuotas limits the storage of users, in bytes, rounded up to KiB.
func (c *Cyrus) SetQuotas(ctx context.Context, limits map[string]int64) error {
	roots := map[string]int64{}
	for userid, bytes := range limits {
		roots[string(cyrusspool.InboxName(userid))] = (bytes + 1023) / 1024
	}
	return c.Programs.SetQuotas(ctx, c.quotaDB(), roots)
}

// RemoveQuotas takes the limits of INBOXes away.
func (c *Cyrus) RemoveQuotas(ctx context.Context, inboxes map[cyrusspool.Name]bool) error {
	var roots []string
	for _, inbox := range slices.Sorted(maps.Keys(inboxes)) {
		roots = append(roots, string(inbox))
	}
	return c.Programs.RemoveQuotas(ctx, c.quotaDB(), roots)
}

// SpecialUseNames returns the names that imapd.conf gives to folders of a special use
// (xlist-sent and the like), by use in lower case.
func (c *Cyrus) SpecialUseNames() map[string]string {
	names := map[string]string{}
	for _, s := range c.conf.All() {
		if use, ok := strings.CutPrefix(s.Key, "xlist-"); ok {
			names[use] = s.Value
		}
	}
	return names
}

// ErrNoSpecialUse is returned where this Cyrus has no program that sets special uses.
var ErrNoSpecialUse = errors.New("this release of Cyrus cannot be told special uses while it is down")

// SetSpecialUse gives mailboxes, on the first level below an INBOX, a special use such
// as "sent". A user who has a mailbox of that use keeps it; kept names those of ours
// that did not get it therefore.
//
// entered are mailboxes that Cyrus knows since the last Refresh, all of their users. Cyrus's
// program compares each of the mailboxes that it is given with all that there are. So where
// these are many, and a user had none before, it is given a list with those of such users alone.
// (That his mailbox list changed, foldermodseq, is not noted then: nobody saw it before.)
func (c *Cyrus) SetSpecialUse(ctx context.Context, uses map[cyrusspool.Name]string, entered []reconstruct.Entry) (kept []cyrusspool.Name, err error) {
	if !c.Programs.Has("cvt_xlist_specialuse") {
		return nil, ErrNoSpecialUse
	}
	alone, others := map[cyrusspool.Name]string{}, map[cyrusspool.Name]string{}
	newUsers := map[string]bool{}
	long := c.listIsLong()
	for box, use := range uses {
		if id := box.User(); long && len(c.UserEntries(id)) == 0 {
			alone[box], newUsers[id] = use, true
		} else {
			others[box] = use
		}
	}
	entered = slices.DeleteFunc(slices.Clone(entered), func(e reconstruct.Entry) bool { return !newUsers[cyrusspool.Name(e.Name).User()] })
	kept, err = c.setSpecialUse(ctx, alone, entered)
	if err != nil {
		return kept, err
	}
	more, err := c.setSpecialUse(ctx, others, nil)
	return append(kept, more...), err
}

// listIsLong reports whether Cyrus's list of mailboxes is so long that it pays to make
// another for a few.
func (c *Cyrus) listIsLong() bool {
	path, ok := c.pathOf(mailboxList)
	if !ok {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Size() >= c.longList
}

// longMailboxList is how many bytes some 10,000 mailboxes take in Cyrus's list.
const longMailboxList = 4 << 20

// setSpecialUse does that for mailboxes of users who have no others than those of entered, if
// it is not nil.
//
// Cyrus's program goes by the names of folders, one for each use; so it runs as often as
// there are different names for the same use.
func (c *Cyrus) setSpecialUse(ctx context.Context, left map[cyrusspool.Name]string, entered []reconstruct.Entry) (kept []cyrusspool.Name, err error) {
	for len(left) > 0 {
		names := map[string]string{} // of this run's folders, by use
		var operands []string
		wanted := map[string]bool{}
		for _, box := range slices.Sorted(maps.Keys(left)) {
			use, folder := left[box], lastComponent(box)
			if have, ok := names[use]; ok && have != folder {
				continue
			}
			names[use] = folder
			operands = append(operands, c.operand(box))
			wanted[string(box)] = true
			delete(left, box)
		}
		said, err := c.runSpecialUse(ctx, names, operands, entered)
		if err != nil {
			return kept, err
		}
		for _, name := range said.Set {
			delete(wanted, name)
		}
		for _, name := range said.Kept {
			if wanted[name] {
				kept = append(kept, cyrusspool.Name(name))
				delete(wanted, name)
			}
		}
		if len(wanted) > 0 {
			return kept, fmt.Errorf("cvt_xlist_specialuse gave no special use to %s and did not say why", slices.Min(slices.Collect(maps.Keys(wanted))))
		}
	}
	return kept, nil
}

// lastComponent is the last component of a name, as Cyrus compares it.
func lastComponent(n cyrusspool.Name) string {
	return strings.ReplaceAll(string(n[strings.LastIndexByte(string(n), '.')+1:]), "^", ".")
}

// runSpecialUse runs Cyrus's program once with a configuration of its own.
func (c *Cyrus) runSpecialUse(ctx context.Context, names map[string]string, operands []string, entered []reconstruct.Entry) (said reconstruct.SpecialUses, err error) {
	var conf []cyrusspool.Setting
	for _, s := range c.conf.All() {
		// It would tell the mupdate master of a murder, which knows of no special uses,
		// and cannot log in there.
		if !strings.HasPrefix(s.Key, "xlist-") && s.Key != "mupdate_server" {
			conf = append(conf, s)
		}
	}
	for use, folder := range names {
		conf = append(conf, cyrusspool.Setting{Key: "xlist-" + use, Value: folder})
	}
	list := mailboxList
	if len(entered) > 0 {
		list = ownMailboxList
	}
	done, err := c.aside(ctx, conf, []database{list, annotations}, func(ctx context.Context, p *reconstruct.Programs) (err error) {
		if list.own {
			if err := p.Enter(ctx, c.Fresh.ListForm, entered); err != nil {
				return err
			}
		}
		said, err = p.SetSpecialUse(ctx, operands)
		return err
	})
	if done || err != nil {
		return said, err
	}
	dir, err := scratch.Make(scratch.SpecialUse)
	if err != nil {
		return said, fmt.Errorf("special use: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Remove()) }()
	p, err := c.configure(dir, conf)
	if err != nil {
		return said, fmt.Errorf("special use: %w", err)
	}
	return p.SetSpecialUse(ctx, operands)
}
