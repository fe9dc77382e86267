package mbox

import "bytes"

// Format is a mailbox format of c-client that is one file.
type Format string

// The formats that Recognise tells apart.
const (
	FormatUnix         Format = "unix"          // what Reader reads
	FormatUnixDoubtful Format = "unix-doubtful" // UW refuses it for its first lines only; Reader reads it
	FormatEmpty        Format = "empty"         // no mail: no bytes, or nothing but white space
	FormatMBX          Format = "mbx"
	FormatTenex        Format = "tenex"
	FormatMTX          Format = "mtx"
	FormatMMDF         Format = "mmdf"
	FormatNone         Format = "none" // no mailbox; UW shows it as one message (its phile driver)
)

// sniffSize is how much of a file UW looks at to recognise the unix format (unix.c,
// unix_isvalid_fd: a buffer of 1024 bytes with a NUL at the end).
const sniffSize = 1023

// Recognise tells the format of a regular file of size bytes from its beginning. head
// should have 4096 bytes, or the whole file if that is shorter.
//
// The tests and their order are those of UW IMAP 2007f. Two kinds of file that UW takes
// for plain text are FormatUnixDoubtful here, because they hold mail all the same: those
// whose first From_ line ends beyond the 1023 bytes that UW looks at, and those whose
// line ends were converted to CR LF once too often.
func Recognise(head []byte, size int64) Format {
	switch {
	case size == 0:
		return FormatEmpty
	case isMBX(head, size):
		return FormatMBX
	case isTenex(head):
		return FormatTenex
	case isMTX(head):
		return FormatMTX
	case bytes.HasPrefix(head, []byte("\x01\x01\x01\x01\n")): // mmdf.c, mmdf_isvalid_fd
		return FormatMMDF
	case startsWithFromLine(head[:min(len(head), sniffSize)]):
		return FormatUnix
	case startsWithFromLine(head), startsWithFromLine(foldCRs(head)):
		return FormatUnixDoubtful
	case int64(len(head)) == size && len(bytes.TrimLeft(head, " \t\r\n")) == 0:
		return FormatEmpty
	}
	return FormatNone
}

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

// isMBX is mbx.c mbx_isvalid: a header of 2048 bytes that begins with a magic word and
// UIDVALIDITY and last UID in hexadecimal.
func isMBX(head []byte, size int64) bool {
	const magic = "*mbx*\r\n"
	if size < 2048 || len(head) < 25 || string(head[:7]) != magic || string(head[23:25]) != "\r\n" {
		return false
	}
	for _, c := range head[7:23] {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}

// isTenex is tenex.c tenex_isvalid: the first line, which ends with a bare LF within 64
// bytes, looks like "dd-mmm-yyyy hh:mm:ss zone,size;flags".
func isTenex(head []byte) bool {
	line := head[:min(len(head), 64)]
	i := bytes.IndexByte(line, '\n')
	return i > 0 && line[i-1] != '\r' && isRecordLine(line[:i])
}

// isMTX is mtx.c mtx_isvalid: the same, but the line ends with CR LF.
func isMTX(head []byte) bool {
	line := head[:min(len(head), 64)]
	i := bytes.IndexByte(line, '\r')
	return i >= 0 && i+1 < len(line) && line[i+1] == '\n' && isRecordLine(line[:i])
}

func isRecordLine(line []byte) bool {
	at := func(i int) byte {
		if i >= len(line) {
			return 0
		}
		return line[i]
	}
	if !(at(2) == '-' && at(6) == '-' || at(1) == '-' && at(5) == '-') || len(line) < 18 {
		return false
	}
	comma := bytes.IndexByte(line[18:], ',')
	if comma < 0 {
		return false
	}
	rest := line[18+comma:]
	return len(rest) > 2 && bytes.IndexByte(rest[2:], ';') >= 0
}
