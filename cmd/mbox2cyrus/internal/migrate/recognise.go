package migrate

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io/fs"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/undo"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
	"mbox2cyrus/reconstruct"
)

// recognise finds out whether a mailbox that the ledger does not know holds what the
// folder holds, message by message, and nothing else. Then it is the work of a run whose
// state directory is lost, and its record is made anew.
func (e *Engine) recognise(ctx context.Context, u *plan.User, m *mailbox) (ours bool, err error) {
	if m.folder == nil {
		return false, nil
	}
	header, err := e.place(m).ReadHeader()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", m.rec.Name, err)
	}
	keywords, err := e.describeSource(ctx, u, m, header.Flags)
	if err != nil {
		return false, err
	}
	defer func() {
		if !ours {
			err = errors.Join(err, e.Ledger.RemoveManifest(m.rec.Manifest))
		}
	}()
	if m.rec.NewUIDVald {
		h, err := e.place(m).IndexHeader()
		if err != nil {
			return false, fmt.Errorf("%s: %w", m.rec.Name, err)
		}
		m.rec.UIDValid = h.UIDValidity
	}
	res, err := e.compareIndex(u.ID, m.rec)
	if err != nil || len(res.Problems) > 0 || m.rec.Messages == 0 && m.rec.NewUIDVald {
		return false, err
	}
	m.rec.State, m.rec.IndexID, m.rec.Recognised = ledger.Verified, &res.IndexID, true
	if len(cyrusspool.Name(m.rec.Name).Folder()) == 0 {
		if err := undo.Recognise(e.Cyrus, &m.rec, m.entry); err != nil {
			return false, err
		}
		if err := e.recogniseSubscriptions(ctx, u); err != nil {
			return false, err
		}
	}
	if err := e.disks.Sync(e.Ledger.ManifestDir()); err != nil {
		return false, err
	}
	if err := e.Ledger.Set(m.rec); err != nil {
		return false, err
	}
	m.todo, m.verified = nothing, res.Verified
	e.Report.Problem(report.Problem{Severity: report.Note, User: u.Name, Folder: m.folderName(), Mailbox: m.rec.Name, Offset: -1, Kind: "recognised",
		Text: m.rec.Name + ": the ledger did not know it, but it holds exactly what the folder holds: taken for the work of an earlier run"})
	for _, p := range keywords.problems(u, m) {
		e.Report.Problem(p)
	}
	return true, nil
}

// checkNotRenamed refuses a mailbox that the ledger knows by another name: Cyrus renamed it.
// Manifest, held mail and originals go by the unique id: a second record of it would write over
// those of the first.
func (e *Engine) checkNotRenamed(entry reconstruct.Entry) error {
	made := e.Ledger.NameWithID(entry.UniqueID)
	if made == "" {
		return nil
	}
	return fmt.Errorf("%s is the mailbox that was made as %s, and Cyrus renamed it since: rename it back there, and its folder on the UW host; nothing of this user was touched",
		report.Quote(entry.Name), made)
}

// describeSource makes the manifest and the record that filling the folder into a
// mailbox with these flags would make.
func (e *Engine) describeSource(ctx context.Context, u *plan.User, m *mailbox, flags []string) (_ *keywords, err error) {
	manifest, err := e.Ledger.CreateManifest(m.rec.Manifest)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, manifest.Close()) }()
	order := ledger.Order{Emit: func(msg ledger.Message) error { manifest.Add(msg); return nil }}
	src := *e.Source
	src.Progress = nil
	m.rec.Size = 0
	sum := sha1.New()
	aside := e.holder(u, m)
	defer func() { err = errors.Join(err, aside.Close()) }()
	var messages int64
	res, err := src.ReadHolding(ctx, u.User, m.folder.File, func(msg *mbox.Message, _ []string) error {
		sum.Reset()
		size, err := msg.WriteTo(sum)
		if err != nil {
			return err
		}
		if err := src.Rules.CheckSize(size); err != nil {
			return err
		}
		messages++
		out := ledger.Message{UID: msg.UID, Offset: msg.Offset, End: msg.EndOffset, Size: size, Date: msg.Date.Unix(),
			Flags: verify.LedgerFlags(msg.Flags), Keywords: msg.Keywords, File: msg.File}
		sum.Sum(out.GUID[:0])
		m.rec.Size += size
		return order.Add(out)
	}, aside.hold)
	if err == nil {
		err = order.Flush()
	}
	if err == nil {
		m.rec.Held, err = aside.commit()
	}
	if err != nil {
		return nil, err
	}
	keywords := placeKeywords(res.Keywords, flags, flags) // whose flags they are, the comparison tells
	m.rec.Rules = e.Source.Rules.String()
	m.rec.Keywords = keywords.names
	m.rec.UIDValid, m.rec.NewUIDVald, m.rec.UIDNext = res.UIDValidity, res.UIDValidity == 0, res.UIDNext
	m.rec.Messages, m.rec.Bytes, m.rec.SourceID, m.rec.Source = messages, res.Bytes, &res.ID, ledger.RawName(m.folder.File.Path)
	return keywords, nil
}
