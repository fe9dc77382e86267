package mbox

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Identity tells whether a folder is still the one that was seen, unchanged. UW sets the
// modification time at will and rewrites flags in place at equal size, so the change time
// is what counts (unix.c unix_rewrite).
type Identity struct {
	// Dev and Ino are of the file or directory; of the first, where an INBOX is in several places.
	// A file system may have another number whenever it is mounted (btrfs, NFS, disks that are
	// found in another order), so Dev tells files apart only as long as the machine runs.
	Dev, Ino   uint64
	Size       int64 // bytes, of all its files
	ModTime    time.Time
	ChangeTime time.Time // the latest, of several files
	// Digest is, for a folder of several files, over the names and identities of all of
	// them, in hexadecimal; else "".
	Digest string

	settled time.Time // of several files, see Settled
}

// Equal reports whether both are of one unchanged folder, also if the machine was started anew
// in between.
func (a Identity) Equal(b Identity) bool {
	return a.Ino == b.Ino && a.Size == b.Size && a.Digest == b.Digest &&
		a.ModTime.Equal(b.ModTime) && a.ChangeTime.Equal(b.ChangeTime)
}

// clockTick is longer than Linux goes on giving files the same change time: its clock for them
// ticks with the timer, a hundred times a second at least.
const clockTick = 10 * time.Millisecond

// Settled returns from when on whatever changes gives the folder another identity. A change that
// follows another at once may get the same change time: ext2, ext3 and HFS+ keep whole seconds.
func (a Identity) Settled() time.Time {
	same := clockTick
	if a.ChangeTime.Nanosecond() == 0 {
		same = time.Second
	}
	return latest(a.settled, a.ChangeTime.Add(same))
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// include adds what another file has to size and times.
func (a *Identity) include(b Identity) {
	a.Size += b.Size
	a.settled = latest(a.Settled(), b.Settled())
	a.ModTime, a.ChangeTime = latest(a.ModTime, b.ModTime), latest(a.ChangeTime, b.ChangeTime)
}

func fileIdentity(f *os.File) (Identity, error) {
	st, err := fstat(f)
	if err != nil {
		return Identity{}, err
	}
	return identityOf(st), nil
}

// identityOf is the identity of the file that st describes.
func identityOf(st *unix.Stat_t) Identity {
	return Identity{Dev: uint64(st.Dev), Ino: st.Ino, Size: st.Size, ModTime: timeOf(st.Mtim), ChangeTime: timeOf(st.Ctim)}
}

// JoinIdentities is the identity of an INBOX that is in several places, from theirs in the order
// of [File.Parts].
func JoinIdentities(ids []Identity) Identity {
	id := ids[0]
	if len(ids) == 1 {
		return id
	}
	var lines []string
	for i, part := range ids {
		if i > 0 {
			id.include(part)
		}
		lines = append(lines, fmt.Sprintf("%d %d %d %d %s", part.Ino, part.Size, part.ModTime.UnixNano(), part.ChangeTime.UnixNano(), part.Digest))
	}
	id.Digest = digest(lines)
	return id
}
