package cyrusspool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// A CacheReader tells the CRCs of the records of a cyrus.cache. It reads the file once, if
// it is asked in the order of the offsets, in constant memory.
type CacheReader struct {
	file *os.File
	size int64
	buf  []byte // some bytes of the file
	off  int64  // of the first of buf
}

// cacheWindow is how much of a cyrus.cache is in memory.
const cacheWindow = 256 << 10

// OpenCache opens cyrus.cache, as [OpenFile] does.
func (p Place) OpenCache() (*CacheReader, error) {
	f, err := OpenFile(p.Roots.Cache, p.CacheFile())
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &CacheReader{file: f, size: info.Size()}, nil
}

// Close closes the file.
func (c *CacheReader) Close() error { return c.file.Close() }

// Generation is the number that the file begins with: that of its index. Its error wraps
// [ErrTruncated] in a file of less than 4 bytes.
func (c *CacheReader) Generation() (uint32, error) {
	b, err := c.at(0, generationSize)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

// CRC returns the CRC-32 of the record at an offset (imap/mailbox.c, cache_record's
// cache_crc). Its error wraps [ErrTruncated] where there is no record, or is of reading.
func (c *CacheReader) CRC(offset uint64) (crc uint32, err error) {
	if offset > uint64(c.size) {
		return 0, fmt.Errorf("cyrus.cache: record at %d, behind its end: %w", offset, ErrTruncated)
	}
	pos := int64(offset)
	for range cacheItems {
		head, err := c.at(pos, 4)
		if err != nil {
			return 0, err
		}
		for left := itemSize(head); left > 0; {
			n := min(left, cacheWindow)
			b, err := c.at(pos, n)
			if err != nil {
				return 0, err
			}
			crc = crc32.Update(crc, crc32.IEEETable, b)
			pos, left = pos+n, left-n
		}
	}
	return crc, nil
}

// at returns n bytes at pos, at most cacheWindow.
func (c *CacheReader) at(pos, n int64) ([]byte, error) {
	if pos+n > c.size {
		return nil, fmt.Errorf("cyrus.cache: %d bytes at %d of %d: %w", n, pos, c.size, ErrTruncated)
	}
	if pos < c.off || pos+n > c.off+int64(len(c.buf)) {
		if c.buf == nil {
			c.buf = make([]byte, min(cacheWindow, c.size))
		}
		c.off = pos
		c.buf = c.buf[:min(int64(cap(c.buf)), c.size-pos)]
		if _, err := c.file.ReadAt(c.buf, pos); err != nil {
			c.buf = c.buf[:0]
			if err == io.EOF {
				err = ErrTruncated // it became shorter
			}
			return nil, fmt.Errorf("cyrus.cache: at %d: %w", pos, err)
		}
	}
	return c.buf[pos-c.off:][:n], nil
}
