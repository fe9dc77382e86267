package retire

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/mbox"
)

func archive(t *testing.T) (*Archive, string) {
	t.Helper()
	base := t.TempDir()
	path := filepath.Join(base, "archive")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	a, err := OpenArchive(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a, base
}

// TestPruneAfterCut: what a run that was cut off while it pruned left is pruned.
func TestPruneAfterCut(t *testing.T) {
	a, base := archive(t)
	if err := os.Mkdir(filepath.Join(base, "archive", "var"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := a.prune("var/mail/deep"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(base, "archive", "var")); err == nil {
		t.Error("var is still there")
	}
}

// TestBlockInSetgidDirectory is known again, with the bit that it got from where it was made.
func TestBlockInSetgidDirectory(t *testing.T) {
	a, _ := archive(t)
	if err := os.Chmod(a.Path, 0o700|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	d, err := a.open("var/mail", true)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 2 { // as by a run that was cut off
		if err := makeBlock(d, "joe"); err != nil {
			t.Fatal(err)
		}
	}
	st, _, err := entry(d, "joe")
	if err != nil || st.Mode&unix.S_ISGID == 0 {
		t.Fatalf("mode %o, %v", st.Mode, err)
	}
	if !isBlock(st) || free(d, "joe", Move{DirUID: st.Uid, Blocked: true}) != nil {
		t.Errorf("a block with mode %o is taken for something else", st.Mode)
	}
}

// TestRacingUser lets a user put links, directories and other files in the place of
// his folder, as fast as he can, while it is being moved. What ends in the archive is
// the folder that was opened or nothing, and nothing of his victim's is touched.
func TestRacingUser(t *testing.T) {
	a, base := archive(t)
	home := filepath.Join(base, "home")
	victim := filepath.Join(base, "victim")
	for _, dir := range []string{home, victim} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(victim, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(home, "folder")
	moved, refused := 0, 0
	for i := range 300 {
		state := t.TempDir()
		record, err := OpenRecord(state, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(folder, []byte("mail"), 0o600); err != nil {
			t.Fatal(err)
		}
		dir, err := os.Open(home)
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(folder)
		if err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(file.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		m := Move{State: Moving, Path: ledger.RawName("home/folder"), Ino: st.Ino, Size: 4, ModTime: time.Unix(st.Mtim.Unix()).UTC(), Archive: ledger.RawName(a.Path)}
		r := &Retirer{Record: record}
		var attacker sync.WaitGroup
		start := make(chan struct{})
		attacker.Go(func() {
			<-start
			other := filepath.Join(home, "other")
			switch i % 3 {
			case 0:
				os.Symlink(filepath.Join(victim, "secret"), other)
			case 1:
				os.WriteFile(other, []byte("fake"), 0o600)
			case 2:
				os.Mkdir(other, 0o700)
			}
			os.Rename(folder, filepath.Join(home, "mine"))
			os.Rename(other, folder)
		})
		close(start)
		err = r.move(mbox.Place{Path: "home/folder", Dir: dir, Name: "folder", File: file}, a, m, nil)
		attacker.Wait()
		inArchive, ok, eerr := entry(a.dir, "home")
		if eerr != nil {
			t.Fatal(eerr)
		}
		if ok {
			d, derr := a.open("home", false)
			if derr != nil {
				t.Fatal(derr)
			}
			inArchive, ok, eerr = entry(d, "folder")
			if eerr != nil {
				t.Fatal(eerr)
			}
			d.Close()
		}
		switch {
		case err == nil && (!ok || inArchive.Ino != m.Ino):
			t.Fatalf("round %d: it is not the folder that was moved", i)
		case err != nil && ok && inArchive.Ino != m.Ino && !strings.Contains(err.Error(), "file exists"):
			t.Fatalf("round %d: %v, and a stranger is in the archive", i, err)
		case err == nil:
			moved++
		default:
			refused++
		}
		if b, err := os.ReadFile(filepath.Join(victim, "secret")); err != nil || string(b) != "secret" {
			t.Fatalf("the victim has %q, %v", b, err)
		}
		file.Close()
		dir.Close()
		record.Close()
		for _, path := range []string{home, filepath.Join(a.Path, "home")} {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(home, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("moved %d times, refused %d times", moved, refused)
}

// TestChangedStays: what is not as it was verified when it is to be moved, or was written to until it
// was, stays where it is, or is put back there, and nothing is left in the archive.
func TestChangedStays(t *testing.T) {
	changed := errors.New("it changed")
	for _, tt := range []struct {
		name      string
		dir       bool
		unchanged func(file string, renamed bool) error
	}{
		{"before", false, func(string, bool) error { return changed }},
		{"file, while it is moved", false, func(file string, _ bool) error { return os.WriteFile(file, []byte("mail, and more"), 0o600) }},
		{"directory, while it is moved", true, func(_ string, renamed bool) error {
			if renamed {
				return changed
			}
			return nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, base := archive(t)
			record, err := OpenRecord(t.TempDir(), true)
			if err != nil {
				t.Fatal(err)
			}
			defer record.Close()
			name := filepath.Join(base, "folder")
			if tt.dir {
				err = os.Mkdir(name, 0o700)
			} else {
				err = os.WriteFile(name, []byte("mail"), 0o600)
			}
			dir, derr := os.Open(base)
			file, ferr := os.Open(name)
			if err := errors.Join(err, derr, ferr); err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			defer file.Close()
			r := &Retirer{Record: record, Archives: []*Archive{a}}
			p := mbox.Place{Path: "home/folder", Dir: dir, Name: "folder", File: file, Folder: tt.dir}
			err = r.place(t.Context(), &plan.User{User: mbox.User{Name: "joe"}}, p, Move{User: "joe", Folder: "folder"}, false, func(renamed bool) error { return tt.unchanged(name, renamed) })
			if err == nil {
				t.Error("it was moved")
			}
			if _, err := os.Lstat(name); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(a.Path); err != nil || len(left) > 0 {
				t.Errorf("in the archive is %v, %v", left, err)
			}
			for _, m := range record.Moves() {
				if m.State != Restored {
					t.Errorf("the record says %q", m.State)
				}
			}
		})
	}
}

// TestLinksInTheArchive are not followed, whoever made them.
func TestLinksInTheArchive(t *testing.T) {
	a, base := archive(t)
	elsewhere := filepath.Join(base, "elsewhere")
	if err := os.Mkdir(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(a.Path, "var")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"var", "var/mail", "../elsewhere", "x//y"} {
		for _, create := range []bool{false, true} {
			if d, err := a.open(dir, create); err == nil {
				d.Close()
				t.Errorf("%s was opened", dir)
			}
		}
	}
	if names, err := os.ReadDir(elsewhere); err != nil || len(names) > 0 {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := openWithoutLinks(filepath.Join(a.Path, "var")); err == nil {
		t.Error("a link was opened")
	}
}

// TestSumDir knows a directory by everything in it, and follows no link there.
func TestSumDir(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sum := func() content {
		t.Helper()
		d, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		c, err := sumDir(context.Background(), d)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if err := os.Mkdir(filepath.Join(dir, "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("1", "one")
	write("b/2", "two")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	first := sum()
	listing := fmt.Sprintf("\"1\" 3 %x\n\"b\" directory\n\"b/2\" 3 %x\n\"link\" other\n", sha256.Sum256([]byte("one")), sha256.Sum256([]byte("two")))
	if want := fmt.Sprintf("%x", sha256.Sum256([]byte(listing))); first.sum != want || first.size != 6 {
		t.Errorf("%+v, want %s and 6 bytes", first, want)
	}
	write("b/2", "too")
	if second := sum(); second.sum == first.sum {
		t.Error("a changed file does not change the sum")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := sumDir(ctx, d); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context's end: %v", err)
	}
}

// TestSumEnds: neither a FIFO in the place of a file nor one that its user makes longer as fast
// as it is read keeps a run for ever.
func TestSumEnds(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(fifo, os.O_RDWR, 0) // who says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	fd, err := unix.Open(fifo, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	reader := os.NewFile(uintptr(fd), fifo)
	defer reader.Close()
	if _, err := sumFile(t.Context(), reader); err == nil {
		t.Error("a FIFO has a sum")
	}
	const size = 10 << 20
	f, err := os.Create(filepath.Join(dir, "growing"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	c, err := sumFile(growing{t.Context(), f}, f)
	if err != nil || c.size != size {
		t.Errorf("%d bytes were read of %d, %v", c.size, size, err)
	}
}

// growing has its file grow whenever it is asked whether it is done, up to a bound for the test.
type growing struct {
	context.Context
	f *os.File
}

func (g growing) Err() error {
	info, err := g.f.Stat()
	if err != nil || info.Size() > 1<<30 {
		return errors.Join(err, errors.New("it is read for as long as it grows"))
	}
	return g.f.Truncate(info.Size() + 1<<20)
}

// TestRecord keeps the last state of each path, and drops a torn last line.
func TestRecord(t *testing.T) {
	state := t.TempDir()
	r, err := OpenRecord(state, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []Move{{State: Moving, Path: "a"}, {State: Moving, Path: "b\xff"}, {State: Moved, Path: "a"}} {
		if err := r.Set(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(state, recordName)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"move":{"state":"mo`)
	f.Close()
	if r, err = OpenRecord(state, true); err != nil {
		t.Fatal(err)
	}
	if err := r.Set(Move{State: Moved, Path: "c"}); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if r, err = OpenRecord(state, false); err != nil {
		t.Fatal(err)
	}
	if !r.Archived("a") || r.Archived("b\xff") || !r.Archived("c") || len(r.Moves()) != 3 {
		t.Errorf("%+v", r.Moves())
	}
	if err := os.WriteFile(path, []byte("{\"retired\":9}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRecord(state, false); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("a newer version: %v", err)
	}
}

// TestRecordDiskFull: a disk is full for a moment, in the middle of a line. What is recorded
// when there is room again does not follow the beginning of that line.
func TestRecordDiskFull(t *testing.T) {
	state := t.TempDir()
	if err := unix.Mount("tmpfs", state, "tmpfs", 0, "size=32k,mode=0700"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(state, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(state, "filler")
	if err := os.WriteFile(filler, make([]byte, 16<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRecord(state, true)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	written := -1
	for err == nil && written < 1000 {
		err = r.Set(Move{State: Moving, User: "joe", Path: ledger.RawName(fmt.Sprintf("home/joe/mail/%d", written))})
		written++
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("after %d moves: %v", written, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := r.Set(Move{State: Moved, User: "kim", Path: "home/kim/mail/x"}); err != nil {
		t.Fatal(err)
	}
	again, err := OpenRecord(state, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Moves()) != written+1 || !again.Archived("home/kim/mail/x") {
		t.Errorf("%d moves are left of %d", len(again.Moves()), written+1)
	}
}
