package review

import (
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/history"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// The host of BenchmarkLargeHost.
const largeUsers, largeFolders = 10_000, 8

// BenchmarkLargeHost makes the page of a host of 10,000 users and 80,000 folders, each
// with what migrate would record of it. It reports how much memory a loaded Review needs.
func BenchmarkLargeHost(b *testing.B) {
	dir := b.TempDir()
	writeLargeHost(b, dir)
	b.ResetTimer()
	for b.Loop() {
		r, err := Load([]string{dir}, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(inUse(), "live-MB")
		if err := r.WriteHTML(io.Discard); err != nil {
			b.Fatal(err)
		}
		if len(r.Users) != largeUsers {
			b.Fatalf("%d users", len(r.Users))
		}
	}
}

// inUse is the memory that is still referred to, in MB.
func inUse() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1e6
}

func writeLargeHost(tb testing.TB, dir string) {
	tb.Helper()
	l, err := ledger.Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	h, err := history.Begin(dir, history.Run{Command: history.Migrate, Start: time.Now(), Host: "large"})
	if err != nil {
		tb.Fatal(err)
	}
	rep := report.New(report.Options{Stdout: io.Discard, Stderr: io.Discard, Command: history.Migrate, Quiet: true})
	rep.SetRecord(h)
	id := &ledger.FileID{Dev: 2049, Ino: 1234567, Size: 123456, MTime: time.Now().UTC(), CTime: time.Now().UTC()}
	for u := range largeUsers {
		user := fmt.Sprintf("user%05d", u)
		var boxes []ledger.Mailbox
		for f := range largeFolders {
			folder := fmt.Sprintf("lists/folder-%d", f)
			unique := fmt.Sprintf("%08x-0000-4000-8000-%012x", u, f)
			m := ledger.Mailbox{State: ledger.Begun, User: ledger.RawName(user), Folder: ledger.RawName(folder), Name: "user." + user + "." + folder,
				UniqueID: unique, Partition: "default", Dir: filepath.Join("uuid", unique[:1], unique[1:2], unique),
				Source: ledger.RawName("home/" + user + "/mail/" + folder), SourceID: id, Manifest: unique + ".tsv",
				MadeDirs: []ledger.MadeDir{{Root: "spool", Dir: "uuid/" + unique[:1]}, {Root: "spool", Dir: "uuid/" + unique[:2]}}}
			boxes = append(boxes, m)
			m.State, m.Messages, m.Size, m.Keywords = ledger.Filled, 120, 400_000, []string{"$Forwarded", "NonJunk"}
			m.Bytes = map[string]int64{"messages": 120_000, "separators": 3000, "pseudo-message": 456}
			boxes = append(boxes, m)
			m.State, m.IndexID, m.UIDValid, m.UIDNext = ledger.Verified, id, 1057053600, 121
			boxes = append(boxes, m)
			rep.Problem(report.Problem{User: user, Folder: folder, Kind: "nul", Text: "3 NUL bytes, as UW would have repaired them", Offset: 1234})
			rep.Folder(report.Folder{User: user, Folder: folder, Found: 120, Written: 120, Verified: 120, Read: true})
		}
		if err := l.Set(boxes...); err != nil {
			tb.Fatal(err)
		}
		rep.User(user)
	}
	_, err = rep.Finish(0)
	for _, end := range []func() error{func() error { return err }, func() error { return h.Close(false) }, l.Close} {
		if err := end(); err != nil {
			tb.Fatal(err)
		}
	}
}
