package mbox

import (
	"bytes"
	"fmt"

	"mbox2cyrus/internal/plural"
)

// notMailbox says, for an administrator, what a file that is in no mailbox format
// seems to be, and whether it may hold mail all the same. head is the beginning of the
// file, tail its end if that is not in head, size its full length. UW served such files as
// one message each (its phile driver); they are not mail, but mail can hide in them: one
// stray byte before the first From_ line makes a mailbox of twenty years unrecognisable.
func notMailbox(head, tail []byte, size int64) (why string, mayHoldMail bool) {
	separators, first := countSeparators(head, size)
	mail := signsOfMail(head, 0, size)
	if mail.n == 0 {
		_, tail, _ = bytes.Cut(tail, []byte("\n")) // it begins anywhere in a line
		mail = signsOfMail(tail, size-int64(len(tail)), size)
	}
	nuls := len(head) - len(bytes.TrimLeft(head, "\x00"))
	blanks := len(head) - len(bytes.TrimLeft(head, " \t\r\n"))
	switch {
	case nuls > 0 && nuls == len(head) && mail.n == 0:
		return "nothing but NUL bytes" + asFarAsRead(head, size), int64(nuls) < size
	case nuls > 0 && startsMailbox(head[nuls:], size-int64(nuls)):
		return fmt.Sprintf("starts with %d NUL bytes before its first From_ line, as an aborted rewrite leaves them; take them off to have the mail converted", nuls), true
	case blanks > 0 && startsMailbox(head[blanks:], size-int64(blanks)):
		return fmt.Sprintf("starts with %d blank bytes before its first From_ line, for which UW refused it too; take them off to have the mail converted", blanks), true
	case mail.n > 0 && (separators == 0 || mail.first < int64(first)):
		return fmt.Sprintf("does not begin as a mailbox, but holds %s, the first at byte %d%s; %s", plural.Count(mail.n, mail.what), mail.first, mail.where(head, size), mail.advice), true
	case bytes.HasPrefix(head, []byte("From ")):
		why = "begins with \"From \", but its first line is no From_ line that UW accepts"
		if separators > 0 {
			return fmt.Sprintf("%s; holds %d From_ lines further down, the first at byte %d: mend or remove what precedes it to have the mail converted", why, separators, first), true
		}
		line, _, _ := bytes.Cut(head, []byte("\n"))
		return why, hasTimeOfDay(line)
	case separators > 0:
		return fmt.Sprintf("does not begin with a From_ line, but holds %d further down, the first at byte %d; if that is mail, remove what precedes it", separators, first), true
	case startsWithHeader(head):
		return "looks like a single message without a From_ line; import it by hand if it is mail", true
	case bytes.HasPrefix(head, []byte("{")) && size < 400:
		// imapd.c, "proxy open": a small text beginning with { names a mailbox elsewhere.
		return fmt.Sprintf("names a mailbox on another server: %q", clip(string(head))), true
	case isCompressed(head):
		return "compressed or an archive; unpack it if it holds a mailbox", true
	case bytes.IndexByte(head, 0) >= 0:
		return "binary data, no mailbox", false
	}
	return "text without From_ lines" + asFarAsRead(head, size) + ", no mailbox", false
}

// mailSigns counts lines in a file that its mailbox would have between messages.
type mailSigns struct {
	n            int
	first        int64 // offset of the first in the file
	what, advice string
}

// where says that only the end of the file has them, if so.
func (m *mailSigns) where(head []byte, size int64) string {
	if m.first < int64(len(head)) {
		return ""
	}
	return fmt.Sprintf(" in its last %d bytes", min(longHeadSize, size-int64(len(head))))
}

// signsOfMail looks for what is between messages, in b, which is at offset in a file of
// size bytes. Of several formats it is the one that comes first: others may be quoted.
func signsOfMail(b []byte, offset, size int64) (found mailSigns) {
	const mend = "its beginning may be damaged: mend that to have the mail converted"
	take := func(n, first int, what, advice string) {
		if at := offset + int64(first); n > 0 && (found.n == 0 || at < found.first) {
			found = mailSigns{n, at, what, advice}
		}
	}
	n, first := countSeparators(b, size-offset)
	take(n, first, "From_ line", mend)

	n, first = countLines(b, func(at int) bool { return bytes.HasPrefix(b[at:], mmdfMark) })
	take(n, first, "MMDF separator line", mend)

	for _, f := range []struct {
		records *recordFormat
		format  Format
	}{{&mbxRecords, FormatMBX}, {&tenexRecords, FormatTenex}, {&mtxRecords, FormatMTX}} {
		n, first = countPlaces(b, ";", func(at int) (int, bool) {
			before, ok := f.records.writtenRecord(b, at)
			return at - before, ok
		})
		take(n, first, fmt.Sprintf("%s record line", f.format), mend)
	}

	n, first = countPlaces(b, mixToken, func(at int) (int, bool) {
		_, ok := parseMixRecordLine(b[at:])
		return at, ok
	})
	take(n, first, "mix record line", "of a mix mailbox that has lost its "+mixMetaName+", perhaps: restore that to have the mail converted")
	return found
}

// countPlaces counts the places of b with token that is accepts, and returns where the
// first of what is there begins.
func countPlaces(b []byte, token string, is func(at int) (begins int, ok bool)) (n, first int) {
	for at := 0; ; at++ {
		next := bytes.Index(b[at:], []byte(token))
		if next < 0 {
			return n, first
		}
		at += next
		if begins, ok := is(at); ok {
			if n == 0 {
				first = begins
			}
			n++
		}
	}
}

// asFarAsRead says that only the beginning of a file was looked at, if so.
func asFarAsRead(head []byte, size int64) string {
	if int64(len(head)) >= size {
		return ""
	}
	return fmt.Sprintf(" in its first %d bytes", len(head))
}

// startsMailbox reports whether a From_ line that UW accepts is at the very beginning
// of b, which is followed by the rest of size bytes.
func startsMailbox(b []byte, size int64) bool {
	if !bytes.HasPrefix(b, []byte("From ")) {
		return false
	}
	f := Recognise(b[:min(len(b), headSize)], size)
	return f == FormatUnix || f == FormatUnixDoubtful
}

// countSeparators counts the From_ lines in head and returns the offset of the first.
func countSeparators(head []byte, size int64) (n, first int) {
	return countLines(head, func(at int) bool { return startsMailbox(head[at:], size-int64(at)) })
}

// countLines counts the lines of b that is accepts by their offsets, and returns that of the
// first.
func countLines(b []byte, is func(at int) bool) (n, first int) {
	for at := 0; at < len(b); {
		if is(at) {
			if n == 0 {
				first = at
			}
			n++
		}
		next := bytes.IndexByte(b[at:], '\n')
		if next < 0 {
			break
		}
		at += next + 1
	}
	return n, first
}

// hasTimeOfDay reports whether a line has a digit on both sides of a colon, which a
// From_ line of any arrangement has and a sentence that begins "From " seldom does.
func hasTimeOfDay(line []byte) bool {
	digit := func(b byte) bool { return '0' <= b && b <= '9' }
	for i := 1; i < len(line)-1; i++ {
		if line[i] == ':' && digit(line[i-1]) && digit(line[i+1]) {
			return true
		}
	}
	return false
}

// startsWithHeader reports whether the first line is a header field that messages
// usually begin with.
func startsWithHeader(head []byte) bool {
	name, _, ok := bytes.Cut(head[:min(len(head), 64)], []byte(":"))
	if !ok {
		return false
	}
	switch string(bytes.ToLower(name)) {
	case "return-path", "delivered-to", "received", "from", "to", "date", "subject",
		"message-id", "mime-version", "x-imapbase", "x-imap", "x-uid", "status", "x-mozilla-status":
		return true
	}
	return false
}

// isCompressed knows the first bytes of what mail folders were packed with: gzip,
// compress, bzip2, xz, zip.
func isCompressed(head []byte) bool {
	for _, magic := range []string{"\x1f\x8b", "\x1f\x9d", "BZh", "\xfd7zXZ\x00", "PK\x03\x04"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}
