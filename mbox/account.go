package mbox

import "maps"

// Reason says what a range of bytes in the file is.
type Reason string

// Every byte of a file is counted under one of these.
const (
	ReasonMessage        Reason = "message"         // header and body of a message, as written by WriteTo but for line ends
	ReasonFromLine       Reason = "from-line"       // the From_ line that starts a message
	ReasonInternalHeader Reason = "internal-header" // Status, X-UID and the like, which UW hides
	ReasonSeparator      Reason = "separator"       // the one blank line that UW drops from the end of a message
	ReasonPseudoMessage  Reason = "pseudo-message"  // UW's own data in the form of a message, all of it
	ReasonLeadingBlank   Reason = "leading-blank"   // white space before the first From_ line
	ReasonNULHole        Reason = "nul-hole"        // NULs between messages, left by a rewrite that was cut short
	ReasonNULTail        Reason = "nul-tail"        // NULs up to the end of the file, left likewise
	ReasonFileHeader     Reason = "file-header"     // the header of an mbx file
	ReasonRecordHeader   Reason = "record-header"   // the line before each message of mbx, mix, mtx and tenex
	ReasonIndex          Reason = "index"           // the files of a mix, mx or mh mailbox that hold no message
	ReasonExpunged       Reason = "expunged"        // messages that a client expunged
	ReasonDuplicate      Reason = "duplicate"       // messages that another place of the INBOX has too
	ReasonDamage         Reason = "damage"          // what makes no message
	ReasonUnreadable     Reason = "unreadable"      // what the disk does not give (EIO); what else is in the same message is ReasonDamage
	ReasonNotMessage     Reason = "not-message"     // other files in a mailbox's directory
	ReasonNotMailbox     Reason = "not-mailbox"     // a file that does not begin with a From_ line
)

// Account has the number of bytes for each reason.
type Account map[Reason]int64

// Total is the sum. After Next has returned io.EOF or a NotMailboxError it equals the
// size of the file.
func (a Account) Total() (n int64) {
	for _, bytes := range a {
		n += bytes
	}
	return n
}

// Account tells how many bytes were what, as far as the reader has come.
func (r *Reader) Account() Account { return maps.Clone(r.account) }

// messageBytes counts the bytes of the message being read. They are entered into the
// account when it ends: those of a pseudo-message are all the same.
type messageBytes struct {
	fromLine, visible, internal, separator int64
}

func (a Account) enter(b *messageBytes, pseudo bool) {
	if pseudo {
		a[ReasonPseudoMessage] += b.fromLine + b.visible + b.internal + b.separator
	} else {
		a[ReasonFromLine] += b.fromLine
		a[ReasonMessage] += b.visible
		a[ReasonInternalHeader] += b.internal
		a[ReasonSeparator] += b.separator
	}
	*b = messageBytes{}
}
