package mbox

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/fsrights"
)

// Locks takes the locks that UW IMAP itself takes, on the folders of a live host, so that
// none is read while a session or a delivery changes it. It breaks nobody's lock and
// leaves none behind. Its methods may be called from several goroutines.
type Locks struct {
	// SessionDir is where c-client keeps the locks of sessions, default "/tmp".
	SessionDir string
	// Wait is how long to wait for a lock that somebody else has, default 10 s.
	Wait time.Duration

	mu     sync.Mutex
	closed bool
	held   map[*FolderLock]bool
}

const (
	defaultLockWait = 10 * time.Second
	lockRetry       = 200 * time.Millisecond
	// staleDotLock is the age from which UW takes a dot lock away from its maker (env_unix.c
	// dotlock_lock). Ours are kept younger.
	staleDotLock   = 5 * time.Minute
	refreshDotLock = time.Minute
	// dotLockMark is in the dot locks of this program, after the process id that other
	// programs look for (liblockfile). It tells one that a killed run left from all others.
	dotLockMark = "mbox2cyrus"
)

// ErrBusy is wrapped by every [*BusyError].
var ErrBusy = errors.New("busy")

// errLocksClosed ends waiting for locks when the program ends.
var errLocksClosed = errors.New("locks are closed")

// BusyError says that somebody else has a lock on a folder.
type BusyError struct {
	Path string // raw, of the folder
	Lock string // which lock
	PID  int    // process that holds it, 0 if it cannot be told
	Hint string // what to do, "" if it is only to wait
}

func (e *BusyError) Error() string {
	who := ""
	if e.PID > 0 {
		who = fmt.Sprintf(" by process %d", e.PID)
	}
	if e.Hint != "" {
		who += "; " + e.Hint
	}
	return fmt.Sprintf("mbox %q: busy: %s is held%s", e.Path, e.Lock, who)
}

// Unwrap makes it an [ErrBusy].
func (e *BusyError) Unwrap() error { return ErrBusy }

// FolderLock is all locks of one folder.
type FolderLock struct {
	// Doubts are the locks that could not be taken although nobody has them, for an
	// administrator: a directory that is not writable has no place for a dot lock. UW
	// goes on without them too ("Mailbox vulnerable").
	Doubts []string

	locks   *Locks
	once    sync.Once
	err     error
	undo    []func() error // the last first
	refresh []*os.File     // dot locks
	stop    chan struct{}
}

// Take takes the locks of all files of a folder, in UW's order (unix.c unix_lock, mbx.c
// mbx_open, mix.c mix_open, mx.c mx_lockindex):
//
//   - unix and mmdf: the session lock of the file, exclusive; FILE.lock; a shared flock(2)
//     of the file and, for other programs, a read lock of fcntl(2);
//   - mbx, tenex and mtx: the session lock and the shared locks;
//   - mix: a shared flock of the three files of the index;
//   - mx: an exclusive flock of the index;
//   - mh: none.
//
// They are taken with the process's own rights, whosever the goroutine uses.
//
// What somebody else has after the time to wait is a [*BusyError], and nothing is locked.
// The folder must stay open until the lock is released.
func (l *Locks) Take(ctx context.Context, f *Folder) (*FolderLock, error) {
	k := &FolderLock{locks: l, stop: make(chan struct{})}
	l.mu.Lock()
	if l.held == nil {
		l.held = make(map[*FolderLock]bool)
	}
	l.held[k] = true
	l.mu.Unlock()
	deadline := time.Now().Add(cmp.Or(l.Wait, defaultLockWait))
	err := fsrights.AsSelf(func() error {
		for i := range f.parts {
			if err := k.part(ctx, &f.parts[i], deadline); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, k.Release())
	}
	if len(k.refresh) > 0 {
		go k.keepYoung()
	}
	return k, nil
}

// Release gives all locks back and removes the files that were made for them. The second
// call does nothing.
func (k *FolderLock) Release() error {
	k.once.Do(func() {
		close(k.stop)
		k.locks.mu.Lock()
		defer k.locks.mu.Unlock()
		k.err = fsrights.AsSelf(func() error {
			var errs []error
			for i := len(k.undo) - 1; i >= 0; i-- {
				errs = append(errs, k.undo[i]())
			}
			return errors.Join(errs...)
		})
		delete(k.locks.held, k)
	})
	return k.err
}

// Close releases all locks, and none can be taken any more: for a program that is about
// to end while it still reads.
func (l *Locks) Close() error {
	l.mu.Lock()
	l.closed = true
	var held []*FolderLock
	for k := range l.held {
		held = append(held, k)
	}
	l.mu.Unlock()
	var errs []error
	for _, k := range held {
		errs = append(errs, k.Release())
	}
	return errors.Join(errs...)
}

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

// part takes the locks of one place.
func (k *FolderLock) part(ctx context.Context, p *part, deadline time.Time) error {
	wait := func(try func() error) error { return k.wait(ctx, deadline, try) }
	shared := func() error {
		if err := wait(func() error { return k.flock(p, p.file, "the file", unix.LOCK_SH) }); err != nil {
			return err
		}
		return wait(func() error { return k.rangeLock(p) })
	}
	index := func(how int, names ...string) error {
		for _, name := range names {
			if err := wait(func() error { return k.member(p, name, how) }); err != nil {
				return err
			}
		}
		return nil
	}
	switch p.format {
	case FormatMix:
		return index(unix.LOCK_SH, ".mixmeta", ".mixindex", ".mixstatus")
	case FormatMX:
		return index(unix.LOCK_EX, ".mxindex")
	case FormatMH:
		return nil
	}
	if err := wait(func() error { return k.session(p) }); err != nil {
		return err
	}
	switch p.format {
	case FormatMBX, FormatTenex, FormatMTX:
	default:
		if err := wait(func() error { return k.dotLock(p) }); err != nil {
			return err
		}
	}
	return shared()
}

// wait calls try, which must not block, until it succeeds, fails otherwise than by being
// busy, or the time is over. No lock is taken once the locks are closed.
func (k *FolderLock) wait(ctx context.Context, deadline time.Time, try func() error) error {
	for {
		k.locks.mu.Lock()
		err := errLocksClosed
		if !k.locks.closed {
			err = try()
		}
		k.locks.mu.Unlock()
		if !errors.Is(err, ErrBusy) || !time.Now().Before(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockRetry):
		}
	}
}

func (k *FolderLock) doubt(format string, args ...any) {
	k.Doubts = append(k.Doubts, fmt.Sprintf(format, args...))
}

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
		return fmt.Errorf("mbox %q: session lock %s: %w", p.path, lockPath, err)
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
		return fmt.Errorf("mbox %q: session lock %s: %w", p.path, lockPath, errors.Join(err, remove()))
	case have.Mode&unix.S_IFMT != unix.S_IFREG || have.Nlink != 1:
		return errors.Join(strange, remove())
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if err != unix.EWOULDBLOCK {
			return fmt.Errorf("mbox %q: session lock %s: %w", p.path, lockPath, errors.Join(err, remove()))
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
		return fmt.Errorf("mbox %q: session lock %s: %w", p.path, lockPath, errors.Join(err, remove()))
	}
	keep, err := reopen(dir, pathOnly)
	if err != nil {
		return fmt.Errorf("mbox %q: session lock %s: %w", p.path, lockPath, errors.Join(err, remove()))
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

// flock locks an open file as flock(2) does.
func (k *FolderLock) flock(p *part, file *os.File, what string, how int) error {
	err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
	switch err {
	case nil:
		k.undo = append(k.undo, func() error { return unix.Flock(int(file.Fd()), unix.LOCK_UN) })
		return nil
	case unix.EWOULDBLOCK:
		busy := &BusyError{Path: p.path, Lock: "the lock (flock) of " + what}
		if st, err := fstat(file); err == nil {
			busy.PID = lockHolder(st, flocks)
		}
		return busy
	case unix.ENOLCK, unix.EOPNOTSUPP:
		k.doubt("%q cannot be locked by flock: %v", p.path, err)
		return nil
	}
	return fmt.Errorf("mbox %q: flock: %w", p.path, err)
}

// rangeLock locks the file for programs that know only fcntl(2).
func (k *FolderLock) rangeLock(p *part) error {
	err := readLock(p.file, unix.F_RDLCK)
	switch err {
	case nil:
		k.undo = append(k.undo, func() error { return readLock(p.file, unix.F_UNLCK) })
		return nil
	case unix.EAGAIN, unix.EACCES:
		busy := &BusyError{Path: p.path, Lock: "the lock (fcntl) of the file"}
		if st, err := fstat(p.file); err == nil {
			busy.PID = lockHolder(st, fcntlLocks)
		}
		return busy
	case unix.ENOLCK, unix.EOPNOTSUPP, unix.EINVAL:
		k.doubt("%q cannot be locked by fcntl: %v", p.path, err)
		return nil
	}
	return fmt.Errorf("mbox %q: fcntl: %w", p.path, err)
}

// member locks a file of a mailbox directory by flock. One that is not there needs no
// lock.
func (k *FolderLock) member(p *part, name string, how int) error {
	file, _, err := p.dir.open(name)
	var refused *RefusedError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &refused):
		return nil // whoever reads the mailbox says so
	case err != nil:
		return fmt.Errorf("mbox %q: %w", p.path, err)
	}
	before := len(k.undo)
	if err := k.flock(p, file, name, how); err != nil {
		return errors.Join(err, file.Close())
	}
	if len(k.undo) == before {
		return file.Close()
	}
	unlock := k.undo[before]
	k.undo[before] = func() error { return errors.Join(unlock(), file.Close()) }
	return nil
}

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
