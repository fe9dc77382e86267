package samplehost

import (
	"bytes"
	"io"
	"time"
)

// writeTrap writes a folder of seven messages on which most readers of mbox
// fail: they find six or eight, or lose keywords, dates or bytes. It has a
// pseudo-message with keywords; gaps between UIDs; quoted From_ lines; a body
// line "From here on" after a blank line, which is no From_ line; a NUL and
// 8-bit header; From_ lines without seconds, with a space in a quoted sender,
// with a numeric zone, and one with no blank line before it; and no line end
// at the end of the file. UW IMAP serves seven.
func (f *folderWriter) writeTrap(w io.Writer) error {
	f.folder.UIDValidity, f.folder.UIDNext = 1100000000, 41
	keywords := []string{"Work", "Later"}
	f.folder.Keywords = keywords
	const pseudo = `From MAILER-DAEMON Mon Nov 15 10:00:00 2004
Date: 15 Nov 2004 10:00:00 +0000
From: Mail System Internal Data <MAILER-DAEMON@host.example.org>
Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA
Message-ID: <1100512800@host.example.org>
X-IMAP: 1100000000 0000000040 Work Later
Status: RO

The mail server's own notes, no mail.

`
	at := func(minute int, zone *time.Location) time.Time {
		return time.Date(2004, time.November, 15, 10, minute, 0, 0, zone)
	}
	messages := []struct {
		from, header, internal, body string
		after                        string // what follows the body in the file
		served                       string // the body UW serves, with LF, if it differs
		message                      Message
	}{
		{
			from:     "From a@example.org Mon Nov 15 10:01:00 2004\n",
			header:   "From: a@example.org\nSubject: one plain\n",
			internal: "Status: RO\nX-Status: AF\nX-Keywords: Work Later\nX-UID: 10\n",
			body:     "hello\n>From the quoted line\n>>From twice quoted\n",
			after:    "\n",
			message:  Message{UID: 10, Flags: flagNames[seen|answered|flagged], Keywords: keywords, InternalDate: at(1, f.zone)},
		},
		{
			from:     "From b@example.org Mon Nov 15 10:02:00 2004\n",
			header:   "From: b@example.org\nSubject: two unquoted From in the body, no date\n",
			internal: "Status: O\nX-Status: \nX-Keywords: \nX-UID: 12\n",
			body:     "para\n\nFrom here on the weather was fine, said Joe.\nend\n",
			after:    "\n",
			message:  Message{UID: 12, InternalDate: at(2, f.zone)},
		},
		{
			from:     "From c@example.org Mon Nov 15 10:03:00 2004\n",
			header:   "From: c@example.org\nSubject: three NUL and 8bit header \xe9\xe8\n",
			internal: "Status: RO\nX-Status: D\nX-Keywords: Later\nX-UID: 14\n",
			body:     "nul:\x00:end\n",
			after:    "\n",
			served:   "nul:\x80:end\n", // UW imapd.c, ptext
			message:  Message{UID: 14, Flags: flagNames[seen|deleted], Keywords: keywords[1:], InternalDate: at(3, f.zone)},
		},
		{
			from:     "From d@example.org Mon Nov 15 10:04 2004\n",
			header:   "From: d@example.org\nSubject: four no seconds in From_\n",
			internal: "X-UID: 16\n",
			body:     "body four\n",
			after:    "\n",
			message:  Message{UID: 16, InternalDate: at(4, f.zone)},
		},
		{
			from:     "From \"joe smith\" <js@example.org> Mon Nov 15 10:05:00 2004\n",
			header:   "From: e@example.org\nSubject: five spaces in sender\n",
			internal: "X-UID: 18\n",
			body:     "body five\n",
			message:  Message{UID: 18, InternalDate: at(5, f.zone)},
		},
		{
			from:     "From e2@example.org Mon Nov 15 10:06:00 2004\n",
			header:   "From: e2@example.org\nSubject: six no blank line before its From_\n",
			internal: "X-UID: 20\n",
			body:     "body six\n",
			after:    "\n",
			message:  Message{UID: 20, InternalDate: at(6, f.zone)},
		},
		{
			from:     "From f@example.org Mon Nov 15 10:07:00 2004 -0500\n",
			header:   "From: f@example.org\nSubject: seven numeric zone\n",
			internal: "Status: RO\nX-Status: T\nX-UID: 22\n",
			body:     "last line without newline Z",
			served:   "last line without newline Z\n", // as after UW's next rewrite
			message:  Message{UID: 22, Flags: flagNames[seen|draft], InternalDate: at(7, time.FixedZone("", -5*3600))},
		},
	}
	file := bytes.NewBufferString(pseudo)
	for _, m := range messages {
		served := m.served
		if served == "" {
			served = m.body
		}
		m.message.Offset = int64(file.Len())
		f.note(m.message, []byte(m.header+"\n"+served))
		file.WriteString(m.from + m.header + m.internal + "\n" + m.body + m.after)
	}
	_, err := w.Write(file.Bytes())
	return err
}
