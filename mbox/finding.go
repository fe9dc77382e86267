package mbox

import "fmt"

// Kind names what a Finding is about.
type Kind string

// Doubts about where messages begin and end.
const (
	KindLeadingBlank      Kind = "leading-blank"       // white space before the first From_ line
	KindFromLookalike     Kind = "from-lookalike"      // a line begins "From " but is no From_ line to UW
	KindFromInHeader      Kind = "from-in-header"      // a From_ line inside a header: two messages glued together
	KindSuspiciousSplit   Kind = "suspicious-split"    // a From_ line that may be prose
	KindContentLength     Kind = "content-length"      // Content-Length reaches past the next From_ line
	KindHeaderCut         Kind = "header-cut"          // the header ends without a blank line, which was added
	KindNoFinalNewline    Kind = "no-final-newline"    // the last line has no LF; a CRLF was added
	KindTruncatedFromLine Kind = "truncated-from-line" // the last line begins "From " and has no LF: part of the message before
	KindNULTail           Kind = "nul-tail"            // NULs at the end of the file, removed
	KindNULHole           Kind = "nul-hole"            // NULs before a From_ line or an internal header, removed
	KindStraySeparator    Kind = "stray-separator"     // separators of mmdf format with nothing between them
	KindDoubleCR          Kind = "double-cr"           // every line ends with several CRs and a LF; they count as one line end
)

// Repairs of bytes.
const (
	KindNUL    Kind = "nul"     // NULs in a message, replaced by 0x80 or, in a header name, by a space
	KindLoneCR Kind = "lone-cr" // CRs that are not before a LF: removed, or with UW2002 kept
)

// Damage, and files of a mailbox that are no part of it.
const (
	KindDamage     Kind = "damage"           // bytes that make no message, put aside: mail may be missing
	KindTruncated  Kind = "truncated"        // a message whose end is missing
	KindUnreadable Kind = "unreadable-range" // bytes that the disk does not give, with the message that they are in, put aside
	KindNotMessage Kind = "not-message"      // a file in a mailbox's directory that is no message
	KindMailBeside Kind = "mail-beside"      // such a file that may be mail, and was not read
	KindDuplicate  Kind = "duplicate"        // a message that another place of the INBOX has too, left out
	KindExpunged   Kind = "expunged"         // messages that a client expunged and UW had not yet removed
	KindBareLF     Kind = "bare-lf"          // LFs without CR, which got one
	KindOddNumber  Kind = "odd-number"       // a message file with a number as name that UW could not use
	KindSeenByTime Kind = "seen-by-time"     // \Seen was taken from access times, which a copy or backup changes
)

// UIDs, keywords and UW's own data.
const (
	KindPseudoMessage  Kind = "pseudo-message"     // UW's data message was found and is no mail
	KindPseudoKept     Kind = "pseudo-kept"        // UW would hide this message as its own data, but it looks like mail
	KindPseudoStray    Kind = "pseudo-stray"       // a data message that is not the first, dropped
	KindUIDEpochLost   Kind = "uid-epoch-lost"     // UIDVALIDITY cannot be kept
	KindUIDIgnored     Kind = "uid-ignored"        // an X-UID that is not believed; the message got a new UID
	KindForeignBase    Kind = "foreign-base"       // a later message has X-IMAPbase or X-IMAP: files were joined
	KindSenderInternal Kind = "sender-internal"    // internal headers that probably came with the mail
	KindInternalCut    Kind = "internal-cut"       // an internal header line of more than 1 MiB, read in part
	KindKeywordHole    Kind = "keyword-hole"       // a keyword too long for UW, which hides all after it
	KindKeywordsLost   Kind = "too-many-keywords"  // keywords beyond the 30 that UW knows
	KindKeywordUnknown Kind = "keyword-not-listed" // X-Keywords names a keyword that is not in the list
)

// Repairs that were asked for, see [Repairs].
const (
	KindRepairUID     Kind = "repair-uid"     // UIDs out of order: UIDVALIDITY kept and messages sorted, or a message got a new UID
	KindRepairSplit   Kind = "repair-split"   // a message begins where UW sees none begin
	KindRepairJoin    Kind = "repair-join"    // no message begins where UW sees one begin
	KindRepairFlags   Kind = "repair-flags"   // flags taken from X-Mozilla-Status
	KindRepairKeyword Kind = "repair-keyword" // keywords that UW does not show
	KindRepairUnquote Kind = "repair-unquote" // ">From " became "From "
)

// Dates.
const (
	KindDateZone       Kind = "date-zone"       // the zone in a From_ line is unknown or wrong
	KindDateUnparsable Kind = "date-unparsable" // the date in a From_ line is none; another source was taken
)

// Finding is a doubt or a repair.
type Finding struct {
	Kind   Kind
	File   string // as Message.File
	Offset int64  // in the file, in bytes
	// Length is how many bytes from Offset on are counted under ReasonDamage or
	// ReasonUnreadable because of this; 0: none. Every byte that is counted so belongs to
	// one finding.
	Length  int64
	Message int // Message.Number of the message concerned; 0: none
	// Refused says that File belongs to the mailbox and must not be opened: it is no
	// regular file, or somebody else's.
	Refused bool
	Text    string // for people
}

// maxLookalikes is how many findings of KindFromLookalike a file can have; the last
// one says how many more there were.
const maxLookalikes = 100

// find reports a finding about the message being read.
func (r *Reader) find(kind Kind, offset int64, format string, args ...any) {
	if r.opts.Findings != nil {
		r.opts.Findings(Finding{Kind: kind, Offset: offset, Message: r.current, Text: fmt.Sprintf(format, args...)})
	}
}

// lookalike reports a line that begins "From " and separates nothing.
func (r *Reader) lookalike(offset int64) {
	r.lookalikes++
	if r.lookalikes <= maxLookalikes {
		r.find(KindFromLookalike, offset, "a line begins \"From \" but is no From_ line to UW: part of this message")
	}
}

// lookalikeSum closes the list that lookalike cut short.
func (r *Reader) lookalikeSum() {
	if more := r.lookalikes - maxLookalikes; more > 0 {
		r.find(KindFromLookalike, r.size, "%d more lines begin \"From \" but are no From_ lines to UW", more)
	}
}
