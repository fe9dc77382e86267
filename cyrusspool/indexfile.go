package cyrusspool

import (
	"bufio"
	"fmt"
	"os"
)

// indexFile writes a cyrus.index whose header is known only at the end.
type indexFile struct {
	file    *os.File
	out     *bufio.Writer
	version Version
	buf     []byte
	holding bool
	held    Record // waits for lower UIDs
	next    Record // is being written
	uids    uidRanges
	totals  IndexHeader // counts and sums of the records
	sums    *syncSums   // nil: not wanted
}

func newIndexFile(f *os.File, v Version) *indexFile {
	x := &indexFile{file: f, out: bufio.NewWriterSize(f, 1<<14), version: v}
	// A failing write of the header's place fails again at the flush.
	x.out.Write(make([]byte, v.HeaderSize()))
	return x
}

// add writes r, or holds it back: a record is written once the next is known not to
// come before it.
func (x *indexFile) add(r Record) error {
	if r.UID == 0 || r.Size == 0 {
		return fmt.Errorf("uid %d of %d bytes: %w", r.UID, r.Size, ErrRecord)
	}
	if r.UID <= x.totals.LastUID {
		return fmt.Errorf("uid %d after %d: %w", r.UID, x.totals.LastUID, ErrRecord)
	}
	if !x.holding {
		x.held, x.holding = r, true
		return nil
	}
	switch {
	case r.UID == x.held.UID:
		return fmt.Errorf("uid %d twice: %w", r.UID, ErrRecord)
	case r.UID < x.held.UID:
		x.next = r
	default:
		x.next, x.held = x.held, r
	}
	return x.write(&x.next)
}

func (x *indexFile) write(r *Record) error {
	var err error
	if x.buf, err = AppendRecord(x.buf[:0], x.version, r); err != nil {
		return err
	}
	if _, err := x.out.Write(x.buf); err != nil {
		return err
	}
	x.uids.add(r.UID)
	x.sums.add(r)
	t := &x.totals
	t.NumRecords++
	t.LastUID = r.UID
	t.HighestModSeq = max(t.HighestModSeq, r.ModSeq)
	if r.SystemFlags&FlagExpunged != 0 {
		return nil
	}
	t.Exists++
	t.QuotaMailboxUsed += r.Size
	for _, c := range []struct {
		count *uint32
		is    bool
	}{
		{&t.Deleted, r.SystemFlags&FlagDeleted != 0},
		{&t.Answered, r.SystemFlags&FlagAnswered != 0},
		{&t.Flagged, r.SystemFlags&FlagFlagged != 0},
		{&t.Unseen, r.SystemFlags&FlagSeen == 0},
	} {
		if c.is {
			*c.count++
		}
	}
	if r.SystemFlags&FlagDeleted != 0 {
		t.QuotaDeletedUsed += r.Size
	}
	return nil
}

// finish writes the last record and the header, which it completes.
func (x *indexFile) finish(h *IndexHeader) error {
	if x.holding {
		x.holding = false
		if err := x.write(&x.held); err != nil {
			return err
		}
	}
	if err := x.out.Flush(); err != nil {
		return err
	}
	t := &x.totals
	h.Version = x.version
	h.NumRecords, h.Exists, h.Deleted, h.Answered, h.Flagged, h.Unseen =
		t.NumRecords, t.Exists, t.Deleted, t.Answered, t.Flagged, t.Unseen
	h.QuotaMailboxUsed, h.QuotaDeletedUsed = t.QuotaMailboxUsed, t.QuotaDeletedUsed
	h.LastUID = max(h.LastUID, t.LastUID)
	h.HighestModSeq = max(h.HighestModSeq, t.HighestModSeq, 1)
	if x.sums != nil {
		h.SyncCRC, h.SyncCRCAnnot = x.sums.basic, x.sums.annot
	}
	header, err := h.AppendTo(nil)
	if err != nil {
		return err
	}
	_, err = x.file.WriteAt(header, 0)
	return err
}
