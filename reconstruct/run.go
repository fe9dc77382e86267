package reconstruct

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// termWait is how long a program may go on after SIGTERM, or after its end with
// a pipe still held open, before it is killed. Tests shorten it.
var termWait = 10 * time.Second

// ErrNoProgram is the cause when a program is asked for that this installation
// does not have.
var ErrNoProgram = errors.New("no such cyrus program")

// ErrOption is the cause when a program does not know an option that it is
// given, because its release is older than that.
var ErrOption = errors.New("this release of cyrus does not have the option")

// An ExitError says that a program ended with a status other than 0, or by a
// signal. Its Unwrap gives the context's error when the program was ended
// because of that.
type ExitError struct {
	Program string
	// Code is the exit status (sysexits.h: 64 usage, 75 temporary failure,
	// 78 configuration), -1 when the program died by a signal.
	Code int
	// Signal is the signal that ended the program, 0 when none did.
	Signal syscall.Signal
	// Stderr is what the program printed on standard error, its head and its
	// tail when it was much.
	Stderr string

	cause error
}

func (e *ExitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", e.Program)
	if e.Signal != 0 {
		fmt.Fprintf(&b, "ended by signal %d (%s)", int(e.Signal), e.Signal)
	} else {
		fmt.Fprintf(&b, "exit status %d", e.Code)
	}
	if e.cause != nil {
		fmt.Fprintf(&b, ": %v", e.cause)
	}
	if s := strings.TrimSpace(e.Stderr); s != "" {
		fmt.Fprintf(&b, ": %q", s)
	}
	return b.String()
}

func (e *ExitError) Unwrap() error { return e.cause }

// A call is one run of a program.
type call struct {
	program string
	args    []string // options, after -C conf
	names   []string // operands, after "--"
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer // gets all of standard error besides the bounded copy
}

// run runs a program to its end. It returns what the program printed on
// standard error, bounded, and an [ExitError] when it did not exit with 0. An
// error of c.stdout or c.stderr does not end the program, which is drained; it
// is returned all the same.
func (p *Programs) run(ctx context.Context, c call) (string, error) {
	if !p.Has(c.program) {
		return "", fmt.Errorf("%s: %w", p.path(c.program), ErrNoProgram)
	}
	for _, name := range c.names {
		if strings.IndexByte(name, 0) >= 0 {
			return "", fmt.Errorf("%s: %w: %q", c.program, errName, name)
		}
	}
	args := append([]string{"-C", p.Conf}, c.args...)
	if len(c.names) > 0 {
		args = append(append(args, "--"), c.names...)
	}
	if p.tell != nil {
		return "", p.told(c, args)
	}
	cmd := exec.CommandContext(ctx, p.path(c.program), args...)
	cmd.Dir = "/"
	// Nothing of the environment is inherited: CYRUS_USER, CYRUS_VERBOSE, LD_PRELOAD and
	// the like would change what the programs do, and messages must come in English.
	cmd.Env = []string{
		"PATH=" + p.Dir + ":/usr/sbin:/usr/bin:/sbin:/bin",
		"LC_ALL=C",
		"HOME=/",
	}
	cmd.ExtraFiles = p.Hold
	cmd.Stdin = c.stdin
	stdout, stderr := &drain{w: c.stdout}, &drain{w: c.stderr}
	said := new(excerpt)
	cmd.Stdout, cmd.Stderr = stdout, io.MultiWriter(said, stderr)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: p.Credential,
		// A group of its own, so that an interrupt typed at the terminal
		// reaches us and not the program in the middle of its work.
		Setpgid: true,
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = termWait

	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		e := &ExitError{Program: c.program, Code: exit.ExitCode(), Stderr: said.String(), cause: ctx.Err()}
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			e.Signal = ws.Signal()
		}
		return said.String(), e
	case errors.Is(err, exec.ErrWaitDelay):
		return said.String(), fmt.Errorf("%s: it ended, but a process that it started had its output open %v later, so that it may not be all: %w", c.program, termWait, err)
	case err != nil:
		return said.String(), fmt.Errorf("%s: %w", c.program, err)
	}
	if err := errors.Join(stdout.err, stderr.err); err != nil {
		return said.String(), fmt.Errorf("output of %s: %w", c.program, err)
	}
	return said.String(), nil
}

// A drain passes on what is written to it until its writer fails, and goes on
// taking data then, so that the program behind the pipe can end.
type drain struct {
	w   io.Writer
	err error
}

func (d *drain) Write(b []byte) (int, error) {
	if d.w != nil && d.err == nil {
		_, d.err = d.w.Write(b)
	}
	return len(b), nil
}

// headSize and tailSize bound what is kept of a program's words for an error.
const (
	headSize = 4 << 10
	tailSize = 4 << 10
)

// An excerpt keeps the head and the tail of what is written to it.
type excerpt struct {
	head, tail []byte
	dropped    int64
}

func (x *excerpt) Write(b []byte) (int, error) {
	n := len(b)
	if room := headSize - len(x.head); room > 0 {
		take := min(room, len(b))
		x.head, b = append(x.head, b[:take]...), b[take:]
	}
	if over := len(b) - tailSize; over > 0 {
		x.dropped += int64(over)
		b = b[over:]
	}
	if over := len(x.tail) + len(b) - tailSize; over > 0 {
		x.dropped += int64(over)
		x.tail = append(x.tail[:0], x.tail[over:]...)
	}
	x.tail = append(x.tail, b...)
	return n, nil
}

func (x *excerpt) String() string {
	if x.dropped == 0 {
		return string(x.head) + string(x.tail)
	}
	return fmt.Sprintf("%s\n[%d bytes left out]\n%s", x.head, x.dropped, x.tail)
}

// maxLine is how much is kept of one line of output. Names of mailboxes end at
// 490 bytes (Cyrus imap/mailbox.h, MAX_MAILBOX_NAME), paths at 4096.
const maxLine = 16 << 10

// lines is a writer that calls a function for each line written to it, without
// its line end. Of a longer line than maxLine it gives the beginning, marked.
type lines struct {
	each    func(line string)
	buf     []byte
	clipped bool
}

func (l *lines) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		piece := b
		if i >= 0 {
			piece = b[:i]
		}
		room := maxLine - len(l.buf)
		if len(piece) > room {
			piece, l.clipped = piece[:room], true
		}
		l.buf = append(l.buf, piece...)
		if i < 0 {
			break
		}
		l.flush()
		b = b[i+1:]
	}
	return n, nil
}

// close gives a last line that had no line end.
func (l *lines) close() {
	if len(l.buf) > 0 || l.clipped {
		l.flush()
	}
}

func (l *lines) flush() {
	line := string(l.buf)
	if l.clipped {
		line += clipMark
	}
	l.each(line)
	l.buf, l.clipped = l.buf[:0], false
}

// clipMark ends a line that was longer than maxLine.
const clipMark = " […]"
