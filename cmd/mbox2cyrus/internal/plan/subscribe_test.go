package plan

import (
	"strconv"
	"testing"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
)

// TestManySubscriptionsOfNoFolder: a user's list names thousands of folders that are not there.
// Not each of them is kept to be told, but all are known and counted.
func TestManySubscriptionsOfNoFolder(t *testing.T) {
	const stale = 3 * maxUnmadeTold
	subscriptions := []mbox.Subscription{{Name: "work"}}
	for i := range stale {
		subscriptions = append(subscriptions, mbox.Subscription{Name: "gone" + strconv.Itoa(i)})
	}
	work := cyrusspool.Name("user.joe.work")
	u := &User{User: mbox.User{Name: "joe"}, ID: "joe"}
	u.subscribe(subscriptions, rules, map[string]cyrusspool.Name{"work": work}, map[cyrusspool.Name]bool{work: true})
	count := int64(0)
	for _, p := range u.Problems {
		count += max(1, p.Count)
	}
	if len(u.Problems) > maxUnmadeTold+1 || count != stale || len(u.Unmade) != stale || len(u.Subscriptions) != 1 {
		t.Errorf("%d problems that stand for %d, %d names of no folder, want those of %d; subscribed to %v", len(u.Problems), count, len(u.Unmade), stale, u.Subscriptions)
	}
}
