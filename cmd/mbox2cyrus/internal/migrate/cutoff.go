package migrate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/undo"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// triageFilled looks after a mailbox that an earlier run filled with what the source still is.
func (e *Engine) triageFilled(u *plan.User, m *mailbox) error {
	if m.noIndex() {
		// That run put it where imapd.conf has no index any more. Cyrus would make a new one,
		// without UIDVALIDITY, flags and dates.
		return e.triageCutOff(u, m)
	}
	m.todo = enter
	if !m.entered {
		return nil
	}
	// Cyrus may have served it since. Of mail that came in it is told when it is proved; what
	// else its user did could never be proved. (Without SHA-1s, up to Cyrus 2.2, ours could not
	// be told from it.)
	holds, h, err := e.indexHolds(m, m.rec.Manifest, true)
	if err == nil && !holds && h.Version.HasGUID() {
		err = e.triageCutOff(u, m)
	}
	return err
}

// enterFilled has Cyrus know a mailbox that an earlier run filled, and that cannot be filled anew,
// as its folder is gone. Where its index is not found, Cyrus would make a new one (see
// triageFilled), and what that run gave would be lost.
func (e *Engine) enterFilled(u *plan.User, m *mailbox) error {
	if err := e.rememberIndex(m); err != nil {
		return err
	}
	if m.noIndex() {
		e.leave(u, m, "cut-off", "a run was cut off after it wrote this mailbox, whose folder is gone, and its index is not where imapd.conf says now; "+
			"it is left alone: change imapd.conf back, or put the folder back, and run again")
		return nil
	}
	m.todo = enter
	return nil
}

// neverEntered reports whether a mailbox that a run began, or filled and did not verify, is not
// the one of its name that Cyrus has now: somebody made the account since that run looked. If
// its user has been given anything beside his mailboxes, that is for a person to judge.
func (e *Engine) neverEntered(u *plan.User, rec ledger.Mailbox, entry reconstruct.Entry) bool {
	_, subscribed := e.Ledger.Subscriptions(u.Name)
	return entry.UniqueID != rec.UniqueID && rec.State != ledger.Verified && rec.State != ledger.Undoing && rec.Previous == "" && !rec.Adopted &&
		!subscribed && !e.Ledger.GaveQuota(u.Name) && e.Cyrus.NameOf(rec.UniqueID) == ""
}

// discard forgets such a mailbox, for the one that Cyrus has now.
func (e *Engine) discard(m *mailbox, rec ledger.Mailbox, entry reconstruct.Entry) error {
	if e.Running {
		return fmt.Errorf("%s is in Cyrus, which is running, and was made there since a run that was cut off began to write it: stop Cyrus, so that it can be filled", report.Quote(rec.Name))
	}
	if m.mixed = undo.InPlaceOf(e.Cyrus, rec, entry); m.mixed && !e.Merge {
		// If it is to be refused, the next run must know too what wrote there.
		if err := e.mustBeEmpty(entry); err != nil {
			return err
		}
	}
	if err := undo.Discard(e.Cyrus, e.Ledger, rec, entry); err != nil {
		return fmt.Errorf("%s: %w", report.Quote(rec.Name), err)
	}
	return nil
}

// triageCutOff looks after a mailbox that an earlier run began to fill. If Cyrus knows
// it, it may have been used since: then what the index says is neither what was there
// before nor what that run wrote.
func (e *Engine) triageCutOff(u *plan.User, m *mailbox) error {
	m.rec.User = ledger.RawName(u.Name)
	m.todo = fill
	if m.rec.Previous != "" { // a later pass was cut off
		prev := m.rec
		prev.Manifest = m.rec.Previous
		m.before = &prev
	}
	if (m.entered || m.rec.State == ledger.Filled) && m.noIndex() {
		// It had one. Only that told what came in since, if Cyrus served it: it must not be filled anew.
		file, err := undo.MessageFile(e.place(m), m.rec.UIDNext)
		if err != nil {
			return fmt.Errorf("%s: %w", m.rec.Name, err)
		}
		if file != "" {
			e.leave(u, m, "cut-off", fmt.Sprintf("a run was cut off while it wrote this mailbox, mail may have come in since (%s), and its index is not where imapd.conf says now; "+
				"it is left alone: change imapd.conf back, and run again", file))
			return nil
		}
	}
	if !m.entered {
		return nil
	}
	if e.Running {
		e.leave(u, m, "cut-off", "a run was cut off while it wrote this mailbox, and Cyrus, which has it, is running: stop Cyrus and run again")
		return nil
	}
	tells, h, err := e.manifestOfIndex(m)
	if err != nil {
		return err
	}
	if tells != "" && tells != m.rec.Previous {
		// That run came as far as to write the index: what it gave is what was given. The manifest
		// that tells of it stays until there is another index.
		if m.before == nil {
			m.rec.Manifest = m.rec.OtherManifest(tells)
		} else if h.LastUID > 0 {
			if m.rec.FirstUID == 0 {
				m.rec.UIDValid, m.rec.UIDNext = h.UIDValidity, h.LastUID+1
			}
			prev := m.rec
			m.before = &prev
		}
	}
	if m.rec.FirstUID > 0 {
		if m.asLeft = tells != ""; m.rec.Merged {
			if m.rec.Merged, err = undo.Untouched(e.Cyrus, e.Ledger, m.rec); err != nil {
				return err
			}
			// Once it was filled, its index told: what ours are now is their user's affair.
			m.asLeft = m.asLeft || m.rec.Merged && m.rec.State != ledger.Filled
		}
		if !m.asLeft && h.LastUID >= m.rec.FirstUID && h.Version.HasGUID() {
			// From there on mail of Cyrus's may be among ours: which is which its SHA-1 tells.
			m.rec.Mixed, m.rec.Merged, m.rec.FirstUID = true, false, 0
		}
		return e.mayAppend(m)
	}
	if tells != "" {
		return nil
	}
	switch {
	case m.before == nil && e.mustBeEmpty(m.entry) == nil:
	case e.AppendOnConflict && (m.before != nil || h.Version.HasGUID()):
		m.rec.Mixed = h.Version.HasGUID()
		return e.mayAppend(m)
	default:
		e.leave(u, m, "cyrus-changed", "a run was cut off while it wrote this mailbox, and Cyrus has changed it since; it is left alone (--on-conflict append brings what is new)")
	}
	return nil
}

// manifestOfIndex finds the manifest of which the index is, and returns its name, "" if it is
// of none, and the header of the index. The one of the pass before, if there is one, is looked
// at first.
func (e *Engine) manifestOfIndex(m *mailbox) (name string, h cyrusspool.IndexHeader, err error) {
	names := []string{m.rec.Previous, m.rec.Manifest}
	if m.before == nil {
		names = m.rec.Manifests() // a run after the one that wrote the index may have been cut off too
	}
	for _, name := range names {
		holds, h, err := e.indexHolds(m, name, false)
		if err != nil || holds {
			return name, h, err
		}
	}
	if h, err = e.place(m).IndexHeader(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", h, fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	return "", h, nil
}

// indexHolds reports whether the index has the messages of a manifest, with their flags,
// and no others, and returns its header; of a mailbox to which messages were appended, these
// only. If it may be served, mail that came in since is no other, and what Cyrus marks for
// itself no flag. A manifest that is not there, or not complete, is no such one. A mailbox
// without an index holds what any manifest says: Cyrus cannot use it.
func (e *Engine) indexHolds(m *mailbox, name string, served bool) (holds bool, h cyrusspool.IndexHeader, err error) {
	if name == "" {
		return false, h, nil
	}
	manifest, err := e.Ledger.OpenManifest(name)
	if err != nil {
		return false, h, nil
	}
	defer manifest.Close() // read only: nothing can be lost
	f, index, err := e.place(m).OpenIndex()
	if errors.Is(err, fs.ErrNotExist) {
		return true, h, nil
	}
	if err != nil {
		return false, h, fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	defer f.Close()
	userFlags, err := e.userFlagsOf(m, name)
	if err != nil {
		return false, h, err
	}
	counts := index.Header().Version.SystemFlags()
	if served {
		counts &^= cyrusspool.FlagSnoozed | cyrusspool.FlagSplitConversation | cyrusspool.FlagNeedsCleanup | cyrusspool.FlagArchived
	}
	for {
		r, rerr := index.Next()
		for rerr == nil && r.UID < m.rec.FirstUID {
			r, rerr = index.Next()
		}
		w, werr := manifest.Next()
		for werr == nil && w.UID < m.rec.FirstUID {
			w, werr = manifest.Next()
		}
		if werr == io.EOF && (rerr == io.EOF || rerr == nil && served && r.UID >= m.rec.UIDNext) {
			return true, index.Header(), nil
		}
		if rerr != nil && rerr != io.EOF {
			return false, h, fmt.Errorf("%s: %w", m.rec.Name, rerr)
		}
		if rerr != nil || werr != nil || r.UID != w.UID || index.Header().Version.HasGUID() && r.GUID != w.GUID || r.SystemFlags&counts != verify.SystemFlags(w.Flags)&counts ||
			!userFlags(r, w) {
			return false, index.Header(), nil
		}
	}
}

// userFlagsOf returns what reports whether a record has the keywords of a message in a
// manifest, as far as it is known what their bits mean there: the ledger has the names of the
// pass that came to fill the mailbox last.
func (e *Engine) userFlagsOf(m *mailbox, manifest string) (func(cyrusspool.Record, ledger.Message) bool, error) {
	last := m.rec.Previous
	if m.rec.State == ledger.Filled {
		last = m.rec.Manifest
	}
	if manifest != last {
		return func(cyrusspool.Record, ledger.Message) bool { return true }, nil
	}
	header, err := e.place(m).ReadHeader()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	keywords := verify.KeywordsOf(m.rec, header.Flags)
	return func(r cyrusspool.Record, w ledger.Message) bool {
		flags, ok := keywords.UserFlags(w.Keywords)
		if !ok && m.rec.State == ledger.Begun {
			// The pass that wrote this index was cut off too, before the names of its keywords
			// were recorded: one that is new to the folder has none in the ledger.
			return true
		}
		return ok && r.UserFlags == flags
	}, nil
}
