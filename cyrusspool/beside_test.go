package cyrusspool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// someCores are free at random, and count what is lent.
type someCores struct {
	random *rand.Rand
	free   int // of 10
	lent   atomic.Int64
	taken  int
}

func (c *someCores) Take() bool {
	if c.random.IntN(10) >= c.free {
		return false
	}
	c.lent.Add(1)
	c.taken++
	return true
}

func (c *someCores) Give() { c.lent.Add(-1) }

func (c *someCores) Spare() int {
	if c.free == 10 {
		return 1
	}
	return c.random.IntN(4) - 1
}

// files returns what is in the mailbox's directory.
func files(t *testing.T, partition string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range list(t, partition) {
		path := filepath.Join(partition, DirByID("abc1"), name)
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(readFile(t, partition, DirByID("abc1"), name))
		if strings.HasSuffix(name, ".") {
			text = info.ModTime().UTC().String() + " " + text
		}
		all[name] = text
	}
	return all
}

// TestForgottenBesides: buffers above the bound are given up, the records in them too.
func TestForgottenBesides(t *testing.T) {
	b := &besideFiles{}
	for range 10 {
		f := &besideFile{text: make([]byte, maxSpare/4)}
		f.record = f.text
		b.forget(f)
	}
	var kept int
	for _, f := range b.unused {
		kept += max(cap(f.text), cap(f.record))
	}
	if kept != maxSpare || b.spare != maxSpare {
		t.Errorf("%d bytes are kept, and %d are counted, want %d", kept, b.spare, maxSpare)
	}
}

// TestBeside: whatever is written beside, the mailbox is the same to the byte.
func TestBeside(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			type message struct {
				uid  uint32
				text string
			}
			var messages []message
			for uid := range uint32(60) {
				text := messageText(uid+1) + strings.Repeat("0123456789\r\n", random.IntN(3000))
				if random.IntN(5) == 0 {
					text = "Date: yesterday\r\n" + text // not known to the parser
				}
				messages = append(messages, message{uid: uid + 1, text: text})
			}
			messages[0].uid = 1000 // as UW gives to a message that it would have hidden
			pieces := random.IntN(4)
			write := func(cores Cores, cache bool) map[string]string {
				partition := t.TempDir()
				w := createMailbox(t, partition)
				if cache {
					if err := w.MakeCache(newCacheParser(t)); err != nil {
						t.Fatal(err)
					}
				}
				if cores != nil {
					w.Beside(cores)
				}
				for i, m := range messages {
					var from io.WriterTo = strings.NewReader(m.text)
					if pieces > 0 && i%(pieces+1) == 0 {
						from = piecewise(m.text)
					}
					size, guid, err := w.WriteMessage(m.uid, time.Unix(int64(m.uid), 0), from)
					if err != nil {
						t.Fatal(err)
					}
					if err := w.Add(Record{UID: m.uid, InternalDate: int64(m.uid), Size: uint64(size), GUID: guid, ModSeq: 1}); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.Commit(IndexHeader{UIDValidity: 1, Generation: 7}, testHeader); err != nil {
					t.Fatal(err)
				}
				return files(t, partition)
			}
			for _, cache := range []bool{true, false} {
				cores := &someCores{random: random, free: 3 + random.IntN(8)}
				if diff := cmp.Diff(write(nil, cache), write(cores, cache)); diff != "" {
					t.Errorf("cache %v: %s", cache, diff)
				}
				if n := cores.lent.Load(); n != 0 || cores.taken == 0 {
					t.Errorf("%d cores were taken, %d are not given back", cores.taken, n)
				}
			}
		})
	}
}

// TestBesideFails: a file that cannot be written beside fails the mailbox, whose old
// index stays, and names the file.
func TestBesideFails(t *testing.T) {
	for _, bad := range []uint32{1, 30, 60} {
		partition := t.TempDir()
		w := createMailbox(t, partition)
		// It cannot be replaced by a file.
		if err := os.Mkdir(filepath.Join(partition, DirByID("abc1"), messageName(bad)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := w.MakeCache(newCacheParser(t)); err != nil {
			t.Fatal(err)
		}
		cores := &someCores{random: rand.New(rand.NewPCG(1, 1)), free: 10}
		w.Beside(cores)
		var err error
		for uid := uint32(1); uid <= 60 && err == nil; uid++ {
			var size int64
			var guid [20]byte
			if size, guid, err = w.WriteMessage(uid, time.Unix(1, 0), strings.NewReader(messageText(uid))); err == nil {
				err = w.Add(Record{UID: uid, InternalDate: 1, Size: uint64(size), GUID: guid, ModSeq: 1})
			}
		}
		if err == nil {
			err = w.Commit(IndexHeader{UIDValidity: 1}, testHeader)
		}
		var path *fs.PathError
		if !errors.As(err, &path) || path.Path != messageName(bad) {
			t.Errorf("uid %d: %v", bad, err)
		}
		if err := w.Commit(IndexHeader{UIDValidity: 1}, testHeader); err == nil {
			t.Error("committed after a failure")
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		for _, name := range list(t, partition) {
			if strings.HasPrefix(name, "cyrus.") {
				t.Errorf("%s is left", name)
			}
		}
		if n := cores.lent.Load(); n != 0 {
			t.Errorf("%d cores are not given back", n)
		}
	}
}
