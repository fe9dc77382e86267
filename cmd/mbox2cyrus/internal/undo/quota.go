package undo

import (
	"context"

	"mbox2cyrus/cyrusspool"
)

// giveQuotaBack takes away the quotas that migrate gave to accounts that were there
// before, and has Cyrus count again where there is a quota still. One of a user who is
// gone goes with that.
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
		for _, rec := range one.boxes {
			if _, has := roots[inbox]; has && rec.QuotaSet && stays(rec) {
				if err := u.Cyrus.RemoveQuota(ctx, id); err != nil {
					return err
				}
				delete(roots, inbox)
			}
		}
		own, shared := roots.Of(inbox)
		if own {
			count = append(count, id)
		}
		all = all || shared
	}
	if all {
		return u.Cyrus.Programs.RecountAllQuotas(ctx)
	}
	return u.Cyrus.Programs.RecountQuota(ctx, count)
}
