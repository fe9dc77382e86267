package mbox

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestParseFromLine(t *testing.T) {
	for _, c := range []struct {
		line string
		ok   bool
	}{
		{"From a Wed Dec  2 05:53 1992\n", true},
		{"From a Wed Dec  2 05:53 1992\r\n", true},
		{"From a Wed Dec  2 05:53 1992\r\r\n", false},
		{"From  Wed Dec  2 05:53 1992\n", true},
		{"From Wed Dec  2 05:53 1992\n", false},           // 26 columns
		{"From Wed Dec  2 05:53:22 -0700 1992\n", true},   // its own space begins the date
		{"From a Wed Dec  2 05:53 1992", false},           // no LF
		{"From \x00 Wed Dec  2 05:53 1992\n", false},      // NUL
		{"From a Wed Dec  2 05:53:22 1992 CEST\n", false}, // four letters
		{"From a Wed Dec  2 05:53:22 2003 + 12\n", false}, // decided by the last space
		{"From a Wed Dec  2 05:53:22 1992 remote from h\n", true},
		{"From a Wed Dec  2 05:53:22 1992 remote from\n", false},
		{"From a Wed Dec  2 05:53 1992 remote from \n", true},
		{"\n", false},
		{"", false},
	} {
		if _, ok := parseFromLine([]byte(c.line), 1); ok != c.ok {
			t.Errorf("%q: %v, want %v", c.line, ok, c.ok)
		}
	}
}

// TestFromTail: a line that is read in pieces is judged as the whole.
func TestFromTail(t *testing.T) {
	for _, line := range []string{
		from, "From 000 000 00 00:00 0000\n", "From here\n", "From x\n",
		"From " + strings.Repeat("x", 100) + " Mon Jun  2 10:11:12 2003 +0100\n",
		"From " + strings.Repeat("x", 100) + " Mon Jun  2 10:11:12 CEST 2003\n",
		"From a Mon Jun  2 10:11:12 2003 remote from " + strings.Repeat("h", 200) + "\r\n",
		"From " + strings.Repeat("x ", 100) + "Mon Jun  2 10:11:12 EST 2003 remote from " + strings.Repeat("h", 200) + "\n",
		"From Mon Jun  2 10:11 2003 remote from " + strings.Repeat("h", 200) + "\n",
		"From  Mon Jun  2 10:11 2003 remote from " + strings.Repeat("h", 200) + "\n",
		"From  Mon Jun  2 10:11 2003 remote from \n", // 40 columns, too few for UW to look for a host
		"From  Mon Jun  2 10:11 2003 remote from \r\n",
		"From a Mon Jun  2 10:11 2003 remote from \n",
	} {
		for size := 1; size < 80; size += 3 {
			checkTail(t, []byte(line), size)
		}
	}
}

func checkTail(t testing.TB, line []byte, size int) {
	t.Helper()
	var tail fromTail
	for i := 0; i < len(line); i += size {
		tail.add(line[i:min(i+size, len(line))])
	}
	short := tail.line()
	if len(short) > len(line)+len(fromPrefix) || len(short) > 2*tailSize {
		t.Errorf("%q: kept %q", line, short)
	}
	want, wok := parseFromLine(line, 1)
	got, gok := parseFromLine(short, 1)
	if wok != gok {
		t.Fatalf("%q in pieces of %d: %v, want %v", line, size, gok, wok)
	}
	if !wok {
		return
	}
	a, b := parseStamp(line, want), parseStamp(short, got)
	a.fromMailerDaemon, b.fromMailerDaemon = false, false
	if a != b {
		t.Errorf("%q in pieces of %d: %+v, want %+v", line, size, b, a)
	}
}

// FuzzFromLine compares with regular expressions, and whole lines with lines in pieces.
func FuzzFromLine(f *testing.F) {
	for _, s := range parts {
		f.Add([]byte(s), 7)
	}
	f.Add([]byte("From a Wed Dec  2 05:53 PST 1992 remote from host.example\n"), 3)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		line, _ := cutLine(b)
		got, ok := parseFromLine(line, 1)
		if _, want := refFrom(string(line), 1); ok != want {
			t.Fatalf("%q: %v, the reference says %v", line, ok, want)
		}
		if !bytes.HasPrefix(line, fromPrefix) || !bytes.HasSuffix(line, []byte("\n")) || bytes.IndexByte(line, 0) >= 0 {
			return
		}
		if size > 0 {
			checkTail(t, line, size)
		}
		if ok {
			s := parseStamp(line, got)
			if at, _, _ := s.time(time.UTC); s.valid && (at.Year() < 1969 || at.Year() > 2098) {
				t.Errorf("%q: %v", line, at)
			}
		}
	})
}
