package verify

import (
	"fmt"
	"io"
	"os"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
)

// maxDifferences is how many differences of one mailbox are told one by one.
const maxDifferences = 100

// comparison collects the differences of one mailbox.
type comparison struct {
	rec     ledger.Mailbox
	version cyrusspool.Version // of the index
	each    messages
	res     Result
	n       int64 // differences, those beyond maxDifferences too

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

// differ adds what is told of a mailbox, differences up to a bound. offset is where in the
// folder's file it is, -1 of no place.
func (c *comparison) differ(severity report.Severity, kind string, offset int64, format string, args ...any) {
	if severity == report.Difference {
		if c.n++; c.n > maxDifferences {
			return
		}
	}
	c.problem(severity, kind, offset, fmt.Sprintf(format, args...))
}

func (c *comparison) problem(severity report.Severity, kind string, offset int64, text string) {
	c.res.Problems = append(c.res.Problems, report.Problem{Severity: severity, User: string(c.rec.User), Folder: string(c.rec.Folder), Mailbox: c.rec.Name,
		Offset: offset, Kind: kind, Text: c.rec.Name + ": " + text})
}

func (c *comparison) result() Result {
	if more := c.n - maxDifferences; more > 0 {
		c.problem(report.Difference, "more-differences", -1, fmt.Sprintf("and %d differences more", more))
	}
	return c.res
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
		case herr == nil && have.Gone() && (werr == io.EOF || have.UID <= want.UID):
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
			c.missingInCyrus(want)
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

// missingInCyrus tells of a message of the manifest that the index does not have.
func (c *comparison) missingInCyrus(want ledger.Message) {
	switch {
	case c.inUse, c.each.inUse && want.UID < c.rec.FirstUID:
		// What an earlier pass brought was there when that ended, though the last one found it gone.
		c.expunged++
		c.verified(want.UID) // it was there
		c.tell(report.SourceOnly, want.UID, &want, "removed in Cyrus since it was migrated")
	case want.UID < c.rec.FirstUID:
		c.differ(report.Attention, "message-removed", want.Offset, "UID %d was migrated by an earlier pass and is no longer in Cyrus", want.UID)
		c.tell(report.SourceOnly, want.UID, &want, "removed in Cyrus since an earlier pass")
	default:
		c.differ(report.Difference, "message-missing", want.Offset, "UID %d is not in Cyrus", want.UID)
		c.tell(report.SourceOnly, want.UID, &want, "")
	}
}

// message compares a message that both have.
func (c *comparison) message(want ledger.Message, have cyrusspool.Record, keywords Keywords) {
	if !c.version.HasGUID() {
		have.GUID = want.GUID
	}
	if want.UID < c.rec.FirstUID && have.GUID == want.GUID {
		c.earlierMessage(want, have)
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

// earlierMessage compares a message that an earlier pass brought, with the bytes that it had
// then. Flags and date are its user's by now.
func (c *comparison) earlierMessage(want ledger.Message, have cyrusspool.Record) {
	kind, why := c.file(have)
	mark := report.Unreadable
	switch {
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
	c.verified(want.UID)
	c.tell(report.Same, want.UID, &want, "")
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

func (c *comparison) keywordNames(bits uint64) (names []string) {
	for i, name := range c.rec.Keywords {
		if bits&(1<<i) != 0 && name != "" {
			names = append(names, name)
		}
	}
	return names
}
