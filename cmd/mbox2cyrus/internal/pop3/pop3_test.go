package pop3

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUIDL(t *testing.T) {
	const validity, uid = 1054563072, 42
	if got := UW(validity, uid); got != "3edb5b000000002a" {
		t.Errorf("UW: %s", got)
	}
	for format, want := range map[Format]string{"uidonly": "42", "cyrus": "1054563072.42", "": "1054563072.42",
		"dovecot": "0000002a3edb5b00", "courier": "1054563072-42", "uw": "3edb5b000000002a"} {
		if got, ok := format.UIDL(validity, uid); got != want || !ok {
			t.Errorf("%s: %s %v, want %s", format, got, ok, want)
		}
	}
	if got, ok := Format("new").UIDL(validity, uid); ok {
		t.Errorf("an unknown format gives %s", got)
	}
}

func TestVerdict(t *testing.T) {
	var inbox Inbox
	inbox.Add(9, false, true, 100)
	inbox.Add(3, true, true, 1000)
	inbox.Add(5, false, false, 10)
	inbox.Add(7, false, true, 1)
	if diff := cmp.Diff(Inbox{Messages: 3, Bytes: 111, Read: 2, ReadBytes: 101, First: 5, Hidden: 1}, inbox); diff != "" {
		t.Error(diff)
	}
	for _, tt := range []struct {
		name       string
		format     Format
		was, will  uint32
		renumbered bool
		want       Verdict
	}{
		{"another form", Cyrus, 16, 16, false, Verdict{Cyrus, "0000001000000005", "16.5", 2, 101}},
		{"the same form", LikeUW, 16, 16, false, Verdict{LikeUW, "0000001000000005", "0000001000000005", 0, 0}},
		{"the same form, another UIDVALIDITY", LikeUW, 16, 17, false, Verdict{LikeUW, "0000001000000005", "0000001100000005", 2, 101}},
		{"the same form, other UIDs", LikeUW, 16, 16, true, Verdict{LikeUW, "", "", 2, 101}},
		{"never opened by UW", Cyrus, 0, 77, false, Verdict{Cyrus, "", "77.5", 0, 0}},
		{"planned", Cyrus, 0, 0, false, Verdict{Format: Cyrus}},
		{"unknown form", "new", 16, 16, false, Verdict{"new", "0000001000000005", "", 2, 101}},
	} {
		if diff := cmp.Diff(tt.want, inbox.Verdict(tt.format, tt.was, tt.will, tt.renumbered)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	var empty Inbox
	if diff := cmp.Diff(Verdict{Format: Cyrus}, empty.Verdict(Cyrus, 1, 1, false)); diff != "" {
		t.Errorf("empty: %s", diff)
	}
}
