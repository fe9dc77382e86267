package plan

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// Each calls do for every user, jobs at a time, the largest first so that no
// large one is left alone at the end. It stops handing out users when the
// context ends, and returns the context's error.
func (p *Plan) Each(ctx context.Context, jobs int, do func(*User)) error {
	users := slices.Clone(p.Users)
	slices.SortStableFunc(users, func(a, b *User) int { return cmp.Compare(b.Bytes, a.Bytes) })
	var wg sync.WaitGroup
	queue := make(chan *User)
	for range max(1, jobs) {
		wg.Go(func() {
			for u := range queue {
				do(u)
			}
		})
	}
	for _, u := range users {
		select {
		case queue <- u:
		case <-ctx.Done():
		}
	}
	close(queue)
	wg.Wait()
	return ctx.Err()
}
