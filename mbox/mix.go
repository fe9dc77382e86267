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

	"golang.org/x/sys/unix"
)

// mixFormat is UW's driver "mix" (mix.c mix_isvalid).
var mixFormat = directoryFormat{
	name:    FormatMix,
	matches: func(dir *directory) bool { return dir.has(mixMetaName, unix.S_IFREG) },
	open:    func(dir *directory, opts Options) Mailbox { return newMix(dir, opts) },
}

// The files of a mix mailbox that hold no messages (mix.c). The sort cache is derived.
const (
	mixMetaName      = ".mixmeta"
	mixIndexName     = ".mixindex"
	mixStatusName    = ".mixstatus"
	mixSortCacheName = ".mixsortcache"
	mixDataPrefix    = ".mix" // and the number of the data file in 8 hexadecimal digits, if it is not 0
)

// mix reads a mailbox in mix format: which messages there are, their UIDs and dates are in
// .mixindex, flags in .mixstatus, UIDVALIDITY and keywords in .mixmeta, the texts in data
// files. A message that is in a data file only was expunged.
//
// UW opens no mailbox with damage in the metadata or the index. Here each file is read as
// far as it can be. Where the index has a damaged line, is missing or empty, the data
// files say which messages there are: those whose UIDs lie between the lines around the
// damage. Some may have been expunged, which is reported; none is lost.
//
// In memory are 28 bytes for each message, and, while the data files are looked through,
// 8 more and 8 for each damaged line.
type mix struct {
	directoryReader

	data      []mixDataFile // sorted by number
	gaps      uidRanges     // UIDs that damaged lines of the index may have had
	listed    []uint32      // UIDs of the index, in order
	verified  []uint32      // those of them whose record is where the index has it
	messages  []mixMessage
	lastKnown bool   // the metadata told the greatest UID
	fileIs    uint32 // number of the data file that is open
	modTime   time.Time
	reading   io.ReaderAt // the file that is being looked through
}

// mixDataFile is a data file as it was listed.
type mixDataFile struct {
	number uint32
	size   int64
}

// mixMessage is a message in a data file.
type mixMessage struct {
	uid, file, size uint32 // size: of the text in bytes
	date            uint32 // in seconds since 1970; 0: it has none
	keywords        uint32
	posLow          uint32
	posHigh         uint8 // with posLow: offset of the record line
	prefix          uint8 // length of the record line; 0: not known
	flags           Flags
	state           mixState
}

// mixState says what became of a message.
type mixState uint8

const (
	mixListed  mixState = iota // as the index has it
	mixGuess                   // likewise, but there is no record line: only its end is right
	mixDoubt                   // as the index has it, which is probably wrong
	mixSalvage                 // in a data file only, where the index is damaged
	mixStray                   // in the index, but in another place than that which it has
	mixNoUID                   // it has none that is possible, or that of another message

	// The rest are in the index only: those that were reported, and the others with why.
	mixLost
	mixFileMissing
	mixFileUnread
	mixBeyond
	mixInside
	mixSamePlace
	mixOtherThere
	mixDamaged
)

// why says of a message that is in the index only what is wrong there.
func (s mixState) why() string {
	switch s {
	case mixFileMissing:
		return "its data file is missing"
	case mixFileUnread:
		return "its data file was not read"
	case mixBeyond:
		return "the index has it beyond the end of the data file"
	case mixInside:
		return "the index has it inside another message"
	case mixSamePlace:
		return "the index has another message in its place"
	case mixOtherThere:
		return "the data file has another message in its place"
	}
	return "its record in the data file is damaged"
}

// The greatest values that a mixMessage can hold.
const (
	maxMixUID      = 1<<32 - 2 // that is read; whether it is kept is for giveUIDs
	maxMixSize     = 1<<32 - 1
	maxMixFile     = 1<<32 - 1
	maxMixPosition = 1<<40 - 1
)

func (m *mixMessage) position() int64 { return int64(m.posHigh)<<32 | int64(m.posLow) }

func (m *mixMessage) setPosition(pos int64) { m.posHigh, m.posLow = uint8(pos>>32), uint32(pos) }

func newMix(dir *directory, opts Options) *mix {
	r := &mix{}
	r.init(dir, opts, false, false)
	return r
}

// Next implements Mailbox. A data file that has gone since the directory was listed is an
// error that wraps fs.ErrNotExist.
func (r *mix) Next() (*Message, error) { return r.step(r.next) }

func (r *mix) next() (*Message, error) {
	if err := r.text.end(); err != nil {
		return nil, err
	}
	if !r.started {
		r.started = true
		if err := r.start(); err != nil {
			return nil, err
		}
	}
	for r.at < len(r.messages) {
		m := &r.messages[r.at]
		r.at++
		if m.state == mixLost {
			continue
		}
		if err := r.open(m); err != nil {
			return nil, fmt.Errorf("data file %s: %w", mixDataName(m.file), err)
		}
		return &r.msg, nil
	}
	r.found.close()
	return nil, io.EOF
}

// start reads all but the texts.
func (r *mix) start() error {
	if err := r.dir.each(r.list); err != nil {
		return fmt.Errorf("listing the mailbox: %w", err)
	}
	slices.SortFunc(r.data, func(a, b mixDataFile) int { return cmp.Compare(a.number, b.number) })
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{mixMetaName, r.readMeta}, {mixIndexName, r.readIndex}, {"data files", r.readData},
		{mixStatusName, r.readStatus}, {"UIDs", r.giveUIDs},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	r.account[ReasonIndex] += r.own[mixSortCacheName]
	return r.strangers.report(&r.found)
}

// list takes up one file of the directory.
func (r *mix) list(m member) error {
	if m.isDir {
		return nil
	}
	switch m.name {
	case mixMetaName, mixIndexName, mixStatusName, mixSortCacheName:
		if m.regular {
			r.own[m.name] = m.size
			return nil
		}
	}
	suffix, ok := strings.CutPrefix(m.name, mixDataPrefix)
	if !ok {
		return r.strangers.add(m, "", r.account)
	}
	if number, ok := mixDataNumber(suffix); ok {
		f := mixDataFile{number: number}
		if m.regular {
			f.size = m.size
		}
		r.data = append(r.data, f)
		return nil
	}
	note := ""
	if isHex([]byte(suffix)) && m.regular {
		note = "named almost like a data file, but UW would not find it by that name"
	}
	return r.strangers.add(m, note, r.account)
}

// mixDataName is mix.c mix_file_data.
func mixDataName(number uint32) string {
	if number == 0 {
		return mixDataPrefix
	}
	return fmt.Sprintf("%s%08x", mixDataPrefix, number)
}

// mixDataNumber is the number of the data file whose name ends in suffix. UW finds a file
// by the one name that it would have written.
func mixDataNumber(suffix string) (uint32, bool) {
	if suffix == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(suffix, 16, 32)
	return uint32(n), err == nil && n > 0 && mixDataName(uint32(n)) == mixDataPrefix+suffix
}

// readOwn gives one of the format's own files to read, and accounts for its bytes. That it
// is missing or must not be read is reported, with what that means; read is then given no
// file.
func (r *mix) readOwn(name, means string, read func(file io.ReaderAt, size int64) error) error {
	listed, ok := r.own[name]
	if !ok {
		r.find(KindDamage, name, 0, "the file is missing: %s", means)
		return read(nil, 0)
	}
	file, m, refused, err := r.dir.member(name)
	if err != nil {
		return err
	}
	if file == nil {
		r.refused(name, listed, "the file was not read, %s: %s", means, refused)
		return read(nil, 0)
	}
	err = r.ownFile(name, "a piece of the file: "+means, file, m.size, func(src io.ReaderAt) error {
		r.reading = src
		return read(src, m.size)
	})
	return errors.Join(err, file.Close())
}

// damaged counts n bytes of one of the format's own files as damage, and reports them. Of
// those that cannot be read readOwn tells.
func (r *mix) damaged(file string, offset, n int64, format string, args ...any) {
	if unreadable(r.reading, offset, offset+n) != nil {
		return
	}
	r.account[ReasonIndex] -= n
	r.damage(file, offset, n, format, args...)
}

// refused counts all n bytes of a file that must not be read, and reports it.
func (r *mix) refused(file string, n int64, format string, args ...any) {
	r.account[ReasonDamage] += n
	r.found.find(Finding{Kind: KindDamage, File: file, Length: n, Refused: true, Text: fmt.Sprintf(format, args...)})
}

// damage counts n bytes of a file, which no reason had yet, and reports them.
func (r *mix) damage(file string, offset, n int64, format string, args ...any) {
	if parts := unreadable(r.reading, offset, offset+n); parts != nil {
		r.account.enterLost(n, parts)
		r.found.find(lost(file, offset, n, 0, fmt.Sprintf(format, args...), parts))
		return
	}
	r.account[ReasonDamage] += n
	r.found.find(Finding{Kind: KindDamage, File: file, Offset: offset, Length: n, Text: fmt.Sprintf(format, args...)})
}

func (r *mix) find(kind Kind, file string, offset int64, format string, args ...any) {
	r.found.find(Finding{Kind: kind, File: file, Offset: offset, Text: fmt.Sprintf(format, args...)})
}

func (r *mix) readMeta() error {
	return r.readOwn(mixMetaName, "UIDVALIDITY and the names of keywords are lost", func(file io.ReaderAt, size int64) error {
		var meta mixMeta
		if file != nil {
			data := make([]byte, min(size, maxMixMeta))
			if err := readFull(file, data, 0); err != nil {
				return err
			}
			meta = parseMixMeta(data, func(kind Kind, offset int, text string) {
				if unreadable(file, int64(offset), int64(offset)+1) == nil { // else readOwn tells
					r.find(kind, mixMetaName, int64(offset), "%s", text)
				}
			})
			if size > maxMixMeta {
				r.damaged(mixMetaName, maxMixMeta, size-maxMixMeta, "metadata are never that long: the rest was not read")
			}
		}
		r.keywords = meta.keywords
		lose := func(why string) { r.find(KindUIDEpochLost, mixMetaName, 0, "UIDVALIDITY cannot be kept: %s", why) }
		switch {
		case !meta.hasValidity || meta.validity == 0:
			lose("the metadata have none")
		case meta.validity > maxUIDValidity:
			lose(validityTooGreat)
		case meta.hasLast && meta.last > maxMixUID:
			lose("the last UID in the metadata leaves room for no other")
		case !meta.hasLast:
			lose("the metadata do not tell which UIDs were used")
		default:
			r.validity, r.last, r.lastKnown = uint32(meta.validity), uint32(meta.last), true
		}
		return nil
	})
}

func (r *mix) readIndex() error {
	return r.readOwn(mixIndexName, "the messages of all data files are taken, those too that were expunged", func(file io.ReaderAt, size int64) error {
		if file == nil {
			r.gaps.add(0, maxMixUID+1)
			return nil
		}
		if size == 0 && slices.ContainsFunc(r.data, func(f mixDataFile) bool { return f.size > 0 }) {
			// Since the first message there has been a line in it (mix.c mix_index_update).
			r.find(KindDamage, mixIndexName, 0, "the index is empty, and there are data files: the messages of all are taken, those too that were expunged")
			r.gaps.add(0, maxMixUID+1)
			return nil
		}
		return r.readIndexLines(newMixLines(io.NewSectionReader(file, 0, size)))
	})
}

// readIndexLines reads all lines of the index. Between the UIDs of the lines around a
// damaged one is a gap. So is one after a line with more fields than any release of UW
// writes, though UW passes over them: it may have swallowed the lines that followed it.
func (r *mix) readIndexLines(lines *mixLines) error {
	var before uint32 // UID of the last good line
	open := false     // damage follows it
	for {
		line, offset, whole, err := lines.record()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		m, rest, ok := parseMixIndexLine(line)
		if !ok || !whole {
			open = true
			r.damaged(mixIndexName, offset, lines.pos-offset, "a line of the index cannot be read: the messages between UID %d and that of the next line are taken from the data files, those too that were expunged", before)
			continue
		}
		switch {
		case open && m.uid > before:
			r.gaps.add(before, m.uid)
		case open: // not in order: nothing can be said
			r.gaps.add(0, maxMixUID+1)
		}
		if open = len(rest) > 0; open {
			r.find(KindDamage, mixIndexName, offset, "a line of the index has more fields than UW writes: messages between UID %d and that of the next line are taken from the data files, those too that were expunged", m.uid)
		}
		before = m.uid
		r.last = max(r.last, m.uid)
		r.messages = append(r.messages, m)
	}
	if open {
		r.gaps.add(before, maxMixUID+1)
	}
	return nil
}

// readStatus gives the messages their flags. A message that is not in the status file has
// none and is recent.
func (r *mix) readStatus() error {
	for i := range r.messages {
		r.messages[i].flags = Recent
	}
	return r.readOwn(mixStatusName, "the flags and keywords of all messages are lost", func(file io.ReaderAt, size int64) error {
		if file == nil {
			return nil
		}
		var known uint32
		for bit := range r.keywords {
			known |= 1 << bit
		}
		unnamed := 0
		lines := newMixLines(io.NewSectionReader(file, 0, size))
		for {
			line, offset, whole, err := lines.record()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			uid, keywords, flags, ok := parseMixStatusLine(line)
			if !ok || !whole {
				r.damaged(mixStatusName, offset, lines.pos-offset, "a line of the status file cannot be read: the flags of a message are lost")
				continue
			}
			m := r.message(uid)
			if m == nil {
				continue // expunged
			}
			m.flags, m.keywords = systemFlags(flags), uint32(keywords)&known
			if keywords&^uint64(known) != 0 {
				unnamed++
			}
		}
		if unnamed > 0 {
			r.find(KindKeywordUnknown, mixStatusName, 0, "%d messages have keywords whose names the metadata do not have; they are lost", unnamed)
		}
		return nil
	})
}

// message returns the message with a UID, nil if there is none.
func (r *mix) message(uid uint64) *mixMessage {
	if uid == 0 {
		return nil
	}
	i, ok := slices.BinarySearchFunc(r.messages, uid, func(m mixMessage, uid uint64) int { return cmp.Compare(uint64(m.uid), uid) })
	if !ok {
		return nil
	}
	return &r.messages[i]
}

// open begins to read a message. The data files were looked through a moment ago.
func (r *mix) open(m *mixMessage) error {
	if r.file == nil || r.fileIs != m.file {
		if err := r.closeFile(); err != nil {
			return err
		}
		file, st, refused, err := r.dir.member(mixDataName(m.file))
		if err != nil {
			return err
		}
		if file == nil {
			return fmt.Errorf("became another file since it was looked through: %s", refused)
		}
		r.file, r.fileIs, r.modTime = file, m.file, st.modTime
	}
	r.number++
	r.msg = Message{Number: r.number, File: mixDataName(m.file), UID: m.uid, Flags: m.flags, Keywords: uint64(m.keywords)}
	start := m.position() + int64(m.prefix)
	if err := r.text.begin(r.dir.blocks(mixDataName(m.file), r.file), &r.msg, int64(m.prefix), start, start+int64(m.size)); err != nil {
		return err
	}
	r.setDate(m.date)
	return nil
}

func (r *mix) setDate(seconds uint32) {
	m := &r.msg
	if m.Date, m.DateSource = time.Unix(int64(seconds), 0), RecordLine; seconds != 0 {
		return
	}
	var ok bool
	if m.Date, m.DateSource, ok = headerDate(r.text.head); !ok {
		if m.Date, m.DateSource = r.modTime.Truncate(time.Second), FileTime; !representable(m.Date) {
			m.Date = time.Unix(1, 0)
		}
	}
	r.found.find(Finding{Kind: KindDateUnparsable, File: m.File, Offset: m.Offset, Message: m.Number,
		Text: fmt.Sprintf("the record has no possible date; taken from: %v", m.DateSource)})
}

// uidRanges are ranges of UIDs, without their ends.
type uidRanges [][2]uint32

func (g *uidRanges) add(after, before uint32) {
	if before > after+1 {
		*g = append(*g, [2]uint32{after, before})
	}
}

// close puts the ranges in order and joins those that overlap.
func (g *uidRanges) close() {
	slices.SortFunc(*g, func(a, b [2]uint32) int { return cmp.Compare(a[0], b[0]) })
	joined := (*g)[:0]
	for _, x := range *g {
		if n := len(joined); n > 0 && x[0] < joined[n-1][1] {
			joined[n-1][1] = max(joined[n-1][1], x[1])
		} else {
			joined = append(joined, x)
		}
	}
	*g = joined
}

// has reports whether a UID is in one of the ranges. The UID 0, of a record that has none
// that is possible, is in any.
func (g uidRanges) has(uid uint32) bool {
	if uid == 0 {
		return len(g) > 0
	}
	i, _ := slices.BinarySearchFunc(g, uid, func(x [2]uint32, uid uint32) int { return cmp.Compare(x[1], uid) })
	for ; i < len(g) && g[i][0] < uid; i++ {
		if uid < g[i][1] {
			return true
		}
	}
	return false
}
