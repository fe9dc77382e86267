// Package cclient asks UW's own c-client library about mailboxes, for the tests: what it
// makes of them is what this program's reading of mail is held to.
package cclient

import (
	"bytes"
	_ "embed"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// source is the program that asks the library. It says at its beginning what its commands are.
//
//go:embed testdata/cclient.c
var source []byte

// CClient is UW's c-client library, asked about mailboxes below a home directory.
type CClient struct {
	Dir  string // of its own; it goes when the test ends
	Home string // empty at first
	// Credential is whom it runs as: c-client does not serve root. Nil: as whoever runs
	// the test.
	Credential *syscall.Credential

	program string
}

// New builds the program. It skips the test where that cannot be done.
func New(t testing.TB) *CClient {
	t.Helper()
	cc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc to build the program with that asks c-client")
	}
	if _, err := os.Stat("/usr/include/c-client/c-client.h"); err != nil {
		t.Skip("c-client is not installed (Debian package libc-client2007e-dev)")
	}
	dir, err := os.MkdirTemp("", "cclient") // that of the test is nobody else's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	c := &CClient{Dir: dir, Home: filepath.Join(dir, "home"), program: filepath.Join(dir, "cclient")}
	build := exec.Command(cc, "-O1", "-o", c.program, "-x", "c", "-", "-lc-client")
	build.Stdin = bytes.NewReader(source)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building testdata/cclient.c: %v\n%s", err, out)
	}
	for _, err := range []error{os.Mkdir(c.Home, 0o755), os.Chmod(dir, 0o755), os.Chmod(c.program, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		c.Credential = unprivileged(t)
		c.Give(t, c.Home)
	}
	return c
}

// unprivileged is the system's user for those who have no rights.
func unprivileged(t testing.TB) *syscall.Credential {
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf("c-client does not serve root, and there is no other user: %v", err)
	}
	var ids [2]uint64
	for i, s := range []string{nobody.Uid, nobody.Gid} {
		if ids[i], err = strconv.ParseUint(s, 10, 32); err != nil {
			t.Fatal(err)
		}
	}
	return &syscall.Credential{Uid: uint32(ids[0]), Gid: uint32(ids[1])}
}

// Give makes a file or directory one of the user that c-client runs as.
func (c *CClient) Give(t testing.TB, path string) {
	t.Helper()
	if c.Credential == nil {
		return
	}
	if err := os.Lchown(path, int(c.Credential.Uid), int(c.Credential.Gid)); err != nil {
		t.Fatal(err)
	}
}

// Path is that of a file in the home directory.
func (c *CClient) Path(name string) string { return filepath.Join(c.Home, name) }

// Write puts a file into the home directory.
func (c *CClient) Write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(c.Path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Give(t, c.Path(name))
}

// File returns the bytes of a file in the home directory.
func (c *CClient) File(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(c.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Command is the program, not yet started.
func (c *CClient) Command(t testing.TB, args ...string) *exec.Cmd {
	return c.commandOf(t, c.program, args...)
}

// commandOf is a program of UW's, not yet started. It runs in New York, as UW's hosts in
// the fixtures did.
func (c *CClient) commandOf(t testing.TB, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = []string{"HOME=" + c.Home, "TZ=America/New_York"}
	cmd.Dir = c.Home
	cmd.WaitDelay = time.Second
	if c.Credential != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.Credential}
	}
	return cmd
}

// Do has c-client change something, and fails the test if it does not.
func (c *CClient) Do(t testing.TB, stdin string, args ...string) {
	t.Helper()
	cmd := c.Command(t, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("c-client %q: %v\n%s", args, err, out)
	}
}

// Mailutil has UW's mailutil, which copies between formats, change something.
func (c *CClient) Mailutil(t testing.TB, args ...string) {
	t.Helper()
	program, err := exec.LookPath("mailutil")
	if err != nil {
		t.Skip("mailutil is not installed (Debian package uw-mailutils)")
	}
	if out, err := c.commandOf(t, program, args...).CombinedOutput(); err != nil {
		t.Fatalf("mailutil %q: %v\n%s", args, err, out)
	}
}
