package cyrusspool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Roots are the directories that hold the files of the mailboxes of one partition. A
// mailbox has the same path below each of them (imap/mboxname.c, mboxname_metapath).
type Roots struct {
	Data   string // of messages, and of all that has no other place
	Header string // of cyrus.header
	Index  string // of cyrus.index
	Cache  string // of cyrus.cache
}

// OneRoot returns the roots of a partition that has all files in one directory.
func OneRoot(dir string) Roots { return Roots{Data: dir, Header: dir, Index: dir, Cache: dir} }

// Roots returns the roots of each partition by name. A file that metapartition_files
// names is below the partition's metapartition-NAME, if that is set; metadir-KIND-NAME
// goes before it. Other kinds of files than [Roots] has are Cyrus's own affair.
func (c *Conf) Roots() map[string]Roots {
	moved := c.metaFiles()
	all := map[string]Roots{}
	for name, data := range c.Partitions() {
		root := func(kind string) string {
			if dir, ok := c.Get("metadir-" + kind + "-" + name); ok {
				return dir
			}
			if dir, ok := c.Get("metapartition-" + name); ok && slices.Contains(moved, kind) {
				return dir
			}
			return data
		}
		all[name] = Roots{Data: data, Header: root("header"), Index: root("index"), Cache: root("cache")}
	}
	return all
}

// metaFiles are the kinds of files that metapartition_files names.
func (c *Conf) metaFiles() []string {
	files, _ := c.Get("metapartition_files")
	return strings.FieldsFunc(files, func(r rune) bool { return strings.ContainsRune(cSpace, r) })
}

// AnnotationsElsewhere reports whether the annotations of any partition's messages are kept
// apart from the messages.
func (c *Conf) AnnotationsElsewhere() bool {
	return slices.Contains(c.metaFiles(), "annotations") ||
		slices.ContainsFunc(c.Keys(), func(key string) bool { return strings.HasPrefix(key, "metadir-annotations-") })
}

// All returns every root once, Data first.
func (r Roots) All() []string { return unique(r.Data, r.Header, r.Index, r.Cache) }

func unique(all ...string) []string {
	var once []string
	for _, s := range all {
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once
}

// At returns the place of a mailbox; dir is a path as [DirByID] and [DirByName] return.
func (r Roots) At(dir string) Place { return Place{Roots: r, Dir: dir} }

// A Place is where the files of one mailbox are.
type Place struct {
	Roots Roots
	Dir   string // below each root
}

// Messages returns the directory of the message files.
func (p Place) Messages() string { return filepath.Join(p.Roots.Data, p.Dir) }

// HeaderFile returns the path of cyrus.header.
func (p Place) HeaderFile() string { return filepath.Join(p.Roots.Header, p.Dir, fileHeader) }

// IndexFile returns the path of cyrus.index.
func (p Place) IndexFile() string { return filepath.Join(p.Roots.Index, p.Dir, fileIndex) }

// maxHeaderFile bounds what is read of a cyrus.header: 128 keywords and an access control
// list.
const maxHeaderFile = 1 << 20

// ReadHeader reads cyrus.header, as [OpenFile] does.
func (p Place) ReadHeader() (h *Header, err error) {
	f, err := OpenFile(p.Roots.Header, p.HeaderFile())
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxHeaderFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(raw) > maxHeaderFile {
		return nil, fmt.Errorf("%s: more than %d bytes", f.Name(), maxHeaderFile)
	}
	if h, err = ParseHeader(raw); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return h, nil
}

// OpenIndex opens cyrus.index, as [OpenFile] does. The caller closes the file.
func (p Place) OpenIndex() (*os.File, *IndexReader, error) {
	f, err := OpenFile(p.Roots.Index, p.IndexFile())
	if err != nil {
		return nil, nil, err
	}
	r, err := NewIndexReader(f)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", p.IndexFile(), err), f.Close())
	}
	return f, r, nil
}

// IndexHeader returns the header of cyrus.index.
func (p Place) IndexHeader() (IndexHeader, error) {
	f, r, err := p.OpenIndex()
	if err != nil {
		return IndexHeader{}, err
	}
	return r.Header(), f.Close()
}

// Dirs returns every directory of the mailbox once, that of the messages first.
func (p Place) Dirs() []string {
	dirs := p.Roots.All()
	for i, root := range dirs {
		dirs[i] = filepath.Join(root, p.Dir)
	}
	return dirs
}

// placeDirs are the open directories of a [Place]; those that are one directory are one
// file.
type placeDirs struct{ data, header, index, cache *os.File }

// open opens the directories of p by open, which is given a root and a path below it.
func (p Place) open(open func(root, dir string) (*os.File, error)) (d placeDirs, err error) {
	byRoot := map[string]*os.File{}
	for _, root := range p.Roots.All() {
		f, err := open(root, p.Dir)
		if err != nil {
			for _, f := range byRoot {
				f.Close() // opened for reading: nothing can be lost
			}
			return d, err
		}
		byRoot[root] = f
	}
	return placeDirs{byRoot[p.Roots.Data], byRoot[p.Roots.Header], byRoot[p.Roots.Index], byRoot[p.Roots.Cache]}, nil
}

// of returns the directory for a file of that name.
func (d placeDirs) of(name string) *os.File {
	switch strings.TrimSuffix(name, newSuffix) {
	case fileHeader:
		return d.header
	case fileIndex:
		return d.index
	case fileCache:
		return d.cache
	}
	return d.data
}

// all returns each directory once.
func (d placeDirs) all() []*os.File {
	var once []*os.File
	for _, f := range []*os.File{d.data, d.header, d.index, d.cache} {
		if f != nil && !slices.Contains(once, f) {
			once = append(once, f)
		}
	}
	return once
}

// AnnotationsFile returns the path of cyrus.annotations, unless [Conf.AnnotationsElsewhere].
func (p Place) AnnotationsFile() string { return filepath.Join(p.Roots.Data, p.Dir, fileAnnots) }

// CacheFile returns the path of cyrus.cache.
func (p Place) CacheFile() string { return filepath.Join(p.Roots.Cache, p.Dir, fileCache) }
