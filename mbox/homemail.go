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

// outsideMailDir tells of mail in the home that is outside the mail directory: of mailboxes at
// the top of the home, and of the directories in which mail programs kept folders.
func (w *walker) outsideMailDir(home *os.File) {
	dir, err := reopen(home, unix.O_RDONLY)
	if err != nil {
		return // who may not list it has nothing there to be served
	}
	defer dir.Close()
	var top homeFiles
	var mailDirs []string
	err = eachName(dir, func(name string) error {
		w.addHomeFile(&top, dir, name)
		if lower := strings.ToLower(name); lower == "mail" || lower == "nsmail" {
			mailDirs = append(mailDirs, name)
		}
		return nil
	})
	w.tellHomeFiles(top)
	for _, name := range mailDirs {
		w.otherMailDir(dir, name)
	}
	if err != nil {
		w.unreadable(w.homePath, err)
	}
}

// homeFiles are the mailboxes at the top of a home, outside the mail directory. UW's names begin
// in the home where no mail-subdirectory is set (env_unix.c mymailboxdir), so that it served
// them to whoever named them, and programs of the user's own write there (mail -f, a filter).
// They are not known to be wanted, as those are that he subscribed to, but they are mail of
// which nobody else tells.
type homeFiles struct {
	found  []string // names, in no order
	bytes  int64    // of these
	looked int      // files that might have been such
}

// addHomeFile adds a name at the top of the home if it is that of a mailbox. A file counts whose
// beginning is that of a mailbox beyond doubt; names that begin with a dot are left out.
func (w *walker) addHomeFile(top *homeFiles, dir *os.File, name string) {
	path := join(w.homePath, name)
	if top.looked > maxHomeFiles || name[0] == '.' || w.taken[path] || path == w.mailPath {
		return
	}
	st, err := lstatAt(dir, name)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Uid != w.user.UID || st.Size == 0 {
		return
	}
	if top.looked++; top.looked <= maxHomeFiles && w.beginsAsMailbox(dir, name) {
		top.found, top.bytes = append(top.found, name), top.bytes+st.Size
	}
}

// tellHomeFiles tells of mailboxes at the top of the home, in one entry.
func (w *walker) tellHomeFiles(top homeFiles) {
	n := len(top.found)
	if n == 0 {
		return
	}
	slices.Sort(top.found)
	named := make([]string, 0, maxHomeNamed)
	for _, name := range top.found[:min(n, maxHomeNamed)] {
		named = append(named, fmt.Sprintf("%q", clip(name)))
	}
	text := fmt.Sprintf("%s at the top of the home, of %d bytes, outside the mail directory and not subscribed to, not converted: %s", plural.Count(n, "mailbox file"), top.bytes, strings.Join(named, ", "))
	if n > maxHomeNamed {
		text += ", …"
	}
	if top.looked > maxHomeFiles {
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

// otherMailDir tells of a name in the home under which mail programs kept folders (Pine; elm,
// mutt and mailx with a capital; Netscape), if it is not that of the mail directory: users of
// one host had programs of several kinds, and the mail directory has one name. A directory that
// holds no mailbox is not told.
func (w *walker) otherMailDir(home *os.File, name string) {
	path := join(w.homePath, name)
	if w.taken[path] || w.leadsToWalked(path) {
		return
	}
	st, err := lstatAt(home, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		w.unreadable(path, err)
	case st.Mode&unix.S_IFMT == unix.S_IFLNK && !w.isWalked(home, name, path, st):
		w.skip(path, notRegular(home, name, st))
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		w.tellMailDir(home, name, path)
	}
}

// leadsToWalked reports whether path is, or is above, a directory whose files are taken up.
func (w *walker) leadsToWalked(path string) bool {
	above := func(walked string) bool { return walked == path || strings.HasPrefix(walked, withSlash(path)) }
	return above(w.mailPath) || w.mh != nil && above(w.mhPath)
}

// tellMailDir tells how many mailboxes are in a directory of the home, if there are any.
func (w *walker) tellMailDir(home *os.File, name, path string) {
	dir, s, err := openUserDir(home, name, w.user.UID, unix.O_RDONLY)
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
	if w.isApart(dir) {
		return 0, nil
	}
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
