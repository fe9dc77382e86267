package mbox

import (
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// TestSparedHome: Users does not look at a home that is spared, which would be found missing.
func TestSparedHome(t *testing.T) {
	h := newHostTree(t)
	h.user("alice", 1)
	h.user("bob", 2)
	for _, name := range []string{"alice", "bob"} {
		h.must(os.RemoveAll(h.path("home/" + name)))
	}
	users, skipped, err := h.open(HostOptions{Spared: []string{"bob"}}).Users()
	h.must(err)
	if len(users) != 1 || users[0].Name != "bob" || !users[0].HasHome || len(skipped) != 1 || skipped[0].User != "alice" {
		t.Errorf("users %+v, skipped %+v; want bob, and alice without a home", users, skipped)
	}
}

// TestSlowHome: a home takes long to look at, and it is said whose.
func TestSlowHome(t *testing.T) {
	defer func(d time.Duration) { slowHome = d }(slowHome)
	h := newHostTree(t)
	alice := h.user("alice", 1)
	for i := range 1000 {
		h.file("home/alice/mail/f"+strconv.Itoa(i), oneMessage)
	}
	for _, test := range []struct {
		longest time.Duration
		want    string
	}{{0, "alice"}, {time.Hour, ""}} {
		slowHome = test.longest
		var slow atomic.Value
		_, err := h.open(HostOptions{Slow: func(user string) { slow.Store(user) }}).Folders(alice)
		h.must(err)
		if got, _ := slow.Load().(string); got != test.want {
			t.Errorf("longer than %v: %q is told, want %q", test.longest, got, test.want)
		}
	}
}
