package mbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// badDisk gives EIO where a block is bad, and what precedes it, as the kernel does. It
// counts how often a bad block was tried.
type badDisk struct {
	data  []byte
	bad   []int64 // numbers of blocks
	tries int
}

func (d *badDisk) ReadAt(p []byte, off int64) (int, error) {
	end := off + int64(len(p))
	for _, b := range d.bad {
		if from := b * badBlockSize; from < end && off < from+badBlockSize {
			end = max(off, from)
		}
	}
	if end < off+int64(len(p)) && end < int64(len(d.data)) {
		d.tries++
		return copy(p, d.data[min(off, end):end]), &os.PathError{Op: "read", Path: "x", Err: unix.EIO}
	}
	return bytes.NewReader(d.data).ReadAt(p, off)
}

// spans are the bytes that the disk does not give.
func (d *badDisk) spans() []span {
	b := &badBlocks{}
	for _, n := range d.bad {
		if from := n * badBlockSize; from < int64(len(d.data)) {
			if err := b.add(from); err != nil {
				panic(err)
			}
		}
	}
	return b.within(0, int64(len(d.data)))
}

// openers are how the formats that are one file are read.
var openers = map[Format]func(src io.ReaderAt, size int64, opts Options, window int) Mailbox{
	FormatUnix: func(src io.ReaderAt, size int64, opts Options, window int) Mailbox {
		return newReader(src, size, unixDelimiter{}, opts, window)
	},
	FormatMMDF: func(src io.ReaderAt, size int64, opts Options, window int) Mailbox {
		return newReader(src, size, mmdfDelimiter{}, opts, window)
	},
	FormatMBX: func(src io.ReaderAt, size int64, opts Options, window int) Mailbox {
		return newRecordReader(&mbxRecords, src, size, opts, window)
	},
	FormatTenex: func(src io.ReaderAt, size int64, opts Options, window int) Mailbox {
		return newRecordReader(&tenexRecords, src, size, opts, window)
	},
}

func readOff(t *testing.T, disk *badDisk, format Format, window int, write func(int) bool) collected {
	t.Helper()
	res, err := collect(fuzzOptions, write, func(o Options) (Mailbox, error) {
		return openers[format](disk, int64(len(disk.data)), o, window), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// checkHoles reads a file with and without bad blocks and returns the numbers, in the file
// as it was, of the messages that were delivered all the same. Each is, byte for byte, one
// that the whole file has; each that touches no bad block is there; and every byte is
// accounted for.
func checkHoles(t *testing.T, file string, format Format, window int, bad ...int64) (delivered []int) {
	t.Helper()
	whole := readOff(t, &badDisk{data: []byte(file)}, format, window, always)
	disk := &badDisk{data: []byte(file), bad: bad}
	res := readOff(t, disk, format, window, always)
	holes := disk.spans()
	account := res.mailbox.Account()
	if account.Total() != int64(len(file)) || account[ReasonUnreadable] != sum(holes) {
		t.Errorf("%d bytes of %d are accounted for, %d of %d unreadable ones: %v", account.Total(), len(file), account[ReasonUnreadable], sum(holes), account)
	}
	checkDamage(t, account, res.findings)
	for _, f := range res.findings {
		if f.Kind == KindUnreadable && !strings.Contains(f.Text, "ddrescue") {
			t.Errorf("it is not said what to do: %q", f.Text)
		}
	}
	byOffset := map[int64]int{}
	for i := range whole.messages {
		byOffset[whole.messages[i].Offset] = i
	}
	for i := range res.messages {
		if res.texts[i] == lostText {
			continue
		}
		m := &res.messages[i]
		n, ok := byOffset[m.Offset]
		if !ok || res.texts[i] != whole.texts[n] || m.Flags != whole.messages[n].Flags || !m.Date.Equal(whole.messages[n].Date) {
			t.Errorf("message at offset %d is none of the whole file: %.60q", m.Offset, res.texts[i])
			continue
		}
		if res.mailbox.UIDValidity() != 0 && m.UID != whole.messages[n].UID {
			t.Errorf("message at offset %d has UID %d, had %d", m.Offset, m.UID, whole.messages[n].UID)
		}
		delivered = append(delivered, n+1)
	}
	for i := range whole.messages {
		m := &whole.messages[i]
		begins, ends := m.Offset, m.EndOffset
		if format == FormatUnix { // that a line begins must be known, and the From_ line that ends it
			begins, ends = begins-1, ends+int64(len("From a@example.org Mon Jun  2 10:11:12 2003\n"))
		}
		b := badBlocks{spans: holes}
		if len(b.within(begins, ends)) == 0 && !slices.Contains(delivered, i+1) {
			t.Errorf("message %d at offset %d can be read, and is missing", i+1, m.Offset)
		}
	}
	if t.Failed() {
		t.Fatalf("%s, window of %d bytes, bad blocks %v", format, window, bad)
	}
	return delivered
}

// holeFile is a mailbox in unix format whose nth message is sizes[n] bytes, but at least
// what its header takes. Message 1 has the mailbox's base.
func holeFile(sizes ...int) string {
	var b strings.Builder
	for i, size := range sizes {
		base := ""
		if i == 0 {
			base = fmt.Sprintf("X-IMAPbase: 1055000000 %d\n", 10*len(sizes))
		}
		head := fmt.Sprintf("From a@example.org Mon Jun  2 10:11:12 2003\nSubject: %d\n%sStatus: RO\nX-UID: %d\n\n", i+1, base, 10*(i+1))
		b.WriteString(head)
		for n := len(head); n < size; {
			line := fmt.Sprintf("text of message %d at %d", i+1, n)
			line = line[:min(len(line), max(0, size-n-2))] + "\n"
			b.WriteString(line)
			n += len(line)
			if size-n <= 1 {
				break
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestBadBlocks has the places of a file where a block can be bad.
func TestBadBlocks(t *testing.T) {
	const block = badBlockSize
	for _, c := range []struct {
		name  string
		file  string
		bad   []int64
		want  []int // messages that are delivered
		items int   // what is put aside
		reset bool  // UIDVALIDITY is lost
	}{
		{name: "none", file: holeFile(500, 9000, 500), want: []int{1, 2, 3}},
		{name: "in the middle of a body", file: holeFile(500, 3*block, 500), bad: []int64{1}, want: []int{1, 3}, items: 1},
		{name: "over a From_ line", file: holeFile(5000, 5000, 5000, 500), bad: []int64{1}, want: []int{3, 4}, items: 1, reset: false},
		{name: "over short messages", file: holeFile(4000, 500, 500, 500, 500, 500, 500, 500, 5000, 500), bad: []int64{1}, want: []int{1, 10}, items: 1},
		{name: "in a header, over its end", file: "From a@b Mon Jun  2 10:11:12 2003\nX-IMAPbase: 7 99\nSubject: 1\nX-UID: 1\nX-Long: " + strings.Repeat("x", 2*block) + "\n\nbody\n\n" + holeFile(500, 500),
			bad: []int64{1}, want: []int{2, 3}, items: 1},
		{name: "in a header, with the blank line", file: "From a@b Mon Jun  2 10:11:12 2003\nX-IMAPbase: 7 99\nSubject: 1\nX-UID: 1\nX-Long: " + strings.Repeat("x", block) + "\n\n" + strings.Repeat("body without a blank line\n", 200) + holeFile(500, 500),
			bad: []int64{1}, want: []int{2, 3}, items: 1},
		{name: "at the start", file: holeFile(500, 500, 5000, 500, 500), bad: []int64{0}, want: []int{4, 5}, items: 1, reset: true},
		{name: "at the end", file: holeFile(500, 5000, 5000, 500), bad: []int64{2}, want: []int{1, 2}, items: 1},
		{name: "two in one message", file: holeFile(500, 5*block, 500), bad: []int64{1, 3}, want: []int{1, 3}, items: 1},
		{name: "two, in two messages", file: holeFile(500, 5000, 500, 5000, 500, 500), bad: []int64{0, 2}, want: []int{3}, items: 2, reset: true},
		{name: "all but the last block", file: holeFile(5000, 5000, 5000, 9000, 500, 500), bad: []int64{0, 1, 2, 3, 4}, want: []int{5, 6}, items: 1, reset: true},
		{name: "the whole file", file: holeFile(5000, 5000, 5000), bad: []int64{0, 1, 2, 3}, want: nil, items: 1, reset: true},
		{name: "a large message", file: holeFile(500, 2<<20, 500), bad: []int64{400}, want: []int{1, 3}, items: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, window := range []int{windowSize, 64, 1000, block} {
				if got := checkHoles(t, c.file, FormatUnix, window, c.bad...); !slices.Equal(got, c.want) {
					t.Errorf("window %d: delivered %v, want %v", window, got, c.want)
				}
				disk := &badDisk{data: []byte(c.file), bad: c.bad}
				res := readOff(t, disk, FormatUnix, window, func(n int) bool { return n%2 == 0 })
				checkDamage(t, res.mailbox.Account(), res.findings)
				items := 0
				for _, f := range res.findings {
					if f.Kind == KindUnreadable {
						items++
					}
				}
				if items != c.items || (res.mailbox.UIDValidity() == 0) != c.reset {
					t.Errorf("window %d: %d findings, want %d; UIDVALIDITY %d: %v", window, items, c.items, res.mailbox.UIDValidity(), res.findings)
				}
				if slices.ContainsFunc(res.findings, func(f Finding) bool { return f.Kind == KindUIDEpochLost }) != c.reset {
					t.Errorf("findings %v", res.findings)
				}
				if disk.tries > 2*len(c.bad) {
					t.Errorf("window %d: %d bad blocks were tried %d times", window, len(c.bad), disk.tries)
				}
				if _, certain := res.mailbox.(*Reader).PredictGoMbox(); certain != (len(c.bad) == 0) {
					t.Errorf("go-mbox's count is certain: %v", certain)
				}
			}
		})
	}
}

// TestAnySetOfBadBlocks tries mailboxes of all formats that are one file with bad blocks
// anywhere.
func TestAnySetOfBadBlocks(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 400 {
		var sizes []int
		for range 1 + rnd.IntN(12) {
			sizes = append(sizes, []int{100, 300, 3000, 9000, 20000}[rnd.IntN(5)]+rnd.IntN(500))
		}
		unix := holeFile(sizes...)
		var mmdf, tenex strings.Builder
		var mbx strings.Builder
		mbx.WriteString("*mbx*\r\n3edb6d20000000ff\r\n")
		mbx.WriteString(strings.Repeat("\x00", mbxHeaderSize-mbx.Len()))
		for i, size := range sizes {
			text := fmt.Sprintf("Subject: %d\r\n\r\n", i) + strings.Repeat("some text of a line, with ; in it\r\n", size/35)
			mmdf.WriteString("\x01\x01\x01\x01\n" + strings.ReplaceAll(text, "\r\n", "\n") + "\x01\x01\x01\x01\n")
			fmt.Fprintf(&mbx, " 2-Jun-2003 10:11:12 +0200,%d;000000000000-%08x\r\n%s", len(text), i+1, text)
			fmt.Fprintf(&tenex, " 2-Jun-2003 10:11:12 +0200,%d;000000000001\n%s", len(text), text)
		}
		for format, file := range map[Format]string{FormatUnix: unix, FormatMMDF: mmdf.String(), FormatMBX: mbx.String(), FormatTenex: tenex.String()} {
			blocks := int64(len(file)/badBlockSize + 1)
			var bad []int64
			for range 1 + rnd.IntN(4) {
				from := rnd.Int64N(blocks)
				for n := range int64(1 + rnd.IntN(3)) {
					if format == FormatMBX && from+n == 0 {
						continue // not known for one without its header
					}
					if !slices.Contains(bad, from+n) {
						bad = append(bad, from+n)
					}
				}
			}
			checkHoles(t, file, format, []int{windowSize, 200, 5000}[rnd.IntN(3)], bad...)
		}
	}
}

// TestBadBlocksOfAnyBytes: whatever a file holds, its bytes are accounted for.
func TestBadBlocksOfAnyBytes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	words := []string{"\n", "\n\n", "From a@b Mon Jun  2 10:11:12 2003\n", "X-IMAPbase: 7 9\n", "X-UID: 3\n", "Status: RO\n", "\x00", "\r\n", "text\n", "Subject: x\n",
		"\x01\x01\x01\x01\n", "\n\x00\x00From a@b Mon Jun  2 10:11:12 2003\n", " 2-Jun-2003 10:11:12 +0200,20;000000000000-00000000\r\n", " 2-Jun-2003 10:11:12 +0200,99;000000000001\n",
		"X-IMAP: 7 9\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n\n", strings.Repeat("long ", 200)}
	first := map[Format]string{FormatUnix: words[2], FormatMMDF: words[10], FormatTenex: words[13],
		FormatMBX: "*mbx*\r\n3edb6d20000000ff\r\n" + strings.Repeat("\x00", mbxHeaderSize-25)}
	for range 300 {
		for format := range openers {
			var b strings.Builder
			b.WriteString(first[format])
			for size := 1 + rnd.IntN(30000); b.Len() < size; {
				b.WriteString(words[rnd.IntN(len(words))])
			}
			disk := &badDisk{data: []byte(b.String())}
			for n := range int64(b.Len()/badBlockSize + 1) {
				if rnd.IntN(4) == 0 {
					disk.bad = append(disk.bad, n)
				}
			}
			for _, repairs := range []Repairs{0, endOfRepairs - 1} {
				opts := fuzzOptions
				opts.Repairs = repairs
				var not *NotMailboxError
				res, err := collect(opts, func(n int) bool { return n%3 != 0 }, func(o Options) (Mailbox, error) {
					return openers[format](disk, int64(len(disk.data)), o, 300), nil
				})
				if err != nil && !errors.As(err, &not) {
					t.Fatal(err)
				}
				account := res.mailbox.Account()
				if account.Total() != int64(b.Len()) {
					t.Errorf("%v is %d bytes, the file has %d", account, account.Total(), b.Len())
				}
				checkDamage(t, account, res.findings)
				if err == nil && account[ReasonUnreadable] != sum(disk.spans()) {
					t.Errorf("%d bytes are unreadable, %d told", sum(disk.spans()), account[ReasonUnreadable])
				}
				if t.Failed() {
					t.Fatalf("%s, repairs %v, bad blocks %v of %q", format, repairs, disk.bad, b.String())
				}
			}
		}
	}
}

// TestDirectoriesWithBadBlocks: of mx, mh and mix each file can have some.
func TestDirectoriesWithBadBlocks(t *testing.T) {
	big := "Subject: big\r\n\r\n" + strings.Repeat("text of a line\r\n", 1000)
	a := "Subject: a\r\n\r\na\r\n"
	hole := &badBlocks{spans: []span{{badBlockSize, 2 * badBlockSize}}, n: 1}
	start := &badBlocks{spans: []span{{0, badBlockSize}}, n: 1}
	mix := mixFiles(map[string]string{".mix00000001": mixRecord(2, a) + mixRecord(3, big) + mixRecord(4, a)},
		mixLine(2, len(a), 1, 0), mixLine(3, len(big), 1, len(mixRecord(2, a))), mixLine(4, len(a), 1, len(mixRecord(2, a)+mixRecord(3, big))))
	mx := map[string]string{mxIndexName: "V3edb6d20L00000009M00000001;00000000.0001M00000002;00000000.0001", "1": a, "2": big, "3": a}
	mh := map[string]string{mhSequencesName: "unseen: 1\n", "1": a, "2": big, "3": a}
	for _, c := range []struct {
		name   string
		format Format
		files  map[string]string
		file   string
		bad    *badBlocks
		want   []string
		unread int64
	}{
		{"mx message", FormatMX, mx, "2", hole, []string{"1 R: " + a, "2 R: " + lostText, "3: " + a}, badBlockSize},
		{"mx index", FormatMX, mx, mxIndexName, start, []string{"1: " + a, "2: " + big, "3: " + a}, int64(len(mx[mxIndexName]))},
		{"mh message", FormatMH, mh, "2", hole, []string{"1: " + a, "2 R: " + lostText, "3 R: " + a}, badBlockSize},
		{"mh sequences", FormatMH, mh, mhSequencesName, start, []string{"1: " + a, "2: " + big, "3: " + a}, int64(len(mh[mhSequencesName]))},
		{"mix data", FormatMix, mix, ".mix00000001", hole, []string{"2 r: " + a, "3 r: " + lostText, "4 r: " + a}, badBlockSize},
		{"mix data, record line", FormatMix, mix, ".mix00000001", start, []string{"2 r: " + lostText, "3 r: " + lostText, "4 r: " + a}, badBlockSize},
		{"mix metadata", FormatMix, mix, mixMetaName, start, []string{"2 r: " + a, "3 r: " + big, "4 r: " + a}, int64(len(mix[mixMetaName]))},
		{"mix index", FormatMix, mix, mixIndexName, start, []string{"2 r: " + a, "3 r: " + big, "4 r: " + a}, int64(len(mix[mixIndexName]))},
		{"mix status", FormatMix, mix, mixStatusName, start, []string{"2 r: " + a, "3 r: " + big, "4 r: " + a}, int64(len(mix[mixStatusName]))},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			folder, err := OpenFolder(dir)
			if err != nil {
				t.Fatal(err)
			}
			p := &folder.parts[0]
			p.format = c.format
			p.dir.bad = map[string]*badBlocks{c.file: c.bad}
			id, err := folder.Identity()
			if err != nil {
				t.Fatal(err)
			}
			res, err := collect(Options{Location: time.UTC}, always, folder.Mailbox)
			if err := errors.Join(err, folder.Close()); err != nil {
				t.Fatal(err)
			}
			account := res.mailbox.Account()
			if account.Total() != id.Size || account[ReasonUnreadable] != c.unread {
				t.Errorf("%v is %d bytes, the files have %d; %d unreadable, want %d", account, account.Total(), id.Size, account[ReasonUnreadable], c.unread)
			}
			checkDamage(t, account, res.findings)
			if got := described(&res); !slices.Equal(trimmed(got), trimmed(c.want)) {
				t.Errorf("messages %.300q, want %.300q", got, c.want)
			}
			if !slices.Contains(res.kinds(), KindUnreadable) {
				t.Errorf("findings %v", res.findings)
			}
		})
	}
}

func trimmed(list []string) (out []string) {
	for _, s := range list {
		out = append(out, strings.ReplaceAll(s, " :", ":"))
	}
	return out
}

// TestTooManyBadBlocks: reading ends when very much is bad, of a file or of a host.
func TestTooManyBadBlocks(t *testing.T) {
	disk := &badDisk{data: bytes.Repeat([]byte("x"), 1000*badBlockSize)}
	for n := range int64(1000) {
		disk.bad = append(disk.bad, n)
	}
	r := NewReader(disk, int64(len(disk.data)), fuzzOptions)
	_, err := r.Next()
	if !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "ddrescue") || disk.tries > 2*(maxBadBlocks+1) {
		t.Errorf("after %d tries: %v", disk.tries, err)
	}
	var all atomic.Int64
	all.Store(maxHostBadBlocks)
	b := &blockReader{src: disk, bad: &badBlocks{all: &all}}
	if _, err := b.ReadAt(make([]byte, 1), 0); !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "failing") {
		t.Errorf("error %v", err)
	}
}

// TestOtherErrorsStay: what is no bad block fails.
func TestOtherErrorsStay(t *testing.T) {
	r := aroundBadBlocks(readerAtFunc(func(p []byte, off int64) (int, error) { return 0, unix.EACCES }))
	if _, err := r.ReadAt(make([]byte, 10), 0); !errors.Is(err, unix.EACCES) {
		t.Errorf("error %v", err)
	}
	r = aroundBadBlocks(strings.NewReader("abc"))
	if n, err := r.ReadAt(make([]byte, 10), 0); n != 3 || err != io.EOF {
		t.Errorf("%d, error %v", n, err)
	}
}

type readerAtFunc func(p []byte, off int64) (int, error)

func (f readerAtFunc) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

// TestBadBlocksJoin: the ranges are what was added, in any order.
func TestBadBlocksJoin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		b := &badBlocks{}
		want := map[int64]bool{}
		for _, n := range rnd.Perm(20)[:rnd.IntN(20)] {
			want[int64(n)] = true
			if err := b.add(int64(n) * badBlockSize); err != nil {
				t.Fatal(err)
			}
		}
		got := map[int64]bool{}
		for i, s := range b.spans {
			if i > 0 && b.spans[i-1].to >= s.from {
				t.Errorf("%v", b.spans)
			}
			for at := s.from; at < s.to; at += badBlockSize {
				got[at/badBlockSize] = true
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("%v of %v", b.spans, want)
		}
	}
}

// TestFillBeginsNoMessage: it has no blank line, and does not end a line.
func TestFillBeginsNoMessage(t *testing.T) {
	p := make([]byte, 3*badBlockSize)
	fill(p, 5*badBlockSize)
	if bytes.Contains(p, []byte("\n\n")) || p[0] == '\n' || p[len(p)-1] == '\n' {
		t.Error("it has a blank line, or ends a line")
	}
	for line := range bytes.Lines(p) {
		if len(line) > 65 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}
