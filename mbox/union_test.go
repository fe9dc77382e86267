package mbox

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// partsOf makes parts of files of these contents.
func partsOf(t *testing.T, contents ...string) []part {
	t.Helper()
	h := newHostTree(t)
	var parts []part
	for i, content := range contents {
		path := fmt.Sprintf("place%d", i+1)
		h.file(path, content)
		f, err := OpenFolder(h.path(path))
		h.must(err)
		t.Cleanup(func() { h.must(f.Close()) })
		p := f.parts[0]
		p.path = path
		parts = append(parts, p)
	}
	return parts
}

// readUnion reads a union to its end. All messages but those that pass says are written.
func readUnion(t *testing.T, parts []part, pass func(number int) bool) (messages []Message, texts []string, findings []Finding, u *union) {
	t.Helper()
	u = newUnion(parts, Options{Findings: func(f Finding) { findings = append(findings, f) }})
	var size int64
	for _, p := range parts {
		id, err := p.identity()
		if err != nil {
			t.Fatal(err)
		}
		size += id.Size
	}
	for {
		m, err := u.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if !pass(m.Number) {
			if _, err := m.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			if m.EndOffset <= m.Offset {
				t.Errorf("message %d ends at %d and begins at %d", m.Number, m.EndOffset, m.Offset)
			}
		}
		if total := u.Account().Total(); total > size {
			t.Errorf("%d bytes are accounted for at message %d of places with %d", total, m.Number, size)
		}
		messages, texts = append(messages, *m), append(texts, b.String())
	}
	if total := u.Account().Total(); total != size {
		t.Errorf("%d bytes are accounted for, the places have %d: %v", total, size, u.Account())
	}
	checkDamage(t, u.Account(), findings)
	if _, err := u.Next(); err != io.EOF {
		t.Errorf("error %v after the end; want io.EOF again", err)
	}
	return messages, texts, findings, u
}

func never(int) bool { return false }

// subjects are those of texts.
func subjects(texts []string) (list []string) {
	for _, text := range texts {
		_, s, _ := strings.Cut(text, "Subject: ")
		s, _, _ = strings.Cut(s, "\r\n")
		list = append(list, s)
	}
	return list
}

// TestUnionDuplicates: each message of an earlier place stands for one of a later place,
// so that as many are left as the place with the most of them has.
func TestUnionDuplicates(t *testing.T) {
	tests := []struct {
		name   string
		places []string
		want   []string
	}{
		{"none", []string{mailOf("a"), mailOf("b")}, []string{"a", "b"}},
		{"one", []string{mailOf("a"), mailOf("a") + mailOf("b")}, []string{"a", "b"}},
		{"all", []string{mailOf("a") + mailOf("b"), mailOf("b") + mailOf("a")}, []string{"a", "b"}},
		{"twice in one place", []string{mailOf("a") + mailOf("a"), mailOf("b")}, []string{"a", "a", "b"}},
		{"twice in the later", []string{mailOf("a"), mailOf("a") + mailOf("a")}, []string{"a", "a"}},
		{"twice in the earlier", []string{mailOf("a") + mailOf("a"), mailOf("a")}, []string{"a", "a"}},
		{"in three places", []string{mailOf("a"), mailOf("a") + mailOf("b"), mailOf("b") + mailOf("a") + mailOf("c")}, []string{"a", "b", "c"}},
		{"other flags, other format", []string{mbxOf("a"), "From x Mon Jun  2 10:11:12 2003\nSubject: a\nStatus: RO\nX-UID: 9\n\nbody\n\n"}, []string{"a"}},
		{"last line without its end", []string{mailOf("a"), strings.TrimSuffix(mailOf("a"), "\n\n")}, []string{"a"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			parts := partsOf(t, test.places...)
			messages, texts, findings, u := readUnion(t, parts, never)
			checkEqual(t, "messages", subjects(texts), test.want)
			for i, m := range messages {
				if m.Number != i+1 || i > 0 && m.UID <= messages[i-1].UID {
					t.Errorf("message %d has number %d, UID %d", i+1, m.Number, m.UID)
				}
			}
			dropped := 0
			for _, place := range test.places {
				dropped += strings.Count(place, "Subject: ")
			}
			dropped -= len(test.want)
			found := 0
			for _, f := range findings {
				if f.Kind == KindDuplicate {
					found++
					if f.Message != 0 || !strings.HasPrefix(f.File, "place") {
						t.Errorf("finding %+v; want one of a place and no message", f)
					}
				}
			}
			if found != dropped || (u.Account()[ReasonDuplicate] > 0) != (dropped > 0) {
				t.Errorf("%d duplicates found, account %v; want %d", found, u.Account(), dropped)
			}
			// Messages that are passed over are accounted for all the same.
			want := u.Account()
			_, _, _, u = readUnion(t, parts, func(n int) bool { return n%2 == 0 })
			checkEqual(t, "account without writing", u.Account(), want)
		})
	}
}

// TestUnionUIDs: whose numbers count, and what is done when there are not enough.
func TestUnionUIDs(t *testing.T) {
	numbered := func(uid, last uint32) string {
		return fmt.Sprintf("From x Mon Jun  2 10:11:12 2003\nSubject: n\nX-IMAPbase: 1054563072 %d\nX-UID: %d\n\nbody\n\n", last, uid)
	}
	pseudo := "From MAILER-DAEMON Mon Jun  2 10:11:12 2003\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1000000000 0000000020 kw\nStatus: RO\n\ntext\n\n"
	tests := []struct {
		name     string
		places   []string
		uids     []uint32
		validity uint32
		last     uint32
	}{
		{"the first", []string{numbered(3, 9), numbered(5, 6) + mailOf("b")}, []uint32{3, 10}, 1054563072, 10},
		{"nothing in the first", []string{"\n", numbered(5, 6)}, []uint32{5}, 1054563072, 6},
		{"only numbers in the first", []string{pseudo, numbered(5, 6)}, []uint32{21}, 1000000000, 21},
		{"no numbers in the first", []string{mailOf("a"), numbered(5, 6)}, []uint32{1, 2}, 0, 2},
		{"as many as there are", []string{numbered(3, maxUID-1), mailOf("b")}, []uint32{3, maxUID}, 1054563072, maxUID},
		{"one too few", []string{numbered(3, maxUID-1), mailOf("b") + mailOf("c")}, []uint32{1, 2, 3}, 0, 3},
		{"one too few, but for a duplicate", []string{numbered(3, maxUID-1), mailOf("n") + mailOf("c")}, []uint32{3, maxUID}, 1054563072, maxUID},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			messages, _, findings, u := readUnion(t, partsOf(t, test.places...), never)
			var uids []uint32
			for _, m := range messages {
				uids = append(uids, m.UID)
			}
			checkEqual(t, "UIDs, UIDVALIDITY, last", []any{uids, u.UIDValidity(), u.LastUID()}, []any{test.uids, test.validity, test.last})
			lost := slices.ContainsFunc(findings, func(f Finding) bool { return f.Kind == KindUIDEpochLost && strings.Contains(f.Text, "INBOX") })
			if want := test.name == "one too few"; lost != want {
				t.Errorf("UID epoch reported lost: %t, want %t", lost, want)
			}
		})
	}
}

// TestUnionKeywords: keywords of all places, by name.
func TestUnionKeywords(t *testing.T) {
	with := func(subject, list, set string) string {
		return "From x Mon Jun  2 10:11:12 2003\nSubject: " + subject + "\nX-IMAPbase: 1054563072 9 " + list + "\nX-Keywords: " + set + "\nX-UID: 9\n\nbody\n\n"
	}
	names := func(u *union, m Message) (list []string) {
		for bit, name := range u.Keywords() {
			if m.Keywords&(1<<bit) != 0 {
				list = append(list, name)
			}
		}
		return list
	}
	messages, _, _, u := readUnion(t, partsOf(t, with("a", "Work Play", "Play"), with("b", "play Home", "Home play"), with("c", "Other", "Other")), never)
	checkEqual(t, "list", u.Keywords(), []string{"Work", "Play", "Home", "Other"})
	checkEqual(t, "set", [][]string{names(u, messages[0]), names(u, messages[1]), names(u, messages[2])}, [][]string{{"Play"}, {"Play", "Home"}, {"Other"}})

	// More than a mailbox can have: those that found no place are lost, and that is said.
	var places []string
	for p := range 3 {
		var list []string
		for k := range 30 {
			list = append(list, fmt.Sprintf("k%d-%d", p, k))
		}
		places = append(places, with(fmt.Sprint(p), strings.Join(list, " "), list[0]+" "+list[29]))
	}
	messages, _, findings, u := readUnion(t, partsOf(t, places...), never)
	checkEqual(t, "number of keywords", len(u.Keywords()), maxUnionKeywords)
	checkEqual(t, "set", [][]string{names(u, messages[1]), names(u, messages[2])}, [][]string{{"k1-0", "k1-29"}, {"k2-0"}})
	lost := 0
	for _, f := range findings {
		if f.Kind == KindKeywordsLost && f.File == "place3" {
			lost++
		}
	}
	checkEqual(t, "keywords lost", lost, 90-maxUnionKeywords)
}

// TestUnionFindings: findings are of the message's number in the union, and of its file.
func TestUnionFindings(t *testing.T) {
	doubtful := func(s string) string {
		return "From x Mon Jun  2 10:11:12 2003\nSubject: " + s + "\n\nFrom here on\x00\n\n"
	}
	messages, _, findings, _ := readUnion(t, partsOf(t, mailOf("a")+doubtful("b"), doubtful("b")+mailOf("a")+doubtful("c")+mailOf("d")+doubtful("e")), never)
	var got []string
	for _, f := range findings {
		if f.Kind == KindFromLookalike {
			got = append(got, fmt.Sprintf("%s %d", f.File, f.Message))
		}
	}
	checkEqual(t, "messages", len(messages), 5) // a b c d e
	checkEqual(t, "findings", got, []string{"place1 2", "place2 0", "place2 3", "place2 5"})
	checkEqual(t, "files", []string{messages[0].File, messages[2].File}, []string{"place1", "place2"})
}

// TestUnionEpochLost: that a place cannot keep its UIDVALIDITY is told of the one only that
// gives the INBOX its own.
func TestUnionEpochLost(t *testing.T) {
	good, bad := withNumbers("a", 7), withNumbers("b", 7)+strings.Replace(mailOf("c"), "\n\n", "\nX-UID: 3\n\n", 1)
	for _, test := range []struct {
		name     string
		contents []string
		validity uint32
		want     []string
	}{
		{"base", []string{bad, good}, 0, []string{"place1"}},
		{"another", []string{good, bad}, 1054563072, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, findings, u := readUnion(t, partsOf(t, test.contents...), never)
			var got []string
			for _, f := range findings {
				if f.Kind == KindUIDEpochLost {
					got = append(got, f.File)
				}
			}
			checkEqual(t, "findings", got, test.want)
			checkEqual(t, "UIDVALIDITY", u.UIDValidity(), test.validity)
		})
	}
}

// TestUnionLarge: what is held for each message is a few bytes, and many equal ones take
// no longer than others.
func TestUnionLarge(t *testing.T) {
	const n = 20000
	var first, second strings.Builder
	for i := range n {
		fmt.Fprintf(&first, "From x Mon Jun  2 10:11:12 2003\nSubject: %d\n\n\n", i)
		fmt.Fprintf(&second, "From x Mon Jun  2 10:11:12 2003\nSubject: %d\n\n\n", (i*7)%(2*n)/2)
	}
	messages, _, _, u := readUnion(t, partsOf(t, first.String(), second.String(), strings.Repeat(mailOf("same"), n)), func(int) bool { return true })
	if len(messages) < 2*n || len(messages) > 3*n {
		t.Errorf("%d messages, account %v", len(messages), u.Account())
	}
}

// TestDuplicates: a message of a place stands for one of an earlier place with the same bytes,
// whichever that is.
func TestDuplicates(t *testing.T) {
	digests := func(all ...byte) (d []digest128) {
		for _, b := range all {
			d = append(d, digest128{b})
		}
		return d
	}
	var earlier []digest128
	for _, place := range []struct {
		mine, all []digest128
		skip      []int
	}{
		{digests(5, 1, 3), digests(1, 3, 5), nil},
		{digests(9, 3, 3, 5, 2), digests(1, 2, 3, 3, 5, 9), []int{2, 4}},
		{digests(2, 9, 3, 3, 3, 1), digests(1, 2, 3, 3, 3, 5, 9), []int{1, 2, 3, 4, 6}},
	} {
		skip, all, left := duplicates(earlier, place.mine)
		var numbers []int
		for n := range len(place.mine) {
			if skip.has(n + 1) {
				numbers = append(numbers, n+1)
			}
		}
		checkEqual(t, "left out", numbers, place.skip)
		checkEqual(t, "all", all, place.all)
		checkEqual(t, "messages", left, len(place.mine)-len(place.skip))
		earlier = all
	}
}

// FuzzUnion: any two files end in messages, each byte accounted for, with UIDs that ascend.
func FuzzUnion(f *testing.F) {
	f.Add(mailOf("a"), mailOf("a")+mailOf("b"))
	f.Add(mbxOf("a", "b"), withNumbers("s", 7))
	f.Add(tenexOf("\n", "t"), mailOf("t"))
	f.Add("", "\n\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		var parts []part
		for i, content := range []string{a, b} {
			format := Recognise([]byte(content[:min(len(content), headSize)]), int64(len(content)))
			if format == FormatNone {
				return // never part of an INBOX
			}
			parts = append(parts, partsOf(t, content)[0])
			parts[i].format = format
		}
		messages, _, _, u := readUnion(t, parts, func(n int) bool { return n%3 == 0 })
		seen := map[uint32]bool{}
		for _, m := range messages {
			if m.UID == 0 || m.UID > maxUID || m.UID > u.LastUID() || seen[m.UID] {
				t.Fatalf("UID %d of message %d, last %d", m.UID, m.Number, u.LastUID())
			}
			seen[m.UID] = true
		}
	})
}
