package report

import (
	"strings"
	"testing"
)

// TestVerdictOfStopped: export does not go on where it was stopped.
func TestVerdictOfStopped(t *testing.T) {
	for command, want := range map[string]string{"migrate": "again to go on", "undo": "again to go on", "export": ".partial"} {
		if v := (Summary{Command: command, ExitCode: ExitTerminated}).verdict(); !strings.Contains(v, want) {
			t.Errorf("%s: %s", command, v)
		}
	}
}
