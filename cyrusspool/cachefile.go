package cyrusspool

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// cacheFile writes a new cyrus.cache: the generation in 4 bytes, big-endian, and the
// records, in any order (imap/mailbox.c, cache_append_record). A nil cacheFile takes and
// gives nothing.
type cacheFile struct {
	file   *os.File
	out    *bufio.Writer
	size   int64
	parser *CacheParser

	parsed // of the message that is being written

	added   map[uint32]cached // by UID, until the record of the index comes
	missing int               // records of the index without one of the cache
}

// parsed is what is known of a message, if it is. Its record is good until the parser's
// next message.
type parsed struct {
	derived Derived
	record  []byte
	known   bool
}

func (d *parsed) parse(p *CacheParser, text []byte, date int64) {
	d.derived, d.record, d.known = p.Parse(text, date)
}

// cached is a record in the cache.
type cached struct {
	guid   [20]byte
	offset uint64
	Derived
}

// MakeCache makes the Writer write the records of cyrus.cache too, of those messages that
// p knows: reconstruct then need not parse them. It is for a mailbox of [CreateMailbox],
// before its first message.
func (w *Writer) MakeCache(p *CacheParser) error {
	if w.old != nil || w.cache != nil {
		return fmt.Errorf("mailbox %s: it has a cache", w.path)
	}
	err := w.owner.Do(func() error {
		fd, err := w.create(fileCache + newSuffix)
		if err != nil {
			return err
		}
		w.cache = &cacheFile{file: os.NewFile(uintptr(fd), fileCache+newSuffix), parser: p, added: map[uint32]cached{}}
		return w.own(fd)
	})
	if err != nil {
		return fmt.Errorf("mailbox %s: %w", w.path, err)
	}
	c := w.cache
	c.out = bufio.NewWriterSize(c.file, 1<<15)
	c.out.Write(make([]byte, generationSize)) // its place; an error comes again at the flush
	c.size = generationSize
	return nil
}

const generationSize = 4

// parse learns a message from a piece of it. One that comes in several is not known.
func (c *cacheFile) parse(p []byte, first bool, date int64) {
	if c == nil {
		return
	}
	if c.known = false; first {
		c.parsed.parse(c.parser, p, date)
	}
}

// keep adds the record of the message that was parsed last.
func (c *cacheFile) keep(uid uint32, guid [20]byte) error {
	if c == nil || !c.known {
		return nil
	}
	c.known = false
	if _, err := c.out.Write(c.record); err != nil {
		return fmt.Errorf("write %s: %w", fileCache, err)
	}
	c.added[uid] = cached{guid, uint64(c.size), c.derived}
	c.size += int64(len(c.record))
	return nil
}

// complete puts into r what is known of its message.
func (c *cacheFile) complete(r *Record) {
	if c == nil {
		return
	}
	d, ok := c.added[r.UID]
	delete(c.added, r.UID)
	if !ok || d.guid != r.GUID {
		c.missing++
		return
	}
	r.SentDate, r.GMTime, r.HeaderSize = d.SentDate, d.GMTime, d.HeaderSize
	r.CacheOffset, r.CacheVersion, r.CacheCRC = d.offset, d.Version, d.CRC
}

// finish completes the file and closes it.
func (c *cacheFile) finish(generation uint32) error {
	err := c.out.Flush()
	if err == nil {
		_, err = c.file.WriteAt(binary.BigEndian.AppendUint32(nil, generation), 0)
	}
	if err := errors.Join(err, c.file.Close()); err != nil {
		return fmt.Errorf("%s: %w", fileCache, err)
	}
	return nil
}

// ReadCacheRecord reads the record at offset of a cyrus.cache, a message's of up to
// [MaxCachedMessage] bytes. Its error wraps [ErrTruncated] where there is none.
func ReadCacheRecord(cache io.ReaderAt, offset uint64) ([]byte, error) {
	r := bufio.NewReader(io.NewSectionReader(cache, int64(offset), 4*MaxCachedMessage))
	var record []byte
	for range cacheItems {
		head, err := r.Peek(4)
		if err == nil {
			n := len(record)
			size := itemSize(head)
			if size > 2*MaxCachedMessage {
				return nil, fmt.Errorf("cyrus.cache: item of %d bytes at %d: %w", size, offset, ErrTruncated)
			}
			record = append(record, make([]byte, size)...)
			_, err = io.ReadFull(r, record[n:])
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = ErrTruncated
		}
		if err != nil {
			return nil, fmt.Errorf("cyrus.cache: record at %d: %w", offset, err)
		}
	}
	return record, nil
}

// cacheItems is how many items a record has (imap/mailbox.h, NUM_CACHE_FIELDS).
const cacheItems = 10

// itemSize is how many bytes an item of a record takes that begins with head, 4 bytes: its
// length is in them, and what fills it up to a multiple of 4 is not counted there.
func itemSize(head []byte) int64 { return 4 + (int64(binary.BigEndian.Uint32(head))+3)&^3 }
