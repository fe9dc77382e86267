package mbox

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/internal/cclient"
)

const (
	mark      = "\x01\x01\x01\x01\n"
	zonedFrom = "From joe@example.com Mon Jun  2 10:11:12 2003 -0400\n"
)

// mmdfFixtures are files that UW IMAP 2007f was run on.
var mmdfFixtures = []struct {
	name   string
	file   string
	texts  []string
	kinds  []Kind
	differ string // why UW's view is another one; "": it is the same
}{
	{name: "no From_ lines", file: mark + "Subject: a\n\nb\n" + mark + mark + "Subject: b\n\nc\n" + mark,
		texts: []string{"Subject: a\r\n\r\nb\r\n", "Subject: b\r\n\r\nc\r\n"}},
	{name: "one mark between", file: mark + zonedFrom + "Subject: a\n\nb\n" + mark + zonedFrom + "Subject: b\n\nc\n" + mark,
		texts: []string{"Subject: a\r\n\r\nb\r\n", "Subject: b\r\n\r\nc\r\n"}},
	{name: "no last mark", file: mark + zonedFrom + "Subject: a\n\nb\n\n",
		texts: []string{"Subject: a\r\n\r\nb\r\n\r\n"}, kinds: []Kind{KindTruncated}},
	{name: "no last line end", file: mark + zonedFrom + "Subject: a\n\nbody",
		texts: []string{"Subject: a\r\n\r\nbody\r\n"}, kinds: []Kind{KindNoFinalNewline, KindTruncated}},
	{name: "last mark without LF", file: mark + zonedFrom + "Subject: a\n\nb\n\x01\x01\x01\x01",
		texts: []string{"Subject: a\r\n\r\nb\r\n\x01\x01\x01\x01\r\n"}, kinds: []Kind{KindNoFinalNewline, KindTruncated}},
	{name: "From_ line in the text", file: mark + zonedFrom + "Subject: a\n\nb\n\n" + zonedFrom + "c\n" + mark,
		texts: []string{"Subject: a\r\n\r\nb\r\n\r\n" + strings.TrimSuffix(zonedFrom, "\n") + "\r\nc\r\n"}},
	{name: "two From_ lines", file: mark + zonedFrom + zonedFrom + "Subject: a\n\nb\n" + mark,
		texts: []string{strings.TrimSuffix(zonedFrom, "\n") + "\r\nSubject: a\r\n\r\nb\r\n"}},
	{name: "From_ line that is none", file: mark + "From joe\nSubject: a\n\nb\n" + mark,
		texts: []string{"From joe\r\nSubject: a\r\n\r\nb\r\n"}},
	{name: "From_ line with CRLF", file: mark + "From joe@example.com Mon Jun  2 10:11:12 2003\r\nSubject: a\r\n\r\nb\r\n" + mark,
		texts: []string{"From joe@example.com Mon Jun  2 10:11:12 2003\r\nSubject: a\r\n\r\nb\r\n"}},
	{name: "marks in a header", file: mark + zonedFrom + "Subject: a\n" + mark + mark + zonedFrom + "Subject: b\n\nc\n" + mark,
		texts: []string{"Subject: a\r\n\r\n", "Subject: b\r\n\r\nc\r\n"}, kinds: []Kind{KindHeaderCut}},
	{name: "mark in a header", file: mark + zonedFrom + "Subject: a\n" + mark + zonedFrom + "Subject: b\n\nc\n" + mark,
		texts: []string{"Subject: a\r\n\r\n", "Subject: b\r\n\r\nc\r\n"}, kinds: []Kind{KindHeaderCut}},
	{name: "mark at the end of a header line", file: mark + zonedFrom + "Subject: a" + mark + mark + zonedFrom + "Subject: b\n\nc\n" + mark,
		texts: []string{"Subject: a\r\n\r\n", "Subject: b\r\n\r\nc\r\n"}, kinds: []Kind{KindHeaderCut}},
	{name: "mark at the end of a line", file: mark + zonedFrom + "Subject: a\n\nbody no nl" + mark + mark + zonedFrom + "Subject: b\n\nc\n" + mark,
		texts: []string{"Subject: a\r\n\r\nbody no nl\r\n", "Subject: b\r\n\r\nc\r\n"}, kinds: []Kind{KindNoFinalNewline},
		differ: "it overlooks the next mark but one"},
	{name: "mark after two bytes", file: mark + zonedFrom + "Subject: a\n\nxy" + mark + mark + zonedFrom + "Subject: b\n\nc\n" + mark,
		texts: []string{"Subject: a\r\n\r\nxy\r\n", "Subject: b\r\n\r\nc\r\n"}, kinds: []Kind{KindNoFinalNewline}},
	{name: "mark after one byte", file: mark + zonedFrom + "Subject: a\n\nx" + mark + mark + zonedFrom + "Subject: b\n\nc\n" + mark,
		texts: []string{"Subject: a\r\n\r\nx\x01\x01\x01\x01\r\n", "Subject: b\r\n\r\nc\r\n"}},
	{name: "five marks' bytes", file: mark + zonedFrom + "Subject: a\n\nb\n\x01" + mark + mark + zonedFrom + "Subject: b\n\nc\n" + mark,
		texts: []string{"Subject: a\r\n\r\nb\r\n\x01\x01\x01\x01\x01\r\n", "Subject: b\r\n\r\nc\r\n"}},
	{name: "three marks", file: mark + zonedFrom + "Subject: a\n\nb\n" + mark + mark + mark + zonedFrom + "Subject: b\n\nc\n" + mark,
		texts: []string{"Subject: a\r\n\r\nb\r\n", "Subject: b\r\n\r\nc\r\n"}, kinds: []Kind{KindStraySeparator},
		differ: "it takes the third for the header of what follows"},
	{name: "two marks at the end", file: mark + zonedFrom + "Subject: a\n\nb\n" + mark + mark,
		texts: []string{"Subject: a\r\n\r\nb\r\n"}, kinds: []Kind{KindStraySeparator},
		differ: "it shows an empty message"},
	{name: "one mark alone", file: mark, kinds: []Kind{KindStraySeparator}, differ: "it shows an empty message"},
	{name: "two marks first", file: mark + mark + "Subject: x\n\ny\n" + mark,
		texts: []string{"Subject: x\r\n\r\ny\r\n"}, kinds: []Kind{KindStraySeparator},
		differ: "it takes the second for the header"},
	{name: "From_ line alone", file: mark + zonedFrom + mark, texts: []string{"\r\n"}, kinds: []Kind{KindHeaderCut}},
	{name: "text between the marks", file: mark + zonedFrom + "Subject: a\n\nb\n" + mark + "junk\n" + mark + zonedFrom + "Subject: b\n\nc\n" + mark,
		texts: []string{"Subject: a\r\n\r\nb\r\n", "junk\r\n\r\n", "Subject: b\r\n\r\nc\r\n"}, kinds: []Kind{KindHeaderCut}},
	{name: "NULs between the marks", file: mark + zonedFrom + "Subject: a\n\nb\n" + mark + strings.Repeat("\x00", 20) + mark + zonedFrom + "Subject: b\n\nc\n" + mark,
		texts: []string{"Subject: a\r\n\r\nb\r\n", "Subject: b\r\n\r\nc\r\n"}, kinds: []Kind{KindNULHole},
		differ: "it takes the NULs for a message"},
	{name: "NULs before the marks", file: mark + zonedFrom + "Subject: a\n\nb\n" + strings.Repeat("\x00", 20) + mark + mark + zonedFrom + "Subject: b\n\nc\n" + mark,
		texts: []string{"Subject: a\r\n\r\nb\r\n", "Subject: b\r\n\r\nc\r\n"}, kinds: []Kind{KindNULHole},
		differ: "it takes the NULs for text"},
	{name: "NULs in a header before a mark", file: mark + zonedFrom + "Subject: a\x00\x00" + mark + "Subject: b\n\nc\n" + mark,
		texts: []string{"Subject: a\r\n\r\n", "Subject: b\r\n\r\nc\r\n"}, kinds: []Kind{KindHeaderCut, KindNULHole},
		differ: "it takes the NULs for the end of the line"},
	{name: "NULs at the end", file: mark + zonedFrom + "Subject: a\n\nb\n" + mark + strings.Repeat("\x00", 20),
		texts: []string{"Subject: a\r\n\r\nb\r\n"}, kinds: []Kind{KindNULTail},
		differ: "it takes the NULs for a message"},
	{name: "CRs", file: mark + zonedFrom + "Subject: a\n\nb\rc\r\r\n" + mark,
		texts: []string{"Subject: a\r\n\r\nbc\r\n"}, kinds: []Kind{KindLoneCR}},
	{name: "blank lines", file: mark + zonedFrom + "Subject: a\n\nb\n\n\n" + mark + mark + zonedFrom + "Subject: b\n\n" + mark,
		texts: []string{"Subject: a\r\n\r\nb\r\n\r\n\r\n", "Subject: b\r\n\r\n"}},
	{name: "no header", file: mark + zonedFrom + "\nbody\n" + mark, texts: []string{"\r\nbody\r\n"}},
	{name: "UW's own fields", file: mark + zonedFrom + "Subject: a\nX-IMAPbase: 1054563072 9 kw\nX-UID: 4\nX-Keywords: kw\nStatus: RO\nX-Status: F\n\nb\n" + mark +
		mark + zonedFrom + "Subject: b\nX-UID: 7\n\nc\n" + mark + mark + "Subject: d\n\ne\n" + mark,
		texts: []string{"Subject: a\r\n\r\nb\r\n", "Subject: b\r\n\r\nc\r\n", "Subject: d\r\n\r\ne\r\n"}},
	{name: "pseudo-message", file: mark + pseudoHead + "X-IMAP: 1054563072 0000000009 a b" + pseudoTail + mark + mark + zonedFrom + "X-UID: 7\n\nc\n" + mark,
		texts: []string{"\r\nc\r\n"}, kinds: []Kind{KindPseudoMessage}},
}

func openMMDF(file string) func(Options) (Mailbox, error) {
	return func(o Options) (Mailbox, error) {
		return mmdfFormat.open(strings.NewReader(file), int64(len(file)), o), nil
	}
}

// asStored is what UW shows in its stable state: after a rewrite all lines have ends and
// every header a blank line.
func asStored(text string) string {
	if !strings.HasSuffix(text, "\r\n") && text != "" {
		text = strings.TrimSuffix(text, "\n") + "\r\n"
	}
	if !strings.Contains("\r\n"+text, "\r\n\r\n") {
		text += "\r\n"
	}
	return text
}

func TestMMDF(t *testing.T) {
	opts := Options{Location: newYork(t), ModTime: fileTime}
	for _, f := range mmdfFixtures {
		t.Run(f.name, func(t *testing.T) {
			if got := Recognise([]byte(f.file), int64(len(f.file))); got != FormatMMDF {
				t.Errorf("format %v", got)
			}
			res, err := collect(opts, always, openMMDF(f.file))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(res.texts, f.texts) {
				t.Errorf("%q, want %q", res.texts, f.texts)
			}
			if kinds := slices.DeleteFunc(res.kinds(), func(k Kind) bool { return k == KindSenderInternal }); !slices.Equal(kinds, f.kinds) {
				t.Errorf("findings %q, want %q", kinds, f.kinds)
			}
			checkVariants(t, f.file, mmdfDelimiter{}, opts, 16, 17, 30, 64, 1000)
		})
	}
}

// TestMMDFOffsets: the parts of a message are where they are said to be.
func TestMMDFOffsets(t *testing.T) {
	first := mark + zonedFrom + "Subject: a\n\nb\n" + mark
	file := first + "\x00\x00" + mark + "Subject: b\n\nc\n" + mark
	res, err := collect(Options{Location: time.UTC, ModTime: fileTime}, always, openMMDF(file))
	if err != nil {
		t.Fatal(err)
	}
	var got [][4]int64
	for _, m := range res.messages {
		got = append(got, [4]int64{m.Offset, m.HeaderOffset, m.BodyOffset, m.EndOffset})
	}
	header := int64(len(mark + zonedFrom))
	second := int64(len(first) + 2)
	want := [][4]int64{
		{0, header, header + int64(len("Subject: a\n\n")), int64(len(first))},
		{second, second + 5, second + 5 + int64(len("Subject: b\n\n")), int64(len(file))},
	}
	if !slices.Equal(got, want) {
		t.Errorf("offsets %v, want %v", got, want)
	}
	if m := res.messages; m[0].DateSource != FromLine || m[1].DateSource != FileTime || !m[1].Date.Equal(fileTime) {
		t.Errorf("dates %v (%v), %v (%v)", m[0].Date, m[0].DateSource, m[1].Date, m[1].DateSource)
	}
	account := res.mailbox.Account()
	if want := (Account{ReasonFromLine: int64(len(zonedFrom)), ReasonSeparator: 4 * 5, ReasonNULHole: 2, ReasonMessage: 2 * int64(len("Subject: a\n\nb\n"))}); !sameAccount(account, want) {
		t.Errorf("account %v, want %v", account, want)
	}
}

func sameAccount(a, b Account) bool {
	for _, reason := range []Reason{ReasonMessage, ReasonFromLine, ReasonInternalHeader, ReasonSeparator, ReasonNULHole, ReasonNULTail} {
		if a[reason] != b[reason] {
			return false
		}
	}
	return a.Total() == b.Total()
}

func TestMMDFNotMailbox(t *testing.T) {
	for _, file := range []string{"\n" + mark, "x", from, "\x01\x01\x01\x01"} {
		r := newReader(strings.NewReader(file), int64(len(file)), mmdfDelimiter{}, Options{}, windowSize)
		var not *NotMailboxError
		if _, err := r.Next(); !errors.As(err, &not) || r.Account().Total() != int64(len(file)) {
			t.Errorf("%q: %v, account %v", file, err, r.Account())
		}
	}
}

// TestMMDFAgainstUW holds the reader to c-client: on the fixtures, on a mailbox that
// c-client made, and on random ones.
func TestMMDFAgainstUW(t *testing.T) {
	c := cclient.New(t)
	opts := Options{Location: newYork(t), ModTime: fileTime}
	var names, files []string
	add := func(file string) {
		names, files = append(names, fmt.Sprintf("m%d", len(names))), append(files, file)
		c.Write(t, names[len(names)-1], []byte(file))
	}
	for _, f := range mmdfFixtures {
		if f.differ == "" {
			add(f.file)
		}
	}
	rnd := rand.New(rand.NewPCG(7, 0))
	for range 300 {
		add(randomMMDF(rnd))
	}
	c.Do(t, "", "create", "#driver.mmdf/made")
	c.Do(t, "Subject: x\r\n\r\nbody\r\n", "append", "made", `\Seen`, " 2-Jun-2003 10:11:12 -0400")
	c.Do(t, "Subject: y\r\n\r\nFrom \x80here\r\n\r\n", "append", "made", ``, " 2-Jun-2004 10:11:12 -0400")
	c.Do(t, "", "flag", "made", "1", `\Flagged Work`)
	names, files = append(names, "made"), append(files, string(c.File(t, "made")))

	got, said := c.Read(t, names...)
	for i, name := range names {
		if got[i].Driver != "mmdf" {
			t.Fatalf("%q: driver %q, refused %v; %s", files[i], got[i].Driver, got[i].Refused, said)
		}
		// The date of the file is that of the test here, and ours.
		res, err := collect(opts, always, openMMDF(files[i]))
		if err != nil {
			t.Fatal(err)
		}
		for n := range res.messages {
			if res.messages[n].DateSource == FileTime && n < len(got[i].Messages) {
				got[i].Messages[n].Date = time.Time{}
			}
		}
		checkUW(t, got[i], &res, asStored)
		if t.Failed() {
			t.Fatalf("mailbox %s: %q", name, files[i])
		}
	}
	if made := got[len(got)-1]; len(made.Messages) != 2 || strings.TrimSuffix(made.Messages[0].Flags, "r") != "RF" || !slices.Equal(made.Messages[0].Keywords, []string{"Work"}) {
		t.Errorf("c-client made %+v", made)
	}
}

// randomMMDF is a mailbox in which UW does nothing odd.
func randomMMDF(rnd *rand.Rand) string {
	var b strings.Builder
	headers := []string{"Subject: a\n", "Status: RO\n", "X-Status: FT\n", "X-UID: 3\n", "X-UID: 4\n", "X-UID: 8\n", "X-Keywords: b\n", "From x\n", "x\x01\n", "a: b\n c\n"}
	lines := []string{"text\n", "\n", zonedFrom, "\r\n", "\x01\x01\x01\n", "ab" + mark[:4] + " \n", "x" + mark, ">From x\n"}
	for i := range 1 + rnd.IntN(4) {
		b.WriteString(mark)
		if rnd.IntN(3) > 0 {
			b.WriteString(zonedFrom)
		} else {
			b.WriteString("Subject: x\n") // lest the message be empty
		}
		if i == 0 && rnd.IntN(2) == 0 {
			b.WriteString("X-IMAPbase: 1054563072 9 a b\n")
		}
		for range rnd.IntN(4) {
			b.WriteString(headers[rnd.IntN(len(headers))])
		}
		if rnd.IntN(5) > 0 {
			b.WriteString("\n")
			for range rnd.IntN(5) {
				b.WriteString(lines[rnd.IntN(len(lines))])
			}
		}
		if rnd.IntN(5) > 0 {
			b.WriteString(mark)
		}
	}
	return b.String()
}

// checkVariants reads a file in one large window and in windows of other sizes, with and without writing messages:
// what is found must be the same, all bytes accounted for, and what is written as Cyrus
// wants it.
func checkVariants(t testing.TB, file string, delim delimiter, opts Options, windows ...int) {
	t.Helper()
	read := func(window int, write func(int) bool) (collected, error) {
		return collect(opts, write, func(o Options) (Mailbox, error) {
			return newReader(strings.NewReader(file), int64(len(file)), delim, o, window), nil
		})
	}
	want, wantErr := read(windowSize, always)
	var not *NotMailboxError
	if wantErr != nil && !errors.As(wantErr, &not) {
		t.Errorf("%q: %v", file, wantErr)
		return
	}
	uids := map[uint32]bool{}
	for i := range want.messages {
		m := &want.messages[i]
		if uids[m.UID] || m.UID == 0 || m.UID > maxUID || m.UID > want.mailbox.LastUID() {
			t.Errorf("%q: message %d has UID %d, the last one is %d", file, i+1, m.UID, want.mailbox.LastUID())
		}
		uids[m.UID] = true
		text := want.texts[i]
		if opts.UWVersion == UW2002 {
			text = strings.ReplaceAll(strings.ReplaceAll(text, "\r", ""), "\n", "\r\n")
		}
		checkText(t, text)
		if !representable(m.Date) || m.Number != i+1 {
			t.Errorf("%q: message %d: number %d, date %v", file, i+1, m.Number, m.Date)
		}
	}
	for _, window := range windows {
		for _, write := range []func(int) bool{always, func(n int) bool { return n%2 == 0 }} {
			res, err := read(window, write)
			if (err == nil) != (wantErr == nil) || len(res.messages) != len(want.messages) {
				t.Errorf("%q, window %d: %d messages (%v), with a large window %d (%v)", file, window, len(res.messages), err, len(want.messages), wantErr)
				return
			}
			if got := res.mailbox.Account().Total(); got != int64(len(file)) {
				t.Errorf("%q, window %d: %d bytes accounted for of %d: %v", file, window, got, len(file), res.mailbox.Account())
			}
			if !slices.Equal(res.findings, want.findings) {
				t.Errorf("%q, window %d: findings %v, with a large window %v", file, window, res.findings, want.findings)
			}
			a, b := res.mailbox, want.mailbox
			if a.UIDValidity() != b.UIDValidity() || a.LastUID() != b.LastUID() || !slices.Equal(a.Keywords(), b.Keywords()) {
				t.Errorf("%q, window %d: UIDVALIDITY %d, last UID %d, keywords %q, with a large window %d, %d, %q",
					file, window, a.UIDValidity(), a.LastUID(), a.Keywords(), b.UIDValidity(), b.LastUID(), b.Keywords())
			}
			for i := range res.messages {
				x, y := res.messages[i], want.messages[i]
				same := x.UID == y.UID && x.Flags == y.Flags && x.Keywords == y.Keywords && x.Date.Equal(y.Date) && x.DateSource == y.DateSource &&
					x.Offset == y.Offset && x.HeaderOffset == y.HeaderOffset && (!write(i+1) || res.texts[i] == want.texts[i])
				if !same {
					t.Errorf("%q, window %d: message %d is %+v %q, with a large window %+v %q", file, window, i+1, x, res.texts[i], y, want.texts[i])
				}
			}
		}
	}
}

// mmdfParts are what random mailboxes in mmdf format are made of.
var mmdfParts = append([]string{mark, mark, mark, mark + mark, mark + zonedFrom, mark[:4], "x" + mark, "\x01", "\x00" + mark, mark + "\x00\x00"}, parts...)

func TestRandomMMDF(t *testing.T) {
	rnd := rand.New(rand.NewPCG(20031124, 0))
	for i := range 3000 {
		var b bytes.Buffer
		b.WriteString(mark)
		for range rnd.IntN(20) {
			b.WriteString(mmdfParts[rnd.IntN(len(mmdfParts))])
		}
		checkVariants(t, b.String(), mmdfDelimiter{}, fuzzOptions, 16+rnd.IntN(50))
		if t.Failed() {
			t.Fatalf("mailbox %d", i)
		}
	}
}

func FuzzMMDF(f *testing.F) {
	for _, x := range mmdfFixtures {
		f.Add([]byte(x.file))
	}
	f.Fuzz(func(t *testing.T, file []byte) { checkVariants(t, string(file), mmdfDelimiter{}, fuzzOptions, 16, 40) })
}
