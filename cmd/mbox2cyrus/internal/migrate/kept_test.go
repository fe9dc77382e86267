package migrate

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// laterPass fills a mailbox of which an earlier pass brought three messages, of places that
// follow one another.
func laterPass(t *testing.T) *filler {
	t.Helper()
	l, err := ledger.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	manifest := func(name string, all ...ledger.Message) *ledger.ManifestWriter {
		w, err := l.CreateManifest(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			w.Add(m)
		}
		return w
	}
	err = manifest("old",
		ledger.Message{UID: 2, Offset: 0, End: 100, Size: 20, File: "a"},
		ledger.Message{UID: 5, Offset: 100, End: 200, Size: 50, File: "a", Keywords: 1<<0 | 1<<1 | 1<<2},
		ledger.Message{UID: 9, Offset: 200, End: 300, Size: 90, File: "a", Keywords: 1 << 3}).Close()
	if err != nil {
		t.Fatal(err)
	}
	w, err := cyrusspool.CreateMailbox(t.TempDir(), "box", cyrusspool.Version17, cyrusspool.Owner{UID: -1, FileMode: 0o600, DirMode: 0o700})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	f := &filler{mailbox: &mailbox{}, engine: &Engine{Ledger: l}, w: w, manifest: manifest("new"), flags: ^uint32(0),
		prev:     &previous{rec: ledger.Mailbox{Manifest: "old", Keywords: []string{"Gone", "", "One", "Two"}}},
		keywords: placeKeywords([]string{"Two", "One", "New"}, nil, nil)}
	f.order.Emit = f.add
	return f
}

// TestKeep: what an earlier pass brought from a place that cannot be read any more is kept,
// and nothing else.
func TestKeep(t *testing.T) {
	follow := &previous{rec: ledger.Mailbox{Manifest: "old"}, follow: &follower{}}
	for _, c := range []struct {
		file           string
		offset, length int64
		kind           mbox.Kind
		set            func(*filler)
		kept           []uint32
		err            error // errLeft: some other
	}{
		{"a", 150, 100, mbox.KindUnreadable, nil, []uint32{5, 9}, nil},
		{"a", 100, 100, mbox.KindUnreadable, nil, []uint32{5}, nil},
		{"a", 99, 1, mbox.KindUnreadable, nil, []uint32{2}, nil},
		{"a", 99, 2, mbox.KindUnreadable, nil, []uint32{2, 5}, nil},
		{"a", 200, 1, mbox.KindUnreadable, nil, []uint32{9}, nil},
		{"a", 300, 100, mbox.KindUnreadable, nil, nil, nil},
		{"b", 100, 100, mbox.KindUnreadable, nil, nil, nil},
		{"a", 100, 100, mbox.KindLeadingBlank, nil, nil, nil},
		{"a", 100, 100, mbox.KindUnreadable, func(f *filler) { f.prev = nil }, nil, nil},
		{"a", 100, 100, mbox.KindUnreadable, func(f *filler) { f.prev.rec.Manifest = "" }, nil, nil},
		{"a", 100, 100, mbox.KindUnreadable, func(f *filler) { f.shifted = true }, nil, errLeft},
		{"a", 100, 100, mbox.KindUnreadable, func(f *filler) { f.again = true }, nil, errLeft},
		{"a", 300, 100, mbox.KindUnreadable, func(f *filler) { f.again = true }, nil, nil},
		{"a", 100, 100, mbox.KindUnreadable, func(f *filler) { f.prev, f.next = follow, 6 }, nil, source.ErrChanged},
		{"a", 100, 100, mbox.KindUnreadable, func(f *filler) { f.prev, f.next = follow, 5 }, []uint32{5}, nil},
		{"a", 100, 100, mbox.KindUnreadable, func(f *filler) { f.prev.rec.Manifest = "none" }, nil, errLeft},
	} {
		f := laterPass(t)
		if c.set != nil {
			c.set(f)
		}
		err := f.keep(source.Aside{Kind: c.kind, File: c.file, Offset: c.offset, Length: c.length})
		if (err != nil) != (c.err != nil) || c.err == source.ErrChanged && !errors.Is(err, c.err) {
			t.Errorf("%s at %d: error %v, want %v", c.file, c.offset, err, c.err)
		}
		var kept []uint32
		for _, m := range f.kept {
			kept = append(kept, m.UID)
		}
		if c.err == nil && !slices.Equal(kept, c.kept) {
			t.Errorf("%s at %d: %v are kept, want %v", c.file, c.offset, kept, c.kept)
		}
	}
}

var errLeft = errors.New("the mailbox is left as it is")

// TestAddKept: what is kept comes in its turn, once, with the keywords that it had.
func TestAddKept(t *testing.T) {
	for _, c := range []struct {
		name string
		adds []uint32
		want string // UIDs with keywords
		n    int64
		next uint32
	}{
		{"nothing else", nil, "5/2 9/1", 2, 10},
		{"below", []uint32{3}, "3/4 5/2 9/1", 2, 10},
		{"between", []uint32{7}, "5/2 7/4 9/1", 2, 10},
		{"behind", []uint32{11}, "5/2 9/1 11/4", 2, 10},
		{"the first is read after all", []uint32{5}, "5/4 9/1", 1, 10},
		{"the last is read after all", []uint32{9}, "5/2 9/4", 1, 6},
		{"all are", []uint32{5, 9}, "5/4 9/4", 0, 0},
		{"one waits for those below", []uint32{12, 3, 6}, "3/4 5/2 6/4 9/1 12/4", 2, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := laterPass(t)
			if err := f.keep(source.Aside{Kind: mbox.KindUnreadable, File: "a", Offset: 150, Length: 100}); err != nil {
				t.Fatal(err)
			}
			f.loose = false // something behind it is where it was
			for _, uid := range c.adds {
				if err := f.order.Add(ledger.Message{UID: uid, Size: 1, Keywords: 1 << 2}); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(f.flush(), f.manifest.Close()); err != nil {
				t.Fatal(err)
			}
			var have []string
			err := f.engine.Ledger.EachMessage("new", func(m ledger.Message) error {
				have = append(have, fmt.Sprintf("%d/%d", m.UID, m.Keywords))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, joined(have)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if f.messages != c.n || f.next != c.next || f.recent != max(c.next, 1)-1 {
				t.Errorf("%d are counted, next UID %d, recent %d", f.messages, f.next, f.recent)
			}
		})
	}
}

func joined(words []string) string {
	s := fmt.Sprint(words)
	return s[1 : len(s)-1]
}

// TestKeptMoved: where a part that cannot be read may be the place of a message that had another
// one, and some message is not met, the mailbox is left.
func TestKeptMoved(t *testing.T) {
	for _, c := range []struct {
		appends                bool // what the index has stays anyhow
		unread, shifted, loose bool
		met                    int64
		kept                   int
		refused                bool
	}{
		{false, false, true, false, 1, 0, false}, // all can be read: they were removed
		{false, true, true, false, 3, 0, false},  // all are met
		{false, true, true, false, 2, 1, true},
		{false, true, false, false, 1, 1, false}, // others are behind it, and were there before
		{false, true, false, true, 1, 1, true},
		{false, true, false, true, 2, 1, false},
		{false, true, false, true, 1, 2, false},
		{true, true, false, true, 0, 1, false},
	} {
		f := laterPass(t)
		if f.append = c.appends; c.unread {
			f.brought = 3
		}
		f.shifted, f.loose, f.met, f.kept = c.shifted, c.loose, c.met, make([]ledger.Message, c.kept)
		for i := range f.kept {
			f.kept[i] = ledger.Message{UID: uint32(5 + i), Size: 1}
		}
		if err := f.flush(); errors.Is(err, errUnreadMoved) != c.refused || !c.refused && err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
