// Package calibrate measures in which zone a host's From_ dates are that name none.
//
// UW takes them for local time (uw-mbox 5), but some delivery programs wrote UTC.
// The top Received field was written in the same moment by the same host, and
// names its zone: comparing the two tells.
package calibrate

import (
	"bufio"
	"bytes"
	"cmp"
	"maps"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-message/textproto"

	"mbox2cyrus/mbox"
)

// Bounds of the sample: of each folder, how many messages are compared, and how many
// times that are looked at to find them. When enough of the host are compared, the
// folders that are left give only a few.
const (
	maxCompared = 100
	manyOfHost  = 2000
	fewCompared = 5
	lookedTimes = 5
)

// Sample gathers messages of a host. It is safe for use by many goroutines.
type Sample struct {
	used *time.Location // in which the dates were read
	zone *time.Location // of the host

	mu     sync.Mutex
	counts Counts
}

// Counts is what was measured, in messages.
type Counts struct {
	Looked   int64 // their From_ line names no zone
	Compared int64 // and their top Received field has a date: the sum of what follows
	Local    int64 // the From_ line is local time
	UTC      int64 // the From_ line is UTC
	Both     int64 // local time was UTC on that day
	Other    int64 // it is another zone's time: the sum of Offsets
	Unclear  int64 // the two dates are not of one moment: delivered late, or changed since
	// Offsets counts the messages of Other by what their From_ line is ahead of UTC, in
	// minutes east, a multiple of 15.
	Offsets map[int]int64
}

// New returns an empty sample of a host in zone, whose From_ dates are read as times
// in used: the zone itself, or UTC.
func New(used, zone *time.Location) *Sample {
	return &Sample{used: used, zone: zone, counts: Counts{Offsets: map[int]int64{}}}
}

// Folder begins the sample of one folder. A nil Sample has nil folders, which do
// nothing. A Folder is used by one goroutine.
func (s *Sample) Folder() *Folder {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts.Compared >= manyOfHost {
		return &Folder{sample: s, share: fewCompared}
	}
	return &Folder{sample: s, share: maxCompared}
}

// Folder is the part of a sample that one folder gives.
type Folder struct {
	sample           *Sample
	share            int // how many may be compared
	looked, compared int
}

// Add takes a message into the sample if it can tell something and the folder's
// share is not yet full.
func (f *Folder) Add(m *mbox.Message) {
	if f == nil || f.compared >= f.share || f.looked >= lookedTimes*f.share || m.DateSource != mbox.FromLineLocal {
		return
	}
	f.looked++
	received, ok := receivedDate(m.Header())
	if ok {
		f.compared++
	}
	f.sample.add(m.Date, received, ok)
}

// tolerance is what may lie between the Received field and the From_ line of one
// delivery.
const tolerance = 5 * time.Minute

// Every offset of a zone that has been in use since 1970 is a multiple of 15
// minutes in this range (but for Liberia's until 1972).
const (
	offsetStep = 15 * time.Minute
	minOffset  = -12 * time.Hour
	maxOffset  = 14 * time.Hour
)

func (s *Sample) add(date, received time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.counts
	c.Looked++
	if !ok {
		return
	}
	c.Compared++
	// The From_ line as it stands there, taken for UTC.
	_, used := date.In(s.used).Zone()
	ahead := date.Add(time.Duration(used) * time.Second).Sub(received)
	_, offset := received.In(s.zone).Zone()
	isUTC := near(ahead, 0)
	isLocal := near(ahead, time.Duration(offset)*time.Second)
	rounded := ahead.Round(offsetStep)
	switch {
	case isUTC && isLocal:
		c.Both++
	case isUTC:
		c.UTC++
	case isLocal:
		c.Local++
	case near(ahead, rounded) && minOffset <= rounded && rounded <= maxOffset:
		c.Other++
		c.Offsets[int(rounded/time.Minute)]++
	default:
		c.Unclear++
	}
}

func near(a, b time.Duration) bool { return (a - b).Abs() <= tolerance }

// Counts returns what was measured so far.
func (s *Sample) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	c.Offsets = maps.Clone(c.Offsets)
	return c
}

// mostOffsets returns the offsets of Other, the most frequent first.
func (c Counts) mostOffsets() []int {
	return slices.SortedFunc(maps.Keys(c.Offsets), func(a, b int) int {
		return cmp.Or(cmp.Compare(c.Offsets[b], c.Offsets[a]), cmp.Compare(a, b))
	})
}

// knownZone is a zone at the end of a date that means the same everywhere. Go's
// parser takes a name that it does not know for UTC.
var knownZone = regexp.MustCompile(`[0-9] +([+-][0-9]{4}|GMT|UT|UTC)( *\([^()]*\))?$`)

// receivedDate returns the date of the top Received field.
func receivedDate(header []byte) (time.Time, bool) {
	h, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(header)))
	if err != nil {
		return time.Time{}, false // a header that go-message cannot read tells nothing
	}
	field := h.Get("Received")
	date := strings.TrimSpace(field[strings.LastIndexByte(field, ';')+1:])
	if !knownZone.MatchString(date) {
		return time.Time{}, false
	}
	t, err := mail.ParseDate(date)
	return t, err == nil
}
