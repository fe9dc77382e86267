package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/doubt"
	"mbox2cyrus/cmd/mbox2cyrus/internal/held"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/mbox"
)

// Held tells of everything that is held of a mailbox's folder: what a person has approved
// of is a note, what not needs one. An error wraps [held.ErrLost] if the list, or the file with the
// bytes, is not what the ledger says; read says that these are to be read.
func Held(ctx context.Context, l *ledger.Ledger, rec ledger.Mailbox, read bool, tell func(report.Problem)) error {
	if rec.Held == nil {
		return nil
	}
	var n, bytes int64
	err := held.Each(l.HeldDir(), rec.UniqueID, func(it held.Item) error {
		n, bytes = n+1, bytes+it.Length
		tell(heldProblem(l, it))
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", held.ErrLost, err)
	}
	if err == nil && (n != rec.Held.Items || bytes != rec.Held.Bytes) {
		err = fmt.Errorf("%w: its list has %d items of %d bytes, the ledger %d of %d", held.ErrLost, n, bytes, rec.Held.Items, rec.Held.Bytes)
	}
	if err == nil {
		err = held.Check(ctx, l.HeldDir(), rec.UniqueID, rec.Held.MboxSize, rec.Held.MboxSHA1, read)
	}
	if err != nil {
		return fmt.Errorf("%s: %w; put it back from a backup, or, if its folder is still on the UW host, touch %s and run migrate, which reads it anew", rec.Name, err, report.Quote(string(rec.Source)))
	}
	return nil
}

func heldProblem(l *ledger.Ledger, it held.Item) report.Problem {
	e := doubt.Of(mbox.Kind(it.Reason)) // a message that is too large has none: UW has no such limit
	p := report.Problem{Severity: report.Attention, User: string(it.User), Folder: string(it.Folder), File: string(it.File), Offset: it.Offset,
		Kind: it.Reason, HeldID: it.ID, UW: e.UW, Others: e.Others,
		Text: fmt.Sprintf("%s; %d bytes are held as %s, and wait for approve", it.Text, it.Length, it.ID)}
	if by, at, ok := l.Approved(it.ID); ok {
		p.Severity = report.Note
		p.Text = fmt.Sprintf("%s; %d bytes are held as %s, approved by %s at %s", it.Text, it.Length, it.ID, by, at.Format(time.RFC3339))
	}
	return p
}
