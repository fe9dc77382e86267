package verify

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	gombox "github.com/emersion/go-mbox"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/mbox"
)

// misread is the problem that a prediction did not hold, nil if it did: one of us two
// misread the file.
func misread(u mbox.User, f mbox.File, want source.Prediction, have int64) *report.Problem {
	if have == want.Count {
		return nil
	}
	return &report.Problem{Severity: report.Attention, User: u.Name, Folder: f.Name, Offset: -1, Kind: "second-opinion",
		Text: fmt.Sprintf("go-mbox counts %d messages where %d were predicted for it: look at this folder", have, want.Count)}
}

// opinion reads a folder once more and has go-mbox, a reader that shares nothing with
// ours, count its messages. That splits at every line that begins "From ", so it often
// counts more than UW; by how many is predicted while we read. Told is what it counts,
// and why that is another number than ours, or why go-mbox does not read the folder.
func (v *Verifier) opinion(ctx context.Context, u mbox.User, f mbox.File) error {
	src := *v.Source
	src.Progress, src.Dates = nil, nil
	res, err := src.Read(ctx, u, f, nil)
	if err != nil {
		return err
	}
	have, ok, err := count(ctx, src.Host, u, f, res.GoMbox)
	if err != nil {
		return err
	}
	if !ok {
		why := noOpinion(f)
		if res.Bytes[string(mbox.ReasonUnreadable)] > 0 {
			why = "a part of the folder cannot be read from the disk, and go-mbox does not read around it"
		}
		v.Report.Problem(report.Problem{Severity: report.Note, User: u.Name, Folder: f.Name, Offset: -1, Kind: "no-second-opinion", Text: why})
		return nil
	}
	v.Opinion(report.Opinion{User: u.Name, Folder: f.Name, Messages: res.Messages, Predicted: res.GoMbox.Count, Counted: have, Why: res.GoMbox.Why(res.Messages)})
	if p := misread(u, f, res.GoMbox, have); p != nil {
		v.Report.Problem(*p)
	}
	return nil
}

func noOpinion(f mbox.File) string {
	switch {
	case f.Format == mbox.FormatEmpty:
		return "the folder is empty: there is nothing to count"
	case len(f.Parts) > 1:
		return "the INBOX is in several places, which go-mbox cannot read as one"
	case f.Format != mbox.FormatUnix && f.Format != mbox.FormatUnixDoubtful:
		return fmt.Sprintf("go-mbox does not read %s format", f.Format)
	}
	return "go-mbox refuses the folder: it does not begin as go-mbox wants it"
}

// count lets go-mbox count. It is not ok where it cannot read the folder.
func count(ctx context.Context, host *mbox.Host, u mbox.User, f mbox.File, want source.Prediction) (n int64, ok bool, err error) {
	if f.Format == mbox.FormatEmpty || !want.Certain {
		return 0, false, nil
	}
	folder, err := host.Open(u, f)
	if err != nil {
		return 0, false, err
	}
	n, err = countByGoMbox(ctx, folder.File())
	if err := errors.Join(err, folder.Close()); err != nil {
		return 0, false, fmt.Errorf("%s: second opinion: %w", report.Quote(f.Path), err)
	}
	return n, true, nil
}
func countByGoMbox(ctx context.Context, r io.Reader) (n int64, err error) {
	mr := gombox.NewReader(bufio.NewReaderSize(r, 64<<10))
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		m, err := mr.NextMessage()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if _, err := io.Copy(io.Discard, m); err != nil {
			return n, err
		}
		n++
	}
}
