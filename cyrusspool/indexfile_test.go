package cyrusspool

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestIndexSums: the header counts what its records are. One that is expunged is a record, and
// no message.
func TestIndexSums(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), fileIndex))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x := newIndexFile(f, Version19)
	for i, flags := range []uint32{FlagDeleted | FlagSeen, FlagExpunged | FlagDeleted | FlagAnswered | FlagFlagged, FlagAnswered, FlagFlagged | FlagDeleted, 0} {
		if err := x.add(Record{UID: uint32(i) + 1, Size: 1 << i, ModSeq: uint64(10 - i), SystemFlags: flags}); err != nil {
			t.Fatal(err)
		}
	}
	var h IndexHeader
	if err := x.finish(&h); err != nil {
		t.Fatal(err)
	}
	want := IndexHeader{Version: Version19, NumRecords: 5, LastUID: 5, HighestModSeq: 10, Exists: 4, QuotaMailboxUsed: 1 + 4 + 8 + 16,
		Deleted: 2, Answered: 1, Flagged: 1, Unseen: 3, QuotaDeletedUsed: 1 + 8}
	if diff := cmp.Diff(want, h, cmpopts.IgnoreUnexported(IndexHeader{})); diff != "" {
		t.Error(diff)
	}
}
