package ledger

import (
	"testing"
	"time"
)

// TestApprovalStays: who approved of what is known to later runs, and to those who only
// look.
func TestApprovalStays(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, a := range []Approval{
		{Time: at, By: "ann", Comment: "known", Items: []ApprovedItem{{ID: "1", User: "joe", Folder: "caf\xe9", Length: 9, Reason: "damage"}}},
		{Time: at.Add(time.Hour), By: "bob", Items: []ApprovedItem{{ID: "2"}, {ID: "3"}}},
	} {
		if err := l.Approve(a); err != nil {
			t.Fatal(err)
		}
	}
	check := func(l *Ledger) {
		t.Helper()
		for id, want := range map[string]string{"1": "ann", "2": "bob", "3": "bob", "4": ""} {
			by, when, ok := l.Approved(id)
			if by != want || ok != (want != "") || want == "ann" && !when.Equal(at) {
				t.Errorf("%s is approved by %q at %v, %v, want %q", id, by, when, ok, want)
			}
		}
	}
	check(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	check(again)
	if !Exists(dir) || Exists(t.TempDir()) {
		t.Error("Exists is wrong")
	}
}
