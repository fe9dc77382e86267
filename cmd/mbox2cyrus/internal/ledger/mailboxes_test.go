package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func names(boxes []Mailbox) (list []string) {
	for _, m := range boxes {
		list = append(list, m.Name)
	}
	return list
}

// allOf are all mailboxes of a ledger.
func allOf(t *testing.T, l *Ledger) (boxes []Mailbox) {
	t.Helper()
	err := l.Each(func(m Mailbox) error {
		boxes = append(boxes, m)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return boxes
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
			boxes, err := l.MailboxesOf(user)
			if got := names(boxes); err != nil || !slices.Equal(got, want) || !slices.Equal(l.NamesOf(user), want) {
				t.Errorf("of %s: %q, %q, %v, want %q", user, got, l.NamesOf(user), err, want)
			}
		}
		if got, want := names(allOf(t, l)), []string{"user.amy", "user.joe.b", "user.joe.a", "user.joe"}; !slices.Equal(got, want) {
			t.Errorf("all: %q, want %q", got, want)
		}
		if got, want := l.Users(), []string{"amy", "bob", "joe"}; !slices.Equal(got, want) {
			t.Errorf("users: %q, want %q", got, want)
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

// TestManyMailboxes: more mailboxes than are kept are read from the journal again, each in its last
// state, in the run that set them and in later ones.
func TestManyMailboxes(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	const n = 2*maxKept + 5
	box := func(i int) Mailbox {
		return Mailbox{State: Verified, Name: fmt.Sprintf("user.u%d", i), User: RawName(fmt.Sprintf("u%d", i)), UniqueID: fmt.Sprint(i),
			Messages: int64(i), Bytes: map[string]int64{"body": int64(i)}, MadeDirs: []MadeDir{{Root: "/spool", Dir: fmt.Sprint(i)}}}
	}
	var begun, filled []Mailbox
	for i := range n {
		b := box(i)
		filled = append(filled, b)
		b.State, b.Bytes = Begun, nil
		begun = append(begun, b)
	}
	if err := errors.Join(l.Set(begun...), l.Set(filled[n/2:]...), l.Set(filled[:n/2]...)); err != nil {
		t.Fatal(err)
	}
	check := func(l *Ledger) {
		t.Helper()
		for i := range n {
			want := box(i)
			got, ok, err := l.Mailbox(want.Name)
			if diff := cmp.Diff(want, got); !ok || err != nil || diff != "" {
				t.Fatalf("%s: %v, %v\n%s", want.Name, ok, err, diff)
			}
			if name := l.NameWithID(want.UniqueID); name != want.Name {
				t.Fatalf("%s is %q by its unique id", want.Name, name)
			}
		}
		if all := allOf(t, l); len(all) != n || l.Len() != n {
			t.Errorf("%d mailboxes, %d, want %d", len(all), l.Len(), n)
		}
		kept := 0
		for _, k := range l.boxes.byName {
			if k.box != nil {
				kept++
			}
		}
		if kept > maxKept {
			t.Errorf("%d are kept, want %d at most", kept, maxKept)
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
	// Who changes the journal meanwhile is not believed.
	path := filepath.Join(dir, JournalName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(b, []byte("user.u"), []byte("user.x")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Each(func(Mailbox) error { return nil }); err == nil || !strings.Contains(err.Error(), "offset") {
		t.Errorf("Each = %v, want the line named", err)
	}
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
				for i := range boxes {
					all.put(&boxes[i], span{})
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
	if n := l.Len(); n != 400 {
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
	if got := l.Len(); got != n { // the one that failed, less; the last, more
		t.Errorf("%d mailboxes, want %d", got, n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
