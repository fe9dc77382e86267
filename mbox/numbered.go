package mbox

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// numbered reads a mailbox whose messages are the files of a directory that have numbers
// as names: mx and mh. The number is the UID, the time the file was last modified the
// internal date (mx.c mx_ping, mx_fast_work; mh.c mh_ping, mh_load_message). In memory is
// what puts the messages in order, 12 bytes for each.
//
// Three kinds of file have a number that UW cannot use: one with leading zeros (UW lists
// 008 as message 8 and then looks for a file 8), a second one for a number, and one above
// all UIDs. They are mail; the second and third kind get the next UIDs, after all others.
type numbered struct {
	directoryReader

	kind     numberedKind
	ordinary []numberedFile
	extra    []numberedFile // those that get new UIDs
	huge     []string       // names of numbers above all UIDs, likewise
	renumber bool           // no UIDs are left for the new ones: all are given anew
}

// numberedKind is what mx and mh differ in.
type numberedKind struct {
	lf bool // lines end with LF
	// folders says that other files in the directory may be folders.
	folders bool
	own     []string // names of the files that hold no message and belong to the format
	// removed reports whether a file is a message that was removed; nil: none is.
	removed func(name string) bool
	// learn reads the format's own files. The messages are in their order; it gives them
	// flags and the mailbox its identity.
	learn func(n *numbered) error
}

// numberedFile is a message file. Its name is zeros times "0" and the number.
type numberedFile struct {
	number   uint32
	keywords uint32
	zeros    uint8
	flags    Flags
	accessed bool // after it was modified, in whole seconds
}

// maxHugeNumbers is how many files with a number above all UIDs are read. UW makes none;
// each costs memory for its name.
const maxHugeNumbers = 1000

func newNumbered(dir *directory, opts Options, kind numberedKind) *numbered {
	n := &numbered{kind: kind}
	n.init(dir, opts, kind.lf, kind.folders)
	return n
}

// Next implements Mailbox. A message file that has gone since the directory was listed is
// an error that wraps fs.ErrNotExist.
func (n *numbered) Next() (*Message, error) { return n.step(n.next) }

func (n *numbered) next() (*Message, error) {
	if err := n.text.end(); err != nil {
		return nil, err
	}
	if err := n.closeFile(); err != nil {
		return nil, err
	}
	if !n.started {
		n.started = true
		if err := n.start(); err != nil {
			return nil, err
		}
	}
	for n.at < len(n.ordinary)+len(n.extra)+len(n.huge) {
		name, f, uid := n.pick(n.at)
		n.at++
		ok, err := n.open(name, f, uid)
		if err != nil {
			return nil, fmt.Errorf("message file %q: %w", clip(name), err)
		}
		if ok {
			return &n.msg, nil
		}
	}
	n.found.close()
	return nil, io.EOF
}

// start lists the directory and reads the format's own files.
func (n *numbered) start() error {
	if err := n.dir.each(n.list); err != nil {
		return fmt.Errorf("listing the mailbox: %w", err)
	}
	slices.SortFunc(n.ordinary, func(a, b numberedFile) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.zeros, b.zeros))
	})
	slices.Sort(n.huge)
	n.separate()
	if len(n.ordinary) > 0 {
		n.last = n.ordinary[len(n.ordinary)-1].number
	}
	if err := n.kind.learn(n); err != nil {
		return err
	}
	if err := n.strangers.report(&n.found); err != nil {
		return err
	}
	return n.giveUIDs()
}

// list takes up one file of the directory.
func (n *numbered) list(m member) error {
	const maxDigits = 10 // of a UID
	switch {
	case m.isDir:
	case slices.Contains(n.kind.own, m.name) && m.regular:
		n.own[m.name] = m.size
	case n.kind.removed != nil && m.regular && n.kind.removed(m.name):
		n.account[ReasonExpunged] += m.size
		n.found.find(Finding{Kind: KindExpunged, File: m.name, Text: "a removed message, which mh keeps until it is cleaned up; not mail"})
	case isNumber(m.name):
		if m.regular {
			whole, err := n.dir.wholeMailbox(m.name)
			if err != nil {
				return fmt.Errorf("message file %q: %w", clip(m.name), err)
			}
			if whole {
				return n.strangers.add(m, "", n.account)
			}
		}
		digits := strings.TrimLeft(m.name, "0")
		number, err := strconv.ParseUint(digits, 10, 32)
		switch {
		case digits == "":
			return n.strangers.add(m, "a message file of number 0, which UW does not show", n.account)
		case len(digits) <= maxDigits && err == nil && number <= maxUID:
			n.ordinary = append(n.ordinary, numberedFile{number: uint32(number), zeros: uint8(len(m.name) - len(digits)),
				accessed: m.accessTime.Unix() > m.modTime.Unix()})
		case len(n.huge) < maxHugeNumbers:
			n.huge = append(n.huge, m.name)
		default:
			return n.strangers.add(m, "one of very many message files with a number above all UIDs", n.account)
		}
	default:
		return n.strangers.add(m, "", n.account)
	}
	return nil
}

// isNumber is mx_select and mh_select: a name of digits only.
func isNumber(name string) bool { return name != "" && strings.Trim(name, "0123456789") == "" }

// separate takes all files but the first of each number out of ordinary.
func (n *numbered) separate() {
	kept := n.ordinary[:0]
	for _, f := range n.ordinary {
		if len(kept) > 0 && kept[len(kept)-1].number == f.number {
			n.extra = append(n.extra, f)
		} else {
			kept = append(kept, f)
		}
	}
	n.ordinary = kept
}

// find returns the message of a UID, nil if there is none.
func (n *numbered) find(uid uint32) *numberedFile {
	i, ok := slices.BinarySearchFunc(n.ordinary, uid, func(f numberedFile, uid uint32) int { return cmp.Compare(f.number, uid) })
	if !ok {
		return nil
	}
	return &n.ordinary[i]
}

// giveUIDs makes room for the files that have none. last is the greatest UID used.
func (n *numbered) giveUIDs() error {
	need := uint64(len(n.extra) + len(n.huge))
	if need == 0 || uint64(n.last)+need <= maxUID {
		return nil
	}
	total := uint64(len(n.ordinary)) + need
	if total > maxUID {
		return errors.New("the mailbox has more messages than there are UIDs")
	}
	n.renumber, n.last, n.validity = true, 0, 0
	n.found.find(Finding{Kind: KindUIDEpochLost, Text: "UIDVALIDITY cannot be kept: " + uidsTooGreat})
	return nil
}

// pick returns the ith message: its file's name, what is known of it, and its UID, 0 if
// it gets the next one.
func (n *numbered) pick(i int) (name string, f numberedFile, uid uint32) {
	switch {
	case i < len(n.ordinary):
		f = n.ordinary[i]
		uid = f.number
	case i < len(n.ordinary)+len(n.extra):
		f = n.extra[i-len(n.ordinary)]
	default:
		return n.huge[i-len(n.ordinary)-len(n.extra)], f, 0
	}
	if n.renumber {
		uid = 0
	}
	return strings.Repeat("0", int(f.zeros)) + strconv.FormatUint(uint64(f.number), 10), f, uid
}

// open begins to read a message file. A file that must not be opened is not ok.
func (n *numbered) open(name string, f numberedFile, uid uint32) (ok bool, err error) {
	file, m, refused, err := n.dir.member(name)
	if err != nil {
		return false, err
	}
	if file == nil {
		return false, n.refuse(name, refused)
	}
	n.file = file
	n.number++
	if uid == 0 {
		n.last++
		uid = n.last
	}
	n.msg = Message{Number: n.number, File: name, UID: uid, Flags: f.flags, Keywords: uint64(f.keywords)}
	if err := n.text.begin(n.dir.blocks(name, file), &n.msg, 0, 0, m.size); err != nil {
		return false, err
	}
	n.setDate(m.modTime)
	switch i := n.at - 1; {
	case i >= len(n.ordinary)+len(n.extra):
		n.odd("its number is above all UIDs; it got the UID %d", uid)
	case i >= len(n.ordinary):
		n.odd("another file has its number too; this one got the UID %d", uid)
	case f.zeros > 0:
		n.odd("its name has leading zeros, for which UW could not show it; its UID is %d", uid)
	}
	return true, nil
}

func (n *numbered) odd(format string, uid uint32) {
	n.found.find(Finding{Kind: KindOddNumber, File: n.msg.File, Message: n.msg.Number, Text: fmt.Sprintf(format, uid)})
}

// refuse accounts for a message file that must not be opened. What is no regular file has
// no bytes.
func (n *numbered) refuse(name, why string) error {
	st, err := n.dir.lstat(name)
	if err != nil {
		return err
	}
	var size int64
	if m := newMember(name, st); m.regular {
		size = m.size
	}
	n.account[ReasonDamage] += size
	n.found.find(Finding{Kind: KindDamage, File: name, Length: size, Refused: true, Text: "named like a message, but not read: " + why})
	return nil
}

// setDate gives the message its internal date: the time its file was last modified.
func (n *numbered) setDate(modTime time.Time) {
	m := &n.msg
	m.Date, m.DateSource = modTime.Truncate(time.Second), FileTime
	if representable(m.Date) {
		return
	}
	var ok bool
	if m.Date, m.DateSource, ok = headerDate(n.text.head); !ok {
		m.Date, m.DateSource = time.Unix(1, 0), FileTime
	}
	n.found.find(Finding{Kind: KindDateUnparsable, File: m.File, Message: m.Number,
		Text: fmt.Sprintf("the time of the message file is no internal date; taken from: %v", m.DateSource)})
}

// wholeMailbox reports whether a file with a number as its name is no message but a mailbox
// of its own: an archive may be called 2003. UW serves it as that by its name (mh_isvalid
// and mx_isvalid ask for a directory), and shows it as one message of the directory too.
//
// Messages may begin with a From_ line, as some programs kept it, so a mailbox in unix
// format has two at least that UW splits at, and the second is looked for in the whole file.
// The formats mtx and tenex are known by a few columns, and a header field can look so: a
// mailbox in these consists of whole records. What must not be opened is left to the reader
// of the messages.
//
// The listing and the reader ask both, so that each such file is in one of them.
func (d *directory) wholeMailbox(name string) (whole bool, err error) {
	file, m, err := d.open(name)
	if err != nil {
		return false, nil
	}
	defer file.Close()
	src := d.blocks(name, file)
	head := make([]byte, min(headSize, m.size))
	if err := readFull(src, head, 0); err != nil {
		return false, err
	}
	switch Recognise(head, m.size) {
	case FormatMBX, FormatMMDF:
		return true, nil
	case FormatUnix, FormatUnixDoubtful:
		return severalMessages(src, m.size)
	case FormatTenex:
		return wholeRecords(&tenexRecords, src, m.size)
	case FormatMTX:
		return wholeRecords(&mtxRecords, src, m.size)
	}
	return false, nil
}

// wholeMailboxWindow is how much is read of a file at once: mostly the second message is near.
const wholeMailboxWindow = 64 << 10

// severalMessages reports whether a file in unix format has two From_ lines that begin
// messages; one may be that of UW's data message. Behind the first, one that no header
// follows may be a line of a message.
func severalMessages(src io.ReaderAt, size int64) (bool, error) {
	r := newReader(src, size, unixDelimiter{}, Options{}, wholeMailboxWindow)
	defer func() { release(&r.win, &r.out) }()
	for prose := int64(0); ; {
		_, err := r.Next()
		var not *NotMailboxError
		if err == io.EOF || errors.As(err, &not) {
			return r.separators-prose > 1, nil
		}
		if err != nil {
			return false, err
		}
		if r.separators > 1 && !startsWithField(r.head) {
			prose++
		}
		if r.separators-prose > 1 {
			return true, nil
		}
	}
}

// wholeRecords reports whether a file consists of records, each of them whole.
func wholeRecords(format *recordFormat, src io.ReaderAt, size int64) (bool, error) {
	whole := true
	r := newRecordReader(format, src, size, Options{Findings: func(f Finding) {
		whole = whole && f.Kind != KindDamage && f.Kind != KindTruncated && f.Kind != KindUnreadable
	}}, wholeMailboxWindow)
	defer func() { release(&r.win, &r.out) }()
	for {
		if _, err := r.Next(); err == io.EOF || err == nil && !whole {
			return whole, nil
		} else if err != nil {
			return false, err
		}
	}
}
