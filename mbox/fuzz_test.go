package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gombox "github.com/emersion/go-mbox"
)

var fuzzOptions = Options{Location: time.UTC, ModTime: fileTime}

// checkReader holds a Reader with a window of that size to the reference, to go-mbox and
// to its own promises.
func checkReader(t testing.TB, file []byte, window int) {
	t.Helper()
	want := refRead(string(file))
	res := readAll(file, window, fuzzOptions, always)
	if total := res.r.Account().Total(); total != int64(len(file)) {
		t.Errorf("%d bytes accounted for, the file has %d: %v", total, len(file), res.r.Account())
	}
	checkDamage(t, res.r.Account(), res.findings)
	var not *NotMailboxError
	if res.err != nil && !errors.As(res.err, &not) {
		t.Error(res.err)
		return
	}
	if want.ok != (res.err == nil) {
		t.Errorf("error %v, the reference says %v", res.err, want.ok)
		return
	}
	if len(want.messages) != len(res.messages) {
		t.Errorf("%d messages, the reference has %d", len(res.messages), len(want.messages))
		return
	}
	if v, l := res.r.UIDValidity(), res.r.LastUID(); v != want.validity || l != want.last {
		t.Errorf("UIDVALIDITY %d, last UID %d, the reference has %d, %d", v, l, want.validity, want.last)
	}
	if !slices.Equal(res.r.Keywords(), want.keywords) {
		t.Errorf("keywords %q, the reference has %q", res.r.Keywords(), want.keywords)
	}
	uids := map[uint32]bool{}
	for i := range res.messages {
		m, w := &res.messages[i], &want.messages[i]
		offsets := [4]int64{int64(w.offset), int64(w.header), int64(w.body), int64(w.end)}
		if got := [4]int64{m.Offset, m.HeaderOffset, m.BodyOffset, m.EndOffset}; got != offsets {
			t.Errorf("message %d: offsets %v, the reference has %v", i+1, got, offsets)
		}
		if m.UID != w.uid || !sameLetters(letters(m, res.r.Keywords()), w.flags) {
			t.Errorf("message %d: UID %d, flags %q, the reference has %d, %q", i+1, m.UID, letters(m, res.r.Keywords()), w.uid, w.flags)
		}
		if res.texts[i] != w.text {
			t.Errorf("message %d: %q, the reference has %q", i+1, res.texts[i], w.text)
		}
		checkText(t, res.texts[i])
		if m.UID == 0 || m.UID > maxUID || uids[m.UID] {
			t.Errorf("message %d: UID %d is out of range or not unique", i+1, m.UID)
		}
		uids[m.UID] = true
		if i > 1 && m.UID <= res.messages[i-1].UID {
			t.Errorf("message %d: UID %d follows %d", i+1, m.UID, res.messages[i-1].UID)
		}
		if !representable(m.Date) || m.Date.Nanosecond() != 0 {
			t.Errorf("message %d: date %v", i+1, m.Date)
		}
	}
	if total := len(res.messages); total > 0 && !uids[res.r.LastUID()] && res.r.LastUID() < res.messages[total-1].UID {
		t.Errorf("last UID %d, the last message has %d", res.r.LastUID(), res.messages[total-1].UID)
	}
	checkSkipping(t, file, window, res)
	checkGoMbox(t, file, res.r)
}

// checkText checks what Cyrus asks of every message.
func checkText(t testing.TB, text string) {
	t.Helper()
	rest := strings.ReplaceAll(text, "\r\n", "")
	if strings.ContainsAny(rest, "\r\n\x00") {
		t.Errorf("%q has a bare CR, a bare LF or a NUL", text)
	}
	if !strings.HasSuffix(text, "\r\n") || !strings.Contains("\r\n"+text, "\r\n\r\n") {
		t.Errorf("%q lacks the blank line or the last line end", text)
	}
}

// checkSkipping reads again and writes only some messages: nothing may depend on that.
func checkSkipping(t testing.TB, file []byte, window int, res result) {
	t.Helper()
	again := readAll(file, window, fuzzOptions, func(n int) bool { return n%2 == 0 })
	if !slices.Equal(res.findings, again.findings) {
		t.Errorf("findings %v when all is written, %v when some is", res.findings, again.findings)
	}
	for i := range again.messages {
		a, b := res.messages[i], again.messages[i]
		if a.UID != b.UID || a.Offset != b.Offset || a.Flags != b.Flags || !a.Date.Equal(b.Date) || (i+1)%2 == 0 && res.texts[i] != again.texts[i] {
			t.Errorf("message %d is %+v when all is written, %+v when some is", i+1, a, b)
		}
	}
	if again.r.Account().Total() != int64(len(file)) {
		t.Errorf("%d bytes accounted for when some are skipped", again.r.Account().Total())
	}
}

// checkGoMbox holds the prediction to the real go-mbox.
func checkGoMbox(t testing.TB, file []byte, r *Reader) {
	t.Helper()
	count, certain := r.PredictGoMbox()
	n, err := int64(0), error(nil)
	for mr := gombox.NewReader(bufio.NewReaderSize(bytes.NewReader(file), 64<<10)); ; n++ {
		if _, err = mr.NextMessage(); err != nil {
			break
		}
	}
	if certain && (err != io.EOF || n != count) {
		t.Errorf("go-mbox counts %d (%v), predicted were %d", n, err, count)
	}
	if !certain && n > 0 && r.Separators() > 0 {
		t.Errorf("go-mbox counts %d, predicted was that it fails", n)
	}
}

// parts are what random mailboxes are made of.
var parts = []string{
	from, from, from, "From x Sat Jul  5 10:00:00 2003 +0200\n", "From MAILER-DAEMON Mon Jun  2 10:11:12 2003\r\n",
	"From a Wed Dec  2 05:53 1992 remote from host\n", "From what I see the car was at 10:30 here\n", "From here\n", "From ",
	strings.TrimSuffix(from, "\n"), ">From x\n", "\n", "\n", "\n", "\r\n", "\r", "\r\r\n", " ", "\t", "\x00", "\x00\x00\x00", " \n",
	"Subject: a\n", "Status: RO\n", "Status: R\n", "X-Status: AFDT\n", "status: O\n", "X-UID: ", "X-UID: 1\n", "X-UID: 2\n", "X-UID: 3\n", "X-UID: 5\n", "X-UID: 9\n", "X-UID: 1073741824\n",
	"X-IMAPbase: 5 3 a b\n", "X-IMAPbase: 6 9 c\n", "X-IMAP: 5 3 a\n", "X-IMAP: 7 2\n", "X-IMAPbase: 5 1073741819\n", "X-IMAPbase: 99999999999 2\n", "X-Keywords: a B\n", "X-Keywords: b\rc\n",
	pseudoHead, pseudoHead + "X-IMAP: 5 3\n" + pseudoTail, "From: " + pseudoName + " <x>\n", "Subject: " + pseudoSubject + "\n",
	"text\n", "text", "Content-Length: 30\n", "Received: x; Mon, 2 Jun 2003 10:11:12 -0400\n", "Date: Mon, 2 Jun 2003 10:11:12 EDT\n", "na\xefve\n", "\n\n" + from, "\x00" + from,
}

func randomMailbox(rnd *rand.Rand) []byte {
	var b bytes.Buffer
	if rnd.IntN(8) > 0 {
		b.WriteString(from)
	}
	for range rnd.IntN(30) {
		b.WriteString(parts[rnd.IntN(len(parts))])
	}
	return b.Bytes()
}

func TestRandomMailboxes(t *testing.T) {
	const seed = 20031123
	rnd := rand.New(rand.NewPCG(seed, 0))
	for i := range 20000 {
		file := randomMailbox(rnd)
		if rnd.IntN(20) == 0 {
			file = bytes.ReplaceAll(file, []byte("\n"), []byte("\r\r\n"))
		}
		window := 16 + rnd.IntN(80)
		if i%4 == 0 {
			window = windowSize
		}
		checkReader(t, file, window)
		if t.Failed() {
			t.Fatalf("mailbox %d of seed %d, window %d: %q", i, seed, window, file)
		}
	}
}

func TestFixturesAgainstReference(t *testing.T) {
	for _, f := range slices.Concat(fixtures, wrecks) {
		t.Run(f.name, func(t *testing.T) {
			for _, window := range []int{windowSize, 16, 50} {
				checkReader(t, []byte(f.file), window)
			}
		})
	}
}

func FuzzReader(f *testing.F) {
	for _, x := range slices.Concat(fixtures, wrecks) {
		if len(x.file) < 4096 {
			f.Add([]byte(x.file), uint16(40))
		}
	}
	f.Fuzz(func(t *testing.T, file []byte, window uint16) { checkReader(t, file, int(window)) })
}
