package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// pathCall is a line of strace: thread, call, path if it begins with one, and the rest.
var pathCall = regexp.MustCompile(`^(\d+) +(\w+)\((?:AT_FDCWD, )?("[^"]*"|[^,)]*)(.*)`)

// givenAway is the rest of a chown to somebody else than root.
var givenAway = regexp.MustCompile(`^, [1-9]`)

// pathsInOthersPlaces runs the program and returns the system calls that give root's rights to
// a whole path which leads through a directory of somebody else: he can put a link in any part of it.
// Such are theirs, and each that the program gives away. To remove what is directly in such a
// directory does no harm.
func pathsInOthersPlaces(t *testing.T, theirs []string, args ...string) (bad []string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", append([]string{"-f", "-b", "execve", "-qq", "-s", "4000", "-o", log, "-e",
		"trace=setfsuid,openat,mkdirat,unlinkat,renameat,renameat2,linkat,symlinkat,truncate,utimensat,/chmod,/chown", "mbox2cyrus"}, args...)...)
	cmd.Env = withScratch(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	theirs = slices.Clone(theirs)
	rights := map[string]string{} // by thread
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		c := pathCall.FindStringSubmatch(lines.Text())
		if c == nil {
			continue
		}
		thread, call, rest := c[1], c[2], c[4]
		if call == "setfsuid" {
			if c[3] != "-1" {
				rights[thread] = c[3]
			}
			continue
		}
		path := strings.Trim(c[3], `"`)
		if !filepath.IsAbs(path) || rights[thread] != "" && rights[thread] != "0" {
			continue
		}
		if slices.ContainsFunc(theirs, func(dir string) bool {
			below, ok := strings.CutPrefix(path, dir+"/")
			return ok && !(call == "openat" && strings.Contains(rest, "O_DIRECTORY")) && !(call == "unlinkat" && !strings.Contains(below, "/"))
		}) {
			bad = append(bad, lines.Text())
		}
		if strings.Contains(call, "chown") && givenAway.MatchString(rest) {
			theirs = append(theirs, path)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return bad
}

// TestNoPathsThroughOthersPlaces: what root makes, gives away, changes or reads in a directory of
// Cyrus's user or of a user it names from the open directory on, or with their rights.
func TestNoPathsThroughOthersPlaces(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has other rights than its own")
	}
	needStrace(t)
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1)+letter(2))
	h.write("home/joe/mail/work", letter(3))
	h.write("home/joe/.mailboxlist", "work\n")
	dir := t.TempDir()
	archive := makeArchive(t, dir)
	flags := flagsFor(srv, h.root, filepath.Join(dir, "state"))
	cyrus := []string{"--imapd-conf", srv.Conf}
	theirs := []string{srv.ConfigDir, srv.Spool, filepath.Join(h.root, "home/joe"), filepath.Join(h.root, "var/mail")}
	asks, err := imapdOnPipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		append([]string{"doctor"}, flags...),
		append([]string{"plan", "--quota", "1000000"}, flags...),
		append([]string{"migrate"}, flags...),
		append([]string{"migrate"}, flags...),
		append([]string{"verify", "--level", "content"}, flags...),
		append([]string{"verify", "--imap"}, flags...),
		append([]string{"inspect", "--cyrus", "user/joe"}, cyrus...),
		append([]string{"export", "--user", "joe", "--output", filepath.Join(dir, "joe")}, cyrus...),
		append([]string{"retire", "--archive", archive}, flags...),
		{"retire", "--restore", "--state", filepath.Join(dir, "state")},
		append([]string{"undo", "--all"}, append(cyrus, "--state", filepath.Join(dir, "state"))...),
	} {
		if args[1] == "--imap" && !asks {
			continue
		}
		for _, line := range pathsInOthersPlaces(t, theirs, args...) {
			t.Errorf("%v: %s", args[:2], line)
		}
	}
}
