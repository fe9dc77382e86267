package source

import (
	"errors"
	"fmt"

	"mbox2cyrus/mbox"
)

// ReasonHeld is the reason of the bytes of messages that are set aside, in a Result's
// Bytes. What makes no message is set aside too, under mbox.ReasonDamage.
const ReasonHeld mbox.Reason = "held"

// ErrTooLarge is wrapped by what an Each returns to have its message set aside. The
// message must have been written, or tried to.
var ErrTooLarge = errors.New("message is too large")

// CheckSize returns an error that wraps ErrTooLarge for a message of size bytes, as Cyrus
// would store it, that is to be set aside.
func (r Rules) CheckSize(size int64) error {
	if size > r.MaxMessage() {
		return fmt.Errorf("%d bytes: %w", size, ErrTooLarge)
	}
	return nil
}

// Aside is something in a folder that is set aside.
type Aside struct {
	Kind           mbox.Kind // "" for a message that is too large
	Message        bool      // it is one message, or more
	File           string    // as mbox.Finding.File
	Offset, Length int64     // bytes
	Text           string    // for people
	// Open opens the bytes. It is nil where the file must not be opened.
	Open func() (*mbox.Range, error)
}

// Hold takes what is set aside, while the folder is being read.
type Hold func(Aside) error

// holder gives to hold what a folder has for it.
type holder struct {
	folder *mbox.Folder
	hold   Hold  // nil: nothing is set aside
	err    error // the first of hold

	mark  int64 // bytes of messages before the one being read, if that may be too large
	moved int64 // bytes of messages set aside
}

func (h *holder) open(file string, offset, length int64) func() (*mbox.Range, error) {
	return func() (*mbox.Range, error) { return h.folder.OpenRange(file, offset, length) }
}

// finding sets aside what a finding is about.
func (h *holder) finding(f mbox.Finding) {
	if h.err != nil {
		return
	}
	a := Aside{Kind: f.Kind, Message: f.Kind == mbox.KindUnreadable && f.Message > 0, File: f.File, Offset: f.Offset, Length: f.Length, Text: f.Text}
	if !f.Refused {
		a.Open = h.open(f.File, f.Offset, f.Length)
	}
	h.err = h.hold(a)
}

// before remembers the account before a message, if a folder of size bytes can have one of
// more than limit: a byte becomes two at most, and a message without any becomes two.
func (h *holder) before(m mbox.Mailbox, size, limit int64) {
	if h.hold != nil && size >= limit/2-2 {
		h.mark = m.Account()[mbox.ReasonMessage]
	}
}

// give has each take a message, and sets it aside if it is too large.
func (h *holder) give(m *mbox.Message, mailbox mbox.Mailbox, each Each, limit int64) error {
	err := each(m, mailbox.Keywords())
	switch {
	case errors.Is(err, mbox.ErrUnreadable):
		err = nil // a finding tells, now or when the reader has passed it
	case errors.Is(err, ErrTooLarge) && h.hold != nil:
		err = h.message(mailbox, m, limit)
	}
	return errors.Join(err, h.err)
}

// message sets aside a message that was written and is too large.
func (h *holder) message(mailbox mbox.Mailbox, m *mbox.Message, limit int64) error {
	h.moved += mailbox.Account()[mbox.ReasonMessage] - h.mark
	return h.hold(Aside{Message: true, File: m.File, Offset: m.Offset, Length: m.EndOffset - m.Offset, Open: h.open(m.File, m.Offset, m.EndOffset-m.Offset),
		Text: fmt.Sprintf("a message of more than %d bytes, as Cyrus would have it", limit)})
}

// enter corrects the account of the folder.
func (h *holder) enter(account mbox.Account) {
	account[mbox.ReasonMessage] -= h.moved
	account[ReasonHeld] += h.moved
}
