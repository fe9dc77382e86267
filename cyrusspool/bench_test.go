package cyrusspool

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	benchMessages = 5000
	benchSize     = 8 << 10
)

// benchDir is a new directory for each run: file systems are slow right after a large
// removal, so nothing is removed in between.
func benchDir(b *testing.B) string {
	dir, err := os.MkdirTemp(b.TempDir(), "")
	if err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkWriter fills a mailbox, index and SHA-1 included. Compare with
// BenchmarkWriteFile, which makes the same files and nothing else.
func BenchmarkWriter(b *testing.B) {
	message := bytes.Repeat([]byte("01234567"), benchSize/8)
	source := bytes.NewReader(message)
	b.SetBytes(benchMessages * benchSize)
	b.ReportAllocs()
	for b.Loop() {
		w, err := CreateMailbox(benchDir(b), DirByID("abc1"), Version17, nobody)
		if err != nil {
			b.Fatal(err)
		}
		for uid := uint32(1); uid <= benchMessages; uid++ {
			if _, err := source.Seek(0, io.SeekStart); err != nil {
				b.Fatal(err)
			}
			size, guid, err := w.WriteMessage(uid, time.Unix(1e9, 0), source)
			if err != nil {
				b.Fatal(err)
			}
			if err := w.Add(Record{UID: uid, Size: uint64(size), GUID: guid, InternalDate: 1e9, ModSeq: 1}); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Commit(IndexHeader{UIDValidity: 1}, testHeader); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteFile(b *testing.B) {
	message := bytes.Repeat([]byte("01234567"), benchSize/8)
	b.SetBytes(benchMessages * benchSize)
	b.ReportAllocs()
	for b.Loop() {
		dir := filepath.Join(benchDir(b), DirByID("abc1"))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		for uid := uint32(1); uid <= benchMessages; uid++ {
			if err := os.WriteFile(filepath.Join(dir, messageName(uid)), message, 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkIndexReader reads an index of 100,000 records.
func BenchmarkIndexReader(b *testing.B) {
	h := IndexHeader{Version: Version17, NumRecords: 100000}
	index, err := h.AppendTo(nil)
	for uid := uint32(1); uid <= h.NumRecords && err == nil; uid++ {
		index, err = AppendRecord(index, h.Version, &Record{UID: uid, Size: 1})
	}
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(index)))
	b.ReportAllocs()
	for b.Loop() {
		if uids, err := readAll(index); err != nil || len(uids) != int(h.NumRecords) {
			b.Fatal(len(uids), err)
		}
	}
}
