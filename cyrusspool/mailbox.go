package cyrusspool

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/fsrights"
)

// MaxMessageSize is the size of the largest message, in bytes, that an index up to
// version 19 can describe.
const MaxMessageSize = math.MaxUint32

// Errors of the mailbox writer.
var (
	// ErrEmptyMessage: Cyrus's reconstruct deletes a message of no bytes.
	ErrEmptyMessage = errors.New("message of no bytes")
	// ErrMessageTooLarge: the message is larger than [MaxMessageSize], or than
	// [Writer.Limit] allows.
	ErrMessageTooLarge = errors.New("message is too large")
	// ErrRecord: the record cannot be part of this index.
	ErrRecord = errors.New("record cannot be added")
)

// Names of the files of a mailbox (imap/mailbox.h, FNAME_*). Cyrus uses newSuffix
// itself for files that are being written, and does not take them for odd files.
const (
	fileHeader = "cyrus.header"
	fileIndex  = "cyrus.index"
	fileCache  = "cyrus.cache"
	fileAnnots = "cyrus.annotations"
	newSuffix  = ".NEW"

	fileMessage = "cyrus.message" // only as it is written, by us
)

// An Owner says what everything that is made belongs to and may be used by. Cyrus runs
// as its own user: mail of another owner cannot be read.
type Owner struct {
	UID, GID int         // UID below 0: left as created
	FileMode fs.FileMode // 0600 with Cyrus's default umask
	DirMode  fs.FileMode // 0700 likewise
}

// Do calls f with the owner's rights to files in place of root's, where the process is root,
// in this goroutine alone. What is made within belongs to the owner from its first moment,
// and only where he may make it. This package does so by itself, but not for each
// message: to change sides costs as much as a tenth of writing one, so whoever
// writes many calls Do around them all. Not so called, [Writer.WriteMessage] gives each file away.
func (o Owner) Do(f func() error) error {
	if o.UID < 0 {
		return f()
	}
	return fsrights.Identity{UID: uint32(o.UID), GID: uint32(o.GID)}.Do(f)
}

// A Writer fills one mailbox with messages: [Writer.WriteMessage] and [Writer.Add] for
// each, then [Writer.Commit]. It replaces whatever index the mailbox had, so the caller
// must know that what is there came from an earlier run of its own, or is nothing.
// Stopped anywhere, the same calls on the same mailbox lead to the same result. A
// Writer is for one goroutine.
type Writer struct {
	dirs    placeDirs
	path    string
	version Version
	owner   Owner
	chmod   bool  // the umask takes away bits of FileMode
	maxSize int64 // MaxMessageSize, or less

	sum    hash.Hash
	index  *indexFile
	cache  *cacheFile   // nil: reconstruct makes it
	beside *besideFiles // nil: message files are written one after another
	adds   []Record     // wait for message files that are written beside

	guard *IndexState // nil: the index may be in any

	annotations []byte // content of cyrus.annotations of a new mailbox; nil: left to Cyrus

	// Of a mailbox that is updated.
	old     *IndexReader
	oldFile *os.File
}

// CreateMailbox opens the directory dir below partition for filling with an index of
// version v, and makes what is missing of it. dir is a path as [DirByID] and
// [Hashing.Dir] return it. The partition itself may be reached through a symbolic link;
// anything below it that is not a directory is refused.
func CreateMailbox(partition, dir string, v Version, o Owner) (*Writer, error) {
	return OneRoot(partition).At(dir).Create(v, o)
}

// Create is [CreateMailbox] for a mailbox whose files may be below several roots.
func (p Place) Create(v Version, o Owner) (*Writer, error) {
	if !v.Known() {
		return nil, fmt.Errorf("mailbox %s: version %d: %w", p.Dir, v, ErrIndexVersion)
	}
	var w *Writer
	err := o.Do(func() error {
		dirs, err := p.open(func(root, dir string) (*os.File, error) { return makeDir(root, dir, o) })
		if err != nil {
			return err
		}
		w = &Writer{dirs: dirs, path: p.Dir, version: v, owner: o, maxSize: MaxMessageSize, sum: sha1.New()}
		if err := w.begin(); err != nil {
			return errors.Join(err, w.closeDirs())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("mailbox %s: %w", p.Dir, err)
	}
	return w, nil
}

// Limit makes messages of more than n bytes [ErrMessageTooLarge]. It cannot allow more than
// [MaxMessageSize].
func (w *Writer) Limit(n int64) { w.maxSize = min(n, MaxMessageSize) }

// begin starts the new index, and learns from it what the umask does.
func (w *Writer) begin() error {
	fd, err := w.create(fileIndex + newSuffix)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), fileIndex+newSuffix)
	w.index = newIndexFile(f, w.version)
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	w.chmod = info.Mode().Perm() != w.owner.FileMode.Perm()
	if err := w.own(fd); err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// create makes a new file of the mailbox. Whatever has the name is unlinked, never
// opened: Cyrus links one message file into several mailboxes, so that writing into
// it would change other mail, and a link could lead anywhere.
func (w *Writer) create(name string) (fd int, err error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err = w.openat(name, flags)
	if err == unix.EEXIST {
		if err := w.guarded(); err != nil {
			return -1, err
		}
		if err = w.unlink(name); err == nil {
			fd, err = w.openat(name, flags)
		}
	}
	if err != nil {
		return -1, &fs.PathError{Op: "create", Path: name, Err: err}
	}
	return fd, nil
}

func (w *Writer) openat(name string, flags int) (fd int, err error) {
	err = retry(func() (err error) {
		fd, err = unix.Openat(int(w.dirs.of(name).Fd()), name, flags, uint32(w.owner.FileMode.Perm()))
		return err
	})
	return fd, err
}

func (w *Writer) unlink(name string) error {
	return retry(func() error { return unix.Unlinkat(int(w.dirs.of(name).Fd()), name, 0) })
}

// own gives an open file its owner and mode.
func (w *Writer) own(fd int) error {
	// The owner's rights made it the owner's. (To ask costs less than to chown for nothing.)
	if w.owner.UID >= 0 && fsrights.UID() != uint32(w.owner.UID) {
		if err := unix.Fchown(fd, w.owner.UID, w.owner.GID); err != nil {
			return fmt.Errorf("chown: %w", err)
		}
	}
	if w.chmod {
		if err := unix.Fchmod(fd, uint32(w.owner.FileMode.Perm())); err != nil {
			return fmt.Errorf("chmod: %w", err)
		}
	}
	return nil
}

// retry calls f again while signals interrupt it.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// Add adds the record of a message to the new index. UIDs must rise, except that one
// record at a time may wait for those below it: a folder's first message can have a
// UID above later ones. A record that cannot be added is [ErrRecord].
func (w *Writer) Add(r Record) error {
	if w.index == nil {
		return fmt.Errorf("mailbox %s: add after commit: %w", w.path, fs.ErrClosed)
	}
	w.adds = append(w.adds, r)
	return w.addWritten()
}

// add adds the record of a message whose file is written.
func (w *Writer) add(r Record) error {
	w.cache.complete(&r)
	if err := w.index.add(r); err != nil {
		return fmt.Errorf("mailbox %s: %w", w.path, err)
	}
	return nil
}

// Close releases the mailbox. Without a [Writer.Commit] before it, the new index is
// dropped and the mailbox stays as it was, apart from the message files written so
// far, which a later run replaces or removes.
func (w *Writer) Close() error {
	if w.dirs.data == nil {
		return nil
	}
	w.beside.wait()
	var err error
	if w.index != nil {
		err = errors.Join(w.index.file.Close(), w.unlink(fileIndex+newSuffix))
		w.index = nil
	}
	if w.cache != nil {
		err = errors.Join(err, w.cache.file.Close(), w.unlink(fileCache+newSuffix))
		w.cache = nil
	}
	if w.oldFile != nil {
		err = errors.Join(err, w.oldFile.Close())
	}
	if err = errors.Join(err, w.closeDirs()); err != nil {
		return fmt.Errorf("mailbox %s: close: %w", w.path, err)
	}
	return nil
}

func (w *Writer) closeDirs() error {
	var err error
	for _, d := range w.dirs.all() {
		err = errors.Join(err, d.Close())
	}
	w.dirs = placeDirs{}
	return err
}
