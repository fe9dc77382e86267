package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cyrusspool"
)

// ground is where the program is killed, or the power is cut: a host of two users, a
// Cyrus, a state directory and an archive.
type ground struct {
	t              *testing.T
	srv            *cyrustest.Server
	host           *passHost
	state, archive string
	// What was there when the phase began.
	before   map[string]uint32         // UIDVALIDITY by mailbox
	recorded map[string]ledger.Mailbox // in the ledger
	source   map[string]fileState      // files of the host
}

// newGround makes one: Cyrus, state and host each in a directory, "" for one that is
// temporary. The archive is beside the host, since retire does not copy.
func newGround(t *testing.T, cyrus, state, host string) *ground {
	t.Helper()
	srv, err := cyrustest.New(cyrus, cyrustest.Options{})
	if errors.Is(err, cyrustest.ErrNotHere) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	if host == "" {
		host = t.TempDir()
	}
	g := &ground{t: t, srv: srv, host: &passHost{t: t, root: filepath.Join(host, "host")},
		state: filepath.Join(cmp.Or(state, t.TempDir()), "state"), archive: filepath.Join(host, "archive")}
	g.host.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nkim:x:1002:1002::/home/kim:/bin/sh\n")
	if err := os.Mkdir(g.archive, 0o700); err != nil {
		t.Fatal(err)
	}
	return g
}

// flags of commands that look at the host too.
func (g *ground) flags() []string { return flagsFor(g.srv, g.host.root, g.state) }

// command runs the program to its end.
func (g *ground) command(args ...string) (code int, stderr string) {
	g.t.Helper()
	cmd := exec.Command("mbox2cyrus", args...)
	var buf bytes.Buffer
	cmd.Stderr = &buf
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		g.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), buf.String()
}

// must runs the program and wants it to end well.
func (g *ground) must(args ...string) {
	g.t.Helper()
	if code, stderr := g.command(args...); code != 0 {
		g.t.Fatalf("%v: exit code %d\n%s", args, code, stderr)
	}
}

// workBase is UW's line of a folder with UIDs and keywords of its own.
const workBase = "X-IMAPbase: 1054563072 0000000007 Work"

// firstMail is what the host has at first.
func (g *ground) firstMail() {
	g.host.write("var/mail/joe", letter(1)+letter(2)+letter(3)+letter(4))
	g.host.write("home/joe/mail/work/2003", letter(1, workBase, "Status: RO", "X-UID: 2")+letter(2, "Status: RO", "X-Keywords: Work", "X-UID: 3")+
		letter(3, "Status: RO", "X-UID: 5")+letter(4, "Status: O", "X-UID: 7"))
	g.host.write("home/joe/mail/opened", letter(1)+letter(2))
	g.host.write("home/joe/mail/sent-mail", letter(1))
	g.host.write("home/joe/.mailboxlist", "mail/work/2003\nmail/sent-mail\n")
	g.host.writeAs(1002, "var/mail/kim", letter(1)+letter(2, "Status: RO"))
}

// laterMail changes it in every way that a later pass knows.
func (g *ground) laterMail() {
	g.host.write("var/mail/joe", letter(1)+letter(5)+letter(3)+letter(4)+letter(6))
	g.host.write("home/joe/mail/work/2003", letter(1, workBase+" Play", "Status: RO", "X-UID: 2")+
		letter(2, "Status: RO", "X-Status: F", "X-Keywords: Work Play", "X-UID: 3")+letter(4, "Status: RO", "X-UID: 7")+letter(8))
	g.host.write("home/joe/mail/opened", letter(1, "X-IMAPbase: 1060000000 0000000002", "Status: RO", "X-UID: 1")+letter(2, "Status: O", "X-UID: 2"))
	g.host.write("home/joe/mail/fresh", letter(1))
	g.host.write("home/joe/.mailboxlist", "mail/sent-mail\nmail/fresh\n")
	g.host.writeAs(1002, "var/mail/kim", letter(2, "Status: RO")+letter(3))
}

// adopt makes an empty account of kim, which the program finds there.
func (g *ground) adopt() {
	if out, err := g.srv.Run(g.t.Context(), "reconstruct", "-x", "-p", "default", "user/kim"); err != nil {
		g.t.Fatal(err, out)
	}
}

// phase is one kind of run that is cut off.
type phase struct {
	name    string
	prepare func(g *ground)          // up to where it begins
	args    func(g *ground) []string // of the run
	moves   bool                     // it is the one that moves source folders
	undoes  bool                     // it takes out of Cyrus what is there
	mail    bool                     // in the end the mail is on both sides, so that verify can compare them
}

func (g *ground) migrate(more ...string) []string {
	return append(append([]string{"migrate", "--quiet", "--lock", "yes"}, more...), g.flags()...)
}

func (g *ground) retire() []string {
	return append([]string{"retire", "--quiet", "--archive", g.archive}, g.flags()...)
}

// phases are all runs that change anything.
var phases = []phase{
	{name: "first pass", mail: true,
		prepare: func(g *ground) { g.firstMail(); g.adopt() },
		args:    func(g *ground) []string { return g.migrate() }},
	{name: "later pass", mail: true,
		prepare: func(g *ground) { g.firstMail(); g.adopt(); g.must(g.migrate()...); g.laterMail() },
		args:    func(g *ground) []string { return g.migrate() }},
	{name: "merge", mail: true,
		prepare: func(g *ground) {
			g.host.write("var/mail/joe", letter(1)+letter(2))
			g.host.write("home/joe/mail/opened", letter(7))
			g.must(g.migrate()...)
			if err := os.RemoveAll(g.state); err != nil {
				g.t.Fatal(err)
			}
			g.firstMail()
		},
		args: func(g *ground) []string { return g.migrate("--merge") }},
	{name: "undo", undoes: true,
		prepare: func(g *ground) { g.firstMail(); g.adopt(); g.must(g.migrate()...) },
		args: func(g *ground) []string {
			return append([]string{"undo", "--quiet", "--all"}, cyrusFlagsFor(g.srv, g.state)...)
		}},
	{name: "retire", moves: true,
		prepare: func(g *ground) { g.firstMail(); g.must(g.migrate()...) },
		args:    func(g *ground) []string { return g.retire() }},
	{name: "retire --restore", moves: true, mail: true,
		prepare: func(g *ground) { g.firstMail(); g.must(g.migrate()...); g.must(g.retire()...) },
		args:    func(g *ground) []string { return []string{"retire", "--quiet", "--restore", "--state", g.state} }},
}

// begin brings the ground to where the phase begins, and remembers what must stay.
func (g *ground) begin(p phase) {
	g.t.Helper()
	p.prepare(g)
	g.before, g.recorded, g.source = map[string]uint32{}, g.records(), snapshotFiles(g.t, g.host.root)
	for _, box := range g.mailboxes() {
		if box.index.LastUID > 0 && !p.undoes { // else it may be changed
			g.before[string(box.header.Name)] = box.index.UIDValidity
		}
	}
}

// cyrusBox is one mailbox as it is in the spool.
type cyrusBox struct {
	dir    string
	header *cyrusspool.Header
	index  cyrusspool.IndexHeader
	place  cyrusspool.Place
}

// mailboxes are all directories in the spool that have a header.
func (g *ground) mailboxes() (boxes []cyrusBox) {
	g.t.Helper()
	err := filepath.WalkDir(g.srv.Spool, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cyrus.header" {
			return err
		}
		dir := filepath.Dir(path)
		box := cyrusBox{dir: dir, place: cyrusspool.OneRoot(filepath.Dir(dir)).At(filepath.Base(dir))}
		if box.header, err = box.place.ReadHeader(); err != nil {
			return err
		}
		box.index, err = box.place.IndexHeader()
		boxes = append(boxes, box)
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return boxes
}

// records are what the ledger says of the mailboxes, by name.
func (g *ground) records() map[string]ledger.Mailbox {
	g.t.Helper()
	l, err := ledger.Read(g.state)
	if err != nil {
		g.t.Fatal(err)
	}
	defer l.Close() // read only
	records := map[string]ledger.Mailbox{}
	eachRecord(g.t, l, func(rec ledger.Mailbox) { records[rec.Name] = rec })
	return records
}

// eachRecord calls do for what a ledger says of each mailbox.
func eachRecord(t testing.TB, l *ledger.Ledger, do func(ledger.Mailbox)) {
	t.Helper()
	err := l.Each(func(rec ledger.Mailbox) error {
		do(rec)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// written are the message files, with their inodes, of the mailboxes that the ledger says
// this phase has completed: nothing may write them again.
func (g *ground) written() map[string]uint64 {
	g.t.Helper()
	inodes := map[string]uint64{}
	for _, rec := range g.records() {
		old := g.recorded[rec.Name].SourceID
		if rec.State != ledger.Filled && rec.State != ledger.Verified || rec.SourceID == nil || old != nil && old.Equal(*rec.SourceID) {
			continue
		}
		dir := filepath.Join(g.srv.Spool, rec.Dir)
		entries, err := os.ReadDir(dir)
		if err != nil {
			g.t.Fatalf("the ledger says %s of %s: %v", rec.State, rec.Name, err)
		}
		for _, e := range entries {
			if !isMessageFile(e.Name()) {
				continue // a Cyrus program that the run had started may still be at work on it
			}
			info, err := e.Info()
			if err != nil {
				g.t.Fatal(err)
			}
			inodes[filepath.Join(dir, e.Name())] = info.Sys().(*syscall.Stat_t).Ino
		}
	}
	return inodes
}

func isMessageFile(name string) bool {
	digits, ok := strings.CutSuffix(name, ".")
	_, err := strconv.ParseUint(digits, 10, 32)
	return ok && err == nil
}

// facts are everything that must be the same after a run that was cut off and run again
// as after one that nobody disturbed.
type facts struct {
	of   map[string]string
	mail map[string]int // messages by mailbox and SHA-1
}

// facts reads them from the disk, but for times, unique ids, and UIDVALIDITYs that are
// chosen by the clock.
func (g *ground) facts() facts {
	g.t.Helper()
	f := facts{of: map[string]string{}, mail: map[string]int{}}
	var ids []string // unique id, name, …
	mailboxDirs := map[string]bool{}
	for _, box := range g.mailboxes() {
		name := string(box.header.Name)
		ids = append(ids, box.header.UniqueID, "<"+name+">")
		for dir := box.dir; dir != g.srv.Spool; dir = filepath.Dir(dir) {
			mailboxDirs[dir] = true
		}
		g.mailboxFacts(&f, box)
	}
	normal := strings.NewReplacer(ids...)
	g.databaseFacts(&f, normal)
	g.ledgerFacts(&f)
	err := filepath.WalkDir(g.srv.Spool, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && !mailboxDirs[path] {
			f.of["directory of no mailbox "+strings.TrimPrefix(path, g.srv.Spool)] = ""
		}
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	for _, root := range []string{g.srv.ConfigDir, g.state, g.host.root, g.archive} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel := filepath.Base(root) + strings.TrimPrefix(path, root)
			if rel == "conf/lock" || rel == "conf/proc" || rel == "conf/socket" {
				return filepath.SkipDir
			}
			rel = otherManifestName.ReplaceAllString(normal.Replace(hashedUserDir.ReplaceAllString(rel, "conf/user/uuid")), ">.tsv")
			info, err := d.Info()
			if err != nil {
				return err
			}
			st := info.Sys().(*syscall.Stat_t)
			what := fmt.Sprintf("%v %d:%d", info.Mode(), st.Uid, st.Gid)
			if info.Mode().IsRegular() && (root == g.host.root || root == g.archive || filepath.Base(path) == "sub.db") {
				what += fmt.Sprintf(" %x", g.sum(path))
			}
			f.of["file "+rel] = what
			return nil
		})
		if err != nil {
			g.t.Fatal(err)
		}
	}
	return f
}

// hashedUserDir is the part of a user's directory that comes of his unique id, a later
// pass's manifest has one of two names.
var (
	hashedUserDir     = regexp.MustCompile(`^conf/user/uuid/[0-9a-z]\b(/[0-9a-z]\b)?`)
	otherManifestName = regexp.MustCompile(`>\.1\.tsv$`)
)

func (g *ground) sum(path string) (sum [sha1.Size]byte) {
	g.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		g.t.Fatal(err)
	}
	return sha1.Sum(b)
}

// validity tells a UIDVALIDITY that is chosen by the clock from all others.
func (g *ground) validity(name string, v uint32) string {
	switch {
	case v > 1500000000 && g.before[name] == v:
		return "as before"
	case v > 1500000000:
		return "chosen"
	}
	return fmt.Sprint(v)
}

// mailboxFacts are those of a mailbox's header, index and message files.
func (g *ground) mailboxFacts(f *facts, box cyrusBox) {
	g.t.Helper()
	name := string(box.header.Name)
	files := map[uint32][sha1.Size]byte{}
	entries, err := os.ReadDir(box.dir)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, e := range entries {
		if !isMessageFile(e.Name()) {
			f.of["file "+name+"/"+e.Name()] = ""
			continue
		}
		uid, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), "."), 10, 32)
		if err != nil {
			g.t.Fatal(err)
		}
		files[uint32(uid)] = g.sum(filepath.Join(box.dir, e.Name()))
	}
	file, index, err := box.place.OpenIndex()
	if err != nil {
		g.t.Fatal(err)
	}
	defer file.Close() // read only
	h := index.Header()
	f.of["mailbox "+name] = fmt.Sprintf("%v keywords %q UIDVALIDITY %s last UID %d recent %d messages %d bytes %d deleted %d answered %d flagged %d",
		box.header.ACL, box.header.Flags, g.validity(name, h.UIDValidity), h.LastUID, h.RecentUID, h.Exists, h.QuotaMailboxUsed, h.Deleted, h.Answered, h.Flagged)
	for {
		r, err := index.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			g.t.Fatal(err)
		}
		var keywords []string
		for n, keyword := range box.header.Flags {
			if r.UserFlags[n/32]&(1<<(n%32)) != 0 {
				keywords = append(keywords, keyword)
			}
		}
		slices.Sort(keywords)
		what := fmt.Sprintf("flags %#x %q date %d size %d", r.SystemFlags, keywords, r.InternalDate, r.Size)
		if sum, ok := files[r.UID]; !ok {
			what += ", no file"
		} else if sum != r.GUID {
			what += ", another file"
		}
		delete(files, r.UID)
		f.of[fmt.Sprintf("message %s %d", name, r.UID)] = fmt.Sprintf("%s %x", what, r.GUID)
		f.mail[fmt.Sprintf("%s %x", name, r.GUID)]++
	}
	for uid := range files {
		f.of[fmt.Sprintf("message file of no message %s/%d.", name, uid)] = ""
	}
}

// databaseFacts are those of mailboxes.db and of special uses.
func (g *ground) databaseFacts(f *facts, normal *strings.Replacer) {
	g.t.Helper()
	show := func(name string) []string {
		out, err := g.srv.Run(g.t.Context(), "cyr_dbtool", filepath.Join(g.srv.ConfigDir, name), "twoskip", "show")
		if err != nil {
			g.t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(out), "\n")
	}
	for _, line := range show("mailboxes.db") {
		key, value, _ := strings.Cut(normal.Replace(line), "\t")
		value = validityIn.ReplaceAllStringFunc(value, func(v string) string {
			n, err := strconv.ParseUint(v[3:], 10, 32)
			if err != nil {
				g.t.Fatal(err)
			}
			name := strings.Trim(strings.ReplaceAll(key[min(1, len(key)):], "\x1f", "."), "<>")
			return " V " + g.validity(name, uint32(n))
		})
		f.of[fmt.Sprintf("mailboxes.db %q", key)] = timesIn.ReplaceAllString(value, "")
	}
	if _, err := os.Stat(filepath.Join(g.srv.ConfigDir, "annotations.db")); err != nil {
		return
	}
	for _, line := range show("annotations.db") {
		// What undo leaves is under unique ids that are no mailbox's.
		if line = normal.Replace(line); strings.HasPrefix(line, "<") {
			key, value, _ := strings.Cut(line, "\t")
			f.of[fmt.Sprintf("annotations.db %q", key)] = specialUseIn.FindString(value)
		}
	}
}

var (
	validityIn   = regexp.MustCompile(` V [0-9]+`)
	timesIn      = regexp.MustCompile(` [CFM] [0-9]+`)
	specialUseIn = regexp.MustCompile(`\\[a-z]+`)
)

func (g *ground) ledgerFacts(f *facts) {
	g.t.Helper()
	for _, m := range g.records() {
		f.of["ledger "+m.Name] = fmt.Sprintf("%s messages %d bytes %d source bytes %v UIDNEXT %d UIDVALIDITY %s keywords %v adopted %v assigned %v from %d held %+v",
			m.State, m.Messages, m.Size, m.Bytes, m.UIDNext, g.validity(m.Name, m.UIDValid), m.Keywords, m.Adopted, m.Assigned, m.FirstUID, m.Held)
	}
}

// ledgerCloses reports whether verify finds nothing, where there is mail on both sides.
func (g *ground) ledgerCloses(p phase) error {
	if !p.mail {
		return nil // the ledger's facts are compared
	}
	if code, stderr := g.command(append([]string{"verify", "--quiet", "--level", "content"}, g.flags()...)...); code != 0 {
		return fmt.Errorf("verify --level content: exit code %d\n%s", code, stderr)
	}
	return nil
}

// clientFacts is what clients see over IMAP. Cyrus has run then: it is the last look.
func (g *ground) clientFacts() map[string]string {
	g.t.Helper()
	seen := map[string]string{}
	for _, user := range []string{"joe", "kim"} {
		if err := g.srv.AddUser(user, "secret"); err != nil {
			g.t.Fatal(err)
		}
	}
	if err := g.srv.Start(context.Background()); err != nil {
		g.t.Fatal(err)
	}
	defer func() {
		if err := g.srv.Stop(); err != nil {
			g.t.Error(err)
		}
	}()
	for _, user := range []string{"joe", "kim"} {
		views, err := cyrustest.ReadAll(g.srv.IMAPAddr(), user, "secret")
		if err != nil {
			g.t.Fatal(err)
		}
		for _, v := range views {
			where := user + " " + v.Name
			seen[where] = fmt.Sprintf("subscribed %v UIDNEXT %d UIDVALIDITY %s", v.Subscribed, v.UIDNext, g.validity("", v.UIDValidity))
			for _, m := range v.Messages {
				seen[fmt.Sprintf("%s %d", where, m.UID)] = fmt.Sprintf("%v %v %d %x", m.Flags, m.InternalDate.UTC(), m.Size, m.SHA256)
			}
		}
	}
	return seen
}

// undisturbed is what a phase comes to when nobody cuts it off.
type undisturbed struct {
	facts   facts
	clients map[string]string
	lasts   time.Duration // how long the run takes
}

// undisturbed runs the phase twice, to see that the facts are facts; the second time by
// means of run.
func (p phase) undisturbed(t *testing.T, run func(g *ground, args []string)) (u undisturbed) {
	t.Helper()
	for i := range 2 {
		g := newGround(t, "", "", "")
		g.begin(p)
		start := time.Now()
		if i == 0 {
			g.must(p.args(g)...)
			u.lasts = time.Since(start)
		} else {
			run(g, p.args(g))
		}
		if err := g.ledgerCloses(p); err != nil {
			t.Fatal(err)
		}
		f := g.facts()
		if i == 1 {
			if diff := diffTrees(u.facts.of, f.of); diff != "" {
				t.Fatalf("%s: two runs that nobody disturbed differ:\n%s", p.name, diff)
			}
			u.clients = g.clientFacts()
		}
		u.facts = f
	}
	return u
}

// missing counts what a has more of than b.
func missing(a, b map[string]int) (n int) {
	for key, count := range a {
		n += max(0, count-b[key])
	}
	return n
}

// began is when the tests did. c-client leaves locks of its own in /tmp, and their names go by
// numbers of inodes, which new files get again.
var began = time.Now()

// leftLocks names the locks of UW that were left on the host.
func (g *ground) leftLocks() (left []string) {
	g.t.Helper()
	for _, root := range []string{g.host.root, g.archive} {
		for path, s := range snapshot(g.t, root) {
			var st syscall.Stat_t
			if err := syscall.Lstat(path, &st); err != nil {
				g.t.Fatal(err)
			}
			session := fmt.Sprintf("/tmp/.%x.%x", st.Dev, s.ino)
			if lock, err := os.Lstat(session); err == nil && lock.ModTime().After(began) {
				left = append(left, session+" (of "+path+")")
			}
			if strings.HasSuffix(path, ".lock") {
				left = append(left, path)
			}
		}
	}
	return left
}

// snapshotFiles is a snapshot without directories, whose times tell of locks.
func snapshotFiles(t *testing.T, root string) map[string]fileState {
	t.Helper()
	files := snapshot(t, root)
	for path, s := range files {
		if s.mode.IsDir() {
			delete(files, path)
		}
	}
	return files
}

// TestVerifyAfterCut: what a run that was cut off has written may be right as far as it
// goes. It is not all, so that verify is not content, and retire moves nothing.
func TestVerifyAfterCut(t *testing.T) {
	write := func(g *ground, do func(l *ledger.Ledger) error) {
		g.t.Helper()
		l, err := ledger.Open(g.state)
		if err != nil {
			g.t.Fatal(err)
		}
		if err := errors.Join(do(l), l.Close()); err != nil {
			g.t.Fatal(err)
		}
	}
	tests := []struct {
		name, kind string
		cut        func(g *ground)
		again      func(g *ground) // what ends it
	}{
		{"before the subscriptions", "migrate-cut-off", func(g *ground) {
			file := g.subscriptionFile("joe")
			g.cutLedger(func(line string) bool { return strings.HasPrefix(line, `{"subscriptions":{"user":"joe"`) })
			if err := os.Remove(file); err != nil {
				g.t.Fatal(err)
			}
		}, func(g *ground) { g.must(g.migrate()...) }},
		{"changed subscriptions", "migrate-cut-off", func(g *ground) {
			write(g, func(l *ledger.Ledger) error {
				s, _ := l.Subscriptions("joe")
				s.Next = "0123456789012345678901234567890123456789"
				return l.SetSubscriptions(s)
			})
		}, func(g *ground) { g.must(g.migrate()...) }},
		{"undo", "undo-cut-off", func(g *ground) {
			write(g, func(l *ledger.Ledger) error {
				rec, _, err := l.Mailbox("user.joe")
				if err != nil {
					return err
				}
				rec.State = ledger.Undoing
				return l.Set(rec)
			})
		}, func(g *ground) {
			g.must(append([]string{"undo", "--quiet", "--user", "joe"}, cyrusFlagsFor(g.srv, g.state)...)...)
			g.must(g.migrate()...)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t, "", "", "")
			g.firstMail()
			g.must(g.migrate()...)
			tt.cut(g)
			for _, level := range []string{"count", "index", "content"} {
				o := runJSON(t, append([]string{"verify", "--level", level}, g.flags()...)...)
				// Where kim came behind joe, hers are cut off too.
				ofJoe := slices.ContainsFunc(o.problems(tt.kind), func(p map[string]any) bool { return p["user"] == "joe" })
				if o.code != 2 || !ofJoe {
					t.Errorf("verify --level %s: exit code %d\n%s", level, o.code, o.stderr)
				}
			}
			if o := runJSON(t, g.retire()...); o.code != 2 || len(o.problems("not-retired")) == 0 {
				t.Errorf("retire: exit code %d\n%s", o.code, o.stderr)
			}
			for _, path := range []string{"var/mail/joe", "home/joe/.mailboxlist"} {
				if _, err := os.Lstat(filepath.Join(g.archive, path)); err == nil {
					t.Errorf("%s was retired", path)
				}
			}
			tt.again(g)
			g.subscribed("joe", "mail/work/2003\nmail/sent-mail\n")
			g.must(append([]string{"verify", "--quiet"}, g.flags()...)...)
			g.must(g.retire()...)
		})
	}
}

// writtenOfJoe is the line that says that joe's subscriptions were written.
func writtenOfJoe(line string) bool {
	return strings.HasPrefix(line, `{"subscriptions":{"user":"joe"`) && !strings.Contains(line, `"next"`)
}

// cutLedger takes the first line that from is true of, and all behind it, from the ledger.
func (g *ground) cutLedger(from func(line string) bool) {
	g.t.Helper()
	path := filepath.Join(g.state, ledger.JournalName)
	b, err := os.ReadFile(path)
	if err != nil {
		g.t.Fatal(err)
	}
	lines := strings.SplitAfter(string(b), "\n")
	n := slices.IndexFunc(lines, from)
	if n < 0 {
		g.t.Fatalf("no such line in %s", b)
	}
	if err := os.WriteFile(path, []byte(strings.Join(lines[:n], "")), 0o600); err != nil {
		g.t.Fatal(err)
	}
}
