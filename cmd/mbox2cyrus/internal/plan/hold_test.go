package plan

import (
	"strings"
	"testing"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// TestWhatKeepsName: where the login has another name in Cyrus, other flags for INBOXes do not help.
func TestWhatKeepsName(t *testing.T) {
	for _, tt := range []struct {
		id       string
		was, now cyrusspool.Name
		want     string
	}{
		{"j.smith", "user.j_smith", "user.j^smith", "unixhierarchysep and username_tolower"},
		{"j.smith", "user.j_smith.work", "user.j^smith.work", "unixhierarchysep and username_tolower"},
		{"joe", "example.org!user.joe", "user.joe", "--domain"},
		{"joe", "user.joe", "user.joe.mbox", "--inbox-dir"},
		{"joe", "user.joe.a_b", "user.joe.a^b", "--names"},
	} {
		u := &User{User: mbox.User{Name: tt.id}, ID: tt.id}
		if have := u.whatKeepsName(tt.was, Folder{Mailbox: tt.now}); !strings.Contains(have, tt.want) {
			t.Errorf("%s -> %s: %s", tt.was, tt.now, have)
		}
	}
}
