package samplehost

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the machine may have no zone files
)

func TestWriteDelivered(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	summer := time.Date(2003, time.June, 5, 7, 8, 9, 0, berlin)
	for _, test := range []struct{ name, text, want string }{
		{"text", "A: 1\n\nx\n", "From a@b Thu Jun  5 07:08:09 2003\nA: 1\n\nx\n\n"},
		{"header alone", "A: 1\n\n", "From a@b Thu Jun  5 07:08:09 2003\nA: 1\n\n\n"},
		{"own blank lines", "A: 1\n\nx\n\n\n", "From a@b Thu Jun  5 07:08:09 2003\nA: 1\n\nx\n\n\n\n"},
		{"quoting", "A: 1\n\nFrom x\n>From y\n", "From a@b Thu Jun  5 07:08:09 2003\nA: 1\n\n>From x\n>From y\n\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var file bytes.Buffer
			if err := writeDelivered(&file, "a@b", summer, []byte(test.text)); err != nil {
				t.Fatal(err)
			}
			if got := file.String(); got != test.want {
				t.Errorf("wrote %q, want %q", got, test.want)
			}
		})
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"line end in sender": func(b *bytes.Buffer) error { return writeDelivered(b, "a\nX: 1", summer, []byte("A: 1\n\n")) },
		"no date":            func(b *bytes.Buffer) error { return writeDelivered(b, "a", time.Time{}, []byte("A: 1\n\n")) },
		"torn last line":     func(b *bytes.Buffer) error { return writeDelivered(b, "a", summer, []byte("A: 1\n\nx")) },
	} {
		var file bytes.Buffer
		if err := write(&file); err == nil || file.Len() > 0 {
			t.Errorf("%s: error %v after %q, want an error and nothing written", name, err, &file)
		}
	}
}

func TestWriteAppended(t *testing.T) {
	date := time.Date(2003, time.June, 5, 7, 8, 9, 0, time.FixedZone("", -5*3600-1800))
	var file bytes.Buffer
	if err := writeAppended(&file, "a@b", date, []byte("From: x\n\nFrom y\n")); err != nil {
		t.Fatal(err)
	}
	want := "From a@b Thu Jun  5 07:08:09 2003 -0530\nFrom: x\n\n>From y\n\n"
	if got := file.String(); got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

func TestAppendInternal(t *testing.T) {
	f := folderWriter{folder: Folder{UIDValidity: 1054563072, Keywords: []string{"Work", "Later"}}}
	pad := func(n int) string { return strings.Repeat(" ", n) }
	for _, test := range []struct {
		name     string
		base     bool
		flags    int
		keywords []string
		want     string
	}{
		{"no flags", false, 0, nil, "Status: O\nX-Status: \nX-Keywords:" + pad(18) + "\nX-UID: 42\n"},
		{"all flags", false, seen | answered | flagged | deleted | draft, []string{"Later"},
			"Status: RO\nX-Status: DFAT\nX-Keywords: Later" + pad(7) + "\nX-UID: 42\n"},
		{"first message", true, seen, nil,
			"X-IMAPbase: 1054563072 50 Work Later\nStatus: RO\nX-Status: \nX-Keywords:" + pad(10) + "\nX-UID: 42\n"},
		{"no room left", false, 0, []string{"a-keyword-of-some-length", "another"},
			"Status: O\nX-Status: \nX-Keywords: a-keyword-of-some-length another\nX-UID: 42\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := string(f.appendInternal(nil, 50, test.base, test.flags, test.keywords, 42)); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestFirstInstant(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, t, want string }{
		{"summer", "2003-07-01T10:00:00Z", "2003-07-01T10:00:00Z"},
		{"first of the repeated hour", "2003-10-26T00:30:00Z", "2003-10-26T00:30:00Z"},
		{"second of the repeated hour", "2003-10-26T01:30:00Z", "2003-10-26T00:30:00Z"},
		{"hour after", "2003-10-26T02:30:00Z", "2003-10-26T02:30:00Z"},
	} {
		in, err := time.Parse(time.RFC3339, test.t)
		if err != nil {
			t.Fatal(err)
		}
		if got := firstInstant(in.In(berlin)).UTC().Format(time.RFC3339); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestTrap(t *testing.T) {
	var file bytes.Buffer
	f := folderWriter{zone: time.UTC}
	if err := f.writeTrap(&file); err != nil {
		t.Fatal(err)
	}
	if f.folder.Count != 7 || f.folder.UIDValidity != 1100000000 || f.folder.UIDNext != 41 {
		t.Errorf("%d messages, UIDVALIDITY %d, UIDNEXT %d", f.folder.Count, f.folder.UIDValidity, f.folder.UIDNext)
	}
	for i, want := range []struct {
		uid             uint32
		flags, keywords string
		date            string
	}{
		{10, `\Answered \Flagged \Seen`, "Work Later", "2004-11-15T10:01:00Z"},
		{12, "", "", "2004-11-15T10:02:00Z"},
		{14, `\Deleted \Seen`, "Later", "2004-11-15T10:03:00Z"},
		{16, "", "", "2004-11-15T10:04:00Z"},
		{18, "", "", "2004-11-15T10:05:00Z"},
		{20, "", "", "2004-11-15T10:06:00Z"},
		{22, `\Draft \Seen`, "", "2004-11-15T15:07:00Z"},
	} {
		got := f.folder.Messages[i]
		flags, keywords := strings.Join(got.Flags, " "), strings.Join(got.Keywords, " ")
		date := got.InternalDate.UTC().Format(time.RFC3339)
		if got.UID != want.uid || flags != want.flags || keywords != want.keywords || date != want.date {
			t.Errorf("message %d: %d %q %q %s, want %+v", i+1, got.UID, flags, keywords, date, want)
		}
	}
	first := "From: a@example.org\r\nSubject: one plain\r\n\r\nhello\r\n>From the quoted line\r\n>>From twice quoted\r\n"
	if f.folder.Messages[0].SHA256 != sha256.Sum256([]byte(first)) {
		t.Errorf("the first message is not %q", first)
	}
	if bytes.HasSuffix(file.Bytes(), []byte("\n")) || !bytes.Contains(file.Bytes(), []byte("\x00")) {
		t.Error("the trap lost its torn last line or its NUL")
	}
}

func TestApportion(t *testing.T) {
	for _, test := range []struct {
		total   int
		weights []float64
		want    []int
	}{
		{10, []float64{1, 1}, []int{5, 5}},
		{1, []float64{1, 1, 1}, []int{0, 1, 0}},
		{0, []float64{1, 2}, []int{0, 0}},
		{7, []float64{0.5, 0.3, 0.2}, []int{4, 2, 1}},
	} {
		if got := apportion(test.total, test.weights); !slices.Equal(got, test.want) {
			t.Errorf("apportion(%d, %v) = %v, want %v", test.total, test.weights, got, test.want)
		}
	}
}

func TestSharesAddUp(t *testing.T) {
	var sum float64
	for _, r := range ordinaryFolders {
		sum += r.share
	}
	if sum < 0.999 || sum > 1.001 {
		t.Errorf("the shares of the ordinary folders add up to %v", sum)
	}
}
