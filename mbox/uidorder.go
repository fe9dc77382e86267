package mbox

import (
	"cmp"
	"io"
	"slices"
)

// maxOrdered is how many messages a mailbox may have to be sorted by RepairUIDs: their
// places take 32 bytes of memory each.
const maxOrdered = 1 << 18

// uidOrder is the order in which RepairUIDs makes a Reader go through a mailbox, and the
// UIDs that the messages get.
type uidOrder struct {
	validity uint32
	last     uint32
	spots    []spot
	at       int    // of the next spot
	gombox   goMbox // what the file is in its own order
	now      spot
}

// spot is where a message is.
type spot struct {
	offset int64
	until  int64 // offset of the next message's header, or the end of the file
	uid    uint32
	first  bool // it is the first of the file
	drop   bool // it is UW's own data
	fresh  bool // its UID is a new one
}

// scout is what a Reader learns when it reads the whole mailbox before another Reader does,
// for repairs that need to know the end at the beginning.
type scout struct {
	spots    []spot
	count    uint64 // of messages, UW's own included
	validity uint64 // of the first base
	recorded uint64 // last UID as it has it
	foreign  bool   // a base of another mailbox was met
	uid      uint64 // of the message that is read; 0: none
	unsure   bool   // it has two
	words    keywordSet
}

// scout reads the mailbox once in advance if a repair needs that.
func (r *Reader) scout() error {
	if r.surveying || r.scouting != nil || r.opts.Repairs&(RepairUIDs|RepairKeywords) == 0 || !r.sep.opens {
		return nil
	}
	opts := r.opts
	opts.Findings = nil
	s := newReader(r.win.src, r.size, r.delim, opts, len(r.win.buf))
	s.scouting = &scout{}
	for {
		if _, err := s.Next(); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	if r.opts.Repairs.Has(RepairKeywords) {
		r.takeKeywords(s)
	}
	if r.opts.Repairs.Has(RepairUIDs) && s.UIDValidity() == 0 {
		return r.takeOrder(s)
	}
	return nil
}

// base notes a valid base.
func (s *scout) base(validity, last uint64, first bool) {
	switch {
	case s == nil:
	case first && s.validity == 0:
		s.validity, s.recorded = validity, last
	case validity != s.validity:
		s.foreign = true
	}
}

// xuid notes an X-UID. A message with two that differ has none; one given twice is one.
func (s *scout) xuid(n uint64) {
	if s == nil || n == 0 {
		return
	}
	s.unsure = s.unsure || s.uid != 0 && s.uid != n
	s.uid = n
}

// message notes the message whose header r has read.
func (s *scout) message(r *Reader, drop bool) {
	if s == nil {
		return
	}
	p := spot{offset: r.sep.offset, until: r.size, first: r.isFirst, drop: drop}
	// Whether a UID is one of this mailbox is not known behind the base of another one, nor
	// if UW hid the message.
	if !s.foreign && !s.unsure && !r.pseudo && s.uid <= maxUID {
		p.uid = uint32(s.uid)
	}
	s.uid, s.unsure = 0, false
	s.count++
	if !r.opts.Repairs.Has(RepairUIDs) || s.count > maxOrdered {
		return
	}
	if n := len(s.spots); n > 0 {
		s.spots[n-1].until = r.sep.header
	}
	s.spots = append(s.spots, p)
}

// takeOrder sorts the mailbox that s has read, whose UIDVALIDITY UW would give up. UIDs
// that are unique and not further above the recorded last UID than there are messages are
// kept; the other messages follow with UIDs that were never given.
func (r *Reader) takeOrder(s *Reader) error {
	sc := s.scouting
	switch {
	case sc.validity == 0:
		return nil // nothing to keep
	case sc.count > maxOrdered:
		r.find(KindRepairUID, s.lossOffset, "the UIDs are out of order, but the folder has more than %d messages: not sorted", maxOrdered)
		return nil
	case sc.validity > maxUIDValidity || sc.recorded+2*sc.count > maxUID:
		r.find(KindRepairUID, s.lossOffset, "UIDVALIDITY is above %d, or UIDs would have more than 30 bits: not sorted", maxUIDValidity)
		return nil
	}
	o := &uidOrder{validity: uint32(sc.validity), last: uint32(sc.recorded), spots: sc.spots, gombox: s.gombox}
	limit := uint32(sc.recorded + sc.count)
	byUID := func(a, b spot) int { return cmp.Or(cmp.Compare(a.uid, b.uid), cmp.Compare(a.offset, b.offset)) }
	slices.SortFunc(o.spots, byUID)
	kept := 0
	for i := range o.spots {
		p := &o.spots[i]
		p.fresh = p.uid == 0 || p.uid > limit || p.drop ||
			i > 0 && o.spots[i-1].uid == p.uid || i+1 < len(o.spots) && o.spots[i+1].uid == p.uid
		if p.uid <= limit {
			o.last = max(o.last, p.uid)
		}
		if !p.fresh {
			kept++
		}
	}
	// UW's own data, then the UIDs that are kept, then the rest as it lies in the file.
	class := func(p spot) int {
		switch {
		case p.drop:
			return 0
		case !p.fresh:
			return 1
		}
		return 2
	}
	slices.SortFunc(o.spots, func(a, b spot) int {
		c := cmp.Compare(class(a), class(b))
		if c == 0 && !a.fresh {
			c = cmp.Compare(a.uid, b.uid)
		}
		return cmp.Or(c, cmp.Compare(a.offset, b.offset))
	})
	for i := range o.spots {
		if p := &o.spots[i]; p.fresh && !p.drop {
			o.last++
			p.uid = o.last
		}
	}
	r.find(KindRepairUID, s.lossOffset, "UIDVALIDITY and %d UIDs kept, messages ordered by UID; UW would give all from here on new UIDs: %s", kept, s.uids.reason)
	r.order = o
	if !r.listed {
		r.keywords, r.reachable, r.listed = s.keywords, s.reachable, true
	}
	r.uids = uids{known: true, validity: sc.validity, last: uint64(o.last)}
	return r.inOrder()
}

// inOrder goes to the message that follows in the order of the UIDs.
func (r *Reader) inOrder() (err error) {
	o := r.order
	if o == nil {
		return nil
	}
	if o.at == len(o.spots) {
		r.sep, r.gombox = separator{}, o.gombox
		return nil
	}
	o.now = o.spots[o.at]
	o.at++
	r.win.until = o.now.until // lest every jump read a whole window
	if _, err := r.win.from(o.now.offset, minWindowSize); err != nil {
		return err
	}
	r.sep, err = r.delim.reopen(r, o.now.offset)
	return err
}
