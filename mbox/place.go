package mbox

import (
	"errors"
	"io/fs"
	"os"
	"strings"
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
		path := join(homePath, strings.Join(where, "/"))
		for _, name := range []string{mailboxList, mailboxListTemp} {
			p, key, err := openSubscriptionFile(home, where, name, u.UID)
			switch {
			case err != nil:
				return places, err
			case p == nil:
			case seen[key]:
				p.Close() // the mail directory is the home; opened for reading
			default:
				seen[key] = true
				p.Path = join(path, name)
				places = append(places, *p)
			}
		}
	}
	return places, nil
}

// openSubscriptionFile opens the file name of a user in a directory below his home; nil if there is
// none, or none that may be opened.
func openSubscriptionFile(home *os.File, where []string, name string, uid uint32) (*Place, fileKey, error) {
	dir, skipped, err := openUserPath(home, where, uid, pathOnly)
	if errors.Is(err, fs.ErrNotExist) || skipped != nil {
		return nil, fileKey{}, nil
	}
	if err != nil {
		return nil, fileKey{}, err
	}
	file, st, skipped, err := openUserFile(dir, name, uid)
	if err == nil && skipped == nil {
		return &Place{Dir: dir, Name: name, File: file}, fileKey{uint64(st.Dev), st.Ino}, nil
	}
	dir.Close() // opened to look names up only
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return nil, fileKey{}, err
}

// Close closes the descriptors of a place that [Host.SubscriptionFiles] returned.
func (p Place) Close() error { return errors.Join(p.File.Close(), p.Dir.Close()) }
