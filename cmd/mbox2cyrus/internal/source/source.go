// Package source reads one folder of the UW host for the application: it opens
// it safely, notices when it changes while being read, turns the reader's
// findings into problems and checks that every byte is accounted for.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/calibrate"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/throttle"
	"mbox2cyrus/mbox"
)

// Source is an open UW host and how its folders are read.
type Source struct {
	Host     *mbox.Host
	Location *time.Location // zone of From_ dates that name none
	Rules    Rules
	// Progress is told of what was read of a user's folder. It may be nil.
	Progress func(user, folder string, bytes, messages int64)
	Limit    *throttle.Limit   // of the bytes that are read; nil: none
	Dates    *calibrate.Sample // gets messages of every folder; may be nil
	Locks    *mbox.Locks       // taken on every folder of the host while it is read; nil: none
}

// Result is what one folder held.
type Result struct {
	ID          ledger.FileID
	Messages    int64
	UIDValidity uint32 // 0: a new one must be chosen
	UIDNext     uint32
	Keywords    []string
	Bytes       map[string]int64 // of the file, by reason; they add up to its size; held messages are under ReasonHeld
	GoMbox      Prediction
	Problems    []report.Problem // the reader's findings, not more than some of a kind
	Doubts      map[string]int64 // the number of findings by kind
	// Aside is what makes no message and is to be set aside. Messages that are too large
	// come on top of that.
	Aside Amount
}

// Amount is so many things of so many bytes.
type Amount struct{ Items, Bytes int64 }

// Each is called for every message, with the folder's keyword list: the list is
// the same for all messages. A message that the disk does not give in full is an error of
// its WriteTo that wraps mbox.ErrUnreadable: Each returns it, and the reading goes on.
type Each func(m *mbox.Message, keywords []string) error

// Prediction is what go-mbox, reading by its own rules, should count.
type Prediction struct {
	Count   int64
	Certain bool // else it does not read the folder
	// FromLines is how many lines begin "From " and begin no message to UW.
	FromLines int64
	// Separators is how many From_ lines there are, with those of UW's own data.
	Separators int64
}

// Why says why the prediction is another number than messages, ours; "" if it is not.
func (p Prediction) Why(messages int64) string {
	var why []string
	say := func(n int64, one, many string) {
		switch {
		case n == 1:
			why = append(why, "1 "+one)
		case n != 0:
			why = append(why, fmt.Sprintf("%d %s", n, many))
		}
	}
	say(p.FromLines, "line begins \"From \" and is no From_ line to UW", "lines begin \"From \" and are no From_ lines to UW")
	say(p.Separators-messages, "message is UW's own data", "messages are UW's own data")
	say(p.Count-p.FromLines-p.Separators, "piece of a very long From_ line counts as another", "pieces of very long From_ lines count as others")
	return strings.Join(why, ", ")
}

// ErrChanged is returned when the folder changed while it was read.
var ErrChanged = errors.New("changed while it was read")

// Read reads a folder once, calling each for every message (nil: only count).
func (s *Source) Read(ctx context.Context, u mbox.User, f mbox.File, each Each) (Result, error) {
	return s.ReadHolding(ctx, u, f, each, nil)
}

// ReadHolding is Read, with hold called for what must be set aside: it is reported by
// whoever holds it, and not in the result's Problems.
func (s *Source) ReadHolding(ctx context.Context, u mbox.User, f mbox.File, each Each, hold Hold) (Result, error) {
	folder, err := s.Host.Open(u, f)
	if err != nil {
		return Result{}, err
	}
	progress := func(bytes, messages int64) {
		if s.Progress != nil {
			s.Progress(u.Name, f.Name, bytes, messages)
		}
	}
	located := hold
	if hold != nil {
		located = func(a Aside) error {
			a.Text = sayPath(f, string(a.Kind), a.File, a.Text)
			return hold(a)
		}
	}
	res, err := s.readLocked(ctx, folder, each, located, progress)
	for i := range res.Problems {
		p := &res.Problems[i]
		p.User, p.Folder, p.Text = u.Name, f.Name, sayPath(f, p.Kind, p.File, p.Text)
	}
	if err := errors.Join(err, folder.Close()); err != nil {
		return res, fmt.Errorf("%s: %w", report.Quote(f.Path), err)
	}
	return res, nil
}

// sayPath adds to the text of a finding that asks for the file to be rescued which file that
// is: its path below the source root.
func sayPath(f mbox.File, kind, file, text string) string {
	if kind != string(mbox.KindUnreadable) {
		return text
	}
	path := f.Path
	switch {
	case len(f.Parts) > 1:
		path = file
	case file != "":
		path += "/" + file
	}
	return text + " (the file: " + report.Quote(path) + ")"
}

// readLocked reads an open folder under lock.
func (s *Source) readLocked(ctx context.Context, folder *mbox.Folder, each Each, hold Hold, progress func(bytes, messages int64)) (Result, error) {
	if s.Locks == nil {
		return s.read(ctx, folder, each, hold, progress)
	}
	lock, err := s.Locks.Take(ctx, folder)
	if err != nil {
		return Result{}, err
	}
	res, err := s.read(ctx, folder, each, hold, progress)
	for _, doubt := range lock.Doubts {
		res.Problems = append(res.Problems, report.Problem{Severity: report.Note, Offset: -1, Kind: "lock-missing", Text: doubt})
	}
	return res, errors.Join(err, lock.Release())
}

// Busy returns an error that wraps mbox.ErrBusy if somebody has a folder locked now.
func (s *Source) Busy(ctx context.Context, u mbox.User, f mbox.File) error {
	if s.Locks == nil {
		return nil
	}
	folder, err := s.Host.Open(u, f)
	if err != nil {
		return err
	}
	lock, err := s.Locks.Take(ctx, folder)
	if err == nil {
		err = lock.Release()
	}
	return errors.Join(err, folder.Close())
}

// ReadFolder reads a folder that the administrator named by path.
func (s *Source) ReadFolder(ctx context.Context, path string, each Each) (Result, error) {
	folder, err := mbox.OpenFolder(path)
	if err != nil {
		return Result{}, err
	}
	res, err := s.read(ctx, folder, each, nil, func(_, _ int64) {})
	if err := errors.Join(err, folder.Close()); err != nil {
		return res, fmt.Errorf("%s: %w", report.Quote(path), err)
	}
	return res, nil
}

// read reads an open folder.
func (s *Source) read(ctx context.Context, folder *mbox.Folder, each Each, hold Hold, progress func(bytes, messages int64)) (res Result, err error) {
	id, err := settled(ctx, folder)
	if err != nil {
		return res, err
	}
	res.ID = ledger.NewFileID(id)
	var found findings
	aside := holder{folder: folder, hold: hold}
	if hold != nil {
		found.aside = aside.finding
	}
	defer func() {
		if err == nil {
			err = found.locate(folder.TextFile)
		}
		res.Problems, res.Doubts, res.Aside = found.result(), found.kinds, found.amount
	}()
	mailbox, err := folder.Mailbox(mbox.Options{Location: s.Location, UWVersion: s.Rules.UWVersion, Repairs: s.Rules.Repairs, Findings: found.add})
	if err != nil {
		return res, err
	}
	var read int64
	dates := s.Dates.Folder()
	for {
		if err := ctx.Err(); err != nil {
			return res, err
		}
		aside.before(mailbox, res.ID.Size, s.Rules.MaxMessage())
		m, err := mailbox.Next()
		if aside.err != nil {
			return res, aside.err
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return res, err
		}
		res.Messages++
		dates.Add(m)
		if each != nil {
			if err := aside.give(m, mailbox, each, s.Rules.MaxMessage()); err != nil {
				return res, fmt.Errorf("message at %soffset %d: %w", fileOf(m.File), m.Offset, err)
			}
		}
		if n := m.EndOffset - m.Offset; n > 0 {
			progress(n, 1)
			read += n
			if err := s.Limit.Wait(ctx, n); err != nil {
				return res, err
			}
		}
	}
	progress(res.ID.Size-read, 0)
	if err := s.Limit.Wait(ctx, res.ID.Size-read); err != nil {
		return res, err
	}
	res.UIDValidity, res.UIDNext, res.Keywords = mailbox.UIDValidity(), mailbox.LastUID()+1, mailbox.Keywords()
	now, err := folder.Identity()
	if err != nil {
		return res, err
	}
	if !now.Equal(id) {
		return res, ErrChanged
	}
	if r, ok := mailbox.(*mbox.Reader); ok {
		res.GoMbox.Count, res.GoMbox.Certain = r.PredictGoMbox()
		res.GoMbox.FromLines, res.GoMbox.Separators = r.FromLines(), r.Separators()
	}
	account := mailbox.Account()
	aside.enter(account)
	err = res.takeAccount(account)
	return res, err
}

// takeAccount takes the account of a folder, and checks that every byte is in it.
func (res *Result) takeAccount(account mbox.Account) error {
	res.Bytes = map[string]int64{}
	for reason, n := range account {
		if n != 0 {
			res.Bytes[string(reason)] = n
		}
	}
	if total := account.Total(); total != res.ID.Size {
		return fmt.Errorf("%d bytes are accounted for, the folder has %d", total, res.ID.Size)
	}
	return nil
}

// settleTries is how often a folder is looked at that changes all the time.
const settleTries = 4

// settled returns the identity of a folder as soon as whatever changes from then on gives it
// another one.
func settled(ctx context.Context, folder *mbox.Folder) (id mbox.Identity, err error) {
	for range settleTries {
		if id, err = folder.Identity(); err != nil {
			return id, err
		}
		left := time.Until(id.Settled())
		if left <= 0 || left > time.Second { // by another clock
			return id, nil
		}
		select {
		case <-ctx.Done():
			return id, ctx.Err()
		case <-time.After(left):
		}
	}
	return id, ErrChanged
}

// fileOf names the file of a folder that has several.
func fileOf(name string) string {
	if name == "" {
		return ""
	}
	return report.Quote(name) + " "
}
