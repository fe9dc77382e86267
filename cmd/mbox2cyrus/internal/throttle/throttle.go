// Package throttle holds reading to a number of bytes a second, so that a run beside
// other work leaves a disk to it.
package throttle

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limit is a rate that many readers share. A nil *Limit is none.
type Limit struct {
	rate float64 // bytes a second

	mu   sync.Mutex
	free time.Time // when what was taken so far is paid for
}

// New returns a limit of bytesPerSecond, nil if it is 0.
func New(bytesPerSecond int64) *Limit {
	if bytesPerSecond <= 0 {
		return nil
	}
	return &Limit{rate: float64(bytesPerSecond)}
}

// Wait waits until n bytes that were just read are paid for, or the context ends, and
// returns the context's error then. What is read at once is not cut: the rate is kept
// over messages, not within one.
func (l *Limit) Wait(ctx context.Context, n int64) error {
	if l == nil || n <= 0 {
		return nil
	}
	d := l.reserve(time.Now(), n)
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reserve takes n bytes at the time now and returns how long to wait for them. Time in
// which nothing was read is not saved up.
func (l *Limit) reserve(now time.Time, n int64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(min(float64(n)/l.rate*float64(time.Second), math.MaxInt64/2)))
	return l.free.Sub(now)
}

// ParseRate reads a number of bytes a second: digits, and k, M or G for thousands,
// millions or thousands of millions. "" is 0, no limit.
func ParseRate(s string) (bytesPerSecond int64, err error) {
	if s == "" {
		return 0, nil
	}
	unit := int64(1)
	digits := s
	switch s[len(s)-1] {
	case 'k', 'K':
		unit = 1e3
	case 'm', 'M':
		unit = 1e6
	case 'g', 'G':
		unit = 1e9
	}
	if unit > 1 {
		digits = s[:len(s)-1]
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || strings.HasPrefix(digits, "+") || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a number of bytes a second, as 500k or 20M", s)
	}
	return n * unit, nil
}
