package migrate

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// guidOf is a SHA-1 of one letter.
func guidOf(letter byte) (guid [20]byte) {
	guid[0] = letter
	return guid
}

// manifestOf has one message for each letter, with every second UID.
func manifestOf(letters string) (all []ledger.Message) {
	for i := range len(letters) {
		all = append(all, ledger.Message{UID: uint32(2*i + 1), GUID: guidOf(letters[i])})
	}
	return all
}

var errOutOfOrder = errors.New("cannot be followed")

// followed returns the UIDs that a follower gives.
func followed(manifest []ledger.Message, letters string) (uids []uint32, err error) {
	reader := func() func() (ledger.Message, error) {
		rest := manifest
		return func() (ledger.Message, error) {
			if len(rest) == 0 {
				return ledger.Message{}, io.EOF
			}
			m := rest[0]
			rest = rest[1:]
			return m, nil
		}
	}
	f := newFollower(reader())
	for i := range len(letters) {
		if ok, err := f.add(guidOf(letters[i])); !ok || err != nil {
			return nil, errors.Join(err, errOutOfOrder)
		}
	}
	if err := f.finish(); err != nil {
		return nil, err
	}
	for n, m := range manifest {
		if f.stays(int64(n)) {
			uids = append(uids, m.UID)
		}
	}
	if len(uids) != int(f.messages) {
		return nil, fmt.Errorf("%d messages have stayed, and %d are counted", len(uids), f.messages)
	}
	for range f.new {
		f.last++
		uids = append(uids, f.last)
	}
	return uids, nil
}

// remembered returns the UIDs that all SHA-1s give.
func remembered(manifest []ledger.Message, letters string) (uids []uint32) {
	var all []known
	last := uint32(0)
	for _, m := range manifest {
		all = append(all, known{m.GUID, m.UID})
		last = m.UID
	}
	slices.SortFunc(all, compareKnown)
	had := inTurn(all)
	for i := range len(letters) {
		uid, ok := had(guidOf(letters[i]))
		if !ok {
			last++
			uid = last
		}
		uids = append(uids, uid)
	}
	return uids
}

// TestInTurn: of messages with the same bytes, in any order, each has a UID of its own, as long as
// there are some, and the ones that stayed in their order have theirs.
func TestInTurn(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 1))
	for range 2000 {
		var all []known
		given := map[byte][]uint32{}
		letters := []byte{}
		for uid := range uint32(1 + rnd.IntN(8)) {
			letter := byte('a' + rnd.IntN(3))
			all = append(all, known{guidOf(letter), uid + 1})
			given[letter] = append(given[letter], uid+1)
			letters = append(letters, letter)
		}
		slices.SortFunc(all, compareKnown)
		had := inTurn(all)
		for i, letter := range letters {
			if uid, ok := had(guidOf(letter)); !ok || uid != uint32(i+1) {
				t.Fatalf("%q in their order: message %d has UID %d, %t", letters, i+1, uid, ok)
			}
		}
		rnd.Shuffle(len(letters), func(i, j int) { letters[i], letters[j] = letters[j], letters[i] })
		had = inTurn(all)
		got := map[byte][]uint32{}
		for _, letter := range letters {
			uid, ok := had(guidOf(letter))
			if !ok {
				t.Fatalf("%q of %v: no UID is left for %c", letters, given, letter)
			}
			got[letter] = append(got[letter], uid)
		}
		for letter, uids := range got {
			if slices.Sort(uids); !slices.Equal(uids, given[letter]) {
				t.Fatalf("%q of %v: %c has %v", letters, given, letter, uids)
			}
			if uid, ok := had(guidOf(letter)); ok {
				t.Fatalf("%q of %v: one more %c has UID %d", letters, given, letter, uid)
			}
		}
	}
}

// TestFollow: what can be followed.
func TestFollow(t *testing.T) {
	for _, test := range []struct {
		before, now string
		ok          bool
	}{
		{"", "", true},
		{"", "ab", true},
		{"abc", "abc", true},
		{"abc", "abcd", true},
		{"abc", "", true},
		{"abc", "ac", true},
		{"abc", "acde", true},
		{"abc", "bcd", true},
		{"abc", "abd", true},
		{"abc", "d", true},
		{"aab", "ab", true},
		{"aba", "abaa", true}, // one more that is equal
		{"abc", "bac", false},
		{"abc", "dabc", false},
		{"abc", "abdc", false},
		{"abc", "bca", false},
	} {
		uids, err := followed(manifestOf(test.before), test.now)
		if (err == nil) != test.ok || err != nil && !errors.Is(err, errOutOfOrder) {
			t.Errorf("%q after %q: %v", test.now, test.before, err)
		}
		if err == nil && !slices.Equal(uids, remembered(manifestOf(test.before), test.now)) {
			t.Errorf("%q after %q: UIDs %d", test.now, test.before, uids)
		}
	}
}

// TestFollowAsRemembered: whatever can be followed has the UIDs that it has where all is
// remembered.
func TestFollowAsRemembered(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	text := func(letters, most int) string {
		b := make([]byte, random.IntN(most))
		for i := range b {
			b[i] = 'a' + byte(random.IntN(letters))
		}
		return string(b)
	}
	could, not := 0, 0
	for range 200_000 {
		letters := 1 + random.IntN(8)
		before := text(letters, 8)
		now := text(letters, 8)
		if random.IntN(2) == 0 { // some are gone, some are new
			now = ""
			for _, c := range before {
				if random.IntN(4) > 0 {
					now += string(c)
				}
			}
			now += text(letters, 3)
		}
		uids, err := followed(manifestOf(before), now)
		if errors.Is(err, errOutOfOrder) {
			not++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		could++
		if want := remembered(manifestOf(before), now); !slices.Equal(uids, want) {
			t.Fatalf("%q after %q: UIDs %d, want %d", now, before, uids, want)
		}
	}
	if could < 10_000 || not < 10_000 {
		t.Errorf("%d could be followed, %d not", could, not)
	}
}

// TestFollowForgets: a follower does not remember any number of messages that are gone.
func TestFollowForgets(t *testing.T) {
	n := 0
	f := newFollower(func() (ledger.Message, error) {
		n++
		m := ledger.Message{UID: uint32(n)}
		m.GUID[0], m.GUID[1], m.GUID[2] = byte(n), byte(n>>8), byte(n>>16)
		return m, nil
	})
	if ok, err := f.add([20]byte{19: 1}); ok || err != nil || n != maxGone+1 {
		t.Errorf("after %d messages that are gone: %v, %v", n, ok, err)
	}
}
