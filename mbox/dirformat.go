package mbox

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// directoryFormat returns the name of the mailbox format of a directory, "" for an
// ordinary one. mix and mx are recognised as UW does (mix.c mix_isvalid, mx.c
// mx_isvalid); mh and Maildir by what they look like, since UW finds the former by its
// path and never knew the latter.
func directoryFormat(dir *os.File) string {
	has := func(name string, fileType uint32) bool {
		st, err := lstatAt(dir, name)
		return err == nil && uint32(st.Mode)&unix.S_IFMT == fileType
	}
	switch {
	case has(".mixmeta", unix.S_IFREG):
		return "mix"
	case has(".mxindex", unix.S_IFREG):
		return "mx"
	case has("cur", unix.S_IFDIR) && has("new", unix.S_IFDIR) && has("tmp", unix.S_IFDIR):
		return "Maildir"
	case has(".mh_sequences", unix.S_IFREG) && onlyMessageFiles(dir):
		return "mh"
	}
	return ""
}

// onlyMessageFiles reports whether all that dir holds besides hidden files and
// directories are files with numbers as names (messages of mh), at least one, with or
// without the comma or # that marks a removed one.
func onlyMessageFiles(dir *os.File) bool {
	messages, others := 0, 0
	err := eachName(dir, func(name string) error {
		if name[0] == '.' {
			return nil
		}
		if st, err := lstatAt(dir, name); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
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
