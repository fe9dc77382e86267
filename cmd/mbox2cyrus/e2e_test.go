package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
	"mbox2cyrus/cyrusspool"
)

// outcome is one run of the program with --json.
type outcome struct {
	code   int
	lines  []map[string]any
	stderr string
}

func (o outcome) summary(t *testing.T) map[string]any {
	t.Helper()
	if len(o.lines) == 0 || o.lines[len(o.lines)-1]["message_type"] != "summary" {
		t.Fatalf("no summary in the last line; exit code %d, stderr:\n%s", o.code, o.stderr)
	}
	return o.lines[len(o.lines)-1]
}

func (o outcome) problems(kind string) (found []map[string]any) {
	for _, l := range o.lines {
		if l["message_type"] == "problem" && (kind == "" || l["kind"] == kind) {
			found = append(found, l)
		}
	}
	return found
}

// severe are the problems that a person would have to look at.
func (o outcome) severe() (texts []string) {
	for _, l := range o.problems("") {
		if l["severity"] != "note" {
			texts = append(texts, fmt.Sprintf("%v %v %v: %v [%v]", l["severity"], l["user"], l["folder"], l["text"], l["kind"]))
		}
	}
	return texts
}

func runJSON(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	o := outcome{code: run(append([]string{"mbox2cyrus", args[0], "--json"}, args[1:]...), &stdout, &stderr)}
	o.stderr = stderr.String()
	for sc := bufio.NewScanner(&stdout); sc.Scan(); {
		var m map[string]any
		if err := json.Unmarshal(sc.Bytes(), &m); err != nil {
			t.Fatalf("standard output of %v has a line that is not JSON: %q", args, sc.Text())
		}
		if m["message_type"] != "status" {
			o.lines = append(o.lines, m)
		}
	}
	return o
}

// runWith returns a function that runs a command with flags behind its own, and ends the test
// if it has another exit code than code.
func runWith(t *testing.T, flags ...string) func(code int, args ...string) outcome {
	return func(code int, args ...string) outcome {
		t.Helper()
		o := runJSON(t, slices.Concat(args, flags)...)
		if o.code != code {
			t.Fatalf("%v: exit code %d, want %d\n%s\n%s", args, o.code, code, strings.Join(o.severe(), "\n"), o.stderr)
		}
		return o
	}
}

// flags for a run on a sample host and a private Cyrus.
func flagsFor(s *cyrustest.Server, root, state string) []string {
	return []string{"--source-root", root, "--imapd-conf", s.Conf, "--state", state, "--source-timezone", "America/New_York"}
}

func newYork(t *testing.T) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// TestTheWholeWay migrates a host into real Cyrus, starts it, reads all mail
// over IMAP and POP3 and compares it with what UW served.
func TestTheWholeWay(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts cyrustest.Options
	}{
		{"slash", cyrustest.Options{}},
		{"dot", cyrustest.Options{DotSeparator: true, NoAltNamespace: true, HashIMAPSpool: true}},
		{"by-name", cyrustest.Options{LegacyDirs: true, HashIMAPSpool: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, tt.opts)
			root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
			truth, err := samplehost.Write(root, samplehost.Options{Seed: 7, Users: 4, CapitalUsers: true, Location: newYork(t)})
			if err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, root)

			dry := runJSON(t, append([]string{"migrate", "--dry-run"}, flagsFor(srv, root, state)...)...)
			if n := dry.summary(t)["messages_written"]; n != 0.0 {
				t.Errorf("a dry run wrote %v messages", n)
			}
			if _, err := os.Stat(state); err == nil {
				t.Errorf("a dry run made the state directory")
			}
			first := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...)
			sum := first.summary(t)
			t.Logf("first run: exit code %d, %v", first.code, sum)
			for _, s := range first.severe() {
				t.Logf("  %s", s)
			}
			if first.code != 0 && first.code != 2 {
				t.Fatalf("exit code %d\n%s", first.code, first.stderr)
			}
			if sum["messages_found"] != sum["messages_written"] || sum["messages_written"] != sum["messages_verified"] {
				t.Errorf("found %v, written %v, verified %v", sum["messages_found"], sum["messages_written"], sum["messages_verified"])
			}
			if dry.summary(t)["messages_found"] != sum["messages_found"] {
				t.Errorf("the dry run found %v messages, the run %v", dry.summary(t)["messages_found"], sum["messages_found"])
			}
			compareWithTruth(t, srv, tt.opts, truth)

			spool := snapshot(t, srv.Spool)
			second := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...)
			again := second.summary(t)
			if again["messages_written"] != 0.0 || again["folders_unchanged"] != again["folders"] || second.code != first.code {
				t.Errorf("second run: exit code %d, %v", second.code, again)
			}
			if diff := diffSnapshots(spool, snapshot(t, srv.Spool)); diff != "" {
				t.Errorf("the second run touched the spool: %s", diff)
			}
			for _, level := range []string{"count", "index", "content"} {
				v := runJSON(t, append([]string{"verify", "--level", level}, flagsFor(srv, root, state)...)...)
				if vs := v.summary(t); v.code != first.code || vs["messages_verified"] != sum["messages_written"] {
					t.Errorf("verify --level %s: exit code %d, %v\n%s", level, v.code, vs, strings.Join(v.severe(), "\n"))
				}
			}
			if diff := diffSnapshots(before, snapshot(t, root)); diff != "" {
				t.Errorf("the source was changed: %s", diff)
			}
		})
	}
}

// compareWithTruth starts Cyrus and compares everything that its clients see.
func compareWithTruth(t *testing.T, srv *cyrustest.Server, opts cyrustest.Options, truth *samplehost.Truth) {
	t.Helper()
	compareByRules(t, srv, opts, truth, cyrusspool.NameRules{UnixHierarchySep: !opts.DotSeparator, UsernameToLower: true})
}

// compareByRules does that where names of users are mapped by other rules.
func compareByRules(t *testing.T, srv *cyrustest.Server, opts cyrustest.Options, truth *samplehost.Truth, rules cyrusspool.NameRules) {
	t.Helper()
	addUsers(t, srv, truth, rules)
	if err := srv.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	}()
	compareIMAP(t, srv, opts, truth, rules)
	for _, u := range truth.Users {
		if id, _ := rules.UserID(u.Name); len(u.Folders) > 0 {
			comparePOP3(t, srv, id, u)
		}
	}
}

// addUsers gives every user of a sample host a password.
func addUsers(t *testing.T, srv *cyrustest.Server, truth *samplehost.Truth, rules cyrusspool.NameRules) {
	t.Helper()
	for _, u := range truth.Users {
		id, _ := rules.UserID(u.Name)
		if err := srv.AddUser(id, "secret"); err != nil {
			t.Fatal(err)
		}
	}
}

// compareIMAP compares what a running Cyrus serves to every user, by IMAP.
func compareIMAP(t *testing.T, srv *cyrustest.Server, opts cyrustest.Options, truth *samplehost.Truth, rules cyrusspool.NameRules) {
	t.Helper()
	messages := 0
	for _, u := range truth.Users {
		if len(u.Folders) == 0 {
			continue
		}
		id, _ := rules.UserID(u.Name)
		views, err := cyrustest.ReadAll(srv.IMAPAddr(), id, "secret")
		if err != nil {
			t.Fatalf("%s: %v", u.Name, err)
		}
		seen := map[string]cyrustest.MailboxView{}
		for _, v := range views {
			seen[v.Name] = v
		}
		names := []string{"INBOX"}
		for _, f := range u.Folders {
			if !f.Inbox {
				names = append(names, f.Name)
			}
		}
		mapped := map[string]string{}
		i := 1
		maps_ := rules.MapFolders(id, names)
		subscribed := map[string]bool{}
		for _, f := range u.Folders {
			m := maps_[0]
			if !f.Inbox {
				m = maps_[i]
				i++
				mapped[f.Name] = clientName(m.To, opts)
			}
			name := clientName(m.To, opts)
			view, ok := seen[name]
			if !ok {
				t.Errorf("%s: %q (%s) is not there for the client; it has %q", u.Name, f.Name, name, slices.Sorted(maps.Keys(seen)))
				continue
			}
			messages += len(f.Messages)
			compareFolder(t, u.Name+" "+name, f, view)
		}
		for _, s := range u.Subscribed {
			if s == "INBOX" {
				subscribed["INBOX"] = true
			} else {
				subscribed[mapped[s]] = true
			}
		}
		for _, v := range views {
			if v.Subscribed != subscribed[v.Name] {
				t.Errorf("%s: %q subscribed %v, want %v", u.Name, v.Name, v.Subscribed, subscribed[v.Name])
			}
		}
	}
	t.Logf("compared %d messages over IMAP", messages)
}

// clientName is what an IMAP client calls a mailbox of its user.
func clientName(n cyrusspool.Name, opts cyrustest.Options) string {
	sep := "/"
	if opts.DotSeparator {
		sep = "."
	}
	folder := n.Folder()
	if len(folder) == 0 {
		return "INBOX"
	}
	for i, c := range folder {
		if !opts.DotSeparator {
			c = strings.ReplaceAll(c, "^", ".")
		}
		if text, err := cyrusspool.DecodeUTF7(c); err == nil {
			c = text
		}
		folder[i] = c
	}
	name := strings.Join(folder, sep)
	if opts.NoAltNamespace {
		name = "INBOX" + sep + name
	}
	return name
}

func compareFolder(t *testing.T, where string, want samplehost.Folder, have cyrustest.MailboxView) {
	t.Helper()
	if want.UIDValidity != 0 && have.UIDValidity != want.UIDValidity {
		t.Errorf("%s: UIDVALIDITY %d, want %d", where, have.UIDValidity, want.UIDValidity)
	}
	if have.UIDNext != want.UIDNext {
		t.Errorf("%s: UIDNEXT %d, want %d", where, have.UIDNext, want.UIDNext)
	}
	if len(have.Messages) != len(want.Messages) {
		t.Errorf("%s: %d messages, want %d", where, len(have.Messages), len(want.Messages))
		return
	}
	for i, w := range want.Messages {
		h := have.Messages[i]
		flags := slices.Concat(w.Flags, w.Keywords)
		slices.Sort(flags)
		if h.UID != w.UID || !slices.EqualFunc(h.Flags, flags, strings.EqualFold) || !h.InternalDate.Equal(w.InternalDate) ||
			h.Size != w.Size || h.SHA256 != w.SHA256 {
			t.Errorf("%s: message at offset %d:\n have UID %d %v %v, %d bytes, %x\n want UID %d %v %v, %d bytes, %x", where, w.Offset,
				h.UID, h.Flags, h.InternalDate.UTC(), h.Size, h.SHA256[:4], w.UID, flags, w.InternalDate.UTC(), w.Size, w.SHA256[:4])
		}
	}
}

// comparePOP3 compares what a POP3 client gets of a user's INBOX with what was put there:
// how many messages, in which order, the id and every byte of each. It returns their number.
func comparePOP3(t *testing.T, srv *cyrustest.Server, id string, u samplehost.User) int {
	t.Helper()
	i := slices.IndexFunc(u.Folders, func(f samplehost.Folder) bool { return f.Inbox })
	if i < 0 {
		return 0
	}
	f := u.Folders[i]
	views, err := cyrustest.ReadPOP3(srv.POP3Addr(), id, "secret")
	if err != nil {
		t.Errorf("%s: POP3: %v", u.Name, err)
		return 0
	}
	if len(views) != len(f.Messages) {
		t.Errorf("%s: POP3 has %d messages, want %d", u.Name, len(views), len(f.Messages))
		return 0
	}
	for i, m := range f.Messages {
		v := views[i]
		want := fmt.Sprintf("%d.%d", f.UIDValidity, m.UID)
		if f.UIDValidity == 0 { // Cyrus has a new one
			_, uid, _ := strings.Cut(v.UIDL, ".")
			want = v.UIDL[:len(v.UIDL)-len(uid)] + fmt.Sprint(m.UID)
		}
		if v.UIDL != want {
			t.Errorf("%s: POP3 message %d: UIDL %s, want %s", u.Name, v.Number, v.UIDL, want)
		}
		if v.Size != m.Size || v.Octets != m.Size || v.SHA256 != m.SHA256 {
			t.Errorf("%s: POP3 message %d: %d bytes are listed, %d came, %x; want %d, %x", u.Name, v.Number, v.Size, v.Octets, v.SHA256[:4], m.Size, m.SHA256[:4])
		}
	}
	return len(views)
}

// fileState is what must not change of a file: all but its access time.
type fileState struct {
	mode         fs.FileMode
	size         int64
	mtime, ctime syscall.Timespec
	uid, gid     uint32
	ino          uint64
	sum          [sha256.Size]byte
}

func snapshot(t *testing.T, root string) map[string]fileState {
	t.Helper()
	files := map[string]fileState{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		s := fileState{mode: info.Mode(), size: info.Size(), mtime: st.Mtim, ctime: st.Ctim, uid: st.Uid, gid: st.Gid, ino: st.Ino}
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			s.sum = sha256.Sum256(b)
		}
		files[path] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func diffSnapshots(a, b map[string]fileState) string {
	var diffs []string
	for path, s := range a {
		if other, ok := b[path]; !ok {
			diffs = append(diffs, path+" is gone")
		} else if other != s {
			diffs = append(diffs, path+" is changed")
		}
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			diffs = append(diffs, path+" is new")
		}
	}
	slices.Sort(diffs)
	return strings.Join(diffs, ", ")
}
