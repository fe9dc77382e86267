package cyrusspool

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seenOf reads the seen state that a real server of the release wrote.
func seenOf(t testing.TB, release string) map[string]SeenState {
	t.Helper()
	states, err := ParseSeen(readFile(t, "testdata", "golden", release, "joe.seen"))
	if err != nil {
		t.Fatalf("%s: %v", release, err)
	}
	return states
}

var seenReleases = []string{"2.1.13", "2.2.12", "2.3.20"}

// TestGoldenSeen has what the owner had seen over IMAP (imap.txt of each release):
// of INBOX 1 and 2 of 4, of Sent 1 and 2 with 3 expunged, nothing of the third.
func TestGoldenSeen(t *testing.T) {
	for _, release := range seenReleases {
		states := seenOf(t, release)
		var got []string
		for _, mailbox := range []string{"user.joe", "user.joe.Sent", "user.joe.proj.alpha"} {
			header, err := ParseHeader(readFile(t, "testdata", "golden", release, mailbox, "cyrus.header"))
			if err != nil {
				t.Fatal(err)
			}
			s, ok := states[header.UniqueID]
			if ok {
				got = append(got, s.Seen.String())
			} else {
				got = append(got, "none")
			}
			if mailbox == "user.joe" && s.LastUID != 4 || mailbox == "user.joe.Sent" && s.LastUID != 3 {
				t.Errorf("%s: %s: last UID %d", release, mailbox, s.LastUID)
			}
		}
		if diff := cmp.Diff([]string{"1:2", "1:2", "none"}, got); diff != "" || len(states) != 2 {
			t.Errorf("%s: %d states\n%s", release, len(states), diff)
		}
	}
}

// TestGoldenSeenBytes: what is read from the flat file of 2.1 is written as it was.
func TestGoldenSeenBytes(t *testing.T) {
	raw := readFile(t, "testdata", "golden", "2.1.13", "joe.seen")
	again, err := AppendSeen(nil, seenOf(t, "2.1.13"))
	if err != nil || string(again) != string(raw) {
		t.Errorf("%q, %v, want %q", again, err, raw)
	}
}

// A skiplist without its last commit is as before the last change: Cyrus drops what
// was not committed.
func TestSkiplistCutOff(t *testing.T) {
	raw := readFile(t, "testdata", "golden", "2.3.20", "joe.seen")
	whole := seenOf(t, "2.3.20")
	ids := slices.Sorted(maps.Keys(whole))
	cut, err := ParseSeen(raw[:len(raw)-4]) // the record COMMIT
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for _, id := range ids {
		if cut[id].String() != whole[id].String() {
			changed++
		}
	}
	if changed != 1 || len(cut) != len(whole) {
		t.Errorf("without the last commit %v, with it %v", cut, whole)
	}
	for n := skiplistHeader; n < len(raw)-4; n++ {
		if _, err := ParseSeen(raw[:n]); err != nil && !errors.Is(err, ErrSeen) {
			t.Fatalf("first %d bytes: %v", n, err)
		}
	}
}

func TestSeenErrors(t *testing.T) {
	for _, text := range []string{
		"id", "id\t1 0 0 0\nx\t1", "id\t2 0 0 0 \n", "id\t1 0 0 0 1:\n", "id\t1 0 0 0 0\n", "id\t1 0 4294967296 0 1\n",
		"\t1 0 0 0 1\n", skiplistMagic, skiplistMagic + strings.Repeat("\x00", 40),
	} {
		if states, err := ParseSeen([]byte(text)); !errors.Is(err, ErrSeen) {
			t.Errorf("%q: %v, %v", text, states, err)
		}
	}
	if _, err := AppendSeen(nil, map[string]SeenState{"a\tb": {}}); !errors.Is(err, ErrSeen) {
		t.Errorf("a key with a tab: %v", err)
	}
}

func TestUIDSet(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "1": "1", "1:3,5": "1:3,5", "5,1:3": "1:3,5", "3:1": "1:3", "1:4,2:3,5": "1:5", "4294967295,7": "7,4294967295",
		"4294967290:4294967295,4294967295": "4294967290:4294967295",
	} {
		s, err := ParseUIDSet(text)
		if err != nil || s.String() != want {
			t.Errorf("%q: %q, %v", text, s, err)
		}
	}
	for _, text := range []string{"0", "1,", "a", "1:2:3", "4294967296", "1:0"} {
		if s, err := ParseUIDSet(text); err == nil {
			t.Errorf("%q was read as %q", text, s)
		}
	}
	var s UIDSet
	for _, uid := range []uint32{2, 3, 4, 9, 11, 12} {
		s.Add(uid)
	}
	if s.String() != "2:4,9,11:12" || !s.Contains(3) || s.Contains(10) || s.Below(12).String() != "2:4,9,11" || s.Below(2).String() != "" {
		t.Errorf("%s; below 12: %s", s, s.Below(12))
	}
}

func FuzzSeen(f *testing.F) {
	for _, release := range seenReleases {
		f.Add(readFile(f, filepath.Join("testdata", "golden", release, "joe.seen")))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		states, err := ParseSeen(b)
		if err != nil {
			if !errors.Is(err, ErrSeen) {
				t.Fatalf("%v does not wrap ErrSeen", err)
			}
			return
		}
		flat, err := AppendSeen(nil, states)
		if err != nil {
			return // a key that a flat file cannot have
		}
		again, err := ParseSeen(flat)
		if err != nil || len(again) != len(states) {
			t.Fatalf("%q was read as %d states, again as %d, %v", b, len(states), len(again), err)
		}
		for id, s := range states {
			if again[id].String() != s.String() {
				t.Fatalf("mailbox %q: %s, again %s", id, s, again[id])
			}
		}
	})
}
