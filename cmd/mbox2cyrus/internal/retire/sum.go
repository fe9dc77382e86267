package retire

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"mbox2cyrus/mbox"
)

// content is what a moved file or directory is known by.
type content struct {
	sum  string // SHA-256 in hexadecimal
	size int64
}

// unsummedError says why a file or directory has no sum, and what to do: its user can make a
// file of holes that takes more than a day to read by one call, and what is mounted in a directory
// would not be in the archive when it is unmounted.
type unsummedError struct{ text string }

func (e *unsummedError) Error() string { return e.text }

// sumOf reads a file, or all files of a directory.
func sumOf(ctx context.Context, f *os.File, isDir bool) (content, error) {
	if isDir {
		return sumDir(ctx, f)
	}
	return sumFile(ctx, f)
}

// sumFile reads a file from its beginning. Its user may still have it open, or its name may be
// that of a FIFO by now: it reads no more than the file had when it began.
func sumFile(ctx context.Context, f *os.File) (c content, err error) {
	info, err := f.Stat()
	if err != nil {
		return c, err
	}
	if !info.Mode().IsRegular() {
		return c, errors.New("it is no file any more")
	}
	why, err := mbox.TooSparse(f)
	if err != nil {
		return c, err
	}
	if why != "" {
		return c, &unsummedError{why + "; remove the file, or move it away"}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return c, err
	}
	h := sha256.New()
	if c.size, err = io.Copy(h, io.LimitReader(reader{ctx, f}, info.Size())); err != nil {
		return c, err
	}
	c.sum = hex.EncodeToString(h.Sum(nil))
	return c, nil
}

// reader ends with the context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// maxSumDepth bounds how deep directories may nest in a mailbox that is one.
const maxSumDepth = 50

// sumDir reads all files below a directory, through no link. Its sum is over one
// line for each entry, in the byte order of the names and directories before what is
// in them: the path below the directory, quoted as in Go, a space, and of a file its
// size, a space and its SHA-256; of a directory "directory"; of anything else "other".
func sumDir(ctx context.Context, d *os.File) (c content, err error) {
	in, err := mountOf(d)
	if err != nil {
		return c, err
	}
	h := sha256.New()
	if err := addDir(ctx, h, &c, d, in, "", 0); err != nil {
		return c, err
	}
	c.sum = hex.EncodeToString(h.Sum(nil))
	return c, nil
}

func addDir(ctx context.Context, list io.Writer, c *content, d *os.File, in mount, path string, depth int) (err error) {
	if depth > maxSumDepth {
		return fmt.Errorf("%q: more than %d directories deep", path, maxSumDepth)
	}
	fd, err := openat(d, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	d = os.NewFile(uintptr(fd), d.Name()) // a descriptor that can be listed, from its beginning
	defer func() { err = errors.Join(err, d.Close()) }()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := addEntry(ctx, list, c, d, in, path+name, name, depth); err != nil {
			return fmt.Errorf("%q: %w", path+name, err)
		}
	}
	return nil
}

func addEntry(ctx context.Context, list io.Writer, c *content, d *os.File, in mount, path, name string, depth int) (err error) {
	var st unix.Stat_t
	if err := unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	what := "other"
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if _, err := fmt.Fprintf(list, "%s directory\n", strconv.Quote(path)); err != nil {
			return err
		}
		fd, err := openat(d, name, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		sub := os.NewFile(uintptr(fd), name)
		err = in.has(sub)
		if err == nil {
			err = addDir(ctx, list, c, sub, in, path+"/", depth+1)
		}
		return errors.Join(err, sub.Close())
	case unix.S_IFREG:
		fd, err := openat(d, name, unix.O_RDONLY|unix.O_NONBLOCK)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), name)
		var one content
		if err = in.has(f); err == nil {
			one, err = sumFile(ctx, f)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		c.size += one.size
		what = fmt.Sprintf("%d %s", one.size, one.sum)
	}
	_, err = fmt.Fprintf(list, "%s %s\n", strconv.Quote(path), what)
	return err
}

// openat opens name below a directory, never through a link, and leaves the access
// time alone where that is permitted.
func openat(d *os.File, name string, flags int) (int, error) {
	flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(int(d.Fd()), name, flags|unix.O_NOATIME, 0)
	if err == unix.EPERM {
		fd, err = unix.Openat(int(d.Fd()), name, flags, 0)
	}
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}
