package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cyrusspool"
)

// TestWriteErrorOfAnother: the disk refuses what the kernel writes in the background, and a
// process of somebody else is told of it first. Whoever watched the disk is told as well.
func TestWriteErrorOfAnother(t *testing.T) {
	withOwnMounts(t, func(t *testing.T) {
		if !cyrusspool.SyncFSReports() {
			t.Skip("this kernel does not report failed writes to syncfs")
		}
		base := t.TempDir()
		if err := unix.Mount("small", base, "tmpfs", 0, "size=24m"); err != nil { // the disk has less than it says
			t.Skipf("tmpfs: %v", err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(base, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		d := newDisk(t, ext4, base, "disk")
		another, err := os.Open(d.mounted)
		if err != nil {
			t.Fatal(err)
		}
		defer another.Close()
		var disks cyrusspool.Disks
		defer func() {
			if err := disks.Close(); err != nil {
				t.Error(err)
			}
		}()
		if err := disks.Watch(d.mounted); err != nil {
			t.Fatal(err)
		}
		text := bytes.Repeat([]byte("x"), 1<<20)
		f, err := os.Create(filepath.Join(d.mounted, "1."))
		if err != nil {
			t.Fatal(err)
		}
		for range 32 {
			if _, err := f.Write(text); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := unix.Syncfs(int(another.Fd())); err == nil {
			t.Fatal("the disk took what it has no room for")
		}
		for range 2 {
			if err := disks.Sync(d.mounted); err == nil {
				t.Error("the disk lost what was written, and Sync did not tell")
			}
		}
	})
}
