package groupsync

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestWait(t *testing.T) {
	var written, synced, calls atomic.Int64
	s := Sync{Do: func() error {
		calls.Add(1)
		synced.Store(written.Load())
		return nil
	}}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			for range 100 {
				n := written.Add(1)
				if err := s.Wait(); err != nil {
					t.Error(err)
				}
				if synced.Load() < n {
					t.Errorf("%d was written, %d is on the disk", n, synced.Load())
				}
			}
		})
	}
	all.Wait()
	if n := calls.Load(); n < 1 || n > 10000 {
		t.Errorf("%d calls", n)
	}
}

// Those who come while one waits share the next call.
func TestShared(t *testing.T) {
	begun, goOn := make(chan bool), make(chan bool)
	s := Sync{Do: func() error {
		begun <- true
		<-goOn
		return nil
	}}
	var all sync.WaitGroup
	wait := func() { all.Go(func() { _ = s.Wait() }) }
	wait()
	<-begun
	const others = 5
	for range others {
		wait()
	}
	for s.asked.Load() != 1+others { // until all of them wait
	}
	goOn <- true
	<-begun
	goOn <- true
	all.Wait() // a third call would wait for us
}

func TestFailureStays(t *testing.T) {
	bad := errors.New("bad")
	calls := 0
	s := Sync{Do: func() error { calls++; return bad }}
	for range 3 {
		if err := s.Wait(); err != bad {
			t.Errorf("%v", err)
		}
	}
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}
