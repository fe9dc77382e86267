package mbox

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
	c := newCClient(t)
	c.write(t, mhProfileName, []byte("Path: "+filepath.Join(c.home, "Mail")+"\n"))
	const seed = 11
	rnd := rand.New(rand.NewPCG(seed, 0))
	makeDirectory(t, c, "Mail")
	for i := range 20 {
		name := fmt.Sprintf("Mail/folder%d", i)
		makeDirectory(t, c, name)
		c.write(t, name+"/"+mhSequencesName, []byte("cur: 3\n"))
		for n := range rnd.IntN(10) {
			file := fmt.Sprintf("%s/%d", name, 1+n*(1+rnd.IntN(3)))
			c.write(t, file, []byte(randomMessage(rnd, []string{"\n", "\r\n"}[rnd.IntN(2)])))
			modified := fileTime.Add(time.Duration(rnd.IntN(1e6)) * time.Second)
			if err := os.Chtimes(c.path(file), modified.Add(time.Duration(rnd.IntN(5)-2)*time.Second/2), modified); err != nil {
				t.Fatal(err)
			}
		}
		c.write(t, name+"/,7", []byte("removed\n"))
		d := &directory{file: mustOpen(t, c.path(name)), trusted: true, belowMH: true}
		id, err := d.identity()
		if err != nil {
			t.Fatal(err)
		}
		res, err := collect(Options{}, always, func(opts Options) (Mailbox, error) { return mhFormat.open(d, opts), nil })
		if err != nil {
			t.Fatal(err)
		}
		checkDirectory(t, &res, id.Size)
		got, said := c.read(t, "#mh/"+filepath.Base(name))
		if got[0].driver != "mh" {
			t.Fatalf("driver %q: %s", got[0].driver, said)
		}
		checkUW(t, got[0], &res, nil)
		if t.Failed() {
			t.Fatalf("seed %d, folder %d", seed, i)
		}
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
