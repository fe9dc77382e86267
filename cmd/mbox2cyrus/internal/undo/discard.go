package undo

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// Discard removes what a run that was cut off wrote for a mailbox that Cyrus never knew, and
// forgets it: Cyrus has another of its name now, entry. Where that is in the same directory,
// only message files go that its index does not name. Cyrus may not run.
func Discard(c *target.Cyrus, l *ledger.Ledger, rec ledger.Mailbox, entry reconstruct.Entry) error {
	place := c.Place(rec.Partition, rec.Dir)
	roots := place.Roots.All()
	var err error
	if InPlaceOf(c, rec, entry) {
		err = discardStrays(place)
	} else {
		err = discardAll(rec, roots)
	}
	if err != nil {
		return err
	}
	if err := cyrusspool.SyncFS(roots...); err != nil {
		return err
	}
	return l.Forget(rec)
}

// InPlaceOf reports whether a mailbox is in the directory of another.
func InPlaceOf(c *target.Cyrus, rec ledger.Mailbox, entry reconstruct.Entry) bool {
	return rec.Partition == entry.Partition && rec.Dir == c.Dir(entry)
}

func discardStrays(place cyrusspool.Place) error {
	list, err := listIndex(place)
	if err != nil {
		return err
	}
	for _, root := range place.Roots.All() {
		d, err := openIfThere(root, place.Dir)
		if err != nil {
			return err
		}
		if d == nil {
			continue
		}
		err = unlinkEach(d, func(name string) bool {
			_, known := list.size(messageUID(name))
			return messageUID(name) > 0 && !known || isMailboxFile(name) && strings.HasSuffix(name, ".NEW")
		})
		if err := errors.Join(err, d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// discardAll removes the directories of a mailbox, and those above that were made for it, if
// nothing else is there.
func discardAll(rec ledger.Mailbox, roots []string) error {
	for _, root := range roots {
		d, err := openIfThere(root, rec.Dir)
		if err != nil {
			return err
		}
		if d == nil {
			continue
		}
		if err := errors.Join(emptyOfOurs(d), d.Close()); err != nil {
			return err
		}
		if _, err := cyrusspool.RemoveDir(root, rec.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, made := range rec.MadeDirs { // the deepest first
		if !slices.Contains(roots, made.Root) {
			continue
		}
		if _, err := cyrusspool.RemoveDir(made.Root, made.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func emptyOfOurs(d *os.File) error {
	err := unlinkEach(d, func(name string) bool { return messageUID(name) > 0 || isMailboxFile(name) })
	return errors.Join(err, d.Sync())
}
