package cyrustest

import (
	"errors"
	"testing"
)

// ForTest returns a server that lives as long as the test. Where no Cyrus can
// be run, the test is skipped and says why.
func ForTest(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s, err := New("", opts)
	if errors.Is(err, ErrNotHere) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}
