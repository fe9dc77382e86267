//go:build unix && !linux

package mbox

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// dotLockMode is that of UW's own dot locks, which anybody can break.
const dotLockMode = 0o666

// readLock locks or unlocks a whole file by fcntl(2). It is the process's lock and gone
// when the process closes the file anywhere.
func readLock(file *os.File, how int16) error {
	return unix.FcntlFlock(file.Fd(), unix.F_SETLK, &unix.Flock_t{Type: how, Whence: 0})
}

// openUnnamed would make a file without a name: only Linux can.
func openUnnamed(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }

func nameFile(*os.File, *os.File, string) error { return errors.ErrUnsupported }
