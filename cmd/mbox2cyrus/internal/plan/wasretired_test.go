package plan

import (
	"fmt"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// TestWasRetired goes by the path and by the name; the INBOX and a folder of that name are two,
// where the record of retire tells them apart.
func TestWasRetired(t *testing.T) {
	inbox := ledger.Mailbox{User: "joe", Folder: "INBOX", Name: "user.joe", Source: "var/mail/joe"}
	folder := ledger.Mailbox{User: "joe", Folder: "INBOX", Name: "user.joe.INBOX^saved", Source: "home/joe/mail/INBOX"}
	below := ledger.Mailbox{User: "joe", Folder: "work/old", Name: "user.joe.work.old", Source: "home/joe/mail/work/old"}
	of := func(rec ledger.Mailbox, path string, old bool) Retired {
		r := Retired{User: string(rec.User), Folder: string(rec.Folder), Mailbox: rec.Name, Path: path}
		if old {
			r.Mailbox = ""
		}
		return r
	}
	for _, tt := range []struct {
		retired              Retired
		inbox, folder, below bool
	}{
		{retired: of(inbox, "home/joe/mbox", false), inbox: true},
		{retired: of(folder, "home/joe/mail/INBOX", false), folder: true},
		{retired: of(folder, "home/joe/mail/INBOX", true), inbox: true, folder: true}, // not known
		{retired: Retired{User: "jim", Folder: "INBOX", Mailbox: "user.jim", Path: "home/joe/mbox"}, inbox: true},
		{retired: Retired{User: "joe", Folder: "work", Mailbox: "user.joe.work", Path: "home/joe/mail/work"}, below: true},
		{retired: Retired{User: "joe", Path: "home/joe/.mailboxlist"}},
	} {
		u := &User{Retired: []Retired{tt.retired}}
		if i, f, b := u.WasRetired(inbox), u.WasRetired(folder), u.WasRetired(below); i != tt.inbox || f != tt.folder || b != tt.below {
			t.Errorf("%+v: the INBOX %v, the folder %v, the one below %v", tt.retired, i, f, b)
		}
	}
}

// BenchmarkWasRetired asks of each mailbox of a user all of whose folders were retired.
func BenchmarkWasRetired(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			u := &User{}
			boxes := make([]ledger.Mailbox, n)
			for i := range boxes {
				name, path := fmt.Sprint("f", i), fmt.Sprint("home/joe/mail/f", i)
				boxes[i] = ledger.Mailbox{User: "joe", Folder: ledger.RawName(name), Name: "user.joe." + name, Source: ledger.RawName(path)}
				u.Retired = append(u.Retired, Retired{User: "joe", Folder: name, Mailbox: boxes[i].Name, Path: path})
			}
			for b.Loop() {
				for _, rec := range boxes {
					if !u.WasRetired(rec) {
						b.Fatal(rec.Name)
					}
				}
			}
		})
	}
}
