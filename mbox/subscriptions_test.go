package mbox

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// exampleMailboxList gives 15 lines of LSUB with UW imapd, duplicates, an empty name
// and a name with a CR among them.
const exampleMailboxList = "INBOX\nmail/a\nmail/gone\nmail/with space\ninbox\nmail/a\n{imap.x}foo\n" +
	"#news.comp.mail\nmail/sub/deep/x\nmail/sub/\nmail/crlf\r\n\nmail/caf\xc3\xa9\nmail/Entw&APw-rfe\nlastnonl"

var exampleSubscriptions = []Subscription{
	{"INBOX", true}, {"a", false}, {"gone", false}, {"with space", false}, {"sub/deep/x", false},
	{"crlf", false}, {"caf\xc3\xa9", false}, {"Entw&APw-rfe", false}, {"lastnonl", false},
}

func TestCleanSubscription(t *testing.T) {
	prefixes := prefixesOf(User{Name: "alice", Home: "/home/alice"}, "mail", "")
	places := map[string]place{"here": placeFolder, "sub": placeDirectory, "outside": placeOutside, "mail": placeOutside}
	where := func(name string) place { return places[name] }
	inbox := Subscription{Name: "INBOX", Inbox: true}
	tests := []struct {
		line string
		want Subscription // without a name: dropped
	}{
		{"InBox", inbox},
		{"mail/x", Subscription{Name: "x"}},
		{"~/mail/x", Subscription{Name: "x"}},
		{"~alice/mail/x", Subscription{Name: "x"}},
		{"/home/alice/mail/x/y", Subscription{Name: "x/y"}},
		{"mail//x", Subscription{Name: "x"}},
		{"mail/mail/x", Subscription{Name: "mail/x"}},
		{"mail/INBOX", Subscription{Name: "INBOX"}},
		{"mail/inbox", Subscription{Name: "inbox"}},
		{"mail/#hash", Subscription{Name: "#hash"}},
		{"mail/~x", Subscription{Name: "~x"}},
		{"here", Subscription{Name: "here"}},
		{"~/here", Subscription{Name: "here"}},
		{"gone", Subscription{Name: "gone"}},
		{"mail/outside", Subscription{Name: "outside"}}, // the folder is gone, the namesake is nothing to it
		{"outside", Subscription{}},
		{"mail", Subscription{}},
		{"mail/", Subscription{}},
		{"mail/sub", Subscription{}},
		{"sub/", Subscription{}},
		{"mail/../secret", Subscription{}},
		{"../bob/mail/x", Subscription{}},
		{"/var/mail/bob", Subscription{}},
		{"~bob/mail/x", Subscription{}},
		{"~/", Subscription{}},
		{"{host}x", Subscription{}},
		{"#mh/x", Subscription{}},
		{"mail/a\x00b", Subscription{}},
		{"mail/" + strings.Repeat("x", 1019), Subscription{}},
	}
	for _, test := range tests {
		got, why := cleanSubscription(test.line, prefixes, where, func(string) {})
		if got != test.want || (why == "") != (test.want.Name != "") {
			t.Errorf("%q: %+v, %q; want %+v", clip(test.line), got, why, test.want)
		}
	}
}

func TestSubscriptionsDropped(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.file("home/alice/.mailboxlist", exampleMailboxList)
	h.own("home/alice", 1)
	var got []string
	for _, s := range h.folders(alice).Skipped {
		got = append(got, fmt.Sprintf("%s %s %q %t", s.Path, s.Kind, s.Subscription, s.MayHoldMail))
	}
	checkEqual(t, "dropped", got, []string{
		`home/alice/.mailboxlist subscription "{imap.x}foo" false`,
		`home/alice/.mailboxlist subscription "#news.comp.mail" false`,
		`home/alice/.mailboxlist subscription "mail/sub/" false`,
	})
}

// TestSubscriptionsChoice: which of the places the list is read from.
func TestSubscriptionsChoice(t *testing.T) {
	const home, mail, homeTemp, mailTemp = "home/alice/.mailboxlist", "home/alice/mail/.mailboxlist", "home/alice/.mlbxlsttmp", "home/alice/mail/.mlbxlsttmp"
	tests := []struct {
		name    string
		files   []string // from the oldest to the newest
		want    string
		skipped []string
	}{
		{"none", nil, "", nil},
		{"home", []string{home}, home, nil},
		{"mail directory", []string{mail}, mail, []string{mail}},
		{"home newer", []string{mail, home}, home, []string{mail}},
		{"mail directory newer", []string{home, mail}, mail, []string{home, mail}},
		{"temporary alone", []string{homeTemp}, homeTemp, []string{homeTemp}},
		{"temporary newer than the list", []string{home, homeTemp, mailTemp}, home, []string{homeTemp, mailTemp}},
		{"temporary in both", []string{homeTemp, mailTemp}, mailTemp, []string{homeTemp, mailTemp}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			for i, path := range test.files {
				h.file(path, path+".d\n")
				when := time.Date(2003, 1, i+1, 0, 0, 0, 0, time.UTC)
				h.must(os.Chtimes(h.path(path), when, when))
			}
			h.own("home/alice", 1)
			tree := h.folders(alice)
			var want []Subscription
			if test.want != "" {
				want = []Subscription{{Name: test.want + ".d"}}
			}
			checkEqual(t, "subscriptions", tree.Subscriptions, want)
			checkEqual(t, "list", tree.SubscriptionList, test.want)
			var skipped []string
			for _, path := range test.skipped {
				skipped = append(skipped, path+": subscription-file")
			}
			checkEqual(t, "skipped", skippedKinds(tree.Skipped), skipped)
		})
	}
}

// TestSubscriptionsUnprefixed: a name without the prefix leads below the mail directory
// unless it leads elsewhere.
func TestSubscriptionsUnprefixed(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.file("home/alice/mail/in/x", oneMessage)
	h.file("home/alice/out/x", oneMessage)
	h.file("home/alice/in/x", oneMessage)
	h.file("home/alice/.mailboxlist", "in/x\nout/x\nmail/in\nnowhere/x\n")
	h.own("home/alice", 1)
	tree := h.folders(alice)
	checkEqual(t, "subscriptions", tree.Subscriptions, []Subscription{{Name: "in/x"}, {Name: "nowhere/x"}})
}

// TestSubscriptionsOutside: UW's own names start in the home, so subscribed folders there
// are mail that users see.
func TestSubscriptionsOutside(t *testing.T) {
	const outside = ": outside-mail-dir"
	tests := []struct {
		name, config, list string
		want               []string // those that may hold mail
	}{
		{"in the home", "", "Drafts\nnsmail/Work\n", []string{"home/alice/Drafts" + outside, "home/alice/nsmail/Work" + outside}},
		{"other ways to write it", "", "~/Drafts\nDrafts\n/home/alice/Drafts\n~alice/nsmail/Work\n", []string{"home/alice/Drafts" + outside, "home/alice/nsmail/Work" + outside}},
		{"mailbox directory", "", "mx\n", []string{"home/alice/mx" + outside}},
		{"another's", "", "~bob/x\n/home/bob/x\n../bob/x\n/home/alice/../bob/x\n", nil},
		{"below the mail directory", "", "mail/saved\nsaved\nmail/Drafts\n/home/alice/mail/saved\n", nil},
		{"no mailboxes", "", "empty\nnotes\nnsmail\nnsmail/\ngone\nDrafts/x\n/home/alice/Drafts/x\nmail\n.mailboxlist\n", nil},
		{"no file name", "", strings.Repeat("x", 300) + "\n", nil},
		{"links", "", "link\naway/x\n", []string{"home/alice/away/x: symlink", "home/alice/link: symlink"}},
		{"part of the INBOX", "", "mbox\n", nil},
		{"not UW's name for it", "set mail-subdirectory mail\n", "Drafts\n~/Drafts\n~alice/Drafts\n", nil},
		{"whole path", "set mail-subdirectory mail\n", "/home/alice/Drafts\n", []string{"home/alice/Drafts" + outside}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			for _, name := range []string{"Drafts", "nsmail/Work", "mail/saved", "../bob/x"} {
				h.file("home/alice/"+name, oneMessage)
			}
			h.file("home/alice/mx/.mxindex", mxIndexText)
			h.file("home/alice/mx/2", "Subject: x\r\n\r\nbody\r\n")
			h.file("home/alice/empty", "")
			h.file("home/alice/notes", "no mail\n")
			h.symlink("../bob/x", "home/alice/link")
			h.symlink("../bob", "home/alice/away")
			h.file("etc/c-client.cf", test.config)
			if test.config == "" {
				h.file("home/alice/mbox", oneMessage)
			}
			h.file("home/alice/.mailboxlist", test.list)
			h.own("home/alice", 1)
			var got []string
			for _, s := range withoutHomeMail(h.folders(alice).Skipped) {
				if s.MayHoldMail {
					got = append(got, s.Path+": "+string(s.Kind))
				}
			}
			checkEqual(t, "skipped", got, test.want)
		})
	}
}

// TestSubscriptionsLookedAtOnce: a user who names a directory of a million files in each line has
// it looked at once.
func TestSubscriptionsLookedAtOnce(t *testing.T) {
	asked := 0
	_, dropped := cleanSubscriptions(strings.Repeat("big\n./big\nbig//\n~/big\n", 1000), nil,
		func(string) place { return placeOutside }, func(string) { asked++ })
	if asked != 1 || len(dropped) != 4000 {
		t.Errorf("looked at %d times, %d lines told", asked, len(dropped))
	}
}

func TestSubscriptionsBounded(t *testing.T) {
	tests := []struct {
		name, content string
		want          int
	}{
		{"bytes", strings.Repeat("mail/"+strings.Repeat("x", 1000)+"\n", 2000) + "mail/lost\n", 1},
		{"lines", strings.Repeat("a\n", maxSubscriptionLines) + "lost\n", 1},
		{"one line", strings.Repeat("x", 2<<20), 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			h.file("home/alice/.mailboxlist", test.content)
			h.own("home/alice", 1)
			tree := h.folders(alice)
			checkEqual(t, "number of subscriptions", len(tree.Subscriptions), test.want)
			checkEqual(t, "skipped", skippedKinds(tree.Skipped), []string{"home/alice/.mailboxlist: limit"})
		})
	}
}

func FuzzCleanSubscriptions(f *testing.F) {
	f.Add(exampleMailboxList)
	f.Add("mail/../x\n~/mail/\n/\n~\n\r\r\n\x00\n")
	prefixes := prefixesOf(User{Name: "alice", Home: "/home/alice"}, "mail", "")
	f.Fuzz(func(t *testing.T, data string) {
		names, dropped := cleanSubscriptions(data, prefixes, func(name string) place { return place(len(name) % 4) }, func(string) {})
		if lines := strings.Count(data, "\n") + 1; len(names)+len(dropped) > lines {
			t.Fatalf("%d names and %d dropped from %d lines", len(names), len(dropped), lines)
		}
		seen := make(map[Subscription]bool)
		for _, s := range names {
			if seen[s] {
				t.Fatalf("%+v comes twice", s)
			}
			seen[s] = true
			if s.Inbox && s.Name != "INBOX" {
				t.Fatalf("inbox is called %q", s.Name)
			}
			if strings.ContainsAny(s.Name, "\n\x00") {
				t.Fatalf("name %q", s.Name)
			}
			for element := range strings.SplitSeq(s.Name, "/") {
				if element == "" || element == "." || element == ".." {
					t.Fatalf("name %q has the element %q", s.Name, element)
				}
			}
		}
	})
}
