package mbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// mxFormat is UW's driver "mx" (mx.c mx_isvalid).
var mxFormat = directoryFormat{
	name:    FormatMX,
	matches: func(dir *directory) bool { return dir.has(mxIndexName, unix.S_IFREG) },
	open: func(dir *directory, opts Options) Mailbox {
		return newNumbered(dir, opts, numberedKind{own: []string{mxIndexName}, learn: learnMX})
	},
}

// mxIndexName is the file that has UIDVALIDITY, last UID, keywords and flags (mx.c).
const mxIndexName = ".mxindex"

// learnMX reads .mxindex. Messages are the files, not what is in the index: a file
// without a record has no flags, a record without a file means nothing, and neither is
// ever \Recent when the mailbox is opened (mx.c mx_ping, mx_lockindex).
func learnMX(n *numbered) error {
	size, ok := n.own[mxIndexName]
	if !ok {
		n.found.find(Finding{Kind: KindUIDEpochLost, File: mxIndexName, Text: "UIDVALIDITY cannot be kept: the mailbox has no index; flags and keywords are lost"})
		return nil
	}
	file, m, refused, err := n.dir.member(mxIndexName)
	if err != nil {
		return err
	}
	if file == nil {
		n.account[ReasonDamage] += size
		n.found.find(Finding{Kind: KindUIDEpochLost, File: mxIndexName, Length: size, Refused: true, Text: "UIDVALIDITY cannot be kept: the index was not read; flags and keywords are lost: " + refused})
		return nil
	}
	src := n.dir.blocks(mxIndexName, file)
	x := newMXIndex(io.NewSectionReader(src, 0, m.size), &n.found)
	x.file = src
	err = x.read(func(uid uint32, keywords uint32, flags Flags) {
		if f := n.find(uid); f != nil {
			f.keywords, f.flags = keywords, f.flags|flags
		}
	})
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("%s: %w", mxIndexName, err)
	}
	n.account[ReasonDamage] += x.damaged
	n.account[ReasonUnreadable] += x.unread
	n.account[ReasonIndex] += m.size - x.damaged - x.unread
	n.adopt(x, m.size)
	return nil
}

// adopt takes the index's identity and keywords for the mailbox.
func (n *numbered) adopt(x *mxIndex, size int64) {
	n.keywords = x.keywords
	var known uint32
	for bit, name := range x.keywords {
		if name != "" {
			known |= 1 << bit
		}
	}
	unnamed := 0
	for i := range n.ordinary {
		if f := &n.ordinary[i]; f.keywords&^known != 0 {
			f.keywords &= known
			unnamed++
		}
	}
	if unnamed > 0 {
		n.found.find(Finding{Kind: KindKeywordUnknown, File: mxIndexName, Text: fmt.Sprintf("%d messages have keywords whose names the index does not have; they are lost", unnamed)})
	}
	lose := func(why string) {
		n.validity = 0
		n.found.find(Finding{Kind: KindUIDEpochLost, File: mxIndexName, Text: "UIDVALIDITY cannot be kept: " + why})
	}
	switch {
	case size == 0: // UW has not opened it yet
	case x.validity == 0:
		lose("the index has none")
	case x.validity > maxUIDValidity:
		lose(validityTooGreat)
	case x.last > maxUID:
		lose("the last UID in the index has more than 30 bits")
	default:
		n.validity = uint32(x.validity)
		// UW forgets files that are above the index's last UID; their UIDs are used.
		n.last = max(n.last, uint32(x.last))
	}
}

// mxIndex reads the records of a .mxindex file, which follow one another without
// separators (mx.c mx_lockindex, mx_unlockindex):
//
//	V<hexadecimal>   UIDVALIDITY
//	L<hexadecimal>   last UID
//	K<name> LF       keyword, in the order of the bits
//	M<UID>;<keyword bits>.<flag bits>, all hexadecimal
//
// UW ignores what follows a record that it cannot read; here reading goes on at the next
// M record in the form that UW writes.
type mxIndex struct {
	file  io.ReaderAt // that src is of, to know what of it cannot be read
	src   io.ReadSeeker
	in    *bufio.Reader // of src
	pos   int64
	noLF  bool // from pos on
	found *limitedFindings

	validity, last uint64
	keywords       []string
	damaged        int64 // bytes of no record
	unread         int64 // bytes that cannot be read
}

func newMXIndex(src io.ReadSeeker, found *limitedFindings) *mxIndex {
	return &mxIndex{src: src, in: bufio.NewReader(src), found: found}
}

// read reads all records. message is called for each M record that UW would obey: they
// have to ascend.
func (x *mxIndex) read(message func(uid, keywords uint32, flags Flags)) error {
	var above uint64 // UIDs below it have been passed
	for {
		start := x.pos
		c, err := x.byte()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var ok bool
		switch c {
		case 'V':
			ok, err = x.number(&x.validity)
		case 'L':
			ok, err = x.number(&x.last)
		case 'K':
			ok, err = x.keyword(start)
		case 'M':
			var uid, keywords, flags uint64
			if ok, err = x.message(&uid, &keywords, &flags); ok && uid >= above {
				above = uid
				if uid <= maxUID {
					message(uint32(uid), uint32(keywords), systemFlags(flags)&^Recent) // the format has no bit for it
				}
			}
		}
		if err != nil {
			return err
		}
		if !ok {
			if err := x.resume(start); err != nil {
				return err
			}
		}
	}
}

func (x *mxIndex) byte() (byte, error) {
	c, err := x.in.ReadByte()
	if err == nil {
		x.pos++
	}
	return c, err
}

// number reads a hexadecimal number of at least one digit and at most 64 bits.
func (x *mxIndex) number(to *uint64) (ok bool, err error) {
	var n uint64
	for digits := 0; ; digits++ {
		b, err := x.in.Peek(1)
		if err != nil && err != io.EOF {
			return false, err
		}
		if len(b) == 0 || hexDigit(b[0]) < 0 {
			*to = n
			return digits > 0, nil
		}
		if n>>60 != 0 {
			return false, nil
		}
		n = n<<4 | uint64(hexDigit(b[0]))
		if _, err := x.byte(); err != nil {
			return false, err
		}
	}
}

// message reads an M record after its letter.
func (x *mxIndex) message(uid, keywords, flags *uint64) (ok bool, err error) {
	for _, field := range []struct {
		to  *uint64
		end byte
	}{{uid, ';'}, {keywords, '.'}, {flags, 0}} {
		if ok, err = x.number(field.to); !ok || err != nil {
			return false, err
		}
		if field.end == 0 {
			return true, nil
		}
		if c, err := x.byte(); err != nil || c != field.end {
			return false, noEOF(err)
		}
	}
	return true, nil
}

// keyword reads a K record after its letter. The name is kept if UW keeps it; if not, its
// bit has no name.
func (x *mxIndex) keyword(start int64) (ok bool, err error) {
	var name []byte
	for {
		if x.noLF {
			return false, nil
		}
		c, err := x.byte()
		if err == io.EOF {
			// UW reads no further than a name without end. What follows its letter is
			// looked at once more, for M records.
			x.noLF, x.pos = true, start+1
			_, err := x.src.Seek(x.pos, io.SeekStart)
			x.in.Reset(x.src)
			return false, err
		}
		if err != nil {
			return false, err
		}
		if c == '\n' {
			break
		}
		if len(name) <= maxKeywordLength {
			name = append(name, c)
		}
	}
	switch {
	case len(x.keywords) == maxKeywords:
		x.found.find(Finding{Kind: KindKeywordsLost, File: mxIndexName, Offset: start,
			Text: fmt.Sprintf("keyword %q is one more than the %d that UW knows; lost", name, maxKeywords)})
	case len(name) > maxKeywordLength:
		x.found.find(Finding{Kind: KindKeywordHole, File: mxIndexName, Offset: start,
			Text: fmt.Sprintf("keyword \"%s…\" is longer than the %d bytes that UW knows; lost", name, maxKeywordLength)})
		x.keywords = append(x.keywords, "")
	default:
		x.keywords = append(x.keywords, string(name))
	}
	return true, nil
}

// resume finds the next record after one that began at start and cannot be read.
func (x *mxIndex) resume(start int64) error {
	const record = "M00000000;00000000.0000" // the letter is not a digit: none begins inside another
	for {
		b, err := x.in.Peek(len(record))
		if err != nil && err != io.EOF {
			return err
		}
		if len(b) == 0 || hasShape(b, record) {
			break
		}
		if _, err := x.byte(); err != nil {
			return err
		}
	}
	if parts := unreadable(x.file, start, x.pos); parts != nil {
		x.unread += sum(parts)
		x.damaged += x.pos - start - sum(parts)
		x.found.find(lost(mxIndexName, start, x.pos-start, 0, "a piece of the index, with flags, keywords or the mailbox's identity", parts))
		return nil
	}
	x.damaged += x.pos - start
	x.found.find(Finding{Kind: KindDamage, File: mxIndexName, Offset: start, Length: x.pos - start,
		Text: fmt.Sprintf("%d bytes of the index are no record: flags, keywords or the mailbox's identity may be lost", x.pos-start)})
	return nil
}

// hasShape reports whether b has a hexadecimal digit wherever shape has a 0, and the same
// bytes elsewhere.
func hasShape(b []byte, shape string) bool {
	if len(b) < len(shape) {
		return false
	}
	for i := range len(shape) {
		if shape[i] == '0' {
			if hexDigit(b[i]) < 0 {
				return false
			}
		} else if b[i] != shape[i] {
			return false
		}
	}
	return true
}

// hexDigit is the value of a hexadecimal digit, -1 if c is none.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
