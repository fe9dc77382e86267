package mbox

import (
	"bytes"
	"io"
)

// mmdfFormat is UW's driver "mmdf" (mmdf.c mmdf_isvalid_fd).
var mmdfFormat = fileFormat{
	name:    FormatMMDF,
	matches: func(head []byte, _ int64) bool { return bytes.HasPrefix(head, mmdfMark) },
	open: func(src io.ReaderAt, size int64, opts Options) Mailbox {
		return newReader(src, size, mmdfDelimiter{}, opts, windowSize)
	},
}

// mmdfMark is the line before and after every message. Where the file is whole there are
// two between messages, but one is enough for UW.
var mmdfMark = []byte("\x01\x01\x01\x01\n")

// mmdfDelimiter separates the messages of the mmdf format, as mmdf.c mmdf_parse and
// mmdf_mbxline do: a mark ends a message also at the end of a line that has two more
// bytes at least, and inside of a header. After the mark that opens a message a From_
// line may give its date; From_ lines mean nothing elsewhere. Nothing is taken off the
// end of a text.
//
// Other than UW, which takes the third of three marks in a row for a header and what
// follows for its text, this takes marks without anything between them for one place.
type mmdfDelimiter struct{}

func (mmdfDelimiter) rules() delimiterRules {
	return delimiterRules{closes: true, shortest: int64(len(mmdfMark))}
}

// first wants a mark at the very beginning.
func (d mmdfDelimiter) first(r *Reader) (sep separator, err error) {
	r.gombox.refuse = true // it wants a From_ line there
	if r.win.end == 0 {
		return sep, nil
	}
	if marked, err := d.marked(r, 0); err != nil || !marked {
		if err == nil {
			err = &NotMailboxError{Reason: "no mmdf separator"}
		}
		return sep, err
	}
	err = d.open(r, &sep, 0)
	return sep, err
}

func (d mmdfDelimiter) reopen(r *Reader, offset int64) (sep separator, err error) {
	err = d.open(r, &sep, offset)
	return sep, err
}

// find finds a mark.
func (mmdfDelimiter) find(text []byte, from int, nul bool) int {
	for {
		n := bytes.IndexByte(text[from:], '\n')
		if n < 0 {
			return -1
		}
		lf := from + n
		if mark := lf + 1 - len(mmdfMark); mark > 0 && bytes.Equal(text[mark:lf+1], mmdfMark) && !afterOneByte(text[:mark]) {
			return mark - 1
		}
		if nul && lf+1 < len(text) && text[lf+1] == 0 {
			return lf
		}
		from = lf + 1
	}
}

// afterOneByte reports whether text, which is the beginning of a text or has more than
// one byte, ends one byte after a line end: there UW overlooks a mark.
func afterOneByte(text []byte) bool {
	n := len(text)
	return n > 1 && text[n-1] != '\n' && text[n-2] == '\n'
}

func (d mmdfDelimiter) judge(r *Reader, offset int64) (sep separator, found bool, next int64, err error) {
	sep, err = d.separator(r, offset)
	return sep, true, 0, err
}

func (d mmdfDelimiter) afterNULs(r *Reader, offset, end int64) (sep separator, found bool, err error) {
	if found, err = d.marked(r, end); err != nil || !found {
		return sep, false, err
	}
	sep, err = d.separator(r, end)
	sep.text, sep.hole = offset, sep.hole+end-offset
	if sep.closing == 0 {
		sep.end = offset
	}
	return sep, true, err
}

func (d mmdfDelimiter) inHeader(r *Reader, offset int64, line []byte, starts, ends bool) (n int, sep separator, found bool, err error) {
	n = len(line)
	if !ends {
		// A mark may begin here.
		for n > 1 && len(line)-n < len(mmdfMark)-1 && line[n-1] == mmdfMark[0] {
			n--
		}
		return n, sep, false, nil
	}
	if !bytes.HasSuffix(line, mmdfMark) || starts && n == len(mmdfMark)+1 {
		return n, sep, false, nil
	}
	if n -= len(mmdfMark); n == 0 {
		sep, err = d.separator(r, offset)
	}
	return n, sep, true, err
}

// separator is that of the mark at offset: it closes a message, another one after it
// opens the next. NULs between them are where a rewrite was cut short and a message
// appended later. If there is no other, this one does both.
func (d mmdfDelimiter) separator(r *Reader, offset int64) (sep separator, err error) {
	end := offset + int64(len(mmdfMark))
	sep = separator{text: offset, end: end, closing: end - offset}
	if end == r.win.end {
		return sep, nil
	}
	next, err := r.nulsEnd(end)
	if err != nil {
		return sep, err
	}
	marked, err := d.marked(r, next)
	switch {
	case err != nil:
		return sep, err
	case marked:
		sep.hole = next - end
	default:
		sep.end, sep.closing, next = offset, 0, offset
	}
	return sep, d.open(r, &sep, next)
}

// open sets what follows the mark at offset, which opens a message.
func (d mmdfDelimiter) open(r *Reader, sep *separator, offset int64) error {
	header := offset + int64(len(mmdfMark))
	for {
		n, err := d.marks(r, header)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		header += n
	}
	sep.extra = header - int64(len(mmdfMark)) - offset
	if header == r.win.end { // nothing follows
		sep.extra += int64(len(mmdfMark))
		return nil
	}
	sep.opens, sep.offset, sep.header = true, header-int64(len(mmdfMark)), header
	b, err := r.ahead(header, len(fromPrefix))
	if err != nil || !bytes.Equal(b, fromPrefix) {
		return err
	}
	v, err := r.fromLineAt(header, true)
	if v.valid && !v.loose {
		sep.header, sep.fromLine, sep.stamp = v.end, v.end-header, v.stamp
	}
	return err
}

func (d mmdfDelimiter) marked(r *Reader, offset int64) (bool, error) {
	b, err := r.ahead(offset, len(mmdfMark))
	return bytes.Equal(b, mmdfMark), err
}

// marks returns how many bytes of marks are at offset; there may be more behind them.
func (mmdfDelimiter) marks(r *Reader, offset int64) (n int64, err error) {
	b := r.win.held(offset)
	if len(b) < len(mmdfMark) { // else what is held is enough: reading on each time would be quadratic
		if b, err = r.ahead(offset, goMboxPiece); err != nil {
			return 0, err
		}
	}
	for bytes.HasPrefix(b, mmdfMark) {
		b, n = b[len(mmdfMark):], n+int64(len(mmdfMark))
	}
	return n, nil
}
