package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/internal/fsrights"
	"mbox2cyrus/mbox"
)

// readTries is how often a folder that changes under the reader is read anew.
const readTries = 3

// filler takes the messages of one folder into one mailbox.
type filler struct {
	*mailbox
	engine   *Engine
	user     *plan.User
	w        *cyrusspool.Writer
	parser   *cyrusspool.CacheParser // nil: the cache is left to reconstruct
	manifest *ledger.ManifestWriter  // nil: it is not open yet, or not any more
	aside    *holder
	root     string // of the mailbox's partition
	header   *cyrusspool.Header
	keywords *keywords // nil until the first message
	prev     *previous // nil in the first pass
	old      oldRecords
	modseq   uint64 // of what is new or changed
	refills  bool   // it had messages that a run which was cut off wrote
	sums     bool   // this Cyrus has the sums that cyrusspool knows, of a new mailbox
	flags    uint32 // that the index can have

	kept     []ledger.Message // of an earlier pass, where the source cannot be read any more, by UID
	shifted  bool             // some message is elsewhere in the source than in that pass
	loose    bool             // a part that cannot be read has nothing behind it yet that is where it was
	brought  int64            // messages of that pass, if a part cannot be read
	met      int64            // of these, such as the source has
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

// fillAll writes the directories of the mailboxes that need it.
func (e *Engine) fillAll(ctx context.Context, j *job) error {
	todo := j.toFill()
	for i, m := range todo {
		if ahead := i + foldersAhead; ahead < len(todo) {
			e.readAhead(j.user, todo[ahead])
		}
		if err := e.fill(ctx, j.user, m); errors.Is(err, mbox.ErrBusy) {
			e.setAside(j, m, err) // the next run knows what was begun
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", report.Quote(m.folderName()), err)
		}
	}
	return nil
}

// foldersAhead is how many folders the kernel is asked to read ahead of the one that is read. With
// one it would often come too late, with more than some they only wait for one another.
const foldersAhead = 3

// readAhead has the kernel read folders of a user whose turn comes soon.
func (e *Engine) readAhead(u *plan.User, boxes ...*mailbox) {
	for _, m := range boxes {
		if m.folder != nil {
			e.Source.ReadAhead(u.User, m.folder.File)
		}
	}
}

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

// fillOnce reads the folder once. An error that wraps source.ErrChanged says that what was
// read is of two states of it.
func (e *Engine) fillOnce(ctx context.Context, u *plan.User, m *mailbox) (err error) {
	if err := e.stillStopped(ctx, m); err != nil {
		return err
	}
	f := &filler{mailbox: m, engine: e, user: u, root: e.place(m).Roots.Data, flags: e.Cyrus.Fresh.IndexVersion.SystemFlags()}
	f.order.Emit = f.add
	defer func() { err = errors.Join(err, f.close()) }()
	if err := f.open(ctx); err != nil {
		return err
	}
	res, err := f.readFolder(ctx)
	if err != nil {
		return err
	}
	if err := f.describe(&res); err != nil {
		return err
	}
	if err := f.commit(ctx); err != nil {
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

// open opens all that the messages go to, and what an earlier pass left.
func (f *filler) open(ctx context.Context) error {
	e := f.engine
	header, err := e.header(f.mailbox)
	if err != nil {
		return err
	}
	f.header = &header
	if f.before != nil && !f.append {
		if f.prev, err = e.openPrevious(ctx, f.user, f.mailbox); err != nil {
			return err
		}
	}
	if err := f.openMailbox(); err != nil {
		return err
	}
	if f.append {
		if f.prev, err = e.openAppend(ctx, f.user, f.mailbox, f.w.Old()); err != nil {
			return err
		}
	}
	if f.manifest, err = e.Ledger.CreateManifest(f.rec.Manifest); err != nil {
		return err
	}
	f.w.Guard(f.index)
	f.w.Limit(e.Source.Rules.MaxMessage())
	f.w.Beside(&e.idle)
	f.aside = e.holder(f.user, f.mailbox)
	return nil
}

// close closes what is open. An index that was not committed goes.
func (f *filler) close() (err error) {
	if f.aside != nil {
		err = f.aside.Close()
	}
	err = errors.Join(err, f.closeManifest())
	if f.w != nil {
		err = errors.Join(err, f.w.Close())
	}
	f.engine.giveParser(f.parser)
	return errors.Join(err, f.prev.close())
}

// closeManifest closes the manifest, once.
func (f *filler) closeManifest() error {
	if f.manifest == nil {
		return nil
	}
	manifest := f.manifest
	f.manifest = nil
	return manifest.Close()
}

// readFolder takes all messages of the folder.
func (f *filler) readFolder(ctx context.Context) (res source.Result, err error) {
	e := f.engine
	res.UIDNext = 1
	if f.folder != nil {
		hold := func(a source.Aside) error {
			return fsrights.AsSelf(func() error { // the state directory is not Cyrus's
				if err := f.keep(a); err != nil {
					return err
				}
				return f.aside.hold(a)
			})
		}
		err = e.Cyrus.Fresh.Owner.Do(func() (err error) {
			res, err = e.Source.ReadHolding(ctx, f.user.User, f.folder.File, f.message, hold)
			return err
		})
		if err != nil {
			return res, err
		}
	}
	f.learnKeywords(res.Keywords) // of a folder that has keywords but no message
	return res, f.flush()
}

// describe puts into the mailbox's record what was read.
func (f *filler) describe(res *source.Result) (err error) {
	rec := &f.rec
	rec.Keywords = f.keywords.names
	if err := f.identity(res); err != nil {
		return err
	}
	rec.Messages, rec.Size = f.messages, f.bytes
	rec.Bytes, rec.SourceID, rec.Source = res.Bytes, nil, ""
	if f.folder != nil {
		rec.SourceID, rec.Source = &res.ID, ledger.RawName(f.folder.File.Path)
		rec.Rules = f.engine.Source.Rules.String()
	}
	f.mailbox.written = f.written
	rec.Held, err = f.aside.commit()
	return err
}

// commit makes what was written the mailbox.
func (f *filler) commit(ctx context.Context) error {
	if err := f.closeManifest(); err != nil {
		return err
	}
	if f.entered {
		// After a power cut, the next run must find either the old index or the manifest that
		// tells the new one. And whoever finds the new index finds its messages: what was
		// appended is not written again.
		if err := f.w.Settle(); err != nil {
			return err
		}
		dirs := append(f.engine.place(f.mailbox).Dirs(), f.engine.Ledger.ManifestDir())
		if err := f.engine.disks.Sync(dirs...); err != nil {
			return err
		}
	}
	if err := f.engine.stillStopped(ctx, f.mailbox); err != nil {
		return err
	}
	return f.w.Commit(f.indexHeader(), *f.header)
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

// openMailbox opens the mailbox in Cyrus's partition for writing.
func (f *filler) openMailbox() (err error) {
	e := f.engine
	place := e.place(f.mailbox)
	if f.update || f.append {
		if f.w, err = place.Update(e.Cyrus.Fresh.Owner); err != nil {
			return err
		}
		f.old.index = f.w.Old()
		f.modseq = max(f.userModSeq, f.old.index.Header().HighestModSeq+1)
		return f.old.advance()
	}
	f.modseq = f.userModSeq
	if f.entered {
		h, err := place.IndexHeader()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", f.rec.Name, err)
		}
		if h.LastUID > 0 { // of a run that was cut off: to clients that saw it all of this is new
			f.refills, f.modseq = true, max(f.modseq, h.HighestModSeq+1)
		}
	}
	ahead := e.ahead()
	if f.w, err = place.Create(e.Cyrus.Fresh.IndexVersion, e.Cyrus.Fresh.Owner); err != nil {
		return err
	}
	if f.parser = e.takeParser(ahead); f.parser != nil {
		if err := f.w.MakeCache(f.parser); err != nil {
			return err
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
	} else {
		h.CreatedModSeq = f.entry.CreatedModSeq // replicas have it from here
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
	return f.refills
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
