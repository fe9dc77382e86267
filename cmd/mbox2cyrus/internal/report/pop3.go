package report

import (
	"fmt"

	"mbox2cyrus/internal/plural"
)

// POP3 is what POP3 clients of one user who leave mail on the server meet.
type POP3 struct {
	User            string
	Mailbox         string // his INBOX in Cyrus
	Format          string // uidl_format of Cyrus
	UW, Cyrus       string // UIDLs of the first message, "" if there is none that lasts
	Messages, Bytes int64  // that UW's POP3 server showed
	// Again and AgainBytes are what is fetched again at most.
	Again, AgainBytes int64
	// Hidden messages, marked \Deleted, come too: UW's POP3 server did not show them.
	Hidden int64
}

func (p POP3) object() map[string]any {
	m := map[string]any{"message_type": "pop3", "mailbox": p.Mailbox, "uidl_format": p.Format, "uw_uidl": p.UW, "cyrus_uidl": p.Cyrus,
		"messages": p.Messages, "bytes": p.Bytes, "messages_again": p.Again, "bytes_again": p.AgainBytes, "messages_hidden": p.Hidden}
	AddName(m, "user", p.User)
	return m
}

// String is one line for people.
func (p POP3) String() string {
	hidden := ""
	if p.Hidden > 0 {
		hidden = fmt.Sprintf("; %s marked deleted, which UW did not show", plural.Count(p.Hidden, "message"))
	}
	if p.Again == 0 {
		return fmt.Sprintf("%s: POP3: nothing of %s is fetched again%s", Quote(p.User), plural.Count(p.Messages, "message"), hidden)
	}
	change := "UIDLs change"
	if p.UW != "" && p.Cyrus != "" {
		change = fmt.Sprintf("UIDL %s becomes %s", p.UW, p.Cyrus)
	}
	return fmt.Sprintf("%s: POP3: %s: a client that leaves mail on the server fetches up to %d of %s again (%d bytes)%s",
		Quote(p.User), change, p.Again, plural.Count(p.Messages, "message"), p.AgainBytes, hidden)
}

// POP3 reports an INBOX that has messages. People see a line of it in a plan, and in
// the summary what all come to.
func (r *Reporter) POP3(p POP3) {
	if p.Messages == 0 && p.Hidden == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.Again > 0 {
		r.sum.POP3Users++
		r.sum.POP3Messages += p.Again
		r.sum.POP3Bytes += p.AgainBytes
	}
	r.emit(Info, p.object())
	if !r.opts.Quiet && (r.opts.Command == "plan" || r.opts.DryRun) {
		r.text(r.results, p.String())
	}
}
