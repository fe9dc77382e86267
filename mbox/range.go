package mbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// Range is a range of bytes of one of a folder's files. It is used by one goroutine.
type Range struct {
	*io.SectionReader
	opened *os.File // by OpenRange; nil: the file is the folder's
}

// Close releases the range.
func (r *Range) Close() error {
	if r.opened == nil {
		return nil
	}
	return r.opened.Close()
}

// OpenRange returns the range of length bytes from offset of the file that findings and
// messages call by that name, to read what a reader of the folder has set aside. The
// folder must stay open, and the caller closes the range. A file that must not be opened
// is a [*RefusedError]; what of it cannot be read (EIO) is question marks, in lines; one that is not there, or is not the folder's, is an error that
// wraps [fs.ErrNotExist].
func (f *Folder) OpenRange(name string, offset, length int64) (*Range, error) {
	if offset < 0 || length < 0 {
		return nil, fmt.Errorf("%d bytes at offset %d: %w", length, offset, fs.ErrInvalid)
	}
	p, member := f.partOf(name)
	switch {
	case p == nil, p.dir == nil && member != "", p.dir != nil && unsafeName(member) != "":
		return nil, fmt.Errorf("file %q of the mailbox: %w", clip(name), fs.ErrNotExist)
	case p.dir == nil:
		return &Range{SectionReader: io.NewSectionReader(p.blocks(), offset, length)}, nil
	}
	file, _, err := p.dir.open(member)
	var refused *RefusedError
	if errors.As(err, &refused) {
		return nil, refused
	}
	if err != nil {
		return nil, fmt.Errorf("file %q of the mailbox: %w", clip(name), err)
	}
	return &Range{SectionReader: io.NewSectionReader(p.dir.blocks(member, file), offset, length), opened: file}, nil
}

// partOf returns the place that has the file of that name, nil if none has, and what the
// file is called in the place's directory.
func (f *Folder) partOf(name string) (p *part, member string) {
	if len(f.parts) == 1 {
		return &f.parts[0], name
	}
	for i := range f.parts {
		p := &f.parts[i]
		if name == p.path {
			return p, ""
		}
		if rest, ok := strings.CutPrefix(name, p.path+"/"); ok {
			return p, rest
		}
	}
	return nil, ""
}
