package mbox

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

func TestParsePasswd(t *testing.T) {
	tests := []struct {
		name, line string
		want       []PasswdEntry
		kind       SkipKind // of the one finding; "" for none
		mail       bool
	}{
		{"plain", "alice:x:501:20:Alice:/home/alice:/bin/sh", []PasswdEntry{{"alice", 501, 20, "/home/alice"}}, "", false},
		{"crlf", "alice:x:501:20::/home/alice:/bin/sh\r", []PasswdEntry{{"alice", 501, 20, "/home/alice"}}, "", false},
		{"no home", "alice:x:501:20:::", []PasswdEntry{{"alice", 501, 20, ""}}, "", false},
		{"greatest ids", "a:x:4294967295:4294967295:::", []PasswdEntry{{"a", 1<<32 - 1, 1<<32 - 1, ""}}, "", false},
		{"8-bit name", "j\xfcrg:x:501:20::/home/j:", []PasswdEntry{{"j\xfcrg", 501, 20, "/home/j"}}, "", false},
		{"blank", " \t", nil, "", false},
		{"comment", "# User Database", nil, "", false},
		{"two names, one uid", "a:x:501:20:::\nb:x:501:20:::", []PasswdEntry{{"a", 501, 20, ""}, {"b", 501, 20, ""}}, "", false},
		{"one name twice", "a:x:501:20::/1:\na:x:502:20::/2:", []PasswdEntry{{"a", 501, 20, "/1"}}, SkipDuplicateUser, false},
		{"nis", "+::::::", nil, SkipPasswdLine, true},
		{"nis without fields", "+", nil, SkipPasswdLine, true},
		{"nis exclusion", "-bob::::::", nil, SkipPasswdLine, false},
		{"few fields", "alice:x:501", nil, SkipPasswdLine, false},
		{"shadow", "alice:$1$secret:1:0:9:7:::", nil, SkipPasswdLine, false},
		{"master.passwd", "alice:$1$secret:501:20::0:0:Alice:/home/alice:/bin/sh", nil, SkipPasswdLine, false},
		{"negative uid", "nobody:*:-2:-2::/:", nil, SkipPasswdLine, false},
		{"uid too great", "a:x:4294967296:1:::", nil, SkipPasswdLine, false},
		{"uid is a word", "a:x:root:1:::", nil, SkipPasswdLine, false},
		{"gid is a word", "a:x:501:staff:::", nil, SkipPasswdLine, false},
		{"empty name", ":x:501:20:::", nil, SkipUserName, false},
		{"dot", ".:x:501:20:::", nil, SkipUserName, false},
		{"dot dot", "..:x:501:20:::", nil, SkipUserName, false},
		{"slash", "../root:x:501:20:::", nil, SkipUserName, false},
		{"nul", "a\x00b:x:501:20:::", nil, SkipUserName, false},
		{"control character", "a\x1b[2J:x:501:20:::", nil, SkipUserName, false},
		{"long name", strings.Repeat("a", 256) + ":x:501:20:::", nil, SkipUserName, false},
		{"long line", "a:x:501:20:" + strings.Repeat("g", 1<<20) + ":/home/a:", nil, SkipPasswdLine, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			const after = "zoe:x:503:20::/home/zoe:/bin/sh"
			got, skipped, err := ParsePasswd(strings.NewReader(test.line+"\n"+after), "etc/passwd")
			if err != nil {
				t.Fatal(err)
			}
			checkEqual(t, "entries", got, append(test.want, PasswdEntry{"zoe", 503, 20, "/home/zoe"}))
			if test.kind == "" {
				checkEqual(t, "skipped", skipped, []Skipped(nil))
				return
			}
			if len(skipped) != 1 || skipped[0].Kind != test.kind || skipped[0].MayHoldMail != test.mail || skipped[0].Path != "etc/passwd" {
				t.Fatalf("skipped %+v; want one %s in etc/passwd, may hold mail %t", skipped, test.kind, test.mail)
			}
			if text := skipped[0].Text; !strings.HasPrefix(text, "line ") || strings.Contains(text, "secret") || strings.ContainsAny(text, "\x00\x1b") || len(text) > 300 {
				t.Errorf("text %q: want a short printable one with the line number and without the password", text)
			}
		})
	}
}

func TestParsePasswdReadError(t *testing.T) {
	broken := errors.New("broken disk")
	_, _, err := ParsePasswd(iotest.ErrReader(broken), "etc/passwd")
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "etc/passwd") {
		t.Errorf("error %v; want one that names the file and wraps %v", err, broken)
	}
}

func FuzzParsePasswd(f *testing.F) {
	f.Add("root:x:0:0::/root:/bin/sh\n+@group::::::\n\n# c\na:b\n:x:1:1:::\n")
	f.Add("a:x:501:20:::\r\na:x:501:20:::")
	f.Fuzz(func(t *testing.T, data string) {
		entries, skipped, err := ParsePasswd(strings.NewReader(data), "p")
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(data, "\n") + 1; len(entries)+len(skipped) > lines {
			t.Fatalf("%d entries and %d findings in %d lines", len(entries), len(skipped), lines)
		}
		seen := make(map[string]bool)
		for _, e := range entries {
			if why := unsafeName(e.Name); why != "" || seen[e.Name] {
				t.Fatalf("user name %q: %s, seen %t", e.Name, why, seen[e.Name])
			}
			seen[e.Name] = true
		}
	})
}
