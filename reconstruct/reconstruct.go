package reconstruct

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// A Job says which mailboxes are to be reconstructed.
type Job struct {
	// Users are user ids: each user's INBOX and all mailboxes below it
	// (reconstruct -u, from 2.5; the error wraps [ErrOption] before).
	Users []string
	// Mailboxes are external names, without what is below them. Either Users
	// or Mailboxes is given.
	Mailboxes []string
	// Expect are the external names of the mailboxes that must be named, each.
	// Empty, it is Mailboxes, or for each user at least one mailbox. Where
	// unixhierarchysep is off, give all of a user's mailboxes: "user.joe.Sent"
	// could be the beginning of any line, and a name that is not expected is
	// complained of as an unknown line.
	Expect []string
	// Version, when not "", converts the index to this minor version, or with
	// "max" to the newest that the release knows (reconstruct -V, from 2.5).
	// Nothing else is done then: run again without it to have the index
	// checked. Mailboxes that have the version already are not named.
	Version string
}

// A Complaint is something that reconstruct said and that is not known to be
// harmless, or something that it ought to have said.
type Complaint struct {
	Kind Kind
	// Mailbox is the name in the line: internal, except for KindUnvisited,
	// where it is the external name or the user id that was asked for. "" when
	// the line names none.
	Mailbox string
	// UID is the message's, 0 when the complaint is not about one message.
	UID uint32
	// Text is the line, cut off after 1 kB. It is what the program printed,
	// unchecked bytes.
	Text string
}

func (c Complaint) String() string { return fmt.Sprintf("%s: %q", c.Kind, c.Text) }

// A Report is what came of a [Job].
type Report struct {
	// Mailboxes are the external names that reconstruct printed, in its order.
	Mailboxes []string
	// Complaints are the first MaxComplaints complaints.
	Complaints []Complaint
	// Counts has the number of lines of each kind, complaints and harmless
	// ones. It is complete where Complaints is not.
	Counts map[Kind]int64
}

// MaxComplaints is how many complaints a report holds. Counts goes on.
const MaxComplaints = 1000

// maxMailboxes is how many names of mailboxes a report holds when none were
// expected.
const maxMailboxes = 200_000

// Clean reports whether nothing was complained of.
func (r *Report) Clean() bool {
	for kind, n := range r.Counts {
		if n > 0 && !kind.Harmless() {
			return false
		}
	}
	return true
}

// Reconstruct has Cyrus rebuild mailboxes and reads what it says about them.
// Output is read as it comes and memory does not grow with it.
//
// The error is nil when the program could be run and exited with 0, which
// proves nothing: what counts is the report, and after that the index. With an
// error the report holds what was said until then, and whatever was not
// visited by then is complained of.
func (p *Programs) Reconstruct(ctx context.Context, job Job) (Report, error) {
	operands, args := job.Mailboxes, []string(nil)
	switch {
	case len(job.Users) > 0 && len(job.Mailboxes) > 0:
		return Report{}, errors.New("reconstruct: users and mailboxes in one job")
	case len(job.Users) > 0:
		operands, args = job.Users, []string{"-u"}
	}
	if job.Version != "" {
		if !word(job.Version) {
			return Report{}, fmt.Errorf("reconstruct: index version %q", job.Version)
		}
		args = append(args, "-V", job.Version)
	}
	for _, name := range operands {
		if err := checkName(name); err != nil {
			return Report{}, fmt.Errorf("reconstruct: %w", err)
		}
	}
	r := newReader(job)
	var err error
	for _, batch := range batches(operands) {
		stdout, stderr := &lines{each: r.line}, &lines{}
		// The two pipes are read by two goroutines, and the report is one:
		// what comes on standard error waits until the program has ended.
		var said []string
		var more int64
		stderr.each = func(line string) {
			if len(said) < MaxComplaints {
				said = append(said, clip(line))
			} else {
				more++
			}
		}
		_, err = p.run(ctx, call{
			program: "reconstruct",
			args:    args,
			names:   batch,
			stdout:  stdout,
			stderr:  stderr,
		})
		stdout.close()
		stderr.close()
		for _, line := range said {
			r.stderr(line)
		}
		if more > 0 {
			r.report.Counts[KindStderr] += more
		}
		var exit *ExitError
		if errors.As(err, &exit) && exit.Signal == 0 && len(args) > 0 && usage(exit.Stderr) {
			err = fmt.Errorf("reconstruct %s: %w: %w", strings.Join(args, " "), ErrOption, err)
		}
		if err != nil {
			break
		}
	}
	return r.end(), err
}

// A reader makes a report from reconstruct's lines.
type reader struct {
	job      Job
	report   Report
	expected map[string]bool // external name → not named yet
	users    map[string]bool // user id → no mailbox named yet
}

func newReader(job Job) *reader {
	r := &reader{
		job:      job,
		report:   Report{Counts: make(map[Kind]int64)},
		expected: make(map[string]bool),
		users:    make(map[string]bool),
	}
	expect := job.Expect
	if len(expect) == 0 {
		expect = job.Mailboxes
		for _, user := range job.Users {
			r.users[user] = true
		}
	}
	for _, name := range expect {
		r.expected[name] = true
	}
	return r
}

// line takes a line of standard output.
func (r *reader) line(line string) {
	if _, ok := r.expected[line]; ok || r.ownersMailbox(line) {
		r.visited(line)
		return
	}
	f := classify(line)
	switch {
	case f.kind == KindUnknown && strings.Contains(line, " not found"):
		// Cyrus ends this line without a line end when a file goes away
		// while it works, so that the next line hangs on to it (imap/
		// mailbox.c, mailbox_reconstruct_append).
		if i := strings.LastIndex(line, " not found"); i >= 0 {
			head, tail := line[:i+len(" not found")], line[i+len(" not found"):]
			if f := classify(head); f.kind == KindMissing {
				r.found(f, head)
				r.line(tail)
				return
			}
		}
	case f.kind == KindVersion:
		r.visited(f.mailbox)
	}
	r.found(f, line)
}

// ownersMailbox reports whether a line is the external name of a mailbox of
// one of the job's users, "user/joe" or "user/joe/Sent". Those that we do not
// know, such as a calendar, are named too. No line but a name begins so: other
// lines have the internal name, or begin with words of their own. With dots
// for slashes that cannot be told, but for the INBOX.
func (r *reader) ownersMailbox(line string) bool {
	rest, slash := strings.CutPrefix(line, "user/")
	if !slash {
		var ok bool
		if rest, ok = strings.CutPrefix(line, "user."); !ok {
			return false
		}
	}
	if strings.HasSuffix(line, noUniqueID) {
		return false
	}
	for _, user := range r.job.Users {
		// With virtual domains the domain comes last: user/joe/Sent@example.org.
		local, domain, virtual := strings.Cut(user, "@")
		name := rest
		if virtual {
			var ok bool
			if name, ok = strings.CutSuffix(rest, "@"+domain); !ok {
				continue
			}
		}
		if name == local || slash && strings.HasPrefix(name, local+"/") {
			delete(r.users, user)
			return true
		}
	}
	return false
}

func (r *reader) visited(name string) {
	r.report.Counts[KindName]++
	r.ownersMailbox(name)
	first, expected := r.expected[name]
	if expected && !first {
		return
	}
	if expected {
		r.expected[name] = false
	} else if len(r.report.Mailboxes) >= maxMailboxes {
		return
	}
	r.report.Mailboxes = append(r.report.Mailboxes, name)
}

func (r *reader) found(f finding, line string) {
	r.report.Counts[f.kind]++
	if !f.kind.Harmless() && len(r.report.Complaints) < MaxComplaints {
		r.report.Complaints = append(r.report.Complaints,
			Complaint{Kind: f.kind, Mailbox: f.mailbox, UID: f.uid, Text: clip(line)})
	}
}

func (r *reader) stderr(line string) {
	if withoutUpkeep(line) == "" {
		return
	}
	r.found(finding{kind: KindStderr}, line)
}

// end complains of what was asked for and not named, and returns the report.
func (r *reader) end() Report {
	missing := func(name string) {
		r.found(finding{kind: KindUnvisited, mailbox: name}, "reconstruct did not name "+name)
	}
	if r.job.Version == "" {
		names := r.job.Expect
		if len(names) == 0 {
			names = r.job.Mailboxes
		}
		for _, name := range names {
			if r.expected[name] {
				r.expected[name] = false
				missing(name)
			}
		}
		for _, user := range r.job.Users {
			if r.users[user] {
				r.users[user] = false
				missing(user)
			}
		}
	}
	return r.report
}
