package cyrusspool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGoldenWriter gives the writer what a converter knows of the messages that each
// real server had, and compares what it writes with the server's own files, in all that
// reconstruct keeps (imap/mailbox.c, mailbox_reconstruct; up to 2.3 imap/reconstruct.c)
// and in the totals that it would compute.
func TestGoldenWriter(t *testing.T) {
	eachGolden(t, func(t *testing.T, release, mailbox string, header, index []byte) {
		golden, records := readRecords(t, index)
		hdr, err := ParseHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		partition := t.TempDir()
		w, err := CreateMailbox(partition, mailbox, golden.Version, Owner{UID: -1, FileMode: 0o600, DirMode: 0o700})
		if err != nil {
			t.Fatal(err)
		}
		var want []Record
		for _, r := range records {
			if r.Gone() {
				continue // no message for IMAP
			}
			known := Record{UID: r.UID, InternalDate: r.InternalDate, Size: r.Size, GUID: r.GUID,
				SystemFlags: r.SystemFlags & golden.Version.SystemFlags(), UserFlags: r.UserFlags, ModSeq: r.ModSeq, CreatedModSeq: r.CreatedModSeq}
			if err := w.Add(known); err != nil {
				t.Fatal(err)
			}
			want = append(want, known)
		}
		if err := w.Commit(IndexHeader{Generation: golden.Generation, UIDValidity: golden.UIDValidity, LastUID: golden.LastUID,
			RecentUID: golden.RecentUID, HighestModSeq: golden.HighestModSeq, CreatedModSeq: golden.CreatedModSeq,
			ChangesEpoch: golden.ChangesEpoch}, *hdr); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}

		dir := filepath.Join(partition, mailbox)
		if got := readFile(t, dir, "cyrus.header"); !bytes.Equal(got, header) {
			t.Errorf("cyrus.header is\n%q\nthe server's is\n%q", got, header)
		}
		written, got := readRecords(t, readFile(t, dir, "cyrus.index"))
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Record{}, recordNanos{})); diff != "" {
			t.Errorf("records (-server +written)\n%s", diff)
		}
		kept := func(h IndexHeader) IndexHeader {
			return IndexHeader{Generation: h.Generation, Format: h.Format, Version: h.Version, HeaderSize: h.HeaderSize, RecordSize: h.RecordSize,
				LastUID: h.LastUID, QuotaMailboxUsed: h.QuotaMailboxUsed, UIDValidity: h.UIDValidity,
				Deleted: h.Deleted, Answered: h.Answered, Flagged: h.Flagged, Exists: h.Exists, Unseen: h.Unseen,
				Options: h.Options &^ (OptNeedsRepack | OptNeedsUnlink), HighestModSeq: h.HighestModSeq, CreatedModSeq: h.CreatedModSeq,
				RecentUID: h.RecentUID, HeaderFileCRC: h.HeaderFileCRC, ChangesEpoch: h.ChangesEpoch}
		}
		if diff := cmp.Diff(kept(golden), kept(written), cmp.AllowUnexported(IndexHeader{}, headerNanos{})); diff != "" {
			t.Errorf("index header (-server +written)\n%s", diff)
		}
		if written.Version >= Version12 && written.Options&OptNeedsRepack == 0 {
			t.Error("reconstruct is not asked to make the cache")
		}
		cache, err := os.ReadFile(filepath.Join(dir, "cyrus.cache"))
		if err != nil || len(cache) != 4 {
			t.Errorf("cyrus.cache: %x, %v", cache, err)
		}
	})
}
