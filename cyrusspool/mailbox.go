package cyrusspool

import (
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

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

// Commit makes the added records the mailbox's messages: it writes cyrus.cache (the
// generation alone, for reconstruct to fill, except after [Writer.MakeCache]),
// cyrus.header and, last, cyrus.index, each by renaming, and then removes message files
// that no record names, left by an interrupted run.
//
// Of h these are the caller's: Generation, LastAppend, UIDValidity (not 0), RecentUID,
// CreatedModSeq, ChangesEpoch, and Options, LastUID and HighestModSeq at least. Version,
// counts, sums and the CRC of hdr are filled in; LastUID and HighestModSeq are raised
// to those of the records. Options gets [OptPOP3NewUIDL], and [OptNeedsRepack] from
// version 12 on, without which Cyrus 3.0 never makes the cache, unless it is complete.
//
// Only header and index that take the place of older ones are synced to the disk, before
// they do, so that a power cut leaves the mailbox with one or the other. All else is for
// [SyncFS], once for many mailboxes.
func (w *Writer) Commit(h IndexHeader, hdr Header) error {
	if err := w.Settle(); err != nil {
		return err
	}
	if err := w.owner.Do(func() error { return w.commit(h, hdr) }); err != nil {
		return fmt.Errorf("mailbox %s: commit: %w", w.path, err)
	}
	return nil
}

func (w *Writer) commit(h IndexHeader, hdr Header) error {
	if h.UIDValidity == 0 {
		return errors.New("UIDVALIDITY is 0")
	}
	if w.index == nil {
		return fs.ErrClosed
	}
	header, err := hdr.Append(nil)
	if err != nil {
		return err
	}
	h.HeaderFileCRC = crc32.ChecksumIEEE(header)
	h.Options |= OptPOP3NewUIDL
	if w.version >= Version12 && (w.cache == nil || w.cache.missing > 0) {
		h.Options |= OptNeedsRepack
	}
	if err := w.index.finish(&h); err != nil {
		return err
	}
	if w.old != nil && h.Generation != w.old.Header().Generation {
		return fmt.Errorf("generation %d, the cache has %d", h.Generation, w.old.Header().Generation)
	}
	if err := w.guarded(); err != nil { // before anything is replaced
		return err
	}
	if w.old == nil { // else the records refer to what is in it
		if err := w.commitCache(h.Generation); err != nil {
			return err
		}
	}
	if err := w.commitAnnotations(); err != nil {
		return err
	}
	if err := w.replace(fileHeader, header); err != nil {
		return err
	}
	uids := w.index.uids
	err = errors.Join(w.syncIfReplacing(fileIndex, w.index.file), w.index.file.Close())
	w.index = nil
	if err == nil {
		err = w.guarded()
	}
	if err != nil {
		return err
	}
	if err := w.rename(fileIndex); err != nil {
		return err
	}
	return w.removeStrays(uids)
}

// commitCache puts the new cache into place.
func (w *Writer) commitCache(generation uint32) error {
	if c := w.cache; c != nil {
		w.cache = nil
		if err := c.finish(generation); err != nil {
			return errors.Join(err, w.unlink(fileCache+newSuffix))
		}
		return w.rename(fileCache)
	}
	return w.replace(fileCache, binary.BigEndian.AppendUint32(nil, generation))
}

// commitAnnotations puts a database without annotations where there is none.
func (w *Writer) commitAnnotations() error {
	if w.annotations == nil || w.old != nil {
		return nil
	}
	var st unix.Stat_t
	switch err := unix.Fstatat(int(w.dirs.of(fileAnnots).Fd()), fileAnnots, &st, unix.AT_SYMLINK_NOFOLLOW); err {
	case nil:
		return nil
	case unix.ENOENT:
		return w.replace(fileAnnots, w.annotations)
	default:
		return &fs.PathError{Op: "stat", Path: fileAnnots, Err: err}
	}
}

// replace writes a small file of the mailbox and renames it into place.
func (w *Writer) replace(name string, content []byte) error {
	fd, err := w.create(name + newSuffix)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name+newSuffix)
	_, err = f.Write(content)
	if err == nil {
		err = w.own(fd)
	}
	if err == nil {
		err = w.syncIfReplacing(name, f)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return w.rename(name)
}

// syncIfReplacing syncs a new file that is about to be renamed over an old one. After a
// power cut there must be one of the two: a file system may have done the rename, but
// have nothing of the new file yet (XFS, ext4 with noauto_da_alloc).
func (w *Writer) syncIfReplacing(name string, f *os.File) error {
	var st unix.Stat_t
	err := unix.Fstatat(int(w.dirs.of(name).Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == unix.ENOENT:
		return nil
	case err != nil:
		return &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return f.Sync()
}

func (w *Writer) rename(name string) error { return w.renameTo(name+newSuffix, name) }

// renameTo renames a file within its directory.
func (w *Writer) renameTo(from, to string) error {
	dir := int(w.dirs.of(to).Fd())
	err := retry(func() error { return unix.Renameat(dir, from, dir, to) })
	if err != nil {
		return &fs.PathError{Op: "rename", Path: to, Err: err}
	}
	return nil
}

// removeStrays removes every message file that is not in uids: reconstruct would take
// it for a message. One that a run was cut off in goes too.
func (w *Writer) removeStrays(uids uidRanges) error {
	if _, err := w.dirs.data.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	var strays []string
	for {
		names, err := w.dirs.data.Readdirnames(1000)
		for _, name := range names {
			if name == fileMessage+newSuffix {
				strays = append(strays, name)
				continue
			}
			digits, ok := strings.CutSuffix(name, ".")
			if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" {
				continue
			}
			uid, err := strconv.ParseUint(digits, 10, 32)
			if err != nil || messageName(uint32(uid)) != name || !uids.contains(uint32(uid)) {
				strays = append(strays, name)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
	}
	for _, name := range strays {
		if err := w.unlink(name); err != nil {
			return &fs.PathError{Op: "unlink", Path: name, Err: err}
		}
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

// uidRanges is a rising list of ranges of UIDs, both ends included.
type uidRanges [][2]uint32

func (u *uidRanges) add(uid uint32) {
	if n := len(*u); n > 0 && (*u)[n-1][1]+1 == uid {
		(*u)[n-1][1] = uid
		return
	}
	*u = append(*u, [2]uint32{uid, uid})
}

func (u uidRanges) contains(uid uint32) bool {
	_, found := slices.BinarySearchFunc(u, uid, func(r [2]uint32, uid uint32) int {
		switch {
		case r[1] < uid:
			return -1
		case r[0] > uid:
			return 1
		}
		return 0
	})
	return found
}
