package cyrusspool

import (
	"bytes"
	"time"
)

// sentTimes returns the two times that Cyrus takes from a Date field: the midnight, in
// zone, of the day that it names, and the time itself, both in seconds since 1970
// (imap/message.c, message_create_record; lib/times.c, time_from_rfc5322). A date is known
// if it is as RFC 5322 and RFC 822 have it, between 1971 and 2037.
func sentTimes(date []byte, zone *time.Location) (day, at int64, ok bool) {
	v := dateValue(bytes.TrimLeft(date, " \t"))
	if len(v) > 3 && isLetter(v[0]) {
		if len(v.letters()) != 3 || !v.next(',') {
			return 0, 0, false
		}
		v.blanks()
	}
	mday, ok := v.number(1, 2)
	if !ok || !v.blanks() {
		return 0, 0, false
	}
	month, ok := v.month()
	if !ok || !v.blanks() {
		return 0, 0, false
	}
	year, ok := v.year()
	if !ok || !v.blanks() {
		return 0, 0, false
	}
	var clock [3]int
	for i := range clock {
		if i > 0 && !v.next(':') {
			if i == 2 {
				break
			}
			return 0, 0, false
		}
		if clock[i], ok = v.number(1, 2); !ok {
			return 0, 0, false
		}
	}
	offset, ok := v.zone()
	utc := time.Date(year, month, mday, clock[0], clock[1], clock[2], 0, time.UTC)
	if !ok || year < 1971 || year > 2037 || utc.Day() != mday || clock[0] > 23 || clock[1] > 59 || clock[2] > 59 {
		return 0, 0, false
	}
	if day, ok = midnight(year, month, mday, zone); !ok {
		return 0, 0, false
	}
	return day, utc.Unix() - int64(offset)*60, true
}

// internalTimes returns the same of a message without a Date field (imap/mailbox.c,
// mailbox_reconstruct_compare_update).
func internalTimes(date int64, zone *time.Location) (day, at int64, ok bool) {
	t := time.Unix(date, 0).In(zone)
	if t.Year() < 1971 || t.Year() > 2037 {
		return 0, 0, false
	}
	year, month, mday := t.Date()
	day, ok = midnight(year, month, mday, zone)
	return day, date, ok
}

// midnight returns the beginning of a day, unless clocks change on it or so near to it that
// it may not be there, or twice.
func midnight(year int, month time.Month, mday int, zone *time.Location) (at int64, ok bool) {
	t := time.Date(year, month, mday, 0, 0, 0, 0, zone)
	offset := zoneOffset(t)
	return t.Unix(), zoneOffset(t.Add(-4*time.Hour)) == offset && zoneOffset(t.Add(25*time.Hour)) == offset
}

func zoneOffset(t time.Time) int {
	_, offset := t.Zone()
	return offset
}

// A dateValue is the rest of a date that is being read.
type dateValue []byte

// blanks skips blanks, and tells whether there are any.
func (v *dateValue) blanks() bool {
	n := len(*v)
	*v = bytes.TrimLeft(*v, " \t")
	return len(*v) < n
}

func (v *dateValue) next(c byte) bool {
	if len(*v) == 0 || (*v)[0] != c {
		return false
	}
	*v = (*v)[1:]
	return true
}

func isLetter(c byte) bool { c = toLower(c); return 'a' <= c && c <= 'z' }

func (v *dateValue) letters() []byte {
	n := 0
	for n < len(*v) && isLetter((*v)[n]) {
		n++
	}
	word := (*v)[:n]
	*v = (*v)[n:]
	return word
}

// number takes all digits, if there are as many as that.
func (v *dateValue) number(least, most int) (value int, ok bool) {
	n := 0
	for ; n < len(*v) && '0' <= (*v)[n] && (*v)[n] <= '9' && n <= most; n++ {
		value = value*10 + int((*v)[n]-'0')
	}
	*v = (*v)[n:]
	return value, least <= n && n <= most && (len(*v) == 0 || !isLetter((*v)[0]))
}

func (v *dateValue) month() (month time.Month, ok bool) {
	word := v.letters()
	for month = time.January; month <= time.December; month++ {
		if bytes.EqualFold(word, []byte(month.String()[:3])) {
			return month, true
		}
	}
	return 0, false
}

// year takes a year of four digits, or of two, which is below 1970 in the next century.
func (v *dateValue) year() (year int, ok bool) {
	n := len(*v)
	if year, ok = v.number(2, 4); !ok {
		return 0, false
	}
	switch n - len(*v) {
	case 4:
		return year, true
	case 2:
		if year < 70 {
			year += 100
		}
		return year + 1900, true
	}
	return 0, false
}

// zone takes the zone, and returns its minutes east of Greenwich. What comes behind it
// does not matter to Cyrus. A date may have none, which is UTC.
func (v *dateValue) zone() (minutes int, ok bool) {
	if blank := v.blanks(); len(*v) == 0 {
		return 0, true
	} else if !blank {
		return 0, false
	}
	sign := (*v)[0]
	if sign == '+' || sign == '-' {
		*v = (*v)[1:]
		hhmm, ok := v.number(4, 4)
		minutes = hhmm/100*60 + hhmm%100
		if sign == '-' {
			minutes = -minutes
		}
		return minutes, ok && v.apart()
	}
	switch name := v.letters(); string(name) {
	case "GMT", "UT", "UTC", "Z":
	case "EST", "CDT":
		minutes = -5 * 60
	case "EDT":
		minutes = -4 * 60
	case "CST", "MDT":
		minutes = -6 * 60
	case "MST", "PDT":
		minutes = -7 * 60
	case "PST":
		minutes = -8 * 60
	default:
		return 0, false
	}
	return minutes, v.apart()
}

// apart tells whether the date ends here or goes on after a blank.
func (v *dateValue) apart() bool { return len(*v) == 0 || (*v)[0] == ' ' || (*v)[0] == '\t' }
