package mbox

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// oneMessage is a mailbox of one message in unix format.
const oneMessage = "From alice@example.org Mon Jun  2 10:11:12 2003\nSubject: x\n\nbody\n\n"

// hostTree is a UW host in a temporary directory. Its users' files belong to the
// users if the test runs as root, else everything belongs to whoever runs it.
type hostTree struct {
	t    *testing.T
	root string
}

func newHostTree(t *testing.T) *hostTree {
	t.Helper()
	h := &hostTree{t, t.TempDir()}
	h.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	h.dir("var/mail")
	h.dir("home")
	return h
}

// uid returns the id that the nth user of a test has on disk.
func (h *hostTree) uid(n int) int {
	if os.Getuid() == 0 {
		return 1000 + n
	}
	return os.Getuid()
}

// needRoot skips a test whose tree only root can build.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files to several owners")
	}
}

func (h *hostTree) path(path string) string { return filepath.Join(h.root, path) }

func (h *hostTree) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hostTree) dir(path string) {
	h.t.Helper()
	h.must(os.MkdirAll(h.path(path), 0o755))
}

func (h *hostTree) file(path, content string) {
	h.t.Helper()
	h.dir(filepath.Dir(path))
	h.must(os.WriteFile(h.path(path), []byte(content), 0o600))
}

func (h *hostTree) symlink(target, path string) {
	h.t.Helper()
	h.must(os.Symlink(target, h.path(path)))
}

// user adds a line to passwd and makes the home and an empty mail directory.
func (h *hostTree) user(name string, n int) User {
	h.t.Helper()
	u := User{Name: name, UID: uint32(h.uid(n)), GID: 100, Home: "/home/" + name, HasHome: true}
	h.passwd(fmt.Sprintf("%s:x:%d:100::%s:/bin/sh\n", name, u.UID, u.Home))
	h.dir("home/" + name + "/mail")
	return u
}

func (h *hostTree) passwd(lines string) {
	h.t.Helper()
	f, err := os.OpenFile(h.path("etc/passwd"), os.O_APPEND|os.O_WRONLY, 0)
	h.must(err)
	_, err = f.WriteString(lines)
	h.must(err)
	h.must(f.Close())
}

// own gives everything below path to a user, as root can.
func (h *hostTree) own(path string, n int) {
	h.t.Helper()
	if os.Getuid() != 0 {
		return
	}
	h.must(filepath.WalkDir(h.path(path), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, h.uid(n), 100)
	}))
}

func (h *hostTree) open(opts HostOptions) *Host {
	h.t.Helper()
	opts.Root = h.root
	if os.Getuid() != 0 {
		opts.MinUID = 1
	}
	host, err := OpenHost(opts)
	h.must(err)
	h.t.Cleanup(func() { h.must(host.Close()) })
	return host
}

// folders lists one user of a freshly opened host.
func (h *hostTree) folders(u User) *Tree {
	h.t.Helper()
	tree, err := h.open(HostOptions{}).Folders(u)
	h.must(err)
	return tree
}

// folderNames returns the names of the folders of a tree.
func folderNames(tree *Tree) []string {
	var list []string
	for _, f := range tree.Folders {
		list = append(list, f.Name)
	}
	return list
}

// skippedKinds returns path and kind of all that was skipped, "path: kind".
func skippedKinds(skipped []Skipped) []string {
	var list []string
	for _, s := range skipped {
		list = append(list, s.Path+": "+string(s.Kind))
	}
	return list
}

// withoutHomeMail leaves out what is told of mailboxes in the home.
func withoutHomeMail(skipped []Skipped) []Skipped {
	return slices.DeleteFunc(slices.Clone(skipped), func(s Skipped) bool { return s.Kind == SkipHomeMail })
}

// checkEqual fails the test if got is not want.
func checkEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// frozen is what must not change: by path, all that lstat(2) tells and the bytes.
type frozen struct{ meta, sums map[string]string }

// freeze records the whole tree. Access times are set back first, so that any read
// that does not avoid it shows, on a file system that keeps them.
func (h *hostTree) freeze() frozen {
	h.t.Helper()
	f := frozen{make(map[string]string), h.sums()}
	long := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	for path, sum := range f.sums {
		if !strings.HasPrefix(sum, "L") {
			h.must(os.Chtimes(path, long, time.Time{}))
		}
	}
	for path := range f.sums {
		f.meta[path] = h.meta(path)
	}
	return f
}

// unchanged fails the test if anything differs from what freeze recorded.
func (h *hostTree) unchanged(f frozen) {
	h.t.Helper()
	meta := make(map[string]string)
	for path := range f.sums {
		meta[path] = h.meta(path)
	}
	checkEqual(h.t, "the source's inodes", meta, f.meta)
	checkEqual(h.t, "the source's bytes", h.sums(), f.sums)
}

func (h *hostTree) meta(path string) string {
	h.t.Helper()
	var st unix.Stat_t
	h.must(unix.Lstat(path, &st))
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		st.Atim = unix.Timespec{} // to follow a link is to access it
	}
	return fmt.Sprintf("%+v", st)
}

// sums returns the type of every file below the root, and the digest of the bytes of
// regular ones.
func (h *hostTree) sums() map[string]string {
	h.t.Helper()
	sums := make(map[string]string)
	h.must(filepath.WalkDir(h.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		sums[path] = d.Type().String()
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			h.must(err)
			sums[path] += fmt.Sprintf(" %x", sha256.Sum256(data))
		}
		return nil
	}))
	return sums
}
