package cyrustest

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"mbox2cyrus/reconstruct"
)

// Package reconstruct against the real programs. The tests are here because
// that package may not import this one.

func programs(t *testing.T, s *Server) *reconstruct.Programs {
	t.Helper()
	p, err := reconstruct.Find(BinDir, s.Conf)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProgramsAskedForFacts(t *testing.T) {
	s := ForTest(t, Options{})
	p := programs(t, s)
	if p.Credential == nil || int(p.Credential.Uid) != s.UID {
		t.Errorf("programs run as %+v", p.Credential)
	}
	version, err := p.Version(t.Context())
	if err != nil || !strings.HasPrefix(version, "3.") {
		t.Errorf("version %q, %v", version, err)
	}
	settings, err := p.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"partition-default": s.Spool, "configdirectory": s.ConfigDir, "unixhierarchysep": "yes", "hashimapspool": "no", "virtdomains": "off",
	} {
		if settings[key] != want {
			t.Errorf("%s: %q, want %q", key, settings[key], want)
		}
	}
}

// Mailboxes are made and entered, listed and found.
func TestProgramsOnEntries(t *testing.T) {
	s := ForTest(t, Options{})
	p := programs(t, s)
	ctx := t.Context()
	entries, form, err := p.List(ctx)
	// Up to 3.4 an empty list is nothing at all, in no form.
	if err != nil || len(entries) != 0 || form != reconstruct.FormJSON && form != reconstruct.FormUnknown {
		t.Fatalf("new server: %v, %s, %v", entries, form, err)
	}

	if err := p.Create(ctx, "default", "user/joe/a"); err == nil {
		t.Error("created below an INBOX that is not there")
	}
	for _, name := range []string{"user/joe", "user/joe/a", "user/joe/a/Entw&APw-rfe"} {
		if err := p.Create(ctx, "default", name); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Create(ctx, "default", "user/joe/a"); !errors.Is(err, reconstruct.ErrExists) {
		t.Errorf("a mailbox that is there: %v", err)
	}
	if err := p.Create(ctx, "nowhere", "user/joe/b"); err == nil {
		t.Error("created on a partition that is not there")
	}
	if _, form, err = p.List(ctx); err != nil || form != reconstruct.FormJSON && form != reconstruct.FormLine {
		t.Fatalf("form %s, %v", form, err)
	}
	other, mailType := reconstruct.FormLine, "e"
	if form == reconstruct.FormLine {
		other, mailType = reconstruct.FormJSON, "0"
	}
	kim := reconstruct.Entry{Name: "user.kim^bloggs", Partition: "default", Type: mailType, UniqueID: "0123456789abcdef01234567",
		UIDValidity: 1067811111, CreatedModSeq: 1, FolderModSeq: 1,
		ACL: []reconstruct.ACL{{ID: "kim.bloggs", Rights: "lrswipkxtecdan"}, {ID: "anyone", Rights: "p"}}}
	if err := p.Enter(ctx, form, []reconstruct.Entry{kim}); err != nil {
		t.Fatal(err)
	}
	old := kim
	old.Name, old.Type = "user.old", ""
	if other == reconstruct.FormJSON {
		old.Type = "e"
	}
	if err := p.Enter(ctx, other, []reconstruct.Entry{old}); err == nil {
		t.Errorf("entered in form %s, which this release does not have", other)
	}

	entries, _, err = p.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	want := []string{"user.joe", "user.joe.a", "user.joe.a.Entw&APw-rfe", "user.kim^bloggs"}
	if !slices.Equal(names, want) {
		t.Fatalf("entries %q", names)
	}
	got := entries[3]
	if got.Type != mailType || !slices.Equal(got.ACL, kim.ACL) {
		t.Errorf("entry %+v", got)
	}
	if form == reconstruct.FormJSON && (got.UIDValidity != kim.UIDValidity || got.UniqueID != kim.UniqueID) {
		t.Errorf("entry %+v", got)
	}

	paths, err := p.Paths(ctx, []string{"user/nobody", "user/joe/a/Entw&APw-rfe", "user/kim.bloggs", "user/Nobody"})
	if err != nil || len(paths) != 2 {
		t.Fatalf("%+v, %v", paths, err)
	}
	path, joe := paths["user/kim.bloggs"], paths["user/joe/a/Entw&APw-rfe"]
	dir := filepath.Join(s.Spool, "user/kim^bloggs")
	if form == reconstruct.FormJSON {
		dir = filepath.Join(s.Spool, "uuid/0/1", kim.UniqueID)
		if path.Internal != kim.Name {
			t.Errorf("path %+v", path)
		}
		if !strings.HasSuffix(joe.Sub, "/sub.db") {
			t.Errorf("path %+v", joe)
		}
	}
	if path.Data != dir || path.Meta != dir || joe.Data == "" {
		t.Errorf("paths %+v, %+v", path, joe)
	}
}

func TestProgramsRunning(t *testing.T) {
	s, other := ForTest(t, Options{}), ForTest(t, Options{})
	if pid, running, err := programs(t, s).Running(t.Context()); running || err != nil {
		t.Errorf("before: %d, %v", pid, err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pid, running, err := programs(t, s).Running(t.Context()); !running || pid != s.PID() || err != nil {
		t.Errorf("running: %d, %v, %v, want %d", pid, running, err, s.PID())
	}
	if pid, running, err := programs(t, other).Running(t.Context()); running || err != nil {
		t.Errorf("another configuration: %d, %v", pid, err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if pid, running, err := programs(t, s).Running(t.Context()); running || err != nil {
		t.Errorf("after: %d, %v", pid, err)
	}
}

// What reconstruct says of a mailbox that somebody wrote or damaged.
func TestReconstructReports(t *testing.T) {
	const messages = 3
	underived := func(t *testing.T, dir string) {
		editIndex(t, dir, func(header []byte, records [][]byte) {
			for _, r := range records {
				clear(r[8:12])    // sentdate
				clear(r[16:28])   // header_size, gmtime, cache_offset
				clear(r[104:108]) // cache_crc
			}
			clear(header[32:40]) // quota_mailbox_used
			exists := 84
			if binary.BigEndian.Uint32(header[8:]) >= 19 {
				exists = 60
			}
			clear(header[exists : exists+4])
		})
		// A generation number and no records.
		if err := os.Truncate(filepath.Join(dir, "cyrus.cache"), 4); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name, text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { writeAsCyrus(t, filepath.Join(dir, name), text) }
	}
	for name, tt := range map[string]struct {
		change func(t *testing.T, dir string)
		want   []string // complaints: kind, UID
		counts map[reconstruct.Kind]int64
	}{
		"nothing": {func(*testing.T, string) {}, nil, nil},
		"index without derived fields": {underived, nil,
			map[reconstruct.Kind]int64{reconstruct.KindDerived: 3 * messages, reconstruct.KindCache: messages}},
		"cache missing": {func(t *testing.T, dir string) { remove(t, dir, "cyrus.cache") }, nil,
			map[reconstruct.Kind]int64{reconstruct.KindCache: messages}},
		"uidvalidity of the index": {func(t *testing.T, dir string) {
			editIndex(t, dir, func(header []byte, _ [][]byte) { binary.BigEndian.PutUint32(header[44:], 1067811111) })
		}, nil, map[reconstruct.Kind]int64{reconstruct.KindEntry: 1}},
		// Cyrus says nothing of it: only the index tells what it made of this.
		"uidvalidity 0": {func(t *testing.T, dir string) {
			editIndex(t, dir, func(header []byte, _ [][]byte) { clear(header[44:48]) })
		}, nil, nil},
		"last uid too low": {func(t *testing.T, dir string) {
			editIndex(t, dir, func(header []byte, _ [][]byte) { binary.BigEndian.PutUint32(header[28:], 2) })
		}, []string{"uidnext changed 3"}, nil},
		"index damaged": {func(t *testing.T, dir string) {
			editFile(t, filepath.Join(dir, "cyrus.index"), func(b []byte) { b[50] ^= 1 })
		}, []string{"index lost 0", "message added 1", "message added 2", "message added 3"}, nil},
		"record damaged": {func(t *testing.T, dir string) {
			editFile(t, filepath.Join(dir, "cyrus.index"), func(b []byte) { b[160+112+50] ^= 1 })
		}, []string{"message renumbered 2"}, nil},
		"message missing":   {func(t *testing.T, dir string) { remove(t, dir, "2.") }, []string{"message missing 2"}, nil},
		"message empty":     {file("2.", ""), []string{"message missing 2"}, nil},
		"message changed":   {file("2.", "Subject: other\r\n\r\n"), []string{"message differs 2"}, nil},
		"message added":     {file("7.", "Subject: other\r\n\r\n"), []string{"message added 7"}, nil},
		"message of no use": {file("7", "Subject: other\r\n\r\n"), []string{"odd file 0"}, nil},
		"header missing": {func(t *testing.T, dir string) { remove(t, dir, "cyrus.header") },
			[]string{"index lost 0", "message added 1", "message added 2", "message added 3"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := ForTest(t, Options{})
			dir := mailbox(t, s, messages)
			tt.change(t, dir)
			p := programs(t, s)
			job := reconstruct.Job{Users: []string{"joe"}, Expect: []string{"user/joe"}}
			r, err := p.Reconstruct(t.Context(), job)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range r.Complaints {
				if c.Kind == reconstruct.KindUnknown || c.Kind == reconstruct.KindStderr {
					t.Errorf("not understood: %s", c)
				}
				got = append(got, fmt.Sprintf("%s %d", c.Kind, c.UID))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("complaints %q, want %q\n%v\n%v", got, tt.want, r.Complaints, r.Counts)
			}
			_, form, err := p.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for kind, n := range tt.counts {
				// Up to 3.4 the list has no UIDVALIDITY to be brought in line.
				if kind == reconstruct.KindEntry && form != reconstruct.FormJSON {
					n = 0
				}
				if r.Counts[kind] != n {
					t.Errorf("%d of kind %s, want %d: %v", r.Counts[kind], kind, n, r.Counts)
				}
			}
			if !slices.Equal(r.Mailboxes, []string{"user/joe"}) {
				t.Errorf("mailboxes %q", r.Mailboxes)
			}
		})
	}
}

// With dots for slashes, names are known by what is expected only.
func TestReconstructDots(t *testing.T) {
	s := ForTest(t, Options{DotSeparator: true})
	p := programs(t, s)
	names := []string{"user.joe", "user.joe.Sent"}
	for _, name := range names {
		if err := p.Create(t.Context(), "default", name); err != nil {
			t.Fatal(err)
		}
	}
	r, err := p.Reconstruct(t.Context(), reconstruct.Job{Users: []string{"joe"}, Expect: names})
	if err != nil || !r.Clean() || !slices.Equal(r.Mailboxes, names) {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = p.Reconstruct(t.Context(), reconstruct.Job{Users: []string{"joe"}})
	if err != nil || r.Counts[reconstruct.KindUnknown] != 1 {
		t.Errorf("without Expect: %+v, %v", r, err)
	}
}

// mailbox makes user/joe with messages in it and returns its directory.
func mailbox(t *testing.T, s *Server, messages int) string {
	t.Helper()
	p := programs(t, s)
	if err := p.Create(t.Context(), "default", "user/joe"); err != nil {
		t.Fatal(err)
	}
	if err := s.AddUser("joe", "secret"); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := Login(s.IMAPAddr(), "joe", "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range messages {
		text := fmt.Sprintf("Date: Tue, 1 Jul 2003 12:00:00 +0200\r\nSubject: %d\r\n\r\n%x\r\n", i, sha256.Sum256([]byte{byte(i)}))
		cmd := c.Append("INBOX", int64(len(text)), &imap.AppendOptions{Time: time.Unix(1057053600, 0)})
		if _, err := cmd.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	paths, err := p.Paths(t.Context(), []string{"user/joe"})
	if err != nil {
		t.Fatal(err)
	}
	return paths["user/joe"].Data
}

// editIndex changes an index of version 16 to 19 and makes its checksums right
// again (Cyrus imap/mailbox.h: header 160 bytes, record 112, a CRC-32 at the end
// of each).
func editIndex(t *testing.T, dir string, edit func(header []byte, records [][]byte)) {
	t.Helper()
	editFile(t, filepath.Join(dir, "cyrus.index"), func(b []byte) {
		if v := binary.BigEndian.Uint32(b[8:]); v < 16 || v > 19 {
			t.Skipf("index version %d, these tests know 16 to 19", v)
		}
		records := slices.Collect(slices.Chunk(b[160:], 112))
		edit(b[:160], records)
		for _, part := range append(records, b[:160]) {
			n := len(part) - 4
			binary.BigEndian.PutUint32(part[n:], crc32.ChecksumIEEE(part[:n]))
		}
	})
}

func editFile(t *testing.T, path string, edit func(b []byte)) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edit(b)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeAsCyrus(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := user.Lookup("cyrus")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, uid, -1); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}
