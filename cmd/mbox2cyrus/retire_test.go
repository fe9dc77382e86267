package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
)

// sameFiles compares trees by what a rename keeps: everything but the change time.
func sameFiles(a, b map[string]fileState) string {
	clear := func(files map[string]fileState) map[string]fileState {
		out := map[string]fileState{}
		for path, s := range files {
			s.ctime = syscall.Timespec{}
			if s.mode.IsDir() { // changed by the renames in it, by design
				s.mtime, s.size = syscall.Timespec{}, 0
			}
			out[path] = s
		}
		return out
	}
	return diffSnapshots(clear(a), clear(b))
}

// makeArchive makes a directory in dir that retire takes for an archive.
func makeArchive(t *testing.T, dir string) string {
	t.Helper()
	archive := filepath.Join(dir, "archive")
	if err := os.Mkdir(archive, 0o700); err != nil {
		t.Fatal(err)
	}
	return archive
}

// retireHost is a migrated host with an archive beside it.
func retireHost(t *testing.T, users int) (srv *cyrustest.Server, root, state, archive string) {
	t.Helper()
	srv = cyrustest.ForTest(t, cyrustest.Options{})
	base := t.TempDir()
	root, state, archive = filepath.Join(base, "host"), filepath.Join(base, "state"), makeArchive(t, base)
	if _, err := samplehost.Write(root, samplehost.Options{Seed: 7, Users: users, Messages: 60, Plain: true, OmitMessages: true, Location: newYork(t)}); err != nil {
		t.Fatal(err)
	}
	if r := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...); r.code != 0 {
		t.Fatalf("migrate: exit code %d\n%s", r.code, r.stderr)
	}
	return srv, root, state, archive
}

// TestRetireAndRestore moves a host's mail away and back: every file is the same
// file again, and what stands in for an INBOX keeps deliveries out.
func TestRetireAndRestore(t *testing.T) {
	srv, root, state, archive := retireHost(t, 3)
	before := snapshot(t, root)
	flags := append(flagsFor(srv, root, state), "--archive", archive)

	dry := runJSON(t, append([]string{"retire", "--dry-run"}, flags...)...)
	if dry.code != 0 || dry.summary(t)["folders"] == 0.0 {
		t.Errorf("dry run: exit code %d\n%s", dry.code, dry.stderr)
	}
	if diff := diffSnapshots(before, snapshot(t, root)); diff != "" {
		t.Errorf("the dry run changed the source: %s", diff)
	}
	r := runJSON(t, append([]string{"retire"}, flags...)...)
	if r.code != 0 || r.summary(t)["folders"] != dry.summary(t)["folders"] {
		t.Fatalf("retire: exit code %d, %v folders, the dry run said %v\n%s", r.code, r.summary(t)["folders"], dry.summary(t)["folders"], r.stderr)
	}
	archived := snapshot(t, archive)
	for path, s := range before {
		rel, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		mail := strings.HasPrefix(rel, "var/mail/") || strings.Contains(rel, "/mail/") || strings.HasSuffix(rel, ".mailboxlist")
		if !mail || !s.mode.IsRegular() {
			continue
		}
		a, ok := archived[filepath.Join(archive, rel)]
		if !ok || a.ino != s.ino || a.sum != s.sum || a.uid != s.uid || a.mode != s.mode || a.mtime != s.mtime {
			t.Errorf("%s is not in the archive as it was: %+v", rel, a)
		}
		now, err := os.Lstat(path)
		switch {
		case !strings.HasPrefix(rel, "var/mail/"):
			if err == nil {
				t.Errorf("%s is still there", rel)
			}
		case err != nil || !now.IsDir() || now.Mode().Perm() != 0:
			t.Errorf("%s: %v, %v; want an empty directory that nobody can enter", rel, now, err)
		default: // as a delivery agent would
			cmd := exec.Command("sh", "-c", `echo x >> "$1"`, "sh", path)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.uid, Gid: s.gid}}
			if err := cmd.Run(); err == nil {
				t.Errorf("%s: something was delivered", rel)
			}
		}
	}
	if again := runJSON(t, append([]string{"retire"}, flags...)...); again.code != 0 || again.summary(t)["folders"] != 0.0 {
		t.Errorf("retire again: exit code %d, %v\n%s", again.code, again.summary(t), again.stderr)
	}

	// A place that is taken, and a file that is not what was moved, stay.
	taken := filepath.Join(root, "home", "joe", "mail", "Drafts")
	if _, err := os.Lstat(filepath.Join(archive, "home", "joe", "mail", "Drafts")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(taken, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	restore := []string{"retire", "--restore", "--state", state}
	for _, flag := range []string{"--max-duration=1h", "--bwlimit=1M", "--status-file=" + filepath.Join(state, "status")} { // it does not obey them
		if o := runJSON(t, append(restore, flag)...); o.code != 64 || !strings.Contains(o.stderr, "does not take") {
			t.Errorf("%s: exit code %d\n%s", flag, o.code, o.stderr)
		}
	}
	r = runJSON(t, restore...)
	if r.code != 2 || len(r.problems("place-taken")) != 1 {
		t.Errorf("restore over a file: exit code %d\n%s", r.code, r.stderr)
	}
	if b, err := os.ReadFile(taken); err != nil || string(b) != "new" {
		t.Errorf("%q, %v", b, err)
	}
	if err := os.Remove(taken); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(archive, "home", "joe", "mail", "Drafts")
	good, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(damaged)
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, damaged, "x")
	if r = runJSON(t, restore...); r.code != 3 || len(r.problems("checksum")) != 1 {
		t.Errorf("restore of a damaged file: exit code %d\n%s", r.code, r.stderr)
	}
	if err := os.Truncate(damaged, int64(len(good))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(damaged, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if r = runJSON(t, restore...); r.code != 0 || r.summary(t)["folders"] != 1.0 {
		t.Errorf("restore of the rest: exit code %d, %v\n%s", r.code, r.summary(t), r.stderr)
	}
	if diff := sameFiles(before, snapshot(t, root)); diff != "" {
		t.Errorf("the source is not as it was: %s", diff)
	}
	if left := snapshot(t, archive); len(left) != 1 {
		t.Errorf("the archive still has %d entries", len(left)-1)
	}
	if v := runJSON(t, append([]string{"verify", "--level", "content"}, flagsFor(srv, root, state)...)...); v.summary(t)["messages_verified"] != v.summary(t)["messages_found"] || v.code == 3 {
		t.Errorf("verify after restore: exit code %d\n%s", v.code, v.stderr)
	}
}

// TestRetireRefuses users whose mail is not proved to be in Cyrus as it is in the
// source now, and retires the others.
func TestRetireRefuses(t *testing.T) {
	srv, root, state, archive := retireHost(t, 3)
	flags := append(flagsFor(srv, root, state), "--archive", archive)
	appendTo(t, filepath.Join(root, "var", "mail", "joe"), "From x@example.org Mon Jun  2 10:11:12 2003\nSubject: late\n\nlate\n\n")
	r := runJSON(t, append([]string{"retire"}, flags...)...)
	if r.code != 2 || len(r.problems("not-retired")) != 1 || r.problems("not-retired")[0]["user"] != "joe" {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
	for path, want := range map[string]bool{"var/mail/joe": false, "home/joe/mail/Drafts": false, "var/mail/ann": true} {
		if _, err := os.Lstat(filepath.Join(archive, path)); (err == nil) != want {
			t.Errorf("%s in the archive: %v, want %v", path, err == nil, want)
		}
	}
	// A message that Cyrus lost is a difference.
	files, err := filepath.Glob(filepath.Join(srv.Spool, "uuid", "*", "*", "*", "cyrus.index"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	if r := runJSON(t, append([]string{"retire", "--user", "joe"}, flags...)...); r.code == 0 || r.code == 2 {
		t.Errorf("without Cyrus's indexes: exit code %d\n%s", r.code, r.stderr)
	}
	if _, err := os.Lstat(filepath.Join(archive, "var/mail/joe")); err == nil {
		t.Error("joe's INBOX was moved")
	}

	open := filepath.Join(filepath.Dir(archive), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ says, archive string }{{"writable by nobody else", open}, {"no such file", open + "2"}} {
		if r := runJSON(t, append([]string{"retire"}, append(flagsFor(srv, root, state), "--archive", tt.archive)...)...); r.code != 64 || !strings.Contains(r.stderr, tt.says) {
			t.Errorf("%s: exit code %d, want 64 and %q\n%s", tt.archive, r.code, tt.says, r.stderr)
		}
	}
}

// TestRetireRemovedBeforeAppend: what a user removed between two passes is no obstacle either,
// whether Cyrus changed the mailbox since the last of them or not.
func TestRetireRemovedBeforeAppend(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	archive := makeArchive(t, t.TempDir())
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	do := runWith(t, flags...)
	h.write("var/mail/joe", letter(1)+letter(2))
	do(0, "migrate")
	useCyrus(t, srv, expunge("INBOX", 1))
	h.write("var/mail/joe", letter(1)+letter(2)+letter(3))
	do(2, "migrate", "--on-conflict", "append")
	o := do(0, "retire", "--archive", archive)
	if p := o.problems("used-since"); len(p) != 1 || !strings.Contains(p[0]["text"].(string), "and 1 were removed there") {
		t.Errorf("%v", p)
	}
	mustRead(t, filepath.Join(archive, "var/mail/joe"))
}

// TestRetireSharedHome: two logins have one home. Its folders go with the first, are retired
// for both, and nothing of the second is missed.
func TestRetireSharedHome(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\njoe2:x:1001:1001::/home/joe:/bin/sh\n")
	archive := makeArchive(t, t.TempDir())
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	h.write("var/mail/joe", letter(1))
	h.write("var/mail/joe2", letter(2))
	h.write("home/joe/mail/work/old", letter(3))
	h.write("home/joe/.mailboxlist", "mail/work/old\n")
	do := runWith(t, flags...)
	for _, command := range []string{"plan", "migrate"} {
		said := map[any]any{}
		for _, p := range runJSON(t, append([]string{command}, flags...)...).problems("shared-home") {
			said[p["user"]] = p["text"]
		}
		if len(said) != 2 || !strings.Contains(fmt.Sprint(said["joe"]), "the same home as joe2") {
			t.Errorf("%s: %v", command, said)
		}
	}
	if o := runJSON(t, append([]string{"plan", "--exclude-user", "joe2"}, flags...)...); len(o.problems("shared-home")) != 0 {
		t.Errorf("%s", o.stderr)
	}
	sums := func(args ...string) string {
		t.Helper()
		o := runJSON(t, append(args, flags...)...)
		s := o.summary(t)
		if o.code != 0 {
			t.Errorf("%v: exit code %d\n%s", args, o.code, o.stderr)
		}
		return fmt.Sprintf("%v folders, %v bytes", s["folders"], s["bytes"])
	}
	// The INBOXes, and the folder for each of the two; but it is one file, as is the list.
	want := fmt.Sprintf("4 folders, %d bytes", len(letter(1)+letter(2)+letter(3)+"mail/work/old\n"))
	if got := sums("retire", "--dry-run", "--archive", archive); got != want {
		t.Errorf("the dry run: %s, want %s", got, want)
	}
	if got := sums("retire", "--archive", archive); got != want {
		t.Errorf("retire: %s, want %s", got, want)
	}
	for _, path := range []string{"var/mail/joe", "var/mail/joe2", "home/joe/mail/work/old", "home/joe/.mailboxlist"} {
		mustRead(t, filepath.Join(archive, path))
	}
	for range 2 {
		do(0, "migrate")
		do(0, "verify", "--level", "content")
		do(0, "verify", "--user", "joe2")
		do(0, "retire", "--archive", archive)
	}
	if err := os.RemoveAll(filepath.Join(h.root, "home/joe")); err != nil {
		t.Fatal(err)
	}
	do(0, "verify")
	h.write("etc/passwd", "")
	if o := runJSON(t, append([]string{"verify"}, flags...)...); len(o.problems("source-gone")) != 0 {
		t.Errorf("%s", o.stderr)
	}
}

// writeMX writes a mailbox of joe's that is a directory, with one message.
func (h *passHost) writeMX(dir string, n int) {
	h.t.Helper()
	h.write(dir+"/.mxindex", fmt.Sprintf("V3edb6900L%08xM00000001;00000000.0000", 1))
	h.write(dir+"/1", fmt.Sprintf("Subject: %d\r\n\r\nbody %d\r\n", n, n))
}

// retirement is a host of joe's, a Cyrus, and a directory for what is retired.
type retirement struct {
	*passHost
	archive string
	flags   []string
	retire  []string // the command
	state   []string // the flag
}

func newRetirement(t *testing.T) *retirement {
	t.Helper()
	h := newPassHost(t)
	r := &retirement{passHost: h, archive: makeArchive(t, filepath.Dir(h.root))}
	state := filepath.Join(t.TempDir(), "state")
	r.flags = flagsFor(cyrustest.ForTest(t, cyrustest.Options{}), h.root, state)
	r.state = []string{"--state", state}
	r.retire = append([]string{"retire", "--archive", r.archive}, r.flags...)
	return r
}

// do runs a command, which must have an exit code.
func (r *retirement) do(code int, args ...string) outcome {
	r.t.Helper()
	return runWith(r.t)(code, args...)
}

func (r *retirement) migrate() { r.t.Helper(); r.do(0, append([]string{"migrate"}, r.flags...)...) }

// archived wants all of these in the archive.
func (r *retirement) archived(paths ...string) {
	r.t.Helper()
	for _, path := range paths {
		mustRead(r.t, filepath.Join(r.archive, path))
	}
}

// TestRetireNested: a mailbox in one that is a directory goes with it, also where another comes
// between them in the order of names, and where a run came no further than that.
func TestRetireNested(t *testing.T) {
	for _, busy := range []bool{false, true} {
		r := newRetirement(t)
		r.writeMX("home/joe/mail/work", 1)
		r.writeMX("home/joe/mail/work/old", 2)
		r.writeMX("home/joe/mail/work-2003", 3)
		r.write("var/mail/joe", letter(1))
		r.migrate()
		if busy { // by a delivery, when the INBOX is to follow
			r.write("var/mail/joe.lock", "1")
			r.do(1, append(r.retire, "--lock", "yes", "--lock-wait", "1s")...)
			r.archived("home/joe/mail/work/old/1")
			if err := os.Remove(filepath.Join(r.root, "var/mail/joe.lock")); err != nil {
				t.Fatal(err)
			}
		}
		r.do(0, r.retire...)
		r.archived("home/joe/mail/work/1", "home/joe/mail/work/old/1", "home/joe/mail/work-2003/1", "var/mail/joe")
		r.do(0, r.retire...)
		r.do(0, append([]string{"verify", "--level", "content"}, r.flags...)...)
		// And back, directories too.
		r.do(0, append([]string{"retire", "--restore"}, r.state...)...)
		for _, path := range []string{"home/joe/mail/work/1", "home/joe/mail/work/old/1", "home/joe/mail/work-2003/1", "var/mail/joe"} {
			mustRead(t, filepath.Join(r.root, path))
		}
		if left, err := os.ReadDir(r.archive); err != nil || len(left) > 0 {
			t.Errorf("in the archive is %v, %v", left, err)
		}
		r.migrate()
		r.do(0, append([]string{"verify", "--level", "content"}, r.flags...)...)
	}
}

// TestRestoreRefuses: what is in the archive stays there where its place, or the directory of it,
// is another's by now, and what came into that place stays too.
func TestRestoreRefuses(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to another user")
	}
	r := newRetirement(t)
	r.writeMX("home/joe/mail/work", 1)
	r.write("home/joe/mail/lists", letter(2))
	r.write("var/mail/joe", letter(1))
	if err := os.Chown(filepath.Join(r.root, "var/mail"), 0, 0); err != nil { // so that a directory keeps its place
		t.Fatal(err)
	}
	r.migrate()
	r.do(0, r.retire...)
	r.archived("home/joe/mail/lists", "home/joe/mail/work/1")
	inbox, mail := filepath.Join(r.root, "var/mail/joe"), filepath.Join(r.root, "home/joe/mail")
	if err := errors.Join(os.Remove(inbox), os.WriteFile(inbox, []byte("new"), 0o600), os.Chown(mail, 4242, 4242)); err != nil {
		t.Fatal(err)
	}
	restore := append([]string{"retire", "--restore"}, r.state...)
	o := r.do(2, restore...)
	if taken, changed := o.problems("place-taken"), o.problems("place-changed"); len(taken) != 1 || len(changed) != 2 {
		t.Errorf("%v", o.severe())
	}
	r.archived("home/joe/mail/lists", "home/joe/mail/work/1", "var/mail/joe")
	if got := mustRead(t, inbox); got != "new" {
		t.Errorf("the new INBOX is %q", got)
	}
	if err := errors.Join(os.Remove(inbox), os.Chown(mail, 1001, 1001)); err != nil {
		t.Fatal(err)
	}
	// A directory is what was moved there by all that is in it.
	one := filepath.Join(r.archive, "home/joe/mail/work/1")
	if err := os.WriteFile(one, []byte("Subject: 1\r\n\r\nBODY 1\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := r.do(3, restore...); len(o.problems("checksum")) != 1 {
		t.Errorf("%v", o.severe())
	}
	r.archived("home/joe/mail/work/1")
	for _, path := range []string{"home/joe/mail/lists", "var/mail/joe"} {
		mustRead(t, filepath.Join(r.root, path))
	}
}

// TestRetireLeftOut: a Maildir in a mailbox that is a directory was never migrated. The
// directory stays, and goes when the Maildir is no longer in it.
func TestRetireLeftOut(t *testing.T) {
	r := newRetirement(t)
	r.writeMX("home/joe/mail/work", 1)
	r.writeMX("home/joe/mail/work/old", 2)
	for _, dir := range []string{"cur", "new", "tmp"} {
		r.write("home/joe/mail/work/md/"+dir+"/1:2,S", "Subject: never migrated\n\nx\n")
	}
	r.write("var/mail/joe", letter(1))
	r.do(2, append([]string{"migrate"}, r.flags...)...)
	for _, args := range [][]string{append(r.retire, "--dry-run"), r.retire, r.retire} {
		if o := r.do(2, args...); len(o.problems("not-retired")) != 1 {
			t.Errorf("%v", o.severe())
		}
	}
	r.archived("var/mail/joe")
	for _, path := range []string{"work/1", "work/old/1", "work/md/cur/1:2,S"} {
		mustRead(t, filepath.Join(r.root, "home/joe/mail", path))
	}
	if err := os.Rename(filepath.Join(r.root, "home/joe/mail/work/md"), filepath.Join(r.root, "home/joe/md")); err != nil {
		t.Fatal(err)
	}
	r.migrate()
	r.do(0, r.retire...)
	r.archived("home/joe/mail/work/1", "home/joe/mail/work/old/1")
}

// TestRetireSparse: what its user gave terabytes of holes stays, with the mailbox that it is in, and
// keeps nobody else waiting; nor does what he still had open and made so in the archive.
func TestRetireSparse(t *testing.T) {
	r := newRetirement(t)
	r.writeMX("home/joe/mail/work", 1)
	r.writeMX("home/joe/mail/old", 2)
	r.write("home/joe/mail/work/sub/image", "no mail")
	r.write("home/joe/mail/old/sub/image", "no mail")
	r.write("home/joe/.mailboxlist", "work\n")
	r.write("var/mail/joe", letter(1))
	r.migrate()
	const large = 20 << 30 // or this would never end where it is read
	var open []*os.File    // as its user may have it
	for _, path := range []string{"work/sub/image", "old/sub/image", "../.mailboxlist"} {
		f, err := os.OpenFile(filepath.Join(r.root, "home/joe/mail", path), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		open = append(open, f)
	}
	truncate := func(files ...*os.File) {
		t.Helper()
		for _, f := range files {
			if err := f.Truncate(large); err != nil {
				t.Skipf("no such file can be made here: %v", err)
			}
		}
	}
	truncate(open[0], open[2])
	r.do(2, append([]string{"migrate"}, r.flags...)...) // as the list of subscriptions is long
	if o := r.do(2, r.retire...); len(o.problems("not-retired")) != 2 {
		t.Errorf("%v", o.severe())
	}
	r.archived("var/mail/joe", "home/joe/mail/old/1")
	mustRead(t, filepath.Join(r.root, "home/joe/mail/work/1"))
	truncate(open[1])
	if o := r.do(3, append([]string{"verify", "--level", "content"}, r.flags...)...); len(o.problems("archive-differs")) != 1 {
		t.Errorf("%v", o.severe())
	}
	if o := r.do(3, "retire", "--restore", "--state", r.flags[5]); len(o.problems("checksum")) != 1 {
		t.Errorf("%v", o.severe())
	}
}

// TestRetireFolderGone: while a folder that was migrated is gone, which nobody retired, nothing of
// its user is: it may be on a file system that is not mounted.
func TestRetireFolderGone(t *testing.T) {
	r := newRetirement(t)
	r.write("var/mail/joe", letter(1))
	r.write("home/joe/mail/work", letter(2))
	r.migrate()
	away := filepath.Join(r.root, "work")
	if err := os.Rename(filepath.Join(r.root, "home/joe/mail/work"), away); err != nil {
		t.Fatal(err)
	}
	if o := r.do(2, r.retire...); len(o.problems("not-retired")) != 1 {
		t.Errorf("%v", o.severe())
	}
	mustRead(t, filepath.Join(r.root, "var/mail/joe"))
	if err := os.Rename(away, filepath.Join(r.root, "home/joe/mail/work")); err != nil {
		t.Fatal(err)
	}
	r.migrate() // the rename gave it another change time
	r.do(0, r.retire...)
	r.archived("var/mail/joe", "home/joe/mail/work")
}

// TestRetireToAnotherFileSystem is refused before anything is moved.
func TestRetireToAnotherFileSystem(t *testing.T) {
	srv, root, state, archive := retireHost(t, 1)
	if err := unix.Mount("tmpfs", archive, "tmpfs", 0, "size=10m,mode=0700"); err != nil {
		t.Skipf("no other file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(archive, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	before := snapshot(t, root)
	r := runJSON(t, append([]string{"retire", "--archive", archive}, flagsFor(srv, root, state)...)...)
	if r.code != 1 || !strings.Contains(r.stderr, "nothing is copied between file systems") {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
	if diff := diffSnapshots(before, snapshot(t, root)); diff != "" {
		t.Errorf("the source was changed: %s", diff)
	}
}

// TestRetireBindMount: nothing can be renamed out of a mount, also where the same file system is
// mounted on both sides (rename(2), EXDEV). What has no archive in its own mount is refused
// before anything moves, and of several archives that one is taken which is.
func TestRetireBindMount(t *testing.T) {
	withOwnMounts(t, func(t *testing.T) {
		srv, root, state, archive := retireHost(t, 1)
		spool := filepath.Join(root, "var/mail")
		if err := unix.Mount(spool, spool, "", unix.MS_BIND, ""); err != nil {
			t.Skipf("nothing can be mounted here: %v", err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(spool, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		flags := append(flagsFor(srv, root, state), "--archive", archive)
		before := snapshot(t, spool)
		for _, command := range [][]string{{"retire", "--dry-run"}, {"retire"}} {
			r := runJSON(t, append(command, flags...)...)
			if r.code != 1 || !strings.Contains(r.stderr, "no --archive is on the same file system ("+archive+" is, but that is mounted twice") {
				t.Errorf("%v: exit code %d\n%s", command, r.code, r.stderr)
			}
		}
		if diff := diffSnapshots(before, snapshot(t, spool)); diff != "" {
			t.Errorf("the INBOXes were changed: %s", diff)
		}
		inside := filepath.Join(spool, "archive")
		if err := os.Mkdir(inside, 0o700); err != nil {
			t.Fatal(err)
		}
		if r := runJSON(t, append([]string{"retire"}, append(flags, "--archive", inside)...)...); r.code != 0 && r.code != 2 {
			t.Errorf("with an archive in each mount: exit code %d\n%s", r.code, r.stderr)
		}
		if _, err := os.Lstat(filepath.Join(inside, "var/mail/joe")); err != nil {
			t.Error(err)
		}
	})
}

// TestRetireMountInDirectory: a mailbox that is a directory stays where something is mounted in it,
// by its user with FUSE, say: that would not be in the archive when it is unmounted.
func TestRetireMountInDirectory(t *testing.T) {
	withOwnMounts(t, func(t *testing.T) {
		r := newRetirement(t)
		r.writeMX("home/joe/mail/work", 1)
		r.write("home/joe/mail/work/sub/notes", "no mail")
		r.write("elsewhere/notes", "no mail")
		r.write("var/mail/joe", letter(1))
		sub := filepath.Join(r.root, "home/joe/mail/work/sub")
		if err := unix.Mount(filepath.Join(r.root, "elsewhere"), sub, "", unix.MS_BIND, ""); err != nil {
			t.Skipf("nothing can be mounted here: %v", err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(sub, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		r.migrate()
		if o := r.do(2, r.retire...); len(o.problems("not-retired")) != 1 || !strings.Contains(o.stderr, "\"sub\": something is mounted") {
			t.Error(o.stderr)
		}
		r.archived("var/mail/joe")
		mustRead(t, filepath.Join(r.root, "home/joe/mail/work/1"))
	})
}

// TestRetireNewList: a user's client writes a new list of subscriptions where one was
// retired. It stays, whatever archive is given, and the one in the archive is not forgotten.
func TestRetireNewList(t *testing.T) {
	srv, root, state, archive := retireHost(t, 1)
	flags := flagsFor(srv, root, state)
	if r := runJSON(t, append([]string{"retire", "--archive", archive}, flags...)...); r.code != 0 {
		t.Fatalf("retire: exit code %d\n%s", r.code, r.stderr)
	}
	list := filepath.Join("home", "joe", ".mailboxlist")
	old := mustRead(t, filepath.Join(archive, list))
	h := &passHost{t: t, root: root}
	h.write(list, "mail/new\n")
	for _, command := range []string{"plan", "migrate", "verify"} {
		if r := runJSON(t, append([]string{command}, flags...)...); r.code != 2 || len(r.problems("retired-place")) != 1 {
			t.Errorf("%s: exit code %d\n%s", command, r.code, r.stderr)
		}
	}
	record := mustRead(t, filepath.Join(state, "retired.jsonl"))
	second := archive + "2"
	if err := os.Mkdir(second, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{archive, second} {
		for _, dry := range []string{"--dry-run=true", "--dry-run=false"} {
			r := runJSON(t, append([]string{"retire", "--archive", to, dry}, flags...)...)
			if p := r.problems("not-retired"); r.code != 2 || len(p) != 1 || !strings.Contains(p[0]["text"].(string), list) {
				t.Errorf("retire %s again: exit code %d\n%s", dry, r.code, r.stderr)
			}
		}
	}
	if now := mustRead(t, filepath.Join(root, list)); now != "mail/new\n" {
		t.Errorf("the new list: %q", now)
	}
	if now := mustRead(t, filepath.Join(state, "retired.jsonl")); now != record {
		t.Errorf("the record was %q, is %q", record, now)
	}
	// Never over anything; and back once the place is free.
	if r := runJSON(t, "retire", "--restore", "--state", state); r.code != 2 || len(r.problems("place-taken")) != 1 {
		t.Errorf("restore: exit code %d\n%s", r.code, r.stderr)
	}
	if err := os.Remove(filepath.Join(root, list)); err != nil {
		t.Fatal(err)
	}
	if r := runJSON(t, "retire", "--restore", "--state", state); r.code != 0 {
		t.Errorf("restore: exit code %d\n%s", r.code, r.stderr)
	}
	if now := mustRead(t, filepath.Join(root, list)); now != old {
		t.Errorf("the list is %q, was %q", now, old)
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
