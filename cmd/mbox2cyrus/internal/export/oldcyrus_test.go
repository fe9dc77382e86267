package export

import (
	"crypto/sha1"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// oldMailbox makes a mailbox of joe's with three messages.
func oldMailbox(t *testing.T, v cyrusspool.Version) cyrusspool.Place {
	t.Helper()
	place := cyrusspool.OneRoot(t.TempDir()).At("j/user/joe")
	w, err := place.Create(v, cyrusspool.Owner{UID: -1, FileMode: 0o600, DirMode: 0o700})
	if err != nil {
		t.Fatal(err)
	}
	for uid := uint32(1); uid <= 3; uid++ {
		date := time.Unix(1_000_000_000, 0)
		size, guid, err := w.WriteMessage(uid, date, strings.NewReader("Subject: x\r\n\r\nx\r\n"))
		if err == nil {
			err = w.Add(cyrusspool.Record{UID: uid, InternalDate: date.Unix(), SentDate: date.Unix(), Size: uint64(size), GUID: guid, ModSeq: 1})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	err = w.Commit(cyrusspool.IndexHeader{UIDValidity: 7, LastUID: 3, HighestModSeq: 1}, cyrusspool.Header{Form: cyrusspool.HeaderTab, UniqueID: "abc"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return place
}

// TestOldCyrus: up to Cyrus 2.3 what a user has seen is not in the index, and up to 2.2 the
// SHA-1 of a message is not. A later one brings them there when it opens the mailbox.
func TestOldCyrus(t *testing.T) {
	for _, v := range []cyrusspool.Version{cyrusspool.Version6, 9, cyrusspool.Version10} {
		config := t.TempDir()
		seen := filepath.Join(config, "user", "j", "joe.seen")
		if err := os.MkdirAll(filepath.Dir(seen), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(seen, []byte("abc\t1 5 2 5 2\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openSource(oldMailbox(t, v))
		if err != nil {
			t.Fatal(err)
		}
		defer s.close() // read only
		f, err := os.Create(filepath.Join(t.TempDir(), "file"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() // it has been read by then
		x := &Exporter{Cyrus: &target.Cyrus{ConfigDir: config, Fresh: target.Fresh{IndexVersion: v}}, Location: time.UTC}
		m := &mailbox{x: x, s: s, res: &result{}, sum: sha1.New()}
		if err := m.write(t.Context(), reconstruct.Entry{Name: "user.joe"}, f); err != nil {
			t.Fatal(err)
		}
		if err := m.readBack(t.Context(), f); err != nil || m.res.verified != 3 {
			t.Errorf("%d of 3 messages are the same, %v", m.res.verified, err)
		}
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		var status []string
		for line := range strings.Lines(string(b)) {
			if value, ok := strings.CutPrefix(line, "Status:"); ok {
				status = append(status, strings.TrimSpace(value))
			}
		}
		if want := []string{"O", "RO", ""}; !slices.Equal(status, want) {
			t.Errorf("version %d: have %q, want %q", v, status, want)
		}

		x.Cyrus.Fresh.IndexVersion = cyrusspool.Version12
		if err := m.write(t.Context(), reconstruct.Entry{Name: "user.joe"}, f); err == nil {
			t.Error("it is not known what he has seen, and no error")
		}
	}
}
