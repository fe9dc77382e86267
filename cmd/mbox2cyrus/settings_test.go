package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// A setting is one way in which a Cyrus can be set up.
type setting struct {
	name  string
	opts  cyrustest.Options
	flags []string
	// prepare changes the server before the run, or returns more flags.
	prepare func(t *testing.T, srv *cyrustest.Server) []string
	rules   func(*cyrusspool.NameRules)
	// check looks at the server after it was compared.
	check func(t *testing.T, srv *cyrustest.Server)
}

func inDomain(domain string) func(*cyrusspool.NameRules) {
	return func(r *cyrusspool.NameRules) { r.Domain = domain }
}

var settings = []setting{
	{name: "by id, umask",
		opts: cyrustest.Options{Extra: []string{"umask: 027"}},
		check: func(t *testing.T, srv *cyrustest.Server) {
			checkModes(t, srv.Spool, 0o640, 0o750)
		}},
	{name: "by name, hashed in full",
		opts:  cyrustest.Options{LegacyDirs: true, HashIMAPSpool: true, FullDirHash: true},
		check: func(t *testing.T, srv *cyrustest.Server) { mustBe(t, srv.Spool, "B/user/joe/cyrus.index") }},
	{name: "by name, not hashed",
		opts:  cyrustest.Options{LegacyDirs: true},
		check: func(t *testing.T, srv *cyrustest.Server) { mustBe(t, srv.Spool, "user/john^smith/cyrus.index") }},
	{name: "layouts of both kinds",
		prepare: func(t *testing.T, srv *cyrustest.Server) []string {
			if said, err := srv.Run(context.Background(), "cyr_info", "conf-all"); err != nil || !strings.Contains(said, "mailbox_legacy_dirs:") {
				t.Skipf("this Cyrus has one layout only, %v", err)
			}
			// The INBOX of a user was made when the layout by name was wanted: what is
			// made below it has that layout, whatever is wanted now.
			setConf(t, srv, "mailbox_legacy_dirs: 0", "mailbox_legacy_dirs: 1")
			create(t, srv, "user/joe")
			setConf(t, srv, "mailbox_legacy_dirs: 1", "mailbox_legacy_dirs: 0")
			return nil
		},
		check: func(t *testing.T, srv *cyrustest.Server) {
			mustBe(t, srv.Spool, "user/joe/sent-mail/cyrus.index")
			mustBe(t, srv.Spool, "uuid/*/*/*/cyrus.index")
		}},
	{name: "dots, folders below INBOX",
		opts: cyrustest.Options{DotSeparator: true, NoAltNamespace: true}},
	{name: "dots, folders beside INBOX",
		opts: cyrustest.Options{DotSeparator: true, LegacyDirs: true, FullDirHash: true, HashIMAPSpool: true}},
	{name: "slashes, folders below INBOX",
		opts: cyrustest.Options{NoAltNamespace: true}},
	{name: "capital users",
		opts:  cyrustest.Options{Extra: []string{"username_tolower: 0"}},
		rules: func(r *cyrusspool.NameRules) { r.UsernameToLower = false }},
	{name: "virtual domain",
		opts:  cyrustest.Options{VirtDomains: "userid", DefaultDomain: "example.com"},
		flags: []string{"--domain", "Example.ORG"}, rules: inDomain("example.org")},
	{name: "default domain",
		opts:  cyrustest.Options{VirtDomains: "userid", DefaultDomain: "example.com"},
		flags: []string{"--domain", "example.com"}},
	{name: "default domain, not named",
		opts: cyrustest.Options{VirtDomains: "userid", DefaultDomain: "localhost", LegacyDirs: true}},
	{name: "virtual domain by name",
		opts:  cyrustest.Options{VirtDomains: "on", DefaultDomain: "example.com", LegacyDirs: true, HashIMAPSpool: true, FullDirHash: true},
		flags: []string{"--domain", "example.org"}, rules: inDomain("example.org"),
		check: func(t *testing.T, srv *cyrustest.Server) {
			mustBe(t, srv.Spool, "domain/*/example.org/B/user/joe/cyrus.index")
			mustBe(t, srv.ConfigDir, "domain/*/example.org/user/B/joe.sub")
		}},
	{name: "virtual domain, dots",
		opts:  cyrustest.Options{VirtDomains: "userid", DefaultDomain: "example.com", DotSeparator: true, NoAltNamespace: true, LegacyDirs: true},
		flags: []string{"--domain", "example.org"}, rules: inDomain("example.org")},
	{name: "partition",
		opts:  cyrustest.Options{Partitions: []string{"fast"}},
		flags: []string{"--partition", "fast"},
		check: func(t *testing.T, srv *cyrustest.Server) {
			mustHold(t, srv.Spool+"-fast", "cyrus.index", true)
			mustBeEmpty(t, srv.Spool)
		}},
	{name: "partitions by user",
		opts: cyrustest.Options{Partitions: []string{"fast", "slow"}, LegacyDirs: true},
		prepare: func(t *testing.T, srv *cyrustest.Server) []string {
			path := filepath.Join(t.TempDir(), "partitions.csv")
			if err := os.WriteFile(path, []byte("user,partition\njoe,fast\nJohn.Smith,Slow\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			return []string{"--partition-map", path}
		},
		check: func(t *testing.T, srv *cyrustest.Server) {
			mustBe(t, srv.Spool+"-fast", "user/joe/cyrus.index")
			mustBe(t, srv.Spool+"-slow", "user/john^smith/cyrus.index")
			mustBe(t, srv.Spool, "user/maryann/cyrus.index")
		}},
	{name: "metapartition",
		opts: cyrustest.Options{MetaFiles: "header index cache"},
		check: func(t *testing.T, srv *cyrustest.Server) {
			mustHold(t, srv.Spool, "1.", true)
			for _, file := range []string{"header", "index", "cache"} {
				mustHold(t, srv.Meta, "cyrus."+file, true)
				mustHold(t, srv.Spool, "cyrus."+file, false)
			}
		}},
	{name: "metapartition and metadir, by name",
		opts: cyrustest.Options{MetaFiles: "cache index", LegacyDirs: true, HashIMAPSpool: true},
		prepare: func(t *testing.T, srv *cyrustest.Server) []string {
			dir := filepath.Join(srv.Dir, "fast-index")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(dir, srv.UID, srv.GID); err != nil {
				t.Fatal(err)
			}
			appendConf(t, srv, "metadir-index-default: "+dir)
			return nil
		},
		check: func(t *testing.T, srv *cyrustest.Server) {
			mustBe(t, srv.Spool, "j/user/joe/cyrus.header")
			mustBe(t, srv.Meta, "j/user/joe/cyrus.cache")
			mustBe(t, filepath.Join(srv.Dir, "fast-index"), "j/user/joe/cyrus.index")
			mustNotBe(t, srv.Meta, "j/user/joe/cyrus.index")
		}},
	{name: "included, continued",
		prepare: func(t *testing.T, srv *cyrustest.Server) []string {
			setConf(t, srv, "unixhierarchysep: 1", "unixhierarchy\\\nsep: 0")
			rest := filepath.Join(srv.Dir, "more.conf")
			if err := os.WriteFile(rest, []byte("# more\numask: \\\n  027\nHASHIMAPSPOOL: yes\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			setConf(t, srv, "hashimapspool: 0", "@include: "+rest)
			setConf(t, srv, "mailbox_legacy_dirs: 0", "mailbox_legacy_dirs: 1")
			return nil
		},
		opts:  cyrustest.Options{},
		rules: func(r *cyrusspool.NameRules) { r.UnixHierarchySep = false },
		check: func(t *testing.T, srv *cyrustest.Server) {
			mustBe(t, srv.Spool, "j/user/joe/cyrus.index")
			checkModes(t, srv.Spool, 0o640, 0o750)
		}},
	{name: "another user",
		opts: cyrustest.Options{User: "games"}},
}

// TestSettings migrates a host into Cyrus in every way that it can be set up, has Cyrus
// serve it, compares all that its clients see, and lets Cyrus rebuild it once more.
func TestSettings(t *testing.T) {
	for _, tt := range settings {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := cyrustest.ForTest(t, tt.opts)
			root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
			truth, err := samplehost.Write(root, samplehost.Options{Seed: 11, Users: 1, Messages: 60, CapitalUsers: true, Location: newYork(t)})
			if err != nil {
				t.Fatal(err)
			}
			flags := append(flagsFor(srv, root, state), tt.flags...)
			if tt.prepare != nil {
				flags = append(flags, tt.prepare(t, srv)...)
			}
			first := runJSON(t, append([]string{"migrate"}, flags...)...)
			sum := first.summary(t)
			if first.code != 0 && first.code != 2 || sum["messages_found"] != sum["messages_verified"] {
				t.Fatalf("exit code %d, %v\n%s", first.code, sum, strings.Join(first.severe(), "\n"))
			}
			rules := cyrusspool.NameRules{UnixHierarchySep: !tt.opts.DotSeparator, UsernameToLower: true}
			if tt.rules != nil {
				tt.rules(&rules)
			}
			opts := tt.opts
			opts.DotSeparator = !rules.UnixHierarchySep
			compareByRules(t, srv, opts, truth, rules)
			if tt.check != nil {
				tt.check(t, srv)
			}
			second := runJSON(t, append([]string{"migrate"}, flags...)...)
			if again := second.summary(t); again["messages_written"] != 0.0 || again["folders_unchanged"] != again["folders"] || second.code != first.code {
				t.Errorf("second run: exit code %d, %v\n%s", second.code, again, strings.Join(second.severe(), "\n"))
			}
			for _, options := range [][]string{nil, {"-G"}} {
				reconstructsQuietly(t, srv, rules.Separator(), options...)
			}
			proof := []string{"verify", "--level", "content"}
			asks, err := imapdOnPipe()
			if err != nil {
				t.Fatal(err)
			}
			if asks {
				proof = append(proof, "--imap")
			}
			verify := runJSON(t, append(proof, flags...)...)
			if n := verify.served(); asks && n != sum["messages_verified"] {
				t.Errorf("imapd serves %v messages as they must be, want %v", n, sum["messages_verified"])
			}
			if vs := verify.summary(t); verify.code != first.code || vs["messages_verified"] != sum["messages_written"] {
				t.Errorf("verify: exit code %d, %v\n%s", verify.code, vs, strings.Join(verify.severe(), "\n"))
			}
		})
	}
}

// reconstructsQuietly lets Cyrus rebuild every mailbox, and wants it to say nothing but
// their names.
func reconstructsQuietly(t *testing.T, srv *cyrustest.Server, sep byte, options ...string) {
	t.Helper()
	programs := reconstruct.Programs{Dir: cyrustest.BinDir, Conf: srv.Conf,
		Credential: &syscall.Credential{Uid: uint32(srv.UID), Gid: uint32(srv.GID)}}
	list, _, err := programs.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	users := map[string]bool{}
	var want []string
	for _, e := range list {
		users[cyrusspool.Name(e.Name).User()] = true
		want = append(want, cyrusspool.Name(e.Name).External(sep))
	}
	var have []string
	for user := range users {
		said, err := srv.Run(context.Background(), "reconstruct", append(options, "-u", user)...)
		if err != nil {
			t.Errorf("reconstruct %v -u %s: %v", options, user, err)
		}
		have = append(have, strings.Split(strings.TrimSuffix(said, "\n"), "\n")...)
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(have, want) {
		t.Errorf("reconstruct %v says %q\nwant %q", options, have, want)
	}
}

func create(t *testing.T, srv *cyrustest.Server, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := srv.Run(context.Background(), "reconstruct", "-x", "-p", "default", name); err != nil {
			t.Fatal(err)
		}
	}
}

func setConf(t *testing.T, srv *cyrustest.Server, from, to string) {
	t.Helper()
	text, err := os.ReadFile(srv.Conf)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), from+"\n") != 1 {
		t.Fatalf("%q is not once in %s", from, text)
	}
	if err := os.WriteFile(srv.Conf, []byte(strings.Replace(string(text), from, to, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func appendConf(t *testing.T, srv *cyrustest.Server, lines ...string) {
	t.Helper()
	text, err := os.ReadFile(srv.Conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(srv.Conf, fmt.Appendln(text, strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}

func mustBe(t *testing.T, dir, pattern string) {
	t.Helper()
	if found, err := filepath.Glob(filepath.Join(dir, pattern)); err != nil || len(found) == 0 {
		t.Errorf("there is no %s in %s, %v", pattern, dir, err)
	}
}

// mustHold wants files of that name somewhere below dir, or none: whatever the layout is.
func mustHold(t *testing.T, dir, name string, want bool) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == name {
			found++
		}
		return err
	})
	if err != nil || want != (found > 0) {
		t.Errorf("%s holds %d files %s, %v", dir, found, name, err)
	}
}

func mustNotBe(t *testing.T, dir, pattern string) {
	t.Helper()
	if found, err := filepath.Glob(filepath.Join(dir, pattern)); err != nil || len(found) > 0 {
		t.Errorf("there is %q, %v", found, err)
	}
}

func mustBeEmpty(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%s holds %v, %v", dir, entries, err)
	}
}

// checkModes checks the modes of everything below dir.
func checkModes(t *testing.T, dir string, file, folder os.FileMode) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := file
		if d.IsDir() {
			want = folder
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %04o, want %04o", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestStateOfRoot: who may not look into the state directory is told that, not that there is
// no ledger, or a damaged one.
func TestStateOfRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	state := filepath.Join(t.TempDir(), "state")
	for _, dir := range []string{filepath.Dir(filepath.Dir(state)), filepath.Dir(state)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	found, err := exec.LookPath("mbox2cyrus")
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(found) // is where root alone may look
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(filepath.Dir(state), "mbox2cyrus")
	if err := os.WriteFile(program, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	for command, says := range map[string]string{
		"report": "mbox2cyrus: lstat " + state + "/ledger.jsonl: permission denied",
		"doctor": "ledger.jsonl: permission denied\n           -> run it by sudo",
	} {
		args := []string{command, "--state", state}
		if command == "doctor" {
			args = append(args, "--imapd-conf", srv.Conf)
		}
		cmd := exec.Command(program, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(srv.UID), Gid: uint32(srv.GID)}}
		var exit *exec.ExitError
		out, err := cmd.CombinedOutput()
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if code := cmd.ProcessState.ExitCode(); code != 77 || !strings.Contains(string(out), says) || strings.Contains(string(out), "chmod 700") {
			t.Errorf("%s: exit code %d, want 77 and %q\n%s", command, code, says, out)
		}
	}
}
