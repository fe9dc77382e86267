package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/mbox"
)

// stopSignal remembers which signal asked the program to stop. The first one
// lets it come to a safe point; a second one ends it at once, which is safe
// too, only ruder: the next run has more to put right.
type stopSignal struct {
	stop  context.CancelFunc // of the run
	code  atomic.Int32
	locks atomic.Pointer[mbox.Locks]        // of the folders being read; not to be left behind
	say   atomic.Pointer[func(line string)] // beside the lines of progress; nil: standard error
}

// stopping is how long a stop may take before it is told what it waits for.
const stopping = 3 * time.Second

// tellStop says what a run waits for that was told to stop.
func (s *stopSignal) tellStop() {
	const line = "mbox2cyrus: stopping: what was begun is finished first, by Cyrus's programs too; a second signal ends this at once, which is safe"
	if say := s.say.Load(); say != nil {
		(*say)(line)
		return
	}
	fmt.Fprintln(os.Stderr, line)
}

func (s *stopSignal) watch(signals <-chan os.Signal) {
	for sig := range signals {
		code := int32(report.ExitInterrupt)
		if sig == syscall.SIGTERM {
			code = report.ExitTerminated
		}
		if s.code.CompareAndSwap(0, code) {
			s.stop() // after the code is there for who sees that it stops
			time.AfterFunc(stopping, s.tellStop)
		} else {
			if locks := s.locks.Load(); locks != nil {
				if err := within(stopping, locks.Close); err != nil {
					fmt.Fprintf(os.Stderr, "mbox2cyrus: %s\n", report.Printable(err.Error()))
				}
			}
			os.Exit(int(code))
		}
	}
}

// within does something, and waits no longer than that for it: a lock may be on a server that
// does not answer. The next run knows a lock that is left for its own.
func within(longest time.Duration, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(longest):
		return fmt.Errorf("letting go of the locks of folders takes more than %v: some may be left, which the next run removes", longest)
	}
}

func (s *stopSignal) exitCode() int { return int(s.code.Load()) }

// outlivePipe lets a command that changes or proves something go on when nobody reads
// its output any more: a pipe that breaks must not leave work half done. Others end as
// programs do, at "plan | head".
func outlivePipe(command string) {
	switch command {
	case "plan", "doctor", "report", inspectName, "config", "show":
	default:
		signal.Ignore(syscall.SIGPIPE)
	}
}
