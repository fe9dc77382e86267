package fsrights

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can take other rights")
	}
}

// open tries to read a file.
func open(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// tree makes a directory that everybody may write to, with a file of each mode.
func tree(t *testing.T, uid, gid int, modes ...fs.FileMode) (dir string, files []string) {
	t.Helper()
	dir = t.TempDir()
	for at := dir; at != filepath.Dir(os.TempDir()) && at != "/"; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err != nil || info.Mode().Perm()&0o011 != 0 {
			continue
		}
		if err := os.Chmod(at, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, mode := range modes {
		path := filepath.Join(dir, mode.String())
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Chown(path, uid, gid), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	return dir, files
}

func TestDo(t *testing.T) {
	needRoot(t)
	dir, files := tree(t, 0, 4711, 0o600, 0o640, 0o644)
	for _, test := range []struct {
		id   Identity
		want []bool
	}{
		{Identity{UID: 1001, GID: 1001}, []bool{false, false, true}},
		{Identity{UID: 1001, GID: 4711}, []bool{false, true, true}},
		{Identity{UID: 1001, GID: 1001, Groups: []uint32{4711}}, []bool{false, true, true}},
		{Identity{UID: 1001, GID: 1001, Groups: []uint32{4712, 4713}}, []bool{false, false, true}},
		{Identity{}, []bool{true, true, true}},
	} {
		var got, self []bool
		made := filepath.Join(dir, "made")
		err := test.id.Do(func() error {
			if UID() != test.id.UID {
				t.Errorf("acting as %d, not %d", UID(), test.id.UID)
			}
			for _, path := range files {
				got = append(got, open(path) == nil)
			}
			if err := os.WriteFile(made, nil, 0o600); err != nil {
				return err
			}
			return AsSelf(func() error {
				for _, path := range files {
					self = append(self, open(path) == nil)
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, test.want) || !slices.Equal(self, []bool{true, true, true}) {
			t.Errorf("%v: could open %v, want %v; as itself %v", test.id, got, test.want, self)
		}
		info, err := os.Stat(made)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != test.id.UID || st.Gid != test.id.GID {
			t.Errorf("%v: what it made belongs to %d:%d", test.id, st.Uid, st.Gid)
		}
		if err := os.Remove(made); err != nil {
			t.Fatal(err)
		}
		if err := open(files[0]); err != nil || UID() != 0 {
			t.Fatalf("afterwards: %v, acting as %d", err, UID())
		}
	}
}

// TestDoEnds has Do give the rights back whatever happens.
func TestDoEnds(t *testing.T) {
	needRoot(t)
	id := Identity{UID: 1001, GID: 1001, Groups: []uint32{4711}}
	if err := id.Do(func() error { return fs.ErrExist }); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic came through")
			}
		}()
		_ = id.Do(func() error { panic("x") })
	}()
	groups, err := threadGroups()
	if err != nil {
		t.Fatal(err)
	}
	if UID() != 0 || slices.Contains(groups, 4711) {
		t.Errorf("still acting as %d with groups %v", UID(), groups)
	}
}

// TestDoIsOneGoroutines has many goroutines act as different users at once, with threads
// coming and going.
func TestDoIsOneGoroutines(t *testing.T) {
	needRoot(t)
	_, files := tree(t, 0, 0, 0o600)
	var all sync.WaitGroup
	for n := range 50 {
		all.Go(func() {
			for range 50 {
				if n%2 == 0 {
					if err := open(files[0]); err != nil || UID() != 0 {
						t.Errorf("root: %v, acting as %d", err, UID())
						return
					}
					continue
				}
				id := Identity{UID: uint32(1000 + n), GID: uint32(1000 + n)}
				err := id.Do(func() error {
					other := make(chan error)
					go func() { other <- open(files[0]) }() // has root's rights
					if err := <-other; err != nil {
						t.Errorf("a goroutine begun by %d: %v", id.UID, err)
					}
					runtime.Gosched()
					if err := open(files[0]); !errors.Is(err, fs.ErrPermission) {
						t.Errorf("uid %d opens root's file: %v", id.UID, err)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestDoWithoutPower(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root has it")
	}
	called := false
	if err := (Identity{UID: 1}).Do(func() error { called = true; return nil }); err != nil || !called {
		t.Errorf("error %v, called %v", err, called)
	}
}

func BenchmarkDo(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("only root can take other rights")
	}
	if err := DropGroups(); err != nil {
		b.Fatal(err)
	}
	id := Identity{UID: 1001, GID: 1001}
	b.ReportAllocs()
	for b.Loop() {
		if err := id.Do(func() error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
