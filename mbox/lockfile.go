package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// openLock opens or makes a lock file, never through a link.
func openLock(dir *os.File, name string, flags int) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o666)
		switch err {
		case nil:
			return os.NewFile(uintptr(fd), name), nil
		case unix.EINTR:
			continue
		}
		return nil, err
	}
}

// removeLock removes a lock file if the name still is that of the open file.
func removeLock(dir *os.File, name string, file *os.File) error {
	have, err := fstat(file)
	if err != nil {
		return fmt.Errorf("lock %q: %w", name, err)
	}
	st, err := lstatAt(dir, name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !sameFile(st, have) {
		return nil // somebody else removed it
	}
	if err == nil {
		err = unix.Unlinkat(int(dir.Fd()), name, 0)
	}
	if err != nil {
		return fmt.Errorf("lock %q could not be removed: %w", name, err)
	}
	return nil
}

// pidIn returns the process id at the beginning of a lock file, 0 if there is none.
func pidIn(file *os.File) int {
	text, err := readHead(file, 16)
	if err != nil {
		return 0
	}
	digits := text[:len(text)-len(bytes.TrimLeft(text, "0123456789"))]
	pid, err := strconv.Atoi(string(digits))
	if err != nil {
		return 0
	}
	return pid
}

// Kinds of locks in /proc/locks. A lock by fcntl(2) that is an open file's has no process.
const (
	flocks     = "FLOCK"
	fcntlLocks = "POSIX"
)

// lockHolder returns a process that has a lock of a kind on a file, 0 if the system does not
// tell: of another kind this process may have one itself. The format of /proc/locks is that of
// proc_locks(5).
func lockHolder(st *unix.Stat_t, kind string) int {
	f, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer f.Close()
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	lines := bufio.NewScanner(io.LimitReader(f, 1<<20))
	for lines.Scan() {
		field := strings.Fields(lines.Text())
		if len(field) < 6 || field[1] != kind || field[5] != want {
			continue
		}
		if pid, err := strconv.Atoi(field[4]); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}
