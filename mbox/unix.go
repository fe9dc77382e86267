package mbox

import (
	"bytes"
	"io"
)

// unixFormat is UW's driver "unix".
var unixFormat = fileFormat{
	name: FormatUnix,
	matches: func(head []byte, _ int64) bool {
		return startsWithFromLine(head[:min(len(head), sniffSize)])
	},
	open: openUnix,
}

// unixDoubtfulFormat is what UW's driver refuses and we read.
var unixDoubtfulFormat = fileFormat{
	name: FormatUnixDoubtful,
	matches: func(head []byte, _ int64) bool {
		return startsWithFromLine(head) || startsWithFromLine(foldCRs(head))
	},
	open: openUnix,
}

func openUnix(src io.ReaderAt, size int64, opts Options) Mailbox { return NewReader(src, size, opts) }

// sniffSize is how much of a file UW looks at to recognise the unix format (unix.c,
// unix_isvalid_fd: a buffer of 1024 bytes with a NUL at the end).
const sniffSize = 1023

// startsWithFromLine is unix.c unix_valid: white space that ends with a LF, or none, and
// a complete From_ line.
func startsWithFromLine(head []byte) bool {
	rest := bytes.TrimLeft(head, " \t\r\n")
	blank := len(head) - len(rest)
	if blank > 0 && head[blank-1] != '\n' {
		return false
	}
	line, _ := cutLine(rest)
	_, ok := parseFromLine(line, 1)
	return ok
}

// foldCRs makes one CR of several before the first LF after white space.
func foldCRs(head []byte) []byte {
	line, _ := cutLine(bytes.TrimLeft(head, " \t\r\n"))
	if !bytes.HasSuffix(line, []byte("\r\r\n")) {
		return nil
	}
	return append(bytes.Clone(bytes.TrimRight(line, "\r\n")), '\n') // head is the caller's
}
