package mbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/internal/cclient"
)

// recordFormats are the formats that a recordReader reads, by name.
var recordFormats = map[Format]*recordFormat{FormatMBX: &mbxRecords, FormatTenex: &tenexRecords, FormatMTX: &mtxRecords}

// mbxFile is a mailbox with that header, whose keyword lines are given, and records.
func mbxFile(numbers, keywords string, records ...string) string {
	header := mbxMagic + numbers + "\r\n" + keywords
	return header + strings.Repeat("\x00", mbxHeaderSize-len(header)-10) + "00000abc\r\n" + strings.Join(records, "")
}

const (
	recDate = " 2-Jun-2003 10:11:12 -0400"
	recText = "Subject: x\r\n\r\nbody\r\n" // 20 bytes
	h0      = "3edb6d2000000009"
	h0Words = "Work\r\nPlay\r\n"
)

// mbxRec and mtxRec are records with a message.
func mbxRec(flags, text string) string {
	return fmt.Sprintf("%s,%d;%s\r\n%s", recDate, len(text), flags, text)
}

func mtxRec(flags, text string) string { return mbxRec(flags, text) }

func tenexRec(flags, text string) string {
	return fmt.Sprintf("%s,%d;%s\n%s", recDate, len(text), flags, text)
}

// recordFixture is a mailbox in one of the formats and what is wanted of it.
type recordFixture struct {
	name     string
	format   Format
	file     string
	validity uint32
	next     uint32
	keywords string
	messages []fixtureMessage // text "" is recText; date is not looked at
	kinds    []Kind           // of all findings, sorted
	damage   int64            // bytes
	uw       uwView
}

// uwView is what UW makes of it.
type uwView uint8

const (
	uwRefuses uwView = iota
	uwSame
	uwOther // it opens it, and shows something else; the reason is in the comment before the fixture
)

var recordNames = []string{"Work", "Play"} // keywords of tenex and mtx, as configured

// recordFixtures: those of mbx, and the flags of mtx and tenex, were shown to UW IMAP 2002e
// and 2007f; those with uw are shown to c-client here.
var recordFixtures = []recordFixture{
	{name: "mbx empty", format: FormatMBX, file: mbxFile(h0, h0Words), validity: 0x3edb6d20, next: 10, keywords: "Work Play", uw: uwSame},
	{name: "mbx plain", format: FormatMBX, file: mbxFile(h0, h0Words,
		mbxRec("000000010011-00000002", recText), mbxRec("00000002003e-00000009", recText)),
		validity: 0x3edb6d20, next: 10, keywords: "Work Play", uw: uwSame,
		messages: []fixtureMessage{{uid: 2, flags: "R Work"}, {uid: 9, flags: "AFDT Play"}}},
	{name: "mbx-expunged", format: FormatMBX, file: mbxFile(h0, h0Words,
		mbxRec("000000000011-00000005", recText), mbxRec("000000008013-00000006", recText), mbxRec("000000030000-00000000", recText)),
		validity: 0x3edb6d20, next: 11, keywords: "Work Play", uw: uwSame,
		messages: []fixtureMessage{{uid: 5, flags: "R"}, {uid: 10, flags: "r Work Play"}}, kinds: []Kind{KindExpunged}},
	{name: "mbx only expunged", format: FormatMBX, file: mbxFile(h0, "",
		mbxRec("000000008013-00000006", recText), mbxRec("000000008003-00000000", recText)),
		validity: 0x3edb6d20, next: 11, uw: uwSame, kinds: []Kind{KindExpunged}},
	{name: "mbx-baduid", format: FormatMBX, file: mbxFile(h0, h0Words,
		mbxRec("000000000011-00000005", recText), mbxRec("000000000011-00000004", recText), mbxRec("000000000000-00000009", recText)),
		next: 8, keywords: "Work Play", uw: uwSame,
		messages: []fixtureMessage{{uid: 5, flags: "R"}, {uid: 6, flags: "Rr"}, {uid: 7, flags: "r"}}, kinds: []Kind{KindUIDEpochLost}},
	{name: "mbx-uidgt", format: FormatMBX, file: mbxFile(h0, h0Words,
		mbxRec("000000000011-00000005", recText), mbxRec("000000000011-0000000c", recText), mbxRec("000000000011-0000000d", recText)),
		next: 8, keywords: "Work Play", uw: uwSame,
		messages: []fixtureMessage{{uid: 5, flags: "R"}, {uid: 6, flags: "Rr"}, {uid: 7, flags: "Rr"}}, kinds: []Kind{KindUIDEpochLost}},
	{name: "mbx expunged with a bad UID", format: FormatMBX, file: mbxFile(h0, "",
		mbxRec("000000000010-00000005", recText), mbxRec("000000008010-00000005", recText), mbxRec("000000000010-00000009", recText)),
		next: 8, uw: uwSame,
		messages: []fixtureMessage{{uid: 5, flags: ""}, {uid: 7, flags: "r"}}, kinds: []Kind{KindExpunged, KindUIDEpochLost}},
	{name: "mbx without UIDVALIDITY", format: FormatMBX, file: mbxFile("0000000000000009", "", mbxRec("000000000010-00000005", recText)),
		next: 10, uw: uwSame, messages: []fixtureMessage{{uid: 5, flags: ""}}, kinds: []Kind{KindUIDEpochLost}},
	// UW goes on counting
	{name: "mbx with UIDs of more than 30 bits", format: FormatMBX, file: mbxFile("3edb6d2040000000", "",
		mbxRec("000000000010-3fffffff", recText), mbxRec("000000000010-40000000", recText), mbxRec("000000000000-00000000", recText)),
		next: 4, uw: uwOther, messages: []fixtureMessage{{uid: 1}, {uid: 2}, {uid: 3, flags: "r"}}, kinds: []Kind{KindUIDEpochLost}},
	{name: "mbx-trunc-msg", format: FormatMBX, file: cut(mbxFile(h0, "",
		mbxRec("000000000010-00000002", recText), mbxRec("000000000010-00000003", recText)), 5),
		validity: 0x3edb6d20, next: 10,
		messages: []fixtureMessage{{uid: 2}, {uid: 3, text: "Subject: x\r\n\r\nb"}}, kinds: []Kind{KindTruncated}},
	{name: "mbx with only the line of the last message", format: FormatMBX, file: cut(mbxFile(h0, "",
		mbxRec("000000000010-00000002", recText), mbxRec("000000000010-00000003", recText)), 20),
		validity: 0x3edb6d20, next: 10,
		messages: []fixtureMessage{{uid: 2}, {uid: 3, text: "\r\n"}}, kinds: []Kind{KindTruncated}},
	{name: "mbx with half a record line", format: FormatMBX, file: cut(mbxFile(h0, "",
		mbxRec("000000000010-00000002", recText), mbxRec("000000000010-00000003", recText)), 25),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2}}, kinds: []Kind{KindDamage}, damage: 48},
	{name: "mbx-junk", format: FormatMBX, file: mbxFile(h0, "", mbxRec("000000000010-00000002", recText), "junk\r\n"),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2}}, kinds: []Kind{KindDamage}, damage: 6},
	{name: "mbx with junk between", format: FormatMBX, file: mbxFile(h0, "", "first;\r\n",
		mbxRec("000000000010-00000002", recText), mbxRec("000000000010-00000003", recText), "junk, ;000000000000-00000000\r\n",
		mbxRec("000000000010-00000004", recText), mbxRec("000000000010-00000005", recText), "more junk"),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2}, {uid: 3}, {uid: 4}, {uid: 5}},
		kinds: []Kind{KindDamage, KindDamage, KindDamage}, damage: 8 + 30 + 9},
	{name: "mbx with little junk between", format: FormatMBX, file: mbxFile(h0, "",
		mbxRec("000000000010-00000002", recText), "x\r\n", mbxRec("000000000010-00000003", recText), mbxRec("000000000010-00000004", recText)),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2}, {uid: 3}, {uid: 4}}, kinds: []Kind{KindDamage}, damage: 3},
	{name: "mbx with bytes missing in a message", format: FormatMBX, file: mbxFile(h0, "",
		cut(mbxRec("000000000010-00000002", recText), 5), mbxRec("000000000010-00000003", recText), mbxRec("000000000010-00000004", recText)),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2, text: "Subject: x\r\n\r\nb"}, {uid: 3}, {uid: 4}}, kinds: []Kind{KindTruncated}},
	{name: "mbx with bytes missing before the last message", format: FormatMBX, file: mbxFile(h0, "",
		mbxRec("000000000010-00000002", recText), cut(mbxRec("000000000010-00000003", recText), 15), mbxRec("000000000010-00000004", recText)),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2}, {uid: 3, text: "Subje"}, {uid: 4}}, kinds: []Kind{KindTruncated}},
	{name: "mbx with a size that is too great", format: FormatMBX, file: mbxFile(h0, "",
		strings.Replace(mbxRec("000000000010-00000002", recText), ",20;", ",91;", 1), mbxRec("000000000010-00000003", recText), mbxRec("000000000010-00000004", recText)),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2}, {uid: 3}, {uid: 4}}, kinds: []Kind{KindTruncated}},
	{name: "mbx with a size beyond the end", format: FormatMBX, file: mbxFile(h0, "",
		strings.Replace(mbxRec("000000000010-00000002", recText), ",20;", ",9999999999999;", 1), mbxRec("000000000010-00000003", recText), mbxRec("000000000010-00000004", recText)),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2}, {uid: 3}, {uid: 4}}, kinds: []Kind{KindTruncated}},
	{name: "mbx with a size beyond the end and a cut last message", format: FormatMBX, file: cut(mbxFile(h0, "",
		strings.Replace(mbxRec("000000000010-00000002", recText), ",20;", ",9999999999999;", 1), mbxRec("000000000010-00000003", recText), mbxRec("000000000010-00000004", recText)), 5),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2}, {uid: 3}, {uid: 4, text: "Subject: x\r\n\r\nb"}}, kinds: []Kind{KindTruncated, KindTruncated}},
	{name: "mbx with junk in which a record line runs past the end", format: FormatMBX, file: mbxFile(h0, "",
		mbxRec("000000000010-00000002", recText), "junk", recDate+",9999;000000000010-00000003\r\n", mbxRec("000000000010-00000004", recText), mbxRec("000000000010-00000005", recText)),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2}, {uid: 4}, {uid: 5}}, kinds: []Kind{KindDamage}, damage: 4 + 55},
	{name: "mbx with a mailbox in the last message", format: FormatMBX, file: mbxFile(h0, "",
		mbxRec("000000000010-00000002", recText), mbxRec("000000000010-00000003", recText+mbxRec("000000000010-00000005", recText))),
		validity: 0x3edb6d20, next: 10, uw: uwSame, messages: []fixtureMessage{{uid: 2}, {uid: 3, text: recText + mbxRec("000000000010-00000005", recText)}}},
	{name: "mbx with a mailbox in a message before junk", format: FormatMBX, file: mbxFile(h0, "",
		mbxRec("000000000010-00000002", "Subject: y\r\n\r\n"+mbxRec("000000000010-00000005", recText)+mbxRec("000000000010-00000006", recText)+"--\r\n"), "junk"),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2,
			text: "Subject: y\r\n\r\n" + mbxRec("000000000010-00000005", recText) + mbxRec("000000000010-00000006", recText) + "--\r\n"}},
		kinds: []Kind{KindDamage}, damage: 4},
	{name: "mbx with a mailbox in a message", format: FormatMBX, file: mbxFile(h0, "",
		mbxRec("000000000010-00000002", recText+mbxRec("000000000010-00000005", recText)), mbxRec("000000000010-00000003", recText)),
		validity: 0x3edb6d20, next: 10, uw: uwSame, messages: []fixtureMessage{{uid: 2, text: recText + mbxRec("000000000010-00000005", recText)}, {uid: 3}}},
	{name: "mbx with junk and a cut last message", format: FormatMBX, file: cut(mbxFile(h0, "",
		mbxRec("000000000010-00000002", recText), "junk", mbxRec("000000000010-00000003", recText)), 6),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2}, {uid: 3, text: "Subject: x\r\n\r\n"}},
		kinds: []Kind{KindDamage, KindTruncated}, damage: 4},
	{name: "mbx with NULs at the end", format: FormatMBX, file: mbxFile(h0, "", mbxRec("000000000010-00000002", recText), strings.Repeat("\x00", 300)),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2}}, kinds: []Kind{KindNULTail}},
	{name: "mbx with NULs between", format: FormatMBX, file: mbxFile(h0, "", mbxRec("000000000010-00000002", recText), strings.Repeat("\x00", 300), mbxRec("000000000010-00000003", recText)),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2}, {uid: 3}}, kinds: []Kind{KindNULHole}},
	// UW leaves the bare LFs
	{name: "mbx-bare-lf", format: FormatMBX, file: mbxFile(h0, "", mbxRec("000000000010-00000002", "a: b\n\nx\ry\x00\r\r\n\n\rz")),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2, text: "a: b\r\n\r\nx\ry\x80\r\r\n\r\n\rz"}}, kinds: []Kind{KindBareLF, KindNUL}, uw: uwOther},
	{name: "mbx without an end of the header", format: FormatMBX, file: mbxFile(h0, "", mbxRec("000000000010-00000002", "Subject: x\r\nno end")),
		validity: 0x3edb6d20, next: 10, uw: uwSame, messages: []fixtureMessage{{uid: 2, text: "Subject: x\r\nno end"}}},
	{name: "mbx with UW's fields in the mail", format: FormatMBX, file: mbxFile(h0, "", mbxRec("000000000010-00000002", "Status: RO\r\nX-UID: 7\r\nX-IMAP: 1 2\r\n\r\nx\r\n")),
		validity: 0x3edb6d20, next: 10, uw: uwSame, messages: []fixtureMessage{{uid: 2, text: "Status: RO\r\nX-UID: 7\r\nX-IMAP: 1 2\r\n\r\nx\r\n"}}},
	{name: "mbx-size0", format: FormatMBX, file: mbxFile(h0, "", mbxRec("000000000010-00000002", ""), mbxRec("000000000010-00000003", recText)),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2, text: "\r\n"}, {uid: 3}}, kinds: []Kind{KindHeaderCut}},
	{name: "mbx-kwhole", format: FormatMBX, file: mbxFile(h0, "Work\r\n\r\nPlay\r\n", mbxRec("000000070010-00000002", recText)),
		validity: 0x3edb6d20, next: 10, keywords: "Work", uw: uwSame, messages: []fixtureMessage{{uid: 2, flags: " Work"}}, kinds: []Kind{KindKeywordUnknown}},
	{name: "mbx with a long keyword", format: FormatMBX, file: mbxFile(h0, strings.Repeat("x", 51)+"\r\n"+strings.Repeat("y", 50)+"\r\n", mbxRec("000000030010-00000002", recText)),
		validity: 0x3edb6d20, next: 10, keywords: " " + strings.Repeat("y", 50), uw: uwSame,
		messages: []fixtureMessage{{uid: 2, flags: " " + strings.Repeat("y", 50)}}, kinds: []Kind{KindKeywordHole, KindKeywordUnknown}},
	{name: "mbx with 31 keywords", format: FormatMBX, file: mbxFile(h0, strings.Repeat("k\r\n", 31), mbxRec("600000000010-00000002", recText)),
		validity: 0x3edb6d20, next: 10, keywords: strings.TrimSuffix(strings.Repeat("k ", 30), " "), uw: uwSame,
		messages: []fixtureMessage{{uid: 2, flags: " k"}}, kinds: []Kind{KindKeywordUnknown}},
	{name: "mbx with a bad date", format: FormatMBX, file: mbxFile(h0, "",
		strings.Replace(mbxRec("000000000010-00000002", recText), "Jun", "Foo", 1), mbxRec("000000000010-00000003", recText)),
		validity: 0x3edb6d20, next: 10, messages: []fixtureMessage{{uid: 2, date: "file"}, {uid: 3}}, kinds: []Kind{KindDateUnparsable}},
	{name: "mbx with a bad zone", format: FormatMBX, file: mbxFile(h0, "", strings.Replace(mbxRec("000000000010-00000002", recText), "-0400", "-0460", 1)),
		validity: 0x3edb6d20, next: 10, uw: uwSame, messages: []fixtureMessage{{uid: 2}}, kinds: []Kind{KindDateZone}},
	{name: "mbx with what UW passes over", format: FormatMBX, file: mbxFile(h0, "",
		"2-Jun-03 1:2 EST, 20x;000000000010-00000002\r\n"+recText, "2-JUN-1999   01:02:03-PDT,20;00000000f010-00000003\r\n"+recText, mbxRec("00000000fFcf-0000000A", recText)),
		next: 5, messages: []fixtureMessage{{uid: 2}}, kinds: []Kind{KindExpunged, KindUIDEpochLost}, uw: uwSame},

	{name: "mtx-kw", format: FormatMTX, file: mtxRec("000000000015", recText) + mtxRec("600000000052", recText) + mtxRec("000000000020", recText),
		next: 4, keywords: "Work Play", uw: uwSame, messages: []fixtureMessage{{uid: 1, flags: "RFAr"}, {uid: 2, flags: "DATr Work Play"}, {uid: 3, flags: ""}}},
	{name: "tenex-kw", format: FormatTenex, file: tenexRec("000000000015", "a: b\n\nc\n") + tenexRec("100000000020", "a: b\r\n\r\nc\rd\x00\r\n\n"),
		next: 3, keywords: "Work Play",
		messages: []fixtureMessage{{uid: 1, flags: "RFAr", text: "a: b\r\n\r\nc\r\n"}, {uid: 2, text: "a: b\r\n\r\nc\rd\x80\r\n\r\n"}},
		kinds:    []Kind{KindKeywordUnknown, KindNUL}, uw: uwSame},
	{name: "tenex without an end of the header", format: FormatTenex, file: tenexRec("000000000015", "Subject: x\nno end"),
		next: 2, keywords: "Work Play", uw: uwSame, messages: []fixtureMessage{{uid: 1, flags: "RFAr", text: "Subject: x\r\nno end"}}},
	{name: "tenex with digits that are not octal", format: FormatTenex, file: tenexRec("048000000029", recText) + tenexRec("4000000000", recText),
		next: 2, keywords: "Work Play", messages: []fixtureMessage{{uid: 1, flags: "RA"}}, kinds: []Kind{KindDamage, KindKeywordUnknown}, damage: 61},
	// UW leaves the bare LFs
	{name: "mtx with bare LFs", format: FormatMTX, file: mtxRec("000000000020", "a: b\n\nc\r\n"),
		next: 2, keywords: "Work Play", messages: []fixtureMessage{{uid: 1, text: "a: b\r\n\r\nc\r\n"}}, kinds: []Kind{KindBareLF}, uw: uwOther},
	{name: "mtx cut short", format: FormatMTX, file: cut(mtxRec("000000000020", recText)+mtxRec("000000000020", recText), 3),
		next: 3, keywords: "Work Play", messages: []fixtureMessage{{uid: 1}, {uid: 2, text: "Subject: x\r\n\r\nbod"}}, kinds: []Kind{KindTruncated}},
	{name: "tenex with bytes missing", format: FormatTenex, file: tenexRec("000000000020", recText) + cut(tenexRec("000000000020", recText), 6) + tenexRec("000000000020", recText),
		next: 4, keywords: "Work Play", messages: []fixtureMessage{{uid: 1}, {uid: 2, text: "Subject: x\r\n\r\n"}, {uid: 3}}, kinds: []Kind{KindTruncated}},
	{name: "tenex that only looks so", format: FormatTenex, file: "10-May-2003 was a Saturday, and so;\n was that\n",
		next: 1, keywords: "Work Play", kinds: []Kind{KindDamage}, damage: 46},
}

func cut(s string, n int) string { return s[:len(s)-n] }

var recordOptions = Options{Location: time.UTC, ModTime: fileTime, Keywords: recordNames}

// readRecords reads a file with a window of that many bytes.
func readRecords(t testing.TB, format Format, file string, window int, write func(int) bool) collected {
	t.Helper()
	res, err := collect(recordOptions, write, func(o Options) (Mailbox, error) {
		return newRecordReader(recordFormats[format], strings.NewReader(file), int64(len(file)), o, window), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestRecordFixtures(t *testing.T) {
	for _, f := range recordFixtures {
		t.Run(f.name, func(t *testing.T) {
			if got := Recognise([]byte(f.file)[:min(len(f.file), 4096)], int64(len(f.file))); got != f.format {
				t.Errorf("format %v, want %v", got, f.format)
			}
			for _, window := range []int{windowSize, 1, 193, 200, 301} {
				res := readRecords(t, f.format, f.file, window, always)
				checkRecordFixture(t, f, res)
				if t.Failed() {
					t.Fatalf("with a window of %d bytes", window)
				}
			}
		})
	}
}

func checkRecordFixture(t *testing.T, f recordFixture, res collected) {
	t.Helper()
	if v, n := res.mailbox.UIDValidity(), res.mailbox.LastUID()+1; v != f.validity || n != f.next {
		t.Errorf("UIDVALIDITY %d, UIDNEXT %d, want %d, %d", v, n, f.validity, f.next)
	}
	if k := strings.Join(res.mailbox.Keywords(), " "); k != f.keywords {
		t.Errorf("keywords %q, want %q", k, f.keywords)
	}
	var kinds []Kind
	for _, x := range res.findings {
		kinds = append(kinds, x.Kind)
		if x.Offset < 0 || x.Offset >= int64(len(f.file)) || x.Message > len(res.messages) || x.Text == "" {
			t.Errorf("finding %+v", x)
		}
	}
	slices.Sort(kinds)
	if !slices.Equal(kinds, f.kinds) {
		t.Errorf("findings %q, want %q", kinds, f.kinds)
	}
	account := res.mailbox.Account()
	checkDamage(t, account, res.findings)
	if account.Total() != int64(len(f.file)) || account[ReasonDamage] != f.damage {
		t.Errorf("%v is %d bytes, the file has %d; %d damaged, want %d", account, account.Total(), len(f.file), account[ReasonDamage], f.damage)
	}
	if len(res.messages) != len(f.messages) {
		t.Fatalf("%d messages, want %d", len(res.messages), len(f.messages))
	}
	for i, want := range f.messages {
		m := &res.messages[i]
		if m.Number != i+1 || m.UID != want.uid || !sameLetters(letters(m, res.mailbox.Keywords()), want.flags) {
			t.Errorf("message %d (%d): UID %d, flags %q, want %d, %q", i+1, m.Number, m.UID, letters(m, res.mailbox.Keywords()), want.uid, want.flags)
		}
		if text := res.texts[i]; text != want.text && (want.text != "" || text != recText) {
			t.Errorf("message %d: %q, want %q", i+1, text, want.text)
		}
		if want.date == "file" && (m.DateSource != FileTime || !m.Date.Equal(fileTime)) {
			t.Errorf("message %d: date %v from %v, want that of the file", i+1, m.Date, m.DateSource)
		}
		if m.HidesInternal() {
			t.Errorf("message %d hides fields of the mail", i+1)
		}
	}
}

// TestRecordsUW shows the fixtures to c-client.
func TestRecordsUW(t *testing.T) {
	c := cclient.New(t)
	c.Write(t, ".mminit", []byte("set keywords Work, Play\n"))
	shown := 0
	for i, f := range recordFixtures {
		name := fmt.Sprintf("box%d", i)
		c.Write(t, name, []byte(f.file))
		got, said := c.Read(t, name)
		if got[0].Refused != (f.uw == uwRefuses) {
			t.Errorf("%s: c-client refuses it: %v; %s", f.name, got[0].Refused, said)
		}
		if f.uw != uwSame {
			continue
		}
		shown++
		res := readRecords(t, f.format, f.file, windowSize, always)
		if got[0].Driver != string(f.format) {
			t.Errorf("%s: UW's driver is %s", f.name, got[0].Driver)
		}
		checkUW(t, got[0], &res, nil)
		if t.Failed() {
			t.Fatalf("%s: c-client says %q", f.name, said)
		}
	}
	if shown < 15 {
		t.Errorf("showed it %d", shown)
	}
}

// TestRecordFindings checks where findings are and what they say.
func TestRecordFindings(t *testing.T) {
	const second = mbxHeaderSize + 53 + 20 // the record after one with recText
	for _, c := range []struct {
		fixture string
		want    Finding // Text: what it must have
	}{
		{"mbx-expunged", Finding{Kind: KindExpunged, Offset: second, Text: "removed: 1,"}},
		{"mbx only expunged", Finding{Kind: KindExpunged, Offset: mbxHeaderSize, Text: "removed: 2,"}},
		{"mbx-baduid", Finding{Kind: KindUIDEpochLost, Offset: second, Text: "UID 4 is not greater"}},
		{"mbx-uidgt", Finding{Kind: KindUIDEpochLost, Offset: second, Text: "UID 12 is greater than the last"}},
		{"mbx-trunc-msg", Finding{Kind: KindTruncated, Offset: second, Message: 2, Text: "of 20 bytes there are 15"}},
		{"mbx-junk", Finding{Kind: KindDamage, Offset: second, Length: 6, Text: "6 bytes"}},
		{"mbx with NULs at the end", Finding{Kind: KindNULTail, Offset: second, Text: "300 NULs"}},
		{"mbx with NULs between", Finding{Kind: KindNULHole, Offset: second, Text: "300 NULs"}},
		{"mbx-bare-lf", Finding{Kind: KindBareLF, Offset: mbxHeaderSize + 53, Message: 1, Text: "3 LFs"}},
		{"mbx-kwhole", Finding{Kind: KindKeywordUnknown, Offset: mbxHeaderSize, Message: 1, Text: "0x6"}},
		{"mbx with a long keyword", Finding{Kind: KindKeywordHole, Offset: 25, Text: "more than 50 bytes"}},
		{"mbx with a bad date", Finding{Kind: KindDateUnparsable, Offset: mbxHeaderSize, Message: 1, Text: "file-time"}},
	} {
		i := slices.IndexFunc(recordFixtures, func(f recordFixture) bool { return f.name == c.fixture })
		f := recordFixtures[i]
		res := readRecords(t, f.format, f.file, windowSize, always)
		if !slices.ContainsFunc(res.findings, func(got Finding) bool {
			text := got.Text
			got.Text = c.want.Text
			return got == c.want && strings.Contains(text, c.want.Text)
		}) {
			t.Errorf("%s: findings %+v, want one like %+v", f.name, res.findings, c.want)
		}
	}
}

// TestRecordDateOfHeader: where the record line has no possible date, that of the message's own
// header is taken, and no other.
func TestRecordDateOfHeader(t *testing.T) {
	var records []string
	for _, text := range []string{
		"Date: Mon, 2 Jun 2003 10:11:12 +0000\r\n\r\nbody\r\n",
		"Subject: x\r\n\r\nDate: Tue, 3 Jun 2003 10:11:12 +0000\r\n",
		"Subject: x\n\nDate: Tue, 3 Jun 2003 10:11:12 +0000\r\n",
		"Subject: x\r\n\rx\r\nx\nDate: Wed, 4 Jun 2003 10:11:12 +0000\r\n\r\n", // none of these lines is blank
	} {
		records = append(records, strings.Replace(mbxRec("000000000010-00000000", text), "Jun", "Foo", 1))
	}
	res := readRecords(t, FormatMBX, mbxFile(h0, "", records...), windowSize, always)
	var dates []string
	for i := range res.messages {
		m := &res.messages[i]
		dates = append(dates, fmt.Sprintf("%v %d", m.DateSource, m.Date.UTC().Day()))
	}
	ofFile := fmt.Sprintf("%v %d", FileTime, fileTime.UTC().Day())
	if want := []string{fmt.Sprintf("%v 2", DateHeader), ofFile, ofFile, fmt.Sprintf("%v 4", DateHeader)}; !slices.Equal(dates, want) {
		t.Errorf("dates %q, want %q", dates, want)
	}
}
