package mbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/cclient"
)

// lockable is a host with one folder of alice's and locks that are kept in the tree.
type lockable struct {
	*hostTree
	host  *Host
	alice User
	locks *Locks
	file  File
}

// newLockable makes a folder "x" of the given files below the mail directory; names that
// begin with "x/" make it a directory.
func newLockable(t *testing.T, files map[string]string) *lockable {
	h := newHostTree(t)
	l := &lockable{hostTree: h, alice: h.user("alice", 1)}
	for name, content := range files {
		h.file("home/alice/mail/"+name, content)
	}
	h.own("home/alice", 1)
	h.dir("tmp")
	l.locks = &Locks{SessionDir: h.path("tmp"), Wait: time.Nanosecond}
	t.Cleanup(func() { h.must(l.locks.Close()) })
	l.host = h.open(HostOptions{})
	tree, err := l.host.Folders(l.alice)
	h.must(err)
	if len(tree.Folders) != 1 {
		t.Fatalf("folders %v, want one", folderNames(tree))
	}
	l.file = tree.Folders[0]
	return l
}

func (l *lockable) open() *Folder {
	l.t.Helper()
	f, err := l.host.Open(l.alice, l.file)
	l.must(err)
	l.t.Cleanup(func() { l.must(f.Close()) })
	return f
}

// session is the path of the folder's session lock.
func (l *lockable) session() string {
	return l.path(fmt.Sprintf("tmp/.%x.%x", l.file.Dev, l.file.Ino))
}

// left fails the test if a lock file was left.
func (l *lockable) left(want ...string) {
	l.t.Helper()
	var left []string
	for path := range l.sums() {
		if rel, _ := strings.CutPrefix(path, l.root+"/"); strings.HasSuffix(rel, ".lock") || filepath.Dir(rel) == "tmp" {
			left = append(left, filepath.Base(rel))
		}
	}
	slices.Sort(left)
	checkEqual(l.t, "lock files", left, want)
}

// flockedBy has another open file lock path and returns how to unlock it.
func flockedBy(t *testing.T, path string) func() {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { f.Close() }
}

// locked reports whether somebody has an flock of path that excludes how.
func locked(t *testing.T, path string, how int) bool {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err {
	case nil:
		return false
	case unix.EWOULDBLOCK:
		return true
	default:
		t.Fatal(err)
		return false
	}
}

const mixMetaText = "S00000001\r\nV3edb5b00\r\nL00000000\r\nN00000001\r\nK\r\n"

// TestLocks: which locks are taken on each format, and that all are gone afterwards with
// the source as it was.
func TestLocks(t *testing.T) {
	mix := map[string]string{"x/.mixmeta": mixMetaText, "x/.mixindex": "S00000001\r\n", "x/.mixstatus": "S00000001\r\n"}
	tests := []struct {
		name           string
		files          map[string]string
		session, dot   bool
		shared, denied []string // files with a shared or an exclusive flock
	}{
		{"unix", map[string]string{"x": mailOf("a")}, true, true, []string{"x"}, nil},
		{"empty", map[string]string{"x": ""}, true, true, []string{"x"}, nil},
		{"mmdf", map[string]string{"x": "\x01\x01\x01\x01\nSubject: s\n\nx\n\x01\x01\x01\x01\n"}, true, true, []string{"x"}, nil},
		{"mbx", map[string]string{"x": mbxOf("a")}, true, false, []string{"x"}, nil},
		{"tenex", map[string]string{"x": tenexOf("\n", "a")}, true, false, []string{"x"}, nil},
		{"mtx", map[string]string{"x": tenexOf("\r\n", "a")}, true, false, []string{"x"}, nil},
		{"mix", mix, false, false, []string{"x/.mixmeta", "x/.mixindex", "x/.mixstatus"}, nil},
		{"mx", map[string]string{"x/.mxindex": mxIndexText}, false, false, nil, []string{"x/.mxindex"}},
		{"mh", map[string]string{"x/.mh_sequences": "", "x/1": "Subject: a\n\nb\n"}, false, false, nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLockable(t, test.files)
			before := l.sums()
			lock, err := l.locks.Take(t.Context(), l.open())
			l.must(err)
			checkEqual(t, "doubts", lock.Doubts, []string(nil))
			var want []string
			if test.session {
				want = append(want, filepath.Base(l.session()))
				st, err := os.Stat(l.session())
				l.must(err)
				if st.Mode().Perm() != 0o666 || st.Size() != 0 {
					t.Errorf("session lock: mode %v, %d bytes; want one that everybody can open, and empty", st.Mode(), st.Size())
				}
				if !locked(t, l.session(), unix.LOCK_SH) {
					t.Error("the session lock is not locked")
				}
			}
			if test.dot {
				want = append(want, "x.lock")
			}
			l.left(want...)
			for _, name := range test.shared {
				path := l.path("home/alice/mail/" + name)
				if !locked(t, path, unix.LOCK_EX) || locked(t, path, unix.LOCK_SH) {
					t.Errorf("%s has no shared lock", name)
				}
			}
			for _, name := range test.denied {
				if !locked(t, l.path("home/alice/mail/"+name), unix.LOCK_SH) {
					t.Errorf("%s has no exclusive lock", name)
				}
			}
			l.must(lock.Release())
			l.must(lock.Release())
			l.left()
			checkEqual(t, "the tree", l.sums(), before)
			for _, name := range slices.Concat(test.shared, test.denied) {
				if locked(t, l.path("home/alice/mail/"+name), unix.LOCK_EX) {
					t.Errorf("%s is still locked", name)
				}
			}
		})
	}
}

// TestLocksUnion: an INBOX in several places is locked in all of them, or in none.
func TestLocksUnion(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.file("var/mail/alice", mailOf("s"))
	h.file("home/alice/mbox", mailOf("m"))
	h.own("home/alice", 1)
	h.own("var/mail", 1)
	h.dir("tmp")
	host := h.open(HostOptions{})
	tree, err := host.Folders(alice)
	h.must(err)
	f, err := host.Open(alice, *tree.Inbox)
	h.must(err)
	defer func() { h.must(f.Close()) }()
	locks := &Locks{SessionDir: h.path("tmp"), Wait: time.Nanosecond}
	lock, err := locks.Take(t.Context(), f)
	h.must(err)
	for _, path := range []string{"var/mail/alice.lock", "home/alice/mbox.lock"} {
		if _, err := os.Stat(h.path(path)); err != nil {
			t.Error(err)
		}
	}
	h.must(lock.Release())
	unlock := flockedBy(t, h.path("var/mail/alice")) // the last of all locks but one
	defer unlock()
	if _, err := locks.Take(t.Context(), f); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v; want busy", err)
	}
	for path := range h.sums() {
		if strings.HasSuffix(path, ".lock") || filepath.Dir(path) == h.path("tmp") {
			t.Errorf("%s was left", path)
		}
	}
}

// TestLocksBusy: what somebody else has is told with who has it, and left alone.
func TestLocksBusy(t *testing.T) {
	unixFolder := map[string]string{"x": mailOf("a")}
	session := func(content string) func(l *lockable) func() {
		return func(l *lockable) func() {
			l.must(os.WriteFile(l.session(), []byte(content), 0o600))
			return flockedBy(l.t, l.session())
		}
	}
	self := fmt.Sprintf("process %d", os.Getpid())
	tests := []struct {
		name  string
		files map[string]string
		hold  func(l *lockable) func()
		say   []string
		left  bool // the holder's own lock file
	}{
		{"session that says its process", unixFolder, session("12345"), []string{"session lock", "process 12345"}, true},
		{"session that does not", unixFolder, session(""), []string{"session lock", self}, true},
		{"session of mbx", map[string]string{"x": mbxOf("a")}, session("12345"), []string{"session lock"}, true},
		{"dot lock", unixFolder, func(l *lockable) func() {
			l.file2("home/alice/mail/x.lock", "4711\n")
			return func() {}
		}, []string{"dot lock", "process 4711"}, true},
		{"dot lock of a run that is alive", unixFolder, func(l *lockable) func() {
			l.file2("home/alice/mail/x.lock", "4711\n"+dotLockMark+"\n")
			return flockedBy(l.t, l.path("home/alice/mail/x.lock"))
		}, []string{"dot lock", "process 4711"}, true},
		{"dot lock that is a link", unixFolder, func(l *lockable) func() {
			l.symlink("/etc/passwd", "home/alice/mail/x.lock")
			return func() {}
		}, []string{"dot lock", "symbolic link"}, true},
		{"a folder in the place of the dot lock", unixFolder, func(l *lockable) func() {
			l.file2("home/alice/mail/x.lock", mailOf("b"))
			return func() {}
		}, []string{"dot lock", "it is no lock, but a mailbox of that name", "give it another name"}, true},
		{"file being written", unixFolder, func(l *lockable) func() {
			return flockedBy(l.t, l.path("home/alice/mail/x"))
		}, []string{"flock", self}, false},
		{"mbx being compacted", map[string]string{"x": mbxOf("a")}, func(l *lockable) func() {
			return flockedBy(l.t, l.path("home/alice/mail/x"))
		}, []string{"flock", self}, false},
		{"file locked by fcntl", unixFolder, func(l *lockable) func() {
			f, err := os.OpenFile(l.path("home/alice/mail/x"), os.O_RDWR, 0)
			l.must(err)
			l.must(readLock(f, unix.F_WRLCK))
			return func() { f.Close() }
		}, []string{"fcntl"}, false},
		{"mx being written", map[string]string{"x/.mxindex": mxIndexText}, func(l *lockable) func() {
			return flockedBy(l.t, l.path("home/alice/mail/x/.mxindex"))
		}, []string{"flock", ".mxindex", self}, false},
		{"mix being written", map[string]string{"x/.mixmeta": mixMetaText, "x/.mixindex": "S00000001\r\n", "x/.mixstatus": "S00000001\r\n"}, func(l *lockable) func() {
			return flockedBy(l.t, l.path("home/alice/mail/x/.mixstatus"))
		}, []string{"flock", ".mixstatus", self}, false},
		{"trap: a link for a session lock", unixFolder, func(l *lockable) func() {
			l.must(os.Symlink(l.path("etc/passwd"), l.session()))
			return func() {}
		}, []string{"session lock", "no ordinary file"}, true},
		{"trap: a second name for a session lock", unixFolder, func(l *lockable) func() {
			l.must(os.Link(l.path("etc/passwd"), l.session()))
			return func() {}
		}, []string{"session lock", "no ordinary file"}, true},
		{"trap: a FIFO for a session lock", unixFolder, func(l *lockable) func() {
			l.must(unix.Mkfifo(l.session(), 0o600))
			return func() {}
		}, []string{"session lock", "no ordinary file"}, true},
		{"trap: a directory for a session lock", unixFolder, func(l *lockable) func() {
			l.must(os.Mkdir(l.session(), 0o700))
			return func() {}
		}, []string{"session lock", "no ordinary file"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLockable(t, test.files)
			f := l.open()
			unlock := test.hold(l)
			defer unlock()
			before := l.sums()
			_, err := l.locks.Take(t.Context(), f)
			var busy *BusyError
			if !errors.Is(err, ErrBusy) || !errors.As(err, &busy) || busy.Path != "home/alice/mail/x" {
				t.Fatalf("error %v; want busy", err)
			}
			for _, say := range test.say {
				if !strings.Contains(err.Error(), say) {
					t.Errorf("%q does not say %q", err, say)
				}
			}
			// It has locks on the file itself when it comes to the one that is held.
			if strings.Contains(err.Error(), self) && !slices.Contains(test.say, self) {
				t.Errorf("%q takes this process for the holder", err)
			}
			checkEqual(t, "the tree", l.sums(), before)
			if !test.left {
				unlock()
				lock, err := l.locks.Take(t.Context(), f)
				l.must(err)
				l.must(lock.Release())
			}
		})
	}
}

// file2 is file for what is no part of the folder.
func (l *lockable) file2(path, content string) {
	l.t.Helper()
	l.must(os.WriteFile(l.path(path), []byte(content), 0o600))
}

// TestLocksLeftBehind: what killed sessions left does not stop the reader.
func TestLocksLeftBehind(t *testing.T) {
	for name, left := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"killed":                   {"12345\n" + dotLockMark + "\n", 0o666},
		"killed by a power cut":    {"", dotLockMode},
		"killed by one, half done": {"\x00\x00", dotLockMode},
	} {
		t.Run(name, func(t *testing.T) { testLocksLeftBehind(t, left.text, left.mode) })
	}
}

// testLocksLeftBehind is that with one form of a dot lock.
func testLocksLeftBehind(t *testing.T, text string, mode os.FileMode) {
	l := newLockable(t, map[string]string{"x": mailOf("a")})
	f := l.open()
	// Of UW: nobody has the session lock. It is used, and stays if it is somebody else's.
	l.must(os.WriteFile(l.session(), []byte("12345"), 0o600))
	var want []string
	if os.Getuid() == 0 {
		l.must(os.Chown(l.session(), l.uid(1), 100))
		want = append(want, filepath.Base(l.session()))
	}
	// Of this program.
	dotLock := l.path("home/alice/mail/x.lock")
	l.must(os.WriteFile(dotLock, []byte(text), 0o600))
	l.must(os.Chmod(dotLock, mode))
	lock, err := l.locks.Take(t.Context(), f)
	l.must(err)
	if st, err := os.Stat(l.session()); err != nil || st.Size() != 0 {
		t.Errorf("session lock %v, %v; want it without the process that is gone", st, err)
	}
	l.must(lock.Release())
	l.left(want...)
}

// TestMakeDotLock: both ways make a lock that is complete, and neither takes one away.
func TestMakeDotLock(t *testing.T) {
	for name, make := range map[string]func(dir *os.File, name string) (*os.File, error){"at once": makeDotLock, "in place": makeDotLockInPlace} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			dir, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			file, err := make(dir, "x.lock")
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			lock := filepath.Join(path, "x.lock")
			text, err := os.ReadFile(lock)
			if want := fmt.Sprintf("%d\n%s\n", os.Getpid(), dotLockMark); err != nil || string(text) != want {
				t.Errorf("%q, %v; want %q", text, err, want)
			}
			if info, err := os.Stat(lock); err != nil || info.Mode() != dotLockMode || !locked(t, lock, unix.LOCK_SH) {
				t.Errorf("mode %v, %v, or it is not locked", info.Mode(), err)
			}
			if _, err := make(dir, "x.lock"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("a second one: %v", err)
			}
			if entries, err := os.ReadDir(path); err != nil || len(entries) != 1 {
				t.Errorf("there are %v, %v", entries, err)
			}
		})
	}
}

// TestLocksWait: a lock that is given back in time is taken.
func TestLocksWait(t *testing.T) {
	l := newLockable(t, map[string]string{"x": mailOf("a")})
	f := l.open()
	l.locks.Wait = time.Minute
	unlock := flockedBy(t, l.path("home/alice/mail/x"))
	time.AfterFunc(2*lockRetry, unlock)
	lock, err := l.locks.Take(t.Context(), f)
	l.must(err)
	l.must(lock.Release())

	unlock = flockedBy(t, l.path("home/alice/mail/x"))
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 2*lockRetry)
	defer cancel()
	if _, err := l.locks.Take(ctx, f); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v; want that of the context", err)
	}
	l.left()
}

// TestLocksClose: a program that ends leaves no lock, and takes none.
func TestLocksClose(t *testing.T) {
	l := newLockable(t, map[string]string{"x": mailOf("a")})
	f := l.open()
	lock, err := l.locks.Take(t.Context(), f)
	l.must(err)
	l.must(l.locks.Close())
	l.left()
	if _, err := l.locks.Take(t.Context(), f); !errors.Is(err, errLocksClosed) {
		t.Errorf("error %v; want %v", err, errLocksClosed)
	}
	l.left()
	l.must(lock.Release())
}

// TestLocksNoPlace: without a place for the dot lock the others are taken, as UW does.
func TestLocksNoPlace(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root can write everywhere")
	}
	l := newLockable(t, map[string]string{"x": mailOf("a")})
	f := l.open()
	l.must(os.Chmod(l.path("home/alice/mail"), 0o500))
	t.Cleanup(func() { os.Chmod(l.path("home/alice/mail"), 0o700) })
	lock, err := l.locks.Take(t.Context(), f)
	l.must(err)
	if len(lock.Doubts) != 1 || !strings.Contains(lock.Doubts[0], "dot lock") {
		t.Errorf("doubts %q; want one about the dot lock", lock.Doubts)
	}
	l.must(lock.Release())
	l.left()
}

// TestLocksAgainstUW: a mailbox that UW's own code has open is busy, and says who has it.
func TestLocksAgainstUW(t *testing.T) {
	c := cclient.New(t)
	for _, format := range []string{"unix", "mbx", "tenex", "mtx", "mix", "mx"} {
		t.Run(format, func(t *testing.T) {
			name := "held-" + format
			c.Do(t, "", "create", "#driver."+format+"/"+name)
			c.Do(t, "Subject: x\r\n\r\nbody\r\n", "append", name, "-", " 2-Jun-2003 10:11:12 -0400")
			f, err := OpenFolder(c.Path(name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd := c.Command(t, "hold", name)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
				t.Fatalf("c-client says %q, %v", line, err)
			}
			locks := &Locks{Wait: time.Nanosecond}
			lock, err := locks.Take(t.Context(), f)
			// Sessions of the others lock while they work only: mail is added to an mbx
			// file, say, while clients have it open.
			busy := (*BusyError)(nil)
			if slices.Contains([]string{"unix", "tenex", "mtx"}, format) {
				if !errors.As(err, &busy) || busy.PID != cmd.Process.Pid {
					t.Errorf("error %v; want busy by process %d", err, cmd.Process.Pid)
				}
			} else if err != nil {
				t.Error(err)
			}
			if lock != nil {
				if err := lock.Release(); err != nil {
					t.Error(err)
				}
			}
			in.Close()
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			if lock, err = locks.Take(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := lock.Release(); err != nil {
					t.Error(err)
				}
			}()
			if format != "unix" {
				return
			}
			// And UW sees ours: it opens the mailbox read-only, and does us no harm.
			if testing.Short() {
				t.Skip("UW waits 15 seconds for a session")
			}
			cmd = c.Command(t, "hold", name)
			said, err := cmd.Output()
			if string(said) != "read-only\n" {
				t.Errorf("c-client says %q, %v; want that the mailbox is open read-only", said, err)
			}
		})
	}
}
