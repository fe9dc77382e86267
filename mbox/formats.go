package mbox

import (
	"bytes"
	"io"
)

// Format is a mailbox format of c-client.
type Format string

// The formats that are recognised.
const (
	FormatUnix         Format = "unix"          // mbox: what a [Reader] reads
	FormatUnixDoubtful Format = "unix-doubtful" // UW refuses it for its first lines only; a Reader reads it
	FormatEmpty        Format = "empty"         // no mail: no bytes, or nothing but white space
	FormatMBX          Format = "mbx"
	FormatTenex        Format = "tenex"
	FormatMTX          Format = "mtx"
	FormatMMDF         Format = "mmdf"
	FormatMix          Format = "mix" // a directory, like those that follow
	FormatMX           Format = "mx"
	FormatMH           Format = "mh"
	FormatMaildir      Format = "Maildir" // never UW's own: recognised only to be reported
	FormatNone         Format = "none"    // no mailbox; UW shows it as one message (its phile driver)
)

// fileFormat is a format whose mailboxes are files.
type fileFormat struct {
	name Format
	// matches reports whether a regular file of size bytes has the format. head is its
	// beginning, 4096 bytes or all of it.
	matches func(head []byte, size int64) bool
	// open returns a reader of the first size bytes of src.
	open func(src io.ReaderAt, size int64, opts Options) Mailbox
}

// directoryFormat is a format whose mailboxes are directories.
type directoryFormat struct {
	name    Format
	matches func(dir *directory) bool
	// open returns a reader of the directory, which stays open and is listed anew. nil if
	// the format is recognised but not read.
	open func(dir *directory, opts Options) Mailbox
}

// The registry: a format is one file that defines one of these. The order is that in
// which UW IMAP 2007f asks its drivers (uw-imap Makefile, DEFAULTDRIVERS); it asks about
// mh after mtx, but knows mh by its path, not by what is in it.
var (
	fileFormats      = []fileFormat{mbxFormat, tenexFormat, mtxFormat, mmdfFormat, unixFormat, unixDoubtfulFormat}
	directoryFormats = []directoryFormat{mixFormat, mxFormat, maildirFormat, mhFormat}
)

// Recognise tells the format of a regular file of size bytes from its beginning. head
// should have 4096 bytes, or the whole file if that is shorter.
//
// The tests and their order are those of UW IMAP 2007f. Two kinds of file that UW takes
// for plain text are FormatUnixDoubtful here, because they hold mail all the same: those
// whose first From_ line ends beyond the 1023 bytes that UW looks at, and those whose
// line ends were converted to CR LF once too often.
func Recognise(head []byte, size int64) Format {
	if size == 0 {
		return FormatEmpty
	}
	for _, f := range fileFormats {
		if f.matches(head, size) {
			return f.name
		}
	}
	if int64(len(head)) == size && len(bytes.TrimLeft(head, " \t\r\n")) == 0 {
		return FormatEmpty
	}
	return FormatNone
}

// recogniseDirectory returns the format of a mailbox directory, "" for an ordinary one.
func recogniseDirectory(dir *directory) Format {
	for _, f := range directoryFormats {
		if f.matches(dir) {
			return f.name
		}
	}
	return ""
}

// isRead reports whether mailboxes of the format become mail.
func (f Format) isRead() bool {
	for _, d := range directoryFormats {
		if d.name == f {
			return d.open != nil
		}
	}
	for _, d := range fileFormats {
		if d.name == f {
			return d.open != nil
		}
	}
	return f == FormatEmpty
}
