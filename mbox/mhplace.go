package mbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxMHProfile bounds how much of a profile is read.
const maxMHProfile = 64 << 10

// mhName is what stands for "#mh" in the names of MH folders that are not below the mail
// directory: Cyrus would take the # but clients show such names as another namespace.
const mhName = "mh"

// findMH finds the user's MH path.
func (w *walker) findMH(h *Host, home *os.File) {
	rel := h.config.mhPath
	if rel == "" {
		text, ok := w.readMHProfile(home)
		if !ok {
			return
		}
		path := parseMHProfile(text)
		if below, ok := strings.CutPrefix(path, strings.TrimSuffix(w.user.Home, "/")+"/"); ok {
			path = below
		}
		names := splitPath(path)
		if strings.HasPrefix(path, "/") || slices.Contains(names, "..") {
			w.skip(join(w.homePath, mhProfileName), &Skipped{Kind: SkipFormat, MayHoldMail: true,
				Text: fmt.Sprintf("MH folders are in %q, which is not below the home: not converted; move them below it if they are the user's mail", clip(path))})
			return
		}
		rel = strings.Join(names, "/")
	}
	w.mh, w.mhPath = &rel, join(w.homePath, rel)
}

// readMHProfile reads the profile; ok is false if there is none or it was reported.
func (w *walker) readMHProfile(home *os.File) (text []byte, ok bool) {
	f, _, s, err := openUserFile(home, mhProfileName, w.user.UID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false
	case err == nil && s == nil:
		text, err = io.ReadAll(io.LimitReader(f, maxMHProfile))
		err = errors.Join(err, f.Close())
	}
	switch {
	case err != nil:
		w.unreadable(join(w.homePath, mhProfileName), err)
		return nil, false
	case s != nil:
		s.Text = "where MH folders are: " + s.Text
		w.skip(join(w.homePath, mhProfileName), s)
		return nil, false
	}
	return text, true
}

// mhFolders takes up the MH folders that are not below the mail directory. It returns how
// names of MH folders begin in subscriptions, and here.
func (w *walker) mhFolders(h *Host, home, mailDir *os.File) []prefix {
	if w.mh == nil {
		return nil
	}
	rel := *w.mh
	if here, ok := strings.CutPrefix(withSlash(rel), withSlash(h.mailDir)); ok && mailDir != nil {
		return []prefix{{written: "#mh/", here: here}}
	}
	top := mhName
	for n := 2; mailDir != nil && exists(mailDir, top); n++ {
		top = fmt.Sprintf("%s-%d", mhName, n)
	}
	dir, s, err := openUserPath(home, splitPath(rel), w.user.UID, unix.O_RDONLY)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		w.unreadable(w.mhPath, err)
	case s != nil:
		w.skip(w.mhPath, s)
	default:
		defer dir.Close()
		w.away, w.brief = true, true
		w.directory(dir, w.mhPath, top, 0)
		w.away = false
	}
	return []prefix{{written: "#mh/", here: top + "/"}}
}

// exists reports whether there is anything of that name, or that cannot be told.
func exists(dir *os.File, name string) bool {
	_, err := lstatAt(dir, name)
	return !errors.Is(err, fs.ErrNotExist)
}

// namesNoKeywords reports whether mailboxes of the format have keywords but not their
// names.
func (f Format) namesNoKeywords() bool { return f == FormatTenex || f == FormatMTX }
