package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cyrusspool"
)

// TestWhatIndexLevelSees damages a mailbox in ways that can be seen without reading a
// message.
func TestWhatIndexLevelSees(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1)+letter(2)+letter(3))
	state := filepath.Join(t.TempDir(), "state")
	flags := flagsFor(srv, h.root, state)
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
		t.Fatalf("migrate: exit code %d\n%s", o.code, o.stderr)
	}
	dir := filepath.Join(srv.Spool, dirOf(t, srv, "user/joe"))
	if o := runJSON(t, append([]string{"verify", "--messages"}, flags...)...); o.code != 0 || o.summary(t)["messages_verified"] != 3.0 {
		t.Fatalf("verify: exit code %d\n%s", o.code, o.stderr)
	}
	// withHeader changes the header of the index, and its CRC with it.
	withHeader := func(change func(*cyrusspool.IndexHeader)) func([]byte) []byte {
		return func(b []byte) []byte {
			head, err := cyrusspool.ParseIndexHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			change(&head)
			out, err := head.AppendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			return append(out, b[len(out):]...)
		}
	}
	for _, c := range []struct {
		name, file string
		change     func(b []byte) []byte // nil: the file goes
		kind       string
		mark       string // of messages that are not as they must be
		bad        int
	}{
		{"a message file is gone", "2.", nil, "file-missing", "!", 1},
		{"a message file is cut short", "2.", func(b []byte) []byte { return b[:len(b)-2] }, "file-size", "!", 1},
		{"a byte of the cache", "cyrus.cache", func(b []byte) []byte { b[len(b)-5] ^= 1; return b }, "cache", "*", 1},
		{"the cache is cut short", "cyrus.cache", func(b []byte) []byte { return b[:len(b)-4] }, "cache", "*", 1},
		{"the cache is empty", "cyrus.cache", func(b []byte) []byte { return b[:0] }, "cache", "*", 3},
		{"the cache is gone", "cyrus.cache", nil, "cache", "*", 3},
		{"the cache is of another index", "cyrus.cache", func(b []byte) []byte { b[3] ^= 1; return b }, "cache", "", 0},
		{"mail came in, and more is gone", "cyrus.index", withHeader(func(h *cyrusspool.IndexHeader) { h.LastUID++; h.Exists-- }), "count", "", 0},
		{"the index counts other messages", "cyrus.index", withHeader(func(h *cyrusspool.IndexHeader) { h.QuotaMailboxUsed++ }), "index-sums", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, c.file)
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if c.change == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, c.change(slices.Clone(good)), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			o := runJSON(t, append([]string{"verify", "--messages"}, flags...)...)
			if o.code != 3 || len(o.problems(c.kind)) == 0 {
				t.Errorf("exit code %d\n%s", o.code, strings.Join(o.severe(), "\n"))
			}
			bad := 0
			for _, line := range o.lines {
				if line["message_type"] == "message" && line["mark"] != "=" {
					bad++
					if line["mark"] != c.mark {
						t.Errorf("%v", line)
					}
				}
			}
			if bad != c.bad {
				t.Errorf("%d messages are marked, want %d", bad, c.bad)
			}
			if err := os.WriteFile(path, good, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
	if o := runJSON(t, append([]string{"verify"}, flags...)...); o.code != 0 {
		t.Errorf("put right again: exit code %d\n%s", o.code, o.stderr)
	}
}

// TestWhatCountLevelSees changes numbers in the header of an index.
func TestWhatCountLevelSees(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	h.write("var/mail/joe", letter(1)+letter(2)+letter(3))
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
		t.Fatalf("migrate: exit code %d\n%s", o.code, o.stderr)
	}
	s := &saboteur{t: t, dir: filepath.Join(srv.Spool, dirOf(t, srv, "user/joe"))}
	index := filepath.Join(s.dir, "cyrus.index")
	good, err := os.ReadFile(index)
	s.must(err)
	if head, err := cyrusspool.ParseIndexHeader(good); err != nil || head.Version < cyrusspool.Version12 {
		t.Skip("needs an index that counts its messages, of Cyrus 2.4 or later", err)
	}
	for _, c := range []struct {
		name   string
		change func(*cyrusspool.IndexHeader)
		code   int
		kinds  []string
	}{
		{"nothing", func(*cyrusspool.IndexHeader) {}, 0, nil},
		{"a message is gone", func(h *cyrusspool.IndexHeader) { h.Exists-- }, 3, []string{"count"}},
		{"a message more, of no UID", func(h *cyrusspool.IndexHeader) { h.Exists++ }, 3, []string{"count"}},
		{"mail came in", func(h *cyrusspool.IndexHeader) { h.Exists, h.LastUID = h.Exists+1, h.LastUID+1 }, 2, []string{"newer-mail"}},
		{"mail came in, and more is gone", func(h *cyrusspool.IndexHeader) { h.Exists, h.LastUID = h.Exists-1, h.LastUID+1 }, 3, []string{"newer-mail", "count"}},
		{"UIDVALIDITY", func(h *cyrusspool.IndexHeader) { h.UIDValidity++ }, 3, []string{"uidvalidity"}},
		{"UIDNEXT", func(h *cyrusspool.IndexHeader) { h.LastUID-- }, 3, []string{"uidnext"}},
	} {
		s.header(c.change)
		o := runJSON(t, append([]string{"verify", "--level", "count"}, flags...)...)
		for _, kind := range c.kinds {
			if len(o.problems(kind)) != 1 {
				t.Errorf("%s: no %s", c.name, kind)
			}
		}
		if o.code != c.code || len(o.severe()) != len(c.kinds) {
			t.Errorf("%s: exit code %d, want %d: %q", c.name, o.code, c.code, o.severe())
		}
		s.must(os.WriteFile(index, good, 0o600))
	}
}

// TestLostOfEarlierPass: in a mailbox that was appended to, a message of an earlier pass that
// its user removed is no difference, and one whose message file was lost is.
func TestLostOfEarlierPass(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	do := runWith(t, flags...)
	h.write("var/mail/joe", letter(1)+letter(2)+letter(3))
	do(0, "migrate")
	useCyrus(t, srv, appendAndFlag)
	useCyrus(t, srv, expunge("INBOX", 3))
	h.write("var/mail/joe", letter(1)+letter(2)+letter(3)+letter(4))
	do(2, "migrate", "--on-conflict", "append")
	levels := [][]string{{"--level", "index"}, {"--level", "content"}}
	if piped, _ := imapdOnPipe(); piped {
		levels = append(levels, []string{"--level", "count", "--imap"})
	}
	for _, level := range levels {
		if o := runJSON(t, append(append([]string{"verify"}, level...), flags...)...); o.code != 0 && o.code != 2 {
			t.Errorf("%q, before: exit code %d\n%s", level, o.code, o.stderr)
		}
	}
	if err := os.Remove(filepath.Join(srv.Spool, dirOf(t, srv, "user/joe"), "2.")); err != nil {
		t.Fatal(err)
	}
	for _, level := range levels {
		o := do(3, append([]string{"verify"}, level...)...)
		kind := "file-missing"
		if level[1] == "count" {
			kind = "imap-missing"
		}
		if p := o.problems(kind); len(p) != 1 || o.summary(t)["differences"] != 1.0 {
			t.Errorf("%q: %q", level, o.severe())
		}
	}
	for _, line := range do(3, "verify", "--messages").lines {
		if line["message_type"] == "message" && (line["mark"] == "!") != (line["uid"] == 2.0) {
			t.Errorf("%v", line)
		}
	}
}

// TestVerifyStopped: a verify that is stopped before it is done with a user leaves said of him
// what the one before found.
func TestVerifyStopped(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h, state := newPassHost(t), filepath.Join(t.TempDir(), "state")
	flags := flagsFor(srv, h.root, state)
	h.write("var/mail/joe", letter(1)+letter(2))
	h.write("home/joe/mail/zz", letter(3))
	do := runWith(t, flags...)
	do(0, "migrate")
	if err := os.Remove(filepath.Join(srv.Spool, dirOf(t, srv, "user/joe/zz"), "1.")); err != nil {
		t.Fatal(err)
	}
	verify := []string{"verify", "--level", "content"}
	do(3, verify...)
	do(2, append(verify, "--bwlimit", "1", "--max-duration", "3s")...)
	var out, errs bytes.Buffer
	if code := run([]string{"mbox2cyrus", "report", "--state", state}, &out, &errs); code != 3 {
		t.Errorf("report: exit code %d, want 3\n%s%s", code, out.String(), errs.String())
	}
	do(3, append(verify, "--only-failed")...)
}

// TestCacheOfEarlierPass: in a mailbox that was appended to, the cache record of a message of
// an earlier pass is damaged.
func TestCacheOfEarlierPass(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	do := runWith(t, flags...)
	h.write("var/mail/joe", letter(1)+letter(2))
	do(0, "migrate")
	useCyrus(t, srv, appendAndFlag)
	h.write("var/mail/joe", letter(1)+letter(2)+letter(3))
	do(0, "migrate", "--on-conflict", "append")
	do(0, "verify")
	path := filepath.Join(srv.Spool, dirOf(t, srv, "user/joe"), "cyrus.cache")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[10] ^= 1 // in the record of the first message
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, level := range []string{"index", "content"} {
		o := do(3, "verify", "--level", level, "--messages")
		if p := o.problems("cache"); len(p) != 1 || !strings.Contains(p[0]["text"].(string), "UID 1:") {
			t.Errorf("%s: %v", level, o.severe())
		}
	}
}

// TestCyrusLooksElsewhere: the mail is where it was written, and Cyrus's list says that the
// mailbox is on another partition, or in the other layout.
func TestCyrusLooksElsewhere(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{Partitions: []string{"other"}})
	dump := func() string {
		t.Helper()
		said, err := srv.Run(context.Background(), "ctl_mboxlist", "-d")
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
	if !strings.HasPrefix(strings.TrimSpace(dump()), "{") {
		t.Skip("needs a list in JSON, as from Cyrus 3.6 on")
	}
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1)+letter(2))
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
		t.Fatalf("migrate: exit code %d\n%s", o.code, o.stderr)
	}
	good := dump()
	list := func(entries string) {
		t.Helper()
		if out, err := enter(srv, entries); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for _, c := range []struct{ from, to string }{
		{`"partition": "default"`, `"partition": "other"`},
		{`"mbtype": "e"`, `"mbtype": "el"`},
	} {
		list(strings.ReplaceAll(good, c.from, c.to))
		if dump() == good {
			t.Fatalf("%s is not in %s", c.from, good)
		}
		for _, level := range []string{"count", "index", "content"} {
			o := runJSON(t, append([]string{"verify", "--level", level}, flags...)...)
			if o.code != 3 || len(o.problems("not-in-cyrus")) != 1 {
				t.Errorf("%s, %s: exit code %d, %q", c.to, level, o.code, o.severe())
			}
		}
		// A later pass would bring mail to where Cyrus does not look.
		h.append("var/mail/joe", letter(3))
		before := messageFiles(t, srv)
		o := runJSON(t, append([]string{"migrate"}, flags...)...)
		if o.code == 0 || o.summary(t)["messages_verified"] != 0.0 || len(messageFiles(t, srv)) != len(before) {
			t.Errorf("%s: migrate: exit code %d, %v, %q", c.to, o.code, o.summary(t), o.severe())
		}
		list(good)
	}
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 || o.summary(t)["messages_verified"] != 4.0 {
		t.Errorf("put right again: exit code %d, %q", o.code, o.severe())
	}
}

// TestContentSeesFolder: what changed in a folder is in none of its messages.
func TestContentSeesFolder(t *testing.T) {
	for _, c := range []struct{ name, path, from, to, kind string }{
		{"nothing", "var/mail/joe", "x", "x", ""},
		{"another name of a keyword", "var/mail/joe", "Junk", "Jank", "keywords"},
		{"another name of a keyword that is no atom", "var/mail/joe", "a(b", "c(b", "keywords"},
		{"a UID that was used", "var/mail/joe", "1054541472 2 ", "1054541472 3 ", "uidnext"},
		{"a byte that is held", "home/joe/mail/broken", "junk 7\n", "lunk 7\n", "source-changed"},
		{"a message that is held", "var/mail/joe", "X-Long: line\n", "X-Long: lime\n", "source-changed"},
		{"one more message to be held", "home/joe/mail/small", letter(3), letter(3) + letter(4, strings.Repeat("X-Long: line\n", 60)), "source-changed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{})
			h := heldHost(t)
			h.write("home/joe/mail/small", letter(1)+letter(2)+letter(3))
			h.write("var/mail/joe", letter(1, "X-IMAPbase: 1054541472 2 Junk a(b", "X-UID: 1", "X-Keywords: Junk a(b")+
				letter(2, "X-UID: 2", strings.Repeat("X-Long: line\n", 60)))
			flags := append(flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state")), "--hold-above", "500")
			if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 2 {
				t.Fatalf("migrate: exit code %d\n%s", o.code, o.stderr)
			}
			text, err := os.ReadFile(filepath.Join(h.root, c.path))
			if err != nil {
				t.Fatal(err)
			}
			h.write(c.path, strings.ReplaceAll(string(text), c.from, c.to))
			o := runJSON(t, append([]string{"verify", "--level", "content"}, flags...)...)
			switch {
			case c.kind == "" && o.code != 2:
				t.Errorf("exit code %d, %q", o.code, o.severe())
			case c.kind != "" && (o.code != 3 || len(o.problems(c.kind)) == 0):
				t.Errorf("exit code %d, no %s: %q", o.code, c.kind, o.severe())
			}
		})
	}
}
