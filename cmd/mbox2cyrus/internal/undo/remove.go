package undo

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cyrusspool"
)

// removeMailboxes removes the mailboxes of a user of whom Cyrus knows no more from the
// disk.
func (u *Undoer) removeMailboxes(one *user) error {
	for _, rec := range one.boxes {
		if err := u.asChecked(rec); err != nil {
			return fmt.Errorf("%s: %w", rec.Name, err)
		}
	}
	for _, rec := range one.boxes {
		if err := u.removeMailbox(rec); err != nil {
			return fmt.Errorf("%s: %w", rec.Name, err)
		}
	}
	return nil
}

// asChecked is an error if the index of a mailbox is not the one that check took for ours: Cyrus
// was started since, and mail may have come in before its entry went.
func (u *Undoer) asChecked(rec ledger.Mailbox) (err error) {
	place := u.Cyrus.Place(rec.Partition, rec.Dir)
	d, err := openIfThere(place.Roots.Index, rec.Dir)
	if d == nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	id, err := identityAt(d, "cyrus.index")
	if errors.Is(err, fs.ErrNotExist) || err == nil && (rec.IndexID == nil || id.Equal(*rec.IndexID)) {
		return nil
	}
	if err == nil && stays(rec) {
		if back, err := u.isBack(rec, place, d); err != nil || back {
			return err
		}
	}
	return cmp.Or(err, errors.New("while undo went on, Cyrus was started and changed it; it does not know the mailbox any more, whose files are all there still (reconstruct finds it)"))
}

// removeBeside removes what the user had beside them.
func (u *Undoer) removeBeside(one *user) error {
	for _, rec := range one.boxes {
		for _, files := range rec.UserFiles {
			if err := u.removeUserFiles(rec, files, one.known()); err != nil {
				return fmt.Errorf("files of the user of %s: %w", rec.Name, err)
			}
		}
	}
	return nil
}

// removeMailbox goes through the directories of a mailbox, that of its messages first.
func (u *Undoer) removeMailbox(rec ledger.Mailbox) error {
	place := u.Cyrus.Place(rec.Partition, rec.Dir)
	for _, root := range place.Roots.All() {
		if err := u.removeDirectory(rec, root); err != nil {
			return err
		}
	}
	return nil
}

func (u *Undoer) removeDirectory(rec ledger.Mailbox, root string) error {
	d, err := cyrusspool.OpenDir(root, rec.Dir)
	if errors.Is(err, fs.ErrNotExist) && !stays(rec) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := errors.Join(u.empty(rec, root, d), d.Close()); err != nil || stays(rec) {
		return err
	}
	removed, err := cyrusspool.RemoveDir(root, rec.Dir)
	if err == nil && !removed {
		err = fmt.Errorf("%s: %w", rec.Dir, unix.ENOTEMPTY)
	}
	return err
}

// empty takes the files out of a directory of a mailbox: messages first and the index
// behind header and cache, so that what a kill leaves is a mailbox whose index can be
// recognised.
func (u *Undoer) empty(rec ledger.Mailbox, root string, d *os.File) error {
	var keep []ledger.KeptFile
	if stays(rec) {
		for _, k := range rec.Original.Files {
			if k.Root == root {
				keep = append(keep, k)
			}
		}
		slices.SortFunc(keep, func(a, b ledger.KeptFile) int { return strings.Compare(a.Name, b.Name) })
		if err := u.putBack(rec, keep, d); err != nil {
			return err
		}
	}
	var own []string
	err := unlinkEach(d, func(name string) bool {
		if isMailboxFile(name) {
			if _, was := keptFile(keep, root, name); !was {
				own = append(own, name)
			}
			return false
		}
		// Of a mailbox that had messages, ours are all behind those.
		return messageUID(name) > 0 && (!rec.Merged || messageUID(name) >= rec.FirstUID)
	})
	if err != nil {
		return err
	}
	slices.Sort(own) // some may be there twice, as the directory was listed repeatedly
	for _, name := range own {
		if err := unlink(d, name); err != nil {
			return err
		}
	}
	return d.Sync()
}

// unlinkAtOnce is how many names unlinkEach keeps: some MB of memory, and few enough lists of
// the largest directory.
const unlinkAtOnce = 1 << 16

// unlinkEach unlinks the regular files of a directory that are meant. Names are
// collected a piece at a time, since a directory that changes while it is listed
// may show an entry twice or not at all.
func unlinkEach(d *os.File, meant func(name string) bool) error {
	var names []string
	for {
		err := eachEntry(d, func(e fs.DirEntry) error {
			if e.Type().IsRegular() && meant(e.Name()) {
				names = append(names, e.Name())
			}
			if len(names) == unlinkAtOnce {
				return io.EOF
			}
			return nil
		})
		more := err == io.EOF
		if err != nil && !more {
			return err
		}
		for _, name := range names {
			if err := unlink(d, name); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		names = names[:0]
	}
}

func unlink(d *os.File, name string) error {
	err := unix.Unlinkat(int(d.Fd()), name, 0)
	if err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "unlink", Path: filepath.Join(d.Name(), name), Err: err}
	}
	return nil
}

// putBack writes kept files that are no longer as they were, each under another
// name first.
func (u *Undoer) putBack(rec ledger.Mailbox, files []ledger.KeptFile, d *os.File) error {
	for _, k := range files {
		want, err := u.sumToPutBack(rec, k)
		sum := ""
		if err == nil {
			sum, err = sumAt(d, k.Name, sha256.New())
		}
		if err == nil && sum != want {
			err = u.putBackOne(rec, k, want, d)
		}
		if err != nil {
			return fmt.Errorf("putting back %s: %w", k.Name, err)
		}
	}
	return nil
}

// putBackOne writes one kept file, which has the SHA-256 want then.
func (u *Undoer) putBackOne(rec ledger.Mailbox, k ledger.KeptFile, want string, d *os.File) (err error) {
	from, err := u.Ledger.OpenKept(rec.UniqueID, k.Copy)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	content, err := toPutBack(rec, k, from)
	if err != nil {
		return err
	}
	temporary := k.Name + ".NEW"
	if err := unlink(d, temporary); err != nil {
		return err
	}
	owner := u.Cyrus.Fresh.Owner
	if a := k.Access; a != nil {
		owner.FileMode = fs.FileMode(a.Mode)
		if os.Geteuid() == 0 {
			owner.UID, owner.GID = a.UID, a.GID
		}
	}
	var fd int
	err = owner.Do(func() (err error) {
		fd, err = unix.Openat(int(d.Fd()), temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return &fs.PathError{Op: "create", Path: temporary, Err: err}
	}
	f := os.NewFile(uintptr(fd), filepath.Join(d.Name(), temporary))
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(owner.FileMode.Perm())
	}
	if err == nil && owner.UID >= 0 {
		err = f.Chown(owner.UID, owner.GID)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	sum, err := sumAt(d, temporary, sha256.New())
	if err != nil {
		return err
	}
	if sum != want {
		return errors.New("the copy in the state directory is not what was kept")
	}
	if err := unix.Renameat(int(d.Fd()), temporary, int(d.Fd()), k.Name); err != nil {
		return &fs.PathError{Op: "rename", Path: temporary, Err: err}
	}
	return nil
}

// removeUserFiles removes what was put beside a user's mailboxes, and puts back
// what Cyrus derived from them: check found that nothing else is there. Where clients may
// know of appended messages, what Cyrus counts of their user does not go back either.
func (u *Undoer) removeUserFiles(rec ledger.Mailbox, files ledger.UserFiles, known bool) (err error) {
	d, err := openIfThere(u.Cyrus.ConfigDir, files.Dir)
	if d == nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	var back []ledger.KeptFile
	for _, k := range files.Files {
		if _, written := files.Left[k.Name]; fileKind(files, k.Name) == derived && !known || fileKind(files, k.Name) == seenState && written {
			back = append(back, k)
		}
	}
	if err := u.putBack(rec, back, d); err != nil {
		return err
	}
	err = unlinkEach(d, func(name string) bool {
		_, was := keptFile(files.Files, u.Cyrus.ConfigDir, name)
		if !belongs(files, name) || was {
			return false
		}
		switch fileKind(files, name) {
		case other:
			return false
		case derived, searchIndex:
			return !known
		case seenState:
			_, written := files.Left[name]
			return written
		}
		return true
	})
	return errors.Join(err, d.Sync())
}
