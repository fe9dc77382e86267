package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/history"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/mbox"
)

// passHost is a host of one user whose folders a test changes between passes.
type passHost struct {
	t    *testing.T
	root string
}

func newPassHost(t *testing.T) *passHost {
	t.Helper()
	h := &passHost{t: t, root: filepath.Join(t.TempDir(), "host")}
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\n")
	return h
}

// write replaces a file of joe's, as UW's own rewriting does: in place.
func (h *passHost) write(path, text string) {
	h.t.Helper()
	h.writeAs(1001, path, text)
}

// writeAs does that for another user.
func (h *passHost) writeAs(uid int, path, text string) {
	h.t.Helper()
	path = filepath.Join(h.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	if os.Geteuid() == 0 && !strings.HasPrefix(path, filepath.Join(h.root, "etc")) {
		for p := path; p != h.root; p = filepath.Dir(p) {
			if err := os.Chown(p, uid, uid); err != nil {
				h.t.Fatal(err)
			}
		}
	}
}

// letter is one message as it is in a folder, with UW's own header lines.
func letter(n int, internal ...string) string {
	return fmt.Sprintf("From joe@example.com Mon Jun  2 10:11:%02d 2003\nSubject: %d\n%s\nbody %d\n\n", n, n, strings.Join(append(internal, ""), "\n"), n)
}

// describe shows messages as a client sees them.
func describe(v cyrustest.MailboxView) (out []string) {
	for _, m := range v.Messages {
		out = append(out, fmt.Sprintf("%d %s %d", m.UID, strings.Join(m.Flags, ","), m.Size))
	}
	return out
}

// serve reads all mailboxes of joe over IMAP.
func serve(t *testing.T, srv *cyrustest.Server) map[string]cyrustest.MailboxView {
	t.Helper()
	byName := map[string]cyrustest.MailboxView{}
	whileServed(t, srv, func() {
		views, err := cyrustest.ReadAll(srv.IMAPAddr(), "joe", "secret")
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range views {
			byName[v.Name] = v
		}
	})
	return byName
}

// whileServed does something while Cyrus runs and joe can log in.
func whileServed(t *testing.T, srv *cyrustest.Server, do func()) {
	t.Helper()
	if err := srv.AddUser("joe", "secret"); err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	}()
	do()
}

// messageFiles are the inodes of the message files in the spool, by path.
func messageFiles(t *testing.T, srv *cyrustest.Server) map[string]uint64 {
	t.Helper()
	inodes := map[string]uint64{}
	for path, s := range snapshot(t, srv.Spool) {
		if strings.HasSuffix(path, ".") {
			inodes[path] = s.ino
		}
	}
	return inodes
}

// TestOtherRules: a user was migrated by other rules. What the run says would help does help.
func TestOtherRules(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	h.write("var/mail/joe", letter(1)+letter(2))
	do := runWith(t)
	flags := flagsFor(srv, h.root, state)
	do(0, append([]string{"migrate"}, flags...)...)
	other := append([]string{"migrate", "--uw-version", "2002"}, flags...)
	p := do(2, other...).problems("other-rules")
	if len(p) != 1 || !strings.Contains(p[0]["text"].(string), "undo the user first") {
		t.Errorf("%v", p)
	}
	foretold := append([]string{"plan", "--uw-version", "2002"}, flags...)
	if p := do(2, foretold...).problems("other-rules"); len(p) != 1 || !strings.Contains(p[0]["text"].(string), "not as this one: 1; ") {
		t.Errorf("plan: %v", p)
	}
	do(0, append([]string{"undo", "--user", "joe"}, cyrusFlagsFor(srv, state)...)...)
	do(0, foretold...)
	do(0, other...)
}

// TestReportOfWhatIsNoMore: a pass, or a verification, had something for a person. The next one
// has not, nor has a report then.
func TestReportOfWhatIsNoMore(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	h.write("var/mail/joe", letter(1)+letter(2))
	h.write("home/joe/mail/Sent", letter(3))
	h.write("home/joe/mail/sent-mail", letter(4)+letter(5))
	flags := flagsFor(srv, h.root, state)
	do := runWith(t, flags...)
	reports := func(code int) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if got := run([]string{"mbox2cyrus", "report", "--state", state, "--format", "csv", "--table", "problems"}, &stdout, &stderr); got != code {
			t.Errorf("report: exit code %d, want %d\n%s%s", got, code, stdout.String(), stderr.String())
		}
		return stdout.String()
	}
	do(0, "migrate")
	do(2, "migrate", "--uw-version", "2002")
	reports(2)
	do(0, "migrate")
	reports(0)

	h.write("var/mail/joe", letter(1)+letter(2)+letter(6))
	do(2, "verify")
	reports(2)
	do(0, "migrate")
	do(0, "verify")
	if n := strings.Count(reports(0), "special-use-other"); n != 1 {
		t.Errorf("a note of the plan is told %d times", n)
	}
	do(0, "verify", "--only-failed")
	for range 5 { // and the history is written anew
		do(0, "migrate")
		do(0, "verify")
	}
	if n := strings.Count(reports(0), "special-use-other"); n != 1 {
		t.Errorf("a note of the plan is told %d times", n)
	}
}

// TestFolderGoneAboveOthers: the folder of a mailbox that is above others goes, as when a
// file system is not mounted. Its mail stays in Cyrus.
func TestFolderGoneAboveOthers(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	h.write("var/mail/joe", letter(1)+letter(2))
	h.write("home/joe/mail/work", letter(3))
	flags := flagsFor(srv, h.root, state)
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	if err := os.Remove(filepath.Join(h.root, "var/mail/joe")); err != nil {
		t.Fatal(err)
	}
	h.write("home/joe/mail/work", letter(3)+letter(4))
	for _, args := range [][]string{{"migrate"}, {"migrate"}, {"verify"}, {"verify", "--level", "content"}} {
		if o := runJSON(t, append(args, flags...)...); o.code != 2 || len(o.problems("source-gone")) != 1 {
			t.Errorf("%v: exit code %d\n%s", args, o.code, strings.Join(o.severe(), "\n"))
		}
	}
	served := serve(t, srv)
	if n, more := len(served["INBOX"].Messages), len(served["work"].Messages); n != 2 || more != 2 {
		t.Errorf("the INBOX has %d messages, want 2; work has %d, want 2", n, more)
	}
	h.write("var/mail/joe", letter(1)+letter(2)+letter(5))
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 2 && o.code != 0 {
		t.Errorf("it is there again: exit code %d\n%s", o.code, strings.Join(o.severe(), "\n"))
	}
}

// TestLaterPass changes folders in every way between two passes. The second
// brings the changes, keeps every UID that was given and writes only what is new.
func TestLaterPass(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	const base = "X-IMAPbase: 1054563072 0000000007 Work"
	h.write("var/mail/joe", letter(1)+letter(2)+letter(3)+letter(4))
	h.write("home/joe/mail/work", letter(1, base, "Status: RO", "X-UID: 2")+letter(2, "Status: RO", "X-UID: 3")+
		letter(3, "Status: RO", "X-UID: 5")+letter(4, "Status: O", "X-UID: 7"))
	h.write("home/joe/mail/still", letter(1)+letter(2))
	h.write("home/joe/mail/opened", letter(1)+letter(2))
	h.write("home/joe/.mailboxlist", "mail/work\nmail/still\n")

	migrate := func(wantWritten float64) outcome {
		t.Helper()
		o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, state)...)...)
		s := o.summary(t)
		if o.code != 0 || s["messages_found"] != s["messages_verified"] || s["messages_written"] != wantWritten {
			t.Fatalf("exit code %d, %v\n%s", o.code, s, o.stderr)
		}
		v := runJSON(t, append([]string{"verify", "--level", "content"}, flagsFor(srv, h.root, state)...)...)
		if vs := v.summary(t); v.code != 0 || vs["messages_verified"] != s["messages_found"] {
			t.Fatalf("verify: exit code %d, %v\n%s", v.code, vs, v.stderr)
		}
		return o
	}
	migrate(12)
	before := messageFiles(t, srv)

	// The INBOX has no UIDs of its own: one message goes, two come, one of them
	// in the middle.
	h.write("var/mail/joe", letter(1)+letter(5)+letter(3)+letter(4)+letter(6))
	// UW rewrote this one: a keyword and a flag, an expunge, a delivery.
	h.write("home/joe/mail/work", letter(1, base+" Play", "Status: RO", "X-UID: 2")+letter(2, "Status: RO", "X-Status: F", "X-Keywords: Work Play", "X-UID: 3")+
		letter(4, "Status: RO", "X-UID: 7")+letter(8))
	// UW opened this one for the first time, and chose its UIDVALIDITY.
	h.write("home/joe/mail/opened", letter(1, "X-IMAPbase: 1060000000 0000000002", "Status: RO", "X-UID: 1")+letter(2, "Status: O", "X-UID: 2"))
	h.write("home/joe/mail/fresh", letter(1))
	h.write("home/joe/.mailboxlist", "mail/still\nmail/fresh\n")
	plan := runJSON(t, append([]string{"plan"}, flagsFor(srv, h.root, state)...)...)
	if w := plan.problems("window"); len(w) != 1 || !strings.HasPrefix(w[0]["text"].(string), "4 of 5 folders") {
		t.Errorf("plan foretells %v", w)
	}
	migrate(4) // INBOX 2, work 1, fresh 1

	spool := snapshot(t, srv.Spool)
	migrate(0)
	if diff := diffSnapshots(spool, snapshot(t, srv.Spool)); diff != "" {
		t.Errorf("a pass without changes touched the spool: %s", diff)
	}

	// Cyrus's own programs may write the index anew; that changes nothing.
	if _, err := srv.Run(t.Context(), "reconstruct", "-G", "-r", "user/joe"); err != nil {
		t.Fatal(err)
	}
	migrate(0)

	after := messageFiles(t, srv)
	kept := 0
	for path, ino := range before {
		if after[path] == ino {
			kept++
		}
	}
	if kept != 10 {
		t.Errorf("%d message files of 12 were kept, want the 10 that are still mail", kept)
	}

	h.write("home/joe/.mailboxlist", "mail/still\nmail/fresh\nmail/opened\n")
	migrate(0)

	second := serve(t, srv)
	for name, v := range second {
		if want := name == "still" || name == "fresh" || name == "opened"; v.Subscribed != want {
			t.Errorf("%s: subscribed %v, want %v", name, v.Subscribed, want)
		}
	}
	inbox := second["INBOX"]
	if got, want := describe(inbox), []string{"1  22", "3  22", "4  22", "5  22", "6  22"}; !slices.Equal(got, want) {
		t.Errorf("INBOX: %q, want %q", got, want)
	}
	if got, want := describe(second["work"]), []string{`2 \Seen 22`, `3 Play,Work,\Flagged,\Seen 22`, `7 \Seen 22`, "8  22"}; !slices.Equal(got, want) {
		t.Errorf("work: %q, want %q", got, want)
	}
	if v := second["work"]; v.UIDValidity != 1054563072 || v.UIDNext != 9 {
		t.Errorf("work: UIDVALIDITY %d, UIDNEXT %d", v.UIDValidity, v.UIDNext)
	}
	if v := second["opened"]; v.UIDValidity != 1060000000 || v.UIDNext != 3 {
		t.Errorf("opened: UIDVALIDITY %d, UIDNEXT %d", v.UIDValidity, v.UIDNext)
	}
	if got, want := describe(second["opened"]), []string{`1 \Seen 22`, "2  22"}; !slices.Equal(got, want) {
		t.Errorf("opened: %q, want %q", got, want)
	}
	if len(second["fresh"].Messages) != 1 || len(second["still"].Messages) != 2 {
		t.Errorf("fresh %q, still %q", describe(second["fresh"]), describe(second["still"]))
	}

	// A folder that is gone takes no mail away in Cyrus.
	if err := os.Remove(filepath.Join(h.root, "home/joe/mail/fresh")); err != nil {
		t.Fatal(err)
	}
	gone := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, state)...)...)
	if p := gone.problems("source-gone"); gone.code != 2 || len(p) != 1 || p[0]["folder"] != "fresh" {
		t.Errorf("a folder is gone: exit code %d\n%s", gone.code, gone.stderr)
	}
	if v := serve(t, srv)["fresh"]; len(v.Messages) != 1 {
		t.Errorf("fresh: %q", describe(v))
	}
}

// TestLaterPassMoved changes where messages without UIDs of their own are in their folder:
// some come between others, all are sorted. Each keeps its UID, in every pass after that.
func TestLaterPassMoved(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	args := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	var inodes map[string]uint64
	for _, pass := range []struct {
		mail    []int // letters in the folder
		uids    []uint32
		written float64
	}{
		{[]int{1, 2, 3, 4}, []uint32{1, 2, 3, 4}, 4},
		{[]int{1, 5, 3, 4, 6}, []uint32{1, 5, 3, 4, 6}, 2},
		{[]int{7, 1, 5, 3, 4, 6}, []uint32{7, 1, 5, 3, 4, 6}, 1},
		{[]int{6, 5, 4, 3, 8, 3, 1}, []uint32{6, 5, 4, 3, 8, 9, 1}, 2}, // 3 is there twice
		{[]int{3, 3, 1, 6}, []uint32{3, 9, 1, 6}, 0},
		{[]int{3, 3, 1, 6, 9}, []uint32{3, 9, 1, 6, 10}, 1},
	} {
		var text strings.Builder
		for _, n := range pass.mail {
			text.WriteString(letter(n))
		}
		h.write("var/mail/joe", text.String())
		o := runJSON(t, append([]string{"migrate"}, args...)...)
		if s := o.summary(t); o.code != 0 || s["messages_written"] != pass.written {
			t.Fatalf("%v: exit code %d, %v written, want %v\n%s", pass.mail, o.code, s["messages_written"], pass.written, o.stderr)
		}
		if o := runJSON(t, append([]string{"verify", "--level", "content"}, args...)...); o.code != 0 {
			t.Fatalf("%v: verify: exit code %d\n%s", pass.mail, o.code, o.stderr)
		}
		now := map[string]uint64{}
		for path, inode := range messageFiles(t, srv) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			now[filepath.Base(path)+string(b)] = inode
		}
		if len(now) != len(pass.mail) {
			t.Errorf("%v: %d message files", pass.mail, len(now))
		}
		for i, n := range pass.mail {
			file := fmt.Sprintf("%d.Subject: %d\r\n\r\nbody %d\r\n", pass.uids[i], n, n)
			if was, there := inodes[file]; now[file] == 0 || there && was != now[file] {
				t.Errorf("%v: letter %d has not UID %d, or was written again; there is %q", pass.mail, n, pass.uids[i], slices.Sorted(maps.Keys(now)))
			}
		}
		inodes = now
	}
}

// TestLaterPassLarge: a large message that is as it was is not written again where its
// folder grows. One that changed is.
func TestLaterPassLarge(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	args := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	large := func(last byte) string {
		return letter(1) + strings.Repeat(strings.Repeat("x", 70)+"\n", 1<<14) + string(last) + "\n\n"
	}
	for _, pass := range []struct {
		mail    string
		written float64
	}{
		{large('a') + letter(2), 2},
		{large('a') + letter(2) + letter(3), 1},
		{letter(4) + large('a') + letter(3), 1},
		{letter(4) + large('b') + letter(3), 1},
	} {
		h.write("var/mail/joe", pass.mail)
		o := runJSON(t, append([]string{"migrate"}, args...)...)
		if s := o.summary(t); o.code != 0 || s["messages_written"] != pass.written {
			t.Errorf("exit code %d, %v written, want %v\n%s", o.code, s["messages_written"], pass.written, o.stderr)
		}
		if o := runJSON(t, append([]string{"verify", "--level", "content"}, args...)...); o.code != 0 {
			t.Errorf("verify: exit code %d\n%s", o.code, o.stderr)
		}
	}
}

// TestLaterPassGrows: a large message has grown, and the first piece of it that is read is all
// that it was.
func TestLaterPassGrows(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	args := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	h.write("var/mail/kim", "") // no user of this host
	const internal = "From joe@example.com Mon Jun  2 10:11:12 2003\nX-IMAPbase: 1054563072 0000000003\nX-UID: 3\n"
	var before, now string
	for pad := 1; !strings.HasSuffix(before, "\n"); pad++ {
		now = "Subject: " + strings.Repeat("a", pad) + "\n\n" + strings.Repeat(strings.Repeat("x", 62)+"\n", 20_000) + "\n"
		r := mbox.NewReader(strings.NewReader(internal+now), int64(len(internal+now)), mbox.Options{})
		m, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		var first firstWrite
		if _, err := m.WriteTo(&first); err != nil {
			t.Fatal(err)
		}
		before = strings.ReplaceAll(string(first), "\r\n", "\n")
	}
	for _, text := range []string{before + "\n", now} {
		h.write("home/joe/mail/work", internal+text)
		if o := runJSON(t, append([]string{"migrate"}, args...)...); o.code != 0 {
			t.Errorf("exit code %d\n%s", o.code, o.stderr)
		}
	}
	if v := serve(t, srv)["work"]; len(v.Messages) != 1 || v.Messages[0].UID != 3 || v.Messages[0].Size != int64(len(now)-1+strings.Count(now, "\n")-1) {
		t.Errorf("work: %q", describe(v))
	}
}

// firstWrite is what came with the first Write.
type firstWrite []byte

func (f *firstWrite) Write(p []byte) (int, error) {
	if *f == nil {
		*f = bytes.Clone(p)
	}
	return len(p), nil
}

// TestLaterPassBaseLost: the message goes that has the UIDVALIDITY of its folder, as other
// programs than UW remove it. What stays keeps its UIDs, and new mail gets none that clients
// take for past.
func TestLaterPassBaseLost(t *testing.T) {
	for _, assigned := range []bool{false, true} {
		t.Run(fmt.Sprintf("UIDs of an earlier pass %v", assigned), func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			h := newPassHost(t)
			state := filepath.Join(t.TempDir(), "state")
			migrate := func() {
				t.Helper()
				if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, state)...)...); o.code != 0 {
					t.Fatalf("exit code %d\n%s", o.code, o.stderr)
				}
			}
			h.write("var/mail/kim", "") // no user of this host
			h.write("home/joe/mail/work", letter(1, "X-IMAPbase: 1054563072 0000000007", "X-UID: 3")+letter(2, "X-UID: 5")+letter(3, "X-UID: 7"))
			migrate()
			if assigned { // as where a part of the folder could not be read at first
				l, err := ledger.Open(state)
				if err != nil {
					t.Fatal(err)
				}
				rec, _, err := l.Mailbox("user.joe.work")
				if err != nil {
					t.Fatal(err)
				}
				rec.Assigned = true
				if err := errors.Join(l.Set(rec), l.Close()); err != nil {
					t.Fatal(err)
				}
			}
			h.write("home/joe/mail/work", letter(2, "X-UID: 5")+letter(4)+letter(3, "X-UID: 7")+letter(5))
			migrate()
			if o := runJSON(t, append([]string{"verify", "--level", "content"}, flagsFor(srv, h.root, state)...)...); o.code != 0 {
				t.Errorf("verify: exit code %d\n%s", o.code, o.stderr)
			}
			v := serve(t, srv)["work"]
			if got, want := describe(v), []string{"5  22", "7  22", "8  22", "9  22"}; !slices.Equal(got, want) || v.UIDValidity != 1054563072 || v.UIDNext != 10 {
				t.Errorf("work: %q, want %q, UIDVALIDITY %d, UIDNEXT %d", got, want, v.UIDValidity, v.UIDNext)
			}
		})
	}
}

// TestLaterPassKilled kills later passes at random points. Every UID that the first
// pass gave stays, whatever was cut off.
func TestLaterPassKilled(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))

	const folders = 20
	all := make([][]int, folders)
	path := func(i int) string { return fmt.Sprintf("home/joe/mail/f%02d", i) }
	put := func(i int) {
		var text strings.Builder
		for _, n := range all[i] {
			text.WriteString(letter(n))
		}
		h.write(path(i), text.String())
	}
	for i := range all {
		for n := range 30 {
			all[i] = append(all[i], n)
		}
		put(i)
	}
	h.write("var/mail/joe", letter(1))
	args := append([]string{"migrate"}, flagsFor(srv, h.root, state)...)
	first := runJSON(t, args...)
	if first.code != 0 {
		t.Fatalf("exit code %d\n%s", first.code, first.stderr)
	}
	validity := map[string]uint32{}
	for name, v := range serve(t, srv) {
		validity[name] = v.UIDValidity
	}

	next := 30
	killed := 0
	for range 8 {
		for i := range all {
			drop := rnd.IntN(len(all[i]) - 1)
			all[i] = append(slices.Delete(slices.Clone(all[i]), drop, drop+1), next)
			put(i)
		}
		next++
		if killedAfter(t, time.Duration(rnd.Int64N(int64(1200*time.Millisecond))), append(args, "--quiet")...) {
			killed++
		}
	}
	t.Logf("killed %d times", killed)
	last := runJSON(t, args...)
	if last.code != 0 {
		t.Fatalf("last run: exit code %d\n%s", last.code, last.stderr)
	}
	verify := runJSON(t, append([]string{"verify", "--level", "content"}, flagsFor(srv, h.root, state)...)...)
	if verify.code != 0 {
		t.Errorf("verify: exit code %d\n%s", verify.code, verify.stderr)
	}
	for name, v := range serve(t, srv) {
		if v.UIDValidity != validity[name] {
			t.Errorf("%s: UIDVALIDITY %d, was %d", name, v.UIDValidity, validity[name])
		}
		var i int
		if _, err := fmt.Sscanf(name, "f%d", &i); err != nil {
			continue // INBOX
		}
		// A message of the first pass has its UID: number n had UID n+1.
		want := 0
		for _, n := range all[i] {
			if n < 30 {
				want++
			}
		}
		have := 0
		for _, m := range v.Messages {
			if m.UID <= 30 {
				have++
			}
		}
		if have != want || len(v.Messages) != len(all[i]) {
			t.Errorf("%s: %d messages, %d with a UID of the first pass; want %d and %d", name, len(v.Messages), have, len(all[i]), want)
		}
	}
}

// useCyrus serves while a client of joe does something.
func useCyrus(t *testing.T, srv *cyrustest.Server, do func(c *imapclient.Client) error) {
	t.Helper()
	whileServed(t, srv, func() {
		c, err := cyrustest.Login(srv.IMAPAddr(), "joe", "secret")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := do(c); err != nil {
			t.Fatal(err)
		}
		if err := c.Logout().Wait(); err != nil {
			t.Fatal(err)
		}
	})
}

// appendMail is a message of 33 bytes that a user gets in his INBOX.
func appendMail(c *imapclient.Client) error { return appendMailTo(c, "INBOX") }

func appendMailTo(c *imapclient.Client, mailbox string) error {
	const text = "Subject: came to Cyrus\r\n\r\nhello\r\n"
	cmd := c.Append(mailbox, int64(len(text)), nil)
	if _, err := cmd.Write([]byte(text)); err != nil {
		return err
	}
	if err := cmd.Close(); err != nil {
		return err
	}
	_, err := cmd.Wait()
	return err
}

// appendAndFlag is what a user does in his INBOX: he gets a message and flags the first.
func appendAndFlag(c *imapclient.Client) error {
	if err := appendMail(c); err != nil {
		return err
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		return err
	}
	return c.Store(imap.UIDSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close()
}

// TestConflict: both the folder and the mailbox changed since the first pass.
func TestConflict(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	args := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	h.write("var/mail/joe", letter(1)+letter(2))
	if o := runJSON(t, append([]string{"migrate"}, args...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	useCyrus(t, srv, appendAndFlag)
	h.write("var/mail/joe", letter(2)+letter(3)+letter(3))

	spool := snapshot(t, srv.Spool)
	if o := runJSON(t, append([]string{"migrate"}, args...)...); o.code != 2 || len(o.problems("source-changed")) != 1 {
		t.Fatalf("exit code %d, want 2\n%s", o.code, o.stderr)
	}
	if diff := diffSnapshots(spool, snapshot(t, srv.Spool)); diff != "" {
		t.Errorf("the mailbox was not left alone: %s", diff)
	}
	for range 2 { // the second time there is nothing to do
		if o := runJSON(t, append([]string{"migrate", "--on-conflict", "append"}, args...)...); o.code != 0 {
			t.Fatalf("exit code %d\n%s", o.code, o.stderr)
		}
		if o := runJSON(t, append([]string{"verify", "--level", "content"}, args...)...); o.code != 0 {
			t.Errorf("verify: exit code %d\n%s", o.code, o.stderr)
		}
	}
	// Message 1 was expunged on the UW host, and is Cyrus's to keep now.
	want := []string{`1 \Flagged 22`, "2  22", "3  33", "4  22", "5  22"}
	if got := describe(serve(t, srv)["INBOX"]); !slices.Equal(got, want) {
		t.Errorf("INBOX: %q, want %q", got, want)
	}
	h.write("var/mail/joe", letter(2)+letter(3)+letter(3)+letter(4))
	if o := runJSON(t, append([]string{"migrate"}, args...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	if got := describe(serve(t, srv)["INBOX"]); !slices.Equal(got, append(want, "6  22")) {
		t.Errorf("INBOX: %q", got)
	}
}

// TestNothingToDo: what was left, or failed, is not among the folders of which migrate says
// that there is nothing to do.
func TestNothingToDo(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nkim:x:1002:1002::/home/kim:/bin/sh\n")
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/mail/work", letter(2))
	h.writeAs(1002, "var/mail/kim", letter(3))
	args := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	says := func(code int, want bool, more ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		got := run(slices.Concat([]string{"mbox2cyrus", "migrate"}, args, more), &out, &errs)
		if said := strings.Contains(out.String(), "nothing to do: every folder was migrated"); got != code || said != want {
			t.Errorf("exit code %d, want %d; said %v, want %v\n%s%s", got, code, said, want, &out, &errs)
		}
	}
	says(0, false)
	says(0, true)
	names := filepath.Join(t.TempDir(), "names.csv")
	if err := os.WriteFile(names, []byte("user,old_name,new_name\njoe,work,other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	says(1, false, "--names", names)
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.write("var/mail/joe", letter(1)+letter(4))
	says(2, false)
}

// TestVerifyBesideAnotherRun says that there is one: what it is at is no more cut off than it
// is lost.
func TestVerifyBesideAnotherRun(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1))
	state := filepath.Join(t.TempDir(), "state")
	args := flagsFor(srv, h.root, state)
	if o := runJSON(t, append([]string{"migrate"}, args...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	other, err := ledger.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	o := runJSON(t, append([]string{"verify"}, args...)...)
	if said := o.problems("run-goes-on"); o.code != 2 || len(said) != 1 || !strings.Contains(said[0]["text"].(string), fmt.Sprintf("(pid %d since ", os.Getpid())) {
		t.Errorf("exit code %d, %v\n%s", o.code, said, o.stderr)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if o := runJSON(t, append([]string{"verify"}, args...)...); o.code != 0 {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
}

// TestAccessedSince: a file of an mh folder was read since it was migrated, by a backup or a
// user. That changes its access time alone, by which UW takes it for \Seen. No pass reads the
// folder for it, so it is no difference; what is told to bring it does.
func TestAccessedSince(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	state := filepath.Join(t.TempDir(), "state")
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/.mh_profile", "Path: Mail\n")
	old := time.Now().Add(-48 * time.Hour)
	path := func(n int) string { return filepath.Join(h.root, fmt.Sprintf("home/joe/Mail/work/%d", n)) }
	for n := 1; n <= 2; n++ {
		h.write(fmt.Sprintf("home/joe/Mail/work/%d", n), fmt.Sprintf("Subject: %d\n\nbody\n", n))
		if err := os.Chtimes(path(n), old, old); err != nil {
			t.Fatal(err)
		}
	}
	flags := flagsFor(srv, h.root, state)
	do := runWith(t, flags...)
	do(0, "migrate")
	if p := do(0, "verify", "--level", "content").problems("seen-by-time"); len(p) != 0 {
		t.Errorf("nothing was read: %v", p)
	}
	if _, err := os.ReadFile(path(2)); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path(2), &st); err != nil {
		t.Fatal(err)
	}
	if int64(st.Atim.Sec) == old.Unix() {
		t.Skip("this file system keeps no access times")
	}
	do(0, "migrate")
	o := do(0, "verify", "--level", "content")
	if p := o.problems("seen-by-time"); len(p) != 1 || !strings.Contains(p[0]["text"].(string), "1 message of the source accessed") {
		t.Errorf("%v\n%s", p, o.stderr)
	}
	now := time.Now()
	if err := os.Chtimes(filepath.Dir(path(2)), now, now); err != nil {
		t.Fatal(err)
	}
	do(0, "migrate")
	if p := do(0, "verify", "--level", "content").problems("seen-by-time"); len(p) != 0 {
		t.Errorf("it was touched: %v", p)
	}
	if got := describe(serve(t, srv)["mh/work"]); len(got) != 2 || strings.Contains(got[0], `\Seen`) || !strings.Contains(got[1], `\Seen`) {
		t.Errorf("Cyrus has %v, of which the second was read", got)
	}
}

// TestReportOfStrayMail: mail of nobody, and of root, is told until it is excluded or gone. A
// run for somebody else does not tell of it, nor make a report forget it.
func TestReportOfStrayMail(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("etc/passwd", "root:x:0:0::/root:/bin/sh\njoe:x:1001:1001::/home/joe:/bin/sh\n")
	state := filepath.Join(t.TempDir(), "state")
	h.write("var/mail/joe", letter(1))
	h.write("var/mail/ghost", letter(2))
	h.writeAs(0, "var/mail/root", letter(3))
	h.write("var/mail/.hidden", "")
	flags := flagsFor(srv, h.root, state)
	do := func(code, told, reported int, args ...string) {
		t.Helper()
		o := runJSON(t, append(args, flags...)...)
		if n := len(o.problems("no-user")) + len(o.problems("system-user")); o.code != code || n != told {
			t.Fatalf("%v: exit code %d, want %d; %d told, want %d\n%s", args, o.code, code, n, told, o.stderr)
		}
		var stdout, stderr bytes.Buffer
		if got := run([]string{"mbox2cyrus", "report", "--state", state}, &stdout, &stderr); got != reported {
			t.Errorf("report after %v: exit code %d, want %d\n%s%s", args, got, reported, stdout.String(), stderr.String())
		}
	}
	do(2, 2, 2, "migrate")
	do(0, 0, 2, "migrate", "--user", "joe")
	if err := os.WriteFile(filepath.Join(h.root, "var/mail/.hidden"), []byte(letter(4)), 0o600); err != nil {
		t.Fatal(err)
	}
	do(2, 2, 2, "migrate", "--exclude-user", "root", "--exclude-user", "ghost")
	do(0, 0, 2, "migrate", "--user", "joe")
	do(0, 0, 2, "migrate", "--user", "joe")
	if err := os.Remove(filepath.Join(h.root, "var/mail/.hidden")); err != nil {
		t.Fatal(err)
	}
	do(2, 2, 2, "migrate", "--exclude-user", "root")
	do(0, 2, 0, "migrate", "--exclude-user", "root", "--exclude-user", "ghost")
	do(2, 2, 2, "verify")
	do(2, 2, 2, "migrate")
	for _, name := range []string{"ghost", "root"} {
		if err := os.Remove(filepath.Join(h.root, "var/mail", name)); err != nil {
			t.Fatal(err)
		}
	}
	do(0, 0, 2, "migrate") // verify has told it too
	do(0, 0, 0, "verify", "--exclude-user", "root")
	do(0, 0, 0, "migrate", "--exclude-user", "root")
}

// TestReportOfExcluded: kim's INBOX is locked, and then in Cyrus not as it was. A run that excludes
// him does not make a report forget that, though it tells of the lock beside his INBOX.
func TestReportOfExcluded(t *testing.T) {
	c := newCutHost(t)
	c.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nkim:x:1002:1002::/home/kim:/bin/sh\n")
	c.write("var/mail/joe", letter(1))
	c.writeAs(1002, "var/mail/kim", letter(2))
	lock := filepath.Join(c.root, "var/mail/kim.lock")
	c.write("var/mail/kim.lock", "1\n")
	if o := c.pass(2, c.migrate("--lock", "yes", "--lock-wait", "1s")...); len(o.problems("busy")) != 1 {
		t.Fatalf("%q", o.severe())
	}
	for range 2 {
		c.pass(0, c.migrate("--exclude-user", "kim")...)
		c.report(2)
		if err := os.RemoveAll(lock); err != nil {
			t.Fatal(err)
		}
	}
	c.pass(0, c.migrate()...)
	c.report(0)
	verify := append([]string{"verify"}, flagsFor(c.srv, c.root, c.state)...)
	box := filepath.Join(c.srv.Spool, dirOf(t, c.srv, "user/kim"), "1.")
	if err := os.Rename(box, box+"away"); err != nil {
		t.Fatal(err)
	}
	c.pass(3, verify...)
	c.report(3)
	c.write("var/mail/kim.lock", "1\n")
	c.pass(0, append(verify, "--exclude-user", "kim")...)
	c.report(3)
	if err := os.Rename(box+"away", box); err != nil {
		t.Fatal(err)
	}
	c.pass(0, verify...)
	c.report(0)

	// But what a run that leaves him out tells of him for a person is not forgotten either.
	c.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\n")
	if o := c.pass(2, c.migrate("--only-failed")...); len(o.problems("no-user")) != 1 {
		t.Errorf("%q", o.severe())
	}
	c.report(2)
}

// TestReportOfCutOffForAll: a run for all users was killed before it came to kim, and left the
// first line of its history. That one for joe ends well does not bring kim's mail.
func TestReportOfCutOffForAll(t *testing.T) {
	c := newCutHost(t)
	c.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nkim:x:1002:1002::/home/kim:/bin/sh\n")
	c.write("var/mail/joe", letter(1))
	c.writeAs(1002, "var/mail/kim", letter(2))
	c.pass(0, c.migrate("--user", "joe")...)
	c.report(0)
	c.cutOffForAll(2)
	c.report(1)
	c.pass(0, c.migrate("--user", "joe")...)
	c.report(1)
	c.pass(0, c.migrate()...)
	c.report(0)
	c.pass(0, c.migrate("--user", "joe")...)
	c.report(0)
}

// TestReportOfCutOffShard: a run for the first half of the users, in which joe is, was killed before it
// came to anybody, and left the first line of its history. That the second half is done, where lee is,
// does not bring joe's mail.
func TestReportOfCutOffShard(t *testing.T) {
	c := newCutHost(t)
	c.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nlee:x:1002:1002::/home/lee:/bin/sh\n")
	c.write("var/mail/joe", letter(1))
	c.writeAs(1002, "var/mail/lee", letter(2))
	c.pass(0, c.migrate("--shard", "2/2")...)
	c.report(0)
	c.addHistory(`{"run":2,"message_type":"run","command":"migrate","shard":"1/2","start":"2026-11-28T02:00:00Z"}`)
	c.report(1)
	c.pass(0, c.migrate("--shard", "2/2")...)
	c.report(1)
	c.pass(0, c.migrate("--shard", "1/2")...)
	c.report(0)
}

// TestOnlyFailedAfterCutOff: a later pass was killed before it came to kim, whom the first one had
// proved. The rest of the pass is his new mail.
func TestOnlyFailedAfterCutOff(t *testing.T) {
	for _, end := range []string{"", `{"run":2,"message_type":"summary","exit_code":143}`,
		`{"run":2,"message_type":"summary","exit_code":2,"problems":{"time-is-up":1}}`} {
		c := newCutHost(t)
		c.write("etc/passwd", "kim:x:1002:1002::/home/kim:/bin/sh\n")
		c.writeAs(1002, "var/mail/kim", letter(2))
		c.pass(0, c.migrate()...)
		c.writeAs(1002, "var/mail/kim", letter(2)+letter(3))
		c.cutOffForAll(2)
		if end != "" {
			c.addHistory(end)
		}
		if o := c.pass(0, c.migrate("--only-failed")...); o.summary(t)["messages_written"] != 1.0 {
			t.Errorf("%q: %s", end, o.stderr)
		}
		c.report(0)
		if o := c.pass(0, c.migrate("--only-failed")...); o.summary(t)["users"] != 0.0 {
			t.Errorf("%q: once more: %s", end, o.stderr)
		}
	}
}

// addHistory adds a line of a run to the history of migrate.
func (c *cutHost) addHistory(line string) {
	c.t.Helper()
	history, err := os.OpenFile(filepath.Join(c.state, "history/migrate.jsonl"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	_, err = history.WriteString(line + "\n")
	if err := errors.Join(err, history.Close()); err != nil {
		c.t.Fatal(err)
	}
}

// report runs report, which must end with that exit code.
func (c *cutHost) report(code int) {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	if got := run([]string{"mbox2cyrus", "report", "--state", c.state}, &stdout, &stderr); got != code {
		c.t.Errorf("report: exit code %d, want %d\n%s%s", got, code, stdout.String(), stderr.String())
	}
}

// TestReportOfPlanForSome: a plan that was made for joe leaves kim out, whose only folder was locked.
// A run by it does not make a report forget that, nor that a run for all was cut off, nor that the
// mail of lee, of whom a reviewed plan says nothing, is gone.
func TestReportOfPlanForSome(t *testing.T) {
	c := newCutHost(t)
	c.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nkim:x:1002:1002::/home/kim:/bin/sh\nlee:x:1003:1003::/home/lee:/bin/sh\n")
	c.write("var/mail/joe", letter(1))
	c.writeAs(1002, "var/mail/kim", letter(2))
	byPlan := func(args ...string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "plan")
		c.pass(0, append(append([]string{"plan", "--out", file}, flagsFor(c.srv, c.root, c.state)...), args...)...)
		c.pass(0, c.migrate("--plan", file)...)
	}
	c.write("var/mail/kim.lock", "1\n")
	c.pass(2, c.migrate("--lock", "yes", "--lock-wait", "1s")...)
	byPlan("--user", "joe")
	c.report(2)
	if err := os.Remove(filepath.Join(c.root, "var/mail/kim.lock")); err != nil {
		t.Fatal(err)
	}
	byPlan("--user", "joe")
	c.report(2)
	c.writeAs(1003, "var/mail/lee", letter(3))
	c.pass(0, c.migrate()...)
	c.report(0)
	c.cutOffForAll(6)
	byPlan("--user", "joe")
	c.report(1)
	byPlan()
	c.report(0)
	if err := os.Remove(filepath.Join(c.root, "var/mail/lee")); err != nil {
		t.Fatal(err)
	}
	c.pass(2, c.migrate()...)
	file := filepath.Join(t.TempDir(), "plan")
	c.pass(2, append([]string{"plan", "--out", file}, flagsFor(c.srv, c.root, c.state)...)...)
	c.pass(0, c.migrate("--plan", file)...)
	c.report(2)
}

// cutOffForAll has the history say that a run for all users began, and no more.
func (c *cutHost) cutOffForAll(run int) {
	c.t.Helper()
	c.addHistory(fmt.Sprintf(`{"run":%d,"message_type":"run","command":"migrate","start":"2026-11-28T02:00:00Z"}`, run))
}

// TestLaterPassOtherDate: of a message nothing but the date of its From_ line changed.
func TestLaterPassOtherDate(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1)+letter(2))
	c.write("home/joe/mail/own", letter(1, "X-IMAPbase: 1054563072 2", "X-UID: 1")+letter(2, "X-UID: 2"))
	c.pass(0, c.migrate()...)
	for _, path := range []string{"var/mail/joe", "home/joe/mail/own"} {
		text, err := os.ReadFile(filepath.Join(c.root, path))
		if err != nil {
			t.Fatal(err)
		}
		c.write(path, strings.Replace(string(text), "10:11:02", "10:12:02", 1))
	}
	c.pass(0, c.migrate()...)
	c.proved()
	for name, box := range serve(t, c.srv) {
		if name == "INBOX" || name == "own" {
			if m := box.Messages; len(m) != 2 || m[0].UID != 1 || m[1].UID != 2 || m[1].InternalDate.Sub(m[0].InternalDate) != time.Minute+time.Second {
				t.Errorf("%s: %+v", name, m)
			}
			// Cyrus goes by it where an index is lost.
			if st, err := os.Stat(filepath.Join(c.box(strings.TrimPrefix(name, "INBOX")), "2.")); err != nil || !st.ModTime().Equal(box.Messages[1].InternalDate) {
				t.Errorf("%s: the file is of %v, %v", name, st.ModTime(), err)
			}
		}
	}
}

// TestVerifyOfNewFolder: a folder that no pass has brought is not proved.
func TestVerifyOfNewFolder(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1))
	c.pass(0, c.migrate()...)
	c.write("home/joe/mail/new", letter(2))
	for _, level := range []string{"count", "index", "content"} {
		o := c.pass(3, append([]string{"verify", "--level", level}, flagsFor(c.srv, c.root, c.state)...)...)
		if p := o.problems("not-migrated"); len(p) != 1 || p[0]["folder"] != "new" {
			t.Errorf("%s: %v", level, p)
		}
	}
}

// TestLaterPassFileLost: a message file that an earlier pass wrote is gone from Cyrus's spool when the
// folder, which has no UIDs of its own or has, grows. It is written again.
func TestLaterPassFileLost(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1)+letter(2)+letter(3))
	c.write("home/joe/mail/own", letter(1, "X-IMAPbase: 1054563072 3", "X-UID: 1")+letter(2, "X-UID: 2")+letter(3, "X-UID: 3"))
	c.pass(0, c.migrate()...)
	for _, file := range []string{"2.", "own/2."} {
		if err := os.Remove(c.box(file)); err != nil {
			t.Fatal(err)
		}
	}
	c.append("var/mail/joe", letter(4))
	c.append("home/joe/mail/own", letter(4, "X-UID: 4"))
	c.pass(0, c.migrate()...)
	c.proved()
	served := serve(t, c.srv)
	for _, name := range []string{"INBOX", "own"} {
		if got, want := describe(served[name]), []string{"1  22", "2  22", "3  22", "4  22"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestVerifyNotRecorded: a verify goes on where no history can be kept of it, and says so.
func TestVerifyNotRecorded(t *testing.T) {
	c := newCutHost(t)
	c.write("var/mail/joe", letter(1))
	c.pass(0, c.migrate()...)
	verify := func(code int, state, why string) {
		t.Helper()
		o := c.pass(code, append([]string{"verify"}, flagsFor(c.srv, c.root, state)...)...)
		if p := o.problems("not-recorded"); len(p) != 1 || !strings.Contains(p[0]["text"].(string), why) {
			t.Errorf("%s: %v", why, p)
		}
	}
	verify(3, filepath.Join(t.TempDir(), "none"), "there is no state directory")
	other, err := history.Begin(c.state, history.Run{Command: history.Verify})
	if err != nil {
		t.Fatal(err)
	}
	verify(0, c.state, history.ErrBusy.Error())
	if err := other.Close(true); err != nil {
		t.Fatal(err)
	}
}
