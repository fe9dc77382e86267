package cyrusspool

import (
	"bytes"
	"encoding/hex"
	"hash/crc32"
	"io"
	"strconv"
)

// emptyAnnotSum is the sum of a mailbox without annotations (imap/mailbox.h,
// CRC_INIT_ANNOT), from version 16 on; before, it was 0.
const emptyAnnotSum = 12345678

// syncSums adds up the two sums of a mailbox that replication compares (imap/mailbox.c,
// crc_basic and crc_virtannot), for messages without annotations of their own. Each is
// the XOR of a CRC-32 of each message.
type syncSums struct {
	version  Version
	keywords []uint32 // CRC-32 of their names in lower case, by place among the user flags
	basic    uint32
	annot    uint32
	text     []byte
}

// systemFlagSums have the CRC-32 of the names of those system flags that count.
var systemFlagSums = []struct {
	flag, sum uint32
}{
	{FlagDeleted, crc32.ChecksumIEEE([]byte(`\deleted`))},
	{FlagAnswered, crc32.ChecksumIEEE([]byte(`\answered`))},
	{FlagFlagged, crc32.ChecksumIEEE([]byte(`\flagged`))},
	{FlagDraft, crc32.ChecksumIEEE([]byte(`\draft`))},
	{FlagSeen, crc32.ChecksumIEEE([]byte(`\seen`))},
}

func newSyncSums(v Version, keywords []string) *syncSums {
	s := &syncSums{version: v}
	if v >= Version16 {
		s.annot = emptyAnnotSum
	}
	for _, name := range keywords {
		var sum uint32
		if name != "" { // else a place that is free
			sum = crc32.ChecksumIEEE(asciiLower([]byte(name)))
		}
		s.keywords = append(s.keywords, sum)
	}
	return s
}

// asciiLower makes ASCII letters small (lib/util.c, lcase).
func asciiLower(b []byte) []byte {
	for i, c := range b {
		b[i] = toLower(c)
	}
	return b
}

// add counts a record. A nil syncSums counts nothing.
func (s *syncSums) add(r *Record) {
	if s == nil || r.SystemFlags&FlagExpunged != 0 {
		return
	}
	var flags uint32
	for _, f := range systemFlagSums {
		if r.SystemFlags&f.flag != 0 {
			flags ^= f.sum
		}
	}
	for i, sum := range s.keywords {
		if r.UserFlags[i/32]&(1<<(i%32)) != 0 {
			flags ^= sum
		}
	}
	t := strconv.AppendUint(s.text[:0], uint64(r.UID), 10)
	t = strconv.AppendUint(append(t, ' '), r.ModSeq, 10)
	t = strconv.AppendInt(append(t, ' '), r.LastUpdated, 10)
	t = strconv.AppendUint(append(t, " ("...), uint64(flags), 10)
	t = strconv.AppendInt(append(t, ") "...), r.InternalDate, 10)
	t = hex.AppendEncode(append(t, ' '), r.GUID[:])
	s.basic ^= crc32.ChecksumIEEE(t)
	s.text = t

	if r.ThreadID != 0 && s.version >= Version13 {
		s.addAnnot(r.UID, "thrid", strconv.AppendUint(nil, r.ThreadID, 16))
	}
	if r.SaveDate != 0 && s.version >= 15 {
		s.addAnnot(r.UID, "savedate", strconv.AppendInt(nil, r.SaveDate, 10))
	}
	if r.CreatedModSeq != 0 && s.version >= Version16 {
		var digits [20]byte
		s.addAnnot(r.UID, "createdmodseq", strconv.AppendUint(digits[:0], r.CreatedModSeq, 10))
	}
}

// addAnnot counts what the index has of a message and replication takes for an annotation.
func (s *syncSums) addAnnot(uid uint32, name string, value []byte) {
	t := strconv.AppendUint(s.text[:0], uint64(uid), 10)
	t = append(append(t, " /vendor/cmu/cyrus-imapd/"...), name...)
	t = append(append(t, "  "...), value...) // between the blanks: no user
	s.annot ^= crc32.ChecksumIEEE(t)
	s.text = t
}

// SyncSums has the index tell the sums that Cyrus's replication compares, for a mailbox with
// these keywords in its header. It is called before the first [Writer.Add], and not for
// a mailbox that is updated: only Cyrus knows what annotations its messages have. Without it
// reconstruct puts them there.
func (w *Writer) SyncSums(keywords []string) {
	w.index.sums = newSyncSums(w.version, keywords)
}

// CheckSyncSums reports whether an index whose records are not read yet has the sums that
// [Writer.SyncSums] would put there, for a mailbox with these keywords and without
// annotations.
func CheckSyncSums(index *IndexReader, keywords []string) (bool, error) {
	h := index.Header()
	s := newSyncSums(h.Version, keywords)
	for {
		r, err := index.Next()
		if err == io.EOF {
			return s.basic == h.SyncCRC && (h.Version < Version13 || s.annot == h.SyncCRCAnnot), nil
		}
		if err != nil {
			return false, err
		}
		s.add(&r)
	}
}

// twoskipMagic begins a database of Cyrus's twoskip format (lib/cyrusdb_twoskip.c,
// HEADER_MAGIC), version 1.
var twoskipMagic = []byte("\xa1\x02\x8b\x0dtwoskip file\x00\x00\x00\x00\x00\x00\x00\x01")

// maxEmptyAnnotations is more than a database of no annotations takes.
const maxEmptyAnnotations = 4096

// EmptyAnnotations has Commit put a file cyrus.annotations into a new mailbox. file is one
// that Cyrus made for a mailbox without annotations; it makes one as soon as it opens a
// mailbox, and waits for the disk. EmptyAnnotations reports false, and does nothing,
// if that is no such file.
func (w *Writer) EmptyAnnotations(file []byte) bool {
	if !IsEmptyAnnotations(file) {
		return false
	}
	w.annotations = file
	return true
}

// IsEmptyAnnotations reports whether a file can be given to [Writer.EmptyAnnotations].
func IsEmptyAnnotations(file []byte) bool {
	return len(file) <= maxEmptyAnnotations && bytes.HasPrefix(file, twoskipMagic)
}
