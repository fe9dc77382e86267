package mbox

import "strings"

// maxUID is the greatest UID that is kept. IMAP has 32 bits for it (RFC 9051 2.3.1.1), but
// programs that tell which of two UIDs is the greater by their signed difference get the
// order wrong where they are 2^31 apart: Cyrus's reconstruct (seen with 3.6.1) does not find
// the messages below then, and removes them. Half of that is left for the mail that will come.
const maxUID = 1<<30 - 1

// uidsTooGreat is why UIDVALIDITY is not kept where there are greater ones.
const uidsTooGreat = "UIDs would have more than 30 bits; they were given anew"

// maxUIDValidity is the greatest UIDVALIDITY that is kept. UW takes it from the clock, which
// does not come to it before 2096. It leaves room for those that Cyrus gives out: where a user
// has the last of 32 bits, the next mailbox that he makes gets 0, which is none (RFC 9051
// 2.3.1.1), if Cyrus keeps conversations (imap/mboxname.c, mboxname_nextuidvalidity; seen with
// 3.6.1 and 3.10).
const maxUIDValidity uint64 = 4_000_000_000

// validityTooGreat is why such a one is not kept.
const validityTooGreat = "it is above 4000000000"

// uids follows UW's rules for UIDs (unix.c unix_parse), with three repairs: X-UIDs that
// are far too great are ignored, those that follow another mailbox's X-IMAPbase are too
// unless they fit, and a first message that merely has an X-IMAP field is kept.
type uids struct {
	known    bool   // X-UIDs are believed
	validity uint64 // of the base; kept only up to maxUIDValidity
	last     uint64 // greatest UID given or reserved
	prev     uint64 // UID of the message before
	recorded uint64 // last UID as the base has it
	foreign  bool   // a base of another mailbox was seen
	kept     uint64 // UID of a first message that UW would have hidden
	uid      uint64 // of this message, 0: none yet
	reason   string // why UIDVALIDITY is lost
}

// UIDValidity returns the mailbox's UIDVALIDITY, 0 if it has none that can be believed
// and the caller must choose a new one. It is final when Next has returned io.EOF.
func (r *Reader) UIDValidity() uint32 {
	if !r.uids.known || r.uids.validity > maxUIDValidity {
		return 0
	}
	return uint32(r.uids.validity)
}

// LastUID returns the greatest UID ever used, which is UIDNEXT - 1. It is final when
// Next has returned io.EOF.
func (r *Reader) LastUID() uint32 { return uint32(r.uids.last) }

// base takes an X-IMAPbase or X-IMAP field.
func (r *Reader) base(value []byte, ximap bool, offset int64) error {
	validity, last, keywords, ok := parseBase(value)
	if !ok {
		return nil
	}
	u := &r.uids
	if ximap && r.ximap == 0 {
		r.ximap = validity
	}
	r.scouting.base(validity, last, r.isFirst)
	switch {
	case r.order != nil:
		if r.isFirst && !r.based {
			r.based, r.pseudo = true, ximap
			r.listKeywords(keywords, offset)
		} else if validity != u.validity {
			r.foreignBase = offset
		}
	case r.isFirst && !u.known:
		r.pseudo = ximap
		r.listKeywords(keywords, offset)
		return r.adopt(validity, last)
	case u.known && validity != u.validity:
		if u.foreign = true; u.uid > u.recorded {
			u.uid, u.prev, u.last = 0, r.before.prev, max(r.before.last, u.recorded)
		}
		r.foreignBase = offset
	}
	return nil
}

// adopt makes the numbers of the base those of the mailbox, if all UIDs will fit.
func (r *Reader) adopt(validity, last uint64) error {
	u := &r.uids
	u.known, u.validity, u.last, u.recorded = true, validity, last, last
	if validity > maxUIDValidity {
		u.reason = validityTooGreat
	}
	if r.surveying || last+r.messageBound() <= maxUID {
		return nil
	}
	messages, err := r.messages()
	if err == nil && last+messages > maxUID {
		*u = uids{reason: uidsTooGreat}
	}
	return err
}

// xuid takes an X-UID field.
func (r *Reader) xuid(n uint64, offset int64) error {
	u := &r.uids
	if n <= r.surveyLimit {
		r.surveyed = max(r.surveyed, n)
	}
	r.scouting.xuid(n)
	switch {
	case r.pseudo || r.order != nil:
		return nil
	case !u.known:
		if !r.orphan && u.reason == "" {
			r.orphan = true
			r.find(KindUIDIgnored, offset, "X-UID %d means nothing without a valid X-IMAPbase before it (there may be more)", n)
		}
		return nil
	case u.foreign && (n <= u.prev || n > u.recorded || n == u.kept):
		r.ignoreUID(n, offset, "it may be of another mailbox, whose X-IMAPbase is in the file")
		return nil
	case u.uid != 0:
		r.lose("a message has two X-UID fields")
		return nil
	case n <= u.prev:
		r.lose("an X-UID is not greater than the one before")
		return nil
	}
	if n > u.last {
		if r.opts.UWVersion == UW2002 {
			r.lose("an X-UID is above the last UID")
			return nil
		}
		if ok, err := r.plausible(n); !ok || err != nil {
			r.ignoreUID(n, offset, "it is further above the last UID than there are messages")
			return err
		}
		u.last = n
	}
	u.uid, u.prev = n, n
	return nil
}

// lose gives up the UIDVALIDITY, as UW does: UIDs given so far stay, this message and
// those after it get new ones.
func (r *Reader) lose(reason string) {
	r.uids.known, r.uids.uid, r.uids.reason = false, 0, reason
}

func (r *Reader) ignoreUID(n uint64, offset int64, why string) {
	r.find(KindUIDIgnored, offset, "X-UID %d is not believed: %s", n, why)
}

// plausible reports whether a UID above the last one can be believed. UW 2006 and later
// believe any; but one wrong digit would use up the UIDs of the mailbox.
func (r *Reader) plausible(n uint64) (bool, error) {
	above := n - r.uids.last
	if r.surveying {
		return false, nil
	}
	if above <= uint64(r.number) && n+r.messageBound() <= maxUID {
		return true, nil
	}
	messages, err := r.messages()
	return above <= messages && n+messages <= maxUID, err
}

// messageBound is at least as much as the file can have messages.
func (r *Reader) messageBound() uint64 { return uint64(r.size/r.rules.shortest) + 1 }

// messages counts the messages of the file, UW's own included, once, by a second look at
// all of it.
func (r *Reader) messages() (uint64, error) {
	if r.total == 0 {
		s, err := r.survey(0)
		if err != nil {
			return 0, err
		}
		r.total = uint64(s.separators)
	}
	return r.total, nil
}

// survey reads the whole file with a reader of its own that only counts, and notes the
// greatest X-UID up to limit.
func (r *Reader) survey(limit uint64) (*Reader, error) {
	opts := Options{UWVersion: r.opts.UWVersion, Repairs: r.opts.Repairs}
	s := newReader(r.win.src, r.size, r.delim, opts, len(r.win.buf))
	s.surveying, s.surveyLimit = true, limit
	for {
		if _, err := s.Next(); err != nil {
			return s, noEOF(err)
		}
	}
}

// keep gives the first message a UID above all that can be believed in the file. It had
// UW's data in it, and UW would have hidden it.
func (r *Reader) keep() error {
	u := &r.uids
	if r.surveying || !u.known {
		return nil
	}
	messages, err := r.messages()
	if err != nil {
		return err
	}
	s, err := r.survey(min(u.recorded+messages, maxUID-messages))
	if err != nil {
		return err
	}
	u.last = max(u.last, s.surveyed) + 1
	u.uid, u.kept = u.last, u.last
	return nil
}

// assign gives the message its UID at the end of its header.
func (r *Reader) assign() {
	u := &r.uids
	if r.order != nil {
		if u.uid = uint64(r.order.now.uid); r.order.now.fresh {
			r.find(KindRepairUID, r.msg.Offset, "the message got a new UID, %d: it had none, or one that is not unique or not credible", u.uid)
		}
	}
	if u.uid == 0 {
		u.last++
		u.uid, u.prev = u.last, u.last
		if r.internals > 0 && r.msg.Flags&Recent != 0 {
			r.find(KindSenderInternal, r.msg.HeaderOffset, "internal headers in a message that UW has not seen yet: they may have come with the mail, UW obeys them")
		}
	}
	r.msg.UID = uint32(u.uid)
}

// reportUIDs tells, once each, what became of the mailbox's identity.
func (r *Reader) reportUIDs() {
	if r.uids.reason != "" && !r.lossReported {
		r.lossReported, r.lossOffset = true, r.msg.Offset
		r.find(KindUIDEpochLost, r.msg.Offset, "UIDVALIDITY cannot be kept: %s", r.uids.reason)
	}
	if r.foreignBase != 0 {
		r.find(KindForeignBase, r.foreignBase, "the UIDVALIDITY of another mailbox: files were joined; its UIDs are not believed")
		r.foreignBase = 0
	}
}

// The texts by which UW's own data message is known as UW and Dovecot write it
// (pseudo.c). Sites could alter them.
const (
	pseudoSubject = "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA"
	pseudoName    = "Mail System Internal Data"
)

// dropStray takes back what a data message out of place said about UIDs; only that it
// came from another mailbox is kept in mind.
func (r *Reader) dropStray() {
	if r.order != nil {
		return
	}
	foreign := r.uids.foreign
	r.uids = r.before
	r.uids.foreign = foreign || r.uids.known && r.ximap != r.uids.validity
}

// isPseudo decides, at the end of the header, whether the message is UW's own data and
// no mail. UW hides a first message with a valid X-IMAP whoever sent it; here it must
// look the part, or it is kept.
func (r *Reader) isPseudo() (bool, error) {
	if r.order != nil {
		return r.order.now.drop, nil
	}
	if r.ximap == 0 {
		return false, nil
	}
	known := field(r.head, "Subject") == pseudoSubject
	switch {
	case r.pseudo && (known || r.sep.stamp.fromMailerDaemon):
		return true, nil
	case r.pseudo && unreadable(r.win.src, r.msg.Offset, r.msg.BodyOffset) != nil:
		return true, nil // it is put aside
	case r.pseudo:
		return false, r.keep()
	}
	return known && !r.isFirst && strings.HasPrefix(field(r.head, "From"), pseudoName), nil
}
