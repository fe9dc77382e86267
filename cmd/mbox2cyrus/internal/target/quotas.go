package target

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// quotaDB returns where quota roots are.
func (c *Cyrus) quotaDB() reconstruct.QuotaDB {
	db := reconstruct.QuotaDB{Path: c.settings["quota_db_path"], Type: c.settings["quota_db"], Lines: c.Fresh.IndexVersion < 13}
	if db.Path == "" {
		db.Path = filepath.Join(c.ConfigDir, "quotas.db")
	}
	if db.Type == "" {
		db.Type = reconstruct.QuotaLegacy
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
	roots, err := c.setQuotas(ctx, limits)
	if err != nil {
		return err
	}
	// Of what it cannot write, cyr_dbtool says nothing (imap/cyr_dbtool.c, main).
	have, err := c.Quotas(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(roots)) {
		if root, ok := have.Root(cyrusspool.Name(name)); !ok || root.Storage.Limit != roots[name]*1024 {
			return fmt.Errorf("quota root %s: cyr_dbtool did not set it and did not say why: can Cyrus's user write its quota roots?", name)
		}
	}
	return nil
}

// setQuotas is SetQuotas without a look at what came of it. It returns the roots with their limits
// in KiB.
func (c *Cyrus) setQuotas(ctx context.Context, limits map[string]int64) (roots map[string]int64, err error) {
	roots = map[string]int64{}
	for userid, bytes := range limits {
		roots[string(cyrusspool.InboxName(userid))] = (bytes + 1023) / 1024
	}
	return roots, c.Programs.SetQuotas(ctx, c.quotaDB(), roots)
}

// RemoveQuotas takes the limits of INBOXes away.
func (c *Cyrus) RemoveQuotas(ctx context.Context, inboxes map[cyrusspool.Name]bool) error {
	var roots []string
	for _, inbox := range slices.Sorted(maps.Keys(inboxes)) {
		roots = append(roots, string(inbox))
	}
	if len(roots) == 0 {
		return nil
	}
	if err := c.Programs.RemoveQuotas(ctx, c.quotaDB(), roots); err != nil {
		return err
	}
	have, err := c.Quotas(ctx)
	if err != nil {
		return err
	}
	for _, name := range roots {
		if _, ok := have.Root(cyrusspool.Name(name)); ok {
			return fmt.Errorf("quota root %s: cyr_dbtool did not remove it and did not say why: can Cyrus's user write its quota roots?", name)
		}
	}
	return nil
}
