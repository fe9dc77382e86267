package beside

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
)

func TestPool(t *testing.T) {
	var p Pool
	if p.Take() {
		t.Error("took what there is not")
	}
	p.Add(2)
	p.Claim()
	if !p.Take() || p.Take() || p.Spare() != 0 {
		t.Errorf("two of three users were served: %d to spare", p.Spare())
	}
	p.Claim()
	if p.Spare() != -1 {
		t.Errorf("one too many: %d to spare", p.Spare())
	}
	p.Give()
	if p.Take() {
		t.Error("took what was given back for another")
	}
}

// TestQueue: every task is done once and taken in its turn, and all cores come back.
func TestQueue(t *testing.T) {
	type number struct{ in, out int }
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		var cores Pool
		n := random.IntN(4)
		cores.Add(n)
		var done, most, now atomic.Int64
		q := New(&cores, func(next func() *number) {
			for task := next(); task != nil; task = next() {
				if at := now.Add(1); at > most.Load() {
					most.Store(at)
				}
				task.out += task.in + 1
				done.Add(1)
				now.Add(-1)
			}
		})
		taken := 0
		take := func() {
			if task := q.Take(); task.in != taken || task.out != taken+1 {
				t.Fatalf("seed %d: %d was taken as %d, with result %d", seed, task.in, taken, task.out)
			}
			taken++
		}
		const all = 2000
		for i := range all {
			switch {
			case random.IntN(10) == 0:
				q.AddDone(&number{i, i + 1})
				done.Add(1)
			default:
				q.Add(&number{in: i})
			}
			if random.IntN(500) == 0 {
				cores.Claim() // somebody else needs one
				defer cores.Give()
				n--
			}
			if q.Index(func(task *number) bool { return task.in == i }) != q.Len()-1 {
				t.Fatal("the last is not in its place")
			}
			for range q.Done(0) {
				take()
			}
			for q.Len() > 40 {
				take()
			}
		}
		q.Wait()
		if q.Done(0) != q.Len() {
			t.Errorf("seed %d: some are not done", seed)
		}
		for q.Len() > 0 {
			take()
		}
		if taken != all || done.Load() != all {
			t.Errorf("seed %d: %d taken, %d done", seed, taken, done.Load())
		}
		if cores.Spare() != n {
			t.Errorf("seed %d: %d cores to spare, want %d", seed, cores.Spare(), n)
		}
	}
}

// TestQueueWants: a task is wanted only where a core may do it.
func TestQueueWants(t *testing.T) {
	var cores Pool
	begun, end := make(chan bool), make(chan bool)
	q := New(&cores, func(next func() *int) {
		for task := next(); task != nil; task = next() {
			begun <- true
			<-end
		}
	})
	if q.Wants() {
		t.Error("wanted without a core")
	}
	cores.Give()
	if !q.Wants() {
		t.Error("not wanted with a core")
	}
	q.Add(new(int))
	<-begun
	for range maxWaiting - 1 {
		if !q.Wants() {
			t.Error("not wanted by a worker who soon has nothing to do")
		}
		q.Add(new(int))
	}
	q.Add(new(int))
	if q.Wants() {
		t.Error("wanted where many wait")
	}
	cores.Claim()
	for range maxWaiting {
		end <- true
		<-begun
	}
	if q.Wants() {
		t.Error("wanted by a worker whose core is wanted back")
	}
	end <- true
	q.Wait()
	if cores.Spare() != 0 {
		t.Errorf("%d to spare", cores.Spare())
	}
}
