package target

import (
	"context"
	"path/filepath"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// Commands tells of each command that a run would have Cyrus execute after it
// has filled the mailboxes of entries, all of one user, and runs none. A real run
// takes several users at once.
func (c *Cyrus) Commands(ctx context.Context, userid string, entries []reconstruct.Entry, tell func(reconstruct.Command)) error {
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
		names[i] = cyrusspool.Name(e.Name).External(c.Rules.Separator())
	}
	if _, err := dry.Programs.Paths(ctx, names); err != nil {
		return err
	}
	// Its report is that of programs which said nothing.
	if _, err := dry.Reconstruct(ctx, map[string][]reconstruct.Entry{userid: entries}); err != nil {
		return err
	}
	if backend := c.seenBackend(); !c.SeenInIndex() && backend != "flat" {
		path := filepath.Join(c.ConfigDir, c.seenFile(userid))
		return dry.Programs.ConvertDB(ctx, path+flatSuffix, "flat", path, backend)
	}
	return nil
}
