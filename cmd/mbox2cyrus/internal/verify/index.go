// Package verify proves that Cyrus holds what the source held. It asks Cyrus's
// own index, rebuilt by Cyrus's own program, and never the exit status of
// anything.
package verify

import (
	"errors"
	"fmt"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
)

// Result is what was found out about one mailbox.
type Result struct {
	Verified int64 // messages of which everything is as it must be
	Problems []report.Problem
	IndexID  ledger.FileID // of the index that was read
	Newer    bool          // mail has come in to Cyrus since
	// Unthreaded are the messages that Cyrus has in no conversation.
	Unthreaded int64
}

// Count compares the number of messages, UIDVALIDITY and UIDNEXT of the
// mailbox in place with the ledger.
func Count(rec ledger.Mailbox, place cyrusspool.Place) (Result, error) {
	c := &comparison{rec: rec}
	b, err := openBox(place)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", rec.Name, err)
	}
	if c.header(b) {
		c.count(b)
	}
	if c.n == 0 {
		c.res.Verified = rec.Messages
	}
	c.res.IndexID = b.id
	return c.result(), b.close()
}

// Index compares every message of the manifest with Cyrus's index: UID, size,
// SHA-1, internal date, system flags and keywords. Each must have a message file of that
// size, and a record of cyrus.cache whose CRC is the index's; the index's header must count
// as many messages and bytes as its records are. No message file is read.
// seen is where \Seen is when the index has none (up to Cyrus 2.3), by unique ids;
// an index that has no SHA-1 (up to 2.2) is believed without.
func Index(l *ledger.Ledger, rec ledger.Mailbox, place cyrusspool.Place, seen map[string]cyrusspool.SeenState) (Result, error) {
	return index(l, rec, place, seen, messages{})
}

// messages is what is told of single messages.
type messages struct {
	tell   func(report.Message) // nil: nothing is
	faults faultSet             // what is known of some already
	read   bool                 // the message files have been read
	inUse  bool                 // Verifier.InUse
}

// readTries is how often a mailbox is compared that changes while it is read.
const readTries = 5

// errChanged says that a mailbox did not stay as it was while it was read.
var errChanged = errors.New("the mailbox was changed by Cyrus each time that it was read: stop Cyrus, or try again when it is quiet")

// index compares again if it finds a difference, or cannot read on, in a mailbox that changed
// meanwhile: a server may write to an index that is being read, or put another one and its
// cyrus.cache in their places.
func index(l *ledger.Ledger, rec ledger.Mailbox, place cyrusspool.Place, seen map[string]cyrusspool.SeenState, each messages) (Result, error) {
	if tell, last := each.tell, uint32(0); tell != nil {
		each.tell = func(m report.Message) { // once of each: they come in the order of their UIDs
			if m.UID > last {
				last = m.UID
				tell(m)
			}
		}
	}
	res, err := whileQuiet(place, func() (Result, error) { return compareOnce(l, rec, place, seen, each) })
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", rec.Name, err)
	}
	return res, nil
}

// whileQuiet calls compare again where what came of it may be of the changes of a mailbox.
func whileQuiet(place cyrusspool.Place, compare func() (Result, error)) (Result, error) {
	for try := 1; ; try++ {
		before, berr := place.IndexState()
		res, err := compare()
		if err == nil && !slices.ContainsFunc(res.Problems, func(p report.Problem) bool { return p.Severity == report.Difference }) {
			return res, nil
		}
		after, aerr := place.IndexState()
		switch {
		case berr != nil || aerr != nil || after == before:
			return res, err
		case try == readTries:
			return Result{}, errors.Join(errChanged, err)
		}
	}
}

// compareOnce is index where nobody changes the mailbox meanwhile.
func compareOnce(l *ledger.Ledger, rec ledger.Mailbox, place cyrusspool.Place, seen map[string]cyrusspool.SeenState, each messages) (res Result, err error) {
	c := &comparison{rec: rec, each: each}
	b, err := openBox(place)
	if err != nil {
		return Result{}, err
	}
	if err := c.openFiles(place, b); err != nil {
		return Result{}, errors.Join(err, c.closeFiles(), b.close())
	}
	defer func() { err = errors.Join(err, c.closeFiles()) }()
	manifest, err := l.OpenManifest(rec.Manifest)
	if err != nil {
		return Result{}, errors.Join(err, b.close())
	}
	if c.version = b.index.Header().Version; c.version.SystemFlags()&cyrusspool.FlagSeen == 0 {
		b.seen = seen[rec.UniqueID].Seen
	}
	c.changed = c.changedSince(b)
	c.inUse = each.inUse && c.changed
	counts := c.header(b)
	if err = c.messages(manifest, b); err == nil {
		if counts && !c.inUse {
			c.count(b)
		}
		err = c.sums(b)
		c.tellUse()
	}
	if err := errors.Join(err, manifest.Close(), b.close()); err != nil {
		return Result{}, err
	}
	c.res.IndexID, c.res.Unthreaded = b.id, b.unthreaded
	return c.result(), nil
}
