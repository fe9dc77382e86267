package mbox

import (
	"bytes"
	"errors"
	"io"
)

// start finds the end of the mail and what opens the first message.
func (r *Reader) start() error {
	if err := r.trimNULs(); err != nil {
		return err
	}
	sep, err := r.delim.first(r)
	var not *NotMailboxError
	switch {
	case errors.As(err, &not) && r.lineUnreadable(not.Offset):
		return r.passUnreadable(not.Offset)
	case errors.As(err, &not):
		r.account[ReasonNotMailbox] = r.size - not.Offset
		r.gombox.refuse = true
		return err
	case err != nil:
		return err
	}
	r.enterSeparator(&sep)
	r.sep = sep
	return r.scout()
}

// lineUnreadable reports whether a part of the line at offset cannot be read.
func (r *Reader) lineUnreadable(offset int64) bool {
	b, err := r.ahead(offset, goMboxPiece)
	if err != nil {
		return false // whoever reads there next says so
	}
	line, _ := cutLine(b)
	return unreadable(r.win.src, offset, offset+int64(len(line))) != nil
}

// passUnreadable puts aside what is from offset, where the first message should begin and
// cannot be read, up to the first separator.
func (r *Reader) passUnreadable(offset int64) error {
	r.separators++ // whatever follows is not the first message
	r.inMessage, r.drop = true, true
	r.msg = Message{text: r, Offset: offset, HeaderOffset: offset, BodyOffset: offset + 1}
	r.bytes.visible = 1
	r.baseUnreadable()
	if err := r.readBody(false); err != nil {
		return err
	}
	r.reportUIDs()
	return r.scout()
}

// first skips white space and finds the first From_ line.
func (unixDelimiter) first(r *Reader) (sep separator, err error) {
	blank, err := r.skipBlank()
	if err != nil {
		return sep, err
	}
	r.account[ReasonLeadingBlank] = blank
	if blank > 0 {
		r.find(KindLeadingBlank, 0, "%d bytes of white space before the first From_ line", blank)
	}
	if blank == r.win.end {
		r.gombox.refuse = r.gombox.refuse || r.size > r.win.end
		return sep, nil
	}
	v, reason, err := r.firstFromLine(blank)
	if err != nil {
		return sep, err
	}
	if !v.valid {
		return sep, &NotMailboxError{Offset: blank, Reason: reason}
	}
	r.gombox.line(v)
	return v.separator(0), nil
}

// trimNULs makes the file end before the NULs at its end.
func (r *Reader) trimNULs() error {
	for r.win.end > 0 {
		n := int64(1) // one byte tells enough about most files
		if r.win.end < r.size {
			n = min(r.win.end, goMboxPiece)
		}
		b, err := r.ahead(r.win.end-n, int(n))
		if err != nil {
			return err
		}
		kept := len(bytes.TrimRight(b, "\x00"))
		r.win.end -= n - int64(kept)
		if kept > 0 {
			break
		}
	}
	return nil
}

// skipBlank returns the number of bytes of white space at the beginning (unix.c
// unix_parse), and notes whether go-mbox skips them too.
func (r *Reader) skipBlank() (n int64, err error) {
	var last byte = '\n'
	for {
		b, err := r.win.from(n, 1)
		if err != nil {
			return n, err
		}
		for i, c := range b {
			switch {
			case c == ' ' || c == '\t' || last == '\r' && c != '\n':
				r.gombox.refuse = true
			}
			if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
				return n + int64(i), nil
			}
			last = c
		}
		if n += int64(len(b)); len(b) == 0 {
			r.gombox.refuse = r.gombox.refuse || last == '\r'
			return n, nil
		}
	}
}

// firstFromLine judges the line after leading white space, or says why it is no From_
// line.
func (r *Reader) firstFromLine(offset int64) (v fromVerdict, reason string, err error) {
	if offset > 0 {
		before, err := r.ahead(offset-1, 1)
		if err != nil {
			return v, "", err
		}
		if before[0] != '\n' {
			return v, "white space in the line of the first From_ line", nil
		}
	}
	b, err := r.ahead(offset, goMboxPiece)
	if err != nil {
		return v, "", err
	}
	if !bytes.HasPrefix(b, fromPrefix) {
		return v, "no From_ line", nil
	}
	if err := r.detectDoubleCR(b, offset); err != nil {
		return v, "", err
	}
	v, err = r.fromLineAt(offset, true)
	return v, "a line that begins \"From \" but is no From_ line to UW", err
}

// maxDoubleCRs is how often a file's line ends may have been converted.
const maxDoubleCRs = 4

// detectDoubleCR finds out whether every line of the file, but perhaps the first, ends
// with the same number, more than one, of CRs and a LF: line ends that were converted
// once too often. UW sees no end of the header in such a file. Only if the first or the
// second line looks so is the whole file read for it. b is its beginning.
func (r *Reader) detectDoubleCR(b []byte, offset int64) error {
	first, rest := cutLine(b)
	second, _ := cutLine(rest)
	start, one := offset+int64(len(first)), crsAtEnd(first)
	crs := max(one, crsAtEnd(second))
	if one < 1 || crs < 2 || crs > maxDoubleCRs {
		return nil
	}
	if _, ok := parseFromLine(append(bytes.Clone(bytes.TrimRight(first, "\r\n")), '\n'), 1); !ok {
		return nil // UW takes a CR for a part of the year
	}
	run := 0
	for pos := start; pos < r.win.end; {
		b, err := r.ahead(pos, goMboxPiece)
		if err != nil {
			return err
		}
		for _, c := range b {
			switch {
			case c == '\r':
				run++
			case c == '\n' && run != crs:
				return nil
			default:
				run = 0
			}
		}
		pos += int64(len(b))
	}
	if one == 1 || one == crs {
		r.maxCRs, r.fromCRs = crs, crs
		r.find(KindDoubleCR, offset, "every line ends with %d CRs and a LF; read as one line end each", crs)
	}
	return nil
}

// crsAtEnd counts the CRs before the LF of a line.
func crsAtEnd(line []byte) int {
	if !bytes.HasSuffix(line, []byte("\n")) {
		return 0
	}
	line = line[:len(line)-1]
	return len(line) - len(bytes.TrimRight(line, "\r"))
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
