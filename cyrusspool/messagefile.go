package cyrusspool

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// WriteMessage writes the message file of uid, "<uid>.", with date as its time of
// modification: reconstruct falls back on it where it finds no index. m must write the
// message as Cyrus stores it, with CRLF at every line end; one Write becomes one
// write(2). It returns the file's size and SHA-1. Where it fails no file is left; a
// message of no bytes is [ErrEmptyMessage], one of 4 GiB (or see [Writer.Limit]) [ErrMessageTooLarge].
//
// The file is not a message of the mailbox before its record is added and committed.
func (w *Writer) WriteMessage(uid uint32, date time.Time, m io.WriterTo) (size int64, guid [20]byte, err error) {
	f := messageFile{fd: -1, sum: w.sum, max: w.maxSize, cache: w.cache, date: date, w: w, name: messageName(uid), mayWait: true}
	return w.writeMessage(uid, m, &f)
}

// writeMessage writes a message into f, which may be there already.
func (w *Writer) writeMessage(uid uint32, m io.WriterTo, f *messageFile) (size int64, guid [20]byte, err error) {
	if uid == 0 {
		return 0, guid, fmt.Errorf("mailbox %s: uid 0: %w", w.path, ErrRecord)
	}
	if err := w.makeRoom(uid); err != nil {
		return 0, guid, err
	}
	w.sum.Reset()
	if err := w.closeFile(f, w.fill(f, m)); err != nil {
		w.beside.forget(f.waiting)
		return 0, guid, fmt.Errorf("mailbox %s: %w", w.path, err)
	}
	w.sum.Sum(guid[:0])
	if f.waiting != nil {
		w.goBeside(f, uid, guid)
		return f.size, guid, nil
	}
	if w.cache == nil || w.keepInTurn(uid, guid) {
		return f.size, guid, nil
	}
	if err := w.cache.keep(uid, guid); err != nil {
		return 0, guid, fmt.Errorf("mailbox %s: %w", w.path, err)
	}
	return f.size, guid, nil
}

// closeFile closes a message file, if it was made, and removes it if err is not nil.
func (w *Writer) closeFile(f *messageFile, err error) error {
	if f.fd >= 0 {
		if closeErr := unix.Close(f.fd); err == nil {
			err = closeErr
		}
		if err == nil && f.aside {
			err = w.guarded()
		}
		if err == nil && f.aside {
			err = w.renameTo(f.made(), f.name)
		}
		if err != nil {
			if unlinkErr := w.unlink(f.made()); unlinkErr != nil {
				err = errors.Join(err, fmt.Errorf("unlink: %w", unlinkErr))
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return nil
}

// fill writes m into f and sets what is to be set.
func (w *Writer) fill(f *messageFile, m io.WriterTo) error {
	if _, err := m.WriteTo(f); err != nil {
		return err
	}
	if f.err != nil {
		return f.err // m did not pass it on
	}
	if f.size == 0 {
		return ErrEmptyMessage
	}
	if f.kept || f.waiting != nil {
		return nil
	}
	return w.finish(f)
}

// finish gives a message file that is written its owner and time.
func (w *Writer) finish(f *messageFile) error {
	if err := w.own(f.fd); err != nil {
		return err
	}
	mtime, err := unix.TimeToTimespec(f.date)
	if err != nil {
		return fmt.Errorf("time %v: %w", f.date, err)
	}
	if err := setTime(f.fd, mtime); err != nil {
		return fmt.Errorf("set time: %w", err)
	}
	return nil
}

// setTime sets when an open file was changed (futimens(3)). Package unix has it by name only,
// and to look the name up again costs as much.
func setTime(fd int, mtime unix.Timespec) error {
	times := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, mtime}
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// messageName is the name of a message file (imap/mailbox.c, mailbox_message_fname).
func messageName(uid uint32) string {
	return string(append(strconv.AppendUint(make([]byte, 0, 12), uint64(uid), 10), '.'))
}

// messageFile writes and hashes in one pass. Its first error stays. It is made with the
// first Write, unless that shows that it is there already, or it is to be written beside.
type messageFile struct {
	fd   int
	sum  hash.Hash
	size int64
	max  int64
	err  error

	cache *cacheFile
	date  time.Time // internal date

	w       *Writer
	name    string
	aside   bool        // what has the name stays until all is written
	mayWait bool        // to be written beside, if the first piece is all
	waiting *besideFile // has the first piece
	oldSize int64
	oldSum  [20]byte
	kept    bool
}

// made is the name that the file is made with.
func (f *messageFile) made() string {
	if f.aside {
		return fileMessage + newSuffix
	}
	return f.name
}

func (f *messageFile) Write(p []byte) (int, error) {
	if f.err == nil && int64(len(p)) > f.max-f.size {
		f.err = ErrMessageTooLarge
	}
	if f.kept {
		f.err = ErrLonger
	}
	if f.err == nil && f.fd < 0 && f.waiting == nil && f.take(p) {
		if !f.kept { // else it was hashed to see that
			f.sum.Write(p) // a hash never fails
		}
		f.size = int64(len(p))
		return len(p), nil
	}
	if f.err == nil && f.fd < 0 {
		f.fd, f.err = f.w.create(f.made())
	}
	if f.err == nil {
		f.cache.parse(p, f.size == 0, f.date.Unix())
		f.stopWaiting()
	}
	done := f.writeAll(p)
	f.sum.Write(p[:done]) // a hash never fails
	f.size += int64(done)
	return done, f.err
}

// take takes the first piece of a message if there is nothing to be done with it now: it
// is in the file already, or is to be written beside.
func (f *messageFile) take(p []byte) bool {
	if !f.mayWait {
		f.kept = f.isKept(p)
		return f.kept
	}
	f.waiting = f.w.beside.hold(p)
	return f.waiting != nil
}

// stopWaiting writes the first piece of a message that has more.
func (f *messageFile) stopWaiting() {
	if f.waiting == nil {
		return
	}
	f.writeAll(f.waiting.text)
	f.w.beside.forget(f.waiting)
	f.waiting = nil
}

// writeAll writes p and returns how much of it was written.
func (f *messageFile) writeAll(p []byte) (done int) {
	for f.err == nil && done < len(p) {
		n, err := unix.Write(f.fd, p[done:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			f.err = fmt.Errorf("write: %w", err)
		case n == 0:
			f.err = fmt.Errorf("write: %w", io.ErrShortWrite)
		default:
			done += n
		}
	}
	return done
}
