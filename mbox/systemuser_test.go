package mbox

import (
	"fmt"
	"os"
	"testing"
)

// TestSystemUsersMail: people below the least uid are not passed over without a word, and
// accounts of programs make no noise.
func TestSystemUsersMail(t *testing.T) {
	needRoot(t) // the least uid decides
	tests := []struct {
		name, home string
		opts       HostOptions
		build      func(h *hostTree)
		want       []string
	}{
		{"folders", "/home/joe", HostOptions{}, func(h *hostTree) { h.file("home/joe/mail/work", oneMessage) }, []string{"home/joe/mail: system-user"}},
		{"his own, and closed", "/home/joe", HostOptions{}, func(h *hostTree) {
			h.file("home/joe/mail/work", oneMessage)
			h.must(os.Chown(h.path("home/joe/mail"), 450, 100))
			h.must(os.Chmod(h.path("home/joe/mail"), 0o700))
		}, []string{"home/joe/mail: system-user"}},
		{"folders elsewhere", "/home/joe", HostOptions{MailDir: "a/b"}, func(h *hostTree) { h.file("home/joe/a/b/work", oneMessage) }, []string{"home/joe/a/b: system-user"}},
		{"folders in the home", "/home/joe", HostOptions{MailDir: "."}, func(h *hostTree) { h.file("home/joe/.mailboxlist", "x\n") }, []string{"home/joe/.mailboxlist: system-user"}},
		{"mbox", "/usr/people/joe", HostOptions{}, func(h *hostTree) { h.file("usr/people/joe/mbox", oneMessage) }, []string{"usr/people/joe/mbox: system-user"}},
		{"inbox in the home", "/home/joe", HostOptions{InboxTemplate: "~/Mailbox"}, func(h *hostTree) { h.file("home/joe/Mailbox", oneMessage) }, []string{"home/joe/Mailbox: system-user"}},
		{"link to folders", "/home/joe", HostOptions{}, func(h *hostTree) { h.symlink("/disk2/joe", "home/joe/mail") }, []string{"home/joe/mail: system-user"}},
		{"home that is refused", "/home/loop", HostOptions{}, func(h *hostTree) { h.symlink("loop", "home/loop") }, []string{"home/loop: unreadable"}},
		{"nothing in them", "/home/joe", HostOptions{InboxTemplate: "~/Mailbox"}, func(h *hostTree) {
			h.dir("home/joe/mail")
			h.file("home/joe/mbox", "")
			h.file("home/joe/Mailbox", "")
		}, nil},
		{"no home", "/home/gone", HostOptions{}, func(h *hostTree) {}, nil},
		{"home of one whose mail is read", "/home/zoe/", HostOptions{}, func(h *hostTree) { h.file("home/zoe/mail/work", oneMessage) }, nil},
		{"above the home of one whose mail is read", "/home", HostOptions{}, func(h *hostTree) {
			h.user("mail", 7)
			h.file("home/mail/x", oneMessage)
		}, nil},
		{"the root", "/", HostOptions{}, func(h *hostTree) { h.file("mail/x", oneMessage) }, nil},
		{"above the inboxes", "/var", HostOptions{}, func(h *hostTree) { h.user("zak", 8); h.file("var/mail/zak", oneMessage) }, nil},
		{"among programs", "/usr/lib/mailman", HostOptions{}, func(h *hostTree) { h.file("usr/lib/mailman/mail/mailman", "\x7fELF") }, nil},
		{"Mac OS X", "/private/var/root", HostOptions{}, func(h *hostTree) { h.file("private/var/root/mbox", oneMessage) }, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			h.user("zoe", 5)
			h.dir("home/joe")
			h.passwd(fmt.Sprintf("joe:x:450:100::%s:/bin/sh\ntoor:x:0:0::/home/toor:/bin/sh\n", test.home))
			h.file("home/toor/mbox", oneMessage) // root's mail is never read
			test.build(h)
			_, skipped, err := h.open(test.opts).Users()
			h.must(err)
			checkEqual(t, "skipped", skippedKinds(skipped), test.want)
			for _, s := range skipped {
				if s.User != "joe" || !s.MayHoldMail {
					t.Errorf("%+v; want one of joe that may hold mail", s)
				}
			}
		})
	}
}
