package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// failingDisk is a file system whose blocks a test can make unreadable: btrfs knows by checksums
// that a block is not what was written, and gives EIO.
type failingDisk struct {
	t          *testing.T
	image, dir string
	mounted    bool
	copies     bool // a text may be on the disk more than once: of a file that was written over, btrfs leaves some
}

func newFailingDisk(t *testing.T) *failingDisk {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.btrfs")
	if err != nil {
		t.Skip("no mkfs.btrfs: install btrfs-progs to have read errors tried for real")
	}
	d := &failingDisk{t: t, image: filepath.Join(t.TempDir(), "image"), dir: t.TempDir()}
	if err := errors.Join(os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, 128<<20)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", "-d", "single", d.image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.btrfs: %v\n%s", err, out)
	}
	t.Cleanup(d.unmount)
	if out, err := d.mount(); err != nil {
		t.Skipf("no btrfs image can be mounted here: %v\n%s", err, out)
	}
	return d
}

func (d *failingDisk) mount() ([]byte, error) {
	out, err := exec.Command("mount", "-t", "btrfs", "-o", "loop,noatime", d.image, d.dir).CombinedOutput()
	d.mounted = err == nil
	return out, err
}

func (d *failingDisk) unmount() {
	if !d.mounted {
		return
	}
	d.mounted = false
	if out, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
		d.t.Errorf("umount: %v\n%s", err, out)
		if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
			d.t.Errorf("umount: %v", err)
		}
	}
}

// breakBlocks makes the block of the disk unreadable that has each of the texts.
func (d *failingDisk) breakBlocks(texts ...string) {
	d.t.Helper()
	d.unmount()
	f, err := os.OpenFile(d.image, os.O_RDWR, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	b, err := os.ReadFile(d.image)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, text := range texts {
		if n := bytes.Count(b, []byte(text)); n == 0 || n > 1 && !d.copies {
			d.t.Fatalf("%q is %d times on the disk", text, n)
		}
		for at := bytes.Index(b, []byte(text)); at >= 0; at = bytes.Index(b, []byte(text)) {
			if _, err := f.WriteAt(bytes.Repeat([]byte("#"), 4096), int64(at-at%4096)); err != nil {
				d.t.Fatal(err)
			}
			b[at] = '#'
		}
	}
	if err := f.Close(); err != nil {
		d.t.Fatal(err)
	}
	if out, err := d.mount(); err != nil {
		d.t.Fatalf("mount: %v\n%s", err, out)
	}
}

// longLetter is a letter with a body of so many lines of 40 bytes, each of which is once on
// a disk.
func longLetter(folder string, n, lines int, internal ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "From joe@example.com Mon Jun  2 10:11:%02d 2003\nSubject: %s %d\n", n, folder, n)
	for _, line := range internal {
		b.WriteString(line + "\n")
	}
	b.WriteString("\n")
	for i := range lines {
		fmt.Fprintf(&b, "%-39s\n", mark(folder, n, i))
	}
	return b.String() + "\n"
}

func mark(folder string, n, line int) string { return fmt.Sprintf("<%s %d %d>", folder, n, line) }

// TestBadBlocksOnARealDisk migrates folders of which the disk does not give a block, has
// what is lost approved, brings new mail, sees another block go bad, and, when the files
// have been rescued, all that was lost.
func TestBadBlocksOnARealDisk(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	d := newFailingDisk(t)
	h := &passHost{t: t, root: filepath.Join(d.dir, "host")}
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\n")
	state := filepath.Join(t.TempDir(), "state")

	const base = "X-IMAPbase: 1054563072 0000000020 Work"
	// A block in the body of one message, and one over several that have no UID yet.
	work := longLetter("work", 1, 10, base, "Status: RO", "X-UID: 2") + longLetter("work", 2, 150, "Status: RO", "X-UID: 3", "X-Keywords: Work") +
		longLetter("work", 3, 300, "Status: RO", "X-UID: 5") + longLetter("work", 4, 150, "Status: RO", "X-UID: 7")
	recent := longLetter("recent", 1, 90, base, "Status: RO", "X-UID: 2")
	for n := 2; n < 30; n++ {
		recent += longLetter("recent", n, 10)
	}
	// The beginning, with UIDVALIDITY.
	start := longLetter("start", 1, 10, base, "Status: RO", "X-UID: 2") + longLetter("start", 2, 150, "Status: RO", "X-UID: 4") + longLetter("start", 3, 5, "Status: RO", "X-UID: 6")
	// A block that goes bad later.
	later := longLetter("later", 1, 150, base, "Status: RO", "X-UID: 2") + longLetter("later", 2, 300, "Status: RO", "X-UID: 4") + longLetter("later", 3, 150, "Status: RO", "X-UID: 6")
	var mbx strings.Builder
	mbx.WriteString("*mbx*\r\n3edb6d2000000009\r\n")
	mbx.WriteString(strings.Repeat("\x00", 2048-mbx.Len()))
	for n := 1; n <= 3; n++ {
		text := strings.ReplaceAll(longLetter("mbx", n, 300), "\n", "\r\n")
		_, text, _ = strings.Cut(text, "\r\n")
		fmt.Fprintf(&mbx, " 2-Jun-2003 10:11:12 +0200,%d;000000000001-%08x\r\n%s", len(text), n, text)
	}
	whole := map[string]string{"var/mail/joe": letter(1), "home/joe/mail/work": work, "home/joe/mail/recent": recent,
		"home/joe/mail/start": start, "home/joe/mail/later": later, "home/joe/mail/mbx": mbx.String()}
	for path, text := range whole {
		h.write(path, text)
	}
	d.breakBlocks(mark("work", 3, 150), mark("recent", 8, 1), mark("start", 1, 1), mark("mbx", 2, 150))
	if _, err := os.ReadFile(filepath.Join(h.root, "home/joe/mail/work")); !errors.Is(err, unix.EIO) {
		t.Fatalf("the block can be read: %v", err)
	}

	do := runWith(t, flagsFor(srv, h.root, state)...)
	plan := do(2, "plan")
	if n := len(plan.problems("unreadable-range")); n != 4 {
		t.Errorf("plan tells of %d ranges: %v", n, plan.severe())
	}
	for _, p := range plan.problems("unreadable-range") {
		if text := p["text"].(string); !strings.Contains(text, "4096 bytes at offset") || !strings.Contains(text, "ddrescue") || !strings.Contains(text, "(the file: home/joe/mail/"+p["folder"].(string)+")") || p["user"] != "joe" || p["folder"] == "" {
			t.Errorf("it is not said where and what to do: %v", p)
		}
	}
	first := do(2, "migrate")
	if s := first.summary(t); s["messages_held"] != 4.0 || s["messages_verified"].(float64) == 0 {
		t.Errorf("%v", s)
	}
	ledger, err := os.ReadFile(filepath.Join(state, "ledger.jsonl"))
	if err != nil || strings.Count(string(ledger), `"unreadable":4096`) < 4 {
		t.Errorf("the ledger does not have the ranges: %v", err)
	}
	boxes, _ := filepath.Glob(filepath.Join(state, "held", "*.mbox"))
	var held strings.Builder
	for _, box := range boxes {
		b, err := os.ReadFile(box)
		if err != nil {
			t.Fatal(err)
		}
		held.Write(b)
	}
	if s := held.String(); len(boxes) != 4 || !strings.Contains(s, mark("work", 3, 1)) || !strings.Contains(s, mark("work", 3, 299)) || !strings.Contains(s, "\n"+strings.Repeat("?", 63)+"\n") {
		t.Errorf("%d mboxes of what is held, of %d bytes: what can be read of the message is not there, or the hole is not marked", len(boxes), len(s))
	}
	do(2, "verify", "--level", "content")

	served := serve(t, srv)
	want := func(folder string, uids ...uint32) {
		t.Helper()
		var have []uint32
		for _, m := range served[folder].Messages {
			have = append(have, m.UID)
		}
		if !slices.Equal(have, uids) {
			t.Errorf("%s has UIDs %v, want %v", folder, have, uids)
		}
	}
	want("INBOX", 1)
	want("work", 2, 3, 7)
	want("later", 2, 4, 6)
	want("mbx", 1, 3)
	if v := served["work"].UIDValidity; v != 1054563072 {
		t.Errorf("UIDVALIDITY of work is %d", v)
	}
	given := map[[32]byte]uint32{} // UIDs of the folder whose messages UW had not numbered yet
	for _, m := range served["recent"].Messages {
		given[m.SHA256] = m.UID
	}
	if len(given) < 15 || len(given) > 28 {
		t.Errorf("recent has %d messages", len(given))
	}
	startValidity := served["start"].UIDValidity
	if startValidity == 1054563072 || len(served["start"].Messages) != 1 {
		t.Errorf("start: %+v", served["start"])
	}

	if code := run([]string{"mbox2cyrus", "approve", "--state", state, "--all", "--by", "ann"}, &bytes.Buffer{}, &bytes.Buffer{}); code != 0 {
		t.Fatalf("approve: exit code %d", code)
	}
	do(0, "migrate")
	do(0, "verify", "--level", "content")

	// A block goes bad under mail that Cyrus has, and new mail comes.
	h.append("home/joe/mail/later", letter(4))
	h.append("home/joe/mail/work", letter(5))
	d.breakBlocks(mark("later", 2, 150))
	do(2, "migrate")
	do(2, "verify", "--level", "content")
	served = serve(t, srv)
	want("later", 2, 4, 6, 21)
	want("work", 2, 3, 7, 21)
	if got := strings.Count(strings.Join(do(2, "migrate").severe(), "\n"), "wait for approve"); got != 1 {
		t.Errorf("%d things wait for approval, want the one that is new", got)
	}

	// All files are rescued.
	whole["home/joe/mail/work"] += letter(5)
	whole["home/joe/mail/later"] += letter(4)
	for path, text := range whole {
		if err := os.Remove(filepath.Join(h.root, path)); err != nil {
			t.Fatal(err)
		}
		h.write(path, text)
	}
	last := do(0, "migrate")
	if s := last.summary(t); s["messages_held"] != 0.0 || s["messages_found"] != s["messages_verified"] {
		t.Errorf("%v", s)
	}
	do(0, "verify", "--level", "content")
	served = serve(t, srv)
	want("work", 2, 3, 5, 7, 21)
	want("later", 2, 4, 6, 21)
	want("mbx", 1, 2, 3)
	want("start", 2, 4, 6)
	if v := served["start"].UIDValidity; v != 1054563072 {
		t.Errorf("UIDVALIDITY of start is %d", v)
	}
	uids := map[uint32]bool{}
	for _, m := range served["recent"].Messages {
		if uid, ok := given[m.SHA256]; ok && uid != m.UID {
			t.Errorf("UID %d became %d", uid, m.UID)
		}
		uids[m.UID] = true
	}
	if len(uids) != 29 {
		t.Errorf("recent has %d messages, want 29", len(uids))
	}
	// It stays so.
	h.append("home/joe/mail/recent", letter(31))
	do(0, "migrate")
	do(0, "verify", "--level", "content")
	served = serve(t, srv)
	for _, m := range served["recent"].Messages {
		if uid, ok := given[m.SHA256]; ok && uid != m.UID {
			t.Errorf("UID %d became %d", uid, m.UID)
		}
	}
	if n := len(served["recent"].Messages); n != 30 {
		t.Errorf("recent has %d messages, want 30", n)
	}
	if entries, err := os.ReadDir(filepath.Join(state, "held")); err != nil || len(entries) != 0 {
		t.Errorf("something is held still: %v, %v", entries, err)
	}
}

// append adds to a file of the host.
func (h *passHost) append(path, text string) {
	h.t.Helper()
	f, err := os.OpenFile(filepath.Join(h.root, path), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		h.t.Fatal(err)
	}
}

// TestRetireOfUnreadableFolder: of a user who has a folder that cannot be read as a whole
// nothing is moved, although somebody approved of what is held, until the file is rescued.
// Others go.
func TestRetireOfUnreadableFolder(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	d := newFailingDisk(t)
	h := &passHost{t: t, root: filepath.Join(d.dir, "host")}
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nkim:x:1002:1002::/home/kim:/bin/sh\n")
	work := longLetter("work", 1, 10) + longLetter("work", 2, 300) + longLetter("work", 3, 10)
	h.write("home/joe/mail/apart", letter(1))
	h.write("home/joe/mail/work", work)
	h.write("home/joe/mail/zoo", letter(1))
	h.writeAs(1002, "var/mail/kim", letter(1))
	archive := makeArchive(t, d.dir)
	d.breakBlocks(mark("work", 2, 150))
	state := filepath.Join(t.TempDir(), "state")
	do := runWith(t, flagsFor(srv, h.root, state)...)
	do(2, "migrate")
	if code := run([]string{"mbox2cyrus", "approve", "--state", state, "--all", "--by", "ann"}, &bytes.Buffer{}, &bytes.Buffer{}); code != 0 {
		t.Fatalf("approve: exit code %d", code)
	}
	do(0, "verify", "--level", "content")

	for _, args := range [][]string{{"retire", "--dry-run", "--archive", archive}, {"retire", "--archive", archive}} {
		o := do(2, args...)
		if n := len(o.problems("not-retired")); n != 1 || len(o.problems("unreadable-range")) != 1 {
			t.Errorf("%v: it is not said once why joe's mail stays:\n%s", args, strings.Join(o.severe(), "\n"))
		}
		for _, name := range []string{"apart", "work", "zoo"} {
			if _, err := os.Lstat(filepath.Join(h.root, "home/joe/mail", name)); err != nil {
				t.Errorf("%v: joe's mail was moved: %v", args, err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(archive, "var/mail/kim")); err != nil {
		t.Errorf("kim's mail stays too: %v", err)
	}

	if err := os.Remove(filepath.Join(h.root, "home/joe/mail/work")); err != nil {
		t.Fatal(err)
	}
	h.write("home/joe/mail/work", work)
	do(0, "migrate")
	do(0, "retire", "--archive", archive)
	if b, err := os.ReadFile(filepath.Join(archive, "home/joe/mail/work")); err != nil || string(b) != work {
		t.Errorf("the rescued folder is not in the archive: %v", err)
	}
}

// TestBadBlocksUnderLargeMessages: what Cyrus has of a message stays when a block of it goes bad,
// also where the message comes in several pieces: it is nearly as large as one, or a From_ line
// is lost and the next message seems to be a part of it.
func TestBadBlocksUnderLargeMessages(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	d := newFailingDisk(t)
	h := &passHost{t: t, root: filepath.Join(d.dir, "host")}
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\n")
	h.write("var/mail/joe", letter(1))
	const base = "X-IMAPbase: 1054563072 0000000020"
	near := longLetter("near", 1, (1<<20-200)/41, base, "X-UID: 2")
	var first string
	for lines := 17000; len(first)%4096 < 1000 || len(first)%4096 > 3000; lines++ {
		first = longLetter("glued", 1, lines, base, "X-UID: 2")
	}
	h.write("home/joe/mail/near", near+letter(2, "X-UID: 3"))
	h.write("home/joe/mail/glued", first+longLetter("glued", 2, 17000, "X-UID: 3")+letter(3, "X-UID: 4"))
	args := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	do := runWith(t, args...)
	do(0, "migrate")
	before := messageFiles(t, srv)
	if !slices.ContainsFunc(slices.Collect(maps.Keys(before)), func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() <= 1<<20 && info.Size() > 1<<20-300
	}) {
		t.Errorf("no message has nearly 1 MiB")
	}
	h.append("home/joe/mail/near", letter(4))
	h.append("home/joe/mail/glued", letter(4))
	d.breakBlocks(mark("near", 1, 12000), mark("glued", 2, 0))
	do(2, "migrate")
	after := messageFiles(t, srv)
	if len(before) != 6 || len(after) != 8 {
		t.Errorf("%d message files became %d, want 6 and 8", len(before), len(after))
	}
	for path, inode := range before {
		if after[path] != inode {
			t.Errorf("%s is another file, or gone", path)
		}
	}
	do(2, "verify", "--level", "content")
}

// TestBadBlockAfterRemoval: mail is removed from a folder, which moves what is behind it, and a
// block of what is the first message now goes bad. Where that was before is not known when it is
// met: what Cyrus has of it must stay. So it is where a pass was cut off in between, which had
// read all of it.
func TestBadBlockAfterRemoval(t *testing.T) {
	const base = "X-IMAPbase: 1054563072 0000000020"
	second := func(first ...string) string { return longLetter("moved", 2, 300, append(first, "X-UID: 4")...) }
	rest := longLetter("moved", 3, 150, "X-UID: 6") + letter(4, "X-UID: 8")
	for _, c := range []struct {
		name, removed, rest string // what was before all, and what is behind
	}{
		{"as large as what was removed", longLetter("gone", 1, 301, base, "X-UID: 2"), rest},
		{"larger", letter(1, base, "X-UID: 2"), rest},
		{"and nothing is behind it", longLetter("gone", 1, 400, base, "X-UID: 2"), ""},
	} {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cut off before %v", c.name, cut), func(t *testing.T) { badBlockAfterRemoval(t, c.removed+second()+c.rest, second(base)+c.rest, cut) })
		}
	}
}

func badBlockAfterRemoval(t *testing.T, first, later string, cut bool) {
	srv := cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: true})
	d := newFailingDisk(t)
	h := &passHost{t: t, root: filepath.Join(d.dir, "host")}
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\n")
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/mail/moved", first)
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	before := serve(t, srv)["moved"].Messages
	h.write("home/joe/mail/moved", later)
	if cut {
		needStrace(t)
		killAtPaths(t, "renameat", []string{filepath.Join(srv.Spool, "user/joe/moved")}, append([]string{"migrate", "--quiet"}, flags...)...)
	}
	d.copies = true
	d.breakBlocks(mark("moved", 2, 150))
	o := runJSON(t, append([]string{"migrate"}, flags...)...)
	after := serve(t, srv)["moved"].Messages
	if o.code != 1 || len(before) < 2 || !slices.Equal(describe(cyrustest.MailboxView{Messages: before}), describe(cyrustest.MailboxView{Messages: after})) {
		t.Errorf("exit code %d, %q; %d messages became %d", o.code, o.severe(), len(before), len(after))
	}
}

// TestBadBlockInTheLast: the last message of a folder without UIDs of its own cannot be read any more
// where all before it are as they were. What Cyrus has of it stays.
func TestBadBlockInTheLast(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	d := newFailingDisk(t)
	h := &passHost{t: t, root: filepath.Join(d.dir, "host")}
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\n")
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/mail/work", longLetter("work", 1, 200)+longLetter("work", 2, 200)+longLetter("work", 3, 400))
	do := runWith(t, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)
	do(0, "migrate")
	had := serve(t, srv)["work"]
	d.breakBlocks(mark("work", 3, 200))
	for range 2 {
		now := time.Now()
		if err := os.Chtimes(filepath.Join(h.root, "home/joe/mail/work"), now, now); err != nil {
			t.Fatal(err)
		}
		if o := do(2, "migrate"); len(o.problems("unreadable-range")) == 0 {
			t.Errorf("%q", o.severe())
		}
		if got := serve(t, srv)["work"]; !slices.Equal(describe(got), describe(had)) || got.UIDValidity != had.UIDValidity {
			t.Errorf("work: %q, want %q", describe(got), describe(had))
		}
	}
	do(2, "verify", "--level", "content")
}

// TestBadBlockAfterMerge: a message that was appended to mail of Cyrus's own cannot be read any more
// on the host. It stays in Cyrus, and what is new comes.
func TestBadBlockAfterMerge(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	old := newPassHost(t)
	old.write("var/mail/joe", letter(1))
	runWith(t, flagsFor(srv, old.root, filepath.Join(t.TempDir(), "old"))...)(0, "migrate")
	d := newFailingDisk(t)
	h := &passHost{t: t, root: filepath.Join(d.dir, "host")}
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\n")
	h.write("var/mail/joe", longLetter("work", 1, 10)+longLetter("work", 2, 10)+longLetter("work", 3, 300))
	do := runWith(t, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)
	do(0, "migrate", "--merge")
	had := describe(serve(t, srv)["INBOX"])
	d.breakBlocks(mark("work", 3, 150))
	now := time.Now()
	if err := os.Chtimes(filepath.Join(h.root, "var/mail/joe"), now, now); err != nil {
		t.Fatal(err)
	}
	for more := range 3 {
		do(2, "migrate", "--merge")
		if got := describe(serve(t, srv)["INBOX"]); len(had) != 4 || len(got) != 4+more || !slices.Equal(got[:4], had) {
			t.Errorf("INBOX: %q, had %q, and %d came", got, had, more)
		}
		do(2, "verify", "--level", "content")
		h.append("var/mail/joe", letter(4+more))
	}
}
