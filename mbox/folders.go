package mbox

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxDepth is how deep directories may nest below the mail directory. UW lists 20
	// levels (dummy.c, list-maximum-level).
	maxDepth = 50
	// maxEntries bounds how many names below one mail directory are looked at.
	maxEntries = 1_000_000
	// maxFolders bounds how many folders of one user are remembered.
	maxFolders = 100_000
	// headSize is how much of a file is read to recognise its format.
	headSize = 4 << 10
	// longHeadSize is how much of a file is read to say why it is no mailbox.
	longHeadSize = 64 << 10
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
}

// File is one folder as it was found.
type File struct {
	Name    string // raw bytes; "INBOX" for the inbox, else the path below the mail directory
	Inbox   bool   // the user's INBOX, not a folder that happens to be called so
	Path    string // raw, below the source root; of the first place of several
	Format  Format // one that is read, or FormatEmpty
	Warning string // a doubt whether it is a folder, for an administrator; "" if there is none
	Identity
	// Parts are the places of an INBOX that is in several, in the order in which their
	// messages follow one another; else nil.
	Parts []File

	// How to get there, where it is not the usual place: a path below the inbox directory
	// (of an INBOX) or below the home.
	inHome bool
	rel    string
}

// Folders returns the inbox, the folders and the subscriptions of u. A directory or
// file that cannot be read is in Tree.Skipped and does not stop the others.
func (h *Host) Folders(u User) (*Tree, error) {
	if why := unsafeName(u.Name); why != "" {
		return nil, fmt.Errorf("mbox: user name %q %s: %w", u.Name, why, fs.ErrInvalid)
	}
	w := &walker{user: u, tree: &Tree{}}
	w.inbox(h.inboxDir, h.inbox)

	home, skipped := h.openHome(u.Home)
	homePath := cleanPath(u.Home)
	if skipped != nil {
		w.skip(homePath, skipped)
	}
	if home != nil {
		defer home.Close()
		w.inboxElsewhere(home, homePath)
		mailDir := w.mailDir(home, homePath, h.mailDir)
		if mailDir != nil {
			defer mailDir.Close()
			w.tree.HasMailDir = true
			w.directory(mailDir, join(homePath, h.mailDir), "", 0)
		}
		w.subscriptions(home, homePath, mailDir, h.mailDir)
	}

	slices.SortFunc(w.tree.Folders, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	w.tree.Skipped = w.skipped.result(u.Name, join(homePath, h.mailDir))
	return w.tree, nil
}

// join joins two raw paths, the first of which may be empty (the root as a home).
func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// walker looks through what one user has.
type walker struct {
	user    User
	tree    *Tree
	skipped skipList
	entries int  // names seen below the mail directory
	full    bool // a limit was reached and reported
}

func (w *walker) skip(path string, s *Skipped) {
	s.User, s.Path = w.user.Name, path
	w.skipped.add(*s)
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
	w.skip(path, &Skipped{Kind: kind, MayHoldMail: kind == SkipUnreadable, Text: text})
}

// inbox takes up the user's file in the inbox directory. There an unknown format is
// never harmless: UW refuses to open such an INBOX (fixture in-junk).
func (w *walker) inbox(dir *os.File, dirPath string) {
	path := join(dirPath, w.user.Name)
	f, s, err := w.look(dir, w.user.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		w.unreadable(path, err)
	case s != nil:
		s.MayHoldMail = true
		w.skip(path, s)
	default:
		f.Name, f.Inbox, f.Path = "INBOX", true, path
		w.tree.Inbox = f
	}
}

// inboxElsewhere reports the places in the home where c-client or another server
// looks for INBOX mail instead of, or besides, the inbox directory: UW's drivers mbox,
// mbx, mix, mx, tenex and mtx (docs/drivers.txt, env_unix.c sysinbox), qmail and
// Maildir servers.
func (w *walker) inboxElsewhere(home *os.File, homePath string) {
	for _, name := range []string{"mbox", "INBOX", "mail.txt", "INBOX.MTX", ".mailbox", "Mailbox", "Maildir"} {
		st, err := lstatAt(home, name)
		if err != nil || (st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0) {
			continue
		}
		text := "not read"
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			f, s, err := w.look(home, name)
			switch {
			case err != nil:
				text = "not read: " + cause(err)
			case s != nil:
				text = s.Text
			default:
				text = fmt.Sprintf("%d bytes in %v format", f.Size, f.Format)
			}
		case unix.S_IFDIR:
			format := w.directoryFormatOf(home, name)
			if format == "" {
				continue // some directory of that name
			}
			text = "directory in " + format + " format"
		default:
			text = notRegular(home, name, st).Text
		}
		w.skip(join(homePath, name), &Skipped{Kind: SkipInboxElsewhere, MayHoldMail: true,
			Text: "a place for INBOX mail outside the inbox directory, not converted: " + text})
	}
}

// directoryFormatOf is directoryFormat for a name below parent.
func (w *walker) directoryFormatOf(parent *os.File, name string) string {
	dir, s, err := openUserDir(parent, name, w.user.UID, unix.O_RDONLY)
	if err != nil || s != nil {
		return ""
	}
	defer dir.Close()
	return string(recogniseDirectory(&directory{file: dir, uid: w.user.UID}))
}

// mailDir opens the folder directory for listing; nil if there is none or it was
// reported.
func (w *walker) mailDir(home *os.File, homePath, name string) *os.File {
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
	onlyDirectories := false
	if format := recogniseDirectory(&directory{file: dir, uid: w.user.UID}); format != "" {
		if format.isRead() && depth > 0 {
			w.directoryMailbox(dir, format, path, name)
			onlyDirectories = true // the files are its own
		} else {
			w.skip(path, &Skipped{Kind: SkipFormat, MayHoldMail: true,
				Text: fmt.Sprintf("mailbox directory in %s format: it and what is below it was not converted; copy its messages into a unix folder on the source host", format)})
			if depth > 0 {
				return
			}
			// The mail directory itself holds the user's other folders too.
		}
	}
	err := eachName(dir, func(entry string) error {
		if w.full {
			return nil
		}
		if w.entries++; w.entries > maxEntries {
			w.limit(path, fmt.Sprintf("more than %d files", maxEntries))
			return nil
		}
		if onlyDirectories {
			if st, err := lstatAt(dir, entry); err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
				return nil
			}
		}
		w.entry(dir, entry, join(path, entry), join(name, entry), depth)
		return nil
	})
	if err != nil {
		w.unreadable(path, err)
	}
}

// directoryMailbox takes up a directory that is a mailbox.
func (w *walker) directoryMailbox(dir *os.File, format Format, path, name string) {
	d := &directory{file: dir, uid: w.user.UID}
	id, err := d.identity()
	if err != nil {
		w.unreadable(path, err)
		return
	}
	if len(w.tree.Folders) == maxFolders {
		w.limit(path, fmt.Sprintf("more than %d folders", maxFolders))
		return
	}
	w.tree.Folders = append(w.tree.Folders, File{Name: name, Path: path, Format: format, Identity: id})
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
	st, err := lstatAt(dir, entry)
	if err != nil {
		w.unreadable(path, err)
		return
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		w.subdirectory(dir, entry, path, name, depth+1)
		return
	}
	f, s, err := w.look(dir, entry)
	switch {
	case err != nil:
		w.unreadable(path, err)
		return
	case s != nil:
		w.skip(path, s)
		return
	case len(w.tree.Folders) == maxFolders:
		w.limit(path, fmt.Sprintf("more than %d folders", maxFolders))
		return
	}
	f.Name, f.Path = name, path
	w.tree.Folders = append(w.tree.Folders, *f)
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

// look opens the file entry in dir and recognises it. It returns a File without name
// and path, or why it is no folder.
func (w *walker) look(dir *os.File, entry string) (*File, *Skipped, error) {
	file, st, s, err := openUserFile(dir, entry, w.user.UID)
	if err != nil || s != nil {
		return nil, s, err
	}
	defer file.Close()
	f := &File{Identity: Identity{Size: st.Size, ModTime: timeOf(st.Mtim), ChangeTime: timeOf(st.Ctim),
		Dev: uint64(st.Dev), Ino: st.Ino}}
	head, err := readHead(file, headSize)
	if err != nil {
		return nil, nil, err
	}
	f.Format = Recognise(head, f.Size)

	if f.Format != FormatNone && !f.Format.isRead() {
		return nil, &Skipped{Kind: SkipFormat, MayHoldMail: true,
			Text: fmt.Sprintf("%d bytes of mail in %v format, not converted; copy it into a unix folder on the source host (mailutil copy)", f.Size, f.Format)}, nil
	}
	lock := strings.HasSuffix(entry, ".lock")
	switch f.Format {
	case FormatNone:
		if len(head) == headSize {
			if head, err = readHead(file, longHeadSize); err != nil {
				return nil, nil, err
			}
		}
		why, mail := notMailbox(head, f.Size)
		kind := SkipNotFolder
		if lock && !mail {
			kind, why = SkipLockFile, "lock file; "+why
		}
		return nil, &Skipped{Kind: kind, MayHoldMail: mail, Text: fmt.Sprintf("%d bytes, %s", f.Size, why)}, nil
	case FormatEmpty:
		if lock {
			return nil, &Skipped{Kind: SkipLockFile, Text: "empty lock file; make sure that no mail session is running"}, nil
		}
	default:
		if lock {
			f.Warning = "named like a lock file, but it is a mailbox: converted as a folder"
		}
	}
	return f, nil, nil
}

// readHead returns the first n bytes of a file, fewer if it is shorter.
func readHead(file *os.File, n int) ([]byte, error) {
	head := make([]byte, n)
	got, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head[:got], nil
}
