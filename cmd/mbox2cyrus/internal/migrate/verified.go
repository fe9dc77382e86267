package migrate

import (
	"fmt"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/undo"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
)

// triageVerified looks after a mailbox that an earlier run finished.
func (e *Engine) triageVerified(u *plan.User, m *mailbox, sourceSame bool) error {
	untouched, err := e.indexUntouched(u, m)
	if err != nil {
		return err
	}
	if sourceSame && !untouched && m.rec.FirstUID > 0 {
		if err := e.rememberIndex(m); err != nil {
			return err
		}
		forgot, err := e.forgot(m)
		if err != nil {
			return err
		}
		if forgot && e.Running {
			e.leave(u, m, "cyrus-changed", "an older state of the mailbox was brought back in Cyrus, without mail that was migrated; stop Cyrus and run again to bring that")
			return nil
		}
		sourceSame = !forgot // there is something to bring
	}
	switch {
	case sourceSame && (untouched || m.rec.FirstUID > 0):
		m.todo, m.verified = nothing, m.rec.Messages
	case sourceSame:
		e.leave(u, m, "cyrus-changed", "the mailbox was changed in Cyrus since it was migrated; it is left alone (verify tells what differs)")
	case e.Running:
		e.leave(u, m, "source-changed", "the folder changed since it was migrated; stop Cyrus and run again to bring the changes")
	case !untouched && m.rec.FirstUID == 0 && !e.AppendOnConflict:
		e.leave(u, m, "source-changed", "the folder changed since it was migrated, and so did the mailbox in Cyrus; both are left alone (--on-conflict append brings what is new)")
	default:
		return e.bringChanges(u, m, untouched)
	}
	return nil
}

// forgot reports whether the index of a mailbox that was appended to never had some of what
// was brought: an older one was brought back. What its user removed, it had.
func (e *Engine) forgot(m *mailbox) (bool, error) {
	h, err := e.place(m).IndexHeader()
	if err != nil {
		return false, fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	index, _, err := e.indexMessages(m, 0)
	if err != nil {
		return false, fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	all, err := knownMessages(e.Ledger, m.rec.Manifest)
	n := len(all) // withoutForgotten changes the list
	return len(withoutForgotten(all, index, h.LastUID)) < n, err
}

// bringChanges has what is new in the folder of a mailbox brought, which an earlier run finished.
func (e *Engine) bringChanges(u *plan.User, m *mailbox, untouched bool) error {
	why, err := e.unknownMail(m)
	if err != nil {
		return err
	}
	if why != "" {
		e.leave(u, m, "cyrus-changed", "the mailbox "+why+"; it is left alone")
		return nil
	}
	prev := m.rec
	m.todo, m.before = fill, &prev
	if untouched && m.rec.FirstUID == 0 {
		m.update = true // Cyrus has not touched it
		return nil
	}
	if m.asLeft = untouched; !untouched {
		m.rec.Merged = false
		if m.asLeft, err = e.oursAsLeft(u, m); err != nil {
			return err
		}
	}
	if !m.asLeft {
		// What earlier passes brought is Cyrus's affair from now on.
		m.rec.FirstUID = 0
	}
	return e.mayAppend(m)
}

// unknownMail says which message files a mailbox has that its index does not know, "" if it has
// none: an older index was brought back, or records were lost. They may be the user's mail, and
// would go when the index is written anew.
func (e *Engine) unknownMail(m *mailbox) (why string, err error) {
	n, example, err := undo.Strays(e.place(m))
	if err != nil {
		return "", fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	if n > 0 {
		why = fmt.Sprintf("has message files in Cyrus that its index does not know (%d, %s for one): run Cyrus's reconstruct on it, look at what comes up, and run again", n, example)
	}
	return why, nil
}

// indexUntouched reports whether cyrus.index is the very file that was verified, or one
// that says the same of every message: reconstruct and other programs of Cyrus's write a
// new one, and that changes nothing.
func (e *Engine) indexUntouched(u *plan.User, m *mailbox) (bool, error) {
	id, there, err := e.indexID(m.rec)
	if err != nil || !there {
		return false, err
	}
	if m.rec.IndexID != nil && id.Equal(*m.rec.IndexID) {
		return true, nil
	}
	if m.rec.FirstUID > 0 {
		return false, nil
	}
	res, err := e.compareIndex(u.ID, m.rec)
	if err != nil || len(res.Problems) > 0 {
		return false, err
	}
	m.rec.IndexID = &res.IndexID
	return true, e.Ledger.Set(m.rec)
}

// compareIndex compares what the index of a user's mailbox says now with its manifest.
func (e *Engine) compareIndex(userid string, rec ledger.Mailbox) (verify.Result, error) {
	seen, err := e.Cyrus.Seen(userid)
	if err != nil {
		return verify.Result{}, err
	}
	return verify.Index(e.Ledger, rec, e.Cyrus.Place(rec.Partition, rec.Dir), seen)
}

// oursAsLeft reports whether a mailbox of which the index is another one has the messages that
// it had before others were appended, and these are as they were verified: Cyrus's programs,
// or a session, wrote the index anew.
func (e *Engine) oursAsLeft(u *plan.User, m *mailbox) (bool, error) {
	same, err := undo.Untouched(e.Cyrus, e.Ledger, m.rec)
	if err != nil || !same {
		return false, err
	}
	res, err := e.compareIndex(u.ID, m.rec)
	return err == nil && !res.Newer && len(res.Problems) == 0, err
}
