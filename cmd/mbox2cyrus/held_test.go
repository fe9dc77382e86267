package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// heldHost has a damaged mbx folder of many pieces, and a message that is too large for
// --hold-above 500.
func heldHost(t *testing.T) *passHost {
	t.Helper()
	h := newPassHost(t)
	var mbx strings.Builder
	mbx.WriteString("*mbx*\r\n3edb6d2000000000\r\n")
	mbx.WriteString(strings.Repeat("\x00", 2048-mbx.Len()))
	for i := range 50 {
		const text = "Subject: a\r\n\r\nb\r\n"
		record := fmt.Sprintf(" 2-Jun-2003 10:11:12 +0200,%d;000000000000-00000000\r\n%s", len(text), text)
		fmt.Fprintf(&mbx, "junk %d\n\x00%s%s", i, record, record)
	}
	h.write("home/joe/mail/broken", mbx.String())
	h.write("var/mail/joe", letter(1)+letter(2, strings.Repeat("X-Long: line\n", 60))+letter(3))
	return h
}

// heldFiles are the contents of what is held, by kind of file, and when each was written.
func heldFiles(t *testing.T, state string) (contents []string, written map[string]time.Time) {
	t.Helper()
	written = map[string]time.Time{}
	entries, err := os.ReadDir(filepath.Join(state, "held"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(state, "held", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, filepath.Ext(e.Name())+"\n"+string(b))
		written[e.Name()] = info.ModTime()
	}
	slices.Sort(contents)
	return contents, written
}

// TestHeldWhereverItIsKilled kills the program at the system calls that write what is held,
// each kind in turn. What is held in the end is what an undisturbed run holds, and the next
// run writes none of it.
func TestHeldWhereverItIsKilled(t *testing.T) {
	needStrace(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	h := heldHost(t)
	migrate := func(srv *cyrustest.Server, state string) (command string, args []string) {
		return "migrate", append(flagsFor(srv, h.root, state), "--hold-above", "500")
	}
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	state := filepath.Join(t.TempDir(), "state")
	command, args := migrate(srv, state)
	o := runJSON(t, append([]string{command}, args...)...)
	sum := o.summary(t)
	if o.code != 2 || sum["messages_held"] != 51.0 || sum["messages_found"] != 103.0 || sum["messages_verified"] != 102.0 {
		t.Fatalf("exit code %d, %v\n%s", o.code, sum, strings.Join(o.severe(), "\n"))
	}
	want, _ := heldFiles(t, state)
	if len(want) != 4 {
		t.Fatalf("%d files are held", len(want))
	}
	for _, call := range []string{"openat", "write", "fsync", "renameat", "mkdirat"} {
		t.Run(call, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			state := filepath.Join(t.TempDir(), "state")
			command, args := migrate(srv, state)
			kills := 0
			for n := 1; ; n = nextFault(n, rnd) {
				code, stderr := runWithFault(t, "signal=KILL", call, n, append([]string{command, "--quiet"}, args...)...)
				if code == 2 {
					break
				}
				if code != -1 {
					t.Fatalf("after %d kills: exit code %d\n%s", kills, code, stderr)
				}
				kills++
			}
			if kills == 0 {
				t.Errorf("it was never killed: is %s the right call?", call)
			}
			have, before := heldFiles(t, state)
			if !slices.Equal(have, want) {
				t.Errorf("after %d kills other things are held: %d files, want %d", kills, len(have), len(want))
			}
			again := runJSON(t, append([]string{command}, args...)...)
			if _, after := heldFiles(t, state); again.code != 2 || !maps.EqualFunc(before, after, time.Time.Equal) {
				t.Errorf("the next run: exit code %d, files of %v, then %v", again.code, before, after)
			}
			v := runJSON(t, append([]string{"verify", "--level", "content"}, args...)...)
			if s := v.summary(t); v.code != 2 || s["messages_verified"] != 102.0 || s["messages_held"] != 51.0 {
				t.Errorf("verify: exit code %d, %v\n%s", v.code, s, strings.Join(v.severe(), "\n"))
			}
		})
	}
}

// TestRoomForHeldMail: plan tells what will be held takes of the state directory, and that
// it does not fit; migrate then takes no more than that.
func TestRoomForHeldMail(t *testing.T) {
	h := heldHost(t)
	const above = 100_000
	h.write("home/joe/mail/text", letter(1)+longLetter("text", 2, 9000))
	h.write("home/joe/mail/binary", strings.Replace(letter(2), "body", strings.Repeat("\x01\xffnot plain text\n", 20_000), 1))
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	args := func(command, state string) []string {
		return append([]string{command, "--hold-above", fmt.Sprint(above)}, flagsFor(srv, h.root, state)...)
	}

	state := filepath.Join(t.TempDir(), "state")
	plan := runJSON(t, args("plan", state)...)
	said := regexp.MustCompile(`needs about ([0-9]+) bytes for held mail in the state directory`).FindStringSubmatch(plan.stderr)
	if plan.code != 2 || said == nil || len(plan.problems("no-space")) > 0 {
		t.Fatalf("plan: exit code %d\n%s", plan.code, plan.stderr)
	}
	need, err := strconv.ParseInt(said[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}

	small := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	// Enough for the ledger as plan counts it (1 MB and 12 KB a mailbox).
	mountSmall(t, small, "size=1300k")
	plan = runJSON(t, args("plan", small)...)
	if p := plan.problems("no-space"); plan.code != 1 || len(p) != 1 || !strings.Contains(p[0]["text"].(string), "state directory "+small+": too small") {
		t.Errorf("plan with a small state directory: exit code %d\n%s", plan.code, plan.stderr)
	}

	if o := runJSON(t, args("migrate", state)...); o.code != 2 || o.summary(t)["messages_held"] != 52.0 {
		t.Fatalf("migrate: exit code %d\n%s", o.code, o.stderr)
	}
	var took int64
	entries, err := os.ReadDir(filepath.Join(state, "held"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(state, "held", e.Name()), &st); err != nil {
			t.Fatal(err)
		}
		took += st.Blocks * 512
	}
	if len(entries) != 6 || took > need || took < need/2 {
		t.Errorf("%d files take %d bytes, plan said %d", len(entries), took, need)
	}
}

// TestHeldLost: what is held is mail too. If its bytes, or the list of them, are gone, fewer, or
// others, verify says so, and migrate makes them again from a folder that was touched.
func TestHeldLost(t *testing.T) {
	h := heldHost(t)
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	state := filepath.Join(t.TempDir(), "state")
	do := runWith(t, append(flagsFor(srv, h.root, state), "--hold-above", "500")...)
	do(2, "migrate")
	want, _ := heldFiles(t, state)
	find := func(extension, text string) string {
		paths, err := filepath.Glob(filepath.Join(state, "held", "*"+extension))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.Contains(mustRead(t, path), text) {
				return path
			}
		}
		t.Fatalf("%q is not held", text)
		return ""
	}
	list, mail := find(".jsonl", "broken"), find(".mbox", "X-Long: line")
	cut := func(path string, n int64) func() error { return func() error { return os.Truncate(path, n) } }
	for _, test := range []struct {
		name        string
		do          func() error
		onlyContent bool
		source      string
	}{
		{"bytes gone", func() error { return os.Remove(mail) }, false, "var/mail/joe"},
		{"bytes fewer", cut(mail, int64(len(mustRead(t, mail)))-3), false, "var/mail/joe"},
		{"bytes others", func() error {
			return os.WriteFile(mail, []byte(strings.Replace(mustRead(t, mail), "line", "lime", 1)), 0o600)
		}, true, "var/mail/joe"},
		{"list gone", func() error { return os.Remove(list) }, false, "home/joe/mail/broken"},
		{"list fewer", cut(list, int64(strings.LastIndex(strings.TrimSpace(mustRead(t, list)), "\n"))+1), false, "home/joe/mail/broken"},
		{"list torn", cut(list, int64(len(mustRead(t, list)))-3), false, "home/joe/mail/broken"},
	} {
		do(2, "verify", "--level", "content")
		if err := test.do(); err != nil {
			t.Fatal(err)
		}
		if !test.onlyContent {
			for _, args := range [][]string{{"verify", "--level", "count"}, {"verify"}} {
				if o := do(3, args...); len(o.problems("held-lost")) != 1 {
					t.Errorf("%s: %v: %v", test.name, args, o.severe())
				}
			}
			if o := do(1, "migrate"); len(o.problems("held-lost")) != 1 {
				t.Errorf("%s: migrate: %v", test.name, o.severe())
			}
		}
		if o := do(3, "verify", "--level", "content"); len(o.problems("held-lost")) != 1 {
			t.Errorf("%s: %v", test.name, o.severe())
		}
		now := time.Now()
		if err := os.Chtimes(filepath.Join(h.root, test.source), now, now); err != nil {
			t.Fatal(err)
		}
		do(2, "migrate")
		if have, _ := heldFiles(t, state); !slices.Equal(have, want) {
			t.Errorf("%s: other things are held", test.name)
		}
	}
}

// TestHeldOfWhatIsLeft: what is held waits for a person also while its folder is in use, or gone,
// or its user is: each run tells it, and a report does until it is approved of.
func TestHeldOfWhatIsLeft(t *testing.T) {
	c := newCutHost(t)
	c.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nkim:x:1002:1002::/home/kim:/bin/sh\n")
	c.writeAs(1002, "var/mail/kim", letter(1))
	c.write("home/joe/mail/work", letter(2)+strings.TrimSuffix(letter(3), "\n")+strings.Repeat("x\n", 200)+"\n")
	path := filepath.Join(c.root, "home/joe/mail/work")
	told := func(when string) {
		t.Helper()
		for _, args := range [][]string{{"migrate"}, {"verify"}, {"verify", "--level", "content"}} {
			args = append(args, append(flagsFor(c.srv, c.root, c.state), "--hold-above", "200", "--lock", "yes", "--lock-wait", "1s")...)
			if o := runJSON(t, args...); o.code != 2 || len(o.problems("too-large")) != 1 {
				t.Errorf("%s: %s: exit code %d, %q", when, args[:3], o.code, o.severe())
			}
		}
		c.report(2)
	}
	told("at first")
	c.write("home/joe/mail/work.lock", "1\n")
	changed := time.Now()
	if err := os.Chtimes(path, changed, changed); err != nil {
		t.Fatal(err)
	}
	told("locked")
	if err := errors.Join(os.Remove(path+".lock"), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	told("the folder is gone")
	c.write("etc/passwd", "kim:x:1002:1002::/home/kim:/bin/sh\n")
	told("the user is gone")
	exclude := append(flagsFor(c.srv, c.root, c.state), "--hold-above", "200", "--exclude-user", "joe")
	excluded := func() {
		t.Helper()
		for _, command := range []string{"migrate", "verify"} {
			c.pass(0, append([]string{command}, exclude...)...)
		}
	}
	excluded()
	c.report(2)
	c.pass(0, "approve", "--by", "ann", "--all", "--state", c.state)
	for _, command := range []string{"migrate", "verify"} {
		c.pass(2, append([]string{command, "--hold-above", "200"}, flagsFor(c.srv, c.root, c.state)...)...)
	}
	excluded()
	c.report(0)
}

// TestReportOfManyThatAreApproved: of a user more is held than a history has one by one. When all of
// it is approved, a report has nothing left for a person, and not before. His letter tells of it
// once.
func TestReportOfManyThatAreApproved(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	var mail strings.Builder
	for n := range 250 {
		mail.WriteString(letter(n%60, fmt.Sprint("X-Number: ", n)))
	}
	h.write("var/mail/joe", mail.String())
	state := filepath.Join(t.TempDir(), "state")
	do := runWith(t)
	do(2, append([]string{"migrate", "--hold-above", "10"}, flagsFor(srv, h.root, state)...)...)
	reported := func(want int) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run([]string{"mbox2cyrus", "report", "--state", state}, &stdout, &stderr); code != want || want == 0 && !strings.Contains(stdout.String(), "too-large: 250 of 1 user") {
			t.Errorf("report: exit code %d, want %d\n%s%s", code, want, stdout.String(), stderr.String())
		}
	}
	letters := filepath.Join(t.TempDir(), "letters")
	var said bytes.Buffer
	if code := run([]string{"mbox2cyrus", "notify", "--state", state, "--output", letters}, &said, &said); code != 0 {
		t.Fatalf("notify: exit code %d\n%s", code, &said)
	}
	text, err := os.ReadFile(filepath.Join(letters, "joe.txt"))
	if err != nil || !strings.Contains(string(text), "250 items") || strings.Contains(string(text), "more of the same") {
		t.Errorf("letter: %v\n%s", err, text)
	}
	id := do(2, "approve", "--list", "--state", state).lines[0]["id"].(string)
	do(2, "approve", "--by", "Ann", "--state", state, id)
	reported(2)
	do(0, "approve", "--by", "Ann", "--all", "--state", state)
	reported(0)
}
