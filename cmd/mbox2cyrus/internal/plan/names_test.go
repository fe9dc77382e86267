package plan

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

const oneMessage = "From a@example.org Mon Jun  2 10:11:12 2003\nSubject: a\n\nb\n\n"

var rules = cyrusspool.NameRules{UnixHierarchySep: true, UsernameToLower: true}

// newHost makes a host of those users, each with an INBOX and these folders.
func newHost(t *testing.T, users map[string][]string) *mbox.Host {
	t.Helper()
	h, _ := newHostAt(t, users)
	return h
}

// newHostAt is newHost and returns the source root too.
func newHostAt(t *testing.T, users map[string][]string) (h *mbox.Host, root string) {
	t.Helper()
	root = t.TempDir()
	uid := os.Getuid()
	if uid == 0 {
		uid = 1001 // root's files are read for any user
	}
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var passwd strings.Builder
	for name, folders := range users {
		passwd.WriteString(name + ":x:" + strconv.Itoa(uid) + ":1::/home/" + name + ":/bin/sh\n")
		write("var/mail/"+name, oneMessage)
		for _, f := range folders {
			write("home/"+name+"/mail/"+f, oneMessage)
		}
	}
	write("etc/passwd", passwd.String())
	h, err := mbox.OpenHost(mbox.HostOptions{Root: root, MinUID: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, root
}

// hostileFolders are names that are changed, or hard to write into a table.
var hostileFolders = []string{"plain", "sub/deep", "am&p", "50%", "caf\xe9", "caf\xc3\xa9", "nl\nx", "=1+1", "-x", `back\slash`, "INBOX", "Foo", "foo", "a,b;c", `q"u`, " lead"}

func newPlan(t *testing.T, h *mbox.Host, names *Names) *Plan {
	t.Helper()
	p, err := build(h, rules, Selection{}, names)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// boxes returns "user old -> mailbox" of every folder.
func boxes(p *Plan) (all []string) {
	for _, u := range p.Users {
		for _, f := range u.Folders {
			all = append(all, u.Name+" "+strconv.Quote(f.File.Name)+" -> "+string(f.Mailbox))
		}
	}
	return all
}

// TestMapLeadsBack: a map that is written and read unedited changes nothing, for
// any name, in both forms.
func TestMapLeadsBack(t *testing.T) {
	h := newHost(t, map[string][]string{"joe": hostileFolders, "ann": {"x"}})
	before := newPlan(t, h, nil)
	for _, file := range []string{"names.csv", "names.JSON"} {
		path := filepath.Join(t.TempDir(), file)
		if err := before.WriteMap(path, rules); err != nil {
			t.Fatal(err)
		}
		names, err := ReadNames(path)
		if err != nil {
			t.Fatal(err)
		}
		after := newPlan(t, h, names)
		if diff := cmp.Diff(boxes(before), boxes(after)); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
		if n := len(names.byUser["joe"]); n != len(hostileFolders) {
			t.Errorf("%s: %d folders of joe were read, want %d", file, n, len(hostileFolders))
		}
		for _, u := range after.Users {
			for _, f := range u.Folders {
				if f.Chosen {
					t.Errorf("%s: %q counts as chosen", file, f.File.Name)
				}
			}
		}
	}
}

func TestMapInCSV(t *testing.T) {
	h := newHost(t, map[string][]string{"joe": {"am&p", "caf\xe9", "=1", "50%", "50_"}})
	b, err := rowsCSV(newPlan(t, h, nil).rows(rules))
	if err != nil {
		t.Fatal(err)
	}
	want := `user,cyrus_user,old_name,new_name,mailbox,renamed,why
joe,joe,INBOX,INBOX,user.joe,no,
joe,joe,50%,50_-2,user.joe.50_-2,yes,characters that Cyrus refuses became _; another folder has that name
joe,joe,50_,50_,user.joe.50_,no,
joe,joe,\x3d1,\x3d1,user.joe.=1,no,
joe,joe,am&p,am&p,user.joe.am&-p,yes,"an ampersand, written as IMAP wants it; looks the same"
joe,joe,caf\xe9,café,user.joe.caf&AOk-,yes,"8-bit and not UTF-8, taken as --filename-charset says"
`
	got := strings.Split(string(b), "\n")
	wanted := strings.Split(want, "\n")
	slices.Sort(got)
	slices.Sort(wanted)
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Error(diff)
	}
}

func TestChosenNames(t *testing.T) {
	h := newHost(t, map[string][]string{"joe": {"50%", "old", "sub/deep"}, "ann": {"50%"}})
	path := filepath.Join(t.TempDir(), "names.csv")
	// As a German spreadsheet saves it.
	text := "\ufeffuser;old_name;new_name;why\r\njoe;50%;fifty/per cent;\r\njoe;old;Entwürfe & Co;\r\njoe;sub/deep;sub/deep;kept\r\n;;;\r\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := ReadNames(path)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlan(t, h, names)
	want := []string{`ann "INBOX" -> user.ann`, `ann "50%" -> user.ann.50_`,
		`joe "INBOX" -> user.joe`, `joe "old" -> user.joe.Entw&APw-rfe &- Co`, `joe "50%" -> user.joe.fifty.per cent`, `joe "sub/deep" -> user.joe.sub.deep`}
	if diff := cmp.Diff(want, boxes(p)); diff != "" {
		t.Error(diff)
	}
	joe := p.Users[1]
	if !slices.Contains(joe.Parents, "user.joe.fifty") {
		t.Errorf("parents: %v", joe.Parents)
	}
	kinds := map[string]int{}
	for _, pr := range joe.Problems {
		kinds[pr.Kind]++
	}
	if kinds["name-chosen"] != 2 || kinds["name-refused"] != 0 {
		t.Errorf("problems: %v", kinds)
	}
	// The names are for all users: a run for one of them is no error.
	if _, err := build(h, rules, Selection{Users: []string{"ann"}}, names); err != nil {
		t.Error(err)
	}
}

// TestWrongNames: every error has its line, and nothing is planned.
func TestWrongNames(t *testing.T) {
	h := newHost(t, map[string][]string{"joe": {"a", "b", "c"}})
	const head = "user,old_name,new_name\n"
	tests := []struct{ name, file, text, says string }{
		{"empty", "n.csv", "", ":1: no line with the names of the columns"},
		{"no such column", "n.csv", "user,old_name,new_name,newname\n", `:1: unknown column "newname"`},
		{"missing column", "n.csv", "user,old_name\n", `:1: column "new_name" is missing`},
		{"column twice", "n.csv", "user,user,old_name,new_name\n", `:1: column "user" is there twice`},
		{"refused by Cyrus", "n.csv", head + "joe,a,x\njoe,b,50%\n", `:3: folder b of user joe: "50%" is not a name for a folder: Cyrus refuses '%'`},
		{"INBOX", "n.csv", head + "joe,a,inbox\n", `:2: folder a of user joe: "inbox" is not a name for a folder`},
		{"no name", "n.csv", head + "joe,a,\n", ":2: folder a of user joe"},
		{"leaves the mailbox", "n.csv", head + "joe,a,../ann\n", `:2: folder a of user joe: "../ann"`},
		{"no such user", "n.csv", head + "bob,a,x\n", ":2: there is no user bob"},
		{"no such folder", "n.csv", head + "joe,\"q\",x\n", ":2: user joe has no folder q"},
		{"two become one", "n.csv", head + "joe,a,x\njoe,b,x\n", ":3: folders a and b of user joe would both be x"},
		{"one becomes another", "n.csv", head + "joe,a,b\n", ":2: folders a and b of user joe would both be b"},
		{"twice", "n.csv", head + "joe,a,x\n\njoe,a,y\n", ":4: folder a of user joe is in line 2 already"},
		{"user renamed", "n.csv", "user,cyrus_user,old_name,new_name\njoe,joseph,a,a\n", ":2: user joe is joe in Cyrus, not joseph"},
		{"not UTF-8", "n.csv", head + "joe,a,caf\xe9\n", ":2: new_name is not UTF-8"},
		{"bad escape", "n.csv", head + "joe,a,x\\y\n", `:2: "x\\y": a backslash`},
		{"bad quote", "n.csv", head + "joe,a,\"x\n", `n.csv:`},
		{"no list", "n.json", "{}", ":1: not a list"},
		{"unknown key", "n.json", "[\n{\"user\": \"joe\", \"old\": \"a\"}\n]", `:2: json: unknown field "old"`},
		{"json name", "n.json", "[\n{\"user\": \"joe\", \"old_name\": \"a\", \"new_name\": \"x\"},\n{\"user\": \"joe\", \"old_name\": \"b\", \"new_name\": \"%\"}\n]", ":3: folder b"},
		{"more behind", "n.json", "[]\n[]", ":2: something follows"},
		{"cut off", "n.json", "[", ":1: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), tt.file)
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			names, err := ReadNames(path)
			if err == nil {
				_, err = build(h, rules, Selection{}, names)
			}
			if !errors.Is(err, ErrNames) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v\nwant an error that says %s", err, tt.says)
			}
		})
	}
}

// TestAllWrongNamesAreTold: an administrator mends a file once, not line by line.
func TestAllWrongNamesAreTold(t *testing.T) {
	var b strings.Builder
	b.WriteString("user,old_name,new_name\n")
	for i := range maxNameErrors + 5 {
		b.WriteString("nobody" + strconv.Itoa(i) + ",a,b\n")
	}
	path := filepath.Join(t.TempDir(), "n.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := ReadNames(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = build(newHost(t, map[string][]string{"joe": nil}), rules, Selection{}, names)
	if err == nil || strings.Count(err.Error(), "there is no user") != maxNameErrors || !strings.Contains(err.Error(), "5 more errors") {
		t.Errorf("error: %v", err)
	}
}

// FuzzParseNames: any file is read or refused with lines, and nothing else.
func FuzzParseNames(f *testing.F) {
	for _, text := range []string{"user,old_name,new_name\njoe,a,b\n", "user;old_name;new_name\r\n\"joe\";\\xff;\"b\n\"\r\n",
		`[{"user": "joe", "old_name": {"b64": "/w=="}, "new_name": "x"}]`, "[", "\ufeff\"", "user\told_name\tnew_name\n\t\t"} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, asJSON bool) {
		path := "names.csv"
		if asJSON {
			path = "names.json"
		}
		n, err := parseNames(path, []byte(text))
		if err != nil {
			if !errors.Is(err, ErrNames) || !strings.Contains(err.Error(), path+":") {
				t.Errorf("the error has no line: %v", err)
			}
			return
		}
		lines := 1 + strings.Count(text, "\n")
		for user, folders := range n.byUser {
			for old, c := range folders {
				if c.line < 1 || c.line > lines {
					t.Errorf("folder %q of user %q is in line %d of %d", old, user, c.line, lines)
				}
			}
		}
	})
}

// TestWhatAPersonMustLookAtSaysWhatToDo: of names, those that fell together or were cut.
func TestWhatAPersonMustLookAtSaysWhatToDo(t *testing.T) {
	for kind, attention := range map[cyrusspool.ChangeKind]bool{cyrusspool.KindCollision: true, cyrusspool.KindLong: true, cyrusspool.KindRefused: false} {
		p := folderChange("joe", cyrusspool.Mapping{From: "x%", To: "user.joe.x_-2"}, cyrusspool.Change{Kind: kind, Old: "x_", New: "x_-2"})
		if (p.Severity == report.Attention) != attention || strings.Contains(p.Text, "--names") != attention {
			t.Errorf("%v: %v %q", kind, p.Severity, p.Text)
		}
	}
}

// TestEveryChangeHasItsReason finds the kinds in the source of package cyrusspool.
func TestEveryChangeHasItsReason(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "../../../../cyrusspool/rules.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		lit, isLit := spec.Values[0].(*ast.BasicLit)
		kind, isKind := spec.Type.(*ast.Ident)
		if !isLit || !isKind || kind.Name != "ChangeKind" || strings.HasPrefix(spec.Names[0].Name, "KindUser") {
			return true
		}
		value, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if whyChanged[cyrusspool.ChangeKind(value)] == "" {
			t.Errorf("a change of kind %s has no reason in plain words", value)
		}
		return true
	})
	if found < 10 {
		t.Errorf("only %d kinds were found", found)
	}
}
