package cyrusspool

import (
	"bytes"
	"fmt"
	"io"
)

// RaiseIndex returns a cyrus.index that reads as the one in r, but for a header that says
// that messages up to lastUID were there and are gone, expunged with modseq: UIDNEXT and
// HIGHESTMODSEQ do not go back behind what clients may know, and one that asks what
// vanished (RFC 7162) is told of all (imap/index.c: a client older than the deleted
// modseq gets every UID that is not there). Errors are those of [NewIndexReader].
func RaiseIndex(r io.Reader, lastUID uint32, modseq uint64) (io.Reader, error) {
	x, err := NewIndexReader(r)
	if err != nil {
		return nil, err
	}
	h := x.Header()
	h.LastUID = max(h.LastUID, lastUID)
	h.HighestModSeq = max(h.HighestModSeq, modseq)
	h.DeletedModSeq = h.HighestModSeq
	header, err := h.AppendTo(nil)
	if err != nil {
		return nil, fmt.Errorf("cyrus.index: %w", err)
	}
	return io.MultiReader(bytes.NewReader(header), x.r), nil
}
