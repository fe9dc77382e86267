package samplehost

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

var totalIn = regexp.MustCompile(`(\d+) total in `)

// UW's own c-client, in the shape of Debian's mailutil, must count the
// messages that the truth has.
func TestUWCountsTheSame(t *testing.T) {
	mailutil, err := exec.LookPath("mailutil")
	if err != nil {
		t.Skip("mailutil is not installed (Debian package uw-mailutils)")
	}
	// c-client refuses to run as root and wants a user that the system knows:
	// root runs it as Debian's system users, which follow id 5 without a gap.
	dir, err := os.MkdirTemp("", "samplehost")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	truth, err := Write(filepath.Join(dir, "host"), Options{Users: 1, Messages: 120, FirstUID: 5})
	if err != nil {
		t.Fatal(err)
	}
	truth.folders(func(u User, f Folder) {
		if strings.ContainsAny(f.Name, "\n~") {
			return // in the file system, but no name that UW takes from a client
		}
		// Names are relative to HOME; outside of it c-client opens nothing.
		cmd := exec.CommandContext(t.Context(), mailutil, "check", f.Path)
		cmd.Env = []string{"HOME=" + truth.Root, "TZ=UTC"}
		cmd.Dir = truth.Root
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}}
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("mailutil check %q: %v\n%s", f.Path, err, out)
			return
		}
		match := totalIn.FindSubmatch(out)
		if match == nil {
			t.Errorf("mailutil check %q says %q", f.Path, out)
			return
		}
		if got := string(match[1]); got != strconv.Itoa(f.Count) {
			t.Errorf("%q: UW counts %s messages, the truth %d", f.Path, got, f.Count)
		}
	})
}
