package undo

import (
	"context"
	"slices"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// giveQuotaBack takes away the quotas that migrate gave, and has Cyrus count again where
// there is a quota still.
func (u *Undoer) giveQuotaBack(ctx context.Context, users []*user) error {
	roots, err := u.Cyrus.Quotas(ctx)
	if err != nil || len(roots.All()) == 0 {
		return err
	}
	taken := map[cyrusspool.Name]bool{}
	for _, one := range users {
		if len(one.boxes) == 0 {
			continue
		}
		inbox := cyrusspool.InboxName(one.id())
		if _, have := roots.Root(inbox); have && u.Ledger.GaveQuota(one.login) {
			taken[inbox] = true
		}
	}
	if err := u.Cyrus.RemoveQuotas(ctx, taken); err != nil {
		return err
	}
	roots = roots.Without(taken)
	var count []string
	all := false
	for _, one := range users {
		if len(one.boxes) == 0 {
			continue
		}
		id := one.id()
		inbox := cyrusspool.InboxName(id)
		own, shared := roots.Of(inbox)
		// Mailboxes that were the user's own say that they are of the one that was taken.
		own = own || taken[inbox] && u.keepsAny(one)
		if own {
			count = append(count, id)
		}
		all = all || shared || own && roots.Alike(inbox)
	}
	if all {
		return u.Cyrus.Programs.RecountAllQuotas(ctx)
	}
	return u.Cyrus.Programs.RecountQuota(ctx, count)
}

// keepsAny reports whether Cyrus still has mailboxes of a user whose own are undone.
func (u *Undoer) keepsAny(one *user) bool {
	gone := map[string]bool{}
	for _, rec := range one.boxes {
		gone[rec.Name] = !stays(rec)
	}
	return slices.ContainsFunc(u.Cyrus.UserEntries(one.id()), func(e reconstruct.Entry) bool { return !gone[e.Name] })
}
