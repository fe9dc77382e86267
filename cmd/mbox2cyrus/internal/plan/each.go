package plan

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// Each calls do for every user, jobs at a time, in the order of [inTurn]. It stops handing
// out users when the context ends, and returns the context's error.
func (p *Plan) Each(ctx context.Context, jobs int, do func(*User)) error {
	jobs = max(1, jobs)
	var wg sync.WaitGroup
	queue := make(chan *User)
	for range jobs {
		wg.Go(func() {
			for u := range queue {
				do(u)
			}
		})
	}
	for _, u := range inTurn(p.Users, jobs) {
		select {
		case queue <- u:
		case <-ctx.Done():
		}
	}
	close(queue)
	wg.Wait()
	return ctx.Err()
}

// inTurn returns the users in the order in which jobs of them at a time are best done: the
// largest first, so that none is left alone at the end, and from then on a small one after
// each large one. The large keep the processors busy and the small the disk, so they go well beside
// each other.
func inTurn(users []*User, jobs int) []*User {
	bySize := slices.Clone(users)
	slices.SortStableFunc(bySize, func(a, b *User) int { return cmp.Compare(b.Bytes, a.Bytes) })
	turns := make([]*User, 0, len(users))
	for len(bySize) > 0 {
		turns = append(turns, bySize[0])
		bySize = bySize[1:]
		if last := len(bySize) - 1; last >= 0 && len(turns) >= jobs {
			turns = append(turns, bySize[last])
			bySize = bySize[:last]
		}
	}
	return turns
}
