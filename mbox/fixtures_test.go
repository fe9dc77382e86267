package mbox

import "strings"

// fixtureMessage is what is wanted of a message.
type fixtureMessage struct {
	uid   uint32
	flags string // letters as in Status, r for Recent, then keywords
	text  string // what WriteTo gives; "" if the differential test is enough
	date  string // "" if the From_ line is that of from; "file" for the file's own time
}

type fixture struct {
	name     string
	file     string
	format   Format
	validity uint32 // 0: a new one is needed
	next     uint32 // UIDNEXT
	keywords string
	messages []fixtureMessage // none, if the format is FormatNone: the file is no mailbox
}

const (
	from       = "From joe@example.com Mon Jun  2 10:11:12 2003\n"
	pseudoHead = "From MAILER-DAEMON Mon Jun  2 10:11:12 2003\n" +
		"Date: 02 Jun 2003 10:11:12 -0400\n" +
		"From: " + pseudoName + " <MAILER-DAEMON@host>\n" +
		"Subject: " + pseudoSubject + "\n" +
		"Message-ID: <1054563072@host>\n"
	pseudoTail = "\nStatus: RO\n\nFour lines of text\n\n"
)

// fixtures are mailboxes that UW IMAP 2002e and 2007f were run on, in New York. Wanted is
// what 2007f showed, but for repairs: those say why.
var fixtures = []fixture{
	{name: "1 empty", file: "",
		format: FormatEmpty, next: 1},
	{name: "2 pseudo-only", file: pseudoHead + "X-IMAP: 1054563072 0000000007 $Forwarded NonJunk" + pseudoTail,
		format: FormatUnix, validity: 1054563072, next: 8, keywords: "$Forwarded NonJunk"},
	{name: "3 pseudo-2msg", file: pseudoHead + "X-IMAP: 1054563072 0000000007 $Forwarded NonJunk" + pseudoTail +
		from + "Subject: m1\nStatus: RO\nX-Status: \nX-Keywords: $Forwarded                     \nX-UID: 3\n\nbody\n\n" +
		from + "Subject: m2\nStatus: O\nX-Status: FA\nX-Keywords: nonjunk unknownkw\nX-UID: 7\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 8, keywords: "$Forwarded NonJunk", messages: []fixtureMessage{
			{uid: 3, flags: "R $Forwarded"},
			{uid: 7, flags: "FA NonJunk"},
		}},
	{name: "4 imapbase", file: from + "Subject: m1\nX-IMAPbase: 1054563072 9 Work Play\nStatus: RO\nX-Status: A\nX-Keywords: Play                       \nX-UID: 5\n\nbody\n\n" +
		from + "Subject: m2\nStatus: O\nX-Status: \nX-Keywords:                \nX-UID: 9\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 10, keywords: "Work Play", messages: []fixtureMessage{
			{uid: 5, flags: "RA Play"},
			{uid: 9, flags: ""},
		}},
	// the message is kept, with a UID above all others
	{name: "5 ximap-real-first", file: from + "Subject: m1\nX-IMAP: 1054563072 0000000007 foo\nX-UID: 1\n\nbody\n\n" +
		from + "Subject: m2\nX-UID: 7\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 9, keywords: "foo", messages: []fixtureMessage{
			{uid: 8, flags: "r", text: "Subject: m1\r\n\r\nbody\r\n"},
			{uid: 7, flags: "r", text: "Subject: m2\r\n\r\nbody\r\n"},
		}},
	// the stray pseudo-message is dropped and uses no UID
	{name: "6 pseudo-second", file: from + "Subject: m1\nX-IMAPbase: 1000000000 4\nX-UID: 2\n\nbody\n\n" + pseudoHead + "X-IMAP: 1054563072 0000000007 abc" + pseudoTail +
		from + "Subject: m2\nX-UID: 4\n\nbody\n\n",
		format: FormatUnix, validity: 1000000000, next: 5, messages: []fixtureMessage{
			{uid: 2, flags: "r", text: "Subject: m1\r\n\r\nbody\r\n"},
			{uid: 4, flags: "r", text: "Subject: m2\r\n\r\nbody\r\n"},
		}},
	{name: "7 pseudo-no-ximap", file: pseudoHead + "Status: RO\n\nThis only looks like UW's data.\n\n" +
		from + "Subject: m1\n\nbody\n\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "R"},
			{uid: 2, flags: "r"},
		}},
	{name: "8 pseudo-zero", file: pseudoHead + "X-IMAP: 0000000000 0000000000" + pseudoTail +
		from + "Subject: m1\n\nbody\n\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "R"},
			{uid: 2, flags: "r"},
		}},
	{name: "9 uid-before-base", file: from + "Subject: m1\nX-UID: 1\nX-IMAPbase: 1054563072 100\n\nbody\n\n" +
		from + "Subject: m2\nX-UID: 2\n\nbody\n\n" +
		from + "Subject: m3\nX-UID: 3\n\nbody\n\n",
		format: FormatUnix, next: 104, messages: []fixtureMessage{
			{uid: 101, flags: "r"},
			{uid: 102, flags: "r"},
			{uid: 103, flags: "r"},
		}},
	{name: "10 uid-dup-same-msg", file: from + "Subject: m1\nX-IMAPbase: 1054563072 100\nX-UID: 1\nX-UID: 1\n\nbody\n\n" +
		from + "Subject: m2\nX-UID: 2\n\nbody\n\n",
		format: FormatUnix, next: 103, messages: []fixtureMessage{
			{uid: 101, flags: "r"},
			{uid: 102, flags: "r"},
		}},
	{name: "11 uid-backwards", file: from + "Subject: m1\nX-IMAPbase: 1054563072 100\nX-UID: 10\n\nbody\n\n" +
		from + "Subject: m2\nX-UID: 5\n\nbody\n\n" +
		from + "Subject: m3\nX-UID: 20\n\nbody\n\n",
		format: FormatUnix, next: 103, messages: []fixtureMessage{
			{uid: 10, flags: "r"},
			{uid: 101, flags: "r"},
			{uid: 102, flags: "r"},
		}},
	// 8 is 5 above the last UID, the file has 3 messages: not believed
	{name: "12 uid-gt-last", file: from + "Subject: m1\nX-IMAPbase: 1054563072 3\nX-UID: 1\n\nbody\n\n" +
		from + "Subject: m2\nX-UID: 8\n\nbody\n\n" +
		from + "Subject: m3\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 6, messages: []fixtureMessage{
			{uid: 1, flags: "r"},
			{uid: 4, flags: "r"},
			{uid: 5, flags: "r"},
		}},
	{name: "13 uid-no-base", file: from + "Subject: m1\nX-UID: 11\n\nbody\n\n" +
		from + "Subject: m2\nX-UID: 12\n\nbody\n\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r"},
			{uid: 2, flags: "r"},
		}},
	{name: "14 uid-garbage", file: from + "Subject: m1\nX-IMAPbase: 1054563072 9\nX-UID: abc\n\nbody\n\n" +
		from + "Subject: m2\nX-UID: 2\n\nbody\n\n",
		format: FormatUnix, next: 12, messages: []fixtureMessage{
			{uid: 10, flags: "r"},
			{uid: 11, flags: "r"},
		}},
	{name: "15 uid-trailing-junk", file: from + "Subject: m1\nX-IMAPbase: 1054563072 9\nX-UID: 4xyz\n\nbody\n\n" +
		from + "Subject: m2\nX-UID: 9 \n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 10, messages: []fixtureMessage{
			{uid: 4, flags: "r"},
			{uid: 9, flags: "r"},
		}},
	{name: "16 uid-missing-mid", file: from + "Subject: m1\nX-IMAPbase: 1054563072 10\nX-UID: 1\n\nbody\n\n" +
		from + "Subject: m2\n\nbody\n\n" +
		from + "Subject: m3\nX-UID: 5\n\nbody\n\n" +
		from + "Subject: m4\nX-UID: 10\n\nbody\n\n",
		format: FormatUnix, next: 14, messages: []fixtureMessage{
			{uid: 1, flags: "r"},
			{uid: 11, flags: "r"},
			{uid: 12, flags: "r"},
			{uid: 13, flags: "r"},
		}},
	{name: "17 uid-new-tail", file: from + "Subject: m1\nX-IMAPbase: 1054563072 10\nX-UID: 1\nStatus: RO\n\nbody\n\n" +
		from + "Subject: m2\nX-UID: 4\nStatus: O\n\nbody\n\n" +
		from + "Subject: m3\n\nbody\n\n" +
		from + "Subject: m4\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 13, messages: []fixtureMessage{
			{uid: 1, flags: "R"},
			{uid: 4, flags: ""},
			{uid: 11, flags: "r"},
			{uid: 12, flags: "r"},
		}},
	// does not fit 32 bits, leaves no room
	{name: "18 uidval-big", file: from + "Subject: m1\nX-IMAPbase: 99999999999 5\nX-UID: 5\n\nbody\n\n",
		format: FormatUnix, next: 6, messages: []fixtureMessage{
			{uid: 5, flags: "r"},
		}},
	{name: "19 base-zero", file: from + "Subject: m1\nX-IMAPbase: 0 5\nX-UID: 5\n\nbody\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r"},
		}},
	{name: "20 base-nolast", file: from + "Subject: m1\nX-IMAPbase: 1054563072\nX-UID: 5\n\nbody\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r"},
		}},
	{name: "21 base-tabs", file: from + "Subject: m1\nX-IMAPbase:\t1054563072\t5\nX-UID: 5\n\nbody\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r"},
		}},
	{name: "22 base-second-msg", file: from + "Subject: m1\n\nbody\n\n" +
		from + "Subject: m2\nX-IMAPbase: 1054563072 5\nX-UID: 5\n\nbody\n\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r"},
			{uid: 2, flags: "r"},
		}},
	{name: "23 base-twice", file: from + "Subject: m1\nX-IMAPbase: 1054563072 5 a\nX-IMAPbase: 1111111111 9 b\nX-UID: 5\nX-Keywords: a b\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 6, keywords: "a", messages: []fixtureMessage{
			{uid: 5, flags: "r a"},
		}},
	// the second base is another mailbox's: 9 is not believed
	{name: "24 base-two-concat", file: from + "Subject: m1\nX-IMAPbase: 1054563072 5 a b\nX-UID: 5\nX-Keywords: a\n\nbody\n\n" +
		from + "Subject: m2\nX-IMAPbase: 1111111111 9 b a\nX-UID: 9\nX-Keywords: b\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 7, keywords: "a b", messages: []fixtureMessage{
			{uid: 5, flags: "r a"},
			{uid: 6, flags: "r b"},
		}},
	// the long name leaves a hole: three is listed, but no message has it
	{name: "25 kw-long", file: from + "Subject: m1\nX-IMAPbase: 1054563072 5 one " + strings.Repeat("L", 51) + " three\nX-UID: 5\nX-Keywords: one three " + strings.Repeat("L", 51) + "\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 6, keywords: "one three", messages: []fixtureMessage{
			{uid: 5, flags: "r one"},
		}},
	{name: "26 kw-50", file: from + "Subject: m1\nX-IMAPbase: 1054563072 5 " + strings.Repeat("L", 50) + " three\nX-UID: 5\nX-Keywords: three " + strings.Repeat("L", 50) + "\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 6, keywords: strings.Repeat("L", 50) + " three", messages: []fixtureMessage{
			{uid: 5, flags: "r " + strings.Repeat("L", 50) + " three"},
		}},
	{name: "27 kw-31", file: from + "Subject: m1\nX-IMAPbase: 1054563072 5 k1 k2 k3 k4 k5 k6 k7 k8 k9 k10 k11 k12 k13 k14 k15 k16 k17 k18 k19 k20 k21 k22 k23 k24 k25 k26 k27 k28 k29 k30 k31 k32\nX-UID: 5\nX-Keywords: k1 k30 k31 k32\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 6, keywords: "k1 k2 k3 k4 k5 k6 k7 k8 k9 k10 k11 k12 k13 k14 k15 k16 k17 k18 k19 k20 k21 k22 k23 k24 k25 k26 k27 k28 k29 k30", messages: []fixtureMessage{
			{uid: 5, flags: "r k1 k30"},
		}},
	{name: "28 kw-tab", file: from + "Subject: m1\nX-IMAPbase: 1054563072 5 a b\nX-UID: 5\nX-Keywords:\ta\tb\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 6, keywords: "a b", messages: []fixtureMessage{
			{uid: 5, flags: "r"},
		}},
	{name: "29 kw-case", file: from + "Subject: m1\nX-IMAPbase: 1054563072 5 NonJunk\nX-UID: 5\nX-Keywords: nonjunk\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 6, keywords: "NonJunk", messages: []fixtureMessage{
			{uid: 5, flags: "r NonJunk"},
		}},
	{name: "30 kw-nobase", file: from + "Subject: m1\nX-Keywords: NonJunk $MDNSent\n\nbody\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r"},
		}},
	{name: "31 kw-8bit", file: from + "Subject: m1\nX-IMAPbase: 1054563072 5 caf\xe9 a(b x%y \\Foo\nX-UID: 5\nX-Keywords: caf\xe9 a(b x%y \\Foo\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 6, keywords: "caf\xe9 a(b x%y \\Foo", messages: []fixtureMessage{
			{uid: 5, flags: "r caf\xe9 a(b x%y \\Foo"},
		}},
	{name: "32 kw-fold", file: from + "Subject: m1\nX-IMAPbase: 1054563072 5 a\n b c\nX-UID: 5\nX-Keywords: a\n b\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 6, keywords: "a", messages: []fixtureMessage{
			{uid: 5, flags: "r a", text: "Subject: m1\r\n\r\nbody\r\n"},
		}},
	{name: "33 status-forms", file: from + "Subject: m1\nStatus: O\n\nbody\n\n" +
		from + "Subject: m2\nStatus: R\n\nbody\n\n" +
		from + "Subject: m3\nStatus: RO\n\nbody\n\n" +
		from + "Subject: m4\nStatus:RO\n\nbody\n\n" +
		from + "Subject: m5\nStatus: ro\n\nbody\n\n" +
		from + "Subject: m6\nstatus: RO\n\nbody\n\n" +
		from + "Subject: m7\nSTATUS: RO\n\nbody\n\n" +
		from + "Subject: m8\nStatus : RO\n\nbody\n\n" +
		from + "Subject: m9\nStatus: \n RO\n\nbody\n\n" +
		from + "Subject: m10\nStatus: U\n\nbody\n\n" +
		from + "Subject: m11\nStatus: DFAT\n\nbody\n\n" +
		from + "Subject: m12\nX-Status: R\n\nbody\n\n" +
		from + "Subject: m13\nX-STATUS: F\n\nbody\n\n" +
		from + "Subject: m14\nStatus: OR\nStatus: \n\nbody\n\n" +
		from + "Subject: m15\nStatus: Read\n\nbody\n\n" +
		from + "Subject: m16\nStatus: RO\nX-Status: AND\n\nbody\n\n" +
		from + "Subject: m17\n\tfolded\nStatus: RO\n\nbody\n\n" +
		from + "Subject: m18\nStatus-Foo: RO\nXStatus: F\n\nbody\n\n" +
		from + "Subject: m19\nStatus\n\nbody\n\n" +
		from + "Subject: m20\nStatus RO\n\nbody\n\n",
		format: FormatUnix, next: 21, messages: []fixtureMessage{
			{uid: 1, flags: ""},
			{uid: 2, flags: "rR"},
			{uid: 3, flags: "R"},
			{uid: 4, flags: "R"},
			{uid: 5, flags: "r"},
			{uid: 6, flags: "r"},
			{uid: 7, flags: "r"},
			{uid: 8, flags: "r"},
			{uid: 9, flags: "r"},
			{uid: 10, flags: "r"},
			{uid: 11, flags: "rDFAT"},
			{uid: 12, flags: "rR"},
			{uid: 13, flags: "r"},
			{uid: 14, flags: "R"},
			{uid: 15, flags: "rR"},
			{uid: 16, flags: "RDA"},
			{uid: 17, flags: "R"},
			{uid: 18, flags: "r"},
			{uid: 19, flags: "r"},
			{uid: 20, flags: "r"},
		}},
	{name: "34 status-in-body", file: from + "Subject: m1\n\nStatus: RO\nX-Status: D\nX-UID: 5\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: m1\r\n\r\nStatus: RO\r\nX-Status: D\r\nX-UID: 5\r\n"},
		}},
	// UW does not know CET
	{name: "35 from-valid", file: "From user Wed Dec  2 05:53 1992\nSubject: v1\n\nb\n\n" +
		"From user Wed Dec  2 05:53:22 1992\nSubject: v2\n\nb\n\n" +
		"From user Wed Dec  2 05:53 PST 1992\nSubject: v3\n\nb\n\n" +
		"From user Wed Dec  2 05:53:22 PST 1992\nSubject: v4\n\nb\n\n" +
		"From user Wed Dec  2 05:53 -0700 1992\nSubject: v5\n\nb\n\n" +
		"From user Wed Dec  2 05:53:22 -0700 1992\nSubject: v6\n\nb\n\n" +
		"From user Wed Dec  2 05:53 1992 PST\nSubject: v7\n\nb\n\n" +
		"From user Wed Dec  2 05:53:22 1992 PST\nSubject: v8\n\nb\n\n" +
		"From user Wed Dec  2 05:53 1992 -0700\nSubject: v9\n\nb\n\n" +
		"From user Wed Dec  2 05:53:22 1992 -0700\nSubject: v10\n\nb\n\n" +
		"From user Wed Dec  2 05:53:22 1992 remote from host\nSubject: v11\n\nb\n\n" +
		"From user Wed Dec  2 05:53 PST 1992 remote from host.example\nSubject: v12\n\nb\n\n" +
		"From user Wed Dec 02 05:53:22 1992\nSubject: v13\n\nb\n\n" +
		"From - Wed Dec  2 05:53:22 1992\nSubject: v14\n\nb\n\n" +
		"From \"a b c\"@x Wed Dec  2 05:53:22 1992\nSubject: v15\n\nb\n\n" +
		"From user Wed Dec  2 05:53:22 CET 1992\nSubject: v16\n\nb\n\n" +
		"From  Wed Dec  2 05:53:22 1992\nSubject: v17\n\nb\n\n",
		format: FormatUnix, next: 18, messages: []fixtureMessage{
			{uid: 1, flags: "r", date: "2-Dec-1992 05:53:00 -0500"},
			{uid: 2, flags: "r", date: "2-Dec-1992 05:53:22 -0500"},
			{uid: 3, flags: "r", date: "2-Dec-1992 05:53:00 -0800"},
			{uid: 4, flags: "r", date: "2-Dec-1992 05:53:22 -0800"},
			{uid: 5, flags: "r", date: "2-Dec-1992 05:53:00 -0700"},
			{uid: 6, flags: "r", date: "2-Dec-1992 05:53:22 -0700"},
			{uid: 7, flags: "r", date: "2-Dec-1992 05:53:00 -0800"},
			{uid: 8, flags: "r", date: "2-Dec-1992 05:53:22 -0800"},
			{uid: 9, flags: "r", date: "2-Dec-1992 05:53:00 -0700"},
			{uid: 10, flags: "r", date: "2-Dec-1992 05:53:22 -0700"},
			{uid: 11, flags: "r", date: "2-Dec-1992 05:53:22 -0500"},
			{uid: 12, flags: "r", date: "2-Dec-1992 05:53:00 -0800"},
			{uid: 13, flags: "r", date: "2-Dec-1992 05:53:22 -0500"},
			{uid: 14, flags: "r", date: "2-Dec-1992 05:53:22 -0500"},
			{uid: 15, flags: "r", date: "2-Dec-1992 05:53:22 -0500"},
			{uid: 16, flags: "r", date: "2-Dec-1992 05:53:22 +0100"},
			{uid: 17, flags: "r", date: "2-Dec-1992 05:53:22 -0500"},
		}},
	{name: "36 from-invalid", file: from + "Subject: m1\n\nbody\n\n" +
		"From user Wed Dec 2 05:53:22 1992\nSubject: v1\n\nb\n\n" +
		"From user Wed Dec  2 05:53:22 CEST 1992\nSubject: v2\n\nb\n\n" +
		"From user Wed Dec  2 05:53:22 1992 \nSubject: v3\n\nb\n\n" +
		"From user Wed,  2 Dec 1992 05:53:22 -0700\nSubject: v4\n\nb\n\n" +
		"From user 2 Dec 1992 05:53:22\nSubject: v5\n\nb\n\n" +
		"From user Wed Dec  2 05:53:22 92\nSubject: v6\n\nb\n\n" +
		"From user Wed Dec  2 05:53:22 102\nSubject: v7\n\nb\n\n" +
		"from user Wed Dec  2 05:53:22 1992\nSubject: v8\n\nb\n\n" +
		" From user Wed Dec  2 05:53:22 1992\nSubject: v9\n\nb\n\n" +
		">From user Wed Dec  2 05:53:22 1992\nSubject: v10\n\nb\n\n" +
		"From\tuser Wed Dec  2 05:53:22 1992\nSubject: v11\n\nb\n\n" +
		"From user@host\nSubject: v12\n\nb\n\n" +
		"From user Wed\tDec  2 05:53:22 1992\nSubject: v13\n\nb\n\n" +
		"From user Wed Dec  2 5:53:22 1992\nSubject: v14\n\nb\n\n" +
		"From user Wednesday Dec  2 05:53:22 1992\nSubject: v15\n\nb\n\n" +
		"From user Wed December  2 05:53:22 1992\nSubject: v16\n\nb\n\n" +
		"From user Wed Dec  2 05:53:22 UT 1992\nSubject: v17\n\nb\n\n" +
		"From user Wed Dec  2 05:53:22 1992 Z\nSubject: v18\n\nb\n\n" +
		"From user Wed Dec  2 05:53:22 1992 +01:00\nSubject: v19\n\nb\n\n" +
		"From u Wed Dec  2 05:53:22 1992 remote  from host\nSubject: v20\n\nb\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r"},
		}},
	// UW has 1970
	{name: "37 from-false-pos", file: from + "Subject: m1\n\ntext\nFrom what I see the car was at 10:30 here\nmore\n\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: m1\r\n\r\ntext\r\n"},
			{uid: 2, flags: "r", text: "more\r\n\r\n", date: "file"},
		}},
	{name: "38 from-false-pos-mid", file: from + "Subject: m1\n\npara\nFrom bob@x.org Tue Jul  1 01:02:03 2003\nquoted\n\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: m1\r\n\r\npara\r\n"},
			{uid: 2, flags: "r", text: "quoted\r\n\r\n"},
		}},
	// UW has 1970
	{name: "39 from-bad-values", file: "From joe Foo Bar 99 99:99:99 9999\nSubject: x\nDate: Tue, 1 Jul 2003 01:02:03 +0200\n\nb\n\nFrom joe Mon Feb 30 25:61:61 2003\nSubject: y\n\nb\n\nFrom joe Mon Jun  2 10:11:12 1969\nSubject: z\n\nb\n\nFrom joe Mon Jun  2 10:11:12 2103\nSubject: q\n\nb\n\n",
		format: FormatUnix, next: 5, messages: []fixtureMessage{
			{uid: 1, flags: "r", date: "1-Jul-2003 01:02:03 +0200"},
			{uid: 2, flags: "r", date: "file"},
			{uid: 3, flags: "r", date: "file"},
			{uid: 4, flags: "r", date: "file"},
		}},
	{name: "40 from-in-header", file: from + "Subject: a\n" +
		from + "Subject: b\n\nbody\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: a\r\nFrom joe@example.com Mon Jun  2 10:11:12 2003\r\nSubject: b\r\n\r\nbody\r\n"},
		}},
	{name: "41 hdr-eof", file: from + "Subject: m1\n\nbody\n\n" +
		from + "Subject: only",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: m1\r\n\r\nbody\r\n"},
			{uid: 2, flags: "r", text: "Subject: only\r\n\r\n"},
		}},
	{name: "42 hdr-eof-nl", file: from + "Subject: m1\n\nbody\n\n" +
		from + "Subject: only\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: m1\r\n\r\nbody\r\n"},
			{uid: 2, flags: "r", text: "Subject: only\r\n\r\n"},
		}},
	{name: "43 from-only-eof", file: from + "Subject: m1\n\nbody\n\n" +
		from,
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: m1\r\n\r\nbody\r\n"},
			{uid: 2, flags: "r", text: "\r\n"},
		}},
	{name: "44 from-partial-eof", file: from + "Subject: m1\n\nbody\n\nFrom joe@exam",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: m1\r\n\r\nbody\r\n\r\nFrom joe@exam\r\n"},
		}},
	{name: "45 from-nonl-eof", file: from + "Subject: m1\n\nbody\n\nFrom joe@example.com Mon Jun  2 10:11:12 2003",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: m1\r\n\r\nbody\r\n\r\nFrom joe@example.com Mon Jun  2 10:11:12 2003\r\n"},
		}},
	{name: "46 no-final-nl", file: from + "Subject: m1\n\nbody\n\n" +
		from + "Subject: two\n\nlast",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: m1\r\n\r\nbody\r\n"},
			{uid: 2, flags: "r", text: "Subject: two\r\n\r\nlast\r\n"},
		}},
	{name: "47 one-char-tail", file: from + "Subject: two\n\nlast\nx",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: two\r\n\r\nlast\r\nx\r\n"},
		}},
	{name: "48 one-char-tail2", file: from + "Subject: two\n\nx",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: two\r\n\r\nx\r\n"},
		}},
	{name: "49 many-blank", file: from + "Subject: two\n\nlast\n\n\n\n" +
		from + "Subject: three\n\nz\n\n\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: two\r\n\r\nlast\r\n\r\n\r\n"},
			{uid: 2, flags: "r", text: "Subject: three\r\n\r\nz\r\n\r\n"},
		}},
	{name: "50 no-blank-between", file: from + "Subject: a\n\nbody\n" +
		from + "Subject: b\n\nbody2\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: a\r\n\r\nbody\r\n"},
			{uid: 2, flags: "r", text: "Subject: b\r\n\r\nbody2\r\n"},
		}},
	{name: "51 empty-body", file: from + "Subject: a\n\n" +
		from + "Subject: b\n\n\n" +
		from + "Subject: c\n\n\n\n",
		format: FormatUnix, next: 4, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: a\r\n\r\n"},
			{uid: 2, flags: "r", text: "Subject: b\r\n\r\n"},
			{uid: 3, flags: "r", text: "Subject: c\r\n\r\n\r\n"},
		}},
	{name: "52 no-header", file: from + "\nbody only\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "\r\nbody only\r\n"},
		}},
	{name: "53 crlf", file: "From joe@example.com Mon Jun  2 10:11:12 2003\r\nSubject: m1\r\nStatus: RO\r\nX-Status: F\r\n\r\nbody\r\n\r\nFrom joe@example.com Mon Jun  2 10:11:12 2003\r\nSubject: m2\r\n\r\nbody\r\n\r\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "RF", text: "Subject: m1\r\n\r\nbody\r\n"},
			{uid: 2, flags: "r", text: "Subject: m2\r\n\r\nbody\r\n"},
		}},
	{name: "54 crlf-base", file: "From joe@example.com Mon Jun  2 10:11:12 2003\r\nSubject: m1\r\nX-IMAPbase: 1054563072 5 a b\r\nX-UID: 5\r\nX-Keywords: a\r\n\r\nbody\r\n\r\n",
		format: FormatUnix, validity: 1054563072, next: 6, keywords: "a b", messages: []fixtureMessage{
			{uid: 5, flags: "r a"},
		}},
	{name: "55 mixed-nl", file: from + "Subject: a\r\nTo: b\n\r\nl1\r\nl2\nl3\r\n\r\n" +
		from + "Subject: b\n\nx\n\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: a\r\nTo: b\r\n\r\nl1\r\nl2\r\nl3\r\n"},
			{uid: 2, flags: "r", text: "Subject: b\r\n\r\nx\r\n"},
		}},
	{name: "56 lone-cr", file: from + "Subject: a\rb\nX: c\r\r\n\nl1\rl2\nl3\r\r\nend\r\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: ab\r\nX: c\r\n\r\nl1l2\r\nl3\r\nend\r\n"},
		}},
	{name: "57 cr-only-line", file: from + "Subject: a\n\rX: y\n\nb\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: a\r\nX: y\r\n\r\nb\r\n"},
		}},
	{name: "58 nul", file: from + "Subject: a\x00b\nX-N\x00ul: v\nX-Foo: c\n\nl1\x00l2\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: a\x80b\r\nX-N ul: v\r\nX-Foo: c\r\n\r\nl1\x80l2\r\n"},
		}},
	{name: "59 nul-from", file: "From jo\x00e Mon Jun  2 10:11:12 2003\nSubject: a\n\nb\n\n",
		format: FormatNone},
	{name: "60 8bit", file: from + "Subject: caf\xe9\n\nna\xefve\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: caf\xe9\r\n\r\nna\xefve\r\n"},
		}},
	{name: "61 long-line", file: from + "Subject: a\nX-Long: " + strings.Repeat("A", 200000) + "\n\n" + strings.Repeat("B", 1000000) + "\nFrom joe Mon Jun  2 10:11:12 2003" + strings.Repeat("C", 70000) + "\n\n" +
		from + "Subject: m2\n\nbody\n\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r"},
			{uid: 2, flags: "r"},
		}},
	{name: "62 long-from", file: "From " + strings.Repeat("a", 1100) + " Mon Jun  2 10:11:12 2003\nSubject: a\n\nb\n\n",
		format: FormatUnixDoubtful, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: a\r\n\r\nb\r\n"},
		}},
	{name: "63 long-from2", file: from + "Subject: m1\n\nbody\n\nFrom " + strings.Repeat("a", 1100) + " Mon Jun  2 10:11:12 2003\nSubject: b\n\nb\n\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r"},
			{uid: 2, flags: "r"},
		}},
	{name: "64 lead-nl", file: "\n\r\n \t\n\n" +
		from + "Subject: m1\n\nbody\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r"},
		}},
	{name: "65 lead-space", file: "\n  " +
		from + "Subject: m1\n\nbody\n\n",
		format: FormatNone},
	{name: "66 lead-nl-1200", file: strings.Repeat("\n", 1200) +
		from + "Subject: m1\n\nbody\n\n",
		format: FormatUnixDoubtful, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: m1\r\n\r\nbody\r\n"},
		}},
	{name: "67 lead-garbage", file: "garbage\n" +
		from + "Subject: m1\n\nbody\n\n",
		format: FormatNone},
	{name: "68 content-length", file: from + "Subject: a\nContent-Length: 64\nLines: 3\n\nline\n\n" +
		from + "Subject: in\n\nend\n\n" +
		from + "Subject: m2\n\nbody\n\n",
		format: FormatUnix, next: 4, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: a\r\nContent-Length: 64\r\nLines: 3\r\n\r\nline\r\n"},
			{uid: 2, flags: "r", text: "Subject: in\r\n\r\nend\r\n"},
			{uid: 3, flags: "r", text: "Subject: m2\r\n\r\nbody\r\n"},
		}},
	{name: "69 mozilla", file: from + "X-Mozilla-Status: 0009\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys: $label1 work\nSubject: a\n\nb\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "X-Mozilla-Status: 0009\r\nX-Mozilla-Status2: 00000000\r\nX-Mozilla-Keys: $label1 work\r\nSubject: a\r\n\r\nb\r\n"},
		}},
	{name: "70 xuidl", file: from + "Subject: a\nX-UIDL: 0f3b!!Q2!!e<@!!\nStatus: RO\n\nb\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "R", text: "Subject: a\r\nX-UIDL: 0f3b!!Q2!!e<@!!\r\n\r\nb\r\n"},
		}},
	{name: "71 dovecot", file: "From joe@example.com  Mon Jun  2 10:11:12 2003\nSubject: a\nX-IMAPbase: 1054563072 0000000012 NonJunk Junk                    \nX-UID: 3\nStatus: RO\nX-Keywords: NonJunk                     \nContent-Length: 2\n\nb\n\nFrom joe@example.com  Mon Jun  2 10:11:12 2003\nSubject: b\nX-UID: 12\nStatus: O\nX-Status: T\nX-Keywords:                                 \nContent-Length: 2\n\nc\n\n",
		format: FormatUnix, validity: 1054563072, next: 13, keywords: "NonJunk Junk", messages: []fixtureMessage{
			{uid: 3, flags: "R NonJunk", text: "Subject: a\r\nContent-Length: 2\r\n\r\nb\r\n"},
			{uid: 12, flags: "T", text: "Subject: b\r\nContent-Length: 2\r\n\r\nc\r\n"},
		}},
	{name: "72 dovecot-pseudo", file: "From MAILER-DAEMON Mon Jun  2 10:11:12 2003\nDate: Mon, 02 Jun 2003 10:11:12 +0000\nFrom: Mail System Internal Data <MAILER-DAEMON@host>\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nMessage-ID: <1@h>\nX-IMAP: 1054563072 0000000003\nStatus: RO\n\nThis text\n\n" +
		from + "Subject: m1\nX-UID: 3\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 4, messages: []fixtureMessage{
			{uid: 3, flags: "r"},
		}},
	{name: "73 cont-after-uid", file: from + "Subject: m1\nX-IMAPbase: 1054563072 5\nX-UID: 5\n \nSubject2: x\n\nbody\n\n",
		format: FormatUnix, validity: 1054563072, next: 6, messages: []fixtureMessage{
			{uid: 5, flags: "r", text: "Subject: m1\r\nSubject2: x\r\n\r\nbody\r\n"},
		}},
	{name: "74 ws-blank", file: from + "Subject: a\n \nbody?\n\nreal body\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: a\r\n \r\nbody?\r\n\r\nreal body\r\n"},
		}},
	{name: "75 xorig", file: from + "Subject: m1\nX-Original-Status: RO\nX-Original-X-UID: 4\n\nbody\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r", text: "Subject: m1\r\nX-Original-Status: RO\r\nX-Original-X-UID: 4\r\n\r\nbody\r\n"},
		}},
	{name: "76 uidvalidity-neg", file: from + "Subject: m1\nX-IMAPbase: -5 5\nX-UID: 5\n\nbody\n\n",
		format: FormatUnix, next: 2, messages: []fixtureMessage{
			{uid: 1, flags: "r"},
		}},
	// UIDs do not fit 32 bits: all given anew
	{name: "77 uid-huge", file: from + "Subject: m1\nX-IMAPbase: 1054563072 4294967295\nX-UID: 4294967295\n\nbody\n\n" +
		from + "Subject: m2\n\nbody\n\n",
		format: FormatUnix, next: 3, messages: []fixtureMessage{
			{uid: 1, flags: "r"},
			{uid: 2, flags: "r"},
		}},
	{name: "78 phile-text", file: "hello world\nplain notes\n",
		format: FormatNone},
	{name: "79 phile-bin", file: "\x7fELF\x00\x01\x02",
		format: FormatNone},
	{name: "80 mbx-trunc", file: "*mbx*\r\n3edb6d2000000001\r\n",
		format: FormatNone},
	// UW gives today's offset and does not know CET
	{name: "81 uw-orig-date-tz", file: "From joe Sun Jan  5 10:00:00 2003\nSubject: w\n\nb\n\nFrom joe Sat Jul  5 10:00:00 2003\nSubject: s\n\nb\n\nFrom joe Sat Jul  5 10:00:00 EDT 2003\nSubject: e\n\nb\n\nFrom joe Sat Jul  5 10:00:00 CET 2003\nSubject: c\n\nb\n\n",
		format: FormatUnix, next: 5, messages: []fixtureMessage{
			{uid: 1, flags: "r", date: "5-Jan-2003 10:00:00 -0500"},
			{uid: 2, flags: "r", date: "5-Jul-2003 10:00:00 -0400"},
			{uid: 3, flags: "r", date: "5-Jul-2003 10:00:00 -0400"},
			{uid: 4, flags: "r", date: "5-Jul-2003 10:00:00 +0100"},
		}},
}
