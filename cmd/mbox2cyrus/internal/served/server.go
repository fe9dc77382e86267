package served

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/rev1"
	"mbox2cyrus/cmd/mbox2cyrus/internal/scratch"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// ErrNotPossible is wrapped by the error of Open where this Cyrus cannot be asked so.
var ErrNotPossible = errors.New("imapd cannot be asked on a pipe")

// Server can start an imapd for each user.
type Server struct {
	scratch   *scratch.Dir
	dir       string // in it, of Cyrus's user, whom alone it is open to
	configDir string
	owner     cyrusspool.Owner // of Cyrus's files
	programs  reconstruct.Programs
	auth      *auth
	patience  time.Duration // with an imapd that has something to say

	sep          byte
	altNamespace bool
}

// Open prepares to ask a Cyrus that is not running, and tries it.
func Open(ctx context.Context, c *target.Cyrus) (s *Server, err error) {
	if _, running, err := c.Programs.Running(ctx); err != nil {
		return nil, err
	} else if running {
		return nil, fmt.Errorf("%w while Cyrus is running: stop it, or ask it with any IMAP client", ErrNotPossible)
	}
	s = &Server{configDir: c.ConfigDir, owner: c.Fresh.Owner, programs: *c.Programs, patience: patience, sep: c.Rules.Separator(), altNamespace: c.AltNamespace()}
	if s.scratch, err = scratch.Make(scratch.IMAPD); err != nil {
		return nil, fmt.Errorf("asking imapd: %w", err)
	}
	s.dir = filepath.Join(s.scratch.Path, "d")
	if err := s.open(ctx, c); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open(ctx context.Context, c *target.Cyrus) (err error) {
	owner := c.Fresh.Owner
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return fmt.Errorf("asking imapd: %w", err)
	}
	if s.auth, err = listen(s.dir, owner.UID, owner.GID); err != nil {
		return err
	}
	conf, err := cyrusspool.ParseConf(c.IMAPDConf)
	if err != nil {
		return fmt.Errorf("asking imapd: %w", err)
	}
	s.programs.Conf = filepath.Join(s.dir, "imapd.conf")
	// It can have the passwords of databases in it.
	if err := os.WriteFile(s.programs.Conf, privateConf(conf, filepath.Join(s.dir, socketName)), 0o600); err != nil {
		return fmt.Errorf("asking imapd: %w", err)
	}
	if os.Geteuid() == 0 {
		// The directory last: from then on Cyrus's user can put a link to anything in the
		// place of what is in it.
		for _, path := range []string{s.programs.Conf, s.dir} {
			if err := os.Lchown(path, owner.UID, owner.GID); err != nil {
				return fmt.Errorf("asking imapd: %w", err)
			}
		}
	}
	session, err := s.Login(ctx, probeUser)
	if err != nil {
		return fmt.Errorf("%w (Cyrus can do it from 3.0 on, if its imapd is installed): %w", ErrNotPossible, err)
	}
	return session.Close()
}

// patience is how long an imapd that was asked may say nothing. It waits for ever where a
// message file is a pipe (FIFO), or somebody holds a lock.
const patience = 5 * time.Minute

// probeUser needs no mailbox to log in.
const probeUser = "mbox2cyrusprobe"

// ours are the settings that decide who may log in and what a login makes. They are left
// out, also those that hold for one service (imap_sasl_mech_list), and so is what begins
// like these.
var ours = []string{"sasl_", "allowplaintext", "tls_required", "plaintextloginpause", "autocreate_", "createonpost", "userdeny_db"}

// privateConf is conf but for who may log in.
func privateConf(conf *cyrusspool.Conf, socket string) []byte {
	var b strings.Builder
	for _, setting := range conf.All() {
		if setting.Value != "" && !isOurs(setting.Key) {
			b.WriteString(setting.String() + "\n")
		}
	}
	fmt.Fprintf(&b, "sasl_pwcheck_method: saslauthd\nsasl_saslauthd_path: %s\nsasl_mech_list: PLAIN\nallowplaintext: yes\n", socket)
	return []byte(b.String())
}

func isOurs(key string) bool {
	for _, k := range ours {
		if strings.HasPrefix(key, k) || strings.Contains(key, "_"+k) {
			return true
		}
	}
	return false
}

// Close ends what Open began, and removes what imapd made besides.
func (s *Server) Close() error {
	var errs []error
	if s.auth != nil {
		errs = append(errs, s.auth.close())
	}
	errs = append(errs, s.scratch.Remove())
	// With Cyrus's rights: a link there may lead anywhere.
	errs = append(errs, s.owner.Do(func() error {
		locks, err := filepath.Glob(filepath.Join(s.configDir, "socket", "mbox2cyrus-*.lock"))
		errs := []error{err}
		for _, lock := range locks {
			errs = append(errs, os.Remove(lock))
		}
		return errors.Join(errs...)
	}))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("asking imapd: %w", err)
	}
	return nil
}

// Session is one user's IMAP session. It is used by one goroutine.
type Session struct {
	server *Server
	conn   *pipeConn
	client *imapclient.Client
}

// Login starts an imapd and logs the user in.
func (s *Server) Login(ctx context.Context, userid string) (*Session, error) {
	imapd, err := s.programs.IMAPD(ctx)
	if err != nil {
		return nil, err
	}
	session := &Session{server: s, conn: &pipeConn{IMAPD: imapd, patience: s.patience}}
	conn := &rev1.Conn{Conn: session.conn}
	session.client = imapclient.New(conn, nil)
	defer session.conn.expect()()
	err = session.client.WaitGreeting()
	if err == nil {
		err = session.client.Login(userid, s.auth.password).Wait()
	}
	if err == nil && session.client.Caps() == nil {
		err = errors.New("no capabilities")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("imapd: login of %s: %w", userid, err), session.client.Close())
	}
	conn.Known()
	return session, nil
}

// Close logs out and ends imapd.
func (s *Session) Close() error {
	defer s.conn.expect()()
	err := s.client.Logout().Wait()
	if err := errors.Join(err, s.client.Close()); err != nil {
		return fmt.Errorf("imapd: %w", err)
	}
	return nil
}

// pipeConn makes an IMAPD a net.Conn, as the client library wants it. The library bounds how
// long a response may take, and not how long the first byte of one; that is done here, while
// one is expected.
type pipeConn struct {
	*reconstruct.IMAPD
	patience time.Duration
	silent   error // of Read, from then on: the library may miss the first

	mu        sync.Mutex
	expecting bool
}

// expect says that imapd has been asked something, until the returned function is called.
func (c *pipeConn) expect() (done func()) {
	set := func(expecting bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.expecting = expecting
		_ = c.bound(time.Time{}) // fails if the pipe is closed: then nothing is read any more
	}
	set(true)
	return func() { set(false) }
}

func (c *pipeConn) bound(t time.Time) error {
	if t.IsZero() && c.expecting {
		t = time.Now().Add(c.patience)
	}
	return c.IMAPD.SetReadDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bound(t)
}

func (*pipeConn) LocalAddr() net.Addr  { return pipeAddr{} }
func (*pipeConn) RemoteAddr() net.Addr { return pipeAddr{} }

// Read says that the connection is closed as a network's would, and what silence may mean.
func (c *pipeConn) Read(b []byte) (int, error) {
	if c.silent != nil {
		return 0, c.silent
	}
	n, err := c.IMAPD.Read(b)
	switch {
	case errors.Is(err, os.ErrClosed):
		err = net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.silent = fmt.Errorf("it does not go on (is a message file a pipe, or a lock held?): %w", err)
		err = c.silent
	}
	return n, err
}

// SetDeadline implements net.Conn.
func (c *pipeConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "imapd" }
