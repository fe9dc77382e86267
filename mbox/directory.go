package mbox

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// directory is the directory of one mailbox, open to be listed, and whose mail is in it.
type directory struct {
	file *os.File
	uid  uint32
	// trusted says that whoever runs the program vouches for the files, so that their
	// owners do not matter.
	trusted bool
}

// member is a file in a mailbox's directory.
type member struct {
	name       string // raw
	regular    bool   // else it is a directory, a link, …: never opened
	isDir      bool
	size       int64
	ino        uint64
	modTime    time.Time
	changeTime time.Time
	accessTime time.Time
}

func newMember(name string, st *unix.Stat_t) member {
	kind := st.Mode & unix.S_IFMT
	return member{name: name, regular: kind == unix.S_IFREG, isDir: kind == unix.S_IFDIR, size: st.Size, ino: st.Ino,
		modTime: timeOf(st.Mtim), changeTime: timeOf(st.Ctim), accessTime: timeOf(st.Atim)}
}

// has reports whether there is a file of that type (S_IFREG, S_IFDIR), without following
// a link.
func (d *directory) has(name string, fileType uint32) bool {
	st, err := lstatAt(d.file, name)
	return err == nil && uint32(st.Mode)&unix.S_IFMT == fileType
}

// each calls do for everything in the directory, in no particular order.
func (d *directory) each(do func(member) error) error {
	dir, err := reopen(d.file, unix.O_RDONLY) // for an offset of its own
	if err != nil {
		return err
	}
	defer dir.Close()
	return eachName(dir, func(name string) error {
		st, err := lstatAt(d.file, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since; the mailbox's identity tells
		}
		if err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		return do(newMember(name, st))
	})
}

// open opens a member for reading. What must not be opened, because it is no regular file
// or somebody else's, is a [*RefusedError].
func (d *directory) open(name string) (*os.File, member, error) {
	if d.trusted {
		st, err := lstatAt(d.file, name)
		if err != nil {
			return nil, member{}, err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return nil, member{}, &RefusedError{Skipped: Skipped{Path: name, Kind: SkipNotFolder, Text: fileType(st) + " where a file belongs"}}
		}
		f, err := openAt(d.file, name, unix.O_RDONLY|unix.O_NONBLOCK, st)
		if err != nil {
			return nil, member{}, err
		}
		return f, newMember(name, st), nil
	}
	f, st, skipped, err := openUserFile(d.file, name, d.uid)
	if err != nil {
		return nil, member{}, fmt.Errorf("%q: %w", name, err)
	}
	if skipped != nil {
		skipped.Path = name
		return nil, member{}, &RefusedError{Skipped: *skipped}
	}
	return f, newMember(name, st), nil
}

// identity is that of the directory and all regular files in it.
func (d *directory) identity() (Identity, error) {
	st, err := fstat(d.file)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Dev: uint64(st.Dev), Ino: st.Ino, ModTime: timeOf(st.Mtim), ChangeTime: timeOf(st.Ctim)}
	var lines []string
	err = d.each(func(m member) error {
		if !m.regular {
			return nil
		}
		id.include(Identity{Size: m.size, ModTime: m.modTime, ChangeTime: m.changeTime})
		lines = append(lines, fmt.Sprintf("%q %d %d %d %d", m.name, m.ino, m.size, m.modTime.UnixNano(), m.changeTime.UnixNano()))
		return nil
	})
	if err != nil {
		return Identity{}, err
	}
	slices.Sort(lines)
	id.Digest = digest(lines)
	return id, nil
}

// digest is the SHA-1 of lines in hexadecimal.
func digest(lines []string) string {
	h := sha1.New()
	for _, l := range lines {
		fmt.Fprintln(h, l) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}
