package mbox

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/fsrights"
)

const (
	// maxDepth is how deep directories may nest below the mail directory. UW lists 20
	// levels (dummy.c, list-maximum-level).
	maxDepth = 50
	// maxEntries bounds how many names below one mail directory are looked at.
	maxEntries = 1_000_000
	// maxFolders bounds how many folders of one user are remembered.
	maxFolders = 100_000
)

// Tree is what one user has.
type Tree struct {
	Inbox   *File     // nil: no inbox, or it is in Skipped
	Folders []File    // sorted by Name
	Skipped []Skipped // everything else, sorted by Path
	// HasMailDir is false when there is no folder directory (or it is in Skipped). When
	// no user of a host has one, it has another name.
	HasMailDir bool
	// Subscriptions are the names of the subscription file, each once, in the order of
	// the file. Folders that do not exist are among them. What was dropped is in Skipped.
	Subscriptions []Subscription
	// SubscriptionList is the path of that file, below the source root; "": there is none, or
	// it cannot be read (then it is in Skipped).
	SubscriptionList string
}

// File is one folder as it was found.
type File struct {
	Name    string // raw bytes; "INBOX" for the inbox, else the path below the mail directory
	Inbox   bool   // the user's INBOX, not a folder that happens to be called so
	Path    string // raw, below the source root; of the first place of several
	Format  Format // one that is read, or FormatEmpty
	Warning string // a doubt whether it is a folder, for an administrator; "" if there is none
	Identity
	// Links is how many names a file has: with more than one (hard links), another may be
	// another folder. 0 of a mailbox that is a directory.
	Links uint64
	// Parts are the places of an INBOX that is in several, in the order in which their
	// messages follow one another; else nil.
	Parts []File

	// How to get there, where it is not the usual place: a path below the inbox directory
	// (of an INBOX) or below the home.
	inHome bool
	rel    string
	// alone says that it is a directory of the INBOX in which nobody looks for folders.
	alone bool
}

// Folders returns the inbox, the folders and the subscriptions of u. A directory or
// file that cannot be read is in Tree.Skipped and does not stop the others.
func (h *Host) Folders(u User) (*Tree, error) {
	if why := unsafeName(u.Name); why != "" {
		return nil, fmt.Errorf("mbox: user name %q %s: %w", u.Name, why, fs.ErrInvalid)
	}
	homePath := cleanPath(u.Home)
	w := &walker{user: u, rights: h.rights(u), tree: &Tree{}, taken: map[string]bool{}, homePath: homePath, mailPath: join(homePath, h.mailDir),
		boxDir: h.boxDir, boxIsMail: h.boxDir == h.mailDir, hideDots: h.config.hideDotFiles, apart: h.apart}
	look := func() error { return w.rights.Do(func() error { return w.walk(h) }) }
	if err := h.watch(u.Name, look); err != nil {
		return nil, err
	}
	slices.SortFunc(w.tree.Folders, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	w.tree.Skipped = w.skipped.result(u.Name, w.mailPath)
	return w.tree, nil
}

// walk takes up what there is, with the user's own rights.
func (w *walker) walk(h *Host) error {
	home, skipped := h.openHome(w.user.Home)
	if skipped != nil {
		w.skip(w.homePath, skipped)
	}
	if home == nil {
		w.findInbox(h, nil, w.homePath)
		if skipped == nil {
			w.noHome(h)
		}
		return nil
	}
	defer home.Close()
	w.findMH(h, home)
	w.findInbox(h, home, w.homePath)
	return w.home(h, home)
}

// home takes up the folders and the subscriptions.
func (w *walker) home(h *Host, home *os.File) error {
	mailDir := w.mailDir(home, w.homePath, h.mailDir)
	if mailDir != nil {
		defer mailDir.Close()
		w.tree.HasMailDir = true
		w.brief = h.mailDir == ""
		w.directory(mailDir, w.mailPath, "", 0)
	}
	prefixes := append(prefixesOf(w.user, h.mailDir, h.boxDir), w.mhFolders(h, home, mailDir)...)
	w.brief = false
	w.briefSum()
	w.subscriptions(home, w.homePath, mailDir, w.mailPath, prefixes)
	if h.mailDir != "" {
		w.outsideMailDir(home)
	}
	if slices.ContainsFunc(w.tree.Folders, func(f File) bool { return f.Format.namesNoKeywords() }) {
		h.keywords(home, w.user, func(name string, s *Skipped, err error) {
			if err != nil {
				w.unreadable(join(w.homePath, name), err)
				return
			}
			s.Text = "names of keywords: " + s.Text
			w.skip(join(w.homePath, name), s)
		})
	}
	return nil
}

// noHome reports that a user who has an inbox has no home.
func (w *walker) noHome(h *Host) {
	s := &Skipped{Kind: SkipNoHome, Text: fmt.Sprintf("the home %q is not there, so the user has no folders", clip(w.user.Home))}
	if h.diskMissing(w.user.Home) {
		s.MayHoldMail = true
		s.Text = fmt.Sprintf("the home %q is not there, nor anything beside it: mount or copy the disk that has the homes, or the folders are missed", clip(w.user.Home))
	}
	w.skip(w.homePath, s)
}

// isEmptyDir reports whether there is nothing in a directory.
func isEmptyDir(dir *os.File) bool {
	listed, err := reopen(dir, unix.O_RDONLY)
	if err != nil {
		return false
	}
	defer listed.Close()
	names, err := listed.Readdirnames(1)
	return len(names) == 0 && errors.Is(err, io.EOF)
}

// join joins two raw paths, each of which may be empty (the root as a home, the home as
// the mail directory).
func join(dir, name string) string {
	if dir == "" || name == "" {
		return dir + name
	}
	return dir + "/" + name
}

// withSlash makes a path the beginning of those below it.
func withSlash(dir string) string {
	if dir == "" {
		return ""
	}
	return dir + "/"
}

// walker looks through what one user has.
type walker struct {
	user    User
	rights  fsrights.Identity // the user's
	tree    *Tree
	skipped skipList
	entries int  // names seen below the mail directory
	full    bool // a limit was reached and reported

	homePath  string           // paths below the source root
	mailPath  string           // of the mail directory
	boxDir    string           // where UW's own names start, below the home
	boxIsMail bool             // UW's own names start in the mail directory
	hideDots  bool             // UW does not list names that begin with a dot
	taken     map[string]bool  // paths that are part of the INBOX, or were reported
	apart     map[fileKey]bool // see isApart

	mh      *string // the MH path below the home, nil: the user has none
	mhPath  string  // the same below the source root
	away    bool    // the walk is outside the mail directory
	hidden  bool    // the walk is below a name that UW does not list
	brief   bool    // what is surely no mail is counted, not listed
	briefly map[SkipKind]int

	head [headSize]byte // of the file that is looked at
}

func (w *walker) skip(path string, s *Skipped) {
	if (w.brief || w.hidden) && !s.MayHoldMail {
		if w.briefly == nil {
			w.briefly = map[SkipKind]int{}
		}
		w.briefly[s.Kind]++
		return
	}
	s.User, s.Path = w.user.Name, path
	w.skipped.add(*s)
}

// briefSum reports what was counted, in one entry.
func (w *walker) briefSum() {
	if len(w.briefly) == 0 {
		return
	}
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(w.briefly)) {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, w.briefly[kind]))
	}
	w.briefly = nil
	w.skip(w.homePath, &Skipped{Kind: SkipNotFolder,
		Text: "files of the home that hold no mail are not listed one by one: " + strings.Join(kinds, ", ")})
}

// cause returns the text of an error without the path that the os package adds to it:
// a raw name has no place in a message.
func cause(err error) string {
	var pathErr *fs.PathError
	for errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return err.Error()
}

// unreadable reports an error of the system at path.
func (w *walker) unreadable(path string, err error) {
	kind, text := SkipUnreadable, "not read: "+cause(err)
	if errors.Is(err, fs.ErrNotExist) {
		kind, text = SkipChanged, "gone since the directory was listed"
	}
	if errors.Is(err, unix.EIO) {
		text += "; " + rescueAdvice
	}
	w.skip(path, &Skipped{Kind: kind, MayHoldMail: kind == SkipUnreadable, Text: text})
}

// mailDir opens the folder directory for listing; nil if there is none or it was
// reported.
func (w *walker) mailDir(home *os.File, homePath, name string) *os.File {
	if name == "" {
		dir, err := reopen(home, unix.O_RDONLY)
		if err != nil {
			w.unreadable(homePath, err)
			return nil
		}
		return dir
	}
	dir, path := home, homePath
	names := strings.Split(name, "/")
	for i, name := range names {
		path = join(path, name)
		flags := pathOnly
		if i == len(names)-1 {
			flags = unix.O_RDONLY
		}
		next, s, err := openUserDir(dir, name, w.user.UID, flags)
		if dir != home {
			dir.Close()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			w.unreadable(path, err)
			return nil
		case s != nil:
			w.skip(path, s)
			return nil
		}
		dir = next
	}
	return dir
}

// directory takes up everything in dir. path is its path below the source root, name
// its name as a folder, "" for the mail directory itself.
func (w *walker) directory(dir *os.File, path, name string, depth int) {
	if w.isApart(dir) {
		// Its user may be the server's own, whose home is above: each message file would be
		// looked at, and one that begins as a mailbox does be taken for a folder.
		w.skip(path, &Skipped{Kind: SkipApart, Text: "the new mail server's own directory, which holds no folders of this host; not looked into"})
		return
	}
	format := w.directoryFormat(&directory{file: dir, rights: w.rights}, path)
	switch {
	case format == "":
	case w.taken[path]: // it is part of the INBOX; other mailboxes may be in it all the same
	case format.isRead() && depth > 0:
		w.directoryMailbox(dir, format, path, name)
	default:
		w.skip(path, &Skipped{Kind: SkipFormat, MayHoldMail: true,
			Text: fmt.Sprintf("mailbox directory in %s format: it and what is below it was not converted; copy its messages into a unix folder on the source host", format)})
		if depth > 0 {
			return
		}
		// The mail directory itself holds the user's other folders too.
		format = ""
	}
	err := eachName(dir, func(entry string) error {
		if w.full {
			return nil
		}
		if w.entries++; w.entries > maxEntries {
			w.limit(path, fmt.Sprintf("more than %d files", maxEntries))
			return nil
		}
		if format != "" && w.partOf(dir, format, entry) {
			return nil
		}
		w.entry(dir, entry, join(path, entry), join(name, entry), depth)
		return nil
	})
	if err != nil {
		w.unreadable(path, err)
	}
}

// isApart reports whether a directory is one of [HostOptions].Apart.
func (w *walker) isApart(dir *os.File) bool {
	st, err := fstat(dir)
	return err == nil && w.apart[fileKey{uint64(st.Dev), st.Ino}]
}

// directoryFormat recognises a mailbox directory, "" if it is an ordinary one.
func (w *walker) directoryFormat(dir *directory, path string) Format {
	dir.belowMH = w.mh != nil && strings.HasPrefix(path, withSlash(w.mhPath)) && path != ""
	return recogniseDirectory(dir)
}

// partOf reports whether a name in a mailbox directory is no folder of its own: the files
// of the mailbox, which UW does not list (mix.c, mx.c and mh.c, dirfmttest), and others
// that are no mailboxes, which the reader of the directory reports. A mailbox that has the
// name of a message is a folder, see [directory.wholeMailbox].
func (w *walker) partOf(dir *os.File, format Format, entry string) bool {
	st, err := lstatAt(dir, entry)
	if err != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return false
	}
	own := isMHFile(entry)
	switch format {
	case FormatMix:
		own = strings.HasPrefix(entry, ".mix")
	case FormatMX:
		own = entry == ".mxindex" || isNumber(entry)
	}
	if own && isNumber(entry) && st.Mode&unix.S_IFMT == unix.S_IFREG {
		d := &directory{file: dir, rights: w.rights}
		whole, err := d.wholeMailbox(entry)
		return err == nil && !whole // what cannot be read is looked at, and reported
	}
	if own {
		return true
	}
	f, _, err := w.look(dir, entry)
	return err != nil || f == nil || f.Size == 0
}

// directoryMailbox takes up a directory that is a mailbox.
func (w *walker) directoryMailbox(dir *os.File, format Format, path, name string) {
	d := &directory{file: dir, rights: w.rights}
	id, err := d.identity()
	if err != nil {
		w.unreadable(path, err)
		return
	}
	if len(w.tree.Folders) == maxFolders {
		w.limit(path, fmt.Sprintf("more than %d folders", maxFolders))
		return
	}
	w.folder(File{Name: name, Path: path, Format: format, Identity: id})
}

// folder takes up a folder.
func (w *walker) folder(f File) {
	if w.hidden {
		w.skip(f.Path, &Skipped{Kind: SkipHidden, MayHoldMail: f.Size > 0,
			Text: fmt.Sprintf("%d bytes in %s format under a name that begins with a dot, which this host's UW does not list (set hide-dot-files), not converted; rename it if it is wanted", f.Size, f.Format)})
		return
	}
	if strings.HasSuffix(f.Path, f.Name) { // one text in memory for both
		f.Name = f.Path[len(f.Path)-len(f.Name):]
	}
	if w.away {
		f.rel = strings.TrimPrefix(f.Path, withSlash(w.homePath))
	}
	w.tree.Folders = append(w.tree.Folders, f)
}

// limit reports once that the rest of a hostile tree is left out.
func (w *walker) limit(path, what string) {
	w.full = true
	w.skip(path, &Skipped{Kind: SkipLimit, MayHoldMail: true,
		Text: what + " below the mail directory; nothing more of this user was looked at"})
}

// entry takes up one name in a directory.
func (w *walker) entry(dir *os.File, entry, path, name string, depth int) {
	if depth == 0 && isSubscriptionFile(entry) {
		return // subscriptions reports it
	}
	if w.hideDots && entry[0] == '.' && !w.hidden {
		w.hidden = true
		defer func() { w.hidden = false }()
	}
	st, err := lstatAt(dir, entry)
	if err != nil {
		w.unreadable(path, err)
		return
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if path != w.mailPath || !w.away {
			w.subdirectory(dir, entry, path, name, depth+1)
		}
		return
	}
	if w.taken[path] {
		return
	}
	f, s, err := w.look(dir, entry)
	switch {
	case err != nil:
		w.unreadable(path, err)
		return
	case s != nil:
		if s.Kind == SkipSymlink && w.brief && w.isWalked(dir, entry, path, st) {
			s.MayHoldMail = false // the walk comes to its target too
		}
		w.skip(path, s)
		return
	case depth == 0 && w.boxIsMail && !w.away && strings.EqualFold(entry, "INBOX") && f.Size > 0:
		// The name means the INBOX, and UW found that elsewhere (dummy.c dummy_list_work).
		w.skip(path, invisible(entry, f))
		return
	case len(w.tree.Folders) == maxFolders:
		w.limit(path, fmt.Sprintf("more than %d folders", maxFolders))
		return
	}
	f.Name, f.Path = name, path
	w.folder(*f)
}

// isWalked reports whether the link that st describes leads, by its text, to somewhere in
// the directories whose files are taken up. Beside the MH folders that is not all of the home.
func (w *walker) isWalked(dir *os.File, entry, linkPath string, st *unix.Stat_t) bool {
	target, err := readLinkAt(dir, entry, st)
	if err != nil {
		return false
	}
	if !strings.HasPrefix(target, "/") {
		target = path.Join("/", path.Dir(linkPath), target)
	}
	below := func(dir string) bool {
		return strings.HasPrefix(strings.TrimSuffix(path.Clean(target), "/")+"/", strings.TrimSuffix(path.Clean("/"+dir), "/")+"/")
	}
	return w.tree.HasMailDir && below(w.mailPath) || w.away && below(w.mhPath)
}

func (w *walker) subdirectory(parent *os.File, entry, path, name string, depth int) {
	if depth > maxDepth {
		w.skip(path, &Skipped{Kind: SkipTooDeep, MayHoldMail: true,
			Text: fmt.Sprintf("more than %d directories deep, not descended; move it up if it holds mail", maxDepth)})
		return
	}
	dir, s, err := openUserDir(parent, entry, w.user.UID, unix.O_RDONLY)
	switch {
	case err != nil:
		w.unreadable(path, err)
	case s != nil:
		w.skip(path, s)
	default:
		defer dir.Close()
		w.directory(dir, path, name, depth)
	}
}
