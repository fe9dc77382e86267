package mbox

import (
	"bytes"
	"regexp"
)

var fromPrefix = []byte("From ")

// fromLine is what the columns of a From_ line say: where its parts are, counted
// backwards from the end of the date.
type fromLine struct {
	end  int // one past the date: before CR, LF and " remote from HOST"
	time int // of the space before hh:mm, relative to end
	zone int // of the space before the zone, relative to end; 0: no zone
	year int // of the first digit of the year, relative to end
}

// parseFromLine applies UW's test for a separator (unix.h, macro VALID) to a line that
// ends with its LF. Only columns count: no digit, month or day is looked at, so
// "From what I see the car was at 10:30 here" separates messages and a line with the
// zone CEST does not. Of the CRs before the LF at most crs are taken off: one in UW.
func parseFromLine(line []byte, crs int) (f fromLine, ok bool) {
	x := len(line) - 1
	if x < len(fromPrefix) || line[x] != '\n' || !bytes.HasPrefix(line, fromPrefix) || bytes.IndexByte(line, 0) >= 0 {
		return f, false
	}
	for ; crs > 0 && line[x-1] == '\r'; crs-- {
		x--
	}
	if x >= 41 {
		x = len(cutRemote(line[:x]))
	}
	if x < 27 {
		return f, false
	}
	at := func(i int) byte {
		if x+i < 0 {
			return 0
		}
		return line[x+i]
	}
	signed := func(i int) bool { return at(i) == '+' || at(i) == '-' }
	f.end = x
	switch {
	case at(-5) == ' ': // the year comes last
		f.year = -4
		switch {
		case at(-8) == ':': // hh:mm[:ss] yyyy
			f.time = -5
		case at(-9) == ' ': // hh:mm[:ss] zzz yyyy
			f.zone, f.time = -9, -9
		case at(-11) == ' ' && signed(-10): // hh:mm[:ss] +hhmm yyyy
			f.zone, f.time = -11, -11
		}
	case at(-4) == ' ':
		if at(-9) == ' ' { // hh:mm[:ss] yyyy zzz
			f.year, f.zone, f.time = -8, -4, -9
		}
	case at(-6) == ' ':
		if at(-11) == ' ' && signed(-5) { // hh:mm[:ss] yyyy +hhmm
			f.year, f.zone, f.time = -10, -6, -11
		}
	}
	if f.time == 0 || at(f.time-3) != ':' {
		return f, false
	}
	if at(f.time-6) == ':' {
		f.time -= 9
	} else {
		f.time -= 6 // no seconds
	}
	return f, at(f.time) == ' ' && at(f.time-3) == ' ' && at(f.time-7) == ' ' && at(f.time-11) == ' '
}

// cutRemote takes " remote from HOST" off the end of a line.
func cutRemote(line []byte) []byte {
	const remote = " remote from"
	if p := bytes.LastIndexByte(line, ' '); p >= len(remote) && string(line[p-len(remote):p]) == remote {
		return line[:p-len(remote)]
	}
	return line
}

// looseDate is the end of a From_ line as other programs wrote it: with a zone of four
// letters, a day of one column, or neither. Other than for UW, all must be real names.
var looseDate = regexp.MustCompile(`(?i) (?:mon|tue|wed|thu|fri|sat|sun) (jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)` +
	`  ?(\d\d?) (\d\d):(\d\d)(?::(\d\d))?(?: ([a-z]{3,4}|[+-]\d{4}))? (\d{4})(?: ([a-z]{3,4}|[+-]\d{4}))?$`)

// longestLooseDate is the length of the longest that looseDate matches, with two zones,
// which it should not have, and more.
const longestLooseDate = 48

// parseLooseFromLine reads the date of a line that parseFromLine does not accept, if it is
// a possible one. Of the CRs before the LF at most crs are taken off.
func parseLooseFromLine(line []byte, crs int) (s stamp, ok bool) {
	n := len(line) - 1
	if n < len(fromPrefix) || line[n] != '\n' || !bytes.HasPrefix(line, fromPrefix) || bytes.IndexByte(line, 0) >= 0 {
		return s, false
	}
	for ; crs > 0 && line[n-1] == '\r'; crs-- {
		n--
	}
	text := cutRemote(line[:n])
	if len(text) < len(fromPrefix) {
		return s, false
	}
	// The space before the date may be that of "From ".
	text = text[max(len(fromPrefix)-1, len(text)-longestLooseDate):]
	if bytes.IndexByte(text, ':') < 0 {
		return s, false
	}
	m := looseDate.FindSubmatch(text)
	if m == nil || len(m[6]) > 0 && len(m[8]) > 0 {
		return s, false
	}
	s.fromMailerDaemon = bytes.HasPrefix(line, mailerDaemon)
	s.month, _ = parseMonth(m[1])
	s.day, _ = digits(m[2])
	s.hour, _ = digits(m[3])
	s.min, _ = digits(m[4])
	s.sec, _ = digits(m[5])
	s.year, _ = digits(m[7])
	copy(s.zone[:], m[6])
	if len(m[6]) == 0 {
		copy(s.zone[:], m[8])
	}
	s.valid = s.possible()
	return s, s.valid
}

// fromTail keeps what parseFromLine looks at of a line that is too long to be held: its
// end, and what precedes its last word, which may be the host of " remote from HOST".
type fromTail struct {
	n       int64  // bytes added
	end     []byte // the last of them, at most tailSize
	beforeN int64  // bytes up to and with the last space
	before  []byte // the last of them, at most tailSize
}

// tailSize covers the longest date that parseFromLine accepts, 31 columns, and
// " remote from ".
const tailSize = 64

// add takes the next piece of the line.
func (t *fromTail) add(piece []byte) {
	if i := bytes.LastIndexByte(piece, ' '); i >= 0 {
		t.before = lastBytes(append(t.before[:0], t.end...), piece[:i+1])
		t.beforeN = t.n + int64(i) + 1
	}
	t.end = lastBytes(t.end, piece)
	t.n += int64(len(piece))
}

// lastBytes appends b to a and keeps the last tailSize bytes, in a's memory.
func lastBytes(a, b []byte) []byte {
	if len(b) >= tailSize {
		return append(a[:0], b[len(b)-tailSize:]...)
	}
	a = append(a, b...)
	if n := len(a) - tailSize; n > 0 {
		a = append(a[:0], a[n:]...)
	}
	return a
}

// line returns a short line that parseFromLine judges, and parseStamp reads, as it would
// the long one whose pieces were added; the last of them ends with the LF.
func (t *fromTail) line() []byte {
	if t.n == int64(len(t.end)) { // all of it: how long it is counts, and its host may be empty
		return t.end
	}
	kept, n, host := t.end, t.n, ""
	if bytes.HasSuffix(t.before, []byte(" remote from ")) {
		kept, n, host = t.before, t.beforeN, "h\n"
	}
	var short []byte
	if n > int64(len(kept)) {
		short = append(short, fromPrefix...)
	}
	return append(append(short, kept...), host...)
}
