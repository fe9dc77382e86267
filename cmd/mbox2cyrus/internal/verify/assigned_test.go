package verify

import (
	"errors"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/mbox"
)

// TestAssigned: each message has its UID again, by its place, whether or not UIDs rise with
// the places; only then is nothing remembered.
func TestAssigned(t *testing.T) {
	for _, test := range []struct {
		name    string
		all     []ledger.Message // by UID
		sorted  bool
		inOrder bool
	}{
		{"none", nil, false, true},
		{"rising", []ledger.Message{{UID: 2, Offset: 0}, {UID: 3, Offset: 70}, {UID: 9, Offset: 140}}, false, true},
		{"rising, but not read so", []ledger.Message{{UID: 2, Offset: 0}, {UID: 3, Offset: 70}}, true, false},
		{"sorted since", []ledger.Message{{UID: 2, Offset: 70}, {UID: 3, Offset: 0}, {UID: 9, Offset: 140}}, false, false},
		{"one file, named", []ledger.Message{{UID: 2, Offset: 0, File: "a"}, {UID: 3, Offset: 70, File: "a"}}, false, true},
		{"two files", []ledger.Message{{UID: 2, Offset: 0, File: "a"}, {UID: 3, Offset: 70, File: "b"}}, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := ledger.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			w, err := l.CreateManifest("m")
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range test.all {
				w.Add(m)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			a, err := openAssigned(l, "m", test.sorted)
			if err != nil {
				t.Fatal(err)
			}
			if (a.uids == nil) != test.inOrder {
				t.Errorf("%d places are remembered", len(a.uids))
			}
			want := map[place]uint32{}
			for _, m := range test.all {
				want[place{m.File, m.Offset}] = m.UID
			}
			for _, file := range []string{"", "a", "b"} { // as a folder of several files is read
				for _, offset := range []int64{0, 35, 70, 140, 200} {
					uid, ok, err := a.of(&mbox.Message{File: file, Offset: offset})
					if wanted, there := want[place{file, offset}]; err != nil || ok != there || ok && uid != wanted {
						t.Errorf("%q at %d: %d, %v, %v; want %d, %v", file, offset, uid, ok, err, wanted, there)
					}
				}
			}
			if err := errors.Join(a.close(), (*assigned)(nil).close()); err != nil {
				t.Error(err)
			}
		})
	}
}
