package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
)

// TestSurroundings migrates into a Cyrus that has another user, quotas, conversations
// and a search index, and asks it over IMAP for all of these.
func TestSurroundings(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{Extra: []string{"conversations: yes", "search_engine: xapian",
		"defaultsearchtier: t1", "xlist-sent: Verschickt", "xlist-flagged: Wichtig"}})
	search := filepath.Join(srv.Dir, "search")
	if err := os.Mkdir(search, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(search, srv.UID, srv.GID); err != nil {
		t.Fatal(err)
	}
	appendConf(t, srv, "t1searchpartition-default: "+search)
	create(t, srv, "user/zoe", "user/zoe/Sent", "user/bob")
	setQuota(t, srv, "user.zoe", "%(S (0 5000))")
	setQuota(t, srv, "user.bob", "%(S (0 7000))")

	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	truth, err := samplehost.Write(root, samplehost.Options{Seed: 3, Users: 3, Messages: 80, Location: newYork(t)})
	if err != nil {
		t.Fatal(err)
	}
	quotas := filepath.Join(t.TempDir(), "quota.csv")
	if err := os.WriteFile(quotas, []byte("user,bytes\njoe,2M\nann,100000\nbob,9M\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	zoe := snapshot(t, filepath.Join(srv.Spool, dirOf(t, srv, "user/zoe")))
	flags := append(flagsFor(srv, root, state), "--quota", quotas, "--acl", "Backup:lrs", "--acl", "group:help desk:lr")
	first := runJSON(t, append([]string{"migrate"}, flags...)...)
	sum := first.summary(t)
	if first.code != 0 && first.code != 2 || sum["messages_found"] != sum["messages_verified"] {
		t.Fatalf("exit code %d, %v\n%s", first.code, sum, strings.Join(first.severe(), "\n"))
	}
	for _, text := range first.severe() {
		t.Log(text)
	}
	uses := map[string]string{} // as told
	for _, line := range first.lines {
		if line["message_type"] == "folder" && line["special_use"] != nil && line["user"] == "joe" {
			uses[line["folder"].(string)] = line["special_use"].(string)
		}
	}
	for _, want := range []string{"sent-mail"} {
		if uses[want] != `\Sent` {
			t.Errorf("special uses told of joe: %v", uses)
		}
	}
	if diff := diffSnapshots(zoe, snapshot(t, filepath.Join(srv.Spool, dirOf(t, srv, "user/zoe")))); diff != "" {
		t.Errorf("another user's mailbox was touched: %s", diff)
	}
	second := runJSON(t, append([]string{"migrate"}, flags...)...)
	if again := second.summary(t); again["messages_written"] != 0.0 || again["folders_unchanged"] != again["folders"] {
		t.Errorf("second run: exit code %d, %v\n%s", second.code, again, strings.Join(second.severe(), "\n"))
	}
	for _, audit := range []string{"joe", "ann"} {
		if said, err := srv.Run(context.Background(), "ctl_conversationsdb", "-A", audit); err != nil || said != "" {
			t.Errorf("audit of the conversations of %s: %q, %v", audit, said, err)
		}
	}
	compareWithTruth(t, srv, cyrustest.Options{}, truth)
	if err := srv.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	checkSurroundings(t, srv, truth)
	if err := srv.Stop(); err != nil {
		t.Fatal(err)
	}
	reconstructsQuietly(t, srv, '/')
	if said, err := srv.Run(context.Background(), "quota", "-f"); err != nil || strings.Contains(said, " usage was ") || strings.Contains(said, "-->") {
		t.Errorf("quota -f changed: %q, %v", said, err)
	}
}

// checkSurroundings asks the running Cyrus.
func checkSurroundings(t *testing.T, srv *cyrustest.Server, truth *samplehost.Truth) {
	t.Helper()
	c, err := cyrustest.Login(srv.IMAPAddr(), "joe", "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := c.List("", "*", &imap.ListOptions{ReturnSpecialUse: true}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, data := range list {
		for _, attr := range data.Attrs {
			for _, use := range []imap.MailboxAttr{imap.MailboxAttrSent, imap.MailboxAttrDrafts, imap.MailboxAttrTrash, imap.MailboxAttrJunk, imap.MailboxAttrArchive} {
				if strings.EqualFold(string(attr), string(use)) {
					listed[string(use)] += data.Mailbox + ";"
				}
			}
		}
	}
	if listed[`\Sent`] != "sent-mail;" {
		t.Errorf("LIST says %v", listed)
	}
	for use, boxes := range listed {
		if strings.Count(boxes, ";") != 1 {
			t.Errorf("%s are %s", use, boxes)
		}
	}
	acl, err := c.GetACL("INBOX").Wait()
	if err != nil {
		t.Fatal(err)
	}
	if string(acl.Rights["backup"]) != "lrs" || string(acl.Rights["group:help desk"]) != "lr" || !strings.HasPrefix(string(acl.Rights["joe"]), "lrswi") {
		t.Errorf("rights in joe's INBOX: %v", acl.Rights)
	}
	limits := map[string]int64{"joe": 2048, "ann": 98, "bob": 7000} // in KiB; bob's was there before
	for _, u := range truth.Users {
		limit, ok := limits[u.Name]
		if !ok {
			continue
		}
		c, err := cyrustest.Login(srv.IMAPAddr(), u.Name, "secret")
		if err != nil {
			t.Fatal(err)
		}
		quotas, err := c.GetQuotaRoot("INBOX").Wait()
		if err != nil {
			t.Fatal(err)
		}
		var bytes int64
		for _, f := range u.Folders {
			bytes += f.Bytes
		}
		if len(quotas) != 1 || quotas[0].Resources[imap.QuotaResourceStorage] != (imapclient.QuotaResourceData{Usage: bytes / 1024, Limit: limit}) {
			t.Errorf("quota of %s: %+v, want %d of %d KiB", u.Name, quotas, bytes/1024, limit)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	found, err := c.UIDSearch(&imap.SearchCriteria{Text: []string{"the"}}, nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	inbox := slices.IndexFunc(truth.Users[0].Folders, func(f samplehost.Folder) bool { return f.Inbox })
	if n := len(found.AllUIDs()); n == 0 || n > truth.Users[0].Folders[inbox].Count {
		t.Errorf("a search in the INBOX finds %d of %d messages", n, truth.Users[0].Folders[inbox].Count)
	}
}

// TestSquat: a message without any address and subject breaks squat's index of its mailbox, though
// Cyrus's program exits with 0 when it makes it. It is told, and nobody else goes without index.
func TestSquat(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{Extra: []string{"search_engine: squat"}})
	h := newPassHost(t)
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nzoe:x:1001:1001::/home/zoe:/bin/sh\n")
	flags := append(flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state")), "--jobs", "1") // both in one batch
	h.write("home/joe/mail/bare", "From joe@example.com Mon Jun  2 10:11:01 2003\n\nbody\n\n")
	h.write("var/mail/joe", letter(1))
	h.write("var/mail/zoe", letter(1))
	for n := 1; n <= 2; n++ {
		if n == 2 {
			h.append("var/mail/joe", letter(n))
			h.append("var/mail/zoe", letter(n))
			h.write("home/zoe/mail/later", letter(n))
		}
		o := runJSON(t, append([]string{"migrate"}, flags...)...)
		told := o.problems("search-index")
		if _, err := srv.Run(t.Context(), "squatter", "-i", "-u", "joe"); err == nil {
			t.Skip("this release of Cyrus can read it")
		}
		if o.code != 2 || len(told) != 1 || told[0]["user"] != "joe" || !strings.Contains(told[0]["text"].(string), "user/joe/bare") {
			t.Errorf("pass %d: exit code %d, %v\n%s", n, o.code, told, o.stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(srv.Spool, dirOf(t, srv, "user/zoe/later"), "cyrus.squat")); err != nil {
		t.Error(err)
	}
	whileServed(t, srv, func() {
		c, err := cyrustest.Login(srv.IMAPAddr(), "joe", "secret")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Select("INBOX", nil).Wait(); err != nil {
			t.Fatal(err)
		}
		found, err := c.UIDSearch(&imap.SearchCriteria{Text: []string{"body 2"}}, nil).Wait()
		if err != nil || !slices.Equal(found.AllUIDs(), []imap.UID{2}) {
			t.Errorf("a search finds %v, %v", found, err)
		}
	})
}

func setQuota(t *testing.T, srv *cyrustest.Server, root, value string) {
	t.Helper()
	if _, err := srv.Run(context.Background(), "cyr_dbtool", filepath.Join(srv.ConfigDir, "quotas.db"), "quotalegacy", "set", root, value); err != nil {
		t.Fatal(err)
	}
	if _, err := srv.Run(context.Background(), "quota", "-f"); err != nil {
		t.Fatal(err)
	}
}

// dirOf returns the directory of a mailbox below the spool.
func dirOf(t *testing.T, srv *cyrustest.Server, name string) string {
	t.Helper()
	said, err := srv.Run(context.Background(), "mbpath", name)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Rel(srv.Spool, strings.TrimSpace(said))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestQuotasThatCyrusHas: plan says who will be over a quota that Cyrus has, by how much;
// migrate brings all mail, has every root counted right, one above several users too, and
// says who is over; undo gives all of it back.
func TestQuotasThatCyrusHas(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	create(t, srv, "user/joe", "user/bob", "user/zoe")
	h := newPassHost(t)
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nann:x:1001:1001::/home/ann:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n")
	h.write("var/mail/joe", longLetter("joe", 1, 200)) // 8 KiB and some
	h.write("home/joe/mail/big", longLetter("big", 1, 400))
	h.write("var/mail/ann", longLetter("ann", 1, 200))
	h.write("var/mail/bob", longLetter("bob", 1, 212))
	setQuota(t, srv, "user.joe", "%(S (0 10))")
	setQuota(t, srv, "user.bob", "%(S (0 9))")
	setQuota(t, srv, "user", "%(S (0 8))")
	state := filepath.Join(t.TempDir(), "state")
	flags := flagsFor(srv, h.root, state)
	before, err := srv.Run(context.Background(), "quota")
	if err != nil {
		t.Fatal(err)
	}

	plan := runJSON(t, append([]string{"plan"}, flags...)...)
	if plan.code != 2 || len(plan.problems("over-quota")) != 2 || len(plan.problems("near-quota")) != 1 {
		t.Errorf("plan: exit code %d\n%v\n%v", plan.code, plan.severe(), plan.problems("near-quota"))
	}
	for _, p := range plan.problems("over-quota") {
		if p["user"] == "joe" && !strings.Contains(p["text"].(string), "quota root user.joe: 0 bytes are used and 2") {
			t.Errorf("without figures: %v", p)
		}
	}
	first := runJSON(t, append([]string{"migrate"}, flags...)...)
	if s := first.summary(t); first.code != 2 || s["messages_verified"] != 4.0 || len(first.problems("over-quota")) != 2 || len(first.problems("near-quota")) != 1 || len(first.problems("quota")) != 0 {
		t.Errorf("migrate: exit code %d, %v\n%v\n%v", first.code, s, first.severe(), first.problems("near-quota"))
	}
	said, err := srv.Run(context.Background(), "quota", "-f")
	if err != nil || strings.Contains(said, " usage was ") || strings.Contains(said, "-->") {
		t.Errorf("quota -f changed: %q, %v", said, err)
	}
	// The indexes are as they were left.
	second := runJSON(t, append([]string{"migrate"}, flags...)...)
	if s := second.summary(t); second.code != 0 || s["folders_unchanged"] != s["folders"] {
		t.Errorf("second run: exit code %d, %v\n%v", second.code, s, second.severe())
	}
	if o := runJSON(t, append([]string{"plan"}, flags...)...); o.code != 0 {
		t.Errorf("plan of a later pass: exit code %d, %v", o.code, o.severe())
	}
	// What is brought later counts too.
	h.append("var/mail/bob", longLetter("bob", 2, 50))
	if o := runJSON(t, append([]string{"plan"}, flags...)...); o.code != 2 || len(o.problems("over-quota")) != 1 {
		t.Errorf("plan of a later pass: exit code %d, %v", o.code, o.severe())
	}
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 2 || len(o.problems("over-quota")) != 1 {
		t.Errorf("later pass: exit code %d, %v", o.code, o.severe())
	}
	undo := runJSON(t, "undo", "--all", "--imapd-conf", srv.Conf, "--state", state)
	after, err := srv.Run(context.Background(), "quota")
	if err != nil || undo.code != 0 || after != before {
		t.Errorf("undo: exit code %d, %v\n%s\nquotas were\n%s\nare\n%s", undo.code, err, undo.stderr, before, after)
	}
}

// TestQuotaIsOfWhatCyrusHas: a quota that is to be given is compared with the mail as Cyrus has
// it, without From_ lines and what else of the file does not come.
func TestQuotaIsOfWhatCyrusHas(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("etc/passwd", "joe:x:1001:1001::/home/joe:/bin/sh\nann:x:1001:1001::/home/ann:/bin/sh\n")
	h.write("var/mail/joe", strings.Replace(letter(1), "From ", "From "+strings.Repeat("long", 500), 1))
	h.write("var/mail/ann", longLetter("ann", 1, 200))
	flags := append(flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state")), "--quota", "1000")
	for _, command := range []string{"plan", "migrate"} {
		o := runJSON(t, append([]string{command}, flags...)...)
		if p := o.problems("over-quota"); o.code != 2 || len(p) != 1 || p[0]["user"] != "ann" || o.summary(t)["messages_found"] != 2. {
			t.Errorf("%s: exit code %d, %v\n%s", command, o.code, p, o.stderr)
		}
	}
}

// TestQuotaGivenLater: a quota that is given by a later pass is compared with what the first one
// brought, too.
func TestQuotaGivenLater(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("var/mail/joe", longLetter("joe", 1, 200))
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	h.write("var/mail/joe", longLetter("joe", 1, 200)+letter(2))
	for _, command := range []string{"plan", "migrate"} {
		o := runJSON(t, append([]string{command, "--quota", "1000"}, flags...)...)
		if p := o.problems("over-quota"); o.code != 2 || len(p) != 1 {
			t.Errorf("%s: exit code %d, %v\n%s", command, o.code, p, o.stderr)
		}
	}
}

// TestQuotaThatFails: Cyrus's program says nothing of a quota root that it cannot write. It is told.
func TestQuotaThatFails(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	create(t, srv, "user/zoe")
	setQuota(t, srv, "user.zoe", "%(S (0 5000))")
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1))
	state := filepath.Join(t.TempDir(), "state")
	// The directory that joe's would be in.
	zoe, err := filepath.Glob(filepath.Join(srv.ConfigDir, "quota", "*", "user.zoe"))
	if err != nil || len(zoe) != 1 {
		t.Fatal(zoe, err)
	}
	dir := filepath.Join(srv.ConfigDir, "quota", "j")
	if err := os.Mkdir(dir, 0o755); err != nil { // of root
		t.Fatal(err)
	}
	o := runJSON(t, append([]string{"migrate", "--quota", "1M"}, flagsFor(srv, h.root, state)...)...)
	if told := o.problems("quota"); o.code != 2 || len(told) != 1 || !strings.Contains(told[0]["text"].(string), "did not set it") {
		t.Errorf("exit code %d, %v\n%s", o.code, told, o.stderr)
	}
}

// TestUndoQuotaThatFails: nor does it say anything of one that it cannot remove.
func TestUndoQuotaThatFails(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1))
	state := filepath.Join(t.TempDir(), "state")
	if o := runJSON(t, append([]string{"migrate", "--quota", "1M"}, flagsFor(srv, h.root, state)...)...); o.code != 0 {
		t.Fatalf("migrate: exit code %d\n%s", o.code, o.stderr)
	}
	own := func(uid, gid int) {
		dir := filepath.Join(srv.ConfigDir, "quota", "j")
		if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, uid, gid)); err != nil {
			t.Fatal(err)
		}
	}
	undo := append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)
	own(0, 0)
	if o := runJSON(t, undo...); o.code != 1 || !strings.Contains(o.stderr, "did not remove it") {
		t.Errorf("undo: exit code %d\n%s", o.code, o.stderr)
	}
	own(srv.UID, srv.GID)
	if o := runJSON(t, undo...); o.code != 0 {
		t.Errorf("undo again: exit code %d\n%s", o.code, o.stderr)
	}
}

// TestConversationsOfCopies: a user has the same message more often than Cyrus would let him,
// in a folder and in all. It takes in all the same what he has, in folders that follow too.
func TestConversationsOfCopies(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{Extra: []string{"conversations: yes", "conversations_max_guidexists: 20"}})
	h := newPassHost(t)
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	h.write("var/mail/joe", letter(1))
	h.write("home/joe/mail/copies", strings.Repeat(letter(2), 25))
	h.write("home/joe/mail/later", letter(3))
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	said, err := srv.Run(t.Context(), "ctl_conversationsdb", "-d", "joe")
	if err != nil {
		t.Fatal(err)
	}
	// Three different messages.
	if !regexp.MustCompile(`(?m)^Q\t.*\(E 3 `).MatchString(said) {
		t.Errorf("not all is in conversations:\n%s", said)
	}
	useCyrus(t, srv, func(c *imapclient.Client) error {
		if _, err := c.Select("copies", nil).Wait(); err != nil {
			return err
		}
		return c.Store(imap.SeqSet{{Start: 1, Stop: 25}}, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close()
	})
	reconstructsQuietly(t, srv, '/')
}

// TestConversationsAfterFirstPass: Cyrus's conversations are as it counts them, subjects too.
func TestConversationsAfterFirstPass(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{Extra: []string{"conversations: yes", "conversations_db: twoskip"}})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1)+letter(2, "Status: RO"))
	h.write("home/joe/mail/play", letter(2)+letter(3))
	if o := runJSON(t, append([]string{"migrate"}, flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))...)...); o.code != 0 {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	var said [4]string
	for i, option := range []string{"-A", "-d", "-R", "-d"} {
		var err error
		if said[i], err = srv.Run(t.Context(), "ctl_conversationsdb", option, "joe"); err != nil {
			t.Fatal(err)
		}
	}
	if said[0] != "" {
		t.Errorf("the audit said: %s", said[0])
	}
	if said[1] != said[3] {
		t.Errorf("the conversations were\n%s\nand must be\n%s", said[1], said[3])
	}
}

// TestConversationsThatFail: Cyrus's program exits with 0 and says nothing where it cannot open the
// conversations of a user, so that his messages are in none, or what is gone is counted: it is told.
func TestConversationsThatFail(t *testing.T) {
	for _, tt := range []struct {
		name, then string // the INBOX after the damage
		left       string
	}{
		{"new mail", letter(1) + letter(2) + letter(3), "ctl_conversationsdb -b joe (1 of his messages"},
		{"mail that is gone", letter(1), "ctl_conversationsdb -R joe ("},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{Extra: []string{"conversations: yes"}})
			h := newPassHost(t)
			flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
			h.write("var/mail/joe", letter(1)+letter(2))
			if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 || len(o.problems("conversations")) != 0 {
				t.Fatalf("exit code %d\n%s", o.code, o.stderr)
			}
			n, database := 0, ""
			for path := range cyrusTree(t, srv) {
				if strings.HasSuffix(path, "conversations.db") {
					n, database = n+1, filepath.Join(srv.Dir, path)
					if err := os.WriteFile(database, []byte(strings.Repeat("damage\n", 500)), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			h.write("var/mail/joe", tt.then)
			o := runJSON(t, append([]string{"migrate"}, flags...)...)
			told := false
			for _, p := range o.problems("conversations") {
				told = told || strings.Contains(p["text"].(string), tt.left)
			}
			if n != 1 || o.code != 2 || !told {
				t.Errorf("%d databases, exit code %d, %v\n%s", n, o.code, o.problems("conversations"), o.stderr)
			}
			if tt.name != "new mail" {
				return
			}
			// A later pass has nothing to do there: it is verify that tells until it is done.
			for _, done := range []bool{false, true} {
				if done {
					if err := os.Remove(database); err != nil {
						t.Fatal(err)
					}
					if out, err := srv.Run(t.Context(), "ctl_conversationsdb", "-b", "joe"); err != nil || out != "" {
						t.Fatalf("ctl_conversationsdb -b: %v, %q", err, out)
					}
				}
				o := runJSON(t, append([]string{"verify"}, flags...)...)
				if told := len(o.problems("conversations")); done != (told == 0) {
					t.Errorf("verify: exit code %d, %v\n%s", o.code, o.problems("conversations"), o.stderr)
				}
			}
		})
	}
}

// TestConversationsFollow: Cyrus's conversations count what its mailboxes have, also after a
// pass that took messages away and changed flags, and after an undo of one that was served.
func TestConversationsFollow(t *testing.T) {
	u := newInUse(t, cyrustest.Options{Extra: []string{"conversations: yes", "conversations_db: skiplist"}})
	counted := func(when string) {
		t.Helper()
		dump := func() string {
			said, err := u.srv.Run(t.Context(), "ctl_conversationsdb", "-d", "joe")
			if err != nil {
				t.Fatal(err)
			}
			return said
		}
		have := dump()
		if said, err := u.srv.Run(t.Context(), "ctl_conversationsdb", "-R", "joe"); err != nil || said != "" {
			t.Fatalf("ctl_conversationsdb -R: %v, %q", err, said)
		}
		if want := dump(); have != want {
			t.Errorf("%s the conversations are\n%s\nand must be\n%s", when, have, want)
		}
	}
	u.merge(t)
	u.write("var/mail/joe", letter(7)+letter(8))
	u.write("home/joe/mail/play", letter(3))
	u.merge(t)
	if o := runJSON(t, append([]string{"verify", "--level", "content"}, flagsFor(u.srv, u.root, u.state)...)...); o.code != 0 {
		t.Errorf("verify: exit code %d\n%s", o.code, o.stderr)
	}
	if o := runJSON(t, append([]string{"migrate", "--merge"}, flagsFor(u.srv, u.root, u.state)...)...); o.code != 0 || o.summary(t)["messages_written"] != 0.0 {
		t.Errorf("a pass with nothing to do: exit code %d\n%s", o.code, o.stderr)
	}
	whileServed(t, u.srv, func() {})
	if o := u.undo(t); o.code != 0 {
		t.Fatalf("undo: exit code %d\n%s", o.code, o.stderr)
	}
	counted("after undo")
	u.merge(t)
	u.write("var/mail/joe", letter(7)+letter(9))
	u.write("home/joe/mail/play", letter(4))
	u.merge(t)
	counted("after a later pass")
}
