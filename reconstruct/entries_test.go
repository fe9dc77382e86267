package reconstruct

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lists are what ctl_mboxlist -d of real servers printed; testdata/README.md
// says which.
var lists = []struct {
	file    string
	form    ListForm
	entries []Entry
}{
	{"2.1.13.txt", FormBare, []Entry{
		{Name: "user.joe", Partition: "default", ACL: []ACL{{"joe", "lrswipcda"}}},
		{Name: "user.joe.Sent", Partition: "default", ACL: []ACL{{"joe", "lrswipcda"}}},
	}},
	{"3.4.9.txt", FormLine, []Entry{
		{Name: "shared.news", Partition: "news", Type: "0", ACL: []ACL{{"anyone", "lrs"}, {"-group:night shift", "s"}}},
		{Name: "user.jim^bloggs.v1^2 notes", Partition: "default", Type: "0", ACL: []ACL{{"jim.bloggs", "lrswipkxtecdan"}}},
		{Name: "user.joe", Partition: "default", Server: "back2.example.org", Type: "1", ACL: nil},
	}},
	{"3.6.1.txt", FormJSON, []Entry{
		{Name: "user.jim^bloggs", Partition: "default", Type: "e", UniqueID: "agi93o27jzzyoppb0thmuqaz",
			UIDValidity: 1795570353, CreatedModSeq: 1, FolderModSeq: 1, ACL: []ACL{{"jim.bloggs", "lrswipkxtecdan"}}},
		{Name: "user.joe", Partition: "default", Type: "el", UniqueID: "kv55iuwvpuod50hg89ihjt8a",
			UIDValidity: 1795570186, CreatedModSeq: 1, FolderModSeq: 12, ACL: []ACL{{"joe", "lrswipkxtecdan"}, {"anyone", "p"}}},
		{Name: "user.joe.Entw&APw-rfe", Partition: "default", Type: "e", UniqueID: "043p5thrxlxjuhn24e0hpth5",
			UIDValidity: 4294967295, CreatedModSeq: 1, FolderModSeq: 18446744073709551615, ACL: []ACL{{"joe", "lrswipkxtecdan"}}},
	}},
	{"3.6.1-empty.txt", FormJSON, nil},
	{"3.4.9-empty.txt", FormUnknown, nil},
}

func TestParseList(t *testing.T) {
	for _, tt := range lists {
		t.Run(tt.file, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", "mboxlist", tt.file))
			if err != nil {
				t.Fatal(err)
			}
			entries, form, err := ParseList(bytes.NewReader(text))
			if err != nil || form != tt.form {
				t.Fatalf("form %s, error %v", form, err)
			}
			if diff := cmp.Diff(tt.entries, entries); diff != "" {
				t.Error(diff)
			}
			if form == FormUnknown {
				return
			}
			// What was listed can be entered again and is the same then.
			var b bytes.Buffer
			if err := WriteList(&b, form, entries); err != nil {
				t.Fatal(err)
			}
			again, _, err := ParseList(&b)
			if diff := cmp.Diff(entries, again); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestParseListErrors(t *testing.T) {
	for name, text := range map[string]string{
		"words":                 "fatal error: cannot open mailboxes.db\n",
		"no partition":          "user.joe\t0\n",
		"no acl":                "user.joe\t0 default\n",
		"rights missing":        "user.joe\t0 default joe\n",
		"type too big":          "user.joe\t99999999999 default joe\tlrs\t\n",
		"two forms":             "user.joe\t0 default joe\tlrs\t\nuser.kim\tdefault\tkim\tlrs\t\n",
		"json cut off":          `{"user.joe": {"partition": "default"}`,
		"json twice":            "{}\n{}",
		"json number":           `{"user.joe": {"uidvalidity": 12}}`,
		"json uidvalidity":      `{"user.joe": {"uidvalidity": "4294967296"}}`,
		"json negative modseq":  `{"user.joe": {"foldermodseq": "-1"}}`,
		"json acl of numbers":   `{"user.joe": {"acl": {"joe": 7}}}`,
		"json acl is a list":    `{"user.joe": {"acl": ["joe"]}}`,
		"json name not utf-8":   "{\"user.j\xf6e\": {}}",
		"json without a name":   `{"": {}}`,
		"json list of mailbox":  `{"user.joe": []}`,
		"a line without an end": strings.Repeat("x", maxEntryLine+1),
	} {
		if entries, _, err := ParseList(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %+v", name, entries)
		}
	}
}

func TestList(t *testing.T) {
	p := fake(t, map[string]string{"ctl_mboxlist": says("user.joe\t0 default joe\tlrs\t\n")})
	entries, form, err := p.List(t.Context())
	if err != nil || form != FormLine || len(entries) != 1 || entries[0].Name != "user.joe" {
		t.Errorf("%+v, %s, %v", entries, form, err)
	}
	for name, script := range map[string]string{
		"words on stderr":    "echo 'DBERROR: opening mailboxes.db' >&2",
		"exit status":        "echo '{}'; exit 75",
		"garbage, then more": "echo garbage; yes | head -c 1000000",
	} {
		p := fake(t, map[string]string{"ctl_mboxlist": script})
		if entries, _, err := p.List(t.Context()); err == nil || entries != nil {
			t.Errorf("%s: %+v, %v", name, entries, err)
		}
	}
}

func TestEnter(t *testing.T) {
	p := fake(t, map[string]string{"ctl_mboxlist": `echo "$3"; cat > "$(dirname "$2")/got"`})
	joe := Entry{Name: "user.joe", Partition: "default", UniqueID: "aa01", UIDValidity: 1067811111,
		CreatedModSeq: 1, FolderModSeq: 2, ACL: []ACL{{"joe", "lrswipkxtecdan"}, {"anyone", "p"}}}
	for _, tt := range []struct {
		form ListForm
		typ  string
		want string
	}{
		{FormBare, "", "user.joe\tdefault\tjoe\tlrswipkxtecdan\tanyone\tp\t\n"},
		{FormLine, "", "user.joe\t0 default joe\tlrswipkxtecdan\tanyone\tp\t\n"},
		{FormJSON, "el", "{\n" + `"user.joe": {"uidvalidity":"1067811111","createdmodseq":"1","foldermodseq":"2",` +
			`"mbtype":"el","partition":"default","acl":{"joe":"lrswipkxtecdan","anyone":"p"},"uniqueid":"aa01"}` + "\n}\n"},
	} {
		joe.Type = tt.typ
		if err := p.Enter(t.Context(), tt.form, []Entry{joe}); err != nil {
			t.Fatalf("%s: %v", tt.form, err)
		}
		got, err := os.ReadFile(filepath.Join(p.Dir, "got"))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.form, got, tt.want)
		}
	}
	if err := p.Enter(t.Context(), FormUnknown, nil); err != nil {
		t.Errorf("no entries: %v", err)
	}
}

// A name, right or partition that would be read as something else never
// reaches Cyrus.
func TestEnterRefuses(t *testing.T) {
	p := fake(t, map[string]string{"ctl_mboxlist": `touch "$(dirname "$2")/ran"`})
	good := Entry{Name: "user.joe", Partition: "default", Type: "e", UniqueID: "aa01"}
	for name, change := range map[string]func(*Entry){
		"tab in name":         func(e *Entry) { e.Name = "user.joe\t0 default x" },
		"line end in name":    func(e *Entry) { e.Name = "user.joe\nuser.kim" },
		"empty name":          func(e *Entry) { e.Name = "" },
		"long name":           func(e *Entry) { e.Name = strings.Repeat("x", 490) },
		"name not utf-8":      func(e *Entry) { e.Name = "user.j\xf6e" },
		"space in partition":  func(e *Entry) { e.Partition = "default joe" },
		"no partition":        func(e *Entry) { e.Partition = "" },
		"no unique id":        func(e *Entry) { e.UniqueID = "" },
		"no type":             func(e *Entry) { e.Type = "" },
		"tab in right":        func(e *Entry) { e.ACL = []ACL{{"joe", "lrs\tkim"}} },
		"no rights":           func(e *Entry) { e.ACL = []ACL{{"joe", ""}} },
		"line end in acl":     func(e *Entry) { e.ACL = []ACL{{"joe\n", "lrs"}} },
		"server of two words": func(e *Entry) { e.Server = "a b" },
	} {
		bad := good
		change(&bad)
		if err := p.Enter(t.Context(), FormJSON, []Entry{good, bad}); err == nil {
			t.Errorf("%s was entered", name)
		}
	}
	bad := good
	if err := p.Enter(t.Context(), FormLine, []Entry{bad}); err == nil {
		t.Error("type e was entered in line form")
	}
	if err := p.Enter(t.Context(), FormUnknown, []Entry{good}); !errors.Is(err, errForm) {
		t.Errorf("unknown form: %v", err)
	}
	if _, err := os.Stat(filepath.Join(p.Dir, "ran")); err == nil {
		t.Error("ctl_mboxlist ran")
	}
}

func TestEnterComplaints(t *testing.T) {
	joe := []Entry{{Name: "user.joe", Partition: "default"}}
	for _, script := range []string{
		"echo \"parse error at line 1: '[' or '{' expected near 'user'\" >&2",
		"cat > /dev/null; echo 'line 1: no partition found' >&2",
		"exit 75",
		"kill -SEGV $$",
	} {
		p := fake(t, map[string]string{"ctl_mboxlist": script})
		if err := p.Enter(t.Context(), FormLine, joe); err == nil {
			t.Errorf("%s: no error", script)
		}
	}
}

// A program that reads nothing must not leave us writing for ever.
func TestEnterUnread(t *testing.T) {
	p := fake(t, map[string]string{"ctl_mboxlist": "echo 'parse error' >&2"})
	many := make([]Entry, 20_000)
	for i := range many {
		many[i] = Entry{Name: fmt.Sprintf("user.u%d", i), Partition: "default"}
	}
	if err := p.Enter(t.Context(), FormLine, many); err == nil || !strings.Contains(err.Error(), "parse error") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Enter(ctx, FormLine, many); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func FuzzParseList(f *testing.F) {
	for _, tt := range lists {
		text, err := os.ReadFile(filepath.Join("testdata", "mboxlist", tt.file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, form, err := ParseList(bytes.NewReader(text))
		if err != nil {
			if entries != nil {
				t.Errorf("%d entries with the error %v", len(entries), err)
			}
			return
		}
		// Whatever can be written is read again as the same.
		var b bytes.Buffer
		if WriteList(&b, form, entries) != nil {
			return
		}
		again, _, err := ParseList(&b)
		if diff := cmp.Diff(entries, again); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}
