package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// TestStopHidesNoFailure: a signal that comes while something fails for another reason must
// not make it look like a run that was stopped at a safe point.
func TestStopHidesNoFailure(t *testing.T) {
	canceled := fmt.Errorf("user.joe: %w", context.Canceled)
	for _, tt := range []struct {
		name string
		err  error
		told bool
	}{
		{"nothing", nil, false},
		{"stopped", canceled, false},
		{"stopped twice", errors.Join(canceled, context.Canceled), false},
		{"disk is full", syscall.ENOSPC, true},
		{"stopped, and what was begun cannot be removed", errors.Join(canceled, syscall.EIO), true},
		{"the same, wrapped", fmt.Errorf("export: %w", errors.Join(canceled, syscall.EIO)), true},
	} {
		var caught stopSignal
		caught.code.Store(report.ExitTerminated)
		p := &program{caught: &caught}
		err := p.end(report.New(report.Options{Stdout: io.Discard, Stderr: io.Discard}), tt.err)
		if tt.told != (err != nil) || err != nil && !errors.Is(err, tt.err) {
			t.Errorf("%s: %v is told", tt.name, err)
		}
		if want := report.ExitTerminated; !tt.told && p.code != want {
			t.Errorf("%s: exit code %d, want %d", tt.name, p.code, want)
		}
	}
}
