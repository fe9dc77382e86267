package mbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"mbox2cyrus/internal/plural"
)

// Reader reads a mailbox in UW's unix or mmdf format, message by message. It holds at most
// a few megabytes, whatever the file.
type Reader struct {
	opts  Options
	delim delimiter
	rules delimiterRules
	size  int64
	win   window
	side  []byte // for looking ahead of the window
	out   converter
	err   error // what Next has returned

	started    bool
	maxCRs     int       // that a line may end with, before its LF: 1, or more in a file of KindDoubleCR
	fromCRs    int       // the same of a From_ line
	sep        separator // before the message, or before the next one
	order      *uidOrder // nil: messages come as they lie in the file
	inMessage  bool
	number     int // of messages so far
	separators int64
	fromLines  int64
	lookalikes int64
	gombox     goMbox
	account    Account

	// The message being read.
	msg           Message
	isFirst       bool   // it is the first of the file
	current       int    // its number in findings
	drop          bool   // it is a pseudo-message
	head          []byte // its header, up to maxHeader bytes
	headerEnd     int64
	visible       visibleParts
	headerCut     bool
	headerNULs    int64  // in it, counted as a hole
	damaged       []span // of the message, when it has ended, what cannot be read
	walk          headerWalk
	line          []byte // an internal header line that does not fit the window
	squeezed      []byte // the beginning of a header line without CRs
	lineOffset    int64
	internals     int    // internal header lines
	continues     string // name of the internal header that a continuation line continues
	hasStatus     bool   // it has Status or X-UID
	mozilla       mozillaStatus
	contentLength uint64
	bytes         messageBytes
	nuls, loneCRs int
	unquoted      int   // ">From " lines that were unquoted
	unquotedAt    int64 // offset of the first
	endsInCR      bool

	// The mailbox's own data.
	keywords     []string
	reachable    int // keywords that messages can have in UW
	unlisted     bool
	listed       bool // both are complete already: a scout has read them
	based        bool // of a mailbox in a uidOrder: its base was met
	uids         uids
	before       uids   // before this message
	pseudo       bool   // it gave UIDVALIDITY with X-IMAP
	ximap        uint64 // UIDVALIDITY in its X-IMAP field
	foreignBase  int64
	orphan       bool
	lossReported bool
	lossOffset   int64
	total        uint64 // messages in the file, if counted
	surveying    bool
	surveyLimit  uint64
	surveyed     uint64
	scouting     *scout // nil: this is not the reader of a scout
}

// NewReader returns a Reader of the first size bytes of r, in unix format. The file must
// not change while it is read: a source that ends early is an error.
func NewReader(r io.ReaderAt, size int64, opts Options) *Reader {
	return newReader(r, size, unixDelimiter{}, opts, windowSize)
}

func newReader(src io.ReaderAt, size int64, delim delimiter, opts Options, window int) *Reader {
	if opts.Location == nil {
		opts.Location = time.Local
	}
	r := &Reader{opts: opts, delim: delim, rules: delim.rules(), size: size, maxCRs: 1, account: Account{}}
	r.fromCRs = r.rules.fromCRs
	r.win.src, r.win.end = aroundBadBlocks(src), size
	r.win.buf = newBuffer(max(minWindowSize, int(min(int64(window), size))))
	r.msg.text = r
	return r
}

// NotMailboxError says that the file is no mailbox in its format: in unix format, what
// follows leading white space is no From_ line.
type NotMailboxError struct {
	Offset int64 // of the line that should be one
	Reason string
}

func (e *NotMailboxError) Error() string {
	return fmt.Sprintf("not a mailbox: %s at offset %d", e.Reason, e.Offset)
}

// header, hidesInternal and writeTo make a Reader the text of its messages.
func (r *Reader) header() []byte      { return r.head }
func (r *Reader) hidesInternal() bool { return true }

// Keywords returns the mailbox's keyword list, at most 30 names, as UW has it, or 64 with
// RepairKeywords. It is complete when Next has returned the first message. Names may have bytes that no
// IMAP keyword can have, and differ in case only.
func (r *Reader) Keywords() []string { return r.keywords }

// Next reads up to the body of the next message. It returns io.EOF when there is none,
// and a *NotMailboxError if the file is no mailbox. Any other error is one of reading,
// and final. What the disk does not give (EIO) is no such error, unless it is very much:
// see [ErrUnreadable].
func (r *Reader) Next() (*Message, error) {
	if r.err != nil {
		return nil, r.err
	}
	m, err := r.next()
	if err != nil {
		if err != io.EOF {
			r.err = err
			return nil, err
		}
		r.err = io.EOF
		release(&r.win, &r.out)
	}
	return m, err
}

func (r *Reader) next() (*Message, error) {
	if r.inMessage {
		if err := r.readBody(false); err != nil {
			return nil, err
		}
	}
	if err := r.inOrder(); err != nil {
		return nil, err
	}
	if !r.started {
		r.started = true
		if err := r.start(); err != nil {
			return nil, err
		}
	}
	for r.sep.opens {
		if err := r.readMessage(); err != nil {
			return nil, err
		}
		if !r.drop {
			return &r.msg, nil
		}
		if err := r.readBody(false); err != nil {
			return nil, err
		}
		if err := r.inOrder(); err != nil {
			return nil, err
		}
	}
	if tail := r.size - r.win.end; tail > 0 {
		r.account[ReasonNULTail] = tail
		r.find(KindNULTail, r.win.end, "%s at the end of the file, left by a rewrite that was cut short, removed", plural.Count(tail, "NUL"))
	}
	r.lookalikeSum()
	return nil, io.EOF
}

// readMessage reads what opens the message, which sep has, and the header.
func (r *Reader) readMessage() error {
	r.separators++
	r.isFirst = r.separators == 1
	r.inMessage, r.drop, r.current = true, false, r.number+1
	r.number++ // UW counts the message before it knows it
	r.msg = Message{text: r, Number: r.number, Offset: r.sep.offset, HeaderOffset: r.sep.header, Flags: Recent}
	r.bytes.fromLine = r.sep.fromLine
	r.bytes.separator = r.sep.header - r.sep.offset - r.sep.fromLine
	r.headerCut, r.internals, r.contentLength = false, 0, 0
	r.headerNULs, r.damaged = 0, nil
	r.nuls, r.loneCRs, r.endsInCR, r.unquoted = 0, 0, false, 0
	r.before, r.uids.uid, r.pseudo, r.ximap = r.uids, 0, false, 0
	if r.order != nil {
		r.isFirst = r.order.now.first
	}
	if err := r.readHeader(); err != nil {
		return err
	}
	r.mozillaFlags()
	pseudo, err := r.isPseudo()
	if err != nil {
		return err
	}
	r.scouting.message(r, pseudo)
	if pseudo {
		r.dropMessage()
		return nil
	}
	if r.pseudo {
		r.find(KindPseudoKept, r.msg.Offset, "UW takes this message for its own data because of its X-IMAP field and hides it; it looks like mail and was kept")
	}
	r.assign()
	r.reportUIDs()
	r.setDate()
	return nil
}

// dropMessage makes the message one that is no mail.
func (r *Reader) dropMessage() {
	r.drop, r.current = true, 0
	r.number--
	if r.pseudo {
		r.find(KindPseudoMessage, r.msg.Offset, "UW's data message: not mail")
	} else {
		r.find(KindPseudoStray, r.msg.Offset, "a data message of UW in the middle of the file: dropped; UW shows it as mail")
		r.dropStray()
	}
	r.reportUIDs()
}

// setDate gives the message its internal date.
func (r *Reader) setDate() {
	m, s := &r.msg, &r.sep.stamp
	if r.sep.fromLine == 0 { // mmdf: the time of the file, as in UW (mmdf.c mmdf_parse)
		m.Date, m.DateSource = r.fileTime(), FileTime
		return
	}
	if s.valid {
		t, source, doubt := s.time(r.opts.Location)
		if doubt {
			r.find(KindDateZone, m.Offset, "the From_ line has a zone that is unknown or wrong: %q", bytes.TrimRight(s.zone[:], "\x00"))
		}
		if representable(t) {
			m.Date, m.DateSource = t, source
			return
		}
	}
	if r.rules.doubtful && !r.isFirst {
		r.find(KindSuspiciousSplit, m.Offset, "the From_ line has no possible date: it may be part of the message before")
	}
	var ok bool
	if m.Date, m.DateSource, ok = headerDate(r.head); !ok {
		m.Date, m.DateSource = r.fileTime(), FileTime
	}
	r.find(KindDateUnparsable, m.Offset, "the From_ line has no possible date; taken from: %v", m.DateSource)
}

// keepsCRs reports whether CRs that end no line stay.
func (r *Reader) keepsCRs() bool { return r.opts.UWVersion == UW2002 && r.maxCRs == 1 }

func (r *Reader) fileTime() time.Time {
	if t := r.opts.ModTime.Truncate(time.Second); representable(t) {
		return t
	}
	return time.Unix(1, 0)
}

// writeTo writes the message that Next returned.
func (r *Reader) writeTo(w io.Writer) (int64, error) {
	if !r.inMessage {
		return 0, errors.New("message was passed already")
	}
	if r.err != nil {
		return 0, r.err
	}
	if r.out.buf == nil {
		r.out.buf = newBuffer(min(outputSize, 2*len(r.win.buf)+2048))[:0]
	}
	r.out.keepCRs = r.keepsCRs()
	r.out.w, r.out.n, r.out.err, r.out.buf = w, 0, nil, r.out.buf[:0]
	err := r.writeHeader()
	if err == nil {
		err = r.readBody(true)
	}
	if err != nil {
		r.err = err
		return r.out.n, err
	}
	if r.damaged != nil {
		r.out.w = nil
		return r.out.n, unreadableError(r.damaged)
	}
	r.out.flush()
	n, err := r.out.n, r.out.err
	r.out.w = nil
	return n, err
}
