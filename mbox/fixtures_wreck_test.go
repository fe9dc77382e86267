package mbox

import "strings"

// wrecks are mailboxes that UW crashes or hangs on, leaves behind, or hides mail of.
var wrecks = []fixture{
	{name: "E1 header at EOF, rewritten by 2007f", file: from + "Subject: only" + strings.Repeat("\x00", 60),
		format: FormatUnix, next: 2, messages: []fixtureMessage{{uid: 1, flags: "r", text: "Subject: only\r\n\r\n"}}},
	{name: "E1 header at EOF, rewritten by 2002e", file: from + "Subject: only" + strings.Repeat("\x00", 60) +
		"X-IMAPbase: 1054563072 1\nStatus: O\nX-UID: 1\n\n",
		format: FormatUnix, validity: 1054563072, next: 2, messages: []fixtureMessage{{uid: 1, text: "Subject: only\r\n\r\n"}}},
	{name: "E1 and then a delivery", file: from + "Subject: only" + strings.Repeat("\x00", 60) + from + "Subject: b\n\nb\n\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: only\r\n\r\n"},
			{uid: 2, flags: "r", text: "Subject: b\r\n\r\nb\r\n"},
		}},
	{name: "E2 From_ line only, rewritten", file: from + strings.Repeat("\x00", 60),
		format: FormatUnix, next: 2, messages: []fixtureMessage{{uid: 1, flags: "r", text: "\r\n"}}},
	{name: "E3 nul-tail", file: from + "Subject: a\nX-IMAPbase: 1054563072 9\nX-UID: 9\n\nb\n\n" + strings.Repeat("\x00", 40),
		format: FormatUnix, validity: 1054563072, next: 10,
		messages: []fixtureMessage{{uid: 9, flags: "r", text: "Subject: a\r\n\r\nb\r\n"}}},
	{name: "E4 nul-hole", file: from + "Subject: a\n\nb\n\n" + strings.Repeat("\x00", 40) + from + "Subject: b\n\nc\n\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: a\r\n\r\nb\r\n"},
			{uid: 2, flags: "r", text: "Subject: b\r\n\r\nc\r\n"},
		}},
	{name: "E5 lone CR in X-Keywords", file: from + "Subject: a\nX-IMAPbase: 1054563072 2 a b\nX-Keywords: a\rb\n\nb\n",
		format: FormatUnix, validity: 1054563072, next: 4, keywords: "a b",
		messages: []fixtureMessage{{uid: 3, flags: "r a b", text: "Subject: a\r\n\r\nb\r\n"}}},
	{name: "E6 lone CR in X-IMAPbase", file: from + "Subject: a\nX-IMAPbase: 1054563072 2 a\rb\nX-Keywords: b\n\nb\n",
		format: FormatUnix, validity: 1054563072, next: 4, keywords: "a b",
		messages: []fixtureMessage{{uid: 3, flags: "r b"}}},
	{name: "E7 NUL in X-IMAPbase", file: from + "Subject: a\nX-IMAPbase: 1054563072 2 a\x00b c\nX-Keywords: a c\n\nb\n",
		format: FormatUnix, validity: 1054563072, next: 4, keywords: "a",
		messages: []fixtureMessage{{uid: 3, flags: "r a"}}},
	{name: "E8 X-IMAPbase at EOF", file: from + "Subject: a\nX-IMAPbase: 1 2 foo",
		format: FormatUnix, validity: 1, next: 4, keywords: "foo",
		messages: []fixtureMessage{{uid: 3, flags: "r", text: "Subject: a\r\n\r\n"}}},
	{name: "E9 X-UID at EOF", file: from + "Subject: a\nX-IMAPbase: 1054563072 2\nX-UID: 2",
		format: FormatUnix, validity: 1054563072, next: 3,
		messages: []fixtureMessage{{uid: 2, flags: "r", text: "Subject: a\r\n\r\n"}}},
	// UW takes the first for a plain file, the second for one message, all header
	{name: "E10 double-CR file", file: strings.ReplaceAll(from+"Subject: a\nStatus: RO\n\nb\n\n"+from+"Subject: b\n\nc\n\n", "\n", "\r\r\n"),
		format: FormatUnixDoubtful, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "R", text: "Subject: a\r\n\r\nb\r\n"},
			{uid: 2, flags: "r", text: "Subject: b\r\n\r\nc\r\n"},
		}},
	{name: "E10 double-CR file but for its first line", file: strings.TrimSuffix(from, "\n") + "\r\n" +
		strings.ReplaceAll("Subject: a\n\nb\n\n"+from+"Subject: b\n\nc\n\n", "\n", "\r\r\n"),
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: a\r\n\r\nb\r\n"},
			{uid: 2, flags: "r", text: "Subject: b\r\n\r\nc\r\n"},
		}},
	{name: "E10 one line of a double-CR file is different", file: strings.TrimSuffix(from, "\n") + "\r\n" +
		strings.ReplaceAll("Subject: a\n\nb\n\n"+from+"Subject: b\n\nc\n", "\n", "\r\r\n") + "\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: a\r\n\r\nb\r\n\r\n" + strings.TrimSuffix(from, "\n") + "\r\nSubject: b\r\n\r\nc\r\n\r\n"},
		}},
	{name: "E11 no final LF", file: from + "Subject: c\n\nno final nl",
		format: FormatUnix, next: 2, messages: []fixtureMessage{{uid: 1, flags: "r", text: "Subject: c\r\n\r\nno final nl\r\n"}}},
	{name: "E14 internal headers of a sender", file: from + "Subject: a\nX-IMAPbase: 1054563072 1\nStatus: O\nX-UID: 1\nX-Original-Status: RO\nX-Mailer: foo\n" +
		"X-UID: 77\nx-status: D\nX-Keywords: zz\nStatus: R\nX-IMAPbase: 1 2\nX-IMAP: 3 4\n\nb\n\n",
		// Two X-UIDs end the epoch, and the sender's X-IMAPbase starts another, in which
		// X-IMAP comes too late to hide the message.
		format: FormatUnix, validity: 1, next: 4, messages: []fixtureMessage{
			{uid: 3, flags: "R", text: "Subject: a\r\nX-Original-Status: RO\r\nX-Mailer: foo\r\n\r\nb\r\n"}}},
	{name: "E15 two pseudo-messages", file: pseudoHead + "X-IMAP: 1054563072 0000000007" + pseudoTail + pseudoHead + "X-IMAP: 1054563099 0000000002" + pseudoTail +
		from + "Subject: a\nX-UID: 7\n\nb\n\n" + from + "Subject: b\nX-UID: 9\n\nb\n\n",
		format: FormatUnix, validity: 1054563072, next: 9, messages: []fixtureMessage{{uid: 7, flags: "r"}, {uid: 8, flags: "r"}}},
	{name: "E16 pseudo-message with X-UID and X-IMAPbase", file: pseudoHead + "X-IMAP: 1054563072 0000000007 a\nX-IMAPbase: 9 9 b\nX-UID: 1" + pseudoTail + from + "Subject: a\nX-UID: 7\n\nb\n\n",
		format: FormatUnix, validity: 1054563072, next: 8, keywords: "a", messages: []fixtureMessage{{uid: 7, flags: "r"}}},
	{name: "E17 X-Imap", file: pseudoHead + "X-Imap: 1054563072 0000000007" + pseudoTail,
		format: FormatUnix, next: 2, messages: []fixtureMessage{{uid: 1, flags: "R"}}},
	{name: "E18 spaces in the keyword list", file: from + "X-IMAPbase: 1054563072 5  two  three   \nX-Keywords: three\n\n\n",
		format: FormatUnix, validity: 1054563072, next: 7, keywords: "two three", messages: []fixtureMessage{{uid: 6, flags: "r three"}}},
	{name: "E19 NUL in Status", file: from + "Status: R\x00OD\n\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{{uid: 1, flags: "Rr", text: "\r\n"}}},
	{name: "E20 lone CR in Status", file: from + "Status: R\rO\n\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{{uid: 1, flags: "R", text: "\r\n"}}},
	{name: "E21 only white space", file: "\n\n  \n", format: FormatEmpty, next: 1},

	// What follows was asked of c-client 2007f, but for the repairs.
	{name: "NULs and names", file: from + "Sub\x00ject: a\x00b\nX\x00\x00N: v\n\x00Y: z\nA B\x00C: x\n co\x00nt: d\nStat\x00us: RO\nStatus\x00: RO\n\nx\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{{uid: 1, flags: "r",
			text: "Sub ject: a\x80b\r\nX \x80N: v\r\n Y: z\r\nA B\x80C: x\r\n co\x80nt: d\r\nStat us: RO\r\n\r\nx\r\n"}}},
	{name: "lone CR before a name", file: from + "Subject: a\nX-IMAPbase: 1054563072 2 a b\nX-Keywords: a\tb\nX-Status: F\n\rStatus: R\nStatus:R\x00O\n\n\rb\n\r\n\n",
		format: FormatUnix, validity: 1054563072, next: 4, keywords: "a b",
		messages: []fixtureMessage{{uid: 3, flags: "RFr", text: "Subject: a\r\n\r\nb\r\n\r\n"}}},
	{name: "a second base in the first message starts another epoch", file: from + "Subject: m1\nX-IMAPbase: 5 10 a\nX-UID: 1\nX-UID: 1\nX-IMAPbase: 7 20 b\nX-UID: 3\n\n" + from + "X-UID: 9\n\n",
		format: FormatUnix, validity: 7, next: 21, keywords: "b", messages: []fixtureMessage{{uid: 3, flags: "r"}, {uid: 9, flags: "r"}}},
	{name: "keywords right after the last UID", file: from + "Subject: m1\nX-IMAPbase: 5 10x a b\nX-UID: 1\nX-Keywords: b\n\n" + from + "X-IMAPbase:5 10\n\n",
		format: FormatUnix, validity: 5, next: 12, keywords: "x a b", messages: []fixtureMessage{{uid: 1, flags: "r b"}, {uid: 11, flags: "r"}}},
	{name: "header begins with a continuation", file: from + " X: folded\nStatus: R\n\tfold\n\r\nbody\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{{uid: 1, flags: "Rr", text: " X: folded\r\n\r\nbody\r\n"}}},
	{name: "keyword listed twice", file: from + "X-IMAPbase: 5 10 a b a\n\nbody\n\n" + from + "X-Keywords: A   b   \n\n",
		format: FormatUnix, validity: 5, next: 13, keywords: "a b a", messages: []fixtureMessage{{uid: 11, flags: "r"}, {uid: 12, flags: "r a b"}}},
	{name: "no space after the colon", file: from + "X-IMAPbase:5 10 a b\nX-Keywords:b a\nX-UID:7\nStatus:R O\n X: y\n\nbody\n\n" + from + "X-UID: +8\n\n" + from + "X-UID:\t8\n\n",
		format: FormatUnix, next: 13, keywords: "a b", messages: []fixtureMessage{
			{uid: 7, flags: "R a b", text: "\r\nbody\r\n"}, {uid: 11, flags: "r"}, {uid: 12, flags: "r"}}},

	// Repairs that no fixture above needs.
	{name: "the foreign base follows the X-UID of its message", file: from + "X-IMAPbase: 5 3\nX-UID: 3\n\n" + from + "X-UID: 4\nX-IMAPbase: 6 9\n\n" + from + "X-UID: 5\n\n",
		format: FormatUnix, validity: 5, next: 6, messages: []fixtureMessage{{uid: 3, flags: "r"}, {uid: 4, flags: "r"}, {uid: 5, flags: "r"}}},
	{name: "a stray pseudo-message with X-UIDs", file: from + "X-IMAPbase: 5 3\nX-UID: 2\n\n" + pseudoHead + "X-UID: 1\nX-UID: 1\nX-IMAP: 5 3" + pseudoTail + from + "X-UID: 3\n\n",
		format: FormatUnix, validity: 5, next: 4, messages: []fixtureMessage{{uid: 2, flags: "r"}, {uid: 3, flags: "r"}}},
	{name: "kept first message, X-UIDs above the last", file: from + "X-IMAP: 5 3\n\n" + from + "X-UID: 5\n\n" + from + "X-UID: 4000\n\n" + from + "\n",
		format: FormatUnix, validity: 5, next: 9, messages: []fixtureMessage{
			{uid: 6, flags: "r"}, {uid: 5, flags: "r"}, {uid: 7, flags: "r"}, {uid: 8, flags: "r"}}},
	{name: "no room for a second UID", file: from + "X-IMAPbase: 5 1073741822\nX-UID: 1073741823\n\n" + from + "\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{{uid: 1, flags: "r"}, {uid: 2, flags: "r"}}},
	{name: "room for just two UIDs", file: from + "X-IMAPbase: 5 1073741821\n\n" + from + "X-UID: 1073741823\n\n",
		format: FormatUnix, validity: 5, next: 1073741824, messages: []fixtureMessage{{uid: 1073741822, flags: "r"}, {uid: 1073741823, flags: "r"}}},
	{name: "NULs in text are no hole", file: from + "\na\n\x00\x00From here\n\x00\x00\nb\x00" + from + "\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{{uid: 1, flags: "r",
			text: "\r\na\r\n\x80\x80From here\r\n\x80\x80\r\nb\x80From joe@example.com Mon Jun  2 10:11:12 2003\r\n"}}},
	{name: "only NULs", file: "\x00\x00", format: FormatNone},
}
