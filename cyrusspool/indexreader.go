package cyrusspool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// ErrUIDOrder is the error of an index whose UIDs do not rise.
var ErrUIDOrder = errors.New("UIDs of cyrus.index do not rise")

// IndexReader reads a cyrus.index record by record, in constant memory.
type IndexReader struct {
	r      *bufio.Reader
	header IndexHeader
	buf    []byte
	read   uint32
	last   Record // the one that Next returned
}

// NewIndexReader reads the header of the index in r. Errors are those of
// [ParseIndexHeader], or of reading.
func NewIndexReader(r io.Reader) (*IndexReader, error) {
	// Most mailboxes are small, and hosts have very many: a large buffer is for large ones.
	const small, large = 1 << 12, 1 << 16
	br := bufio.NewReaderSize(r, small)
	largest := newest.HeaderSize()
	head, err := br.Peek(largest)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("cyrus.index: %w", err)
	}
	h, err := ParseIndexHeader(head)
	if err != nil {
		return nil, fmt.Errorf("cyrus.index: %w", err)
	}
	if _, err := br.Discard(h.Version.HeaderSize()); err != nil {
		return nil, fmt.Errorf("cyrus.index: %w", err)
	}
	if int64(h.NumRecords)*int64(h.Version.RecordSize()) > small {
		br = bufio.NewReaderSize(br, large)
	}
	return &IndexReader{r: br, header: h, buf: make([]byte, h.Version.RecordSize())}, nil
}

// Header returns the header.
func (r *IndexReader) Header() IndexHeader { return r.header }

// Next returns the next record, expunged ones included, and io.EOF behind the last that
// the header counts. It checks the record's CRC and that UIDs rise; errors wrap
// [ErrTruncated], [ErrCRC] or [ErrUIDOrder], or are of reading. What stands in the
// file behind the last record belongs to no message and is not read.
func (r *IndexReader) Next() (Record, error) {
	if r.read == r.header.NumRecords {
		return Record{}, io.EOF
	}
	if _, err := io.ReadFull(r.r, r.buf); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = ErrTruncated
		}
		return Record{}, fmt.Errorf("cyrus.index: record %d of %d: %w", r.read+1, r.header.NumRecords, err)
	}
	v, before := r.header.Version, r.last.UID
	if err := parseStruct(r.buf, v, len(r.buf), layouts[v].record, &r.last); err != nil {
		return Record{}, fmt.Errorf("cyrus.index: record %d of %d: %w", r.read+1, r.header.NumRecords, err)
	}
	if r.last.UID <= before {
		return Record{}, fmt.Errorf("cyrus.index: record %d of %d: uid %d after %d: %w",
			r.read+1, r.header.NumRecords, r.last.UID, before, ErrUIDOrder)
	}
	r.read++
	return r.last, nil
}
