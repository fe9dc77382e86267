package mbox

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
)

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
	far     window                 // moves forward too, ahead of win: see within
	side    [maxMixRecordLine]byte // for looking elsewhere
	size    int64
	salvage *[]mixMessage
	refused []uint32 // numbers of data files that must not be read

	anchors []mixMessage // those of the data file that anchor has not passed

	shaken bool // some of the index's messages are not where it has them

	// sound is where search found a record before soundEnd, or that; see damage.
	sound, soundEnd int64

	// inside is where within found a record before insideEnd, or that.
	inside, insideEnd int64

	expunged     int // messages
	expungedFile string
	expungedAt   int64
}

// each calls do for every data file that can be read, with the index's messages in it in
// their order there. What the index has in other files is lost.
func (s *mixScan) each(do func(s *mixScan, number uint32, listed []mixMessage) error) error {
	listed := s.messages
	for _, data := range s.data {
		n := 0
		for ; n < len(listed) && listed[n].file < data.number; n++ {
			s.lose(&listed[n], mixFileMissing)
		}
		listed = listed[n:]
		for n = 0; n < len(listed) && listed[n].file == data.number; n++ {
		}
		if err := s.file(data, listed[:n], do); err != nil {
			return err
		}
		listed = listed[n:]
	}
	for i := range listed {
		s.lose(&listed[i], mixFileMissing)
	}
	return nil
}

func (s *mixScan) file(data mixDataFile, listed []mixMessage, do func(s *mixScan, number uint32, listed []mixMessage) error) error {
	s.name = mixDataName(data.number)
	file, m, refused, err := s.dir.member(s.name)
	if err != nil {
		return err
	}
	if file == nil {
		if !slices.Contains(s.refused, data.number) {
			s.refused = append(s.refused, data.number)
			s.mix.refused(s.name, data.size, "the data file was not read: %s", refused)
		}
		for i := range listed {
			s.lose(&listed[i], mixFileUnread)
		}
		return nil
	}
	s.size = m.size
	s.reading = s.dir.blocks(s.name, file)
	s.win.src, s.win.end, s.win.n = s.reading, m.size, 0
	s.far.src, s.far.end, s.far.n = s.reading, m.size, 0
	s.sound, s.soundEnd = 0, 0
	s.inside, s.insideEnd = 0, 0
	if err := errors.Join(do(s, data.number, listed), file.Close()); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

// verify looks whether the index's messages are where it has them. A damaged record line
// will do if the most of it is there and the message ends as it should.
func (s *mixScan) verify(_ uint32, listed []mixMessage) error {
	for i := range listed {
		m := &listed[i]
		pos := m.position()
		b, err := s.at(pos)
		if err != nil {
			return err
		}
		line, ok := parseMixRecordLine(b)
		if ok {
			ok = line.uid == m.uid
		} else if m.resembles(b) {
			if ok, err = s.isEnd(pos + mixRecordLineSize + int64(m.size)); err != nil {
				return err
			}
		}
		if !ok {
			m.state = mixDoubt
		}
	}
	return nil
}

// resembles reports whether more than half of what can be known of a message's record line
// is at the beginning of b.
func (m *mixMessage) resembles(b []byte) bool {
	line := fmt.Sprintf("%s%08x:%*s:%08x:\r\n", mixToken, m.uid, mixDateSize, "", m.size) // blanks for the date
	same, known := 0, 0
	for i := range min(len(line), len(b)) {
		if line[i] != ' ' {
			known++
			if line[i] == b[i] {
				same++
			}
		}
	}
	return 2*same > known
}

// records goes through one data file.
func (s *mixScan) records(number uint32, listed []mixMessage) error {
	s.anchors = listed
	s.shaken = slices.ContainsFunc(listed, func(m mixMessage) bool { return m.state == mixDoubt })
	for pos := int64(0); pos < s.size; {
		for len(listed) > 0 && listed[0].position() < pos {
			s.lose(&listed[0], mixInside)
			listed = listed[1:]
		}
		same := 0
		for same < len(listed) && listed[same].position() == pos {
			same++
		}
		here := listed[:same]
		listed = listed[same:]
		end, err := s.record(number, pos, here)
		if err != nil {
			return err
		}
		pos = end
	}
	for i := range listed {
		s.lose(&listed[i], mixBeyond)
	}
	return nil
}

// record takes what begins at pos. here are the index's messages of that place. It returns
// the end of what it took, which is after pos.
func (s *mixScan) record(number uint32, pos int64, here []mixMessage) (int64, error) {
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
				s.lose(x, mixSamePlace)
			}
		}
		took, err := s.choose(m, pos, line, ok)
		if err != nil {
			return 0, err
		}
		if took {
			if m.state == mixDoubt && !ok && unreadable(s.reading, pos, pos+int64(m.prefix)+int64(m.size)) == nil {
				m.state = mixGuess
			} else {
				m.state = mixListed
			}
			return s.take(m, pos)
		}
	}
	if !ok {
		return s.damage(pos)
	}
	m := mixMessage{uid: line.uid, file: number, size: line.size, date: line.date, prefix: line.length, state: mixSalvage}
	m.setPosition(pos)
	_, inIndex := slices.BinarySearch(s.listed, line.uid)
	switch {
	case inIndex:
		m.state = mixStray
	case !s.gaps.has(line.uid):
		return s.expunge(&m, pos)
	case s.lastKnown && m.uid > s.last:
		m.uid = 0 // one wrong digit must not use up the UIDs of the mailbox
	}
	end, err := s.take(&m, pos)
	if err == nil && m.state != mixLost {
		*s.salvage = append(*s.salvage, m)
	}
	return end, err
}

// at returns what a record line at pos is in: nothing beyond the end of the file.
func (s *mixScan) at(pos int64) ([]byte, error) {
	want := int(min(maxMixRecordLine, s.size-pos))
	if want <= 0 {
		return nil, nil
	}
	if b := s.win.held(pos); len(b) >= want {
		return b, nil
	}
	return s.side[:want], readFull(s.win.src, s.side[:want], pos)
}

// line reads the record line at pos.
func (s *mixScan) line(pos int64) (mixRecordLine, bool, error) {
	b, err := s.at(pos)
	if err != nil {
		return mixRecordLine{}, false, err
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
	// What cannot be read says nothing against it.
	return ok || unreadable(s.reading, pos, min(pos+mixRecordLineSize, s.size)) != nil, err
}

// choose compares a message of the index with the record line in its place, and decides
// what is true. It is false if no message is there.
//
// UW obeys the index, but shows an empty header where token or UID differ (mix.c
// mix_header).
func (s *mixScan) choose(m *mixMessage, pos int64, line mixRecordLine, ok bool) (bool, error) {
	if !ok {
		prefix := int64(cmp.Or(m.prefix, mixRecordLineSize))
		end := pos + prefix + int64(m.size)
		there, err := s.isEnd(end)
		if err != nil {
			return false, err
		}
		if there { // by chance, if another record is inside
			inside, err := s.within(pos, end)
			if err != nil {
				return false, err
			}
			there = !inside
		}
		if !there || m.size == 0 {
			s.lose(m, mixDamaged)
			return false, nil
		}
		m.prefix = uint8(prefix)
		s.find(KindDamage, s.name, pos, "the record line of the message with UID %d is damaged; the message was kept as the index has it, UW shows an empty header", m.uid)
		return true, nil
	}
	m.prefix = line.length
	if line.uid != m.uid {
		_, listed := slices.BinarySearch(s.listed, line.uid)
		_, verified := slices.BinarySearch(s.verified, line.uid)
		if line.size != m.size || listed && !verified || s.gaps.has(line.uid) {
			s.lose(m, mixOtherThere)
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
		if byLine && (!byIndex || line.size < size) { // both lead on: rather the one that takes no other record
			size = line.size
		}
		s.find(KindDamage, s.name, pos, "the message with UID %d has %d bytes in the index and %d in the data file; %d were taken", m.uid, m.size, line.size, size)
		m.size = size
	}
	return true, nil
}

// within reports whether a record line that leads on is after pos and before end, where a
// record can end. pos never decreases. Nothing is searched twice: many places of an index
// can lead to one end.
func (s *mixScan) within(pos, end int64) (bool, error) {
	if s.inside <= pos { // pos has passed all that was searched
		s.inside, s.insideEnd = pos+1, pos+1
	}
	if s.inside == s.insideEnd && s.inside < end {
		// win stays where damage is; moving it there and back would read it each time.
		s.win, s.far = s.far, s.win
		inside, err := s.search(s.inside, end, end)
		s.win, s.far = s.far, s.win
		if err != nil {
			return false, err
		}
		s.inside, s.insideEnd = inside, end
	}
	return s.inside < end, nil
}

// anchor returns the place of the first message after pos that is where the index has it,
// or the end of the file. pos never decreases.
func (s *mixScan) anchor(pos int64) int64 {
	for len(s.anchors) > 0 && (s.anchors[0].state != mixListed || s.anchors[0].position() <= pos) {
		s.anchors = s.anchors[1:]
	}
	if len(s.anchors) == 0 {
		return s.size
	}
	return min(s.size, s.anchors[0].position())
}

// limit returns where a record at pos has to end whose text begins at start and should end
// at end: at the next anchor, or, if nothing begins at end, where another record does. In
// a file that the index does not agree with, that something begins at end may be chance.
func (s *mixScan) limit(pos, start, end int64) (int64, error) {
	anchor := s.anchor(pos)
	if anchor <= end && anchor < s.size {
		return anchor, nil
	}
	if end <= start {
		return end, nil
	}
	if ok, err := s.isEnd(end); err != nil || ok && !s.shaken {
		return end, err
	}
	return s.search(start, min(end, s.size), anchor)
}

// take makes the record at pos a message, cut short if it has to be.
func (s *mixScan) take(m *mixMessage, pos int64) (int64, error) {
	start := pos + int64(m.prefix)
	want := start + int64(m.size)
	end, err := s.limit(pos, start, want)
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
func (s *mixScan) expunge(m *mixMessage, pos int64) (int64, error) {
	start := pos + int64(m.prefix)
	end, err := s.limit(pos, start, start+int64(m.size))
	if err != nil {
		return 0, err
	}
	if unreadable(s.reading, pos, end) != nil {
		s.mix.damage(s.name, pos, end-pos, "an expunged message")
		return end, nil
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
func (s *mixScan) damage(pos int64) (int64, error) {
	anchor := s.anchor(pos)
	if s.soundEnd != anchor || s.sound <= pos { // else there is none before the one found last
		sound, err := s.search(pos+1, anchor, anchor)
		if err != nil {
			return 0, err
		}
		s.sound, s.soundEnd = sound, anchor
	}
	next, err := s.searchLine(pos+1, s.sound, func(end int64) (bool, error) { return end <= s.sound, nil })
	if err != nil {
		return 0, err
	}
	s.mix.damage(s.name, pos, next-pos, "%d bytes of the data file are no message", next-pos)
	return next, nil
}

// search returns the offset of the first record line from pos on, and before end, that
// leads to another record, to the end of the file or to the anchor; or end.
func (s *mixScan) search(pos, end, anchor int64) (int64, error) {
	return s.searchLine(pos, end, func(next int64) (bool, error) {
		if next == anchor {
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
