package reconstruct

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKeys(t *testing.T) {
	for _, tt := range []struct {
		name string
		form ListForm
		want []string
	}{
		{"user.joe", FormJSON, []string{"Nuser\x1fjoe", "Iid1"}},
		{"user.j^smith.My Sent", FormJSON, []string{"Nuser\x1fj.smith\x1fMy Sent", "Iid1"}},
		{"example.org!user.joe", FormJSON, []string{"Nexample.org\x1duser\x1fjoe", "Iid1"}},
		{"user.j^smith", FormLine, []string{"user.j^smith"}},
		{"user.joe", FormUnknown, nil},
		{"user.joe\nuser.ann", FormJSON, nil},
		{"user.*", FormJSON, nil},
		{"", FormLine, nil},
	} {
		e := Entry{Name: tt.name, UniqueID: "id1"}
		got, err := e.keys(tt.form)
		if diff := cmp.Diff(tt.want, got); diff != "" || (err == nil) != (tt.want != nil) {
			t.Errorf("%q, %s: %v %s", tt.name, tt.form, err, diff)
		}
	}
	if _, err := (&Entry{Name: "user.joe"}).keys(FormJSON); err == nil {
		t.Error("no unique id, and no error")
	}
}

var testDB = Database{Path: "/var/lib/cyrus/mailboxes.db", Type: "twoskip", Sorted: true}

// record is a cyr_dbtool that writes down how it was called.
func record(t *testing.T, more string) (log, script string) {
	log = filepath.Join(t.TempDir(), "log")
	return log, `echo "$@" >` + log + `; cat >>` + log + "\n" + more
}

func TestRemoveSaysWhatIsToGo(t *testing.T) {
	log, script := record(t, "")
	p := fake(t, map[string]string{"cyr_dbtool": script, "ctl_mboxlist": says("{}\n")})
	err := p.Remove(t.Context(), testDB, FormJSON, []Entry{{Name: "user.joe", UniqueID: "a1"}, {Name: "user.joe.x y", UniqueID: "a2"}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	want := "-C " + p.Conf + " -T -M /var/lib/cyrus/mailboxes.db twoskip delete\nNuser\x1fjoe\nIa1\nNuser\x1fjoe\x1fx y\nIa2\n"
	if string(b) != want {
		t.Errorf("%q, want %q", b, want)
	}
	_, script = record(t, `echo "/usr/cyrus/bin/cyr_dbtool: invalid option -- 'T'" >&2`)
	p = fake(t, map[string]string{"cyr_dbtool": script})
	if err := p.Remove(t.Context(), testDB, FormLine, []Entry{{Name: "user.joe"}}); err != nil {
		t.Errorf("2.4, which does not know -T: %v", err)
	}
	if err := p.Remove(t.Context(), testDB, FormJSON, nil); err != nil {
		t.Errorf("nothing to remove: %v", err)
	}
}

func TestRemoveBelievesOnlyTheList(t *testing.T) {
	joe := []Entry{{Name: "user.joe", UniqueID: "a1"}}
	for name, scripts := range map[string]map[string]string{
		"still listed": {"cyr_dbtool": "cat >/dev/null", "ctl_mboxlist": says(`{"user.joe": {"uniqueid": "a1", "partition": "default", "mbtype": "e", "acl": {}}}` + "\n")},
		"a word":       {"cyr_dbtool": "cat >/dev/null; echo can not open db >&2", "ctl_mboxlist": says("{}\n")},
		"a status":     {"cyr_dbtool": "cat >/dev/null; exit 75", "ctl_mboxlist": says("{}\n")},
		"no program":   {"ctl_mboxlist": says("{}\n")},
	} {
		if err := fake(t, scripts).Remove(t.Context(), testDB, FormJSON, joe); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRecordsAreReadAndPutBack(t *testing.T) {
	p := fake(t, map[string]string{"cyr_dbtool": `read key; echo "%(T e $key)"`})
	got, err := p.Records(t.Context(), testDB, FormJSON, Entry{Name: "user.joe", UniqueID: "a1"})
	want := []Record{{"Nuser\x1fjoe", "%(T e Nuser\x1fjoe)"}, {"Ia1", "%(T e Ia1)"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	for _, script := range []string{"cat >/dev/null", "cat >/dev/null; echo; echo", "cat >/dev/null; echo a; echo b"} {
		p := fake(t, map[string]string{"cyr_dbtool": script})
		if got, err := p.Records(t.Context(), testDB, FormJSON, Entry{Name: "user.joe", UniqueID: "a1"}); err == nil {
			t.Errorf("%s: %q and no error", script, got)
		}
	}
	log, script := record(t, "")
	p = fake(t, map[string]string{"cyr_dbtool": script})
	if err := p.PutBack(t.Context(), testDB, want); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(b), "twoskip set\nNuser\x1fjoe\t%(T e Nuser\x1fjoe)\nIa1\t%(T e Ia1)\n") {
		t.Errorf("%q", b)
	}
	for _, bad := range []Record{{"a\tb", "x"}, {"a", "x\ny"}, {"", "x"}, {"a", ""}} {
		if err := p.PutBack(t.Context(), testDB, []Record{bad}); err == nil {
			t.Errorf("%q was put back", bad)
		}
	}
}

// TestDamaged: what is not an answer is no damage, but a program that went wrong is an error.
func TestDamaged(t *testing.T) {
	for _, tt := range []struct {
		script        string
		damaged, fail bool
	}{
		{"echo 'Yes, consistent'", false, false},
		{"echo 'No, not consistent'", true, false},
		{"echo 'Usage: cyr_dbtool ...' >&2; exit 255", false, false},
		{"echo 'fatal error: Internal error: assertion failed' >&2; exit 70", false, true},
		{"kill -SEGV $$", false, true},
	} {
		p := fake(t, map[string]string{"cyr_dbtool": tt.script})
		if damaged, err := p.Damaged(t.Context(), testDB); damaged != tt.damaged || (err != nil) != tt.fail {
			t.Errorf("%s: %v, %v", tt.script, damaged, err)
		}
	}
	if damaged, err := fake(t, nil).Damaged(t.Context(), testDB); damaged || err != nil {
		t.Errorf("without the program: %v, %v", damaged, err)
	}
}
