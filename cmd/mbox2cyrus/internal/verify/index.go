// Package verify proves that Cyrus holds what the source held. It asks Cyrus's
// own index, rebuilt by Cyrus's own program, and never the exit status of
// anything.
package verify

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

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

// maxDifferences is how many differences of one mailbox are told one by one.
const maxDifferences = 100

// comparison collects the differences of one mailbox.
type comparison struct {
	rec     ledger.Mailbox
	version cyrusspool.Version // of the index
	each    messages
	res     Result
	n       int64

	// inUse says that users may have changed the mailbox since it was verified, and that what
	// they can do to mail is no difference.
	inUse             bool
	flagged, expunged int64 // messages that they changed, and removed

	// changed says that Cyrus changed the mailbox since it was verified: a message that the index
	// has as expunged, its user may have removed.
	changed bool
	gone    int64 // messages that their user removed, as the index proves

	dir   *os.File                // of the message files; nil: they are not looked at
	cache *cyrusspool.CacheReader // nil: there is none
}

func (c *comparison) differ(severity report.Severity, kind string, offset int64, format string, args ...any) {
	if severity == report.Difference {
		if c.n++; c.n > maxDifferences {
			return
		}
	}
	c.res.Problems = append(c.res.Problems, report.Problem{Severity: severity, User: string(c.rec.User), Folder: string(c.rec.Folder), Mailbox: c.rec.Name,
		Offset: offset, Kind: kind, Text: c.rec.Name + ": " + fmt.Sprintf(format, args...)})
}

func (c *comparison) result() Result {
	if more := c.n - maxDifferences; more > 0 {
		c.res.Problems = append(c.res.Problems, report.Problem{Severity: report.Difference, User: string(c.rec.User), Folder: string(c.rec.Folder), Mailbox: c.rec.Name,
			Offset: -1, Kind: "more-differences", Text: fmt.Sprintf("%s: and %d differences more", c.rec.Name, more)})
	}
	return c.res
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
var errChanged = errors.New("Cyrus changed the mailbox each time that it was read: stop Cyrus, or try again when it is quiet")

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

// changedSince reports whether Cyrus changed a mailbox that had been verified: its index is
// another one, or does not tell, as up to 2.3, where \Seen is in another file.
func (c *comparison) changedSince(b *box) bool {
	if c.rec.State != ledger.Verified || c.rec.IndexID == nil {
		return false
	}
	return !b.id.Equal(*c.rec.IndexID) || c.version.SystemFlags()&cyrusspool.FlagSeen == 0
}

// tellUse tells what users did: one line for a mailbox, as it may be all of its messages.
func (c *comparison) tellUse() {
	if c.flagged+c.expunged > 0 {
		c.differ(report.Note, "used-since", -1, "since it was migrated flags or keywords of %d of its messages were changed in Cyrus, and %d were removed there", c.flagged, c.expunged)
	}
}

// box is a Cyrus mailbox opened for reading.
type box struct {
	file  *os.File
	id    ledger.FileID
	index *cyrusspool.IndexReader
	flags []string          // of cyrus.header
	seen  cyrusspool.UIDSet // what the index does not say

	exists     uint32 // messages that were read
	bytes      uint64 // of them
	unthreaded int64  // records that were read, of messages in no conversation
}

func openBox(place cyrusspool.Place) (b *box, err error) {
	header, err := place.ReadHeader()
	if err != nil {
		return nil, err
	}
	b = &box{flags: header.Flags}
	if b.file, b.index, err = place.OpenIndex(); err != nil {
		return nil, err
	}
	if b.id, err = ledger.Stat(b.file); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *box) close() error { return b.file.Close() }

// next returns the next record, also of a message that is gone, io.EOF at the end.
func (b *box) next() (cyrusspool.Record, error) {
	r, err := b.index.Next()
	if err != nil {
		return r, err
	}
	if b.seen.Contains(r.UID) {
		r.SystemFlags |= cyrusspool.FlagSeen
	}
	if r.SystemFlags&cyrusspool.FlagExpunged == 0 {
		b.exists, b.bytes = b.exists+1, b.bytes+r.Size
	}
	if r.ThreadID == 0 && !isGone(r) {
		b.unthreaded++
	}
	return r, nil
}

// isGone reports whether clients do not see the message of a record.
func isGone(r cyrusspool.Record) bool {
	return r.SystemFlags&(cyrusspool.FlagExpunged|cyrusspool.FlagUnlinked) != 0
}

// removed reports whether a message of the manifest that is gone was removed in Cyrus since it
// was verified, and is not lost: its record says that it was expunged, and its file is there
// still (expunge_mode: delayed). Without the file nothing can be told: reconstruct
// marks a message whose file it misses as expunged too, and as unlinked
// (imap/mailbox.c, mailbox_reconstruct_compare_update).
func (c *comparison) removed(want ledger.Message, r cyrusspool.Record) bool {
	if !c.changed || r.SystemFlags&cyrusspool.FlagUnlinked != 0 || r.GUID != want.GUID || int64(r.Size) != want.Size {
		return false
	}
	_, why := c.file(r)
	return why == ""
}

// header compares the header of the index. counts says that the number of messages is to be
// compared, too.
func (c *comparison) header(b *box) (counts bool) {
	h := b.index.Header()
	if h.UIDValidity != c.rec.UIDValid {
		c.differ(report.Difference, "uidvalidity", -1, "UIDVALIDITY is %d in Cyrus, must be %d", h.UIDValidity, c.rec.UIDValid)
	}
	c.res.Newer = h.LastUID+1 > c.rec.UIDNext
	if c.rec.FirstUID > 0 && h.LastUID+1 >= c.rec.UIDNext {
		return false // Cyrus had messages of its own there before: how many there are now is its affair
	}
	next := h.LastUID + 1
	if next < c.rec.UIDNext {
		c.differ(report.Difference, "uidnext", -1, "UIDNEXT is %d in Cyrus, must be %d", next, c.rec.UIDNext)
		return false
	}
	if c.res.Newer {
		c.differ(report.Attention, "newer-mail", -1, "UIDNEXT is %d in Cyrus, was %d when it was migrated: mail has come in since", next, c.rec.UIDNext)
	}
	return true
}

// count compares the number of messages, without those that their user removed.
func (c *comparison) count(b *box) {
	h := b.index.Header()
	if h.Version < cyrusspool.Version12 {
		h.Exists = h.NumRecords // nothing expunged stays in such an index
	}
	if n, must := int64(h.Exists), c.rec.Messages-c.gone; n < must || n > must && !c.res.Newer {
		c.differ(report.Difference, "count", -1, "%d messages in Cyrus, must be %d", n, must)
	}
}

// messages walks through manifest and index together: both ascend by UID.
func (c *comparison) messages(manifest *ledger.ManifestReader, b *box) error {
	keywords := KeywordsOf(c.rec, b.flags)
	listed := int64(0)
	next := func() (m ledger.Message, err error) {
		if m, err = manifest.Next(); err == nil {
			listed++
		} else if err == io.EOF && listed != c.rec.Messages {
			c.differ(report.Difference, "manifest", -1, "its manifest lists %d messages, the ledger has %d: is one of them of another day?", listed, c.rec.Messages)
		}
		return m, err
	}
	want, werr := next()
	have, herr := b.next()
	for {
		if werr != nil && werr != io.EOF {
			return werr
		}
		if herr != nil && herr != io.EOF {
			return herr
		}
		switch {
		case werr == io.EOF && herr == io.EOF:
			return nil
		case herr == nil && isGone(have) && (werr == io.EOF || have.UID <= want.UID):
			if werr == nil && have.UID == want.UID && want.UID >= c.rec.FirstUID && !c.inUse && c.removed(want, have) {
				c.differ(report.Attention, "message-removed", want.Offset, "UID %d was removed in Cyrus since it was migrated: its index has it as expunged", want.UID)
				c.gone++
				c.tell(report.SourceOnly, want.UID, &want, "removed in Cyrus since it was migrated")
				want, werr = next()
			}
			have, herr = b.next() // else it is told as missing
		case werr == io.EOF && have.UID >= c.rec.UIDNext:
			if c.each.tell == nil {
				return nil // came in later; header has said so
			}
			c.tell(report.CyrusOnly, have.UID, nil, "came in since")
			have, herr = b.next()
		case herr == io.EOF || werr == nil && want.UID < have.UID:
			// What an earlier pass brought was there when that ended, though the last one found it gone.
			if c.inUse || c.each.inUse && want.UID < c.rec.FirstUID {
				c.expunged++
				c.verified(want.UID) // it was there
				c.tell(report.SourceOnly, want.UID, &want, "removed in Cyrus since it was migrated")
				want, werr = next()
				continue
			}
			if want.UID < c.rec.FirstUID {
				c.differ(report.Attention, "message-removed", want.Offset, "UID %d was migrated by an earlier pass and is no longer in Cyrus", want.UID)
				c.tell(report.SourceOnly, want.UID, &want, "removed in Cyrus since an earlier pass")
				want, werr = next()
				continue
			}
			c.differ(report.Difference, "message-missing", want.Offset, "UID %d is not in Cyrus", want.UID)
			c.tell(report.SourceOnly, want.UID, &want, "")
			want, werr = next()
		case have.UID < c.rec.FirstUID && (werr == io.EOF || have.UID < want.UID):
			c.tell(report.CyrusOnly, have.UID, nil, "Cyrus had it before")
			have, herr = b.next()
		case werr == io.EOF || have.UID < want.UID:
			c.differ(report.Difference, "message-extra", -1, "Cyrus has UID %d, which the source does not have", have.UID)
			c.tell(report.CyrusOnly, have.UID, nil, "")
			have, herr = b.next()
		default:
			c.message(want, have, keywords)
			want, werr = next()
			have, herr = b.next()
		}
	}
}

func (c *comparison) message(want ledger.Message, have cyrusspool.Record, keywords Keywords) {
	if !c.version.HasGUID() {
		have.GUID = want.GUID
	}
	if want.UID < c.rec.FirstUID && have.GUID == want.GUID {
		kind, why, mark := "", "", report.Unreadable
		switch kind, why = c.file(have); {
		case why != "":
		case int64(have.Size) != want.Size:
			kind, why, mark = "size", wrongSize(want, have), report.Differs
		case have.CacheOffset > 0 && have.SystemFlags&cyrusspool.FlagArchived == 0:
			kind, why, mark = "cache", c.cached(have), report.Differs
		}
		if why != "" {
			c.differ(report.Difference, kind, want.Offset, "UID %d: %s", want.UID, why)
			c.tell(mark, want.UID, &want, why)
			return
		}
		c.verified(want.UID) // flags and date are its user's by now
		c.tell(report.Same, want.UID, &want, "")
		return
	}
	before := c.n
	var what []string
	differ := func(kind, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		c.differ(report.Difference, kind, want.Offset, "UID %d: %s", want.UID, text)
		what = append(what, text)
	}
	if int64(have.Size) != want.Size {
		differ("size", "%s", wrongSize(want, have))
	}
	if have.GUID != want.GUID {
		differ("sha1", "SHA-1 is %x in Cyrus, must be %x", have.GUID, want.GUID)
	}
	if have.InternalDate != want.Date {
		differ("date", "internal date is %d in Cyrus, must be %d", have.InternalDate, want.Date)
	}
	flags := ledgerFlagsOf(have.SystemFlags)
	userFlags, ok := keywords.UserFlags(want.Keywords)
	ok = ok && have.UserFlags == userFlags
	switch {
	case c.inUse && (flags != want.Flags || !ok):
		c.flagged++
	case flags != want.Flags:
		differ("flags", "flags are %s in Cyrus, must be %s", flags, want.Flags)
	}
	if !ok && !c.inUse {
		differ("keywords", "keywords are not %s in Cyrus", strings.Join(c.keywordNames(want.Keywords), " "))
	}
	mark := report.Differs
	if have.CacheOffset == 0 {
		differ("not-rebuilt", "Cyrus has not parsed the message")
	} else if why := c.cached(have); why != "" {
		differ("cache", "%s", why)
	}
	if kind, why := c.file(have); why != "" {
		differ(kind, "%s", why)
		mark = report.Unreadable
	}
	if c.n == before {
		c.verified(want.UID)
		mark = report.Same
	}
	c.tell(mark, want.UID, &want, strings.Join(what, ", "))
}

func wrongSize(want ledger.Message, have cyrusspool.Record) string {
	return fmt.Sprintf("size is %d in Cyrus, must be %d", have.Size, want.Size)
}

// verified counts a message that is as it must be in the index, unless source or message file
// have shown already that it is not.
func (c *comparison) verified(uid uint32) {
	if !c.each.faults.has(uid) {
		c.res.Verified++
	}
}

// tell tells of one message, with what is known of it already. want is nil if it is not in
// the source.
func (c *comparison) tell(mark report.Mark, uid uint32, want *ledger.Message, what string) {
	if c.each.tell == nil {
		return
	}
	m := report.Message{Mark: mark, User: string(c.rec.User), Folder: string(c.rec.Folder), Mailbox: c.rec.Name, UID: uid, Offset: -1, What: what}
	if want != nil {
		m.File, m.Offset = want.File, want.Offset
	}
	if c.each.faults.has(uid) && (mark == report.Same || mark == report.Differs) {
		if m.Mark, what = c.each.faults.describe(uid); m.What != "" {
			m.What += ", "
		}
		m.What += what
	}
	c.each.tell(m)
}

// What a keyword has instead of a number of a flag in cyrus.header.
const (
	flagMissing = -1 // the header must have its flag
	flagNone    = -2 // the ledger has no name for it: the mailbox could hold no more
)

func (c *comparison) keywordNames(bits uint64) (names []string) {
	for i, name := range c.rec.Keywords {
		if bits&(1<<i) != 0 && name != "" {
			names = append(names, name)
		}
	}
	return names
}

// Keywords are, for each keyword of a mailbox in the ledger, the number of its flag in
// cyrus.header.
type Keywords []int

// KeywordsOf finds the keywords of a mailbox among the flags of its header.
func KeywordsOf(rec ledger.Mailbox, flags []string) Keywords {
	at := make(Keywords, len(rec.Keywords))
	for i, name := range rec.Keywords {
		if name == "" {
			at[i] = flagNone
		} else {
			at[i] = slices.Index(flags, name) // or flagMissing
		}
	}
	return at
}

// UserFlags are the flags of a record in the index whose message has the keywords of a
// manifest; ok is false if the header does not have one of them.
func (at Keywords) UserFlags(bits uint64) (flags [4]uint32, ok bool) {
	for i := range 64 {
		if bits&(1<<i) == 0 {
			continue
		}
		if i >= len(at) || at[i] == flagMissing {
			return flags, false
		}
		if at[i] == flagNone {
			continue
		}
		flags[at[i]/32] |= 1 << (at[i] % 32)
	}
	return flags, true
}
