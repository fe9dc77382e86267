package mbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"mbox2cyrus/internal/cclient"
)

// TestRecordsWrittenByUW reads what c-client wrote: messages of odd forms with flags,
// keywords and dates, some of them expunged, and what mailutil copies from a unix mailbox.
func TestRecordsWrittenByUW(t *testing.T) {
	c := cclient.New(t)
	c.Write(t, ".mminit", []byte("set keywords Work, Play\n"))
	c.Write(t, "unix", []byte(fixtures[3].file))
	for format := range recordFormats {
		t.Run(string(format), func(t *testing.T) {
			name := string(format)
			made := "#driver." + name + "/" + name
			c.Do(t, "", "create", made)
			for i, text := range []string{
				recText, "no header end", "\r\nbody\r\n", "Subject: gone\r\n\r\n", "Status: R\r\nX-UID: 9\r\n\r\na\rb\r\n\r\n", strings.Repeat("x", 100000) + "\r\n\r\n", "Subject: y\r\n\r\n" + recDate + ",7;000000000000\r\n",
			} {
				c.Do(t, text, "append", made, []string{`\Seen Work`, `\Answered`, `\Draft \Flagged Play`}[i%3], fmt.Sprintf("%2d-Jun-2003 10:11:12 %+05d", i+1, 130*i-400))
			}
			c.Do(t, "", "flag", name, "1:3", `\Answered Play`)
			c.Do(t, "", "flag", name, "4", `\Deleted`)
			c.Do(t, "", "expunge", name)
			c.Mailutil(t, "append", "unix", name)
			file := string(c.File(t, name))
			if got := Recognise([]byte(file)[:min(len(file), 4096)], int64(len(file))); got != format {
				t.Fatalf("format %v", got)
			}
			got, said := c.Read(t, name)
			if got[0].Driver != name || len(got[0].Messages) < 6 || said != "" {
				t.Fatalf("c-client has %d messages in %s format; %s", len(got[0].Messages), got[0].Driver, said)
			}
			res := readRecords(t, format, file, windowSize, always)
			checkUW(t, got[0], &res, nil)
			if len(res.findings) > 0 {
				t.Errorf("findings %v", res.findings)
			}
			checkRecords(t, format, file, 300)
		})
	}
}

// TestRecordDates asks c-client about the dates that a record can have.
func TestRecordDates(t *testing.T) {
	c := cclient.New(t)
	dates := []string{
		" 2-Jun-2003 10:11:12 -0400", "2-Jun-2003 10:11:12 -0400", "02-JUN-03 10:11:12-PDT", " 2-jun-48 0:1:60 EST", " 2-Jun-1999 10:11 JST",
		"12-Jun-70 10:11:12 +1559", "12-Jun-2097 10:11:12 UT", "12-Jun-2003 10:11:12 +04000", "12-Jun-2003 10:11:12 0430", "12-June-2003 10:11:12 +0000",
		"12 Jun 2003 10:11:12 +0000", "12-Jun-103 10:11:12 GMT", "+12-Jun-2003 10:11:12 Z", "\t12-Jun-2003 10:11:x +0100", "12-Jun-2003 10:11:12 +01",
		// none for UW
		"0-Jun-2003 10:11:12 -0400", "32-Jun-2003 10:11:12 -0400", "2-Foo-2003 10:11:12 +0000", "2-Jun-2098 10:11:12 +0000", "2-Jun-1969 10:11:12 +0000", "2-Jun-49 10:11:12 +0000x",
		"2-Jun-2003 24:11:12 -0400", "2-Jun-2003 10:60:12 -0400", "2-Jun-2003 10:11:61 -0400", "2-Jun-2003x10:11:12 -0400", "2-Jun 2003 10:11:12 -0400",
		"-2-Jun-2003 10:11:12 -0400", "2-Jun-2003 10-11-12 -0400", "2-Ju", "2-Jun-", "2-Jun2003 10:11:12 +0000", "2-Junius",
	}
	names := make([]string, len(dates))
	for i, date := range dates {
		names[i] = fmt.Sprintf("date%d", i)
		c.Write(t, names[i], []byte(mbxFile(h0, "", date+",20;000000000010-00000002\r\n"+recText)))
	}
	got, _ := c.Read(t, names...)
	for i, date := range dates {
		s, ok := parseRecordDate([]byte(date))
		if ok == got[i].Refused {
			t.Errorf("%q is a date: %v, c-client refuses it: %v", date, ok, got[i].Refused)
			continue
		}
		if !ok {
			continue
		}
		want := got[i].Messages[0].Date
		if want.IsZero() {
			continue // package time does not know the second 60
		}
		// The zone of the host in November is not that in June, so UW's is not ours.
		if at, source, _ := s.time(newYork(t)); !at.Equal(want) && source != FromLineLocal {
			t.Errorf("%q is %v, c-client has %v", date, at, want)
		}
	}
}

// TestHostileRecords reads files that would take for ever, or all memory, from a reader
// that looks ahead too often or holds a message.
func TestHostileRecords(t *testing.T) {
	const size = 12 << 20
	line := func(n int64) string { return fmt.Sprintf("%s,%d;000000000010-00000000\r\n", recDate, n) }
	head := mbxFile(h0, "")
	for _, c := range []struct {
		name string
		file stretch
		want int // messages
	}{
		{"a message without end", stretch{head: head + line(1<<40), middle: "text\r\n"}, 1},
		{"a header without end", stretch{head: head + line(1<<40), middle: "xyz"}, 1},
		{"blank messages", stretch{head: head, middle: line(0)}, -1},
		{"small messages", stretch{head: head, middle: line(2) + "\r\n"}, -1},
		{"expunged messages", stretch{head: head, middle: recDate + ",2;000000008010-00000000\r\n\r\n"}, 0},
		{"nothing but damage", stretch{head: head, middle: "xyz"}, 0},
		{"nothing but NULs", stretch{head: head, middle: "\x00"}, 0},
		{"nothing but semicolons", stretch{head: head, middle: ";"}, 0},
		{"flags without dates", stretch{head: head, middle: ",22;000000000010-00000000\r\n"}, 0},
		{"digits without end", stretch{head: head, middle: "0"}, 0},
		{"records that lead nowhere", stretch{head: head + "x", middle: line(70)}, 1}, // the last, cut short
		{"records that run past the end", stretch{head: head + "x", middle: line(1 << 40)}, -1},
		{"records that run past the end, none before", stretch{head: head, middle: line(1 << 40)}, -1},
		{"records that lead far", stretch{head: head + "x", middle: line(5 << 20)}, -1},
		{"a long message of records that lead nowhere", stretch{head: head + line(11<<20), middle: line(70)}, -1},
		{"damage between messages", stretch{head: head, middle: line(2) + "\r\n" + line(2) + "\r\n;junk"}, -1},
		{"dates", stretch{head: head, middle: recDate}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.file
			f.repeat = size / int64(len(f.middle))
			r := newRecordReader(&mbxRecords, &f, f.size(), Options{Findings: func(Finding) {}}, windowSize)
			// Every line may make the reader look at maxChain others.
			checkHostile(t, &f, r, c.want, 4+maxChain)
		})
	}
}

// bigRecord is a mailbox with one message of that many times 1025 bytes.
func bigRecord(times int64) stretch {
	middle := strings.Repeat("0123456789abcdef", 64) + "\n"
	return stretch{head: mbxFile(h0, "") + fmt.Sprintf("%s,%d;000000000010-00000002\r\n", recDate, times*int64(len(middle))), middle: middle, repeat: times}
}

// TestRecordsConstantMemory reads a message of half a gigabyte.
func TestRecordsConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("half a gigabyte")
	}
	f := bigRecord(500 << 10)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := newRecordReader(&mbxRecords, &f, f.size(), Options{}, windowSize)
	m, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := m.WriteTo(io.Discard); err != nil || n != m.EndOffset-m.HeaderOffset+f.repeat {
		t.Fatalf("wrote %d bytes, %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 5<<20 {
		t.Errorf("allocated %d bytes", n)
	}
}

// TestRecordsOneWrite: a record of up to 1 MiB goes out with one Write.
func TestRecordsOneWrite(t *testing.T) {
	for _, c := range []struct {
		bytes, calls int
	}{{1, 1}, {outputSize - 1, 1}, {outputSize, 1}, {outputSize + 1, 2}} {
		text := strings.Repeat("x", c.bytes)
		file := mtxRec("000000000020", text) + mtxRec("000000000020", text)
		r := newRecordReader(&mtxRecords, strings.NewReader(file), int64(len(file)), Options{}, windowSize)
		for range 2 {
			m, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			var w countingWriter
			if n, err := m.WriteTo(&w); err != nil || n != int64(c.bytes) || w.calls != c.calls {
				t.Errorf("%d bytes, wrote %d in %d calls, %v", c.bytes, n, w.calls, err)
			}
		}
	}
}

// TestRecordsNoAllocations: an ordinary message costs none.
func TestRecordsNoAllocations(t *testing.T) {
	f := stretch{head: mbxFile(h0, h0Words), middle: mbxRec("000000010010-00000000", "From: a\r\nTo: b\r\nSubject: x\r\n\r\n"+strings.Repeat("text\r\n", 100)), repeat: 2000}
	r := newRecordReader(&mbxRecords, &f, f.size(), Options{Location: newYork(t)}, windowSize)
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
	if n := testing.AllocsPerRun(1000, read); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}

// TestRecordErrors: a source that fails or is too short is never taken for an end.
func TestRecordErrors(t *testing.T) {
	text := "Subject: x\r\n\r\n" + strings.Repeat("text\r\n", 50)
	whole := mbxFile(h0, "", mbxRec("000000000010-00000002", text), "junk", mbxRec("000000008010-00000003", text), mbxRec("000000000010-00000004", text))
	size := int64(len(whole))
	for broken := int64(1); broken < size; broken += 7 {
		for _, short := range []bool{false, true} {
			var src io.ReaderAt = &stretch{head: whole, middle: "x", broken: broken}
			want := errBroken
			if short {
				src, want = bytes.NewReader([]byte(whole)[:broken]), io.ErrUnexpectedEOF
			}
			r := newRecordReader(&mbxRecords, src, size, Options{}, 256)
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

// TestRecordWriteErrors: an error of the writer is returned, and the next message can be
// read.
func TestRecordWriteErrors(t *testing.T) {
	file := mtxRec("000000000020", "a: b\r\n\r\n"+strings.Repeat("text\r\n", 1000)) + mtxRec("000000000020", recText)
	for _, left := range []int{0, 1, 3000} {
		r := newRecordReader(&mtxRecords, strings.NewReader(file), int64(len(file)), Options{}, 256)
		m, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := m.WriteTo(&failingWriter{left}); !errors.Is(err, errFull) || n != int64(left) {
			t.Errorf("wrote %d bytes, %v; want %d and %v", n, err, left, errFull)
		}
		if _, err := m.WriteTo(io.Discard); err == nil {
			t.Error("a message could be written twice")
		}
		first := *m
		if m, err = r.Next(); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil || b.String() != recText {
			t.Errorf("the next message is %q, %v", b.String(), err)
		}
		if _, err := r.Next(); err != io.EOF || r.Account().Total() != int64(len(file)) {
			t.Errorf("at the end %v, %d bytes of %d", err, r.Account().Total(), len(file))
		}
		first.written = false
		if _, err := first.WriteTo(io.Discard); err == nil {
			t.Error("a message that was passed could be written")
		}
	}
}

// BenchmarkRecords reads and writes messages of a few kilobytes.
func BenchmarkRecords(b *testing.B) {
	text := "From: a\r\nTo: b\r\nSubject: x\r\n\r\n" + strings.Repeat("a line of text as mail has many of\r\n", 100)
	file := mbxFile("3edb6d2000000000", h0Words) + strings.Repeat(mbxRec("000000010010-00000000", text), 4000)
	tenex := strings.Repeat(tenexRec("000000000020", strings.ReplaceAll(text, "\r\n", "\n")), 4000)
	for _, c := range []struct {
		format *recordFormat
		name   string
		file   string
	}{{&mbxRecords, "mbx", file}, {&tenexRecords, "tenex", tenex}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.file)))
			for b.Loop() {
				eachMessage(b, newRecordReader(c.format, strings.NewReader(c.file), int64(len(c.file)), Options{}, windowSize), discard)
			}
		})
	}
}
