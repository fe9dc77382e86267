package cyrustest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
	"mbox2cyrus/reconstruct"
)

// What cyrusspool.CacheParser says against what Cyrus makes of the same messages.

// A cacheProof has Cyrus compute cache records, one mailbox for each call of compare.
type cacheProof struct {
	s         *Server
	p         *reconstruct.Programs
	parser    *cyrusspool.CacheParser
	mailboxes int
}

// cacheRecordItems is how many items a record has (Cyrus imap/mailbox.h,
// NUM_CACHE_FIELDS).
const cacheRecordItems = 10

func newCacheProof(t testing.TB) *cacheProof {
	c := &cacheProof{s: ForTest(t, Options{})}
	var err error
	if c.p, err = reconstruct.Find(BinDir, c.s.Conf); err != nil {
		t.Fatal(err)
	}
	if err := c.p.Create(t.Context(), "default", "user/joe"); err != nil {
		t.Fatal(err)
	}
	return c
}

// derived is what Cyrus made of a message.
type derived struct {
	record cyrusspool.Record
	cache  []byte
}

// ask has Cyrus make the caches of messages, in a mailbox of their own.
func (c *cacheProof) ask(t testing.TB, messages [][]byte) []derived {
	t.Helper()
	name := fmt.Sprintf("user/joe/%d", c.mailboxes)
	c.mailboxes++
	if err := c.p.Create(t.Context(), "default", name); err != nil {
		t.Fatal(err)
	}
	paths, err := c.p.Paths(t.Context(), []string{name})
	if err != nil {
		t.Fatal(err)
	}
	dir := paths[name].Data
	rel, err := filepath.Rel(c.s.Spool, dir)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := os.ReadFile(filepath.Join(dir, "cyrus.index"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := cyrusspool.ParseIndexHeader(fresh)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "cyrus.header"))
	if err != nil {
		t.Fatal(err)
	}
	header, err := cyrusspool.ParseHeader(raw)
	if err != nil {
		t.Fatal(err)
	}
	w, err := cyrusspool.CreateMailbox(c.s.Spool, rel, h.Version, cyrusspool.Owner{UID: c.s.UID, GID: c.s.GID, FileMode: 0o600, DirMode: 0o700})
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range messages {
		uid, date := uint32(i+1), time.Unix(1057053600+int64(i)*40000, 0)
		size, guid, err := w.WriteMessage(uid, date, bytes.NewReader(m))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(cyrusspool.Record{UID: uid, InternalDate: date.Unix(), Size: uint64(size), GUID: guid, ModSeq: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Commit(cyrusspool.IndexHeader{UIDValidity: 1}, *header), w.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.p.Reconstruct(t.Context(), reconstruct.Job{Mailboxes: []string{name}}); err != nil {
		t.Fatal(err)
	}
	return readDerived(t, dir, len(messages))
}

func readDerived(t testing.TB, dir string, n int) []derived {
	t.Helper()
	index, err := os.Open(filepath.Join(dir, "cyrus.index"))
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	cache, err := os.ReadFile(filepath.Join(dir, "cyrus.cache"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := cyrusspool.NewIndexReader(index)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]derived, n)
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.CacheOffset == 0 {
			t.Fatalf("uid %d: Cyrus made no cache", rec.UID)
		}
		end := rec.CacheOffset
		for range cacheRecordItems {
			end += 4 + (uint64(binary.BigEndian.Uint32(cache[end:]))+3)&^3
		}
		all[rec.UID-1] = derived{rec, cache[rec.CacheOffset:end]}
	}
}

// compare fails for every message that is known wrongly, and returns how many are known.
func (c *cacheProof) compare(t testing.TB, messages [][]byte) (known int) {
	t.Helper()
	for i, want := range c.ask(t, messages) {
		if c.parser == nil {
			c.parser = newParser(t, want.record.CacheVersion)
		}
		d, cache, ok := c.parser.Parse(messages[i], want.record.InternalDate)
		// One that has parsed nothing yet says the same.
		d2, cache2, ok2 := newParser(t, want.record.CacheVersion).Parse(messages[i], want.record.InternalDate)
		if ok2 != ok || d2 != d || !bytes.Equal(cache2, cache) {
			t.Errorf("a new parser: %v %+v, a used one: %v %+v, of\n%s", ok2, d2, ok, d, excerpt(messages[i]))
		}
		if !ok {
			continue
		}
		known++
		r := want.record
		got := cyrusspool.Derived{SentDate: r.SentDate, GMTime: r.GMTime, HeaderSize: r.HeaderSize, Version: r.CacheVersion, CRC: r.CacheCRC}
		if d != got {
			t.Errorf("derived %+v, Cyrus has %+v, of\n%s", d, got, excerpt(messages[i]))
		}
		if !bytes.Equal(cache, want.cache) {
			ours, theirs := cacheItems(cache), cacheItems(want.cache)
			for item := range ours {
				if !bytes.Equal(ours[item], theirs[item]) {
					t.Errorf("cache item %d\n%q\nCyrus has\n%q\nof\n%s", item, ours[item], theirs[item], excerpt(messages[i]))
				}
			}
		}
	}
	return known
}

// cacheItems takes a record apart.
func cacheItems(record []byte) (items [cacheRecordItems][]byte) {
	for i := range items {
		n := binary.BigEndian.Uint32(record)
		items[i] = record[4:][:n]
		record = record[4+(n+3)&^3:]
	}
	return items
}

// newParser skips the test on a Cyrus whose records are not made.
func newParser(t testing.TB, version uint32) *cyrusspool.CacheParser {
	t.Helper()
	p, err := cyrusspool.NewCacheParser(version, cyrusZone(t))
	if errors.Is(err, cyrusspool.ErrCacheVersion) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func excerpt(m []byte) string { return fmt.Sprintf("%q", m[:min(len(m), 3000)]) }

// cyrusZone is the zone of a program whose environment names none.
func cyrusZone(t testing.TB) *time.Location {
	data, err := os.ReadFile("/etc/localtime")
	if errors.Is(err, fs.ErrNotExist) {
		return time.UTC
	}
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocationFromTZData("localtime", data)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// corpusMessages are the messages of every mailbox file below the shared corpus, those that
// are files of their own, and those of the spools of real servers, by origin.
func corpusMessages(t testing.TB) map[string][][]byte {
	t.Helper()
	shared := os.Getenv("MBOX2CYRUS_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "..", "..", "shared")
	}
	all := map[string][][]byte{}
	seen := map[string]bool{}
	for _, root := range []string{"corpus", "golden"} {
		root = filepath.Join(shared, root)
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			if filepath.Base(root) == "golden" && strings.Trim(e.Name(), "0123456789") != "." {
				return nil // no message file of a Cyrus
			}
			rel, _ := filepath.Rel(shared, path)
			parts := strings.Split(rel, string(filepath.Separator))
			origin := strings.Join(parts[:min(2, len(parts)-1)], "/")
			add := func(m []byte) {
				if len(m) > 0 && !seen[string(m)] {
					seen[string(m)] = true
					all[origin] = append(all[origin], m)
				}
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				return err
			}
			r := mbox.NewReader(f, info.Size(), mbox.Options{Location: time.UTC})
			n := 0
			for {
				m, err := r.Next()
				if err != nil {
					break
				}
				var text bytes.Buffer
				if _, err := m.WriteTo(&text); err != nil {
					return err
				}
				add(text.Bytes())
				n++
			}
			if n == 0 {
				raw, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				if len(raw) < 4<<20 {
					raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
					raw = bytes.ReplaceAll(raw, []byte{0}, []byte{0x80})
					add(bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n")))
				}
			}
			return nil
		})
		if err != nil {
			t.Skipf("no shared corpus (set MBOX2CYRUS_SHARED): %v", err)
		}
	}
	return all
}

// TestCacheOfCorpus compares every message of real mailboxes.
func TestCacheOfCorpus(t *testing.T) {
	c := newCacheProof(t)
	messages, known := 0, 0
	for origin, m := range corpusMessages(t) {
		n := c.compare(t, m)
		t.Logf("%-40s %5d messages, %5d known", origin, len(m), n)
		messages, known = messages+len(m), known+n
	}
	t.Logf("%d messages, %d known", messages, known)
	if known < messages/3 {
		t.Errorf("%d of %d known: too few", known, messages)
	}
}

// TestCacheOfCharsets compares a message in each charset whose name may be known, and
// subjects with every byte of those that are decoded.
func TestCacheOfCharsets(t *testing.T) {
	c := newCacheProof(t)
	var all [][]byte
	for charset := range strings.FieldsSeq("us-ascii ascii utf-8 utf8 iso-8859-1 iso-8859-2 iso-8859-3 iso-8859-4 iso-8859-5 iso-8859-6 iso-8859-7 " +
		"iso-8859-8 iso-8859-9 iso-8859-10 iso-8859-13 iso-8859-14 iso-8859-15 windows-1250 windows-1251 windows-1252 windows-1253 " +
		"windows-1254 windows-1255 windows-1256 windows-1257 windows-1258 koi8-r koi8-u iso-2022-jp euc-jp shift_jis euc-kr gb2312 gbk big5") {
		for _, name := range []string{charset, strings.ToUpper(charset)} {
			all = append(all, fmt.Appendf(nil, "Date: 1 Jul 2003 12:00:00 +0200\r\nContent-Type: text/plain; charset=%s\r\n\r\ntext\r\n", name))
		}
	}
	if known := c.compare(t, all); known != len(all) {
		t.Errorf("%d of %d charsets known", known, len(all))
	}
	var words [][]byte
	for charset := range strings.FieldsSeq("utf-8 iso-8859-1 iso-8859-2 iso-8859-15 windows-1250 windows-1251 windows-1252 koi8-r") {
		for b := range 256 {
			words = append(words, fmt.Appendf(nil, "Date: 1 Jul 2003 12:00:00 +0200\r\nSubject: a =?%s?Q?=%02X_?= b\r\n\r\ntext\r\n", charset, b))
		}
	}
	for r := rune(0x80); r < 0x3000; r++ {
		words = append(words, fmt.Appendf(nil, "Date: 1 Jul 2003 12:00:00 +0200\r\nSubject: =?utf-8?B?%s?=\r\n\r\ntext\r\n", base64.StdEncoding.EncodeToString([]byte(string(r)))))
	}
	if known := c.compare(t, words); known < len(words)*9/10 {
		t.Errorf("%d of %d words known", known, len(words))
	}
}

// TestCacheOfDates compares every day of some years, and each hour near where clocks change.
func TestCacheOfDates(t *testing.T) {
	c := newCacheProof(t)
	var all [][]byte
	add := func(at time.Time) {
		all = append(all, fmt.Appendf(nil, "Date: %s\r\n\r\ntext\r\n", at.Format(time.RFC1123Z)))
	}
	for at := time.Date(1970, 12, 1, 1, 0, 0, 0, time.UTC); at.Year() < 2039; at = at.Add(41 * time.Hour) {
		add(at)
	}
	if known := c.compare(t, all); known < len(all)*8/10 {
		t.Errorf("%d of %d dates known", known, len(all))
	}
}

var cacheBatches = flag.Int("cache-batches", 1, "batches of 1000 made messages that TestCacheOfMadeMail compares")

// TestCacheOfMadeMail compares messages that are made, and real ones that are damaged.
func TestCacheOfMadeMail(t *testing.T) {
	c := newCacheProof(t)
	var real [][]byte
	if *cacheBatches > 1 {
		for _, m := range corpusMessages(t) {
			real = append(real, m...)
		}
	}
	messages, known := 0, 0
	for batch := range *cacheBatches {
		seed := uint64(batch)
		if *cacheBatches > 1 {
			seed = uint64(time.Now().UnixNano())
		}
		g := mailMaker{rand.New(rand.NewPCG(seed, 1)), 0}
		var made [][]byte
		for len(made) < 1000 {
			g.odd = len(made) % 4 * 10
			m := g.message()
			if len(real) > 0 && g.IntN(3) == 0 {
				if m = pick(g, real); len(m) > 50_000 {
					continue
				}
				head, body := m, []byte(nil)
				if i := bytes.Index(m, []byte("\r\n\r\n")); i > 0 && g.IntN(4) > 0 {
					head, body = m[:i], m[i:]
				}
				for range 1 + g.IntN(3) {
					head = g.damage(head)
				}
				m = append(head, body...)
				m = bytes.ReplaceAll(m, []byte("\r\n"), []byte("\n"))
				m = bytes.ReplaceAll(m, []byte("\r"), nil)
				m = bytes.ReplaceAll(bytes.ReplaceAll(m, []byte{0}, []byte{0x80}), []byte("\n"), []byte("\r\n"))
			}
			if len(m) > 0 {
				made = append(made, m)
			}
		}
		n := c.compare(t, made)
		messages, known = messages+len(made), known+n
		if t.Failed() {
			t.Fatalf("batch of seed %d", seed)
		}
		if batch%50 == 49 {
			t.Logf("%d messages, %d known", messages, known)
		}
	}
	t.Logf("%d messages, %d known", messages, known)
	if known < messages/10 {
		t.Errorf("%d of %d known: too few to mean anything", known, messages)
	}
}

// TestCacheOfCutMail compares messages that end before their parts do: cut at each line.
func TestCacheOfCutMail(t *testing.T) {
	c := newCacheProof(t)
	whole := strings.ReplaceAll("From: joe@example.org\nDate: Sun, 29 Feb 2004 12:00:00 +0000\nSubject: parts\nMIME-Version: 1.0\n"+
		"Content-Type: multipart/mixed; boundary=\"outer\"\n\npreamble\n\n--outer\nContent-Type: multipart/alternative; boundary=in\n\n"+
		"inner preamble\n--in\n\nplain\n\nmore\n--in\nContent-Type: text/html; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\nContent-ID: <a@b>\n\n"+
		"PGI+aGFsbG88L2I+\nCg==\n--in--\ninner epilogue\n\n--outer\nContent-Type: message/rfc822\nContent-Description: the original\n\n"+
		"From: kim@example.net\nSubject: inner\nContent-Type: multipart/mixed; boundary=third\nDate: Sat, 28 Feb 2004 12:00:00 GMT\n\n"+
		"\n--third\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\ninner =\ntext\n--third\n\nlast\n--third--\n\n--outer\n"+
		"Content-Type: application/octet-stream; name=a.bin\nContent-Transfer-Encoding: BASE64\n\nAAEC\n--outer--\nepilogue\n\n", "\n", "\r\n")
	var messages [][]byte
	for at := 0; ; {
		i := strings.Index(whole[at:], "\r\n")
		if i < 0 {
			break
		}
		at += i + 2
		messages = append(messages, []byte(whole[:at]))
		// And with a blank line, as UW and others end a message.
		messages = append(messages, []byte(whole[:at]+"\r\n"))
	}
	known := c.compare(t, messages)
	t.Logf("%d of %d messages known", known, len(messages))
	if known < len(messages)*6/10 {
		t.Errorf("%d of %d messages known", known, len(messages))
	}
}
