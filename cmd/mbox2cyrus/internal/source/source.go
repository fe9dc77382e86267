// Package source reads one folder of the UW host for the application: it opens
// it safely, notices when it changes while being read, turns the reader's
// findings into problems and checks that every byte is accounted for.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/mbox"
)

// Source is an open UW host and how its folders are read.
type Source struct {
	Host     *mbox.Host
	Location *time.Location // zone of From_ dates that name none
	Progress func(bytes, messages int64)
}

// Result is what one folder held.
type Result struct {
	ID          ledger.FileID
	Messages    int64
	UIDValidity uint32 // 0: a new one must be chosen
	UIDNext     uint32
	Keywords    []string
	Bytes       map[string]int64 // of the file, by reason; they add up to its size
	GoMbox      Prediction
	Problems    []report.Problem // the reader's findings
}

// Each is called for every message, with the folder's keyword list: the list is
// the same for all messages.
type Each func(m *mbox.Message, keywords []string) error

// Prediction is what go-mbox, reading by its own rules, should count.
type Prediction struct {
	Count   int64
	Certain bool
}

// ErrChanged is returned when the folder changed while it was read.
var ErrChanged = errors.New("changed while it was read")

// Read reads a folder once, calling each for every message (nil: only count).
func (s *Source) Read(ctx context.Context, u mbox.User, f mbox.File, each Each) (Result, error) {
	file, err := s.Host.Open(u, f)
	if err != nil {
		return Result{}, err
	}
	res, err := s.read(ctx, file, each)
	for i := range res.Problems {
		res.Problems[i].User, res.Problems[i].Folder = u.Name, f.Name
	}
	if cerr := file.Close(); err == nil && cerr != nil {
		err = cerr
	}
	if err != nil {
		return res, fmt.Errorf("%s: %w", report.Quote(f.Path), err)
	}
	return res, nil
}

// ReadFile reads a folder that the administrator named by path.
func (s *Source) ReadFile(ctx context.Context, path string, each Each) (res Result, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if st, err := file.Stat(); err != nil || !st.Mode().IsRegular() {
		return Result{}, errors.Join(err, fmt.Errorf("%s: not a regular file", report.Quote(path)))
	}
	if res, err = s.read(ctx, file, each); err != nil {
		return res, fmt.Errorf("%s: %w", report.Quote(path), err)
	}
	return res, nil
}

func (s *Source) read(ctx context.Context, file *os.File, each Each) (res Result, err error) {
	if res.ID, err = ledger.Stat(file); err != nil {
		return res, err
	}
	// The kernel reads ahead further; a failure costs speed only.
	_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_SEQUENTIAL)
	r := mbox.NewReader(file, res.ID.Size, mbox.Options{
		Location: s.Location,
		ModTime:  res.ID.MTime,
		Findings: func(f mbox.Finding) { res.Problems = append(res.Problems, problem(f)) },
	})
	var done int64
	for {
		if err := ctx.Err(); err != nil {
			return res, err
		}
		m, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return res, err
		}
		res.Messages++
		if each != nil {
			if err := each(m, r.Keywords()); err != nil {
				return res, fmt.Errorf("message at offset %d: %w", m.Offset, err)
			}
		}
		if s.Progress != nil {
			s.Progress(m.Offset-done, 1)
			done = m.Offset
		}
	}
	if s.Progress != nil {
		s.Progress(res.ID.Size-done, 0)
	}
	res.UIDValidity, res.UIDNext, res.Keywords = r.UIDValidity(), r.LastUID()+1, r.Keywords()
	res.Bytes = map[string]int64{}
	account := r.Account()
	for reason, n := range account {
		if n != 0 {
			res.Bytes[string(reason)] = n
		}
	}
	if total := account.Total(); total != res.ID.Size {
		return res, fmt.Errorf("%d bytes are accounted for, the file has %d", total, res.ID.Size)
	}
	res.GoMbox.Count, res.GoMbox.Certain = r.PredictGoMbox()
	now, err := ledger.Stat(file)
	if err != nil {
		return res, err
	}
	if !now.Equal(res.ID) {
		return res, ErrChanged
	}
	return res, nil
}

func problem(f mbox.Finding) report.Problem {
	return report.Problem{Severity: report.Note, Offset: f.Offset, Kind: string(f.Kind), Text: f.Text,
		Routine: f.Kind == mbox.KindPseudoMessage}
}
