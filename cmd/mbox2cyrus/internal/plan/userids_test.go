package plan

import (
	"testing"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// Of two logins that become one user of Cyrus, the one that is not changed has it, with a
// domain too.
func TestUserIDs(t *testing.T) {
	for _, domain := range []string{"", "example.org"} {
		for _, logins := range [][]string{{"Joe", "joe"}, {"joe", "Joe"}, {"JOE", "Joe", "joe"}} {
			var all []mbox.User
			for _, login := range logins {
				all = append(all, mbox.User{Name: login})
			}
			ids := userIDs(all, cyrusspool.NameRules{UsernameToLower: true, Domain: domain})
			for _, login := range logins {
				if got := ids[login].owner; got != "joe" {
					t.Errorf("domain %q, %v: %s has the id of %s; want joe", domain, logins, got, login)
				}
			}
		}
		ids := userIDs([]mbox.User{{Name: "Joe"}, {Name: "JoE"}}, cyrusspool.NameRules{UsernameToLower: true, Domain: domain})
		if ids["JoE"].owner != "Joe" {
			t.Errorf("domain %q: of two that are changed, %s; want the first", domain, ids["JoE"].owner)
		}
	}
}
