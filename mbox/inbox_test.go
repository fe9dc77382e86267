package mbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// mailOf is a message in unix format with that subject.
func mailOf(subject string) string {
	return "From joe@example.com Mon Jun  2 10:11:12 2003\nSubject: " + subject + "\n\nbody\n\n"
}

// withNumbers is mailOf with UIDVALIDITY 1054563072 and UID uid, as UW leaves it.
func withNumbers(subject string, uid int) string {
	return fmt.Sprintf("From joe@example.com Mon Jun  2 10:11:12 2003\nSubject: %s\nX-IMAPbase: 1054563072 %d\nX-UID: %d\n\nbody\n\n", subject, uid, uid)
}

// tenexOf is a mailbox of the mail with these subjects, in tenex format, or with eol
// "\r\n" in mtx format.
func tenexOf(eol string, subjects ...string) string {
	var b strings.Builder
	for _, s := range subjects {
		text := "Subject: " + s + eol + eol + "body" + eol
		fmt.Fprintf(&b, " 2-Jun-2003 10:11:12 -0400,%d;000000000000%s%s", len(text), eol, text)
	}
	return b.String()
}

// mbxOf is the same in mbx format, UIDs from 1, UIDVALIDITY 1054563072.
func mbxOf(subjects ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*mbx*\r\n%08x%08x\r\n", 1054563072, len(subjects))
	b.WriteString(strings.Repeat("\r\n", 30))
	b.WriteString(strings.Repeat("\x00", 2048-b.Len()))
	for i, s := range subjects {
		text := "Subject: " + s + "\r\n\r\nbody\r\n"
		fmt.Fprintf(&b, " 2-Jun-2003 10:11:12 -0400,%d;000000000000-%08x\r\n%s", len(text), i+1, text)
	}
	return b.String()
}

// mxIndexText is the index of an mx mailbox without messages of its own.
const mxIndexText = "V3edb5b00L00000002M00000002;00000000.0000"

// served is what a folder holds: "uid subject" for each message.
func served(t *testing.T, host *Host, u User, f File) (messages []string, mb Mailbox) {
	t.Helper()
	folder, err := host.Open(u, f)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	}()
	id, err := folder.Identity()
	if err != nil {
		t.Fatal(err)
	}
	if !id.Equal(f.Identity) {
		t.Errorf("identity %+v when opened, %+v when listed", id, f.Identity)
	}
	mb, err = folder.Mailbox(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := mb.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if _, err := m.WriteTo(&text); err != nil {
			t.Fatal(err)
		}
		_, subject, _ := strings.Cut(text.String(), "Subject: ")
		subject, _, _ = strings.Cut(subject, "\r\n")
		messages = append(messages, fmt.Sprintf("%d %s", m.UID, subject))
	}
	if total := mb.Account().Total(); total != id.Size {
		t.Errorf("%d bytes are accounted for, the folder has %d: %v", total, id.Size, mb.Account())
	}
	return messages, mb
}

// TestInboxPlaces has every case of where UW looks for the INBOX, and what it makes of it:
// here always the union, each message once, nothing written.
func TestInboxPlaces(t *testing.T) {
	const spool, home = "var/mail/alice", "home/alice/"
	const validity = 1054563072
	tests := []struct {
		name     string
		files    map[string]string
		want     []string
		places   []string
		validity uint32
		skipped  []string
	}{
		{"spool", map[string]string{spool: withNumbers("s", 7)}, []string{"7 s"}, nil, validity, nil},
		{"nothing", nil, nil, nil, 0, nil},
		{"empty spool", map[string]string{spool: ""}, nil, nil, 0, nil},
		{"junk in the spool", map[string]string{spool: "no mail\n"}, nil, nil, 0, []string{spool + ": not-a-folder"}},
		{"junk in the spool, mbox", map[string]string{spool: "no mail\n", home + "mbox": withNumbers("m", 3)},
			[]string{"3 m"}, nil, validity, []string{spool + ": not-a-folder"}},
		{"INBOX in unix format is invisible to UW", map[string]string{spool: withNumbers("s", 7), home + "INBOX": mailOf("h")},
			[]string{"7 s"}, nil, validity, []string{home + "INBOX: inbox-elsewhere"}},
		{"mbx", map[string]string{spool: withNumbers("s", 7), home + "INBOX": mbxOf("a", "b")},
			[]string{"1 a", "2 b", "3 s"}, []string{home + "INBOX", spool}, validity, nil},
		{"mbox", map[string]string{spool: mailOf("s"), home + "mbox": withNumbers("m", 3)},
			[]string{"3 m", "4 s"}, []string{home + "mbox", spool}, validity, nil},
		// UW moves the bytes of the spool, numbers and all, into the empty file.
		{"empty mbox", map[string]string{spool: withNumbers("s", 7), home + "mbox": ""},
			[]string{"7 s"}, []string{home + "mbox", spool}, validity, nil},
		{"empty spool, mbox", map[string]string{spool: "", home + "mbox": withNumbers("m", 3)},
			[]string{"3 m"}, []string{home + "mbox", spool}, validity, nil},
		{"junk called mbox", map[string]string{spool: withNumbers("s", 7), home + "mbox": "junk\n"},
			[]string{"7 s"}, nil, validity, []string{home + "mbox: inbox-elsewhere"}},
		{"empty mail.txt", map[string]string{spool: withNumbers("s", 7), home + "mail.txt": ""},
			[]string{"7 s"}, []string{home + "mail.txt", spool}, validity, nil},
		{"tenex called mail.txt", map[string]string{spool: mailOf("s"), home + "mail.txt": tenexOf("\n", "t")},
			[]string{"1 t", "2 s"}, []string{home + "mail.txt", spool}, 0, nil},
		{"tenex called INBOX", map[string]string{spool: mailOf("s"), home + "INBOX": tenexOf("\n", "t")},
			[]string{"1 t", "2 s"}, []string{home + "INBOX", spool}, 0, nil},
		{"empty INBOX.MTX", map[string]string{spool: withNumbers("s", 7), home + "INBOX.MTX": ""},
			[]string{"7 s"}, []string{home + "INBOX.MTX", spool}, validity, nil},
		{"mtx called INBOX.MTX", map[string]string{spool: mailOf("s"), home + "INBOX.MTX": tenexOf("\r\n", "t")},
			[]string{"1 t", "2 s"}, []string{home + "INBOX.MTX", spool}, 0, nil},
		{"mtx called INBOX", map[string]string{spool: mailOf("s"), home + "INBOX": tenexOf("\r\n", "t")},
			[]string{"1 t", "2 s"}, []string{home + "INBOX", spool}, 0, nil},
		{"mx", map[string]string{spool: mailOf("s"), home + "INBOX/.mxindex": mxIndexText, home + "INBOX/2": "Subject: x\r\n\r\nbody\r\n"},
			[]string{"2 x", "3 s"}, []string{home + "INBOX", spool}, validity, nil},
		{"several, in the order of UW's drivers", map[string]string{spool: mailOf("s"), home + "mail.txt": tenexOf("\n", "t"),
			home + "mbox": withNumbers("m", 3), home + "INBOX": mbxOf("x")},
			[]string{"3 m", "4 x", "5 t", "6 s"}, []string{home + "mbox", home + "INBOX", home + "mail.txt", spool}, validity, nil},
		{"a message in two places", map[string]string{spool: withNumbers("s", 7) + mailOf("m"), home + "mbox": withNumbers("m", 3)},
			[]string{"3 m", "4 s"}, []string{home + "mbox", spool}, validity, nil},
		{"mmdf in the spool, for which UW does not look at mbox", map[string]string{spool: "\x01\x01\x01\x01\nSubject: s\n\nx\n\x01\x01\x01\x01\n", home + "mbox": withNumbers("m", 3)},
			[]string{"1 s", "2 m"}, []string{spool, home + "mbox"}, 0, nil},
		{"qpopper's copy after mail that came since", map[string]string{spool: mailOf("new"), "var/mail/.alice.pop": withNumbers("old", 7)},
			[]string{"7 old", "8 new"}, []string{"var/mail/.alice.pop", spool}, validity, nil},
		{"qpopper's copy and an INBOX that UW has opened since", map[string]string{spool: withNumbers("new", 7), "var/mail/alice.pop": mailOf("old")},
			[]string{"7 new", "8 old"}, []string{spool, "var/mail/alice.pop"}, validity, nil},
		{"qpopper's copy and an INBOX, both of which UW has numbered", map[string]string{spool: withNumbers("new", 9), "var/mail/.alice.pop": withNumbers("old", 7)},
			[]string{"9 new", "10 old"}, []string{spool, "var/mail/.alice.pop"}, validity, nil},
		{"qpopper's copy and an INBOX, neither of which UW has numbered", map[string]string{spool: mailOf("new"), "var/mail/.alice.pop": mailOf("old")},
			[]string{"1 new", "2 old"}, []string{spool, "var/mail/.alice.pop"}, 0, nil},
		{"qpopper's copy, and an INBOX with numbers in a text", map[string]string{spool: strings.Replace(mailOf("new"), "\n\n", "\n\nX-IMAPbase: 1054563072 9\n", 1), "var/mail/.alice.pop": withNumbers("old", 7)},
			[]string{"7 old", "8 new"}, []string{"var/mail/.alice.pop", spool}, validity, nil},
		{"qpopper's copy alone", map[string]string{"var/mail/.alice.pop": withNumbers("old", 7)},
			[]string{"7 old"}, nil, validity, nil},
		{"qpopper's copy, mbox", map[string]string{spool: mailOf("s"), "var/mail/.alice.pop": mailOf("p"), home + "mbox": withNumbers("m", 3)},
			[]string{"3 m", "4 p", "5 s"}, []string{home + "mbox", "var/mail/.alice.pop", spool}, validity, nil},
		{"names of other servers", map[string]string{spool: mailOf("s"), home + "Mailbox": mailOf("q"), home + "Maildir/cur/1": "x", home + "Maildir/new/2": "x", home + "Maildir/tmp/3": "x"},
			[]string{"1 s"}, nil, 0, []string{home + "Mailbox: inbox-elsewhere", home + "Maildir: inbox-elsewhere"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			for path, content := range test.files {
				h.file(path, content)
			}
			h.own("home/alice", 1)
			h.own("var/mail", 1)
			before := h.freeze()
			host := h.open(HostOptions{})
			tree, err := host.Folders(alice)
			h.must(err)
			checkEqual(t, "skipped", skippedKinds(tree.Skipped), test.skipped)
			checkEqual(t, "folders", folderNames(tree), []string(nil))
			if tree.Inbox == nil {
				if _, has := test.files[spool]; has && test.skipped == nil || test.want != nil {
					t.Fatal("there is no INBOX")
				}
				return
			}
			var places []string
			for _, p := range tree.Inbox.Parts {
				places = append(places, p.Path)
			}
			checkEqual(t, "places", places, test.places)
			messages, mb := served(t, host, alice, *tree.Inbox)
			h.unchanged(before)
			checkEqual(t, "messages", messages, test.want)
			checkEqual(t, "UIDVALIDITY", mb.UIDValidity(), test.validity)
		})
	}
}

// TestInboxExtra: places that an administrator adds to the INBOX.
func TestInboxExtra(t *testing.T) {
	h := newHostTree(t)
	alice, bob := h.user("alice", 1), h.user("bob", 2)
	h.file("var/mail/alice", withNumbers("s", 7))
	h.file("home/alice/INBOX", mailOf("h"))
	h.file("home/alice/old/Mailbox", mailOf("q"))
	h.symlink("/etc/passwd", "home/bob/INBOX")
	h.own("home/alice", 1)
	h.own("home/bob", 2)
	h.own("var/mail/alice", 1)
	host := h.open(HostOptions{InboxExtra: []string{"INBOX", "old//Mailbox", "missing"}})
	tree, err := host.Folders(alice)
	h.must(err)
	checkEqual(t, "skipped", skippedKinds(tree.Skipped), []string(nil))
	messages, mb := served(t, host, alice, *tree.Inbox)
	checkEqual(t, "messages", messages, []string{"7 s", "8 h", "9 q"})
	checkEqual(t, "UIDVALIDITY", mb.UIDValidity(), uint32(1054563072))
	tree, err = host.Folders(bob)
	h.must(err)
	checkEqual(t, "bob's", append(skippedKinds(tree.Skipped), fmt.Sprint(tree.Inbox)), []string{"home/bob/INBOX: symlink", "<nil>"})
}

// TestInboxPlacesHostile: what a user can put in the places is never followed or opened.
func TestInboxPlacesHostile(t *testing.T) {
	needRoot(t)
	for _, name := range []string{"mbox", "INBOX", "mail.txt", "INBOX.MTX"} {
		t.Run(name, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			h.file("var/mail/alice", mailOf("s"))
			h.file("var/mail/bob", mailOf("secret"))
			h.own("var/mail/alice", 1)
			h.symlink("../../var/mail/bob", "home/alice/"+name)
			h.own("home/alice", 1)
			host := h.open(HostOptions{})
			tree, err := host.Folders(alice)
			h.must(err)
			checkEqual(t, "skipped", skippedKinds(tree.Skipped), []string{"home/alice/" + name + ": inbox-elsewhere"})
			messages, _ := served(t, host, alice, *tree.Inbox)
			checkEqual(t, "messages", messages, []string{"1 s"})

			// The place is swapped for a link after it was listed.
			h.must(os.Remove(h.path("home/alice/" + name)))
			h.file("home/alice/"+name, map[string]string{"mbox": mailOf("m"), "INBOX": mbxOf("m"), "mail.txt": tenexOf("\n", "m"), "INBOX.MTX": tenexOf("\r\n", "m")}[name])
			h.own("home/alice", 1)
			tree, err = host.Folders(alice)
			h.must(err)
			checkEqual(t, "number of places", len(tree.Inbox.Parts), 2)
			h.must(os.Remove(h.path("home/alice/" + name)))
			h.symlink("../../var/mail/bob", "home/alice/"+name)
			h.own("home/alice", 1)
			var refused *RefusedError
			if _, err := host.Open(alice, *tree.Inbox); !errors.As(err, &refused) || refused.Kind != SkipSymlink || refused.Path != "home/alice/"+name {
				t.Errorf("error %v; want a refused link", err)
			}
		})
	}
}

// TestInboxTemplates: where hosts deliver mail.
func TestInboxTemplates(t *testing.T) {
	tests := []struct {
		template, path string
		outside        bool // not in a directory that is listed
	}{
		{"/var/mail/%u", "var/mail/alice", false},
		{"usr/mail/%u", "usr/mail/alice", false},
		{"/var/mail/%1u/%2u/%u", "var/mail/a/l/alice", false},
		{"/var/spool/mail/%9u/%u", "var/spool/mail/e/alice", false}, // shorter than nine
		{"/var/spool/mail/x%1u/%u", "var/spool/mail/xa/alice", false},
		{"~/Mailbox", "home/alice/Mailbox", true},
		{"~/.mailbox", "home/alice/.mailbox", true},
		{"~/in/%u.mbox", "home/alice/in/alice.mbox", true},
	}
	for _, test := range tests {
		t.Run(test.template, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			h.user("bob", 2)
			h.file(test.path, mailOf("s"))
			if test.outside {
				h.own("home/alice", 1)
			} else {
				h.own(test.path, 1) // the directories are root's
			}
			host := h.open(HostOptions{InboxTemplate: test.template})
			users, skipped, err := host.Users()
			h.must(err)
			if len(users) != 2 || !users[0].HasInbox || users[1].HasInbox || len(skipped) != 0 {
				t.Errorf("users %+v, skipped %v; want alice with an inbox, bob without, nothing", users, skipped)
			}
			tree, err := host.Folders(alice)
			h.must(err)
			if tree.Inbox == nil {
				t.Fatalf("no INBOX; skipped %v", tree.Skipped)
			}
			checkEqual(t, "path", tree.Inbox.Path, test.path)
			messages, _ := served(t, host, alice, *tree.Inbox)
			checkEqual(t, "messages", messages, []string{"1 s"})
			checkEqual(t, "skipped", tree.Skipped, []Skipped(nil))
		})
	}
	for _, bad := range []string{"", "/", "~/", "var/mail", "/%u", "/var/mail/%u/x", "/var/../%u", "/var/%x/%u", "/var/mail/%0u/%u", "/var/mail/%/%u", "~/%"} {
		if _, err := parseInboxTemplate(bad); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: error %v; want invalid", bad, err)
		}
	}
}

// TestInboxTemplateStrays: everything in spread directories is named.
func TestInboxTemplateStrays(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.user("bob", 2)
	h.file("var/mail/a/l/alice", mailOf("s"))
	h.file("var/mail/a/l/stranger", mailOf("s"))
	h.file("var/mail/b/o/alice", mailOf("s")) // not where it belongs
	h.file("var/mail/bob", mailOf("s"))       // from before the mail was spread
	h.file("var/mail/a/l/more/deep", mailOf("s"))
	h.file("var/spool/mail/bob", mailOf("s"))
	h.dir("disk2/z")
	h.symlink("/disk2", "var/mail/z") // root's own link to another disk
	h.file("disk2/z/zoe", mailOf("s"))
	h.own("var/mail/a/l/alice", 1)
	users, skipped, err := h.open(HostOptions{InboxTemplate: "/var/mail/%1u/%2u/%u"}).Users()
	h.must(err)
	if len(users) != 2 || users[0].Name != alice.Name || !users[0].HasInbox || users[1].HasInbox {
		t.Errorf("users %+v; want alice with an inbox, bob without", users)
	}
	checkEqual(t, "skipped", skippedKinds(skipped), []string{
		"var/mail/a/l/more: directory",
		"var/mail/a/l/stranger: no-user",
		"var/mail/b/o/alice: inbox-elsewhere",
		"var/mail/bob: inbox-elsewhere",
		"var/mail/z/z/zoe: no-user",
		"var/spool/mail: inbox-elsewhere",
	})
}

// TestInboxLeftOver: mail in the inbox directory of another system is not passed over.
func TestInboxLeftOver(t *testing.T) {
	h := newHostTree(t)
	h.user("alice", 1)
	h.file("usr/mail/alice", mailOf("s"))
	h.file("usr/mail/nobody", mailOf("s"))
	h.dir("var/spool")
	h.symlink("../mail", "var/spool/mail")
	_, skipped, err := h.open(HostOptions{}).Users()
	h.must(err)
	checkEqual(t, "skipped", skippedKinds(skipped), []string{"usr/mail: inbox-elsewhere"})
	_, skipped, err = h.open(HostOptions{InboxTemplate: "~/Mailbox"}).Users()
	h.must(err)
	checkEqual(t, "skipped", skippedKinds(skipped), []string{"usr/mail: inbox-elsewhere"})
}

// TestPartOfMaildir: a copy of a Maildir may lack directories that were empty.
func TestPartOfMaildir(t *testing.T) {
	for _, file := range []string{"Maildir/cur/1.a.h:2,S", "Maildir/new/1.a.h", "Maildir/old/1", "Maildir/cur"} {
		h := newHostTree(t)
		alice := h.user("alice", 1)
		h.file("home/alice/"+file, "Subject: a\n\nb\n")
		h.own("home/alice", 1)
		tree, err := h.open(HostOptions{}).Folders(alice)
		h.must(err)
		var want []string
		if strings.Count(file, "/") == 2 && !strings.Contains(file, "old") {
			want = []string{"home/alice/Maildir: inbox-elsewhere"}
		}
		checkEqual(t, file, skippedKinds(tree.Skipped), want)
	}
}
