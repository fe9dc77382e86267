package mbox

import (
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/internal/fsrights"
)

// directory is the directory of one mailbox, open to be listed, and whose mail is in it.
type directory struct {
	file   *os.File
	rights fsrights.Identity // of the user whose mailbox it is, to be used for all that is in it
	// trusted says that whoever runs the program vouches for the files, so that their
	// owners do not matter.
	trusted bool
	// belowMH says that the directory is below its user's MH path (see parseMHProfile):
	// to UW it is an mh mailbox then, whatever is in it (mh.c mh_isvalid).
	belowMH bool
	// alone says that nobody looks for folders in the directory.
	alone bool
	// badOnHost counts bad blocks of all files; bad has those of this directory's files
	// that have some, by name.
	badOnHost *atomic.Int64
	bad       map[string]*badBlocks
}

// blocks returns a reader of a member of that name, which is open, around its bad blocks.
func (d *directory) blocks(name string, file io.ReaderAt) *blockReader {
	if known := d.bad[name]; known != nil {
		return &blockReader{src: file, bad: known}
	}
	bad := &badBlocks{all: d.badOnHost}
	bad.first = func() {
		if d.bad == nil {
			d.bad = map[string]*badBlocks{}
		}
		d.bad[name] = bad
	}
	return &blockReader{src: file, bad: bad}
}

// ownFile reads a file of the format's own, of size bytes, in which no message is: read is
// given it. Its bytes are counted as ReasonIndex, but for those that cannot be read, which
// are reported: means says what is lost with them.
func (r *directoryReader) ownFile(name, means string, file *os.File, size int64, read func(src io.ReaderAt) error) error {
	src := r.dir.blocks(name, file)
	if err := read(src); err != nil {
		return err
	}
	for _, p := range r.account.enterRange(ReasonIndex, src, 0, size) {
		r.found.find(lost(name, p.from, p.to-p.from, 0, means, []span{p}))
	}
	return nil
}

// member is a file in a mailbox's directory.
type member struct {
	name       string // raw
	regular    bool   // else it is a directory, a link, …: never opened
	isDir      bool
	size       int64
	ino        uint64
	modTime    time.Time
	changeTime time.Time
	accessTime time.Time
}

func newMember(name string, st *unix.Stat_t) member {
	kind := st.Mode & unix.S_IFMT
	return member{name: name, regular: kind == unix.S_IFREG, isDir: kind == unix.S_IFDIR, size: st.Size, ino: st.Ino,
		modTime: timeOf(st.Mtim), changeTime: timeOf(st.Ctim), accessTime: timeOf(st.Atim)}
}

// has reports whether there is a file of that type (S_IFREG, S_IFDIR), without following
// a link.
func (d *directory) has(name string, fileType uint32) bool {
	st, err := d.lstat(name)
	return err == nil && uint32(st.Mode)&unix.S_IFMT == fileType
}

// as calls do with the rights that are to be used.
func (d *directory) as(do func() error) error {
	if d.trusted {
		return do()
	}
	return d.rights.Do(do)
}

// lstat describes a member, without following a link.
func (d *directory) lstat(name string) (st *unix.Stat_t, err error) {
	err = d.as(func() (err error) {
		st, err = lstatAt(d.file, name)
		return err
	})
	return st, err
}

// each calls do for everything in the directory, in no particular order.
func (d *directory) each(do func(member) error) error {
	var dir *os.File
	err := d.as(func() (err error) {
		dir, err = reopen(d.file, unix.O_RDONLY) // for an offset of its own
		return err
	})
	if err != nil {
		return err
	}
	defer dir.Close()
	return eachName(dir, func(name string) error {
		st, err := d.lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since; the mailbox's identity tells
		}
		if err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		return do(newMember(name, st))
	})
}

// open opens a member for reading. What must not be opened, because it is no regular file
// or somebody else's, is a [*RefusedError].
func (d *directory) open(name string) (*os.File, member, error) {
	if d.trusted {
		st, err := lstatAt(d.file, name)
		if err != nil {
			return nil, member{}, err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return nil, member{}, &RefusedError{Skipped: Skipped{Path: name, Kind: SkipNotFolder, Text: fileType(st) + " where a file belongs"}}
		}
		f, err := openAt(d.file, name, unix.O_RDONLY|unix.O_NONBLOCK, st)
		if err != nil {
			return nil, member{}, err
		}
		return f, newMember(name, st), nil
	}
	var (
		f       *os.File
		st      *unix.Stat_t
		skipped *Skipped
	)
	err := d.rights.Do(func() (err error) {
		f, st, skipped, err = openUserFile(d.file, name, d.rights.UID)
		return err
	})
	if err == nil && skipped == nil {
		if skipped, err = tooSparse(f, st); err != nil || skipped != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		return nil, member{}, fmt.Errorf("%q: %w", name, err)
	}
	if skipped != nil {
		skipped.Path = name
		return nil, member{}, &RefusedError{Skipped: *skipped}
	}
	return f, newMember(name, st), nil
}

// identity is that of the directory and all regular files in it.
func (d *directory) identity() (Identity, error) {
	st, err := fstat(d.file)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Dev: uint64(st.Dev), Ino: st.Ino, ModTime: timeOf(st.Mtim), ChangeTime: timeOf(st.Ctim)}
	var all setDigest
	err = d.each(func(m member) error {
		if !m.regular {
			return nil
		}
		id.include(Identity{Size: m.size, ModTime: m.modTime, ChangeTime: m.changeTime})
		all.add(fmt.Sprintf("%q %d %d %d %d", m.name, m.ino, m.size, m.modTime.UnixNano(), m.changeTime.UnixNano()))
		return nil
	})
	if err != nil {
		return Identity{}, err
	}
	id.Digest = all.String()
	return id, nil
}

// setDigest is over strings whose order does not matter: the sum of their SHA-256, as
// numbers of 256 bits. A directory of a million files is not sorted for it.
type setDigest [4]uint64

func (d *setDigest) add(s string) {
	sum := sha256.Sum256([]byte(s))
	var carry uint64
	for i := range d {
		d[i], carry = bits.Add64(d[i], binary.LittleEndian.Uint64(sum[8*i:]), carry)
	}
}

func (d *setDigest) String() string {
	return fmt.Sprintf("%016x%016x%016x%016x", d[3], d[2], d[1], d[0])
}

// digest is the SHA-1 of lines in hexadecimal.
func digest(lines []string) string {
	h := sha1.New()
	for _, l := range lines {
		fmt.Fprintln(h, l) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}

// member opens a file that belongs to the mailbox. What must not be opened, or is no
// file, is not an error: it is a nil file and the reason, for people. A file that has
// gone is an error that wraps [fs.ErrNotExist].
func (d *directory) member(name string) (file *os.File, m member, refused string, err error) {
	file, m, err = d.open(name)
	var no *RefusedError
	if errors.As(err, &no) && no.Kind != SkipChanged {
		return nil, m, no.Text, nil
	}
	if err != nil {
		return nil, m, "", fmt.Errorf("file %q of the mailbox: %w", clip(name), err)
	}
	return file, m, "", nil
}

// maxStrangers is how many strangers are remembered and told one by one.
const maxStrangers = 1000

// strangers are what is in a mailbox's directory and no part of the mailbox, directories
// left out: those may be folders of their own.
type strangers struct {
	dir *directory
	// folders says that files which are mailboxes are known to be folders of their own.
	folders  bool
	list     []stranger
	more     int // beyond the list
	moreMail int // of these, those that may be mail
}

type stranger struct {
	name, note string // note: what it may be, "" if that must be found out
	size       int64  // of a regular file, else 0
}

// add takes a stranger. note says what it is where its name tells.
func (s *strangers) add(m member, note string, account Account) error {
	x := stranger{name: m.name, note: note}
	if m.regular {
		x.size = m.size
	}
	account[ReasonNotMessage] += x.size
	if len(s.list) < maxStrangers {
		s.list = append(s.list, x)
		return nil
	}
	s.more++
	_, mail, err := s.describe(x)
	if mail {
		s.moreMail++
	}
	return err
}

// report tells about them, in the order of their names.
func (s *strangers) report(found *limitedFindings) error {
	slices.SortFunc(s.list, func(a, b stranger) int { return cmp.Compare(a.name, b.name) })
	for _, x := range s.list {
		text, mail, err := s.describe(x)
		if err != nil {
			return err
		}
		found.find(Finding{Kind: strangerKind(mail), File: x.name, Text: text})
	}
	if s.more > 0 {
		found.find(Finding{Kind: strangerKind(s.moreMail > 0), Text: fmt.Sprintf("%d more files in the mailbox's directory are no part of the mailbox, %d of them may be mail", s.more, s.moreMail)})
	}
	s.list = nil
	return nil
}

func strangerKind(mail bool) Kind {
	if mail {
		return KindMailBeside
	}
	return KindNotMessage
}

// describe says what a stranger is, and whether it may be mail.
func (s *strangers) describe(x stranger) (text string, mail bool, err error) {
	const what = "no part of the mailbox: "
	if x.note != "" {
		return what + x.note, true, nil
	}
	file, m, err := s.dir.open(x.name)
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		return what + refused.Text, refused.MayHoldMail, nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EIO):
		return what + "not read: " + cause(err), true, nil
	case err != nil:
		return "", false, fmt.Errorf("file %q in the mailbox's directory: %w", clip(x.name), err)
	}
	head, err := readHead(file, headSize)
	if errors.Is(err, unix.EIO) {
		return what + "its beginning cannot be read: " + cause(err), true, file.Close()
	}
	var tail []byte
	if err == nil {
		tail, err = readTail(file, len(head), m.size)
		if errors.Is(err, unix.EIO) {
			return what + "its end cannot be read: " + cause(err), true, file.Close()
		}
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return "", false, fmt.Errorf("file %q in the mailbox's directory: %w", clip(x.name), err)
	}
	switch format := Recognise(head, m.size); {
	case format == FormatEmpty:
		return what + "empty", false, nil
	case format == FormatNone:
		why, mail := notMailbox(head, tail, m.size)
		return what + why, mail, nil
	case s.folders:
		return what + fmt.Sprintf("a mailbox in %s format, which is a folder of its own", format), false, nil
	default:
		return what + fmt.Sprintf("a mailbox in %s format; look whether it is listed as a folder of its own", format), true, nil
	}
}
