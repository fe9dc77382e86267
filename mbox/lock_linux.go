package mbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// dotLockMode is that of UW's own dot locks, which anybody can break, and the sticky bit,
// which means nothing on a file and which no other program sets: see removeOwn.
const dotLockMode = 0o666 | os.ModeSticky

// readLock locks or unlocks a whole file as fcntl(2) does, but for the open file rather
// than for the process: the process's own locks would be lost whenever it closes the file
// elsewhere. Both kinds exclude each other.
func readLock(file *os.File, how int16) error {
	return unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: how, Whence: 0})
}

// openUnnamed makes a file in a directory without a name there, open(2) O_TMPFILE. The
// error is [errors.ErrUnsupported] where the file system or the kernel has no such files,
// or /proc, which gives them names, is not mounted.
func openUnnamed(dir *os.File) (*os.File, error) {
	if _, err := os.Lstat("/proc/self/fd"); err != nil {
		return nil, errors.Join(errors.ErrUnsupported, err)
	}
	file, err := openLock(dir, ".", unix.O_RDWR|unix.O_TMPFILE)
	if err == unix.EOPNOTSUPP || err == unix.EISDIR || err == unix.EINVAL || err == unix.ENOENT {
		return nil, errors.Join(errors.ErrUnsupported, err)
	}
	return file, err
}

// nameFile gives such a file a name that is free.
func nameFile(file, dir *os.File, name string) error {
	for {
		err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", file.Fd()), int(dir.Fd()), name, unix.AT_SYMLINK_FOLLOW)
		if err != unix.EINTR {
			return err
		}
	}
}
