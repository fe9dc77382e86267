package verify

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/mbox"
)

// TestMissing: a message that the source does not give is one that cannot be read any more
// only where a byte of its place cannot be.
func TestMissing(t *testing.T) {
	for _, c := range []struct {
		file               string
		offset, length     int64
		kind               mbox.Kind
		attention, notRead bool
	}{
		{"a", 100, 50, mbox.KindUnreadable, true, true}, // the message is at 100 to 149
		{"a", 50, 51, mbox.KindUnreadable, true, true},
		{"a", 50, 50, mbox.KindUnreadable, false, true},
		{"a", 149, 51, mbox.KindUnreadable, true, true},
		{"a", 150, 50, mbox.KindUnreadable, false, true},
		{"a", 120, 1, mbox.KindUnreadable, true, true},
		{"a", 0, 500, mbox.KindUnreadable, true, true},
		{"b", 100, 50, mbox.KindUnreadable, false, true},
		{"a", 100, 50, mbox.KindLeadingBlank, false, false},
	} {
		t.Run(fmt.Sprint(c.file, c.offset, c.length, c.kind), func(t *testing.T) {
			m := migrate(t)
			s := (&Verifier{}).newContentCheck(m.rec, m.place)
			defer s.finish(nil)
			if err := s.aside(source.Aside{Kind: c.kind, File: c.file, Offset: c.offset, Length: c.length}); err != nil {
				t.Fatal(err)
			}
			if len(s.unread) > 0 != c.notRead {
				t.Errorf("%d places cannot be read", len(s.unread))
			}
			// Nothing that is held was met: that is no difference only where it may be what cannot be read.
			if err := s.compareHeld(m.l); err != nil || len(s.res.Problems) > 0 == c.notRead {
				t.Errorf("%+v, %v", s.res.Problems, err)
			}
			s.res.Problems = nil
			s.missing(ledger.Message{UID: 7, File: "a", Offset: 100, End: 150})
			want := report.Difference
			if c.attention {
				want = report.Attention
			}
			if p := s.res.Problems; len(p) != 1 || p[0].Severity != want || !s.faults.has(7) {
				t.Errorf("%+v", p)
			}
		})
	}
}

// TestIsKeywordOf: what a keyword may have become in Cyrus.
func TestIsKeywordOf(t *testing.T) {
	for _, c := range []struct {
		name, flag string
		is         bool
	}{
		{"Junk", "Junk", true},
		{"Junk", "junk", true},
		{"Junk", "Junk-2", false}, // it need not be changed
		{"Junk", "Jank", false},
		{"Junk", "Jun", false},
		{"a(b", "a_b", true},
		{"a(b", "A_B", true},
		{"a(b", "a(b", true}, // as earlier versions gave it
		{"a(b", "a_b-2", true},
		{"a(b", "a_b2", false},
		{"a(b", "a_c-2", false},
		{"a(b", "a_", false},
	} {
		if is := isKeywordOf(c.name, c.flag); is != c.is {
			t.Errorf("%q of %q: %v", c.flag, c.name, is)
		}
	}
}

// TestReadFile reads files of sizes about the reader's buffer.
func TestReadFile(t *testing.T) {
	m := migrate(t)
	for _, size := range []int{1, 100, headerLimit - 1, headerLimit, headerLimit + 1, 2 * headerLimit, 2*headerLimit + 7} {
		text := bytes.Repeat([]byte("a"), size)
		for _, c := range []struct {
			name, text string
			complains  bool
		}{
			{"right", string(text), false},
			{"another last byte", string(text[1:]) + "b", true},
			{"another first byte", "b" + string(text[1:]), true},
			{"longer", string(text) + "a", true},
			{"shorter", string(text[1:]), true},
		} {
			must(0, os.WriteFile(m.message(9), []byte(c.text), 0o600))
			r := newFileReader(m.place, &m.rec)
			f := &messageFile{want: ledger.Message{UID: 9, Size: int64(size), GUID: sha1.Sum(text)}}
			r.read(f)
			r.release()
			if len(f.wrong) > 0 != c.complains || c.complains && f.wrong[0].kind != faultContent {
				t.Errorf("%d bytes, %s: %v", size, c.name, f.wrong)
			}
		}
	}
}

// TestHeaderDiffers compares headers as they are in the source and in Cyrus.
func TestHeaderDiffers(t *testing.T) {
	long := strings.Repeat("x", headerLimit)
	for _, c := range []struct {
		name, source, spool string
		shows, differs      bool // internal fields
	}{
		{"alike", "A: b\nC: d\n\n", "A: b\r\nC: d\r\n\r\n", false, false},
		{"an internal field is left out", "A: b\nStatus: RO\nC: d\n\n", "A: b\r\nC: d\r\n\r\n", false, false},
		{"an internal field is not left out", "A: b\nStatus: RO\n\n", "A: b\r\nStatus: RO\r\n\r\n", false, true},
		{"it is, and all are to be seen", "A: b\nStatus: RO\n\n", "A: b\r\n\r\n", true, true},
		{"it is not, and all are to be seen", "A: b\nStatus: RO\n\n", "A: b\r\nStatus: RO\r\n\r\n", true, false},
		{"the last is gone", "A: b\nC: d\n\n", "A: b\r\n\r\n", false, true},
		{"the first differs", "A: b\nC: d\n\n", "A: c\r\nC: d\r\n\r\n", false, true},
		{"the last differs", "A: b\nC: d\n\n", "A: b\r\nC: e\r\n\r\n", false, true},
		{"one more", "A: b\n\n", "A: b\r\nC: d\r\n\r\n", false, true},
		{"NUL and CR", "A: \x00b\rc\n\n", "A: \x80bc\r\n\r\n", false, false},
		{"a long one of the source is no evidence", "A: " + long + "\n\n", "A: b\r\n\r\n", false, false},
		{"a long one of Cyrus is none", "A: b\n\n", "A: " + long, false, false},
		{"a long message of Cyrus is", "A: b\n\n", "A: c\r\n\r\n" + long, false, true},
		{"no field is no evidence", "A b\n\n", "A: c\r\n\r\n", false, false},
	} {
		if why := headerDiffers([]byte(c.source), []byte(c.spool), !c.shows); (why != "") != c.differs {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}

// TestManyDifferences: not more than some differences are told one by one; the others are
// counted, and what is no difference is always told.
func TestManyDifferences(t *testing.T) {
	for _, n := range []int{0, 1, maxDifferences, maxDifferences + 1, 5 * maxDifferences} {
		c := &comparison{}
		for range n {
			c.differ(report.Difference, "flags", 0, "x")
		}
		c.differ(report.Attention, "newer-mail", 0, "x")
		res := c.result()
		told, more := 0, ""
		for _, p := range res.Problems {
			switch p.Kind {
			case "flags":
				told++
			case "more-differences":
				more = p.Text
			}
		}
		want := ""
		if n > maxDifferences {
			want = fmt.Sprintf(": and %d differences more", n-maxDifferences)
		}
		if told != min(n, maxDifferences) || more != want || !slices.ContainsFunc(res.Problems, func(p report.Problem) bool { return p.Kind == "newer-mail" }) {
			t.Errorf("%d differences: %d are told, %q", n, told, more)
		}
	}
}
