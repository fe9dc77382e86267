package mbox

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// HostOptions says where a UW IMAP host keeps its users and their mail. What it does not
// say is taken from etc/c-client.cf below Root, if that is there.
type HostOptions struct {
	// Root is the source root: "/" (the default) or a mounted or copied host.
	Root string
	// Passwd is the passwd file, default "etc/passwd". A relative path is below Root,
	// an absolute one is opened as it is and may be a pipe.
	Passwd string
	// Getent takes the users from this machine's getent(1), which knows those of NIS and
	// LDAP too, in place of Passwd. Root must be "/".
	Getent bool
	// InboxDir is the directory of the INBOX files, one a user, default "var/mail".
	// It is always below Root: "var/mail" and "/var/mail" are the same, and so is
	// Root + "/var/mail". It is the short form of InboxTemplate InboxDir + "/%u".
	InboxDir string
	// InboxTemplate is the path of each user's INBOX file: below Root and ending with
	// "/%u", the user's name, or a file in each home, "~/Mailbox". %1u to %9u are the
	// first to the ninth byte of the name, or its last if it is shorter:
	// "/var/mail/%1u/%2u/%u".
	InboxTemplate string
	// InboxExtra are files or mailbox directories, relative to each home, whose messages
	// are to be in the INBOX although UW did not show them there: "INBOX", which UW does
	// not show anywhere when it is in unix format.
	InboxExtra []string
	// MailDir is the folder directory below each home, default "mail". It may have
	// several elements. With "." folders are in the home itself.
	MailDir string
	// MinUID is the least uid of a user whose mail is wanted, default 500, where
	// older hosts start. Use 1 for all but root; root's mail is never read.
	MinUID int
	// IgnoreConfig leaves etc/c-client.cf unread.
	IgnoreConfig bool
	// Spared are users whose homes Users does not look at: it takes them for there. A home on a
	// server that does not answer keeps everybody waiting who looks.
	Spared []string
	// Apart are directories of this machine, by absolute paths, that hold no user's folders even
	// where a home has them: those of the mail server that is written to. What is not there is
	// no matter.
	Apart []string
	// Slow is told of each user of passwd whose home takes long to look at, in a goroutine of
	// its own. It may be nil.
	Slow func(user string)
}

// slowHome is how long that is.
var slowHome = 20 * time.Second

// defaultMinUID is where the uids of people begin on Red Hat, Mac OS X and other
// hosts of UW IMAP's time; Debian and later systems begin at 1000.
const defaultMinUID = 500

// Host is a UW IMAP host seen from outside, read only. Its methods may be called from
// several goroutines.
type Host struct {
	bad      atomic.Int64 // blocks of all files that cannot be read
	root     *sourceRoot
	template inboxTemplate
	inboxDir *os.File // the template's directory, to look up and, reopened, to list; nil: inboxes are in the homes
	extra    []string // clean paths below each home
	mailDir  string   // clean, relative; "" is the home itself
	// boxDir is the directory that UW's own names start in, as mailDir: the home, unless
	// c-client is configured otherwise. What is before mailDir is the clients' own prefix.
	boxDir  string
	config  clientConfig
	minUID  uint32
	entries []PasswdEntry
	names   map[string]bool     // of entries
	groups  map[string][]uint32 // of entries, by name
	skipped []Skipped           // of passwd and the configuration
	spared  map[string]bool     // see HostOptions
	apart   map[fileKey]bool    // see HostOptions
	slow    func(user string)

	homesOnce sync.Once
	homes     bool // see hasHomes
}

// User is somebody who has mail on the host, or may have.
type User struct {
	Name     string // raw, a safe file name
	UID, GID uint32
	Home     string // as in passwd
	HasInbox bool   // there is something where the user's inbox belongs
	HasHome  bool   // the home is there, or is refused for a reason that Folders reports, or is spared
}

// OpenHost opens the source root and the inbox directory and reads passwd and c-client's
// configuration. The errors say which of them is missing and how to name another; they
// wrap those of the file system. A configuration that is not supported is a
// [*ConfigError].
func OpenHost(opts HostOptions) (*Host, error) {
	opts.Root = cmp.Or(opts.Root, "/")
	opts.Passwd = cmp.Or(opts.Passwd, "etc/passwd")
	opts.MinUID = cmp.Or(opts.MinUID, defaultMinUID)
	switch {
	case opts.MinUID < 1 || int64(opts.MinUID) > 1<<32-1:
		return nil, fmt.Errorf("mbox: least uid %d is not from 1 to 4294967295: %w", opts.MinUID, fs.ErrInvalid)
	case opts.InboxDir != "" && opts.InboxTemplate != "":
		return nil, fmt.Errorf("mbox: inbox directory %q and inbox template %q: give one of them: %w", opts.InboxDir, opts.InboxTemplate, fs.ErrInvalid)
	case opts.Getent && filepath.Clean(opts.Root) != "/":
		return nil, fmt.Errorf("mbox: getent knows the users of this machine, not those of %s; give a passwd file made by it on the source host: %w", opts.Root, fs.ErrInvalid)
	}
	h := &Host{minUID: uint32(opts.MinUID), spared: map[string]bool{}, apart: keysOf(opts.Apart), slow: opts.Slow}
	for _, name := range opts.Spared {
		h.spared[name] = true
	}
	for _, path := range opts.InboxExtra {
		clean, err := cleanMailDir(path)
		if err != nil || clean == "" {
			return nil, fmt.Errorf("mbox: place of more INBOX mail %q is not a path below each home: %w", path, fs.ErrInvalid)
		}
		h.extra = append(h.extra, clean)
	}
	var err error
	if h.mailDir, err = cleanMailDir(cmp.Or(opts.MailDir, "mail")); err != nil {
		return nil, err
	}
	if h.root, err = openSourceRoot(opts.Root); err != nil {
		return nil, fmt.Errorf("mbox: source root: %w; give the directory that holds etc, var and the homes", err)
	}
	if err := h.open(opts); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// keysOf tells which directories those are that are at these paths.
func keysOf(dirs []string) map[fileKey]bool {
	keys := map[fileKey]bool{}
	for _, dir := range dirs {
		var st unix.Stat_t
		if unix.Stat(dir, &st) == nil {
			keys[fileKey{uint64(st.Dev), st.Ino}] = true
		}
	}
	return keys
}

// open opens what is below the root.
func (h *Host) open(opts HostOptions) (err error) {
	if !opts.IgnoreConfig {
		h.config, err = h.readClientConfig(opts.InboxDir != "" || opts.InboxTemplate != "")
		if err != nil {
			if errors.Is(err, ErrConfig) {
				return err
			}
			return fmt.Errorf("mbox: c-client's configuration: %w", err)
		}
	}
	h.boxDir = h.config.mailSubdirectory
	if opts.MailDir == "" && h.boxDir != "" {
		h.mailDir = h.boxDir
	}
	if err := h.openInboxes(opts); err != nil {
		return err
	}
	if err := h.readPasswd(opts); err != nil {
		return err
	}
	h.names = make(map[string]bool, len(h.entries))
	for _, e := range h.entries {
		h.names[e.Name] = true
	}
	if err := h.readGroups(opts); err != nil {
		return fmt.Errorf("mbox: group file: %w", err)
	}
	h.skipped = append(h.skipped, h.config.notes...)
	return nil
}

// openInboxes opens the directory that has all inboxes.
func (h *Host) openInboxes(opts HostOptions) (err error) {
	inside := func(path string) string { // relative to the root, if it is there
		if rel, ok := strings.CutPrefix(path, strings.TrimSuffix(filepath.Clean(opts.Root), "/")+"/"); ok {
			return "/" + rel
		}
		return path
	}
	switch {
	case opts.InboxTemplate != "":
		if h.template, err = parseInboxTemplate(inside(opts.InboxTemplate)); err != nil {
			return err
		}
	case opts.InboxDir == "" && h.config.inbox != nil:
		h.template = *h.config.inbox
	default:
		h.template = inboxTemplate{dir: cleanPath(inside(cmp.Or(opts.InboxDir, "var/mail"))), elements: []string{"%u"}}
	}
	if h.template.home {
		return nil
	}
	dir, err := h.root.open(h.template.dir)
	if err != nil {
		return fmt.Errorf("mbox: inbox directory below %s: %w; name the directory of the INBOX files (var/mail, var/spool/mail, usr/mail)", opts.Root, err)
	}
	h.inboxDir = dir
	st, err := fstat(dir)
	if err != nil {
		return fmt.Errorf("mbox: inbox directory below %s: %w", opts.Root, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("mbox: inbox directory %s below %s is a file: %w; name the directory of the INBOX files", h.template.dir, opts.Root, unix.ENOTDIR)
	}
	return nil
}

// readPasswd reads the users of the host.
func (h *Host) readPasswd(opts HostOptions) (err error) {
	if opts.Getent {
		h.entries, h.skipped, err = getentPasswd()
		return err
	}
	passwd, err := h.openPasswd(opts.Passwd)
	if err != nil {
		below := ""
		if !filepath.IsAbs(opts.Passwd) {
			below = " below " + opts.Root
		}
		return fmt.Errorf("mbox: passwd file%s: %w; name the passwd file of the source host, by an absolute path if it is elsewhere", below, err)
	}
	defer passwd.Close()
	h.entries, h.skipped, err = ParsePasswd(passwd, cleanPath(opts.Passwd))
	return err
}

func (h *Host) openPasswd(path string) (*os.File, error) {
	if filepath.IsAbs(path) {
		return os.Open(path)
	}
	return h.root.openFile(path)
}

// cleanMailDir returns a directory below a home as a clean path, "" for the home itself.
func cleanMailDir(dir string) (string, error) {
	names := splitPath(dir)
	switch {
	case strings.HasPrefix(dir, "/"):
		return "", fmt.Errorf("mbox: folder directory %q is absolute; give it relative to each home: %w", dir, fs.ErrInvalid)
	case slices.Contains(names, ".."):
		return "", fmt.Errorf("mbox: folder directory %q leaves the home: %w", dir, fs.ErrInvalid)
	}
	return strings.Join(names, "/"), nil
}

// InPasswd reports whether passwd has a user, whatever his uid is and whether he has mail or
// not.
func (h *Host) InPasswd(name string) bool { return h.names[name] }

// Close releases the directories that the host keeps open. Files that [Host.Open]
// returned stay open.
func (h *Host) Close() error {
	err := h.root.Close()
	if h.inboxDir != nil {
		err = errors.Join(err, h.inboxDir.Close())
	}
	return err
}

// watch has do look at a user's home, and tells if that takes long.
func (h *Host) watch(user string, do func() error) error {
	if h.slow != nil {
		defer time.AfterFunc(slowHome, func() { h.slow(user) }).Stop()
	}
	return do()
}

// Users returns the users of passwd from the least uid up who have a home, an inbox
// or both, sorted by name, and everything else that passwd, the configuration and the
// inbox directory hold. The latter includes mail of users below the least uid, inboxes of
// nobody, lock files and the working copies of qpopper that no such user can have. Users
// with neither home nor inbox are in the second list.
func (h *Host) Users() ([]User, []Skipped, error) {
	skipped := skipList{list: slices.Clone(h.skipped)}
	s := &spoolSurvey{host: h, skipped: &skipped, wanted: make(map[string]*User, len(h.entries)), system: make(map[string]uint32)}
	for _, e := range h.entries {
		if e.UID < h.minUID {
			s.system[e.Name] = e.UID
			continue
		}
		s.wanted[e.Name] = &User{Name: e.Name, UID: e.UID, GID: e.GID, Home: e.Home}
	}
	if err := s.run(); err != nil {
		return nil, nil, err
	}
	if err := h.systemUsers(&skipped); err != nil {
		return nil, nil, err
	}

	users := make([]User, 0, len(s.wanted))
	for _, e := range h.entries {
		u := s.wanted[e.Name]
		if u == nil {
			continue
		}
		if h.spared[u.Name] {
			u.HasHome = true
		} else if err := h.watch(u.Name, func() error { return h.lookHome(u) }); err != nil {
			return nil, nil, err
		}
		if !u.HasHome && !u.HasInbox {
			skipped.add(h.noMail(u))
			continue
		}
		users = append(users, *u)
	}
	slices.SortFunc(users, func(a, b User) int { return cmp.Compare(a.Name, b.Name) })
	return users, skipped.result("", h.template.dir), nil
}

// noMail describes a user who has neither home nor inbox.
func (h *Host) noMail(u *User) Skipped {
	s := Skipped{User: u.Name, Path: cleanPath(u.Home), Kind: SkipNoMail,
		Text: fmt.Sprintf("user %q (uid %d) has no inbox, and no directory %q as home", u.Name, u.UID, clip(u.Home))}
	if !isSystemHome(u.Home) && h.diskMissing(u.Home) {
		s.MayHoldMail = true
		s.Text += ", nor is anything beside it: mount or copy the disk that has the homes, or the user's mail is missed"
	}
	return s
}

// systemDirs hold the homes that accounts of programs have, with things in them that have
// the names of mail: /usr/lib/mailman/mail. People's homes are also in other directories of
// /usr (home, users, people) and /var.
var systemDirs = []string{"bin", "boot", "dev", "etc", "lib", "lib64", "proc", "root", "run", "sbin", "sys", "tmp",
	"usr/adm", "usr/bin", "usr/etc", "usr/games", "usr/lib", "usr/lib64", "usr/libexec", "usr/local", "usr/mail", "usr/sbin", "usr/share", "usr/spool",
	"var/adm", "var/backups", "var/cache", "var/db", "var/empty", "var/ftp", "var/gopher", "var/lib", "var/list", "var/log", "var/mail",
	"var/named", "var/root", "var/run", "var/spool", "var/tmp", "var/www"}

// HasSystemHome reports whether the user's home is one that people do not have.
func (u User) HasSystemHome() bool { return isSystemHome(u.Home) }

// isSystemHome reports whether a home is one that people do not have.
func isSystemHome(home string) bool {
	clean := strings.TrimPrefix(cleanPath(home), "private/") // Mac OS X
	return clean == "" || clean == "usr" || clean == "var" || strings.HasPrefix(clean, "nonexist") ||
		slices.ContainsFunc(systemDirs, func(dir string) bool { return strings.HasPrefix(clean+"/", dir+"/") })
}

// diskMissing reports whether one disk of several may be missing, with a home that is not
// there: not even the directory of the home is there, or nothing in it, but other homes
// are. (A host without any home was copied so, or its mail alone.)
func (h *Host) diskMissing(home string) bool {
	clean := cleanPath(home)
	// Accounts for mail alone, or for a program, have such a home on purpose.
	if clean == "" || strings.HasPrefix(clean, "nonexist") || strings.HasPrefix(clean, "dev/") {
		return false
	}
	parent, err := h.root.open(path.Dir("/" + clean))
	if err != nil {
		return h.hasHomes()
	}
	defer parent.Close()
	return isEmptyDir(parent) && h.hasHomes()
}

// lookHome sets HasHome, and HasInbox where inboxes are in the homes.
func (h *Host) lookHome(u *User) error {
	dir, skipped := h.openHome(u.Home)
	u.HasHome = dir != nil || skipped != nil
	if dir == nil {
		return nil
	}
	defer dir.Close()
	names := h.template.path(u.Name)
	if !h.template.home || names == nil {
		return nil
	}
	return h.as(*u, func() error {
		u.HasInbox, _ = find(dir, strings.Join(names, "/"), u.UID)
		return nil
	})
}

// hasHomes reports whether any wanted user's home is there.
func (h *Host) hasHomes() bool {
	h.homesOnce.Do(func() {
		h.homes = slices.ContainsFunc(h.entries, func(e PasswdEntry) bool {
			if e.UID < h.minUID || h.spared[e.Name] {
				return false
			}
			home, _ := h.openHome(e.Home)
			if home != nil {
				home.Close()
			}
			return home != nil
		})
	})
	return h.homes
}

// openHome opens a home to look things up in it. With neither a directory nor a
// Skipped there is no such directory.
func (h *Host) openHome(home string) (*os.File, *Skipped) {
	if !strings.HasPrefix(home, "/") {
		return nil, nil // "" or relative: no place that passwd(5) knows
	}
	dir, err := h.root.open(home)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return nil, nil
	case errors.Is(err, errForeignLink):
		return nil, &Skipped{Kind: SkipSymlink, MayHoldMail: true,
			Text: fmt.Sprintf("home not read: %s; chown -h the link to root if it is right", cause(err))}
	case err != nil:
		return nil, &Skipped{Kind: SkipUnreadable, MayHoldMail: true, Text: "home not read: " + cause(err)}
	}
	if st, err := fstat(dir); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		dir.Close()
		return nil, nil
	}
	return dir, nil
}

// dirBatch is how many names of a directory are held at a time.
const dirBatch = 256

// eachName calls do for every name in dir, from its beginning, a batch at a time.
func eachName(dir *os.File, do func(name string) error) error {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for {
		names, err := dir.Readdirnames(dirBatch)
		for _, name := range names {
			if err := do(name); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
