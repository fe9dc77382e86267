package undo

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/verify"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// finding is something that is not as this program left it.
type finding struct {
	rec  ledger.Mailbox
	text string
}

// maxFindings is how many findings of one user are told.
const maxFindings = 20

// checker collects the findings of one user.
type checker struct {
	u        *Undoer
	one      *user
	boxes    map[string]ledger.Mailbox // the user's, by name
	above    map[string]bool           // names that some of these are below
	findings []finding
}

func (u *Undoer) checker(one *user) *checker {
	c := &checker{u: u, one: one, boxes: make(map[string]ledger.Mailbox, len(one.boxes)), above: map[string]bool{}}
	for _, rec := range one.boxes {
		c.boxes[rec.Name] = rec
		for name := parent(rec.Name); name != "" && !c.above[name]; name = parent(name) {
			c.above[name] = true
		}
	}
	return c
}

// parent is the name of what a mailbox is in, "" if it is in none.
func parent(name string) string { return name[:max(strings.LastIndexByte(name, '.'), 0)] }

func (c *checker) found(rec ledger.Mailbox, format string, args ...any) {
	if len(c.findings) < maxFindings {
		c.findings = append(c.findings, finding{rec, rec.Name + ": " + fmt.Sprintf(format, args...)})
	}
}

// check compares all of a user with the ledger. It changes nothing.
func (u *Undoer) check(one *user) ([]finding, error) {
	c := u.checker(one)
	c.strangers()
	for _, rec := range one.boxes {
		if err := c.mailbox(rec); err != nil {
			return nil, fmt.Errorf("%s: %w", rec.Name, err)
		}
		for _, files := range rec.UserFiles {
			if err := c.userFiles(rec, files); err != nil {
				return nil, fmt.Errorf("files of the user of %s: %w", rec.Name, err)
			}
		}
	}
	return c.findings, nil
}

// strangers finds mailboxes of others inside those that are to go.
func (c *checker) strangers() {
	ids := map[string]bool{}
	for _, rec := range c.one.boxes {
		ids[cyrusspool.Name(rec.Name).User()] = true
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		for _, e := range c.u.Cyrus.UserEntries(id) {
			if _, known := c.boxes[e.Name]; !known {
				c.stranger(e.Name)
			}
		}
	}
}

// stranger finds the nearest of those that a mailbox of another's is in.
func (c *checker) stranger(name string) {
	for above := parent(name); above != ""; above = parent(above) {
		if rec, known := c.boxes[above]; known && !stays(rec) {
			c.found(rec, "has a mailbox %s below it that this program did not make", report.Quote(name))
			return
		}
	}
}

// mailbox compares one mailbox with its record.
func (c *checker) mailbox(rec ledger.Mailbox) (err error) {
	entry, in, err := c.u.Cyrus.Entry(cyrusspool.Name(rec.Name))
	if err != nil {
		return err
	}
	if why := c.cannotUndo(rec, entry, in); why != "" {
		c.found(rec, "%s", why)
		return nil
	}
	if !c.u.Cyrus.HasPartition(rec.Partition) {
		return fmt.Errorf("its partition %q is not configured", rec.Partition)
	}
	place := c.u.Cyrus.Place(rec.Partition, rec.Dir)
	if k, moved := movedSince(rec, place.Roots); moved {
		c.found(rec, "its %s was below %s before it was migrated, and imapd.conf has another place for it now: name the old one there, if only for undo (a link to the new one will do)", k.Name, k.Root)
		return nil
	}
	for _, root := range place.Roots.All() {
		if _, err := os.Stat(root); err != nil { // not mounted, say
			return err
		}
		if err := c.directory(rec, place, root, in); err != nil {
			return err
		}
	}
	return nil
}

// cannotUndo says why a mailbox cannot be undone, by its record and by the entry that Cyrus has
// of its name, if there is one in it; "" if nothing speaks against it.
func (c *checker) cannotUndo(rec ledger.Mailbox, entry reconstruct.Entry, in bool) string {
	switch {
	case rec.FirstUID > 0 && !rec.Merged:
		return fmt.Sprintf("Cyrus changed it between two passes, and what was new was appended, from UID %d on: what is whose cannot be told apart any more; remove in Cyrus what is not wanted", rec.FirstUID)
	case rec.Recognised && !c.u.Recognised && rec.State != ledger.Undoing:
		return "this program recognised it after its state directory was lost, and has no record of making it; --recognised removes such mailboxes too"
	case stays(rec) && rec.Original == nil:
		return "it was in Cyrus before, and what it was then is not recorded"
	case stays(rec) && !reconstruct.FitRelease(rec.Original.Records, c.u.Cyrus.Fresh.ListForm, reconstruct.Entry{Name: rec.Name, UniqueID: rec.UniqueID}):
		return "it was in Cyrus before, and Cyrus was upgraded since: this release does not read the records in mailboxes.db that it had then; remove in Cyrus what is not wanted"
	case in && entry.UniqueID != rec.UniqueID:
		return fmt.Sprintf("is another mailbox in Cyrus now (unique id %s, was %s)", report.Quote(entry.UniqueID), rec.UniqueID)
	case in && entry.Partition != rec.Partition:
		return fmt.Sprintf("is on partition %s in Cyrus now, was on %s", entry.Partition, rec.Partition)
	case in && !InPlaceOf(c.u.Cyrus, rec, entry):
		return fmt.Sprintf("Cyrus looks for it in %s now, it was made in %s", report.Quote(c.u.Cyrus.Dir(entry)), report.Quote(rec.Dir))
	case in:
		return ""
	}
	if now := c.u.Cyrus.NameOf(rec.UniqueID); now != "" { // whose files are the same
		return fmt.Sprintf("is %s in Cyrus now: rename it back there, or remove it for good (deletemailbox, then cyr_expire -D 0 if delete_mode is delayed)", report.Quote(now))
	}
	if rec.State == ledger.Verified || stays(rec) {
		return "is no longer in Cyrus: somebody removed or renamed it"
	}
	return ""
}

// movedSince returns a kept file that undo would put back where Cyrus does not look for it any
// more: imapd.conf names other directories than when the mailbox was adopted.
func movedSince(rec ledger.Mailbox, roots cyrusspool.Roots) (k ledger.KeptFile, moved bool) {
	if !stays(rec) {
		return k, false
	}
	now := map[string]string{"cyrus.header": roots.Header, "cyrus.index": roots.Index, "cyrus.cache": roots.Cache}
	for _, k := range rec.Original.Files {
		root, known := now[k.Name]
		_, have := keptFile(rec.Original.Files, root, k.Name)
		if known && !have || !slices.Contains(roots.All(), k.Root) {
			return k, true
		}
	}
	return k, false
}

// directory looks at one of the directories that a mailbox has its files in.
func (c *checker) directory(rec ledger.Mailbox, place cyrusspool.Place, root string, in bool) (err error) {
	d, err := cyrusspool.OpenDir(root, rec.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		if rec.State == ledger.Verified {
			c.found(rec, "its directory below %s is gone", root)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if root == place.Roots.Index {
		before := len(c.findings)
		if err := c.index(rec, place, d, in); err != nil || len(c.findings) > before {
			return err // by another index the files cannot be judged
		}
	}
	if rec.Merged {
		return c.mergedFiles(rec, place, d, root == place.Roots.Data)
	}
	return c.files(rec, d, root == place.Roots.Data)
}

// index finds out whether cyrus.index is the one that this program left.
func (c *checker) index(rec ledger.Mailbox, place cyrusspool.Place, d *os.File, in bool) error {
	id, err := identityAt(d, "cyrus.index")
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	if stays(rec) {
		if done, err := c.u.isBack(rec, place, d); err != nil || done {
			return err // not filled yet, or put back already
		}
	}
	switch {
	case missing:
		if rec.State == ledger.Verified {
			c.found(rec, "its cyrus.index is gone")
		}
	case !in && rec.State != ledger.Undoing:
		// Cyrus does not know of it, so nobody else writes there.
	case rec.IndexID != nil && id.Equal(*rec.IndexID):
	case rec.State == ledger.Undoing && rec.IndexID != nil:
		c.found(rec, "an undo was cut off, and Cyrus changed it since (mail, flags or a session), which undo would remove: %s", c.wayOn(rec, place))
	case rec.State == ledger.Begun:
		c.found(rec, "a migrate was cut off while it wrote into it; run migrate to its end first")
	case rec.IndexID != nil:
		c.found(rec, "Cyrus changed it since it was migrated (mail, flags or a session)")
	case rec.State == ledger.Filled && rec.Merged:
		untouched, err := Untouched(c.u.Cyrus, c.u.Ledger, rec)
		if err != nil {
			return err
		}
		if !untouched {
			c.found(rec, "Cyrus has it otherwise than it was before, with the appended messages behind it")
			return nil
		}
		return c.contents(rec, place) // the appended messages: their flags
	case rec.State == ledger.Filled:
		return c.contents(rec, place)
	}
	return nil
}

// wayOn says what a person can do about a mailbox that Cyrus changed while it was half undone:
// undo goes on once the mailbox is gone, or its index is the one from before.
func (c *checker) wayOn(rec ledger.Mailbox, place cyrusspool.Place) string {
	if !stays(rec) {
		return "bring elsewhere what came (export), remove the mailbox in Cyrus for good (deletemailbox, then cyr_expire -D 0 if delete_mode is delayed) and run undo again"
	}
	if k, kept := keptIndex(rec, place); kept {
		return fmt.Sprintf("bring elsewhere what came (export), copy %s over %s while Cyrus is stopped and run undo again",
			c.u.Ledger.KeptPath(rec.UniqueID, k.Copy), place.IndexFile())
	}
	return "bring elsewhere what came (export)"
}

// contents compares the messages that a run wrote into a mailbox with its index, where that run
// was cut off before it could record the index: whether Cyrus rebuilt it is all that may be open.
func (c *checker) contents(rec ledger.Mailbox, place cyrusspool.Place) error {
	seen, err := c.seenAsWritten(rec)
	if err != nil {
		return err
	}
	res, err := verify.Index(c.u.Ledger, rec, place, seen)
	if err != nil {
		return err
	}
	for _, p := range res.Problems {
		if p.Kind != "not-rebuilt" {
			c.found(rec, "Cyrus has it otherwise than it was written: %s", p.Text)
			return nil
		}
	}
	return nil
}

// seenAsWritten is what the manifest says that the user has seen of a mailbox. Up to Cyrus
// 2.3 a run tells Cyrus that last, in a file which userFiles looks at: one that was cut off
// may not have come to it.
func (c *checker) seenAsWritten(rec ledger.Mailbox) (map[string]cyrusspool.SeenState, error) {
	var state cyrusspool.SeenState
	err := c.u.Ledger.EachMessage(rec.Manifest, func(m ledger.Message) error {
		if m.Flags&ledger.Seen != 0 {
			state.Seen.Add(m.UID)
		}
		return nil
	})
	return map[string]cyrusspool.SeenState{rec.UniqueID: state}, err
}

// files compares the names in a directory of a mailbox, and the sizes of messages,
// with the manifest. Messages are in one of the directories only.
func (c *checker) files(rec ledger.Mailbox, d *os.File, messages bool) error {
	want := &messageList{}
	var err error
	switch {
	case !messages:
	case rec.State == ledger.Verified, rec.State == ledger.Filled:
		if want, err = listMessages(c.u.Ledger, rec); err != nil {
			return err
		}
	default:
		want = nil // any: the mailbox is not complete, or not any more
	}
	seen := 0
	err = eachEntry(d, func(e fs.DirEntry) error {
		switch {
		case e.IsDir():
			if !c.isMailbox(rec, e.Name()) {
				c.found(rec, "has a directory %s that this program did not make", report.Quote(e.Name()))
			}
		case !e.Type().IsRegular():
			c.found(rec, "has something called %s that is no file", report.Quote(e.Name()))
		case messageUID(e.Name()) > 0 && want == nil:
		case messageUID(e.Name()) > 0:
			info, err := e.Info()
			if err != nil {
				return err
			}
			seen++
			if size, ok := want.size(messageUID(e.Name())); !ok {
				seen--
				c.found(rec, "has a message file %s that this program did not write", e.Name())
			} else if size != info.Size() {
				c.found(rec, "its message file %s has %d bytes, not %d", e.Name(), info.Size(), size)
			}
		case !isMailboxFile(e.Name()):
			c.found(rec, "has a file %s that this program did not make", report.Quote(e.Name()))
		}
		return nil
	})
	if err == nil && want != nil && seen < len(want.uids) {
		c.found(rec, "%d of its %d message files are gone", len(want.uids)-seen, len(want.uids))
	}
	return err
}

// isMailbox reports whether a directory in a mailbox's, as the layout by name has
// it, is that of another mailbox: of this program's, or one that Cyrus knows.
func (c *checker) isMailbox(rec ledger.Mailbox, name string) bool {
	below := rec.Name + "." + name
	if _, known := c.boxes[below]; known || c.above[below] {
		return strings.HasSuffix(rec.Dir, lastComponent(rec.Name))
	}
	return c.u.Cyrus.Has(cyrusspool.Name(below))
}

func lastComponent(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// Files that Cyrus or this program keeps in a mailbox's directory (imap/mailbox.h,
// FNAME_*), and their forms while they are written.
func isMailboxFile(name string) bool {
	name = strings.TrimSuffix(name, ".NEW")
	return slices.Contains([]string{"cyrus.header", "cyrus.index", "cyrus.cache", "cyrus.annotations", "cyrus.squat", "cyrus.message"}, name)
}

// keptFile returns the kept file of a name.
func keptFile(files []ledger.KeptFile, root, name string) (k ledger.KeptFile, have bool) {
	i := slices.IndexFunc(files, func(k ledger.KeptFile) bool { return k.Root == root && k.Name == name })
	if i < 0 {
		return k, false
	}
	return files[i], true
}

// keptIndex returns the cyrus.index that is kept, as it was before the first pass.
func keptIndex(rec ledger.Mailbox, place cyrusspool.Place) (k ledger.KeptFile, have bool) {
	return keptFile(rec.Original.Files, place.Roots.Index, "cyrus.index")
}

func identityAt(d *os.File, name string) (id ledger.FileID, err error) {
	f, err := cyrusspool.OpenFileAt(d, name)
	if err != nil {
		return id, err
	}
	id, err = ledger.Stat(f)
	return id, errors.Join(err, f.Close())
}
