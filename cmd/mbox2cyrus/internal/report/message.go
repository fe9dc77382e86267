package report

import (
	"fmt"
	"strings"

	"mbox2cyrus/internal/plural"
)

// Mark says how one message compares.
type Mark byte

// The marks of messages.
const (
	Same       Mark = '=' // in the source and in Cyrus alike
	SourceOnly Mark = '+' // only in the source
	CyrusOnly  Mark = '-' // only in Cyrus
	Differs    Mark = '*' // in both, not alike
	Unreadable Mark = '!' // in Cyrus's index, but its bytes cannot be read
)

// Message is one message of a mailbox that is compared.
type Message struct {
	Mark    Mark
	User    string
	Folder  string // raw name on the UW host
	Mailbox string // Cyrus's internal name
	UID     uint32
	File    string // raw; which file Offset is in, of a folder that has several
	Offset  int64  // in the source; negative: it is not there
	What    string // differs, or why it is marked so
}

// Message reports one compared message. It counts for nothing: differences are problems
// too.
func (r *Reporter) Message(m Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emit(Debug, m.object())
	if r.opts.JSON || r.opts.Quiet && m.Mark == Same {
		return
	}
	r.text(r.results, m.String())
}

// String is the message as one line for people.
func (m Message) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%c %s %s UID %d", m.Mark, Quote(m.User), m.Mailbox, m.UID)
	if m.File != "" {
		b.WriteString(" " + Quote(m.File))
	}
	if m.Offset >= 0 {
		fmt.Fprintf(&b, " offset %d", m.Offset)
	}
	if m.What != "" {
		b.WriteString(": " + Printable(m.What))
	}
	return b.String()
}

func (m Message) object() map[string]any {
	o := map[string]any{"message_type": "message", "mark": string(rune(m.Mark)), "mailbox": m.Mailbox, "uid": m.UID, "what": toValidUTF8(m.What)}
	AddName(o, "user", m.User)
	AddName(o, "folder", m.Folder)
	if m.File != "" {
		AddName(o, "file", m.File)
	}
	if m.Offset >= 0 {
		o["offset"] = m.Offset
	}
	return o
}

// Opinion is what an independent reader makes of a folder.
type Opinion struct {
	User, Folder string
	Messages     int64 // that we see, as UW does
	Predicted    int64 // that it should count by its own rules
	Counted      int64 // that it counts
	Why          string
}

// Opinion reports it. That a prediction did not hold is a problem too.
func (r *Reporter) Opinion(o Opinion) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := map[string]any{"message_type": "second_opinion", "messages": o.Messages, "predicted": o.Predicted, "counted": o.Counted, "why": o.Why}
	AddName(m, "user", o.User)
	AddName(m, "folder", o.Folder)
	r.emit(Info, m)
	if r.opts.Quiet {
		return
	}
	r.text(r.results, fmt.Sprintf("%s: %s: %s; go-mbox counts %d, predicted were %d%s", Quote(o.User), Quote(o.Folder), plural.Count(o.Messages, "message"), o.Counted, o.Predicted, because(o.Why)))
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// Served is what Cyrus's own imapd answered about one user.
type Served struct {
	User      string
	Mailboxes int64 // in which clients see all as they must
	Messages  int64 // of which they do
}

// Served reports it. What is not as it must be is a problem too.
func (r *Reporter) Served(s Served) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := map[string]any{"message_type": "served", "mailboxes": s.Mailboxes, "messages": s.Messages}
	AddName(m, "user", s.User)
	r.emit(Info, m)
	if !r.opts.Quiet {
		r.text(r.results, fmt.Sprintf("%s: Cyrus's imapd serves %s in %s as they must be", Quote(s.User), plural.Count(s.Messages, "message"), plural.Count(s.Mailboxes, "folder")))
	}
}
