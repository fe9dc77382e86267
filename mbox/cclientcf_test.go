package mbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestParseClientConfig(t *testing.T) {
	long := strings.Repeat("x", maxClientLine)
	tests := []struct {
		name, text string
		want       map[string]string // "line value" by setting
		risk       bool
		cut        int
	}{
		{"nothing", "", nil, false, 0},
		{"risk", "I accept the risk for IMAP toolkit 4.1.\nset mail-subdirectory mail\n", map[string]string{"mail-subdirectory": "2 mail"}, true, 0},
		{"no risk", "set mail-subdirectory mail\n", map[string]string{"mail-subdirectory": "1 mail"}, false, 0},
		{"case", "SET Hide-Dot-Files 1\n", map[string]string{"hide-dot-files": "1 1"}, false, 0},
		{"comments and others", "# set black-box-directory /x\n set mh-path a\nsetup mh-path b\nset\nset mh-path\n", nil, false, 0},
		{"value with spaces", "set mh-path  a b \n", map[string]string{"mh-path": "1  a b "}, false, 0},
		{"the last counts", "set mh-path a\nset mh-path b\n", map[string]string{"mh-path": "2 b"}, false, 0},
		{"the first keywords count", "set keywords a\nset keywords b\n", map[string]string{"keywords": "1 a"}, false, 0},
		{"no line end", "set mh-path a\nset mh-path b", map[string]string{"mh-path": "1 a"}, false, 2},
		{"longest line", "set mh-path a\nset x " + long[:maxClientLine-7] + "\nset mh-path b\n", map[string]string{"mh-path": "3 b", "x": "2 " + long[:maxClientLine-7]}, false, 0},
		{"too long a line", "set mh-path a\nset x " + long[:maxClientLine-6] + "\nset mh-path b\n", map[string]string{"mh-path": "1 a"}, false, 2},
	}
	for _, test := range tests {
		c, err := parseClientConfig(strings.NewReader(test.text), "x")
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		for name, s := range c.byName {
			if got == nil {
				got = map[string]string{}
			}
			got[name] = fmt.Sprintf("%d %s", s.line, s.value)
		}
		checkEqual(t, test.name, []any{got, c.risk, c.cut}, []any{test.want, test.risk, test.cut})
	}
}

func TestClientConfigKeywords(t *testing.T) {
	many := strings.Repeat("k, ", 40)
	tests := []struct {
		text string
		want []string
	}{
		{"set keywords Work, Play\n", []string{"Work", "Play"}},
		{"set keywords Work,Play Home\n", []string{"Work", "Play", "Home"}},
		{"set keywords " + strings.Repeat("x", 51) + ", a\n", []string{"a"}},
		{"set keywords ,\n", nil},
		{"set mh-path x\n", nil},
	}
	for _, test := range tests {
		c, err := parseClientConfig(strings.NewReader(test.text), "x")
		if err != nil {
			t.Fatal(err)
		}
		checkEqual(t, test.text, c.keywords(), test.want)
	}
	c, err := parseClientConfig(strings.NewReader("set keywords "+many+"\n"), "x")
	if err != nil || len(c.keywords()) != 30 {
		t.Errorf("%d keywords, %v; want 30", len(c.keywords()), err)
	}
}

// TestClientConfigRefused: settings that move the mail to where it is not read.
func TestClientConfigRefused(t *testing.T) {
	tests := []struct {
		line string
		opts HostOptions
		ok   bool
	}{
		{"set black-box-directory /boxes", HostOptions{}, false},
		{"set black-box-default-home-directory /x", HostOptions{}, false},
		{"set chroot-server 1", HostOptions{}, false},
		{"set chroot-server 0", HostOptions{}, true},
		{"set chroot-server 1", HostOptions{InboxTemplate: "~/INBOX"}, true},
		{"set mail-subdirectory /mail", HostOptions{}, false},
		{"set mail-subdirectory ../mail", HostOptions{}, false},
		{"set system-inbox /var/spool/inbox", HostOptions{}, false},
		{"set system-inbox /var/spool/inbox", HostOptions{InboxDir: "var/mail"}, true},
		{"set mh-path /mh", HostOptions{}, false},
		{"set black-box-directory /boxes", HostOptions{IgnoreConfig: true}, true},
		{"set from-widget header-only", HostOptions{}, true},
	}
	for _, test := range tests {
		t.Run(test.line, func(t *testing.T) {
			h := newHostTree(t)
			h.file("etc/c-client.cf", "I accept the risk\n\n"+test.line+"\n")
			test.opts.Root = h.root
			host, err := OpenHost(test.opts)
			if err == nil {
				h.must(host.Close())
			}
			if test.ok {
				h.must(err)
				return
			}
			var refused *ConfigError
			if !errors.Is(err, ErrConfig) || !errors.As(err, &refused) || refused.File != "etc/c-client.cf" || refused.Line != 3 ||
				!strings.Contains(err.Error(), "line 3") || refused.Hint == "" {
				t.Errorf("error %v; want a refusal of line 3", err)
			}
		})
	}
}

// TestClientConfigApplied: settings that say where mail is are obeyed, and told.
func TestClientConfigApplied(t *testing.T) {
	type want struct {
		inbox, folders, subscribed []string
		skipped                    []string // of the user
		notes                      int
	}
	const message = "Subject: x\n\nbody\n"
	tests := []struct {
		name, config string
		opts         HostOptions
		want         want
	}{
		{"none", "", HostOptions{}, want{[]string{"1 s"}, []string{".hidden/x", "a", "mbox"}, []string{"a", "mail/b"}, []string{"home/alice/in: none"}, 0}},
		{"mail-subdirectory", "I accept the risk\nset mail-subdirectory mail\n", HostOptions{},
			want{[]string{"1 m", "2 s"}, []string{".hidden/x", "a"}, []string{"a", "mail/b"}, nil, 1}},
		{"mail-subdirectory, and another by option", "I accept the risk\nset mail-subdirectory mail\n", HostOptions{MailDir: "other"},
			want{[]string{"1 m", "2 s"}, []string{"o"}, []string{"mail/b"}, []string{"home/alice/.mailboxlist: subscription", "home/alice/mail/a: outside-mail-dir"}, 1}},
		{"first line", "set mail-subdirectory mail\n", HostOptions{}, want{[]string{"1 m", "2 s"}, []string{".hidden/x", "a"}, []string{"a", "mail/b"}, nil, 2}},
		{"ignored", "set mail-subdirectory mail\n", HostOptions{IgnoreConfig: true}, want{[]string{"1 s"}, []string{".hidden/x", "a", "mbox"}, []string{"a", "mail/b"}, nil, 0}},
		{"system-inbox", "I accept the risk\nset system-inbox in\n", HostOptions{}, want{[]string{"1 i"}, []string{".hidden/x", "a", "mbox"}, []string{"a", "mail/b"}, nil, 2}},
		{"system-inbox, and another by option", "I accept the risk\nset system-inbox in\n", HostOptions{InboxDir: "var/mail"}, want{[]string{"1 s"}, []string{".hidden/x", "a", "mbox"}, []string{"a", "mail/b"}, nil, 0}},
		{"hide-dot-files", "I accept the risk\nset hide-dot-files 1\n", HostOptions{}, want{[]string{"1 s"}, []string{"a", "mbox"}, []string{"a", "mail/b"}, []string{"home/alice/mail/.hidden/x: hidden"}, 1}},
		{"mh-path", "I accept the risk\nset mh-path MH\n", HostOptions{}, want{[]string{"1 s"}, []string{".hidden/x", "a", "mbox", "mh/inbox"}, []string{"a", "mail/b"}, nil, 1}},
		{"mh-allow-inbox", "I accept the risk\nset mh-path MH\nset mh-allow-inbox 1\n", HostOptions{}, want{[]string{"1 x", "2 s"}, []string{".hidden/x", "a", "mbox"}, []string{"a", "mail/b"}, nil, 2}},
		{"shared namespace", "I accept the risk\nset shared-home-directory /shared\n", HostOptions{}, want{[]string{"1 s"}, []string{".hidden/x", "a", "mbox"}, []string{"a", "mail/b"}, nil, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			h.file("var/mail/alice", mailOf("s"))
			h.file("home/alice/in", mailOf("i"))
			h.file("home/alice/mail/mbox", mailOf("m"))
			h.file("home/alice/mail/a", oneMessage)
			h.file("home/alice/mail/.hidden/x", oneMessage)
			h.file("home/alice/other/o", oneMessage)
			h.file("home/alice/MH/inbox/1", message)
			h.file("home/alice/.mailboxlist", "a\nmail/mail/b\n")
			if strings.Contains(test.config, "subdirectory") && !test.opts.IgnoreConfig {
				h.file("home/alice/.mailboxlist", "a\nmail/b\n") // UW's names begin in the directory
			}
			if test.config != "" {
				h.file("etc/c-client.cf", test.config)
			}
			h.own("home/alice", 1)
			h.own("var/mail/alice", 1)
			host := h.open(test.opts)
			tree, err := host.Folders(alice)
			h.must(err)
			messages, _ := served(t, host, alice, *tree.Inbox)
			checkEqual(t, "INBOX", messages, test.want.inbox)
			checkEqual(t, "folders", folderNames(tree), test.want.folders)
			var subscribed []string
			for _, s := range tree.Subscriptions {
				subscribed = append(subscribed, s.Name)
			}
			checkEqual(t, "subscriptions", subscribed, test.want.subscribed)
			if test.name != "none" {
				checkEqual(t, "skipped", skippedKinds(withoutHomeMail(tree.Skipped)), test.want.skipped)
			}
			_, skipped, err := host.Users()
			h.must(err)
			checkEqual(t, fmt.Sprintf("number of notes %v", skippedKinds(skipped)), len(skipped), test.want.notes)
		})
	}
}

// TestClientConfigUnreadable: what cannot be read is not taken for nothing.
func TestClientConfigUnreadable(t *testing.T) {
	h := newHostTree(t)
	h.dir("etc/c-client.cf")
	if _, err := OpenHost(HostOptions{Root: h.root}); err == nil || errors.Is(err, ErrConfig) {
		t.Errorf("error %v; want one that it is a directory", err)
	}
}

// TestUserKeywords: whose names count for the keyword bits of tenex and mtx.
func TestUserKeywords(t *testing.T) {
	tests := []struct {
		name, host, mminit, imaprc string
		want                       []string
	}{
		{"none", "", "", "", nil},
		{"host", "set keywords H\n", "set keywords M\n", "set keywords R\n", []string{"H"}},
		{"mminit", "", "set keywords M\n", "set keywords R\n", []string{"M"}},
		{"imaprc is not obeyed", "", "", "set keywords R\n", nil},
		{"imaprc", "set allow-user-config 1\n", "", "set keywords R\n", []string{"R"}},
		{"mminit before imaprc", "set allow-user-config 1\n", "set keywords M\n", "set keywords R\n", []string{"M"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			for path, content := range map[string]string{"etc/c-client.cf": test.host, "home/alice/.mminit": test.mminit, "home/alice/.imaprc": test.imaprc} {
				if content != "" {
					h.file(path, content)
				}
			}
			// The first keyword is the highest bit (octal 4000000000).
			h.file("home/alice/mail/t", strings.Replace(tenexOf("\n", "t"), "000000000000", "400000000000", 1))
			h.own("home/alice", 1)
			host := h.open(HostOptions{})
			keywords, err := host.Keywords(alice)
			h.must(err)
			checkEqual(t, "keywords", keywords, test.want)
			tree, err := host.Folders(alice)
			h.must(err)
			checkEqual(t, "skipped", tree.Skipped, []Skipped(nil))
			f, err := host.Open(alice, tree.Folders[0])
			h.must(err)
			defer f.Close()
			mb, err := f.Mailbox(Options{})
			h.must(err)
			if _, err := mb.Next(); err != nil {
				t.Fatal(err)
			}
			names := mb.Keywords()
			if len(test.want) > 0 && (len(names) == 0 || names[0] != test.want[0]) {
				t.Errorf("the folder's keywords are %q, want %q", names, test.want)
			}
		})
	}
}

// TestUserKeywordsRefused: a file that is not the user's says nothing, and that is told.
func TestUserKeywordsRefused(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.symlink("/etc/passwd", "home/alice/.mminit")
	h.file("home/alice/mail/t", tenexOf("\n", "t"))
	h.own("home/alice", 1)
	tree := h.folders(alice)
	checkEqual(t, "skipped", skippedKinds(tree.Skipped), []string{"home/alice/.mminit: symlink"})
}

// TestGetent: the users of this machine.
func TestGetent(t *testing.T) {
	entries, _, err := getentPasswd()
	if err != nil {
		t.Skipf("no getent here: %v", err)
	}
	found := false
	for _, e := range entries {
		found = found || e.Name == "root" && e.UID == 0
	}
	if !found {
		t.Error("getent does not know root")
	}
	dir := t.TempDir()
	fake := func(script string) {
		if err := os.WriteFile(dir+"/getent", []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	fake("test \"$*\" = passwd && printf 'alice:x:1000:100::/home/alice:/bin/sh\\n+::::::\\n'\n")
	entries, skipped, err := getentPasswd()
	if err != nil || len(entries) != 1 || entries[0].Name != "alice" || len(skipped) != 1 {
		t.Errorf("%v, %v, %v; want alice and a line that is none", entries, skipped, err)
	}
	fake("echo alice:x:1000:100::/home/alice:/bin/sh; echo no server >&2; exit 2\n")
	if _, _, err := getentPasswd(); err == nil || !strings.Contains(err.Error(), "no server") {
		t.Errorf("error %v; want what getent said", err)
	}
}

func FuzzParseClientConfig(f *testing.F) {
	f.Add("I accept the risk\nset keywords a, b\nset mail-subdirectory mail\n")
	f.Add("set system-inbox ~/%u\nset mh-path ../x\nset hide-dot-files -1")
	f.Fuzz(func(t *testing.T, text string) {
		settings, err := parseClientConfig(strings.NewReader(text), "x")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range settings.byName {
			if s.line < 1 || s.line > strings.Count(text, "\n") || strings.Contains(s.value, "\n") {
				t.Fatalf("setting %+v", s)
			}
			s.on()
		}
		if len(settings.keywords()) > maxKeywords {
			t.Fatal("too many keywords")
		}
		c := clientConfig{settings: settings}
		if err := c.interpret(false); err != nil && !errors.Is(err, ErrConfig) {
			t.Fatal(err)
		}
		for _, dir := range []string{c.mailSubdirectory, c.mhPath} {
			if strings.HasPrefix(dir, "/") || strings.Contains("/"+dir+"/", "/../") {
				t.Fatalf("directory %q leaves the home", dir)
			}
		}
		if c.inbox != nil {
			for _, e := range c.inbox.path("alice") {
				if unsafeName(e) != "" {
					t.Fatalf("inbox element %q", e)
				}
			}
		}
	})
}
