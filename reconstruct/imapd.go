package reconstruct

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// An IMAPD is an imapd that speaks IMAP with us on a pipe, without a master and without
// network (imapd -X, from Cyrus 3.0 on). Close it.
type IMAPD struct {
	in, out *os.File // what it reads, and what it writes
	cmd     *exec.Cmd
	said    *excerpt

	once sync.Once
	err  error // of the first Close
}

// imapdService is the name that our imapd has instead of that of a service in cyrus.conf.
// It makes a lock file of that name in the directory socket below configdirectory.
const imapdService = "mbox2cyrus"

// imapdNumber tells those that run at a time apart.
var imapdNumber atomic.Int64

// IMAPD starts an imapd. It is ended with ctx. That it does not know how to speak on a pipe
// shows when nothing can be read from it; Close then has the reason.
func (p *Programs) IMAPD(ctx context.Context) (*IMAPD, error) {
	const program = "imapd"
	if !p.Has(program) {
		return nil, fmt.Errorf("%s: %w", p.path(program), ErrNoProgram)
	}
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", program, err), stdin.Close(), in.Close())
	}
	d := &IMAPD{in: in, out: out, said: new(excerpt)}
	d.cmd = exec.CommandContext(ctx, p.path(program), "-C", p.Conf, "-X")
	d.cmd.Dir = "/"
	// As in run: nothing is inherited, and no files of Hold, for a service takes descriptor 3
	// for its master (master/service.h, STATUS_FD). It must know its name and number.
	d.cmd.Env = []string{
		"PATH=" + p.Dir + ":/usr/sbin:/usr/bin:/sbin:/bin",
		"LC_ALL=C",
		"HOME=/",
		"CYRUS_SERVICE=" + imapdService,
		fmt.Sprintf("CYRUS_ID=%d", imapdNumber.Add(1)),
	}
	d.cmd.Stdin, d.cmd.Stdout, d.cmd.Stderr = stdin, stdout, d.said
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.Credential, Setpgid: true}
	d.cmd.Cancel = func() error { return d.cmd.Process.Signal(syscall.SIGTERM) }
	d.cmd.WaitDelay = termWait
	err = d.cmd.Start()
	// Its ends are its own now.
	err = errors.Join(err, stdin.Close(), stdout.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", program, err), d.in.Close(), d.out.Close())
	}
	return d, nil
}

// Read reads what imapd says.
func (d *IMAPD) Read(b []byte) (int, error) { return d.out.Read(b) }

// Write tells it something.
func (d *IMAPD) Write(b []byte) (int, error) { return d.in.Write(b) }

// SetReadDeadline bounds how long Read waits.
func (d *IMAPD) SetReadDeadline(t time.Time) error { return d.out.SetReadDeadline(t) }

// SetWriteDeadline bounds how long Write waits.
func (d *IMAPD) SetWriteDeadline(t time.Time) error { return d.in.SetWriteDeadline(t) }

// Close ends it: it ends by itself when there is no more to read, and is killed if it does
// not within some seconds. It may be called more than once. The error is an [ExitError] if it did not exit with 0.
func (d *IMAPD) Close() error {
	d.once.Do(func() { d.err = d.end() })
	return d.err
}

func (d *IMAPD) end() error {
	err := errors.Join(d.in.Close(), d.out.Close())
	timer := time.AfterFunc(termWait, func() {
		if err := d.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			fmt.Fprintf(d.said, "kill: %v\n", err)
		}
	})
	werr := d.cmd.Wait()
	timer.Stop()
	var exit *exec.ExitError
	if errors.As(werr, &exit) {
		e := &ExitError{Program: "imapd", Code: exit.ExitCode(), Stderr: d.said.String()}
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			e.Signal = ws.Signal()
		}
		werr = e
	}
	return errors.Join(err, werr)
}

var _ io.ReadWriteCloser = (*IMAPD)(nil)
