package migrate

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/mbox"
)

// previous is what an earlier pass made of a folder that has changed since. Messages
// that are as they were keep their UIDs and their files.
type previous struct {
	rec      ledger.Mailbox         // as the earlier pass left it
	manifest *ledger.ManifestReader // nil: moved has all of it
	next     ledger.Message
	err      error // of next
	place    int64 // of next in the manifest, from 0

	// Where the source does not keep UIDs, messages that it had have those of the earlier
	// pass, and new ones others above them. Both nil: the source's own UIDs are taken.
	//
	// follow: they rise. uids are those of the messages in the order of the source, and need not
	// rise.
	follow *follower
	uids   []uint32
	// had tells of each of them whether it is that of a message of the earlier pass with the
	// same bytes.
	had  []bool
	id   ledger.FileID // of the source, when uids were given
	from uint32        // UIDs from here on are new
	// moved are the messages of the earlier pass, where some have another place among each
	// other in the source than their UIDs: it was sorted, or some were put between others.
	moved []ledger.Message
}

// openPrevious reads what the earlier pass left, and, where the source has no UIDs of
// its own, the source too, to give it those that it had.
func (e *Engine) openPrevious(ctx context.Context, u *plan.User, m *mailbox) (p *previous, err error) {
	p = &previous{rec: *m.before, from: m.before.UIDNext, place: -1}
	if m.folder != nil {
		if err := p.giveUIDs(ctx, e, u, m.folder.File); err != nil {
			return nil, err
		}
	}
	if !p.rising() {
		p.moved = []ledger.Message{} // not nil, if that pass brought none
		return p, e.Ledger.EachMessage(p.rec.Manifest, func(m ledger.Message) error {
			p.moved = append(p.moved, m)
			return nil
		})
	}
	if p.manifest, err = e.Ledger.OpenManifest(p.rec.Manifest); err != nil {
		return nil, err
	}
	p.advance()
	return p, nil
}

// rising reports whether the UIDs that the earlier pass gave rise in the source.
func (p *previous) rising() bool {
	last := uint32(0)
	for _, uid := range p.uids {
		if uid < p.from {
			if uid < last {
				return false
			}
			last = uid
		}
	}
	return true
}

func (p *previous) close() error {
	if p == nil || p.manifest == nil {
		return nil
	}
	return p.manifest.Close()
}

func (p *previous) advance() {
	p.next, p.err = p.manifest.Next()
	p.place++
}

// assigns reports whether UIDs are not taken from the source.
func (p *previous) assigns() bool { return p != nil && (p.follow != nil || p.uids != nil) }

// count is how many messages of the source were given UIDs.
func (p *previous) count() int64 {
	if p.follow != nil {
		return p.follow.messages + p.follow.new
	}
	return int64(len(p.uids))
}

// lookup returns what the earlier pass had under uid, which must rise from call to call
// unless messages have moved.
func (p *previous) lookup(uid uint32) (m ledger.Message, ok bool, err error) {
	if p.moved != nil {
		i, ok := slices.BinarySearchFunc(p.moved, uid, func(m ledger.Message, uid uint32) int { return cmp.Compare(m.UID, uid) })
		if ok {
			m = p.moved[i]
		}
		return m, ok, nil
	}
	for p.err == nil && p.next.UID < uid {
		p.advance()
	}
	if p.err != nil {
		if p.err == io.EOF {
			return m, false, nil
		}
		return m, false, p.err
	}
	return p.next, p.next.UID == uid, nil
}

// known is one message of the earlier pass.
type known struct {
	guid [20]byte
	uid  uint32
}

func compareKnown(a, b known) int {
	if c := bytes.Compare(a.guid[:], b.guid[:]); c != 0 {
		return c
	}
	return cmp.Compare(a.uid, b.uid)
}

// giveUIDs finds out whether the source has a UIDVALIDITY. If not, every message with
// the bytes of one that the earlier pass had has its UID, wherever it is now, and the
// others are new. So it is, too, where the source would give another UID now to a message
// that had one before, because the earlier pass could not read all of it.
func (p *previous) giveUIDs(ctx context.Context, e *Engine, u *plan.User, f mbox.File) error {
	src := *e.Source
	src.Progress = nil // these bytes are counted when they are converted
	// Where a part of the folder could not be read, the source may have given its UIDs to
	// the messages that followed.
	holes := p.rec.Bytes[string(mbox.ReasonUnreadable)] > 0
	ofSource := !p.rec.NewUIDVald // that pass took UIDs that the source has
	if ofSource && !holes && !p.rec.Assigned {
		res, err := src.Read(ctx, u.User, f, nil)
		if err != nil || res.UIDValidity != 0 {
			return err
		}
		ofSource = false
	}
	if p.rec.NewUIDVald && !holes {
		if ok, err := p.followSource(ctx, e, &src, u, f); ok || err != nil {
			return err
		}
	}
	all, err := knownMessages(e.Ledger, p.rec.Manifest)
	if err != nil {
		return err
	}
	for {
		lost, err := p.giveKnown(ctx, &src, u, f, all, ofSource)
		if err != nil || !lost {
			return err
		}
		ofSource = false
	}
}

// giveKnown gives messages that are among those of the earlier pass their UIDs. With ofSource,
// one that was not may have the UID that the source gives it, below those that are new: the
// earlier pass could not read it. lost reports that the source has no UIDVALIDITY any more:
// its UIDs are not those that it had.
func (p *previous) giveKnown(ctx context.Context, src *source.Source, u *plan.User, f mbox.File, all []known, ofSource bool) (lost bool, err error) {
	given := map[uint32]bool{}
	for _, k := range all {
		p.from = max(p.from, k.uid+1)
		if ofSource {
			given[k.uid] = true
		}
	}
	p.had = nil
	had := inTurn(all)
	other := p.rec.Assigned // a message has another UID than the source gives it
	res, err := p.assign(ctx, src, u, f, func(guid [20]byte, uid uint32) (uint32, bool) {
		before, ok := had(guid)
		p.had = append(p.had, ok)
		if ok {
			other = other || before != uid
			return before, true
		}
		free := uid < p.from && ofSource && !given[uid]
		other = other || uid < p.from && !free
		return uid, free
	})
	if err != nil || res.UIDValidity != 0 && (!other || res.UIDValidity != p.rec.UIDValid) {
		p.uids, p.had = nil, nil // the source has UIDs of its own
		return false, err
	}
	return ofSource && res.UIDValidity == 0, nil
}

// followSource finds out whether all messages of the earlier pass that are still in the
// source are in the order that they had, and new ones after them.
func (p *previous) followSource(ctx context.Context, e *Engine, src *source.Source, u *plan.User, f mbox.File) (ok bool, err error) {
	manifest, err := e.Ledger.OpenManifest(p.rec.Manifest)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, manifest.Close()) }()
	follow := newFollower(manifest.Next)
	inOrder := true
	res, err := eachSum(ctx, src, u, f, func(guid [20]byte, _ uint32) (more bool, err error) {
		inOrder, err = follow.add(guid)
		return inOrder, err
	})
	if err != nil {
		return false, err
	}
	if !inOrder || res.UIDValidity != 0 || res.Bytes[string(mbox.ReasonUnreadable)] > 0 {
		return false, nil
	}
	if err := follow.finish(); err != nil {
		return false, err
	}
	p.from = max(p.from, follow.last+1)
	if int64(p.from)+follow.new-1 > maxUID {
		return false, errNoUIDs
	}
	p.follow, p.id = follow, res.ID
	return true, nil
}

// inTurn returns a function that gives each of several messages with the same bytes a UID
// of its own: if it can, the next above that of the message before it, as the mailbox has
// them in this order, else the lowest that is left.
func inTurn(all []known) func(guid [20]byte) (uint32, bool) {
	last := uint32(0)
	given := make([]bool, len(all))
	lowest := map[[20]byte]int{} // where to look for what is left, of messages that have moved
	free := func(i int, guid [20]byte) bool { return i < len(all) && all[i].guid == guid && !given[i] }
	return func(guid [20]byte) (uint32, bool) {
		i, _ := slices.BinarySearchFunc(all, known{guid, last + 1}, compareKnown)
		if !free(i, guid) {
			var again bool
			if i, again = lowest[guid]; !again {
				i, _ = slices.BinarySearchFunc(all, known{guid: guid}, compareKnown)
			}
			for i < len(all) && all[i].guid == guid && given[i] {
				i++
			}
			lowest[guid] = i
		}
		if !free(i, guid) {
			return 0, false
		}
		given[i] = true
		last = all[i].uid
		return last, true
	}
}

// assign reads the source and gives each message the UID that find knows for its SHA-1,
// or the next one from p.from on. find is told the UID too that the source gives it.
func (p *previous) assign(ctx context.Context, src *source.Source, u *plan.User, f mbox.File, find func(guid [20]byte, uid uint32) (uint32, bool)) (source.Result, error) {
	next := p.from
	p.uids = []uint32{}
	res, err := eachSum(ctx, src, u, f, func(guid [20]byte, uid uint32) (more bool, err error) {
		uid, ok := find(guid, uid)
		if !ok {
			if next == 0 || next > maxUID {
				return false, errNoUIDs
			}
			uid = next
			next++
		}
		p.uids = append(p.uids, uid)
		return true, nil
	})
	p.id = res.ID
	return res, err
}

var errNoUIDs = errors.New("no UIDs are left")

// eachSum reads the source and calls do with the SHA-1 of each message, and the UID that the
// source gives it, until it wants no more. A message that cannot be read has a SHA-1 that
// none has.
func eachSum(ctx context.Context, src *source.Source, u *plan.User, f mbox.File, do func(guid [20]byte, uid uint32) (more bool, err error)) (source.Result, error) {
	sum := sha1.New()
	more := true
	return src.Read(ctx, u.User, f, func(m *mbox.Message, _ []string) error {
		if !more {
			return nil
		}
		sum.Reset()
		_, err := m.WriteTo(sum)
		if err != nil && !errors.Is(err, mbox.ErrUnreadable) {
			return err
		}
		var guid [20]byte
		if err == nil {
			sum.Sum(guid[:0])
		}
		more, err = do(guid, m.UID)
		return err
	})
}

// maxUID is the greatest UID that is given: Cyrus's reconstruct removes messages where two
// UIDs are more than 2^31 apart.
const maxUID = 1<<31 - 1

// knownMessages are the messages of a manifest, sorted.
func knownMessages(l *ledger.Ledger, name string) (all []known, err error) {
	err = l.EachMessage(name, func(m ledger.Message) error {
		all = append(all, known{m.GUID, m.UID})
		return nil
	})
	slices.SortFunc(all, compareKnown)
	return all, err
}

// uid returns the UID that the nth message of the source (from 0) gets. It is to be called
// for each.
func (p *previous) uid(n int64, m *mbox.Message) (uint32, error) {
	switch {
	case !p.assigns():
		return m.UID, nil
	case p.follow != nil:
		return p.followed(n)
	case n >= int64(len(p.uids)):
		return 0, errMore
	}
	return p.uids[n], nil
}

var errMore = fmt.Errorf("more messages than a moment ago: %w", source.ErrChanged)

// followed is uid where UIDs rise: that of the next that stayed, or a new one.
func (p *previous) followed(n int64) (uint32, error) {
	if n -= p.follow.messages; n >= 0 {
		if n >= p.follow.new {
			return 0, errMore
		}
		return p.from + uint32(n), nil
	}
	if n > -p.follow.messages {
		p.advance()
	}
	for p.err == nil && !p.follow.stays(p.place) {
		p.advance()
	}
	if p.err == io.EOF {
		return 0, fmt.Errorf("manifest %s: shorter than a moment ago", p.rec.Manifest)
	}
	return p.next.UID, p.err
}

// sameBytes reports whether the nth message of the source (from 0) is known to have the bytes
// that it had in the earlier pass.
func (p *previous) sameBytes(n int64) bool {
	if p.follow != nil {
		return n < p.follow.messages
	}
	return n < int64(len(p.had)) && p.had[n]
}
