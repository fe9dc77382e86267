package mbox

import (
	"bytes"
	"net/mail"
	"strings"
	"time"
)

// DateSource says where the internal date of a message comes from.
type DateSource uint8

// The sources of an internal date, best first.
const (
	FromLine      DateSource = iota // the From_ line, which has a usable zone
	FromLineLocal                   // the From_ line, read in the zone of the source host
	Received                        // the top Received field
	DateHeader                      // the Date field
	FileTime                        // the time the file was last modified
	RecordLine                      // best again: what mbx, tenex and mtx write before a message
)

func (s DateSource) String() string {
	switch s {
	case FromLine:
		return "from-line"
	case FromLineLocal:
		return "from-line-local"
	case Received:
		return "received"
	case DateHeader:
		return "date-header"
	case RecordLine:
		return "record-line"
	}
	return "file-time"
}

// zones are the zone names believed in a From_ line, in seconds east of UTC. The first
// row is what UW knows (c-client mail.c, mail_parse_date); the second adds names that
// mean one zone only. BST, IST, SST and NST mean several and are left out.
var zones = map[string]int{
	"UTC": 0, "GMT": 0, "MET": 1, "EET": 2, "JST": 9, "ADT": -3, "AST": -4, "EDT": -4, "EST": -5,
	"CDT": -5, "CST": -6, "MDT": -6, "MST": -7, "PDT": -7, "PST": -8, "YDT": -8, "YST": -9, "HST": -10,

	"CET": 1, "WET": 0, "MSK": 3, "KST": 9, "HKT": 8,
}

// looseZones are names of four letters, which only RepairLoose accepts, and which mean one
// zone only.
var looseZones = map[string]int{"CEST": 2, "MEST": 2, "MESZ": 2, "EEST": 3, "WEST": 1, "AEST": 10, "AEDT": 11}

// stamp is the date of a From_ line as it stands there.
type stamp struct {
	year             int
	month            time.Month
	day              int
	hour, min, sec   int
	zone             [5]byte // "+0200", "CET\0\0" or NULs
	valid            bool    // the values are a date between 1970 and 2097, as UW asks
	fromMailerDaemon bool
}

// parseStamp reads the date of a line that parseFromLine accepted. As in UW
// (mail_parse_date) any number may have spaces instead of leading zeros.
func parseStamp(line []byte, f fromLine) (s stamp) {
	at := func(i, n int) []byte { return line[f.end+i : f.end+i+n] }
	padded := func(i, n int) (int, bool) { return digits(bytes.TrimLeft(at(i, n), " ")) }
	s.fromMailerDaemon = bytes.HasPrefix(line, mailerDaemon)
	var ok [6]bool
	s.month, ok[0] = parseMonth(at(f.time-6, 3))
	s.day, ok[1] = padded(f.time-2, 2)
	s.year, ok[2] = padded(f.year, 4)
	s.year = fullYear(s.year)
	s.hour, ok[3] = padded(f.time+1, 2)
	s.min, ok[4] = padded(f.time+4, 2)
	ok[5] = true
	if at(f.time+6, 1)[0] == ':' {
		s.sec, ok[5] = padded(f.time+7, 2)
	}
	if f.zone != 0 {
		n := 5
		if f.zone == -9 || f.zone == -4 {
			n = 3
		}
		copy(s.zone[:], at(f.zone+1, n))
	}
	s.valid = ok == [6]bool{true, true, true, true, true, true} && s.possible()
	return s
}

// possible reports whether there is such a date and time, between 1970 and 2097.
func (s *stamp) possible() bool {
	return s.year >= 1970 && s.year <= 2097 && s.hour < 24 && s.min < 60 && s.sec <= 60 &&
		s.day >= 1 && s.day <= time.Date(s.year, s.month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// fullYear is the year that UW takes one of two or three digits for (mail_parse_date): as
// RFC 2822 4.3 has it, but 49 is 1949. Programs that were not made for the year 2000 wrote
// 103 for 2003.
func fullYear(year int) int {
	switch {
	case year < 49:
		return year + 2000
	case year < 999:
		return year + 1900
	}
	return year
}

// parseMonth knows the English abbreviations in any case.
func parseMonth(b []byte) (time.Month, bool) {
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	for m := 0; m < 12; m++ {
		if strings.EqualFold(string(b), names[3*m:3*m+3]) {
			return time.Month(m + 1), true
		}
	}
	return 1, false
}

func digits(b []byte) (n int, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, len(b) > 0
}

// time returns the instant of a valid stamp. zoneDoubt says that the line names a zone
// which could not be used: a numeric one that is none counts as +0000, as in UW, a name
// that is not in zones as no zone.
//
// UW gives a time without a zone the offset that local time has when it is asked, wrong
// for half of the year; here the zone of the host at that wall clock time is used.
func (s *stamp) time(loc *time.Location) (t time.Time, source DateSource, zoneDoubt bool) {
	switch {
	case s.zone[4] != 0:
		offset, ok := numericZone(s.zone)
		return s.at(offset), FromLine, !ok
	case s.zone[0] != 0:
		name := bytes.ToUpper(bytes.TrimRight(s.zone[:], "\x00"))
		hours, ok := zones[string(name)]
		if !ok {
			hours, ok = looseZones[string(name)]
		}
		if ok {
			return s.at(hours * 3600), FromLine, false
		}
		zoneDoubt = true
	}
	return s.local(loc), FromLineLocal, zoneDoubt
}

// numericZone reads +hhmm as UW does (mail_parse_date): the third digit must be below 6.
// More than 15 hours do not fit UW's fields and name no place on earth.
func numericZone(z [5]byte) (offset int, ok bool) {
	n, ok := digits(z[1:])
	if !ok || z[3] > '5' || n/100 > 15 {
		return 0, false
	}
	offset = n/100*3600 + n%100*60
	if z[0] == '-' {
		offset = -offset
	}
	return offset, true
}

func (s *stamp) at(offset int) time.Time {
	return time.Date(s.year, s.month, s.day, s.hour, s.min, s.sec, 0, time.UTC).Add(-time.Duration(offset) * time.Second)
}

// local returns the stamp as wall clock time of loc. Where clocks were put back and the
// hour came twice it is the first; where they were put forward and the time never was,
// it is counted on from before the change, as mktime(3) does.
func (s *stamp) local(loc *time.Location) time.Time {
	wall := s.at(0)
	const day = 24 * time.Hour // a zone changes its offset less than once in two days
	_, before := wall.Add(-day).In(loc).Zone()
	_, after := wall.Add(day).In(loc).Zone()
	a, b := s.at(before), s.at(after)
	if b.Before(a) {
		a, b = b, a
	}
	for _, t := range [...]time.Time{a, b} {
		if _, offset := t.In(loc).Zone(); t.Add(time.Duration(offset) * time.Second).Equal(wall) {
			return t
		}
	}
	return s.at(before)
}

// maxUnix is the last second that an unsigned 32-bit time holds, as Cyrus keeps it.
const maxUnix = 1<<32 - 1

func representable(t time.Time) bool { return t.Unix() >= 1 && t.Unix() <= maxUnix }

// headerDate finds a date in a raw header: of the top Received field, else of the Date
// field.
func headerDate(header []byte) (time.Time, DateSource, bool) {
	if v := field(header, "Received"); v != "" {
		if t, ok := parseDate(v[strings.LastIndexByte(v, ';')+1:]); ok {
			return t, Received, true
		}
	}
	if t, ok := parseDate(field(header, "Date")); ok {
		return t, DateHeader, true
	}
	return time.Time{}, 0, false
}

// parseDate reads a date of RFC 5322 3.3. A zone name means what it means in a From_
// line: package time would take one that it does not know for UTC.
func parseDate(s string) (time.Time, bool) {
	t, err := mail.ParseDate(strings.TrimSpace(s))
	if err != nil {
		return time.Time{}, false
	}
	if name, _ := t.Zone(); name != "" {
		if hours, ok := zones[name]; ok {
			t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC).Add(-time.Duration(hours) * time.Hour)
		}
	}
	return t, representable(t)
}

// field returns the value of the first field of that name, unfolded, without CRs; "" if
// there is none.
func field(header []byte, name string) string {
	for len(header) > 0 {
		line, rest := cutLine(header)
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			value := append([]byte(nil), line[len(name)+1:]...)
			for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
				line, rest = cutLine(rest)
				value = append(value, line...)
			}
			return strings.TrimSpace(strings.NewReplacer("\r", "", "\n", "").Replace(string(value)))
		}
		header = rest
	}
	return ""
}

// cutLine cuts b after its first LF.
func cutLine(b []byte) (line, rest []byte) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i+1], b[i+1:]
	}
	return b, nil
}
