package cyrusspool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func newCacheParser(t testing.TB) *CacheParser {
	t.Helper()
	p, err := NewCacheParser(11, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// lines gives a message CRLF.
func lines(text string) []byte { return []byte(strings.ReplaceAll(text, "\n", "\r\n")) }

// What Cyrus 3.6.1 made of these messages, in UTC: the CRC is that of the whole record.
// Package cyrustest compares records byte by byte, with the Cyrus that is installed.
func TestCacheVectors(t *testing.T) {
	const internalDate = 1057453600
	for _, tt := range []struct {
		text string
		want Derived
	}{
		{"Subject: plain\nFrom: Joe <joe@example.org>\nDate: Tue, 1 Jul 2003 12:00:00 +0200\n\ntext\n", Derived{1057017600, 1057053600, 85, 11, 0xc06ca3a4}},
		{"Date: Tue, 1 Jul 2003 12:00:00 +0200\n\n", Derived{1057017600, 1057053600, 40, 11, 0x6d27c4f8}},
		{"Subject:\nDate: 31 Dec 99 23:59 EST\n\n", Derived{946598400, 946702740, 39, 11, 0x9f26a0c3}},
		{"From: \"Bloggs, Joe\" <Joe@Example.ORG>, kim@example.net (Kim)\nTo: Undisclosed: a@b, \"c d\" <e@f>;, root\nCc: <>\n" +
			"Sender: x@y.z\nReply-To: l@m.n\nBcc: \"a \\\"b\\\"\" <q@r>\nDate: 1 Jul 2003 12:00:00 GMT\nMessage-ID: <1@x>\nIn-Reply-To: <0@x>\n\n",
			Derived{1057017600, 1057060800, 238, 11, 0xe3662465}},
		{"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= =?ISO-8859-1?B?9g==?= x\nFrom: =?utf-8?Q?J=C3=B6?= <j@x>\nDate: 1 Jul 2003 12:00:00 GMT\n\n",
			Derived{1057017600, 1057060800, 128, 11, 0x9642454}},
		{"Subject: Gr\u00fc\u00dfe 100%\nFrom: J\xf6 <j@x>\nDate: 1 Jul 2003 12:00:00 GMT\n\n", Derived{1057017600, 1057060800, 72, 11, 0xf71a6085}},
		{"Date: 1 Jul 2003 12:00:00 GMT\nContent-Type: text/plain; charset=ISO-8859-1; format=flowed\nContent-Transfer-Encoding: quoted-printable\n\n" +
			"Gr=FC=DFe =\naus  \nWien=20=\n=zz\n", Derived{1057017600, 1057060800, 139, 11, 0xae27fb2a}},
		{"Date: 1 Jul 2003 12:00:00 GMT\nContent-Type: application/octet-stream; name=a.bin\nContent-Transfer-Encoding: BASE64\n" +
			"Content-Disposition: attachment; filename*=utf-8''a%20b.bin; size=3\nContent-Language: de\nContent-ID: <a@b>\nContent-Description: d\n" +
			"Content-MD5: m\nContent-Location: l\n\nYWJj\nZ GV*m==Zw\n", Derived{1057017600, 1057060800, 291, 11, 0x79c9dbd}},
		{"Date: 1 Jul 2003 12:00:00 GMT\nContent-Type: multipart/mixed; boundary=\"b\"\n\npreamble\n--b\n\none\n\n--b \nContent-Type: multipart/alternative; boundary=c\n\n" +
			"--c\n\ntwo\n--c--\n\n--b\nContent-Type: message/rfc822\n\nFrom: a@b\nSubject: inner\n\ninner\n--b--\nepilogue\n", Derived{1057017600, 1057060800, 78, 11, 0x1e14a867}},
		{"X-Mailer: kept\nX-Unknown: not\nPriority: kept\nReceived: not\nA-field-with-a-name-of-31-bytes: kept\nA-field-with-a-name-of-32-bytes-: not\n" +
			"References: <a@b>\n <c@d>\nno field\nDate: 1 Jul 2003 12:00:00 GMT\n\n", Derived{1057017600, 1057060800, 211, 11, 0xee5508fb}},
		{"Subject: no date\n\n", Derived{1057449600, 1057453600, 20, 11, 0x99baa976}},
		{"Date: 1 Jul 2003 12:00:00 GMT\nTo: a@b\nTo: c@d\nSubject: one\nSubject: two\n\n", Derived{1057017600, 1057060800, 79, 11, 0xcb28fbc3}},
	} {
		got, record, known := newCacheParser(t).Parse(lines(tt.text), internalDate)
		if !known || got != tt.want || crc32.ChecksumIEEE(record) != tt.want.CRC {
			t.Errorf("%q: %v, %+v, want %+v\n%q", tt.text, known, got, tt.want, record)
		}
	}
}

// multipartOf is a message with a multipart of that encoding in it.
func multipartOf(encoding string) string {
	return "Date: 1 Jul 2003 12:00:00 GMT\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: " + encoding +
		"\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\ntext\n--c--\n\n--b--\n"
}

// Messages of which it is not certain what Cyrus makes of them.
func TestCacheUnknown(t *testing.T) {
	date := "Date: 1 Jul 2003 12:00:00 GMT\n"
	multipart := date + "Content-Type: multipart/mixed; boundary=b\n\n"
	for name, text := range map[string]string{
		"empty":                        "",
		"no blank line":                date,
		"no final line end":            date + "\ntext",
		"NUL in header":                date + "Subject: \x00\n\n",
		"continuation first":           " x\n" + date + "\n",
		"day that is none":             "Date: 31 Feb 2003 12:00:00 GMT\n\n",
		"date of ctime":                "Date: Tue Jul  1 12:00:00 2003\n\n",
		"zone unknown":                 "Date: 1 Jul 2003 12:00:00 CEST\n\n",
		"route":                        date + "From: <@a:b@c>\n\n",
		"unbalanced quote":             date + "From: \"a <b@c>\n\n",
		"domain with underscore":       date + "From: a@b_c\n\n",
		"encoded word of odd charset":  date + "Subject: =?x?Q?a?=\n\n",
		"encoded word half":            date + "Subject: =?utf-8?Q?=C3?=\n\n",
		"encoded word of control":      date + "Subject: =?utf-8?Q?=0D?=\n\n",
		"not an encoded word":          date + "Subject: =?\n\n",
		"charset":                      date + "Content-Type: text/plain; charset=x\n\n",
		"two charsets":                 date + "Content-Type: text/plain; charset=utf-8; charset=us-ascii\n\n",
		"type without subtype":         date + "Content-Type: text\n\n",
		"type with comment":            date + "Content-Type: text/plain (x)\n\n",
		"type twice":                   date + "Content-Type: text/plain\nContent-Type: text/html\n\n",
		"parameter in parts":           date + "Content-Type: text/plain; name*0=a; name*1=b\n\n",
		"quoted pair":                  date + "Content-Type: text/plain; name=\"a\\\"b\"\n\n",
		"encoding":                     date + "Content-Transfer-Encoding: x-uuencode\n\n",
		"encoding of a multipart":      multipartOf("7b7bit"),
		"encoded multipart":            multipartOf("base64"),
		"encoded message":              date + "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nSubject: x\n\n",
		"line of quoted-printable":     date + "Content-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("x", 1000) + "\n",
		"no boundary":                  date + "Content-Type: multipart/mixed\n\n",
		"digest":                       date + "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\n--b--\n",
		"no part":                      multipart + "--b--\n",
		"ends in header of part":       multipart + "--b\nSubject: x\n",
		"boundary in header of part":   multipart + "--b\nSubject: x\n--b--\n",
		"boundary of outer":            multipart + "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\ntext\n--b--\n",
		"too many lines":               date + strings.Repeat("X: x\n", 400) + "\n",
		"too deep":                     date + strings.Repeat("Content-Type: message/rfc822\n\n", 10) + "\n",
		"too large":                    date + "\n" + strings.Repeat("x\n", MaxCachedMessage/3),
		"lone CR in header":            date + "Subject: a\rb\n\n",
		"field name of other letters":  date + "S\u00fcbject: a\n\n",
		"parameter of other letters":   date + "Content-Type: text/plain; name=\u00fc\n\n",
		"language":                     date + "Content-Language: en, de\n\n",
		"disposition":                  date + "Content-Disposition: \n\n",
		"comment in comment of domain": date + "From: a@b (c(d))\n\n",
	} {
		if _, _, known := newCacheParser(t).Parse(lines(text), 1057053600); known {
			t.Errorf("%s: known", name)
		}
	}
	if _, _, known := newCacheParser(t).Parse([]byte("Subject: a\n\ntext\n"), 1057053600); known {
		t.Error("LF alone: known")
	}
	if _, err := NewCacheParser(10, time.UTC); !errors.Is(err, ErrCacheVersion) {
		t.Errorf("version 10: %v", err)
	}
}

// A day on which clocks change at midnight has none, or two.
func TestCacheMidnight(t *testing.T) {
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Skip(err)
	}
	for day, want := range map[int]bool{17: true, 18: true, 19: false, 20: true} {
		// Summer time began in the night to 19 October 2003.
		at, ok := midnight(2003, time.October, day, zone)
		if ok != want && day != 18 || ok && time.Unix(at, 0).In(zone).Hour() != 0 {
			t.Errorf("%d October: %v, %v", day, time.Unix(at, 0).In(zone), ok)
		}
	}
}

func FuzzCacheParser(f *testing.F) {
	f.Add(lines("From: \"a, b\" <c@d>, e@f (g), h: i@j;\nDate: 1 Jul 2003 12:00:00 GMT\nSubject: =?utf-8?B?w7w=?= x\n\ntext\n"))
	f.Add(lines("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\n\n--b\nContent-Transfer-Encoding: base64\n\nYQ==\n--b--\n"))
	f.Add(lines("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\na=20=\nb\n"))
	used := newCacheParser(f)
	f.Fuzz(func(t *testing.T, msg []byte) {
		d, record, known := newCacheParser(t).Parse(msg, 1057053600)
		d2, record2, known2 := used.Parse(msg, 1057053600)
		if known != known2 || d != d2 || !bytes.Equal(record, record2) {
			t.Fatal("a parser that was used says otherwise")
		}
		if !known {
			return
		}
		if d.CRC != crc32.ChecksumIEEE(record) || int(d.HeaderSize) > len(msg) || d.GMTime < 0 || d.SentDate < 0 {
			t.Fatalf("%+v", d)
		}
		read, err := ReadCacheRecord(bytes.NewReader(append([]byte("skip"), record...)), 4)
		if err != nil || !bytes.Equal(read, record) {
			t.Fatalf("record of %d bytes is read as %d: %v", len(record), len(read), err)
		}
	})
}

// readCache returns the cache of the mailbox of createMailbox.
func readCache(t *testing.T, partition string) []byte {
	t.Helper()
	return readFile(t, partition, DirByID("abc1"), fileCache)
}

func TestMakeCache(t *testing.T) {
	const odd = "Date: yesterday\r\n\r\ntext\r\n"
	for _, tt := range []struct {
		name     string
		messages []string
		repack   bool
	}{
		{"all known", []string{messageText(1), messageText(2)}, false},
		{"one not known", []string{messageText(1), odd, messageText(3)}, true},
		{"no message", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			partition := t.TempDir()
			w := createMailbox(t, partition)
			if err := w.MakeCache(newCacheParser(t)); err != nil {
				t.Fatal(err)
			}
			if err := w.MakeCache(newCacheParser(t)); err == nil {
				t.Error("made twice")
			}
			// Records of the index come in another order than the files.
			var records []Record
			for i, m := range tt.messages {
				uid := uint32(i + 1)
				size, guid, err := w.WriteMessage(uid, time.Unix(1e9, 0), strings.NewReader(m))
				if err != nil {
					t.Fatal(err)
				}
				records = append(records, Record{UID: uid, InternalDate: 1e9, Size: uint64(size), GUID: guid, ModSeq: 1})
			}
			slices.Reverse(records[:min(2, len(records))])
			for _, r := range records {
				if err := w.Add(r); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Commit(IndexHeader{UIDValidity: 1, Generation: 7}, testHeader); err != nil {
				t.Fatal(err)
			}
			cache := readCache(t, partition)
			if generation := binary.BigEndian.Uint32(cache); generation != 7 {
				t.Errorf("generation %d", generation)
			}
			h, got := readRecords(t, readFile(t, partition, DirByID("abc1"), fileIndex))
			if repack := h.Options&OptNeedsRepack != 0; repack != tt.repack {
				t.Errorf("needs repack: %v", repack)
			}
			used := generationSize
			for i, r := range got {
				d, want, known := newCacheParser(t).Parse([]byte(tt.messages[i]), 1e9)
				if !known {
					if r.CacheOffset != 0 || r.CacheCRC != 0 || r.GMTime != 0 {
						t.Errorf("uid %d: %+v", r.UID, r)
					}
					continue
				}
				record, err := ReadCacheRecord(bytes.NewReader(cache), r.CacheOffset)
				if err != nil || !bytes.Equal(record, want) {
					t.Errorf("uid %d: %q, %v", r.UID, record, err)
				}
				if (Derived{r.SentDate, r.GMTime, r.HeaderSize, r.CacheVersion, r.CacheCRC}) != d {
					t.Errorf("uid %d: %+v, want %+v", r.UID, r, d)
				}
				used += len(record)
			}
			if used != len(cache) {
				t.Errorf("%d bytes of the cache's %d are records", used, len(cache))
			}
		})
	}
}

// piecewise writes a message in two pieces.
type piecewise string

func (p piecewise) WriteTo(w io.Writer) (n int64, err error) {
	for _, part := range []string{string(p)[:5], string(p)[5:]} {
		k, err := w.Write([]byte(part))
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func TestMakeCacheOfPieces(t *testing.T) {
	partition := t.TempDir()
	w := createMailbox(t, partition)
	if err := w.MakeCache(newCacheParser(t)); err != nil {
		t.Fatal(err)
	}
	size, guid, err := w.WriteMessage(1, time.Unix(1e9, 0), piecewise("a: b\r\n\r\nc\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	// A record that is not that of the message written gets no cache either.
	size2, guid2, err := w.WriteMessage(2, time.Unix(1e9, 0), strings.NewReader(messageText(2)))
	if err != nil {
		t.Fatal(err)
	}
	other := Record{UID: 3, InternalDate: 1e9, Size: 5, ModSeq: 1}
	if _, _, err := w.WriteMessage(3, time.Unix(1e9, 0), strings.NewReader(messageText(3))); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Add(Record{UID: 1, Size: uint64(size), GUID: guid, ModSeq: 1}),
		w.Add(Record{UID: 2, Size: uint64(size2), GUID: guid2, ModSeq: 1}), w.Add(other)); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(IndexHeader{UIDValidity: 1}, testHeader); err != nil {
		t.Fatal(err)
	}
	_, records := readRecords(t, readFile(t, partition, DirByID("abc1"), fileIndex))
	for i, cached := range []bool{false, true, false} {
		if records[i].CacheOffset != 0 != cached {
			t.Errorf("uid %d: %+v", records[i].UID, records[i])
		}
	}
}

func TestMakeCacheLeavesNothing(t *testing.T) {
	partition := t.TempDir()
	w := createMailbox(t, partition)
	if err := w.MakeCache(newCacheParser(t)); err != nil {
		t.Fatal(err)
	}
	writeAndAdd(t, w, 1)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(partition, DirByID("abc1"), fileCache+newSuffix)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close without Commit: %v", err)
	}
}

func TestReadCacheRecordErrors(t *testing.T) {
	for _, cache := range []string{"", "\x00\x00\x00\x01", "\xff\xff\xff\xff", "\x00\x00\x00\x01x", strings.Repeat("\x00", 36)} {
		if record, err := ReadCacheRecord(strings.NewReader(cache), 0); !errors.Is(err, ErrTruncated) {
			t.Errorf("%q: %q, %v", cache, record, err)
		}
	}
}

func BenchmarkCacheParser(b *testing.B) {
	message := lines("From: \"Bloggs, Joe\" <joe@example.org>\nTo: kim@example.net\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\n" +
		"Date: Tue, 1 Jul 2003 12:00:00 +0200\nReceived: from a by b; Tue, 1 Jul 2003 12:00:00 +0200\nContent-Type: multipart/mixed; boundary=b\n\n" +
		"--b\n\n" + strings.Repeat("some text of the message\n", 100) + "--b\nContent-Type: image/gif\nContent-Transfer-Encoding: base64\n\n" +
		strings.Repeat("YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5emFiY2Rl\n", 100) + "--b--\n")
	p := newCacheParser(b)
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, known := p.Parse(message, 1057053600); !known {
			b.Fatal("not known")
		}
	}
}
