package source

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/mbox"
)

// wholeSeconds returns a directory on a file system that keeps change times in whole seconds,
// as ext3 does: ext4 with its small inodes.
func wholeSeconds(t *testing.T) string {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		t.Skip("no mkfs.ext4: install e2fsprogs to have change times of whole seconds tried")
	}
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 8<<20)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", "-I", "128", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("no image can be mounted here: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Errorf("umount: %v", err)
			}
		}
	})
	return dir
}

// TestChangeInTheSameSecond: UW changes flags in place, at the same size, and does so in the
// second in which the folder changed last: while it is read, and when it has just been read.
func TestChangeInTheSameSecond(t *testing.T) {
	path := filepath.Join(wholeSeconds(t), "folder")
	write := func(flags string) {
		t.Helper()
		text := strings.ReplaceAll(fromLine+"Subject: 1\nStatus: FF\n\nbody\n\n"+fromLine+"Subject: 2\nStatus: FF\n\nbody\n\n", "FF", flags)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
	write("O ")
	_, err := (&Source{}).ReadFolder(t.Context(), path, func(*mbox.Message, []string) error {
		write("RO")
		return nil
	})
	if !errors.Is(err, ErrChanged) {
		t.Errorf("it changed while it was read: error %v, want %v", err, ErrChanged)
	}

	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
	write("O ")
	res, err := (&Source{}).ReadFolder(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	write("RO")
	again, err := (&Source{}).ReadFolder(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID.Equal(res.ID) {
		t.Errorf("it changed after it was read, and is still %+v", res.ID)
	}
}
