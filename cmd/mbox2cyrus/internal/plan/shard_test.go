package plan

import (
	"fmt"
	"testing"
)

func TestShardsAreAPartition(t *testing.T) {
	const users = 3000
	for _, n := range []int{1, 2, 3, 7} {
		sizes := make([]int, n)
		for u := range users {
			in := 0
			for k := 1; k <= n; k++ {
				if (Shard{k, n}).Has(fmt.Sprintf("user%d", u)) {
					in++
					sizes[k-1]++
				}
			}
			if in != 1 {
				t.Fatalf("user%d is in %d of %d shards", u, in, n)
			}
		}
		for k, size := range sizes {
			if want := users / n; size < want*8/10 || size > want*12/10 {
				t.Errorf("shard %d/%d has %d users, want about %d", k+1, n, size, want)
			}
		}
	}
}

// TestShardsStay: machines that are upgraded half-way must go on to agree.
func TestShardsStay(t *testing.T) {
	for login, k := range map[string]int{"joe": 3, "ann": 3, "caf\xe9": 3, "": 2} {
		if !(Shard{k, 3}).Has(login) {
			t.Errorf("%q is not in shard %d/3", login, k)
		}
	}
}

func TestParseShard(t *testing.T) {
	if s, err := ParseShard("2/3"); err != nil || s != (Shard{2, 3}) {
		t.Errorf("2/3: %v, %v", s, err)
	}
	for _, bad := range []string{"", "2", "0/3", "4/3", "1/0", "a/3", "1/b", "-1/3", "1/3/5"} {
		if s, err := ParseShard(bad); err == nil {
			t.Errorf("%q is %v", bad, s)
		}
	}
}
