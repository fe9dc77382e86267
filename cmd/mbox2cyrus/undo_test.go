package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
)

// cyrusTree is all that Cyrus has: mailboxes.db as its own program dumps it, and
// every file and directory of the partition and of configdirectory with owner,
// mode and content. Locks, and the file of mailboxes.db (whose records only
// append), are left out.
func cyrusTree(t *testing.T, srv *cyrustest.Server) map[string]string {
	t.Helper()
	tree := map[string]string{}
	dump, err := srv.Run(t.Context(), "ctl_mboxlist", "-d")
	if err != nil {
		t.Fatal(err)
	}
	tree["mailboxes.db"] = dump
	var raw string
	for _, backend := range []string{"twoskip", "skiplist"} { // from 2.5 on, and before
		if raw, err = srv.Run(t.Context(), "cyr_dbtool", filepath.Join(srv.ConfigDir, "mailboxes.db"), backend, "show"); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(raw, "\n") {
		key, _, _ := strings.Cut(line, "\t")
		tree["key "+fmt.Sprintf("%q", key)] = "" // its value has the time of its last change
	}
	roots := []string{srv.Spool, srv.ConfigDir}
	if srv.Meta != "" {
		roots = append(roots, srv.Meta)
	}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(srv.Dir, path)
			if err != nil {
				return err
			}
			if rel == "conf/lock" || rel == "conf/proc" || rel == "conf/socket" { // a server's processes come and go
				return filepath.SkipDir
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			st := info.Sys().(*syscall.Stat_t)
			what := fmt.Sprintf("%v %d:%d", info.Mode(), st.Uid, st.Gid)
			// Special uses stay in annotations.db, under unique ids that are no mailbox's.
			if info.Mode().IsRegular() && rel != "conf/mailboxes.db" && rel != "conf/db/skipstamp" && rel != "conf/annotations.db" {
				b, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				if strings.HasPrefix(rel, "conf/quota/") {
					b = quotaModSeq.ReplaceAll(b, nil) // rises with every count
				}
				what += fmt.Sprintf(" %x", sha256.Sum256(b))
			}
			tree[rel] = what
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

var quotaModSeq = regexp.MustCompile(` MODSEQ [0-9]+`)

func diffTrees(before, after map[string]string) string {
	var diffs []string
	for path, was := range before {
		if is, ok := after[path]; !ok {
			diffs = append(diffs, path+" is gone")
		} else if is != was {
			diffs = append(diffs, fmt.Sprintf("%s was %s, is %s", path, was, is))
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			diffs = append(diffs, path+" is new")
		}
	}
	slices.Sort(diffs)
	return strings.Join(diffs, "\n")
}

// cyrusFlagsFor are the flags of commands that do not look at the UW host.
func cyrusFlagsFor(s *cyrustest.Server, state string) []string {
	return []string{"--imapd-conf", s.Conf, "--state", state}
}

// layouts are all the ways in which a private Cyrus can lay out its spool.
var layouts = []struct {
	name   string
	opts   cyrustest.Options
	served bool // read over IMAP in the end
}{
	{"by-id", cyrustest.Options{}, true},
	{"by-id-dot", cyrustest.Options{DotSeparator: true, NoAltNamespace: true}, false},
	{"by-name", cyrustest.Options{LegacyDirs: true}, false},
	{"by-name-hashed", cyrustest.Options{LegacyDirs: true, HashIMAPSpool: true}, true},
	{"by-name-dot", cyrustest.Options{LegacyDirs: true, DotSeparator: true, NoAltNamespace: true}, false},
	{"by-name-full-hash", cyrustest.Options{LegacyDirs: true, HashIMAPSpool: true, FullDirHash: true}, false},
	{"meta", cyrustest.Options{MetaFiles: "header index cache"}, true},
	{"meta-by-name", cyrustest.Options{LegacyDirs: true, MetaFiles: "index"}, false},
	{"umask", cyrustest.Options{Extra: []string{"umask: 027"}}, false},
	{"conversations", cyrustest.Options{Extra: []string{"conversations: yes", "reverseacls: yes"}}, false},
	{"by-name-conversations", cyrustest.Options{LegacyDirs: true, Extra: []string{"conversations: yes"}}, false},
}

// TestUndoLeavesCyrusAsItWas compares the whole Cyrus tree before migrate and
// after undo, beside a user of Cyrus's own and an empty account that was made
// beforehand, with a quota. Migrating again works.
func TestUndoLeavesCyrusAsItWas(t *testing.T) {
	for _, tt := range layouts {
		t.Run(tt.name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, tt.opts)
			root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
			truth, err := samplehost.Write(root, samplehost.Options{Seed: 7, Users: 2, CapitalUsers: true, Location: newYork(t)})
			if err != nil {
				t.Fatal(err)
			}
			sep := "/"
			if tt.opts.DotSeparator {
				sep = "."
			}
			for _, name := range []string{"zed", "joe", "joe" + sep + "work"} {
				if out, err := srv.Run(t.Context(), "reconstruct", "-x", "-p", "default", "user"+sep+name); err != nil {
					t.Fatal(err, out)
				}
			}
			quota := filepath.Join(srv.ConfigDir, "quota", "j", "user.joe")
			if err := os.MkdirAll(filepath.Dir(quota), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(quota, []byte("%(S (0 100000))\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{quota, filepath.Dir(quota)} {
				if err := os.Chown(path, srv.UID, srv.GID); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := srv.Run(t.Context(), "quota", "-f"); err != nil {
				t.Fatal(err, out)
			}
			before := cyrusTree(t, srv)

			first := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...)
			if first.code != 0 && first.code != 2 {
				t.Fatalf("migrate: exit code %d\n%s", first.code, first.stderr)
			}
			migrated := cyrusTree(t, srv)
			dry := runJSON(t, append([]string{"undo", "--all", "--dry-run"}, cyrusFlagsFor(srv, state)...)...)
			if dry.code != 0 || dry.summary(t)["dry_run"] != true {
				t.Errorf("dry run: exit code %d\n%s", dry.code, dry.stderr)
			}
			if diff := diffTrees(migrated, cyrusTree(t, srv)); diff != "" {
				t.Errorf("the dry run changed something:\n%s", diff)
			}

			undone := runJSON(t, append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)...)
			if undone.code != 0 {
				t.Fatalf("undo: exit code %d\n%s", undone.code, undone.stderr)
			}
			for _, key := range []string{"users", "folders", "messages_found"} {
				if want, have := dry.summary(t)[key], undone.summary(t)[key]; want != have || have == 0.0 {
					t.Errorf("undo has %v %s, the dry run said %v", have, key, want)
				}
			}
			if diff := diffTrees(before, cyrusTree(t, srv)); diff != "" {
				t.Errorf("Cyrus is not as it was:\n%s", diff)
			}
			// The history of runs stays: it is what reports are made of.
			left, err := filepath.Glob(filepath.Join(state, "*", "*"))
			left = slices.DeleteFunc(left, func(path string) bool { return filepath.Base(filepath.Dir(path)) == "history" })
			if err != nil || len(left) > 0 {
				t.Errorf("the state directory still has %v (%v)", left, err)
			}

			again := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...)
			if a, b := again.summary(t), first.summary(t); again.code != first.code || a["messages_written"] != b["messages_written"] {
				t.Errorf("migrate again: exit code %d, %v written, first %d, %v\n%s", again.code, a["messages_written"], first.code, b["messages_written"], again.stderr)
			}
			if tt.served {
				compareWithTruth(t, srv, tt.opts, truth)
			}
		})
	}
}

// TestUndoCutOffAtItsEnd runs undo again where a run was killed after its last word in the
// ledger: what it still kept of the mailboxes goes.
func TestUndoCutOffAtItsEnd(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	h.write("var/mail/joe", letter(1))
	if out, err := srv.Run(t.Context(), "reconstruct", "-x", "-p", "default", "user/joe"); err != nil {
		t.Fatal(err, out)
	}
	if r := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, state)...)...); r.code != 0 {
		t.Fatalf("migrate: exit code %d\n%s", r.code, r.stderr)
	}
	var kept []string
	for _, dir := range []string{"manifests", "originals"} {
		from, to := filepath.Join(state, dir), filepath.Join(state, dir+".kept")
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, from)
	}
	for _, again := range []bool{false, true} {
		if r := runJSON(t, append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)...); r.code != 0 {
			t.Fatalf("undo: exit code %d\n%s", r.code, r.stderr)
		}
		for _, dir := range kept {
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%s still has %v, %v", dir, left, err)
			}
			if again {
				continue
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(dir+".kept", dir); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestUndoThere and back again, on any release of Cyrus.
func TestUndoThere(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1, "Status: RO")+letter(2))
	h.write("home/joe/mail/work", letter(1, "Status: RO", "X-Status: AF"))
	h.write("home/joe/.mailboxlist", "mail/work\n")
	before := cyrusTree(t, srv)
	state := filepath.Join(t.TempDir(), "state")
	for range 2 {
		if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, state)...)...); o.code != 0 {
			t.Fatalf("migrate: exit code %d\n%s", o.code, o.stderr)
		}
		if o := runJSON(t, append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)...); o.code != 0 {
			t.Fatalf("undo: exit code %d\n%s", o.code, o.stderr)
		}
		after := cyrusTree(t, srv)
		if _, was := before["conf/annotations.db"]; !was {
			delete(after, "conf/annotations.db") // 3.4 makes it, empty, whatever program runs
		}
		if diff := diffTrees(before, after); diff != "" {
			t.Errorf("Cyrus is not as it was:\n%s", diff)
		}
	}
}

// TestUndoRefusesWhatWasTouched changes something of each user after migrate.
// Undo names it, leaves that user as he is, and undoes the others.
func TestUndoRefusesWhatWasTouched(t *testing.T) {
	touched := []struct {
		name  string
		touch func(t *testing.T, srv *cyrustest.Server, dir, sub string)
		says  string
	}{
		{"index", func(t *testing.T, _ *cyrustest.Server, dir, _ string) {
			appendTo(t, filepath.Join(dir, "cyrus.index"), "x")
		}, "Cyrus changed it"},
		{"new message file", func(t *testing.T, _ *cyrustest.Server, dir, _ string) {
			appendTo(t, filepath.Join(dir, "99999."), "x")
		}, "message file 99999. that this program did not write"},
		{"message gone", func(t *testing.T, _ *cyrustest.Server, dir, _ string) {
			files, err := filepath.Glob(filepath.Join(dir, "*[0-9]."))
			if err != nil || len(files) == 0 {
				t.Fatal(files, err)
			}
			if err := os.Remove(files[0]); err != nil {
				t.Fatal(err)
			}
		}, "message files are gone"},
		{"message longer", func(t *testing.T, _ *cyrustest.Server, dir, _ string) {
			files, err := filepath.Glob(filepath.Join(dir, "*[0-9]."))
			if err != nil || len(files) == 0 {
				t.Fatal(files, err)
			}
			appendTo(t, files[0], "x")
		}, "bytes, not"},
		{"strange file", func(t *testing.T, _ *cyrustest.Server, dir, _ string) {
			appendTo(t, filepath.Join(dir, "notes"), "x")
		}, "a file notes"},
		{"subscriptions", func(t *testing.T, _ *cyrustest.Server, _, sub string) {
			appendTo(t, sub, "NINBOX\x1fzzz\t\n")
		}, "subscriptions in Cyrus are not those"},
		{"seen state", func(t *testing.T, _ *cyrustest.Server, _, sub string) {
			appendTo(t, filepath.Join(filepath.Dir(sub), "seen.db"), "x")
		}, "a file seen.db"},
		{"new mailbox", func(t *testing.T, srv *cyrustest.Server, _, _ string) {
			if out, err := srv.Run(t.Context(), "reconstruct", "-x", "-p", "default", "user/joe/mine"); err != nil {
				t.Fatal(err, out)
			}
		}, "user.joe.mine below it"},
	}
	for _, tt := range touched {
		t.Run(tt.name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
			if _, err := samplehost.Write(root, samplehost.Options{Seed: 7, Users: 3, Messages: 60, Plain: true, OmitMessages: true, Location: newYork(t)}); err != nil {
				t.Fatal(err)
			}
			if r := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...); r.code != 0 {
				t.Fatalf("migrate: exit code %d\n%s", r.code, r.stderr)
			}
			dir, err := srv.Run(t.Context(), "mbpath", "user/joe")
			if err != nil {
				t.Fatal(err)
			}
			sub, err := filepath.Glob(filepath.Join(srv.ConfigDir, "user", "uuid", "*", "*", filepath.Base(strings.TrimSpace(dir)), "sub.db"))
			if err != nil || len(sub) != 1 {
				t.Fatal(sub, err)
			}
			tt.touch(t, srv, strings.TrimSpace(dir), sub[0])
			touched := cyrusTree(t, srv)
			undone := runJSON(t, append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)...)
			said := undone.problems("changed-since")
			if undone.code != 2 || len(said) == 0 || !strings.Contains(fmt.Sprint(said), tt.says) {
				t.Errorf("exit code %d, %v, want 2 and %q", undone.code, said, tt.says)
			}
			if n := undone.summary(t)["users"]; n == 0.0 {
				t.Error("no other user was undone")
			}
			after := cyrusTree(t, srv)
			for path, was := range touched {
				if strings.Contains(path, filepath.Base(strings.TrimSpace(dir))) && after[path] != was {
					t.Errorf("%s was %q, is %q", path, was, after[path])
				}
			}
			if !strings.Contains(after["mailboxes.db"], `"user.joe"`) || strings.Contains(after["mailboxes.db"], `"user.ann"`) {
				t.Errorf("mailboxes.db:\n%s", after["mailboxes.db"])
			}
		})
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestUndoWhileCyrusRuns is refused, which --dry-run tells.
func TestUndoWhileCyrusRuns(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	if _, err := samplehost.Write(root, samplehost.Options{Seed: 7, Users: 1, Messages: 5, Plain: true, OmitMessages: true}); err != nil {
		t.Fatal(err)
	}
	if r := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...); r.code != 0 {
		t.Fatalf("migrate: exit code %d\n%s", r.code, r.stderr)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := cyrusTree(t, srv)
	r := runJSON(t, append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)...)
	if r.code != 1 || !strings.Contains(r.stderr, "a running Cyrus") {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
	r = runJSON(t, append([]string{"undo", "--all", "--dry-run"}, cyrusFlagsFor(srv, state)...)...)
	if r.code != 2 || len(r.problems("cyrus-running")) != 1 {
		t.Errorf("--dry-run: exit code %d\n%s", r.code, r.stderr)
	}
	if diff := diffTrees(before, cyrusTree(t, srv)); diff != "" {
		t.Errorf("something was changed:\n%s", diff)
	}
}

// TestUndoKilledAtEverySystemCall kills undo before each of its calls that change
// something, runs it again, and in the end Cyrus is as it was.
func TestUndoKilledAtEverySystemCall(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: it kills the program at a chosen system call")
	}
	srv := cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: true})
	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	if _, err := samplehost.Write(root, samplehost.Options{Seed: 7, Users: 1, Messages: 6, Plain: true, OmitMessages: true}); err != nil {
		t.Fatal(err)
	}
	if out, err := srv.Run(t.Context(), "reconstruct", "-x", "-p", "default", "user/joe"); err != nil {
		t.Fatal(err, out)
	}
	before := cyrusTree(t, srv)
	kills := 0
	for _, call := range []string{"unlinkat", "renameat", "fsync", "fdatasync", "write", "syncfs", "clone,clone3,vfork"} {
		for n := 1; ; n += 1 + n/2 {
			if r := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...); r.code != 0 {
				t.Fatalf("%s %d: migrate: exit code %d\n%s", call, n, r.code, r.stderr)
			}
			cmd := exec.Command(strace, append([]string{"-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
				"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), "mbox2cyrus", "undo", "--all", "--quiet"}, cyrusFlagsFor(srv, state)...)...)
			out, err := cmd.CombinedOutput()
			if err == nil { // it made fewer such calls
				if diff := diffTrees(before, cyrusTree(t, srv)); diff != "" {
					t.Errorf("%s: not killed, but not as it was:\n%s", call, diff)
				}
				break
			}
			kills++
			again := runJSON(t, append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)...)
			// Killed after its last step there is nothing left to undo.
			if again.code != 0 {
				t.Fatalf("killed at %s %d (%s): undo again: exit code %d\n%s", call, n, out, again.code, again.stderr)
			}
			if diff := diffTrees(before, cyrusTree(t, srv)); diff != "" {
				t.Fatalf("killed at %s %d: not as it was:\n%s", call, n, diff)
			}
		}
	}
	t.Logf("killed %d times", kills)
	if kills < 15 {
		t.Errorf("killed only %d times", kills)
	}
}

// TestUndoAfterBusy: the INBOX of an account that was there before, empty, is locked in the
// first pass. Undo knows all the same what joe had before either pass.
func TestUndoAfterBusy(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{Extra: []string{"conversations: yes"}})
	create(t, srv, "user/joe", "user/joe/work")
	before := cyrusTree(t, srv)
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/mail/work", letter(2))
	h.write("home/joe/.mailboxlist", "mail/work\n")
	h.write("var/mail/joe.lock", "")
	args := append([]string{"migrate", "--lock", "yes", "--lock-wait", "1ms"}, flagsFor(srv, h.root, state)...)
	if o := runJSON(t, args...); o.code != 2 || len(o.problems("busy")) != 1 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	if err := os.Remove(filepath.Join(h.root, "var/mail/joe.lock")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{args, append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)} {
		if o := runJSON(t, args...); o.code != 0 {
			t.Fatalf("%s: exit code %d\n%s", args[0], o.code, o.stderr)
		}
	}
	if diff := diffTrees(before, cyrusTree(t, srv)); diff != "" {
		t.Errorf("Cyrus is not as it was:\n%s", diff)
	}
}

// TestUndoMovedDirectory: a pass was cut off when Cyrus had done its part, and then an administrator
// moved all mailboxes into hashed directories. Undo leaves them: mail came there.
func TestUndoMovedDirectory(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1))
	c.pass(0, c.migrate()...)
	cutAtFilled(t, c.state)
	conf, err := os.ReadFile(c.srv.Conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.srv.Conf, bytes.Replace(conf, []byte("hashimapspool: 0"), []byte("hashimapspool: 1"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"j", "j/user"} {
		dir = filepath.Join(c.srv.Spool, dir)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Chown(dir, c.srv.UID, c.srv.GID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Rename(c.box(""), filepath.Join(c.srv.Spool, "j/user/joe")); err != nil {
		t.Fatal(err)
	}
	useCyrus(t, c.srv, appendMail)
	before := cyrusTree(t, c.srv)
	if o := c.pass(2, append([]string{"undo", "--all"}, cyrusFlagsFor(c.srv, c.state)...)...); len(o.problems("changed-since")) != 1 {
		t.Errorf("%q", o.severe())
	}
	if diff := diffTrees(before, cyrusTree(t, c.srv)); diff != "" {
		t.Errorf("Cyrus was changed:\n%s", diff)
	}
}
