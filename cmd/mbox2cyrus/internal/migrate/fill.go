package migrate

import (
	"cmp"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/internal/fsrights"
	"mbox2cyrus/mbox"
)

// readTries is how often a folder that changes under the reader is read anew.
const readTries = 3

// fill writes one mailbox: message files, header, index and manifest. It is
// complete on return but not yet durable.
func (e *Engine) fill(ctx context.Context, u *plan.User, m *mailbox) error {
	for try := 1; ; try++ {
		m.again = try > 1
		err := e.fillOnce(ctx, u, m)
		if errors.Is(err, cyrusspool.ErrIndexChanged) {
			err = fmt.Errorf("%w: see that Cyrus is stopped, and run again", err)
		}
		if !errors.Is(err, source.ErrChanged) || try == readTries {
			return err
		}
	}
}

func (e *Engine) fillOnce(ctx context.Context, u *plan.User, m *mailbox) (err error) {
	if err := e.stillStopped(ctx, m); err != nil {
		return err
	}
	f := &filler{mailbox: m, back: &e.back, root: e.place(m).Roots.Data, flags: e.Cyrus.Fresh.IndexVersion.SystemFlags()}
	f.order.Emit = f.add
	header, err := e.header(m)
	if err != nil {
		return err
	}
	f.header = &header
	if m.prev != nil && !m.append {
		if f.prev, err = e.openPrevious(ctx, u, m); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, f.prev.close()) }()
	if err := f.open(e); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.w.Close())
		e.giveParser(f.parser)
	}()
	if m.append {
		if f.prev, err = e.openAppend(ctx, u, m, f.w.Old()); err != nil {
			return err
		}
	}
	if f.manifest, err = e.Ledger.CreateManifest(m.rec.Manifest); err != nil {
		return err
	}
	closed := false
	defer func() {
		if !closed {
			err = errors.Join(err, f.manifest.Close())
		}
	}()
	f.w.Guard(m.index)
	f.w.Limit(e.Source.Rules.MaxMessage())
	f.w.Beside(&e.idle)
	aside := e.holder(u, m)
	defer func() { err = errors.Join(err, aside.Close()) }()
	res := source.Result{UIDNext: 1}
	if m.folder != nil {
		hold := func(a source.Aside) error {
			return fsrights.AsSelf(func() error { // the state directory is not Cyrus's
				if err := f.keep(e.Ledger, a); err != nil {
					return err
				}
				return aside.hold(a)
			})
		}
		err = e.Cyrus.Fresh.Owner.Do(func() (err error) {
			res, err = e.Source.ReadHolding(ctx, u.User, m.folder.File, f.message, hold)
			return err
		})
		if err != nil {
			return err
		}
	}
	f.learnKeywords(res.Keywords) // of a folder that has keywords but no message
	if err := f.flush(); err != nil {
		return err
	}
	m.rec.Keywords = f.keywords.names

	if err := f.identity(&res); err != nil {
		return err
	}
	m.rec.Messages, m.rec.Size = f.messages, f.bytes
	m.rec.Bytes, m.rec.SourceID, m.rec.Source = res.Bytes, nil, ""
	if m.folder != nil {
		m.rec.SourceID, m.rec.Source = &res.ID, ledger.RawName(m.folder.File.Path)
		m.rec.Rules = e.Source.Rules.String()
	}
	m.written = f.written
	if m.rec.Held, err = aside.commit(); err != nil {
		return err
	}

	closed = true
	if err := f.manifest.Close(); err != nil {
		return err
	}
	if m.entered {
		// After a power cut, the next run must find either the old index or the manifest that
		// tells the new one. And whoever finds the new index finds its messages: what was
		// appended is not written again.
		if err := f.w.Settle(); err != nil {
			return err
		}
		if err := e.disks.Sync(append(e.place(m).Dirs(), e.Ledger.ManifestDir())...); err != nil {
			return err
		}
	}
	if err := e.stillStopped(ctx, m); err != nil {
		return err
	}
	if err := f.w.Commit(f.indexHeader(), header); err != nil {
		return err
	}
	e.filled.Add(f.source())
	// Only now, so that a folder that had to be read anew is reported once.
	m.doubts = res.Doubts
	for _, p := range res.Problems {
		p.Mailbox = m.rec.Name
		e.Report.Problem(p)
	}
	for _, p := range f.keywords.problems(u, m) {
		e.Report.Problem(p)
	}
	return nil
}

// takeParser returns what makes cache records, with its buffers from another mailbox if it
// had one; nil if none are to be made.
func (e *Engine) takeParser(ahead *target.Ahead) *cyrusspool.CacheParser {
	select {
	case p := <-e.parsers:
		return p
	default:
		return ahead.CacheParser()
	}
}

// giveParser takes back what takeParser returned.
func (e *Engine) giveParser(p *cyrusspool.CacheParser) {
	if p == nil {
		return
	}
	select {
	case e.parsers <- p:
	default:
	}
}

// source is the size of the folder.
func (f *filler) source() int64 {
	if f.rec.SourceID == nil {
		return 0
	}
	return f.rec.SourceID.Size
}

// open opens the mailbox in Cyrus's partition for writing.
func (f *filler) open(e *Engine) (err error) {
	place := e.place(f.mailbox)
	if f.update || f.append {
		if f.w, err = place.Update(e.Cyrus.Fresh.Owner); err != nil {
			return err
		}
		f.old.index = f.w.Old()
		f.modseq = f.old.index.Header().HighestModSeq + 1
		return f.old.advance()
	}
	f.modseq = 1
	if f.entered {
		h, err := place.IndexHeader()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", f.rec.Name, err)
		}
		if h.LastUID > 0 { // of a run that was cut off: to clients that saw it all of this is new
			f.modseq = h.HighestModSeq + 1
		}
	}
	ahead := e.ahead()
	if f.w, err = place.Create(e.Cyrus.Fresh.IndexVersion, e.Cyrus.Fresh.Owner); err != nil {
		return err
	}
	if f.parser = e.takeParser(ahead); f.parser != nil {
		if err := f.w.MakeCache(f.parser); err != nil {
			return errors.Join(err, f.w.Close())
		}
	}
	f.w.EmptyAnnotations(ahead.Annotations) // none where none are known
	f.sums = ahead.SyncSums
	return nil
}

// identity decides UIDVALIDITY and UIDNEXT of the mailbox.
func (f *filler) identity(res *source.Result) error {
	rec := &f.rec
	rec.Assigned, rec.NewUIDVald = false, res.UIDValidity == 0
	switch {
	case f.prev.assigns():
		if !f.prev.id.Equal(res.ID) || f.prev.count() != f.read {
			return source.ErrChanged
		}
		if f.append {
			old := f.old.index.Header()
			rec.Assigned, rec.NewUIDVald, rec.UIDValid, rec.UIDNext = true, false, old.UIDValidity, max(old.LastUID+1, f.next)
			return nil
		}
		rec.Assigned, rec.UIDValid, rec.UIDNext = true, f.prev.rec.UIDValid, max(f.prev.rec.UIDNext, f.next)
	case rec.NewUIDVald:
		rec.UIDValid, rec.UIDNext = uint32(now().Unix()), res.UIDNext
	case f.prev != nil && f.prev.rec.UIDValid == res.UIDValidity:
		rec.UIDValid, rec.UIDNext = res.UIDValidity, max(f.prev.rec.UIDNext, res.UIDNext)
	default:
		rec.UIDValid, rec.UIDNext = res.UIDValidity, res.UIDNext
	}
	return nil
}

// indexHeader is what Commit needs to know of the mailbox.
func (f *filler) indexHeader() (h cyrusspool.IndexHeader) {
	if f.old.index != nil {
		h = f.old.index.Header()
		h.HighestModSeq = f.modseq
	}
	if f.takesAway(h) { // a client may know of messages that go
		h.DeletedModSeq = f.modseq
	}
	h.UIDValidity, h.LastUID = f.rec.UIDValid, f.rec.UIDNext-1
	if !f.append { // else what is \Recent is Cyrus's affair
		h.RecentUID = f.recent
	}
	if f.written > 0 {
		h.LastAppend = now().Unix()
	}
	return h
}

// takesAway reports whether messages may go that the mailbox had, of which old is the header.
func (f *filler) takesAway(old cyrusspool.IndexHeader) bool {
	switch {
	case f.append:
		return f.asLeft
	case f.old.index != nil:
		return f.stayed < int64(old.Exists)
	}
	return f.modseq > 1
}

// header is the cyrus.header to start from: of a mailbox that Cyrus or an earlier
// pass made, its own, so that its quota root and access rights stay.
func (e *Engine) header(m *mailbox) (cyrusspool.Header, error) {
	if !m.rec.Adopted && !m.update && !m.append {
		h := e.Cyrus.Header(m.entry)
		// As Cyrus does when it makes one. Of roots of the user's own it is told later; of
		// others no program tells a mailbox without going through all.
		if roots, err := e.quotaRoots(); err == nil {
			h.QuotaRoot = string(roots.RootOf(cyrusspool.Name(m.rec.Name)))
		}
		return h, nil
	}
	h, err := e.place(m).ReadHeader()
	if err != nil {
		return cyrusspool.Header{}, fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	return *h, nil
}

// filler takes the messages of one folder into one mailbox.
type filler struct {
	*mailbox
	w        *cyrusspool.Writer
	parser   *cyrusspool.CacheParser // nil: the cache is left to reconstruct
	manifest *ledger.ManifestWriter
	back     *writeBack
	root     string // of the mailbox's partition
	header   *cyrusspool.Header
	keywords *keywords // nil until the first message
	prev     *previous // nil in the first pass
	old      oldRecords
	modseq   uint64 // of what is new or changed
	sums     bool   // this Cyrus has the sums that cyrusspool knows, of a new mailbox
	flags    uint32 // that the index can have

	kept     []ledger.Message // of an earlier pass, where the source cannot be read any more, by UID
	shifted  bool             // some message is elsewhere in the source than in that pass
	order    ledger.Order
	new      []ledger.Message // in a later pass where UIDs need not rise: what waits for lower ones
	read     int64            // messages of the source
	stayed   int64            // of the index as it was
	messages int64
	written  int64 // of these, files written
	bytes    int64
	next     uint32 // UID above all that were given
	recent   uint32 // highest UID that is not \Recent (uw-mbox 11.4)
}

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
		f.back.wrote(msg.Size, f.root)
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
	known := f.update && msg.UID < f.prev.rec.UIDNext // there may be a file
	expected := false
	if known && (f.prev.moved != nil || f.read > 1 || msg.UID <= f.prev.next.UID) {
		// The first message of a folder can have a UID above all others (uw-mbox 4 b):
		// to look for it would pass over them.
		if had, expected, err = f.prev.lookup(msg.UID); err != nil {
			return err
		}
	}
	anew := !expected || f.again || had.Date != msg.Date
	if expected {
		f.shifted = f.shifted || had.File != m.File || had.Offset != m.Offset
		if !anew && f.prev.sameBytes(f.read-1) && f.w.HasMessage(msg.UID, had.Size) {
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

// keep makes the messages stay that an earlier pass brought from a part of the folder that
// cannot be read any more: what Cyrus has is all that there is of them.
func (f *filler) keep(l *ledger.Ledger, a source.Aside) error {
	if f.prev == nil || f.prev.rec.Manifest == "" || a.Kind != mbox.KindUnreadable {
		return nil
	}
	err := l.EachMessage(f.prev.rec.Manifest, func(m ledger.Message) error {
		if m.File != a.File || m.Offset >= a.Offset+a.Length || a.Offset >= m.End {
			return nil
		}
		if f.prev.follow != nil && m.UID < f.next {
			return source.ErrChanged // a moment ago all could be read: it is not followed then
		}
		if f.shifted || f.again {
			return errors.New("the folder changed since an earlier pass, and a part of it cannot be read any more that may have messages which that pass brought; the mailbox is left as it is: copy the file with ddrescue, put the copy in its place and run again")
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
