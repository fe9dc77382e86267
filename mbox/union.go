package mbox

import (
	"crypto/sha1"
	"errors"
	"io"
	"slices"
	"strings"
)

// maxUnionKeywords is how many keywords a mailbox can have: the bits of Message.Keywords.
const maxUnionKeywords = 64

// union reads an INBOX that is in several places as one mailbox. UW moves the mail of the
// spool into the INBOX that it found elsewhere whenever that is opened (mbox.c mbox_ping,
// mbx.c mbx_snarf and others), so what lies in the spool follows what lies elsewhere. The
// first place gives UIDVALIDITY, UIDs and keywords; the messages of the others get the
// next UIDs and keep their flags, keywords and dates.
//
// A session that broke off may leave a message in both places. One that has the same
// bytes as one in an earlier place is left out. To know them, all places are read twice:
// they are seldom more than one, and large even less.
type union struct {
	parts    []part
	opts     Options
	err      error
	started  bool
	current  Mailbox
	at       int    // part that is read
	last     uint32 // greatest UID, when the first part has been read
	validity uint32
	keywords []string
	bits     [][]int              // for each part: its keyword bit to ours, -1: lost
	skip     map[int]map[int]bool // by part: numbers of messages that an earlier part has
	number   int
	account  Account
	done     Account // of the parts that were read
	msg      Message
}

func newUnion(parts []part, opts Options) *union {
	return &union{parts: parts, opts: opts, account: Account{}, done: Account{}}
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
		if err := u.survey(); err != nil {
			return nil, err
		}
		if err := u.open(0); err != nil {
			return nil, err
		}
	}
	for {
		m, err := u.current.Next()
		if err == io.EOF {
			u.close()
			if u.at++; u.at == len(u.parts) {
				return nil, io.EOF
			}
			if err := u.open(u.at); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if u.skip[u.at][m.Number] {
			if err := u.leaveOut(m); err != nil {
				return nil, err
			}
			continue
		}
		return u.take(m)
	}
}

// take makes the message of a part one of the union.
func (u *union) take(m *Message) (*Message, error) {
	u.number++
	uid := m.UID
	if u.at > 0 {
		if u.last >= maxUID {
			return nil, errors.New("no UIDs are left for the messages of another place of the INBOX")
		}
		u.last++
		uid = u.last
	}
	u.msg = *m
	u.msg.Number, u.msg.UID, u.msg.Keywords, u.msg.File = u.number, uid, 0, u.fileName(m.File)
	u.msg.text = &unionText{text: m.text, part: m, whole: &u.msg}
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
	u.account[ReasonMessage] -= n
	u.account[ReasonDuplicate] += n
	u.find(Finding{Kind: KindDuplicate, File: m.File, Offset: offset,
		Text: "the same message is in a place of the INBOX that comes before this; left out here"})
	return nil
}

func (u *union) fileName(name string) string {
	if name == "" {
		return u.parts[u.at].path
	}
	return u.parts[u.at].path + "/" + name
}

func (u *union) find(f Finding) {
	if u.opts.Findings != nil {
		f.File = u.fileName(f.File)
		u.opts.Findings(f)
	}
}

// open begins to read a part.
func (u *union) open(at int) (err error) {
	opts := u.opts
	number := u.number
	opts.Findings = func(f Finding) {
		if f.Message > 0 {
			f.Message += number
		}
		u.find(f)
	}
	u.current, err = u.parts[at].open(opts)
	return err
}

// close ends a part.
func (u *union) close() {
	for reason, n := range u.current.Account() {
		u.done[reason] += n
	}
	if u.at == 0 {
		u.last, u.validity = u.current.LastUID(), u.current.UIDValidity()
	}
}

// survey reads all parts once, to learn their keywords and which messages are in two.
func (u *union) survey() error {
	quiet := u.opts
	quiet.Findings = nil
	type key = [sha1.Size]byte
	var mine []key // of the messages of one part
	earlier := map[key]bool{}
	u.skip = map[int]map[int]bool{}
	for at := range u.parts {
		mb, err := u.parts[at].open(quiet)
		if err != nil {
			return err
		}
		mine = mine[:0]
		for {
			m, err := mb.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			sum := sha1.New()
			if _, err := m.WriteTo(sum); err != nil {
				return err
			}
			k := key(sum.Sum(nil))
			mine = append(mine, k)
			if earlier[k] {
				if u.skip[at] == nil {
					u.skip[at] = map[int]bool{}
				}
				u.skip[at][m.Number] = true
			}
		}
		// Only now: equal messages of one place are that many messages.
		for _, k := range mine {
			earlier[k] = true
		}
		u.learn(at, mb.Keywords())
	}
	return nil
}

// learn adds the keywords of a part to the list.
func (u *union) learn(at int, names []string) {
	bits := make([]int, len(names))
	for i, name := range names {
		bits[i] = slices.IndexFunc(u.keywords, func(have string) bool { return name != "" && strings.EqualFold(have, name) })
		if at == 0 {
			bits[i] = -1 // its bits stay what they are, equal names too
		}
		if bits[i] >= 0 {
			continue
		}
		if len(u.keywords) == maxUnionKeywords {
			save := u.at
			u.at = at
			u.find(Finding{Kind: KindKeywordsLost, Text: "keyword \"" + clip(name) + "\" is one more than a mailbox can have here"})
			u.at = save
			continue
		}
		bits[i] = len(u.keywords)
		u.keywords = append(u.keywords, name)
	}
	u.bits = append(u.bits, bits)
}

// Keywords implements Mailbox.
func (u *union) Keywords() []string { return u.keywords }

// UIDValidity implements Mailbox.
func (u *union) UIDValidity() uint32 { return u.validity }

// LastUID implements Mailbox.
func (u *union) LastUID() uint32 { return u.last }

// Account implements Mailbox.
func (u *union) Account() Account {
	sum := Account{}
	for reason, n := range u.done {
		sum[reason] += n
	}
	for reason, n := range u.account { // what was counted otherwise
		sum[reason] += n
	}
	return sum
}
