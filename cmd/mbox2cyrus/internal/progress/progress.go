// Package progress shows how far a run has come: on a terminal a line for each user who
// is being read and one for the total, a line a minute elsewhere, status lines and a
// status file for programs.
package progress

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// Options say what is shown, and where.
type Options struct {
	Stdout, Stderr io.Writer
	Report         *report.Reporter
	JSON, Quiet    bool
	StatusFile     string            // "": none
	Asked          <-chan os.Signal  // each asks for a line now; may be nil
	Users          map[string]Amount // what the run has to read
}

// Display shows the progress of one run.
type Display struct {
	opts   Options
	total  Amount
	screen *screen // nil: not on a terminal
	stop   chan struct{}
	done   sync.WaitGroup

	mu       sync.Mutex
	pace     pace
	bytes    int64
	messages int64
	finished int64
	running  []*user          // in the order in which they were begun
	byName   map[string]*user // of running and waiting
	fileErr  error            // the first, of the status file
}

// user is one who is worked on.
type user struct {
	name   string
	folder string
	amount Amount
	bytes  int64
	read   bool // to the end: Cyrus's programs are at work
}

// Start begins to show progress. On a terminal the reporter's text goes above the lines
// from now on. It fails if the status file cannot be written.
func Start(o Options) (*Display, error) {
	d := &Display{opts: o, byName: map[string]*user{}, stop: make(chan struct{}), pace: pace{start: time.Now()}}
	for _, a := range o.Users {
		d.total = d.total.Plus(a)
	}
	d.pace.add(d.pace.start, 0, 0)
	if err := d.writeStatus(d.status("running", nil)); err != nil {
		return nil, err
	}
	if f, ok := o.Stderr.(*os.File); ok && !o.Quiet && drawable(f) && !otherTerminalWriter(o.Stdout) {
		d.screen = &screen{w: f, size: func() (int, int) { return terminalSize(f) }}
		o.Report.SetScreen(d.screen, isTerminal(o.Stdout))
		d.every(250*time.Millisecond, d.redraw)
	}
	d.every(time.Second, d.second)
	if d.screen == nil && !o.Quiet {
		d.every(time.Minute, func() { o.Report.Say("mbox2cyrus: " + d.line()) })
	}
	d.done.Go(d.answer)
	return d, nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// drawable reports whether f is a terminal that can move its cursor.
func drawable(f *os.File) bool {
	kind := os.Getenv("TERM")
	return isTerminal(f) && kind != "" && kind != "dumb"
}

// otherTerminalWriter reports whether a program gets standard output that may write it
// to the same terminal (tee, less), where it would tear the lines.
func otherTerminalWriter(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err != nil || info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) != 0
}

// terminalSize is asked each time: the window may have been resized.
func terminalSize(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

func (d *Display) every(interval time.Duration, f func()) {
	d.done.Go(func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				f()
			case <-d.stop:
				return
			}
		}
	})
}

// answer tells at once where the run is, as often as it is asked.
func (d *Display) answer() {
	for {
		select {
		case <-d.opts.Asked:
			for _, line := range d.users() {
				d.opts.Report.Say("mbox2cyrus: " + strings.TrimLeft(line, " "))
			}
			d.opts.Report.Say("mbox2cyrus: " + d.line())
		case <-d.stop:
			return
		}
	}
}

// second is done once a second.
func (d *Display) second() {
	d.mu.Lock()
	d.pace.add(time.Now(), d.bytes, d.messages)
	d.mu.Unlock()
	s := d.status("running", nil)
	if d.opts.JSON {
		d.opts.Report.Status(s)
	}
	if err := d.writeStatus(s); err != nil && d.fileErr == nil {
		d.fileErr = err
		d.opts.Report.Problem(report.Problem{Severity: report.Attention, Offset: -1, Kind: "status-file", Text: err.Error()})
	}
}

// Add counts source bytes read, and messages, of a user's folder.
func (d *Display) Add(name, folder string, bytes, messages int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.messages += messages
	u := d.byName[name]
	if u == nil {
		return
	}
	u.folder = folder
	// A folder that changes while it is read is read again: no more than all of it counts.
	bytes = min(bytes, u.amount.Bytes-u.bytes)
	u.bytes += bytes
	d.bytes += bytes
}

// UserStarted shows that a user is being worked on, for the first time or after UserWaits.
func (d *Display) UserStarted(name string, _ int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.byName[name]
	if u == nil {
		u = &user{name: name, amount: d.opts.Users[name]}
		d.byName[name] = u
	}
	d.running = append(d.running, u)
}

// UserWaits shows no more that a user is being worked on, until UserStarted.
func (d *Display) UserWaits(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = slices.DeleteFunc(d.running, func(o *user) bool { return o.name == name })
}

// UserRead shows that all of a user's folders are read, and Cyrus's programs are to
// finish his mailboxes.
func (d *Display) UserRead(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endReading(d.byName[name])
}

// endReading counts what was left out of a user's bytes.
func (d *Display) endReading(u *user) {
	if u == nil || u.read {
		return
	}
	u.read = true
	d.bytes += u.amount.Bytes - u.bytes
	u.bytes = u.amount.Bytes
	d.running = slices.DeleteFunc(d.running, func(o *user) bool { return o == u })
}

// UserDone counts a finished user.
func (d *Display) UserDone(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endReading(d.byName[name])
	delete(d.byName, name)
	d.finished++
}

// now is a sample of this moment. The lock must be held.
func (d *Display) now() sample { return sample{time.Now(), d.bytes, d.messages} }

func (d *Display) status(state string, code *int) report.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	s := report.Status{State: state, ExitCode: code, Bytes: d.bytes, BytesTotal: d.total.Bytes, Messages: d.messages,
		MessagesTotal: int64(d.total.expected(now)), Users: d.finished, UsersTotal: int64(len(d.opts.Users)),
		Seconds: now.at.Sub(d.pace.start).Seconds(), Waiting: int64(len(d.byName) - len(d.running))}
	s.BytesPerSecond, s.MessagesPerSecond = d.pace.rates(now)
	s.SecondsLeft = d.pace.left(d.total, now).Seconds()
	for _, u := range d.running {
		s.Running = append(s.Running, report.UserStatus{User: u.name, Bytes: u.bytes, BytesTotal: u.amount.Bytes})
	}
	return s
}

// line is the total, for people: less than 80 columns, mostly.
func (d *Display) line() string {
	s := d.status("", nil)
	parts := []string{fmt.Sprintf("%d/%d users", s.Users, s.UsersTotal), fmt.Sprintf("%d messages", s.Messages),
		percent(s.Bytes, s.BytesTotal) + " of " + size(float64(s.BytesTotal)),
		fmt.Sprintf("%.0f/s", s.MessagesPerSecond), fmt.Sprintf("%.1f MB/s", s.BytesPerSecond/1e6)}
	switch {
	case s.Waiting > 0 && len(s.Running) == 0:
		parts = append(parts, "Cyrus finishes")
	case s.SecondsLeft >= 0:
		parts = append(parts, span(time.Duration(s.SecondsLeft*float64(time.Second)))+" left")
	}
	return strings.Join(parts, ", ")
}

func percent(part, whole int64) string {
	if whole <= 0 {
		return "100%"
	}
	return fmt.Sprintf("%d%%", 100*part/whole)
}

const barWidth = 20

// users are the lines of those who are being read.
func (d *Display) users() (lines []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, u := range d.running {
		filled := barWidth
		if u.amount.Bytes > 0 {
			filled = int(barWidth * u.bytes / u.amount.Bytes)
		}
		lines = append(lines, fmt.Sprintf("  [%s%s] %4s of %8s  %s  %s", strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled),
			percent(u.bytes, u.amount.Bytes), size(float64(u.amount.Bytes)), report.Quote(u.name), quoteFolder(u.folder)))
	}
	return lines
}

func quoteFolder(name string) string {
	if name == "" {
		return ""
	}
	return report.Quote(name)
}

func (d *Display) redraw() {
	// A terminal that is gone shows nothing; the reporter tells of that.
	_ = d.screen.set(append(d.users(), d.line()))
}

// Stop ends the display; the reporter's text goes where it went before. A status file
// still says that the program runs, until End.
func (d *Display) Stop() {
	close(d.stop)
	d.done.Wait()
	if d.screen != nil {
		_ = d.screen.set(nil)
		d.opts.Report.SetScreen(nil, false)
	}
}

// End writes the last status file, with the exit code of the program.
func (d *Display) End(code int) error {
	state := "finished"
	switch {
	case d.opts.Report.Totals().StoppedEarly, code == report.ExitInterrupt, code == report.ExitTerminated:
		state = "stopped"
	case code != report.ExitOK && code != report.ExitAttention && code != report.ExitDifference:
		state = "failed"
	}
	return d.writeStatus(d.status(state, &code))
}
