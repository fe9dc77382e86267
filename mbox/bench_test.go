package mbox

import (
	"crypto/sha1"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// benchFolder writes a folder like those of real hosts, of some 32 MB: headers with what relays add,
// texts of a few kilobytes, and now and then an attachment, which has most of the bytes.
func benchFolder(b *testing.B) *os.File {
	random := rand.New(rand.NewPCG(1, 1))
	var s strings.Builder
	line := func(n int, alphabet string) {
		for range n {
			s.WriteByte(alphabet[random.IntN(len(alphabet))])
		}
		s.WriteByte('\n')
	}
	const words = "aabcdeeeefghiilmnnooprrssttuvwy       "
	const base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for s.Len() < 32<<20 {
		s.WriteString(from)
		for range 2 + random.IntN(4) {
			s.WriteString("Received: from relay.example.com (relay.example.com [192.0.2.7])\n\tby mail.example.com (8.12.11/8.12.11) with ESMTP id h52EBCx01234\n\tfor <joe@example.com>; Mon, 2 Jun 2003 10:11:12 -0400\n")
		}
		s.WriteString("Message-ID: <20030602101112.A1234@mail.example.com>\nFrom: Ann Example <ann@example.com>\nTo: joe@example.com\nSubject: ")
		line(10+random.IntN(50), words)
		s.WriteString("Date: Mon, 2 Jun 2003 10:11:12 -0400\nMIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\nStatus: RO\nX-Status: A\nX-Keywords:                       \nX-UID: 12\n\n")
		for range random.IntN(120) {
			line(random.IntN(72), words)
		}
		if random.IntN(10) == 0 {
			for range random.IntN(4000) {
				line(76, base64)
			}
		}
		s.WriteByte('\n')
	}
	path := filepath.Join(b.TempDir(), "folder")
	if err := os.WriteFile(path, []byte(s.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return mustOpen(b, path)
}

// eachMessage calls do for every message that is left in r.
func eachMessage(t testing.TB, r Mailbox, do func(*Message) error) {
	t.Helper()
	for {
		m, err := r.Next()
		if err == io.EOF {
			return
		}
		if err == nil {
			err = do(m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func discard(m *Message) error {
	_, err := m.WriteTo(io.Discard)
	return err
}

// BenchmarkReader reads a folder from the page cache: to find its messages alone, and to
// write and hash them, as a conversion does.
func BenchmarkReader(b *testing.B) {
	folder := benchFolder(b)
	info, err := folder.Stat()
	if err != nil {
		b.Fatal(err)
	}
	hash := sha1.New()
	for _, c := range []struct {
		name  string
		write func(*Message) error
	}{
		{"next", func(*Message) error { return nil }},
		{"write", discard},
		{"hash", func(m *Message) error {
			hash.Reset()
			_, err := m.WriteTo(hash)
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(info.Size())
			b.ReportAllocs()
			for b.Loop() {
				eachMessage(b, NewReader(folder, info.Size(), Options{}), c.write)
			}
		})
	}
}
