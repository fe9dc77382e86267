package mbox

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mbox2cyrus/internal/cclient"
)

const mixDate = "20030602101112+0200"

// mixRecord is a message in a data file.
func mixRecord(uid uint32, text string) string {
	return fmt.Sprintf(":msg:%08x:%s:%08x:\r\n%s", uid, mixDate, len(text), text)
}

// mixLine is a line of the index.
func mixLine(uid uint32, size int, file uint32, pos int) string {
	return fmt.Sprintf(":%08x:%s:%08x:%08x:%08x:%08x:%08x:\r\n", uid, mixDate, size, file, pos, mixRecordLineSize, size)
}

// mixStatus is a line of the status file.
func mixStatus(uid uint32, keywords, flags int) string {
	return fmt.Sprintf(":%08x:%08x:%04x:%08x:\r\n", uid, keywords, flags, 1)
}

// mixFiles are the files of a mailbox with these data files and lines of the index.
func mixFiles(data map[string]string, lines ...string) map[string]string {
	files := map[string]string{
		mixMetaName:   "S00000001\r\nV3edb6d20\r\nL00000009\r\nN00000001\r\nKWork Play\r\n",
		mixIndexName:  "S00000001\r\n" + strings.Join(lines, ""),
		mixStatusName: "S00000001\r\n",
	}
	for name, content := range data {
		files[name] = content
	}
	return files
}

func TestMix(t *testing.T) {
	const a, b, c = "Subject: a\r\n\r\na\r\n", "Subject: bb\r\n\r\nbb\r\n", "Subject: ccc\r\n\r\nccc\r\n"
	ra, rb, rc := mixRecord(2, a), mixRecord(3, b), mixRecord(4, c)
	all := ra + rb + rc
	pb, pc := len(ra), len(ra+rb)
	la, lb, lc := mixLine(2, len(a), 1, 0), mixLine(3, len(b), 1, pb), mixLine(4, len(c), 1, pc)
	one := func(content string, lines ...string) map[string]string {
		return mixFiles(map[string]string{".mix00000001": content}, lines...)
	}
	with := func(files map[string]string, name, content string) map[string]string {
		files[name] = content
		return files
	}
	without := func(files map[string]string, name string) map[string]string {
		delete(files, name)
		return files
	}
	plain := []string{"2 r: " + a, "3 r: " + b, "4 r: " + c}
	tests := []struct {
		name  string
		files map[string]string
		want  []string
		last  uint32 // 0: UIDVALIDITY is lost too
		kinds []Kind
	}{
		// The mailbox of 1.7, as UW 2007f was seen to show it.
		{"mix-3", with(one(all, la, lb, lc), mixStatusName, "S00000001\r\n"+mixStatus(2, 2, 0x0d)+mixStatus(3, 1, 0x22)+mixStatus(4, 0, 0)),
			[]string{"2 RAFr Play: " + a, "3 DTr Work: " + b, "4 r: " + c}, 9, nil},
		{"old", with(one(all, la, lb, lc), mixStatusName, "S1\r\n"+mixStatus(3, 0, 0x11)),
			[]string{"2 r: " + a, "3 R: " + b, "4 r: " + c}, 9, nil},
		{"expunged", one(all, la, lc), []string{"2 r: " + a, "4 r: " + c}, 9, []Kind{KindExpunged}},
		{"all expunged", one(all), nil, 9, []Kind{KindExpunged}},
		{"data file 0", mixFiles(map[string]string{".mix": ra, ".mix0000000a": rb}, mixLine(2, len(a), 0, 0), mixLine(3, len(b), 10, 0)),
			plain[:2], 9, nil},
		{"order of the index", one(all, lc, la, lb), plain, 9, nil},
		{"order of the data", one(rc+rb+ra, mixLine(2, len(a), 1, len(rc+rb)), mixLine(3, len(b), 1, len(rc)), mixLine(4, len(c), 1, 0)), plain, 9, nil},
		{"more fields", one(all, strings.ReplaceAll(la+lb+lc, ":\r\n", ":0:xyz:\r\n")), plain, 9, []Kind{KindDamage}},
		{"a line in another", one(all, la, lb[:len(lb)-2]+"xx"+lc), plain, 9, []Kind{KindDamage}},
		{"lines glued together", one(all, la[:12]+lb[12:], lc), plain, 9, []Kind{KindDamage}},
		{"UID of another", one(strings.Replace(all, ":msg:00000003", ":msg:00000002", 1), la, lb, lc), plain, 9, []Kind{KindDamage}},
		{"LF only", with(one(all), mixIndexName, strings.ReplaceAll("S1\r\n"+la+lb+lc, "\r", "")), plain, 9, nil},
		{"index above last UID", with(one(all, la, lb, lc), mixMetaName, "S1\r\nV3edb6d20\r\nL3\r\nN1\r\nK\r\n"), plain, 4, nil},
		{"other files", with(with(one(ra, la), ".mixture", "x"), ".mix1", rb), plain[:1], 9, []Kind{KindMailBeside, KindNotMessage}},
		{"sort cache", with(one(ra, la), mixSortCacheName, "S1\r\n:x"), plain[:1], 9, nil},

		{"damaged line", one(all, la, "xyz\r\n", lc), plain, 9, []Kind{KindDamage}},
		{"line of NULs", one(all, la, strings.Repeat("\x00", 60)+"\r\n"+lc), plain, 9, []Kind{KindDamage}},
		{"very long line", one(all, la, strings.Repeat("x", 3*maxMixLine)+"\r\n"+lc), plain, 9, []Kind{KindDamage}},
		{"index cut short", one(all, la, lb[:30]), plain, 9, []Kind{KindDamage}},
		{"damage elsewhere", one(all, "x\r\n", lb, lc), plain, 9, []Kind{KindDamage}},
		{"expunged, and damage elsewhere", one(all, la, lc, "x\r\n"), []string{plain[0], plain[2]}, 9, []Kind{KindDamage, KindExpunged}},
		{"expunged behind the damage", one(all, "x\r\n", lb), plain[:2], 9, []Kind{KindDamage, KindExpunged}},
		{"damage, and lines that are not in order", one(all, lb, "x\r\n", la), plain, 9, []Kind{KindDamage}},
		{"empty index", with(one(all), mixIndexName, ""), plain, 9, []Kind{KindDamage}},
		{"empty mailbox", with(mixFiles(nil), mixIndexName, ""), nil, 9, nil},
		{"no index", without(one(all), mixIndexName), plain, 9, []Kind{KindDamage}},
		{"index is junk", with(one(all), mixIndexName, "\x7fELF\x00\x00"), plain, 9, []Kind{KindDamage}},
		{"no status", without(one(all, la, lb, lc), mixStatusName), plain, 9, []Kind{KindDamage}},
		{"damaged status", with(one(all, la, lb, lc), mixStatusName, "S1\r\n"+mixStatus(2, 0, 1)+"xx\r\n"+mixStatus(4, 0, 1)),
			[]string{"2 Rr: " + a, "3 r: " + b, "4 Rr: " + c}, 9, []Kind{KindDamage}},
		{"keywords without names", with(one(ra, la), mixStatusName, "S1\r\n"+mixStatus(2, 7, 0)), []string{"2 r Work Play: " + a}, 9, []Kind{KindKeywordUnknown}},
		{"empty metadata", with(one(all, la, lb, lc), mixMetaName, ""), plain, 0, []Kind{KindUIDEpochLost}},
		{"damaged metadata", with(one(ra, la), mixMetaName, "S1\r\nVx\r\nL9\r\nKWork\r\n"), plain[:1], 0, []Kind{KindDamage, KindUIDEpochLost}},
		{"no last UID", with(one(ra, la), mixMetaName, "S1\r\nV1\r\nKWork\r\n"), plain[:1], 0, []Kind{KindUIDEpochLost}},
		{"endless metadata", with(one(ra, la), mixMetaName, "S1\r\nV3edb6d20\r\nL9\r\n"+strings.Repeat("\r\n", 1<<20)), plain[:1], 9, []Kind{KindDamage}},
		{"empty keyword", with(one(ra, la), mixMetaName, "S1\r\nV3edb6d20\r\nL9\r\nKa  b\r\n"), plain[:1], 9, []Kind{KindKeywordHole}},
		{"too many keywords", with(one(ra, la), mixMetaName, "S1\r\nV3edb6d20\r\nL9\r\nK"+strings.Repeat("k ", 31)+"\r\n"), plain[:1], 9, []Kind{KindKeywordsLost}},

		{"no data file", mixFiles(map[string]string{".mix00000001": ra}, la, mixLine(3, len(b), 2, 0)), plain[:1], 9, []Kind{KindDamage}},
		{"data cut short", one(all[:len(all)-3], la, lb, lc), []string{plain[0], plain[1], "4 r: " + c[:len(c)-3]}, 9, []Kind{KindTruncated}},
		{"data cut in a record line", one(all[:pc+10], la, lb, lc), plain[:2], 9, []Kind{KindDamage}},
		{"data cut after a record line", one(all[:pc+mixRecordLineSize], la, lb, lc), plain[:2], 9, []Kind{KindDamage}},
		{"beyond the end", one(all, la, lb, lc, mixLine(5, 3, 1, 10000)), plain, 9, []Kind{KindDamage}},
		{"inside another", one(all, la, mixLine(1, 3, 1, 50), lb, lc), plain, 9, []Kind{KindDamage}},
		{"one place for two", one(all, la, mixLine(9, len(a), 1, 0), lb, lc), plain, 9, []Kind{KindDamage}},
		{"one UID for two", mixFiles(map[string]string{".mix00000001": ra, ".mix00000002": mixRecord(2, b)}, la, mixLine(2, len(b), 2, 0)),
			[]string{plain[0], "10 r: " + b}, 10, []Kind{KindUIDIgnored}},
		{"junk before a record", one("junk"+ra, mixLine(2, len(a), 1, 4)), plain[:1], 9, []Kind{KindDamage}},
		{"junk between records", one(ra+"\x00\x00\x00"+rb, la, mixLine(3, len(b), 1, pb+3)), plain[:2], 9, []Kind{KindDamage}},
		{"junk at the end", one(all+"junk", la, lb, lc), plain, 9, []Kind{KindDamage}},
		{"token", one(strings.Replace(all, ":msg:00000003", ":xsg:00000003", 1), la, lb, lc), plain, 9, []Kind{KindDamage}},
		{"token and size", one(strings.Replace(all, ":msg:00000003", ":xsg:00000003", 1), la, mixLine(3, 5, 1, pb), lc), []string{plain[0], plain[2]}, 9, []Kind{KindDamage}},
		{"UID", one(strings.Replace(all, ":msg:00000003", ":msg:00000008", 1), la, lb, lc), plain, 9, []Kind{KindDamage}},
		{"size in the index", one(all, la, mixLine(3, len(b)-1, 1, pb), lc), plain, 9, []Kind{KindDamage}},
		{"size in the record", one(strings.Replace(all, mixRecord(3, b)[:43], mixRecord(3, b+"x")[:43], 1), la, lb, lc), plain, 9, []Kind{KindDamage}},
		{"size beyond the next", one(strings.Replace(all, mixRecord(3, b)[:43], fmt.Sprintf(":msg:%08x:%s:%08x:", 3, mixDate, 400), 1), la, mixLine(3, 400, 1, pb), lc),
			plain, 9, []Kind{KindTruncated}},
		{"no index, damaged data", without(one(ra+"junk:msg:junk"+rb[:20]+rb+"\r\n:msg:"+rc), mixIndexName), plain, 9, []Kind{KindDamage}},
		{"no index, UID above the last", without(one(mixRecord(0xfffffff0, a)+rb), mixIndexName), []string{plain[1], "10 r: " + a}, 10, []Kind{KindDamage, KindUIDIgnored}},
		{"no index, UID above all", without(one(mixRecord(0xffffffff, a)+rb), mixIndexName), []string{plain[1], "10 r: " + a}, 10, []Kind{KindDamage, KindUIDIgnored}},
		{"no index, one UID twice", without(one(ra+mixRecord(2, b)), mixIndexName), []string{plain[0], "10 r: " + b}, 10, []Kind{KindDamage, KindUIDIgnored}},
		{"no UIDs left", with(without(one(ra+mixRecord(2, b)), mixIndexName), mixMetaName, "S1\r\nV1\r\nL3fffffff\r\n"), []string{"1 r: " + a, "2 r: " + b}, 0,
			[]Kind{KindDamage, KindUIDEpochLost, KindUIDIgnored}},
		{"a UID above all that are kept", with(one(ra+mixRecord(3_000_000_000, b), la, mixLine(3_000_000_000, len(b), 1, len(ra))), mixMetaName, "S1\r\nV1\r\nLb2d05e00\r\n"),
			[]string{"1 r: " + a, "2 r: " + b}, 0, []Kind{KindUIDEpochLost}},
		{"bytes of the data file are missing", one(ra[:50]+rb[30:]+rc+mixRecord(5, a), la, lb, lc, mixLine(5, len(a), 1, len(all))),
			[]string{"2 r: " + (ra[:50] + rb[30:])[45:45+len(a)], plain[2], "5 r: " + a}, 9, []Kind{KindDamage}},
		{"the text is missing from the line end on", one(ra[:44]+rb, la, lb), plain[1:2], 9, []Kind{KindDamage}},
		{"the text and the line end are missing", one(ra[:43]+rb, la, lb), plain[1:2], 9, []Kind{KindDamage}},
		{"the text and the end of the line are missing", one(ra[:42]+rb, la, lb), plain[1:2], 9, []Kind{KindDamage}},
		{"as many bytes too many as the next record has", with(one(ra+strings.Repeat("x", len(rb))+rb, la, lb), mixStatusName, "S1\r\n"+mixStatus(3, 1, 0x22)),
			[]string{plain[0], "3 DTr Work: " + b}, 9, []Kind{KindDamage}},
		{"index of another time", one(rc+ra+rb, la, lb, lc), plain, 9, []Kind{KindDamage}},
		{"index and data of another time, in another order", one("junk"+rc+rb+ra, mixLine(2, len(a), 1, len(rc+rb)), mixLine(3, len(b), 1, len(rc)), mixLine(4, len(c), 1, 0)),
			plain, 9, []Kind{KindDamage}},
		{"not in the index, behind one that is elsewhere", one(all, mixLine(2, len(a), 1, pb), lc), plain, 9, []Kind{KindDamage}},
		{"not in the index, behind the last, which is elsewhere", one(all, la, mixLine(3, len(b), 1, pc)), plain, 9, []Kind{KindDamage}},
		{"the last is elsewhere, and the index has it before the others", one("junk"+all, mixLine(2, len(a), 1, 4), mixLine(3, len(b), 1, 4+pb), mixLine(4, len(c), 1, 0)),
			plain, 9, []Kind{KindDamage}},
		{"damage in the index, and one that is elsewhere", one(all, mixLine(2, len(a), 1, pb), lb, "x\r\n"), plain, 9, []Kind{KindDamage}},
		{"lost above the last UID", one(ra+rb, la, lb, mixLine(12, len(c), 2, 0)), plain[:2], 12, []Kind{KindDamage}},
		{"what an expunge left", one(all+ra, la, lb, lc), plain, 9, nil},
		{"empty message", one(mixRecord(2, ""), mixLine(2, 0, 1, 0)), []string{"2 r: \r\n"}, 9, []Kind{KindHeaderCut}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			res := readDirectory(t, writeDirectory(t, test.files), FormatMix)
			checkEqual(t, "messages", described(res), test.want)
			if v, l := res.mailbox.UIDValidity(), res.mailbox.LastUID(); test.last != 0 && (v != 0x3edb6d20 || l != test.last) || test.last == 0 && v != 0 {
				t.Errorf("UIDVALIDITY %x, last UID %d", v, l)
			}
			checkEqual(t, "kinds of findings", res.kinds(), test.kinds)
			for _, m := range res.messages {
				if m.Date.Unix() != 1054541472 || m.DateSource != RecordLine {
					t.Errorf("date %v from %v", m.Date, m.DateSource)
				}
			}
		})
	}
}

// TestMixDataFiles: the order in which a directory lists its data files is no order.
func TestMixDataFiles(t *testing.T) {
	data, lines, want := map[string]string{}, "", []string{}
	for uid := uint32(1); uid <= 16; uid++ {
		text := fmt.Sprintf("Subject: %d\r\n\r\n", uid)
		data[mixDataName(uid*17%32)] = mixRecord(uid, text)
		lines += mixLine(uid, len(text), uid*17%32, 0)
		want = append(want, fmt.Sprintf("%d r: %s", uid, text))
	}
	res := readDirectory(t, writeDirectory(t, mixFiles(data, lines)), FormatMix)
	checkEqual(t, "messages", described(res), want)
	checkEqual(t, "findings", len(res.findings), 0)
}

// TestMixLost: a message is told as lost if it is, and not if it is in another place than
// the index has.
func TestMixLost(t *testing.T) {
	const a = "Subject: a\r\n\r\na\r\n"
	record, line := mixRecord(2, a), mixLine(2, len(a), 1, 0)
	tests := []struct {
		name  string
		files map[string]string
		uids  []uint32
		want  []string
	}{
		{"beyond the end", mixFiles(map[string]string{".mix00000001": record}, mixLine(2, len(a), 1, 4000)), []uint32{2},
			[]string{"the message with UID 2 is here and not where the index has it"}},
		{"another data file", mixFiles(map[string]string{".mix00000001": record}, mixLine(2, len(a), 2, 0)), []uint32{2},
			[]string{"the message with UID 2 is here and not where the index has it"}},
		{"nowhere", mixFiles(map[string]string{".mix00000001": record}, line, mixLine(3, len(a), 1, 4000)), []uint32{2},
			[]string{"the message with UID 3 is lost: the index has it beyond the end of the data file"}},
		{"no data file", mixFiles(map[string]string{".mix00000001": record}, line, mixLine(3, len(a), 2, 0)), []uint32{2},
			[]string{"the message with UID 3 is lost: its data file is missing"}},
		{"a line twice", mixFiles(map[string]string{".mix00000001": record}, line, line), []uint32{2},
			[]string{"the index has UID 2 more than once; this one is no message: the index has another message in its place"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			res := readDirectory(t, writeDirectory(t, test.files), FormatMix)
			var uids []uint32
			for _, m := range res.messages {
				uids = append(uids, m.UID)
			}
			var got []string
			for _, f := range res.findings {
				got = append(got, f.Text)
			}
			checkEqual(t, "UIDs", uids, test.uids)
			checkEqual(t, "findings", got, test.want)
		})
	}
}

// TestMixOffsets: a message, and damage, are told with their places.
func TestMixOffsets(t *testing.T) {
	const a = "Subject: a\r\n\r\na\r\n"
	res := readDirectory(t, writeDirectory(t, mixFiles(map[string]string{".mix00000007": "junk" + mixRecord(2, a)}, mixLine(2, len(a), 7, 4))), FormatMix)
	m := &res.messages[0]
	checkEqual(t, "message", []any{m.File, m.Offset, m.HeaderOffset, m.BodyOffset, m.EndOffset}, []any{".mix00000007", int64(4), int64(49), int64(63), int64(66)})
	checkEqual(t, "findings", res.findings, []Finding{{Kind: KindDamage, File: ".mix00000007", Length: 4, Text: "4 bytes of the data file are no message"}})
	account := res.mailbox.Account()
	if account[ReasonDamage] != 4 || account[ReasonMessage] != 17 || account[ReasonRecordHeader] != mixRecordLineSize {
		t.Errorf("account %v", account)
	}
}

// TestMixDate: a date that is none gives way to the header, then to the file's time.
func TestMixDate(t *testing.T) {
	const a, b = "Date: Mon, 2 Jun 2003 10:11:12 +0000\r\n\r\n", "b\r\n\r\n"
	none := strings.NewReplacer(mixDate, "20030231101112+0200")
	ra, rb := none.Replace(mixRecord(1, a)), none.Replace(mixRecord(2, b))
	dir := writeDirectory(t, mixFiles(map[string]string{".mix00000001": ra + rb}, none.Replace(mixLine(1, len(a), 1, 0)), none.Replace(mixLine(2, len(b), 1, len(ra)))))
	res := readDirectory(t, dir, FormatMix)
	if x, y := &res.messages[0], &res.messages[1]; x.Date.Unix() != 1054548672 || x.DateSource != DateHeader || !y.Date.Equal(fileTime) || y.DateSource != FileTime {
		t.Errorf("dates %v (%v), %v (%v)", x.Date, x.DateSource, y.Date, y.DateSource)
	}
	checkEqual(t, "kinds", res.kinds(), []Kind{KindDateUnparsable})
	for date, want := range map[string]int64{
		"19700101000001+0000": 1, "19700101000000+0000": 0, "20030602101112-1200": 1054591872, "20030602101160+0000": 1054548720,
		"20031302101112+0000": 0, "20030002101112+0000": 0, "20030602241112+0000": 0, "20030602101112+0060": 0, "20980602101112+0000": 0,
	} {
		if got, rest, ok := cutMixDate([]byte(date + ":x")); int64(got) != want || !ok || string(rest) != "x" {
			t.Errorf("%s: %d, %q, %t; want %d", date, got, rest, ok, want)
		}
	}
}

func TestUIDRanges(t *testing.T) {
	var g uidRanges
	for _, x := range [][2]uint32{{20, 30}, {0, 5}, {25, 40}, {40, 41}, {3, 4}, {50, maxMixUID + 1}} {
		g.add(x[0], x[1])
	}
	g.close()
	want := func(uid uint32) bool {
		return uid >= 1 && uid <= 4 || uid >= 21 && uid <= 39 || uid >= 51
	}
	for uid := uint32(1); uid < 60; uid++ {
		if g.has(uid) != want(uid) {
			t.Errorf("UID %d: %t", uid, g.has(uid))
		}
	}
	if !g.has(maxMixUID) || !g.has(0) || (uidRanges{}).has(0) || (uidRanges{}).has(1) {
		t.Error("the ends are wrong")
	}
}

// TestMixAsUW has UW's own code make and change mailboxes, and compares.
func TestMixAsUW(t *testing.T) {
	c := cclient.New(t)
	for _, name := range makeWithUW(t, c, "mix") {
		res := readDirectory(t, c.Path(name), FormatMix)
		got, said := c.Read(t, name)
		if got[0].Driver != "mix" {
			t.Fatalf("driver %q: %s", got[0].Driver, said)
		}
		checkUW(t, got[0], res, nil)
		// Nothing is lost either when the index is: all that was there is found, in order.
		if err := os.Remove(c.Path(name) + "/" + mixIndexName); err != nil {
			t.Fatal(err)
		}
		salvaged := readDirectory(t, c.Path(name), FormatMix)
		for i := range res.messages {
			if !slices.Contains(described(salvaged), described(res)[i]) {
				t.Errorf("%s without its index lacks %q", name, described(res)[i])
			}
		}
	}
}

// TestMixByHandAsUW compares on mailboxes that UW did not make but opens.
func TestMixByHandAsUW(t *testing.T) {
	c := cclient.New(t)
	const seed = 5
	rnd := rand.New(rand.NewPCG(seed, 0))
	for i := range 40 {
		name := fmt.Sprintf("hand%d", i)
		makeDirectory(t, c, name)
		data := map[string]string{}
		var lines []string
		status := "S00000001\r\n"
		for uid := uint32(1); uid < 12; uid++ {
			file := uint32(1 + uid/4)
			text := randomMessage(rnd, "\r\n")
			header := strings.Index(text, "\r\n\r\n") + 4
			pos := len(data[mixDataName(file)])
			data[mixDataName(file)] += mixRecord(uid, text)
			if rnd.IntN(4) > 0 {
				lines = append(lines, fmt.Sprintf(":%08x:%s:%08x:%08x:%08x:%08x:%08x:\r\n", uid, mixDate, len(text), file, pos, mixRecordLineSize, header))
			}
			if rnd.IntN(3) > 0 {
				status += mixStatus(uid, rnd.IntN(4), rnd.IntN(64))
			}
		}
		files := mixFiles(data, lines...)
		files[mixStatusName] = status
		files[mixMetaName] = "S00000001\r\nV3edb6d20\r\nL00000020\r\nN00000001\r\nKWork Play\r\n"
		for file, content := range files {
			c.Write(t, name+"/"+file, []byte(content))
		}
		res := readDirectory(t, c.Path(name), FormatMix)
		got, said := c.Read(t, name)
		if got[0].Driver != "mix" {
			t.Fatalf("driver %q: %s", got[0].Driver, said)
		}
		checkUW(t, got[0], res, nil)
		if t.Failed() {
			t.Fatalf("seed %d, mailbox %d: %q", seed, i, files)
		}
	}
}

// countReads counts what is read of a file.
type countReads struct {
	*strings.Reader
	bytes, calls int
}

func (c *countReads) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(b, off)
	c.bytes += n
	c.calls++
	return n, err
}

// scanMix goes through a data file and holds what it found to what a scan promises: every
// byte is in one message or accounted for, and messages do not overlap.
func scanMix(src io.ReaderAt, size int64, listed []mixMessage, gaps bool, window int) error {
	var salvage []mixMessage
	s := mixScan{mix: newMix(nil, Options{}), salvage: &salvage, size: size}
	s.win.src, s.win.end, s.win.buf = src, size, make([]byte, window)
	s.far.src, s.far.end, s.far.buf = src, size, make([]byte, window)
	if gaps {
		s.gaps.add(0, maxMixUID+1)
	}
	s.messages = listed
	if err := s.verify(1, listed); err != nil {
		return err
	}
	s.doubtful()
	if err := s.records(1, listed); err != nil {
		return err
	}
	total, end := s.account.Total(), int64(0)
	all := slices.DeleteFunc(slices.Concat(listed, salvage), func(m mixMessage) bool { return m.state >= mixLost })
	slices.SortFunc(all, func(a, b mixMessage) int { return cmp.Compare(a.position(), b.position()) })
	for _, m := range all {
		if m.position() < end {
			return fmt.Errorf("a message at %d begins before %d, where the one before it ends", m.position(), end)
		}
		end = m.position() + int64(m.prefix) + int64(m.size)
		total += int64(m.prefix) + int64(m.size)
	}
	if total != size || end > size {
		return fmt.Errorf("%d of %d bytes accounted for; the last message ends at %d", total, size, end)
	}
	return nil
}

// TestMixHostile: what a data file makes the scan read is at most some times its size,
// whatever it and the index say.
func TestMixHostile(t *testing.T) {
	const size = 1 << 20
	fake := func(length int) string { return fmt.Sprintf(":msg:%08x:%s:%08x:\r\n", 1, mixDate, length) }
	repeat := func(s string) string { return strings.Repeat(s, size/len(s)) }
	var nested strings.Builder // records, each of which says that it goes to the end
	for nested.Len() < size {
		nested.WriteString(fake(size - nested.Len() - 2*mixRecordLineSize - 1))
	}
	place := func(step, length int) (list []mixMessage) {
		for pos := 0; pos < size; pos += step {
			m := mixMessage{uid: uint32(pos + 1), file: 1, size: uint32(length)}
			m.setPosition(int64(pos))
			list = append(list, m)
		}
		return list
	}
	at := func(uid, pos, end int) mixMessage {
		m := mixMessage{uid: uint32(uid), file: 1, size: uint32(end - pos - mixRecordLineSize)}
		m.setPosition(int64(pos))
		return m
	}
	const between = mixRecordLineSize + 2 // of mixRecord(1, "x") + "y"
	var toTheEnd []mixMessage             // from every "y"
	for pos := between - 1; pos < size-between; pos += between {
		toTheEnd = append(toTheEnd, at(10+pos, pos, size/between*between+between-1))
	}
	// Places in damage, each of which leads to another of many record lines at the end of the
	// file, and more damage between them, which goes up to the next place that is right.
	var far strings.Builder
	var listed []mixMessage
	const units = size / (5 * mixRecordLineSize)
	for i := range units {
		listed = append(listed, at(1, far.Len(), far.Len()+mixRecordLineSize))
		far.WriteString(fake(0))
		listed = append(listed, at(10+i, far.Len(), units*(4*mixRecordLineSize+2)+i*mixRecordLineSize))
		far.WriteString(strings.Repeat("z", 2*mixRecordLineSize))
		listed = append(listed, at(1, far.Len(), far.Len()+mixRecordLineSize))
		far.WriteString(fake(0) + "yy")
	}
	far.WriteString(strings.Repeat(fake(0x10000000), units))
	tests := map[string]struct {
		data   string
		listed []mixMessage
	}{
		"places that lead to one end":    {repeat(mixRecord(1, "x")+"y") + mixRecord(1, "x"), toTheEnd},
		"places that lead to many ends":  {far.String(), listed},
		"record lines that lead nowhere": {"x" + repeat(fake(0x10000000)), nil},
		"record lines that lead near":    {"x" + repeat(fake(1000)+"x"), nil},
		"record lines that lead far":     {"x" + repeat(fake(size/3)+"x"), nil},
		"nested":                         {"x" + nested.String(), nil},
		"tokens":                         {repeat(mixToken), nil},
		"NULs":                           {repeat("\x00"), nil},
		"empty records":                  {repeat(fake(0)), nil},
		"records and junk":               {repeat(mixRecord(1, "x") + "y"), nil},
		"junk, and places in it":         {repeat("junk"), place(7, 1)},
		"places that lead far":           {repeat(fake(size/3) + "x"), place(46, size/3)},
		"places inside others":           {repeat(fake(size / 3)), place(9, size)},
		"places in tokens":               {repeat(mixToken), place(5, 10)},
	}
	for name, test := range tests {
		for _, gaps := range []bool{false, true} {
			src := &countReads{Reader: strings.NewReader(test.data)}
			if err := scanMix(src, int64(len(test.data)), slices.Clone(test.listed), gaps, mixScanWindow); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			whole := size + 77*len(test.listed) // with the index
			if src.bytes > 30*whole || src.calls > whole/4 {
				t.Errorf("%s: %d reads of %d bytes for files of %d", name, src.calls, src.bytes, whole)
			}
		}
	}
}

// TestMixWithin compares what within remembers with a search anew.
func TestMixWithin(t *testing.T) {
	const seed = 20061002
	rnd := rand.New(rand.NewPCG(seed, 0))
	for i := range 300 {
		var data strings.Builder
		for range 1 + rnd.IntN(30) {
			data.WriteString([]string{"y", mixRecord(1, "x"), mixRecord(1, "x")[:mixRecordLineSize], mixRecord(1, strings.Repeat("x", 70))}[rnd.IntN(4)])
		}
		src, size := strings.NewReader(data.String()), int64(data.Len())
		s := mixScan{mix: newMix(nil, Options{}), size: size}
		s.win.src, s.win.end, s.win.buf = src, size, make([]byte, minWindowSize)
		s.far.src, s.far.end, s.far.buf = src, size, make([]byte, minWindowSize)
		for pos := range size {
			for end := pos + 1; end <= size; end++ {
				if rnd.IntN(20) > 0 {
					continue
				}
				if ok, err := s.isEnd(end); err != nil || !ok {
					continue
				}
				anew, err := s.search(pos+1, end, end)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := s.within(pos, end); err != nil || got != (anew < end) {
					t.Fatalf("seed %d, file %d %q: from %d to %d: %t, %v; a search anew found %d", seed, i, data.String(), pos, end, got, err, anew)
				}
			}
		}
	}
}

// TestMixHostileLines: lines without end, and very many that are none.
func TestMixHostileLines(t *testing.T) {
	const size = 1 << 20
	for _, junk := range []string{"x", "x\r\n", ":\n", "\r\n", "\x00"} {
		files := mixFiles(nil)
		for name := range files {
			files[name] += strings.Repeat(junk, size/len(junk))
		}
		readDirectory(t, writeDirectory(t, files), FormatMix)
	}
}

// TestMixDamage damages mailboxes at random, one place each. Whatever does not touch the
// damage must be there, once, with the UID that it had; the damage must be told.
func TestMixDamage(t *testing.T) {
	const seed = 20061001
	rnd := rand.New(rand.NewPCG(seed, 0))
	const count = 8
	for i := range 600 {
		data, lines, records := map[string]string{}, []string{}, map[uint32]string{}
		places := map[uint32][2]int{}
		for uid := uint32(1); uid <= count; uid++ {
			file := 1 + uid/4
			text := fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", uid, strings.Repeat("text ", rnd.IntN(20)))
			name := mixDataName(file)
			lines = append(lines, mixLine(uid, len(text), file, len(data[name])))
			places[uid] = [2]int{len(data[name]), len(data[name]) + mixRecordLineSize + len(text)}
			data[name] += mixRecord(uid, text)
			records[uid] = text
		}
		files := mixFiles(data, lines...)
		victim := []string{mixIndexName, mixIndexName, ".mix00000001", ".mix00000002", ".mix00000003"}[rnd.IntN(5)]
		content := files[victim]
		at := rnd.IntN(len(content))
		gone := min(1+rnd.IntN(120), len(content)-at)
		junk := []string{strings.Repeat("\x00", gone), strings.Repeat("z", gone), "", "junk", "\r\n", ":msg:"}[rnd.IntN(6)]
		files[victim] = content[:at] + junk + content[at+gone:]
		res := readDirectory(t, writeDirectory(t, files), FormatMix)
		// A message that the damage touches may be lost, but not twice there.
		got := map[string]uint32{}
		for j, text := range res.texts {
			if _, twice := got[text]; twice {
				t.Errorf("%q is there twice", text)
			}
			got[text] = res.messages[j].UID
		}
		for uid := uint32(1); uid <= count; uid++ {
			place := places[uid]
			touched := victim == mixDataName(1+uid/4) && at <= place[1] && at+gone >= place[0]
			if victim == mixIndexName && len(junk) != gone {
				// Whole lines may be gone without a trace.
				start := strings.Index(content, lines[uid-1])
				touched = at <= start+len(lines[uid-1]) && at+gone >= start
			}
			if have, ok := got[records[uid]]; !touched && (!ok || have != uid) {
				t.Errorf("message %d was not touched and has UID %d, %t", uid, have, ok)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d, mailbox %d: %s, %d bytes at %d become %q; findings %v", seed, i, victim, gone, at, junk, res.findings)
		}
	}
}

func FuzzMix(f *testing.F) {
	const a = "Subject: a\r\n\r\na\r\n"
	files := mixFiles(nil, mixLine(2, len(a), 1, 0), mixLine(3, len(a), 1, 62))
	f.Add(files[mixMetaName], files[mixIndexName], files[mixStatusName]+mixStatus(2, 1, 1), mixRecord(2, a)+mixRecord(3, a))
	f.Add(files[mixMetaName], "x\r\n"+mixLine(2, 3, 1, 0), "", "junk"+mixRecord(2, a)+"junk:msg:")
	f.Add("", "", "x", mixRecord(2, a)+mixRecord(2, a)+mixRecord(0xffffffff, a))
	f.Add("V1\r\nLfffffffe\r\nKa  b\r\n", mixLine(2, 300, 1, 0)+mixLine(1, 3, 1, 1), "", mixRecord(2, a))
	f.Fuzz(func(t *testing.T, meta, index, status, data string) {
		dir := t.TempDir()
		for name, content := range map[string]string{mixMetaName: meta, mixIndexName: index, mixStatusName: status, ".mix00000001": data} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		readDirectory(t, dir, FormatMix)
	})
}

// FuzzMixData scans data files with an index whose places are anywhere.
func FuzzMixData(f *testing.F) {
	const a = "Subject: a\r\n\r\na\r\n"
	f.Add(mixRecord(2, a)+mixRecord(3, a), mixLine(2, len(a), 1, 0)+mixLine(3, len(a), 1, 62), true, uint8(60))
	f.Add("junk"+mixRecord(2, a)+"x"+mixRecord(3, a)[:50], mixLine(2, len(a)+9, 1, 4)+mixLine(7, 9, 1, 20), false, uint8(0))
	f.Add(":msg:"+mixRecord(2, a)+":msg:"+mixRecord(0xffffffff, ""), mixLine(3, 300, 1, 5), true, uint8(9))
	f.Fuzz(func(t *testing.T, data, index string, gaps bool, window uint8) {
		var listed []mixMessage
		for line := range strings.Lines(index) {
			if m, _, ok := parseMixIndexLine([]byte(line)); ok {
				listed = append(listed, m)
			}
		}
		slices.SortFunc(listed, func(a, b mixMessage) int { return cmp.Compare(a.position(), b.position()) })
		if err := scanMix(strings.NewReader(data), int64(len(data)), listed, gaps, max(minWindowSize, int(window))); err != nil {
			t.Error(err)
		}
	})
}

func FuzzMixLines(f *testing.F) {
	f.Add([]byte(mixLine(2, 3, 1, 4)))
	f.Add([]byte(mixStatus(2, 1, 3)))
	f.Add([]byte(mixRecord(2, "x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, _, ok := parseMixIndexLine(b); ok && (m.uid == 0 || m.uid > maxMixUID || m.position() > maxMixPosition) {
			t.Errorf("%q: %+v", b, m)
		}
		if r, ok := parseMixRecordLine(b); ok && (int(r.length) > len(b) || !strings.HasSuffix(string(b[:r.length]), "\r\n")) {
			t.Errorf("%q: %+v", b, r)
		}
		parseMixStatusLine(b)
		if m := parseMixMeta(b, func(Kind, int, string) {}); len(m.keywords) > maxKeywords {
			t.Errorf("%q: %+v", b, m)
		}
	})
}
