package undo

import (
	"context"

	"mbox2cyrus/cyrusspool"
)

// giveQuotaBack takes away the quotas that migrate gave, and has Cyrus count again where
// there is a quota still.
func (u *Undoer) giveQuotaBack(ctx context.Context, users []*user) error {
	roots, err := u.Cyrus.Quotas(ctx)
	if err != nil || len(roots) == 0 {
		return err
	}
	var count []string
	all := false
	for _, one := range users {
		if len(one.boxes) == 0 {
			continue
		}
		id := one.id()
		inbox := cyrusspool.InboxName(id)
		_, taken := roots[inbox]
		if taken = taken && u.Ledger.GaveQuota(one.login); taken {
			if err := u.Cyrus.RemoveQuota(ctx, id); err != nil {
				return err
			}
			delete(roots, inbox)
		}
		own, shared := roots.Of(inbox)
		if own || taken { // mailboxes that were the user's own say that they are of it
			count = append(count, id)
		}
		all = all || shared || (own || taken) && roots.Alike(inbox)
	}
	if all {
		return u.Cyrus.Programs.RecountAllQuotas(ctx)
	}
	return u.Cyrus.Programs.RecountQuota(ctx, count)
}
