package ledger

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, dir string) *Ledger {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLastStateWins(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	if err := l.Begin(Run{Start: time.Unix(1, 0).UTC(), SourceRoot: "/"}); err != nil {
		t.Fatal(err)
	}
	box := Mailbox{State: Begun, User: "joe", Folder: "caf\xe9", Name: "user.joe.caf&AOk-", UniqueID: "abc"}
	if err := l.Set(box, Mailbox{State: Begun, Name: "user.joe"}); err != nil {
		t.Fatal(err)
	}
	box.State, box.Messages = Filled, 7
	box.SourceID = &FileID{Dev: 1, Ino: 2, Size: 3, MTime: time.Unix(5, 6).UTC(), CTime: time.Unix(7, 8).UTC()}
	if err := l.Set(box); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	defer l.Close()
	got, ok, err := l.Mailbox(box.Name)
	if diff := cmp.Diff(box, got); !ok || err != nil || diff != "" {
		t.Errorf("after reopening: %v, %v\n%s", ok, err, diff)
	}
	if all := allOf(t, l); len(all) != 2 || all[0].Name != box.Name || all[1].Name != "user.joe" {
		t.Errorf("they are %+v", all)
	}
}

func TestTornLastLineIsDroppedAndAppendGoesOn(t *testing.T) {
	for _, tail := range []string{`{"set":{"state":"ver`, "{\"set\":{\"sta\n", "\x00\x00\x00\x00"} {
		dir := t.TempDir()
		l := open(t, dir)
		if err := l.Set(Mailbox{State: Filled, Name: "user.a"}); err != nil {
			t.Fatal(err)
		}
		l.Close()
		path := filepath.Join(dir, JournalName)
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(tail)
		f.Close()
		l = open(t, dir)
		if m, ok, err := l.Mailbox("user.a"); !ok || err != nil || m.State != Filled {
			t.Errorf("tail %q: user.a = %+v, %v, %v", tail, m, ok, err)
		}
		if err := l.Set(Mailbox{State: Verified, Name: "user.b"}); err != nil {
			t.Fatal(err)
		}
		l.Close()
		l = open(t, dir)
		if m, ok, err := l.Mailbox("user.b"); !ok || err != nil || m.State != Verified {
			t.Errorf("tail %q: a state set after the torn line was lost", tail)
		}
		l.Close()
	}
}

func TestDamageInTheMiddleIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	l.Set(Mailbox{State: Filled, Name: "user.a"})
	l.Set(Mailbox{State: Filled, Name: "user.b"})
	l.Close()
	path := filepath.Join(dir, JournalName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := strings.Replace(string(b), `"user.a"`, `"user.a`, 1)
	lines := strings.SplitAfterN(damaged, "\n", 3)
	for _, text := range []string{damaged, lines[0] + lines[1] + `{"set":{`} { // also before a torn one
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "line 2 at offset") {
			t.Errorf("Open = %v, want the damaged line named", err)
		}
	}
}

// TestNothingToReadIsRefused: a journal of which nothing can be read is not one that is yet to be
// written, unless a crash can have left it.
func TestNothingToReadIsRefused(t *testing.T) {
	for text, ok := range map[string]bool{"": true, `{"led`: true, "\x00\x00\x00": true, strings.Repeat("\x00", 500): false, strings.Repeat("x", 500) + "\n": false} {
		dir := t.TempDir()
		path := filepath.Join(dir, JournalName)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Read(dir)
		if (err == nil) != ok {
			t.Errorf("Read of %.10q…: %v", text, err)
		}
		if err == nil {
			l.Close()
		}
		if l, err = Open(dir); (err == nil) != ok {
			t.Errorf("Open of %.10q…: %v", text, err)
		}
		if err == nil {
			l.Close()
		} else if b, rerr := os.ReadFile(path); rerr != nil || string(b) != text || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%v; it was changed: %v", err, rerr)
		}
	}
}

func TestNewerVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, JournalName), []byte("{\"ledger\":99}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("Open = %v", err)
	}
}

// TestReadBesideWriter: the ledger can be read while a run has it, and opened when that is over.
func TestReadBesideWriter(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	if _, err := Read(dir); err != nil {
		t.Errorf("Read beside a writer: %v", err)
	}
	l.Close()
	open(t, dir).Close()
}

// TestOthersDirectory: a state directory in which somebody else can put records is not used.
func TestOthersDirectory(t *testing.T) {
	for _, mode := range []os.FileMode{0o777, 0o702 | os.ModeSticky} {
		dir := t.TempDir()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if l, err := Open(dir); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v: %v, %v", mode, l, err)
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
			t.Errorf("%v: %v, %v", mode, names, err)
		}
	}
	own := t.TempDir()
	if err := os.Chmod(own, 0o775); err != nil {
		t.Fatal(err)
	}
	open(t, own).Close() // of our group, as umask 002 leaves it
	if os.Geteuid() != 0 {
		return
	}
	for _, ids := range [][2]int{{4242, 4242}, {0, 4242}} {
		dir := t.TempDir()
		if err := errors.Join(os.Chown(dir, ids[0], ids[1]), os.Chmod(dir, 0o775)); err != nil {
			t.Fatal(err)
		}
		if l, err := Open(dir); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("another's, %v: %v, %v", ids, l, err)
		}
	}
}

func TestManifestRoundTrip(t *testing.T) {
	l := open(t, t.TempDir())
	defer l.Close()
	want := []Message{
		{UID: 1, Offset: 0, End: 100, Size: 90, GUID: [20]byte{1, 2, 3}, Date: 1054563072, Flags: Seen | Draft, Keywords: 5},
		{UID: 4294967294, Offset: 1 << 40, End: 1<<40 + 5, Size: 2, Date: 1},
		{UID: 4294967295, Flags: Seen | Answered | Flagged | Deleted | Draft, Keywords: 1 << 60, File: "a\tb \xff"},
	}
	w, err := l.CreateManifest("x.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range want {
		w.Add(m)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := l.OpenManifest("x.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []Message
	for {
		m, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add("1\t0\t100\t90\t0102030000000000000000000000000000000000\t1054563072\tRT\t5", true)
	f.Add("1\t0\t100\t90\t0102030000000000000000000000000000000000\t1054563072\tRT\t5\t\"a\\tb\"", false)
	f.Add("1\t0\t100\t90\tzz\t1\t-\t0", true)
	f.Fuzz(func(t *testing.T, s string, v1 bool) {
		m, err := parseMessage(s, v1)
		if err == nil && (m.Flags > 31) {
			t.Errorf("%q: flags %d", s, m.Flags)
		}
	})
}

// TestCutOff: that a run over the host was cut off is known until another has come to its
// end. An undo is none, whether or not it comes to its end.
func TestCutOff(t *testing.T) {
	const begun, ended, undo = `{"run":{"source_root":"/"}}` + "\n", `{"end":{}}` + "\n", `{"run":{}}` + "\n"
	for _, tt := range []struct {
		journal string
		want    bool
	}{
		{"", false}, {begun, true}, {begun + ended, false},
		{undo, false}, {undo + ended, false}, {begun + undo + ended, true}, {begun + undo, true},
		{begun + undo + ended + begun + ended, false}, {begun + ended + undo, false}, {begun + undo + begun + ended, false},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, JournalName), []byte(`{"ledger":2}`+"\n"+tt.journal), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if l.CutOff() != tt.want {
			t.Errorf("%q: cut off: %v", tt.journal, l.CutOff())
		}
	}
}
