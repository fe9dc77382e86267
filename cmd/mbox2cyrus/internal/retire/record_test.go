package retire

import (
	"fmt"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// TestManyMoves: what is asked of each mailbox, or of each user, does not look at the moves of
// all the others.
func TestManyMoves(t *testing.T) {
	t.Parallel()
	const users, each = 20_000, 5
	r, err := OpenRecord(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	record := func(user, folder int) ledger.Mailbox {
		login := fmt.Sprint("u", user)
		return ledger.Mailbox{User: ledger.RawName(login), Folder: ledger.RawName(fmt.Sprint(folder)), Source: ledger.RawName(fmt.Sprintf("home/%s/mail/%d", login, folder))}
	}
	for u := range users {
		for f := range each {
			rec := record(u, f)
			r.put(Move{State: Moved, User: rec.User, Folder: rec.Folder, Path: rec.Source, Archive: "/nowhere"})
		}
	}
	retirer := &Retirer{Record: r}
	start := time.Now()
	for u := range users {
		for f := range each {
			rec := record(u, f)
			if retired, problems, err := r.Check(t.Context(), rec, false); !retired || len(problems) != 1 || problems[0].Kind != "archive-away" || err != nil {
				t.Fatalf("%s: %v, %v, %v", rec.Source, retired, problems, err)
			}
			if !r.Keeps(rec) {
				t.Fatalf("%s is in no archive", rec.Source)
			}
		}
		user := string(record(u, 0).User)
		if err := retirer.recover(user); err != nil || !r.Knows(user) || !r.began(user) {
			t.Fatalf("%s: %v", user, err)
		}
		if took := time.Since(start); took > time.Minute {
			t.Fatalf("%v for %d of %d users", took, u+1, users)
		}
	}
}
