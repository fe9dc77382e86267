package calibrate

import (
	"fmt"
	"strings"
	"time"

	"mbox2cyrus/internal/plural"
)

// Verdict is what a sample says about the zone that dates are read in.
type Verdict struct {
	Counts
	Contradicts bool   // the dates should be read otherwise: a person must choose
	Text        string // for people, with the numbers; "" if there was nothing to look at
}

const (
	enough = 10 // messages, to conclude anything
	most   = 80 // per cent, that must agree
)

// Verdict concludes from the sample as it is.
func (s *Sample) Verdict() Verdict {
	c := s.Counts()
	v := Verdict{Counts: c}
	told := c.Compared - c.Unclear
	readAs := s.readAs()
	switch {
	case c.Looked == 0:
		return v
	case told < enough:
		v.Text = fmt.Sprintf("From_ dates that name no zone are read as %s; only %s of %d could be compared with the top Received field, too few to tell if that is right",
			readAs, plural.Count(told, "message"), c.Looked)
		return v
	}
	local, utc, other := percent(c.Local+c.Both, told), percent(c.UTC+c.Both, told), percent(c.Other, told)
	v.Text = fmt.Sprintf("From_ dates that name no zone are read as %s; of %s compared with the top Received field %d (%d %%) are local time, %d (%d %%) UTC, %d (%d %%) another zone's",
		readAs, plural.Count(told, "message"), c.Local+c.Both, local, c.UTC+c.Both, utc, c.Other, other)
	if c.Both > 0 {
		v.Text += fmt.Sprintf(" (%d are both)", c.Both)
	}
	mine, others, flag := local, utc, "--from-dates utc"
	if s.usesUTC() {
		mine, others, flag = utc, local, "--from-dates local"
	}
	switch {
	case mine >= most:
		v.Text += ": that is right"
	case others >= most:
		v.Contradicts = true
		v.Text += ": give " + flag
	case other >= most:
		v.Contradicts = true
		v.Text += fmt.Sprintf(": the host's zone is another one (%s); give it as --source-timezone", offsets(c))
	default:
		v.Contradicts = true
		v.Text += ": they do not agree"
		if c.Other > 0 {
			v.Text += fmt.Sprintf(" (others: %s)", offsets(c))
		}
		v.Text += "; look at some with inspect, and choose by --source-timezone and --from-dates"
	}
	return v
}

// usesUTC reports whether the dates are read as UTC while the host has a zone.
func (s *Sample) usesUTC() bool { return s.used == time.UTC && s.zone != time.UTC }

func (s *Sample) readAs() string {
	switch {
	case s.usesUTC():
		return "UTC"
	case s.zone == time.Local:
		return "local time in this machine's zone"
	}
	return "local time in " + s.zone.String()
}

// offsets names the offsets that were seen most.
func offsets(c Counts) string {
	const atMost = 3 // summer, winter and one more
	var list []string
	for _, minutes := range c.mostOffsets()[:min(atMost, len(c.Offsets))] {
		list = append(list, fmt.Sprintf("%s: %s", zoneOf(minutes), plural.Count(c.Offsets[minutes], "message")))
	}
	return strings.Join(list, ", ")
}

// zoneOf writes an offset as in a date.
func zoneOf(minutes int) string {
	sign := '+'
	if minutes < 0 {
		sign, minutes = '-', -minutes
	}
	return fmt.Sprintf("%c%02d%02d", sign, minutes/60, minutes%60)
}

func percent(part, of int64) int64 { return part * 100 / of }
