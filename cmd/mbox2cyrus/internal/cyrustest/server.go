package cyrustest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// BinDir is where Debian has Cyrus's programs.
const BinDir = "/usr/lib/cyrus/bin"

// ErrNotHere is the cause when this machine or this user cannot run a Cyrus.
var ErrNotHere = errors.New("no cyrus can be run here")

// Options say how a server differs from Cyrus 3's defaults. The zero value
// gives the UUID layout with "/" as separator.
type Options struct {
	// DotSeparator turns unixhierarchysep off: INBOX.Sent instead of
	// INBOX/Sent, and no dots in user names.
	DotSeparator bool
	// NoAltNamespace puts a user's folders below INBOX again.
	NoAltNamespace bool
	// HashIMAPSpool adds a level of one letter to the layout by name.
	HashIMAPSpool bool
	// LegacyDirs gives new users the layout by name, as before 3.6.
	LegacyDirs bool
	// FullDirHash changes which letter that is.
	FullDirHash bool
	// VirtDomains is "userid" or "on", "" for off.
	VirtDomains string
	// DefaultDomain is the domain that users have without one ("" for localhost).
	DefaultDomain string
	// Partitions are further partitions, each in a directory "spool-NAME".
	Partitions []string
	// MetaFiles are the kinds of files that partition default has in the directory
	// "meta", as metapartition_files names them: "header index cache".
	MetaFiles string
	// User is whom Cyrus runs as ("" for cyrus).
	User string
	// Extra are more lines for imapd.conf, such as "virtdomains: userid".
	Extra []string
	// Name is the servername ("" for localhost).
	Name string
	// IMAP is where imapd listens ("" for a free port of 127.0.0.1).
	IMAP string
	// POP3 is where pop3d listens ("" for a free port of 127.0.0.1).
	POP3 string
	// StartWith are commands that master runs before it serves, such as "ctl_mboxlist -m".
	StartWith []string
	// Services are served besides IMAP and POP3.
	Services []Service
}

// A Service is one more program that master runs, from the beginning.
type Service struct {
	Name    string // such as "mupdate"
	Command string // such as "mupdate -m"
	Address string // host and port
}

// A Server is one Cyrus with its files below one directory.
type Server struct {
	Dir       string // all files
	Conf      string // imapd.conf
	ConfigDir string // configdirectory
	Spool     string // partition-default
	Meta      string // metapartition-default, if there is one
	UID, GID  int    // the user cyrus and its group

	opts      Options
	temporary bool
	process   *process
	imap      string
	pop3      string
}

// Available returns nil when a server can be run here, else the reason why
// not; the error wraps [ErrNotHere].
func Available() error {
	for _, program := range []string{"master", "reconstruct", "ctl_cyrusdb"} {
		if _, err := os.Stat(filepath.Join(BinDir, program)); err != nil {
			return fmt.Errorf("%w: %w (make setup installs it)", ErrNotHere, err)
		}
	}
	if _, err := exec.LookPath("saslpasswd2"); err != nil {
		return fmt.Errorf("%w: %w (make setup installs it)", ErrNotHere, err)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: only root can run programs as the user cyrus", ErrNotHere)
	}
	return nil
}

// New makes a configuration and empty databases in dir, which is made if it is
// not there. With dir "" a directory for temporary files is made, which
// [Server.Close] removes. The user cyrus must be able to reach dir; a test's
// t.TempDir is closed to it.
//
// The server is not running then: mailboxes can be made offline.
func New(dir string, opts Options) (*Server, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	s := &Server{opts: opts, imap: opts.IMAP, pop3: opts.POP3}
	if err := s.lookupUser(); err != nil {
		return nil, err
	}
	if dir == "" {
		tmp, err := os.MkdirTemp("", "cyrustest-")
		if err != nil {
			return nil, fmt.Errorf("directory for cyrus: %w", err)
		}
		dir, s.temporary = tmp, true
	}
	s.Dir = dir
	if err := s.makeFiles(dir, opts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) makeFiles(dir string, opts Options) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("directory for cyrus: %w", err)
	}
	s.Dir = dir
	s.Conf = filepath.Join(dir, "imapd.conf")
	s.ConfigDir = filepath.Join(dir, "conf")
	s.Spool = filepath.Join(dir, "spool")
	s.Meta = filepath.Join(dir, "meta")
	dirs := []string{"", "meta", "spool", "sieve", "conf", "conf/db", "conf/socket",
		"conf/proc", "conf/log", "conf/lock", "conf/msg", "conf/user", "conf/quota"}
	for _, name := range opts.Partitions {
		dirs = append(dirs, "spool-"+name)
	}
	for _, sub := range dirs {
		if err := s.makeDir(filepath.Join(dir, sub)); err != nil {
			return fmt.Errorf("directory for cyrus: %w", err)
		}
	}
	if err := s.reachable(); err != nil {
		return err
	}
	if err := os.WriteFile(s.Conf, s.imapdConf(opts), 0o644); err != nil {
		return fmt.Errorf("configuration for cyrus: %w", err)
	}
	// reconstruct and ctl_mboxlist want databases that were recovered once,
	// which otherwise master does when it starts.
	_, err = s.Run(context.Background(), "ctl_cyrusdb", "-r")
	return err
}

func (s *Server) lookupUser() error {
	u, err := user.Lookup(s.user())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotHere, err)
	}
	if s.UID, err = strconv.Atoi(u.Uid); err != nil {
		return fmt.Errorf("user %s: %w", u.Username, err)
	}
	if s.GID, err = strconv.Atoi(u.Gid); err != nil {
		return fmt.Errorf("user %s: %w", u.Username, err)
	}
	return nil
}

// user is the name of the user that this Cyrus runs as.
func (s *Server) user() string {
	if s.opts.User != "" {
		return s.opts.User
	}
	return "cyrus"
}

// Name is the name by which other servers know this one.
func (s *Server) Name() string {
	if s.opts.Name != "" {
		return s.opts.Name
	}
	return "localhost"
}

// domain is the domain of users whose names have none.
func (s *Server) domain() string {
	if s.opts.DefaultDomain != "" {
		return s.opts.DefaultDomain
	}
	return "localhost"
}

func (s *Server) makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// Not left to the umask and to MkdirTemp's 0700: cyrus must get in.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	return os.Chown(dir, s.UID, s.GID)
}

// reachable refuses a directory that the user cyrus cannot get to, which
// Cyrus's programs would report in many ways, none of them clear.
func (s *Server) reachable() error {
	for dir := filepath.Dir(s.Dir); ; dir = filepath.Dir(dir) {
		fi, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("directory for cyrus: %w", err)
		}
		if fi.Mode()&0o001 == 0 {
			return fmt.Errorf("directory for cyrus: %s is closed to others (mode %04o), so that cyrus cannot reach %s",
				dir, fi.Mode().Perm(), s.Dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func (s *Server) imapdConf(opts Options) []byte {
	var b bytes.Buffer
	set := func(key, value string) { fmt.Fprintf(&b, "%s: %s\n", key, value) }
	on := func(key string, v bool) {
		if v {
			set(key, "1")
		} else {
			set(key, "0")
		}
	}
	in := func(sub string) string { return filepath.Join(s.ConfigDir, sub) }
	set("configdirectory", s.ConfigDir)
	set("defaultpartition", "default")
	set("partition-default", s.Spool)
	set("sievedir", filepath.Join(s.Dir, "sieve"))
	set("proc_path", in("proc"))
	set("mboxname_lockpath", in("lock"))
	set("idlesocket", in("socket/idle"))
	set("notifysocket", in("socket/notify"))
	set("lmtpsocket", in("socket/lmtp"))
	set("admins", "cyrus")
	set("servername", s.Name())
	set("defaultdomain", s.domain())
	set("allowplaintext", "1")
	set("sasl_pwcheck_method", "auxprop")
	set("sasl_auxprop_plugin", "sasldb")
	set("sasl_mech_list", "PLAIN")
	set("sasl_sasldb_path", s.sasldb())
	on("unixhierarchysep", !opts.DotSeparator)
	on("altnamespace", !opts.NoAltNamespace)
	on("hashimapspool", opts.HashIMAPSpool)
	on("fulldirhash", opts.FullDirHash)
	on("mailbox_legacy_dirs", opts.LegacyDirs)
	if opts.VirtDomains != "" {
		set("virtdomains", opts.VirtDomains)
	}
	for _, name := range opts.Partitions {
		set("partition-"+name, filepath.Join(s.Dir, "spool-"+name))
	}
	if opts.MetaFiles != "" {
		set("metapartition-default", s.Meta)
		set("metapartition_files", opts.MetaFiles)
	}
	if opts.User != "" {
		set("cyrus_user", opts.User)
	}
	for _, line := range opts.Extra {
		fmt.Fprintln(&b, line)
	}
	return b.Bytes()
}

func (s *Server) sasldb() string { return filepath.Join(s.Dir, "sasldb2") }

// AddUser gives a user a password. It makes no mailbox. With virtual domains the name
// has its domain behind it.
func (s *Server) AddUser(name, password string) error {
	realm := s.Name()
	if local, domain, virtual := strings.Cut(name, "@"); virtual {
		name, realm = local, domain
	}
	cmd := exec.Command("saslpasswd2", "-p", "-c", "-f", s.sasldb(), "-u", realm, name)
	cmd.Stdin = strings.NewReader(password)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("password of %s: saslpasswd2: %w: %s", name, err, bytes.TrimSpace(out))
	}
	if err := os.Chown(s.sasldb(), s.UID, s.GID); err != nil {
		return fmt.Errorf("password of %s: %w", name, err)
	}
	return nil
}

// Run runs one of Cyrus's programs on this server's files as the user cyrus
// and returns what it printed.
func (s *Server) Run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(BinDir, program), append([]string{"-C", s.Conf}, args...)...)
	cmd.Dir = s.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential()}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

func (s *Server) credential() *syscall.Credential {
	return &syscall.Credential{Uid: uint32(s.UID), Gid: uint32(s.GID)}
}

// Close stops the server if it runs, and removes its files if they are
// temporary.
func (s *Server) Close() error {
	err := s.Stop()
	if s.temporary && s.Dir != "" {
		err = errors.Join(err, os.RemoveAll(s.Dir))
	}
	return err
}
