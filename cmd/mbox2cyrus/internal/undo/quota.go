package undo

import (
	"context"
	"strings"

	"mbox2cyrus/cyrusspool"
)

// giveQuotaBack takes away the quotas that migrate gave to accounts that were there
// before, and has Cyrus count again where there is a quota still. One of a user who is
// gone goes with that.
func (u *Undoer) giveQuotaBack(ctx context.Context, users []*user) error {
	roots, err := u.Cyrus.QuotaRoots(ctx)
	if err != nil || len(roots) == 0 {
		return err
	}
	var count []string
	for _, one := range users {
		if len(one.boxes) == 0 {
			continue
		}
		id := one.id()
		inbox := cyrusspool.InboxName(id)
		for _, rec := range one.boxes {
			if rec.QuotaSet && stays(rec) && roots[inbox] {
				if err := u.Cyrus.RemoveQuota(ctx, id); err != nil {
					return err
				}
				delete(roots, inbox)
			}
		}
		for root := range roots {
			if root == inbox || strings.HasPrefix(string(root), string(inbox)+".") || strings.HasPrefix(string(inbox), string(root)+".") {
				count = append(count, id)
				break
			}
		}
	}
	return u.Cyrus.Programs.RecountQuota(ctx, count)
}
