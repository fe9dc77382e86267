package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func names(boxes []Mailbox) (list []string) {
	for _, m := range boxes {
		list = append(list, m.Name)
	}
	return list
}

func TestMailboxesOf(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	set := func(boxes ...Mailbox) {
		t.Helper()
		if err := l.Set(boxes...); err != nil {
			t.Fatal(err)
		}
	}
	set(Mailbox{Name: "user.joe", User: "joe"}, Mailbox{Name: "user.amy", User: "amy"}, Mailbox{Name: "user.joe.b", User: "joe"})
	set(Mailbox{Name: "user.joe.a", User: "joe"}, Mailbox{Name: "user.amy", User: "amy", State: Verified})
	set(Mailbox{Name: "user.joe", User: "joe", State: Undone})
	set(Mailbox{Name: "user.joe", User: "joe"})
	set(Mailbox{Name: "user.joe.b", User: "bob"}) // another user's by now
	set(Mailbox{Name: "user.joe.a", User: "bob"}) // for a time
	set(Mailbox{Name: "user.joe.a", User: "joe"})
	check := func(l *Ledger) {
		t.Helper()
		for user, want := range map[string][]string{"joe": {"user.joe.a", "user.joe"}, "amy": {"user.amy"}, "bob": {"user.joe.b"}, "eve": nil} {
			if got := names(l.MailboxesOf(user)); !slices.Equal(got, want) {
				t.Errorf("of %s: %q, want %q", user, got, want)
			}
		}
		if got, want := names(l.Mailboxes()), []string{"user.amy", "user.joe.b", "user.joe.a", "user.joe"}; !slices.Equal(got, want) {
			t.Errorf("all: %q, want %q", got, want)
		}
	}
	check(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Read(dir); err != nil {
		t.Fatal(err)
	}
	check(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkPut puts the mailboxes of one user. What each takes does not grow with their number.
func BenchmarkPut(b *testing.B) {
	for _, n := range []int{1000, 32000} {
		boxes := make([]Mailbox, n)
		for i := range boxes {
			boxes[i] = Mailbox{Name: fmt.Sprintf("user.joe.f%06d", i), User: "joe", UniqueID: fmt.Sprint(i)}
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				var all mailboxes
				for _, m := range boxes {
					all.put(m)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/mailbox")
		})
	}
}

// TestSetTogether has many call Set at once: each one's lines are in the journal, whole, when
// its call returns.
func TestSetTogether(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			for i := range 20 {
				name := fmt.Sprintf("user.u%d.%d", n, i)
				if err := l.Set(Mailbox{Name: name, User: RawName(fmt.Sprintf("u%d", n))}); err != nil {
					t.Error(err)
					return
				}
				b, err := os.ReadFile(filepath.Join(dir, JournalName))
				if err != nil || !strings.Contains(string(b), `"`+name+`"`) {
					t.Errorf("%s is not in the journal: %v", name, err)
					return
				}
			}
		})
	}
	all.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Read(dir); err != nil {
		t.Fatal(err)
	}
	if n := len(l.Mailboxes()); n != 400 {
		t.Errorf("%d mailboxes in the journal, want 400", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk needs root, for a file system that is full in the middle of a line: it leaves
// nothing of it, so that there can be more lines when there is room again.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(small, "state")
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 1000)
	failed, n := false, 0
	for ; n < 100 && !failed; n++ {
		err := l.Set(Mailbox{Name: fmt.Sprintf("user.joe.%d", n), User: "joe", Folder: RawName(long)})
		if failed = err != nil; failed && !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	if !failed {
		t.Fatal("the disk was not full")
	}
	if err := unix.Mount("", small, "", unix.MS_REMOUNT, "size=128k"); err != nil {
		t.Fatal(err)
	}
	if err := l.Set(Mailbox{Name: "user.joe.last", User: "joe"}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Read(dir); err != nil {
		t.Fatal(err)
	}
	if got := len(l.Mailboxes()); got != n { // the one that failed, less; the last, more
		t.Errorf("%d mailboxes, want %d", got, n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
