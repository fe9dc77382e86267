package cyrusspool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/groupsync"
)

// Disks are the file systems of directories that are written to. Many goroutines may use
// them. The zero Disks knows none.
type Disks struct {
	mu    sync.Mutex
	known map[uint64]*disk // by device number
}

// disk is one file system.
type disk struct {
	dir  *os.File // some directory in it, open from before anything is written
	sync groupsync.Sync
}

// Watch gets to know the file systems of directories. A write that fails in the background
// is told once to those who had opened something there before (errseq_t in the Linux
// kernel), so Watch is called before anything is written that is to be synced.
func (s *Disks) Watch(dirs ...string) error {
	for _, dir := range dirs {
		if _, err := s.of(dir); err != nil {
			return fmt.Errorf("watch %s: %w", dir, err)
		}
	}
	return nil
}

// of returns the file system that a directory is in.
func (s *Disks) of(dir string) (*disk, error) {
	f, err := openForSync(dir)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.known[uint64(st.Dev)]; d != nil {
		return d, f.Close()
	}
	d := &disk{dir: f}
	d.sync.Do = func() error { return retry(func() error { return unix.Syncfs(int(d.dir.Fd())) }) }
	if s.known == nil {
		s.known = map[uint64]*disk{}
	}
	s.known[uint64(st.Dev)] = d
	return d, nil
}

// Sync puts what was written into the mailbox directories dirs on the disk, and
// returns the error of a write that failed in the background; from then on all fail that
// have to do with that file system. It is one syncfs(2) for each file system, and one for all
// who wait. Kernels before 5.8 do not report failed writes there, so that each
// file of each directory and the directories above them are synced one by one instead.
func (s *Disks) Sync(dirs ...string) error { return s.syncDirs(dirs, syncfsReports()) }

// Close forgets the file systems.
func (s *Disks) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, d := range s.known {
		errs = append(errs, d.dir.Close())
	}
	s.known = nil
	return errors.Join(errs...)
}

// SyncFS is [Disks.Sync] once.
func SyncFS(dirs ...string) error {
	var s Disks
	return errors.Join(s.Sync(dirs...), s.Close())
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

func (s *Disks) syncDirs(dirs []string, syncfs bool) error {
	if !syncfs {
		return syncOneByOne(dirs)
	}
	var disks []*disk
	for _, dir := range dirs {
		d, err := s.of(dir)
		if err != nil {
			return fmt.Errorf("sync %s: %w", dir, err)
		}
		if slices.Contains(disks, d) {
			continue
		}
		disks = append(disks, d)
		if err := d.sync.Wait(); err != nil {
			return fmt.Errorf("sync %s: %w", dir, err)
		}
	}
	return nil
}

// syncOneByOne syncs the files of directories, and the directories above them.
func syncOneByOne(dirs []string) error {
	above := make(map[string]bool)
	for _, dir := range dirs {
		if err := withDir(dir, syncFiles); err != nil {
			return fmt.Errorf("sync %s: %w", dir, err)
		}
		for up := filepath.Dir(dir); up != filepath.Dir(up) && !above[up]; up = filepath.Dir(up) {
			above[up] = true
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
	d, err := openForSync(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return f(d)
}

func openForSync(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), dir), nil
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
