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

// readUnit is the packaged unit of systemd.
func readUnit(t *testing.T) string {
	t.Helper()
	unit, err := os.ReadFile(filepath.Join("..", "..", "packaging", "mbox2cyrus.service"))
	if err != nil {
		t.Fatal(err)
	}
	return string(unit)
}

// directive has the words that a unit gives to a directive, which may be in it repeatedly.
func directive(unit, name string) (words []string) {
	for _, m := range regexp.MustCompile(`(?m)^`+name+`=(.*)$`).FindAllStringSubmatch(unit, -1) {
		words = append(words, strings.Fields(m[1])...)
	}
	return words
}

// TestUnitIsUnderstood asks systemd itself about the unit.
func TestUnitIsUnderstood(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skipf("%v (on Debian: systemd)", err)
	}
	program, err := exec.LookPath("mbox2cyrus") // it is not installed where the unit has it
	if err != nil {
		t.Fatal(err)
	}
	unit := strings.Replace(readUnit(t), "ExecStart=/usr/bin/mbox2cyrus ", "ExecStart="+program+" ", 1)
	verify := func(unit string) (string, error) {
		file := filepath.Join(t.TempDir(), "mbox2cyrus.service")
		if err := os.WriteFile(file, []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
		// Its manual pages come with the package, whose build makes them.
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", file).CombinedOutput()
		var said []string
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, file) || strings.Contains(line, "mbox2cyrus.service") { // not of other units here
				said = append(said, line)
			}
		}
		return strings.Join(said, ""), err
	}
	if said, _ := verify(strings.Replace(unit, "\nKillMode=", "\nKilMode=", 1)); !strings.Contains(said, "KilMode") {
		t.Skipf("systemd-analyze verify sees nothing wrong in a directive that does not exist: %q", said)
	}
	if said, err := verify(unit); said != "" || err != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, said)
	}
}

// TestUnitKeepsItsPromises: what is told of the unit, in its own comments and in docs, hangs
// on these directives, and on no other test.
func TestUnitKeepsItsPromises(t *testing.T) {
	unit := readUnit(t)
	for _, tt := range []struct{ name, want, why string }{
		{"Type", "oneshot", "systemctl start comes back when the pass is done, with its result"},
		{"TimeoutStartSec", "infinity", "a pass may last a night"},
		{"TimeoutStopSec", "10min", "SIGTERM lets it come to a safe point"},
		{"KillMode", "mixed", "Cyrus's programs are not stopped in their work: mbox2cyrus is told alone"},
		{"ProtectSystem", "strict", "it writes nothing but what is named"},
		{"PrivateNetwork", "yes", "nothing of the mail leaves the machine"},
		{"NoNewPrivileges", "yes", "no program that it runs gets more than it has"},
		{"StateDirectory", "mbox2cyrus", "/var/lib/mbox2cyrus, the default of --state, is writable"},
		{"StateDirectoryMode", "0700", "the ledger names users and folders"},
		{"RuntimeDirectory", "mbox2cyrus", "where --status-file is"},
		{"RuntimeDirectoryPreserve", "yes", "the status is read after the run"},
		{"UMask", "0077", "logs and reports name users and folders"},
	} {
		if have := strings.Join(directive(unit, tt.name), " "); have != tt.want {
			t.Errorf("%s is %q, not %s: %s", tt.name, have, tt.want, tt.why)
		}
	}
	writable := directive(unit, "ReadWritePaths")
	for _, path := range []string{"/var/log", "/tmp", "-/var/spool/cyrus", "-/var/lib/cyrus", "-/run/cyrus", "-/var/mail"} {
		if !slices.Contains(writable, path) {
			t.Errorf("ReadWritePaths has no %s", path)
		}
	}
	for _, absent := range []string{"ProtectHome", "ProtectProc", "PrivateTmp", "PrivateUsers", "WantedBy"} {
		if have := directive(unit, absent); have != nil {
			t.Errorf("%s=%q keeps it from homes, Cyrus's processes, UW's locks or Cyrus's user, or starts it at boot", absent, have)
		}
	}
}

// TestUnitRuns runs what the unit starts, with the packaged settings, as root with the
// unit's capabilities alone. Only names of files are others.
func TestUnitRuns(t *testing.T) {
	if out, err := exec.Command("setpriv", "--bounding-set=-all", "--no-new-privs", "true").CombinedOutput(); err != nil {
		t.Skipf("capabilities cannot be dropped here: %v %s", err, out)
	}
	unit := readUnit(t)
	g := newGround(t, "", "", "")
	g.firstMail()
	settings, err := os.ReadFile(filepath.Join("..", "..", "packaging", "mbox2cyrus.toml"))
	if err != nil {
		t.Fatal(err)
	}
	log, status, conf := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "status.json"), filepath.Join(t.TempDir(), "mbox2cyrus.toml")
	ours := strings.Replace(string(settings), "/var/log/mbox2cyrus.log", log, 1)
	if ours == string(settings) {
		t.Fatal("the packaged settings have no log file")
	}
	if err := os.WriteFile(conf, []byte(ours), 0o600); err != nil {
		t.Fatal(err)
	}
	command := directive(unit, "ExecStart")
	for was, now := range map[string]string{"/usr/bin/mbox2cyrus": "mbox2cyrus", "/etc/mbox2cyrus/mbox2cyrus.toml": conf, "/run/mbox2cyrus/status.json": status} {
		i := slices.Index(command, was)
		if i < 0 {
			t.Fatalf("ExecStart %q has no %s", command, was)
		}
		command[i] = now
	}
	capabilities := "-all"
	for _, name := range directive(unit, "CapabilityBoundingSet") {
		capabilities += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
	}
	args := append([]string{"--bounding-set=" + capabilities, "--no-new-privs", "sh", "-c", `umask ` + directive(unit, "UMask")[0] + ` && exec "$@"`, "sh"}, command...)
	for _, prepare := range []func(){func() {}, g.laterMail} {
		prepare()
		if out, err := exec.Command("setpriv", append(args, g.flags()...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for _, file := range []string{log, status} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || info.Size() == 0 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	g.must(append([]string{"verify", "--level", "content"}, g.flags()...)...)
}

// TestUnitAllowsWhatRuns: the sandbox of the packaged unit kills whoever makes a system call
// that its filter does not allow. Neither the program nor Cyrus's make one.
func TestUnitAllowsWhatRuns(t *testing.T) {
	needStrace(t)
	filter := directive(readUnit(t), "SystemCallFilter")
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
