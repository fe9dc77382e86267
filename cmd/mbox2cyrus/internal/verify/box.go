package verify

import (
	"errors"
	"os"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cyrusspool"
)

// box is a Cyrus mailbox opened for reading.
type box struct {
	file  *os.File
	id    ledger.FileID
	index *cyrusspool.IndexReader
	flags []string          // of cyrus.header
	seen  cyrusspool.UIDSet // what the index does not say

	exists     uint32 // messages that were read
	bytes      uint64 // of them
	unthreaded int64  // records that were read, of messages in no conversation
}

func openBox(place cyrusspool.Place) (b *box, err error) {
	header, err := place.ReadHeader()
	if err != nil {
		return nil, err
	}
	b = &box{flags: header.Flags}
	if b.file, b.index, err = place.OpenIndex(); err != nil {
		return nil, err
	}
	if b.id, err = ledger.Stat(b.file); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *box) close() error { return b.file.Close() }

// next returns the next record, also of a message that is gone, io.EOF at the end.
func (b *box) next() (cyrusspool.Record, error) {
	r, err := b.index.Next()
	if err != nil {
		return r, err
	}
	if b.seen.Contains(r.UID) {
		r.SystemFlags |= cyrusspool.FlagSeen
	}
	if r.SystemFlags&cyrusspool.FlagExpunged == 0 {
		b.exists, b.bytes = b.exists+1, b.bytes+r.Size
	}
	if r.ThreadID == 0 && !r.Gone() {
		b.unthreaded++
	}
	return r, nil
}
