package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/google/go-cmp/cmp"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// TestAfterlife lets people and programs use migrated mail as any other: what
// Cyrus rebuilds once more is as it was, and append, flags, expunge, delete,
// undelete, cyr_expire, ctl_cyrusdb and squatter find nothing odd in it.
func TestAfterlife(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts cyrustest.Options
	}{
		{"slash", cyrustest.Options{}},
		{"dot", cyrustest.Options{DotSeparator: true, NoAltNamespace: true, HashIMAPSpool: true, LegacyDirs: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts.Extra = append(tt.opts.Extra, "delete_mode: delayed", "expunge_mode: delayed", "search_engine: squat")
			srv := cyrustest.ForTest(t, tt.opts)
			root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
			truth, err := samplehost.Write(root, samplehost.Options{Seed: 21, Users: 2, Location: newYork(t)})
			if err != nil {
				t.Fatal(err)
			}
			if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...); o.code != 0 && o.code != 2 {
				t.Fatalf("migrate: exit code %d\n%s", o.code, o.stderr)
			}
			a := &afterlife{t: t, srv: srv, opts: tt.opts, user: truth.Users[0].Name}
			for _, id := range []string{a.user, "cyrus"} {
				if err := srv.AddUser(id, "secret"); err != nil {
					t.Fatal(err)
				}
			}
			a.quiet()
			a.served(a.read)
			a.served(a.use)
			for _, run := range []struct{ program, args string }{
				{"ctl_cyrusdb", "-r"},
				{"cyr_expire", "-E 1 -X 0 -D 100"},
				{"squatter", "-r " + a.external()},
				{"squatter", "-i -r " + a.external()},
				{"ctl_cyrusdb", "-c"},
			} {
				if out, err := srv.Run(t.Context(), run.program, strings.Fields(run.args)...); err != nil {
					t.Errorf("%s %s: %v\n%s", run.program, run.args, err, out)
				}
			}
			a.quiet()
			a.served(a.read)
		})
	}
}

type afterlife struct {
	t    *testing.T
	srv  *cyrustest.Server
	opts cyrustest.Options
	user string

	want    []cyrustest.MailboxView // what the user must see; nil before the first look
	renamed string                  // the folder that was deleted and brought back
}

func (a *afterlife) sep() string {
	if a.opts.DotSeparator {
		return "."
	}
	return "/"
}

// external is the name of the user's INBOX for programs and administrators.
func (a *afterlife) external() string {
	return cyrusspool.InboxName(a.user).External(a.sep()[0])
}

// quiet reconstructs all mailboxes, the second time by reading all messages
// anew: nothing but their names may be printed.
func (a *afterlife) quiet() {
	a.t.Helper()
	programs, err := reconstruct.Find(cyrustest.BinDir, a.srv.Conf)
	if err != nil {
		a.t.Fatal(err)
	}
	entries, _, err := programs.List(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	var want, inboxes []string
	for _, e := range entries {
		name := cyrusspool.Name(e.Name)
		if name.User() == "" { // deleted
			continue
		}
		want = append(want, name.External(a.sep()[0]))
		if len(name.Folder()) == 0 {
			inboxes = append(inboxes, name.External(a.sep()[0]))
		}
	}
	slices.Sort(want)
	for _, args := range [][]string{{"-r"}, {"-r", "-G"}} {
		out, err := a.srv.Run(a.t.Context(), "reconstruct", append(args, inboxes...)...)
		if err != nil {
			a.t.Fatal(err)
		}
		said := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		slices.Sort(said)
		if diff := cmp.Diff(want, said); diff != "" {
			a.t.Errorf("reconstruct %s said (+) beside the names (-):\n%s", strings.Join(args, " "), diff)
		}
	}
}

// served does something while Cyrus runs.
func (a *afterlife) served(do func()) {
	a.t.Helper()
	if err := a.srv.Start(context.Background()); err != nil {
		a.t.Fatal(err)
	}
	defer func() {
		if err := a.srv.Stop(); err != nil {
			a.t.Error(err)
		}
	}()
	do()
}

// read compares what the user sees with what he must see.
func (a *afterlife) read() {
	a.t.Helper()
	views, err := cyrustest.ReadAll(a.srv.IMAPAddr(), a.user, "secret")
	if err != nil {
		a.t.Fatal(err)
	}
	for i := range views {
		if views[i].Name == a.renamed {
			// Up to 2.5 a mailbox that is renamed gets a new one.
			a.view(a.renamed).UIDValidity = views[i].UIDValidity
		}
		for j := range views[i].Messages {
			// The first look takes \Recent away.
			views[i].Messages[j].Recent = false
		}
	}
	if a.want == nil {
		a.want = views
	}
	if diff := cmp.Diff(a.want, views); diff != "" {
		a.t.Errorf("what the user sees (+), and must see (-):\n%s", diff)
	}
}

func (a *afterlife) view(name string) *cyrustest.MailboxView {
	a.t.Helper()
	i := slices.IndexFunc(a.want, func(v cyrustest.MailboxView) bool { return v.Name == name })
	if i < 0 {
		a.t.Fatalf("the user has no %s", name)
	}
	return &a.want[i]
}

// use changes the INBOX, and deletes and brings back a folder, over IMAP, and
// keeps book of it.
func (a *afterlife) use() {
	const text = "From: a@example.org\r\nDate: Sun, 29 Feb 2004 12:00:00 +0000\r\nSubject: later\r\n\r\nhello\r\n"
	t := a.t
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	c, err := cyrustest.Login(a.srv.IMAPAddr(), a.user, "secret")
	must("login", err)
	defer c.Close()
	inbox := a.view("INBOX")
	if len(inbox.Messages) < 3 {
		t.Fatalf("INBOX has %d messages, too few to try things on", len(inbox.Messages))
	}

	date := time.Date(2004, 2, 29, 12, 0, 0, 0, time.UTC)
	put := c.Append("INBOX", int64(len(text)), &imap.AppendOptions{Flags: []imap.Flag{`\Flagged`, "Later"}, Time: date})
	_, err = put.Write([]byte(text))
	must("append", errors.Join(err, put.Close()))
	got, err := put.Wait()
	must("append", err)
	if uint32(got.UID) != inbox.UIDNext || got.UIDValidity != inbox.UIDValidity {
		t.Errorf("appended as UID %d of UIDVALIDITY %d, want %d of %d", got.UID, got.UIDValidity, inbox.UIDNext, inbox.UIDValidity)
	}
	var digest cyrustest.Digest
	digest.Write([]byte(text))
	whole, part := digest.Sums()
	inbox.Messages = append(inbox.Messages, cyrustest.MessageView{UID: inbox.UIDNext, Flags: []string{"Later", `\Flagged`},
		InternalDate: date, Size: int64(len(text)), Octets: int64(len(text)), SHA256: whole, Text: part})
	inbox.UIDNext++

	_, err = c.Select("INBOX", nil).Wait()
	must("select", err)
	flagged, gone := &inbox.Messages[0], inbox.Messages[1].UID
	must("store", c.Store(imap.UIDSetNum(imap.UID(flagged.UID)), &imap.StoreFlags{Op: imap.StoreFlagsSet, Flags: []imap.Flag{`\Answered`, `\Seen`, "Later"}}, nil).Close())
	flagged.Flags = []string{"Later", `\Answered`, `\Seen`}
	must("store", c.Store(imap.UIDSetNum(imap.UID(gone)), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{`\Deleted`}}, nil).Close())
	must("expunge", c.UIDExpunge(imap.UIDSetNum(imap.UID(gone))).Close())
	inbox.Messages = slices.Delete(inbox.Messages, 1, 2)
	must("unselect", c.UnselectAndExpunge().Wait())
	// What was \Deleted before goes with it.
	inbox.Messages = slices.DeleteFunc(inbox.Messages, func(m cyrustest.MessageView) bool { return slices.Contains(m.Flags, `\Deleted`) })

	folder := a.folderWithMail()
	must("delete "+folder, c.Delete(folder).Wait())
	must("logout", c.Logout().Wait())
	a.undelete(folder)
	a.renamed = folder
	a.read()
}

// specialUse is in the names of the sample host's folders that get a special use. Cyrus
// does not let them be deleted (specialuse_protect).
var specialUse = regexp.MustCompile(`(?i)trash|sent|draft`)

// folderWithMail returns the name of a folder that has messages, is above no other one
// and has no special use.
func (a *afterlife) folderWithMail() string {
	for _, v := range a.want {
		above := slices.ContainsFunc(a.want, func(o cyrustest.MailboxView) bool { return strings.HasPrefix(o.Name, v.Name+a.sep()) })
		if v.Name != "INBOX" && len(v.Messages) > 0 && !above && !specialUse.MatchString(v.Name) {
			return v.Name
		}
	}
	a.t.Fatal("the user has no folder with mail")
	return ""
}

// undelete brings a deleted folder back, as administrators do: by renaming it.
func (a *afterlife) undelete(folder string) {
	a.t.Helper()
	c, err := cyrustest.Login(a.srv.IMAPAddr(), "cyrus", "secret")
	if err != nil {
		a.t.Fatal(err)
	}
	defer c.Close()
	sep := a.sep()
	name := a.external() + sep + strings.TrimPrefix(folder, "INBOX"+sep)
	found, err := c.List("", "DELETED"+sep+name+sep+"*", nil).Collect()
	if err != nil || len(found) != 1 {
		a.t.Fatalf("deleted folders %s: %d, %v", name, len(found), err)
	}
	if err := c.Rename(found[0].Mailbox, name, nil).Wait(); err != nil {
		a.t.Fatal(fmt.Errorf("undelete %s: %w", name, err))
	}
}

// TestRemovedAndUsed: a mailbox that was removed in Cyrus since a pass is not made again, and one
// whose flags were changed there is left, also where their folders have more by now. verify and
// undo say so, and undo takes nothing of that user.
func TestRemovedAndUsed(t *testing.T) {
	for _, mode := range []string{"delayed", "immediate"} {
		t.Run("delete_mode "+mode, func(t *testing.T) {
			c := newCutHost(t)
			c.srv = cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: true, Extra: []string{"delete_mode: " + mode}})
			c.write("var/mail/joe", letter(1))
			c.write("home/joe/mail/work", letter(2))
			c.write("home/joe/mail/lists", letter(3)+letter(4))
			c.pass(0, c.migrate()...)
			c.deleteMailbox("user/joe/work")
			useCyrus(t, c.srv, func(client *imapclient.Client) error {
				if _, err := client.Select("lists", nil).Wait(); err != nil {
					return err
				}
				return client.Store(imap.UIDSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close()
			})
			had := serve(t, c.srv)
			if _, there := had["work"]; there {
				t.Fatal("work is in Cyrus still")
			}
			told := func(kind string, o outcome, names ...string) {
				t.Helper()
				var folders []string
				for _, p := range o.problems(kind) {
					folders = append(folders, fmt.Sprint(p["folder"]))
				}
				if slices.Sort(folders); !slices.Equal(folders, names) {
					t.Errorf("%s of %q, want %q\n%s", kind, folders, names, o.stderr)
				}
			}
			check := func(kind string, o outcome, names ...string) {
				t.Helper()
				told(kind, o, names...)
				now := serve(t, c.srv)
				if _, there := now["work"]; there || !slices.Equal(describe(now["lists"]), describe(had["lists"])) || !slices.Equal(describe(now["INBOX"]), describe(had["INBOX"])) {
					t.Errorf("joe has %v, had %v", now, had)
				}
			}
			check("cyrus-changed", c.pass(2, c.migrate()...), "lists", "work")
			check("not-in-cyrus", c.pass(3, append([]string{"verify"}, flagsFor(c.srv, c.root, c.state)...)...), "work")
			check("changed-since", c.pass(2, append([]string{"undo", "--all"}, cyrusFlagsFor(c.srv, c.state)...)...), "lists", "work")
			c.write("home/joe/mail/work", letter(2)+letter(5))
			c.write("home/joe/mail/lists", letter(3)+letter(4)+letter(6))
			o := c.pass(2, c.migrate()...)
			check("cyrus-changed", o, "work")
			check("source-changed", o, "lists")
			// Another mailbox of that name, in the same directory, is its user's.
			c.create("user/joe/work")
			useCyrus(t, c.srv, func(client *imapclient.Client) error { return appendMailTo(client, "work") })
			had = serve(t, c.srv)
			told("cyrus-changed", c.pass(2, c.migrate("--on-conflict", "append")...), "work")
			told("not-in-cyrus", c.pass(3, append([]string{"verify"}, flagsFor(c.srv, c.root, c.state)...)...), "work")
			c.pass(2, append([]string{"undo", "--all"}, cyrusFlagsFor(c.srv, c.state)...)...)
			if now := serve(t, c.srv); !slices.Equal(describe(now["work"]), describe(had["work"])) || len(describe(now["work"])) != 1 || len(describe(now["lists"])) != 3 {
				t.Errorf("joe has %v, had %v", now, had)
			}
		})
	}
}
