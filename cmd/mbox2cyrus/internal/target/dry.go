package target

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// Commands tells of each command that a run would have Cyrus execute after it
// has filled the mailboxes of entries, all of one user, and runs none. A real run
// takes several users at once. quota is the limit that the user is to get, in bytes, 0
// for none; uses are the special uses of his mailboxes.
func (c *Cyrus) Commands(ctx context.Context, userid string, entries []reconstruct.Entry, quota int64, uses map[cyrusspool.Name]string,
	tell func(reconstruct.Command)) error {
	if len(entries) == 0 {
		return nil
	}
	dry := *c
	dry.Programs = c.Programs.Dry(tell)
	if err := dry.Programs.Enter(ctx, c.Fresh.ListForm, entries); err != nil {
		return err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = c.operand(cyrusspool.Name(e.Name))
	}
	if _, err := dry.Programs.Paths(ctx, names); err != nil {
		return err
	}
	// Its report is that of programs which said nothing.
	if _, err := dry.Reconstruct(ctx, map[string][]reconstruct.Entry{userid: entries}); err != nil {
		return err
	}
	if err := dry.surroundings(ctx, userid, quota, uses); err != nil {
		return err
	}
	if backend := c.seenBackend(); !c.SeenInIndex() && backend != "flat" {
		path := filepath.Join(c.ConfigDir, c.seenFile(userid))
		return dry.Programs.ConvertDB(ctx, path+FlatSuffix, "flat", path, backend)
	}
	return nil
}

// surroundings has the commands told that follow for a user when the mail is there.
func (c *Cyrus) surroundings(ctx context.Context, userid string, quota int64, uses map[cyrusspool.Name]string) error {
	if c.Programs.Has("cvt_xlist_specialuse") {
		for _, box := range slices.Sorted(maps.Keys(uses)) {
			programs := *c.Programs
			// It is a copy with this line, removed again.
			programs.Conf = fmt.Sprintf("%s with xlist-%s: %s", c.IMAPDConf, uses[box], lastComponent(box))
			if _, err := programs.SetSpecialUse(ctx, []string{c.operand(box)}); err != nil {
				return err
			}
		}
	}
	if quota > 0 {
		_, err := c.setQuotas(ctx, map[string]int64{userid: quota})
		if err := errors.Join(err, c.Programs.RecountQuota(ctx, []string{userid})); err != nil {
			return err
		}
	}
	if c.Conversations() {
		err := c.tellConversations(ctx, userid)
		if err := errors.Join(err, c.Programs.RecountConversations(ctx, userid, nil)); err != nil {
			return err
		}
	}
	if c.Search() {
		return c.Programs.IndexForSearch(ctx, []string{userid})
	}
	return nil
}
