package mbox

import (
	"bytes"
	"time"
)

// maxRecordLine is how far UW looks for the end of a record line (mbx.c mbx_parse,
// tenex.c tenex_parse, mtx.c mtx_parse).
const maxRecordLine = 64

// record is what the line before a message says:
//
//	dd-mmm-yyyy hh:mm:ss +zzzz,size;flags
//
// with flags as the format has them.
type record struct {
	line  int64 // bytes of the line, with its end
	size  int64 // bytes of the message
	stamp stamp
	recordFlags
}

// recordFlags is what follows the semicolon.
type recordFlags struct {
	flags    Flags // with Recent
	keywords uint64
	uid      uint64 // 0: none, or not yet
	expunged bool
}

// parseRecord reads the record line that b begins with, as leniently as UW does. Other
// than in UW, a date as long as UW writes it need not be a date: the size is what counts.
// A shorter one must be, of an expunged message too, or the rest of any line whose
// beginning is lost would be a line.
func (f *recordFormat) parseRecord(b []byte) (rec record, ok bool) {
	b = b[:min(len(b), maxRecordLine)]
	i := bytes.IndexByte(b, f.eol[0])
	if i < 0 || !bytes.HasPrefix(b[i:], []byte(f.eol)) || bytes.IndexByte(b[:i], 0) >= 0 {
		return rec, false
	}
	date, rest, ok := bytes.Cut(b[:i], []byte(","))
	if !ok {
		return rec, false
	}
	size, flags, ok := bytes.Cut(rest, []byte(";"))
	if !ok {
		return rec, false
	}
	size = bytes.TrimLeft(size, " ")
	n, junk := number(size)
	if len(junk) == len(size) || len(junk) > 0 && !f.junkAfterSize {
		return rec, false
	}
	if rec.recordFlags, ok = f.parseFlags(flags); !ok {
		return rec, false
	}
	rec.line, rec.size = int64(i+len(f.eol)), int64(n)
	rec.stamp, ok = parseRecordDate(date)
	return rec, ok || len(date) == len(writtenDate)
}

// System flags, as all three formats have them (c-client mail.h).
const (
	bitSeen     = 0x1
	bitDeleted  = 0x2
	bitFlagged  = 0x4
	bitAnswered = 0x8
	bitOld      = 0x10
	bitDraft    = 0x20
	bitExpunged = 0x8000
)

// systemFlags translates them. What UW has not marked as old is recent.
func systemFlags(bits uint64) (flags Flags) {
	for _, f := range [...]struct {
		bit  uint64
		flag Flags
	}{{bitSeen, Seen}, {bitDeleted, Deleted}, {bitFlagged, Flagged}, {bitAnswered, Answered}, {bitDraft, Draft}} {
		if bits&f.bit != 0 {
			flags |= f.flag
		}
	}
	if bits&bitOld == 0 {
		flags |= Recent
	}
	return flags
}

// writtenDate is how UW writes the date of a record (mail.c mail_date): 26 bytes in which
// 0 stands for a digit, a for a letter and + for a sign. The first may be a space.
const writtenDate = "00-aaa-0000 00:00:00 +0000"

// writtenRecord returns the length of a record line of UW's own making that ends in b with
// what follows the semicolon at index i, and how many bytes before the semicolon it
// begins; ok is false if there is none. It is stricter than parseRecord, for it is asked
// about any semicolon of a message.
func (f *recordFormat) writtenRecord(b []byte, i int) (before int, ok bool) {
	if !f.isFlags(b[i+1:]) {
		return 0, false
	}
	digits := 0
	for digits < i && digits <= 19 && isDigit(b[i-1-digits]) {
		digits++
	}
	start := i - digits - 1 - len(writtenDate)
	if digits == 0 || start < 0 || b[i-1-digits] != ',' {
		return 0, false
	}
	date := b[start : start+len(writtenDate)]
	for j, c := range []byte(writtenDate) {
		switch d := date[j]; {
		case c == '0' && (isDigit(d) || j == 0 && d == ' '):
		case c == 'a' && isLetter(d):
		case c == '+' && (d == '+' || d == '-'):
		case c == d && c != '0' && c != 'a' && c != '+':
		default:
			return 0, false
		}
	}
	return i - start, true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isHexDigit(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// parseRecordDate reads the date of a record line; ok says that it is one to UW (mail.c
// mail_parse_date), if perhaps one that no calendar has. The year may have two digits, the
// time or its seconds may be missing, and the zone may be a name after a space or a
// hyphen, as the first programs that wrote the formats had it. The forms that begin with a
// year or have slashes are not read: no record has them.
func parseRecordDate(b []byte) (s stamp, ok bool) {
	s.day, b = leadingNumber(b)
	if s.day < 1 || s.day > 31 || len(b) < 5 || b[0] != '-' && b[0] != ' ' {
		return s, false
	}
	delimiter := b[0]
	if delimiter == ' ' {
		b = append([]byte{' '}, bytes.TrimLeft(b, " ")...)
	}
	if s.month, ok = parseMonth(b[1:min(len(b), 4)]); !ok {
		return s, false
	}
	b = b[4:]
	for len(b) > 0 && isLetter(b[0]) { // a name in full
		b = b[1:]
	}
	if len(b) == 0 || b[0] != delimiter {
		return s, false
	}
	b = bytes.TrimLeft(b[1:], " ")
	if len(b) == 0 || !isDigit(b[0]) {
		return s, false
	}
	s.year, b = leadingNumber(b)
	s.year = fullYear(s.year)
	if s.year < 1970 || s.year > 2097 {
		return s, false
	}
	if len(b) > 0 {
		if b[0] != ' ' {
			return s, false
		}
		if s.hour, b = leadingNumber(b[1:]); len(b) == 0 || b[0] != ':' {
			return s, false
		}
		if s.min, b = leadingNumber(b[1:]); len(b) > 0 && b[0] == ':' {
			s.sec, b = leadingNumber(b[1:])
		}
		if s.hour > 23 || s.min > 59 || s.sec > 60 {
			return s, false
		}
		s.setZone(b)
	}
	s.valid = s.possible()
	return s, true
}

// leadingNumber is strtoul(3): it passes over white space, and no digits are 0. What is
// too great for any part of a date stays so, and so does what is negative.
func leadingNumber(b []byte) (int, []byte) {
	const tooGreat = 1 << 30
	b = bytes.TrimLeft(b, " \t\n\v\f\r")
	negative := len(b) > 1 && b[0] == '-' && isDigit(b[1])
	if negative || len(b) > 1 && b[0] == '+' && isDigit(b[1]) {
		b = b[1:]
	}
	n, rest := number(b)
	if negative && n > 0 {
		return tooGreat, rest
	}
	return int(min(n, tooGreat)), rest
}

// setZone takes what follows the time: nothing, " +hhmm", " ZZZ" or "-ZZZ"; UW ignores
// anything else.
func (s *stamp) setZone(b []byte) {
	zone := bytes.TrimLeft(b, " ")
	switch {
	case len(zone) < len(b) && (len(zone) == 0 || !isLetter(zone[0])):
		copy(s.zone[:], "+????") // if it is not four digits, UW takes it for +0000 too
		sign := byte('+')
		if len(zone) > 0 && (zone[0] == '+' || zone[0] == '-') {
			sign, zone = zone[0], zone[1:]
		}
		if len(zone) >= 4 {
			s.zone = [5]byte{sign, zone[0], zone[1], zone[2], zone[3]}
		}
		return
	case len(zone) < len(b):
	case bytes.HasPrefix(b, []byte("-")):
		zone = b[1:]
	default:
		return
	}
	switch name := string(bytes.ToUpper(zone)); {
	case name == "UT" || name == "Z":
		copy(s.zone[:], "UTC")
	case len(name) == 3:
		copy(s.zone[:], name)
	default:
		copy(s.zone[:], "?")
	}
}

// recordDate is the internal date of a message: that of its record line, else the best
// that its header has, else that of the file. doubt says what is wrong with the line's,
// "" if nothing is.
func recordDate(rec *record, head []byte, opts *Options) (t time.Time, source DateSource, doubt string) {
	if rec.stamp.valid {
		t, source, badZone := rec.stamp.time(opts.Location)
		if representable(t) {
			switch {
			case badZone:
				doubt = "a zone that is unknown or wrong"
			case source == FromLineLocal:
				doubt = "no zone"
			}
			return t, RecordLine, doubt
		}
	}
	t, source, ok := headerDate(head)
	if !ok {
		t, source = opts.ModTime.Truncate(time.Second), FileTime
		if !representable(t) {
			t = time.Unix(1, 0)
		}
	}
	return t, source, ""
}
