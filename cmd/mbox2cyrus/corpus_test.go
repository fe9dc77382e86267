package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// corpusFolder is what UW's c-client 2007f returns for a real folder.
type corpusFolder struct {
	Driver      string
	Folder      bool
	Keywords    []string
	UIDValidity *uint32
	UIDLast     *uint32
	Msgs        []struct {
		UID          *uint32
		Flags        []string
		InternalDate string
		Bytes        int64
		SHA256       string
	}
}

// TestCorpusThroughCyrus migrates real folders of many origins, one user each
// ten, whose INBOX is the first, and compares what Cyrus serves with what UW's
// c-client returned.
func TestCorpusThroughCyrus(t *testing.T) {
	shared := os.Getenv("MBOX2CYRUS_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	data, err := os.ReadFile(filepath.Join(shared, "corpus", "expected.json"))
	if err != nil {
		t.Skipf("no shared corpus (set MBOX2CYRUS_SHARED): %v", err)
	}
	var corpus map[string]corpusFolder
	if err := json.Unmarshal(data, &corpus); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, f := range corpus {
		if f.Folder && f.Driver == "unix" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	var passwd strings.Builder
	contents := map[string][]byte{}
	place := func(i int) (user, mailbox, path string) {
		user = fmt.Sprintf("user%02d", i/10)
		if i%10 == 0 {
			return user, "INBOX", filepath.Join("var", "mail", user)
		}
		mailbox = fmt.Sprintf("f%03d", i)
		return user, mailbox, filepath.Join("home", user, "mail", mailbox)
	}
	for i, name := range names {
		user, _, path := place(i)
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(shared, "corpus", name))
		if err != nil {
			t.Fatal(err)
		}
		contents[name] = b
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			fmt.Fprintf(&passwd, "%s:x:%d:1000::/home/%s:/bin/sh\n", user, 2000+i, user)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc", "passwd"), []byte(passwd.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	o := runJSON(t, "migrate", "--source-root", root, "--imapd-conf", srv.Conf, "--state", state, "--source-timezone", "UTC")
	// The folders are of many hosts, and of as many zones: that is said.
	if n := len(o.problems("from-dates")); o.code != 2 || n != 1 || len(o.severe()) != n {
		t.Errorf("exit code %d:\n%s", o.code, strings.Join(o.severe(), "\n"))
	}
	v := runJSON(t, "verify", "--level", "content", "--source-root", root, "--imapd-conf", srv.Conf, "--state", state, "--source-timezone", "UTC")
	if v.code != 0 {
		t.Errorf("verify: exit code %d:\n%s", v.code, strings.Join(v.severe(), "\n"))
	}
	views := map[string]map[string]cyrustest.MailboxView{}
	for i := range names {
		if user, _, _ := place(i); i%10 == 0 {
			if err := srv.AddUser(user, "secret"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := srv.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for i, name := range names {
		user, mailbox, _ := place(i)
		if views[user] == nil {
			all, err := cyrustest.ReadAll(srv.IMAPAddr(), user, "secret")
			if err != nil {
				t.Fatal(err)
			}
			views[user] = map[string]cyrustest.MailboxView{}
			for _, v := range all {
				views[user][v.Name] = v
			}
		}
		compareWithCClient(t, name, contents[name], corpus[name], views[user][mailbox])
		compared += len(corpus[name].Msgs)
	}
	t.Logf("compared %d messages of %d folders", compared, len(names))
}

func compareWithCClient(t *testing.T, name string, file []byte, want corpusFolder, have cyrustest.MailboxView) {
	t.Helper()
	if len(have.Messages) != len(want.Msgs) {
		t.Errorf("%s: %d messages, want %d", name, len(have.Messages), len(want.Msgs))
		return
	}
	if want.UIDValidity != nil && (have.UIDValidity != *want.UIDValidity || have.UIDNext != *want.UIDLast+1) {
		t.Errorf("%s: UIDVALIDITY %d, UIDNEXT %d, want %d, %d", name, have.UIDValidity, have.UIDNext, *want.UIDValidity, *want.UIDLast+1)
	}
	for i, w := range want.Msgs {
		h := have.Messages[i]
		if w.UID != nil && h.UID != *w.UID {
			t.Errorf("%s: message %d: UID %d, want %d", name, i+1, h.UID, *w.UID)
		}
		flags := slices.Clone(w.Flags)
		slices.Sort(flags)
		if !slices.EqualFunc(h.Flags, flags, strings.EqualFold) {
			t.Errorf("%s: message %d: flags %q, want %q", name, i+1, h.Flags, flags)
		}
		date, err := time.Parse("_2-Jan-2006 15:04:05 -0700", strings.TrimSpace(w.InternalDate))
		if err != nil {
			t.Fatal(err)
		}
		// The beginning of 1970 is c-client's word for a date that it cannot parse.
		if date.Unix() != 0 && !h.InternalDate.Equal(date) {
			t.Errorf("%s: message %d: date %v, want %v", name, i+1, h.InternalDate, date)
		}
		// A NUL goes out as 0x80, and UW's next rewrite ends a last line without
		// an end (uw-mbox 2.3): there the bytes differ from c-client's on purpose.
		repaired := bytes.IndexByte(file, 0) >= 0 || i == len(want.Msgs)-1 && file[len(file)-1] != '\n'
		if !repaired && (h.Size != w.Bytes || hex.EncodeToString(h.SHA256[:]) != w.SHA256) {
			t.Errorf("%s: message %d: %d bytes, want %d, or others of that number", name, i+1, h.Size, w.Bytes)
		}
	}
}
