package mbox

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/internal/cclient"
)

func TestMX(t *testing.T) {
	const a, b = "Subject: a\r\n\r\na\r\n", "Subject: b\r\n\r\nb\r\n"
	tests := []struct {
		name           string
		files          map[string]string
		want           []string
		validity, last uint32
		kinds          []Kind
	}{
		// mx-index-gap, as UW 2007f was seen to show it, but for 008 and UIDNEXT.
		{"index-gap", map[string]string{mxIndexName: "V3edb6d20L00000005KWork\nKPlay\nM00000002;00000003.000dM00000004;00000000.0000",
			"2": a, "5": b, "7": a, "008": b, "x": "junk"},
			[]string{"2 RAF Work Play: " + a, "5: " + b, "7: " + a, "8: " + b}, 0x3edb6d20, 8, []Kind{KindNotMessage, KindOddNumber}},
		{"two of one number", map[string]string{mxIndexName: "V3edb6d20L00000005M00000008;00000000.0001", "8": a, "008": b, "08": "x\r\n\r\n", "9": a},
			[]string{"8 R: " + a, "9: " + a, "10: x\r\n\r\n", "11: " + b}, 0x3edb6d20, 11, []Kind{KindOddNumber}},
		{"never opened", map[string]string{mxIndexName: "", "1": a}, []string{"1: " + a}, 0, 1, nil},
		{"no validity", map[string]string{mxIndexName: "L00000005", "1": a}, []string{"1: " + a}, 0, 1, []Kind{KindUIDEpochLost}},
		{"validity too great", map[string]string{mxIndexName: "V123456789L00000005", "1": a}, []string{"1: " + a}, 0, 1, []Kind{KindUIDEpochLost}},
		{"last too great", map[string]string{mxIndexName: "V00000001L40000000", "1": a}, []string{"1: " + a}, 0, 1, []Kind{KindUIDEpochLost}},
		{"no UIDs left", map[string]string{mxIndexName: "V00000001L3fffffff", "1": a, "01": b}, []string{"1: " + a, "2: " + b}, 0, 2, []Kind{KindOddNumber, KindUIDEpochLost}},
		{"greatest UID", map[string]string{mxIndexName: "V00000001L00000001", "1073741823": a}, []string{"1073741823: " + a}, 1, maxUID, nil},
		{"numbers above all UIDs", map[string]string{mxIndexName: "V00000001L00000001", "1073741824": a, "00000000000000000000000000000007": b, "99999999999999999999": b},
			[]string{"7: " + b, "8: " + a, "9: " + b}, 1, 9, []Kind{KindOddNumber}},
		{"number 0", map[string]string{mxIndexName: "V00000001L00000001", "0": a, "000": a}, nil, 1, 1, []Kind{KindMailBeside}},
		{"damaged index", map[string]string{mxIndexName: "V00000005L00000003KWork\nM00000001;00000001.0001M0000\x00\x00\x00\x00\x00M00000003;00000001.0004", "1": a, "2": b, "3": a},
			[]string{"1 R Work: " + a, "2: " + b, "3 F Work: " + a}, 5, 3, []Kind{KindDamage}},
		{"keyword without end", map[string]string{mxIndexName: "V00000005L00000003KWorkM00000001;00000000.0001KPlayM00000002;00000000.0002", "1": a, "2": b},
			[]string{"1 R: " + a, "2 D: " + b}, 5, 3, []Kind{KindDamage}},
		{"keyword too long", map[string]string{mxIndexName: "V00000005L00000003K" + strings.Repeat("x", 51) + "\nKPlay\nM00000001;00000003.0000", "1": a},
			[]string{"1  Play: " + a}, 5, 3, []Kind{KindKeywordHole, KindKeywordUnknown}},
		{"keywords without names", map[string]string{mxIndexName: "V00000005L00000003KWork\nM00000001;80000001.0020", "1": a},
			[]string{"1 T Work: " + a}, 5, 3, []Kind{KindKeywordUnknown}},
		{"too many keywords", map[string]string{mxIndexName: "V00000005L00000003" + strings.Repeat("Kk\n", 31)}, nil, 5, 3, []Kind{KindKeywordsLost}},
		{"bare LF and NUL", map[string]string{mxIndexName: "V00000005L00000003", "1": "a: b\n\nc\x00\r\nd\re"},
			[]string{"1: a: b\r\n\r\nc\x80\r\nd\re"}, 5, 3, []Kind{KindBareLF, KindNUL}},
		{"empty message", map[string]string{mxIndexName: "V00000005L00000003", "1": ""}, []string{"1: \r\n"}, 5, 3, []Kind{KindHeaderCut}},
		{"whole mailbox", map[string]string{mxIndexName: "V00000005L00000003", "2003": oneMessage + oneMessage},
			nil, 5, 3, []Kind{KindMailBeside}},
		{"one From_ line", map[string]string{mxIndexName: "V00000005L00000003", "2003": oneMessage},
			[]string{"2003: " + strings.ReplaceAll(oneMessage, "\n", "\r\n")}, 5, 2003, []Kind{KindBareLF}},
		{"folders below", map[string]string{mxIndexName: "V00000005L00000003", "7/": "", "sub/": ""}, nil, 5, 3, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			res := readDirectory(t, writeDirectory(t, test.files), FormatMX)
			checkEqual(t, "messages", described(res), test.want)
			if v, l := res.mailbox.UIDValidity(), res.mailbox.LastUID(); v != test.validity || l != test.last {
				t.Errorf("UIDVALIDITY %d, last UID %d; want %d, %d", v, l, test.validity, test.last)
			}
			checkEqual(t, "kinds of findings", res.kinds(), test.kinds)
			for _, m := range res.messages {
				if !m.Date.Equal(fileTime) || m.DateSource != FileTime {
					t.Errorf("date %v from %v", m.Date, m.DateSource)
				}
			}
		})
	}
}

// TestMXDamageOffset: damage is told with its place and size.
func TestMXDamageOffset(t *testing.T) {
	res := readDirectory(t, writeDirectory(t, map[string]string{mxIndexName: "V00000005L00000003xyzM00000001;00000000.0001", "1": "a\r\n\r\n"}), FormatMX)
	if len(res.findings) != 1 || res.findings[0].Kind != KindDamage || res.findings[0].Offset != 18 || res.findings[0].File != mxIndexName {
		t.Errorf("findings %v", res.findings)
	}
	if got := res.mailbox.Account(); got[ReasonDamage] != 3 || got[ReasonIndex] != 18+23 {
		t.Errorf("account %v", got)
	}
}

// TestMXIndexHostile: an index is read once, whatever is in it.
func TestMXIndexHostile(t *testing.T) {
	const size = 1 << 20
	for _, junk := range []string{"K", "M", "M00000001;00000001.0001K", "V", "V1", "K\n", "M00000001;", "\x00", "f", "Vffffffffffffffffffff"} {
		src := &countSeeks{Reader: strings.NewReader("K" + strings.Repeat(junk, size/len(junk)))}
		found := newLimitedFindings(nil)
		x := newMXIndex(src, &found)
		records := 0
		if err := x.read(func(uint32, uint32, Flags) { records++ }); err != nil {
			t.Fatal(err)
		}
		if src.bytes > 3*size || x.pos != src.Size() || len(x.keywords) > maxKeywords {
			t.Errorf("%q: %d bytes read of %d, up to %d; %d keywords", junk, src.bytes, src.Size(), x.pos, len(x.keywords))
		}
		if junk[0] == 'M' && len(junk) > 20 && records != size/len(junk) {
			t.Errorf("%q: %d records", junk, records)
		}
	}
}

type countSeeks struct {
	*strings.Reader
	bytes int
}

func (c *countSeeks) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.bytes += n
	return n, err
}

// TestMXDate: a file time that is no internal date gives way to the header.
func TestMXDate(t *testing.T) {
	dir := writeDirectory(t, map[string]string{mxIndexName: "", "1": "Date: Mon, 2 Jun 2003 10:11:12 +0000\r\n\r\n", "2": "a\r\n\r\n"})
	for _, name := range []string{"1", "2"} {
		if err := os.Chtimes(filepath.Join(dir, name), fileTime, time.Unix(-5, 0)); err != nil {
			t.Fatal(err)
		}
	}
	res := readDirectory(t, dir, FormatMX)
	if a, b := &res.messages[0], &res.messages[1]; a.Date.Unix() != 1054548672 || a.DateSource != DateHeader || b.Date.Unix() != 1 {
		t.Errorf("dates %v (%v), %v", a.Date, a.DateSource, b.Date)
	}
	checkEqual(t, "kinds", res.kinds(), []Kind{KindDateUnparsable})
}

// TestMXAsUW has UW's own code make and change mailboxes, and compares.
func TestMXAsUW(t *testing.T) {
	c := cclient.New(t)
	for _, name := range makeWithUW(t, c, "mx") {
		got, said := c.Read(t, name)
		res := readDirectory(t, c.Path(name), FormatMX)
		if got[0].Driver != "mx" {
			t.Fatalf("driver %q: %s", got[0].Driver, said)
		}
		checkUW(t, got[0], res, nil)
	}
}

// TestMXByHandAsUW compares on indexes that UW did not make. The fixtures it cannot read, or
// reads wrongly, are in TestMX.
func TestMXByHandAsUW(t *testing.T) {
	c := cclient.New(t)
	const seed = 3
	rnd := rand.New(rand.NewPCG(seed, 0))
	for i := range 40 {
		name := fmt.Sprintf("hand%d", i)
		makeDirectory(t, c, name)
		index := fmt.Sprintf("V%08xL%08x", 0x3edb6d20+i, 40)
		for k := range rnd.IntN(4) {
			index += fmt.Sprintf("Kkey%d\n", k)
		}
		for uid := range 12 {
			if rnd.IntN(2) == 0 {
				index += fmt.Sprintf("M%08x;%08x.%04x", uid+rnd.IntN(3), rnd.IntN(2), rnd.IntN(64))
			}
		}
		c.Write(t, name+"/"+mxIndexName, []byte(index))
		for uid := 1; uid < 12; uid++ {
			if rnd.IntN(3) > 0 {
				c.Write(t, fmt.Sprintf("%s/%d", name, uid), []byte(randomMessage(rnd, "\r\n")))
			}
		}
		res := readDirectory(t, c.Path(name), FormatMX)
		got, said := c.Read(t, name)
		if got[0].Driver != "mx" {
			t.Fatalf("driver %q: %s", got[0].Driver, said)
		}
		checkUW(t, got[0], res, nil)
		if t.Failed() {
			t.Fatalf("seed %d, mailbox %d: index %q", seed, i, index)
		}
	}
}

// makeDirectory makes a mailbox directory in c-client's home.
func makeDirectory(t testing.TB, c *cclient.CClient, name string) {
	t.Helper()
	if err := os.MkdirAll(c.Path(name), 0o755); err != nil {
		t.Fatal(err)
	}
	c.Give(t, c.Path(name))
}

// makeWithUW makes mailboxes of a format with UW's own code: an empty one, one with
// messages, flags and keywords, the same after an expunge, and a copy.
func makeWithUW(t testing.TB, c *cclient.CClient, format string) (names []string) {
	t.Helper()
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, 0))
	in := func(name string) string { return "#driver." + format + "/" + name }
	c.Do(t, "", "create", in("empty"), in("full"), in("copy"))
	flags := []string{`\Seen`, `\Answered \Flagged`, `\Deleted`, `\Draft \Seen`, ""}
	for i := range 12 {
		date := time.Date(2003, 6, 2, 10, 11, 12, 0, time.FixedZone("", (rnd.IntN(20)-10)*3600)).AddDate(0, rnd.IntN(100), 0)
		c.Do(t, randomMessage(rnd, "\r\n"), "append", "full", flags[i%len(flags)], date.Format("_2-Jan-2006 15:04:05 -0700"))
	}
	c.Do(t, "", "flag", "full", "2:5", `\Flagged Work`)
	c.Do(t, "", "flag", "full", "4,9", "Play $Label1")
	c.Do(t, "", "check", "full")
	c.Do(t, "", "copy", "full", "copy")
	c.Do(t, "", "copy", "full", "full")
	c.Do(t, "", "expunge", "full")
	c.Do(t, randomMessage(rnd, "\r\n"), "append", "full", "", " 2-Jun-2003 10:11:12 +0000")
	return []string{"empty", "full", "copy"}
}

// randomMessage is a message as an IMAP client may store it, never empty.
func randomMessage(rnd *rand.Rand, eol string) string {
	var b strings.Builder
	for range 1 + rnd.IntN(4) {
		b.WriteString([]string{"Subject: a", "Status: RO", "X-UID: 7", "From here", "na\xefve: x", "\tfolded"}[rnd.IntN(6)] + eol)
	}
	b.WriteString(eol)
	for range rnd.IntN(6) {
		b.WriteString([]string{"text" + eol, eol, ">From x" + eol, "a lone \r here" + eol, strings.Repeat("long ", 2000) + eol, "no end"}[rnd.IntN(6)])
	}
	return b.String()
}
