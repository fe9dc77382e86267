package mbox

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// HostOptions says where a UW IMAP host keeps its users and their mail.
type HostOptions struct {
	// Root is the source root: "/" (the default) or a mounted or copied host.
	Root string
	// Passwd is the passwd file, default "etc/passwd". A relative path is below Root,
	// an absolute one is opened as it is and may be a pipe.
	Passwd string
	// InboxDir is the directory of the INBOX files, one a user, default "var/mail".
	// It is always below Root: "var/mail" and "/var/mail" are the same, and so is
	// Root + "/var/mail".
	InboxDir string
	// MailDir is the folder directory below each home, default "mail". It may have
	// several elements. The home itself (".") is not supported.
	MailDir string
	// MinUID is the least uid of a user whose mail is wanted, default 500, where
	// older hosts start. Use 1 for all but root; root's mail is never read.
	MinUID int
}

// defaultMinUID is where the uids of people begin on Red Hat, Mac OS X and other
// hosts of UW IMAP's time; Debian and later systems begin at 1000.
const defaultMinUID = 500

// Host is a UW IMAP host seen from outside, read only. Its methods may be called from
// several goroutines.
type Host struct {
	root     *sourceRoot
	inboxDir *os.File // to look up and, reopened, to list
	inbox    string   // its path below the root, for messages
	mailDir  string   // clean, relative
	minUID   uint32
	entries  []PasswdEntry
	passwd   []Skipped
}

// User is somebody who has mail on the host, or may have.
type User struct {
	Name     string // raw, a safe file name
	UID, GID uint32
	Home     string // as in passwd
	HasInbox bool   // there is something of that name in the inbox directory
	HasHome  bool   // the home is there, or is refused for a reason that Folders reports
}

// OpenHost opens the source root and the inbox directory and reads passwd. The
// errors say which of them is missing and how to name another; they wrap those of
// the file system.
func OpenHost(opts HostOptions) (*Host, error) {
	opts.Root = cmp.Or(opts.Root, "/")
	opts.Passwd = cmp.Or(opts.Passwd, "etc/passwd")
	opts.InboxDir = cmp.Or(opts.InboxDir, "var/mail")
	opts.MinUID = cmp.Or(opts.MinUID, defaultMinUID)
	if opts.MinUID < 1 || int64(opts.MinUID) > 1<<32-1 {
		return nil, fmt.Errorf("mbox: least uid %d is not from 1 to 4294967295: %w", opts.MinUID, fs.ErrInvalid)
	}
	mailDir, err := cleanMailDir(cmp.Or(opts.MailDir, "mail"))
	if err != nil {
		return nil, err
	}
	root, err := openSourceRoot(opts.Root)
	if err != nil {
		return nil, fmt.Errorf("mbox: source root: %w; give the directory that holds etc, var and the homes", err)
	}
	h := &Host{root: root, mailDir: mailDir, minUID: uint32(opts.MinUID)}
	if err := h.open(opts); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// open opens what is below the root.
func (h *Host) open(opts HostOptions) error {
	inbox := opts.InboxDir
	if inside, ok := strings.CutPrefix(inbox, strings.TrimSuffix(filepath.Clean(opts.Root), "/")+"/"); ok {
		inbox = inside
	}
	h.inbox = cleanPath(inbox)
	dir, err := h.root.open(inbox)
	if err != nil {
		return fmt.Errorf("mbox: inbox directory below %s: %w; name the directory of the INBOX files (var/mail, var/spool/mail, usr/mail)", opts.Root, err)
	}
	h.inboxDir = dir
	st, err := fstat(dir)
	if err != nil {
		return fmt.Errorf("mbox: inbox directory below %s: %w", opts.Root, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("mbox: inbox directory %s below %s is a file: %w; name the directory of the INBOX files", h.inbox, opts.Root, unix.ENOTDIR)
	}

	passwd, err := h.openPasswd(opts.Passwd)
	if err != nil {
		return fmt.Errorf("mbox: passwd file: %w; name the passwd file of the source host", err)
	}
	defer passwd.Close()
	h.entries, h.passwd, err = ParsePasswd(passwd, cleanPath(opts.Passwd))
	return err
}

func (h *Host) openPasswd(path string) (*os.File, error) {
	if filepath.IsAbs(path) {
		return os.Open(path)
	}
	f, err := h.root.open(path)
	if err != nil {
		return nil, err
	}
	st, err := fstat(f)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = &fs.PathError{Op: "read", Path: path, Err: unix.EISDIR}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// cleanMailDir returns the folder directory as a clean path below a home.
func cleanMailDir(dir string) (string, error) {
	names := splitPath(dir)
	switch {
	case strings.HasPrefix(dir, "/"):
		return "", fmt.Errorf("mbox: folder directory %q is absolute; give it relative to each home: %w", dir, fs.ErrInvalid)
	case slices.Contains(names, ".."):
		return "", fmt.Errorf("mbox: folder directory %q leaves the home: %w", dir, fs.ErrInvalid)
	case len(names) == 0:
		return "", fmt.Errorf("mbox: folders in the home itself (folder directory %q) are not supported, as every file of the home would be a folder; name a directory below it: %w", dir, fs.ErrInvalid)
	}
	return strings.Join(names, "/"), nil
}

// Close releases the directories that the host keeps open. Files that [Host.Open]
// returned stay open.
func (h *Host) Close() error {
	err := h.root.Close()
	if h.inboxDir != nil {
		err = errors.Join(err, h.inboxDir.Close())
	}
	return err
}

// Users returns the users of passwd from the least uid up who have a home, an inbox
// or both, sorted by name, and everything else that passwd and the inbox directory
// hold. The latter includes inboxes of users below the least uid and of nobody, lock
// files and the working copies of qpopper. Users with neither home nor inbox are in
// the second list.
func (h *Host) Users() ([]User, []Skipped, error) {
	skipped := skipList{list: slices.Clone(h.passwd)}
	wanted := make(map[string]*User, len(h.entries))
	system := make(map[string]uint32)
	for _, e := range h.entries {
		if e.UID < h.minUID {
			system[e.Name] = e.UID
			continue
		}
		wanted[e.Name] = &User{Name: e.Name, UID: e.UID, GID: e.GID, Home: e.Home}
	}

	dir, err := reopen(h.inboxDir, unix.O_RDONLY)
	if err != nil {
		return nil, nil, fmt.Errorf("mbox: inbox directory %s: %w", h.inbox, err)
	}
	defer dir.Close()
	err = eachName(dir, func(name string) error {
		if u := wanted[name]; u != nil {
			u.HasInbox = true
			return nil
		}
		s, err := h.strayInbox(dir, name, wanted, system)
		if err != nil {
			return err
		}
		s.Path = h.inbox + "/" + name
		skipped.add(*s)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("mbox: inbox directory %s: %w", h.inbox, err)
	}

	users := make([]User, 0, len(wanted))
	for _, e := range h.entries {
		u := wanted[e.Name]
		if u == nil {
			continue
		}
		u.HasHome = h.hasHome(u.Home)
		if !u.HasHome && !u.HasInbox {
			skipped.add(Skipped{User: u.Name, Path: cleanPath(u.Home), Kind: SkipNoMail,
				Text: fmt.Sprintf("user %q (uid %d) has no inbox, and no directory %q as home", u.Name, u.UID, u.Home)})
			continue
		}
		users = append(users, *u)
	}
	slices.SortFunc(users, func(a, b User) int { return cmp.Compare(a.Name, b.Name) })
	return users, skipped.result("", h.inbox), nil
}

// hasHome reports whether a home is there or refused for a reason that Folders will
// report: anything but that it does not exist.
func (h *Host) hasHome(home string) bool {
	dir, skipped := h.openHome(home)
	if dir != nil {
		dir.Close()
	}
	return dir != nil || skipped != nil
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

// strayInbox describes an entry of the inbox directory that is no wanted user's inbox.
func (h *Host) strayInbox(dir *os.File, name string, wanted map[string]*User, system map[string]uint32) (*Skipped, error) {
	st, err := lstatAt(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return &Skipped{Kind: SkipChanged, Text: "gone since the directory was listed"}, nil
	}
	if err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return &Skipped{Kind: SkipDirectory, MayHoldMail: true,
			Text: "directory among the inboxes, not descended; if the host spreads them (h/a/hash), put the files into one directory"}, nil
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return notRegular(dir, name, st), nil
	}

	full := st.Size > 0
	size := fmt.Sprintf("%d bytes", st.Size)
	popUser, isPop := popCopyOf(name)
	if wanted[popUser] == nil && isPop && name[0] != '.' {
		isPop = false // an unknown user's inbox rather than a working copy
	}
	uid, isSystem := system[name]
	switch {
	case isSystem:
		return &Skipped{User: name, Kind: SkipSystemUser, MayHoldMail: full,
			Text: fmt.Sprintf("%s, inbox of %q, whose uid %d is below %d; lower the least uid or read it as another user if it is wanted", size, name, uid, h.minUID)}, nil
	case isPop && full:
		s := &Skipped{Kind: SkipInboxElsewhere, MayHoldMail: true,
			Text: fmt.Sprintf("%s, working copy of a POP3 server (qpopper) for %q; it may hold mail of a session that broke off; append it to the inbox if so", size, popUser)}
		if wanted[popUser] != nil {
			s.User = popUser
		}
		return s, nil
	case strings.HasSuffix(name, ".lock"):
		s := &Skipped{Kind: SkipLockFile, MayHoldMail: st.Size > maxLockFile,
			Text: fmt.Sprintf("%s, lock file; make sure that no delivery or mail session is running", size)}
		if user := strings.TrimSuffix(name, ".lock"); wanted[user] != nil {
			s.User = user
		}
		return s, nil
	case strings.HasPrefix(name, "BOGUS."):
		return &Skipped{Kind: SkipBogus, MayHoldMail: full,
			Text: fmt.Sprintf("%s, put aside by mail.local because its owner was wrong; it may hold mail", size)}, nil
	case name[0] == '.':
		return &Skipped{Kind: SkipDotFile, MayHoldMail: full,
			Text: fmt.Sprintf("%s, hidden file that is no user's inbox; it may hold mail", size)}, nil
	}
	return &Skipped{Kind: SkipNoUser, MayHoldMail: full,
		Text: fmt.Sprintf("%s, no user %q in passwd; add a line for it if the mail is wanted", size, clip(name))}, nil
}

// maxLockFile is more than any lock file holds: a process id, a host name. A larger
// file of that name may be somebody's mail.
const maxLockFile = 512

// popCopyOf returns the user of qpopper's working copy: .USER.pop, or USER.pop.
func popCopyOf(name string) (user string, ok bool) {
	user, ok = strings.CutSuffix(name, ".pop")
	return strings.TrimPrefix(user, "."), ok
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
