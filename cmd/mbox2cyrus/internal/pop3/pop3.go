// Package pop3 says what POP3 clients that leave mail on the server meet after a move:
// they know each message by its unique id (UIDL, RFC 1939 section 7), and fetch again
// what has another one.
package pop3

import "fmt"

// UW returns the UIDL that UW's ipop3d gives a message (ipop3d.c, UIDL).
func UW(uidvalidity, uid uint32) string { return fmt.Sprintf("%08x%08x", uidvalidity, uid) }

// Format is a value of Cyrus's setting uidl_format.
type Format string

// The formats that Cyrus knows (imap/pop3d.c, uidl_msg, of 3.x; up to 2.4 there is no
// setting and the second one is used), and UW's, which a Cyrus can be taught
// (docs/pop3.md).
const (
	UIDOnly Format = "uidonly"
	Cyrus   Format = "cyrus"
	Dovecot Format = "dovecot"
	Courier Format = "courier"
	LikeUW  Format = "uw"
)

// UIDL returns the UIDL that Cyrus gives a message; ok tells whether the format is
// known here.
func (f Format) UIDL(uidvalidity, uid uint32) (uidl string, ok bool) {
	switch f {
	case UIDOnly:
		return fmt.Sprintf("%d", uid), true
	case Cyrus, "":
		return fmt.Sprintf("%d.%d", uidvalidity, uid), true
	case Dovecot:
		return fmt.Sprintf("%08x%08x", uid, uidvalidity), true
	case Courier:
		return fmt.Sprintf("%d-%d", uidvalidity, uid), true
	case LikeUW:
		return UW(uidvalidity, uid), true
	}
	return "", false
}

// Inbox counts what a client has to do with one INBOX.
type Inbox struct {
	Messages, Bytes int64  // that UW's POP3 server showed: those not marked \Deleted
	Read, ReadBytes int64  // of these, marked \Seen, as fetching a message marks it
	First           uint32 // the lowest UID of these
	Hidden          int64  // messages marked \Deleted: Cyrus's POP3 server shows them
}

// Add counts a message of so many bytes in Cyrus, marked \Deleted or \Seen or not.
func (i *Inbox) Add(uid uint32, deleted, seen bool, bytes int64) {
	if deleted {
		i.Hidden++
		return
	}
	if i.Messages == 0 || uid < i.First {
		i.First = uid
	}
	i.Messages++
	i.Bytes += bytes
	if seen {
		i.Read++
		i.ReadBytes += bytes
	}
}

// A Verdict is what becomes of an INBOX for its POP3 clients.
type Verdict struct {
	Format Format
	// UW and Cyrus are the UIDLs of the first message, before and after, as an example;
	// "" where there was none that lasted, or where it is not known.
	UW, Cyrus string
	// Again and AgainBytes are the messages that a client fetches again if it left all
	// that it has read on the server.
	Again, AgainBytes int64
}

// Verdict compares. was is the UIDVALIDITY at the source, 0 if none was recorded there;
// will is the one in Cyrus, 0 if that is not known yet. renumbered says that the messages
// were counted by other UIDs than those of the source.
func (i *Inbox) Verdict(f Format, was, will uint32, renumbered bool) Verdict {
	v := Verdict{Format: f}
	if i.Messages == 0 {
		return v
	}
	if will != 0 && !renumbered {
		v.Cyrus, _ = f.UIDL(will, i.First)
	}
	if was == 0 {
		// UW records one as soon as it marks the first message: nobody has fetched any.
		return v
	}
	if !renumbered {
		v.UW = UW(was, i.First)
	}
	if renumbered || v.Cyrus != v.UW {
		v.Again, v.AgainBytes = i.Read, i.ReadBytes
	}
	return v
}
