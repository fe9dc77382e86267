package mbox

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestParseRepair(t *testing.T) {
	var all Repairs
	for _, x := range repairs {
		r, err := ParseRepair(x.name)
		if err != nil || r != x.repair || all.Has(r) {
			t.Errorf("%s: %v, %v", x.name, r, err)
		}
		all |= r
	}
	if all != endOfRepairs-1 || len(all.Names()) != len(repairs) || len(RepairHelp()) != len(repairs) {
		t.Errorf("all repairs are %v", all)
	}
	if s := (RepairUnquote | RepairUIDs).String(); s != "uid-sort,unquote-from" {
		t.Errorf("names %q", s)
	}
	if _, err := ParseRepair("uid-sort,split-header"); err == nil {
		t.Error("two names are taken for one")
	}
}

// repairFixtures are files on which repairs do something. Each repair is one that UW, in
// its words, "Converter", was found to need; without it the fixtures show what UW does.
var repairFixtures = []struct {
	name     string
	repairs  Repairs
	version  UWVersion
	file     string
	validity uint32
	next     uint32
	keywords string
	messages []fixtureMessage
	kinds    []Kind
}{
	{name: "UIDs before the base", repairs: RepairUIDs,
		file:     from + "Subject: m1\nX-UID: 1\nX-IMAPbase: 1054563072 100\n\nb\n\n" + from + "Subject: m2\nX-UID: 2\n\nb\n\n" + from + "Subject: m3\nX-UID: 3\n\nb\n\n",
		validity: 1054563072, next: 101,
		messages: []fixtureMessage{{uid: 1, flags: "r"}, {uid: 2, flags: "r"}, {uid: 3, flags: "r"}},
		kinds:    []Kind{KindRepairUID}},
	{name: "a UID twice in one message", repairs: RepairUIDs,
		file:     from + "Subject: m1\nX-IMAPbase: 1054563072 100\nX-UID: 1\nX-UID: 1\n\nb\n\n" + from + "Subject: m2\nX-UID: 2\n\nb\n\n",
		validity: 1054563072, next: 101,
		messages: []fixtureMessage{{uid: 1, flags: "r"}, {uid: 2, flags: "r"}}, kinds: []Kind{KindRepairUID}},
	{name: "two UIDs in one message", repairs: RepairUIDs,
		file:     from + "Subject: m1\nX-IMAPbase: 1054563072 100\nX-UID: 1\nX-UID: 3\n\nb\n\n" + from + "Subject: m2\nX-UID: 2\n\nb\n\n",
		validity: 1054563072, next: 102,
		messages: []fixtureMessage{{uid: 2, flags: "r", text: "Subject: m2\r\n\r\nb\r\n"}, {uid: 101, flags: "r", text: "Subject: m1\r\n\r\nb\r\n"}},
		kinds:    []Kind{KindRepairUID, KindRepairUID}},
	{name: "UIDs going back", repairs: RepairUIDs,
		file:     from + "Subject: m1\nX-IMAPbase: 1054563072 100\nX-UID: 10\n\nb\n\n" + from + "Subject: m2\nX-UID: 5\n\nb\n\n" + from + "Subject: m3\nX-UID: 20\n\nb\n\n",
		validity: 1054563072, next: 101,
		messages: []fixtureMessage{{uid: 5, flags: "r", text: "Subject: m2\r\n\r\nb\r\n"}, {uid: 10, flags: "r", text: "Subject: m1\r\n\r\nb\r\n"}, {uid: 20, flags: "r", text: "Subject: m3\r\n\r\nb\r\n"}},
		kinds:    []Kind{KindRepairUID}},
	{name: "a UID that is no number", repairs: RepairUIDs,
		file:     from + "Subject: m1\nX-IMAPbase: 1054563072 9\nX-UID: abc\n\nb\n\n" + from + "Subject: m2\nX-UID: 2\n\nb\n\n",
		validity: 1054563072, next: 11,
		messages: []fixtureMessage{{uid: 2, flags: "r", text: "Subject: m2\r\n\r\nb\r\n"}, {uid: 10, flags: "r", text: "Subject: m1\r\n\r\nb\r\n"}},
		kinds:    []Kind{KindRepairUID, KindRepairUID}},
	{name: "a message without UID in the middle", repairs: RepairUIDs,
		file: from + "Subject: m1\nX-IMAPbase: 1054563072 10 kw\nX-UID: 1\n\nb\n\n" + from + "Subject: m2\nX-Keywords: kw\n\nb\n\n" +
			from + "Subject: m3\nX-UID: 5\n\nb\n\n" + from + "Subject: m4\nX-UID: 10\nStatus: RO\n\nb\n\n",
		validity: 1054563072, next: 12, keywords: "kw",
		messages: []fixtureMessage{{uid: 1, flags: "r"}, {uid: 5, flags: "r", text: "Subject: m3\r\n\r\nb\r\n"}, {uid: 10, flags: "R"}, {uid: 11, flags: "r kw", text: "Subject: m2\r\n\r\nb\r\n"}},
		kinds:    []Kind{KindRepairUID, KindRepairUID}},
	{name: "one UID in two messages", repairs: RepairUIDs,
		file:     from + "Subject: m1\nX-IMAPbase: 5 10\nX-UID: 4\n\nb\n\n" + from + "Subject: m2\nX-UID: 4\n\nb\n\n" + from + "Subject: m3\nX-UID: 3\n\nb\n\n",
		validity: 5, next: 13,
		messages: []fixtureMessage{{uid: 3, flags: "r"}, {uid: 11, flags: "r"}, {uid: 12, flags: "r"}},
		kinds:    []Kind{KindRepairUID, KindRepairUID, KindRepairUID}},
	// 4 was shown before 2 made UW give up: nobody else may get it
	{name: "a UID above the recorded one", repairs: RepairUIDs,
		file:     from + "Subject: m1\nX-IMAPbase: 5 3\nX-UID: 4\n\nb\n\n" + from + "Subject: m2\nX-UID: 2\n\nb\n\n" + from + "Subject: m3\n\nb\n\n",
		validity: 5, next: 6,
		messages: []fixtureMessage{{uid: 2, flags: "r"}, {uid: 4, flags: "r"}, {uid: 5, flags: "r"}},
		kinds:    []Kind{KindRepairUID, KindRepairUID}},
	// those that are not believed do not use up the UIDs, and stay in the order of the file
	{name: "UIDs far above the recorded one", repairs: RepairUIDs,
		file: from + "Subject: m1\nX-IMAPbase: 5 10\nX-UID: 900\n\nb\n\n" + from + "Subject: m2\nX-UID: 4294967300\n\nb\n\n" +
			from + "Subject: m3\nX-UID: 4\n\nb\n\n" + from + "Subject: m4\nX-UID: 3\n\nb\n\n",
		validity: 5, next: 13,
		messages: []fixtureMessage{{uid: 3, flags: "r", text: "Subject: m4\r\n\r\nb\r\n"}, {uid: 4, flags: "r", text: "Subject: m3\r\n\r\nb\r\n"},
			{uid: 11, flags: "r", text: "Subject: m1\r\n\r\nb\r\n"}, {uid: 12, flags: "r", text: "Subject: m2\r\n\r\nb\r\n"}},
		kinds: []Kind{KindRepairUID, KindRepairUID, KindRepairUID}},
	// behind a foreign base nothing is believed; the stray data message is dropped
	{name: "two mailboxes joined", repairs: RepairUIDs,
		file: from + "Subject: m1\nX-IMAPbase: 5 9\nX-UID: 7\n\nb\n\n" + from + "Subject: m2\nX-UID: 3\n\nb\n\n" +
			pseudoHead + "X-IMAP: 6 9" + pseudoTail + from + "Subject: m3\nX-UID: 2\n\nb\n\n",
		validity: 5, next: 11,
		messages: []fixtureMessage{{uid: 3, flags: "r"}, {uid: 7, flags: "r"}, {uid: 10, flags: "r"}},
		kinds:    []Kind{KindRepairUID, KindPseudoStray, KindForeignBase, KindRepairUID}},
	{name: "data message first", repairs: RepairUIDs,
		file:     pseudoHead + "X-IMAP: 5 9 a" + pseudoTail + from + "Subject: m1\nX-UID: 7\nX-Keywords: a\n\nb\n\n" + from + "Subject: m2\nX-UID: 3\n\nb\n\n",
		validity: 5, next: 10, keywords: "a",
		messages: []fixtureMessage{{uid: 3, flags: "r"}, {uid: 7, flags: "r a"}},
		kinds:    []Kind{KindRepairUID, KindPseudoMessage}},
	{name: "UIDs in order", repairs: RepairUIDs,
		file:     from + "Subject: m1\nX-IMAPbase: 5 9\nX-UID: 3\n\nb\n\n" + from + "Subject: m2\n\nb\n\n",
		validity: 5, next: 11,
		messages: []fixtureMessage{{uid: 3, flags: "r"}, {uid: 10, flags: "r"}}},
	{name: "no base", repairs: RepairUIDs,
		file: from + "Subject: m1\nX-UID: 3\n\nb\n\n" + from + "Subject: m2\nX-UID: 2\n\nb\n\n",
		next: 3, messages: []fixtureMessage{{uid: 1, flags: "r"}, {uid: 2, flags: "r"}}, kinds: []Kind{KindUIDIgnored}},

	{name: "From_ line in a header", repairs: RepairSplit,
		file: from + "Subject: a\n" + from + "Subject: b\n\nbody\n\n", next: 3,
		messages: []fixtureMessage{{uid: 1, flags: "r", text: "Subject: a\r\n\r\n"}, {uid: 2, flags: "r", text: "Subject: b\r\n\r\nbody\r\n"}},
		kinds:    []Kind{KindRepairSplit, KindHeaderCut}},
	{name: "no From_ line in a header", repairs: RepairSplit,
		file: from + "Subject: a\nFrom here\nb: c\n\nbody\n\n", next: 2,
		messages: []fixtureMessage{{uid: 1, flags: "r", text: "Subject: a\r\nFrom here\r\nb: c\r\n\r\nbody\r\n"}},
		kinds:    []Kind{KindFromLookalike}},

	{name: "prose like a From_ line", repairs: RepairJoin,
		file: from + "Subject: m1\n\ntext\nFrom what I see the car was at 10:30 here\nmore\n\n", next: 2,
		messages: []fixtureMessage{{uid: 1, flags: "r", text: "Subject: m1\r\n\r\ntext\r\nFrom what I see the car was at 10:30 here\r\nmore\r\n"}},
		kinds:    []Kind{KindRepairJoin}},
	{name: "a header after a bad date", repairs: RepairJoin,
		file: from + "Subject: m1\n\ntext\n\nFrom joe Mon Feb 30 25:61:61 2003\nSubject: y\nDate: Tue, 1 Jul 2003 01:02:03 +0200\n\nb\n\n", next: 3,
		messages: []fixtureMessage{{uid: 1, flags: "r", text: "Subject: m1\r\n\r\ntext\r\n"}, {uid: 2, flags: "r", date: "1-Jul-2003 01:02:03 +0200"}},
		kinds:    []Kind{KindSuspiciousSplit, KindDateUnparsable}},
	{name: "a good date and no header", repairs: RepairJoin,
		file: from + "Subject: m1\n\npara\nFrom bob@x.org Tue Jul  1 01:02:03 2003\nquoted\n\n", next: 3,
		messages: []fixtureMessage{{uid: 1, flags: "r"}, {uid: 2, flags: "r"}}, kinds: []Kind{KindSuspiciousSplit}},

	{name: "dates as others write them", repairs: RepairLoose,
		file: from + "Subject: m1\n\nb\n\nFrom user Wed Dec 2 05:53:22 1992\nSubject: v1\n\nb\n\nFrom user Wed Jul  2 05:53:22 CEST 2003\nSubject: v2\n\nb\n\n" +
			"From user Wed Jul 2 05:53 MEST 2003 remote from host\nSubject: v3\n\nb\n\nFrom user Wed Jul 2 05:53:22 2003 +0200\r\nSubject: v4\n\nb\n\n" +
			"From user Wed, 2 Dec 1992 05:53:22\nFrom user Wed Dec 32 05:53:22 CEST 1992\nFrom user Xyz Dec 2 05:53:22 1992\nFrom a Wed Dec 2 05:53:22 CEST 1992 CEST\n\n", next: 6,
		messages: []fixtureMessage{{uid: 1, flags: "r"}, {uid: 2, flags: "r", date: "2-Dec-1992 05:53:22 -0500"}, {uid: 3, flags: "r", date: "2-Jul-2003 05:53:22 +0200"},
			{uid: 4, flags: "r", date: "2-Jul-2003 05:53:00 +0200"}, {uid: 5, flags: "r", date: "2-Jul-2003 05:53:22 +0200"}},
		kinds: []Kind{KindRepairSplit, KindRepairSplit, KindRepairSplit, KindRepairSplit, KindFromLookalike, KindFromLookalike, KindFromLookalike, KindFromLookalike}},

	{name: "Mozilla's flags", repairs: RepairMozilla,
		file: from + "X-Mozilla-Status: 0009\nX-Mozilla-Status2: 00000000\nSubject: a\n\nb\n\n" + from + "X-Mozilla-Status: 0007\nStatus: O\n\nb\n\n" +
			from + "X-Mozilla-Status: 1006\r\n\nb\n\n" + from + "X-Mozilla-Status: 000g\n\nb\n\n" + from + "x-mozilla-status: 0001\nX-UID: 3\n\nb\n\n", next: 6,
		messages: []fixtureMessage{{uid: 1, flags: "rRD", text: "X-Mozilla-Status: 0009\r\nX-Mozilla-Status2: 00000000\r\nSubject: a\r\n\r\nb\r\n"}, {uid: 2}, {uid: 3, flags: "rAF"}, {uid: 4, flags: "r"}, {uid: 5, flags: "r"}},
		kinds:    []Kind{KindRepairFlags, KindRepairFlags, KindUIDIgnored}},

	{name: "keywords lost in many ways", repairs: RepairKeywords,
		file: from + "Subject: m1\nX-IMAPbase: 1054563072 5 one " + strings.Repeat("L", 51) + " three\n four\nX-UID: 3\nX-Keywords: ONE three " + strings.Repeat("L", 51) + "\n four\n\nb\n\n" +
			from + "Subject: m2\nX-UID: 4\nX-Keywords:\tone\tfive\n\nb\n\n" + from + "Subject: m3\nX-UID: 5\nX-Keywords: one\n\nb\n\n",
		validity: 1054563072, next: 6, keywords: "one three " + strings.Repeat("L", 51) + " four five",
		messages: []fixtureMessage{{uid: 3, flags: "r one three " + strings.Repeat("L", 51) + " four"}, {uid: 4, flags: "r one five"}, {uid: 5, flags: "r one"}},
		kinds:    []Kind{KindKeywordHole, KindKeywordUnknown, KindRepairKeyword, KindRepairKeyword, KindRepairKeyword}},
	{name: "keywords without a list", repairs: RepairKeywords,
		file: from + "Subject: m1\nX-Keywords: NonJunk $MDNSent\n\nb\n\n", next: 2, keywords: "NonJunk $MDNSent",
		messages: []fixtureMessage{{uid: 1, flags: "r NonJunk $MDNSent"}},
		kinds:    []Kind{KindKeywordUnknown, KindRepairKeyword}},
	{name: "more than 30 keywords", repairs: RepairKeywords,
		file:     from + "Subject: m1\nX-IMAPbase: 5 5" + namesUpTo("k", 32) + "\nX-UID: 5\nX-Keywords: k1 k31\n\nb\n\n",
		validity: 5, next: 6, keywords: strings.TrimSpace(namesUpTo("k", 32)),
		messages: []fixtureMessage{{uid: 5, flags: "r k1 k31"}},
		kinds:    []Kind{KindKeywordsLost, KindKeywordUnknown, KindRepairKeyword}},
	{name: "keywords sorted", repairs: RepairKeywords | RepairUIDs,
		file:     from + "Subject: m1\nX-IMAPbase: 5 9 a\nX-UID: 7\nX-Keywords: a b\n\nb\n\n" + from + "Subject: m2\nX-UID: 3\nX-Keywords: b\n\nb\n\n",
		validity: 5, next: 10, keywords: "a b",
		messages: []fixtureMessage{{uid: 3, flags: "r b"}, {uid: 7, flags: "r a b"}},
		kinds:    []Kind{KindRepairUID, KindKeywordUnknown, KindRepairKeyword, KindRepairKeyword}},

	{name: "quoted From", repairs: RepairUnquote,
		file: from + ">From uucp\nSubject: a\n\n>From here\n>>From there\n >From x\n>From\n>From the end", next: 2,
		messages: []fixtureMessage{{uid: 1, flags: "r", text: ">From uucp\r\nSubject: a\r\n\r\nFrom here\r\n>>From there\r\n >From x\r\n>From\r\nFrom the end\r\n"}},
		kinds:    []Kind{KindNoFinalNewline, KindRepairUnquote}},

	{name: "2002: a UID above the last", version: UW2002,
		file: from + "Subject: m1\nX-IMAPbase: 1054563072 3\nX-UID: 1\n\nb\n\n" + from + "Subject: m2\nX-UID: 8\n\nb\n\n" + from + "Subject: m3\n\nb\n\n", next: 6,
		messages: []fixtureMessage{{uid: 1, flags: "r"}, {uid: 4, flags: "r"}, {uid: 5, flags: "r"}}, kinds: []Kind{KindUIDEpochLost}},
	{name: "2002: long keywords", version: UW2002,
		file: from + "Subject: m1\nX-IMAPbase: 5 5 one " + strings.Repeat("L", 51) + " three " + strings.Repeat("M", 64) + "\nX-UID: 5\nX-Keywords: one three " +
			strings.Repeat("L", 51) + " " + strings.Repeat("M", 64) + "\n\nb\n\n",
		validity: 5, next: 6, keywords: "one " + strings.Repeat("L", 51) + " three " + strings.Repeat("M", 64),
		messages: []fixtureMessage{{uid: 5, flags: "r one " + strings.Repeat("L", 51) + " three"}}, kinds: []Kind{KindKeywordUnknown}},
	{name: "2002: CRs", version: UW2002,
		file: from + "Subject: a\rb\r\nX: y\r\r\n\nb\rc\nd\r\r\ne\r\nf\r", next: 2,
		messages: []fixtureMessage{{uid: 1, flags: "r", text: "Subject: a\rb\r\nX: y\r\r\n\r\nb\rc\r\nd\r\r\ne\r\nf\r\r\n"}},
		kinds:    []Kind{KindNoFinalNewline, KindLoneCR}},
}

// namesUpTo is a list of n names.
func namesUpTo(name string, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" " + name)
		if i >= 9 {
			b.WriteByte(byte('0' + (i+1)/10))
		}
		b.WriteByte(byte('0' + (i+1)%10))
	}
	return b.String()
}

func TestRepairs(t *testing.T) {
	for _, f := range repairFixtures {
		t.Run(f.name, func(t *testing.T) {
			opts := Options{Location: newYork(t), ModTime: fileTime, Repairs: f.repairs, UWVersion: f.version}
			res := readAll([]byte(f.file), windowSize, opts, always)
			checkFixture(t, fixture{name: "repair", file: f.file, format: FormatUnix, validity: f.validity, next: f.next, keywords: f.keywords, messages: f.messages}, res)
			var kinds []Kind
			for _, x := range res.findings {
				if x.Kind != KindSenderInternal && x.Kind != KindPseudoMessage || slices.Contains(f.kinds, x.Kind) && x.Kind != KindSenderInternal {
					kinds = append(kinds, x.Kind)
				}
				if x.Offset < 0 || x.Offset > int64(len(f.file)) || x.Text == "" {
					t.Errorf("finding %+v", x)
				}
			}
			if !slices.Equal(kinds, f.kinds) {
				t.Errorf("findings %q, want %q", kinds, f.kinds)
			}
			checkVariants(t, f.file, unixDelimiter{}, opts, 16, 17, 30, 64, 1000)
		})
	}
}

// TestRepairsOff: without their switches nothing of this is done.
func TestRepairsOff(t *testing.T) {
	for _, f := range repairFixtures {
		opts := Options{Location: newYork(t), ModTime: fileTime}
		for _, x := range readAll([]byte(f.file), windowSize, opts, always).findings {
			if strings.HasPrefix(string(x.Kind), "repair-") {
				t.Errorf("%s: finding %v", f.name, x)
			}
		}
		checkReader(t, []byte(f.file), windowSize)
	}
}

// repairParts are what random mailboxes for repairs are made of.
var repairParts = append([]string{
	"From u Wed Dec 2 05:53:22 1992\n", "From u Wed Jul  2 05:53:22 CEST 2003\n", "From a Foo Bar 99 99:99 9999\n", ">From a\n", "\n>From a",
	"X-Mozilla-Status: 0009\n", "X-Keywords:\ta\tc\n d\n", "X-IMAPbase: 5 9 a\n b c\n", "X-UID: 4\n", "X-UID: 7\n", "X-UID: 8\n", "\n" + from + "X-UID: 6\n", "\n" + from + "X-UID: 4\n",
}, parts...)

func TestRandomRepairs(t *testing.T) {
	rnd := rand.New(rand.NewPCG(20031125, 0))
	for i := range 4000 {
		var b strings.Builder
		delim := delimiter(unixDelimiter{})
		list := repairParts
		if i%5 == 0 {
			delim, list = mmdfDelimiter{}, slices.Concat(repairParts, mmdfParts)
			b.WriteString(mark)
		}
		b.WriteString(from)
		if rnd.IntN(2) == 0 {
			b.WriteString("X-IMAPbase: 5 9 a\n\n")
		}
		for range rnd.IntN(30) {
			b.WriteString(list[rnd.IntN(len(list))])
		}
		checkRepaired(t, b.String(), delim, Repairs(rnd.IntN(int(endOfRepairs))), rnd.IntN(4) == 0, 16+rnd.IntN(50))
		if t.Failed() {
			t.Fatalf("mailbox %d", i)
		}
	}
}

func checkRepaired(t testing.TB, file string, delim delimiter, repairs Repairs, old bool, windows ...int) {
	t.Helper()
	opts := fuzzOptions
	opts.Repairs = repairs
	if old {
		opts.UWVersion = UW2002
	}
	checkVariants(t, file, delim, opts, windows...)
	res := readAll([]byte(file), windowSize, opts, always)
	if _, ok := delim.(unixDelimiter); ok {
		checkGoMbox(t, []byte(file), res.r)
	}
	if res.r.order != nil {
		checkOrdered(t, file, res)
	}
}

var xuidLine = regexp.MustCompile(`(?m)(?:^|\x00)X-UID: *(\d+)`)

// checkOrdered: UIDs rise, and each is the message's own or a new one above all that are.
func checkOrdered(t testing.TB, file string, res result) {
	t.Helper()
	fresh := map[int]bool{} // numbers of messages
	for _, f := range res.findings {
		if f.Kind == KindRepairUID && f.Message > 0 {
			fresh[f.Message] = true
		}
	}
	for i, m := range res.messages {
		if i > 0 && (m.UID <= res.messages[i-1].UID || fresh[i] && !fresh[i+1]) {
			t.Errorf("%q: UID %d follows %d", file, m.UID, res.messages[i-1].UID)
		}
		own := slices.ContainsFunc(xuidLine.FindAllStringSubmatch(file[m.HeaderOffset:m.BodyOffset], -1), func(x []string) bool {
			n, err := strconv.ParseUint(x[1], 10, 64)
			return err == nil && n == uint64(m.UID)
		})
		if !own && !fresh[i+1] {
			t.Errorf("%q: message %d has UID %d, which is not its own", file, i+1, m.UID)
		}
	}
}

func FuzzRepairs(f *testing.F) {
	for _, x := range repairFixtures {
		f.Add([]byte(x.file), uint8(x.repairs), x.version == UW2002, false)
	}
	for _, x := range mmdfFixtures {
		f.Add([]byte(x.file), uint8(endOfRepairs-1), false, true)
	}
	f.Fuzz(func(t *testing.T, file []byte, repairs uint8, old, mmdf bool) {
		delim := delimiter(unixDelimiter{})
		if mmdf {
			delim = mmdfDelimiter{}
		}
		checkRepaired(t, string(file), delim, Repairs(repairs)&(endOfRepairs-1), old, 16, 40)
	})
}
