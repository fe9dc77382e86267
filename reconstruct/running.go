package reconstruct

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// masterNames are the names of Cyrus's server process: its own, Debian's and
// others' of the packages where "master" is Postfix's.
var masterNames = map[string]bool{"master": true, "cyrmaster": true, "cyrus-master": true}

// serverNames are the programs that a master starts and that open mailboxes. They outlive
// a master that was killed.
var serverNames = map[string]bool{"imapd": true, "pop3d": true, "lmtpd": true, "nntpd": true, "httpd": true, "proxyd": true,
	"pop3proxyd": true, "lmtpproxyd": true, "sync_server": true}

// Running looks for a Cyrus master that serves this configuration, or a server that it left
// behind, and returns its process id.
//
// It goes through /proc for a process named like Cyrus's master, or for one of Cyrus's
// servers from p.Dir, started with -C and the same file as p.Conf, or without -C when that
// is [DefaultConf]. Postfix's master is told apart by where it lies and by never having
// -C, UW's imapd by where it lies. It does not see a master on another host that shares
// the spool, one in another PID namespace, or one whose /proc entry we may not read (run
// it as root).
func (p *Programs) Running(ctx context.Context) (pid int, running bool, err error) {
	return p.running(ctx, "/proc")
}

func (p *Programs) running(ctx context.Context, proc string) (int, bool, error) {
	dir, err := os.Open(proc)
	if err != nil {
		return 0, false, fmt.Errorf("look for a running cyrus: %w", err)
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return 0, false, fmt.Errorf("look for a running cyrus: %w", err)
			}
			pid, err := strconv.Atoi(name)
			if err != nil {
				continue
			}
			ours, err := p.serves(filepath.Join(proc, name))
			switch {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH):
				continue // the process ended meanwhile
			case err != nil:
				return 0, false, fmt.Errorf("look for a running cyrus: process %d: %w", pid, err)
			case ours:
				return pid, true, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return 0, false, nil
		}
		if err != nil {
			return 0, false, fmt.Errorf("look for a running cyrus: %w", err)
		}
	}
}

// serves reports whether the process of a /proc directory is the master of our
// configuration, or one of its servers.
func (p *Programs) serves(dir string) (bool, error) {
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil || len(cmdline) == 0 { // empty: a thread of the kernel, a zombie
		return false, err
	}
	args := strings.Split(string(bytes.TrimSuffix(cmdline, []byte{0})), "\x00")
	exe, err := os.Readlink(filepath.Join(dir, "exe"))
	if err != nil {
		// Not ours to read: the command line must do.
		exe = args[0]
	}
	// An upgraded package leaves the running program without a name.
	exe = strings.TrimSuffix(exe, " (deleted)")
	server := p.Dir != "" && serverNames[filepath.Base(exe)] && sameFile(filepath.Dir(exe), p.Dir)
	if !server && !masterNames[filepath.Base(exe)] && !masterNames[filepath.Base(args[0])] {
		return false, nil
	}
	if strings.Contains(exe, "postfix") {
		return false, nil
	}
	conf, given := optionC(args[1:])
	if !given {
		conf = DefaultConf
	}
	if !filepath.IsAbs(conf) {
		cwd, err := os.Readlink(filepath.Join(dir, "cwd"))
		if err != nil {
			return false, err
		}
		conf = filepath.Join(cwd, conf)
	}
	return sameFile(conf, p.Conf), nil
}

// optionC finds the value of master's option -C. Of master's options (Cyrus
// master/master.c: "C:L:M:p:l:Ddj:J:vV") those with a value may have it in the
// same argument.
func optionC(args []string) (string, bool) {
	const withValue = "CLMpljJ"
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if len(arg) < 2 || arg[0] != '-' {
			continue
		}
		for j := 1; j < len(arg); j++ {
			if strings.IndexByte(withValue, arg[j]) < 0 {
				continue
			}
			value := arg[j+1:]
			if value == "" && i+1 < len(args) {
				i++
				value = args[i]
			}
			if arg[j] == 'C' {
				return value, true
			}
			break
		}
	}
	return "", false
}

func sameFile(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	fa, errA := os.Stat(a)
	fb, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(fa, fb)
}
