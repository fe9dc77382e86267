package mbox

import (
	"io"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFoldersDevice: a device is told by its type and never opened; to open a tape would
// wind it back.
func TestFoldersDevice(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	if err := unix.Mknod(h.path("home/alice/mail/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Skipf("no device node can be made here: %v", err)
	}
	h.own("home/alice", 1)
	tree := h.folders(alice)
	checkEqual(t, "folders", folderNames(tree), []string(nil))
	checkEqual(t, "skipped", skippedKinds(tree.Skipped), []string{"home/alice/mail/null: device"})
}

// TestOpenRace swaps a folder and a directory for links to somebody else's mail while
// they are listed and opened, as a user with a shell can. Nothing but the user's own
// mail may ever be read.
func TestOpenRace(t *testing.T) {
	needRoot(t)
	h := newHostTree(t)
	alice := h.user("alice", 1)
	const own, secret = oneMessage + "own", oneMessage + "secret"
	h.file("home/bob/mail/x", secret)
	h.own("home/bob", 2)
	h.file("home/alice/mail/sub/x", own)
	h.file("home/alice/mail/x", own)
	h.symlink("../../bob/mail", "home/alice/mail/sub2")
	h.symlink("../../bob/mail/x", "home/alice/mail/y")
	h.own("home/alice", 1)

	stop := make(chan struct{})
	var swapper sync.WaitGroup
	swapper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, pair := range [][2]string{{"sub", "sub2"}, {"x", "y"}} {
				err := unix.Renameat2(unix.AT_FDCWD, h.path("home/alice/mail/"+pair[0]),
					unix.AT_FDCWD, h.path("home/alice/mail/"+pair[1]), unix.RENAME_EXCHANGE)
				if err != nil {
					t.Errorf("swap: %v", err)
					return
				}
			}
		}
	})
	defer swapper.Wait()
	defer close(stop)

	host := h.open(HostOptions{})
	opened := 0
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
		tree, err := host.Folders(alice)
		h.must(err)
		for _, f := range tree.Folders {
			file, err := host.Open(alice, f)
			if err != nil {
				continue
			}
			data, err := io.ReadAll(file.File())
			h.must(err)
			h.must(file.Close())
			if string(data) != own {
				t.Fatalf("%s: read %q", f.Path, data)
			}
			opened++
		}
	}
	if opened == 0 {
		t.Error("nothing was ever opened: the race was not run")
	}
}
