package mbox

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// readData looks through all data files: for the messages of the index, for those that
// the index should have, and for what else the files hold.
func (r *mix) readData() error {
	slices.SortFunc(r.messages, func(a, b mixMessage) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.position(), b.position()), cmp.Compare(a.uid, b.uid))
	})
	var salvage []mixMessage
	s := mixScan{mix: r, salvage: &salvage}
	s.win.buf, s.far.buf = make([]byte, mixScanWindow), make([]byte, mixScanWindow)
	if err := s.each((*mixScan).verify); err != nil {
		return err
	}
	r.doubtful()
	if err := s.each((*mixScan).records); err != nil {
		return err
	}
	if s.expunged > 0 {
		r.find(KindExpunged, s.expungedFile, s.expungedAt, "%d messages of the data files are not in the index: they were expunged; the first is here", s.expunged)
	}
	r.listed, r.verified, r.gaps = nil, nil, nil
	r.messages = append(r.messages, salvage...)
	r.sort()
	return nil
}

// doubtful makes gaps of the UIDs around those whose record is not where the index has it,
// and sets up the lists of UIDs.
func (r *mix) doubtful() {
	byUID := make([]int32, 0, len(r.messages))
	for i := range r.messages {
		byUID = append(byUID, int32(i))
	}
	slices.SortFunc(byUID, func(a, b int32) int { return cmp.Compare(r.messages[a].uid, r.messages[b].uid) })
	var before uint32
	open := false
	for _, i := range byUID {
		m := &r.messages[i]
		r.listed = append(r.listed, m.uid)
		if m.state != mixListed {
			open = open || m.state == mixDoubt // a data file that is missing says nothing of the index
			continue
		}
		r.verified = append(r.verified, m.uid)
		if open {
			r.gaps.add(before, m.uid)
		}
		open, before = false, m.uid
	}
	if open {
		r.gaps.add(before, maxMixUID+1)
	}
	r.gaps.close()
}

// lose gives up the place that the index has for a message. That the message is lost is
// told when all data files were looked through: it may be in another place.
func (r *mix) lose(m *mixMessage, why mixState) {
	if m.state < mixLost {
		m.state = why
	}
}

// reportLost tells of a message that is in the index only. elsewhere is the message
// that has its UID, nil if there is none.
func (r *mix) reportLost(m, elsewhere *mixMessage) {
	switch {
	case m.state == mixLost:
	case elsewhere == nil:
		r.find(KindDamage, mixDataName(m.file), m.position(), "the message with UID %d is lost: %s", m.uid, m.state.why())
	case elsewhere.state != mixStray: // else it was told where it is
		r.find(KindDamage, mixDataName(m.file), m.position(), "the index has UID %d more than once; this one is no message: %s", m.uid, m.state.why())
	}
	m.state = mixLost
}

// mixOrder is that of UIDs. Of several messages with one UID the one that keeps it is first.
func mixOrder(a, b mixMessage) int {
	return cmp.Or(cmp.Compare(a.uid, b.uid), cmp.Compare(a.state, b.state), cmp.Compare(a.file, b.file), cmp.Compare(a.position(), b.position()))
}

// sort puts the messages in the order of their UIDs, and finds those that need another.
func (r *mix) sort() {
	slices.SortFunc(r.messages, mixOrder)
	var previous uint32
	var keeps *mixMessage // that which has the UID previous
	salvaged := 0
	for i := range r.messages {
		m := &r.messages[i]
		switch {
		case m.state >= mixLost:
			if m.uid != previous {
				keeps = nil
			}
			r.reportLost(m, keeps)
			continue
		case m.state == mixStray && m.uid == previous && keeps.state == mixGuess && m.size == keeps.size:
			n := int64(keeps.prefix) + int64(keeps.size)
			r.account[ReasonDamage] += n
			r.found.find(Finding{Kind: KindDamage, File: mixDataName(keeps.file), Offset: keeps.position(), Length: n,
				Text: fmt.Sprintf("%d bytes of the data file are no message: that with UID %d, which the index has here, is in another place", n, m.uid)})
			r.find(KindDamage, mixDataName(m.file), m.position(), "the message with UID %d is here and not where the index has it", m.uid)
			keeps.state = mixLost
			*keeps, *m = *m, *keeps // flags are given to the first of a UID
			continue
		case m.state == mixStray && m.uid == previous:
			m.state = mixLost // what an expunge left where the message was before
			r.account[ReasonExpunged] += int64(m.prefix) + int64(m.size)
			continue
		case m.state == mixStray:
			r.find(KindDamage, mixDataName(m.file), m.position(), "the message with UID %d is here and not where the index has it", m.uid)
		case m.state == mixSalvage:
			salvaged++
		}
		switch {
		case m.uid == 0:
			m.state = mixNoUID
			r.find(KindUIDIgnored, mixDataName(m.file), m.position(), "the UID of this message is none that can be; it got a new one")
		case m.uid == previous:
			m.state = mixNoUID
			r.find(KindUIDIgnored, mixDataName(m.file), m.position(), "another message has UID %d too; this one got a new UID", previous)
		default:
			previous, keeps = m.uid, m
		}
	}
	if salvaged > 0 {
		r.find(KindDamage, mixIndexName, 0, "%d messages were taken from the data files because the index is damaged; some may have been expunged", salvaged)
	}
	r.last = max(r.last, previous)
}

// giveUIDs gives the messages that need one the next UIDs, or all new ones, when flags have
// been read by the old ones.
func (r *mix) giveUIDs() error {
	var need, all uint64
	for i := range r.messages {
		if state := r.messages[i].state; state != mixLost {
			all++
			if state == mixNoUID {
				need++
			}
		}
	}
	if need == 0 && r.last <= maxUID {
		return nil
	}
	anew := uint64(r.last)+need > maxUID
	if anew {
		if all > maxUID {
			return errors.New("the mailbox has more messages than there are UIDs")
		}
		r.validity, r.last = 0, 0
		r.find(KindUIDEpochLost, mixMetaName, 0, "UIDVALIDITY cannot be kept: "+uidsTooGreat)
	}
	for i := range r.messages {
		if m := &r.messages[i]; m.state == mixNoUID || anew && m.state != mixLost {
			r.last++
			m.uid = r.last
		}
	}
	slices.SortFunc(r.messages, mixOrder)
	return nil
}
