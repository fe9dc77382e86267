package mbox

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// session takes /tmp/.DEV.INO (env_unix.c lockname, lock_work).
func (k *FolderLock) session(p *part) error {
	st, err := fstat(p.file)
	if err != nil {
		return fmt.Errorf("mbox %q: %w", p.path, err)
	}
	tmp := cmp.Or(k.locks.SessionDir, "/tmp") // TMPDIR is nothing to UW
	dir, err := os.OpenFile(tmp, pathOnly|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("mbox %q: session lock: %w", p.path, err)
	}
	defer dir.Close()
	name := fmt.Sprintf(".%x.%x", uint64(st.Dev), st.Ino)
	lockPath := tmp + "/" + name
	fail := func(err error) error { return fmt.Errorf("mbox %q: session lock %s: %w", p.path, lockPath, err) }
	strange := &BusyError{Path: p.path, Lock: "session lock " + lockPath, Hint: "it is no ordinary file, or cannot be opened: look who made it, and remove it"}

	// Never O_CREAT on one that is there: it may be somebody's trap (fs.protected_regular).
	file, err := openLock(dir, name, unix.O_RDWR|unix.O_NONBLOCK)
	created := false
	if errors.Is(err, fs.ErrNotExist) {
		created = true
		file, err = openLock(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
		if errors.Is(err, fs.ErrExist) {
			return strange // made this moment; tried again
		}
	}
	switch {
	case err == unix.ELOOP || err == unix.EACCES || err == unix.ENXIO || err == unix.EISDIR:
		return strange
	case err != nil:
		return fail(err)
	}
	remove := func() error {
		var err error
		if created {
			err = removeLock(dir, name, file)
		}
		return errors.Join(err, file.Close())
	}
	have, err := fstat(file)
	switch {
	case err != nil:
		return fail(errors.Join(err, remove()))
	case have.Mode&unix.S_IFMT != unix.S_IFREG || have.Nlink != 1:
		return errors.Join(strange, remove())
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if err != unix.EWOULDBLOCK {
			return fail(errors.Join(err, remove()))
		}
		busy := &BusyError{Path: p.path, Lock: "session lock " + lockPath, PID: pidIn(file)}
		if busy.PID == 0 {
			busy.PID = lockHolder(have, flocks)
		}
		return errors.Join(busy, file.Close())
	}
	// Its holder may have removed it before it could be locked.
	if same, err := lstatAt(dir, name); err != nil || !sameFile(same, have) {
		return errors.Join(strange, file.Close())
	}
	if created {
		// Sessions of any user must be able to see that it is locked. It stays empty:
		// UW sends a signal to the process whose number is in it.
		err = file.Chmod(0o666)
	} else {
		err = file.Truncate(0)
	}
	if err != nil {
		return fail(errors.Join(err, remove()))
	}
	keep, err := reopen(dir, pathOnly)
	if err != nil {
		return fail(errors.Join(err, remove()))
	}
	// One that a killed run of ours left goes too; that of a session that broke off is
	// its user's.
	ours := created || have.Uid == uint32(os.Geteuid())
	k.undo = append(k.undo, func() error {
		var err error
		if ours {
			err = removeLock(keep, name, file)
		}
		return errors.Join(err, file.Close(), keep.Close())
	})
	return nil
}
