package calibrate

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"mbox2cyrus/mbox"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// folder writes n messages, a week apart, whose From_ line is the time in written,
// delay after the Received field.
func folder(n int, written *time.Location, delay time.Duration) string {
	var b strings.Builder
	for i := range n {
		at := time.Date(2003, 1, 6, 12, 34, 56, 0, time.UTC).AddDate(0, 0, 7*i)
		fmt.Fprintf(&b, "From a@example.org %s\n", at.Add(delay).In(written).Format("Mon Jan _2 15:04:05 2006"))
		fmt.Fprintf(&b, "Received: from a by b\n\twith SMTP id x;\n\t%s (a comment)\n", at.In(time.FixedZone("", -5*3600)).Format("Mon, 2 Jan 2006 15:04:05 -0700"))
		fmt.Fprintf(&b, "Received: from far by a; Mon, 1 Jan 1990 00:00:00 +0000\nSubject: %d\n\ntext\n\n", i)
	}
	return b.String()
}

// sample reads folders as a host in zone whose dates are read in used.
func sample(t *testing.T, used, zone *time.Location, folders ...string) *Sample {
	t.Helper()
	s := New(used, zone)
	for _, text := range folders {
		r := mbox.NewReader(strings.NewReader(text), int64(len(text)), mbox.Options{Location: used})
		f := s.Folder()
		for {
			m, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			f.Add(m)
		}
	}
	return s
}

func TestVerdict(t *testing.T) {
	vienna, london, newYork, kolkata := zone(t, "Europe/Vienna"), zone(t, "Europe/London"), zone(t, "America/New_York"), zone(t, "Asia/Kolkata")
	utc := time.UTC
	tests := []struct {
		name        string
		used, zone  *time.Location
		folders     []string
		contradicts bool
		says        string
	}{
		{"local and read so", vienna, vienna, []string{folder(52, vienna, 0)}, false, "of 52 messages compared with the top Received field 52 (100 %) are local time, 0 (0 %) UTC, 0 (0 %) another zone's: that is right"},
		{"UTC but read as local", vienna, vienna, []string{folder(52, utc, 0)}, true, "0 (0 %) are local time, 52 (100 %) UTC, 0 (0 %) another zone's: give --from-dates utc"},
		{"UTC and read so", utc, vienna, []string{folder(52, utc, 0)}, false, "read as UTC; of 52 messages"},
		{"local but read as UTC", utc, vienna, []string{folder(52, vienna, 0)}, true, "give --from-dates local"},
		{"another zone", vienna, vienna, []string{folder(52, newYork, 0)}, true, "the host's zone is another one (-0400: 29 messages, -0500: 23 messages); give it as --source-timezone"},
		{"half an hour", vienna, vienna, []string{folder(52, kolkata, 0)}, true, "(+0530: 52 messages)"},
		{"the zone in use is UTC itself", utc, utc, []string{folder(52, vienna, 0)}, true, "another one (+0200: 30 messages, +0100: 22 messages)"},
		{"the zone is UTC, rightly", utc, utc, []string{folder(52, utc, 0)}, false, "local time in UTC; of 52"},
		{"a zone that is UTC in winter", london, london, []string{folder(52, london, 0)}, false, "52 (100 %) are local time, 22 (42 %) UTC, 0 (0 %) another zone's (22 are both): that is right"},
		{"UTC in a zone that is UTC in winter", london, london, []string{folder(52, utc, 0)}, true, "give --from-dates utc"},
		{"delivered some minutes later", vienna, vienna, []string{folder(52, vienna, 4*time.Minute)}, false, "that is right"},
		{"delivered at any time", vienna, vienna, []string{folder(52, vienna, 22*time.Minute)}, false, "only 0 messages of 52 could be compared"},
		{"too few", vienna, vienna, []string{folder(9, utc, 0)}, false, "only 9 messages of 9 could be compared"},
		{"half and half", vienna, vienna, []string{folder(52, vienna, 0), folder(52, utc, 0)}, true, "they do not agree; look"},
		{"a few astray", vienna, vienna, []string{folder(52, vienna, 0), folder(9, utc, 0)}, false, "52 (85 %) are local time, 9 (14 %) UTC"},
		{"nothing to look at", vienna, vienna, nil, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := sample(t, tt.used, tt.zone, tt.folders...).Verdict()
			if v.Contradicts != tt.contradicts || !strings.Contains(v.Text, tt.says) || tt.says == "" && v.Text != "" {
				t.Errorf("contradicts %v: %s\nwant %v: …%s…", v.Contradicts, v.Text, tt.contradicts, tt.says)
			}
			if c := v.Counts; c.Compared != c.Local+c.UTC+c.Both+c.Other+c.Unclear {
				t.Errorf("%+v does not add up", c)
			}
		})
	}
}

// TestSampleOfManyFolders: of a large host the last folders give a few messages.
func TestSampleOfManyFolders(t *testing.T) {
	vienna := zone(t, "Europe/Vienna")
	folders := slices.Repeat([]string{folder(maxCompared, vienna, 0)}, manyOfHost/maxCompared+3)
	if got, want := sample(t, vienna, vienna, folders...).Counts().Compared, int64(manyOfHost+3*fewCompared); got != want {
		t.Errorf("%d messages compared, want %d", got, want)
	}
}

// TestSampleIsBounded: a large folder weighs no more than another.
func TestSampleIsBounded(t *testing.T) {
	vienna := zone(t, "Europe/Vienna")
	c := sample(t, vienna, vienna, folder(maxCompared+50, vienna, 0), strings.ReplaceAll(folder(lookedTimes*maxCompared+50, vienna, 0), "Received:", "X-Received:")).Counts()
	want := Counts{Looked: maxCompared + lookedTimes*maxCompared, Compared: maxCompared, Local: maxCompared, Offsets: map[int]int64{}}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

// TestWhatTellsNothing: From_ lines that name a zone, and messages without a date
// to compare with.
func TestWhatTellsNothing(t *testing.T) {
	vienna := zone(t, "Europe/Vienna")
	text := "From a@example.org Mon Jun  2 10:11:12 2003 +0200\nReceived: by b; Mon, 2 Jun 2003 10:11:12 +0200\n\n\n" +
		"From a@example.org Mon Jun  2 10:11:12 2003\nReceived: by b; Mon, 2 Jun 2003 10:11:12 CEST\n\n\n" +
		"From a@example.org Mon Jun  2 10:11:12 2003\nReceived: by b\n\n\n" +
		"From a@example.org Mon Jun  2 10:11:12 2003\nno field\n\n\n" +
		"From a@example.org Mon Jun  2 10:11:12 2003\nReceived: by b; Mon, 2 Jun 2003 08:11:12 GMT\n\n\n"
	c := sample(t, vienna, vienna, text).Counts()
	want := Counts{Looked: 4, Compared: 1, Local: 1, Offsets: map[int]int64{}}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	var none *Sample
	none.Folder().Add(&mbox.Message{DateSource: mbox.FromLineLocal}) // no sample is wanted
}
