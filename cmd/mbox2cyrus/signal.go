package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/mbox"
)

// stopSignal remembers which signal asked the program to stop. The first one
// lets it come to a safe point; a second one ends it at once, which is safe
// too, only ruder: the next run has more to put right.
type stopSignal struct {
	stop  context.CancelFunc // of the run
	code  atomic.Int32
	locks atomic.Pointer[mbox.Locks] // of the folders being read; not to be left behind
}

func (s *stopSignal) watch(signals <-chan os.Signal) {
	for sig := range signals {
		code := int32(report.ExitInterrupt)
		if sig == syscall.SIGTERM {
			code = report.ExitTerminated
		}
		if s.code.CompareAndSwap(0, code) {
			s.stop() // after the code is there for who sees that it stops
		} else {
			if locks := s.locks.Load(); locks != nil {
				if err := locks.Close(); err != nil {
					fmt.Fprintf(os.Stderr, "mbox2cyrus: %s\n", report.Printable(err.Error()))
				}
			}
			os.Exit(int(code))
		}
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
