package mbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// stretch is a file of any size that takes no memory: a beginning, a middle repeated, an
// end. It counts the bytes read.
type stretch struct {
	head, middle, tail string
	repeat             int64
	read               int64
	broken             int64 // offset from which reading fails, if not 0
}

var errBroken = errors.New("input/output error")

func (s *stretch) size() int64 {
	return int64(len(s.head)) + s.repeat*int64(len(s.middle)) + int64(len(s.tail))
}

func (s *stretch) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		pos := off + int64(n)
		if s.broken > 0 && pos >= s.broken {
			return n, errBroken
		}
		middle := pos - int64(len(s.head))
		switch tail := middle - s.repeat*int64(len(s.middle)); {
		case middle < 0:
			n += copy(b[n:], s.head[pos:])
		case tail < 0:
			n += copy(b[n:], s.middle[middle%int64(len(s.middle)):])
		case tail < int64(len(s.tail)):
			n += copy(b[n:], s.tail[tail:])
		default:
			return n, io.EOF
		}
	}
	if s.broken > 0 && off+int64(n) > s.broken {
		n = int(s.broken - off)
		err = errBroken
	}
	s.read += int64(n)
	return n, err
}

// hostileFile is a file that would take forever, or all memory, from a reader that looks
// back, looks ahead too often or holds a line.
type hostileFile struct {
	name string
	file stretch
	want int // messages; -1: many
}

const hostileBase = from + "X-IMAPbase: 5 3\nX-UID: 3\n\n"

var hostileFiles = []hostileFile{
	{"a header without end", stretch{head: from, middle: "Subject: x\n"}, 1},
	{"a header line without end", stretch{head: from + "Subject: ", middle: "xyz"}, 1},
	{"an internal line without end", stretch{head: from + "X-Keywords: ", middle: "a b ", tail: "\n\n"}, 1},
	{"a continuation without end", stretch{head: from + "X-Keywords: a\n", middle: " b\n", tail: "\n\n"}, 1},
	{"a body without end", stretch{head: from + "\n", middle: "text\n"}, 1},
	{"a line without end", stretch{head: from + "\n", middle: "xyz"}, 1},
	{"blank lines", stretch{head: from + "\n", middle: "\n"}, 1},
	{"leading white space", stretch{middle: "\n", tail: from}, 1},
	{"a From_ line without end", stretch{head: hostileBase + "From ", middle: "x "}, 1},
	{"a very long From_ line", stretch{head: hostileBase + "From ", middle: "x ", tail: "Mon Jun  2 10:11:12 2003\n\n"}, 2},
	{"a very long first From_ line", stretch{head: "From ", middle: "x ", tail: "Mon Jun  2 10:11:12 2003\n\n"}, 1},
	{"a very long host", stretch{head: hostileBase + "From a Mon Jun  2 10:11:12 2003 remote from ", middle: "h", tail: "\n\n"}, 2},
	{"lookalikes", stretch{head: hostileBase, middle: "From \n"}, 1},
	{"long lookalikes", stretch{head: hostileBase, middle: "From " + strings.Repeat("x", 1<<20) + "\n"}, 1},
	{"lookalikes in a header", stretch{head: from, middle: "From \n"}, 1},
	{"long lookalikes in a header", stretch{head: from, middle: "From " + strings.Repeat("x", 1<<20) + "\n"}, 1},
	{"lookalikes without LF", stretch{head: hostileBase, middle: "From "}, 1},
	{"NULs in a body", stretch{head: hostileBase, middle: "\x00", tail: "x"}, 1},
	{"NUL holes in a body", stretch{head: hostileBase, middle: "\n\x00"}, 1},
	{"NUL holes and lookalikes", stretch{head: hostileBase, middle: "\n\x00From "}, 1},
	{"a NUL hole", stretch{head: hostileBase, middle: "\x00", tail: from + "\n"}, 2},
	{"NULs in a header", stretch{head: from, middle: "\x00", tail: "x"}, 1},
	{"NULs and lookalikes in a header", stretch{head: from, middle: "\x00From x"}, 1},
	{"NULs and lines in a header", stretch{head: from, middle: "a: \x00\x00b\n"}, 1},
	{"NULs and internal headers", stretch{head: from, middle: "a: \x00\x00Status: R\n"}, 1},
	{"a NUL hole in a header", stretch{head: from + "Subject: only", middle: "\x00", tail: from + "\n"}, 2},
	{"a NUL tail", stretch{head: hostileBase, middle: "\x00"}, 1},
	{"small messages", stretch{head: hostileBase, middle: from + "\nx\n\n"}, -1},
	{"empty messages", stretch{head: hostileBase, middle: from + "\n"}, -1},
	{"UIDs that need a count", stretch{head: hostileBase, middle: from + "X-UID: 4000000\n\nx\n\n"}, -1},
	{"UIDs near the end", stretch{head: from + "X-IMAPbase: 5 4294967000\n\n", middle: from + "\nx\n\n"}, -1},
	{"a kept first message", stretch{head: from + "X-IMAP: 5 3\n\n", middle: from + "X-UID: 7\n\nx\n\n"}, -1},
	{"double CRs", stretch{head: strings.TrimSuffix(from, "\n") + "\r\r\n", middle: "x\r\r\n"}, 1},
	{"CRs", stretch{head: hostileBase, middle: "\r"}, 1},
	{"X-UID lines", stretch{head: from + "X-IMAPbase: 5 3\n", middle: "X-UID: 3\n"}, 1},
	{"X-UID lines that rise", stretch{head: from + "X-IMAPbase: 5 3\n\n", middle: from + "X-UID: 4\nX-UID: 5\n\n"}, -1},
	{"X-IMAPbase lines", stretch{head: from + "X-IMAPbase: 5 3\n", middle: "X-IMAPbase: 5 9 a b\nX-IMAP: 6 9 c\n"}, 1},
	{"keywords in a list", stretch{head: from + "X-IMAPbase: 5 3 " + namesUpTo("k", 30) + "\nX-Keywords:", middle: " z k30"}, 1},
	{"X-Keywords lines", stretch{head: from + "X-IMAPbase: 5 3 a b\n", middle: "X-Keywords: a\tb x\n\tc\n"}, 1},
	{"looking back for remote from", stretch{head: hostileBase, middle: "From a remote from remote from remote from b\n"}, 1},
	{"one line of remote from", stretch{head: hostileBase + "From a", middle: " remote from", tail: " b\n"}, 1},
	{"lines of a megabyte", stretch{head: hostileBase, middle: strings.Repeat("x", 1<<20) + "\nFrom "}, 1},
	{"From_ lines without a date", stretch{head: hostileBase, middle: "From what I see the car was at 10:30 here\n"}, -1},
	{"From_ lines without a date in a header", stretch{head: from + "a: b\n", middle: "From what I see the car was at 10:30 here\n"}, 1},
	{"quoted From lines", stretch{head: hostileBase, middle: ">From \n"}, 1},
	{"X-Mozilla-Status lines", stretch{head: from, middle: "X-Mozilla-Status: 0001\n"}, 1},
	{"dates as others write them", stretch{head: hostileBase, middle: "From a Wed Dec 2 05:53:22 CEST 92\n"}, 1},
}

// hostileMMDF are the same in mmdf format.
var hostileMMDF = []hostileFile{
	{"separators", stretch{middle: mark}, 0},
	{"separators and a message", stretch{middle: mark, tail: "\n"}, 1},
	{"small messages", stretch{middle: mark + "x\n"}, -1},
	{"small messages, three marks", stretch{middle: mark + mark + mark + "x\n"}, -1},
	{"NULs between marks", stretch{head: mark + "\n" + mark, middle: "\x00", tail: mark + "\n"}, 2},
	{"NULs after a mark", stretch{head: mark, middle: "\x00", tail: "x\n\ny\n"}, 1},
	{"NULs and marks", stretch{head: mark + "\n", middle: "\x00" + mark}, -1},
	{"lines and NULs", stretch{head: mark + "\n", middle: "\n\x00"}, 1},
	{"half marks", stretch{head: mark + "\n", middle: "\x01\x01\x01\n"}, 1},
	{"half marks in a header", stretch{head: mark + "a: b\n", middle: "\x01\x01\x01\x01\x01"}, 1},
	{"marks after one byte", stretch{head: mark + "\n", middle: "x" + mark}, 1},
	{"long From_ lines", stretch{head: mark, middle: "From " + strings.Repeat("x", 1<<20) + "\n" + mark}, -1},
	{"a line without end", stretch{head: mark, middle: "xyz"}, 1},
	{"blank lines", stretch{head: mark + "\n", middle: "\n"}, 1},
}

// TestHostileFiles: the time is linear, which the bytes read tell.
func TestHostileFiles(t *testing.T) {
	const size = 12 << 20
	for _, c := range hostileFiles {
		t.Run(c.name, func(t *testing.T) {
			f := c.file
			f.repeat = size / int64(len(f.middle))
			checkHostile(t, &f, NewReader(&f, f.size(), Options{Findings: func(Finding) {}}), c.want, 4)
		})
	}
}

// TestHostileMMDF is the same for mmdf format.
func TestHostileMMDF(t *testing.T) {
	const size = 4 << 20
	for _, c := range hostileMMDF {
		t.Run(c.name, func(t *testing.T) {
			f := c.file
			f.repeat = size / int64(len(f.middle))
			checkHostile(t, &f, newReader(&f, f.size(), mmdfDelimiter{}, Options{Findings: func(Finding) {}}, windowSize), c.want, 4)
		})
	}
}

// TestHostileRepairs is the same with all repairs, which read the file once in advance;
// that may count its messages, and the greatest UID, twice.
func TestHostileRepairs(t *testing.T) {
	const size = 2 << 20
	for _, delim := range []delimiter{unixDelimiter{}, mmdfDelimiter{}} {
		files := hostileFiles
		if delim == (mmdfDelimiter{}) {
			files = hostileMMDF
		}
		for _, c := range files {
			t.Run(c.name, func(t *testing.T) {
				f := c.file
				f.repeat = size / int64(len(f.middle))
				opts := Options{Findings: func(Finding) {}, Repairs: endOfRepairs - 1}
				checkHostile(t, &f, newReader(&f, f.size(), delim, opts, windowSize), -1, 10)
			})
		}
	}
}

// TestHostileOrder: messages whose UIDs fall, so that each is before the one read last.
func TestHostileOrder(t *testing.T) {
	const messages = 60000
	var b strings.Builder
	b.WriteString(from + "X-IMAPbase: 5 100000\n\n")
	for i := range messages {
		fmt.Fprintf(&b, "%sX-UID: %d\n\nx\n\n", from, messages-i)
	}
	f := stretch{head: b.String()}
	checkHostile(t, &f, NewReader(&f, f.size(), Options{Repairs: RepairUIDs}), messages+1, 6)
}

// checkHostile reads a mailbox that is f to its end: want messages (-1: any number), every
// byte accounted for, at most so many times the size read.
func checkHostile(t *testing.T, f *stretch, r Mailbox, want int, times int64) {
	t.Helper()
	n, start := 0, time.Now()
	eachMessage(t, r, func(m *Message) error {
		n++
		return discard(m)
	})
	if want >= 0 && n != want {
		t.Errorf("%d messages, want %d", n, want)
	}
	if r.Account().Total() != f.size() {
		t.Errorf("%d bytes accounted for, the file has %d", r.Account().Total(), f.size())
	}
	if f.read > times*f.size() {
		t.Errorf("read %d bytes of a file of %d", f.read, f.size())
	}
	// Time is no measure on a busy machine; this is a hundred times what it takes, and a
	// thousandth of what a quadratic reader does.
	if d := time.Since(start); d > time.Minute {
		t.Errorf("took %v", d)
	}
}

// TestConstantMemory reads a message of half a gigabyte.
func TestConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("half a gigabyte")
	}
	f := stretch{head: from + "\n", middle: strings.Repeat("0123456789abcdef", 64) + "\n", repeat: 500 << 10}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := NewReader(&f, f.size(), Options{})
	m, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteTo(io.Discard); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("allocated %d bytes", n)
	}
}

// TestReadErrors: a source that fails or is too short is never taken for an end.
func TestReadErrors(t *testing.T) {
	file := stretch{head: from + "Subject: x\n\n", middle: "text\n", tail: "\n" + from + "\nb\n\n", repeat: 1000}
	for broken := int64(1); broken < file.size(); broken += 97 {
		for _, short := range []bool{false, true} {
			var src io.ReaderAt
			f := file
			f.broken = broken
			src = &f
			want := errBroken
			if short {
				all := make([]byte, broken)
				if _, err := (&stretch{head: file.head, middle: file.middle, tail: file.tail, repeat: file.repeat}).ReadAt(all, 0); err != nil {
					t.Fatal(err)
				}
				src, want = bytes.NewReader(all), io.ErrUnexpectedEOF
			}
			r := newReader(src, file.size(), unixDelimiter{}, Options{}, 256)
			var err error
			for err == nil {
				var m *Message
				if m, err = r.Next(); err == nil && broken%2 == 0 {
					_, err = m.WriteTo(io.Discard)
				}
			}
			if !errors.Is(err, want) || !strings.Contains(err.Error(), "offset") {
				t.Fatalf("broken at %d, short %v: %v", broken, short, err)
			}
			if _, again := r.Next(); again == nil || errors.Is(again, io.EOF) {
				t.Fatalf("broken at %d: then %v", broken, again)
			}
		}
	}
}

type failingWriter struct{ left int }

var errFull = errors.New("no space left on device")

func (w *failingWriter) Write(b []byte) (int, error) {
	n := min(len(b), w.left)
	w.left -= n
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}

// TestWriteErrors: an error of the writer is returned, and the next message can be read.
func TestWriteErrors(t *testing.T) {
	file := stretch{head: from + "Subject: x\n\n", middle: "text\n", tail: "\n" + from + "\nb\n\n", repeat: 1000}
	for _, left := range []int{0, 1, 3000} {
		r := newReader(&file, file.size(), unixDelimiter{}, Options{}, 256)
		m, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		n, err := m.WriteTo(&failingWriter{left})
		if !errors.Is(err, errFull) || n != int64(left) {
			t.Errorf("wrote %d bytes, %v; want %d and %v", n, err, left, errFull)
		}
		if _, err := m.WriteTo(io.Discard); err == nil {
			t.Error("a message could be written twice")
		}
		m, err = r.Next()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil || b.String() != "\r\nb\r\n" {
			t.Errorf("the next message is %q, %v", b.String(), err)
		}
		if _, err := r.Next(); err != io.EOF || r.Account().Total() != file.size() {
			t.Errorf("at the end %v, %d bytes of %d", err, r.Account().Total(), file.size())
		}
	}
}

// countingWriter counts calls.
type countingWriter struct{ calls int }

func (w *countingWriter) Write(b []byte) (int, error) { w.calls++; return len(b), nil }

func TestOneWriteAMessage(t *testing.T) {
	file := stretch{middle: from + "Subject: x\n\n" + strings.Repeat(strings.Repeat("x", 70)+"\n", 12000), repeat: 3}
	r := NewReader(&file, file.size(), Options{})
	for {
		m, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		var w countingWriter
		if n, err := m.WriteTo(&w); err != nil || w.calls != 1 {
			t.Errorf("%d bytes in %d writes, %v", n, w.calls, err)
		}
	}
}

// ofSize is a text of n bytes as it is in a file, with lines of so many bytes, which UW sends
// with size bytes.
func ofSize(size, line int) string {
	lines := size / (line + 2)
	return strings.Repeat(strings.Repeat("x", line)+"\n", lines) + strings.Repeat("y", size-lines*(line+2))
}

// TestWrittenAtOnce: a message of up to WrittenAtOnce bytes goes out with one Write, whatever
// its lines and its format.
func TestWrittenAtOnce(t *testing.T) {
	const head = "Subject: x\n\n"
	for _, line := range []int{0, 1, 76, 1 << 12, 1 << 20} {
		for _, size := range []int{WrittenAtOnce, WrittenAtOnce - 1, WrittenAtOnce - 2, WrittenAtOnce - 1000, WrittenAtOnce - 3000} {
			body := ofSize(size-len("Subject: x\r\n\r\n")-2, line) + "\n"
			stored := strings.ReplaceAll(head+body, "\n", "\r\n")
			unix, mmdf := from+head+body, "\x01\x01\x01\x01\n"+head+body+"\x01\x01\x01\x01\n"
			record := mtxRec("000000000020", stored)
			for name, r := range map[string]Mailbox{
				"unix":     NewReader(strings.NewReader(unix), int64(len(unix)), Options{}),
				"unix2002": NewReader(strings.NewReader(unix), int64(len(unix)), Options{UWVersion: UW2002}),
				"in many":  NewReader(strings.NewReader(unix+unix), int64(2*len(unix)), Options{}),
				"mmdf":     newReader(strings.NewReader(mmdf), int64(len(mmdf)), mmdfDelimiter{}, Options{}, windowSize),
				"mtx":      newRecordReader(&mtxRecords, strings.NewReader(record), int64(len(record)), Options{}, windowSize),
			} {
				m, err := r.Next()
				if err != nil {
					t.Fatal(name, err)
				}
				var w countingWriter
				// A blank line at the end is the separator's in unix format.
				if n, err := m.WriteTo(&w); err != nil || n != int64(size) && n != int64(size)-2 || w.calls != 1 {
					t.Errorf("%s: %d of %d bytes with lines of %d in %d calls, %v", name, n, size, line, w.calls, err)
				}
			}
			for _, text := range []string{head + body, stored} {
				m, s := &Message{}, storedText{lf: true, find: func(Finding) {}, account: Account{}}
				if err := s.begin(strings.NewReader(text), m, 0, 0, int64(len(text))); err != nil {
					t.Fatal(err)
				}
				var w countingWriter
				if n, err := m.WriteTo(&w); err != nil || n != int64(size) || w.calls != 1 {
					t.Errorf("mh or mix: %d of %d bytes with lines of %d in %d calls, %v", n, size, line, w.calls, err)
				}
			}
		}
	}
}

// TestNoAllocations: an ordinary message costs none.
func TestNoAllocations(t *testing.T) {
	message := from + "From: a@example.com\nTo: b@example.com\nSubject: x\nStatus: RO\nX-Status: \nX-Keywords: a       \nX-UID: 5\n\n" + strings.Repeat("text\n", 100) + "\n"
	file := stretch{head: from + "X-IMAPbase: 5 9 a\n\n\n", middle: strings.Replace(message, "X-UID: 5\n", "", 1), repeat: 2000}
	r := NewReader(&file, file.size(), Options{Location: newYork(t)})
	read := func() {
		m, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.WriteTo(io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	read()
	read()
	if n := testing.AllocsPerRun(1000, read); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}

// TestGoMboxLongLines holds the prediction to go-mbox where its 64 KiB pieces matter.
func TestGoMboxLongLines(t *testing.T) {
	const piece = goMboxPiece
	pad := func(n int) string { return strings.Repeat("x", n) }
	date := " Mon Jun  2 10:11:12 2003\n"
	for _, line := range []string{
		"From " + pad(piece-5) + "From " + pad(piece-5) + "From x" + date,
		"From " + pad(piece-5) + "From " + pad(piece-5) + "no From " + pad(piece-8) + "From " + date,
		"From " + pad(piece-6) + "\rFrom x" + date,
		"From " + pad(piece-6) + "\r" + "From " + pad(piece-6) + "From x\n",
		"From " + pad(piece-5) + "\n",
		"From " + pad(piece-5) + "\r\n",
		"From " + pad(piece-6) + "\r\n",
		"From " + pad(piece-6) + "\n",
		"From " + pad(piece-5) + "From ",
		"From " + pad(piece-5) + "\x00From x\n",
		"From " + pad(piece-5) + "From \x00\n",
		"x" + pad(piece-1) + "From x" + date,
		"\n" + pad(piece) + "From x" + date,
	} {
		for _, file := range []string{line, from + line, from + "\n" + line, from + "\n\n" + line + from, line + line, from + line + line, from + "\n" + line + "\n" + line, "\r\n\n" + from + line} {
			for _, window := range []int{100, 70000, windowSize} {
				checkReader(t, []byte(file), window)
				if t.Failed() {
					t.Fatalf("window %d, file %.20q of %d bytes", window, file, len(file))
				}
			}
		}
	}
}
