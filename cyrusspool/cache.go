package cyrusspool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"
)

// A CacheParser works out what Cyrus keeps of a message in cyrus.cache and in the index,
// which otherwise reconstruct finds by parsing the message. It knows only what is certain:
// whatever in a message is odd makes the message not known, and it is left to reconstruct.
//
// The record is that of imap/message.c, message_write_cache and what it calls. Cyrus's
// configuration changes it (rfc2046_strict, maxheaderlines): before it is used on a Cyrus,
// it should be compared with what that Cyrus makes of some messages. A CacheParser is for
// one goroutine.
type CacheParser struct {
	zone    *time.Location
	version uint32

	msg        []byte
	parts      []cachePart
	boundaries [][]byte
	fields     fieldScratch
	words      wordDecoder
	content    contentSum
	item       []byte
	out        []byte
}

// ErrCacheVersion is the error of a version of cache records that is not known.
var ErrCacheVersion = errors.New("unknown version of cyrus.cache")

// cacheVersions are the versions of records that a CacheParser makes, each compared with
// those of real releases. 10, of 3.2 and 3.4, writes names otherwise.
var cacheVersions = []uint32{
	11, // 3.6 to 3.10
	13, // 3.12
}

// NewCacheParser makes a CacheParser for a Cyrus that writes cache records of that version
// (MAILBOX_CACHE_MINOR_VERSION) and whose programs have their clocks in zone: dates of
// messages, for searching, are cut to days there. The error wraps [ErrCacheVersion].
func NewCacheParser(version uint32, zone *time.Location) (*CacheParser, error) {
	if !slices.Contains(cacheVersions, version) {
		return nil, fmt.Errorf("version %d: %w", version, ErrCacheVersion)
	}
	return &CacheParser{version: version, zone: zone}, nil
}

// another returns a CacheParser for another goroutine.
func (p *CacheParser) another() *CacheParser {
	return &CacheParser{version: p.version, zone: p.zone}
}

// Limits of what is parsed. Cyrus has its own, which can be configured (maxheaderlines,
// boundary_limit), and are far above these.
const (
	// MaxCachedMessage is the size of the largest message, in bytes, that is parsed.
	MaxCachedMessage = 1 << 20
	MaxCachedLines   = 400 // lines of a header, the blank one included
	MaxCachedDepth   = 8   // parts in one another
	maxCachedParts   = 200
)

// A Derived is what Cyrus computes from the text of a message.
type Derived struct {
	SentDate   int64  // the day of Date, in seconds since 1970, local midnight
	GMTime     int64  // Date in seconds since 1970
	HeaderSize uint32 // bytes, the blank line included
	Version    uint32 // of the cache record
	CRC        uint32 // of the cache record
}

// Parse returns what Cyrus computes from msg, a whole message as it is stored, and the
// record for cyrus.cache, which is valid until the next call. known is false for a message
// of which that is not certain. internalDate, in seconds since 1970, stands in for a Date
// field that is not there.
func (p *CacheParser) Parse(msg []byte, internalDate int64) (d Derived, record []byte, known bool) {
	if len(msg) == 0 || len(msg) > MaxCachedMessage || msg[len(msg)-1] != '\n' {
		return d, nil, false
	}
	p.msg = msg
	if p.parts == nil {
		p.parts = make([]cachePart, 0, maxCachedParts) // as many as there can be: none ever moves
	}
	p.parts, p.boundaries = p.parts[:0], p.boundaries[:0]
	p.fields.reset()
	top, _, ok := p.parsePart(0, &defaultType, 0)
	if !ok {
		return d, nil, false
	}
	root := &p.parts[top]
	if root.env.date == nil {
		d.SentDate, d.GMTime, ok = internalTimes(internalDate, p.zone)
	} else {
		d.SentDate, d.GMTime, ok = sentTimes(root.env.date, p.zone)
	}
	if !ok {
		return d, nil, false
	}
	if record, ok = p.appendRecord(root); !ok {
		return d, nil, false
	}
	d.HeaderSize, d.Version, d.CRC = root.headerSize, p.version, crc32.ChecksumIEEE(record)
	return d, record, true
}

// appendRecord writes the ten items of a record, in their order (imap/mailbox.h,
// CACHE_ENVELOPE to CACHE_SUBJECT): each a length of 4 bytes, big-endian, and its bytes,
// with NULs up to a multiple of 4 (imap/message.c, message_write_xdrstring).
func (p *CacheParser) appendRecord(root *cachePart) (record []byte, ok bool) {
	out := p.out[:0]
	add := func(item []byte) {
		p.item = item
		out = binary.BigEndian.AppendUint32(out, uint32(len(item)))
		out = append(out, item...)
		out = append(out, "\x00\x00\x00"[:-len(item)&3]...)
		p.out = out
	}
	add(appendEnvelope(p.item[:0], &root.env))
	add(p.appendStructure(p.item[:0], root, true))
	add(p.appendStructure(p.item[:0], root, false))
	add(p.appendMessageSection(p.item[:0], root))
	add(append(p.item[:0], p.fields.cached...))
	for _, list := range [][]cacheAddress{root.env.from, root.env.to, root.env.cc, root.env.bcc} {
		item, ok := p.words.appendAddresses(p.item[:0], list)
		if !ok {
			return nil, false
		}
		add(item)
	}
	subject := root.env.subject
	if subject != nil {
		if subject, ok = p.words.decode(subject); !ok {
			return nil, false
		}
	}
	add(appendNString(p.item[:0], subject))
	return out, true
}
