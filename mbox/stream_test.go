package mbox

import (
	"bytes"
	"errors"
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

// TestHostileFiles reads files that would take forever, or all memory, from a reader that
// looks back, looks ahead too often or holds a line.
func TestHostileFiles(t *testing.T) {
	const size = 12 << 20
	base := from + "X-IMAPbase: 5 3\nX-UID: 3\n\n"
	for _, c := range []struct {
		name string
		file stretch
		want int // messages
	}{
		{"a header without end", stretch{head: from, middle: "Subject: x\n"}, 1},
		{"a header line without end", stretch{head: from + "Subject: ", middle: "xyz"}, 1},
		{"an internal line without end", stretch{head: from + "X-Keywords: ", middle: "a b ", tail: "\n\n"}, 1},
		{"a continuation without end", stretch{head: from + "X-Keywords: a\n", middle: " b\n", tail: "\n\n"}, 1},
		{"a body without end", stretch{head: from + "\n", middle: "text\n"}, 1},
		{"a line without end", stretch{head: from + "\n", middle: "xyz"}, 1},
		{"blank lines", stretch{head: from + "\n", middle: "\n"}, 1},
		{"leading white space", stretch{middle: "\n", tail: from}, 1},
		{"a From_ line without end", stretch{head: base + "From ", middle: "x "}, 1},
		{"a very long From_ line", stretch{head: base + "From ", middle: "x ", tail: "Mon Jun  2 10:11:12 2003\n\n"}, 2},
		{"a very long first From_ line", stretch{head: "From ", middle: "x ", tail: "Mon Jun  2 10:11:12 2003\n\n"}, 1},
		{"a very long host", stretch{head: base + "From a Mon Jun  2 10:11:12 2003 remote from ", middle: "h", tail: "\n\n"}, 2},
		{"lookalikes", stretch{head: base, middle: "From \n"}, 1},
		{"long lookalikes", stretch{head: base, middle: "From " + strings.Repeat("x", 1<<20) + "\n"}, 1},
		{"lookalikes in a header", stretch{head: from, middle: "From \n"}, 1},
		{"long lookalikes in a header", stretch{head: from, middle: "From " + strings.Repeat("x", 1<<20) + "\n"}, 1},
		{"lookalikes without LF", stretch{head: base, middle: "From "}, 1},
		{"NULs in a body", stretch{head: base, middle: "\x00", tail: "x"}, 1},
		{"NUL holes in a body", stretch{head: base, middle: "\n\x00"}, 1},
		{"NUL holes and lookalikes", stretch{head: base, middle: "\n\x00From "}, 1},
		{"a NUL hole", stretch{head: base, middle: "\x00", tail: from + "\n"}, 2},
		{"NULs in a header", stretch{head: from, middle: "\x00", tail: "x"}, 1},
		{"NULs and lookalikes in a header", stretch{head: from, middle: "\x00From x"}, 1},
		{"NULs and lines in a header", stretch{head: from, middle: "a: \x00\x00b\n"}, 1},
		{"NULs and internal headers", stretch{head: from, middle: "a: \x00\x00Status: R\n"}, 1},
		{"a NUL hole in a header", stretch{head: from + "Subject: only", middle: "\x00", tail: from + "\n"}, 2},
		{"a NUL tail", stretch{head: base, middle: "\x00"}, 1},
		{"small messages", stretch{head: base, middle: from + "\nx\n\n"}, -1},
		{"empty messages", stretch{head: base, middle: from + "\n"}, -1},
		{"UIDs that need a count", stretch{head: base, middle: from + "X-UID: 4000000\n\nx\n\n"}, -1},
		{"UIDs near the end", stretch{head: from + "X-IMAPbase: 5 4294967000\n\n", middle: from + "\nx\n\n"}, -1},
		{"a kept first message", stretch{head: from + "X-IMAP: 5 3\n\n", middle: from + "X-UID: 7\n\nx\n\n"}, -1},
		{"double CRs", stretch{head: strings.TrimSuffix(from, "\n") + "\r\r\n", middle: "x\r\r\n"}, 1},
		{"CRs", stretch{head: base, middle: "\r"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.file
			f.repeat = size / int64(len(f.middle))
			checkHostile(t, &f, c.want)
		})
	}
}

func checkHostile(t *testing.T, f *stretch, want int) {
	r := NewReader(f, f.size(), Options{Findings: func(Finding) {}})
	n, start := 0, time.Now()
	for {
		m, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.WriteTo(io.Discard); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if want >= 0 && n != want {
		t.Errorf("%d messages, want %d", n, want)
	}
	if r.Account().Total() != f.size() {
		t.Errorf("%d bytes accounted for, the file has %d", r.Account().Total(), f.size())
	}
	if f.read > 4*f.size() {
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
