package mbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/fsrights"
)

// findInbox takes up the user's INBOX from all places that have mail of it. home is nil if
// there is none.
//
// UW moves what is delivered to the system inbox into the INBOX that it found elsewhere
// whenever that is opened (docs/drivers.txt), so the mail of both is the INBOX. The first
// of the places is the one that UW chooses: it has the UIDs that clients know. The system
// inbox comes last, as the latest mail is there, and what qpopper took out of it before it.
func (w *walker) findInbox(h *Host, home *os.File, homePath string) {
	system, pops, unixSystem := w.systemInbox(h, home, homePath)
	var chosen, others, extra []File
	if home != nil {
		chosen, others = w.driverInboxes(h, home, homePath, unixSystem)
		for _, rel := range h.extra {
			extra = append(extra, w.extraInbox(home, homePath, rel)...)
		}
		w.inboxElsewhere(h, home, homePath)
	}
	switch {
	case len(chosen) > 0:
		w.tree.Inbox = joinInbox(slices.Concat(chosen, others, extra, pops, system))
	case w.popFirst(h, home, system, pops):
		w.tree.Inbox = joinInbox(slices.Concat(pops, system, others, extra))
	default:
		w.tree.Inbox = joinInbox(slices.Concat(system, pops, others, extra))
	}
}

// joinInbox makes one File of the places of an INBOX, nil of none.
func joinInbox(places []File) *File {
	var parts []File
	var ids []Identity
	for _, p := range places {
		if !slices.ContainsFunc(parts, func(have File) bool { return have.Dev == p.Dev && have.Ino == p.Ino }) {
			p.Name, p.Inbox = "INBOX", true
			parts = append(parts, p)
			ids = append(ids, p.Identity)
		}
	}
	if len(parts) == 0 {
		return nil
	}
	inbox := parts[0]
	if len(parts) == 1 {
		return &inbox
	}
	full := make([]string, 0, len(parts))
	for _, p := range parts {
		if p.Size > 0 {
			full = append(full, fmt.Sprintf("%q", p.Path))
			if p.Warning != "" {
				inbox.Warning = p.Warning
			}
		}
	}
	if len(full) > 1 {
		inbox.Warning = "the INBOX is in several places, read in this order: " + strings.Join(full, ", ")
	}
	inbox.Parts = parts
	inbox.Identity = JoinIdentities(ids)
	return &inbox
}

// systemInbox looks at the user's file where mail is delivered, and at the working copies
// of qpopper beside it. There an unknown format is never harmless: UW refuses to open such
// an INBOX (fixture in-junk). unixSystem reports whether UW's driver mbox is content with
// it: in unix format, empty or absent (unix.c mbox_valid).
func (w *walker) systemInbox(h *Host, home *os.File, homePath string) (system, pops []File, unixSystem bool) {
	names := h.template.path(w.user.Name)
	if names == nil {
		w.skip(h.template.dir, &Skipped{Kind: SkipUserName, MayHoldMail: true,
			Text: fmt.Sprintf("user name %q makes no file name by the inbox template %s; rename the user", w.user.Name, h.template)})
		return nil, nil, false
	}
	dirs, name := names[:len(names)-1], names[len(names)-1]
	top := h.template.dir
	if h.template.home {
		if home == nil {
			return nil, nil, true
		}
		top = homePath
	}
	dirPath := join(top, strings.Join(dirs, "/"))
	dir, skipped, err := h.inboxParent(home, dirs, w.user.UID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, true
	case err != nil:
		w.unreadable(dirPath, err)
		return nil, nil, false
	case skipped != nil:
		w.skip(dirPath, skipped)
		return nil, nil, false
	}
	defer dir.Close()

	take := func(name string) (files []File, ok bool) {
		filePath := join(dirPath, name)
		f, s, err := w.look(dir, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, true
		case err != nil:
			w.unreadable(filePath, err)
		case s != nil:
			s.MayHoldMail = true
			w.skip(filePath, s)
		default:
			w.taken[filePath] = true
			f.Path, f.inHome, f.rel = filePath, h.template.home, join(strings.Join(dirs, "/"), name)
			return []File{*f}, f.Format == FormatUnix || f.Format == FormatEmpty
		}
		return nil, false
	}
	system, unixSystem = take(name)
	if h.template.home {
		return system, nil, unixSystem
	}
	for _, copyName := range []string{"." + w.user.Name + ".pop", w.user.Name + ".pop"} {
		if h.names[copyName] {
			continue // that is somebody's INBOX
		}
		if st, err := lstatAt(dir, copyName); err != nil || st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0 {
			continue
		}
		copies, _ := take(copyName)
		for _, c := range copies {
			c.Warning = fmt.Sprintf("%q, qpopper's working copy of a session that broke off, is part of the INBOX", c.Path)
			pops = append(pops, c)
		}
	}
	return system, pops, unixSystem
}

// inboxParent opens the directory of a system inbox: dirs below that of all inboxes, which
// the administrator made, or below the home, where the user did.
func (h *Host) inboxParent(home *os.File, dirs []string, uid uint32) (dir *os.File, s *Skipped, err error) {
	if h.template.home {
		return openUserPath(home, dirs, uid, pathOnly)
	}
	if len(dirs) == 0 {
		err = fsrights.AsSelf(func() (err error) {
			dir, err = reopen(h.inboxDir, pathOnly)
			return err
		})
		return dir, nil, err
	}
	dir, err = h.root.open(h.template.dir + "/" + strings.Join(dirs, "/"))
	if errors.Is(err, errForeignLink) {
		return nil, &Skipped{Kind: SkipSymlink, MayHoldMail: true,
			Text: fmt.Sprintf("directory of inboxes not read: %s; chown -h the link to root if it is right", cause(err))}, nil
	}
	return dir, nil, err
}

// popFirst reports whether qpopper's copy comes before the system inbox that UW would
// choose. qpopper moves all mail into its copy and truncates the inbox, so if that does not
// have UW's numbers and the copy has, the copy is what UW knew as INBOX.
func (w *walker) popFirst(h *Host, home *os.File, system, pops []File) bool {
	if len(system) == 0 || len(pops) == 0 {
		return false
	}
	names := strings.Split(system[0].rel, "/")
	dir, s, err := h.inboxParent(home, names[:len(names)-1], w.user.UID)
	if err != nil || s != nil {
		return false // it was there a moment ago; whoever reads it will say
	}
	defer dir.Close()
	return !w.hasNumbers(dir, path.Base(system[0].rel)) && w.hasNumbers(dir, path.Base(pops[0].rel))
}

// hasNumbers reports whether the header of the first message has UIDVALIDITY and last UID.
func (w *walker) hasNumbers(dir *os.File, name string) bool {
	f, _, s, err := openUserFile(dir, name, w.user.UID)
	if err != nil || s != nil {
		return false
	}
	defer f.Close()
	head, err := readHead(f, longHeadSize)
	if err != nil {
		return false
	}
	for line := range bytes.Lines(head) {
		switch {
		case len(bytes.TrimRight(line, "\r\n")) == 0:
			return false
		case bytes.HasPrefix(line, []byte("X-IMAPbase: ")), bytes.HasPrefix(line, []byte("X-IMAP: ")):
			return true
		}
	}
	return false
}

// driverInboxes returns the INBOXes that UW's drivers look for in their directory before
// they turn to the system inbox, in UW's order: that of the drivers (mail.c mail_valid),
// which each know one or two names (mbox.c mbox_valid, mbx.c mbx_file, tenex.c tenex_file,
// mtx.c mtx_file, mix.c mix_file, mx.c mx_file). others are such files with mail that UW
// does not take for the INBOX.
func (w *walker) driverInboxes(h *Host, home *os.File, homePath string, unixSystem bool) (places, others []File) {
	boxes, boxPath := home, homePath
	if h.boxDir != "" {
		boxPath = join(homePath, h.boxDir)
		dir, s, err := openUserPath(home, strings.Split(h.boxDir, "/"), w.user.UID, pathOnly)
		if err != nil || s != nil {
			return nil, nil // the same directory as mailDir, which says so, or none
		}
		defer dir.Close()
		boxes = dir
	}
	for _, place := range []struct {
		name    string
		formats []Format
		refused bool
	}{
		{"mbox", []Format{FormatUnix, FormatEmpty}, !unixSystem},
		{"mbox", []Format{FormatUnixDoubtful}, true},
		{"INBOX", []Format{FormatMix, FormatMX, FormatMBX, FormatTenex}, false},
		{"mail.txt", []Format{FormatTenex, FormatEmpty}, false},
		{"INBOX", []Format{FormatMTX}, false},
		{"INBOX.MTX", []Format{FormatMTX, FormatEmpty}, false},
	} {
		f := w.place(boxes, place.name, join(boxPath, place.name), join(h.boxDir, place.name), place.formats)
		switch {
		case f == nil:
		case place.refused:
			others = append(others, *f)
		default:
			places = append(places, *f)
		}
	}
	if mh := w.mhInbox(h, home, homePath); mh != nil {
		places = append(places, *mh)
	}
	return places, others
}

// mhInbox returns MH's own INBOX, where c-client is configured to take it for the INBOX.
func (w *walker) mhInbox(h *Host, home *os.File, homePath string) *File {
	if !h.config.mhInbox || w.mh == nil {
		return nil
	}
	dir, s, err := openUserPath(home, splitPath(*w.mh), w.user.UID, pathOnly)
	if err != nil || s != nil {
		return nil // the walk over the MH folders says so
	}
	defer dir.Close()
	rel := join(*w.mh, "inbox")
	return w.place(dir, "inbox", join(homePath, rel), rel, []Format{FormatMH})
}

// place looks whether a file or directory is in one of the formats and takes it for the
// INBOX if so. rel is its path below the home. Formats that are not read are never taken;
// whatever is not taken is left for others to report.
func (w *walker) place(dir *os.File, name, path, rel string, formats []Format) *File {
	if w.taken[path] {
		return nil
	}
	st, err := lstatAt(dir, name)
	if err != nil {
		return nil
	}
	var f *File
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		f, _, err = w.look(dir, name)
	case unix.S_IFDIR:
		f, _, err = w.lookDirectory(dir, name, path)
	}
	if err != nil || f == nil || !f.Format.isRead() || !slices.Contains(formats, f.Format) {
		return nil
	}
	w.taken[path] = true
	f.Path, f.inHome, f.rel = path, true, rel
	return f
}

// lookDirectory recognises a directory. It returns a File without name and path, or why it
// is no mailbox.
func (w *walker) lookDirectory(parent *os.File, name, path string) (*File, *Skipped, error) {
	file, s, err := openUserDir(parent, name, w.user.UID, unix.O_RDONLY)
	if err != nil || s != nil {
		return nil, s, err
	}
	defer file.Close()
	dir := &directory{file: file, rights: w.rights}
	f := &File{Format: w.directoryFormat(dir, path)}
	if f.Format == "" {
		return nil, &Skipped{Kind: SkipNotFolder, Text: "ordinary directory, no mailbox"}, nil
	}
	f.alone = !strings.HasPrefix(path, withSlash(w.mailPath)) && !dir.belowMH
	if f.Identity, err = dir.identity(); err != nil {
		return nil, nil, err
	}
	return f, nil, nil
}

// extraInbox takes a place that an administrator named. If it is there and is no mailbox,
// that is reported.
func (w *walker) extraInbox(home *os.File, homePath, rel string) []File {
	path := join(homePath, rel)
	if w.taken[path] {
		return nil
	}
	names := strings.Split(rel, "/")
	last := len(names) - 1
	dir, s, err := openUserPath(home, names[:last], w.user.UID, pathOnly)
	if err == nil && s == nil {
		defer dir.Close()
		var st *unix.Stat_t
		if st, err = lstatAt(dir, names[last]); err == nil {
			var f *File
			if st.Mode&unix.S_IFMT == unix.S_IFDIR {
				f, s, err = w.lookDirectory(dir, names[last], path)
			} else {
				f, s, err = w.look(dir, names[last])
			}
			if err == nil && s == nil && !f.Format.isRead() {
				s = notConverted(f.Format)
			}
			if err == nil && s == nil {
				w.taken[path] = true
				f.Path, f.inHome, f.rel = path, true, rel
				return []File{*f}
			}
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // not everybody has one
	case err != nil:
		w.unreadable(path, err)
	default:
		w.skip(path, s)
	}
	w.taken[path] = true // it was reported
	return nil
}

// inboxElsewhere reports the places in the home where another server, or UW in another
// configuration, looks for INBOX mail and which are not part of the INBOX: those of qmail
// and of Maildir servers, and files that have the names of UW's but not the format.
func (w *walker) inboxElsewhere(h *Host, home *os.File, homePath string) {
	if h.mailDir == "" {
		return // the walk over the home sees them, as UW does
	}
	for _, name := range []string{"mbox", "INBOX", "mail.txt", "INBOX.MTX", ".mailbox", "Mailbox", "Maildir"} {
		path := join(homePath, name)
		st, err := lstatAt(home, name)
		if err != nil || st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0 || w.taken[path] || w.outside(path) {
			continue
		}
		var f *File
		var s *Skipped
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			if f, s, err = w.lookDirectory(home, name, path); s != nil && s.Kind == SkipNotFolder {
				if name != "Maildir" || !w.holdsMessages(home, name) {
					continue // some directory of that name
				}
				s.Text = "a part of a Maildir" // a copy may lack directories that were empty
			}
		} else {
			f, s, err = w.look(home, name)
		}
		w.taken[path] = true
		switch {
		case err != nil:
			w.unreadable(path, err)
		case s != nil:
			s.MayHoldMail = true // the name says so: its beginning may be damaged
			s.Kind, s.Text = SkipInboxElsewhere, "a place for INBOX mail, not converted: "+s.Text
			w.skip(path, s)
		default:
			w.skip(path, invisible(name, f))
		}
	}
}

// holdsMessages reports whether there is something in a directory where a Maildir has messages.
func (w *walker) holdsMessages(parent *os.File, name string) bool {
	for _, sub := range []string{"cur", "new"} {
		dir, s, err := openUserPath(parent, []string{name, sub}, w.user.UID, unix.O_RDONLY)
		if err != nil || s != nil {
			continue
		}
		empty := isEmptyDir(dir)
		if dir.Close(); !empty {
			return true
		}
	}
	return false
}

// outside reports whether path is a directory that is walked anyway.
func (w *walker) outside(path string) bool {
	return path == w.mailPath || w.mh != nil && path == w.mhPath
}

// invisible describes mail that UW does not show as INBOX where it looks for that.
func invisible(name string, f *File) *Skipped {
	if !f.Format.isRead() {
		s := notConverted(f.Format)
		s.Kind = SkipInboxElsewhere
		return s
	}
	return &Skipped{Kind: SkipInboxElsewhere, MayHoldMail: true,
		Text: fmt.Sprintf("%d bytes in %s format in a place for INBOX mail where UW does not show it, not converted; to have it in the INBOX, name %q as a place of more INBOX mail (inbox-extra)", f.Size, f.Format, name)}
}

// notConverted describes mail in a format that is recognised but not read.
func notConverted(format Format) *Skipped {
	what := "mail"
	if format.isDirectory() {
		what = "mailbox directory"
	}
	return &Skipped{Kind: SkipFormat, MayHoldMail: true,
		Text: fmt.Sprintf("%s in %s format, not converted; copy its messages into a unix folder on the source host", what, format)}
}
