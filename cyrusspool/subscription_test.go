package cyrusspool

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSubscriptions(t *testing.T) {
	names := []Name{"user.j^smith.v1^2 notes", "user.j^smith", "user.ann.Shared", "lists.dev", "dom.org!user.x.y",
		"user.j^smith.Sent", "user.j^smith", "user.j^smithers"}
	tests := []struct {
		s    Subscriptions
		want string
	}{
		{Subscriptions{Owner: "j.smith", Names: names}, "dom.org!user.x.y\t\nlists.dev\t\nuser.ann.Shared\t\n" +
			"user.j^smith\t\nuser.j^smith.Sent\t\nuser.j^smith.v1^2 notes\t\nuser.j^smithers\t\n"},
		{Subscriptions{Form: SubscriptionDBNames, Owner: "j.smith", Names: names},
			"\x1fVER\x1f\t2\nNINBOX\t\nNINBOX\x1fSent\t\nNINBOX\x1fv1.2 notes\t\nNdom.org\x1duser\x1fx\x1fy\t\n" +
				"Nlists\x1fdev\t\nNuser\x1fann\x1fShared\t\nNuser\x1fj.smithers\t\n"},
		{Subscriptions{Owner: "joe"}, ""},
		{Subscriptions{Form: SubscriptionDBNames, Version: 3}, "\x1fVER\x1f\t3\n"},
	}
	for _, test := range tests {
		got, err := test.s.Append(nil)
		if err != nil || string(got) != test.want {
			t.Errorf("%+v:\n%q, %v\nwant\n%q", test.s, got, err, test.want)
		}
		back, err := ParseSubscriptions(got, test.s.Owner)
		if err != nil {
			t.Error(err)
			continue
		}
		again, err := back.Append(nil)
		if err != nil || string(again) != test.want {
			t.Errorf("written again %q, %v", again, err)
		}
	}
	back, err := ParseSubscriptions([]byte(tests[1].want), "j.smith")
	if err != nil {
		t.Fatal(err)
	}
	want := []Name{"user.j^smith", "user.j^smith.Sent", "user.j^smith.v1^2 notes", "dom.org!user.x.y", "lists.dev",
		"user.ann.Shared", "user.j^smithers"}
	if diff := cmp.Diff(want, back.Names); diff != "" {
		t.Error(diff)
	}
}

func TestSubscriptionsRefused(t *testing.T) {
	for _, text := range []string{
		"user.joe\t", "user.joe\n", "\t\n", "\n", "user.joe\tx\n",
		"user.joe.b\t\nuser.joe.a\t\n", "user.joe\t\nuser.joe\t\n",
		"\x1fVER\x1f\tx\n", "\x1fVER\x1f\t0\n", "\x1fVER\x1f\t2\nINBOX\t\n", "\x1fVER\x1f\t2\nN\t\n", "\x1fVER\x1f\t2\nNa^b\t\n",
	} {
		if s, err := ParseSubscriptions([]byte(text), "joe"); !errors.Is(err, ErrSubscriptions) {
			t.Errorf("%q: %+v, %v, want ErrSubscriptions", text, s, err)
		}
	}
	for _, name := range []Name{"", "a\tb", "a\nb", "a\x1fb", "a\x00"} {
		s := Subscriptions{Names: []Name{name}}
		if b, err := s.Append([]byte("x")); !errors.Is(err, ErrSubscriptions) || string(b) != "x" {
			t.Errorf("%q: %q, %v, want ErrSubscriptions", name, b, err)
		}
	}
	for _, name := range []Name{"!", "!user.bob", "INBOX.a"} {
		s := Subscriptions{Form: SubscriptionDBNames, Owner: "joe", Names: []Name{name}}
		if b, err := s.Append([]byte("x")); !errors.Is(err, ErrSubscriptions) || string(b) != "x" {
			t.Errorf("%q: %q, %v, want ErrSubscriptions", name, b, err)
		}
	}
}

// TestSubscriptionsNotWritten: that the disk takes no more is not the fault of the list.
func TestSubscriptionsNotWritten(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "user", "sub.db")
	if err := os.MkdirAll(filepath.Join(path+newSuffix, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := Subscriptions{Names: []Name{"user.joe"}}
	if _, err := s.WriteFile(root, path, Owner{UID: -1, GID: -1, FileMode: 0o600}); err == nil || errors.Is(err, ErrSubscriptions) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
}

func FuzzParseSubscriptions(f *testing.F) {
	f.Add([]byte("user.joe\t\nuser.joe.Sent\t\n"), "joe")
	f.Add([]byte("\x1fVER\x1f\t2\nNINBOX\t\nNINBOX\x1fv1.2 notes\t\nNdom\x1duser\x1fx\t\n"), "j.smith")
	f.Fuzz(func(t *testing.T, b []byte, owner string) {
		s, err := ParseSubscriptions(b, owner)
		if err != nil {
			if !errors.Is(err, ErrSubscriptions) {
				t.Errorf("%v does not wrap ErrSubscriptions", err)
			}
			return
		}
		again, err := s.Append(nil)
		if err != nil {
			return // bytes that we refuse to write
		}
		back, err := ParseSubscriptions(again, owner)
		if err != nil {
			t.Fatalf("%q, written again %q: %v", b, again, err)
		}
		if s.Form == SubscriptionNames && !reflect.DeepEqual(s, back) {
			t.Errorf("%q is %+v, written again %+v", b, s, back)
		}
		if third, err := back.Append(nil); err != nil || string(third) != string(again) {
			t.Errorf("%q, written thrice %q, %v", again, third, err)
		}
	})
}
