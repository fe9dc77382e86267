package export

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
	"mbox2cyrus/reconstruct"
)

// Exporter writes Cyrus mailboxes as unix mailbox files.
type Exporter struct {
	Cyrus    *target.Cyrus
	Report   *report.Reporter
	Location *time.Location // zone in which the From_ lines say the internal dates
	Host     string         // name of this host, for the data of empty mailboxes
	Owner    *Owner         // of what is written; nil: of who runs the program
}

// Owner is whose files are.
type Owner struct{ UID, GID int }

// result is what became of one mailbox.
type result struct {
	messages, verified, bytes int64
	validity, next            uint32
	problems                  []report.Problem
}

// maxTold is how many messages of a mailbox that do not come back the same are told
// one by one.
const maxTold = 100

// readTries is how often a mailbox that changes while it is read is read anew.
const readTries = 3

// write writes one mailbox into f, which is empty, and reads it back. Cyrus may
// serve the mailbox meanwhile: if it changes it, everything is done anew.
func (x *Exporter) write(ctx context.Context, e reconstruct.Entry, f *os.File) (*result, error) {
	for try := 1; ; try++ {
		res, err := x.writeOnce(ctx, e, f)
		if err == nil || !errors.Is(err, errChanged) || try == readTries {
			return res, err
		}
		if err := f.Truncate(0); err != nil {
			return nil, err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
	}
}

func (x *Exporter) writeOnce(ctx context.Context, e reconstruct.Entry, f *os.File) (res *result, err error) {
	if !x.Cyrus.HasPartition(e.Partition) {
		return nil, fmt.Errorf("its partition %q is not configured", e.Partition)
	}
	s, err := openSource(x.Cyrus.Place(e.Partition, x.Cyrus.Dir(e)))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	one := &mailbox{x: x, s: s, res: &result{}, sum: sha1.New()}
	err = one.write(ctx, e, f)
	if err == nil {
		err = f.Sync()
	}
	// Whatever went wrong: if Cyrus wrote meanwhile, that may be why.
	if changed := s.unchanged(); changed != nil {
		return nil, errors.Join(changed, err)
	}
	if err == nil {
		err = one.readBack(ctx, f)
	}
	return one.res, err
}

// mailbox is one mailbox that is written.
type mailbox struct {
	x        *Exporter
	s        *source
	res      *result
	sum      hash.Hash
	keywords *keywords
	changes  map[uint32]change          // of the first messages that are not the same
	guids    map[uint32][sha1.Size]byte // of the files of messages of which the index says none
	header   cyrusspool.IndexHeader
}

// problem tells what a person must look at.
func (m *mailbox) problem(kind, format string, args ...any) {
	m.res.problems = append(m.res.problems, report.Problem{Severity: report.Attention, Offset: -1, Kind: kind, Text: fmt.Sprintf(format, args...)})
}

func (m *mailbox) write(ctx context.Context, e reconstruct.Entry, f *os.File) error {
	owner := cyrusspool.Name(e.Name).User()
	if err := m.s.takeSeen(m.x.Cyrus, owner); err != nil {
		return err
	}
	if err := m.survey(); err != nil {
		return err
	}
	w := newWriter(f)
	w.location, w.validity, w.lastUID, w.recent, w.keywords = m.x.Location, m.header.UIDValidity, m.header.LastUID, m.header.RecentUID, m.keywords
	if w.sender = owner; !isWord(w.sender) {
		w.sender = "unknown"
	}
	m.changes, m.guids = map[uint32]change{}, map[uint32][sha1.Size]byte{}
	_, err := m.s.each(func(rec cyrusspool.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		changes, err := m.message(w, &rec)
		if changes != 0 && len(m.changes) < maxTold {
			m.changes[rec.UID] = changes
		}
		m.res.messages++
		m.res.bytes += int64(rec.Size)
		return err
	})
	if err == nil && m.res.messages == 0 {
		err = w.pseudo(m.x.Host, time.Now())
	}
	if err == nil {
		err = w.out.Flush()
	}
	return err
}

// survey reads the index once to know what the first message must say of all.
func (m *mailbox) survey() error {
	flags := m.s.header.Flags
	used := make([]int64, len(flags))
	var err error
	m.header, err = m.s.each(func(rec cyrusspool.Record) error {
		for n := range flags {
			if rec.UserFlags[n/32]&(1<<(n%32)) != 0 {
				used[n]++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.res.validity, m.res.next = m.header.UIDValidity, m.header.LastUID+1
	m.keywords = listKeywords(flags, used)
	for _, lost := range m.keywords.lost {
		m.problem("keyword-lost", "keyword %s of %d messages is left out: UW knows %d keywords in a mailbox, each of at most %d bytes",
			report.Quote(lost.name), lost.messages, maxKeywords, maxKeywordLength)
	}
	return nil
}

// message copies one message file, which must be what the index says.
func (m *mailbox) message(w *writer, rec *cyrusspool.Record) (change, error) {
	f, err := m.s.open(m.s.place.Roots.Data, strconv.FormatUint(uint64(rec.UID), 10)+".")
	if err != nil {
		return 0, err
	}
	m.sum.Reset()
	counted := &counter{}
	changes, err := w.message(rec, io.TeeReader(f, io.MultiWriter(m.sum, counted)))
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	guid := [sha1.Size]byte(m.sum.Sum(nil))
	if !m.hasGUID(rec) {
		m.guids[rec.UID] = guid
	}
	if m.hasGUID(rec) && guid != rec.GUID || counted.n != int64(rec.Size) {
		return 0, fmt.Errorf("its file has %d bytes with SHA-1 %x, the index says %d and %x: run reconstruct, or look where it was damaged", counted.n, guid, rec.Size, rec.GUID)
	}
	return changes, nil
}

// hasGUID reports whether the index knows the SHA-1 of a message: up to Cyrus 2.2 of none, and
// later of those that were there before perhaps not.
func (m *mailbox) hasGUID(rec *cyrusspool.Record) bool {
	return m.header.Version.HasGUID() && rec.GUID != [sha1.Size]byte{}
}

type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}

// readBack reads the file as migrate would and compares it with Cyrus's index. What
// had to be changed is told; anything else that is not the same is an error.
func (m *mailbox) readBack(ctx context.Context, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r := mbox.NewReader(f, info.Size(), mbox.Options{Location: m.x.Location, ModTime: info.ModTime()})
	told := 0
	_, err = m.s.each(func(rec cyrusspool.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		msg, err := r.Next()
		if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		m.sum.Reset()
		if _, err := msg.WriteTo(m.sum); err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		if err := m.compare(&rec, msg, r.Keywords()); err != nil {
			return err
		}
		want := rec.GUID
		if !m.hasGUID(&rec) {
			want = m.guids[rec.UID]
		}
		if [sha1.Size]byte(m.sum.Sum(nil)) == want && knownDate(rec.InternalDate) == rec.InternalDate {
			m.res.verified++
			return nil
		}
		why, known := m.changes[rec.UID]
		switch {
		case told == maxTold:
		case !known && len(m.changes) == maxTold:
			told++
			m.problem("not-identical", "UID %d comes back from the file otherwise than Cyrus has it", rec.UID)
		case !known:
			return errors.New("read back, it has other bytes, and nothing was changed on purpose: this is a bug")
		default:
			told++
			m.problem("not-identical", "UID %d comes back from the file otherwise than Cyrus has it: %s", rec.UID, why)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := r.Next(); err != io.EOF {
		return fmt.Errorf("read back, the file has more messages than the %d that were written (%v)", m.res.messages, err)
	}
	if r.UIDValidity() != m.header.UIDValidity || r.LastUID() != m.header.LastUID {
		return fmt.Errorf("read back, the file has UIDVALIDITY %d and last UID %d, Cyrus %d and %d", r.UIDValidity(), r.LastUID(), m.header.UIDValidity, m.header.LastUID)
	}
	if more := m.res.messages - m.res.verified - int64(told); more > 0 {
		m.problem("not-identical", "and %d messages more come back otherwise", more)
	}
	return nil
}

// compare compares what the reader says of a message with its record.
func (m *mailbox) compare(rec *cyrusspool.Record, msg *mbox.Message, names []string) error {
	if msg.UID != rec.UID {
		return fmt.Errorf("read back, it has UID %d", msg.UID)
	}
	if have := verify.SystemFlags(verify.LedgerFlags(msg.Flags)); have != rec.SystemFlags&systemFlags {
		return fmt.Errorf("read back, it has flags %#x, not %#x", have, rec.SystemFlags&systemFlags)
	}
	if want := knownDate(rec.InternalDate); msg.Date.Unix() != want {
		return fmt.Errorf("read back, it has date %d, not %d", msg.Date.Unix(), want)
	}
	var have []string
	for n, name := range names {
		if msg.Keywords&(1<<n) != 0 {
			have = append(have, name)
		}
	}
	if want := m.keywords.of(rec.UserFlags); !slices.Equal(have, want) {
		return fmt.Errorf("read back, it has keywords %q, not %q", have, want)
	}
	return nil
}

const systemFlags = cyrusspool.FlagSeen | cyrusspool.FlagAnswered | cyrusspool.FlagFlagged | cyrusspool.FlagDeleted | cyrusspool.FlagDraft
