package migrate

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// maxLostTold is how many files that are gone are named.
const maxLostTold = 3

// A mailbox has its mail from a file, an INBOX perhaps from several. Where one of those is
// gone, and so is its mail, as when a home is not mounted, or another file has come that
// makes a mailbox of the same name, the mailbox must not become what is left, or other.

// leavePlaces leaves a mailbox of which the source is not the one that it had, and reports
// whether it did.
func (e *Engine) leavePlaces(ctx context.Context, u *plan.User, m *mailbox) (left bool, err error) {
	rec := m.rec
	if p, retired := retiredPlace(u, rec, m.folder.File); retired {
		if p != m.folder.File.Path { // else the plan told
			kind, text := u.PartRetired(m.folder.File, rec)
			e.leave(u, m, kind, text)
		}
		m.todo = leave
		return true, nil
	}
	manifest := rec.Manifest
	if rec.State == ledger.Begun {
		manifest = rec.Previous
	}
	lost, err := e.lostPlaces(ctx, u, rec, manifest, m.folder.File)
	if err != nil || len(lost) == 0 {
		return false, err
	}
	quoted := make([]string, len(lost))
	for i, path := range lost {
		quoted[i] = report.Quote(path)
	}
	e.leave(u, m, "source-gone", fmt.Sprintf("it has mail of %s, which is no longer there, nor is all of its mail in %s now; the mailbox is left as it is: "+
		"put the file back; or an empty one, if its mail is to go; or undo this user and migrate him again", strings.Join(quoted, " and "), report.Quote(m.folder.File.Path)))
	if rec.State == ledger.Filled { // and Cyrus is still to know of it
		return true, e.enterFilled(u, m)
	}
	return true, nil
}

// retiredPlace reports whether something of the folder of a mailbox was retired: a place that
// it has now, or, of another file that would be the same mailbox, the one that it had.
func retiredPlace(u *plan.User, rec ledger.Mailbox, f mbox.File) (path string, retired bool) {
	for _, p := range plan.PlacesOf(f) {
		if u.RetiredFrom(p) != nil {
			return p, true
		}
	}
	return "", u.WasRetired(rec)
}

// lostPlaces returns the files from which a manifest has messages that are not places of the
// folder any more, unless all of that mail is in it: UW moves it from the system inbox to
// another, and a folder may have another name. Where qpopper keeps an INBOX while it is read
// is no place that stays.
func (e *Engine) lostPlaces(ctx context.Context, u *plan.User, rec ledger.Mailbox, manifest string, f mbox.File) (lost []string, err error) {
	now := plan.PlacesOf(f)
	if rec.SourceID.Digest == "" && slices.Contains(now, string(rec.Source)) {
		return nil, nil // it was a file, and is there
	}
	missing := map[[20]byte]int{}
	err = e.Ledger.EachMessage(manifest, func(m ledger.Message) error {
		file := fileOf(rec, m)
		if isPOPCopy(u, rec, file) || slices.ContainsFunc(now, func(place string) bool { return file == place || strings.HasPrefix(file, place+"/") }) {
			return nil
		}
		missing[m.GUID]++
		if len(lost) < maxLostTold && !slices.Contains(lost, file) {
			lost = append(lost, file)
		}
		return nil
	})
	if err != nil || len(lost) == 0 {
		return nil, err
	}
	src := *e.Source
	src.Progress = nil
	_, err = eachSum(ctx, &src, u, f, func(guid [20]byte, _ uint32) (more bool, err error) {
		if missing[guid]--; missing[guid] <= 0 {
			delete(missing, guid)
		}
		return len(missing) > 0, nil
	})
	if err != nil && !errors.Is(err, mbox.ErrBusy) {
		return nil, err
	}
	if err == nil && len(missing) == 0 {
		return nil, nil
	}
	return lost, nil
}

// isPOPCopy reports whether a file is qpopper's working copy of a user's INBOX: .USER.pop, or
// USER.pop.
func isPOPCopy(u *plan.User, rec ledger.Mailbox, file string) bool {
	return cyrusspool.Name(rec.Name).IsInbox() && strings.TrimPrefix(path.Base(file), ".") == u.Name+".pop"
}

// fileOf is the file that a message of a manifest is from, below the source root: of an INBOX
// of several places each message has its own, in a mailbox that is a directory it has a name
// in that.
func fileOf(rec ledger.Mailbox, m ledger.Message) string {
	if !strings.Contains(m.File, "/") {
		return string(rec.Source)
	}
	return m.File
}
