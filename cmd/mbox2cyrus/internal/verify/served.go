package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/served"
	"mbox2cyrus/cyrusspool"
)

// served compares what a user's client would see of his mailboxes with the manifests.
// Those that the ledger or Cyrus do not have were reported already.
func (v *Verifier) served(ctx context.Context, u *plan.User, names []string) (err error) {
	session, err := v.Served.Login(ctx, u.ID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	done := report.Served{User: u.Name}
	for _, name := range names {
		rec, ok, err := v.Ledger.Mailbox(name)
		if err != nil {
			return err
		}
		if !ok || rec.State == ledger.Begun || !v.Cyrus.Has(cyrusspool.Name(name)) {
			continue
		}
		c, err := v.servedMailbox(rec, session)
		if err != nil {
			return err
		}
		same := true
		for _, p := range c.result().Problems {
			v.Report.Problem(p)
			same = same && p.Severity < report.Difference
		}
		if same {
			done.Mailboxes++
		}
		done.Messages += c.res.Verified
	}
	if v.Answers != nil {
		v.Answers(done)
	}
	return nil
}

// servedMailbox compares one mailbox.
func (v *Verifier) servedMailbox(rec ledger.Mailbox, session *served.Session) (c *comparison, err error) {
	c = &comparison{rec: rec}
	manifest, err := v.Ledger.OpenManifest(rec.Manifest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", rec.Name, err)
	}
	defer func() { err = errors.Join(err, manifest.Close()) }()
	s := &servedCheck{comparison: c, manifest: manifest}
	s.place = v.Cyrus.Place(rec.Partition, rec.Dir)
	defer func() { err = errors.Join(err, s.closeBox()) }()
	s.advance()
	err = session.Read(cyrusspool.Name(rec.Name), s.mailbox, s.message)
	if errors.Is(err, served.ErrNo) {
		c.differ(report.Difference, "imap-mailbox", -1, "%v", err)
		return c, nil
	}
	if err == nil {
		err = s.rest()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", rec.Name, err)
	}
	return c, nil
}

// servedCheck walks through the manifest and what imapd serves: both ascend by UID.
type servedCheck struct {
	*comparison
	manifest *ledger.ManifestReader
	next     ledger.Message
	err      error // of next

	// The index says which messages their user removed. It is opened for the first that is missing.
	place  cyrusspool.Place
	box    *box
	listed cyrusspool.Record // that was read there last
}

func (s *servedCheck) advance() { s.next, s.err = s.manifest.Next() }

func (s *servedCheck) mailbox(m served.Mailbox) {
	if m.UIDValidity != s.rec.UIDValid {
		s.differ(report.Difference, "imap-uidvalidity", -1, "clients see UIDVALIDITY %d, must see %d", m.UIDValidity, s.rec.UIDValid)
	}
	if m.UIDNext < s.rec.UIDNext {
		s.differ(report.Difference, "imap-uidnext", -1, "clients see UIDNEXT %d, must see %d", m.UIDNext, s.rec.UIDNext)
	}
}

// missing reports the messages of the manifest up to the one of uid that are not served.
func (s *servedCheck) missing(uid uint32) error {
	for s.err == nil && s.next.UID < uid {
		must, err := s.mustBeServed(s.next)
		if err != nil {
			return err
		}
		if must {
			s.differ(report.Difference, "imap-missing", s.next.Offset, "UID %d: clients do not see it", s.next.UID)
		}
		s.advance()
	}
	if s.err == io.EOF {
		return nil
	}
	return s.err
}

func (s *servedCheck) openBox() (err error) {
	if s.box, err = openBox(s.place); err != nil {
		return err
	}
	s.version = s.box.index.Header().Version
	s.changed = s.changedSince(s.box)
	s.dir, err = cyrusspool.OpenDir(s.place.Roots.Data, s.place.Dir)
	return err
}

func (s *servedCheck) closeBox() error {
	var err error
	if s.box != nil {
		err = s.box.close()
	}
	return errors.Join(err, s.closeFiles())
}

// mustBeServed reports whether clients must see a message of the manifest. It is asked in the
// order of UIDs.
func (s *servedCheck) mustBeServed(want ledger.Message) (bool, error) {
	if s.box == nil {
		if err := s.openBox(); err != nil {
			return false, err
		}
	}
	for s.listed.UID < want.UID {
		r, err := s.box.next()
		if err == io.EOF {
			r = cyrusspool.Record{UID: 1<<32 - 1}
		} else if err != nil {
			return false, err
		}
		s.listed = r
	}
	listed := s.listed.UID == want.UID
	if want.UID < s.rec.FirstUID { // of an earlier pass: what the index does not list, its user removed
		return listed && !s.listed.Gone(), nil
	}
	return !listed || !s.listed.Gone() || !s.removed(want, s.listed), nil
}

func (s *servedCheck) rest() error {
	if err := s.missing(1<<32 - 1); err != nil || s.err != nil {
		return err
	}
	return errors.New("the manifest has a UID that is none")
}

func (s *servedCheck) message(m served.Message) error {
	if err := s.missing(m.UID); err != nil {
		return err
	}
	if s.err != nil || s.next.UID != m.UID {
		if m.UID >= s.rec.FirstUID && m.UID < s.rec.UIDNext {
			s.differ(report.Difference, "imap-extra", -1, "clients see UID %d, which the source does not have", m.UID)
		}
		return nil // else Cyrus's own, or it came in since
	}
	want, before := s.next, s.n
	s.advance()
	differ := func(kind, format string, args ...any) {
		s.differ(report.Difference, kind, want.Offset, "UID %d: clients see %s", want.UID, fmt.Sprintf(format, args...))
	}
	if m.SHA1 != want.GUID || m.Octets != want.Size {
		differ("imap-text", "a text of %d bytes with SHA-1 %x, must be %d and %x", m.Octets, m.SHA1, want.Size, want.GUID)
	}
	if m.Size != want.Size {
		differ("imap-size", "RFC822.SIZE %d, must be %d", m.Size, want.Size)
	}
	if want.UID >= s.rec.FirstUID { // else flags and date are its user's by now
		if m.Date != want.Date {
			differ("imap-date", "INTERNALDATE %d, must be %d", m.Date, want.Date)
		}
		if flags := s.flagsOf(want); !slices.Equal(m.Flags, flags) {
			differ("imap-flags", "flags (%s), must be (%s)", strings.Join(m.Flags, " "), strings.Join(flags, " "))
		}
	}
	if s.n == before {
		s.res.Verified++
	}
	return nil
}

// flagsOf are the flags of a message as served.Message has them.
func (s *servedCheck) flagsOf(m ledger.Message) (flags []string) {
	for i, name := range [...]string{`\seen`, `\answered`, `\flagged`, `\deleted`, `\draft`} {
		if m.Flags&(1<<i) != 0 {
			flags = append(flags, name)
		}
	}
	for _, name := range s.keywordNames(m.Keywords) {
		flags = append(flags, strings.ToLower(name))
	}
	slices.Sort(flags)
	return slices.Compact(flags)
}
