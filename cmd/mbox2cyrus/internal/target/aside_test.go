package target

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// alone opens a Cyrus that can be given copies of its databases, and returns where
// its mailboxes.db is.
func alone(t *testing.T) (c *Cyrus, db string) {
	t.Helper()
	s := cyrustest.ForTest(t, cyrustest.Options{})
	c, err := Open(t.Context(), Options{IMAPDConf: s.Conf})
	if err != nil {
		t.Fatal(err)
	}
	c.Alone = true
	db, ok := c.pathOf(mailboxList)
	if !ok || !roomInMemory(asideRoom) {
		t.Skip("this Cyrus, or this machine, has no use for copies in memory")
	}
	// It is made when the first mailbox is.
	if err := c.Programs.Enter(t.Context(), c.Fresh.ListForm, []reconstruct.Entry{entry(c, "first")}); err != nil {
		t.Fatal(err)
	}
	return c, db
}

func entry(c *Cyrus, user string) reconstruct.Entry {
	id := "a" + strings.Repeat("0", 24-len(user)-1) + user
	e := c.NewEntry(cyrusspool.InboxName(user), user, id, c.Partition)
	e.UIDValidity = 1
	return e
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func (c *Cyrus) wants(t *testing.T, users ...string) {
	t.Helper()
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, user := range users {
		if !c.Has(cyrusspool.InboxName(user)) {
			t.Errorf("Cyrus does not know %s", user)
		}
	}
	if c.Mailboxes() != len(users) {
		t.Errorf("Cyrus knows %d mailboxes; want %d", c.Mailboxes(), len(users))
	}
}

func TestEnterAside(t *testing.T) {
	c, db := alone(t)
	before := inode(t, db)
	if _, err := c.Enter(t.Context(), []reconstruct.Entry{entry(c, "ann"), entry(c, "bob")}); err != nil {
		t.Fatal(err)
	}
	if c.noCopies.Load() || inode(t, db) == before {
		t.Error("it was not done on a copy")
	}
	c.wants(t, "first", "ann", "bob")
}

// A program that waited for the lock reads the copy that was put there meanwhile.
func TestProgramsFindTheCopy(t *testing.T) {
	c, _ := alone(t)
	type list struct {
		entries []reconstruct.Entry
		err     error
	}
	listed := make(chan list, 1)
	done, err := c.aside(t.Context(), c.conf.All(), []database{mailboxList}, func(ctx context.Context, p *reconstruct.Programs) error {
		go func() {
			entries, _, err := c.Programs.List(t.Context())
			listed <- list{entries, err}
		}()
		time.Sleep(300 * time.Millisecond) // most likely it waits then
		select {
		case l := <-listed:
			t.Errorf("it was read while it was held: %d entries, %v", len(l.entries), l.err)
		default:
		}
		return p.Enter(ctx, c.Fresh.ListForm, []reconstruct.Entry{entry(c, "ann")})
	})
	if !done || err != nil {
		t.Fatalf("%v, %v", done, err)
	}
	if l := <-listed; l.err != nil || len(l.entries) != 2 {
		t.Errorf("it found %d entries, %v; want 2", len(l.entries), l.err)
	}
	c.wants(t, "first", "ann")
}

// Where no copies can be had, the same is done without, and a failure leaves all as it was.
func TestEnterInPlace(t *testing.T) {
	for name, spoil := range map[string]func(c *Cyrus, db string) error{
		"server": func(c *Cyrus, _ string) error { c.Alone = false; return nil },
		"link": func(_ *Cyrus, db string) error {
			if err := os.Rename(db, db+".real"); err != nil {
				return err
			}
			return os.Symlink(db+".real", db)
		},
		"failure": func(c *Cyrus, _ string) error {
			done, err := c.aside(t.Context(), c.conf.All(), []database{mailboxList}, func(ctx context.Context, p *reconstruct.Programs) error {
				if err := p.Enter(ctx, c.Fresh.ListForm, []reconstruct.Entry{entry(c, "nobody")}); err != nil {
					return err
				}
				return os.ErrInvalid
			})
			if done {
				t.Error("failure: it was done")
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, db := alone(t)
			if err := spoil(c, db); err != nil {
				t.Fatal(err)
			}
			before := inode(t, db)
			if _, err := c.Enter(t.Context(), []reconstruct.Entry{entry(c, "ann")}); err != nil {
				t.Fatal(err)
			}
			if inode(t, db) != before {
				t.Error("the database is another file")
			}
			c.wants(t, "first", "ann")
		})
	}
}
