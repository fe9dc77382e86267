package cyrusspool

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestGuard: a mailbox whose index is another one than when it was looked at is left as it is:
// its index, and message files that are there.
func TestGuard(t *testing.T) {
	root := t.TempDir()
	place := OneRoot(root).At("box")
	owner := Owner{UID: -1, GID: -1, DirMode: 0o700, FileMode: 0o600}
	name := func(file string) string { return filepath.Join(root, "box", file) }
	for _, there := range []bool{false, true} { // an index, when it is looked at
		state, err := place.IndexState()
		if err != nil {
			t.Fatal(err)
		}
		w, err := place.Create(Version12, owner)
		if err != nil {
			t.Fatal(err)
		}
		w.Guard(state)
		if _, _, err := w.WriteMessage(1, time.Now(), strings.NewReader("a\r\n\r\nb\r\n")); err != nil {
			t.Error(err)
		}
		for _, file := range []string{"2.", fileIndex} { // somebody else's
			if err := os.WriteFile(name(file), []byte("other"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := w.WriteMessage(2, time.Now(), strings.NewReader("a\r\n\r\nb\r\n")); !errors.Is(err, ErrIndexChanged) {
			t.Errorf("index %v: message: error %v, want %v", there, err, ErrIndexChanged)
		}
		if err := w.Commit(IndexHeader{UIDValidity: 1}, Header{UniqueID: "id"}); !errors.Is(err, ErrIndexChanged) {
			t.Errorf("index %v: commit: error %v, want %v", there, err, ErrIndexChanged)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		for _, file := range []string{"2.", fileIndex} {
			if b, err := os.ReadFile(name(file)); err != nil || string(b) != "other" {
				t.Errorf("index %v: %s is %q, %v", there, file, b, err)
			}
		}
	}
}

// TestGuardUpdate: the index changes while a message is written that is to take the place of
// another one.
func TestGuardUpdate(t *testing.T) {
	root := t.TempDir()
	place := OneRoot(root).At("box")
	w, err := place.Create(Version12, nobody)
	if err != nil {
		t.Fatal(err)
	}
	writeAndAdd(t, w, 1)
	if err := errors.Join(w.Commit(IndexHeader{UIDValidity: 1}, Header{UniqueID: "id"}), w.Close()); err != nil {
		t.Fatal(err)
	}
	if w, err = place.Update(nobody); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	state, err := place.IndexState()
	if err != nil {
		t.Fatal(err)
	}
	w.Guard(state)
	_, _, _, err = w.UpdateMessage(1, time.Now(), changing{filepath.Join(root, "box", fileIndex), t}, -1, [20]byte{})
	if !errors.Is(err, ErrIndexChanged) {
		t.Errorf("error %v, want %v", err, ErrIndexChanged)
	}
	if b, err := os.ReadFile(filepath.Join(root, "box", "1.")); err != nil || string(b) != messageText(1) {
		t.Errorf("the message is %q, %v", b, err)
	}
}

// changing is a message that changes an index as it is read.
type changing struct {
	index string
	t     *testing.T
}

func (c changing) WriteTo(w io.Writer) (int64, error) {
	if err := os.WriteFile(c.index, []byte("other"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	n, err := io.WriteString(w, "a\r\n\r\nb\r\n")
	return int64(n), err
}
