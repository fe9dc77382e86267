package target

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"mbox2cyrus/cyrusspool"
)

// HighestModSeq returns the highest modseq that Cyrus gave in any mailbox of a user, 0 if it
// notes none: only with conversations it does. Then what is new in one mailbox must be above
// what was in all, since JMAP's states count so (imap/mboxname.c, mboxname_domodseq;
// imap/jmap_mail.c, _email_changes).
func (c *Cyrus) HighestModSeq(userid string) (uint64, error) {
	inbox, ok := c.Entered(cyrusspool.InboxName(userid))
	if !ok || !c.Conversations() {
		return 0, nil
	}
	dir := c.UserDirs(inbox)[0]
	name := dir.Prefix + "counters"
	if dir.Prefix == "" {
		name += ".db"
	}
	f, err := cyrusspool.OpenFile(c.ConfigDir, filepath.Join(c.ConfigDir, dir.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("counters of %s: %w", userid, err)
	}
	file, err := io.ReadAll(io.LimitReader(f, 1<<16))
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, fmt.Errorf("counters of %s: %w", userid, err)
	}
	modseq, err := cyrusspool.CountersModSeq(file)
	if err != nil {
		return 0, nil // Cyrus goes by the mailbox's own then, and so do we
	}
	return modseq, nil
}
