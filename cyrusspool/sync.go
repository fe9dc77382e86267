package cyrusspool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// SyncFS puts what was written into the mailbox directories dirs on the disk, and
// returns the error of a write that failed in the background. It is one syncfs(2) for
// each file system. Kernels before 5.8 do not report failed writes there, so that each
// file of each directory and the directories above them are synced one by one instead.
func SyncFS(dirs ...string) error {
	return syncDirs(dirs, syncfsReports())
}

// syncfsReports tells whether syncfs(2) returns errors of writing back (Linux 5.8).
var syncfsReports = sync.OnceValue(func() bool {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return false
	}
	return atLeast58(unix.ByteSliceToString(name.Release[:]))
})

func atLeast58(release string) bool {
	var major, minor int
	if n, err := fmt.Sscanf(release, "%d.%d", &major, &minor); n != 2 || err != nil {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
}

// SyncFSReports tells whether [SyncFS] can rely on syncfs(2) here.
func SyncFSReports() bool { return syncfsReports() }

func syncDirs(dirs []string, syncfs bool) error {
	done := make(map[uint64]bool) // file systems
	above := make(map[string]bool)
	for _, dir := range dirs {
		err := withDir(dir, func(d *os.File) error {
			if !syncfs {
				return syncFiles(d)
			}
			var st unix.Stat_t
			if err := unix.Fstat(int(d.Fd()), &st); err != nil {
				return err
			}
			if done[uint64(st.Dev)] {
				return nil
			}
			done[uint64(st.Dev)] = true
			return retry(func() error { return unix.Syncfs(int(d.Fd())) })
		})
		if err != nil {
			return fmt.Errorf("sync %s: %w", dir, err)
		}
		if !syncfs {
			for up := filepath.Dir(dir); up != filepath.Dir(up) && !above[up]; up = filepath.Dir(up) {
				above[up] = true
			}
		}
	}
	for dir := range above {
		if err := withDir(dir, (*os.File).Sync); err != nil {
			return fmt.Errorf("sync %s: %w", dir, err)
		}
	}
	return nil
}

func withDir(dir string, f func(*os.File) error) (err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	d := os.NewFile(uintptr(fd), dir)
	defer func() { err = errors.Join(err, d.Close()) }()
	return f(d)
}

// syncFiles syncs every regular file of d, many at a time because each waits for the
// disk, and then d.
func syncFiles(d *os.File) error {
	var group errgroup.Group
	group.SetLimit(32)
	for {
		entries, err := d.ReadDir(1000)
		for _, entry := range entries {
			if entry.Type().IsRegular() {
				group.Go(func() error { return syncFile(d, entry.Name()) })
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return errors.Join(err, group.Wait())
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return d.Sync()
}

func syncFile(d *os.File, name string) (err error) {
	fd, err := unix.Openat(int(d.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}
