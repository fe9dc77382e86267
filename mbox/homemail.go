package mbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/plural"
)

// Bounds of what is looked at, and of what is named, at the top of a home.
const (
	maxHomeFiles = 1000
	maxHomeNamed = 5
)

var errHomeLimit = errors.New("enough files")

// besideMailDir tells, in one entry, of mailboxes at the top of the home that are not below the
// mail directory. UW's names begin in the home where no mail-subdirectory is set (env_unix.c
// mymailboxdir), so that it served them to whoever named them, and programs of the user's own write
// there (mail -f, a filter). They are not known to be wanted, as those are that he subscribed to,
// but they are mail of which nobody else tells. A file counts whose beginning is that of a mailbox
// beyond doubt; names that begin with a dot, and directories, are not looked into.
func (w *walker) besideMailDir(home *os.File) {
	dir, err := reopen(home, unix.O_RDONLY)
	if err != nil {
		return // who may not list it has nothing there to be served
	}
	defer dir.Close()
	var found []string
	var bytes int64
	looked := 0
	err = eachName(dir, func(name string) error {
		path := join(w.homePath, name)
		if name[0] == '.' || w.taken[path] || path == w.mailPath {
			return nil
		}
		st, err := lstatAt(dir, name)
		if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Uid != w.user.UID || st.Size == 0 {
			return nil
		}
		if looked++; looked > maxHomeFiles {
			return errHomeLimit
		}
		if w.beginsAsMailbox(dir, name) {
			found, bytes = append(found, name), bytes+st.Size
		}
		return nil
	})
	if len(found) == 0 {
		return
	}
	slices.Sort(found)
	named := make([]string, 0, maxHomeNamed)
	for _, name := range found[:min(len(found), maxHomeNamed)] {
		named = append(named, fmt.Sprintf("%q", clip(name)))
	}
	text := fmt.Sprintf("%s at the top of the home, of %d bytes, outside the mail directory and not subscribed to, not converted: %s", plural.Count(len(found), "mailbox file"), bytes, strings.Join(named, ", "))
	if len(found) > maxHomeNamed {
		text += ", …"
	}
	if errors.Is(err, errHomeLimit) {
		text += fmt.Sprintf(" (of the first %d files)", maxHomeFiles)
	}
	w.skip(w.homePath, &Skipped{Kind: SkipHomeMail, Text: text + "; move what is wanted into the mail directory"})
}

// beginsAsMailbox reports whether a file of the user's has a beginning that only mailboxes have.
func (w *walker) beginsAsMailbox(dir *os.File, name string) bool {
	file, st, s, err := openUserFile(dir, name, w.user.UID)
	if err != nil || s != nil {
		return false
	}
	defer file.Close()
	head, err := readHead(file, headSize)
	if err != nil {
		return false
	}
	switch Recognise(head, st.Size) {
	case FormatUnix, FormatMBX, FormatMMDF:
		return true
	}
	return false
}

// otherMailDirs tells of the directories in the home in which mail programs kept folders (Pine,
// and elm, mutt and mailx with a capital; Netscape), and which are not the mail directory: users of
// one host had programs of several kinds, and the mail directory has one name. One that holds no
// mailbox is not told.
func (w *walker) otherMailDirs(home *os.File) {
	dir, err := reopen(home, unix.O_RDONLY)
	if err != nil {
		return // as in besideMailDir
	}
	defer dir.Close()
	err = eachName(dir, func(name string) error {
		path := join(w.homePath, name)
		if lower := strings.ToLower(name); lower != "mail" && lower != "nsmail" || w.taken[path] || w.leadsToWalked(path) {
			return nil
		}
		st, err := lstatAt(dir, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			w.unreadable(path, err)
		case st.Mode&unix.S_IFMT == unix.S_IFLNK && !w.isWalked(dir, name, path, st):
			w.skip(path, notRegular(dir, name, st))
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			w.otherMailDir(dir, name, path)
		}
		return nil
	})
	if err != nil {
		w.unreadable(w.homePath, err)
	}
}

// leadsToWalked reports whether path is, or is above, a directory whose files are taken up.
func (w *walker) leadsToWalked(path string) bool {
	above := func(walked string) bool { return walked == path || strings.HasPrefix(walked, withSlash(path)) }
	return above(w.mailPath) || w.mh != nil && above(w.mhPath)
}

func (w *walker) otherMailDir(parent *os.File, name, path string) {
	dir, s, err := openUserDir(parent, name, w.user.UID, unix.O_RDONLY)
	switch {
	case err != nil:
		w.unreadable(path, err)
		return
	case s != nil:
		w.skip(path, s)
		return
	}
	defer dir.Close()
	looked := 0
	n, err := w.countMailboxes(dir, path, 0, &looked)
	if err != nil && !errors.Is(err, errHomeLimit) {
		w.unreadable(path, err)
	}
	if n == 0 {
		return
	}
	more := ""
	if errors.Is(err, errHomeLimit) {
		more = " or more"
	}
	w.skip(path, &Skipped{Kind: SkipHomeMail, MayHoldMail: true,
		Text: fmt.Sprintf("%s%s in a directory that is not the mail directory, not converted; move what is wanted into the mail directory, or migrate this user apart from others, with --mail-dir %s", plural.Count(n, "mailbox file"), more, clip(name))})
}

// countMailboxes counts what surely is a mailbox in dir and below it, and was not reported.
func (w *walker) countMailboxes(dir *os.File, path string, depth int, looked *int) (n int, err error) {
	if recogniseDirectory(&directory{file: dir, rights: w.rights}) != "" {
		return 1, nil
	}
	err = eachName(dir, func(name string) error {
		below := join(path, name)
		if *looked++; *looked > maxHomeFiles {
			return errHomeLimit
		}
		st, err := lstatAt(dir, name)
		if err != nil || st.Uid != w.user.UID || w.taken[below] {
			return nil
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			if st.Size > 0 && w.beginsAsMailbox(dir, name) {
				n++
			}
		case unix.S_IFDIR:
			if depth == maxDepth {
				return nil
			}
			sub, s, err := openUserDir(dir, name, w.user.UID, unix.O_RDONLY)
			if err != nil || s != nil {
				return nil
			}
			defer sub.Close()
			more, err := w.countMailboxes(sub, below, depth+1, looked)
			n += more
			return err
		}
		return nil
	})
	return n, err
}
