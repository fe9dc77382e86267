package mbox

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inMemory returns how many of the file's first n bytes are in the page cache.
func inMemory(t *testing.T, f *os.File, n int) (bytes int) {
	t.Helper()
	b, err := unix.Mmap(int(f.Fd()), 0, n, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(b); err != nil {
			t.Error(err)
		}
	}()
	pages := make([]byte, (n+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(n), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for _, page := range pages {
		if page&1 != 0 {
			bytes += os.Getpagesize()
		}
	}
	return bytes
}

// TestReadAhead: the first bytes of a folder come into memory, and not all of it.
func TestReadAhead(t *testing.T) {
	const size, ahead = 32 << 20, 2 << 20
	path := filepath.Join(t.TempDir(), "folder")
	if err := os.WriteFile(path, bytes.Repeat([]byte("From joe@example.com Mon Jun  2 10:11:12 2003\n"), size/46), 0o600); err != nil {
		t.Fatal(err)
	}
	folder, err := OpenFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	file := folder.File()
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	if n := inMemory(t, file, ahead); n > 0 {
		t.Skipf("%d bytes stay in memory whatever is asked for: a file system in memory?", n)
	}
	folder.ReadAhead(ahead)
	for end := time.Now().Add(time.Minute); inMemory(t, file, ahead) < ahead; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of the first %d bytes are in memory", inMemory(t, file, ahead), ahead)
		}
	}
	if n := inMemory(t, file, size/46*46); n > size/2 {
		t.Errorf("%d bytes are in memory, %d were asked for", n, ahead)
	}
}
