package samplehost

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"
)

// record is how a mailbox file remembers UIDVALIDITY, last UID and keywords.
type record int

const (
	inFirstMessage record = iota // X-IMAPbase (UW imap-2000 and later)
	inPseudo                     // X-IMAP in a pseudo-message: a mailbox that UW created
	nowhere                      // no UW has opened it for writing yet
)

// profile is the kind of flags that a folder's messages bear.
type profile int

const (
	readMail profile = iota // mostly seen, some answered or flagged
	drafts
	trash
)

// recipe says how to make one folder.
type recipe struct {
	name     string
	share    float64 // of its user's messages
	record   record
	flags    profile
	outgoing bool // written by APPEND: From_ lines have a zone
	newMail  bool // ends in mail that UW has not seen, as an inbox does
	crlf     bool
	mozilla  bool // Mozilla keeps it: "From - " lines, X-Mozilla-Status
}

// The span in which the mail of a host arrived.
var (
	firstMail = time.Date(1998, 3, 2, 8, 0, 0, 0, time.UTC)
	lastMail  = time.Date(2004, 11, 26, 18, 0, 0, 0, time.UTC)
)

// mailboxKeywords are what users and programs put into X-IMAPbase.
var mailboxKeywords = []string{"Work", "Later", "$Forwarded", "NonJunk", "$Label1", "family"}

// folderWriter writes one mailbox file and notes what UW would serve from it.
type folderWriter struct {
	recipe
	rng    *rand.Rand
	mailer *mailer
	owner  string
	zone   *time.Location
	out    *fileWriter
	served []byte // the current message as UW serves it
	text   []byte // the current message as it is filed
	omit   bool   // keep no messages
	folder Folder
}

// write writes n messages to w and completes the folder's truth.
func (f *folderWriter) write(w io.Writer, n int) error {
	buffered := bufio.NewWriterSize(w, 256<<10)
	f.out = &fileWriter{w: buffered, crlf: f.crlf}

	uids, lastUID := f.assignUIDs(n)
	if n == 0 && f.record == inFirstMessage {
		f.record = inPseudo // what UW leaves of an emptied mailbox
	}
	if f.record == nowhere {
		lastUID = 0
	} else {
		f.folder.UIDValidity = uint32(lastMail.Add(-time.Duration(f.rng.IntN(5*365*24)) * time.Hour).Unix())
		f.folder.Keywords = f.chooseKeywords()
	}
	if f.record == inPseudo {
		if err := f.writePseudo(lastUID); err != nil {
			return err
		}
	}
	recorded := lastUID
	for i := range n {
		date := f.arrival(i, n)
		uid := uids[i]
		if uid == 0 { // UW numbers what has no X-UID from the last UID on
			lastUID++
			uid = lastUID
		}
		if err := f.writeMessage(i, uid, uids[i] == 0, recorded, date); err != nil {
			return err
		}
	}
	f.folder.UIDNext = lastUID + 1
	return buffered.Flush()
}

// assignUIDs gives n messages ascending UIDs with the gaps that expunging
// leaves, 0 for those that get no X-UID, and the last UID to record.
func (f *folderWriter) assignUIDs(n int) (uids []uint32, last uint32) {
	uids = make([]uint32, n)
	known := n
	switch {
	case f.record == nowhere:
		known = 0
	case f.newMail:
		known = n - n/8
	}
	for i := range known {
		last++
		if f.rng.IntN(6) == 0 {
			last += uint32(f.rng.IntN(20))
		}
		uids[i] = last
	}
	return uids, last + uint32(f.rng.IntN(4))
}

func (f *folderWriter) chooseKeywords() []string {
	var chosen []string
	for _, keyword := range mailboxKeywords {
		if f.rng.IntN(2) == 0 {
			chosen = append(chosen, keyword)
		}
	}
	return chosen
}

// arrival spreads n messages over the years, in ascending order.
func (f *folderWriter) arrival(i, n int) time.Time {
	step := lastMail.Sub(firstMail) / time.Duration(n)
	t := firstMail.Add(time.Duration(i)*step + time.Duration(f.rng.Int64N(int64(step)))).Truncate(time.Second)
	if f.outgoing {
		offset := pick(f.rng, []int{-8 * 3600, -5 * 3600, 0, 3600, 2 * 3600, 5*3600 + 1800})
		return t.In(time.FixedZone("", offset))
	}
	return t.In(f.zone)
}

// writePseudo writes the pseudo-message of a mailbox that UW created (UW
// pseudo.c, unix.c unix_pseudo). Its text is free for a site to choose.
func (f *folderWriter) writePseudo(lastUID uint32) error {
	created := firstMail.In(f.zone)
	_, err := fmt.Fprintf(f.out, `From MAILER-DAEMON %s
Date: %s
From: Mail System Internal Data <MAILER-DAEMON@host.example.org>
Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA
Message-ID: <%d@host.example.org>
X-IMAP: %010d %010d%s
Status: RO

Here the mail server keeps what it must remember about this folder. It is
not mail; without it the folder would lose its numbering.

`, created.Format(time.ANSIC), created.Format("02 Jan 2006 15:04:05 -0700"), created.Unix(),
		f.folder.UIDValidity, lastUID, joinKeywords(f.folder.Keywords))
	return err
}

func joinKeywords(keywords []string) string {
	if len(keywords) == 0 {
		return ""
	}
	return " " + strings.Join(keywords, " ")
}

// writeMessage makes, files and notes the message at index i. With isNew it
// is mail that UW has not seen: without internal header fields.
func (f *folderWriter) writeMessage(i int, uid uint32, isNew bool, lastUID uint32, date time.Time) error {
	m := f.mailer.next(f.owner, f.outgoing, date)
	if f.mozilla {
		m.sender = "-"
		m.header = append(m.header, "X-Mozilla-Status: 0001\nX-Mozilla-Status2: 00000000\n"...)
	}
	message := Message{Offset: f.out.size, UID: uid, InternalDate: firstInstant(m.date)}
	f.text = append(f.text[:0], m.header...)
	if !isNew {
		flags, keywords := f.chooseFlags()
		message.Flags, message.Keywords = flagNames[flags], keywords
		if i == 0 && f.record == inFirstMessage {
			f.text = f.appendInternal(f.text, lastUID, true, flags, keywords, uid)
		} else {
			f.text = f.appendInternal(f.text, 0, false, flags, keywords, uid)
		}
	}
	f.text = append(append(f.text, '\n'), m.body...)

	f.served = append(append(append(f.served[:0], m.header...), '\n'), m.body...)
	f.note(message, quoteFrom(f.served))
	if f.outgoing {
		return writeAppended(f.out, m.sender, m.date, f.text)
	}
	return writeDelivered(f.out, m.sender, m.date, f.text)
}

// note adds a message to the folder's truth. Its text has LF line ends; UW
// serves CRLF.
func (f *folderWriter) note(message Message, text []byte) {
	served := bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	message.Size = int64(len(served))
	message.SHA256 = sha256.Sum256(served)
	f.folder.Count++
	f.folder.Bytes += message.Size
	if !f.omit {
		f.folder.Messages = append(f.folder.Messages, message)
	}
}

// firstInstant is the instant that a wall clock time without zone names: in
// the hour that the end of summer time repeats, the first of the two.
func firstInstant(t time.Time) time.Time {
	const wallClock = "2006-01-02 15:04:05"
	if earlier := t.Add(-time.Hour); earlier.Format(wallClock) == t.Format(wallClock) {
		return earlier
	}
	return t
}

func (f *folderWriter) chooseFlags() (flags int, keywords []string) {
	switch f.flags {
	case drafts:
		return draft | seen, nil
	case trash:
		return deleted | f.rng.IntN(2)*seen, nil
	}
	for _, chance := range []struct {
		flag    int
		percent int
	}{{seen, 92}, {answered, 20}, {flagged, 5}, {deleted, 3}, {draft, 1}} {
		if f.rng.IntN(100) < chance.percent {
			flags |= chance.flag
		}
	}
	if n := len(f.folder.Keywords); n > 0 && f.rng.IntN(5) == 0 {
		first := f.rng.IntN(n)
		keywords = f.folder.Keywords[first:min(n, first+1+f.rng.IntN(2))]
	}
	return flags, keywords
}

// appendInternal appends UW's internal header fields as unix.c unix_xstatus
// writes them: X-Keywords is padded so that the fields before it and itself
// take 50 octets, or 80 with X-IMAPbase, to leave room for later changes.
func (f *folderWriter) appendInternal(b []byte, lastUID uint32, base bool, flags int, keywords []string, uid uint32) []byte {
	start, room := len(b), 50
	if base {
		room = 80
		b = fmt.Appendf(b, "X-IMAPbase: %d %d%s\n", f.folder.UIDValidity, lastUID, joinKeywords(f.folder.Keywords))
	}
	status, xStatus := "", ""
	if flags&seen != 0 {
		status = "R"
	}
	for _, letter := range []struct {
		flag int
		text string
	}{{deleted, "D"}, {flagged, "F"}, {answered, "A"}, {draft, "T"}} {
		if flags&letter.flag != 0 {
			xStatus += letter.text
		}
	}
	b = fmt.Appendf(b, "Status: %sO\nX-Status: %s\nX-Keywords:%s", status, xStatus, joinKeywords(keywords))
	for len(b)-start < room {
		b = append(b, ' ')
	}
	return fmt.Appendf(b, "\nX-UID: %d\n", uid)
}
