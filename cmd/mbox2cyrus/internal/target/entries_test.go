package target

import (
	"fmt"
	"slices"
	"testing"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// TestUserEntries: others' mailboxes sort between those of a user.
func TestUserEntries(t *testing.T) {
	c := &Cyrus{}
	var list []reconstruct.Entry
	for _, name := range []string{"user.joe.b", "user.joe-x.a", "user.joey", "user.joe", "user.ann", "user.joe.a.c", "user.joe.a",
		"user.joe-x", "user.zoe.joe", "example.org!user.joe.d", "example.org!user.joe", "shared.joe"} {
		list = append(list, reconstruct.Entry{Name: name})
	}
	c.know(list)
	for id, want := range map[string][]string{
		"joe":             {"user.joe", "user.joe.a", "user.joe.a.c", "user.joe.b"},
		"joe@example.org": {"example.org!user.joe", "example.org!user.joe.d"},
		"joe-x":           {"user.joe-x", "user.joe-x.a"},
		"zoe":             {"user.zoe.joe"}, // whose INBOX is gone
		"jo":              nil,
	} {
		var have []string
		for _, e := range c.UserEntries(id) {
			have = append(have, e.Name)
		}
		if !slices.Equal(have, want) {
			t.Errorf("%s: %q, want %q", id, have, want)
		}
	}
}

// BenchmarkNameOf asks for one of many mailboxes: so does a run for each that was removed in Cyrus.
// What it takes does not grow with their number.
func BenchmarkNameOf(b *testing.B) {
	for _, mailboxes := range []int{100, 100000} {
		var list []reconstruct.Entry
		for i := range mailboxes {
			list = append(list, reconstruct.Entry{Name: fmt.Sprintf("user.u%06d", i), UniqueID: fmt.Sprintf("%024d", i)})
		}
		c := &Cyrus{}
		c.know(list)
		b.Run(fmt.Sprint(mailboxes), func(b *testing.B) {
			for b.Loop() {
				if name := c.NameOf(fmt.Sprintf("%024d", mailboxes-1)); name != fmt.Sprintf("user.u%06d", mailboxes-1) {
					b.Fatal(name)
				}
			}
		})
	}
}

// BenchmarkUserEntries asks for one of many users. What it takes does not grow with their number.
func BenchmarkUserEntries(b *testing.B) {
	for _, users := range []int{100, 10000} {
		var list []reconstruct.Entry
		for i := range users {
			for j := range 9 {
				list = append(list, reconstruct.Entry{Name: fmt.Sprintf("%s.f%d", cyrusspool.InboxName(fmt.Sprint("u", i)), j)})
			}
		}
		c := &Cyrus{}
		c.know(list)
		b.Run(fmt.Sprint(users), func(b *testing.B) {
			for b.Loop() {
				if n := len(c.UserEntries("u50")); n != 9 {
					b.Fatal(n)
				}
			}
		})
	}
}

// TestNamed: whatever the separator is, both ways to write a name are understood.
func TestNamed(t *testing.T) {
	c := &Cyrus{}
	c.know([]reconstruct.Entry{{Name: "example.org!user.joe"}, {Name: "user.joe"}, {Name: "user.joe.a^b"}, {Name: "user.joe.a.b"}})
	for name, want := range map[string]cyrusspool.Name{
		"user.joe":             "user.joe",
		"user/joe":             "user.joe",
		"user/joe/a/b":         "user.joe.a.b",
		"user/joe/a.b":         "user.joe.a^b",
		"user.joe.a^b":         "user.joe.a^b",
		"user/joe@example.org": "example.org!user.joe",
		"user.joe@example.org": "example.org!user.joe",
		"user/kim":             "user/kim", // there is none
	} {
		if have := c.Named(name); have != want {
			t.Errorf("%s: %s, want %s", name, have, want)
		}
	}
}
