// Package beside has work done on processor cores that nobody uses, beside a goroutine that
// goes on to what comes next. What is too much for them that goroutine does itself.
package beside

import "sync/atomic"

// Cores lends processor cores. Take reports whether one was free; it is the caller's
// until it is given back. Spare is how many are free, or, below 0, how many more are in use
// than there are: one that was lent should be given back soon.
type Cores interface {
	Take() bool
	Give()
	Spare() int
}

// A Pool is a number of cores, 0 at first: [Pool.Give] adds one. It implements [Cores].
type Pool struct{ free atomic.Int64 }

// Add adds n cores.
func (p *Pool) Add(n int) { p.free.Add(int64(n)) }

// Claim takes a core whether one is free or not, for work that cannot wait.
func (p *Pool) Claim() { p.free.Add(-1) }

// Take implements [Cores].
func (p *Pool) Take() bool {
	for {
		n := p.free.Load()
		if n <= 0 {
			return false
		}
		if p.free.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// Give implements [Cores].
func (p *Pool) Give() { p.free.Add(1) }

// Spare implements [Cores].
func (p *Pool) Spare() int { return int(p.free.Load()) }
