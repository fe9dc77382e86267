package cyrusspool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
)

var (
	slashRules = NameRules{UnixHierarchySep: true, UsernameToLower: true}
	dotRules   = NameRules{UsernameToLower: true}
	altRules   = NameRules{UnixHierarchySep: true, Prefixes: []string{"Other Users", "Shared_", "v1.2", "Gro&AN8-"}}
)

// mapped gives each mapping as "name kind kind…".
func mapped(mappings []Mapping) []string {
	var all []string
	for _, m := range mappings {
		line := string(m.To)
		for _, c := range m.Changes {
			line += " " + string(c.Kind)
		}
		all = append(all, line)
	}
	return all
}

func TestMapFolders(t *testing.T) {
	long := strings.Repeat("x", 300)
	tests := []struct {
		name    string
		rules   NameRules
		folders []string
		want    []string
	}{
		{"plain", slashRules, []string{"INBOX", "Sent", "a/b/c"},
			[]string{"user.joe", "user.joe.Sent", "user.joe.a.b.c"}},
		{"dots are carets inside", slashRules, []string{"v1.2 notes", ".hidden", "a.", "...x"},
			[]string{"user.joe.v1^2 notes", "user.joe.^hidden", "user.joe.a^", "user.joe.^^^x"}},
		{"dots show where the separator is a dot", dotRules, []string{"v1.2 notes", "v1^2 notes"},
			[]string{"user.joe.v1^2 notes-2 dot collision", "user.joe.v1^2 notes"}},
		{"caret", slashRules, []string{"a^b", "a_b"},
			[]string{"user.joe.a_b-2 refused collision", "user.joe.a_b"}},
		{"INBOX in any case is an ordinary folder the second time", slashRules,
			[]string{"INBOX", "INBOX", "inbox", "InBox/x", "sub/INBOX"},
			[]string{"user.joe", "user.joe.INBOX^saved inbox", "user.joe.INBOX^saved-3 inbox collision",
				"user.joe.INBOX^saved-2.x inbox collision", "user.joe.sub.INBOX"}},
		{"a folder that has the new name of INBOX keeps it", slashRules, []string{"INBOX", "INBOX", "INBOX.saved"},
			[]string{"user.joe", "user.joe.INBOX^saved-2 inbox collision", "user.joe.INBOX^saved"}},
		{"modified UTF-7 of a client", slashRules, []string{"Entw&APw-rfe", "a&-b", "&2D3eAA-"},
			[]string{"user.joe.Entw&APw-rfe", "user.joe.a&-b", "user.joe.&2D3eAA-"}},
		{"bare ampersands", slashRules, []string{"am&p", "am&-p", "&AOk-&AOk-", "x&", "&AGE-"},
			[]string{"user.joe.am&-p-2 ampersand collision", "user.joe.am&-p", "user.joe.&-AOk-&-AOk- ampersand",
				"user.joe.x&- ampersand", "user.joe.&-AGE- ampersand"}},
		{"8-bit", slashRules, []string{"caf\xc3\xa9", "cafe\xcc\x81", "caf\xe9", "\xf0\x9f\x98\x80", "\x80"},
			[]string{"user.joe.caf&AOk--2 encoded-utf8 collision", "user.joe.caf&AOk- encoded-utf8",
				"user.joe.caf&AOk--3 encoded-charset collision", "user.joe.&2D3eAA- encoded-utf8",
				"user.joe._ encoded-charset control"}},
		{"8-bit of a Mac", NameRules{UnixHierarchySep: true, Charset: charmap.Macintosh}, []string{"caf\x8e"},
			[]string{"user.joe.caf&AOk- encoded-charset"}},
		{"8-bit of Japan, with a broken character", NameRules{UnixHierarchySep: true, Charset: japanese.EUCJP},
			[]string{"\xc6\xfc\xcb", "\x8e"},
			[]string{"user.joe.&ZeU-_ encoded-charset refused", "user.joe._ encoded-charset refused"}},
		{"ampersand beside 8-bit is text", slashRules, []string{"\xc3\xa9&AOk-"},
			[]string{"user.joe.&AOk-&-AOk- encoded-utf8"}},
		{"refused", slashRules, []string{"50%", "a*", "q\"t", "b\\s", "x{}|;!<>`"},
			[]string{"user.joe.50_ refused", "user.joe.a_ refused", "user.joe.q_t refused", "user.joe.b_s refused",
				"user.joe.x________ refused"}},
		{"control", slashRules, []string{"tab\tx", "nl\nx", "del\x7f", "nul\x00"},
			[]string{"user.joe.tab_x control", "user.joe.nl_x control", "user.joe.del_ control", "user.joe.nul_ control"}},
		{"space is only warned of", slashRules, []string{" lead", "trail ", "in side"},
			[]string{"user.joe. lead space", "user.joe.trail  space", "user.joe.in side"}},
		{"empty and dot components", slashRules, []string{"", ".", "..", "a//b", "/", "_"},
			[]string{"user.joe._-2 reserved collision", "user.joe._-3 reserved collision", "user.joe.__ reserved",
				"user.joe.a._.b reserved", "user.joe._-2._ reserved collision reserved", "user.joe._"}},
		{"folders that Cyrus keeps for itself", slashRules, []string{"#calendars", "#Jmapsubmission", "#hash", "x/#sieve"},
			[]string{"user.joe._calendars reserved", "user.joe._Jmapsubmission reserved", "user.joe.#hash", "user.joe.x.#sieve"}},
		{"prefixes under which clients see others", altRules, []string{"Other Users/a", "Shared*", "shared folders", "Shared_", "x/Shared_", "v1.2", "Gro&AN8-", "gro\xc3\x9f", "Gro\xc3\x9f"},
			[]string{"user.joe.Other Users_.a reserved", "user.joe.Shared__ refused reserved", "user.joe.shared folders",
				"user.joe.Shared__-2 reserved collision", "user.joe.x.Shared_", "user.joe.v1^2_ reserved", "user.joe.Gro&AN8-_ reserved",
				"user.joe.gro&AN8- encoded-utf8", "user.joe.Gro&AN8-_-2 encoded-utf8 reserved collision"}},
		{"nor does a change make such a prefix", NameRules{UnixHierarchySep: true, Prefixes: []string{"a", "a_", "b_-2", "INBOX.saved", "_sieve"}},
			[]string{"a", "b_", "b*", "inbox", "#sieve"},
			[]string{"user.joe.a__ reserved", "user.joe.b_", "user.joe.b_-3 refused collision", "user.joe.INBOX^saved_ inbox reserved", "user.joe._sieve_ reserved"}},
		{"with dots", NameRules{Prefixes: []string{"Other Users", "v1.2"}}, []string{"Other Users", "v1.2"},
			[]string{"user.joe.Other Users_ reserved", "user.joe.v1^2_ dot reserved"}},
		{"capitals are only warned of", slashRules, []string{"Foo", "foo", "a/X", "a/x", "&AMQ-", "&AOQ-", "foo2"},
			[]string{"user.joe.Foo case", "user.joe.foo case", "user.joe.a.X case", "user.joe.a.x case",
				"user.joe.&AMQ- case", "user.joe.&AOQ- case", "user.joe.foo2"}},
		{"tilde and dollar", slashRules, []string{"~tilde", "$x"}, []string{"user.joe.~tilde", "user.joe.$x"}},
		{"directories stay apart", slashRules, []string{"a%/x", "a_/x", "a_", "a%/y", "a*"},
			[]string{"user.joe.a_-2.x refused collision", "user.joe.a_.x", "user.joe.a_", "user.joe.a_-2.y refused collision",
				"user.joe.a_-3 refused collision"}},
		{"unchanged names win over numbered ones", slashRules, []string{"a_", "a%", "a_-2"},
			[]string{"user.joe.a_", "user.joe.a_-3 refused collision", "user.joe.a_-2"}},
		{"a folder listed twice", slashRules, []string{"a", "a", "a"},
			[]string{"user.joe.a", "user.joe.a-2 collision", "user.joe.a-3 collision"}},
		{"long component", slashRules, []string{long, long[:255], long[:256]},
			[]string{"user.joe." + long[:246] + "-" + shortHash(long) + " long", "user.joe." + long[:255],
				"user.joe." + long[:246] + "-" + shortHash(long[:256]) + " long"}},
		{"long name", slashRules, []string{long[:200] + "/" + long[:200] + "/" + "deep%"},
			[]string{"user.joe." + long[:200] + "." + long[:200] + ".deep_ refused"}},
		{"the longest name", slashRules, []string{long[:240] + "/" + long[:239], long[:240] + "/" + long[:240]},
			[]string{"user.joe." + long[:240] + "." + long[:239],
				"user.joe." + long[:240] + "-" + shortHash(long[:240]+"/"+long[:240]) + " long"}},
		{"too long a name", slashRules, []string{long[:200] + "/" + long[:200] + "/" + long[:99] + "%"},
			[]string{"user.joe." + long[:99] + "_-" + shortHash(long[:200]+"/"+long[:200]+"/"+long[:99]+"%") + " refused long"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := test.rules.MapFolders("joe", test.folders)
			if diff := cmp.Diff(test.want, mapped(got)); diff != "" {
				t.Error(diff)
			}
			checkMappings(t, test.rules, "joe", test.folders)
		})
	}
}

// TestNamesSeenOnHosts has the names of a mail directory that holds one of each that
// file systems, shells and clients make, as UW lists it, and what becomes of them.
func TestNamesSeenOnHosts(t *testing.T) {
	long := strings.Repeat("L", 240)
	tests := []struct {
		from       string
		slash, dot string // kinds of the change behind the name, if any
	}{
		{"a", "a", "a"},
		{"with space", "with space", "with space"},
		{"trail ", "trail  space", "trail  space"},
		{" lead", " lead space", " lead space"},
		{"dot.name", "dot^name", "dot^name dot"},
		{"v1.2/v3.4", "v1^2.v3^4", "v1^2.v3^4 dot dot"},
		{"a.", "a^", "a^ dot"},
		{"star*x", "star_x refused", "star_x refused"},
		{"pct%x", "pct_x refused", "pct_x refused"},
		{"qu\"ote", "qu_ote refused", "qu_ote refused"},
		{"back\\slash", "back_slash refused", "back_slash refused"},
		{"a!b", "a_b refused", "a_b refused"},
		{"c;d<e>f{g|h}i`j", "c_d_e_f_g_h_i_j refused", "c_d_e_f_g_h_i_j refused"},
		{"car^et", "car_et refused", "car^et"},
		{"caf\xc3\xa9", "caf&AOk- encoded-utf8", "caf&AOk- encoded-utf8"},
		{"nfd\x65\xcc\x81", "nfd&AOk- encoded-utf8", "nfd&AOk- encoded-utf8"},
		{"latin\xe9", "latin&AOk- encoded-charset", "latin&AOk- encoded-charset"},
		{"Entw&APw-rfe", "Entw&APw-rfe", "Entw&APw-rfe"},
		{"am&p", "am&-p ampersand", "am&-p ampersand"},
		{".hidden", "^hidden", "^hidden dot"},
		{"sub/deep/x", "sub.deep.x", "sub.deep.x"},
		{"sub/INBOX", "sub.INBOX", "sub.INBOX"},
		{"INBOX", "INBOX^saved inbox", "INBOX^saved inbox"},
		{"inbox", "INBOX^saved-2 inbox collision", "INBOX^saved-2 inbox collision"},
		{"nl\nx", "nl_x control", "nl_x control"},
		{"tab\tx", "tab_x control", "tab_x control"},
		{"cr\rx", "cr_x control", "cr_x control"},
		{"at@x", "at@x", "at@x"},
		{"a.lock", "a^lock", "a^lock dot"},
		{long, long, long},
		{"tilde~x", "tilde~x", "tilde~x"},
		{"~tilde", "~tilde", "~tilde"}, // below "user.joe.", so it begins no internal name
		{"#hash", "#hash", "#hash"},
		{"123/x", "123.x", "123.x"},
		{"UPPER", "UPPER case", "UPPER case"},
		{"upper", "upper case", "upper case"},
		{"emptyfile", "emptyfile", "emptyfile"},
	}
	folders := []string{"INBOX"}
	for _, test := range tests {
		folders = append(folders, test.from)
	}
	for _, rules := range []NameRules{slashRules, dotRules} {
		got := mapped(rules.MapFolders("joe", folders))
		for i, test := range tests {
			want := test.slash
			if !rules.UnixHierarchySep {
				want = test.dot
			}
			if want = "user.joe." + want; got[i+1] != want {
				t.Errorf("unixhierarchysep %v: %q became %q, want %q", rules.UnixHierarchySep, test.from, got[i+1], want)
			}
		}
		checkMappings(t, rules, "joe", folders)
	}
	mac := NameRules{UnixHierarchySep: true, Charset: charmap.Macintosh}
	if got := mac.MapFolders("joe", []string{"Entw\x9frfe"})[0].To; got != "user.joe.Entw&APw-rfe" {
		t.Errorf("a name of an old Mac became %q", got)
	}
}

func TestFolderName(t *testing.T) {
	long := strings.Repeat("x", 200)
	tests := []struct {
		rules      NameRules
		text, want string // want begins with "!": the error says that
	}{
		{slashRules, "Sent", "user.joe.Sent"},
		{slashRules, "a/v1.2 notes", "user.joe.a.v1^2 notes"},
		{slashRules, "Entwürfe", "user.joe.Entw&APw-rfe"},
		{slashRules, "this & that", "user.joe.this &- that"},
		{slashRules, "=1+1", "user.joe.=1+1"},
		{slashRules, "sub/INBOX", "user.joe.sub.INBOX"},
		{dotRules, "v1^2/x", "user.joe.v1^2.x"},
		{dotRules, "v1.2", "!a dot"},
		{slashRules, "v1^2", "!refuses '^'"},
		{slashRules, "50%", "!refuses '%'"},
		{slashRules, "tab\tx", `!refuses '\t'`},
		{slashRules, "del\x7f", `!refuses '\x7f'`},
		{slashRules, "caf\xe9", "!not UTF-8"},
		{slashRules, "", `!is ""`},
		{slashRules, "a//b", `!is ""`},
		{slashRules, "a/../b", `!is ".."`},
		{slashRules, "/a", `!is ""`},
		{slashRules, "inbox", `!keeps "inbox"`},
		{slashRules, "InBox/x", `!keeps "InBox"`},
		{slashRules, "#calendars", `!keeps "#calendars"`},
		{slashRules, "Other Users", "user.joe.Other Users"},
		{altRules, "Other Users/x", `!keeps "Other Users"`},
		{altRules, "Groß", `!keeps "Groß"`},
		{altRules, "other users/Other Users", "user.joe.other users.Other Users"},
		{slashRules, strings.Repeat("é", 140), "!takes"},
		{slashRules, long + "/" + long + "/" + long, "!takes"},
		{slashRules, long + "/" + long + "/" + long[:78], "user.joe." + long + "." + long + "." + long[:78]},
		{slashRules, long + "/" + long + "/" + long[:79], "!takes 490 bytes, 489 are possible"},
	}
	for _, test := range tests {
		got, err := test.rules.FolderName("joe", test.text)
		says, refused := strings.CutPrefix(test.want, "!")
		switch {
		case refused && (!errors.Is(err, ErrName) || !strings.Contains(err.Error(), says)):
			t.Errorf("%q: %q, %v, want an error that says %q", test.text, got, err, says)
		case !refused && (err != nil || string(got) != test.want || test.rules.Text(got) != test.text):
			t.Errorf("%q: %q, %v, shown as %q", test.text, got, err, test.rules.Text(got))
		}
	}
}

// FuzzFolderName: a name that is taken is one that Cyrus takes, and shown as it was
// written.
func FuzzFolderName(f *testing.F) {
	for _, text := range []string{"Sent", "a/b.c", "caf\xc3\xa9 & co", "%", "INBOX", "a//", "&", "\xe2\x80\xae^", strings.Repeat("\xc3\xa9/", 90) + "x"} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, unixSep bool) {
		rules := NameRules{UnixHierarchySep: unixSep}
		name, err := rules.FolderName("joe", text)
		if err != nil {
			return
		}
		if err := policyCheck(string(name), unixSep); err != nil {
			t.Errorf("%q became %q: %v", text, name, err)
		}
		if got := rules.Text(name); got != text {
			t.Errorf("%q became %q, shown as %q", text, name, got)
		}
	})
}

func TestChangePairs(t *testing.T) {
	got := slashRules.MapFolders("joe", []string{"caf\xc3\xa9.%/x.y", "caf&AOk-._"})
	want := []Mapping{
		{"caf\xc3\xa9.%/x.y", "user.joe.caf&AOk-^_-2.x^y", []Change{
			{KindEncodedUTF8, "caf\xc3\xa9.%", "caf&AOk-._"},
			{KindRefused, "caf\xc3\xa9.%", "caf&AOk-._"},
			{KindCollision, "caf&AOk-._", "caf&AOk-._-2"},
		}},
		{"caf&AOk-._", "user.joe.caf&AOk-^_", nil},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// checkMappings checks what MapFolders promises for any input.
func checkMappings(t *testing.T, rules NameRules, userid string, folders []string) {
	t.Helper()
	mappings := rules.MapFolders(userid, folders)
	if len(mappings) != len(folders) {
		t.Fatalf("%d mappings of %d folders", len(mappings), len(folders))
	}
	userid, _ = rules.UserID(userid)
	inbox := InboxName(userid)
	from := make(map[Name]string)
	var names []Name
	for i, m := range mappings {
		if m.From != folders[i] {
			t.Errorf("mapping %d is of %q, not %q", i, m.From, folders[i])
		}
		if err := policyCheck(string(m.To), rules.UnixHierarchySep); err != nil {
			t.Errorf("%q became %q: %v", m.From, m.To, err)
		}
		if other, taken := from[m.To]; taken {
			t.Errorf("%q and %q both became %q", other, m.From, m.To)
		}
		from[m.To] = m.From
		names = append(names, m.To)
		if m.To != inbox && !strings.HasPrefix(string(m.To), string(inbox)+".") {
			t.Errorf("%q became %q, not below %q", m.From, m.To, inbox)
		}
		if m.To.User() != userid {
			t.Errorf("%q belongs to %q, not %q", m.To, m.To.User(), userid)
		}
		changed := slices.ContainsFunc(m.Changes, func(c Change) bool { return !c.Warning() })
		if !changed && m.To != inbox {
			visible := strings.Join(strings.Split(strings.TrimPrefix(string(m.To), string(inbox)+"."), "."), "/")
			if rules.UnixHierarchySep {
				visible = strings.ReplaceAll(visible, "^", ".")
			}
			if visible != m.From {
				t.Errorf("%q became %q and no change is reported", m.From, m.To)
			}
		}
	}
	// A parent that is itself a folder must be that folder's directory at the source.
	for _, m := range mappings {
		for _, parent := range Parents([]Name{m.To}) {
			above, is := from[parent]
			moved := slices.ContainsFunc(m.Changes, func(c Change) bool { return c.Kind == KindLong && c.Old == m.From })
			if is && parent != inbox && !moved && !strings.HasPrefix(m.From, above+"/") {
				t.Errorf("%q is below %q at Cyrus, but %q is not below %q", m.To, parent, m.From, above)
			}
		}
	}
	for _, parent := range Parents(names) {
		if err := policyCheck(string(parent), rules.UnixHierarchySep); err != nil {
			t.Errorf("parent %q: %v", parent, err)
		}
	}
	// What people see leads back to the name.
	for _, m := range mappings {
		text := rules.Text(m.To)
		if m.To == inbox {
			if text != "INBOX" {
				t.Errorf("the INBOX is %q", text)
			}
			continue
		}
		if back, err := rules.FolderName(userid, text); err != nil || back != m.To {
			t.Errorf("%q is shown as %q, which is %q, %v", m.To, text, back, err)
		}
	}
	// The order of folders does not matter.
	order := rand.New(rand.NewPCG(1, uint64(len(folders)))).Perm(len(folders))
	shuffled := make([]string, len(folders))
	for to, was := range order {
		shuffled[to] = folders[was]
	}
	again := rules.MapFolders(userid, shuffled)
	slices.SortFunc(mappings, byTo)
	slices.SortFunc(again, byTo)
	if !reflect.DeepEqual(mappings, again) {
		t.Errorf("another order of folders:\n%s", cmp.Diff(mappings, again))
	}
	// A name that came out is fine, so it stays as it is.
	if rules.UnixHierarchySep {
		var fine []string
		for _, m := range mappings {
			if m.To == inbox {
				continue
			}
			fine = append(fine, strings.TrimPrefix(local(m.To), local(inbox)+"/"))
		}
		for _, m := range rules.MapFolders(userid, fine) {
			if local(m.To) != local(inbox)+"/"+m.From {
				t.Errorf("fine name %q became %q", m.From, m.To)
			}
		}
	}
}

// local is the external name without its domain.
func local(n Name) string {
	_, rest := n.split()
	return Name(rest).External('/')
}

func byTo(a, b Mapping) int { return strings.Compare(string(a.To), string(b.To)) }

func TestCheckDomain(t *testing.T) {
	for domain, fit := range map[string]bool{"example.org": true, "a": true, "x-1.example": true, "": false, "a..b": false, ".a": false,
		"a.": false, "Example.org": false, "-a.org": false, "a b": false, "a!b": false, "../a": false, "a/b": false, strings.Repeat("a", 101): false} {
		if err := CheckDomain(domain); (err == nil) != fit {
			t.Errorf("%q: %v", domain, err)
		}
	}
}

var domainRules = NameRules{UnixHierarchySep: true, UsernameToLower: true, Domain: "example.org"}

func TestUserID(t *testing.T) {
	long := strings.Repeat("u", 300)
	tests := []struct {
		rules       NameRules
		login, want string
		kinds       []ChangeKind
	}{
		{slashRules, "joe", "joe", nil},
		{slashRules, "j.smith", "j.smith", nil},
		{slashRules, "Joe", "joe", []ChangeKind{KindUserCase}},
		{NameRules{UnixHierarchySep: true}, "Joe", "Joe", nil},
		{dotRules, "J.smith", "j_smith", []ChangeKind{KindUserCase, KindUserDot}},
		{slashRules, "a/b%*@^&\xe9", "a_b______", []ChangeKind{KindUserChar}},
		{slashRules, "joe+x", "joe_x", []ChangeKind{KindUserChar}},
		{slashRules, "machine$", "machine$", nil},
		{slashRules, "", "_", []ChangeKind{KindUserReserved}},
		{slashRules, "Anyone", "anyone_", []ChangeKind{KindUserCase, KindUserReserved}},
		{slashRules, "anonymous", "anonymous_", []ChangeKind{KindUserReserved}},
		{slashRules, long, long[:191] + "-" + shortHash(long), []ChangeKind{KindLong}},
		{domainRules, "Joe", "joe@example.org", []ChangeKind{KindUserCase}},
		{domainRules, "j.smith", "j.smith@example.org", nil},
		{domainRules, "joe@elsewhere.org", "joe_elsewhere.org@example.org", []ChangeKind{KindUserChar}},
		{domainRules, long, long[:179] + "-" + shortHash(long) + "@example.org", []ChangeKind{KindLong}},
	}
	for _, test := range tests {
		got, changes := test.rules.UserID(test.login)
		var kinds []ChangeKind
		for _, c := range changes {
			kinds = append(kinds, c.Kind)
		}
		if got != test.want || !slices.Equal(kinds, test.kinds) {
			t.Errorf("%q: %q %v, want %q %v", test.login, got, kinds, test.want, test.kinds)
		}
		if again, changes := test.rules.UserID(got); again != got || changes != nil {
			t.Errorf("%q, a userid, became %q: %v", got, again, changes)
		}
	}
}

// TestMapManyAlike must not take time in the square of the number of folders.
func TestMapManyAlike(t *testing.T) {
	var folders []string
	for i := range 20000 {
		folders = append(folders, "x"+strings.Repeat("%", i%2)+strings.Repeat("*", 1-i%2)+fmt.Sprintf("\x01%c", rune(i%20+1)))
	}
	checkMappings(t, slashRules, "joe", slices.Compact(folders))
	deep := strings.Repeat("a/", 1<<18)
	checkMappings(t, slashRules, "joe", []string{deep, deep + "b"})
}

func FuzzMapFolders(f *testing.F) {
	f.Add("joe", "INBOX\nSent\na/b", true)
	f.Add("J.Smith", "caf\xc3\xa9\ncaf\xe9\ncaf&AOk-\na&b\n50%\n*\n.\n..\n\nINBOX\nINBOX\ninbox/x", false)
	f.Add("anyone", "a_\na%\na_-2\na%/x\na_/x\n "+strings.Repeat("\xc3\xa9", 200), true)
	f.Add("u", strings.Repeat("x/", 300)+"\n"+strings.Repeat("y", 300)+"/"+strings.Repeat("z", 300), true)
	f.Fuzz(func(t *testing.T, login, list string, unixSep bool) {
		rules := NameRules{UnixHierarchySep: unixSep, UsernameToLower: true}
		if len(list)%2 == 1 {
			rules.Domain = "example.org"
		}
		userid, _ := rules.UserID(login)
		if err := policyCheck(string(InboxName(userid)), unixSep); err != nil {
			t.Errorf("login %q became %q: %v", login, userid, err)
		}
		if again, changes := rules.UserID(userid); again != userid || changes != nil {
			t.Errorf("userid %q became %q: %v", userid, again, changes)
		}
		checkMappings(t, rules, userid, strings.Split(list, "\n"))
	})
}
