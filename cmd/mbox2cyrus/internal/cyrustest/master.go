package cyrustest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	startWait = 30 * time.Second // for both services to answer
	stopWait  = 10 * time.Second // for all processes to end by themselves
)

// A process is a running master with its children.
type process struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{} // closed when master has ended
	err   error         // how it ended
}

// Start runs Cyrus's master with imapd and pop3d and returns when both answer.
// Cancelling ctx later does not stop the server; [Server.Stop] does.
func (s *Server) Start(ctx context.Context) error {
	if s.process != nil {
		return errors.New("cyrus is running already")
	}
	ports, err := freePorts(2)
	if err != nil {
		return fmt.Errorf("start cyrus: %w", err)
	}
	s.imap, s.pop3 = ports[0], ports[1]
	if s.opts.IMAP != "" {
		s.imap = s.opts.IMAP
	}
	if s.opts.POP3 != "" {
		s.pop3 = s.opts.POP3
	}
	conf := filepath.Join(s.Dir, "cyrus.conf")
	if err := os.WriteFile(conf, s.cyrusConf(), 0o644); err != nil {
		return fmt.Errorf("start cyrus: %w", err)
	}
	logFile := filepath.Join(s.Dir, "master.log")
	out, err := os.Create(logFile)
	if err != nil {
		return fmt.Errorf("start cyrus: %w", err)
	}
	defer out.Close()
	cmd := exec.Command(filepath.Join(BinDir, "master"),
		"-C", s.Conf, "-M", conf, "-p", filepath.Join(s.Dir, "master.pid"))
	cmd.Dir = s.Dir
	cmd.Stdout, cmd.Stderr = out, out
	// When master stops it sends SIGTERM to its whole process group, which
	// must not be ours.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start cyrus: %w", err)
	}
	p := &process{cmd: cmd, log: logFile, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	s.process = p

	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	for addr, greeting := range map[string]string{s.imap: "* OK", s.pop3: "+OK"} {
		if err := p.waitFor(ctx, addr, greeting); err != nil {
			return errors.Join(fmt.Errorf("start cyrus: %w", err), s.Stop())
		}
	}
	return nil
}

// cyrusConf is the configuration of master: what it runs once and what it
// serves.
func (s *Server) cyrusConf() []byte {
	var b bytes.Buffer
	b.WriteString("START {\n")
	for i, command := range append([]string{"ctl_cyrusdb -r"}, s.opts.StartWith...) {
		fmt.Fprintf(&b, "  start%d cmd=\"%s\"\n", i, s.onOurs(command))
	}
	b.WriteString("}\nSERVICES {\n")
	for _, v := range s.opts.Services {
		fmt.Fprintf(&b, "  %s cmd=\"%s\" listen=\"%s\" prefork=1\n", v.Name, s.onOurs(v.Command), v.Address)
	}
	fmt.Fprintf(&b, "  imap cmd=\"%s\" listen=\"%s\" prefork=0 maxchild=50\n", s.onOurs("imapd"), s.imap)
	fmt.Fprintf(&b, "  pop3 cmd=\"%s\" listen=\"%s\" prefork=0 maxchild=50\n", s.onOurs("pop3d"), s.pop3)
	b.WriteString("}\nEVENTS {\n}\n")
	return b.Bytes()
}

// onOurs makes a command of one of Cyrus's programs work on this server's files.
func (s *Server) onOurs(command string) string {
	program, args, _ := strings.Cut(command, " ")
	return strings.TrimSpace(program + " -C " + s.Conf + " " + args)
}

// IMAPAddr returns host and port of the running IMAP service, or where it will be if that
// is fixed.
func (s *Server) IMAPAddr() string { return s.imap }

// POP3Addr returns host and port of the running POP3 service, or where it will be if that
// is fixed.
func (s *Server) POP3Addr() string { return s.pop3 }

// PID returns the process id of the running master, 0 when none runs.
func (s *Server) PID() int {
	if s.process == nil {
		return 0
	}
	return s.process.cmd.Process.Pid
}

// Stop ends master and its children and returns when all are gone. On a server
// that does not run it does nothing.
func (s *Server) Stop() error {
	p := s.process
	if p == nil {
		return nil
	}
	s.process = nil
	pgid := p.cmd.Process.Pid // of the session that Setsid made
	select {
	case <-p.ended:
	default:
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop cyrus: %w", err)
		}
	}
	deadline := time.Now().Add(stopWait)
	for !p.gone(pgid) {
		if time.Now().After(deadline) {
			if err := syscall.Kill(-pgid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("stop cyrus: %w", err)
			}
			<-p.ended
			return fmt.Errorf("stop cyrus: it was still there after %v and was killed", stopWait)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// gone reports whether master was waited for and no process of its group is
// left.
func (p *process) gone(pgid int) bool {
	select {
	case <-p.ended:
		return errors.Is(syscall.Kill(-pgid, 0), syscall.ESRCH)
	default:
		return false
	}
}

// waitFor connects until the service greets.
func (p *process) waitFor(ctx context.Context, addr, greeting string) error {
	for {
		line, err := greet(ctx, addr)
		if err == nil && strings.HasPrefix(line, greeting) {
			return nil
		}
		select {
		case <-p.ended:
			said, _ := os.ReadFile(p.log)
			return fmt.Errorf("master ended: %w: %s", p.err, said)
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w (last: %q, %v)", addr, ctx.Err(), line, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func greet(ctx context.Context, addr string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}

// freePorts returns addresses on which nobody listens. Somebody else could
// take one before master does, who then fails to start.
func freePorts(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		// Held until all are chosen, so that all differ.
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}
