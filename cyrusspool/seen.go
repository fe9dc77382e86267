package cyrusspool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ErrSeen is the error of a user's seen state that cannot be read, or written.
var ErrSeen = errors.New("malformed seen state")

// A SeenState is what one user has seen of one mailbox. Up to Cyrus 2.3 (index
// versions below 12) it holds every user's \Seen, the owner's too; later only that of
// users who are not the owner (imap/seen_db.c).
type SeenState struct {
	LastRead   int64  // when the mailbox was last selected, seconds
	LastUID    uint32 // the last UID that was there then: later ones are \Recent
	LastChange int64  // when the state was last changed, seconds
	Seen       UIDSet
}

// parseSeenState reads "1 LASTREAD LASTUID LASTCHANGE UIDS"; the UIDs are absent when
// nothing was seen (imap/seen_db.c, parse_data).
func parseSeenState(value string) (SeenState, error) {
	fields := strings.Split(value, " ")
	if len(fields) < 4 || len(fields) > 5 || fields[0] != "1" {
		return SeenState{}, fmt.Errorf("%w: %q", ErrSeen, value)
	}
	var s SeenState
	read, err1 := strconv.ParseInt(fields[1], 10, 64)
	last, err2 := strconv.ParseUint(fields[2], 10, 32)
	change, err3 := strconv.ParseInt(fields[3], 10, 64)
	var err4 error
	if len(fields) == 5 {
		s.Seen, err4 = ParseUIDSet(fields[4])
	}
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return SeenState{}, fmt.Errorf("%w: %q: %w", ErrSeen, value, err)
	}
	s.LastRead, s.LastUID, s.LastChange = read, uint32(last), change
	return s, nil
}

func (s SeenState) String() string {
	return fmt.Sprintf("1 %d %d %d %s", s.LastRead, s.LastUID, s.LastChange, s.Seen)
}

// ParseSeen reads a user's seen state in either form that Cyrus up to 2.3 writes by
// default, flat text (2.1) or skiplist (2.2 and 2.3). The keys are the unique ids of
// mailboxes. The error wraps [ErrSeen], also for a file in another form.
func ParseSeen(b []byte) (map[string]SeenState, error) {
	values, err := parseFlat(b)
	if strings.HasPrefix(string(b), skiplistMagic) {
		values, err = parseSkiplist(b)
	}
	if err != nil {
		return nil, err
	}
	states := make(map[string]SeenState, len(values))
	for id, value := range values {
		if states[id], err = parseSeenState(value); err != nil {
			return nil, fmt.Errorf("mailbox %q: %w", id, err)
		}
	}
	return states, nil
}

// AppendSeen appends the states as a flat file: a line a mailbox, in the byte order
// of unique ids, by which Cyrus looks them up (lib/cyrusdb_flat.c).
func AppendSeen(b []byte, states map[string]SeenState) ([]byte, error) {
	for _, id := range slices.Sorted(maps.Keys(states)) {
		if id == "" || strings.ContainsAny(id, "\t\n\x00") || strings.Contains(id, "\xff") {
			return nil, fmt.Errorf("%w: unique id %q", ErrSeen, id)
		}
		b = append(b, id+"\t"+states[id].String()+"\n"...)
	}
	return b, nil
}

func parseFlat(b []byte) (map[string]string, error) {
	values := map[string]string{}
	for line := range strings.Lines(string(b)) {
		text, ended := strings.CutSuffix(line, "\n")
		key, value, tabbed := strings.Cut(text, "\t")
		if !ended || !tabbed || key == "" {
			return nil, fmt.Errorf("%w: line %.100q", ErrSeen, line)
		}
		values[key] = value
	}
	return values, nil
}

// What makes up a skiplist file (lib/cyrusdb_skiplist.c): a header of 48 bytes, and
// records that begin with their type. Of the pointers between records nothing is
// needed: in the order of the file, records and log are the history of the database.
const (
	skiplistMagic  = "\241\002\213\015skiplist file\000\000\000"
	skiplistHeader = 48

	skiplistInOrder = 1
	skiplistAdd     = 2
	skiplistDelete  = 4
	skiplistCommit  = 255
	skiplistDummy   = 257
)

// parseSkiplist reads a skiplist file by replaying it. What is behind the last commit
// of the log does not count, as for Cyrus.
func parseSkiplist(b []byte) (map[string]string, error) {
	if len(b) < skiplistHeader {
		return nil, fmt.Errorf("%w: skiplist of %d bytes", ErrSeen, len(b))
	}
	if version := binary.BigEndian.Uint32(b[20:]); version != 1 {
		return nil, fmt.Errorf("%w: skiplist version %d", ErrSeen, version)
	}
	r := skiplistReader{b: b, at: skiplistHeader}
	logStart := binary.BigEndian.Uint32(b[40:])
	values, keys := map[string]string{}, map[uint32]string{} // keys by the offset of their record
	var pending []func()
	for r.at < len(b) && r.err == nil {
		at := uint32(r.at)
		switch kind := r.number(); kind {
		case skiplistDummy:
			r.text(r.number())
			r.text(r.number())
			r.pointers()
		case skiplistInOrder, skiplistAdd:
			key := r.text(r.number())
			value := r.text(r.number())
			r.pointers()
			keys[at] = key
			if at < logStart {
				values[key] = value
			} else {
				pending = append(pending, func() { values[key] = value })
			}
		case skiplistDelete:
			key, ok := keys[r.number()]
			if !ok && r.err == nil {
				r.err = fmt.Errorf("%w: skiplist deletes at %d what is not there", ErrSeen, at)
			}
			pending = append(pending, func() { delete(values, key) })
		case skiplistCommit:
			for _, do := range pending {
				do()
			}
			pending = nil
		default:
			if r.err == nil {
				r.err = fmt.Errorf("%w: skiplist record of type %d at %d", ErrSeen, kind, at)
			}
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return values, nil
}

// skiplistReader reads what a skiplist record is made of. Its first error stays.
type skiplistReader struct {
	b   []byte
	at  int
	err error
}

func (r *skiplistReader) number() uint32 {
	b := r.bytes(4)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// text is n bytes, filled up to a multiple of four.
func (r *skiplistReader) text(n uint32) string {
	b := r.bytes((int64(n) + 3) &^ 3)
	if b == nil {
		return ""
	}
	return string(b[:n])
}

// pointers end with one of all bits.
func (r *skiplistReader) pointers() {
	for r.err == nil && r.number() != 0xffffffff {
	}
}

func (r *skiplistReader) bytes(n int64) []byte {
	if r.err == nil && n > int64(len(r.b)-r.at) {
		r.err = fmt.Errorf("%w: skiplist ends within a record", ErrSeen)
	}
	if r.err != nil || n == 0 {
		return nil
	}
	r.at += int(n)
	return r.b[r.at-int(n) : r.at]
}
