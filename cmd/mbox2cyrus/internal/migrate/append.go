package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/undo"
	"mbox2cyrus/cyrusspool"
)

// openAppend gives UIDs to the messages that are to be appended to a mailbox which
// Cyrus has changed, or had before: those that an earlier pass brought have theirs, the
// others follow the last UID that its index had.
func (e *Engine) openAppend(ctx context.Context, u *plan.User, m *mailbox, old *cyrusspool.IndexReader) (*previous, error) {
	p := &previous{from: old.Header().LastUID + 1}
	if m.before != nil {
		p.rec = *m.before
	}
	if p.rec.UIDValid == old.Header().UIDValidity {
		// Where an older index was brought back, UIDs behind it were given already.
		p.from = max(p.from, p.rec.UIDNext)
	}
	if m.rec.Mixed && p.rec.UIDValid != old.Header().UIDValidity {
		p.rec.Manifest = "" // it tells of other UIDs
	}
	if m.folder == nil { // a mailbox above others, and it is there
		p.uids = []uint32{}
		return p, nil
	}
	first, err := undo.FirstSince(e.Cyrus, e.Ledger, m.rec)
	if err != nil {
		return nil, err
	}
	index, since, err := e.indexMessages(m, first)
	if err != nil {
		return nil, err
	}
	all, err := e.broughtBefore(m, p.rec.Manifest, index, old.Header().LastUID)
	if err != nil {
		return nil, err
	}
	// An earlier pass may have brought a message that then left the folder, and came back: it
	// need not come again.
	back := withoutUIDs(since, all)
	slices.SortFunc(back, compareKnown)
	src := *e.Source
	src.Progress = nil
	brought, again := eachOnce(all), eachOnce(back)
	_, err = p.assign(ctx, &src, u, m.folder.File, func(guid [20]byte, _ uint32) (uint32, bool) {
		uid, ok := brought(guid)
		if !ok {
			uid, ok = again(guid)
		}
		return uid, ok
	})
	return p, err
}

// eachOnce returns a function that gives the UIDs of messages with the same bytes, one after
// another.
func eachOnce(all []known) func(guid [20]byte) (uint32, bool) {
	used := map[[20]byte]int{} // where to look for the next
	return func(guid [20]byte) (uint32, bool) {
		i, again := used[guid]
		if !again {
			i, _ = slices.BinarySearchFunc(all, known{guid: guid}, compareKnown)
		}
		if i == len(all) || all[i].guid != guid {
			return 0, false
		}
		used[guid] = i + 1
		return all[i].uid, true
	}
}

// withoutUIDs returns those of all whose UID no message of others has.
func withoutUIDs(all, others []known) []known {
	uids := map[uint32]bool{}
	for _, k := range others {
		uids[k.uid] = true
	}
	return slices.DeleteFunc(all, func(k known) bool { return uids[k.uid] })
}

// broughtBefore returns the messages of a mailbox that need not be appended again, sorted: those
// of a manifest, if there is one, and those of the mailbox's index, whose last UID is last. It
// changes the list index.
func (e *Engine) broughtBefore(m *mailbox, manifest string, index []known, last uint32) (all []known, err error) {
	if manifest != "" {
		if all, err = knownMessages(e.Ledger, manifest); err != nil {
			return nil, err
		}
		all = withoutForgotten(all, index, last)
	}
	// A run that was cut off may have appended some already, or brought any where it is not
	// known what it did. (What came from elsewhere since and has the very same bytes need not
	// come again.)
	if m.rec.Mixed {
		all = onlyRemoved(all, index)
	} else {
		index = slices.DeleteFunc(index, func(k known) bool { return k.uid < m.rec.FirstUID })
	}
	all = append(all, index...)
	slices.SortFunc(all, compareKnown)
	return slices.CompactFunc(all, func(a, b known) bool { return a == b }), nil
}

// withoutForgotten returns the messages of an earlier pass without those that the index, whose
// last UID is last, never had: an older index was brought back since, and Cyrus may have given
// their UIDs to other messages.
func withoutForgotten(all, index []known, last uint32) []known {
	guids := map[uint32][20]byte{}
	for _, k := range index {
		guids[k.uid] = k.guid
	}
	return slices.DeleteFunc(all, func(k known) bool {
		guid, there := guids[k.uid]
		return k.uid > last || there && guid != [20]byte{} && guid != k.guid
	})
}

// onlyRemoved returns the messages of an earlier pass that are no longer in the index.
func onlyRemoved(all, index []known) []known {
	uids, guids := map[uint32]bool{}, map[[20]byte]bool{}
	for _, k := range index {
		uids[k.uid], guids[k.guid] = true, true
	}
	return slices.DeleteFunc(all, func(k known) bool { return uids[k.uid] || guids[k.guid] })
}

// indexMessages are the messages that the index of a mailbox has, in the order of their UIDs,
// and those of them since the UID first that clients see; no such ones if first is 0. An index
// without SHA-1s (up to Cyrus 2.2) has none of either.
func (e *Engine) indexMessages(m *mailbox, first uint32) (all, since []known, err error) {
	f, index, err := e.place(m).OpenIndex()
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if !index.Header().Version.HasGUID() {
		return nil, nil, nil
	}
	for {
		r, err := index.Next()
		if err == io.EOF {
			return all, since, nil
		}
		if err != nil {
			return nil, nil, err
		}
		all = append(all, known{r.GUID, r.UID})
		if first > 0 && r.UID >= first && !r.Gone() {
			since = append(since, known{r.GUID, r.UID})
		}
	}
}

// mayAppend makes a mailbox one that messages are appended to, if Cyrus cannot have it
// open. From which UID on they are ours is known before anything is written.
func (e *Engine) mayAppend(m *mailbox) error {
	if e.Running {
		return fmt.Errorf("%s is in Cyrus already, which is running: stop Cyrus, so that messages can be appended", report.Quote(m.rec.Name))
	}
	h, err := e.place(m).IndexHeader()
	if err != nil {
		return fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	m.append = true
	if m.rec.FirstUID == 0 {
		m.rec.FirstUID = h.LastUID + 1
	}
	return nil
}
