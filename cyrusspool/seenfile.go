package cyrusspool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WriteSeenFile writes states as a flat file to path, which lies below root (Cyrus's
// configdirectory), and makes the directories that are missing. A file that is there is
// replaced. The file is on the disk when WriteSeenFile returns.
func WriteSeenFile(root, path string, states map[string]SeenState, o Owner) (err error) {
	content, err := AppendSeen(nil, states)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return fmt.Errorf("seen state: %w", err)
	}
	dir, err := makeDir(root, filepath.Dir(rel), o)
	if err != nil {
		return fmt.Errorf("seen state: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	// Under its own name it is written completely before it takes the other's place.
	name := filepath.Base(rel)
	temporary := name + newSuffix
	at := int(dir.Fd())
	if err := unix.Unlinkat(at, temporary, 0); err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "unlink", Path: temporary, Err: err}
	}
	fd, err := unix.Openat(at, temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &fs.PathError{Op: "create", Path: temporary, Err: err}
	}
	f := os.NewFile(uintptr(fd), temporary)
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(o.FileMode.Perm())
	}
	if err == nil && o.UID >= 0 {
		err = f.Chown(o.UID, o.GID)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := unix.Renameat(at, temporary, at, name); err != nil {
		return &fs.PathError{Op: "rename", Path: name, Err: err}
	}
	return dir.Sync()
}
