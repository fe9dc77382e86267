package mbox

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHomeAsMailDir: UW's default is that folders are in the home, among everything else
// that users keep there. What is no mail is counted, what may be is named.
func TestHomeAsMailDir(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	folders := []string{"mail/Drafts", "Mail/x", "saved", "sub/deep/x", "sub/INBOX", ".hidden", ".thunderbird/p/Mail/Sent", "~tilde", "#hash",
		"mail/mbox", "dead.letter", "caf\xe9", "Mailbox"}
	for _, name := range folders {
		h.file("home/alice/"+name, oneMessage)
	}
	h.file("var/mail/alice", mailOf("s"))
	h.file("home/alice/mbox", mailOf("m"))       // is the INBOX, and no folder
	h.file("home/alice/INBOX", mailOf("hidden")) // in unix format: UW shows it nowhere
	for _, name := range []string{".bashrc", ".newsrc", "notes.txt", "src/main.c", "letter.doc"} {
		h.file("home/alice/"+name, "no mail\n")
	}
	h.file("home/alice/backup.tar.gz", "\x1f\x8b\x08packed")
	h.file("home/alice/stray.txt", "some text\n"+oneMessage)
	h.file("home/alice/.mailboxlist", "INBOX\nmail/Drafts\nsaved\n~/saved\n/home/alice/sub/deep/x\n~alice/.hidden\nmbox\nsub\n../bob/x\ngone\n")
	h.symlink("mail/Drafts", "home/alice/link-inside")
	h.symlink("/home/alice/saved", "home/alice/link-inside-absolute")
	h.symlink("sub/..", "home/alice/loop")
	h.symlink("/etc/passwd", "home/alice/link-outside")
	h.symlink("../bob/mail", "home/alice/link-to-bob")
	h.must(unix.Mkfifo(h.path("home/alice/fifo"), 0o600))
	h.own("home/alice", 1)
	h.own("var/mail/alice", 1)
	before := h.freeze()
	host := h.open(HostOptions{MailDir: "."})
	tree, err := host.Folders(alice)
	h.must(err)
	h.unchanged(before)

	checkEqual(t, "folders", folderNames(tree), []string{"#hash", ".hidden", ".thunderbird/p/Mail/Sent", "Mail/x", "Mailbox",
		"caf\xe9", "dead.letter", "mail/Drafts", "mail/mbox", "saved", "sub/INBOX", "sub/deep/x", "~tilde"})
	checkEqual(t, "skipped", skippedKinds(tree.Skipped), []string{
		"home/alice: not-a-folder",
		"home/alice/.mailboxlist: subscription",
		"home/alice/.mailboxlist: subscription",
		"home/alice/INBOX: inbox-elsewhere",
		"home/alice/link-outside: symlink",
		"home/alice/link-to-bob: symlink",
		"home/alice/stray.txt: not-a-folder",
	})
	for _, s := range tree.Skipped {
		if mail := s.Path != "home/alice" && s.Kind != SkipSubscription; s.MayHoldMail != mail {
			t.Errorf("%s: may hold mail: %t", s.Path, s.MayHoldMail)
		}
	}
	if s := tree.Skipped[0]; !strings.HasSuffix(s.Text, ": fifo 1, not-a-folder 6, symlink 3") {
		t.Errorf("what is no mail is summed up as %q", s.Text)
	}
	checkEqual(t, "subscriptions", tree.Subscriptions, []Subscription{{Name: "INBOX", Inbox: true}, {Name: "mail/Drafts"}, {Name: "saved"},
		{Name: "sub/deep/x"}, {Name: ".hidden"}, {Name: "mbox"}, {Name: "gone"}})
	messages, _ := served(t, host, alice, *tree.Inbox)
	checkEqual(t, "INBOX", messages, []string{"1 m", "2 s"})
	for _, f := range tree.Folders {
		messages, _ := served(t, host, alice, f)
		checkEqual(t, f.Name, messages, []string{"1 x"})
	}
	if !tree.HasMailDir {
		t.Error("the home is no mail directory")
	}
}

// TestHomeInboxDirectory: a mailbox directory that is the INBOX is no folder, but what is
// below it is; an ordinary directory of that name holds folders.
func TestHomeInboxDirectory(t *testing.T) {
	h := newHostTree(t)
	alice, bob := h.user("alice", 1), h.user("bob", 2)
	h.file("home/alice/INBOX/.mxindex", mxIndexText)
	h.file("home/alice/INBOX/2", "Subject: x\r\n\r\nbody\r\n")
	h.file("home/alice/INBOX/saved", oneMessage)
	h.file("home/bob/Inbox/saved", oneMessage)
	h.own("home/alice", 1)
	h.own("home/bob", 2)
	host := h.open(HostOptions{MailDir: "."})
	tree, err := host.Folders(alice)
	h.must(err)
	checkEqual(t, "folders", folderNames(tree), []string{"INBOX/saved"})
	messages, _ := served(t, host, alice, *tree.Inbox)
	checkEqual(t, "INBOX", messages, []string{"2 x"})
	tree, err = host.Folders(bob)
	h.must(err)
	checkEqual(t, "folders of bob", folderNames(tree), []string{"Inbox/saved"})
}

// TestHomePrefixes: how names are written where folders are in the home, below it, and
// where UW itself is told so.
func TestHomePrefixes(t *testing.T) {
	u := User{Name: "alice", Home: "/home/alice/"}
	nowhere := func(string) place { return placeNowhere }
	tests := []struct{ mailDir, boxDir, line, want string }{
		{"", "", "x", "x"},
		{"", "", "mail/x", "mail/x"},
		{"", "", "~/mail/x", "mail/x"},
		{"", "", "~alice/x", "x"},
		{"", "", "/home/alice/mail/x", "mail/x"},
		{"mail", "", "mail/x", "x"},
		{"mail", "", "~/mail/x", "x"},
		{"mail", "", "/home/alice/mail/x", "x"},
		{"mail", "mail", "x", "x"},
		{"mail", "mail", "mail/x", "mail/x"},
		{"mail", "mail", "~/x", "x"},
		{"mail", "mail", "~alice/x", "x"},
		{"mail", "mail", "/home/alice/mail/x", "x"},
		{"Library/Mail", "Library", "Mail/x", "x"},
		{"Library/Mail", "Library", "~/Mail/x", "x"},
	}
	for _, test := range tests {
		sub, why := cleanSubscription(test.line, prefixesOf(u, test.mailDir, test.boxDir), nowhere, func(string) {})
		if sub.Name != test.want {
			t.Errorf("mail directory %q, UW's %q: %q is %q (%s), want %q", test.mailDir, test.boxDir, test.line, sub.Name, why, test.want)
		}
	}
}

// TestMHFolders: MH's folders are found by the profile alone, as UW does, inside the mail
// directory and outside of it.
func TestMHFolders(t *testing.T) {
	const message = "Subject: x\n\nbody\n"
	tests := []struct {
		name, profile, mailDir string
		want                   []string
		subscribed             []Subscription
		skipped                []string
	}{
		{"outside the mail directory", "Path: MH/folders\n", "mail", []string{"mh", "mh-2/drafts", "mh-2/drafts/old", "mh-2/empty", "mh-2/inbox", "mh-2/mixed", "mh-2/mixed/saved", "sent"},
			[]Subscription{{Name: "mh-2/drafts"}, {Name: "mh-2/inbox"}}, []string{"home/alice: not-a-folder"}},
		{"absolute path in the home", "path: /home/alice/MH/folders\n", "mail", []string{"mh", "mh-2/drafts", "mh-2/drafts/old", "mh-2/empty", "mh-2/inbox", "mh-2/mixed", "mh-2/mixed/saved", "sent"},
			[]Subscription{{Name: "mh-2/drafts"}, {Name: "mh-2/inbox"}}, []string{"home/alice: not-a-folder"}},
		{"inside the mail directory", "Path: MH/folders\n", ".", []string{"MH/folders/drafts", "MH/folders/drafts/old", "MH/folders/empty", "MH/folders/inbox", "MH/folders/mixed", "MH/folders/mixed/saved", "mail/mh", "mail/sent"},
			[]Subscription{{Name: "MH/folders/drafts"}, {Name: "MH/folders/inbox"}}, []string{"home/alice: not-a-folder"}},
		{"the mail directory itself", "Path: MH/folders\n", "MH/folders", []string{"drafts", "drafts/old", "empty", "inbox", "mixed", "mixed/saved"},
			[]Subscription{{Name: "drafts"}, {Name: "inbox"}}, []string{"home/alice/MH/folders/context: not-a-folder", "home/alice/mail: mail-in-home"}},
		{"not below the home", "Path: /var/mh\n", "mail", []string{"mh", "sent"}, []Subscription(nil),
			[]string{"home/alice/.mailboxlist: subscription", "home/alice/.mailboxlist: subscription", "home/alice/.mh_profile: format-not-supported"}},
		{"out of the home", "Path: ../bob\n", "mail", []string{"mh", "sent"}, []Subscription(nil),
			[]string{"home/alice/.mailboxlist: subscription", "home/alice/.mailboxlist: subscription", "home/alice/.mh_profile: format-not-supported"}},
		{"missing", "Path: gone\n", "mail", []string{"mh", "sent"}, []Subscription{{Name: "mh-2/drafts"}, {Name: "mh-2/inbox"}}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			h.file("home/alice/.mh_profile", test.profile)
			h.file("home/alice/mail/sent", oneMessage)
			h.file("home/alice/mail/mh", oneMessage) // has the name that would be taken
			h.file("home/alice/MH/folders/context", "Current-Folder: inbox\n")
			h.file("home/alice/MH/folders/inbox/1", message)
			h.file("home/alice/MH/folders/drafts/2", message)
			h.file("home/alice/MH/folders/drafts/old/3", message)
			h.file("home/alice/MH/folders/mixed/4", message)
			h.file("home/alice/MH/folders/mixed/saved", oneMessage)
			h.dir("home/alice/MH/folders/empty")
			h.file("home/alice/.mailboxlist", "#mh/drafts\n#mhinbox\n")
			h.own("home/alice", 1)
			host := h.open(HostOptions{MailDir: test.mailDir})
			tree, err := host.Folders(alice)
			h.must(err)
			checkEqual(t, "folders", folderNames(tree), test.want)
			checkEqual(t, "subscriptions", tree.Subscriptions, test.subscribed)
			checkEqual(t, "skipped", skippedKinds(tree.Skipped), test.skipped)
			for _, f := range tree.Folders {
				messages, _ := served(t, host, alice, f)
				if want := 1; strings.HasSuffix(f.Name, "empty") != (len(messages) == 0) || len(messages) > want {
					t.Errorf("%s in %s format holds %v", f.Name, f.Format, messages)
				}
			}
		})
	}
}

// TestMHLinks: a link among the MH folders to a place of the home that nobody walks may be
// mail that is nowhere else.
func TestMHLinks(t *testing.T) {
	for _, test := range []struct {
		mailDir string
		want    []string // that may hold mail
	}{
		{"mail", []string{"home/alice/Mail/elsewhere: symlink", "home/alice/Mail/outside: symlink", "home/alice/Mail/packed.gz: not-a-folder", "home/alice/Mail/work: symlink"}},
		{".", []string{"home/alice/Mail/outside: symlink", "home/alice/old/work/1: not-a-folder"}},
		{"gone", []string{"home/alice/Mail/elsewhere: symlink", "home/alice/Mail/outside: symlink", "home/alice/Mail/packed.gz: not-a-folder", "home/alice/Mail/sent: symlink", "home/alice/Mail/work: symlink", "home/alice/mail: mail-in-home"}},
	} {
		t.Run(test.mailDir, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			h.file("home/alice/.mh_profile", "Path: Mail\n")
			h.file("home/alice/Mail/inbox/1", "Subject: x\n\nbody\n")
			h.file("home/alice/Mail/packed.gz", "\x1f\x8b\x08packed")
			h.file("home/alice/mail/sent", oneMessage)
			h.file("home/alice/mailing", oneMessage)
			h.file("home/alice/old/work/1", "Subject: y\n\nbody\n")
			h.symlink("../old/work", "home/alice/Mail/work")
			h.symlink("../mailing", "home/alice/Mail/elsewhere")
			h.symlink("../mail/sent", "home/alice/Mail/sent")
			h.symlink("/home/alice/Mail/inbox", "home/alice/Mail/in")
			h.symlink("../../bob/box", "home/alice/Mail/outside")
			h.own("home/alice", 1)
			tree, err := h.open(HostOptions{MailDir: test.mailDir}).Folders(alice)
			h.must(err)
			tree.Skipped = slices.DeleteFunc(tree.Skipped, func(s Skipped) bool { return !s.MayHoldMail })
			checkEqual(t, "skipped", skippedKinds(tree.Skipped), test.want)
		})
	}
}

// TestNoHome: a missing home is told, and it needs a person where a whole disk seems to be
// missing, whether the user has an INBOX or not.
func TestNoHome(t *testing.T) {
	h := newHostTree(t)
	h.user("zoe", 5)
	tests := []struct {
		home        string
		mail, alone bool // with an INBOX, and without
	}{
		{"/home/gone", false, false}, // others are there
		{"/home2/gone", true, true},
		{"/empty/gone", true, true}, // not mounted
		{"/usr/people/gone", true, true},
		{"/var/lib/nfs", true, false}, // nfsnobody, on a host of which only homes and mail were copied
		{"/nonexistent", false, false},
		{"/dev/null", false, false},
		{"", false, false},
		{"relative", false, false},
	}
	h.dir("empty")
	for _, test := range tests {
		h.file("etc/alone", fmt.Sprintf("alice:x:%d:100::%s:/bin/sh\nzoe:x:%d:100::/home/zoe:/bin/sh\n", h.uid(1), test.home, h.uid(5)))
		h.must(os.RemoveAll(h.path("var/mail/alice")))
		_, skipped, err := h.open(HostOptions{Passwd: "etc/alone"}).Users()
		h.must(err)
		if len(skipped) != 1 || skipped[0].Kind != SkipNoMail || skipped[0].MayHoldMail != test.alone {
			t.Errorf("home %q and no INBOX: skipped %+v; want one no-mail that may hold mail: %t", test.home, skipped, test.alone)
		}

		h.file("var/mail/alice", mailOf("s"))
		h.own("var/mail/alice", 1)
		tree := h.folders(User{Name: "alice", UID: uint32(h.uid(1)), Home: test.home})
		if tree.Inbox == nil || len(tree.Skipped) != 1 || tree.Skipped[0].Kind != SkipNoHome || tree.Skipped[0].MayHoldMail != test.mail {
			t.Errorf("home %q: inbox %v, skipped %+v; want one no-home that may hold mail: %t", test.home, tree.Inbox, tree.Skipped, test.mail)
		}
	}
}

// TestHomeMail: mailboxes at the top of the home that nobody subscribed to are told, in one entry,
// for information; what is told elsewhere, or is no mailbox for certain, is not among them.
func TestHomeMail(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	for name, content := range map[string]string{
		"saved": oneMessage, "x.mbx": mbxFile(h0, h0Words), "b": oneMessage, "c": oneMessage, "d": oneMessage, "e": oneMessage,
		"prose": "From here on it is prose\n", "notes": "notes\n\n" + oneMessage, "empty": "", ".hidden": oneMessage,
		"mbox": oneMessage, "listed": oneMessage, "dir/x": oneMessage, "mail/a": oneMessage, ".mailboxlist": "listed\nmail/a\n",
	} {
		h.file("home/alice/"+name, content)
	}
	h.symlink("saved", "home/alice/link")
	h.own("home/alice", 1)
	h.file("home/alice/root's", oneMessage)
	before := h.freeze()
	tree, err := h.open(HostOptions{}).Folders(alice)
	h.must(err)
	h.unchanged(before)
	var got []string
	for _, s := range tree.Skipped {
		if s.Kind == SkipHomeMail {
			got = append(got, s.Path, s.Text)
			if s.MayHoldMail {
				t.Error("it needs a person")
			}
		}
	}
	size := 5*len(oneMessage) + len(mbxFile(h0, h0Words))
	who := "6 mailbox files"
	named := `"b", "c", "d", "e", "saved", …`
	if os.Getuid() != 0 { // all files are of one user
		size, who, named = size+len(oneMessage), "7 mailbox files", `"b", "c", "d", "e", "root's", …`
	}
	checkEqual(t, "mail in the home", got, []string{"home/alice", fmt.Sprintf(
		"%s at the top of the home, of %d bytes, outside the mail directory and not subscribed to, not converted: %s; move what is wanted into the mail directory", who, size, named)})
	for _, dir := range []string{".", "mail"} {
		h2 := newHostTree(t)
		bob := h2.user("bob", 2)
		h2.file("home/bob/mail/a", oneMessage)
		h2.own("home/bob", 2)
		tree, err := h2.open(HostOptions{MailDir: dir}).Folders(bob)
		h2.must(err)
		if len(tree.Skipped) != 0 {
			t.Errorf("%s: %v", dir, skippedKinds(tree.Skipped))
		}
	}
}

// TestOtherMailDirs: directories where mail programs kept folders, beside the mail directory, need
// a person if a mailbox is in them, and so does a link that may lead to such a one.
func TestOtherMailDirs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		make  func(h *hostTree)
		where []string // what is told
		says  string
	}{
		{"elm's", func(h *hostTree) {
			h.file("home/alice/Mail/a", oneMessage)
			h.file("home/alice/Mail/lists/b", oneMessage)
		},
			[]string{"home/alice/Mail: mail-in-home"}, "2 mailbox files in"},
		{"beside the mail directory", func(h *hostTree) {
			h.file("home/alice/mail/a", oneMessage)
			h.file("home/alice/nsmail/Inbox", oneMessage)
		},
			[]string{"home/alice/nsmail: mail-in-home"}, "1 mailbox file in"},
		{"subscribed to", func(h *hostTree) {
			h.file("home/alice/Mail/a", oneMessage)
			h.file("home/alice/.mailboxlist", "Mail/a\n")
		}, []string{"home/alice/.mailboxlist: subscription", "home/alice/Mail/a: outside-mail-dir"}, ""},
		{"no mail", func(h *hostTree) { h.file("home/alice/Mail/notes", "notes\n"); h.file("home/alice/mail/a", oneMessage) }, nil, ""},
		{"MH's", func(h *hostTree) {
			h.file("home/alice/.mh_profile", "Path: Mail\n")
			h.file("home/alice/Mail/inbox/1", "Subject: a\n\nb\n")
		}, nil, ""},
		{"MH's, without a profile", func(h *hostTree) {
			h.file("home/alice/Mail/inbox/1", "Subject: a\n\nb\n")
			h.file("home/alice/Mail/inbox/.mh_sequences", "cur: 1\n")
		}, []string{"home/alice/Mail: mail-in-home"}, "1 mailbox file in"},
		{"a link to the mail directory", func(h *hostTree) { h.file("home/alice/mail/a", oneMessage); h.symlink("mail", "home/alice/Mail") }, nil, ""},
		{"a link to elsewhere", func(h *hostTree) { h.symlink("/disk2/alice", "home/alice/Mail") },
			[]string{"home/alice/Mail: symlink"}, "not followed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			tt.make(h)
			h.own("home/alice", 1)
			before := h.freeze()
			tree, err := h.open(HostOptions{}).Folders(alice)
			h.must(err)
			h.unchanged(before)
			checkEqual(t, "skipped", skippedKinds(tree.Skipped), tt.where)
			for _, s := range tree.Skipped {
				if s.Kind == SkipHomeMail && (!s.MayHoldMail || !strings.Contains(s.Text, tt.says)) {
					t.Errorf("%s, needs a person: %t", s.Text, s.MayHoldMail)
				}
			}
		})
	}
}
