package migrate

import (
	"context"
	"errors"
	"sync"
	"time"
)

// startedCheck is how old an answer whether Cyrus runs may be: to ask goes through all processes.
const startedCheck = time.Second

// errStarted is the error for a mailbox that Cyrus may have open since the run began.
var errStarted = errors.New("while this run went on, Cyrus was started, and may have the mailbox open: stop Cyrus and run again")

// started knows whether Cyrus was started since the run began.
type started struct {
	mu    sync.Mutex
	asked time.Time
	yes   bool
}

// stillStopped is errStarted if Cyrus, which did not run when the run began, does now and knows
// the mailbox.
func (e *Engine) stillStopped(ctx context.Context, m *mailbox) error {
	if e.Running || !m.entered {
		return nil
	}
	s := &e.started
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.yes && time.Since(s.asked) >= startedCheck {
		_, running, err := e.Cyrus.Programs.Running(ctx)
		if err != nil {
			return err
		}
		s.yes, s.asked = running, time.Now()
	}
	if s.yes {
		return errStarted
	}
	return nil
}
