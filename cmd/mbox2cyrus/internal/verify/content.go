package verify

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/emersion/go-message/textproto"
	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/mbox"
)

// headerLimit is how much of a header is given to go-message: as much as
// mbox.Message.Header returns.
const headerLimit = 256 << 10

// content reads the source folder and the message files again and compares
// both, message by message, with the manifest. A go-message parser, which
// shares nothing with our header filter, must find that only UW's internal
// fields are gone. It returns what is wrong with which message, too, and tells of those
// that are in the source only, where tell is not nil: the index is not asked about them.
func content(ctx context.Context, src *source.Source, l *ledger.Ledger, rec ledger.Mailbox, u mbox.User, f mbox.File, dir string, tell func(report.Message)) (Result, map[uint32]fault, error) {
	c := &comparison{rec: rec, each: messages{tell: tell}}
	manifest, err := l.OpenManifest(rec.Manifest)
	if err != nil {
		return Result{}, nil, fmt.Errorf("%s: %w", rec.Name, err)
	}
	s := &contentCheck{comparison: c, manifest: manifest, dir: dir, sum: sha1.New(), buf: make([]byte, headerLimit), bad: map[uint32]fault{}}
	s.order.Emit = s.compare
	if rec.Assigned {
		if s.assigned, err = assignedUIDs(l, rec.Manifest); err != nil {
			return Result{}, nil, errors.Join(fmt.Errorf("%s: %w", rec.Name, err), manifest.Close())
		}
	}
	s.rules = src.Rules
	res, err := src.ReadHolding(ctx, u, f, s.message, s.aside)
	if err == nil {
		err = s.flush()
	}
	if err == nil {
		err = s.rest()
	}
	if err := errors.Join(err, manifest.Close()); err != nil {
		return Result{}, nil, fmt.Errorf("%s: %w", rec.Name, err)
	}
	if res.UIDValidity != 0 && res.UIDValidity != rec.UIDValid {
		c.differ(report.Difference, "uidvalidity", -1, "UIDVALIDITY of the source is %d, of the mailbox %d", res.UIDValidity, rec.UIDValid)
	}
	return c.result(), s.bad, nil
}

// spool reads the message files of a mailbox whose folder is in an archive, and compares
// them with the manifest.
func spool(ctx context.Context, l *ledger.Ledger, rec ledger.Mailbox, dir string) (Result, map[uint32]fault, error) {
	c := &comparison{rec: rec}
	manifest, err := l.OpenManifest(rec.Manifest)
	if err != nil {
		return Result{}, nil, fmt.Errorf("%s: %w", rec.Name, err)
	}
	s := &contentCheck{comparison: c, dir: dir, sum: sha1.New(), buf: make([]byte, headerLimit), bad: map[uint32]fault{}}
	for err == nil {
		var m ledger.Message
		if m, err = manifest.Next(); err == nil {
			err = errors.Join(ctx.Err(), s.file(m, nil))
		}
		if _, bad := s.bad[m.UID]; err == nil && !bad {
			s.res.Verified++
		}
	}
	if err == io.EOF {
		err = nil
	}
	if err := errors.Join(err, manifest.Close()); err != nil {
		return Result{}, nil, fmt.Errorf("%s: %w", rec.Name, err)
	}
	return c.result(), s.bad, nil
}

type contentCheck struct {
	*comparison
	manifest *ledger.ManifestReader
	dir      string
	order    ledger.Order
	sum      hash.Hash
	buf      []byte
	rules    source.Rules
	bad      map[uint32]fault // by UID
	next     ledger.Message   // of the manifest, if peeked is set
	peeked   bool
	unread   []source.Aside // what of the source cannot be read

	// Of a folder whose UIDs were not taken from the source.
	assigned map[place]uint32
	waiting  []ledger.Message // until all are known, for their order may be another one
}

// place is where a message lies in the source.
type place struct {
	file   string
	offset int64
}

// assignedUIDs are the UIDs that the messages of a manifest were given.
func assignedUIDs(l *ledger.Ledger, name string) (uids map[place]uint32, err error) {
	manifest, err := l.OpenManifest(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, manifest.Close()) }()
	uids = map[place]uint32{}
	for {
		m, err := manifest.Next()
		if err == io.EOF {
			return uids, nil
		}
		if err != nil {
			return nil, err
		}
		uids[place{m.File, m.Offset}] = m.UID
	}
}

// aside remembers what cannot be read. Of what else is set aside Held tells.
func (s *contentCheck) aside(a source.Aside) error {
	if a.Kind == mbox.KindUnreadable {
		s.unread = append(s.unread, a)
	}
	return nil
}

// peek returns the next message of the manifest, which stays the next.
func (s *contentCheck) peek() (m ledger.Message, err error) {
	if !s.peeked {
		if s.next, err = s.manifest.Next(); err != nil {
			return m, err
		}
		s.peeked = true
	}
	return s.next, nil
}

// missing reports a message of the manifest that the source does not give.
func (s *contentCheck) missing(m ledger.Message) {
	for _, a := range s.unread {
		if a.File == m.File && a.Offset < m.End && m.Offset < a.Offset+a.Length {
			s.differ(report.Attention, string(mbox.KindUnreadable), m.Offset, "UID %d was migrated, and its place in the source cannot be read any more: Cyrus has what there was, which could not be compared", m.UID)
			s.bad[m.UID] = fault{report.CyrusOnly, "its place in the source cannot be read any more"}
			return
		}
	}
	s.differ(report.Difference, "source-missing", m.Offset, "UID %d was migrated, but the source no longer has it", m.UID)
	s.bad[m.UID] = fault{report.CyrusOnly, "the source no longer has it"}
}

// flush compares what had to wait.
func (s *contentCheck) flush() error {
	slices.SortFunc(s.waiting, func(a, b ledger.Message) int { return cmp.Compare(a.UID, b.UID) })
	for _, m := range s.waiting {
		if err := s.compare(m); err != nil {
			return err
		}
	}
	return s.order.Flush()
}

// message reads one message of the source and its file in the spool.
func (s *contentCheck) message(m *mbox.Message, _ []string) error {
	s.sum.Reset()
	size, err := m.WriteTo(s.sum)
	if err != nil {
		return err
	}
	if s.rules.CheckSize(size) != nil {
		return nil // held: Held tells
	}
	msg := ledger.Message{UID: m.UID, Offset: m.Offset, End: m.EndOffset, Size: size,
		Date: m.Date.Unix(), Flags: LedgerFlags(m.Flags), Keywords: m.Keywords, File: m.File}
	s.sum.Sum(msg.GUID[:0])
	if s.assigned != nil {
		uid, ok := s.assigned[place{m.File, m.Offset}]
		if !ok {
			s.differ(report.Difference, "source-extra", m.Offset, "the source has a message there that was not migrated")
			s.tell(report.SourceOnly, msg.UID, &msg, "not migrated; the UID is the source's")
			return nil
		}
		msg.UID = uid
	}
	if err := s.file(msg, m); err != nil {
		return err
	}
	if s.assigned != nil {
		s.waiting = append(s.waiting, msg)
		return nil
	}
	return s.order.Add(msg)
}

// file compares the message file with what the source gave just now, or, where source is
// nil, gave when it was migrated.
func (s *contentCheck) file(want ledger.Message, source *mbox.Message) error {
	f, err := os.OpenFile(filepath.Join(s.dir, strconv.FormatUint(uint64(want.UID), 10)+"."), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) && want.UID < s.rec.FirstUID {
		return nil // removed in Cyrus since an earlier pass: Index tells
	}
	if errors.Is(err, os.ErrNotExist) {
		s.wrong(report.Unreadable, "file-missing", want, "its message file is missing")
		return nil
	}
	if err != nil {
		s.wrong(report.Unreadable, "file-unreadable", want, "its message file cannot be read: %v", err)
		return nil
	}
	s.sum.Reset()
	n, err := io.ReadFull(f, s.buf)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	head := s.buf[:n]
	s.sum.Write(head)
	if err == nil && source != nil {
		if reason := headerDiffers(source.Header(), head, source.HidesInternal()); reason != "" {
			s.wrong(report.Differs, "header", want, "%s", reason)
		}
	}
	var more int64
	if err == nil && n == len(s.buf) {
		more, err = io.CopyBuffer(struct{ io.Writer }{s.sum}, struct{ io.Reader }{f}, s.buf)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		s.wrong(report.Unreadable, "file-unreadable", want, "its message file cannot be read: %v", err)
		return nil
	}
	var guid [20]byte
	s.sum.Sum(guid[:0])
	if guid != want.GUID {
		s.wrong(report.Differs, "content", want, "its message file (%d bytes) is not what the source holds (%d bytes)", int64(n)+more, want.Size)
	}
	return nil
}

// wrong reports what is wrong with a message, and remembers it.
func (s *contentCheck) wrong(mark report.Mark, kind string, want ledger.Message, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	s.differ(report.Difference, kind, want.Offset, "UID %d: %s", want.UID, what)
	if f, ok := s.bad[want.UID]; ok {
		mark, what = min(f.mark, mark), f.what+", "+what // Unreadable before Differs
	}
	s.bad[want.UID] = fault{mark, what}
}

func (s *contentCheck) compare(have ledger.Message) error {
	want, err := s.peek()
	for err == nil && want.UID < have.UID {
		s.missing(want)
		s.peeked = false
		want, err = s.peek()
	}
	if err == io.EOF || err == nil && want.UID > have.UID {
		s.differ(report.Difference, "source-extra", have.Offset, "the source has a message (UID %d) that was not migrated", have.UID)
		s.tell(report.SourceOnly, have.UID, &have, "not migrated; the UID is the source's")
		return nil
	}
	if err != nil {
		return err
	}
	s.peeked = false
	if have != want {
		s.wrong(report.Differs, "source-changed", have, "the source is not as it was migrated (UID %d at offset %d)", want.UID, want.Offset)
		return nil
	}
	if _, bad := s.bad[have.UID]; !bad {
		s.res.Verified++
	}
	return nil
}

// rest reports what the manifest has and the source no longer.
func (s *contentCheck) rest() error {
	for {
		m, err := s.peek()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		s.missing(m)
		s.peeked = false
	}
}

// headerDiffers parses both headers with go-message and says what differs
// besides UW's internal fields, "" if nothing. A header that go-message cannot
// read is no evidence either way: the SHA-1 of the whole message has the word.
func headerDiffers(source, spool []byte, hidesInternal bool) string {
	if len(source) >= headerLimit || len(spool) >= headerLimit && !bytes.Contains(spool, []byte("\r\n\r\n")) {
		return ""
	}
	a, aerr := fields(source)
	b, berr := fields(spool)
	if aerr != nil || berr != nil {
		return ""
	}
	kept := a[:0]
	for _, field := range a {
		if !hidesInternal || !mbox.IsInternal(field) {
			kept = append(kept, asServed(field))
		}
	}
	if len(kept) != len(b) {
		return fmt.Sprintf("the header has %d fields in Cyrus, %d in the source without UW's own", len(b), len(kept))
	}
	for i := range b {
		if !bytes.Equal(kept[i], asServed(b[i])) {
			return fmt.Sprintf("header field %d differs", i+1)
		}
	}
	return ""
}

func fields(raw []byte) ([][]byte, error) {
	h, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for f := h.Fields(); f.Next(); {
		b, err := f.Raw()
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// asServed does to a raw field what UW does to its bytes: NUL becomes 0x80 and
// a CR that ends no line goes (uw-mbox 2.3).
func asServed(field []byte) []byte {
	field = bytes.ReplaceAll(field, []byte{0}, []byte{0x80})
	field = bytes.ReplaceAll(field, []byte("\r"), nil)
	return bytes.ReplaceAll(field, []byte("\n"), []byte("\r\n"))
}
