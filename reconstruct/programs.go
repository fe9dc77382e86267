package reconstruct

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// DefaultConf is where every Cyrus program looks for its configuration unless
// it is given -C.
const DefaultConf = "/etc/imapd.conf"

// The programs without which nothing can be done. They are taken from one
// directory only: a host may carry two releases of Cyrus, and the programs of
// one must not work on the databases of the other.
var required = []string{"reconstruct", "ctl_mboxlist", "mbpath"}

// knownDirs are the directories in which distributions and Cyrus's own build
// put the programs: Debian, SUSE, Red Hat, Mac OS X Server and Cyrus 2.x,
// FreeBSD and from source, other builds.
var knownDirs = []string{
	"/usr/lib/cyrus/bin",
	"/usr/lib/cyrus-imapd",
	"/usr/lib64/cyrus-imapd",
	"/usr/libexec/cyrus-imapd",
	"/usr/libexec/cyrus",
	"/usr/cyrus/bin",
	"/usr/cyrus/sbin",
	"/usr/local/cyrus/bin",
	"/usr/local/cyrus/sbin",
	"/usr/local/libexec/cyrus-imapd",
	"/usr/sbin",
}

// knownUsers are the names of the user that Cyrus runs as: everywhere, and on
// Mac OS X Server.
var knownUsers = []string{"cyrus", "_cyrus", "cyrusimap"}

// Programs is one installation of Cyrus's programs together with the
// configuration that they are to work on. Its methods may be called from
// several goroutines at a time; Cyrus's own locks keep the programs apart.
type Programs struct {
	// Dir is the directory that holds the programs.
	Dir string
	// Conf is the absolute path of imapd.conf, given to each program as -C.
	Conf string
	// Credential is the user and group that the programs run as. It is nil
	// when we are not root, and when no user of Cyrus was found; in the second
	// case the programs change to Cyrus's user by themselves.
	Credential *syscall.Credential
	// Hold are files that each program has open as long as it works, without knowing: a
	// lock on one that belongs to the open file (flock, F_OFD_SETLK) lasts until the last
	// program has ended, even if the process that started it was killed before. An
	// [IMAPD], which ends when nobody speaks with it, does not get them.
	Hold []*os.File

	tell func(Command) // not nil: told instead of run
}

// Find looks for Cyrus's programs. With binDir they are taken from there, else
// from the first place that has them all: the known directories of
// distributions, then the absolute directories of PATH. Conf is the path of
// imapd.conf, "" for [DefaultConf]; it must be a readable file.
//
// An error says for each program where it was looked for.
func Find(binDir, conf string) (*Programs, error) {
	if conf == "" {
		conf = DefaultConf
	}
	conf, err := filepath.Abs(conf)
	if err != nil {
		return nil, fmt.Errorf("cyrus configuration: %w", err)
	}
	f, err := os.Open(conf)
	if err != nil {
		return nil, fmt.Errorf("cyrus configuration: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("cyrus configuration: %w", err)
	}

	dirs, err := candidates(binDir)
	if err != nil {
		return nil, err
	}
	var looked []string
	for _, dir := range dirs {
		missing := missingFrom(dir)
		if len(missing) == 0 {
			p := &Programs{Dir: dir, Conf: conf}
			if os.Geteuid() == 0 {
				if p.Credential, err = cyrusCredential(knownUsers); err != nil {
					return nil, err
				}
			}
			return p, nil
		}
		if len(missing) == len(required) {
			looked = append(looked, dir)
		} else {
			looked = append(looked, fmt.Sprintf("%s (there is no %s)", dir, strings.Join(missing, ", ")))
		}
	}
	return nil, fmt.Errorf("cyrus programs %s: %w in one of %s",
		strings.Join(required, ", "), fs.ErrNotExist, strings.Join(looked, ", "))
}

func candidates(binDir string) ([]string, error) {
	if binDir != "" {
		dir, err := filepath.Abs(binDir)
		if err != nil {
			return nil, fmt.Errorf("cyrus programs: %w", err)
		}
		return []string{dir}, nil
	}
	dirs := append([]string(nil), knownDirs...)
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		// As root, never run a program found relative to where we stand.
		if filepath.IsAbs(dir) {
			dirs = append(dirs, filepath.Clean(dir))
		}
	}
	return dirs, nil
}

func missingFrom(dir string) []string {
	var missing []string
	for _, name := range required {
		if !executable(filepath.Join(dir, name)) {
			missing = append(missing, name)
		}
	}
	return missing
}

func executable(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0
}

// Has reports whether the installation has the optional program of that name,
// such as cyr_info (from 2.5) or quota.
func (p *Programs) Has(name string) bool {
	return executable(p.path(name))
}

func (p *Programs) path(name string) string { return filepath.Join(p.Dir, name) }

// cyrusCredential returns the ids of the first of the named users that exists,
// with all its groups, or nil when there is none.
func cyrusCredential(names []string) (*syscall.Credential, error) {
	for _, name := range names {
		u, err := user.Lookup(name)
		var unknown user.UnknownUserError
		if errors.As(err, &unknown) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		gids, err := u.GroupIds()
		if err != nil {
			return nil, fmt.Errorf("user %s: groups: %w", name, err)
		}
		return credential(u.Uid, u.Gid, gids)
	}
	return nil, nil
}

func credential(uid, gid string, gids []string) (*syscall.Credential, error) {
	ids := make([]uint32, 0, 2+len(gids))
	for _, s := range append([]string{uid, gid}, gids...) {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("id %q of cyrus's user: %w", s, err)
		}
		ids = append(ids, uint32(n))
	}
	return &syscall.Credential{Uid: ids[0], Gid: ids[1], Groups: ids[2:]}, nil
}
