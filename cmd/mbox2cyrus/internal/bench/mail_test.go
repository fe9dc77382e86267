package main

import "testing"

// What became of the mail is told in words, and nothing is made up.
func TestLost(t *testing.T) {
	text := func(b byte) (sum [32]byte) { sum[0] = b; return sum }
	of := func(letters ...letter) mail {
		return mail{"joe/INBOX": {uidValidity: 1, subscribed: true, letters: letters}}
	}
	a := letter{uid: 3, flags: `\Seen`, keywords: "work", date: 10, whole: text(1), text: text(1)}
	b := letter{uid: 7, date: 20, whole: text(2), text: text(2)}
	moved := b
	moved.uid = 8
	other := mail{"joe/INBOX": {uidValidity: 2, letters: []letter{a, b}}}
	changed := b
	changed.text, changed.whole = text(9), text(9)
	plain := a
	plain.flags, plain.keywords, plain.date, plain.whole = "", "", 99, text(8)
	for name, tc := range map[string]struct {
		got  mail
		want string
	}{
		"the same":          {of(a, b), "nothing"},
		"one gone":          {of(b), "1 messages"},
		"all gone":          {mail{}, "2 messages, UIDVALIDITY, subscriptions"},
		"one more in front": {of(letter{text: text(5)}, a, b), "not lost but added: 1 messages that are none"},
		"a new UID":         {of(a, moved), "UIDs (1 of 2)"},
		"another mailbox":   {other, "UIDVALIDITY, subscriptions"},
		"another text":      {of(a, changed), "bytes (1 of 2)"},
		"the text alone":    {of(plain, b), "dates (1 of 2), flags, keywords, bytes (1 of 2)"},
	} {
		if got := lost(of(a, b), tc.got); got != tc.want {
			t.Errorf("%s: lost %s; want %s", name, got, tc.want)
		}
	}
}
