package mbox

import (
	"strings"

	"golang.org/x/sys/unix"
)

// mhFormat is UW's driver "mh". UW knows such a mailbox by its path; here it is known by
// what it looks like.
var mhFormat = directoryFormat{name: FormatMH, matches: func(dir *directory) bool {
	return dir.has(".mh_sequences", unix.S_IFREG) && onlyMessageFiles(dir)
}}

// onlyMessageFiles reports whether all that dir holds besides hidden files and
// directories are files with numbers as names (messages of mh), at least one, with or
// without the comma or # that marks a removed one.
func onlyMessageFiles(dir *directory) bool {
	messages, others := 0, 0
	err := eachName(dir.file, func(name string) error {
		if name[0] == '.' {
			return nil
		}
		if st, err := lstatAt(dir.file, name); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			return nil
		}
		if number := strings.TrimLeft(name, ",#"); number != "" && strings.Trim(number, "0123456789") == "" {
			messages++
		} else {
			others++
		}
		return nil
	})
	return err == nil && messages > 0 && others == 0
}
