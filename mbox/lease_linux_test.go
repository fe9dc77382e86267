package mbox

import (
	"os"
	"os/signal"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLease: another program has a lease on the INBOX. The reader does not wait until the kernel
// ends that, and says what is in the way.
func TestLease(t *testing.T) {
	signal.Ignore(unix.SIGIO) // by which the kernel asks for it back
	defer signal.Reset(unix.SIGIO)
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.file("var/mail/alice", oneMessage)
	h.own("var/mail/alice", 1)
	f, err := os.OpenFile(h.path("var/mail/alice"), os.O_RDWR, 0)
	h.must(err)
	defer f.Close()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("no lease is given here: %v", err)
	}
	tree, err := h.open(HostOptions{}).Folders(alice)
	h.must(err)
	if len(tree.Skipped) != 1 || tree.Skipped[0].Kind != SkipUnreadable || !tree.Skipped[0].MayHoldMail || !strings.Contains(tree.Skipped[0].Text, "has a lease on it") {
		t.Errorf("skipped %+v", tree.Skipped)
	}
}
