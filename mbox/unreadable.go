package mbox

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ErrUnreadable is wrapped by the error of [Message.WriteTo] for a message of which the
// disk does not give all bytes (EIO, as for a bad block). The message is over then: its
// EndOffset is set, its bytes are accounted for, a [Finding] of KindUnreadable tells of
// them, and the mailbox can be read on. Of one of up to [WrittenAtOnce] bytes, as it is then,
// nothing was written.
var ErrUnreadable = errors.New("a part of it cannot be read")

const (
	// badBlockSize is in what pieces the kernel reads files (its page): the least of which
	// it can be told whether it can be read.
	badBlockSize = 4096
	// maxBadBlocks is how many bad blocks of one file are read around, maxHostBadBlocks of
	// all files of a host. A disk may take half a minute to give one up.
	maxBadBlocks     = 256
	maxHostBadBlocks = 2048
)

// rescueAdvice is what to do about bad blocks.
const rescueAdvice = "copy the file with ddrescue, put the copy in its place and run again"

// span is a range of bytes of a file.
type span struct{ from, to int64 }

// badBlocks are the blocks of one file that were found bad. They are not tried again.
type badBlocks struct {
	spans []span // ascending, none touches another
	n     int
	all   *atomic.Int64 // of the host; nil: there is no host
	first func()        // if not nil, called for the first
}

// add takes up the block at offset from.
func (b *badBlocks) add(from int64) error {
	var total int64
	if b.all != nil {
		total = b.all.Add(1)
	}
	switch b.n++; {
	case b.n > maxBadBlocks:
		return fmt.Errorf("more than %d blocks of %d bytes cannot be read; %s: %w", maxBadBlocks, badBlockSize, rescueAdvice, unix.EIO)
	case total > maxHostBadBlocks:
		return fmt.Errorf("more than %d blocks of %d bytes of all files cannot be read: the disk is failing; copy it with ddrescue and run again on the copy: %w", maxHostBadBlocks, badBlockSize, unix.EIO)
	case b.n == 1 && b.first != nil:
		b.first()
	}
	to := from + badBlockSize
	i, _ := slices.BinarySearchFunc(b.spans, from, func(s span, at int64) int {
		if s.to < at {
			return -1
		}
		return 1
	})
	// spans[i] is the first that ends at from or behind.
	switch {
	case i < len(b.spans) && b.spans[i].to == from:
		b.spans[i].to = to
		if i+1 < len(b.spans) && b.spans[i+1].from == to {
			b.spans[i].to = b.spans[i+1].to
			b.spans = slices.Delete(b.spans, i+1, i+2)
		}
	case i < len(b.spans) && b.spans[i].from == to:
		b.spans[i].from = from
	default:
		b.spans = slices.Insert(b.spans, i, span{from, to})
	}
	return nil
}

// within returns the parts of a range that cannot be read.
func (b *badBlocks) within(from, to int64) (parts []span) {
	for _, s := range b.spans {
		if s.from < to && from < s.to {
			parts = append(parts, span{max(s.from, from), min(s.to, to)})
		}
	}
	return parts
}

// blockReader reads a file around its bad blocks: what cannot be read is filled with
// question marks, in lines of 64 characters. The fill has no blank line and does not end a
// line, so that no message seems to begin in it or right behind it.
type blockReader struct {
	src io.ReaderAt
	bad *badBlocks
}

// aroundBadBlocks returns a reader of src, which may be one already.
func aroundBadBlocks(src io.ReaderAt) *blockReader {
	if r, ok := src.(*blockReader); ok {
		return r
	}
	return &blockReader{src: src, bad: &badBlocks{}}
}

// ReadAt implements io.ReaderAt.
func (r *blockReader) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		pos := off + int64(n)
		end := off + int64(len(p))
		for _, s := range r.bad.spans {
			if s.to > pos {
				if s.from <= pos {
					fill(p[n:min(s.to, end)-off], pos)
					n = int(min(s.to, end) - off)
				}
				end = min(end, max(s.from, off+int64(n)))
				break
			}
		}
		if end <= off+int64(n) {
			continue
		}
		m, err := r.src.ReadAt(p[n:end-off], off+int64(n))
		n += m
		if errors.Is(err, unix.EIO) {
			// The kernel may have given up in what it reads ahead: the block alone decides.
			m, err = r.block(p[n:], off+int64(n))
			n += m
		}
		if err != nil && n < len(p) && !(err == io.EOF && off+int64(n) == end) {
			return n, err
		}
	}
	return n, nil
}

// block reads the rest of the block at pos, as much as p takes.
func (r *blockReader) block(p []byte, pos int64) (int, error) {
	start := pos - pos%badBlockSize
	p = p[:min(int64(len(p)), start+badBlockSize-pos)]
	n, err := r.src.ReadAt(p, pos)
	if !errors.Is(err, unix.EIO) {
		return n, err
	}
	if err := r.bad.add(start); err != nil {
		return n, err
	}
	fill(p, pos)
	return len(p), nil
}

// fill puts the bytes that stand for unreadable ones, from offset pos on, into p.
func fill(p []byte, pos int64) {
	const width = 64
	for i := range p {
		if p[i] = '?'; (pos+int64(i))%width == width/2 {
			p[i] = '\n'
		}
	}
}

// unreadable returns which parts of a range of src were found unreadable.
func unreadable(src io.ReaderAt, from, to int64) []span {
	if r, ok := src.(*blockReader); ok && len(r.bad.spans) > 0 {
		return r.bad.within(from, to)
	}
	return nil
}

func unreadableError(parts []span) error {
	if len(parts) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", describe(parts), ErrUnreadable)
}

// sum is how many bytes the parts are.
func sum(parts []span) (n int64) {
	for _, p := range parts {
		n += p.to - p.from
	}
	return n
}

// describe names ranges of bytes, not more than a few.
func describe(parts []span) string {
	const most = 5
	var words []string
	for i, p := range parts {
		if i == most {
			words = append(words, fmt.Sprintf("%d more", len(parts)-most))
			break
		}
		words = append(words, fmt.Sprintf("%d bytes at offset %d", p.to-p.from, p.from))
	}
	return strings.Join(words, ", ")
}

// lost is the finding that length bytes at offset, which hold parts that cannot be read,
// are in no message. what says what they are.
func lost(file string, offset, length int64, message int, what string, parts []span) Finding {
	return Finding{Kind: KindUnreadable, File: file, Offset: offset, Length: length, Message: message,
		Text: fmt.Sprintf("%s: of %d bytes, these cannot be read from the disk: %s; %s", what, length, describe(parts), rescueAdvice)}
}

// enterLost counts length bytes with parts that cannot be read.
func (a Account) enterLost(length int64, parts []span) {
	n := sum(parts)
	a[ReasonUnreadable] += n
	a[ReasonDamage] += length - n
}

// enterRange counts a range of src under reason, but for what of it cannot be read.
func (a Account) enterRange(reason Reason, src io.ReaderAt, from, to int64) (parts []span) {
	parts = unreadable(src, from, to)
	n := sum(parts)
	a[reason] += to - from - n
	if n > 0 {
		a[ReasonUnreadable] += n
	}
	return parts
}
