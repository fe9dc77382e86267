package migrate

import (
	"cmp"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// oldRecords are the records of the index as it is, in the order of their UIDs.
type oldRecords struct {
	index *cyrusspool.IndexReader // nil: there are none
	next  cyrusspool.Record
	end   bool
}

func (o *oldRecords) advance() (err error) {
	o.next, err = o.index.Next()
	if err == io.EOF {
		o.end, err = true, nil
	}
	return err
}

// find returns the record of uid, which must rise from call to call.
func (o *oldRecords) find(uid uint32) (r cyrusspool.Record, ok bool, err error) {
	if o.index == nil {
		return r, false, nil
	}
	for !o.end && o.next.UID < uid {
		if err := o.advance(); err != nil {
			return r, false, err
		}
	}
	return o.next, !o.end && o.next.UID == uid, nil
}

// learnKeywords gives the folder's keywords their places among the header's
// flags. UW knows the whole list after the first message's header (uw-mbox 3.2).
func (f *filler) learnKeywords(names []string) {
	if f.keywords == nil {
		var ours []string
		if f.prev != nil {
			ours = f.prev.rec.Keywords
		}
		f.keywords = placeKeywords(names, f.header.Flags, ours)
		f.header.Flags = f.keywords.header
		if f.sums {
			f.w.SyncSums(f.header.Flags)
		}
	}
}

// message writes one message file, unless an earlier pass did.
func (f *filler) message(m *mbox.Message, keywords []string) error {
	f.learnKeywords(keywords)
	uid, err := f.prev.uid(f.read, m)
	if err != nil {
		return err
	}
	f.read++
	msg := ledger.Message{UID: uid, Date: m.Date.Unix(), Flags: verify.LedgerFlags(m.Flags), Keywords: m.Keywords, File: m.File}
	written := f.written
	err = f.write(&msg, m)
	if errors.Is(err, cyrusspool.ErrMessageTooLarge) {
		f.written = written
		return fmt.Errorf("%w: %w", source.ErrTooLarge, err)
	}
	if errors.Is(err, mbox.ErrUnreadable) {
		f.written = written
		return err
	}
	if err != nil {
		return err
	}
	msg.Offset, msg.End = m.Offset, m.EndOffset
	if f.written > written {
		f.engine.back.wrote(msg.Size, f.root)
	}
	f.messages++
	f.bytes += msg.Size
	f.next = max(f.next, uid+1)
	if m.Flags&mbox.Recent == 0 {
		f.recent = max(f.recent, uid)
	}
	switch {
	case !f.prev.assigns():
		return f.order.Add(msg)
	case f.prev.follow == nil && (uid >= f.prev.from || f.append || f.prev.moved != nil): // may come before one with a lower UID in the folder
		f.new = append(f.new, msg)
		return nil
	}
	return f.add(msg)
}

// write makes sure that the message file is there.
func (f *filler) write(msg *ledger.Message, m *mbox.Message) (err error) {
	if f.append && msg.UID < f.prev.from {
		sum := sha1.New()
		if msg.Size, err = m.WriteTo(sum); err != nil {
			return err
		}
		sum.Sum(msg.GUID[:0])
		return nil
	}
	var had ledger.Message
	before := f.prev != nil && !f.append && msg.UID < f.prev.rec.UIDNext
	known := before && f.update // there may be a file
	expected := false
	if before && (f.prev.moved != nil || f.read > 1 || msg.UID <= f.prev.next.UID) {
		// The first message of a folder can have a UID above all others (uw-mbox 4 b):
		// to look for it would pass over them.
		if had, expected, err = f.prev.lookup(msg.UID); err != nil {
			return err
		}
	}
	anew := !expected || f.again || had.Date != msg.Date
	if expected {
		f.met++
		f.shifted = f.shifted || had.File != m.File || had.Offset != m.Offset
		f.loose = f.loose && f.shifted
		if known && !anew && f.prev.sameBytes(f.read-1) && f.w.HasMessage(msg.UID, had.Size) {
			msg.Size, msg.GUID = had.Size, had.GUID
			size, err := m.WriteTo(io.Discard) // its end is known then
			if err == nil && size != had.Size {
				err = source.ErrChanged
			}
			return err
		}
	}
	if !known {
		f.written++
		msg.Size, msg.GUID, err = f.w.WriteMessage(msg.UID, m.Date, m)
		return err
	}
	if anew {
		had.Size = -1
	}
	// Its file stays if it cannot be read any more, which is known at its end alone: of a
	// message whose end is lost, the next one seems to be a part.
	var kept bool
	msg.Size, msg.GUID, kept, err = f.w.UpdateMessage(msg.UID, m.Date, m, had.Size, had.GUID)
	if errors.Is(err, cyrusspool.ErrLonger) { // it has grown, and its beginning was taken for all of it
		return source.ErrChanged
	}
	if !kept {
		f.written++
	}
	return err
}

func byUID(a, b ledger.Message) int { return cmp.Compare(a.UID, b.UID) }

// flush adds what had to wait for messages with lower UIDs.
func (f *filler) flush() error {
	// keep did not know yet what lies behind.
	if !f.append && (f.shifted && f.met < f.brought || f.loose && f.met+int64(len(f.kept)) < f.brought) {
		return errUnreadMoved
	}
	if f.append {
		for _, m := range f.kept {
			f.new = append(f.new, f.countKept(m))
		}
		f.kept = nil
	}
	slices.SortFunc(f.new, byUID)
	if f.append {
		return f.appendNew()
	}
	for _, m := range f.new {
		if err := f.add(m); err != nil {
			return err
		}
	}
	if err := f.order.Flush(); err != nil {
		return err
	}
	return f.addKept(math.MaxUint32)
}

// appendNew keeps every record that the mailbox has, and adds those that are new. Of our
// own, if nobody touched them, it makes what the source has of them now. The manifest gets
// all messages of the source.
func (f *filler) appendNew() error {
	from := f.prev.from
	if f.asLeft {
		from = f.rec.FirstUID
	}
	for !f.old.end && f.old.next.UID < from {
		if err := f.w.Add(f.old.next); err != nil {
			return err
		}
		if err := f.old.advance(); err != nil {
			return err
		}
	}
	for _, m := range f.new {
		if m.UID < from {
			f.manifest.Add(m)
			continue
		}
		if err := f.add(m); err != nil {
			return err
		}
	}
	return nil
}

// errUnreadMoved: it is not known which messages of an earlier pass are where the source cannot
// be read.
var errUnreadMoved = errors.New("the folder changed since an earlier pass, and a part of it cannot be read any more that may have messages which that pass brought; the mailbox is left as it is: copy the file with ddrescue, put the copy in its place and run again")

// keep makes the messages stay that an earlier pass brought from a part of the folder that
// cannot be read any more: what Cyrus has is all that there is of them.
func (f *filler) keep(a source.Aside) error {
	if f.prev == nil || f.prev.rec.Manifest == "" || a.Kind != mbox.KindUnreadable {
		return nil
	}
	f.loose, f.brought = true, 0
	err := f.engine.Ledger.EachMessage(f.prev.rec.Manifest, func(m ledger.Message) error {
		f.brought++
		if m.File != a.File || m.Offset >= a.Offset+a.Length || a.Offset >= m.End {
			return nil
		}
		if f.prev.follow != nil && m.UID < f.next {
			return source.ErrChanged // a moment ago all could be read: it is not followed then
		}
		if f.shifted || f.again {
			return errUnreadMoved
		}
		f.kept = append(f.kept, m)
		return nil
	})
	slices.SortFunc(f.kept, byUID)
	return err
}

// countKept counts a message that is kept, and returns it as it is now.
func (f *filler) countKept(m ledger.Message) ledger.Message {
	f.messages++
	f.bytes += m.Size
	m.Keywords = f.keywordsNow(m.Keywords)
	return m
}

// keywordsNow are keywords of the earlier pass as bits of the folder's list now. Those
// without a name were left out then: Cyrus does not have them.
func (f *filler) keywordsNow(bits uint64) (now uint64) {
	for i, name := range f.prev.rec.Keywords {
		if name == "" || bits&(1<<i) == 0 {
			continue
		}
		if j := slices.Index(f.keywords.names, name); j >= 0 {
			now |= 1 << j
		}
	}
	return now
}

// addKept adds what is kept up to the message of uid, which may be among it and is here
// now.
func (f *filler) addKept(uid uint32) error {
	for len(f.kept) > 0 && f.kept[0].UID <= uid {
		m := f.kept[0]
		f.kept = f.kept[1:]
		if m.UID == uid {
			continue
		}
		f.next, f.recent = max(f.next, m.UID+1), max(f.recent, m.UID)
		if err := f.addOne(f.countKept(m)); err != nil {
			return err
		}
	}
	return nil
}

func (f *filler) add(m ledger.Message) error {
	if len(f.kept) > 0 {
		if err := f.addKept(m.UID); err != nil {
			return err
		}
	}
	return f.addOne(m)
}

func (f *filler) addOne(m ledger.Message) error {
	userFlags, systemFlags := f.keywords.userFlags(m.Keywords), verify.SystemFlags(m.Flags)&f.flags
	rec, have, err := f.old.find(m.UID)
	if err != nil {
		return err
	}
	if !have || rec.GUID != m.GUID || rec.Size != uint64(m.Size) {
		rec = cyrusspool.Record{UID: m.UID, Size: uint64(m.Size), GUID: m.GUID, InternalDate: m.Date,
			SystemFlags: systemFlags, UserFlags: userFlags, ModSeq: f.modseq, CreatedModSeq: f.modseq}
	} else if f.stayed++; rec.SystemFlags != systemFlags || rec.UserFlags != userFlags || rec.InternalDate != m.Date {
		// What Cyrus computed from the text stays right.
		rec.SystemFlags, rec.UserFlags, rec.InternalDate, rec.ModSeq = systemFlags, userFlags, m.Date, f.modseq
	}
	f.manifest.Add(m)
	return f.w.Add(rec)
}
