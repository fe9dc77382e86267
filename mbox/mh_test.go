package mbox

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/internal/cclient"
)

func TestMH(t *testing.T) {
	const a, b, c = "Subject: a\n\na\n", "Subject: b\n\nb\n", "Subject: c\n\nc\n"
	sa, sb, sc := strings.ReplaceAll(a, "\n", "\r\n"), strings.ReplaceAll(b, "\n", "\r\n"), strings.ReplaceAll(c, "\n", "\r\n")
	messages := func(sequences string, more ...string) map[string]string {
		files := map[string]string{"1": a, "3": b, "12": c, mhSequencesName: sequences}
		for i := 0; i < len(more); i += 2 {
			files[more[i]] = more[i+1]
		}
		return files
	}
	unread := func(list ...int) (want []string) {
		for i, x := range []struct {
			uid  int
			text string
		}{{1, sa}, {3, sb}, {12, sc}} {
			flags := " R"
			for _, n := range list {
				if n == i {
					flags = ""
				}
			}
			want = append(want, fmt.Sprintf("%d%s: %s", x.uid, flags, x.text))
		}
		return want
	}
	tests := []struct {
		name  string
		files map[string]string
		want  []string
		last  uint32
		kinds []Kind
	}{
		{"unseen", messages("cur: 1\nunseen: 3 12\nreplied: 1-12\n"), unread(1, 2), 12, nil},
		{"unseen range", messages("unseen: 2-11\n"), unread(1), 12, nil},
		{"unseen case", messages("Unseen: 1"), unread(0), 12, nil},
		{"unseen folded", messages("unseen: 1\n\t3\n 12\ncur: 3\n"), unread(0, 1, 2), 12, nil},
		{"unseen twice", messages("unseen: 1\nunseen: 12\n"), unread(0, 2), 12, nil},
		{"unseen empty", messages("unseen:\n"), unread(), 12, nil},
		{"unseen CRLF", messages("unseen: 1\r\ncur: 3\r\n"), unread(0), 12, nil},
		{"unseen overlapping", messages("unseen: 1-3 3-12 1-1 400-4294967294 5-99999999999999\n"), unread(0, 1, 2), 12, nil},
		{"bad words", messages("unseen: x 1 3- 12-3 -1 \x00\n"), unread(0), 12, []Kind{KindDamage}},
		{"long word", messages("unseen: " + strings.Repeat("1", 10000) + " 1\n"), unread(0), 12, []Kind{KindDamage}},
		{"no unseen", messages("cur: 1\nunseen2: 1\nxunseen: 3\n"), unread(0, 1, 2), 12, []Kind{KindSeenByTime}},
		{"removed", messages("unseen: 1\n", ",2", b, "#4", b), unread(0), 12, []Kind{KindExpunged}},
		{"leading zeros", messages("unseen: 12\n", "004", b), []string{"1 R: " + sa, "3 R: " + sb, "4 R: " + sb, "12: " + sc}, 12, []Kind{KindOddNumber}},
		{"two of one number", messages("unseen: 12\n", "03", "x: y\n\n"), []string{"1 R: " + sa, "3 R: " + sb, "12: " + sc, "13: x: y\r\n\r\n"}, 13, []Kind{KindOddNumber}},
		{"carriage returns", messages("unseen: 12\n", "3", "a: b\r\n\r\nc\rd\r\r\n"), []string{"1 R: " + sa, "3 R: a: b\r\n\r\nc\rd\r\r\n", "12: " + sc}, 12, nil},
		{"own files", messages("unseen: 12\n", ".mh_sequence", "x", ".xmhcache", "y", "sub/", ""), unread(2), 12, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			res := readDirectory(t, writeDirectory(t, test.files), FormatMH)
			checkEqual(t, "messages", described(res), test.want)
			if v, l := res.mailbox.UIDValidity(), res.mailbox.LastUID(); v != 0 || l != test.last {
				t.Errorf("UIDVALIDITY %d, last UID %d; want 0, %d", v, l, test.last)
			}
			checkEqual(t, "kinds of findings", res.kinds(), test.kinds)
		})
	}
}

// TestMHAccessTimes is the fixture mh-atime: read are those whose file was accessed in a
// later second than it was written. Reading leaves the access times alone, so that the
// next reader sees the same.
func TestMHAccessTimes(t *testing.T) {
	dir := writeDirectory(t, map[string]string{"1": "a\n\n", "3": "b\n\n", "12": "c\n\n", "13": "d\n\n", ",2": "e\n\n", mhSequencesName: "cur: 1\n"})
	for name, after := range map[string]time.Duration{"1": time.Second, "3": 0, "12": -time.Hour, "13": time.Second / 2} {
		if err := os.Chtimes(filepath.Join(dir, name), fileTime.Add(after), fileTime); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		res := readDirectory(t, dir, FormatMH)
		checkEqual(t, "messages", described(res), []string{"1 R: a\r\n\r\n", "3: b\r\n\r\n", "12: c\r\n\r\n", "13: d\r\n\r\n"})
		checkEqual(t, "kinds", res.kinds(), []Kind{KindExpunged, KindSeenByTime})
		if n := res.mailbox.Account()[ReasonExpunged]; n != 3 {
			t.Errorf("%d bytes of removed messages", n)
		}
		// An administrator looks at the file of a message.
		folder, err := OpenFolder(filepath.Join(dir, "12"))
		if err != nil {
			t.Fatal(err)
		}
		if err := folder.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMHByPath: what is below the MH path is an mh mailbox whatever is in it. What is no
// message is reported, mail the more.
func TestMHByPath(t *testing.T) {
	dir := writeDirectory(t, map[string]string{"1": "a\n\n", "old": oneMessage, "notes": "buy milk\n"})
	d := &directory{file: mustOpen(t, dir), trusted: true}
	if got := recogniseDirectory(d); got != "" {
		t.Errorf("format %q, want none", got)
	}
	d.belowMH = true
	if got := recogniseDirectory(d); got != FormatMH {
		t.Errorf("format %q, want mh", got)
	}
	res, err := collect(Options{}, always, func(opts Options) (Mailbox, error) { return mhFormat.open(d, opts), nil })
	if err != nil {
		t.Fatal(err)
	}
	checkDirectory(t, &res, int64(len("a\n\n")+len(oneMessage)+len("buy milk\n")))
	var got []string
	for _, f := range res.findings {
		if f.Kind == KindNotMessage {
			got = append(got, f.File+": "+f.Text)
		}
	}
	checkEqual(t, "findings", got, []string{
		"notes: no part of the mailbox: text without From_ lines, no mailbox",
		"old: no part of the mailbox: a mailbox in unix format, which is a folder of its own"})
	for name, want := range map[string]bool{"1": true, "001": true, ",1": true, "#1": true, "1a": false, ",": false, "old": false, mhSequencesName: true} {
		if isMHFile(name) != want {
			t.Errorf("isMHFile(%q) = %t", name, !want)
		}
	}
}

func TestParseMHProfile(t *testing.T) {
	for profile, want := range map[string]string{
		"":                                   "Mail",
		"Path: Mail\n":                       "Mail",
		"Editor: vi\nPath: mh/mail\nPath: x": "mh/mail",
		"path:\t /home/x/Mail":               "/home/x/Mail",
		"PATH: mail \r\nx: y":                "mail",
		"Path: mail/\n":                      "mail",
		"Path:mail\n":                        "Mail", // UW finds no component without a space
		"Path:  \n":                          "Mail",
		" Path: x\n":                         "Mail",
		"MyPath: x\nPath: y":                 "y",
		"x\x00\nPath: y":                     "Mail",
		"Path: with space/x\n":               "with space/x",
		"Path: ../../etc\n":                  "../../etc", // the caller's to refuse
		strings.Repeat("x: y\n", 10000) + "Path: z": "z",
	} {
		if got := parseMHProfile([]byte(profile)); got != want {
			t.Errorf("%.40q: %q, want %q", profile, got, want)
		}
	}
}

// TestMHAsUW has UW's own code read folders that nmh could have made. It knows no
// sequences: Seen comes from access times.
func TestMHAsUW(t *testing.T) {
	c := cclient.New(t)
	c.Write(t, mhProfileName, []byte("Path: "+filepath.Join(c.Home, "Mail")+"\n"))
	const seed = 11
	rnd := rand.New(rand.NewPCG(seed, 0))
	makeDirectory(t, c, "Mail")
	for i := range 20 {
		name := fmt.Sprintf("Mail/folder%d", i)
		makeDirectory(t, c, name)
		c.Write(t, name+"/"+mhSequencesName, []byte("cur: 3\n"))
		for n := range rnd.IntN(10) {
			file := fmt.Sprintf("%s/%d", name, 1+n*(1+rnd.IntN(3)))
			c.Write(t, file, []byte(randomMessage(rnd, []string{"\n", "\r\n"}[rnd.IntN(2)])))
			modified := fileTime.Add(time.Duration(rnd.IntN(1e6)) * time.Second)
			if err := os.Chtimes(c.Path(file), modified.Add(time.Duration(rnd.IntN(5)-2)*time.Second/2), modified); err != nil {
				t.Fatal(err)
			}
		}
		c.Write(t, name+"/,7", []byte("removed\n"))
		d := &directory{file: mustOpen(t, c.Path(name)), trusted: true, belowMH: true}
		id, err := d.identity()
		if err != nil {
			t.Fatal(err)
		}
		res, err := collect(Options{}, always, func(opts Options) (Mailbox, error) { return mhFormat.open(d, opts), nil })
		if err != nil {
			t.Fatal(err)
		}
		checkDirectory(t, &res, id.Size)
		got, said := c.Read(t, "#mh/"+filepath.Base(name))
		if got[0].Driver != "mh" {
			t.Fatalf("driver %q: %s", got[0].Driver, said)
		}
		checkUW(t, got[0], &res, nil)
		if t.Failed() {
			t.Fatalf("seed %d, folder %d", seed, i)
		}
	}
}

// TestNumberedMailboxes: a whole mailbox with a number as its name is a folder of its own,
// beside the messages of the directory if it has some; a message that begins with a From_
// line is a message.
func TestNumberedMailboxes(t *testing.T) {
	const message = "Subject: m\n\nbody\n"
	box := strings.Repeat(oneMessage, 50)
	big := strings.Replace(oneMessage, "body", strings.Repeat("big body line\n", 6000), 1)
	tests := []struct {
		name  string
		files map[string]string
		want  []string // folders, format and number of messages
		more  []Kind   // of findings in a
	}{
		{"profile", map[string]string{".mh_profile": "Path: mail\n", "mail/a/2003": box, "mail/a/jan": box},
			[]string{"a mh 0", "a/2003 unix 50", "a/jan unix 50"}, []Kind{KindNotMessage}},
		{"profile, outside the mail directory", map[string]string{".mh_profile": "Path: Mail\n", "Mail/a/2003": box, "Mail/a/1": message},
			[]string{"mh/a mh 1", "mh/a/2003 unix 50"}, nil},
		{"profile, first message large", map[string]string{".mh_profile": "Path: mail\n", "mail/a/2003": big + box},
			[]string{"a mh 0", "a/2003 unix 51"}, []Kind{KindNotMessage}},
		{"profile, both", map[string]string{".mh_profile": "Path: mail\n", "mail/a/1": message, "mail/a/7": oneMessage, "mail/a/2003": box, "mail/a/2003.lock": ""},
			[]string{"a mh 2", "a/2003 unix 50"}, []Kind{KindNotMessage, KindSeenByTime}},
		{"profile, From_ lines kept", map[string]string{".mh_profile": "Path: mail\n", "mail/a/1": oneMessage, "mail/a/2": big,
			"mail/a/3": oneMessage + ">" + oneMessage + "From nobody\n"},
			[]string{"a mh 3"}, []Kind{KindSeenByTime}},
		{"no profile", map[string]string{"mail/a/.mh_sequences": "cur: 1\n", "mail/a/2001": box, "mail/a/2002": big + box},
			[]string{"a/2001 unix 50", "a/2002 unix 51"}, nil},
		{"no profile, both", map[string]string{"mail/a/.mh_sequences": "cur: 1\n", "mail/a/1": message, "mail/a/2": oneMessage, "mail/a/2001": box, "mail/a/2002": big + box},
			[]string{"a mh 2", "a/2001 unix 50", "a/2002 unix 51"}, []Kind{KindNotMessage, KindSeenByTime}},
		{"no profile, From_ lines kept", map[string]string{"mail/a/.mh_sequences": "cur: 1\n", "mail/a/1": oneMessage, "mail/a/2": big},
			[]string{"a mh 2"}, []Kind{KindSeenByTime}},
		{"mx", map[string]string{"mail/a/.mxindex": mxIndexText, "mail/a/2": message, "mail/a/3": oneMessage, "mail/a/2003": big + box},
			[]string{"a mx 2", "a/2003 unix 51"}, []Kind{KindMailBeside}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHostTree(t)
			alice := h.user("alice", 1)
			for name, content := range test.files {
				h.file("home/alice/"+name, content)
			}
			h.own("home/alice", 1)
			before := h.freeze()
			host := h.open(HostOptions{})
			tree, err := host.Folders(alice)
			h.must(err)
			var got []string
			for _, f := range tree.Folders {
				messages, _ := served(t, host, alice, f)
				got = append(got, fmt.Sprintf("%s %s %d", f.Name, f.Format, len(messages)))
				if f.Name != "a" {
					continue
				}
				folder, err := host.Open(alice, f)
				h.must(err)
				res, err := collect(Options{}, always, folder.Mailbox)
				h.must(err)
				h.must(folder.Close())
				kinds := slices.DeleteFunc(res.kinds(), func(k Kind) bool { return k == KindBareLF })
				checkEqual(t, "kinds of findings", kinds, test.more)
			}
			h.unchanged(before)
			checkEqual(t, "folders", got, test.want)
		})
	}
}

// TestNumberedMailboxInInbox: where nobody looks for folders, a whole mailbox is no part
// of the INBOX in silence.
func TestNumberedMailboxInInbox(t *testing.T) {
	h := newHostTree(t)
	alice := h.user("alice", 1)
	h.file("home/alice/in/.mh_sequences", "unseen:\n")
	h.file("home/alice/in/1", "Subject: m\n\nbody\n")
	h.file("home/alice/in/2003", oneMessage+oneMessage)
	h.own("home/alice", 1)
	host := h.open(HostOptions{InboxExtra: []string{"in"}})
	tree, err := host.Folders(alice)
	h.must(err)
	checkEqual(t, "folders", folderNames(tree), []string(nil))
	folder, err := host.Open(alice, *tree.Inbox)
	h.must(err)
	res, err := collect(Options{}, always, folder.Mailbox)
	h.must(err)
	h.must(folder.Close())
	checkEqual(t, "kinds of findings", res.kinds(), []Kind{KindMailBeside})
	if len(res.messages) != 1 {
		t.Errorf("%d messages, want 1", len(res.messages))
	}
}

func TestWholeMailbox(t *testing.T) {
	const pseudo = "From MAILER-DAEMON Mon Jun  2 10:11:12 2003\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1054548672 0000000001\n\nx\n\n"
	long := "From " + strings.Repeat("x", 2000) + " Mon Jun  2 10:11:12 2003\nSubject: x\n\nbody\n\n"
	body := strings.Repeat("a line of a body\n", 100_000)
	tests := []struct {
		name, file string
		want       bool
	}{
		{"nothing", "", false},
		{"message", "Subject: x\n\n" + oneMessage + oneMessage, false},
		{"one From_ line", oneMessage, false},
		{"one From_ line, no end", strings.TrimSuffix(oneMessage, "body\n\n"), false},
		{"two", oneMessage + oneMessage, true},
		{"second far down", "From a Mon Jun  2 10:11:12 2003\n\n" + body + oneMessage, true},
		{"no second far down", "From a Mon Jun  2 10:11:12 2003\n\n" + body, false},
		{"second at the edge of the window", "From a Mon Jun  2 10:11:12 2003\n\n" + body[:64<<10-36] + "\n" + oneMessage, true},
		{"second in the header", "From a Mon Jun  2 10:11:12 2003\n" + oneMessage, false},
		{"second quoted", oneMessage + ">" + oneMessage, false},
		{"second no From_ line", oneMessage + "From here on\n", false},
		{"second cut off", oneMessage + "From a Mon Jun  2 10:11:12 2003", false},
		{"first no From_ line", "From here on\n\n" + oneMessage + oneMessage, false},
		{"after blank lines", "\n\n" + oneMessage + oneMessage, true},
		{"data message", pseudo + oneMessage, true},
		{"data message alone", pseudo, false},
		{"CRLF", strings.ReplaceAll(oneMessage+oneMessage, "\n", "\r\n"), true},
		{"long first line", long + oneMessage, true},
		{"NULs at the end", oneMessage + oneMessage + "\x00\x00", true},
		{"mbx", mbxFile(h0, h0Words), true},
		{"mmdf", mark + "Subject: a\n\nb\n" + mark, true},
		{"prose at which UW splits", oneMessage + "From what I see the car was at 10:30:00 2003\nand then it was not.\n", false},
		{"the same, and a blank line", oneMessage + "From what I see the car was at 10:30:00 2003\n\nand then it was not.\n", false},
		{"prose, then a second", oneMessage + "From what I see the car was at 10:30:00 2003\nand then it was not.\n\n" + oneMessage, true},
		{"tenex", tenexOf("\n", "a", "b"), true},
		{"mtx", tenexOf("\r\n", "a"), true},
		{"tenex, cut off", strings.TrimSuffix(tenexOf("\n", "a", "b"), "\n"), false},
		{"tenex, and more", tenexOf("\n", "a") + "more", false},
		{"looks like tenex", "X-Foo-Bar: something else, x; y\n\nbody\n", false},
	}
	for _, test := range tests {
		d := &directory{file: mustOpen(t, writeDirectory(t, map[string]string{"7": test.file})), trusted: true}
		if got, err := d.wholeMailbox("7"); got != test.want || err != nil {
			t.Errorf("%s: %t, %v; want %t", test.name, got, err, test.want)
		}
	}
}

// TestNumberedMailboxesAsUW: UW serves a whole mailbox by its name, whatever directory it
// is in.
func TestNumberedMailboxesAsUW(t *testing.T) {
	box := []byte(strings.Repeat(oneMessage, 50))
	for name, test := range map[string]struct {
		profile bool
		index   string
		driver  string // of the directory, "" if it is none
	}{
		"mh":         {profile: true, driver: "mh"},
		"no profile": {},
		"mx":         {index: mxIndexText, driver: "mx"},
	} {
		t.Run(name, func(t *testing.T) {
			c := cclient.New(t)
			makeDirectory(t, c, "mail")
			makeDirectory(t, c, "mail/a")
			c.Write(t, "mail/a/2003", box)
			c.Write(t, "mail/a/2004", []byte(tenexOf("\n", "a", "b")))
			c.Write(t, "mail/a/2005", []byte(tenexOf("\r\n", "a", "b", "c")))
			c.Write(t, "mail/a/.mh_sequences", []byte("cur: 1\n"))
			if test.profile {
				c.Write(t, mhProfileName, []byte("Path: mail\n"))
			}
			if test.index != "" {
				c.Write(t, "mail/a/.mxindex", []byte(test.index))
			}
			got, said := c.Read(t, "mail/a/2003", "mail/a", "mail/a/2004", "mail/a/2005")
			if got[2].Driver != "tenex" || len(got[2].Messages) != 2 || got[3].Driver != "mtx" || len(got[3].Messages) != 3 {
				t.Errorf("driver %q with %d messages, %q with %d: %s", got[2].Driver, len(got[2].Messages), got[3].Driver, len(got[3].Messages), said)
			}
			if got[0].Driver != "unix" || len(got[0].Messages) != 50 || got[1].Driver != test.driver || got[1].Refused != (test.driver == "") {
				t.Errorf("driver %q with %d messages, and %q: %s", got[0].Driver, len(got[0].Messages), got[1].Driver, said)
			}
		})
	}
}

// TestMHSequencesHostile: ranges that all overlap, and lines and words without end.
func TestMHSequencesHostile(t *testing.T) {
	const size = 1 << 20
	for name, sequences := range map[string]string{
		"ranges":      "unseen: " + strings.Repeat("1-4294967294 ", size/13) + "\n",
		"a word":      "unseen: " + strings.Repeat("1", size),
		"a name":      strings.Repeat("unseen", size/6),
		"sequences":   strings.Repeat("unseen: 1\n", size/10),
		"bad words":   "unseen: " + strings.Repeat("x ", size/2),
		"white space": "unseen:" + strings.Repeat(" ", size),
	} {
		files := map[string]string{mhSequencesName: sequences}
		for i := range uint32(50) {
			files[itoa(i+1)] = "a\n\n"
		}
		res := readDirectory(t, writeDirectory(t, files), FormatMH)
		if len(res.findings) > 1 {
			t.Errorf("%s: findings %v", name, res.findings)
		}
	}
}

func FuzzMHSequences(f *testing.F) {
	f.Add("unseen: 1-3 5\ncur: 2\n")
	f.Add("UNSEEN:\n\t1\n x 3-2")
	f.Add(":\n::unseen: 7")
	f.Fuzz(func(t *testing.T, text string) {
		found := newLimitedFindings(nil)
		s := sequences{in: bufio.NewReader(strings.NewReader(text)), found: &found, unseen: func(first, last uint32) {
			if first > last || last > maxUID {
				t.Errorf("%q: range %d to %d", text, first, last)
			}
		}}
		if err := s.read(); err != nil {
			t.Error(err)
		}
		if s.has && !strings.Contains(strings.ToLower(text), unseenName) {
			t.Errorf("%q: an unseen sequence", text)
		}
	})
}

func FuzzMHProfile(f *testing.F) {
	f.Add([]byte("Path: Mail\n"))
	f.Add([]byte("Editor: vi\r\npath:\t/x/y/ \n"))
	f.Fuzz(func(t *testing.T, profile []byte) {
		path := parseMHProfile(profile)
		if path == "" || strings.ContainsAny(path, "\r\n\x00") || path != "/" && strings.HasSuffix(path, "/") {
			t.Errorf("%q: %q", profile, path)
		}
	})
}

// FuzzNumbered reads directories of files with any names, as mx and as mh.
func FuzzNumbered(f *testing.F) {
	f.Add("1", "a\n\n", "008", "b\r\n\r\n", "V00000001L00000005KWork\nM00000001;00000001.0001", "unseen: 1\n")
	f.Add("8", "", "8a", "From x", "Kxxx", "unseen: 1-\n")
	f.Add("99999999999999999999", "x", ",2", "y", "M1;2.3V", "")
	f.Fuzz(func(t *testing.T, name1, text1, name2, text2, index, sequences string) {
		dir := t.TempDir()
		for name, content := range map[string]string{name1: text1, name2: text2, mxIndexName: index, mhSequencesName: sequences} {
			if name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "/\x00") {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		readDirectory(t, dir, FormatMX)
		d := &directory{file: mustOpen(t, dir), trusted: true, belowMH: true}
		id, err := d.identity()
		if err != nil {
			t.Fatal(err)
		}
		res, err := collect(Options{}, always, func(opts Options) (Mailbox, error) { return mhFormat.open(d, opts), nil })
		if err != nil {
			t.Fatal(err)
		}
		checkDirectory(t, &res, id.Size)
	})
}
