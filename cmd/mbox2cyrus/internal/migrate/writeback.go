package migrate

import (
	"sync"
	"sync/atomic"

	"mbox2cyrus/cyrusspool"
)

// writeBackAfter is how many bytes of messages are written before they are sent to the disk:
// more than most batches have, which are sent when they are settled.
const writeBackAfter = 48 << 20

// writeBack sends what was written to the disk while more is written, and does not wait for
// it. Else a large folder would be sent when all of it is there.
type writeBack struct {
	disks *cyrusspool.Disks

	bytes atomic.Int64 // written since the last time, or since a batch was settled
	busy  atomic.Bool
	done  sync.WaitGroup
}

// wrote tells that so many bytes were written below a directory.
func (w *writeBack) wrote(n int64, dir string) {
	if w.bytes.Add(n) < writeBackAfter || !cyrusspool.SyncFSReports() || !w.busy.CompareAndSwap(false, true) {
		return
	}
	w.bytes.Store(0)
	w.done.Go(func() {
		defer w.busy.Store(false)
		_ = w.disks.Sync(dir) // a failure stays, and is told to those who settle what they wrote
	})
}

// settled tells that what was written is on the disk, or is being sent there.
func (w *writeBack) settled() { w.bytes.Store(0) }
