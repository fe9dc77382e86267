package migrate

import (
	"context"
	"errors"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// skipBusy leaves out the folders that somebody has locked, before anything of theirs is
// begun: the next run takes them.
func (e *Engine) skipBusy(ctx context.Context, j *job) error {
	for _, m := range j.boxes {
		if m.todo != fill || m.folder == nil {
			continue
		}
		err := e.Source.Busy(ctx, j.user.User, m.folder.File)
		switch {
		case err == nil:
		case !errors.Is(err, mbox.ErrBusy):
			return err
		case e.neededAbove(j, m):
			e.setAside(j, m, err)
			return nil
		default:
			m.todo = leave
			e.busy(j, m, err, "the folder is left for the next run")
		}
	}
	return nil
}

// neededAbove reports whether a mailbox is above others that this run would enter, and Cyrus
// does not have it yet, or its record is the one that is to tell what its user had beside his
// mailboxes before: an INBOX, mostly.
func (e *Engine) neededAbove(j *job, m *mailbox) bool {
	if e.Cyrus.Has(cyrusspool.Name(m.rec.Name)) && (e.Ledger.Knows(m.rec.Name) || len(m.rec.UserFiles) == 0) {
		return false
	}
	for _, other := range j.work() {
		if strings.HasPrefix(other.rec.Name, m.rec.Name+".") {
			return true
		}
	}
	return false
}

// setAside leaves all of a user for the next run, because a folder is busy.
func (e *Engine) setAside(j *job, m *mailbox, err error) {
	for _, other := range j.boxes {
		if other.todo != nothing {
			other.todo = leave
		}
	}
	e.busy(j, m, err, "the user is left for the next run")
}

func (e *Engine) busy(j *job, m *mailbox, err error, what string) {
	e.Report.Problem(report.Problem{Severity: report.Attention, User: j.user.Name, Folder: m.folderName(), Offset: -1,
		Kind: "busy", Text: err.Error() + "; " + what})
}
