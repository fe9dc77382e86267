package cyrusspool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

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

// commit is Commit with the owner's rights. Until cyrus.index is renamed, which comes last, the
// mailbox has the messages that it had.
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
	have, err := w.has(fileAnnots)
	if err != nil || have {
		return err
	}
	return w.replace(fileAnnots, w.annotations)
}

// has reports whether there is something of that name in the mailbox, be it a link.
func (w *Writer) has(name string) (bool, error) {
	var st unix.Stat_t
	err := unix.Fstatat(int(w.dirs.of(name).Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == unix.ENOENT:
		return false, nil
	case err != nil:
		return false, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return true, nil
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
	have, err := w.has(name)
	if err != nil || !have {
		return err
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
