package undo

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
)

// userFiles finds what somebody put beside a user's mailboxes since.
func (c *checker) userFiles(rec ledger.Mailbox, u ledger.UserFiles) (err error) {
	for _, k := range u.Files {
		if k.Root != c.u.Cyrus.ConfigDir {
			c.found(rec, "the user's file %s was below %s before he was migrated, and the configdirectory is %s now: name the old one in imapd.conf, if only for undo (a link to the new one will do)",
				report.Quote(k.Name), k.Root, c.u.Cyrus.ConfigDir)
			return nil
		}
	}
	d, err := openIfThere(c.u.Cyrus.ConfigDir, u.Dir)
	if d == nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return eachEntry(d, func(e fs.DirEntry) error {
		if !belongs(u, e.Name()) {
			return nil
		}
		was, had := keptFile(u.Files, c.u.Cyrus.ConfigDir, e.Name())
		left, written := u.Left[e.Name()]
		kind := fileKind(u, e.Name())
		switch {
		case written && !(kind == derived && rec.State == ledger.Undoing): // counting the quota changes it
			sum, err := sumAt(d, e.Name(), sha256.New())
			if err != nil || sum == left || had && sum == was.SHA256 {
				return err
			}
			return c.otherContent(rec, u, e.Name())
		case had, kind == derived, kind == searchIndex, kind == unfinished:
		case kind == subscriptions:
			sum, err := c.u.Cyrus.SumOfSubscriptions(filepath.Join(c.u.Cyrus.ConfigDir, u.Dir, e.Name()))
			if err != nil {
				return err
			}
			if written, _ := c.u.Ledger.Subscriptions(c.one.login); !written.Wrote(sum) {
				c.found(rec, "the user's subscriptions in Cyrus are not those that were written, or a migrate was cut off while it wrote them")
			}
		default:
			c.found(rec, "the user has a file %s in %s that this program did not make", report.Quote(e.Name()), u.Dir)
		}
		return nil
	})
}

// otherContent looks at a file of a user that is neither as it was left nor as it was before.
func (c *checker) otherContent(rec ledger.Mailbox, u ledger.UserFiles, name string) error {
	if u.Left[name] != "" || rec.State == ledger.Undoing {
		c.found(rec, "the user's file %s in %s changed since: something happened in his account", report.Quote(name), u.Dir)
		return nil
	}
	// A run that was cut off was changing it. Who but that run could have?
	ours, err := sameStart(c.u.Cyrus, u.Stamp)
	if err == nil && !ours {
		c.found(rec, "a migrate was cut off while it changed the user's file %s in %s, and Cyrus may have run since; run migrate to its end first", report.Quote(name), u.Dir)
	}
	return err
}

// userFile is what a file of a user outside his mailboxes is.
type userFile int

const (
	other         userFile = iota
	subscriptions          // a user's choice
	seenState              // up to Cyrus 2.3: what he has seen of his mailboxes and others'
	derived                // Cyrus makes it from the mailboxes (counters, conversations)
	searchIndex            // says where Cyrus's index for searching is; of no use to anybody without that
	unfinished             // left by a run that was cut off
)

// fileKind tells by the name: "sub.db" in a directory of the user's own, else
// "joe.sub" (imap/user.c, user_hash_subs; mboxname.c; conversations.c).
func fileKind(u ledger.UserFiles, name string) userFile {
	name, unfinishedName := strings.CutSuffix(name, ".NEW")
	what := strings.TrimPrefix(name, u.Prefix)
	if u.Prefix == "" {
		what = strings.TrimSuffix(what, ".db")
	}
	switch what {
	case "sub":
		if unfinishedName {
			return unfinished
		}
		return subscriptions
	case "seen":
		if unfinishedName {
			return unfinished
		}
		return seenState
	case "seen" + target.FlatSuffix:
		return unfinished
	case "counters", "conversations":
		return derived
	case "xapianactive": // imap/search_xapian.c, activefile_fname
		return searchIndex
	}
	return other
}
