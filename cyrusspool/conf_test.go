package cyrusspool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func writeConf(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestParseConf(t *testing.T) {
	dir := t.TempDir()
	more := writeConf(t, dir, "more.conf", "HashImapSpool: yes\npartition-Big: /big")
	main := writeConf(t, dir, "imapd.conf", "# comment\n"+
		"\n"+
		"ConfigDirectory:/var/lib/cyrus  \t\n"+
		"admins: cyrus \\\n  root # not a comment\n"+
		"@include: "+more+"\n"+
		"partition-default:/spool\r\n"+
		"metapartition-default: /meta\n"+
		"defaultpartition: Default\n"+
		"sieve_dir: {ConfigDirectory}/sieve")
	c, err := ParseConf(main)
	if err != nil {
		t.Fatal(err)
	}
	want := []Setting{
		{"configdirectory", "/var/lib/cyrus", main, 3},
		{"admins", "cyrus   root # not a comment", main, 5},
		{"hashimapspool", "yes", more, 1},
		{"partition-big", "/big", more, 2},
		{"partition-default", "/spool", main, 7},
		{"metapartition-default", "/meta", main, 8},
		{"defaultpartition", "Default", main, 9},
		{"sieve_dir", "{ConfigDirectory}/sieve", main, 10},
	}
	if diff := cmp.Diff(want, c.All()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"big": "/big", "default": "/spool"}, c.Partitions()); diff != "" {
		t.Error(diff)
	}
	if got := c.DefaultPartition(); got != "default" {
		t.Errorf("default partition %q", got)
	}
	if got, ok := c.Get("Sieve_Dir"); got != "/var/lib/cyrus/sieve" || !ok {
		t.Errorf("sieve_dir %q, %v", got, ok)
	}
	if got, ok := c.Get("nothing"); got != "" || ok {
		t.Errorf("an unset key is %q, %v", got, ok)
	}
	if got := c.Keys(); !slices.Contains(got, "hashimapspool") || len(got) != len(want) {
		t.Errorf("keys %q", got)
	}
}

func TestParseConfRefused(t *testing.T) {
	dir := t.TempDir()
	loop := filepath.Join(dir, "loop.conf")
	tests := []struct {
		text, want string
		line       int // 0: not a ConfError
	}{
		{"a: 1\nno colon\n", "invalid option name", 2},
		{"a b: 1", "invalid option name", 1},
		{": 1", "invalid option name", 1},
		{"@: 1", "invalid option name", 1},
		{"a:  \n", "empty value of a", 1},
		{"a: 1\n#\nA: 2\n", "a is set twice", 3},
		{"@other: x\n", "unknown directive @other", 1},
		{"a: x\x00y\n", "NUL byte", 1},
		{"a: 1\\\n2\nbad\n", "invalid option name", 3},
		{"@include: " + filepath.Join(dir, "missing") + "\n", "no such file", 0},
		{"@include: " + loop + "\n", "included twice", 0},
		{strings.Repeat("#", maxConfBytes+1), "more than", 1},
	}
	for _, test := range tests {
		writeConf(t, dir, "loop.conf", test.text)
		_, err := ParseConf(loop)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.40q: %v, want %q", test.text, err, test.want)
			continue
		}
		var bad *ConfError
		if errors.As(err, &bad) != (test.line != 0) || bad != nil && (bad.Line != test.line || bad.File != loop) {
			t.Errorf("%.40q: %v, want line %d", test.text, err, test.line)
		}
	}
}

func TestParseConfBackslashAtEnd(t *testing.T) {
	for text, want := range map[string][]string{
		"a: 1\n b: 2\\":        {"a: 1", "b: 2\\ "},
		"a: 1\\ \nb: 2\n":      {"a: 1\\ ", "b: 2"},
		"a: 1\nb: 2\\\n":       {"a: 1"},
		"a: 1\\\n2\\\n3":       {"a: 123"},
		"a: 1\\\n\nb: 2\n":     {"a: 1", "b: 2"},
		"# comment \\\nb: 2\n": nil,
	} {
		c, err := ParseConfReader(strings.NewReader(text), "conf")
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var got []string
		for _, s := range c.All() {
			got = append(got, s.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestParseConfManyFiles(t *testing.T) {
	dir := t.TempDir()
	for i := range maxConfFiles + 1 {
		name := string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		next := string(rune('a'+(i+1)%26)) + strings.Repeat("x", (i+1)/26)
		writeConf(t, dir, name, "@include: "+filepath.Join(dir, next)+"\n")
	}
	if _, err := ParseConf(filepath.Join(dir, "a")); err == nil || !strings.Contains(err.Error(), "more than 64 files") {
		t.Error(err)
	}
}

func TestParseConfReader(t *testing.T) {
	// As "cyr_info conf-all" prints it: options without a value are there too.
	c, err := ParseConfReader(strings.NewReader("addressbookprefix: #addressbooks\nadmins: \naltprefix: Alt Folders\n"), "cyr_info")
	if err != nil {
		t.Fatal(err)
	}
	want := []Setting{
		{"addressbookprefix", "#addressbooks", "cyr_info", 1}, {"admins", "", "cyr_info", 2}, {"altprefix", "Alt Folders", "cyr_info", 3},
	}
	if diff := cmp.Diff(want, c.All()); diff != "" {
		t.Error(diff)
	}
	if _, err := ParseConfReader(strings.NewReader("@include: /etc/passwd"), "x"); err == nil {
		t.Error("an @include without a file around it was taken")
	}
}

func TestConfBool(t *testing.T) {
	c, err := ParseConfReader(strings.NewReader("a: yes\nb: 0\nc: on\nd: off\ne: true\nf: false\ng: no\nh: 1\ni: maybe\nj: o\n"), "conf")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"a": true, "B": false, "c": true, "d": false, "e": true, "f": false, "g": false, "h": true} {
		if got, err := c.Bool(key, !want); got != want || err != nil {
			t.Errorf("%s: %v, %v", key, got, err)
		}
	}
	if got, err := c.Bool("unset", true); !got || err != nil {
		t.Errorf("unset: %v, %v", got, err)
	}
	for _, key := range []string{"i", "j"} {
		var bad *ConfError
		if _, err := c.Bool(key, false); !errors.As(err, &bad) || bad.File != "conf" {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func FuzzParseConf(f *testing.F) {
	f.Add("configdirectory: /var/lib/cyrus\n# x\nadmins: a \\\n b\npartition-default: /s\n")
	f.Add("a: 1\\\n\\\n2\n@include: x\n")
	f.Add("a:\r\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConfReader(strings.NewReader(text), "fuzz")
		if err != nil {
			var bad *ConfError
			if !errors.As(err, &bad) || bad.Line < 1 || bad.Line > 1+strings.Count(text, "\n") {
				t.Errorf("error without its place: %v", err)
			}
			return
		}
		// A copy that is written from All reads as the same settings.
		var copied strings.Builder
		for _, s := range c.All() {
			copied.WriteString(s.String() + "\n")
			if got, ok := c.Get(s.Key); !ok || got == "" && s.Value != "" {
				t.Errorf("key %s is not got", s.Key)
			}
		}
		again, err := ParseConfReader(strings.NewReader(copied.String()), "copy")
		if err != nil {
			t.Fatalf("%v in the copy\n%s", err, copied.String())
		}
		if len(again.All()) != len(c.All()) {
			t.Errorf("copy has %d settings of %d", len(again.All()), len(c.All()))
		}
		for _, s := range c.All() {
			if got := again.settings[again.byKey[s.Key]].Value; got != s.Value {
				t.Errorf("%s: %q, copied %q", s.Key, s.Value, got)
			}
		}
	})
}
