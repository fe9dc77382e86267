package mbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// staleDotLock is the age from which UW takes a dot lock away from its maker (env_unix.c
	// dotlock_lock). Ours are kept younger.
	staleDotLock   = 5 * time.Minute
	refreshDotLock = time.Minute
	// dotLockMark is in the dot locks of this program, after the process id that other
	// programs look for (liblockfile). It tells one that a killed run left from all others.
	dotLockMark = "mbox2cyrus"
)

// keepYoung touches the dot locks so that UW does not take them for left behind.
func (k *FolderLock) keepYoung() {
	tick := time.NewTicker(refreshDotLock)
	defer tick.Stop()
	for {
		select {
		case <-k.stop:
			return
		case <-tick.C:
			k.locks.mu.Lock()
			select {
			case <-k.stop: // the files are closed
			default:
				for _, f := range k.refresh {
					// One that cannot be touched is as old as it is.
					_ = unix.Futimes(int(f.Fd()), []unix.Timeval{now(), now()})
				}
			}
			k.locks.mu.Unlock()
		}
	}
}

func now() unix.Timeval { return unix.NsecToTimeval(time.Now().UnixNano()) }

// dotLock makes FILE.lock beside the file (env_unix.c dotlock_lock).
func (k *FolderLock) dotLock(p *part) error {
	name := p.name + ".lock"
	if p.parent == nil || len(name) > maxNameBytes {
		k.doubt("there is no place for a dot lock of %q", p.path)
		return nil
	}
	lock := fmt.Sprintf("dot lock %q", p.path+".lock")
	file, err := makeDotLock(p.parent, name)
	if errors.Is(err, fs.ErrExist) {
		if busy := k.dotLocked(p, name, lock); busy != nil {
			return busy
		}
		file, err = makeDotLock(p.parent, name)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return &BusyError{Path: p.path, Lock: lock}
	case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT):
		k.doubt("%s cannot be made: %v", lock, err)
		return nil
	case err != nil:
		return fmt.Errorf("mbox %q: %s: %w", p.path, lock, err)
	}
	parent := p.parent
	undo := func() error { return errors.Join(removeLock(parent, name, file), file.Close()) }
	k.undo = append(k.undo, undo)
	k.refresh = append(k.refresh, file)
	return nil
}

// makeDotLock makes a dot lock of this run: locked, with its mark, and only then under its
// name, so that a run which is killed at any moment leaves none that the next one would
// not know for its own.
func makeDotLock(dir *os.File, name string) (*os.File, error) {
	file, err := openUnnamed(dir)
	if errors.Is(err, errors.ErrUnsupported) {
		return makeDotLockInPlace(dir, name)
	}
	if err != nil {
		return nil, err
	}
	if err = markDotLock(file); err == nil {
		err = nameFile(file, dir, name)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// makeDotLockInPlace does it on a file system without files that have no name. There is a
// moment in which it has not its mark yet: what a run that is killed then leaves is busy
// until a person removes it.
func makeDotLockInPlace(dir *os.File, name string) (*os.File, error) {
	file, err := openLock(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return nil, err
	}
	if err := markDotLock(file); err != nil {
		return nil, errors.Join(err, removeLock(dir, name, file), file.Close())
	}
	return file, nil
}

// markDotLock makes a new file a dot lock of this run.
func markDotLock(file *os.File) error {
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { // see removeOwn
		return err
	}
	if _, err := fmt.Fprintf(file, "%d\n%s\n", os.Getpid(), dotLockMark); err != nil {
		return err
	}
	return file.Chmod(dotLockMode)
}

// dotLocked says who has a dot lock. One that a killed run of this program left is
// removed, and nobody has it.
func (k *FolderLock) dotLocked(p *part, name, lock string) error {
	busy := &BusyError{Path: p.path, Lock: lock}
	st, err := lstatAt(p.parent, name)
	if err != nil {
		return busy // gone; tried again
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		busy.Hint = "it is a " + fileType(st) + ": remove it"
		return busy
	}
	file, err := openLock(p.parent, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return busy
	}
	defer file.Close()
	if st, err = fstat(file); err != nil {
		return busy
	}
	if removed, err := removeOwn(p.parent, name, file, st); err != nil || removed {
		return err
	}
	head, err := readHead(file, headSize)
	if err != nil {
		return busy
	}
	if format := Recognise(head, st.Size); format != FormatEmpty && format != FormatNone {
		busy.Hint = fmt.Sprintf("it is no lock, but a mailbox of that name (%d bytes, %v format): give it another name (UW itself would remove it)", st.Size, format)
		return busy
	}
	busy.PID = pidIn(file)
	if age := time.Since(timeOf(st.Ctim)); age >= staleDotLock {
		busy.Hint = fmt.Sprintf("it is %v old, so that a session or delivery that broke off may have left it: remove it if none is running", age.Round(time.Second))
	}
	return busy
}

// removeOwn removes a dot lock that a killed run left: our own file, with our mark, which
// no process has locked. After a power cut the sticky bit is the mark: it comes to the disk
// with the name, what is in the file may not.
func removeOwn(dir *os.File, name string, file *os.File, st *unix.Stat_t) (bool, error) {
	if st.Uid != uint32(os.Geteuid()) || st.Nlink != 1 {
		return false, nil
	}
	text, err := readHead(file, maxLockFile)
	if err != nil || st.Mode&unix.S_ISVTX == 0 && !bytes.HasSuffix(text, []byte("\n"+dotLockMark+"\n")) {
		return false, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return false, nil // its run is alive
	}
	return true, removeLock(dir, name, file)
}
