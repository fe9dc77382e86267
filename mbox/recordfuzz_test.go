package mbox

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mbox2cyrus/internal/cclient"
)

// checkRecords holds a recordReader with a window of that size to its promises.
func checkRecords(t testing.TB, format Format, file string, window int) {
	t.Helper()
	res := readRecords(t, format, file, window, always)
	size := int64(len(file))
	if total := res.mailbox.Account().Total(); total != size {
		t.Errorf("%d bytes accounted for, the file has %d: %v", total, size, res.mailbox.Account())
	}
	var lines, bytes, end int64
	var uid uint32
	for i := range res.messages {
		m, text := &res.messages[i], res.texts[i]
		if !(end <= m.Offset && m.Offset < m.HeaderOffset && m.HeaderOffset <= m.BodyOffset && m.BodyOffset <= m.EndOffset && m.EndOffset <= size) {
			t.Errorf("message %d: offsets %d, %d, %d, %d; the one before ends at %d, the file at %d", i+1, m.Offset, m.HeaderOffset, m.BodyOffset, m.EndOffset, end, size)
		}
		end = m.EndOffset
		lines, bytes = lines+m.HeaderOffset-m.Offset, bytes+end-m.HeaderOffset
		if m.UID <= uid || m.UID > maxUID {
			t.Errorf("message %d: UID %d follows %d", i+1, m.UID, uid)
		}
		uid = m.UID
		if !representable(m.Date) || m.Date.Nanosecond() != 0 {
			t.Errorf("message %d: date %v", i+1, m.Date)
		}
		if strings.ContainsAny(strings.ReplaceAll(text, "\r\n", ""), "\n\x00") || text == "" {
			t.Errorf("message %d: %q has a bare LF or a NUL, or nothing", i+1, text)
		}
		if more := m.Keywords >> len(res.mailbox.Keywords()); more != 0 {
			t.Errorf("message %d: keyword bits %#x without a name", i+1, m.Keywords)
		}
	}
	if last := res.mailbox.LastUID(); last < uid || last > maxUID {
		t.Errorf("last UID %d, the last message has %d", last, uid)
	}
	account := res.mailbox.Account()
	if account[ReasonRecordHeader] != lines || account[ReasonMessage] != bytes {
		t.Errorf("account %v, record lines have %d bytes, messages %d", account, lines, bytes)
	}
	checkDamage(t, account, res.findings)
	damage := slices.ContainsFunc(res.findings, func(f Finding) bool { return f.Kind == KindDamage })
	if damage != (account[ReasonDamage] > 0) {
		t.Errorf("%d bytes of damage, reported: %v", account[ReasonDamage], damage)
	}
	// Neither the window nor what is written makes a difference.
	for _, again := range []collected{
		readRecords(t, format, file, windowSize, always),
		readRecords(t, format, file, window, func(n int) bool { return n%2 == 0 }),
	} {
		if !slices.Equal(res.findings, again.findings) {
			t.Errorf("findings %v, then %v", res.findings, again.findings)
		}
		if len(again.messages) != len(res.messages) {
			t.Fatalf("%d messages, then %d", len(res.messages), len(again.messages))
		}
		for i := range again.messages {
			a, b := res.messages[i], again.messages[i]
			a.text, b.text = nil, nil
			if !b.written {
				a.EndOffset, a.written = 0, false
			}
			if a != b || again.texts[i] != "" && res.texts[i] != again.texts[i] {
				t.Errorf("message %d is %+v, then %+v", i+1, a, b)
			}
		}
		if got := again.mailbox.Account().Total(); got != size {
			t.Errorf("then %d bytes are accounted for", got)
		}
	}
}

// recordTexts are what random records hold.
var recordTexts = []string{
	recText, recText, "", "Subject: x\n\nbody\n", "\r\n", "\n", "x", "\x00\x00", "a\rb\r\n\r\n\r\r\n", "Received: x; Mon, 2 Jun 2003 10:11:12 -0400\r\n\r\n",
	mbxRec("000000000010-00000003", recText), tenexRec("000000000020", recText), strings.Repeat("0123456789abcdef\r\n", 20),
	"Status: RO\r\n\r\n,7;000000000000\r\n",
}

// randomRecords is a mailbox with records as UW writes them.
func randomRecords(rnd *rand.Rand, format Format) string {
	var b strings.Builder
	last := rnd.IntN(40)
	if format == FormatMBX {
		b.WriteString(mbxFile(fmt.Sprintf("3edb6d20%08x", last), []string{"", "Work\r\n", h0Words}[rnd.IntN(3)]))
	}
	uid := 0
	for range 1 + rnd.IntN(8) {
		text := recordTexts[rnd.IntN(len(recordTexts))]
		date := fmt.Sprintf("%2d-%s-%d %02d:%02d:%02d %+03d%02d", 1+rnd.IntN(28), []string{"Jan", "Jun", "Dec"}[rnd.IntN(3)], 1971+rnd.IntN(120),
			rnd.IntN(24), rnd.IntN(60), rnd.IntN(60), rnd.IntN(27)-13, rnd.IntN(4)*15)
		fmt.Fprintf(&b, "%s,%d;", date, len(text))
		if format == FormatMBX {
			uid += 1 + rnd.IntN(4)
			given := uid
			if rnd.IntN(8) == 0 {
				given = 0
			}
			system := rnd.IntN(64)
			if rnd.IntN(6) == 0 {
				system |= bitExpunged
			}
			fmt.Fprintf(&b, "%08x%04x-%08x", rnd.IntN(8), system, given)
		} else {
			fmt.Fprintf(&b, "%o000000000%02o", rnd.IntN(8), rnd.IntN(64))
		}
		b.WriteString(recordFormats[format].eol + text)
	}
	return b.String()
}

// damage does to a mailbox what disks, editors and programs that die do.
func damage(rnd *rand.Rand, file string) string {
	b := []byte(file)
	for range rnd.IntN(3) {
		at := rnd.IntN(len(b))
		n := rnd.IntN(min(80, len(b)-at))
		switch rnd.IntN(6) {
		case 0:
			b = b[:at]
		case 1:
			b = slices.Delete(b, at, at+n)
		case 2:
			b = slices.Insert(b, at, []byte("junk;,\r\n")[:rnd.IntN(9)]...)
		case 3:
			clear(b[at : at+n])
		case 4:
			b[at] ^= 1 << rnd.IntN(8)
		case 5:
			b = slices.Insert(b, at, b[at:at+n]...)
		}
		if len(b) == 0 {
			return ""
		}
	}
	return string(b)
}

func TestRandomRecords(t *testing.T) {
	const seed = 20031124
	rnd := rand.New(rand.NewPCG(seed, 0))
	damaged := 0
	for i := range 6000 {
		format := []Format{FormatMBX, FormatTenex, FormatMTX}[i%3]
		file := damage(rnd, randomRecords(rnd, format))
		if format == FormatMBX && !isMBX([]byte(file), int64(len(file))) {
			continue
		}
		damaged++
		checkRecords(t, format, file, 192+rnd.IntN(200))
		if t.Failed() {
			t.Fatalf("mailbox %d of seed %d: %q", i, seed, file)
		}
	}
	if damaged < 5000 {
		t.Errorf("only %d mailboxes were read", damaged)
	}
}

// TestRandomRecordsUW holds the reader to c-client on random mailboxes, whole and damaged:
// where it opens one, both must show the same.
func TestRandomRecordsUW(t *testing.T) {
	c := cclient.New(t)
	c.Write(t, ".mminit", []byte("set keywords Work, Play\n"))
	const seed, boxes = 20031125, 600
	rnd := rand.New(rand.NewPCG(seed, 0))
	var names, files []string
	var formats []Format
	for i := range boxes {
		format := []Format{FormatMBX, FormatTenex, FormatMTX}[i%3]
		file := randomRecords(rnd, format)
		if i%2 == 0 {
			file = damage(rnd, file)
		}
		if Recognise([]byte(file)[:min(len(file), 4096)], int64(len(file))) != format {
			continue
		}
		name := fmt.Sprintf("box%d", i)
		c.Write(t, name, []byte(file))
		names, files, formats = append(names, name), append(files, file), append(formats, format)
	}
	got, _ := c.Read(t, names...)
	opened, mended := map[Format]int{}, 0
	for i, want := range got {
		if want.Refused {
			continue
		}
		res := readRecords(t, formats[i], files[i], windowSize, always)
		if want.Driver == string(FormatMBX) && slices.ContainsFunc(res.kinds(), func(k Kind) bool { return k == KindTruncated || k == KindDamage }) {
			// UW does not look at the date of an expunged message: where the beginning of its
			// line is lost, what precedes it gets some of the line, and nothing tells.
			mended++
			continue
		}
		opened[formats[i]]++
		// The instant of a date that is none, or has no zone, is ours.
		for n := range min(len(res.messages), len(want.Messages)) {
			if slices.ContainsFunc(res.findings, func(f Finding) bool {
				return f.Message == n+1 && (f.Kind == KindDateUnparsable || f.Kind == KindDateZone)
			}) {
				want.Messages[n].Date = res.messages[n].Date
			}
		}
		// c-client sends bare LFs and nothing as they are.
		normalise := func(s string) string {
			var b bytes.Buffer
			out := converter{w: &b, buf: make([]byte, 0, 1<<10)}
			out.crlf([]byte(s), 0, false)
			out.flush()
			if b.Len() == 0 {
				return "\r\n"
			}
			return b.String()
		}
		ok := t.Run(names[i], func(t *testing.T) {
			if want.Driver != string(formats[i]) {
				t.Errorf("UW's driver is %s", want.Driver)
			}
			checkUW(t, want, &res, normalise)
		})
		if !ok {
			t.Fatalf("%s of seed %d: %v, %q", names[i], seed, formats[i], files[i])
		}
	}
	if mended > 5 {
		t.Errorf("%d mailboxes were mended that c-client opens", mended)
	}
	for f := range recordFormats {
		if opened[f] < 60 {
			t.Errorf("c-client opened %d mailboxes in %v format", opened[f], f)
		}
	}
}

func FuzzRecords(f *testing.F) {
	for _, x := range recordFixtures {
		f.Add([]byte(x.file), uint16(200), string(x.format))
	}
	f.Fuzz(func(t *testing.T, file []byte, window uint16, name string) {
		format := Format(name)
		if recordFormats[format] == nil || format == FormatMBX && !isMBX(file, int64(len(file))) {
			t.Skip("another format")
		}
		checkRecords(t, format, string(file), int(window))
	})
}
