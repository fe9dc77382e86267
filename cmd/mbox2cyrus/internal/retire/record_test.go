package retire

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// TestRecordWithoutALine: a record of which nothing can be read is no empty one.
func TestRecordWithoutALine(t *testing.T) {
	state := t.TempDir()
	for text, ok := range map[string]bool{"": true, `{"ret`: true, strings.Repeat("\x00", 500): false} {
		if err := os.WriteFile(filepath.Join(state, recordName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenRecord(state, false); (err == nil) != ok {
			t.Errorf("%.10q…: %v", text, err)
		}
	}
}

// TestDamagedRecord: of a record that is damaged in the middle nothing is believed: what is behind
// may be in an archive. A last line that is damaged is one that a crash left.
func TestDamagedRecord(t *testing.T) {
	line := func(path string) string {
		return fmt.Sprintf("{\"move\":{\"state\":\"moved\",\"path\":%q}}\n", path)
	}
	head, damaged := fmt.Sprintf("{\"retired\":%d}\n", Version), "\x00\x00\n"
	for text, want := range map[string]int{head + line("a") + line("b"): 2, head + line("a") + damaged: 1, head + line("a") + damaged + line("b"): -1,
		head + line("a") + damaged + "{": -1} {
		state := t.TempDir()
		if err := os.WriteFile(filepath.Join(state, recordName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := OpenRecord(state, true)
		if (err == nil) != (want >= 0) {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil {
			continue
		}
		if got := len(r.Moves()); got != want {
			t.Errorf("%q: %d moves, want %d", text, got, want)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRecordIsAskedForOne: what is asked of one login, or one mailbox, costs the same however
// many others there are. It is asked for each of them, so else a run takes their square.
func TestRecordIsAskedForOne(t *testing.T) {
	const logins = 3200
	login := func(i int) ledger.RawName { return ledger.RawName(fmt.Sprintf("u%d", i)) }
	mailbox := func(i, j int) ledger.Mailbox {
		return ledger.Mailbox{User: login(i), Folder: ledger.RawName(fmt.Sprint("f", j)), Source: ledger.RawName(fmt.Sprintf("home/u%d/mail/f%d", i, j))}
	}
	record := func(users, folders int) *Record {
		r, err := OpenRecord(t.TempDir(), false)
		if err != nil {
			t.Fatal(err)
		}
		for i := range users {
			for j := range folders {
				m := mailbox(i, j)
				r.put(Move{State: Moving, User: m.User, Folder: m.Folder, Path: m.Source})
				r.put(Move{State: Restored, User: m.User, Folder: m.Folder, Path: m.Source})
			}
		}
		return r
	}
	allocated := func(do func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	ask := func(r *Record) func() {
		return func() {
			rec := mailbox(1, 1)
			if retired, problems, err := r.Check(context.Background(), rec, false); retired || problems != nil || err != nil {
				t.Errorf("%v %v %v", retired, problems, err)
			}
			if login := string(rec.User); !r.Knows(login) || r.began(login) || r.Keeps(rec) {
				t.Error("what was moved back is not known, or taken for archived")
			}
		}
	}
	of := func(r *Record) func() {
		return func() {
			if n := len(r.movesOf("u1")); n != 2 {
				t.Errorf("%d moves of u1", n)
			}
			retirer := &Retirer{Record: r}
			if err := retirer.recover("u1"); err != nil {
				t.Error(err)
			}
		}
	}
	const enough = 20000 // bytes; a copy of all moves is 200 times that
	few, many, folders := record(2, 2), record(logins, 2), record(2, logins)
	for name, do := range map[string]func(){"of few": ask(few), "of many logins": ask(many), "of many folders": ask(folders), "all of one": of(few), "all of one of many": of(many)} {
		if n := allocated(do); n > enough {
			t.Errorf("%s: %d bytes are allocated", name, n)
		}
	}
}

// TestRecordKnowsWhoseItIs: of two logins who have the same home, what was moved as one's is
// that one's, whoever it was before.
func TestRecordKnowsWhoseItIs(t *testing.T) {
	r, err := OpenRecord(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []Move{
		{State: Restored, User: "ann", Folder: "a", Path: "home/both/mail/a"},
		{State: Moved, User: "ann", Folder: "b", Path: "home/both/mail/b"},
		{State: Restored, User: "bob", Folder: "a", Path: "home/both/mail/a"},
		{State: Moved, User: "ann", Folder: "a", Path: "home/both/mail/a"},
		{State: Moved, User: "bob", Folder: "b", Path: "home/both/mail/b"},
	} {
		r.put(m)
	}
	for login, want := range map[string]string{"ann": "[a]", "bob": "[b]", "eva": "[]"} {
		folders := []ledger.RawName{}
		for _, m := range r.movesOf(ledger.RawName(login)) {
			folders = append(folders, m.Folder)
		}
		if have := fmt.Sprint(folders); have != want || r.Knows(login) != (want != "[]") || r.began(login) != (want != "[]") {
			t.Errorf("%s: has %s, not %s; known %v, in the archive %v", login, have, want, r.Knows(login), r.began(login))
		}
	}
	if all := r.Moves(); len(all) != 2 || all[0].Folder != "a" || all[1].Folder != "b" {
		t.Errorf("all: %+v", all)
	}
}
