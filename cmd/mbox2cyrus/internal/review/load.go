package review

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/held"
	"mbox2cyrus/cmd/mbox2cyrus/internal/history"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// maxListed bounds how many problems of one kind a page or text lists.
const maxListed = 500

// ErrNoLedger is wrapped by the error for a directory without a ledger.
var ErrNoLedger = errors.New("no ledger")

// Load reads state directories. now is when the report is made.
func Load(dirs []string, now time.Time) (*Review, error) {
	r := &Review{Version: Version, Made: now, Hosts: []*Host{}, Users: []*User{}, Names: []Rename{}, POP3: []POP3{}, Held: []Held{}, Kinds: []*Kind{}}
	for _, dir := range dirs {
		h, err := open(dir)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(r.Hosts, func(o *Host) bool { return o.Dir == h.Dir }) {
			return nil, fmt.Errorf("%s is given twice", report.Quote(dir))
		}
		r.Hosts = append(r.Hosts, h)
	}
	r.tellApart()
	kinds := map[string]*Kind{}
	for _, h := range r.Hosts {
		if err := r.add(h, kinds); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Dir, err)
		}
	}
	r.order(kinds)
	r.sum()
	return r, nil
}

// open reads what one state directory says, except the lines of its histories.
func open(dir string) (*Host, error) {
	if filepath.Base(dir) == ledger.JournalName {
		dir = filepath.Dir(dir)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	h := &Host{Dir: dir, Name: filepath.Base(dir), Runs: []Run{}, Timeline: []Point{}}
	switch _, err := os.Lstat(filepath.Join(dir, ledger.JournalName)); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", ErrNoLedger, err)
	case err != nil: // it may be there
		return nil, err
	}
	if h.ledger, err = ledger.Read(dir); err != nil {
		return nil, err
	}
	if err := h.Digests.sum(h.ledger); err != nil {
		return nil, fmt.Errorf("digests: %w", err)
	}
	if h.migrate, err = history.Read(dir, history.Migrate); err != nil {
		return nil, err
	}
	if h.verify, err = history.Read(dir, history.Verify); err != nil {
		return nil, err
	}
	if last := h.migrate.Last(); last != nil {
		h.Name, h.SourceRoot, h.Cyrus = last.Host, last.SourceRoot, last.Cyrus
		h.Digests.Plan, h.Digests.PlanSHA256, h.Digests.Binary = last.Plan, last.PlanSHA256, last.Binary
	}
	if last := h.verify.Last(); last != nil && last.End != nil {
		h.Digests.Verified = last.Start.Add(time.Duration(last.End.Seconds * float64(time.Second)))
		h.Digests.Level, h.Digests.VerifyCode, h.Digests.VerifySum = last.Level, last.End.ExitCode, last.Binary
	}
	for _, log := range []*history.Log{h.migrate, h.verify} {
		for _, run := range log.Runs {
			h.run(run)
		}
	}
	slices.SortStableFunc(h.Timeline, func(a, b Point) int { return a.Time.Compare(b.Time) })
	return h, nil
}

// hasMailboxes reports whether the ledger has any of a user.
func (h *Host) hasMailboxes(user string) bool { return len(h.ledger.NamesOf(user)) > 0 }

// sum takes the digests of what the ledger of a state directory consists of.
func (d *Digests) sum(l *ledger.Ledger) (err error) {
	d.Ledger, d.LedgerBytes, err = digest(filepath.Join(l.Dir(), ledger.JournalName))
	if err != nil {
		return err
	}
	files, err := os.ReadDir(l.ManifestDir()) // sorted by name
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = filepath.Join(l.ManifestDir(), f.Name())
	}
	d.ManifestFiles = int64(len(paths))
	d.Manifests, d.ManifestBytes, err = digest(paths...)
	return err
}

// digest is the SHA-256, in hexadecimal, of the bytes of files one after the other, and
// how many these are.
func digest(paths ...string) (sum string, n int64, err error) {
	hash := sha256.New()
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return "", 0, err
		}
		bytes, err := io.Copy(hash, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", 0, err
		}
		n += bytes
	}
	return hex.EncodeToString(hash.Sum(nil)), n, nil
}

// run takes a run and how fast it was.
func (h *Host) run(run history.Run) {
	one := Run{Command: run.Command, Start: run.Start, ExitCode: -1, Program: run.Program, Level: run.Level, Shard: run.Shard}
	before := history.Sample{}
	for _, s := range run.Samples {
		if seconds := s.Seconds - before.Seconds; seconds > 0 {
			at := func(s float64) time.Time { return run.Start.Add(time.Duration(s * float64(time.Second))) }
			h.Timeline = append(h.Timeline, Point{Run: len(h.Runs), From: at(before.Seconds), To: at(s.Seconds), Time: at(s.Seconds),
				Seconds: seconds, Bytes: s.Bytes - before.Bytes, Messages: s.Messages - before.Messages})
		}
		before = s
	}
	one.Seconds, one.Read = before.Seconds, before.Bytes
	if run.End != nil {
		one.Seconds, one.ExitCode, one.Written = run.End.Seconds, run.End.ExitCode, run.End.Written
	}
	h.Runs = append(h.Runs, one)
}

// tellApart gives hosts that were migrated by one machine, or are shards of one, the
// names of their directories, and the whole paths where these are the same too.
func (r *Review) tellApart() {
	for _, name := range []func(h *Host) string{
		func(h *Host) string {
			if base := filepath.Base(h.Dir); base != "state" {
				return base
			}
			return filepath.Base(filepath.Dir(h.Dir))
		},
		func(h *Host) string { return h.Dir },
	} {
		count := map[string]int{}
		for _, h := range r.Hosts {
			count[h.Name]++
		}
		for _, h := range r.Hosts {
			if count[h.Name] > 1 {
				h.Name = name(h)
			}
		}
	}
}

// add adds a host's users, and what was said of them.
func (r *Review) add(h *Host, kinds map[string]*Kind) error {
	users := map[string]*User{}
	for _, name := range h.ledger.Users() {
		users[name] = nil
	}
	for _, log := range []*history.Log{h.migrate, h.verify} {
		for name := range log.Users {
			users[name] = nil
		}
	}
	for name := range users {
		u, err := h.user(name)
		if err != nil {
			return err
		}
		users[name] = u
	}
	worst := map[string]int{} // of the host as a whole, by severity
	err := h.each(func(command string, ln history.Line) {
		u := users[ln.User]
		switch ln.Type {
		case "folder":
			if command == history.Migrate && u.Folders > 0 { // else he was undone
				r.folder(h, u, ln)
			}
		case "pop3":
			if command == history.Migrate && (ln.Again > 0 || ln.HiddenFromPOP > 0) && u.Folders > 0 {
				r.POP3 = append(r.POP3, POP3{h.Name, ledger.RawName(ln.User), ln.Messages, ln.Again, ln.AgainBytes, ln.HiddenFromPOP, ln.UIDL})
				u.Again += ln.Again
			}
		case "problem":
			p := problem(h, command, ln)
			if u == nil {
				worst[p.Severity]++
			} else {
				u.count(p)
			}
			add(kinds, u, p)
		}
	})
	if err != nil {
		return err
	}
	h.judge(worst)
	for name, u := range users {
		u.judge()
		if u.State == Proved && !h.hasMailboxes(name) {
			continue // has no mail, and nobody need look for any
		}
		if err := r.addUser(h, u); err != nil {
			return err
		}
	}
	return nil
}

// addUser adds a user who was judged, and counts him to his host.
func (r *Review) addUser(h *Host, u *User) error {
	boxes, err := h.ledger.MailboxesOf(string(u.Name))
	if err != nil {
		return err
	}
	for _, m := range boxes {
		if m.Held != nil {
			r.Held = append(r.Held, Held{h.Name, m.User, m.Folder, m.Name, m.Held.Items, m.Held.Messages, m.Held.Bytes})
		}
	}
	r.Users = append(r.Users, u)
	h.State = worse(h.State, u.State)
	h.Users++
	h.Messages += u.Messages
	h.Bytes += u.Bytes
	return nil
}

// each calls do for each line of the histories that holds, problems that both commands
// told only once.
func (h *Host) each(do func(command string, ln history.Line)) error {
	told := map[uint64]bool{}
	err := h.migrate.Each(func(ln history.Line) error {
		if ln.Type == "problem" {
			told[identity(ln)] = true
		}
		do(history.Migrate, h.approved(ln))
		return nil
	})
	if err != nil {
		return err
	}
	return h.verify.Each(func(ln history.Line) error {
		if ln.Type != "problem" || !told[identity(ln)] {
			do(history.Verify, h.approved(ln))
		}
		return nil
	})
}

// approved is a line as it is now: what is held may have been approved of since it was
// written.
func (h *Host) approved(ln history.Line) history.Line {
	if ln.Severity == report.Note.String() || !ln.IsHeld() {
		return ln
	}
	if ln.OfHeld && !h.waits(ln.User) {
		ln.Severity = report.Note.String()
		ln.Text += " (all that is held of the user is approved)"
		return ln
	}
	if by, at, ok := h.ledger.Approved(ln.HeldID); ok {
		ln.Severity = report.Note.String()
		ln.Text += fmt.Sprintf(" (approved by %s at %s)", by, at.Format(time.RFC3339))
	}
	return ln
}

// waits reports whether nobody approved of something that is held of a user, or that cannot be told.
func (h *Host) waits(user string) bool {
	boxes, err := h.ledger.MailboxesOf(user)
	for i := 0; i < len(boxes) && err == nil; i++ {
		if boxes[i].Held == nil {
			continue
		}
		err = held.Each(h.ledger.HeldDir(), boxes[i].UniqueID, func(it held.Item) error {
			if _, _, ok := h.ledger.Approved(it.ID); !ok {
				return errWaits
			}
			return nil
		})
	}
	return err != nil
}

var errWaits = errors.New("not approved")

// identity is a hash of what a problem says.
func identity(ln history.Line) uint64 {
	sum := fnv.New64a()
	offset := int64(-1)
	if ln.Offset != nil {
		offset = *ln.Offset
	}
	fmt.Fprintf(sum, "%q %q %q %q %q %d", ln.User, ln.Folder, ln.File, ln.Kind, ln.Text, offset)
	return sum.Sum64()
}

func problem(h *Host, command string, ln history.Line) Problem {
	return Problem{Host: h.Name, User: ledger.RawName(ln.User), Folder: ledger.RawName(ln.Folder), File: ledger.RawName(ln.File), Command: command,
		Severity: ln.Severity, Kind: ln.Kind, Offset: ln.Offset, Line: ln.SourceLn, Count: max(1, ln.Count), Text: ln.Text}
}

// Problems calls do for every problem, host by host.
func (r *Review) Problems(do func(Problem) error) error {
	for _, h := range r.Hosts {
		var failed error
		err := h.each(func(command string, ln history.Line) {
			if ln.Type == "problem" && failed == nil {
				failed = do(problem(h, command, ln))
			}
		})
		if err := errors.Join(failed, err); err != nil {
			return err
		}
	}
	return nil
}

// user is what the ledger says of a user.
func (h *Host) user(name string) (*User, error) {
	u := &User{Host: h.Name, Name: ledger.RawName(name), State: Proved, host: h}
	boxes, err := h.ledger.MailboxesOf(name)
	if err != nil {
		return nil, err
	}
	for _, m := range boxes {
		if m.Folder != "" {
			u.Folders++
		}
		u.Messages += m.Messages
		u.Bytes += m.Size
		if m.Held != nil {
			u.Held += m.Held.Items
		}
		if m.State == ledger.Verified {
			u.Verified += m.Messages
		} else {
			u.State = Unfinished
		}
	}
	said, ok := h.migrate.Users[name]
	if ok {
		u.Finished = said.Time
	}
	// After retire, migrate had no folder of his to tell of, and he may be undone all the same.
	if ok && len(boxes) == 0 && (said.Folders > 0 || h.ledger.Undone(name).After(said.Time)) {
		u.State = Unfinished // undone
	}
	return u, nil
}

// folder takes what was said of a finished folder.
func (r *Review) folder(h *Host, u *User, ln history.Line) {
	if ln.ShownAs != "" {
		r.Names = append(r.Names, Rename{h.Name, ledger.RawName(ln.User), ledger.RawName(ln.Folder), ln.ShownAs, ln.RenamedWhy, ln.Mailbox})
		u.Renamed++
	}
}

// add takes a problem into those of its kind and severity: notes of a kind must not look as if
// they needed a person. u is nil if it is not one of a user.
func add(kinds map[string]*Kind, u *User, p Problem) {
	key := p.Severity + " " + p.Kind
	k := kinds[key]
	if k == nil {
		k = &Kind{Kind: p.Kind, Severity: p.Severity, users: map[*User]bool{}}
		kinds[key] = k
	}
	k.Count += p.Count
	if u != nil && !k.users[u] {
		k.users[u] = true
		k.Users++
	}
	if len(k.Listed) < maxListed {
		k.Listed = append(k.Listed, p)
	}
}
