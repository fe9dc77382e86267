// Package groupsync lets many goroutines share one call that puts what they have written on
// the disk (group commit).
package groupsync

import (
	"sync"
	"sync/atomic"
)

// A Sync is one such call. It must not be copied.
type Sync struct {
	// Do puts all that was written before it is called on the disk.
	Do func() error

	asked atomic.Int64 // how many have asked

	mu     sync.Mutex
	done   int64 // of these, how many have what they wrote on the disk
	failed error // stays: what a failed sync left off the disk a later one does not bring there (fsync(2))
}

// Wait returns when what the caller has written is on the disk. While one waits, others may
// write; the next call of Do is for all of them. Once Do has failed, Wait does.
func (s *Sync) Wait() error {
	n := s.asked.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil && s.done < n {
		now := s.asked.Load()
		if s.failed = s.Do(); s.failed == nil {
			s.done = now
		}
	}
	return s.failed
}
