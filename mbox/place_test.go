package mbox

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSubscriptionFilesOnTwoDisks: the lists in the home and in the mail directory have the same
// inode number, as they can if that is on a disk of its own. Both are there.
func TestSubscriptionFilesOnTwoDisks(t *testing.T) {
	needRoot(t)
	h := newHostTree(t)
	u := h.user("joe", 1)
	inodes := map[uint64]bool{}
	for _, dir := range []string{"home/joe", "home/joe/mail"} {
		path := h.path(dir)
		if err := unix.Mount("tmpfs", path, "tmpfs", 0, "size=64k"); err != nil {
			t.Skipf("no file system can be mounted: %v", err)
		}
		t.Cleanup(func() { h.must(unix.Unmount(path, 0)) })
		h.dir(dir + "/mail") // first in each
		h.file(dir+"/"+mailboxList, "mail/work\n")
		var st unix.Stat_t
		h.must(unix.Stat(h.path(dir+"/"+mailboxList), &st))
		inodes[st.Ino] = true
	}
	if len(inodes) != 1 {
		t.Skipf("these file systems have inode numbers %v", inodes)
	}
	h.own("home/joe", 1)
	places, err := h.open(HostOptions{}).SubscriptionFiles(u)
	h.must(err)
	var paths []string
	for _, p := range places {
		paths = append(paths, p.Path)
		p.Close()
	}
	if want := []string{"home/joe/.mailboxlist", "home/joe/mail/.mailboxlist"}; !slices.Equal(paths, want) {
		t.Errorf("%q, want %q", paths, want)
	}
}
