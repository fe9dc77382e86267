package cyrusspool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// Version is the minor version of a cyrus.index, which decides its layout.
type Version uint32

// The versions that releases write for new mailboxes. All releases read older ones; a
// newer one than a release knows makes reconstruct throw the index away.
const (
	Version4  Version = 4  // Cyrus 2.1
	Version6  Version = 6  // 2.2
	Version10 Version = 10 // 2.3
	Version12 Version = 12 // 2.4, the first with CRCs and with \Seen
	Version13 Version = 13 // 2.5 and 3.0
	Version16 Version = 16 // 3.2
	Version17 Version = 17 // 3.4 to 3.8
	Version19 Version = 19 // 3.10 and 3.12
	Version20 Version = 20 // after 3.12, times in nanoseconds
)

// Known tells whether this package has the layout of v. Not known are those before 4
// (Cyrus 2.0 and older) and 11, which never left Fastmail.
func (v Version) Known() bool { return v <= newest && layouts[v].headerSize != 0 }

// HeaderSize returns the size of the index header in bytes, 0 for an unknown version.
func (v Version) HeaderSize() int {
	if !v.Known() {
		return 0
	}
	return layouts[v].headerSize
}

// RecordSize returns the size of a record in bytes, 0 for an unknown version.
func (v Version) RecordSize() int {
	if !v.Known() {
		return 0
	}
	return layouts[v].recordSize
}

// SystemFlags returns the flags that a record of this version can have. Up to 10, \Seen
// is in the seen state of each user ([SeenState]).
func (v Version) SystemFlags() uint32 {
	const old = FlagAnswered | FlagFlagged | FlagDeleted | FlagDraft
	if v < Version12 {
		return old
	}
	return ^uint32(0)
}

// HasGUID tells whether records have the SHA-1 of the message.
func (v Version) HasGUID() bool { return v >= Version10 }

// hasCRC tells whether header and records end in a CRC-32 of what stands before it.
func (v Version) hasCRC() bool { return v >= Version12 }

// HasCacheCRC tells whether a record has the CRC-32 of its record of cyrus.cache.
func (v Version) HasCacheCRC() bool { return v.hasCRC() }

// System flags of a record (imap/mailbox.h, FLAG_*).
const (
	FlagAnswered uint32 = 1 << 0
	FlagFlagged  uint32 = 1 << 1
	FlagDeleted  uint32 = 1 << 2
	FlagDraft    uint32 = 1 << 3
	FlagSeen     uint32 = 1 << 4 // of the mailbox's owner; from version 12 on

	// Cyrus's own, never set by this package.
	FlagSnoozed           uint32 = 1 << 26
	FlagSplitConversation uint32 = 1 << 27
	FlagNeedsCleanup      uint32 = 1 << 28
	FlagArchived          uint32 = 1 << 29
	FlagUnlinked          uint32 = 1 << 30 // the message file is gone
	FlagExpunged          uint32 = 1 << 31 // the message is gone for IMAP
)

// Options of a mailbox (imap/mailbox.h, OPT_*).
const (
	OptPOP3NewUIDL uint32 = 1 << 0
	OptCondstore   uint32 = 1 << 1
	OptSharedSeen  uint32 = 1 << 2
	OptDupDeliver  uint32 = 1 << 3
	OptHasAlarms   uint32 = 1 << 4
	OptNeedsUnlink uint32 = 1 << 29
	OptNeedsRepack uint32 = 1 << 30 // reconstruct rewrites index and cache, and so makes a missing cache
	OptDeleted     uint32 = 1 << 31
)

// IndexHeader is the header of cyrus.index. Times are seconds since 1970. A field that
// a version does not have is 0 when read and is not written.
type IndexHeader struct {
	Generation uint32 // the same number begins cyrus.cache
	Format     uint32 // 0, or 1 of a netnews mailbox up to 2.2
	Version    Version
	HeaderSize uint32 // set when read; writing goes by Version
	RecordSize uint32 // likewise
	NumRecords uint32 // expunged ones included

	LastAppend       int64
	LastUID          uint32 // UIDNEXT-1
	QuotaMailboxUsed uint64 // bytes of all messages
	POP3LastLogin    int64
	UIDValidity      uint32
	Deleted          uint32 // number of messages with \Deleted
	Answered         uint32
	Flagged          uint32
	Options          uint32
	LeakedCache      uint32 // number of cache records that nothing points to
	HighestModSeq    uint64
	DeletedModSeq    uint64
	Exists           uint32 // number of messages that are not expunged
	FirstExpunged    int64
	LastRepack       int64
	HeaderFileCRC    uint32 // CRC-32 of cyrus.header
	SyncCRC          uint32
	RecentUID        uint32 // for the owner, messages above it are \Recent
	RecentTime       int64
	POP3ShowAfter    int64
	QuotaAnnotUsed   uint64
	SyncCRCAnnot     uint32
	Unseen           uint32
	CreatedModSeq    uint64
	ChangesEpoch     int64
	QuotaDeletedUsed uint64
	QuotaExpungeUsed uint64

	nsec headerNanos // below the second, from version 20 on
}

type headerNanos struct{ append, pop3, expunged, repack, recent, showAfter, epoch int64 }

// Record is the record of one message. Times are seconds since 1970. A field that a
// version does not have is 0 when read and is not written, except \Seen in
// SystemFlags, which a version without it refuses.
type Record struct {
	UID           uint32
	InternalDate  int64
	SentDate      int64 // day of the Date header
	Size          uint64
	HeaderSize    uint32
	GMTime        int64  // the Date header; version 12 and later
	ContentOffset uint32 // up to version 10
	CacheOffset   uint64
	LastUpdated   int64
	SystemFlags   uint32
	UserFlags     [4]uint32 // keyword n of cyrus.header is bit n%32 of word n/32
	ContentLines  uint32    // up to version 14
	SaveDate      int64     // version 15 and later
	CacheVersion  uint32
	GUID          [20]byte // SHA-1 of the message file; from 7 to 9 a UUID in the first 12 bytes
	ModSeq        uint64
	ThreadID      uint64 // conversation id
	CreatedModSeq uint64
	BaseThreadID  uint64 // version 20
	CacheCRC      uint32

	nsec recordNanos // below the second, from version 20 on
}

// Gone reports whether clients do not see the message any more, though the index still has
// its record.
func (r Record) Gone() bool { return r.SystemFlags&(FlagExpunged|FlagUnlinked) != 0 }

type recordNanos struct{ internal, sent, gm, updated, save int64 }

// Errors of an index. Those of reading wrap one of the first four.
var (
	ErrTruncated       = errors.New("cyrus.index is cut short")
	ErrCRC             = errors.New("CRC of cyrus.index does not match")
	ErrIndexVersion    = errors.New("unknown version of cyrus.index")
	ErrIndexSize       = errors.New("header or record size of cyrus.index does not fit its version")
	ErrRange           = errors.New("value does not fit this version of cyrus.index")
	ErrSeenUnsupported = errors.New("this version of cyrus.index cannot hold \\Seen")
)

// AppendTo appends the header in the layout of h.Version, CRC included. A value that
// the version has no room for wraps [ErrRange].
func (h *IndexHeader) AppendTo(b []byte) ([]byte, error) {
	if !h.Version.Known() {
		return b, fmt.Errorf("version %d: %w", h.Version, ErrIndexVersion)
	}
	l := &layouts[h.Version]
	sized := *h
	sized.HeaderSize, sized.RecordSize = uint32(l.headerSize), uint32(l.recordSize)
	return appendStruct(b, h.Version, l.headerSize, l.header, &sized)
}

// ParseIndexHeader reads the header that begins b and checks its CRC. The error wraps
// [ErrTruncated], [ErrIndexVersion], [ErrIndexSize] or [ErrCRC].
func ParseIndexHeader(b []byte) (IndexHeader, error) {
	// Offsets 8, 12 and 16 are the same in all versions.
	if len(b) < 20 {
		return IndexHeader{}, fmt.Errorf("header of %d bytes: %w", len(b), ErrTruncated)
	}
	v := Version(binary.BigEndian.Uint32(b[8:]))
	if !v.Known() {
		return IndexHeader{}, fmt.Errorf("version %d: %w", v, ErrIndexVersion)
	}
	l := &layouts[v]
	if hs, rs := binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint32(b[16:]); hs != uint32(l.headerSize) || rs != uint32(l.recordSize) {
		return IndexHeader{}, fmt.Errorf("version %d with %d and %d bytes: %w", v, hs, rs, ErrIndexSize)
	}
	var h IndexHeader
	if err := parseStruct(b, v, l.headerSize, l.header, &h); err != nil {
		return IndexHeader{}, fmt.Errorf("header: %w", err)
	}
	return h, nil
}

// AppendRecord appends r in the layout of v, CRC included. A value that the version has
// no room for wraps [ErrRange], \Seen before version 12 [ErrSeenUnsupported].
func AppendRecord(b []byte, v Version, r *Record) ([]byte, error) {
	if !v.Known() {
		return b, fmt.Errorf("version %d: %w", v, ErrIndexVersion)
	}
	if v < Version12 && r.SystemFlags&FlagSeen != 0 {
		return b, fmt.Errorf("version %d, uid %d: %w", v, r.UID, ErrSeenUnsupported)
	}
	l := &layouts[v]
	out, err := appendStruct(b, v, l.recordSize, l.record, r)
	if err != nil {
		return b, fmt.Errorf("uid %d: %w", r.UID, err)
	}
	return out, nil
}

// ParseRecord reads the record of version v that begins b and checks its CRC. The error
// wraps [ErrTruncated], [ErrIndexVersion] or [ErrCRC].
func ParseRecord(b []byte, v Version) (Record, error) {
	if !v.Known() {
		return Record{}, fmt.Errorf("version %d: %w", v, ErrIndexVersion)
	}
	var r Record
	l := &layouts[v]
	if err := parseStruct(b, v, l.recordSize, l.record, &r); err != nil {
		return Record{}, fmt.Errorf("record: %w", err)
	}
	return r, nil
}

func appendStruct[T any](b []byte, v Version, size int, slots []slot[T], t *T) ([]byte, error) {
	start := len(b)
	out := slices.Grow(b, size)[:start+size]
	data := out[start:]
	clear(data)
	for _, s := range slots {
		if !s.store(data[s.off:s.off+s.width], t) {
			return b, fmt.Errorf("%s in version %d: %w", s.name, v, ErrRange)
		}
	}
	if v.hasCRC() {
		at := size - 4
		binary.BigEndian.PutUint32(data[at:], crc32.ChecksumIEEE(data[:at]))
	}
	return out, nil
}

func parseStruct[T any](b []byte, v Version, size int, slots []slot[T], t *T) error {
	if len(b) < size {
		return fmt.Errorf("%d bytes of %d: %w", len(b), size, ErrTruncated)
	}
	b = b[:size]
	if v.hasCRC() {
		at := size - 4
		if want, got := binary.BigEndian.Uint32(b[at:]), crc32.ChecksumIEEE(b[:at]); want != got {
			return fmt.Errorf("%08x, not %08x: %w", got, want, ErrCRC)
		}
	}
	for _, s := range slots {
		s.load(b[s.off:s.off+s.width], t)
	}
	return nil
}
