package fsrights

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DropGroups gives up the supplementary groups of the whole process, if it is root, who
// needs none: there is less to be changed then in each [Identity.Do].
func DropGroups() error {
	if os.Geteuid() != 0 {
		return nil
	}
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("give up supplementary groups: %w", err)
	}
	return nil
}

// Do calls f with the rights of id to the file system, in this goroutine alone: what f
// starts in others does not have them. The kernel takes root's capabilities over files
// away meanwhile (capabilities(7)), so that the answer is the one that id would get, and a
// file that f makes belongs to id. All else, to send signals say, stays as it is. Do may
// be called within f, which must not start programs.
//
// The error is that of f, or says that the rights could not be taken (CAP_SETUID or
// CAP_SETGID is missing), in which case f was not called.
func (id Identity) Do(f func() error) error {
	if os.Geteuid() != 0 {
		return f()
	}
	// The rights are those of one thread (setfsuid(2)), so the goroutine has to stay on it.
	// The runtime makes no new thread from one that is locked.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := id.take()
	defer before.giveBack(id)
	if err != nil {
		return err
	}
	return f()
}

// noID is no user and no group: setting it changes nothing and tells what is set.
const noID = -1

// take makes the thread act as id. It returns who it was before, whatever the error.
func (id Identity) take() (before Identity, err error) {
	// No failure is reported by these two: what came of them is asked for.
	gid, _ := unix.SetfsgidRetGid(int(id.GID))
	uid, _ := unix.SetfsuidRetUid(int(id.UID))
	before.UID, before.GID = uint32(uid), uint32(gid)
	if before.Groups, err = threadGroups(); err != nil {
		before.Groups = id.Groups // nothing to be given back
		return before, fmt.Errorf("supplementary groups: %w", err)
	}
	uid, _ = unix.SetfsuidRetUid(noID)
	gid, _ = unix.SetfsgidRetGid(noID)
	if uint32(uid) != id.UID || uint32(gid) != id.GID {
		before.Groups = id.Groups
		return before, fmt.Errorf("take the rights of uid %d, gid %d: %w (without CAP_SETUID and CAP_SETGID)", id.UID, id.GID, unix.EPERM)
	}
	if !slices.Equal(before.Groups, id.Groups) {
		if err := setThreadGroups(id.Groups); err != nil {
			before.Groups = id.Groups
			return before, fmt.Errorf("take the supplementary groups of uid %d: %w", id.UID, err)
		}
	}
	return before, nil
}

// giveBack ends acting as id. That root may always become itself again is the kernel's
// rule; that a thread with somebody else's rights goes on would be worse than any end.
func (before Identity) giveBack(id Identity) {
	unix.SetfsuidRetUid(int(before.UID))
	unix.SetfsgidRetGid(int(before.GID))
	if !slices.Equal(before.Groups, id.Groups) {
		if err := setThreadGroups(before.Groups); err != nil {
			panic(fmt.Sprintf("fsrights: give back supplementary groups: %v", err))
		}
	}
	if uid, _ := unix.SetfsuidRetUid(noID); uint32(uid) != before.UID {
		panic(fmt.Sprintf("fsrights: still acting as uid %d", uid))
	}
}

// UID is the user whose rights this goroutine uses now.
func UID() uint32 {
	uid, _ := unix.SetfsuidRetUid(noID)
	return uint32(uid)
}

// threadGroups and setThreadGroups are about one thread, as the system calls are. What
// the C library and package syscall make of them is about all.
func threadGroups() ([]uint32, error) {
	n, _, errno := unix.RawSyscall(sysGetgroups, 0, 0, 0)
	if errno != 0 {
		return nil, errno
	}
	if n == 0 {
		return nil, nil
	}
	list := make([]uint32, n)
	if n, _, errno = unix.RawSyscall(sysGetgroups, n, uintptr(unsafe.Pointer(&list[0])), 0); errno != 0 {
		return nil, errno
	}
	return list[:n], nil
}

func setThreadGroups(list []uint32) error {
	_, _, errno := unix.RawSyscall(sysSetgroups, uintptr(len(list)), uintptr(unsafe.Pointer(unsafe.SliceData(list))), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
