package plan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"mbox2cyrus/cmd/mbox2cyrus/internal/held"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/pop3"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// Progress is told which users are being worked on.
type Progress interface {
	UserStarted(name string, bytes int64)
	UserDone(name string)
}

// Need is what mail takes on a Cyrus partition, or in the state directory, about.
type Need struct{ Bytes, Inodes int64 }

// HeldNeed is what the mail takes that will be held.
type HeldNeed struct {
	Need
	Largest int64 // bytes of the largest file of it
}

// Scanner reads every folder of a plan, counts, and writes nothing.
type Scanner struct {
	Source   *source.Source
	Report   *report.Reporter
	Progress Progress
	Jobs     int
	// UIDLFormat is in which form Cyrus's POP3 server will name messages.
	UIDLFormat pop3.Format
	HelpDesk   *HelpDesk      // gets what changes for users; may be nil
	Ledger     *ledger.Ledger // what earlier passes brought needs no room any more; may be nil
	// Written tells what is there of a mailbox that a run which was cut off began.
	Written func(ledger.Mailbox) Need
	// TellHeld tells of what is held of a folder that has not changed since, and who approved of it.
	TellHeld func(ctx context.Context, rec ledger.Mailbox, tell func(report.Problem)) error

	mu     sync.Mutex
	need   map[string]Need
	more   map[cyrusspool.Name]Size
	moving []Moved
	sizes  map[cyrusspool.Name]Size
	held   HeldNeed
}

const (
	blockSize   = 4096 // of common file systems: a message file takes half of one more than its size
	cachePerMsg = 1024 // index record and cache of one message of ordinary mail
	heldPerItem = 2048 // header fields in the mbox file of what is held, and a line of the list
	heldInodes  = 2    // of a mailbox: that file, and the list
)

// heldNeeds is what an amount takes that is held of one folder: most of it as it is, but what
// is no plain text as base64 in lines of 76 characters.
func heldNeeds(a source.Amount) HeldNeed {
	if a.Items == 0 {
		return HeldNeed{}
	}
	mail := a.Bytes + a.Bytes*3/8 + a.Items*heldPerItem
	return HeldNeed{Need{mail + heldInodes*blockSize, heldInodes}, mail}
}

// MailboxFiles are header, index, cache and the directory.
const MailboxFiles = 4

// Run reads the folders and reports each, with what is doubtful in it, and returns what
// each partition must hold beyond what earlier passes brought. What concerns one user is reported; the error is the
// context's.
func (s *Scanner) Run(ctx context.Context, p *Plan) (map[string]Need, error) {
	s.need, s.sizes, s.more, s.held = map[string]Need{}, map[cyrusspool.Name]Size{}, map[cyrusspool.Name]Size{}, HeldNeed{}
	err := p.Each(ctx, s.Jobs, func(u *User) { s.user(ctx, u) })
	if err == nil {
		err = s.again(p)
	}
	return s.need, err
}

// Sizes returns what the mailboxes will hold, when Run has returned. Folders that could not
// be read are not there.
func (s *Scanner) Sizes() map[cyrusspool.Name]Size { return s.sizes }

// More returns by how much mailboxes grow that are new, or whose folders changed since an
// earlier pass, when Run has returned.
func (s *Scanner) More() map[cyrusspool.Name]Size { return s.more }

// Held returns what the mail takes that will be held of these, when Run has returned.
func (s *Scanner) Held() HeldNeed { return s.held }

func (s *Scanner) needs(u *User, bytes, inodes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.need[u.Partition]
	s.need[u.Partition] = Need{n.Bytes + bytes, n.Inodes + inodes}
}

// brought returns the record of a mailbox that an earlier pass filled.
func (s *Scanner) brought(name cyrusspool.Name) (rec ledger.Mailbox, known bool, err error) {
	if s.Ledger == nil {
		return rec, false, nil
	}
	rec, known, err = s.Ledger.Mailbox(string(name))
	return rec, known && rec.State != ledger.Begun, err
}

// needsOf adds what a folder needs, whose mail has that size, takes so many bytes of blocks,
// and of which that is to be held. A folder that has not changed since an earlier pass needs
// nothing; of another, message files that are there stay, and what is held is written anew.
func (s *Scanner) needsOf(u *User, f Folder, size Size, disk int64, held HeldNeed) error {
	inodes := size.Messages + MailboxFiles
	rec, known, err := s.brought(f.Mailbox)
	if err != nil {
		return err
	}
	if known && rec.SourceID != nil {
		if rec.SourceID.Equal(FileID(f.File)) {
			return nil
		}
		disk -= rec.Size + rec.Messages*(blockSize/2+cachePerMsg)
		inodes -= rec.Messages + MailboxFiles
		size = size.Minus(Size{rec.Size, rec.Messages, 0})
	}
	if rec.State == ledger.Begun {
		there := s.Written(rec)
		disk, inodes = disk-there.Bytes, inodes-there.Inodes
	}
	size.Bytes, size.Messages = max(0, size.Bytes), max(0, size.Messages)
	s.needs(u, max(0, disk), max(0, inodes))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.more[f.Mailbox] = size
	s.held.Bytes, s.held.Inodes, s.held.Largest = s.held.Bytes+held.Bytes, s.held.Inodes+held.Inodes, max(s.held.Largest, held.Largest)
	return nil
}

func (s *Scanner) user(ctx context.Context, u *User) {
	s.Progress.UserStarted(u.Name, u.Bytes)
	defer s.Progress.UserDone(u.Name)
	for _, p := range u.Problems {
		s.Report.Problem(p)
	}
	help := s.HelpDesk.user(u)
	defer help.done()
	for _, parent := range u.Parents {
		_, known, err := s.brought(parent)
		if err != nil {
			s.fail(u, "", err)
		} else if !known {
			s.needs(u, 0, MailboxFiles)
		}
		s.Report.Folder(report.Folder{User: u.Name, Mailbox: string(parent)})
	}
	for _, f := range u.Folders {
		if ctx.Err() != nil {
			return
		}
		s.folder(ctx, u, f, help)
	}
	s.Report.User(u.Name)
}

func (s *Scanner) fail(u *User, folder string, err error) {
	s.Report.Problem(report.Problem{Severity: report.Failure, User: u.Name, Folder: folder, Offset: -1, Kind: "user-failed", Text: err.Error()})
}

// heldOf returns the record of a folder's mailbox if some of the folder is held, and it has not
// changed since: migrate would not read it again.
func (s *Scanner) heldOf(f Folder) (rec ledger.Mailbox, ok bool, err error) {
	rec, known, err := s.brought(f.Mailbox)
	ok = known && rec.State == ledger.Verified && rec.Held != nil && rec.SourceID != nil && rec.SourceID.Equal(FileID(f.File)) &&
		rec.Rules == s.Source.Rules.String() && s.TellHeld != nil
	return rec, ok, err
}

// counted is what was counted of a folder that was read.
type counted struct {
	messages, bytes int64         // of those that Cyrus can have
	disk            int64         // bytes of blocks that they take, with their cache records
	tooLarge        source.Amount // messages that Cyrus cannot have
	inbox           pop3.Inbox    // if it is an INBOX
}

// add counts a message of n bytes, as Cyrus would have it.
func (c *counted) add(m *mbox.Message, n int64) {
	c.messages, c.bytes = c.messages+1, c.bytes+n
	c.disk += (n+blockSize-1)/blockSize*blockSize + cachePerMsg
	c.inbox.Add(m.UID, m.Flags&mbox.Deleted != 0, m.Flags&mbox.Seen != 0, n)
}

// read reads one folder and counts its messages. What is too large is told of, unless isHeld: then
// the list of what is held tells of it.
func (s *Scanner) read(ctx context.Context, u *User, f Folder, help *affected, isHeld bool) (c counted, res source.Result, err error) {
	var hold source.Hold
	if isHeld {
		hold = func(source.Aside) error { return nil }
	}
	res, err = s.Source.ReadHolding(ctx, u.User, f.File, func(m *mbox.Message, _ []string) error {
		help.message(f, m)
		n, err := m.WriteTo(io.Discard)
		if err != nil {
			return err
		}
		switch {
		case s.Source.Rules.CheckSize(n) == nil:
			c.add(m, n)
		case !isHeld:
			s.Report.Problem(report.Problem{Severity: report.Attention, User: u.Name, Folder: f.File.Name, File: m.File, Offset: m.Offset, Kind: held.TooLarge,
				Text: fmt.Sprintf("a message of %d bytes, as Cyrus would have it: it will be held, and is for a person to look at", n)})
			c.tooLarge.Items++
			c.tooLarge.Bytes += m.EndOffset - m.Offset
		}
		return nil
	}, hold)
	return c, res, err
}

// folder reads one folder, reports it, and adds what its mailbox will hold and need.
func (s *Scanner) folder(ctx context.Context, u *User, f Folder, help *affected) {
	tell := func(p report.Problem) {
		s.Report.Problem(p)
		help.problem(p)
	}
	rec, isHeld, err := s.heldOf(f)
	if err != nil {
		s.fail(u, f.File.Name, err)
		return
	}
	c, res, err := s.read(ctx, u, f, help, isHeld)
	if errors.Is(err, context.Canceled) {
		return
	}
	changed := errors.Is(err, source.ErrChanged)
	if changed { // told at the end; it counts as it was read
		err = s.look(u, f)
	}
	if err != nil {
		tell(report.Problem{Severity: report.Failure, User: u.Name, Folder: f.File.Name, Offset: -1, Kind: "unreadable", Text: err.Error()})
		return
	}
	if !changed {
		s.moved(u, f, res.ID)
	}
	for _, p := range res.Problems {
		tell(p)
	}
	size := Size{Bytes: c.bytes, Messages: c.messages, Folders: 1}
	if err := s.needsOf(u, f, size, c.disk, heldNeeds(source.Amount{Items: res.Aside.Items + c.tooLarge.Items, Bytes: res.Aside.Bytes + c.tooLarge.Bytes})); err != nil {
		s.fail(u, f.File.Name, err)
	}
	s.mu.Lock()
	s.sizes[f.Mailbox] = size
	s.mu.Unlock()
	if isHeld {
		if err := s.TellHeld(ctx, rec, tell); err != nil {
			s.Report.Problem(report.Problem{Severity: report.Failure, User: u.Name, Folder: f.File.Name, Offset: -1, Kind: "held-lost", Text: err.Error()})
		}
	}
	s.Report.Folder(report.Folder{User: u.Name, Folder: f.File.Name, Mailbox: string(f.Mailbox), SpecialUse: f.SpecialUse, Found: res.Messages, Bytes: c.bytes,
		Doubts: res.Doubts, UIDValidity: res.UIDValidity, UIDNext: res.UIDNext})
	if len(f.Mailbox.Folder()) == 0 {
		v := c.inbox.Verdict(s.UIDLFormat, res.UIDValidity, res.UIDValidity, false)
		s.Report.POP3(report.POP3{User: u.Name, Mailbox: string(f.Mailbox), Format: string(v.Format), UW: v.UW, Cyrus: v.Cyrus,
			Messages: c.inbox.Messages, Bytes: c.inbox.Bytes, Again: v.Again, AgainBytes: v.AgainBytes, Hidden: c.inbox.Hidden})
	}
}
