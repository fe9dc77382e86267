package mbox

import (
	"errors"
	"io"
	"time"
)

// Mailbox reads one mailbox message by message, whatever its format. [Folder.Mailbox]
// returns one; a [Reader] is one.
type Mailbox interface {
	// Next reads up to the body of the next message. It returns io.EOF when there is
	// none. Any other error is final.
	Next() (*Message, error)
	// Keywords returns the mailbox's keyword list, at most 64 names. It is complete when
	// Next has returned the first message. Names may have bytes that no IMAP keyword can
	// have, differ in case only, or be "" where UW knows no name for the bit, which no
	// message has then.
	Keywords() []string
	// UIDValidity returns the mailbox's UIDVALIDITY, 0 if it has none that can be
	// believed and the caller must choose a new one. It is final when Next has returned
	// io.EOF.
	UIDValidity() uint32
	// LastUID returns the greatest UID ever used, which is UIDNEXT - 1. It is final when
	// Next has returned io.EOF.
	LastUID() uint32
	// Account tells how many bytes were what, as far as the mailbox has been read. After
	// io.EOF the total is the size of all its files, see [Identity].
	Account() Account
}

// Options say what a mailbox itself does not.
type Options struct {
	// Location is the zone of the host that the mail was delivered on: most From_ lines
	// name none. nil means time.Local.
	Location *time.Location
	// ModTime is when the file was last modified: the last resort for a message's date.
	// [Folder.Mailbox] sets it.
	ModTime time.Time
	// Keywords are the names that the user's c-client configuration gives to the keyword
	// bits of formats that do not record them (tenex and mtx), in the order of the bits.
	Keywords []string
	// UWVersion is the release whose rules hold where they differ, in unix and mmdf
	// format; 0 means UW2007.
	UWVersion UWVersion
	// Repairs are what is to be put right although UW did not, in unix and mmdf format.
	Repairs Repairs
	// Findings, if not nil, is called for every doubt and every repair, in the order in
	// which they are met.
	Findings func(Finding)
}

// Message is one message. It is valid until the next call of Next.
type Message struct {
	// Number counts from 1; pseudo-messages have none.
	Number int
	// File is the name of the file that the offsets are in, where the mailbox has
	// several: a name in the mailbox's directory, or, in an INBOX of several places, a
	// path below the source root.
	File string
	// Offsets in the file of the From_ line (or of what else precedes the header), the
	// header and the body, and one past the last byte, which is that of the dropped blank
	// line if there is one. EndOffset is set by WriteTo. After a repaired hole of NULs,
	// Offset may be greater than the EndOffset before. BodyOffset equals EndOffset where
	// the message has no body.
	Offset, HeaderOffset, BodyOffset, EndOffset int64
	// UID is unique in the mailbox, at least 1 and at most 2^32-2. UIDs ascend, but for
	// one case: a first message that UW would have hidden (KindPseudoKept) has a UID above
	// all that the file had at that time. Where RepairUIDs had to sort, messages come in
	// the order of their UIDs, not of their places in the file.
	UID uint32
	// Flags, with Recent.
	Flags Flags
	// Keywords has bit j set for the mailbox's Keywords()[j].
	Keywords uint64
	// Date is the internal date, in whole seconds from 1 to 2^32-1 since 1970.
	Date       time.Time
	DateSource DateSource

	text    text
	written bool
}

// text is what a format knows of the message that Next returned.
type text interface {
	// header returns the header as it is in the file, at most maxHeader bytes of it.
	header() []byte
	// hidesInternal reports whether UW removes its internal fields from the header.
	hidesInternal() bool
	// writeTo writes the message as UW sends it and sets its EndOffset.
	writeTo(w io.Writer) (int64, error)
}

// WrittenAtOnce is how large a message is, as WriteTo writes it, that is written with one
// call, in bytes.
const WrittenAtOnce = outputSize - 2*leastRoom

// maxHeader is how much of a header Message.Header returns.
const maxHeader = 256 << 10

// Header returns the header as it is in the file, with internal lines, at most 256 KiB of
// it. It is valid until the next call of Next.
func (m *Message) Header() []byte { return m.text.header() }

// HidesInternal reports whether UW does not show the message's internal fields (see
// [IsInternal]) because they are its own: in unix and mmdf format. In all others such a
// field is part of the mail.
func (m *Message) HidesInternal() bool { return m.text.hidesInternal() }

// WriteTo writes the message as UW IMAP 2007f sends it, with CRLF at the end of every
// line and a NUL replaced by 0x80. In unix and mmdf format its internal header lines are
// left out, CRs that end no line too, a blank line is added where the file ends before
// one, the blank line that belongs to the separator is left out, and a NUL right after a
// field name becomes a space.
//
// Of a message that the disk does not give in full it returns [ErrUnreadable].
//
// It can be called once, before the next call of Next. A message of up to WrittenAtOnce
// bytes is written with one call of w.Write.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	if m.written || m.text == nil {
		return 0, errors.New("message was written or passed already")
	}
	m.written = true
	return m.text.writeTo(w)
}
