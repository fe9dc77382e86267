package report

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"mbox2cyrus/internal/plural"
)

// Options choose where a Reporter writes and how.
type Options struct {
	Stdout, Stderr io.Writer
	JSON           bool // JSON Lines on Stdout, text for people on Stderr
	Quiet          bool // text: problems only
	Command        string
	SourceRoot     string
	DryRun         bool
	Everything     bool      // show people every problem, however many are alike
	Log            io.Writer // a copy of the JSON Lines (the --log-file); may be nil
	LogLevel       Level     // what goes there
}

// Level says how much a log holds.
type Level int

// Levels of the log, each holding what the next one holds and more.
const (
	Debug Level = iota // progress too
	Info               // finished folders and notes
	Warn               // what needs a person
	Error              // failures and differences
)

// ParseLevel reads a level's name.
func ParseLevel(name string) (Level, bool) {
	i := slices.Index([]string{"debug", "info", "warn", "error"}, name)
	if i < 0 {
		return Info, false
	}
	return Level(i), true
}

// Reporter says what happened and counts it. It is safe for use by many
// goroutines; a line is never torn.
type Reporter struct {
	opts    Options
	start   time.Time
	mu      sync.Mutex
	sum     Summary
	failed  map[string]bool
	routine map[string]bool // kinds that people are not shown, nor told the number of
	werr    error           // first error of writing the report itself
	nobody  bool            // people's terminal or pipe is gone
	people  io.Writer
	results io.Writer
	alike   alike
	record  Record // may be nil
}

// Record keeps what is reported: every object that --json writes, with the line that says
// it, and when a user is finished. It must change neither.
type Record interface {
	Line(m map[string]any, line []byte)
	User(name string)
}

// SetRecord has everything from now on kept in a record, too.
func (r *Reporter) SetRecord(record Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record = record
}

// New returns a Reporter. Problems always go to Stderr as text; folders and
// the summary go to Stdout, as JSON Lines or as text.
func New(o Options) *Reporter {
	r := &Reporter{opts: o, start: time.Now(), failed: map[string]bool{}, routine: map[string]bool{}, people: o.Stderr, results: o.Stdout, alike: newAlike()}
	if o.JSON {
		r.results = o.Stderr
	}
	r.sum = Summary{Command: o.Command, SourceRoot: o.SourceRoot, DryRun: o.DryRun, ByKind: map[string]int64{}}
	return r
}

// SetScreen redirects to a progress display what goes to the terminal that it draws on,
// so that it can keep its lines together with it; nil ends that. results says that
// Stdout is the same terminal.
func (r *Reporter) SetScreen(w io.Writer, results bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.people, r.results = r.opts.Stderr, r.opts.Stdout
	if r.opts.JSON {
		r.results = r.opts.Stderr
	}
	if w == nil {
		return
	}
	r.people = w
	if results || r.opts.JSON {
		r.results = w
	}
}

// Printf prints a line for people unless quiet.
func (r *Reporter) Printf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.opts.Quiet {
		r.text(r.results, fmt.Sprintf(format, args...))
	}
}

// Say tells people a line, quiet or not: they asked for it.
func (r *Reporter) Say(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text(r.people, line)
}

// Command tells of a command that a run would have Cyrus execute: program and
// arguments, what it would read, and the same as a line for a shell.
func (r *Reporter) Command(words []string, stdin, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emit(Info, map[string]any{"message_type": "command", "command": words, "stdin": stdin})
	if !r.opts.Quiet && !r.opts.JSON {
		r.text(r.results, line)
	}
}

// text writes a line for people. If they are gone, the terminal hung up or the pipe's
// reader dead, that is no fault of the run: it goes on, and the log tells.
func (r *Reporter) text(w io.Writer, s string) {
	_, err := io.WriteString(w, s+"\n")
	switch {
	case err == nil:
	case errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EPIPE):
		if !r.nobody {
			r.nobody = true
			p := Problem{Severity: Note, Offset: -1, Kind: "nobody-listens", Text: "the terminal or pipe that this was told to is gone: " + err.Error()}
			r.sum.Notes++
			r.sum.ByKind[p.Kind]++
			r.emit(p.level(), p.object())
		}
	case r.werr == nil:
		r.werr = fmt.Errorf("writing the report: %w", err)
	}
}

func (r *Reporter) emit(level Level, m map[string]any) {
	logged := r.opts.Log != nil && level >= r.opts.LogLevel
	if r.record == nil && !logged && !r.opts.JSON {
		return
	}
	line, err := appendLine(m)
	if err == nil && r.record != nil {
		r.record.Line(m, line)
	}
	if err == nil && logged {
		_, err = r.opts.Log.Write(line)
	}
	if r.opts.JSON { // even if the log cannot be written, and the other way round
		_, werr := r.opts.Stdout.Write(line)
		err = errors.Join(err, werr)
	}
	if err != nil && r.werr == nil {
		r.werr = fmt.Errorf("writing the report: %w", err)
	}
}

// Problem reports one finding.
func (r *Reporter) Problem(p Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := p.count()
	r.sum.ByKind[p.Kind] += n
	switch p.Severity {
	case Note:
		r.sum.Notes += n
	case Attention:
		r.sum.Attentions += n
	case Failure:
		r.sum.Failures += n
		if p.User != "" && !r.failed[p.User] {
			r.failed[p.User] = true
			r.sum.FailedUsers = append(r.sum.FailedUsers, p.User)
		}
	case Difference:
		r.sum.Differences += n
	}
	r.emit(p.level(), p.object())
	if p.Routine {
		r.routine[p.Kind] = true
	}
	if p.Routine || p.Severity == Note && (r.opts.Quiet || r.opts.JSON) {
		return
	}
	if !r.opts.Everything && !r.alike.show(p) {
		return
	}
	r.text(r.people, p.String())
	if p.UW != "" && r.alike.first(p.Kind) {
		r.text(r.people, fmt.Sprintf("    [%s] UW %s.\n    Other readers: %s.", p.Kind, p.UW, p.Others))
	}
}

// Log tells the log alone, in a status line, of what concerns nobody's mail.
func (r *Reporter) Log(level Level, kind, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opts.Log == nil || level < r.opts.LogLevel {
		return
	}
	line, err := appendLine(map[string]any{"message_type": "status", "kind": kind, "text": toValidUTF8(text)})
	if err == nil {
		_, err = r.opts.Log.Write(line)
	}
	if err != nil && r.werr == nil {
		r.werr = fmt.Errorf("writing the report: %w", err)
	}
}

func (p Problem) level() Level {
	switch p.Severity {
	case Note:
		return Info
	case Attention:
		return Warn
	}
	return Error
}

// String is the problem as one line for people.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString("mbox2cyrus: ")
	if p.Severity != Note {
		b.WriteString(p.Severity.String() + ": ")
	}
	if p.User != "" {
		b.WriteString("user " + Quote(p.User) + ": ")
	}
	if p.Folder != "" {
		b.WriteString(Quote(p.Folder) + ": ")
	}
	if p.File != "" {
		b.WriteString(Quote(p.File) + ": ")
	}
	if p.Offset >= 0 {
		b.WriteString("offset " + strconv.FormatInt(p.Offset, 10))
		if p.Line > 0 {
			b.WriteString(", line " + strconv.FormatInt(p.Line, 10))
		}
		b.WriteString(": ")
	}
	b.WriteString(Printable(p.Text) + " [" + p.Kind + "]")
	return b.String()
}

// Folder reports one finished folder.
func (r *Reporter) Folder(f Folder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !f.NoFolder {
		r.sum.Folders++
	}
	r.sum.Found += f.Found
	r.sum.Written += f.Written
	r.sum.Verified += f.Verified
	r.sum.Held += f.Held
	r.sum.HeldBytes += f.HeldBytes
	r.sum.Bytes += f.Bytes
	if f.Unchanged {
		r.sum.UnchangedFolders++
	}
	r.emit(Info, f.object())
	if r.opts.Quiet || r.opts.Command == "inspect" { // which shows it in its own way
		return
	}
	found := plural.Count(f.Found, "message")
	state := fmt.Sprintf("%s, %d written, %d verified", found, f.Written, f.Verified)
	switch {
	case f.Outcome != "":
		state = fmt.Sprintf("%s, %d bytes, %s", found, f.Bytes, Printable(f.Outcome))
	case f.Unchanged:
		state = fmt.Sprintf("%s, unchanged since an earlier run, %d verified", found, f.Verified)
	case r.opts.Command == "verify":
		state = fmt.Sprintf("%s, %d verified", found, f.Verified)
	case r.opts.Command == "plan" || r.opts.DryRun:
		state = fmt.Sprintf("%s, %d bytes", found, f.Bytes)
		if n := f.doubts(r.routine); n > 0 {
			state += ", " + plural.Count(n, "doubt")
		}
	}
	if f.Held > 0 {
		state += fmt.Sprintf(", %d held (%d bytes)", f.Held, f.HeldBytes)
	}
	name := Quote(f.Folder)
	if r.opts.Command == "retire" { // files, whose messages were counted when they came to Cyrus
		r.text(r.results, fmt.Sprintf("%s: %s: %d bytes, %s", Quote(f.User), name, f.Bytes, Printable(f.Outcome)))
		return
	}
	if f.Folder == "" {
		name = "(parent)"
	}
	box := f.Mailbox
	if f.SpecialUse != "" {
		box += ` (\` + f.SpecialUse + ")"
	}
	r.text(r.results, fmt.Sprintf("%s: %s -> %s: %s", Quote(f.User), name, box, state))
}

// User counts one finished user, of whom nothing more will be said.
func (r *Reporter) User(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Users++
	if r.record != nil {
		r.record.User(name)
	}
	if line := r.alike.endUser(name); line != "" {
		r.text(r.people, line)
	}
}

// ExitCode is what the program should end with as things stand.
func (r *Reporter) ExitCode() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.exitCode()
}

func (r *Reporter) exitCode() int {
	switch {
	case r.sum.Differences > 0:
		return ExitDifference
	case r.sum.Failures > 0 || r.werr != nil:
		return ExitFailed
	case r.sum.Attentions > 0: // what is held and not approved of is among them
		return ExitAttention
	}
	return ExitOK
}

// Finish writes the summary and returns the exit code. override, when not
// zero, is the code of a run that was stopped by a signal.
func (r *Reporter) Finish(override int) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Elapsed = time.Since(r.start)
	r.sum.ExitCode = r.exitCode()
	if override != 0 {
		r.sum.ExitCode = override
	}
	slices.Sort(r.sum.FailedUsers)
	for _, line := range r.alike.end() {
		r.text(r.people, line)
	}
	r.emit(Error, r.sum.object())
	if !r.opts.Quiet || r.sum.ExitCode != ExitOK {
		r.text(r.results, r.sum.text())
	}
	if r.werr != nil && r.sum.ExitCode == ExitOK {
		r.sum.ExitCode = ExitFailed
	}
	return r.sum.ExitCode, r.werr
}

// StoppedEarly says that the run ended before its work was done, though nothing failed:
// why is a problem of severity Attention.
func (r *Reporter) StoppedEarly(kind, why string) {
	r.Problem(Problem{Severity: Attention, Offset: -1, Kind: kind, Text: why})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.StoppedEarly = true
}

// NobodyLeft says that the run has no user, as all were proved before.
func (r *Reporter) NobodyLeft() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.NobodyLeft = true
}

// Left counts a folder that is left to another run, or to a person; a problem says why.
func (r *Reporter) Left() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.LeftFolders++
}

// Totals returns the counters so far.
func (r *Reporter) Totals() Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sum
	s.ByKind = maps.Clone(r.sum.ByKind)
	return s
}
