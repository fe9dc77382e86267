package target

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/scratch"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// ErrNoSpecialUse is returned where this Cyrus has no program that sets special uses.
var ErrNoSpecialUse = errors.New("this release of Cyrus cannot be told special uses while it is down")

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
	list.own = len(entered) > 0
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
