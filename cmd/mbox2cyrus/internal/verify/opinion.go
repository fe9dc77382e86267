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

// SecondOpinion lets go-mbox, a reader that shares nothing with ours, count the
// messages of a folder. It splits at every line that begins "From ", so it
// often counts more than UW; by how many was predicted while we read. A
// prediction that does not hold means that one of us misread the file.
func SecondOpinion(ctx context.Context, host *mbox.Host, u mbox.User, f mbox.File, want source.Prediction) (*report.Problem, error) {
	if f.Format == mbox.FormatEmpty || !want.Certain {
		return nil, nil
	}
	folder, err := host.Open(u, f)
	if err != nil {
		return nil, err
	}
	have, err := countByGoMbox(ctx, folder.File())
	if err := errors.Join(err, folder.Close()); err != nil {
		return nil, fmt.Errorf("%s: second opinion: %w", report.Quote(f.Path), err)
	}
	if have == want.Count {
		return nil, nil
	}
	return &report.Problem{Severity: report.Attention, User: u.Name, Folder: f.Name, Offset: -1, Kind: "second-opinion",
		Text: fmt.Sprintf("go-mbox counts %d messages where %d were predicted for it: look at this folder", have, want.Count)}, nil
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
