package verify

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
)

// openFiles opens what belongs to an index: cyrus.cache, and, unless the message files have
// been read and all must be there, their directory. A cache of another index is told. An empty mailbox need not
// have one (Cyrus 3.12 removes it).
func (c *comparison) openFiles(place cyrusspool.Place, b *box) (err error) {
	c.cache, err = place.OpenCache()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if c.cache != nil && b.index.Header().NumRecords > 0 {
		generation, err := c.cache.Generation()
		if want := b.index.Header().Generation; err != nil {
			c.differ(report.Difference, "cache", -1, "%v", err)
		} else if generation != want {
			c.differ(report.Difference, "cache", -1, "its cyrus.cache is of generation %d, its index of %d", generation, want)
		}
	}
	if c.each.read && c.rec.FirstUID == 0 {
		return nil
	}
	c.dir, err = cyrusspool.OpenDir(place.Roots.Data, place.Dir)
	return err
}

func (c *comparison) closeFiles() error {
	var errs []error
	if c.cache != nil {
		errs = append(errs, c.cache.Close())
	}
	if c.dir != nil {
		errs = append(errs, c.dir.Close())
	}
	return errors.Join(errs...)
}

// cached says what is wrong with the cache record of a message, "" if nothing is.
func (c *comparison) cached(have cyrusspool.Record) string {
	if c.cache == nil {
		return "it has no record in cyrus.cache, which is missing"
	}
	crc, err := c.cache.CRC(have.CacheOffset)
	switch {
	case err != nil:
		return fmt.Sprintf("it has no record in cyrus.cache: %v", err)
	case c.version.HasCacheCRC() && crc != have.CacheCRC:
		return fmt.Sprintf("its record in cyrus.cache has CRC %08x, the index says %08x", crc, have.CacheCRC)
	}
	return ""
}

// file says what is wrong with the message file of a record, as far as can be told without
// reading it, "" if nothing is. One that Cyrus moved to an archive is elsewhere. Of files that
// have been read it is only open whether those of earlier passes that are missing may be.
func (c *comparison) file(have cyrusspool.Record) (kind, why string) {
	if c.dir == nil || have.SystemFlags&cyrusspool.FlagArchived != 0 || c.each.read && have.UID >= c.rec.FirstUID {
		return "", ""
	}
	var st unix.Stat_t
	name := string(append(strconv.AppendUint(make([]byte, 0, 12), uint64(have.UID), 10), '.'))
	switch err := unix.Fstatat(int(c.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case err == unix.ENOENT:
		return "file-missing", "its message file is missing"
	case c.each.read:
		return "", ""
	case err != nil:
		return "file-unreadable", fmt.Sprintf("its message file cannot be looked at: %v", err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return "file-unreadable", "its message file is no regular file"
	case uint64(st.Size) != have.Size:
		return "file-size", fmt.Sprintf("its message file has %d bytes, the index says %d", st.Size, have.Size)
	}
	return "", ""
}

// sums reads what is left of an index, and compares its header with its records.
func (c *comparison) sums(b *box) error {
	for {
		if _, err := b.next(); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	h := b.index.Header()
	if h.Version >= cyrusspool.Version12 && h.Exists != b.exists {
		c.differ(report.Difference, "index-sums", -1, "the header of its index counts %d messages, it has %d", h.Exists, b.exists)
	}
	if h.QuotaMailboxUsed != b.bytes {
		c.differ(report.Difference, "index-sums", -1, "the header of its index counts %d bytes, its messages have %d", h.QuotaMailboxUsed, b.bytes)
	}
	return nil
}
