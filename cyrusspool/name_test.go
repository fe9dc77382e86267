package cyrusspool

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestName(t *testing.T) {
	tests := []struct {
		name               Name
		user               string
		folder             []string
		slash, dot, people string
	}{
		{"user.joe", "joe", []string{}, "user/joe", "user.joe", "user/joe"},
		{"user.joe.Sent", "joe", []string{"Sent"}, "user/joe/Sent", "user.joe.Sent", "user/joe/Sent"},
		{"user.j^smith.v1^2 notes", "j.smith", []string{"v1^2 notes"}, "user/j.smith/v1.2 notes", "user.j^smith.v1^2 notes", "user/j.smith/v1.2 notes"},
		{"user.joe.Entw&APw-rfe", "joe", []string{"Entw&APw-rfe"}, "user/joe/Entw&APw-rfe", "user.joe.Entw&APw-rfe", "user/joe/Entwürfe"},
		{"user.joe.&AIUgLg-", "joe", []string{"&AIUgLg-"}, "user/joe/&AIUgLg-", "user.joe.&AIUgLg-", `user/joe/\u0085\u202e`},
		{"user.joe.a&b", "joe", []string{"a&b"}, "user/joe/a&b", "user.joe.a&b", "user/joe/a&b"},
		{"dom.org!user.joe.a", "joe@dom.org", []string{"a"}, "user/joe/a@dom.org", "user.joe.a@dom.org", "user/joe/a@dom.org"},
		{"shared.x", "", []string{"shared", "x"}, "shared/x", "shared.x", "shared/x"},
		{"user", "", []string{"user"}, "user", "user", "user"},
	}
	for _, test := range tests {
		if got := test.name.User(); got != test.user {
			t.Errorf("%q: user %q, want %q", test.name, got, test.user)
		}
		if diff := cmp.Diff(test.folder, test.name.Folder()); diff != "" {
			t.Errorf("%q: folder %s", test.name, diff)
		}
		if got := test.name.External('/'); got != test.slash {
			t.Errorf("%q: external %q, want %q", test.name, got, test.slash)
		}
		if got := test.name.External('.'); got != test.dot {
			t.Errorf("%q: external %q, want %q", test.name, got, test.dot)
		}
		if got := test.name.Display('/'); got != test.people {
			t.Errorf("%q: display %q, want %q", test.name, got, test.people)
		}
	}
	if got := InboxName("j.smith"); got != "user.j^smith" {
		t.Errorf("INBOX of j.smith is %q", got)
	}
	if got := InboxName("j.smith@example.org"); got != "example.org!user.j^smith" || got.User() != "j.smith@example.org" {
		t.Errorf("INBOX of j.smith@example.org is %q", got)
	}
}

func TestParents(t *testing.T) {
	got := Parents([]Name{"user.joe.a.b.c", "user.joe.a", "user.ann.x", "user.ann", "shared.x.y", "d.org!user.bob.x", "user.ann.x"})
	want := []Name{"d.org!user.bob", "shared", "shared.x", "user.joe", "user.joe.a.b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := Parents(nil); got != nil {
		t.Errorf("parents of nothing: %q", got)
	}
}

// TestHashingDir has the paths that real servers of 2.4 to 3.12 were seen to use.
func TestHashingDir(t *testing.T) {
	tests := []struct {
		name    Name
		hashing Hashing
		want    string
	}{
		{"user.joe", Hashing{}, "user/joe"},
		{"user.joe", Hashing{Spool: true}, "j/user/joe"},
		{"user.joe.My Sent", Hashing{Spool: true}, "j/user/joe/My Sent"},
		{"user.jim^bloggs.v1^2 notes", Hashing{Spool: true}, "j/user/jim^bloggs/v1^2 notes"},
		{"user.9lives", Hashing{Spool: true}, "q/user/9lives"},
		{"user.Anna", Hashing{Spool: true}, "a/user/Anna"},
		{"user.[x", Hashing{Spool: true}, "q/user/[x"},
		{"shared", Hashing{Spool: true}, "s/shared"},
		{"shared.x", Hashing{Spool: true}, "x/shared/x"},
		{"dom.org!user.joe", Hashing{Spool: true}, "domain/d/dom.org/j/user/joe"},
		{"dom.org!user.joe", Hashing{}, "domain/dom.org/user/joe"},
		{"user.Ann", Hashing{Spool: true, Full: true}, "M/user/Ann"},
		{"dom.org!user.joe^x", Hashing{Spool: true, Full: true}, "domain/J/dom.org/B/user/joe^x"},
		{"dom.org!user.joe^x", Hashing{Spool: true, Full: true, Carets: true}, "domain/J/dom.org/N/user/joe^x"},
	}
	for _, test := range tests {
		if got := test.hashing.Dir(test.name); got != test.want {
			t.Errorf("%q, %+v: %q, want %q", test.name, test.hashing, got, test.want)
		}
	}
}

func TestUserFile(t *testing.T) {
	for _, test := range []struct {
		inbox   Name
		hashing Hashing
		want    string
	}{
		{"user.joe", Hashing{}, "user/j/joe.sub"},
		{"user.joe", Hashing{Spool: true}, "user/j/joe.sub"},
		{"user.jim^bloggs", Hashing{}, "user/j/jim.bloggs.sub"},
		{"user.jim^bloggs", Hashing{Carets: true}, "user/j/jim^bloggs.sub"},
		{"user.Ann", Hashing{Full: true}, "user/M/Ann.sub"},
		{"dom.org!user.joe", Hashing{}, "domain/d/dom.org/user/j/joe.sub"},
	} {
		if got := test.hashing.UserFile(test.inbox, "sub"); got != test.want {
			t.Errorf("%q, %+v: %q, want %q", test.inbox, test.hashing, got, test.want)
		}
	}
}

func TestDirByID(t *testing.T) {
	for id, want := range map[string]string{
		"v9134abc": "uuid/v/9/v9134abc", "61873648-97b4": "uuid/6/1/61873648-97b4", "a": "", "": "",
	} {
		if got := DirByID(id); got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
}

func TestNewUniqueID(t *testing.T) {
	seen := make(map[string]bool)
	letters := make(map[rune]int)
	for range 2000 {
		id := NewUniqueID()
		if len(id) != 24 || strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyz") != "" || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
		for _, c := range id {
			letters[c]++
		}
	}
	for c, n := range letters {
		if n < 1000 || n > 1700 { // 1333 expected, deviation 36
			t.Errorf("%q comes %d times", c, n)
		}
	}
	if len(letters) != 36 {
		t.Errorf("%d letters", len(letters))
	}
}
