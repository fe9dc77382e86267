package undo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
)

// stays reports whether a mailbox was there before, and is to be again as it was.
func stays(rec ledger.Mailbox) bool { return rec.Adopted && !rec.Recognised }

// MessageFile returns the name of a message file of a UID from first on that is in a mailbox's
// directory, "" if there is none.
func MessageFile(place cyrusspool.Place, first uint32) (name string, err error) {
	d, err := openIfThere(place.Roots.Data, place.Dir)
	if d == nil {
		return "", err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	err = eachEntry(d, func(e fs.DirEntry) error {
		if e.Type().IsRegular() && messageUID(e.Name()) >= max(1, first) {
			name = e.Name()
		}
		return nil
	})
	return name, err
}

// Strays returns how many message files a mailbox has that its index does not name, and
// the name of one. Cyrus's reconstruct would take them for messages.
func Strays(place cyrusspool.Place) (n int, example string, err error) {
	list, err := listIndex(place)
	if err != nil {
		return 0, "", err
	}
	d, err := cyrusspool.OpenDir(place.Roots.Data, place.Dir)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	err = eachEntry(d, func(e fs.DirEntry) error {
		if uid := messageUID(e.Name()); uid > 0 {
			if _, ok := list.size(uid); !ok {
				n, example = n+1, e.Name()
			}
		}
		return nil
	})
	return n, example, err
}

// mergedFiles compares the message files of a mailbox to which messages were appended with
// its index, which is the one that migrate left. Other files there are not our affair.
func (c *checker) mergedFiles(rec ledger.Mailbox, place cyrusspool.Place, d *os.File, messages bool) error {
	if !messages || rec.State != ledger.Verified && rec.State != ledger.Filled {
		return nil // begun, or half undone: any of ours may be there or not
	}
	list, err := listIndex(place)
	if err != nil {
		return err
	}
	seen := 0
	err = eachEntry(d, func(e fs.DirEntry) error {
		uid := messageUID(e.Name())
		if uid == 0 {
			return nil
		}
		size, ok := list.size(uid)
		if !ok {
			c.found(rec, "has a message file %s that neither this program nor Cyrus's index knows", e.Name())
			return nil
		}
		seen++
		if uid < rec.FirstUID {
			return nil // it stays, whatever it is
		}
		info, err := e.Info()
		if err == nil && info.Size() != size {
			c.found(rec, "its message file %s has %d bytes, not %d", e.Name(), info.Size(), size)
		}
		return err
	})
	if err == nil && seen < len(list.uids) {
		c.found(rec, "%d of its %d message files are gone", len(list.uids)-seen, len(list.uids))
	}
	return err
}

// isBack reports whether cyrus.index is as it was before the mailbox was filled or
// appended to, or as undo puts it back.
func (u *Undoer) isBack(rec ledger.Mailbox, place cyrusspool.Place, d *os.File) (bool, error) {
	sum, err := sumAt(d, "cyrus.index", sha256.New())
	if err != nil {
		return false, err
	}
	k, kept := keptIndex(rec, place)
	if !kept {
		return false, nil
	}
	back, err := u.sumToPutBack(rec, k)
	return sum == k.SHA256 || sum == back, err
}

// sumToPutBack is the SHA-256 of what toPutBack returns.
func (u *Undoer) sumToPutBack(rec ledger.Mailbox, k ledger.KeptFile) (sum string, err error) {
	if rec.Keep == nil || k.Name != "cyrus.index" {
		return k.SHA256, nil
	}
	from, err := u.Ledger.OpenKept(rec.UniqueID, k.Copy)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	r, err := toPutBack(rec, k, from)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}

// toPutBack is what a kept file is put back as: as it was, but that clients who may have
// seen appended messages are told that they are gone.
func toPutBack(rec ledger.Mailbox, k ledger.KeptFile, from io.Reader) (io.Reader, error) {
	if rec.Keep == nil || k.Name != "cyrus.index" {
		return from, nil
	}
	return cyrusspool.RaiseIndex(from, rec.Keep.UIDNext-1, rec.Keep.HighestModSeq)
}

// keepCounters decides what of a mailbox that was appended to may not go back: nothing, if
// Cyrus's server was not started since. Else a client may have seen the messages, without
// a trace in the index (EXAMINE, STATUS): their UIDs are not given again.
func (u *Undoer) keepCounters(rec *ledger.Mailbox) (changed bool, err error) {
	if !rec.Merged || rec.Keep != nil {
		return false, nil
	}
	if same, err := sameStart(u.Cyrus, rec.Stamp); err != nil || same {
		return false, err
	}
	place := u.Cyrus.Place(rec.Partition, rec.Dir)
	d, err := cyrusspool.OpenDir(place.Roots.Index, place.Dir)
	if err != nil {
		return false, err
	}
	back, err := u.isBack(*rec, place, d)
	if err := errors.Join(err, d.Close()); err != nil || back {
		return false, err // nothing was to be seen
	}
	h, err := place.IndexHeader()
	if err != nil {
		return false, fmt.Errorf("%s: %w", rec.Name, err)
	}
	rec.Keep = &ledger.Counters{UIDNext: h.LastUID + 1, HighestModSeq: h.HighestModSeq + 1}
	return true, nil
}

// Untouched reports whether a mailbox to which messages were being appended holds what it
// held before, and behind it only messages of the manifests: then nobody but this program
// and Cyrus's reconstruct changed it since.
func Untouched(c *target.Cyrus, l *ledger.Ledger, rec ledger.Mailbox) (untouched bool, err error) {
	if rec.Original == nil {
		return false, nil
	}
	place := c.Place(rec.Partition, rec.Dir)
	before, err := openKeptIndex(l, rec, place)
	if err != nil || before == nil {
		return false, err
	}
	defer func() { err = errors.Join(err, before.file.Close()) }()
	if same, err := sameIndex(place, before.sum); err != nil || same {
		return same, err
	}
	ours := map[uint32]ledger.Message{}
	for _, name := range rec.Manifests() { // both: a run that was cut off is followed by another
		if err := addMessages(ours, l, name); err != nil {
			return false, err
		}
	}
	f, index, err := place.OpenIndex()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		have, err := nextVisible(index)
		if err == nil && have.UID >= rec.FirstUID {
			m, ok := ours[have.UID]
			if !ok || int64(have.Size) != m.Size || index.Header().Version.HasGUID() && have.GUID != m.GUID {
				return false, nil
			}
			continue
		}
		if err != nil && err != io.EOF {
			return false, err
		}
		was, werr := nextVisible(before.index)
		if werr != nil && werr != io.EOF {
			return false, werr
		}
		switch {
		case err == io.EOF && werr == io.EOF:
			return true, nil
		case err != nil || werr != nil, was.UID != have.UID, was.Size != have.Size, was.InternalDate != have.InternalDate,
			was.SystemFlags != have.SystemFlags, was.UserFlags != have.UserFlags, was.ModSeq != have.ModSeq:
			return false, nil
		}
	}
}

// FirstSince returns the UID from which on all mail of a mailbox came since the first pass
// began, by that or otherwise; 0 if it is not known.
func FirstSince(c *target.Cyrus, l *ledger.Ledger, rec ledger.Mailbox) (uid uint32, err error) {
	if !stays(rec) {
		return 1, nil
	}
	if rec.Original == nil {
		return 0, nil
	}
	before, err := openKeptIndex(l, rec, c.Place(rec.Partition, rec.Dir))
	if err != nil || before == nil {
		return 0, err
	}
	return before.index.Header().LastUID + 1, before.file.Close()
}

// keptReader reads the copy of an index.
type keptReader struct {
	sum   string // SHA-256
	file  *os.File
	index *cyrusspool.IndexReader
}

// openKeptIndex opens the copy of cyrus.index; nil if there is none.
func openKeptIndex(l *ledger.Ledger, rec ledger.Mailbox, place cyrusspool.Place) (*keptReader, error) {
	k, there := keptIndex(rec, place)
	if !there {
		return nil, nil
	}
	f, err := l.OpenKept(rec.UniqueID, k.Copy)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	index, err := cyrusspool.NewIndexReader(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("kept original: %w", err), f.Close())
	}
	return &keptReader{k.SHA256, f, index}, nil
}

// sameIndex reports whether the index of a mailbox has a SHA-256, in hexadecimal.
func sameIndex(place cyrusspool.Place, sum string) (bool, error) {
	d, err := cyrusspool.OpenDir(place.Roots.Index, place.Dir)
	if err != nil {
		return false, err
	}
	have, err := sumAt(d, filepath.Base(place.IndexFile()), sha256.New())
	return have == sum, errors.Join(err, d.Close())
}

// nextVisible returns the next message that is not expunged.
func nextVisible(index *cyrusspool.IndexReader) (cyrusspool.Record, error) {
	for {
		r, err := index.Next()
		if err != nil || !r.Gone() {
			return r, err
		}
	}
}

// addMessages adds those of a manifest. One that is not there, or not complete, has none: it
// is closed before the index that it tells of takes its place.
func addMessages(all map[uint32]ledger.Message, l *ledger.Ledger, manifest string) error {
	var messages []ledger.Message
	err := l.EachMessage(manifest, func(m ledger.Message) error {
		messages = append(messages, m)
		return nil
	})
	var disk *fs.PathError
	switch {
	case errors.As(err, &disk) && !errors.Is(err, fs.ErrNotExist):
		return err
	case err != nil:
		return nil
	}
	for _, m := range messages {
		all[m.UID] = m
	}
	return nil
}

// outcome says what becomes, or became, of a mailbox.
func outcome(rec ledger.Mailbox, dry bool) string {
	switch {
	case rec.Merged && dry:
		return "would be as it was before messages were appended"
	case rec.Merged && rec.Keep != nil:
		return fmt.Sprintf("as it was before messages were appended, but UIDNEXT stays %d: Cyrus ran since, and clients may have seen them", rec.Keep.UIDNext)
	case rec.Merged:
		return "as it was before messages were appended"
	case stays(rec) && dry:
		return "would be empty again"
	case stays(rec):
		return "empty again, as it was"
	case rec.Recognised && dry:
		return "would be removed (recognised: no record says that this program made it)"
	case dry:
		return "would be removed"
	}
	return "removed"
}
