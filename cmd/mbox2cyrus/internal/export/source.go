package export

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
)

// errChanged is returned when Cyrus changed the mailbox while it was read.
var errChanged = errors.New("the mailbox was changed in Cyrus while it was read; stop Cyrus, or try again when it is quiet")

// maxHeaderFile bounds what is read of a cyrus.header: 128 keywords, and an access
// control list of any sensible length.
const maxHeaderFile = 4 << 20

// source is a Cyrus mailbox that is read.
type source struct {
	place  cyrusspool.Place
	dirs   map[string]*os.File // by root
	index  *os.File
	id     ledger.FileID // of the index when it was opened
	header *cyrusspool.Header
	sum    [sha256.Size]byte     // of cyrus.header
	seen   *cyrusspool.SeenState // of an index that does not say it
}

func openSource(place cyrusspool.Place) (s *source, err error) {
	s = &source{place: place, dirs: map[string]*os.File{}}
	for _, root := range place.Roots.All() {
		if s.dirs[root], err = cyrusspool.OpenDir(root, place.Dir); err != nil {
			delete(s.dirs, root)
			return nil, errors.Join(err, s.close())
		}
	}
	if s.index, err = s.open(place.Roots.Index, "cyrus.index"); err == nil {
		if s.id, err = ledger.Stat(s.index); err == nil {
			s.header, s.sum, err = s.readHeader()
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// open opens a file of the mailbox below one of its roots.
func (s *source) open(root, name string) (*os.File, error) {
	return cyrusspool.OpenFileAt(s.dirs[root], name)
}

func (s *source) readHeader() (h *cyrusspool.Header, sum [sha256.Size]byte, err error) {
	f, err := s.open(s.place.Roots.Header, "cyrus.header")
	if err != nil {
		return nil, sum, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxHeaderFile))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, sum, err
	}
	h, err = cyrusspool.ParseHeader(raw)
	return h, sha256.Sum256(raw), err
}

// unchanged returns errChanged unless index and header are the files, and as the
// files were, that were opened. Cyrus writes into the index, or renames a new one
// over it, whatever it changes.
func (s *source) unchanged() error {
	f, err := s.open(s.place.Roots.Index, "cyrus.index")
	if err != nil {
		return errors.Join(errChanged, err)
	}
	id, err := ledger.Stat(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	_, sum, err := s.readHeader()
	if err != nil {
		return errors.Join(errChanged, err)
	}
	if !id.Equal(s.id) || sum != s.sum {
		return errChanged
	}
	return nil
}

// takeSeen takes what the owner of a mailbox has seen of it where its index does not say that:
// up to Cyrus 2.3 it is in a file of the user.
func (s *source) takeSeen(c *target.Cyrus, owner string) error {
	r, err := s.records()
	if err != nil || owner == "" || r.Header().Version.SystemFlags()&cyrusspool.FlagSeen != 0 {
		return err
	}
	if c.SeenInIndex() {
		return fmt.Errorf("its index is of version %d, as Cyrus 2.3 and before have it, and what its user has seen is not in it yet: let Cyrus bring it up to date first (reconstruct -V max)", r.Header().Version)
	}
	states, err := c.Seen(owner)
	if err != nil {
		return err
	}
	state := states[s.header.UniqueID]
	s.seen = &state
	return nil
}

// records starts to read the index anew.
func (s *source) records() (*records, error) {
	r, err := cyrusspool.NewIndexReader(io.NewSectionReader(s.index, 0, s.id.Size))
	if err != nil {
		return nil, err
	}
	return &records{r}, nil
}

func (s *source) close() error {
	var errs []error
	for _, d := range s.dirs {
		errs = append(errs, d.Close())
	}
	if s.index != nil {
		errs = append(errs, s.index.Close())
	}
	return errors.Join(errs...)
}

// records are the messages of an index, in the order of their UIDs.
type records struct{ *cyrusspool.IndexReader }

// next returns the next message that is there, io.EOF behind the last.
func (r *records) next() (cyrusspool.Record, error) {
	for {
		rec, err := r.Next()
		if err != nil || !rec.Gone() {
			return rec, err
		}
	}
}

// each calls do for every message.
func (s *source) each(do func(cyrusspool.Record) error) (cyrusspool.IndexHeader, error) {
	r, err := s.records()
	if err != nil {
		return cyrusspool.IndexHeader{}, err
	}
	for {
		rec, err := r.next()
		if err == io.EOF {
			h := r.Header()
			if s.seen != nil {
				h.RecentUID = s.seen.LastUID
			}
			return h, nil
		}
		if err != nil {
			return cyrusspool.IndexHeader{}, err
		}
		if s.seen != nil && s.seen.Seen.Contains(rec.UID) {
			rec.SystemFlags |= cyrusspool.FlagSeen
		}
		if err := do(rec); err != nil {
			return cyrusspool.IndexHeader{}, fmt.Errorf("UID %d: %w", rec.UID, err)
		}
	}
}
