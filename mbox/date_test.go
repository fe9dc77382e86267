package mbox

import (
	"testing"
	"time"
)

func stampOf(t testing.TB, date string) stamp {
	t.Helper()
	line := []byte("From joe@example.com " + date + "\n")
	f, ok := parseFromLine(line, 1)
	if !ok {
		t.Fatalf("%q is no From_ line", line)
	}
	return parseStamp(line, f)
}

func TestFromLineDates(t *testing.T) {
	loc := newYork(t)
	for _, c := range []struct {
		date   string
		want   string // "" if it cannot be one
		source DateSource
		doubt  bool
	}{
		{"Mon Jun  2 10:11:12 2003", "2003-06-02T14:11:12Z", FromLineLocal, false},
		{"Sun Jan  5 10:00:00 2003", "2003-01-05T15:00:00Z", FromLineLocal, false},
		{"Sun Oct 26 01:30:00 2003", "2003-10-26T05:30:00Z", FromLineLocal, false}, // twice: the first
		{"Sun Oct 26 02:30:00 2003", "2003-10-26T07:30:00Z", FromLineLocal, false},
		{"Sun Apr  6 02:30:00 2003", "2003-04-06T07:30:00Z", FromLineLocal, false}, // never: 03:30 EDT
		{"Sun Apr  6 03:30:00 2003", "2003-04-06T07:30:00Z", FromLineLocal, false},
		{"Mon Jun 02 10:11 2003", "2003-06-02T14:11:00Z", FromLineLocal, false},
		{"Mon Jun  2 10:11:60 2003", "2003-06-02T14:12:00Z", FromLineLocal, false},
		{"Mon Jun  2 10:11:12 2003 +0200", "2003-06-02T08:11:12Z", FromLine, false},
		{"Mon Jun  2 10:11:12 -0230 2003", "2003-06-02T12:41:12Z", FromLine, false},
		{"Mon Jun  2 10:11 -0230 2003", "2003-06-02T12:41:00Z", FromLine, false},
		{"Mon jUN  2 10:11:12 2003 +1270", "2003-06-02T10:11:12Z", FromLine, true}, // 70 minutes
		{"Mon Jun  2 10:11:12 2003 +1a00", "2003-06-02T10:11:12Z", FromLine, true},
		{"Mon Jun  2 10:11:12 2003 +9900", "2003-06-02T10:11:12Z", FromLine, true},
		{"Mon Jun  2 10:11:12 2003 PDT", "2003-06-02T17:11:12Z", FromLine, false},
		{"Mon Jun  2 10:11:12 met 2003", "2003-06-02T09:11:12Z", FromLine, false},
		{"Mon Jun  2 10:11:12 CET 2003", "2003-06-02T09:11:12Z", FromLine, false},
		{"Mon Jun  2 10:11:12 BST 2003", "2003-06-02T14:11:12Z", FromLineLocal, true},
		{"Thu Jan  1 00:00:01 1970 GMT", "1970-01-01T00:00:01Z", FromLine, false},
		{"Fri Dec 31 23:59:59 2097 GMT", "2097-12-31T23:59:59Z", FromLine, false},
		{"Mon Feb 29 10:11:12 2004 UTC", "2004-02-29T10:11:12Z", FromLine, false},
		{"Mon Jun  2  1:05:12 2003 +0200", "2003-06-01T23:05:12Z", FromLine, false},
		{"Mon Jun  2  1: 5: 2 2003 GMT", "2003-06-02T01:05:02Z", FromLine, false},
		{"Mon Jun  2 10:11:12  103", "2003-06-02T14:11:12Z", FromLineLocal, false},
		{"Mon Jun  2 10:11:12 0103 GMT", "2003-06-02T10:11:12Z", FromLine, false},
		{"Wed Jun  2 10:11:12   99 GMT", "1999-06-02T10:11:12Z", FromLine, false},
		{"Mon Jun  2 10:11:12   03 GMT", "2003-06-02T10:11:12Z", FromLine, false},
		{"Mon Jun  2 10:11:12  998 GMT", "", 0, false},
		{"Mon Jun  2 10:11:12      GMT", "", 0, false},
		{"Mon Jun  2   :11:12 2003", "", 0, false},
		{"Mon Feb 29 10:11:12 2003", "", 0, false},
		{"Mon Jun 31 10:11:12 2003", "", 0, false},
		{"Mon Jun  0 10:11:12 2003", "", 0, false},
		{"Mon Jun +2 10:11:12 2003", "", 0, false},
		{"Mon Jun 2  10:11:12 2003", "", 0, false},
		{"Mon Jun  2 24:11:12 2003", "", 0, false},
		{"Mon Jun  2 10:60:12 2003", "", 0, false},
		{"Mon Jun  2 10:11:61 2003", "", 0, false},
		{"Mon Jun  2 10:11:1x 2003", "", 0, false},
		{"Mon Jun  2 10:11:12 1969", "", 0, false},
		{"Mon Jun  2 10:11:12 2098", "", 0, false},
		{"Mon Foo  2 10:11:12 2003", "", 0, false},
	} {
		s := stampOf(t, c.date)
		if s.valid != (c.want != "") {
			t.Errorf("%s: valid is %v", c.date, s.valid)
			continue
		}
		if !s.valid {
			continue
		}
		got, source, doubt := s.time(loc)
		if text := got.UTC().Format(time.RFC3339); text != c.want || source != c.source || doubt != c.doubt {
			t.Errorf("%s: %s, %v, doubt %v; want %s, %v, %v", c.date, text, source, doubt, c.want, c.source, c.doubt)
		}
	}
}

func TestHeaderDate(t *testing.T) {
	for _, c := range []struct {
		header string
		want   string // "" if there is none
		source DateSource
	}{
		{"Date: Tue, 1 Jul 2003 01:02:03 +0200\n\n", "2003-06-30T23:02:03Z", DateHeader},
		{"date: 1 Jul 2003 01:02:03 EDT\n\n", "2003-07-01T05:02:03Z", DateHeader},
		{"Subject: x\r\nReceived: from a (b; c)\r\n\tby d; Tue, 1 Jul 2003\r\n 01:02:03 -0400 (EDT)\r\nDate: x\r\n\r\n", "2003-07-01T05:02:03Z", Received},
		{"Received: x\nReceived: y; Tue, 1 Jul 2003 01:02:03 +0200\nDate: Wed, 2 Jul 2003 01:02:03 +0000\n\n", "2003-07-02T01:02:03Z", DateHeader},
		{"Date: Tue, 1 Jul 1903 01:02:03 +0200\n\n", "", 0},
		{"Date: yesterday\n\n", "", 0},
		{"Dates: Tue, 1 Jul 2003 01:02:03 +0200\n", "", 0},
		{"", "", 0},
	} {
		got, source, ok := headerDate([]byte(c.header))
		if ok != (c.want != "") || ok && (got.UTC().Format(time.RFC3339) != c.want || source != c.source) {
			t.Errorf("%q: %v from %v, %v; want %s from %v", c.header, got, source, ok, c.want, c.source)
		}
	}
}

func TestDateFallsBack(t *testing.T) {
	file := "From x Mon Foo  2 10:11:12 2003\nSubject: a\n\n"
	for _, c := range []struct {
		mod  time.Time
		want int64
	}{{fileTime.Add(time.Millisecond), fileTime.Unix()}, {time.Time{}, 1}, {time.Unix(1<<32, 0), 1}} {
		res := readAll([]byte(file), windowSize, Options{Location: time.UTC, ModTime: c.mod}, always)
		if m := res.messages[0]; m.DateSource != FileTime || m.Date.UnixNano() != c.want*1e9 {
			t.Errorf("modified %v: date %v from %v", c.mod, m.Date, m.DateSource)
		}
	}
	// The zero of a local wall clock, before 1970 in UTC, is no date that Cyrus can keep.
	res := readAll([]byte("From x Thu Jan  1 00:00:00 1970 +0100\n\n"), windowSize, Options{ModTime: fileTime}, always)
	if m := res.messages[0]; m.DateSource != FileTime {
		t.Errorf("date %v from %v", m.Date, m.DateSource)
	}
}

// FuzzHeaderDate looks for headers on which finding a date fails.
func FuzzHeaderDate(f *testing.F) {
	f.Add([]byte("Received: a; Tue, 1 Jul 2003 01:02:03 -0400 (EDT)\n\n"))
	f.Add([]byte("Date: 1 Jul 2003\n\t01:02:03 EDT\n\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		at, source, ok := headerDate(header)
		if ok && (!representable(at) || source != Received && source != DateHeader) {
			t.Errorf("%q: %v from %v", header, at, source)
		}
	})
}
