package target

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// Refresh asks Cyrus again which mailboxes it has.
func (c *Cyrus) Refresh(ctx context.Context) error {
	form, err := c.askList(ctx)
	if err != nil {
		return err
	}
	return c.checkList(form)
}

// askList asks Cyrus which mailboxes it has, and returns the form of its answer.
func (c *Cyrus) askList(ctx context.Context) (reconstruct.ListForm, error) {
	state := c.listState() // before it is read
	list, form, err := c.Programs.List(ctx)
	if err != nil {
		return form, err
	}
	c.listed(state)
	c.know(list)
	return form, nil
}

// checkList refuses a list that is not in the form in which this Cyrus lists: a program that
// ended before it said anything, with exit status 0, is not to be taken for a Cyrus without
// mailboxes. Up to 3.4 that looks the same.
func (c *Cyrus) checkList(form reconstruct.ListForm) error {
	if want := c.Fresh.ListForm; form != want && (form != reconstruct.FormUnknown || want == reconstruct.FormJSON) {
		return fmt.Errorf("ctl_mboxlist -d gave a list in form %s, and this Cyrus lists in form %s: it does not say which mailboxes there are", form, want)
	}
	return nil
}

// checkRelease refuses a mailboxes.db that another release wrote: mailboxes that this one does
// not list would never be seen again beside such as it makes itself.
func (c *Cyrus) checkRelease(ctx context.Context) error {
	if c.Fresh.ListForm != reconstruct.FormJSON {
		for _, e := range c.entries {
			if strings.ContainsRune(e.Name, '\x1f') {
				return fmt.Errorf("%w: mailboxes.db was written by Cyrus 3.6 or later, and the Cyrus in %s is an older one, which cannot read its records (%q for one): nothing was written; install the newer Cyrus again",
					ErrConfig, c.Programs.Dir, e.Name)
			}
		}
		return nil
	}
	path, ok := c.pathOf(mailboxList)
	if !ok || len(c.entries) > 0 || !c.Programs.Has("cyr_dbtool") {
		return nil
	}
	name, err := c.Programs.OfOlderRelease(ctx, reconstruct.Database{Path: path, Type: c.settings[mailboxList.backend]})
	if err == nil && name != "" {
		err = fmt.Errorf("%w: %s was written by an older Cyrus, and the one in %s lists none of its mailboxes (%q for one) before its server was started once: nothing was written; start Cyrus (its ctl_cyrusdb -r brings them over), and run again",
			ErrConfig, path, c.Programs.Dir, name)
	}
	return err
}

// CheckIndex refuses a mailbox whose index is of a later version than this Cyrus makes: it was
// downgraded. It cannot open the mailbox, and its reconstruct would make a new index, without
// UIDVALIDITY, flags and dates. An index that cannot be read is not judged.
func (c *Cyrus) CheckIndex(place cyrusspool.Place) error {
	h, err := place.IndexHeader()
	if err == nil && h.Version > c.Fresh.IndexVersion {
		return fmt.Errorf("its index is of version %d, and this Cyrus makes %d: it cannot open what a later Cyrus wrote, and reconstruct would lose flags and dates; install the later Cyrus again",
			h.Version, c.Fresh.IndexVersion)
	}
	return nil
}

// CheckDatabase refuses a mailboxes.db that Cyrus finds damaged: its list ends early then, and
// new mailboxes would take the place of those that it leaves out. It starts a program, which
// reads all of the database.
func (c *Cyrus) CheckDatabase(ctx context.Context) error {
	path, ok := c.pathOf(mailboxList)
	if !ok {
		return nil
	}
	damaged, err := c.Programs.Damaged(ctx, reconstruct.Database{Path: path, Type: c.settings[mailboxList.backend]})
	if err == nil && damaged {
		err = fmt.Errorf("%s is damaged (cyr_dbtool says that it is not consistent), so that Cyrus does not list all of its mailboxes: nothing was written; put it right first, from a copy of Cyrus's own (in db.backup1 of configdirectory, as a rule) or a backup", path)
	}
	return err
}

// know takes a list of mailboxes for all that Cyrus has.
func (c *Cyrus) know(list []reconstruct.Entry) {
	c.entries = slices.DeleteFunc(list, func(e reconstruct.Entry) bool { return e.Deleted() })
	slices.SortFunc(c.entries, func(a, b reconstruct.Entry) int { return strings.Compare(a.Name, b.Name) })
	entries := c.entries
	c.nameByID = sync.OnceValue(func() map[string]string {
		names := make(map[string]string, len(entries))
		for _, e := range slices.Backward(entries) {
			names[e.UniqueID] = e.Name
		}
		return names
	})
}

// find returns where the entry of a mailbox is among all, or belongs.
func (c *Cyrus) find(name cyrusspool.Name) (i int, have bool) {
	return slices.BinarySearchFunc(c.entries, string(name), func(e reconstruct.Entry, name string) int { return strings.Compare(e.Name, name) })
}

// Has reports whether Cyrus had the mailbox at the last Refresh.
func (c *Cyrus) Has(name cyrusspool.Name) bool {
	_, ok := c.find(name)
	return ok
}

// Mailboxes returns how many mailboxes Cyrus had at the last Refresh.
func (c *Cyrus) Mailboxes() int { return len(c.entries) }

// Entry returns Cyrus's entry of a mailbox as of the last Refresh. Up to 3.4
// the list has no unique id: it is read from the mailbox's header.
func (c *Cyrus) Entry(name cyrusspool.Name) (e reconstruct.Entry, ok bool, err error) {
	if e, ok = c.Entered(name); !ok || c.Fresh.ListForm == reconstruct.FormJSON {
		return e, ok, nil
	}
	header, err := c.Place(e.Partition, c.Dir(e)).ReadHeader()
	if err != nil {
		return e, true, fmt.Errorf("%s is in Cyrus: %w", e.Name, err)
	}
	e.UniqueID = header.UniqueID
	return e, true, nil
}

// Entered returns the entry of a mailbox as Cyrus lists it, which up to 3.4 is without a
// unique id.
func (c *Cyrus) Entered(name cyrusspool.Name) (e reconstruct.Entry, ok bool) {
	i, ok := c.find(name)
	if ok {
		e = c.entries[i]
	}
	return e, ok
}

// Named returns the internal name of the mailbox that somebody calls so: by that name, or by
// the one of Cyrus's admin programs, with either separator, since few know which this Cyrus has.
// What no mailbox is called comes back as it is.
func (c *Cyrus) Named(name string) cyrusspool.Name {
	if c.Has(cyrusspool.Name(name)) {
		return cyrusspool.Name(name)
	}
	for _, e := range c.entries {
		if n := cyrusspool.Name(e.Name); n.External('/') == name || n.External('.') == name {
			return n
		}
	}
	return cyrusspool.Name(name)
}

// Entries returns the entries of all mailboxes as of the last Refresh, sorted by name.
func (c *Cyrus) Entries() []reconstruct.Entry { return slices.Clone(c.entries) }

// UserEntries returns the entries of all mailboxes of a user as of the last
// Refresh, sorted by name.
func (c *Cyrus) UserEntries(userid string) []reconstruct.Entry {
	inbox := cyrusspool.InboxName(userid)
	var all []reconstruct.Entry
	if e, ok := c.Entered(inbox); ok {
		all = append(all, e)
	}
	// It is asked for each user: others' are not looked at. Behind the INBOX others' may come,
	// user.joe-b before user.joe.a.
	i, _ := c.find(inbox + ".")
	for _, e := range c.entries[i:] {
		if !strings.HasPrefix(e.Name, string(inbox)+".") {
			break
		}
		all = append(all, e)
	}
	return all
}

// NameOf returns the name of the mailbox that has a unique id as of the last Refresh, wherever it
// is, one that was deleted and is kept for some time included; "" if there is none. Up to 3.4 the
// list does not tell.
func (c *Cyrus) NameOf(id string) string { return c.nameByID()[id] }

// NewEntry describes a mailbox of the owner userid that is to be entered. Its layout is
// that of his INBOX, if Cyrus has one.
func (c *Cyrus) NewEntry(name cyrusspool.Name, userid, uniqueID, partition string) reconstruct.Entry {
	e := reconstruct.Entry{
		Name: string(name), Partition: partition, Type: c.Fresh.Type, UniqueID: uniqueID,
		CreatedModSeq: 1, FolderModSeq: 1,
		ACL: []reconstruct.ACL{{ID: userid, Rights: c.Fresh.Rights}},
	}
	if inbox, ok := c.Entered(cyrusspool.InboxName(userid)); ok && inbox.Type != "" {
		e.Type = inbox.Type
	}
	for _, a := range c.acl {
		if a.ID = c.Rules.Identifier(a.ID); a.ID != userid {
			e.ACL = append(e.ACL, a)
		}
	}
	return e
}
