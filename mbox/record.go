package mbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"mbox2cyrus/internal/plural"
)

// recordFormat is what mbx, tenex and mtx differ in. Each is a file of records: a line
// that says how long the message is (see record), and the message.
type recordFormat struct {
	eol string // at the end of a record line
	// junkAfterSize says that UW passes over what follows the digits of the size.
	junkAfterSize bool
	// crlf says that lines of messages end with CRLF: then a bare LF is a finding.
	crlf bool
	// shortest is less than the length of any record line.
	shortest int64
	// parseFlags reads what follows the semicolon of a record line.
	parseFlags func(b []byte) (recordFlags, bool)
	// isFlags reports whether b begins with what UW writes there, and with eol.
	isFlags func(b []byte) bool
	// start reads what precedes the first record, and returns its size; nil: nothing does.
	start func(r *recordReader) (int64, error)
}

// recordReader reads a mailbox in one of those formats. It holds at most a few megabytes,
// whatever the file.
//
// UW does not open a mailbox in which one record line is damaged, or whose last message is
// cut short. Here the reader goes on at the next line that is a record line beyond doubt;
// see recordsalvage.go.
type recordReader struct {
	format  *recordFormat
	opts    Options
	size    int64
	win     window
	side    [maxRecordLine]byte // for looking outside of the window
	out     converter
	err     error // what Next has returned
	started bool
	pos     int64 // of the next record line
	account Account

	// The message being read.
	inMessage        bool
	number           int
	msg              Message
	head             []byte // its header, up to maxHeader bytes
	lineSize, end    int64  // of its record line; where it ends
	last             byte   // the byte before the next one of the text
	nuls, bareLineLF int

	// The mailbox's own data.
	keywords     []string
	named        uint64 // keyword bits that have a name
	unnamed      bool   // one that has none was reported
	uids         recordUIDs
	expunged     int
	firstExpunge int64 // offset
}

func newRecordReader(f *recordFormat, src io.ReaderAt, size int64, opts Options, windowBytes int) *recordReader {
	if opts.Location == nil {
		opts.Location = time.Local
	}
	r := &recordReader{format: f, opts: opts, size: size, account: Account{}}
	r.win.src, r.win.end = aroundBadBlocks(src), size
	r.win.buf = newBuffer(max(minRecordWindow, int(min(int64(windowBytes), size))))
	return r
}

// recordUIDs gives UIDs by UW's rules (mbx.c mbx_parse). In tenex and mtx no record has a
// UID, and there is nothing to begin with: they get 1, 2, 3 …
type recordUIDs struct {
	validity   uint32 // 0: none
	last, prev uint64 // greatest given or reserved; that of the record before
	anew       bool   // UIDs of records are not believed
	lost       bool   // UIDVALIDITY
}

// header, hidesInternal and writeTo make a recordReader the text of its messages. UW
// keeps its own data in the record line, so a Status field is part of the mail.
func (r *recordReader) header() []byte      { return r.head }
func (r *recordReader) hidesInternal() bool { return false }

// Keywords implements Mailbox.
func (r *recordReader) Keywords() []string { return r.keywords }

// UIDValidity implements Mailbox.
func (r *recordReader) UIDValidity() uint32 { return r.uids.validity }

// LastUID implements Mailbox.
func (r *recordReader) LastUID() uint32 { return uint32(r.uids.last) }

// Account implements Mailbox.
func (r *recordReader) Account() Account { return maps.Clone(r.account) }

func (r *recordReader) find(kind Kind, offset int64, message int, format string, args ...any) {
	if r.opts.Findings != nil {
		r.opts.Findings(Finding{Kind: kind, Offset: offset, Message: message, Text: fmt.Sprintf(format, args...)})
	}
}

// damage counts n bytes at offset, which make no message, and reports them.
func (r *recordReader) damage(offset, n int64, format string, args ...any) {
	if parts := unreadable(r.win.src, offset, offset+n); parts != nil {
		r.lose(offset, n, 0, "what is where a message should begin", parts)
		return
	}
	r.account[ReasonDamage] += n
	if r.opts.Findings != nil {
		r.opts.Findings(Finding{Kind: KindDamage, Offset: offset, Length: n, Text: fmt.Sprintf(format, args...)})
	}
}

// lose puts n bytes at offset aside, of which parts cannot be read.
func (r *recordReader) lose(offset, n int64, message int, what string, parts []span) {
	r.account.enterLost(n, parts)
	if r.opts.Findings != nil {
		r.opts.Findings(lost("", offset, n, message, what, parts))
	}
}

// Next implements Mailbox.
func (r *recordReader) Next() (*Message, error) {
	if r.err != nil {
		return nil, r.err
	}
	if err := r.next(); err != nil {
		r.err = err
		release(&r.win, &r.out)
		return nil, err
	}
	return &r.msg, nil
}

// next reads up to the next message that is not expunged into r.msg; [io.EOF] if there is none.
func (r *recordReader) next() error {
	if r.inMessage {
		if err := r.readText(false); err != nil {
			return err
		}
	}
	if !r.started {
		r.started = true
		if err := r.start(); err != nil {
			return err
		}
	}
	for r.pos < r.size {
		b, err := r.win.from(r.pos, maxRecordLine)
		if err != nil {
			return err
		}
		rec, ok := r.format.parseRecord(b)
		if !ok {
			if err := r.passDamage(); err != nil {
				return err
			}
			continue
		}
		uid, err := r.uid(&rec)
		if err != nil {
			return err
		}
		end, err := r.recordEnd(r.pos, &rec)
		if err != nil {
			return err
		}
		if !rec.expunged {
			return r.readMessage(&rec, uid, end)
		}
		if r.expunged++; r.expunged == 1 {
			r.firstExpunge = r.pos
		}
		if parts := unreadable(r.win.src, r.pos, end); parts != nil {
			r.lose(r.pos, end-r.pos, 0, "an expunged message", parts)
		} else {
			r.account[ReasonExpunged] += end - r.pos
		}
		r.pos = end
	}
	if r.expunged > 0 {
		r.find(KindExpunged, r.firstExpunge, 0, "messages that a client expunged and UW had not yet removed: %d, the first of them here; left out", r.expunged)
	}
	r.expunged = 0
	return io.EOF
}

// start reads what precedes the first record.
func (r *recordReader) start() error {
	if r.format.start != nil {
		n, err := r.format.start(r)
		if err != nil {
			return err
		}
		r.pos = n
	}
	for bit, name := range r.keywords {
		if name != "" {
			r.named |= 1 << bit
		}
	}
	if u := &r.uids; u.last > maxUID || uint64(r.size/r.format.shortest) > maxUID-u.last {
		*u = recordUIDs{anew: true}
		r.find(KindUIDEpochLost, 0, 0, "UIDVALIDITY cannot be kept: "+uidsTooGreat)
	}
	return nil
}

// uid returns the UID of a record, which may be one that UW gives only now.
func (r *recordReader) uid(rec *record) (uint64, error) {
	u := &r.uids
	uid := rec.uid
	if u.anew {
		uid = 0
	}
	if uid != 0 && (uid <= u.prev || uid > u.last) {
		if !u.lost {
			u.lost, u.validity = true, 0
			why := "is not greater than the one before"
			if uid > u.last {
				why = "is greater than the last UID in the file header"
			}
			r.find(KindUIDEpochLost, r.pos, 0, "UIDVALIDITY cannot be kept: UID %d %s; this and other such UIDs were given anew", uid, why)
		}
		rec.flags |= Recent
		uid, u.last = 0, u.prev // so UW forgets UIDs that it had promised, and its new UIDVALIDITY allows it to
	}
	if uid == 0 {
		if u.last >= maxUID {
			return 0, fmt.Errorf("record at offset %d: no UIDs are left", r.pos)
		}
		u.last++
		uid = u.last
	}
	u.prev = uid
	return uid, nil
}

// readMessage reads the header of the message whose record line is at r.pos.
func (r *recordReader) readMessage(rec *record, uid uint64, end int64) error {
	r.number++
	r.inMessage, r.lineSize, r.end = true, rec.line, end
	r.last, r.nuls, r.bareLineLF = 0, 0, 0
	text := r.pos + rec.line
	r.msg = Message{text: r, Number: r.number, Offset: r.pos, HeaderOffset: text, UID: uint32(uid),
		Flags: rec.flags, Keywords: rec.keywords & r.named}
	switch cut := text + rec.size - end; {
	case cut > 0:
		r.find(KindTruncated, r.pos, r.number, "the end is missing: of %d bytes there are %d", rec.size, end-text)
	case rec.size == 0:
		r.find(KindHeaderCut, r.pos, r.number, "the message has no bytes, for which UW does not open the mailbox; a blank line was added")
	}
	if more := rec.keywords &^ r.named; more != 0 && !r.unnamed {
		r.unnamed = true
		r.find(KindKeywordUnknown, r.pos, r.number, "keyword bits without a name (%#x), which UW does not show; left out (there may be more)", more)
	}
	if err := r.readHeader(); err != nil {
		return err
	}
	m := &r.msg
	var doubt string
	m.Date, m.DateSource, doubt = recordDate(rec, r.head, &r.opts)
	if doubt != "" {
		r.find(KindDateZone, r.pos, r.number, "the record line has %s", doubt)
	}
	if m.DateSource != RecordLine {
		r.find(KindDateUnparsable, r.pos, r.number, "the record line has no possible date; taken from: %v", m.DateSource)
	}
	return nil
}

// view returns what is in memory of the message from pos on, at least need bytes if it
// has as many.
func (r *recordReader) view(pos int64, need int) ([]byte, error) {
	b, err := r.win.from(pos, need)
	return b[:min(int64(len(b)), r.end-pos)], err
}

// readHeader finds the end of the header, the first blank line. A line may end with a bare
// LF: UW does not know such a blank line in mbx and mtx, but it becomes one when it is
// written.
func (r *recordReader) readHeader() error {
	r.head = r.head[:0]
	pos := r.msg.HeaderOffset
	for blank := false; pos < r.end && !blank; {
		b, err := r.view(pos, 2)
		if err != nil {
			return err
		}
		blank = b[0] == '\n' || len(b) > 1 && b[0] == '\r' && b[1] == '\n'
		for lineEnds := false; !lineEnds && pos < r.end; {
			if b, err = r.view(pos, 1); err != nil {
				return err
			}
			if n := bytes.IndexByte(b, '\n') + 1; n > 0 {
				b, lineEnds = b[:n], true
			}
			r.head = append(r.head, b[:min(len(b), maxHeader-len(r.head))]...)
			pos += int64(len(b))
		}
	}
	r.msg.BodyOffset = pos
	return nil
}

// writeTo writes the message that Next returned.
func (r *recordReader) writeTo(w io.Writer) (int64, error) {
	if !r.inMessage {
		return 0, errors.New("message was passed already")
	}
	if r.err != nil {
		return 0, r.err
	}
	if r.out.buf == nil {
		r.out.buf = newBuffer(min(outputSize, 2*len(r.win.buf)))[:0]
	}
	r.out.w, r.out.n, r.out.err, r.out.buf = w, 0, nil, r.out.buf[:0]
	if err := r.readText(true); err != nil {
		r.err = err
		return r.out.n, err
	}
	if parts := unreadable(r.win.src, r.msg.Offset, r.end); parts != nil {
		r.out.w = nil
		return r.out.n, unreadableError(parts)
	}
	r.out.flush()
	n, err := r.out.n, r.out.err
	r.out.w = nil
	return n, err
}

// readText goes through the message, writes it if write is set, and closes it.
//
// It is written as UW shows it, even where no blank line ends the header or no line end
// the last line: other than in unix format, UW adds neither when it next writes the file,
// and Cyrus keeps and serves such messages. Only a message of no bytes becomes a blank
// line, for Cyrus removes empty files (imap/mailbox.c, 2.4 to 3.12).
func (r *recordReader) readText(write bool) error {
	for pos := r.msg.HeaderOffset; pos < r.end; {
		b, err := r.view(pos, 1)
		if err != nil {
			return err
		}
		r.hand(b, write)
		pos += int64(len(b))
	}
	if write && r.end == r.msg.HeaderOffset {
		r.out.raw("\r\n")
	}
	m := &r.msg
	m.EndOffset = r.end
	if r.nuls > 0 {
		r.find(KindNUL, m.HeaderOffset, m.Number, "%s replaced by 0x80", plural.Count(r.nuls, "NUL"))
	}
	if r.bareLineLF > 0 && r.format.crlf {
		r.find(KindBareLF, m.HeaderOffset, m.Number, "a CR was put before %s that had none", plural.Count(r.bareLineLF, "LF"))
	}
	if parts := unreadable(r.win.src, m.Offset, r.end); parts != nil {
		r.lose(m.Offset, r.end-m.Offset, m.Number, "a message", parts)
	} else {
		r.account[ReasonRecordHeader] += r.lineSize
		r.account[ReasonMessage] += r.end - m.HeaderOffset
	}
	r.inMessage, r.pos = false, r.end
	return nil
}

// hand weighs a piece of the message and gives it to the converter.
func (r *recordReader) hand(b []byte, write bool) {
	nuls, bare := 0, 0
	if r.win.nul {
		nuls = bytes.Count(b, []byte{0})
	}
	bare = bytes.Count(b, []byte{'\n'})
	if r.win.cr && bare > 0 {
		bare -= bytes.Count(b, []byte("\r\n"))
	}
	if r.last == '\r' && b[0] == '\n' {
		bare--
	}
	if write {
		r.out.crlf(b, r.last, nuls == 0 && bare == 0)
	}
	r.nuls, r.bareLineLF, r.last = r.nuls+nuls, r.bareLineLF+bare, b[len(b)-1]
}

// crlf converts b as UW sends it: a LF that no CR precedes gets one, a NUL becomes 0x80,
// and other CRs stay. before is the byte before b; plain says that nothing is to convert.
func (c *converter) crlf(b []byte, before byte, plain bool) {
	if plain {
		c.bytes(b, false)
		return
	}
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			c.bytes(b, true)
			return
		}
		if i > 0 {
			before = b[i-1]
		}
		c.bytes(b[:i], true)
		if before != '\r' {
			c.raw("\r")
		}
		c.raw("\n")
		before = '\n'
		b = b[i+1:]
	}
}

// bytes appends b as it is, but for its NULs if there may be some.
func (c *converter) bytes(b []byte, nul bool) {
	for len(b) > 0 && c.err == nil {
		if len(c.buf) == cap(c.buf) {
			c.flush()
		}
		from, n := len(c.buf), min(len(b), cap(c.buf)-len(c.buf))
		c.buf = append(c.buf, b[:n]...)
		if nul {
			replaceNULs(c.buf[from:])
		}
		b = b[n:]
	}
}
