package cyrusspool

import (
	"encoding/binary"
	"math"
)

// The layouts of all index versions. Sources: imap/mailbox.h, OFFSET_* of 2.2 to 3.12
// (version 5 is that of 2.2.1 alone);
// imap/index_file.c for version 20; the indexes of real servers in testdata/golden for
// 4, 6, 10, 12, 13, 16, 17 and 19. All integers are big-endian.

// newest is the highest version with a layout.
const newest = Version20

// A layout says where the fields of one version are.
type layout struct {
	headerSize, recordSize int
	header                 []slot[IndexHeader]
	record                 []slot[Record]
}

// A slot is a field at a place.
type slot[T any] struct {
	field[T]
	off, width int
}

// A field moves one value between a struct and bytes of a version's width. store
// returns false where the value does not fit.
type field[T any] struct {
	name  string
	load  func(b []byte, t *T)
	store func(b []byte, t *T) bool
}

// A row of a table is a field and where versions have it.
type row[T any] struct {
	field[T]
	places []place
}

// A place is where the versions from first to last have a field, both included.
type place struct {
	first, last Version
	off, width  int
}

func at[T any](f field[T], places ...place) row[T] { return row[T]{f, places} }

// headerRows is the header (imap/mailbox.h, OFFSET_*).
var headerRows = []row[IndexHeader]{
	at(number("generation_no", func(h *IndexHeader) *uint32 { return &h.Generation }), place{4, 20, 0, 4}),
	at(number("format", func(h *IndexHeader) *uint32 { return &h.Format }), place{4, 20, 4, 4}),
	at(number("minor_version", func(h *IndexHeader) *Version { return &h.Version }), place{4, 20, 8, 4}),
	at(number("start_offset", func(h *IndexHeader) *uint32 { return &h.HeaderSize }), place{4, 20, 12, 4}),
	at(number("record_size", func(h *IndexHeader) *uint32 { return &h.RecordSize }), place{4, 20, 16, 4}),
	at(number("num_records", func(h *IndexHeader) *uint32 { return &h.NumRecords }), place{4, 20, 20, 4}),
	at(instant("last_appenddate", func(h *IndexHeader) (*int64, *int64) { return &h.LastAppend, &h.nsec.append }),
		place{4, 19, 24, 4}, place{20, 20, 24, 8}),
	at(number("last_uid", func(h *IndexHeader) *uint32 { return &h.LastUID }),
		place{4, 19, 28, 4}, place{20, 20, 88, 4}),
	at(number("quota_mailbox_used", func(h *IndexHeader) *uint64 { return &h.QuotaMailboxUsed }),
		place{4, 5, 32, 4}, place{6, 20, 32, 8}),
	at(instant("pop3_last_login", func(h *IndexHeader) (*int64, *int64) { return &h.POP3LastLogin, &h.nsec.pop3 }),
		place{4, 5, 36, 4}, place{6, 19, 40, 4}, place{20, 20, 40, 8}),
	at(number("uidvalidity", func(h *IndexHeader) *uint32 { return &h.UIDValidity }),
		place{4, 5, 40, 4}, place{6, 19, 44, 4}, place{20, 20, 92, 4}),
	at(number("deleted", func(h *IndexHeader) *uint32 { return &h.Deleted }),
		place{4, 5, 44, 4}, place{6, 20, 48, 4}),
	at(number("answered", func(h *IndexHeader) *uint32 { return &h.Answered }),
		place{4, 5, 48, 4}, place{6, 20, 52, 4}),
	at(number("flagged", func(h *IndexHeader) *uint32 { return &h.Flagged }),
		place{4, 5, 52, 4}, place{6, 20, 56, 4}),
	// Up to version 9 this was OFFSET_POP3_NEW_UIDL, whose 1 became the first option.
	at(number("options", func(h *IndexHeader) *uint32 { return &h.Options }),
		place{4, 5, 56, 4}, place{6, 18, 60, 4}, place{19, 20, 64, 4}),
	at(number("leaked_cache_records", func(h *IndexHeader) *uint32 { return &h.LeakedCache }),
		place{5, 5, 60, 4}, place{6, 18, 64, 4}, place{19, 20, 68, 4}),
	at(number("highestmodseq", func(h *IndexHeader) *uint64 { return &h.HighestModSeq }),
		place{8, 18, 68, 8}, place{19, 20, 72, 8}),
	at(number("deletedmodseq", func(h *IndexHeader) *uint64 { return &h.DeletedModSeq }),
		place{12, 18, 76, 8}, place{19, 20, 80, 8}),
	at(number("exists", func(h *IndexHeader) *uint32 { return &h.Exists }),
		place{12, 18, 84, 4}, place{19, 20, 60, 4}),
	at(instant("first_expunged", func(h *IndexHeader) (*int64, *int64) { return &h.FirstExpunged, &h.nsec.expunged }),
		place{12, 19, 88, 4}, place{20, 20, 168, 8}),
	at(instant("last_repack_time", func(h *IndexHeader) (*int64, *int64) { return &h.LastRepack, &h.nsec.repack }),
		place{12, 19, 92, 4}, place{20, 20, 176, 8}),
	at(number("header_file_crc", func(h *IndexHeader) *uint32 { return &h.HeaderFileCRC }), place{12, 20, 96, 4}),
	at(number("sync_crc", func(h *IndexHeader) *uint32 { return &h.SyncCRC }), place{12, 20, 100, 4}),
	at(number("recentuid", func(h *IndexHeader) *uint32 { return &h.RecentUID }),
		place{12, 19, 104, 4}, place{20, 20, 184, 4}),
	at(instant("recenttime", func(h *IndexHeader) (*int64, *int64) { return &h.RecentTime, &h.nsec.recent }),
		place{12, 19, 108, 4}, place{20, 20, 104, 8}),
	at(instant("pop3_show_after", func(h *IndexHeader) (*int64, *int64) { return &h.POP3ShowAfter, &h.nsec.showAfter }),
		place{13, 19, 112, 4}, place{20, 20, 112, 8}),
	at(number("quota_annot_used", func(h *IndexHeader) *uint64 { return &h.QuotaAnnotUsed }),
		place{13, 19, 116, 4}, place{20, 20, 152, 8}),
	at(number("sync_crc_annot", func(h *IndexHeader) *uint32 { return &h.SyncCRCAnnot }), place{13, 20, 120, 4}),
	at(number("unseen", func(h *IndexHeader) *uint32 { return &h.Unseen }), place{14, 20, 124, 4}),
	at(number("createdmodseq", func(h *IndexHeader) *uint64 { return &h.CreatedModSeq }), place{16, 20, 128, 8}),
	at(instant("changes_epoch", func(h *IndexHeader) (*int64, *int64) { return &h.ChangesEpoch, &h.nsec.epoch }),
		place{17, 18, 136, 4}, place{19, 19, 152, 4}, place{20, 20, 160, 8}),
	at(number("quota_deleted_used", func(h *IndexHeader) *uint64 { return &h.QuotaDeletedUsed }),
		place{18, 18, 140, 8}, place{19, 20, 136, 8}),
	at(number("quota_expunged_used", func(h *IndexHeader) *uint64 { return &h.QuotaExpungeUsed }),
		place{18, 18, 148, 8}, place{19, 20, 144, 8}),
}

// recordRows is the record (imap/mailbox.h, OFFSET_*).
var recordRows = []row[Record]{
	at(number("uid", func(r *Record) *uint32 { return &r.UID }), place{4, 20, 0, 4}),
	at(instant("internaldate", func(r *Record) (*int64, *int64) { return &r.InternalDate, &r.nsec.internal }),
		place{4, 19, 4, 4}, place{20, 20, 8, 8}),
	at(instant("sentdate", func(r *Record) (*int64, *int64) { return &r.SentDate, &r.nsec.sent }),
		place{4, 19, 8, 4}, place{20, 20, 16, 8}),
	at(number("size", func(r *Record) *uint64 { return &r.Size }),
		place{4, 19, 12, 4}, place{20, 20, 24, 8}),
	at(number("header_size", func(r *Record) *uint32 { return &r.HeaderSize }),
		place{4, 19, 16, 4}, place{20, 20, 32, 4}),
	at(number("content_offset", func(r *Record) *uint32 { return &r.ContentOffset }), place{4, 10, 20, 4}),
	at(instant("gmtime", func(r *Record) (*int64, *int64) { return &r.GMTime, &r.nsec.gm }),
		place{12, 19, 20, 4}, place{20, 20, 104, 8}),
	at(cacheOffset, place{4, 19, 24, 4}, place{20, 20, 4, 4}),
	at(instant("last_updated", func(r *Record) (*int64, *int64) { return &r.LastUpdated, &r.nsec.updated }),
		place{4, 19, 28, 4}, place{20, 20, 112, 8}),
	at(number("system_flags", func(r *Record) *uint32 { return &r.SystemFlags }),
		place{4, 19, 32, 4}, place{20, 20, 36, 4}),
	at(number("user_flags", func(r *Record) *uint32 { return &r.UserFlags[0] }),
		place{4, 19, 36, 4}, place{20, 20, 40, 4}),
	at(number("user_flags", func(r *Record) *uint32 { return &r.UserFlags[1] }),
		place{4, 19, 40, 4}, place{20, 20, 44, 4}),
	at(number("user_flags", func(r *Record) *uint32 { return &r.UserFlags[2] }),
		place{4, 19, 44, 4}, place{20, 20, 48, 4}),
	at(number("user_flags", func(r *Record) *uint32 { return &r.UserFlags[3] }),
		place{4, 19, 48, 4}, place{20, 20, 52, 4}),
	at(number("content_lines", func(r *Record) *uint32 { return &r.ContentLines }), place{5, 14, 52, 4}),
	at(instant("savedate", func(r *Record) (*int64, *int64) { return &r.SaveDate, &r.nsec.save }),
		place{15, 19, 52, 4}, place{20, 20, 120, 8}),
	at(cacheVersion, place{6, 20, 56, 4}), // behind cache_offset: it adds to it
	at(guid, place{7, 9, 60, 12}, place{10, 20, 60, 20}),
	at(number("modseq", func(r *Record) *uint64 { return &r.ModSeq }),
		place{8, 9, 72, 8}, place{10, 20, 80, 8}),
	at(number("thread_id", func(r *Record) *uint64 { return &r.ThreadID }), place{13, 20, 88, 8}),
	at(number("createdmodseq", func(r *Record) *uint64 { return &r.CreatedModSeq }), place{16, 20, 96, 8}),
	at(number("basecid", func(r *Record) *uint64 { return &r.BaseThreadID }), place{20, 20, 128, 8}),
	at(number("cache_crc", func(r *Record) *uint32 { return &r.CacheCRC }),
		place{12, 12, 88, 4}, place{13, 15, 96, 4}, place{16, 19, 104, 4}, place{20, 20, 136, 4}),
}

var layouts = makeLayouts(map[Version]layout{
	4:  {headerSize: 76, recordSize: 52},
	5:  {headerSize: 76, recordSize: 56},
	6:  {headerSize: 76, recordSize: 60},
	7:  {headerSize: 76, recordSize: 72},
	8:  {headerSize: 92, recordSize: 80},
	9:  {headerSize: 96, recordSize: 80},
	10: {headerSize: 96, recordSize: 88},
	12: {headerSize: 128, recordSize: 96},
	13: {headerSize: 128, recordSize: 104},
	14: {headerSize: 160, recordSize: 104},
	15: {headerSize: 160, recordSize: 104},
	16: {headerSize: 160, recordSize: 112},
	17: {headerSize: 160, recordSize: 112},
	18: {headerSize: 160, recordSize: 112},
	19: {headerSize: 160, recordSize: 112},
	20: {headerSize: 192, recordSize: 144},
})

func makeLayouts(sizes map[Version]layout) (all [newest + 1]layout) {
	for v, l := range sizes {
		l.header = slotsOf(headerRows, v)
		l.record = slotsOf(recordRows, v)
		all[v] = l
	}
	return all
}

func slotsOf[T any](rows []row[T], v Version) []slot[T] {
	var slots []slot[T]
	for _, r := range rows {
		for _, p := range r.places {
			if p.first <= v && v <= p.last {
				slots = append(slots, slot[T]{r.field, p.off, p.width})
			}
		}
	}
	return slots
}

// number is a field of 4 or 8 bytes.
func number[T any, N ~uint32 | ~uint64](name string, value func(*T) *N) field[T] {
	return field[T]{
		name:  name,
		load:  func(b []byte, t *T) { *value(t) = N(getUint(b)) },
		store: func(b []byte, t *T) bool { return putUint(b, uint64(*value(t))) },
	}
}

// instant is a time: 4 bytes of unsigned seconds, or 8 bytes of signed nanoseconds.
func instant[T any](name string, value func(*T) (sec, nsec *int64)) field[T] {
	const billion = 1_000_000_000
	return field[T]{
		name: name,
		load: func(b []byte, t *T) {
			sec, nsec := value(t)
			*sec, *nsec = int64(getUint(b)), 0
			if len(b) == 8 {
				ns := *sec
				*sec, *nsec = ns/billion, ns%billion
				if *nsec < 0 {
					*sec, *nsec = *sec-1, *nsec+billion
				}
			}
		},
		store: func(b []byte, t *T) bool {
			sec, nsec := value(t)
			if len(b) == 4 {
				return *sec >= 0 && putUint(b, uint64(*sec))
			}
			if *sec < math.MinInt64/billion-1 || *sec > math.MaxInt64/billion {
				return false
			}
			ns := *sec*billion + *nsec // may wrap around at both ends
			if (ns < 0) != (*sec < 0) {
				return false
			}
			binary.BigEndian.PutUint64(b, uint64(ns))
			return true
		},
	}
}

// cacheOffset holds the low 32 bits of the offset.
var cacheOffset = field[Record]{
	name:  "cache_offset",
	load:  func(b []byte, r *Record) { r.CacheOffset = getUint(b) },
	store: func(b []byte, r *Record) bool { return putUint(b, r.CacheOffset&math.MaxUint32) },
}

// cacheVersion holds the version in its low half and, from Cyrus 3.2 on and in any
// index version, bits 32 to 47 of the cache offset in its high half.
var cacheVersion = field[Record]{
	name: "cache_version",
	load: func(b []byte, r *Record) {
		v := getUint(b)
		r.CacheVersion = uint32(v & 0xffff)
		r.CacheOffset |= v >> 16 << 32
	},
	store: func(b []byte, r *Record) bool {
		high := r.CacheOffset >> 32
		return high <= 0xffff && r.CacheVersion <= 0xffff && putUint(b, high<<16|uint64(r.CacheVersion))
	},
}

var guid = field[Record]{
	name: "guid",
	load: func(b []byte, r *Record) { copy(r.GUID[:], b) },
	store: func(b []byte, r *Record) bool {
		copy(b, r.GUID[:])
		return true
	},
}

func getUint(b []byte) uint64 {
	if len(b) == 4 {
		return uint64(binary.BigEndian.Uint32(b))
	}
	return binary.BigEndian.Uint64(b)
}

func putUint(b []byte, n uint64) bool {
	if len(b) == 4 {
		binary.BigEndian.PutUint32(b, uint32(n))
		return n <= math.MaxUint32
	}
	binary.BigEndian.PutUint64(b, n)
	return true
}
