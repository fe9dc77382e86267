package retire

import (
	"context"
	"fmt"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// bigRecord is that of a host of which all was retired, in memory.
func bigRecord(users, folders int) *Record {
	r := newRecord()
	for u := range users {
		login := ledger.RawName(fmt.Sprintf("user%d", u))
		for f := range folders {
			folder := ledger.RawName(fmt.Sprintf("folder%d", f))
			r.put(Move{State: Moved, User: login, Folder: folder, Path: "home/" + login + "/mail/" + folder, Archive: "/no/archive"})
		}
	}
	return r
}

// TestRecordOfLargeHost: what is asked once of each user or mailbox does not go over all moves.
func TestRecordOfLargeHost(t *testing.T) {
	const users, folders = 5000, 20
	r := bigRecord(users, folders)
	retirer := &Retirer{Record: r}
	start := time.Now()
	for u := range users {
		login := ledger.RawName(fmt.Sprintf("user%d", u))
		for f := range folders {
			folder := ledger.RawName(fmt.Sprintf("folder%d", f))
			rec := ledger.Mailbox{User: login, Folder: folder, Source: "home/" + login + "/mail/" + folder}
			if retired, problems, err := r.Check(context.Background(), rec, false); !retired || len(problems) != 1 || err != nil {
				t.Fatalf("%v, %v, %v", retired, problems, err)
			}
			if spent := time.Since(start); spent > 20*time.Second {
				t.Fatalf("%v for %d users of %d", spent, u, users)
			}
		}
		if !r.began(string(login)) || !r.Knows(string(login)) {
			t.Fatal(login)
		}
		if err := retirer.recover(string(login)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%v", time.Since(start))
}
