package mbox

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Folder is an open folder: its file, its directory, or, for an INBOX that is in several
// places, all of them. It is used by one goroutine.
type Folder struct {
	parts    []part
	keywords []string // of the user's configuration, for formats that name none
}

// part is one place that a folder's mail is in.
type part struct {
	path   string // raw, as in messages
	format Format
	file   *os.File
	dir    *directory // for a format that is a directory; its file is file
	// parent and name say where the file is, for a lock beside it. nil of a file that an
	// administrator named.
	parent *os.File
	name   string
	bad    *badBlocks // of a file
}

// blocks returns a reader of the file around its bad blocks.
func (p *part) blocks() *blockReader {
	if p.bad == nil {
		p.bad = &badBlocks{}
	}
	return &blockReader{src: p.file, bad: p.bad}
}

// OpenFolder opens a mailbox file or directory that an administrator named. Other than
// in [Host.Open], links are followed and its owner does not matter. It is an error that
// wraps [ErrNotFolder] if it is no mailbox. Access times are left alone as by Host.Open: by
// that of a message of an mh folder UW tells whether it was read.
func OpenFolder(path string) (*Folder, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	leaveAtime(int(file.Fd()))
	p := part{path: path, file: file}
	if err := p.recognise(); err != nil {
		return nil, errors.Join(fmt.Errorf("%q: %w", path, err), file.Close())
	}
	return &Folder{parts: []part{p}}, nil
}

// ErrNotFolder is wrapped by the error of [OpenFolder] for what is no mailbox.
var ErrNotFolder = errors.New("not a mailbox")

// recognise finds the format of a file that an administrator named.
func (p *part) recognise() error {
	st, err := fstat(p.file)
	if err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		head := make([]byte, min(headSize, st.Size))
		if err := readFull(p.blocks(), head, 0); err != nil {
			return err
		}
		if p.format = Recognise(head, st.Size); p.format == FormatNone {
			p.format = FormatUnix // its reader says what is wrong, and where
		}
	case unix.S_IFDIR:
		p.dir = &directory{file: p.file, trusted: true}
		if p.format = recogniseDirectory(p.dir); p.format == "" {
			return fmt.Errorf("%w: an ordinary directory", ErrNotFolder)
		}
	default:
		return fmt.Errorf("%w: %s", ErrNotFolder, fileType(st))
	}
	if !p.format.isRead() {
		return fmt.Errorf("%w that is read: %s format; copy its messages into a unix folder", ErrNotFolder, p.format)
	}
	return nil
}

// Identity looks at the folder's files anew.
func (f *Folder) Identity() (Identity, error) {
	ids := make([]Identity, len(f.parts))
	for i, p := range f.parts {
		var err error
		if ids[i], err = p.identity(); err != nil {
			return Identity{}, fmt.Errorf("mbox %q: %w", p.path, err)
		}
	}
	return JoinIdentities(ids), nil
}

func (p *part) identity() (Identity, error) {
	if p.dir != nil {
		return p.dir.identity()
	}
	return fileIdentity(p.file)
}

// Mailbox returns a reader of the folder as it is now: what is appended later is not
// read. It must not be used after Close.
func (f *Folder) Mailbox(opts Options) (Mailbox, error) {
	if opts.Keywords == nil {
		opts.Keywords = f.keywords
	}
	if len(f.parts) == 1 {
		return f.parts[0].open(opts)
	}
	var full []part
	for _, p := range f.parts {
		id, err := p.identity()
		if err != nil {
			return nil, fmt.Errorf("mbox %q: %w", p.path, err)
		}
		if id.Size > 0 {
			full = append(full, p)
		}
	}
	if len(full) == 0 {
		full = f.parts[:1]
	}
	return newUnion(full, opts), nil
}

func (p *part) open(opts Options) (Mailbox, error) {
	for _, d := range directoryFormats {
		if d.name == p.format && p.dir != nil {
			return d.open(p.dir, opts), nil
		}
	}
	id, err := fileIdentity(p.file)
	if err != nil {
		return nil, fmt.Errorf("mbox %q: %w", p.path, err)
	}
	opts.ModTime = id.ModTime
	// The kernel reads ahead further; a failure costs speed only.
	_ = unix.Fadvise(int(p.file.Fd()), 0, 0, unix.FADV_SEQUENTIAL)
	for _, d := range fileFormats {
		if d.name == p.format {
			return d.open(p.blocks(), id.Size, opts), nil
		}
	}
	// An empty file: mail that came since it was listed is in unix format.
	return NewReader(p.blocks(), id.Size, opts), nil
}

// aheadStep is what posix_fadvise(2) is asked for at once: Linux reads no more of it than
// read_ahead_kb of the disk, which is 128 by default.
const aheadStep = 128 << 10

// ReadAhead has the kernel begin to read the first bytes of the folder's files, up to max of
// each, and does not wait for it.
func (f *Folder) ReadAhead(max int64) {
	for _, p := range f.parts {
		st, err := fstat(p.file)
		if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		for at := int64(0); at < min(max, st.Size); at += aheadStep {
			// A failure costs speed only.
			_ = unix.Fadvise(int(p.file.Fd()), at, aheadStep, unix.FADV_WILLNEED)
		}
	}
}

// File returns the file of a folder that is one file, else nil. It belongs to the folder.
func (f *Folder) File() *os.File {
	if len(f.parts) > 1 || f.parts[0].dir != nil {
		return nil
	}
	return f.parts[0].file
}

// Close closes all files.
func (f *Folder) Close() error {
	var errs []error
	for _, p := range f.parts {
		errs = append(errs, p.file.Close())
		if p.parent != nil {
			errs = append(errs, p.parent.Close())
		}
	}
	return errors.Join(errs...)
}

// Open opens a folder of u for reading. Every check that the listing made is made
// again on the way, from the source root down, and the file must still be the one
// that was listed: the same device and inode. It may have grown or changed; compare
// its identity with that of f to know.
//
// What is refused is a [*RefusedError]; what is gone wraps [fs.ErrNotExist]. No lock
// is taken, see [Locks]. The file's access time is left alone where the system allows it
// (O_NOATIME).
func (h *Host) Open(u User, f File) (*Folder, error) {
	folder := &Folder{}
	places := f.Parts
	if len(places) == 0 {
		places = []File{f}
	}
	for _, place := range places {
		p, err := h.openPart(u, place)
		if err != nil {
			return nil, errors.Join(err, folder.Close())
		}
		folder.parts = append(folder.parts, p)
	}
	if slices.ContainsFunc(places, func(p File) bool { return p.Format.namesNoKeywords() }) {
		var err error
		if folder.keywords, err = h.Keywords(u); err != nil {
			return nil, errors.Join(err, folder.Close())
		}
	}
	return folder, nil
}

func (h *Host) openPart(u User, f File) (part, error) {
	p := part{path: f.Path, format: f.Format, bad: &badBlocks{all: &h.bad}}
	var (
		st      *unix.Stat_t
		skipped *Skipped
	)
	err := h.as(u, func() (err error) {
		st, skipped, err = h.openPlace(u, f, &p)
		return err
	})
	if err == nil && skipped == nil && (uint64(st.Dev) != f.Dev || st.Ino != f.Ino) {
		skipped = &Skipped{Kind: SkipChanged, MayHoldMail: true,
			Text: "another file has this name since it was listed; run again"}
	}
	if err == nil && skipped == nil {
		return p, nil
	}
	for _, file := range []*os.File{p.file, p.parent} {
		if file != nil {
			file.Close()
		}
	}
	if err != nil {
		return p, fmt.Errorf("mbox %q: %w", f.Path, err)
	}
	if skipped.Path == "" {
		skipped.Path = f.Path
	}
	skipped.User = u.Name
	return p, &RefusedError{*skipped}
}

// openPlace walks to f and opens it, as a part.
func (h *Host) openPlace(u User, f File, p *part) (*unix.Stat_t, *Skipped, error) {
	top, names, skipped, err := h.place(u, f)
	if err != nil || skipped != nil {
		return nil, skipped, err
	}
	defer top.Close()
	if slices.ContainsFunc(names, func(name string) bool { return name == "" || name == "." || name == ".." }) {
		// Names come from a listing and cannot be these, but a caller may make one up.
		return nil, nil, fmt.Errorf("folder name %q: %w", f.Name, fs.ErrInvalid)
	}
	last := len(names) - 1
	p.name = names[last]
	if p.parent, skipped, err = openUserPath(top, names[:last], u.UID, pathOnly); err != nil || skipped != nil {
		return nil, skipped, err
	}
	if !f.Format.isDirectory() {
		var st *unix.Stat_t
		p.file, st, skipped, err = openUserFile(p.parent, p.name, u.UID)
		return st, skipped, err
	}
	if p.file, skipped, err = openUserDir(p.parent, p.name, u.UID, unix.O_RDONLY); err != nil || skipped != nil {
		return nil, skipped, err
	}
	p.dir = &directory{file: p.file, rights: h.rights(u), badOnHost: &h.bad, alone: f.alone}
	st, err := fstat(p.file)
	return st, nil, err
}

// place returns the directory that the path to f starts from, and the names below it.
func (h *Host) place(u User, f File) (top *os.File, names []string, skipped *Skipped, err error) {
	rel := cmp.Or(f.rel, join(h.mailDir, f.Name))
	home := f.inHome || !f.Inbox
	if f.Inbox {
		if why := unsafeName(u.Name); why != "" {
			return nil, nil, nil, fmt.Errorf("user name %s: %w", why, fs.ErrInvalid)
		}
		home = f.inHome || h.template.home
		if f.rel == "" {
			if names = h.template.path(u.Name); names == nil {
				return nil, nil, nil, fmt.Errorf("user name %q in inbox template %s: %w", u.Name, h.template, fs.ErrInvalid)
			}
			rel = strings.Join(names, "/")
		}
	}
	names = strings.Split(rel, "/")
	if !home {
		last := len(names) - 1
		dir, skipped, err := h.inboxParent(nil, names[:last], u.UID)
		return dir, names[last:], skipped, err
	}
	dir, skipped := h.openHome(u.Home)
	if skipped != nil {
		skipped.Path = cleanPath(u.Home)
		return nil, nil, skipped, nil
	}
	if dir == nil {
		return nil, nil, nil, fmt.Errorf("home %s: %w", u.Home, fs.ErrNotExist)
	}
	return dir, names, nil, nil
}

// isDirectory reports whether mailboxes of the format are directories.
func (f Format) isDirectory() bool {
	return slices.ContainsFunc(directoryFormats, func(d directoryFormat) bool { return d.name == f })
}
