package cyrusspool

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// UpdateMailbox opens a mailbox that has an index, to be changed by a later run. Its
// [Writer.Old] are the messages that it has; a message that stays is added with its old
// record, changed where it must be, and keeps what Cyrus computed of it. Whatever is not
// added again is no message of the mailbox after [Writer.Commit], and its file is
// removed. The index keeps its version.
//
// Cyrus must not have the mailbox open. The error wraps [io/fs.ErrNotExist] if there is no
// index, or is one of [NewIndexReader].
func UpdateMailbox(partition, dir string, o Owner) (*Writer, error) {
	return OneRoot(partition).At(dir).Update(o)
}

// Update is [UpdateMailbox] for a mailbox whose files may be below several roots.
func (p Place) Update(o Owner) (*Writer, error) {
	var w *Writer
	err := o.Do(func() (err error) {
		w, err = p.update(o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("mailbox %s: %w", p.Dir, err)
	}
	return w, nil
}

func (p Place) update(o Owner) (*Writer, error) {
	dirs, err := p.open(OpenDir)
	if err != nil {
		return nil, err
	}
	w := &Writer{dirs: dirs, path: p.Dir, owner: o, maxSize: MaxMessageSize, sum: sha1.New()}
	if w.oldFile, err = OpenFileAt(dirs.index, fileIndex); err != nil {
		return nil, errors.Join(err, w.closeDirs())
	}
	if w.old, err = NewIndexReader(w.oldFile); err == nil {
		w.version = w.old.Header().Version
		err = w.begin()
	}
	if err != nil {
		return nil, errors.Join(err, w.oldFile.Close(), w.closeDirs())
	}
	return w, nil
}

// Old returns the records of the mailbox that [UpdateMailbox] opened, as they are on the
// disk; nil for a Writer of [CreateMailbox].
func (w *Writer) Old() *IndexReader { return w.old }

// ErrLonger is the error of [Writer.UpdateMessage] for a message that begins with all
// that its file should hold already, and goes on after it.
var ErrLonger = errors.New("message begins with all of the one that it replaces")

// UpdateMessage is [Writer.WriteMessage] for a message that should have its file
// already, with that size and SHA-1. If it has, nothing is written and kept is true. That
// is seen only of a message that comes with one Write; a longer one is written anew, as is
// one whose size is given as -1. The old file stays until the new one is whole, so that it is
// there still where m fails.
func (w *Writer) UpdateMessage(uid uint32, date time.Time, m io.WriterTo, size int64, sum [20]byte) (newSize int64, guid [20]byte, kept bool, err error) {
	f := messageFile{fd: -1, sum: w.sum, max: w.maxSize, date: date, w: w, name: messageName(uid), aside: true, oldSize: size, oldSum: sum}
	newSize, guid, err = w.writeMessage(uid, m, &f)
	return newSize, guid, f.kept, err
}

// isKept reports whether p, the first piece of a message, is all of it, and in its file.
// Its SHA-1 is in f.sum then.
func (f *messageFile) isKept(p []byte) bool {
	if int64(len(p)) != f.oldSize {
		return false
	}
	f.sum.Write(p) // a hash never fails
	var sum [20]byte
	f.sum.Sum(sum[:0])
	if sum == f.oldSum && f.w.hasFile(f.name, f.oldSize) {
		return true
	}
	f.sum.Reset()
	return false
}

// hasFile reports whether there is a regular file of that size.
func (w *Writer) hasFile(name string, size int64) bool {
	var st unix.Stat_t
	err := unix.Fstatat(int(w.dirs.data.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == size
}

// HasMessage reports whether nothing need be written for a message of which the caller knows
// already that it has this size, and the SHA-1 that its file should have. It looks at the
// size of the file alone, as [Writer.UpdateMessage] does for a message that it hashed.
func (w *Writer) HasMessage(uid uint32, size int64) bool {
	return size > 0 && size <= w.maxSize && w.hasFile(messageName(uid), size)
}
