package ledger

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// diskSync syncs the journal, once for all who wait: while one waits for the disk, others
// append, and the next sync is for all of them.
type diskSync struct {
	written atomic.Int64 // how often something was appended

	mu     sync.Mutex
	synced int64 // of these, how many are on the disk
	failed error // stays: what a failed sync left off the disk a later one does not bring there (fsync(2))
}

// wrote tells that something was appended, and returns its number.
func (d *diskSync) wrote() int64 { return d.written.Add(1) }

// sync returns when what has the number n is on the disk.
func (d *diskSync) sync(n int64, f *os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed == nil && d.synced < n {
		now := d.written.Load()
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			d.failed = fmt.Errorf("sync: %w", err)
		} else {
			d.synced = now
		}
	}
	return d.failed
}
