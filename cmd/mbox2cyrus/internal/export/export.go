package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// ErrNoMailbox is wrapped when Cyrus has no such mailbox, or user.
var ErrNoMailbox = errors.New("no such mailbox in Cyrus")

// Mailbox exports one mailbox into a file. name is Cyrus's internal name or the one
// that its admin programs take.
func (x *Exporter) Mailbox(ctx context.Context, name, file string) (err error) {
	e, ok, err := x.Cyrus.Entry(x.Cyrus.Named(name))
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: %s", ErrNoMailbox, report.Quote(name))
	}
	o, err := newOutput(file, x.Owner)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	f, err := o.file()
	if err != nil {
		return err
	}
	res, err := x.write(ctx, e, f)
	err = errors.Join(err, o.finishFile(f))
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", e.Name, err), o.abandon())
	}
	if err := o.commit(); err != nil {
		return err
	}
	x.tell(e, file, res)
	x.Report.User(cyrusspool.Name(e.Name).User())
	return nil
}

// place is a mailbox of a user and where it goes.
type place struct {
	entry reconstruct.Entry
	path  string // in the tree; "": it becomes a directory only, or nothing
	dir   string // directory of the mailboxes below it, "" if there are none
}

// Names in the tree of a user: it is what a home on a UW host looks like, with the
// INBOX in it.
const (
	inboxFile   = "INBOX"
	mailDir     = "mail"
	mailboxList = ".mailboxlist"
)

// User exports all mailboxes and the subscriptions of a user of Cyrus into a new
// directory. If anything of it fails, the directory keeps its other name.
func (x *Exporter) User(ctx context.Context, id, dir string) (err error) {
	if err := x.Cyrus.CheckDatabase(ctx); err != nil {
		return err // or some of his would be left out
	}
	entries := x.Cyrus.UserEntries(id)
	if len(entries) == 0 {
		return fmt.Errorf("%w: user %s has none", ErrNoMailbox, report.Quote(id))
	}
	o, err := newOutput(dir, x.Owner)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	if err := o.tree(); err != nil {
		return err
	}
	places := x.layOut(id, entries)
	failed := false
	for _, p := range places {
		if err := x.placeOne(ctx, o, p); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			failed = true
			x.Report.Problem(report.Problem{Severity: report.Failure, User: id, Folder: p.path, Offset: -1, Kind: "export-failed",
				Text: fmt.Sprintf("%s: %v", p.entry.Name, err)})
		}
	}
	if err := x.subscriptions(ctx, o, id, places); err != nil {
		failed = true
		x.Report.Problem(report.Problem{Severity: report.Failure, User: id, Offset: -1, Kind: "export-failed", Text: "subscriptions: " + err.Error()})
	}
	x.Report.User(id)
	if failed {
		x.Report.Printf("what was exported is in %s", dir+partialSuffix)
		return nil
	}
	return o.commit()
}

// placeOne writes one mailbox of a tree.
func (x *Exporter) placeOne(ctx context.Context, o *output, p place) error {
	if p.dir != "" {
		if _, err := o.dirAt(p.dir); err != nil {
			return err
		}
	}
	if p.path == "" {
		return nil
	}
	f, err := o.fileAt(p.path)
	if err != nil {
		return err
	}
	res, err := x.write(ctx, p.entry, f)
	if err := errors.Join(err, o.finishFile(f)); err != nil {
		return err
	}
	x.tell(p.entry, p.path, res)
	return nil
}

// layOut gives every mailbox a path that no other has. UW's mailbox cannot be a
// file and a directory: one that has both messages and mailboxes below it gets
// ".mbox" at its end, and one that has none becomes the directory alone.
func (x *Exporter) layOut(id string, entries []reconstruct.Entry) (places []place) {
	inbox := string(cyrusspool.InboxName(id))
	l := &layout{slash: x.Cyrus.Rules.Separator() == '/', inbox: inbox, taken: map[string]bool{}, dirs: map[string]string{}}
	note := func(severity report.Severity, folder, kind, format string, args ...any) {
		x.Report.Problem(report.Problem{Severity: severity, User: id, Folder: folder, Offset: -1, Kind: kind, Text: fmt.Sprintf(format, args...)})
	}
	for _, e := range entries { // sorted: a mailbox comes before what is below it
		if x.Cyrus.Fresh.ListForm == reconstruct.FormJSON && !strings.Contains(e.Type, "e") {
			note(report.Note, "", "no-mail", "%s holds no mail (type %s), not exported", e.Name, e.Type)
			continue
		}
		if e.Name == inbox {
			places = append(places, place{entry: e, path: inboxFile})
			continue
		}
		components := cyrusspool.Name(e.Name).Folder()
		above, last := components[:len(components)-1], components[len(components)-1]
		dir := l.dirOf(above)
		plain := path.Join(dir, fileName(last, l.slash))
		p := place{entry: e, path: l.unique(plain)}
		wanted := path.Join(dir, last)
		if l.slash {
			wanted = path.Join(dir, strings.ReplaceAll(last, "^", "."))
		}
		if isParent(entries, e.Name) {
			p.dir = p.path
			l.dirs[e.Name] = p.dir
			if p.path = ""; !x.isEmpty(e) {
				p.path = l.uniqueWith(plain, ".mbox")
			}
		}
		if p.path != "" && p.path != wanted {
			note(report.Attention, p.path, "name-changed", "%s becomes %s: a UW mailbox of its own name cannot be", e.Name, report.Quote(p.path))
		}
		places = append(places, p)
	}
	return places
}

// isParent reports whether there is a mailbox below one, among entries that are sorted. It need
// not be the next: "a-b" comes before "a.b".
func isParent(entries []reconstruct.Entry, name string) bool {
	below := name + "."
	i, _ := slices.BinarySearchFunc(entries, below, func(e reconstruct.Entry, name string) int { return strings.Compare(e.Name, name) })
	return i < len(entries) && strings.HasPrefix(entries[i].Name, below)
}

// layout is which paths are taken.
type layout struct {
	slash bool // Cyrus's names are shown with slashes
	inbox string
	taken map[string]bool
	dirs  map[string]string // directory of what is below a mailbox, by its name
}

// unique takes a path, or the first free one like it.
func (l *layout) unique(p string) string { return l.uniqueWith(p, "") }

// maxFileName is how many bytes the name of a file may have (NAME_MAX). A component of a name in
// Cyrus can be longer.
const maxFileName = 255

// uniqueWith takes a path with end behind it, or the first free one like it, with as much of
// its last component as the name of a file can have.
func (l *layout) uniqueWith(p, end string) string {
	dir, base := path.Split(p)
	for n, tail := 2, end; ; n++ {
		free := dir + base[:min(len(base), maxFileName-len(tail))] + tail
		if !l.taken[free] {
			l.taken[free] = true
			return free
		}
		tail = end + "-" + strconv.Itoa(n)
	}
}

// dirOf returns the directory of what is below a mailbox. Those above it that Cyrus does not
// have get one of their own.
func (l *layout) dirOf(components []string) string {
	name, dir := l.inbox, mailDir
	for _, c := range components {
		name += "." + c
		if l.dirs[name] == "" {
			l.dirs[name] = l.unique(path.Join(dir, fileName(c, l.slash)))
		}
		dir = l.dirs[name]
	}
	return dir
}

// isEmpty reports whether a mailbox never had a message. If that cannot be told it
// is not, and the attempt to export it will say why.
func (x *Exporter) isEmpty(e reconstruct.Entry) bool {
	s, err := openSource(x.Cyrus.Place(e.Partition, x.Cyrus.Dir(e)))
	if err != nil {
		return false
	}
	defer s.close() // read only: nothing can be lost
	r, err := s.records()
	return err == nil && r.Header().LastUID == 0
}

func (x *Exporter) tell(e reconstruct.Entry, file string, res *result) {
	user := cyrusspool.Name(e.Name).User()
	for _, p := range res.problems {
		p.User, p.Folder, p.Text = user, file, e.Name+": "+p.Text
		x.Report.Problem(p)
	}
	x.Report.Folder(report.Folder{User: user, Folder: file, Mailbox: e.Name, Found: res.messages, Written: res.messages, Verified: res.verified,
		Bytes: res.bytes, UIDValidity: res.validity, UIDNext: res.next,
		Outcome: fmt.Sprintf("written, %d read back the same", res.verified)})
}

// maxSubscriptionFile bounds what is read of a subscription file: a hundred thousand
// names of any length.
const maxSubscriptionFile = 64 << 20

// subscriptions writes the user's subscriptions in UW's form (smanager.c): one name
// a line, in the order of Cyrus's file, as clients that have "mail/" as their prefix
// write them.
func (x *Exporter) subscriptions(ctx context.Context, o *output, id string, places []place) error {
	file, err := x.Cyrus.SubscriptionFile(ctx, id)
	if err != nil {
		return err
	}
	subs, err := readSubscriptions(x.Cyrus.ConfigDir, file, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	byName := map[string]string{}
	for _, p := range places {
		byName[p.entry.Name] = p.path
	}
	var list strings.Builder
	for _, name := range subs.Names {
		file, ok := byName[string(name)]
		if !ok || file == "" {
			x.Report.Problem(report.Problem{Severity: report.Note, User: id, Offset: -1, Kind: "subscription-dropped",
				Text: fmt.Sprintf("%s is subscribed, but is no mailbox of the user that was exported", report.Quote(string(name)))})
			continue
		}
		list.WriteString(file + "\n")
	}
	f, err := o.fileAt(mailboxList)
	if err != nil {
		return err
	}
	_, err = f.WriteString(list.String())
	return errors.Join(err, o.finishFile(f))
}

func readSubscriptions(configDir, file, id string) (*cyrusspool.Subscriptions, error) {
	f, err := cyrusspool.OpenFile(configDir, file)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxSubscriptionFile))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return cyrusspool.ParseSubscriptions(raw, id)
}

// ParseOwner reads "UID" or "UID:GID".
func ParseOwner(s string) (*Owner, error) {
	uid, gid, both := strings.Cut(s, ":")
	o := &Owner{GID: -1}
	var err error
	if o.UID, err = strconv.Atoi(uid); err == nil && both {
		o.GID, err = strconv.Atoi(gid)
	}
	if err != nil || o.UID < 0 || both && o.GID < 0 {
		return nil, fmt.Errorf("%q is not UID or UID:GID in numbers", s)
	}
	return o, nil
}
