package mbox

import (
	"errors"
	"fmt"
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
