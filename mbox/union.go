package mbox

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxUnionKeywords is how many keywords a mailbox can have: the bits of Message.Keywords.
const maxUnionKeywords = 64

// union reads an INBOX that is in several places as one mailbox. UW moves the mail of the
// system inbox into the INBOX that it found elsewhere whenever that is opened (unix.c
// mbox_ping, mbx.c mbx_snarf and others), so what lies in the one follows what lies in the
// other. The first place that has mail or numbers is the base: it gives UIDVALIDITY, UIDs
// and the first keywords. The messages of the others get the next UIDs and keep their
// flags, keywords and dates.
//
// A session that broke off may leave a message in two places. One that has the same bytes
// as one in an earlier place is left out. To know them, all places are read twice, and 16
// bytes of each message's digest are held.
type union struct {
	parts    []part
	opts     Options
	err      error
	started  bool
	current  Mailbox // of parts[at]
	at       int
	base     int      // the part that has the UIDs
	renumber bool     // not even it keeps them: there would not be enough
	last     uint32   // greatest UID given or reserved
	validity uint32   // of the base
	keywords []string // of all parts
	bits     [][]int  // for each part: its keyword bit to ours, -1: lost
	skip     []bitset // for each part: the messages that an earlier one has, by number
	number   int      // messages that were returned
	shift    int      // our number of a message less the part's
	account  Account  // of the parts that were read to their end
	moved    Account  // what the current part counts otherwise than we do
	msg      Message
}

// newUnion reads parts, of which there is at least one.
func newUnion(parts []part, opts Options) *union {
	return &union{parts: parts, opts: opts, account: Account{}, moved: Account{}}
}

// Next implements Mailbox.
func (u *union) Next() (*Message, error) {
	if u.err != nil {
		return nil, u.err
	}
	m, err := u.next()
	if err != nil {
		u.err = err
	}
	return m, err
}

func (u *union) next() (*Message, error) {
	if !u.started {
		u.started = true
		u.skip, u.bits = make([]bitset, len(u.parts)), make([][]int, len(u.parts))
		if !u.alone() {
			if err := u.survey(); err != nil {
				return nil, err
			}
		}
		if err := u.open(0); err != nil {
			return nil, err
		}
	}
	for {
		m, err := u.current.Next()
		if err == io.EOF {
			u.close()
			if u.at+1 == len(u.parts) {
				return nil, io.EOF
			}
			if err := u.open(u.at + 1); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if u.skip[u.at].has(m.Number) {
			if err := u.leaveOut(m); err != nil {
				return nil, err
			}
			continue
		}
		return u.take(m)
	}
}

// alone reports whether there is one place only, which needs no survey: it keeps numbers
// and keywords.
func (u *union) alone() bool { return len(u.parts) == 1 }

// replaces reports whether the messages of a part get other UIDs than they have there.
func (u *union) replaces(at int) bool { return !u.alone() && (at != u.base || u.renumber) }

// take makes the message of a part one of the union.
func (u *union) take(m *Message) (*Message, error) {
	u.number++
	u.shift = u.number - m.Number
	u.msg = *m
	u.msg.Number, u.msg.File = u.number, u.fileName(u.at, m.File)
	u.msg.text = &unionText{text: m.text, part: m, whole: &u.msg}
	if u.alone() {
		return &u.msg, nil
	}
	if u.replaces(u.at) {
		if u.last >= maxUID {
			return nil, errors.New("a place of the INBOX grew while it was read: there are no UIDs left")
		}
		u.last++
		u.msg.UID = u.last
	}
	u.msg.Keywords = 0
	for bit, ours := range u.bits[u.at] {
		if m.Keywords&(1<<bit) != 0 && ours >= 0 {
			u.msg.Keywords |= 1 << ours
		}
	}
	return &u.msg, nil
}

// unionText passes the end of a message on to the one that the caller has.
type unionText struct {
	text
	part, whole *Message
}

func (t *unionText) writeTo(w io.Writer) (int64, error) {
	n, err := t.part.WriteTo(w)
	t.whole.EndOffset = t.part.EndOffset
	return n, err
}

// leaveOut passes over a message that an earlier place has.
func (u *union) leaveOut(m *Message) error {
	before := u.current.Account()[ReasonMessage]
	offset := m.Offset
	if _, err := m.WriteTo(io.Discard); err != nil {
		return err
	}
	// What the part counts as a message is a duplicate here.
	n := u.current.Account()[ReasonMessage] - before
	u.moved[ReasonMessage] -= n
	u.moved[ReasonDuplicate] += n
	u.shift--
	u.find(u.at, Finding{Kind: KindDuplicate, File: m.File, Offset: offset,
		Text: "the same message is in a place of the INBOX that comes before this; left out here"})
	return nil
}

// fileName is what a file of a part is called outside of it.
func (u *union) fileName(at int, name string) string { return join(u.parts[at].path, name) }

func (u *union) find(at int, f Finding) {
	if u.opts.Findings != nil {
		f.File = u.fileName(at, f.File)
		u.opts.Findings(f)
	}
}

// open begins to read a part.
func (u *union) open(at int) (err error) {
	u.at, u.shift = at, u.number
	opts := u.opts
	opts.Findings = func(f Finding) {
		switch {
		case f.Kind == KindUIDEpochLost && u.replaces(at) && f.Length == 0 && !f.Refused:
			return // nobody knew these numbers as the INBOX's
		case f.Message == 0:
		case u.skip[at].has(f.Message):
			f.Message = 0 // it has no number here
		default:
			f.Message += u.shift
		}
		u.find(at, f)
	}
	u.current, err = u.parts[at].open(opts)
	return err
}

// close ends a part.
func (u *union) close() {
	if u.alone() {
		u.keywords, u.validity, u.last = u.current.Keywords(), u.current.UIDValidity(), u.current.LastUID()
	} else if u.at == u.base && !u.renumber {
		u.last = max(u.last, u.current.LastUID()) // it may have grown since the survey
	}
	u.account.add(u.current.Account())
	u.account.add(u.moved)
	clear(u.moved)
	u.current = nil
}

func (a Account) add(b Account) {
	for reason, n := range b {
		a[reason] += n
	}
}

// surveyed is what the survey learned of one part.
type surveyed struct {
	messages int
	left     int // of them, those that no earlier part has
	last     uint32
	validity uint32
}

// survey reads all parts once, to learn their numbers and keywords and which messages are
// in two of them.
func (u *union) survey() error {
	quiet := u.opts
	quiet.Findings = nil
	var earlier []digest128 // sorted
	all := make([]surveyed, len(u.parts))
	names := make([][]string, len(u.parts))
	for at := range u.parts {
		mb, err := u.parts[at].open(quiet)
		if err != nil {
			return err
		}
		mine, err := digests(mb)
		if err != nil {
			return err
		}
		all[at] = surveyed{messages: len(mine), last: mb.LastUID(), validity: mb.UIDValidity()}
		names[at] = mb.Keywords()
		u.skip[at], earlier, all[at].left = duplicates(earlier, mine)
	}
	u.base = max(0, slices.IndexFunc(all, func(s surveyed) bool { return s.messages > 0 || s.validity > 0 }))
	for at := range u.parts {
		u.learn(at, names[at])
	}
	u.last, u.validity = all[u.base].last, all[u.base].validity
	others := 0
	for at, s := range all {
		if at != u.base {
			others += s.left
		}
	}
	if int64(u.last)+int64(others) > maxUID {
		u.renumber, u.last, u.validity = true, 0, 0
		u.find(u.base, Finding{Kind: KindUIDEpochLost, Text: "after the UIDs of this place of the INBOX there are not enough left for the messages of the others: all get new ones"})
	}
	return nil
}

// digest128 is the first half of a message's SHA-256.
type digest128 [16]byte

func compareDigests(a, b digest128) int { return bytes.Compare(a[:], b[:]) }

// digests reads a mailbox to its end and returns the digest of each message, as served.
func digests(mb Mailbox) (all []digest128, err error) {
	sum := sha256.New()
	var buf [sha256.Size]byte
	for {
		m, err := mb.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		sum.Reset()
		_, err = m.WriteTo(sum)
		if errors.Is(err, ErrUnreadable) { // it is put aside: none is like it
			fmt.Fprintf(sum, "%s %d", m.File, m.Offset)
			err = nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, digest128(sum.Sum(buf[:0])[:16]))
	}
}

// duplicates tells which of the messages of a place, by number from 1, are in earlier
// places already. Equal messages of one place are that many messages, so each earlier one
// stands for one only. It returns the digests of all places, sorted, and how many messages
// are left.
func duplicates(earlier, mine []digest128) (skip bitset, all []digest128, left int) {
	order := make([]int32, len(mine))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(compareDigests(mine[a], mine[b]), cmp.Compare(a, b))
	})
	all = slices.Grow(earlier, len(mine))
	at := 0
	for _, i := range order {
		for at < len(earlier) && compareDigests(earlier[at], mine[i]) < 0 {
			at++
		}
		if at < len(earlier) && earlier[at] == mine[i] {
			at++
			skip.add(int(i) + 1)
			continue
		}
		all = append(all, mine[i])
		left++
	}
	slices.SortFunc(all, compareDigests)
	return skip, all, left
}

// bitset is a set of small numbers.
type bitset []uint64

func (b *bitset) add(n int) {
	if words := n/64 + 1; words > len(*b) {
		*b = append(*b, make([]uint64, words-len(*b))...)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

func (b bitset) has(n int) bool { return n >= 0 && n/64 < len(b) && b[n/64]&(1<<(n%64)) != 0 }

// learn adds the keywords of a part to the list. Those of the base keep their bits, two
// of one name and those without a name too.
func (u *union) learn(at int, names []string) {
	bits := make([]int, len(names))
	for i, name := range names {
		bits[i] = -1
		if at != u.base {
			if name == "" {
				continue // no message has it
			}
			bits[i] = slices.IndexFunc(u.keywords, func(have string) bool { return strings.EqualFold(have, name) })
		}
		if bits[i] >= 0 {
			continue
		}
		if len(u.keywords) == maxUnionKeywords {
			u.find(at, Finding{Kind: KindKeywordsLost, Text: "keyword \"" + clip(name) + "\" is one more than a mailbox can have here"})
			continue
		}
		bits[i] = len(u.keywords)
		u.keywords = append(u.keywords, name)
	}
	u.bits[at] = bits
}

// Keywords implements Mailbox.
func (u *union) Keywords() []string {
	if u.alone() && u.current != nil {
		return u.current.Keywords()
	}
	return u.keywords
}

// UIDValidity implements Mailbox.
func (u *union) UIDValidity() uint32 { return u.validity }

// LastUID implements Mailbox.
func (u *union) LastUID() uint32 { return u.last }

// Account implements Mailbox.
func (u *union) Account() Account {
	sum := Account{}
	sum.add(u.account)
	if u.current != nil {
		sum.add(u.current.Account())
		sum.add(u.moved)
	}
	return sum
}
