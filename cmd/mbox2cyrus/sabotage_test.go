package main

import (
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cyrusspool"
)

// A saboteur changes one thing of a mailbox that was migrated.
type saboteur struct {
	t        *testing.T
	dir      string // of the mailbox
	manifest string
}

func (s *saboteur) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *saboteur) edit(path string, change func([]byte) []byte) {
	s.t.Helper()
	b, err := os.ReadFile(path)
	s.must(err)
	s.must(os.WriteFile(path, change(b), 0o600))
}

func (s *saboteur) message(uid int) string { return filepath.Join(s.dir, fmt.Sprint(uid)+".") }

// header changes the header of the index, and its CRC with it.
func (s *saboteur) header(change func(*cyrusspool.IndexHeader)) {
	s.t.Helper()
	s.edit(filepath.Join(s.dir, "cyrus.index"), func(b []byte) []byte {
		h, err := cyrusspool.ParseIndexHeader(b)
		s.must(err)
		change(&h)
		out, err := h.AppendTo(nil)
		s.must(err)
		return append(out, b[len(out):]...)
	})
}

// record changes the second record of the index, and its CRC with it.
func (s *saboteur) record(change func(*cyrusspool.Record)) {
	s.t.Helper()
	s.edit(filepath.Join(s.dir, "cyrus.index"), func(b []byte) []byte {
		h, err := cyrusspool.ParseIndexHeader(b)
		s.must(err)
		at := h.Version.HeaderSize() + h.Version.RecordSize()
		r, err := cyrusspool.ParseRecord(b[at:], h.Version)
		s.must(err)
		change(&r)
		out, err := cyrusspool.AppendRecord(nil, h.Version, &r)
		s.must(err)
		copy(b[at:], out)
		return b
	})
}

// line changes a field of the manifest's line of the second message.
func (s *saboteur) line(field int, value string) {
	s.lines(func(lines []string) []string {
		fields := strings.Split(lines[2], "\t")
		fields[field] = value
		lines[2] = strings.Join(fields, "\t")
		return lines
	})
}

// lines changes the lines of the manifest, the first of which is its heading.
func (s *saboteur) lines(change func([]string) []string) {
	s.t.Helper()
	s.edit(s.manifest, func(b []byte) []byte {
		return []byte(strings.Join(change(slices.Collect(strings.Lines(string(b)))), ""))
	})
}

// TestSabotage changes one thing of a mailbox, or of its manifest, after another, and looks
// what each level of verify says of it.
func TestSabotage(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h, state := newPassHost(t), filepath.Join(t.TempDir(), "state")
	h.write("var/mail/joe", letter(1, "X-IMAPbase: 1054541472 6 One Two", "X-UID: 2", "X-Keywords: One", "Status: RO")+
		letter(2, "X-UID: 4", "X-Keywords: Two", "Status: RO")+letter(3, "X-UID: 6", "Status: O"))
	flags := flagsFor(srv, h.root, state)
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
		t.Fatalf("migrate: exit code %d\n%s", o.code, o.stderr)
	}
	manifests, err := filepath.Glob(filepath.Join(state, "manifests", "*"))
	if err != nil || len(manifests) != 1 {
		t.Fatal(manifests, err)
	}
	s := &saboteur{t, filepath.Join(srv.Spool, dirOf(t, srv, "user/joe")), manifests[0]}
	index, err := os.ReadFile(filepath.Join(s.dir, "cyrus.index"))
	s.must(err)
	if head, err := cyrusspool.ParseIndexHeader(index); err != nil || head.Version < cyrusspool.Version12 {
		t.Skip("needs an index with \\Seen, of Cyrus 2.4 or later", err)
	}
	good := map[string][]byte{s.manifest: nil}
	entries, err := os.ReadDir(s.dir)
	s.must(err)
	for _, e := range entries {
		good[filepath.Join(s.dir, e.Name())] = nil
	}
	for path := range good {
		good[path], err = os.ReadFile(path)
		s.must(err)
	}
	levels := [][]string{{"--level", "index"}, {"--level", "content"}}
	if piped, err := imapdOnPipe(); err != nil {
		t.Fatal(err)
	} else if piped {
		levels = append(levels, []string{"--level", "count", "--imap"})
	}

	const same, unasked = "", "-"
	for _, c := range []struct {
		name                 string
		do                   func()
		index, content, imap string // kinds of what is said, in their order
	}{
		{"nothing", func() {}, same, same, same},
		{"a byte of a body", func() { s.edit(s.message(4), func(b []byte) []byte { b[len(b)-4] ^= 1; return b }) }, same, "content", "imap-text"},
		{"a byte of a header", func() { s.edit(s.message(4), func(b []byte) []byte { b[3] ^= 1; return b }) }, same, "content header", "imap-text"},
		{"a message file is longer", func() { s.edit(s.message(4), func(b []byte) []byte { return append(b, '\n') }) }, "file-size", "content", same},
		{"two message files change places", func() {
			s.must(os.Rename(s.message(4), s.message(99)))
			s.must(os.Rename(s.message(6), s.message(4)))
			s.must(os.Rename(s.message(99), s.message(6)))
		}, same, "content content header header", "imap-text imap-text"},
		{"a message file is gone", func() { s.must(os.Remove(s.message(4))) }, "file-missing", "file-missing", unasked},
		{"a message file is a link", func() {
			s.must(os.Rename(s.message(4), s.message(99)))
			s.must(os.Symlink("99.", s.message(4)))
		}, "file-unreadable", "file-unreadable", unasked},
		{"a message file is a pipe", func() { // imapd waits for ever
			s.must(os.Remove(s.message(4)))
			s.must(unix.Mkfifo(s.message(4), 0o600))
		}, "file-unreadable", "file-unreadable", unasked},
		{"a flag", func() { s.record(func(r *cyrusspool.Record) { r.SystemFlags ^= cyrusspool.FlagSeen }) }, "flags", "flags", "imap-flags"},
		{"a keyword", func() { s.record(func(r *cyrusspool.Record) { r.UserFlags[0] = 0 }) }, "keywords", "keywords", "imap-flags"},
		{"a keyword too many", func() { s.record(func(r *cyrusspool.Record) { r.UserFlags[3] = 1 << 31 }) }, "keywords", "keywords", unasked},
		{"the date", func() { s.record(func(r *cyrusspool.Record) { r.InternalDate++ }) }, "date", "date", "imap-date"},
		{"the UID", func() { s.record(func(r *cyrusspool.Record) { r.UID++ }) }, "message-extra message-missing", "message-extra message-missing", unasked},
		{"the UID, of the file too", func() {
			s.record(func(r *cyrusspool.Record) { r.UID++ })
			s.must(os.Rename(s.message(4), s.message(5)))
		}, "message-extra message-missing", "file-missing message-extra message-missing", "imap-extra imap-missing"},
		{"the size", func() {
			s.record(func(r *cyrusspool.Record) { r.Size++ })
			s.header(func(h *cyrusspool.IndexHeader) { h.QuotaMailboxUsed++ })
		}, "file-size size", "size", unasked},
		{"the SHA-1", func() { s.record(func(r *cyrusspool.Record) { r.GUID[19]++ }) }, "sha1", "sha1", unasked},
		{"a message was not parsed", func() { s.record(func(r *cyrusspool.Record) { r.CacheOffset = 0 }) }, "not-rebuilt", "not-rebuilt", unasked},
		{"a message is expunged", func() { s.record(func(r *cyrusspool.Record) { r.SystemFlags |= cyrusspool.FlagExpunged }) },
			"count index-sums index-sums message-removed", "count index-sums index-sums message-removed", unasked},
		{"a message is unlinked", func() { s.record(func(r *cyrusspool.Record) { r.SystemFlags |= cyrusspool.FlagUnlinked }) }, "message-missing", "message-missing", unasked},
		{"UIDVALIDITY", func() { s.header(func(h *cyrusspool.IndexHeader) { h.UIDValidity++ }) }, "uidvalidity", "uidvalidity", "imap-uidvalidity uidvalidity"},
		{"UIDNEXT", func() { s.header(func(h *cyrusspool.IndexHeader) { h.LastUID-- }) }, "uidnext", "uidnext", "imap-uidnext uidnext"},
		{"the last record is not counted", func() { s.header(func(h *cyrusspool.IndexHeader) { h.NumRecords-- }) },
			"index-sums index-sums message-missing", "index-sums index-sums message-missing", unasked},
		{"the keywords change places", func() {
			header := filepath.Join(s.dir, "cyrus.header")
			s.edit(header, func(b []byte) []byte { return []byte(strings.Replace(string(b), "One Two", "Two One", 1)) })
			b, err := os.ReadFile(header)
			s.must(err)
			s.header(func(h *cyrusspool.IndexHeader) { h.HeaderFileCRC = crc32.ChecksumIEEE(b) })
		}, "keywords keywords", "keywords keywords", "imap-flags imap-flags"},
		{"the manifest lacks a message", func() { s.lines(func(l []string) []string { return slices.Delete(l, 2, 3) }) },
			"manifest message-extra", "manifest message-extra source-extra", "imap-extra"},
		{"the manifest lacks the last message", func() { s.lines(func(l []string) []string { return l[:3] }) },
			"manifest message-extra", "manifest message-extra source-extra", "imap-extra"},
		{"the manifest has a message more", func() {
			s.lines(func(l []string) []string { return append(l, strings.Replace(l[3], "6", "13", 1)) })
		}, "manifest message-missing", "manifest message-missing source-missing", "imap-missing"},
		{"the manifest has a message twice", func() { s.lines(func(l []string) []string { return slices.Insert(l, 2, l[2]) }) },
			"manifest message-missing", "manifest message-missing source-missing", "imap-missing"},
		{"the manifest has another date", func() { s.line(5, "1") }, "date", "date source-changed", "imap-date"},
		{"the manifest has another size", func() { s.line(3, "1") }, "size", "size source-changed", "imap-size imap-text"},
		{"the manifest has another offset", func() { s.line(1, "1") }, same, "source-changed", same},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.t = t
			c.do()
			for i, level := range levels {
				want := []string{c.index, c.content, c.imap}[i]
				if want == unasked {
					continue
				}
				code := 3
				if want == same {
					code = 0
				}
				o := runJSON(t, append(append([]string{"verify"}, level...), flags...)...)
				kinds := []string{}
				for _, p := range o.problems("") {
					if p["severity"] == "note" {
						continue
					}
					kinds = append(kinds, p["kind"].(string))
					if p["mailbox"] != "user.joe" {
						t.Errorf("%q: %v", level, p)
					}
				}
				slices.Sort(kinds)
				if have := strings.Join(kinds, " "); o.code != code || have != want {
					t.Errorf("%q: exit code %d, %q, want %q: %q", level, o.code, have, want, o.severe())
				}
				if verified := o.summary(t)["messages_verified"]; (verified == 3.0) != (code == 0) && i < 2 && c.name != "UIDVALIDITY" && c.name != "UIDNEXT" &&
					!strings.Contains(c.name, "manifest") {
					t.Errorf("%q: %v messages are verified", level, verified)
				}
			}
			s.must(os.RemoveAll(s.message(5)))
			s.must(os.RemoveAll(s.message(99)))
			for _, path := range slices.Sorted(maps.Keys(good)) {
				s.must(os.RemoveAll(path))
				s.must(os.WriteFile(path, good[path], 0o600))
				if path != s.manifest {
					s.must(os.Chown(path, srv.UID, srv.GID))
				}
			}
		})
	}
	s.t = t
}

// TestSabotageOfEarlierPass is the same in a mailbox that was appended to: of the messages of
// earlier passes only flags and dates are their user's by now.
func TestSabotageOfEarlierPass(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h, state := newPassHost(t), filepath.Join(t.TempDir(), "state")
	flags := flagsFor(srv, h.root, state)
	h.write("var/mail/joe", letter(1)+letter(2))
	migrate := func(more ...string) {
		t.Helper()
		if o := runJSON(t, append(append([]string{"migrate"}, more...), flags...)...); o.code != 0 {
			t.Fatalf("migrate: exit code %d, %q", o.code, o.severe())
		}
	}
	migrate()
	useCyrus(t, srv, appendAndFlag) // UID 3
	h.write("var/mail/joe", letter(1)+letter(2)+letter(3))
	migrate("--on-conflict", "append") // UID 4
	manifests, err := filepath.Glob(filepath.Join(state, "manifests", "*"))
	if err != nil || len(manifests) != 1 {
		t.Fatal(manifests, err)
	}
	s := &saboteur{t, filepath.Join(srv.Spool, dirOf(t, srv, "user/joe")), manifests[0]}
	listed, err := os.ReadFile(s.manifest)
	s.must(err)
	index := filepath.Join(s.dir, "cyrus.index")
	good, err := os.ReadFile(index)
	s.must(err)
	if head, err := cyrusspool.ParseIndexHeader(good); err != nil || head.Version < cyrusspool.Version12 {
		t.Skip("needs an index with CRCs, of Cyrus 2.4 or later", err)
	}
	for _, c := range []struct {
		name string
		do   func()
		kind string
	}{
		{"nothing", func() {}, ""},
		{"flag and date of an earlier message", func() {
			s.record(func(r *cyrusspool.Record) { r.SystemFlags, r.InternalDate = cyrusspool.FlagDraft, r.InternalDate+1 })
		}, ""},
		{"the SHA-1 of an earlier message", func() { s.record(func(r *cyrusspool.Record) { r.GUID[0]++ }) }, "sha1"},
		{"the first appended message", func() { s.header(func(h *cyrusspool.IndexHeader) { h.NumRecords-- }) }, "message-missing"},
		{"the manifest lacks an earlier message", func() { s.lines(func(l []string) []string { return slices.Delete(l, 2, 3) }) }, "manifest"},
		{"the file of the first appended message", func() { s.must(os.Remove(s.message(4))) }, "file-missing"}, // the last, for it stays gone
	} {
		c.do()
		for _, level := range []string{"index", "content"} {
			o := runJSON(t, append([]string{"verify", "--level", level}, flags...)...)
			if c.kind == "" && o.code == 3 || c.kind != "" && (o.code != 3 || len(o.problems(c.kind)) != 1) {
				t.Errorf("%s, %s: exit code %d, %q", c.name, level, o.code, o.severe())
			}
		}
		s.must(os.WriteFile(index, good, 0o600))
		s.must(os.WriteFile(s.manifest, listed, 0o600))
	}
}
