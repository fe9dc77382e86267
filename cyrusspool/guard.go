package cyrusspool

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// IndexState tells one state of a mailbox's cyrus.index from all others.
type IndexState struct {
	there    bool
	dev, ino uint64
	size     int64
	ctime    unix.Timespec
}

// ErrIndexChanged is the error of a guarded [Writer] whose cyrus.index is not as it was.
var ErrIndexChanged = errors.New(fileIndex + " was changed meanwhile by another program, which may have the mailbox in use")

// IndexState returns the state of the mailbox's cyrus.index, which need not be there.
func (p Place) IndexState() (s IndexState, err error) {
	f, err := OpenFile(p.Roots.Index, p.IndexFile())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) { // something else may be in its way
		return s, nil
	}
	if err != nil {
		return s, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(int(f.Fd()), &st); err != nil {
		err = &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return indexState(&st), errors.Join(err, f.Close())
}

func indexState(st *unix.Stat_t) IndexState {
	return IndexState{there: true, dev: uint64(st.Dev), ino: st.Ino, size: st.Size, ctime: st.Ctim}
}

// Guard makes the Writer replace neither the index nor a message file once cyrus.index is in
// another state than s: it fails with [ErrIndexChanged]. Cyrus gives the UID that is next to
// mail that comes in, and writes the same files.
func (w *Writer) Guard(s IndexState) { w.guard = &s }

// guarded is ErrIndexChanged if the index is not as it must be.
func (w *Writer) guarded() error {
	if w.guard == nil {
		return nil
	}
	var st unix.Stat_t
	now := IndexState{}
	err := retry(func() error {
		return unix.Fstatat(int(w.dirs.of(fileIndex).Fd()), fileIndex, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	switch {
	case err == nil:
		now = indexState(&st)
	case err != unix.ENOENT:
		return &fs.PathError{Op: "stat", Path: fileIndex, Err: err}
	}
	if now != *w.guard {
		return ErrIndexChanged
	}
	return nil
}
