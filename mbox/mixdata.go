package mbox

import (
	"bytes"
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
	r.listed = make([]uint32, len(r.messages))
	for i := range r.messages {
		r.listed[i] = r.messages[i].uid
	}
	slices.Sort(r.listed)
	listed := r.messages
	var salvage []mixMessage
	s := mixScan{mix: r, salvage: &salvage}
	s.win.buf = make([]byte, mixScanWindow)
	for _, data := range r.data {
		n := 0
		for ; n < len(listed) && listed[n].file < data.number; n++ {
			r.lose(&listed[n], "its data file is missing")
		}
		listed = listed[n:]
		for n = 0; n < len(listed) && listed[n].file == data.number; n++ {
		}
		if err := s.file(data, listed[:n]); err != nil {
			return err
		}
		listed = listed[n:]
	}
	for i := range listed {
		r.lose(&listed[i], "its data file is missing")
	}
	if s.expunged > 0 {
		r.find(KindExpunged, s.expungedFile, s.expungedAt, "%d messages of the data files are not in the index: they were expunged; the first is here", s.expunged)
	}
	r.listed = nil
	r.messages = append(r.messages, salvage...)
	r.sort()
	return nil
}

// lose gives up a message of the index.
func (r *mix) lose(m *mixMessage, why string) {
	m.state = mixLost
	r.find(KindDamage, mixDataName(m.file), m.position(), "the message with UID %d is lost: %s", m.uid, why)
}

// mixOrder is that of UIDs. Of several messages with one UID the one that keeps it is first.
func mixOrder(a, b mixMessage) int {
	return cmp.Or(cmp.Compare(a.uid, b.uid), cmp.Compare(a.state, b.state), cmp.Compare(a.file, b.file), cmp.Compare(a.position(), b.position()))
}

// sort puts the messages in the order of their UIDs, and finds those that need another.
func (r *mix) sort() {
	slices.SortFunc(r.messages, mixOrder)
	var previous uint32
	salvaged := 0
	for i := range r.messages {
		m := &r.messages[i]
		switch {
		case m.state == mixLost:
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
			previous = m.uid
		}
	}
	if salvaged > 0 {
		r.find(KindDamage, mixIndexName, 0, "%d messages were taken from the data files because the index is damaged; some may have been expunged", salvaged)
	}
	r.last = max(r.last, previous)
}

// giveUIDs gives the messages that need one the next UIDs, when flags have been read by
// the old ones.
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
	if need == 0 {
		return nil
	}
	anew := uint64(r.last)+need > maxUID
	if anew {
		if all > maxUID {
			return errors.New("the mailbox has more messages than there are UIDs")
		}
		r.validity, r.last = 0, 0
		r.find(KindUIDEpochLost, mixMetaName, 0, "UIDVALIDITY cannot be kept: UIDs would have more than 32 bits; they were given anew")
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

// mixScanWindow is how much of a data file is in memory while it is looked through.
const mixScanWindow = 64 << 10

// mixScan goes through data files from record to record. A place that the index names,
// and that holds a record line with its UID, is a record; so is what follows a record, if
// it begins with a record line. After damage the scan goes on at the next record line that
// leads to another or to the end of the file.
type mixScan struct {
	*mix
	name    string
	win     window                 // moves forward, over damage only
	side    [maxMixRecordLine]byte // for looking elsewhere
	size    int64
	salvage *[]mixMessage

	// sound is where search found a record before soundEnd, or that; see damage.
	sound, soundEnd int64

	expunged     int // messages
	expungedFile string
	expungedAt   int64
}

// file goes through one data file. listed are the index's messages in it, in their order
// there.
func (s *mixScan) file(data mixDataFile, listed []mixMessage) error {
	s.name = mixDataName(data.number)
	file, m, refused, err := s.dir.member(s.name)
	if err != nil {
		return err
	}
	if file == nil {
		s.mix.refused(s.name, data.size, "the data file was not read: %s", refused)
		for i := range listed {
			s.lose(&listed[i], "its data file was not read")
		}
		return nil
	}
	s.size = m.size
	s.win.src, s.win.end, s.win.n = file, m.size, 0
	s.sound, s.soundEnd = 0, 0
	if err := errors.Join(s.records(data.number, listed), file.Close()); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

func (s *mixScan) records(number uint32, listed []mixMessage) error {
	for pos := int64(0); pos < s.size; {
		for len(listed) > 0 && listed[0].position() < pos {
			s.lose(&listed[0], "the index has it inside another message")
			listed = listed[1:]
		}
		same := 0
		for same < len(listed) && listed[same].position() == pos {
			same++
		}
		here := listed[:same]
		listed = listed[same:]
		end, err := s.record(number, pos, here, listed)
		if err != nil {
			return err
		}
		pos = end
	}
	for i := range listed {
		s.lose(&listed[i], "the index has it beyond the end of the data file")
	}
	return nil
}

// record takes what begins at pos. here are the index's messages of that place, after
// those that follow. It returns the end of what it took, which is after pos.
func (s *mixScan) record(number uint32, pos int64, here, after []mixMessage) (int64, error) {
	line, ok, err := s.line(pos)
	if err != nil {
		return 0, err
	}
	if len(here) > 0 {
		m := &here[0]
		for i := range here {
			if ok && here[i].uid == line.uid {
				m = &here[i]
			}
		}
		for i := range here {
			if x := &here[i]; x != m {
				s.lose(x, "the index has another message in its place")
			}
		}
		took, err := s.choose(m, pos, line, ok)
		if err != nil {
			return 0, err
		}
		if took {
			return s.take(m, pos, after)
		}
	}
	if !ok {
		return s.damage(pos, after)
	}
	m := mixMessage{uid: line.uid, file: number, size: line.size, date: line.date, prefix: line.length, state: mixSalvage}
	m.setPosition(pos)
	_, inIndex := slices.BinarySearch(s.listed, line.uid)
	switch {
	case inIndex:
		m.state = mixStray
	case !s.gaps.has(line.uid):
		return s.expunge(&m, pos, after)
	case s.lastKnown && m.uid > s.last:
		m.uid = 0 // one wrong digit must not use up the UIDs of the mailbox
	}
	end, err := s.take(&m, pos, after)
	if err == nil && m.state != mixLost {
		*s.salvage = append(*s.salvage, m)
	}
	return end, err
}

// line reads the record line at pos.
func (s *mixScan) line(pos int64) (mixRecordLine, bool, error) {
	want := int(min(maxMixRecordLine, s.size-pos))
	if want <= 0 {
		return mixRecordLine{}, false, nil
	}
	b := s.win.held(pos)
	if len(b) < want {
		b = s.side[:want]
		if err := readFull(s.win.src, b, pos); err != nil {
			return mixRecordLine{}, false, err
		}
	}
	line, ok := parseMixRecordLine(b)
	return line, ok, nil
}

// isEnd reports whether a record can end at pos: there the file ends, or another begins.
func (s *mixScan) isEnd(pos int64) (bool, error) {
	if pos == s.size {
		return true, nil
	}
	_, ok, err := s.line(pos)
	return ok, err
}

// choose compares a message of the index with the record line in its place, and decides
// what is true. It is false if no message is there.
//
// UW obeys the index, but shows an empty header where token or UID differ (mix.c
// mix_header).
func (s *mixScan) choose(m *mixMessage, pos int64, line mixRecordLine, ok bool) (bool, error) {
	if !ok {
		prefix := int64(cmp.Or(m.prefix, mixRecordLineSize))
		end, err := s.isEnd(pos + prefix + int64(m.size))
		if err != nil {
			return false, err
		}
		if !end || m.size == 0 {
			s.lose(m, "its record in the data file is damaged")
			return false, nil
		}
		m.prefix = uint8(prefix)
		s.find(KindDamage, s.name, pos, "the record line of the message with UID %d is damaged; the message was kept as the index has it, UW shows an empty header", m.uid)
		return true, nil
	}
	m.prefix = line.length
	if line.uid != m.uid {
		if line.size != m.size {
			s.lose(m, fmt.Sprintf("the data file has another message in its place, with UID %d", line.uid))
			return false, nil
		}
		s.find(KindDamage, s.name, pos, "the data file has UID %d, the index UID %d; the index was believed, UW shows an empty header", line.uid, m.uid)
		return true, nil
	}
	if line.size != m.size {
		size := m.size
		byIndex, err := s.isEnd(pos + int64(line.length) + int64(m.size))
		if err != nil {
			return false, err
		}
		byLine, err := s.isEnd(pos + int64(line.length) + int64(line.size))
		if err != nil {
			return false, err
		}
		if byLine && !byIndex {
			size = line.size
		}
		s.find(KindDamage, s.name, pos, "the message with UID %d has %d bytes in the index and %d in the data file; %d were taken", m.uid, m.size, line.size, size)
		m.size = size
	}
	return true, nil
}

// limit returns where a record has to end whose text begins at start and should end at
// end: at the end of the file, where a message of the index begins, or, if nothing
// begins at end, where another record does.
func (s *mixScan) limit(start, end int64, after []mixMessage) (int64, error) {
	for i := range after {
		next := after[i].position()
		if next > end || next >= s.size {
			break
		}
		line, ok, err := s.line(next)
		if err != nil {
			return 0, err
		}
		if ok && line.uid == after[i].uid {
			return next, nil
		}
		if next == end {
			return end, nil
		}
	}
	if end = min(end, s.size); end <= start {
		return end, nil
	}
	if ok, err := s.isEnd(end); ok || err != nil {
		return end, err
	}
	return s.search(start, end)
}

// take makes the record at pos a message, cut short if it has to be.
func (s *mixScan) take(m *mixMessage, pos int64, after []mixMessage) (int64, error) {
	start := pos + int64(m.prefix)
	want := start + int64(m.size)
	end, err := s.limit(start, want, after)
	if err != nil {
		return 0, err
	}
	if end == want {
		return end, nil
	}
	if end <= start {
		m.state = mixLost
		s.mix.damage(s.name, pos, end-pos, "the message with UID %d is lost: its text is missing", m.uid)
		return end, nil
	}
	s.find(KindTruncated, s.name, pos, "the message with UID %d has %d bytes less than it should", m.uid, want-end)
	m.size = uint32(end - start)
	return end, nil
}

// expunge passes over a record that is not in the index.
func (s *mixScan) expunge(m *mixMessage, pos int64, after []mixMessage) (int64, error) {
	start := pos + int64(m.prefix)
	end, err := s.limit(start, start+int64(m.size), after)
	if err != nil {
		return 0, err
	}
	s.account[ReasonExpunged] += end - pos
	if s.expunged == 0 {
		s.expungedFile, s.expungedAt = s.name, pos
	}
	s.expunged++
	return end, nil
}

// damage passes over bytes at pos that are no record, to the next record line that leads
// to another or to a place where one must be; or to one before that which has room there
// for its message, though nothing follows it.
func (s *mixScan) damage(pos int64, after []mixMessage) (int64, error) {
	end := s.size
	if len(after) > 0 {
		end = min(end, after[0].position())
	}
	if s.soundEnd != end || s.sound <= pos { // else there is none before the one found last
		sound, err := s.search(pos+1, end)
		if err != nil {
			return 0, err
		}
		s.sound, s.soundEnd = sound, end
	}
	next, err := s.searchLine(pos+1, s.sound, func(end int64) (bool, error) { return end <= s.sound, nil })
	if err != nil {
		return 0, err
	}
	s.mix.damage(s.name, pos, next-pos, "%d bytes of the data file are no message", next-pos)
	return next, nil
}

// search returns the offset of the first record line from pos on, and before end, that
// leads to another record, to the end of the file or to end; or end.
func (s *mixScan) search(pos, end int64) (int64, error) {
	return s.searchLine(pos, end, func(next int64) (bool, error) {
		if next == end {
			return true, nil
		}
		return s.isEnd(next)
	})
}

// searchLine returns the offset of the first record line from pos on, and before end, that
// is good: it is asked with where the message would end. If there is none, it is end.
func (s *mixScan) searchLine(pos, end int64, good func(end int64) (bool, error)) (int64, error) {
	for pos < end {
		b, err := s.win.from(pos, len(mixToken))
		if err != nil {
			return 0, err
		}
		n := bytes.Index(b, []byte(mixToken))
		if n < 0 {
			pos += int64(max(1, len(b)-len(mixToken)+1))
			continue
		}
		if pos += int64(n); pos >= end {
			break
		}
		line, ok, err := s.line(pos)
		if err != nil {
			return 0, err
		}
		if ok {
			if ok, err = good(pos + int64(line.length) + int64(line.size)); ok || err != nil {
				return pos, err
			}
		}
		pos++
	}
	return end, nil
}
