package undo

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// seenGround is a Cyrus 2.3, which has \Seen in a file of the user, as far as undo needs it.
type seenGround struct {
	t   *testing.T
	c   *checker
	rec ledger.Mailbox
}

func newSeenGround(t *testing.T) *seenGround {
	t.Helper()
	l, err := ledger.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &target.Cyrus{ConfigDir: t.TempDir(), Fresh: target.Fresh{IndexVersion: cyrusspool.Version10, ListForm: reconstruct.FormLine,
		Owner: cyrusspool.Owner{UID: -1, GID: -1, FileMode: 0o600, DirMode: 0o700}}}
	g := &seenGround{t: t, c: &checker{u: &Undoer{Cyrus: c, Ledger: l}, one: &user{login: "joe"}},
		rec: ledger.Mailbox{State: ledger.Begun, User: "joe", Name: "user.joe", UniqueID: "joe1", Dir: "user/joe", Manifest: "joe1.tsv", UIDValid: 1, UIDNext: 3, Messages: 2}}
	g.write("user/j/jim.seen", "another user's")
	g.write("db/skipstamp", "started")
	return g
}

func (g *seenGround) write(path, content string) {
	g.t.Helper()
	path = filepath.Join(g.c.u.Cyrus.ConfigDir, path)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(content), 0o600)
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// files are those in the directory of the users' files, with what is in them.
func (g *seenGround) files() string {
	g.t.Helper()
	paths, err := filepath.Glob(filepath.Join(g.c.u.Cyrus.ConfigDir, "user/j/*"))
	if err != nil {
		g.t.Fatal(err)
	}
	var all []string
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			g.t.Fatal(err)
		}
		all = append(all, filepath.Base(path)+": "+string(b))
	}
	return strings.Join(all, "\n")
}

// TestSeenCutOff: a migrate was cut off while it told a Cyrus 2.3 what the user has seen.
// Undo leaves him as he was before, or says why not.
func TestSeenCutOff(t *testing.T) {
	for _, tt := range []struct {
		name    string
		had     bool // a seen file
		running bool // Cyrus's server, while migrate was at work
		since   func(g *seenGround)
		says    string // "": undone
	}{
		{"new", false, false, func(g *seenGround) { g.write("user/j/joe.seen", "joe1\t1 1 2 1 1:2\n") }, ""},
		{"had one", true, false, func(g *seenGround) { g.write("user/j/joe.seen", "joe1\t1 1 2 1 1:2\n") }, ""},
		{"had one, not changed yet", true, false, func(*seenGround) {}, ""},
		{"while it was converted", true, false, func(g *seenGround) {
			g.write("user/j/joe.seen.mbox2cyrus", "joe1\t1 1 2 1 1:2\n")
			g.write("user/j/joe.seen.mbox2cyrus.NEW", "joe1\t")
			g.write("user/j/joe.seen.NEW", "half")
		}, ""},
		{"Cyrus started since", true, false, func(g *seenGround) {
			g.write("user/j/joe.seen", "what he has seen since too")
			time.Sleep(20 * time.Millisecond)
			g.write("db/skipstamp", "started again")
		}, "run migrate to its end first"},
		{"Cyrus ran", true, true, func(g *seenGround) { g.write("user/j/joe.seen", "what he has seen since too") }, "run migrate to its end first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newSeenGround(t)
			c, l := g.c.u.Cyrus, g.c.u.Ledger
			if tt.had {
				g.write("user/j/joe.seen", "old\t1 1 2 1 1\n")
			}
			before := g.files()
			if err := RememberUser(c, l, &g.rec, reconstruct.Entry{Name: "user.joe"}); err != nil {
				t.Fatal(err)
			}
			if changed, err := AboutToChange(c, &g.rec, !tt.running); !changed || err != nil {
				t.Errorf("the first time: %v, %v", changed, err)
			}
			if changed, err := AboutToChange(c, &g.rec, true); changed || err != nil {
				t.Errorf("the second time: %v, %v", changed, err)
			}
			g.rec.State = ledger.Filled
			tt.since(g)
			if err := g.c.userFiles(g.rec, g.rec.UserFiles[0]); err != nil {
				t.Fatal(err)
			}
			if tt.says != "" {
				if len(g.c.findings) != 1 || !strings.Contains(g.c.findings[0].text, tt.says) {
					t.Errorf("found %v, want %q", g.c.findings, tt.says)
				}
				return
			}
			if len(g.c.findings) > 0 {
				t.Errorf("found %v", g.c.findings)
			}
			if err := g.c.u.removeUserFiles(g.rec, g.rec.UserFiles[0], false); err != nil {
				t.Fatal(err)
			}
			if after := g.files(); after != before {
				t.Errorf("there was\n%s\nthere is\n%s", before, after)
			}
		})
	}
}

// TestContentsBeforeSeen: a migrate was cut off after Cyrus 2.3 entered a mailbox and before
// it was told what the user has seen. The mailbox is as it was written.
func TestContentsBeforeSeen(t *testing.T) {
	g := newSeenGround(t)
	place := cyrusspool.OneRoot(t.TempDir()).At(g.rec.Dir)
	w, err := place.Create(cyrusspool.Version10, g.c.u.Cyrus.Fresh.Owner)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := g.c.u.Ledger.CreateManifest(g.rec.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	date := time.Unix(1054548660, 0)
	for i, flags := range []ledger.Flags{ledger.Seen, 0} {
		uid := uint32(i + 1)
		size, guid, err := w.WriteMessage(uid, date, bytes.NewBufferString("Subject: x\r\n\r\nbody\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(cyrusspool.Record{UID: uid, Size: uint64(size), GUID: guid, InternalDate: date.Unix()}); err != nil {
			t.Fatal(err)
		}
		manifest.Add(ledger.Message{UID: uid, Size: size, GUID: guid, Date: date.Unix(), Flags: flags})
	}
	if err := manifest.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(cyrusspool.IndexHeader{UIDValidity: 1, LastUID: 2}, cyrusspool.Header{UniqueID: g.rec.UniqueID, Name: "user.joe"}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.c.contents(g.rec, place); err != nil || len(g.c.findings) > 0 {
		t.Errorf("found %v, %v", g.c.findings, err)
	}
	g.rec.UIDValid = 2
	if err := g.c.contents(g.rec, place); err != nil || len(g.c.findings) == 0 {
		t.Errorf("another UIDVALIDITY is not found: %v", err)
	}
}
