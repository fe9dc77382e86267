package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"time"
)

// The longest line of .mixindex or .mixstatus that is read: UW's buffer (mix.c mix_open,
// CHUNKSIZE; it gives up at a longer one). UW writes 67 bytes.
const maxMixLine = 64 << 10

// mixLines reads the lines of .mixindex and .mixstatus.
type mixLines struct {
	in  *bufio.Reader
	pos int64 // of the next line
}

func newMixLines(r io.Reader) *mixLines {
	return &mixLines{in: bufio.NewReaderSize(r, maxMixLine)}
}

// next returns a line without its line end, and its offset; io.EOF after the last. A line
// that is too long to be one is returned in part, and is not whole.
func (l *mixLines) next() (line []byte, offset int64, whole bool, err error) {
	offset = l.pos
	line, err = l.in.ReadSlice('\n')
	l.pos += int64(len(line))
	switch {
	case err == nil:
		return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), offset, true, nil
	case err == io.EOF && len(line) > 0:
		return line, offset, true, nil // UW reads it too; it has all its colons or not
	case !errors.Is(err, bufio.ErrBufferFull):
		return nil, offset, false, err
	}
	line = bytes.Clone(line[:80])
	for errors.Is(err, bufio.ErrBufferFull) {
		var more []byte
		more, err = l.in.ReadSlice('\n')
		l.pos += int64(len(more))
	}
	return line, offset, false, noEOF(err)
}

// record is next without empty lines and the sequence number that a file begins with.
func (l *mixLines) record() (line []byte, offset int64, whole bool, err error) {
	for {
		line, offset, whole, err = l.next()
		if err != nil || !whole || len(line) > 0 && (offset > 0 || !isMixSequence(line)) {
			return line, offset, whole, err
		}
	}
}

// cutHex cuts a hexadecimal number of 1 to 16 digits and the byte after it off b.
func cutHex(b []byte, end byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for i < len(b) && isHexDigit(b[i]) {
		if n>>60 != 0 {
			return 0, nil, false
		}
		n = n<<4 | uint64(hexDigit(b[i]))
		i++
	}
	if i == 0 || i == len(b) || b[i] != end {
		return 0, nil, false
	}
	return n, b[i+1:], true
}

// mixDateSize is the length of "yyyymmddhhmmss+zzzz".
const mixDateSize = 19

// cutMixDate cuts a date and the colon after it off b. seconds is 0 for what has the form
// of a date and is none that Cyrus can have.
func cutMixDate(b []byte) (seconds uint32, rest []byte, ok bool) {
	if len(b) <= mixDateSize || b[14] != '+' && b[14] != '-' || b[mixDateSize] != ':' {
		return 0, nil, false
	}
	var n [6]int
	for i, part := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:12], b[12:14]} {
		if n[i], ok = digits(part); !ok {
			return 0, nil, false
		}
	}
	if _, ok := digits(b[15:mixDateSize]); !ok {
		return 0, nil, false
	}
	s := stamp{year: n[0], month: time.Month(n[1]), day: n[2], hour: n[3], min: n[4], sec: n[5]}
	copy(s.zone[:], b[14:mixDateSize])
	if offset, ok := numericZone(s.zone); ok && n[1] >= 1 && n[1] <= 12 && s.possible() {
		if t := s.at(offset); representable(t) {
			seconds = uint32(t.Unix())
		}
	}
	return seconds, b[mixDateSize+1:], true
}

// mixSequence reads the first line of all four files: S and a hexadecimal number, which
// counts up at each change and means nothing here.
func isMixSequence(line []byte) bool {
	if len(line) < 2 || line[0] != 'S' {
		return false
	}
	for _, c := range line[1:] {
		if !isHexDigit(c) {
			return false
		}
	}
	return true
}

// parseMixIndexLine reads a record of .mixindex (mix.c IXRFMT, mix_parse):
//
//	:<UID>:<date>:<size>:<file>:<position>:<length of the record line>:<length of the header>:
//
// All numbers are hexadecimal and in bytes; rest is what follows, of a later version. What
// a mixMessage cannot hold makes no record: a UID above 2^32-2, a size of 4 GiB, a
// position of 1 TiB.
func parseMixIndexLine(line []byte) (m mixMessage, rest []byte, ok bool) {
	if len(line) == 0 || line[0] != ':' {
		return m, nil, false
	}
	uid, line, ok := cutHex(line[1:], ':')
	if !ok || uid == 0 || uid > maxMixUID {
		return m, nil, false
	}
	m.uid = uint32(uid)
	if m.date, line, ok = cutMixDate(line); !ok {
		return m, nil, false
	}
	var n [5]uint64 // size, file, position, length of the record line, of the header
	for i := range n {
		if n[i], line, ok = cutHex(line, ':'); !ok {
			return m, nil, false
		}
	}
	if n[0] > maxMixSize || n[1] > maxMixFile || n[2] > maxMixPosition {
		return m, nil, false
	}
	m.size, m.file = uint32(n[0]), uint32(n[1])
	m.setPosition(int64(n[2]))
	if n[3] <= maxMixRecordLine {
		m.prefix = uint8(n[3])
	}
	return m, line, true
}

// parseMixStatusLine reads a record of .mixstatus (mix.c STRFMT, mix_parse):
//
//	:<UID>:<keyword bits>:<flag bits>:<sequence of the last change>:
func parseMixStatusLine(line []byte) (uid, keywords, flags uint64, ok bool) {
	if len(line) == 0 || line[0] != ':' {
		return 0, 0, 0, false
	}
	line = line[1:]
	for _, to := range []*uint64{&uid, &keywords, &flags, new(uint64)} {
		if *to, line, ok = cutHex(line, ':'); !ok {
			return 0, 0, 0, false
		}
	}
	return uid, keywords, flags, true
}

// mixRecordLine is the line before each message of a data file (mix.c MSRFMT):
//
//	:msg:<UID>:<date>:<size>:CRLF
type mixRecordLine struct {
	uid    uint32 // 0: one that no message can have
	date   uint32 // as in a mixMessage
	size   uint32
	length uint8 // of the line, with its line end
}

const (
	mixToken = ":msg:"
	// mixRecordLineSize is the length that UW writes.
	mixRecordLineSize = 45
	// maxMixRecordLine is longer than a line with all its numbers at their widest.
	maxMixRecordLine = 255
)

// parseMixRecordLine reads a record line from the beginning of b. What may follow the
// fields, of a later version, is no other record line: there bytes of the file are missing.
func parseMixRecordLine(b []byte) (r mixRecordLine, ok bool) {
	if !bytes.HasPrefix(b, []byte(mixToken)) {
		return r, false
	}
	b = b[:min(len(b), maxMixRecordLine)]
	uid, rest, ok := cutHex(b[len(mixToken):], ':')
	if !ok {
		return r, false
	}
	if uid <= maxMixUID {
		r.uid = uint32(uid)
	}
	if r.date, rest, ok = cutMixDate(rest); !ok {
		return r, false
	}
	size, rest, ok := cutHex(rest, ':')
	end := bytes.Index(rest, []byte("\r\n"))
	if !ok || size > maxMixSize || end < 0 || bytes.IndexByte(rest[:end], '\n') >= 0 {
		return r, false
	}
	r.size, r.length = uint32(size), uint8(len(b)-len(rest)+end+2)
	return r, !bytes.Contains(b[1:r.length], []byte(mixToken))
}

// mixMeta is what .mixmeta says of the mailbox.
type mixMeta struct {
	validity, last       uint64
	hasValidity, hasLast bool
	keywords             []string
}

// maxMixMeta is the largest .mixmeta that is read; UW refuses a larger one (mix.c METAMAX).
const maxMixMeta = 1<<20 - 1

// parseMixMeta reads .mixmeta (mix.c mix_meta_slurp, mix_parse): lines of a letter and a
// hexadecimal number, S for the sequence, V for UIDVALIDITY, L for the last UID, N for the
// current data file, and K for the keywords, separated by one space each. bad is called for
// each line that UW would not accept; it does not open such a mailbox.
func parseMixMeta(data []byte, bad func(kind Kind, offset int, text string)) (m mixMeta) {
	for offset := 0; offset < len(data); {
		line, _ := cutLine(data[offset:])
		start := offset
		offset += len(line)
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
		number := func() (uint64, bool) {
			n, rest, ok := cutHex(append(bytes.Clone(line[1:]), 0), 0)
			return n, ok && len(rest) == 0
		}
		if len(line) == 0 {
			continue
		}
		ok := true
		switch line[0] {
		case 'S', 'N':
			_, ok = number()
		case 'V':
			m.validity, ok = number()
			m.hasValidity = ok
		case 'L':
			m.last, ok = number()
			m.hasLast = ok
		case 'K':
			m.keywords = parseMixKeywords(line[1:], func(kind Kind, text string) { bad(kind, start, text) })
		default:
			ok = len(line) == 1 // UW passes over an unknown letter only if nothing follows
		}
		if !ok {
			bad(KindDamage, start, "a line of the metadata cannot be read")
		}
	}
	return m
}

// parseMixKeywords reads the keywords. UW knows none after an empty name or one that is too
// long.
func parseMixKeywords(list []byte, bad func(Kind, string)) (names []string) {
	for len(list) > 0 {
		name, rest, _ := bytes.Cut(list, []byte{' '})
		switch {
		case len(names) == maxKeywords:
			bad(KindKeywordsLost, "there are more keywords than the 30 that UW knows; those are lost")
			return names
		case len(name) == 0 || len(name) > maxKeywordLength:
			bad(KindKeywordHole, "a keyword is empty or longer than the 50 bytes that UW knows; it and those after it are lost")
			return names
		}
		names = append(names, string(name))
		list = rest
	}
	return names
}
