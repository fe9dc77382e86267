package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// A fleetHost is one host of many: an sshd that sees files of its own where each host has
// its mail, its Cyrus and its state.
type fleetHost struct {
	name, address string
	dir           string // its files
	sshd          *exec.Cmd
}

const fleetPort = "2222"

// fleetStart is run in namespaces of its own: sh -c SCRIPT NAME DIR.
const fleetStart = `set -e
mount -t tmpfs tmpfs /run
mkdir -m 755 /run/sshd
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/imapd.conf" /etc/imapd.conf
mount --bind "$1/lib" /var/lib
mount --bind "$1/root" /root
mount --bind "$1/home" /home
mount --bind "$1/mail" /var/mail
mount --bind "$1/bin" /usr/local/bin
hostname "$0"
exec /usr/sbin/sshd -D -e -f "$1/sshd_config"
`

// newFleet makes hosts, none of which is started, and a directory with what an administrator
// has: contrib, hosts.txt, and an ssh that knows the hosts by their names.
func newFleet(t *testing.T, names ...string) (hosts []*fleetHost, desk string) {
	t.Helper()
	if err := cyrustest.Available(); err != nil {
		t.Skip(err)
	}
	for _, program := range []string{"/usr/sbin/sshd", "ssh", "ssh-keygen", "hostname"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no hosts with ssh can be had here: %v (on Debian: openssh-server, openssh-client, hostname)", err)
		}
	}
	if out, err := exec.Command("unshare", "--mount", "--uts", "mount", "-t", "tmpfs", "tmpfs", "/run").CombinedOutput(); err != nil {
		t.Skipf("no namespaces for hosts can be had here: %v %s", err, out)
	}
	program, err := exec.LookPath("mbox2cyrus") // this test's
	if err != nil {
		t.Fatal(err)
	}
	// What the users of the hosts can reach, which is not so of t.TempDir.
	root, err := os.MkdirTemp("", "mbox2cyrus-fleet-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, content string, mode os.FileMode) {
		t.Helper()
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if err == nil {
			err = os.WriteFile(name, []byte(content), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"hostkey", "key"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(root, key)).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	loopback := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(254), rand.IntN(256))
	var config strings.Builder
	for i, name := range names {
		h := &fleetHost{name: name, address: fmt.Sprintf("%s%d", loopback, 2+i), dir: filepath.Join(root, name)}
		hosts = append(hosts, h)
		user := "joe" + name
		var accounts strings.Builder
		for line := range strings.Lines(string(passwd)) {
			f := strings.Split(line, ":")
			if len(f) < 3 {
				continue
			}
			if uid, err := strconv.Atoi(f[2]); err == nil && uid < 500 { // those that programs have
				accounts.WriteString(line)
			}
		}
		fmt.Fprintf(&accounts, "%s:x:1001:1001::/home/%[1]s:/bin/sh\n", user)
		srv := cyrustest.ForTest(t, cyrustest.Options{})
		conf, err := os.ReadFile(srv.Conf)
		if err != nil {
			t.Fatal(err)
		}
		in := func(sub string) string { return filepath.Join(h.dir, sub) }
		write(in("passwd"), accounts.String(), 0o644)
		write(in("imapd.conf"), string(conf), 0o644)
		write(in("bin/mbox2cyrus"), "#!/bin/sh\nexec '"+program+"' \"$@\"\n", 0o755)
		write(in("mail/"+user), "From a@example.org Mon Jun  2 10:11:12 2003\nSubject: of "+name+"\n\n", 0o600)
		write(in("sshd_config"), "ListenAddress "+h.address+"\nPort "+fleetPort+"\nHostKey "+root+"/hostkey\nAuthorizedKeysFile "+root+"/key.pub\n"+
			"PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\nSetEnv MBOX2CYRUS_SOURCE_TIMEZONE=UTC\n", 0o644)
		for _, dir := range []string{in("lib"), in("root"), in("home/" + user + "/mail")} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, owned := range []string{in("mail/" + user), in("home/" + user), in("home/" + user + "/mail")} {
			if err := os.Chown(owned, 1001, 1001); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintf(&config, "Host %s\n HostName %s\n", name, h.address)
		t.Cleanup(func() { h.stop(t) })
	}
	fmt.Fprintf(&config, "Host *\n User root\n Port %s\n IdentityFile %s/key\n IdentitiesOnly yes\n BatchMode yes\n UserKnownHostsFile %[2]s/known\n StrictHostKeyChecking accept-new\n", fleetPort, root)

	desk = filepath.Join(root, "desk")
	if err := os.CopyFS(desk, os.DirFS(filepath.Join("..", "..", "contrib"))); err != nil {
		t.Fatal(err)
	}
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(root, "ssh_config"), config.String(), 0o644)
	write(filepath.Join(root, "path", "ssh"), "#!/bin/sh\nexec "+ssh+" -F "+root+"/ssh_config \"$@\"\n", 0o755)
	write(filepath.Join(desk, "hosts.txt"), strings.Join(names, "\n")+"\n", 0o644)
	write(filepath.Join(desk, "hosts.ini"), "[uw_imap]\n"+strings.Join(names, "\n")+"\n", 0o644)
	t.Setenv("PATH", filepath.Join(root, "path")+":"+os.Getenv("PATH"))
	t.Setenv("HOME", t.TempDir()) // parallel and Ansible keep files there
	return hosts, desk
}

// start starts the host's sshd and returns when it answers.
func (h *fleetHost) start(t *testing.T) {
	t.Helper()
	var said bytes.Buffer
	h.sshd = exec.Command("unshare", "--mount", "--uts", "sh", "-c", fleetStart, h.name, h.dir)
	h.sshd.Stdout, h.sshd.Stderr = &said, &said
	if err := h.sshd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", net.JoinHostPort(h.address, fleetPort))
		if err == nil {
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			return
		}
		if time.Now().After(deadline) {
			h.stop(t)
			t.Fatalf("%s does not answer: %v\n%s", h.name, err, said.String())
		}
	}
}

func (h *fleetHost) stop(t *testing.T) {
	t.Helper()
	if h.sshd == nil {
		return
	}
	if err := h.sshd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := h.sshd.Wait(); err != nil && !errors.As(err, &exit) { // a signal is how it ends
		t.Error(err)
	}
	h.sshd = nil
}

// out is where the host's state and logs are, as seen from here.
func (h *fleetHost) out() string { return filepath.Join(h.dir, "lib", "mbox2cyrus-fleet") }

// readmeLine is the one command of contrib/README.md that has this in it.
func readmeLine(t *testing.T, has string) string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join("..", "..", "contrib", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	for line := range strings.Lines(string(readme)) {
		if command, is := strings.CutPrefix(line, "    "); is && strings.Contains(command, has) {
			if found != "" {
				t.Fatalf("contrib/README.md has more than one command with %q", has)
			}
			found = strings.TrimSpace(command)
		}
	}
	if found == "" {
		t.Fatalf("contrib/README.md has no command with %q", has)
	}
	return found
}

// inShell runs a command as an administrator would, and returns its exit code.
func inShell(t *testing.T, dir, command string) (code int, said string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestFleetOverSSH runs, against hosts that are reached over ssh alone, what
// contrib/README.md tells to type and the playbook.
func TestFleetOverSSH(t *testing.T) {
	hosts, desk := newFleet(t, "north", "south", "east", "west", "middle")
	if err := os.Symlink("elsewhere", filepath.Join(hosts[3].dir, "home", "joewest", "mail", "link")); err != nil { // needs a person
		t.Fatal(err)
	}
	for _, h := range hosts {
		if h.name != "south" { // cannot be reached
			h.start(t)
		}
	}
	t.Run("parallel", func(t *testing.T) {
		if _, err := exec.LookPath("parallel"); err != nil {
			t.Skipf("%v (on Debian: parallel)", err)
		}
		code, said := inShell(t, desk, readmeLine(t, "ssh root@{}"))
		wantJobs(t, desk, map[string][]string{"north": {"0"}, "south": {"255"}, "east": {"0"}, "west": {"2"}, "middle": {"0"}})
		if code != 2 || strings.Count(said, "everything arrived and was proved in ") != 6 {
			t.Errorf("exit code %d, want 2, the hosts to see after:\n%s", code, said)
		}
		hosts[1].start(t)
		code, said = inShell(t, desk, readmeLine(t, "--retry-failed"))
		wantJobs(t, desk, map[string][]string{"north": {"0"}, "south": {"255", "0"}, "east": {"0"}, "west": {"2", "2"}, "middle": {"0"}})
		if code != 1 {
			t.Errorf("once more those that failed: exit code %d, want 1:\n%s", code, said)
		}
		states := []string{"report", "--format", "json"}
		for _, h := range hosts {
			states = append(states, filepath.Join(h.out(), "state"))
		}
		_, said = inShell(t, desk, "mbox2cyrus "+strings.Join(states, " "))
		for _, h := range hosts {
			if !strings.Contains(said, "joe"+h.name) || !strings.Contains(said, `"host": "`+h.name+`"`) {
				t.Errorf("nothing is reported of %s:\n%s", h.name, said)
			}
		}
	})
	t.Run("lost connection", func(t *testing.T) {
		// Slow enough to be in the middle when the connection goes, and as deaf as mbox2cyrus.
		slow := filepath.Join(hosts[0].dir, "bin", "slow")
		script := "#!/bin/sh\ntrap '' HUP PIPE\necho begins\nwhile ! [ -e /root/lost ]; do sleep 0.1; done\nsleep 0.5\necho goes on\necho ends\nexit 2\n"
		if err := os.WriteFile(slow, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(hosts[0].dir, "root"), os.DirFS(desk)); err != nil {
			t.Fatal(err)
		}
		for name, command := range map[string]string{
			"pipes":    "exec ssh root@north PROGRAM=slow sh -s pass /var/lib/pipes <migrate-host.sh",
			"terminal": "exec ssh -tt root@north PROGRAM=slow sh migrate-host.sh pass /var/lib/terminal </dev/null", // as Ansible does
		} {
			log := filepath.Join(hosts[0].dir, "lib", name, "migrate.log")
			lost := filepath.Join(hosts[0].dir, "root", "lost")
			ssh := exec.Command("sh", "-c", command)
			ssh.Dir = desk
			if err := ssh.Start(); err != nil {
				t.Fatal(err)
			}
			waitForText(t, log, "begins\n")
			if err := ssh.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := ssh.Wait(); err == nil {
				t.Errorf("%s: ssh was not killed", name)
			}
			if err := os.WriteFile(lost, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			waitForText(t, log, "goes on\nends\n== exit code 2\n")
			if err := os.Remove(lost); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("ansible", func(t *testing.T) {
		if _, err := exec.LookPath("ansible-playbook"); err != nil {
			t.Skipf("%v (on Debian: ansible-core)", err)
		}
		for _, h := range hosts {
			if h.sshd == nil {
				h.start(t)
			}
		}
		t.Setenv("ANSIBLE_NOCOLOR", "1")
		t.Setenv("ANSIBLE_SSH_ARGS", "-o ControlMaster=auto -o ControlPersist=3s") // not the minute that is Ansible's choice
		for _, phase := range []string{"check", "final"} {
			code, said := inShell(t, desk, "umask 022; ansible-playbook -i hosts.ini migrate-hosts.yml --forks 40 -e mbox2cyrus_phase="+phase)
			if code != 0 || strings.Count(said, "unreachable=0    failed=0") != len(hosts)+1 {
				t.Fatalf("%s: exit code %d\n%s", phase, code, said)
			}
			if phase == "final" && (!strings.Contains(said, "exit code 2, see /var/lib/mbox2cyrus-fleet") || strings.Count(said, "exit code 2") != 1) {
				t.Errorf("west alone needs a person:\n%s", said)
			}
		}
		page, err := os.ReadFile(filepath.Join(desk, "reports", "report.html"))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hosts {
			if !bytes.Contains(page, []byte("joe"+h.name)) {
				t.Errorf("the report on all has nothing of %s", h.name)
			}
		}
		if _, open := inShell(t, desk, `find reports -mindepth 1 -maxdepth 1 -perm /077`); open != "" {
			t.Errorf("open to others, with the names of users:\n%s", open)
		}
	})
}

// wantJobs compares the exit codes in parallel's log, by host, in the order of its runs.
func wantJobs(t *testing.T, desk string, want map[string][]string) {
	t.Helper()
	f, err := os.Open(filepath.Join(desk, "jobs.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes = '\t', true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string][]string{}
	for _, row := range rows[1:] {
		_, host, _ := strings.Cut(row[8], "root@")
		host, _, _ = strings.Cut(host, " ")
		have[host] = append(have[host], row[6]) // column 7, as contrib/README.md says
	}
	for host, codes := range want {
		if !slices.Equal(have[host], codes) {
			t.Errorf("%s: exit codes %v, want %v", host, have[host], codes)
		}
	}
	if len(have) != len(want) {
		t.Errorf("jobs of %v", have)
	}
}

// waitForText waits until a file has this in it.
func waitForText(t *testing.T, name, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(name)
		if err == nil && bytes.Contains(b, []byte(text)) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s never has %q: %v\n%s", name, text, err, b)
		}
	}
}
