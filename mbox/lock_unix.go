//go:build unix && !linux

package mbox

import (
	"os"

	"golang.org/x/sys/unix"
)

// readLock locks or unlocks a whole file by fcntl(2). It is the process's lock and gone
// when the process closes the file anywhere.
func readLock(file *os.File, how int16) error {
	return unix.FcntlFlock(file.Fd(), unix.F_SETLK, &unix.Flock_t{Type: how, Whence: 0})
}
