package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// spoolSize is about what a host takes as a spool: line ends grow, each message ends in a
// block that is not full, and has its records in the index and in the cache.
func (h *host) spoolSize() int64 { return h.bytes + h.bytes/30 + int64(h.messages)*3000 }

// tarSize is about what that takes in a tar file.
func (h *host) tarSize() int64 { return h.bytes + h.bytes/30 + int64(h.messages)*1400 }

// leftovers are directories that are no longer needed.
type leftovers struct{ dirs []string }

// done says that a directory is no longer needed. It stays as long as there is room.
func (b *bench) done(dir string) { b.left.dirs = append(b.left.dirs, dir) }

// room sees to it that there are so many bytes and files free. Where it has to remove what
// is no longer needed it waits afterwards: ext4 passes over inodes that were deleted within
// the last minute, and for five minutes more while their blocks are not yet written, which
// makes files 7 to 20 times slower to make (Linux, fs/ext4/ialloc.c recently_deleted).
func (b *bench) room(bytes, files int64) error {
	enough, err := b.enough(bytes, files)
	if err != nil || enough {
		return err
	}
	if len(b.left.dirs) > 0 {
		b.progress("removing the files of what is done, to make room, then waiting for %v", b.rest)
	}
	for _, dir := range b.left.dirs {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if len(b.left.dirs) > 0 {
		b.left.dirs = nil
		unix.Sync()
		time.Sleep(b.rest)
	}
	if enough, err = b.enough(bytes, files); err == nil && !enough {
		err = fmt.Errorf("%s has no room for %d MB in %d files more: give a smaller host, or another -dir", b.scratch, bytes>>20, files)
	}
	return err
}

func (b *bench) enough(bytes, files int64) (bool, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(b.scratch, &fs); err != nil {
		return false, fmt.Errorf("free space of %s: %w", b.scratch, err)
	}
	// A file system that makes inodes as it needs them says that it has none.
	return int64(fs.Bavail)*int64(fs.Bsize) > bytes && (fs.Files == 0 || int64(fs.Ffree) > files), nil
}

// roomFor sees to it that so many spools of a host, and tar files of them, have room.
func (b *bench) roomFor(h *host, spools, tars int64) error {
	return b.room(spools*h.spoolSize()+tars*h.tarSize(), spools*int64(h.messages+1000))
}
