package verify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"slices"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/held"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/internal/beside"
	"mbox2cyrus/internal/plural"
	"mbox2cyrus/mbox"
)

// content reads the source folder and the message files again and compares
// both, message by message, with the manifest. It returns what is wrong with which
// message, too, and tells of those that are in the source only, where v.Message is not nil:
// the index is not asked about them.
func (v *Verifier) content(ctx context.Context, rec ledger.Mailbox, u mbox.User, f mbox.File, place cyrusspool.Place) (Result, faultSet, error) {
	l, src := v.Ledger, v.Source
	manifest, err := l.OpenManifest(rec.Manifest)
	if err != nil {
		return Result{}, faultSet{}, fmt.Errorf("%s: %w", rec.Name, err)
	}
	s := v.newContentCheck(rec, place)
	s.manifest, s.each.tell = manifest, v.Message
	s.order.Emit = s.compare
	if rec.Assigned {
		if s.assigned, err = openAssigned(l, rec.Manifest, src.Rules.Repairs&mbox.RepairUIDs != 0); err != nil {
			return Result{}, faultSet{}, errors.Join(fmt.Errorf("%s: %w", rec.Name, err), manifest.Close())
		}
	}
	s.rules = src.Rules
	s.seenByTime = rec.SourceID != nil && rec.SourceID.Equal(plan.FileID(f)) && hasMH(f)
	res, err := src.ReadHolding(ctx, u, f, s.message, s.aside)
	if err = s.finish(err); err == nil {
		err = s.flush()
	}
	if err == nil {
		err = s.rest()
	}
	if err == nil {
		err = s.compareHeld(l)
	}
	if err := errors.Join(err, manifest.Close(), s.assigned.close()); err != nil {
		return Result{}, faultSet{}, fmt.Errorf("%s: %w", rec.Name, err)
	}
	if res.UIDValidity != 0 && res.UIDValidity != rec.UIDValid && rec.FirstUID == 0 { // else it is that of the mail to which it was appended
		s.differ(report.Difference, "uidvalidity", -1, "UIDVALIDITY of the source is %d, of the mailbox %d", res.UIDValidity, rec.UIDValid)
	}
	if s.accessed > 0 {
		s.differ(report.Note, string(mbox.KindSeenByTime), -1, "%s of the source accessed since migrated without \\Seen, which UW takes for read by that; to bring it, touch the folder and run migrate again",
			plural.Count(s.accessed, "message"))
	}
	s.folder(res)
	return s.result(), s.faults, nil
}

// hasMH reports whether messages of the folder may be \Seen by the access times of their files.
func hasMH(f mbox.File) bool {
	return f.Format == mbox.FormatMH || slices.ContainsFunc(f.Parts, hasMH)
}

// folder compares what the folder itself says now, and no message.
func (s *contentCheck) folder(res source.Result) {
	if res.UIDValidity == s.rec.UIDValid && s.rec.FirstUID == 0 && res.UIDNext > s.rec.UIDNext {
		s.differ(report.Difference, "uidnext", -1, "UIDNEXT of the source is %d, was %d when it was migrated", res.UIDNext, s.rec.UIDNext)
	}
	for i, name := range res.Keywords {
		if s.used&(1<<i) == 0 || i < len(s.rec.Keywords) && (s.rec.Keywords[i] == "" || isKeywordOf(name, s.rec.Keywords[i])) {
			continue
		}
		was := ""
		if i < len(s.rec.Keywords) {
			was = s.rec.Keywords[i]
		}
		s.differ(report.Difference, "keywords", -1, "a keyword of the source is %s, was migrated as %s", report.Quote(name), report.Quote(was))
	}
}

// isKeywordOf reports whether a keyword of a folder may have become that flag in Cyrus: one
// that had to be changed may have a number behind it, so that it is not another's.
func isKeywordOf(name, flag string) bool {
	as := cyrusspool.Keyword(name)
	if as == name || len(flag) <= len(as) {
		return strings.EqualFold(flag, as) || strings.EqualFold(flag, name)
	}
	return strings.EqualFold(flag[:len(as)+1], as+"-")
}

// compareHeld compares what the source has that is to be held with the list of what is.
// Where the disk does not give all, both depend on when it was asked.
func (s *contentCheck) compareHeld(l *ledger.Ledger) error {
	if len(s.unread) > 0 {
		return nil
	}
	sum := sha1.New()
	if s.rec.Held != nil {
		unread := false
		err := held.Each(l.HeldDir(), s.rec.UniqueID, func(it held.Item) error {
			unread = unread || it.Reason == string(mbox.KindUnreadable)
			addHeld(sum, string(it.File), it.Offset, it.Length, it.SHA1)
			return nil
		})
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, held.ErrLost) || unread {
			return nil // Held tells
		}
		if err != nil {
			return err
		}
	}
	if !bytes.Equal(sum.Sum(nil), s.held.Sum(nil)) {
		s.differ(report.Difference, faultKinds[faultSourceChanged].problem, -1, "what the source has that makes no message is not what was held of it")
	}
	return nil
}

// addHeld adds one thing that is held to the sum of all.
func addHeld(sum io.Writer, file string, offset, length int64, sha string) {
	fmt.Fprintf(sum, "%q %d %d %s\n", file, offset, length, sha) // a hash never fails
}

// spool reads the message files of a mailbox whose folder is in an archive, and compares
// them with the manifest.
func (v *Verifier) spool(ctx context.Context, rec ledger.Mailbox, place cyrusspool.Place) (Result, faultSet, error) {
	s := v.newContentCheck(rec, place)
	s.checked = func(m ledger.Message) error {
		if !s.faults.has(m.UID) {
			s.res.Verified++
		}
		return nil
	}
	err := v.Ledger.EachMessage(rec.Manifest, func(m ledger.Message) error { return errors.Join(ctx.Err(), s.check(m, nil)) })
	if err = s.finish(err); err != nil {
		return Result{}, faultSet{}, fmt.Errorf("%s: %w", rec.Name, err)
	}
	return s.result(), s.faults, nil
}

// Bounds of the message files that are read beside and not settled.
const (
	maxUnsettled  = 40
	maxHeldHeader = 16 << 10
)

func (v *Verifier) newContentCheck(rec ledger.Mailbox, place cyrusspool.Place) *contentCheck {
	s := &contentCheck{comparison: &comparison{rec: rec}, reader: newFileReader(place, &rec), sum: sha1.New(), held: sha1.New(), faults: faultSet{tells: v.Message != nil}}
	s.files = beside.New(v.idle, func(next func() *messageFile) {
		r := newFileReader(place, &rec)
		defer r.release()
		for f := next(); f != nil; f = next() {
			r.read(f)
		}
	})
	s.checked = s.inTurn
	return s
}

type contentCheck struct {
	*comparison
	manifest *ledger.ManifestReader
	order    ledger.Order
	sum      hash.Hash
	rules    source.Rules
	faults   faultSet
	next     ledger.Message // of the manifest, if peeked is set
	peeked   bool
	unread   []source.Aside // what of the source cannot be read
	held     hash.Hash      // of what else of it is to be held
	used     uint64         // the keywords that its messages have

	// The folder is as it was migrated, but for access times, which UW takes for \Seen in mh
	// folders and which change no other time: a pass does not read it for their sake.
	seenByTime bool
	accessed   int // messages that are \Seen by that, and were not

	reader  *fileReader
	files   *beside.Queue[messageFile] // in the order of the source
	unused  []*messageFile
	checked func(ledger.Message) error // is called of each whose file has been read

	// Of a folder whose UIDs were not taken from the source.
	assigned *assigned
	waiting  []ledger.Message // until all are known, for their order may be another one
}

// aside remembers what cannot be read, and sums up what else is set aside.
func (s *contentCheck) aside(a source.Aside) error {
	if a.Kind == mbox.KindUnreadable {
		s.unread = append(s.unread, a)
		return nil
	}
	sha := ""
	if a.Open != nil {
		r, err := a.Open()
		if err != nil {
			return err
		}
		sum := sha1.New()
		_, err = io.CopyN(sum, r, a.Length)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
		sha = hex.EncodeToString(sum.Sum(nil))
	}
	addHeld(s.held, a.File, a.Offset, a.Length, sha)
	return nil
}

// peek returns the next message of the manifest, which stays the next.
func (s *contentCheck) peek() (m ledger.Message, err error) {
	if !s.peeked {
		if s.next, err = s.manifest.Next(); err != nil {
			return m, err
		}
		s.peeked = true
	}
	return s.next, nil
}

// missing reports a message of the manifest that the source does not give.
func (s *contentCheck) missing(m ledger.Message) {
	for _, a := range s.unread {
		if a.File == m.File && a.Offset < m.End && m.Offset < a.Offset+a.Length {
			s.differ(report.Attention, faultKinds[faultSourceUnreadable].problem, m.Offset, "UID %d was migrated, and its place in the source cannot be read any more: Cyrus has what there was, which could not be compared", m.UID)
			s.faults.add(m.UID, faultSourceUnreadable, faultKinds[faultSourceUnreadable].what)
			return
		}
	}
	s.differ(report.Difference, faultKinds[faultSourceMissing].problem, m.Offset, "UID %d was migrated, but the source no longer has it", m.UID)
	s.faults.add(m.UID, faultSourceMissing, faultKinds[faultSourceMissing].what)
}

// flush compares what had to wait.
func (s *contentCheck) flush() error {
	slices.SortFunc(s.waiting, func(a, b ledger.Message) int { return cmp.Compare(a.UID, b.UID) })
	for _, m := range s.waiting {
		if err := s.compare(m); err != nil {
			return err
		}
	}
	return s.order.Flush()
}

// message reads one message of the source and its file in the spool.
func (s *contentCheck) message(m *mbox.Message, _ []string) error {
	s.sum.Reset()
	size, err := m.WriteTo(s.sum)
	if err != nil {
		return err
	}
	if err := s.rules.CheckSize(size); err != nil {
		return err // which has it set aside
	}
	s.used |= m.Keywords
	msg := ledger.Message{UID: m.UID, Offset: m.Offset, End: m.EndOffset, Size: size,
		Date: m.Date.Unix(), Flags: LedgerFlags(m.Flags), Keywords: m.Keywords, File: m.File}
	s.sum.Sum(msg.GUID[:0])
	if s.assigned != nil {
		uid, ok, err := s.assigned.of(m)
		if err != nil {
			return err
		}
		if !ok {
			s.differ(report.Difference, "source-extra", m.Offset, "the source has a message there that was not migrated")
			s.tell(report.SourceOnly, msg.UID, &msg, "not migrated; the UID is the source's")
			return nil
		}
		msg.UID = uid
	}
	return s.check(msg, m)
}

// check compares the message file with what the source gave just now, or, where source is
// nil, gave when it was migrated. An idle core does that, if there is one.
func (s *contentCheck) check(want ledger.Message, source *mbox.Message) error {
	f := &messageFile{}
	if n := len(s.unused); n > 0 {
		f = s.unused[n-1]
		s.unused = s.unused[:n-1]
	}
	f.want, f.fromSource, f.header = want, source != nil, f.header[:0]
	var header []byte
	if source != nil {
		header, f.hidesInternal = source.Header(), source.HidesInternal()
	}
	if len(header) <= maxHeldHeader && s.files.Wants() {
		f.header = append(f.header, header...)
		s.files.Add(f)
	} else {
		own := f.header
		f.header = header
		s.reader.read(f)
		f.header = own
		s.files.AddDone(f)
	}
	return s.settle(s.files.Done(max(0, s.files.Len()-maxUnsettled)))
}

// settle takes what came of the first n message files.
func (s *contentCheck) settle(n int) error {
	for range n {
		f := s.files.Take()
		for _, c := range f.wrong {
			s.wrong(c.kind, f.want, "%s", c.text)
		}
		s.unused = append(s.unused, f)
		if err := s.checked(f.want); err != nil {
			return err
		}
	}
	return nil
}

// finish ends the reading of message files and takes what came of the last, unless err
// happened.
func (s *contentCheck) finish(err error) error {
	s.files.Wait()
	if err == nil {
		err = s.settle(s.files.Len())
	}
	s.reader.release()
	return err
}

// inTurn compares a message with the manifest when all with lower UIDs are.
func (s *contentCheck) inTurn(m ledger.Message) error {
	if s.assigned != nil && s.assigned.uids != nil {
		s.waiting = append(s.waiting, m)
		return nil
	}
	return s.order.Add(m)
}

// wrong reports what is wrong with a message, and remembers it.
func (s *contentCheck) wrong(kind faultKind, want ledger.Message, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	s.differ(report.Difference, faultKinds[kind].problem, want.Offset, "UID %d: %s", want.UID, what)
	s.faults.add(want.UID, kind, what)
}

func (s *contentCheck) compare(have ledger.Message) error {
	want, err := s.peek()
	for err == nil && want.UID < have.UID {
		s.missing(want)
		s.peeked = false
		want, err = s.peek()
	}
	if err == io.EOF || err == nil && want.UID > have.UID {
		s.differ(report.Difference, "source-extra", have.Offset, "the source has a message (UID %d) that was not migrated", have.UID)
		s.tell(report.SourceOnly, have.UID, &have, "not migrated; the UID is the source's")
		return nil
	}
	if err != nil {
		return err
	}
	s.peeked = false
	if s.seenByTime && want.Flags&ledger.Seen == 0 && have.Flags&ledger.Seen != 0 {
		have.Flags &^= ledger.Seen
		s.accessed++
	}
	if have != want {
		s.wrong(faultSourceChanged, have, "the source is not as it was migrated (UID %d at offset %d)", want.UID, want.Offset)
		return nil
	}
	if !s.faults.has(have.UID) {
		s.res.Verified++
	}
	return nil
}

// rest reports what the manifest has and the source no longer.
func (s *contentCheck) rest() error {
	for {
		m, err := s.peek()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		s.missing(m)
		s.peeked = false
	}
}
