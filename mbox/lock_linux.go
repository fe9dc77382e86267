package mbox

import (
	"os"

	"golang.org/x/sys/unix"
)

// readLock locks or unlocks a whole file as fcntl(2) does, but for the open file rather
// than for the process: the process's own locks would be lost whenever it closes the file
// elsewhere. Both kinds exclude each other.
func readLock(file *os.File, how int16) error {
	return unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: how, Whence: 0})
}
