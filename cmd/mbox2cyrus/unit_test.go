package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// allowedCalls are the system calls that a SystemCallFilter of systemd allows.
func allowedCalls(t *testing.T, filter []string) map[string]bool {
	t.Helper()
	allowed := map[string]bool{}
	seen := map[string]bool{}
	for len(filter) > 0 {
		name := filter[0]
		filter = filter[1:]
		if !strings.HasPrefix(name, "@") {
			allowed[name] = true
			continue
		}
		if seen[name] {
			continue
		}
		seen[name] = true
		out, err := exec.Command("systemd-analyze", "syscall-filter", name).Output()
		if err != nil {
			t.Skipf("systemd-analyze does not tell what is in %s: %v", name, err)
		}
		for _, line := range strings.Split(string(out), "\n")[1:] { // below the name itself
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				filter = append(filter, line)
			}
		}
	}
	return allowed
}

// TestUnitAllowsWhatRuns: the sandbox of the packaged unit kills whoever makes a system call
// that its filter does not allow. Neither the program nor Cyrus's make one.
func TestUnitAllowsWhatRuns(t *testing.T) {
	needStrace(t)
	unit, err := os.ReadFile(filepath.Join("..", "..", "packaging", "mbox2cyrus.service"))
	if err != nil {
		t.Fatal(err)
	}
	var filter []string
	for _, m := range regexp.MustCompile(`(?m)^SystemCallFilter=(.*)$`).FindAllStringSubmatch(string(unit), -1) {
		filter = append(filter, strings.Fields(m[1])...)
	}
	if len(filter) == 0 {
		t.Fatal("the unit has no SystemCallFilter")
	}
	allowed := allowedCalls(t, filter)

	g := newGround(t, "", "", "")
	g.firstMail()
	trace := filepath.Join(t.TempDir(), "trace")
	for _, prepare := range []func(){func() {}, g.laterMail} {
		prepare()
		cmd := exec.Command("strace", append([]string{"-f", "-qq", "-s", "0", "-A", "-o", trace, "mbox2cyrus"}, g.migrate("--quota", "1G", "--status-file", filepath.Join(t.TempDir(), "status"))...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^[0-9]+ +([a-z0-9_]+)\(`).FindAllStringSubmatch(string(b), -1) {
		made[m[1]] = true
	}
	if !made["openat"] || !made["quotactl_fd"] || len(made) < 40 {
		t.Errorf("only %d kinds of system calls were seen", len(made))
	}
	var forbidden []string
	for call := range made {
		if !allowed[call] {
			forbidden = append(forbidden, call)
		}
	}
	slices.Sort(forbidden)
	if len(forbidden) > 0 {
		t.Errorf("the unit's SystemCallFilter does not allow %q", forbidden)
	}
}
