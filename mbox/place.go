package mbox

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Place is where a file or directory of a user's mail is, reached through no symbolic link
// of the user's and opened: for who wants to move it. What its name leads to may be
// another file by now; after a move, compare it with File.
type Place struct {
	Path   string   // raw, below the source root
	Dir    *os.File // to look names up in it and to reopen
	Name   string   // in Dir
	File   *os.File
	Folder bool // a directory, of a format whose mailboxes are directories

	dir *directory // then
}

// Identity looks at the file, or the directory and the files in it, anew.
func (p Place) Identity() (Identity, error) {
	if p.dir != nil {
		return p.dir.identity()
	}
	return fileIdentity(p.File)
}

// Places returns where an open folder of a host is. They belong to the folder. A folder
// that an administrator named has none.
func (f *Folder) Places() []Place {
	var places []Place
	for _, p := range f.parts {
		if p.parent != nil {
			places = append(places, Place{Path: p.path, Dir: p.parent, Name: p.name, File: p.file, Folder: p.dir != nil, dir: p.dir})
		}
	}
	return places
}

// SubscriptionFiles opens the files in the home and in the mail directory of u that UW
// keeps subscriptions in, as far as they are there and his. The caller closes them.
func (h *Host) SubscriptionFiles(u User) (places []Place, err error) {
	err = h.as(u, func() error {
		places, err = h.subscriptionFiles(u)
		return err
	})
	return places, err
}

func (h *Host) subscriptionFiles(u User) (places []Place, err error) {
	home, skipped := h.openHome(u.Home)
	if home == nil || skipped != nil {
		return nil, nil // Folders reports it
	}
	defer home.Close()
	homePath := cleanPath(u.Home)
	seen := map[fileKey]bool{}
	for _, where := range [][]string{nil, splitPath(h.mailDir)} {
		path := homePath
		for _, name := range where {
			path = join(path, name)
		}
		for _, name := range []string{mailboxList, mailboxListTemp} {
			dir, skipped, err := openUserPath(home, where, u.UID, pathOnly)
			if errors.Is(err, fs.ErrNotExist) || skipped != nil {
				break
			}
			if err != nil {
				return places, err
			}
			file, st, skipped, err := openUserFile(dir, name, u.UID)
			switch {
			case err == nil && skipped == nil && !seen[fileKey{uint64(st.Dev), st.Ino}]:
				seen[fileKey{uint64(st.Dev), st.Ino}] = true
				places = append(places, Place{Path: join(path, name), Dir: dir, Name: name, File: file})
				continue
			case err == nil && skipped == nil:
				file.Close() // the mail directory is the home
			}
			dir.Close()
			if err != nil && !errors.Is(err, fs.ErrNotExist) && err != unix.ENOENT {
				return places, err
			}
		}
	}
	return places, nil
}

// Close closes the descriptors of a place that [Host.SubscriptionFiles] returned.
func (p Place) Close() error { return errors.Join(p.File.Close(), p.Dir.Close()) }
