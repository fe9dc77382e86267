package beside

import (
	"slices"
	"sync"
)

// maxWaiting is how many tasks wait for the workers that there are, before another one is
// wanted. A single worker is then rarely without one, and whoever hands them out finds
// time to do some too.
const maxWaiting = 16

// A Queue is tasks that one goroutine hands out, and whose results it takes in the same
// order. Its methods are for that goroutine alone. A task must not be looked at by it
// between [Queue.Add] and [Queue.Take].
type Queue[T any] struct {
	cores Cores
	work  func(next func() *T)
	tasks []*task[T] // that are not taken

	mu      sync.Mutex
	waiting []*task[T] // of these, those that nobody has begun
	workers int        // each has a core, unless it is the caller
	running sync.WaitGroup
}

type task[T any] struct {
	of   *T
	done chan struct{} // closed when it is
}

// New returns an empty Queue. A worker calls work, which must call next and do what that
// returns until it is nil. What next returned is done when it is called again.
func New[T any](cores Cores, work func(next func() *T)) *Queue[T] {
	return &Queue[T]{cores: cores, work: work}
}

// Wants reports whether another task should be added: there is a core to do it, and it need
// not wait for many others. Else it is better done by the caller.
func (q *Queue[T]) Wants() bool {
	spare := q.cores.Spare()
	q.mu.Lock()
	defer q.mu.Unlock()
	return spare > 0 || spare == 0 && q.workers > 0 && len(q.waiting) < maxWaiting
}

// Add adds a task. Where there is no worker, and no core for one, it does the task itself.
func (q *Queue[T]) Add(of *T) {
	t := &task[T]{of: of, done: make(chan struct{})}
	q.tasks = append(q.tasks, t)
	q.mu.Lock()
	q.waiting = append(q.waiting, t)
	lent := (q.workers == 0 || len(q.waiting) >= maxWaiting) && q.cores.Take()
	alone := q.workers == 0 && !lent
	if lent || alone {
		q.workers++
	}
	q.mu.Unlock()
	switch {
	case lent:
		q.running.Go(func() {
			defer q.cores.Give()
			q.work(q.next())
		})
	case alone:
		q.work(q.next())
	}
}

// next returns what a worker calls to get its tasks.
func (q *Queue[T]) next() func() *T {
	var t *task[T]
	return func() *T {
		if t != nil {
			close(t.done)
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if len(q.waiting) == 0 {
			t = nil
			q.workers--
			return nil
		}
		t = q.waiting[0]
		q.waiting = slices.Delete(q.waiting, 0, 1)
		return t.of
	}
}

// AddDone adds a task that is done, to be taken after those before it.
func (q *Queue[T]) AddDone(of *T) {
	t := &task[T]{of: of, done: make(chan struct{})}
	close(t.done)
	q.tasks = append(q.tasks, t)
}

// Len is how many tasks are not taken.
func (q *Queue[T]) Len() int { return len(q.tasks) }

// Index returns the place of the first task that is not taken and of which is is true, -1 if
// there is none. is must not look at what a worker changes.
func (q *Queue[T]) Index(is func(*T) bool) int {
	return slices.IndexFunc(q.tasks, func(t *task[T]) bool { return is(t.of) })
}

// Done returns how many tasks, at least n, can be taken without waiting longer than for
// the first n.
func (q *Queue[T]) Done(n int) int {
	for n < len(q.tasks) {
		select {
		case <-q.tasks[n].done:
			n++
			continue
		default:
		}
		break
	}
	return n
}

// Take waits for the first task and removes it. There must be one.
func (q *Queue[T]) Take() *T {
	t := q.tasks[0]
	<-t.done
	q.tasks = slices.Delete(q.tasks, 0, 1)
	return t.of
}

// Wait waits until all workers have ended. All tasks are done then, and remain to be taken.
func (q *Queue[T]) Wait() { q.running.Wait() }
