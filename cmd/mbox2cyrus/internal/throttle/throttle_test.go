package throttle

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestReserveSpreadsBytesOverTime(t *testing.T) {
	l := New(1000)
	start := time.Unix(1e9, 0)
	for _, step := range []struct {
		after time.Duration
		n     int64
		want  time.Duration
	}{
		{0, 500, 500 * time.Millisecond},
		{0, 500, time.Second},                    // another reader, at the same moment, waits behind it
		{2 * time.Second, 100, time.Second / 10}, // the idle second was not saved up
		{2050 * time.Millisecond, 1000, 1050 * time.Millisecond},
	} {
		if got := l.reserve(start.Add(step.after), step.n); got != step.want {
			t.Errorf("%d bytes after %v: wait %v, want %v", step.n, step.after, got, step.want)
		}
	}
}

func TestWaitEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New(1).Wait(ctx, 1e18); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context was cancelled", err)
	}
	if err := New(0).Wait(ctx, 1e18); err != nil {
		t.Errorf("no limit: %v", err)
	}
}

func TestParseRate(t *testing.T) {
	for s, want := range map[string]int64{"": 0, "1": 1, "500k": 500e3, "20M": 20e6, "3G": 3e9, "7m": 7e6} {
		if got, err := ParseRate(s); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"0", "-1", "+5", "M", "1.5M", "20MB", "20 M", "9223372036854775807k", "none"} {
		if got, err := ParseRate(s); err == nil {
			t.Errorf("%q is taken for %d", s, got)
		}
	}
}
