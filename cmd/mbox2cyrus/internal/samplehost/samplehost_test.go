package samplehost

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-mbox"
	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, opts Options) *Truth {
	t.Helper()
	truth, err := Write(filepath.Join(t.TempDir(), "host"), opts)
	if err != nil {
		t.Fatal(err)
	}
	return truth
}

func readFile(t *testing.T, elem ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// folders calls f for each folder of the host.
func (tr *Truth) folders(f func(u User, folder Folder)) {
	for _, u := range tr.Users {
		for _, folder := range u.Folders {
			f(u, folder)
		}
	}
}

func TestSameOptionsSameBytes(t *testing.T) {
	opts := Options{Seed: 7, Users: 2, Messages: 60}
	a, b := write(t, opts), write(t, opts)
	if diff := cmp.Diff(tree(t, a.Root), tree(t, b.Root)); diff != "" {
		t.Errorf("two hosts of one seed differ:\n%s", diff)
	}
	b.Root = a.Root
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("two truths of one seed differ:\n%s", diff)
	}
	opts.Seed = 8
	if c := write(t, opts); cmp.Equal(tree(t, a.Root), tree(t, c.Root)) {
		t.Error("another seed gave the same host")
	}
}

type entry struct {
	Mode     fs.FileMode
	UID, GID uint32
	Time     time.Time
	Sum      [sha256.Size]byte
}

// tree describes everything below root.
func tree(t *testing.T, root string) map[string]entry {
	t.Helper()
	entries := map[string]entry{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		owner := info.Sys().(*syscall.Stat_t)
		e := entry{Mode: info.Mode(), UID: owner.Uid, GID: owner.Gid}
		if d.Type()&fs.ModeSymlink == 0 {
			e.Time = info.ModTime()
		}
		if d.Type().IsRegular() {
			e.Sum = sha256.Sum256(readFile(t, path))
		}
		entries[strings.TrimPrefix(path, root)] = e
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestPlainHostHoldsWhatWasAsked(t *testing.T) {
	truth := write(t, Options{Users: 12, Messages: 501, Plain: true, CapitalUsers: true})
	count := 0
	truth.folders(func(u User, f Folder) {
		count += len(f.Messages)
		if f.Count != len(f.Messages) {
			t.Errorf("%s: Count %d, but %d messages", f.Path, f.Count, len(f.Messages))
		}
		if f.UIDValidity == 0 {
			t.Errorf("%s: no UIDVALIDITY", f.Path)
		}
	})
	if count != 501 {
		t.Errorf("%d messages, want 501", count)
	}
	names := []string{}
	for _, u := range truth.Users {
		names = append(names, u.Name)
	}
	if want := append(slices.Clone(logins), "user11", "user12", "John.Smith", "MaryAnn"); !slices.Equal(names, want) {
		t.Errorf("users %q, want %q", names, want)
	}
}

// Every message that the truth places at an offset must be there, and with
// its internal fields and separator gone have the bytes that the truth says.
func TestServedBytesAreInTheFiles(t *testing.T) {
	truth := write(t, Options{Users: 3, Messages: 400})
	truth.folders(func(u User, f Folder) {
		file := readFile(t, truth.Root, f.Path)
		var bytesServed int64
		uid := uint32(0)
		for i, m := range f.Messages {
			end := int64(len(file))
			if i+1 < len(f.Messages) {
				end = f.Messages[i+1].Offset
			}
			served := serve(t, file[m.Offset:end])
			if int64(len(served)) != m.Size || sha256.Sum256(served) != m.SHA256 {
				t.Errorf("%s, UID %d: the truth's %d octets are not what the file has:\n%q", f.Path, m.UID, m.Size, served)
			}
			if m.UID <= uid {
				t.Errorf("%s: UID %d after %d", f.Path, m.UID, uid)
			}
			uid = m.UID
			bytesServed += m.Size
		}
		if f.UIDNext <= uid {
			t.Errorf("%s: UIDNEXT %d, but UID %d exists", f.Path, f.UIDNext, uid)
		}
		if f.Bytes != bytesServed {
			t.Errorf("%s: Bytes %d, want %d", f.Path, f.Bytes, bytesServed)
		}
	})
}

// serve applies UW's rules to one message as filed, From_ line included.
func serve(t *testing.T, filed []byte) []byte {
	t.Helper()
	text := strings.ReplaceAll(string(filed), "\r\n", "\n")
	from, text, _ := strings.Cut(text, "\n")
	if !strings.HasPrefix(from, "From ") {
		t.Fatalf("message begins with %q", from)
	}
	header, body, ok := strings.Cut(text, "\n\n")
	if !ok {
		t.Fatalf("message without end of header: %q", text)
	}
	var kept strings.Builder
	for line := range strings.Lines(header + "\n") {
		name, _, _ := strings.Cut(line, ":")
		if !slices.Contains([]string{"Status", "X-Status", "X-Keywords", "X-UID", "X-IMAPbase"}, name) {
			kept.WriteString(line)
		}
	}
	if strings.HasSuffix(body, "\n\n") || body == "\n" {
		body = body[:len(body)-1]
	} else if body != "" && !strings.HasSuffix(body, "\n") {
		body += "\n"
	}
	body = strings.ReplaceAll(body, "\x00", "\x80")
	return []byte(strings.ReplaceAll(kept.String()+"\n"+body, "\n", "\r\n"))
}

// go-mbox takes any line that starts with "From " for a separator. All of
// them are quoted here but one in the trap, so it must find as many messages,
// plus the pseudo-message.
func TestGoMboxFindsTheMessages(t *testing.T) {
	truth := write(t, Options{Users: 2, Messages: 300})
	truth.folders(func(u User, f Folder) {
		file := readFile(t, truth.Root, f.Path)
		want := f.Count
		if bytes.Contains(file, []byte("\nX-IMAP: ")) {
			want++
		}
		if f.Name == "trap" {
			want++ // "From here on"
		}
		found := 0
		for r := mbox.NewReader(bytes.NewReader(file)); ; found++ {
			if _, err := r.NextMessage(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", f.Path, err)
			}
		}
		if found != want {
			t.Errorf("%s: go-mbox finds %d messages, want %d", f.Path, found, want)
		}
	})
}

func TestOddHost(t *testing.T) {
	truth := write(t, Options{Users: 1, Messages: 30})
	byName := map[string]User{}
	for _, u := range truth.Users {
		byName[u.Name] = u
	}
	for _, name := range append([]string{"joe"}, "oddnames", "oddfiles", "nohome", "noinbox", "emptyinbox", "nomail") {
		if _, ok := byName[name]; !ok {
			t.Errorf("user %s is missing", name)
		}
	}
	if u := byName["nohome"]; u.Home != "" || len(u.Folders) != 1 || !u.Folders[0].Inbox {
		t.Errorf("nohome is %+v, want an inbox and no home", u)
	}
	if u := byName["noinbox"]; len(u.Folders) != 1 || u.Folders[0].Inbox {
		t.Errorf("noinbox has folders %+v, want one that is no inbox", u.Folders)
	}
	if u := byName["emptyinbox"]; len(u.Folders) != 1 || u.Folders[0].Count != 0 || len(readFile(t, truth.Root, u.Folders[0].Path)) != 0 {
		t.Errorf("emptyinbox has folders %+v, want an inbox without bytes", u.Folders)
	}
	if u := byName["nomail"]; len(u.Folders) != 0 {
		t.Errorf("nomail has folders %+v", u.Folders)
	}
	if n := len(byName["oddfiles"].NotMail); n != len(notMail)+1 {
		t.Errorf("oddfiles has %d files that are no mail, want %d", n, len(notMail)+1)
	}
	for _, u := range truth.Users {
		for _, f := range u.NotMail {
			if _, err := os.Lstat(filepath.Join(truth.Root, f.Path)); err != nil {
				t.Error(err)
			}
		}
		for _, name := range u.Subscribed {
			if !slices.ContainsFunc(u.Folders, func(f Folder) bool { return f.Name == name }) {
				t.Errorf("%s subscribes %q, which is no folder", u.Name, name)
			}
		}
	}
	windows := readFile(t, truth.Root, "home/oddfiles/mail/from-windows")
	if lf, crlf := bytes.Count(windows, []byte("\n")), bytes.Count(windows, []byte("\r\n")); lf != crlf || lf == 0 {
		t.Errorf("from-windows has %d lines, of which %d end in CRLF", lf, crlf)
	}
	for _, f := range byName["oddfiles"].Folders {
		if f.Name == "procmail/unopened" && (f.UIDValidity != 0 || f.UIDNext != 7 || f.Messages[5].UID != 6) {
			t.Errorf("a folder that UW never opened has UIDVALIDITY %d, UIDNEXT %d", f.UIDValidity, f.UIDNext)
		}
	}
}

func TestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	truth := write(t, Options{Users: 1, Messages: 9, FirstUID: 4711})
	entries := tree(t, truth.Root)
	for name, want := range map[string]entry{
		"/etc/passwd":              {Mode: 0o644},
		"/var/mail/joe":            {Mode: 0o660, UID: 4711, GID: spoolGroup},
		"/home/joe":                {Mode: 0o700 | fs.ModeDir, UID: 4711, GID: 4711},
		"/home/joe/mail/work/2003": {Mode: 0o700 | fs.ModeDir, UID: 4711, GID: 4711},
		"/home/joe/mail/sent-mail": {Mode: 0o600, UID: 4711, GID: 4711},
		"/home/joe/.mailboxlist":   {Mode: 0o600, UID: 4711, GID: 4711},
	} {
		got := entries[name]
		if got.Mode != want.Mode || got.UID != want.UID || got.GID != want.GID {
			t.Errorf("%s is %v %d:%d, want %v %d:%d", name, got.Mode, got.UID, got.GID, want.Mode, want.UID, want.GID)
		}
		if !got.Time.Equal(lastMail) {
			t.Errorf("%s is of %v, want %v", name, got.Time, lastMail)
		}
	}
}

func TestExistingHostIsLeftAlone(t *testing.T) {
	truth := write(t, Options{Users: 1, Messages: 5})
	before := tree(t, truth.Root)
	if _, err := Write(truth.Root, Options{Seed: 1, Users: 1}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("writing into an existing host: error %v, want %v", err, fs.ErrExist)
	}
	if diff := cmp.Diff(before, tree(t, truth.Root)); diff != "" {
		t.Errorf("the existing host changed:\n%s", diff)
	}
}

func TestMeanSize(t *testing.T) {
	truth := write(t, Options{Users: 3, Messages: 6000, Plain: true, OmitMessages: true})
	var count int
	var size int64
	truth.folders(func(u User, f Folder) {
		count, size = count+f.Count, size+f.Bytes
		if f.Messages != nil {
			t.Errorf("%s: messages kept though they were to be omitted", f.Path)
		}
	})
	if mean := float64(size) / float64(count); math.Abs(mean/meanMessage-1) > 0.1 {
		t.Errorf("mean size %.0f, meanMessage says %d", mean, meanMessage)
	}
}

func TestBytes(t *testing.T) {
	for name, opts := range map[string]Options{
		"more messages":  {Bytes: 30e6},
		"longer bodies":  {Bytes: 30e6, Messages: 1000},
		"shorter bodies": {Bytes: 6e6, Messages: 2000},
	} {
		t.Run(name, func(t *testing.T) {
			opts.Users, opts.Plain, opts.OmitMessages = 2, true, true
			truth := write(t, opts)
			var size int64
			truth.folders(func(u User, f Folder) { size += f.Bytes })
			if ratio := float64(size) / float64(opts.Bytes); ratio < 0.85 || ratio > 1.15 {
				t.Errorf("%d octets, %.2f of the %d asked for", size, ratio, opts.Bytes)
			}
		})
	}
}
