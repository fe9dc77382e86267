package ledger

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// told is all that a ledger tells of the runs before.
func told(t *testing.T, l *Ledger) (all []string) {
	t.Helper()
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for _, m := range allOf(t, l) {
		say("%+v, id %v, knows %v", m, l.NameWithID(m.UniqueID), l.Knows(m.Name))
	}
	for _, user := range []string{"ann", "joe", "zoe"} {
		s, ok := l.Subscriptions(user)
		say("%s: %d, quota %v, subscriptions %+v %v", user, len(l.NamesOf(user)), l.GaveQuota(user), s, ok)
	}
	dirs := map[MadeDir]bool{}
	for _, dir := range []string{"a", "a/b", "c", "d", "e"} {
		dirs[MadeDir{Root: "/", Dir: dir}] = true
	}
	by, at, ok := l.Approved("i1")
	say("%v %d %v, root %q, marks %v, approved %v %v %v, gone %d", l.Users(), l.Len(), l.MadeDirs(dirs), l.SourceRoot(),
		slices.Sorted(maps.Keys(l.Marks())), by, at.UTC(), ok, len(l.gone))
	return all
}

// toldInFull is that of the journal below, without what is said of each mailbox.
var toldInFull = []string{
	"ann: 1, quota true, subscriptions {User:ann Path:x Names:n SHA1: Next:} true",
	"joe: 1, quota false, subscriptions {User: Path: Names: SHA1: Next:} false", // the quota went with what was undone
	"zoe: 0, quota true, subscriptions {User: Path: Names: SHA1: Next:} false",
	`[ann joe] 2 [{/ a/b} {/ a} {/ c} {/ d}], root "/other", marks [one], approved root 1970-01-01 00:00:05 +0000 UTC true, gone 1`,
}

// TestReopened: a journal says the same to whoever reads it, once or as often as one likes,
// and whatever a crash has left behind its last line.
func TestReopened(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(l.Begin(Run{SourceRoot: "/host", Marks: map[string]string{"one": "1"}}))
	ann := Mailbox{State: Begun, User: "ann", Name: "user.ann", UniqueID: "i-ann", QuotaSet: true, MadeDirs: []MadeDir{{"/", "a"}, {"/", "a/b"}}}
	joe := Mailbox{State: Begun, User: "joe", Name: "user.joe", UniqueID: "i-joe", QuotaSet: true, UserFiles: []UserFiles{{Dir: "u", MadeDirs: []MadeDir{{"/", "c"}}}}}
	long := Mailbox{State: Begun, User: "joe", Folder: "<&>", Name: "user.joe." + strings.Repeat("x", 70_000), UniqueID: "i-long"}
	must(l.Set(ann, joe, long))
	must(l.Begin(Run{})) // an undo: of the source it says nothing
	joe.State, joe.MadeDirs = Undone, []MadeDir{{"/", "d"}}
	must(l.Set(joe))
	must(l.End(End{}))
	must(l.Set(Mailbox{State: "", User: "zoe", Name: "user.zoe", QuotaSet: true})) // as earlier versions said it
	ann.State, ann.Messages = Filled, 7
	must(l.Set(ann))
	must(l.SetSubscriptions(Subscriptions{User: "ann", Path: "x", Names: "n"}, Subscriptions{User: "joe", Path: "y", Next: "z"}))
	must(l.SetSubscriptions(Subscriptions{User: "joe"}))
	must(l.Approve(Approval{By: "root", Time: time.Unix(5, 0), Items: []ApprovedItem{{ID: "i0"}, {ID: "i1"}}}))
	must(l.Begin(Run{SourceRoot: "/other"})) // without marks: those stay
	want := told(t, l)
	must(l.Close())
	path := filepath.Join(dir, JournalName)
	whole, err := os.ReadFile(path)
	must(err)
	// What the last migrate said of the source is known to later runs only.
	end := len(want) - 1
	want[end] = strings.Replace(want[end], `root ""`, `root "/other"`, 1)
	want[end] = strings.Replace(want[end], `marks []`, `marks [one]`, 1)
	if diff := cmp.Diff(toldInFull, want[len(want)-len(toldInFull):]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, tail := range []string{"", "{", `{"set":{"state":"undone","mailbox":"user.ann"}}`, "{\"set\n"} {
		must(os.WriteFile(path, []byte(string(whole)+tail), 0o600))
		for name, again := range map[string]func(string) (*Ledger, error){"read": Read, "opened": Open} {
			l, err := again(dir)
			must(err)
			if diff := cmp.Diff(want, told(t, l)); diff != "" {
				t.Errorf("%s with %q (-want +got)\n%s", name, tail, diff)
			}
			if !l.CutOff() {
				t.Errorf("%s with %q: the last run was not cut off", name, tail)
			}
			must(l.Close())
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != string(whole) {
			t.Errorf("opened with %q: the journal has %d bytes, had %d, %v", tail, len(now), len(whole), err)
		}
	}
}

// TestVersions: a journal of an earlier version goes on as one of this.
func TestVersions(t *testing.T) {
	const one, two = "{\"ledger\":1}\n", "{\"ledger\":2}\n"
	for _, c := range []struct {
		journal string
		after   string // "": it is refused
	}{
		{"", two}, {one, one + two}, {two, two}, {one + two, one + two},
		{"{\"ledger\":3}\n", ""}, {"{\"ledger\":-1}\n", ""}, {two + "{\"ledger\":3}\n", ""}, {two + "{\"ledger\":-1}\n", ""}, {"{\"end\":{}}\n", ""},
		{two + "{}\n" + one, two + "{}\n" + one + two},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, JournalName)
		if err := os.WriteFile(path, []byte(c.journal), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(dir)
		if (err == nil) != (c.after != "") {
			t.Errorf("%q: %v", c.journal, err)
		}
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != c.after {
			t.Errorf("%q has become %q, %v, want %q", c.journal, now, err, c.after)
		}
	}
}

// TestJournalChanged: what is not kept is read again, and told from what it was if the
// journal was changed meanwhile.
func TestJournalChanged(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	defer l.Close()
	if err := errors.Join(l.Set(Mailbox{State: Filled, Name: "user.a", Messages: 1}), l.Set(Mailbox{State: Filled, Name: "user.b", Messages: 2})); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, JournalName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		old, new string
		ok       bool
	}{{"user.b", "user.b", true}, {"user.b", "user.c", false}, {`"set"`, `"SAT"`, false}, {"{", "x", false}} {
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(good), c.old, c.new)), 0o600); err != nil {
			t.Fatal(err)
		}
		l.boxes.byName["user.b"].box = nil
		m, known, err := l.Mailbox("user.b")
		if (err == nil) != c.ok || !known || c.ok && m.Messages != 2 {
			t.Errorf("%q: %+v, %v, %v", c.new, m, known, err)
		}
	}
	if err := os.Truncate(path, 20); err != nil {
		t.Fatal(err)
	}
	l.boxes.byName["user.b"].box = nil
	if m, _, err := l.Mailbox("user.b"); err == nil {
		t.Errorf("cut off: %+v", m)
	}
}
