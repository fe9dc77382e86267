package migrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// readTries is how often a folder that changes under the reader is read anew.
const readTries = 3

// fill writes one mailbox: message files, header, index and manifest. It is
// complete on return but not yet durable.
func (e *Engine) fill(ctx context.Context, u *plan.User, m *mailbox) error {
	for try := 1; ; try++ {
		err := e.fillOnce(ctx, u, m)
		if !errors.Is(err, source.ErrChanged) || try == readTries {
			return err
		}
	}
}

func (e *Engine) fillOnce(ctx context.Context, u *plan.User, m *mailbox) (err error) {
	f := &filler{mailbox: m}
	f.order.Emit = f.add
	header, err := e.header(m)
	if err != nil {
		return err
	}
	f.header = &header
	f.w, err = cyrusspool.CreateMailbox(e.Cyrus.PartitionDir(m.rec.Partition), m.rec.Dir, e.Cyrus.Fresh.IndexVersion, e.Cyrus.Fresh.Owner)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.w.Close()) }()
	if f.manifest, err = e.Ledger.CreateManifest(m.rec.Manifest); err != nil {
		return err
	}
	closed := false
	defer func() {
		if !closed {
			err = errors.Join(err, f.manifest.Close())
		}
	}()
	res := source.Result{UIDNext: 1}
	if m.folder != nil {
		res, err = e.Source.Read(ctx, u.User, m.folder.File, f.message)
		if err != nil {
			return err
		}
	}
	if err := f.order.Flush(); err != nil {
		return err
	}
	f.learnKeywords(res.Keywords) // of a folder that has keywords but no message
	m.rec.Keywords = f.keywords.names

	m.rec.UIDValid, m.rec.NewUIDVald = res.UIDValidity, res.UIDValidity == 0
	if m.rec.NewUIDVald {
		m.rec.UIDValid = uint32(now().Unix())
	}
	m.rec.UIDNext, m.rec.Messages, m.rec.Size = res.UIDNext, f.written, f.bytes
	m.rec.Bytes, m.rec.SourceID, m.rec.Source = res.Bytes, nil, ""
	if m.folder != nil {
		m.rec.SourceID, m.rec.Source = &res.ID, ledger.RawName(m.folder.File.Path)
	}
	m.written, m.goMbox = f.written, res.GoMbox

	if err := f.w.Commit(cyrusspool.IndexHeader{
		UIDValidity: m.rec.UIDValid, LastUID: res.UIDNext - 1, RecentUID: f.recent,
		LastAppend: lastAppend(f.written),
	}, header); err != nil {
		return err
	}
	closed = true
	if err := f.manifest.Close(); err != nil {
		return err
	}
	// Only now, so that a folder that had to be read anew is reported once.
	m.doubts = res.Doubts
	for _, p := range res.Problems {
		e.Report.Problem(p)
	}
	for _, c := range f.keywords.changes {
		e.Report.Problem(report.Problem{Severity: report.Note, User: u.Name, Folder: m.folderName(), Offset: -1,
			Kind: "keyword-changed", Text: fmt.Sprintf("keyword %s became %s: %s", report.Quote(c.from), c.to, c.why)})
	}
	return nil
}

// header is the cyrus.header to start from: of a mailbox that Cyrus made, its
// own, so that its quota root and access rights stay.
func (e *Engine) header(m *mailbox) (cyrusspool.Header, error) {
	if !m.rec.Adopted {
		return e.Cyrus.Header(m.entry), nil
	}
	raw, err := os.ReadFile(filepath.Join(e.dir(m), "cyrus.header"))
	if err != nil {
		return cyrusspool.Header{}, err
	}
	h, err := cyrusspool.ParseHeader(raw)
	if err != nil {
		return cyrusspool.Header{}, fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	return *h, nil
}

func lastAppend(messages int64) int64 {
	if messages == 0 {
		return 0
	}
	return now().Unix()
}

// filler takes the messages of one folder into one mailbox.
type filler struct {
	*mailbox
	w        *cyrusspool.Writer
	manifest *ledger.ManifestWriter
	header   *cyrusspool.Header
	keywords *keywords // nil until the first message

	order   ledger.Order
	written int64
	bytes   int64
	recent  uint32 // highest UID that is not \Recent (uw-mbox 11.4)
}

// learnKeywords gives the folder's keywords their places among the header's
// flags. UW knows the whole list after the first message's header (uw-mbox 3.2).
func (f *filler) learnKeywords(names []string) {
	if f.keywords == nil {
		f.keywords = placeKeywords(names, f.header.Flags)
		f.header.Flags = f.keywords.header
	}
}

// message writes one message file.
func (f *filler) message(m *mbox.Message, keywords []string) error {
	f.learnKeywords(keywords)
	size, guid, err := f.w.WriteMessage(m.UID, m.Date, m)
	if err != nil {
		return err
	}
	f.written++
	f.bytes += size
	if m.Flags&mbox.Recent == 0 {
		f.recent = max(f.recent, m.UID)
	}
	return f.order.Add(ledger.Message{UID: m.UID, Offset: m.Offset, End: m.EndOffset, Size: size, GUID: guid,
		Date: m.Date.Unix(), Flags: verify.LedgerFlags(m.Flags), Keywords: m.Keywords, File: m.File})
}

func (f *filler) add(m ledger.Message) error {
	rec := cyrusspool.Record{UID: m.UID, InternalDate: m.Date, Size: uint64(m.Size), GUID: m.GUID,
		SystemFlags: verify.SystemFlags(m.Flags), ModSeq: 1, CreatedModSeq: 1}
	rec.UserFlags = f.keywords.userFlags(m.Keywords)
	f.manifest.Add(m)
	return f.w.Add(rec)
}
