package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
)

// openTerminal returns both ends of a new terminal of that size.
func openTerminal(t *testing.T, columns, rows uint16) (us, program *os.File) {
	t.Helper()
	us, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be opened here: %v", err)
	}
	raw, err := us.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	var ioctlErr error
	if err := raw.Control(func(fd uintptr) {
		if ioctlErr = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); ioctlErr != nil {
			return
		}
		if n, ioctlErr = unix.IoctlGetInt(int(fd), unix.TIOCGPTN); ioctlErr != nil {
			return
		}
		ioctlErr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows})
	}); err != nil || ioctlErr != nil {
		t.Fatal(errors.Join(err, ioctlErr))
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be opened here: %v", err)
	}
	return us, program
}

// output is what a program writes to a terminal, read while it comes.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) follow(terminal io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := terminal.Read(buf)
		o.mu.Lock()
		o.all.Write(buf[:n])
		o.mu.Unlock()
		if err != nil {
			return // EIO: nobody has it open any more
		}
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}

// startOnTerminal starts the program as the leader of a session on a new terminal, as a
// shell does that an ssh server started.
func startOnTerminal(t *testing.T, args ...string) (cmd *exec.Cmd, us *os.File, out *output) {
	t.Helper()
	us, program := openTerminal(t, 80, 24)
	cmd = exec.Command("mbox2cyrus", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := program.Close(); err != nil {
		t.Fatal(err)
	}
	out = &output{}
	go out.follow(us)
	return cmd, us, out
}

// waitFor waits until the program wrote something to the terminal.
func waitFor(t *testing.T, out *output, what string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(out.String(), what); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the terminal never showed %q:\n%q", what, out.String())
		}
	}
}

// slowHost is a host whose migration lasts some seconds with the flags that come with it.
func slowHost(t *testing.T, srv *cyrustest.Server) (args []string) {
	t.Helper()
	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	if _, err := samplehost.Write(root, samplehost.Options{Seed: 31, Users: 6, Messages: 300, Bytes: 600 << 10, Plain: true, OmitMessages: true, Location: newYork(t)}); err != nil {
		t.Fatal(err)
	}
	return flagsFor(srv, root, state)
}

// TestOutlivesItsTerminal lets the connection drop over which the program was started:
// the kernel sends SIGHUP, and writing to the terminal fails from then on. The run goes
// on to its end, and its log has all of it.
func TestOutlivesItsTerminal(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	args, log := slowHost(t, srv), filepath.Join(t.TempDir(), "log")
	cmd, us, out := startOnTerminal(t, append([]string{"migrate", "--bwlimit", "200k", "--log-file", log}, args...)...)
	waitFor(t, out, "/6 users")
	if err := us.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "exit code") {
		t.Fatalf("it had ended already:\n%q", out.String())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after its terminal was gone: %v", err)
	}
	logged, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"kind":"nobody-listens"`, `"message_type":"summary"`, `"users":6`} {
		if !strings.Contains(string(logged), want) {
			t.Errorf("the log has no %s", want)
		}
	}
	again := runJSON(t, append([]string{"migrate"}, args...)...)
	if s := again.summary(t); again.code != 0 || s["folders_unchanged"] != s["folders"] {
		t.Errorf("the next run: exit code %d, %v\n%s", again.code, s, again.stderr)
	}
}

// TestOutlivesItsPipe is the same for output that goes to a pipe whose reader dies.
func TestOutlivesItsPipe(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	args := slowHost(t, srv)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("mbox2cyrus", append([]string{"migrate"}, args...)...)
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after its pipe was broken: %v", err)
	}
	again := runJSON(t, append([]string{"migrate"}, args...)...)
	if s := again.summary(t); again.code != 0 || s["folders_unchanged"] != s["folders"] {
		t.Errorf("the next run: exit code %d, %v\n%s", again.code, s, again.stderr)
	}
}

// TestProgressOnTerminal looks at what a terminal of 80 columns gets, and asks for a
// line by SIGUSR1. In the end only whole lines are left.
func TestProgressOnTerminal(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	cmd, us, out := startOnTerminal(t, append([]string{"migrate", "--bwlimit", "200k", "--jobs", "2"}, slowHost(t, srv)...)...)
	defer us.Close()
	waitFor(t, out, "[#")
	if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	waitFor(t, out, "mbox2cyrus: [#")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	waitFor(t, out, "(exit code 0)")
	shown := out.String()
	for line := range strings.SplitSeq(strings.ReplaceAll(shown, "\x1b[J", "\n"), "\n") {
		line = strings.TrimRight(line, "\r")
		progress := strings.HasPrefix(line, "  [") || strings.Contains(line, "/6 users")
		if n := len([]rune(line)); progress && !strings.HasPrefix(line, "mbox2cyrus:") && n > 79 {
			t.Errorf("a line of %d columns: %q", n, line)
		}
		if i := strings.Index(line, "\x1b"); i > 0 && strings.Trim(line[:i], "\r") != "" {
			t.Errorf("a torn line: %q", line)
		}
	}
	if rest := shown[strings.LastIndex(shown, "\x1b[J"):]; strings.Contains(rest, "[#") {
		t.Errorf("progress is left behind: %q", rest)
	}
}
