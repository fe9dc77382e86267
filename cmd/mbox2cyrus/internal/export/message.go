package export

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	gombox "github.com/emersion/go-mbox"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// change is why a message does not come back with the same bytes.
type change uint8

const (
	quotedFrom change = 1 << iota
	renamedField
	loneCR
	bareLF
	nul
	lineEnded
	headerEnded
	otherDate
)

var changeTexts = []struct {
	change change
	text   string
}{
	{quotedFrom, `a line that UW would take for the beginning of a message was quoted (">From ")`},
	{renamedField, `a header field that UW would take for its own was renamed ("X-Original-…")`},
	{loneCR, "a CR that ends no line, which UW does not serve"},
	{bareLF, "a line that ends in LF alone, which UW serves as CRLF"},
	{nul, "a NUL, which UW serves as 0x80"},
	{lineEnded, "the last line had no end, and got one"},
	{headerEnded, "the header had no end, and got one"},
	{otherDate, "its internal date is none that UW knows (1970 to 2097), and became the nearest"},
}

func (c change) String() string {
	var texts []string
	for _, t := range changeTexts {
		if c&t.change != 0 {
			texts = append(texts, t.text)
		}
	}
	return strings.Join(texts, "; ")
}

// maxLine is the longest line that is looked at as a whole. The line of a longer
// one that begins "From " is quoted without a look at its end.
const maxLine = 64 << 10

// writer writes a unix mailbox through go-mbox.
type writer struct {
	out      *bufio.Writer
	location *time.Location
	validity uint32
	lastUID  uint32
	recent   uint32 // messages with greater UIDs are \Recent
	keywords *keywords
	sender   string // for messages that name none

	first bool // nothing was written yet
	br    *bufio.Reader
}

func newWriter(out io.Writer) *writer {
	return &writer{out: bufio.NewWriterSize(out, 256<<10), first: true, br: bufio.NewReaderSize(nil, maxLine)}
}

// message writes one message as UW keeps it.
func (w *writer) message(rec *cyrusspool.Record, r io.Reader) (change, error) {
	w.br.Reset(r)
	m := &messageWriter{w: w, rec: rec}
	if knownDate(rec.InternalDate) != rec.InternalDate {
		m.changes |= otherDate
	}
	date := time.Unix(knownDate(rec.InternalDate), 0).In(w.location)
	if err := m.begin(senderOf(w.br, w.sender), date); err != nil {
		return 0, err
	}
	if err := m.copy(); err != nil {
		return 0, err
	}
	w.first = false
	return m.changes, m.mbox.Close()
}

// messageWriter writes one message: through go-mbox, except where that would do
// otherwise than UW. At the end of a line go-mbox holds nothing back, so that what
// follows may go past it.
type messageWriter struct {
	w       *writer
	rec     *cyrusspool.Record
	mbox    *gombox.Writer
	text    io.Writer // of go-mbox
	inBody  bool
	owesLF  bool // the last line's end is not written yet: go-mbox's Close ends the last one
	partial bool // in the middle of a long line
	changes change
}

// UW knows the years from 1970 to 2097 (uw-mbox 5, mail_parse_date).
const firstYear, lastYear = 1970, 2097

// lastDate is the last second of them.
var lastDate = time.Date(lastYear, 12, 31, 23, 59, 59, 0, time.UTC).Unix()

// knownDate is the nearest date that UW knows.
func knownDate(unix int64) int64 { return min(max(unix, 0), lastDate) }

// begin writes the From_ line. go-mbox gives it the wall clock of the time that it
// is passed, without a zone, and UW reads that in the zone of the day on which
// somebody asks. With the offset behind the year, as UW's own APPEND writes it
// (uw-mbox 2.5), it is a moment.
func (m *messageWriter) begin(sender string, date time.Time) error {
	_, offset := date.Zone()
	if offset%60 != 0 || date.Year() < firstYear || date.Year() > lastYear { // before railways, or the year there is not UTC's
		date, offset = date.UTC(), 0
	}
	wall := date.UTC().Add(time.Duration(offset) * time.Second)
	m.mbox = gombox.NewWriter(&fromLineWriter{out: m.w.out, zone: date.Format(" -0700")})
	text, err := m.mbox.CreateMessage(sender, wall)
	m.text = text
	return err
}

// fromLineWriter puts the zone at the end of the From_ line, which is the first
// thing that go-mbox writes.
type fromLineWriter struct {
	out  io.Writer
	zone string
	done bool
}

func (f *fromLineWriter) Write(b []byte) (int, error) {
	if f.done {
		return f.out.Write(b)
	}
	line, ok := bytes.CutSuffix(b, []byte("\n"))
	if !ok || !bytes.HasPrefix(line, []byte("From ")) || bytes.IndexByte(line, '\n') >= 0 {
		return 0, fmt.Errorf("go-mbox began a message with %q, which is no From_ line", b)
	}
	f.done = true
	if _, err := f.out.Write(append(append(slices.Clone(line), f.zone...), '\n')); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (m *messageWriter) copy() error {
	for {
		line, err := m.w.br.ReadSlice('\n')
		switch {
		case err == bufio.ErrBufferFull, err == nil, err == io.EOF && len(line) > 0:
		case err == io.EOF:
			return m.end()
		default:
			return err
		}
		if err := m.piece(line); err != nil {
			return err
		}
	}
}

// piece writes a line, or a piece of a long one.
func (m *messageWriter) piece(line []byte) error {
	text, ends := bytes.CutSuffix(line, []byte("\n"))
	if ends {
		var crlf bool
		if text, crlf = bytes.CutSuffix(text, []byte("\r")); !crlf {
			m.changes |= bareLF
		}
	}
	if bytes.IndexByte(text, '\r') >= 0 && (ends || text[len(text)-1] != '\r' || bytes.IndexByte(text[:len(text)-1], '\r') >= 0) {
		m.changes |= loneCR
	}
	if bytes.IndexByte(text, 0) >= 0 {
		m.changes |= nul
	}
	starts := !m.partial
	m.partial = !ends
	if !starts {
		return m.raw(text, ends)
	}
	if err := m.lineEnd(); err != nil {
		return err
	}
	switch {
	case !m.inBody && len(text) == 0 && ends:
		m.inBody = true
		if err := m.internal(); err != nil {
			return err
		}
	case !m.inBody && mbox.IsInternal(line):
		m.changes |= renamedField
		if bytes.EqualFold(text[:min(2, len(text))], []byte("X-")) {
			text = text[2:]
		}
		if err := m.raw([]byte("X-Original-"), false); err != nil {
			return err
		}
		return m.raw(text, ends)
	case bytes.HasPrefix(text, []byte("From ")) && (!m.inBody || ends && !mbox.IsSeparator(append(slices.Clone(text), '\n'))):
		return m.raw(text, ends) // UW reads it as it is; go-mbox would quote it
	case bytes.HasPrefix(text, []byte("From ")):
		m.changes |= quotedFrom
		if !ends { // go-mbox would hold all of the line
			if err := m.raw([]byte(">"), false); err != nil {
				return err
			}
			return m.raw(text, ends)
		}
	case !ends:
		return m.raw(text, ends)
	}
	m.owesLF = ends
	_, err := m.text.Write(text)
	return err
}

// raw writes past go-mbox.
func (m *messageWriter) raw(text []byte, ends bool) error {
	m.owesLF = ends
	_, err := m.w.out.Write(text)
	return err
}

// lineEnd ends the line before.
func (m *messageWriter) lineEnd() error {
	if !m.owesLF {
		return nil
	}
	m.owesLF = false
	_, err := m.text.Write([]byte("\n"))
	return err
}

// end completes a message that breaks off.
func (m *messageWriter) end() error {
	if m.partial {
		m.changes |= lineEnded
		m.owesLF = true
	}
	if m.inBody {
		return nil // go-mbox ends the last line
	}
	m.changes |= headerEnded
	if err := m.lineEnd(); err != nil {
		return err
	}
	return m.internal()
}

// internal writes UW's own fields at the end of the header, as unix_xstatus does
// (uw-mbox 3.5): padded, so that UW can change keywords without moving the rest.
// The blank line behind the header is not written yet.
func (m *messageWriter) internal() error {
	var b []byte
	w := m.w
	width := 50
	if w.first {
		b = w.base(b, "X-IMAPbase: %d %d")
		width = 80
	}
	b = append(b, "Status: "...)
	if m.rec.SystemFlags&cyrusspool.FlagSeen != 0 {
		b = append(b, 'R')
	}
	if m.rec.UID <= w.recent {
		b = append(b, 'O')
	}
	b = append(b, "\nX-Status: "...)
	for _, f := range []struct {
		flag   uint32
		letter byte
	}{{cyrusspool.FlagDeleted, 'D'}, {cyrusspool.FlagFlagged, 'F'}, {cyrusspool.FlagAnswered, 'A'}, {cyrusspool.FlagDraft, 'T'}} {
		if m.rec.SystemFlags&f.flag != 0 {
			b = append(b, f.letter)
		}
	}
	b = append(b, '\n')
	start := len(b)
	b = append(b, "X-Keywords:"...)
	for _, name := range w.keywords.of(m.rec.UserFlags) {
		b = append(append(b, ' '), name...)
	}
	for len(b)-start < width {
		b = append(b, ' ')
	}
	b = append(b, "\nX-UID: "...)
	b = append(strconv.AppendUint(b, uint64(m.rec.UID), 10), '\n')
	_, err := m.text.Write(b)
	return err
}

// base appends UIDVALIDITY, last UID and the list of keywords.
func (w *writer) base(b []byte, format string) []byte {
	b = fmt.Appendf(b, format, w.validity, w.lastUID)
	for _, name := range w.keywords.names {
		b = append(append(b, ' '), name...)
	}
	return append(b, '\n')
}

// pseudo writes the message that keeps the data of a mailbox without any
// (unix_pseudo, uw-mbox 4). UW knows it by X-IMAP alone.
func (w *writer) pseudo(host string, date time.Time) error {
	m := &messageWriter{w: w}
	date = date.In(w.location)
	if err := m.begin("MAILER-DAEMON", date); err != nil {
		return err
	}
	var b []byte
	b = fmt.Appendf(b, "Date: %s\n", date.Format("02 Jan 2006 15:04:05 -0700"))
	b = fmt.Appendf(b, "From: Mail System Internal Data <MAILER-DAEMON@%s>\n", host)
	b = append(b, "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n"...)
	b = fmt.Appendf(b, "Message-ID: <%d@%s>\n", date.Unix(), host)
	b = w.base(b, "X-IMAP: %010d %010d")
	b = append(b, "Status: RO\n\n"...)
	b = append(b, "This is no message, but data of this folder that the mail server keeps here:\n"+
		"numbers of messages and names of keywords. It is not shown and is kept up to\n"+
		"date by itself. Without it the folder gets new numbers."...)
	if _, err := m.text.Write(b); err != nil {
		return err
	}
	return m.mbox.Close()
}

// senderOf takes the envelope sender from a Return-Path field near the beginning of
// a message, without reading it. It must be one word of printable ASCII, or a
// message could write its own From_ line.
func senderOf(br *bufio.Reader, otherwise string) string {
	head, _ := br.Peek(4 << 10) // an error comes again when it is read
	for line := range bytes.Lines(head) {
		line = bytes.TrimRight(line, "\r\n")
		name, value, ok := bytes.Cut(line, []byte(":"))
		if len(line) == 0 {
			break
		}
		if !ok || !bytes.EqualFold(name, []byte("Return-Path")) {
			continue
		}
		sender := string(bytes.Trim(bytes.TrimSpace(value), "<>"))
		if isWord(sender) && len(sender) <= 256 {
			return sender
		}
		break
	}
	return otherwise
}

func isWord(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}
