package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// served adds up of how many messages imapd was seen to serve what it must.
func (o outcome) served() (n float64) {
	for _, line := range o.lines {
		if line["message_type"] == "served" {
			n += line["messages"].(float64)
		}
	}
	return n
}

// TestServedByRunningCyrus: a Cyrus that runs is not asked on a pipe.
func TestServedByRunningCyrus(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1))
	flags := flagsFor(srv, h.root, filepath.Join(t.TempDir(), "state"))
	if o := runJSON(t, append([]string{"migrate"}, flags...)...); o.code != 0 {
		t.Fatalf("exit code %d: %v", o.code, o.severe())
	}
	if err := srv.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	code := run(append([]string{"mbox2cyrus", "verify", "--imap"}, flags...), &stdout, &stderr)
	if err := srv.Stop(); err != nil {
		t.Fatal(err)
	}
	if code != report.ExitConfig || !strings.Contains(stderr.String(), "it is running") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	if o := runJSON(t, append([]string{"verify", "--imap"}, flags...)...); o.code != 0 || o.served() != 1 {
		t.Errorf("stopped: exit code %d, %v served: %v", o.code, o.served(), o.severe())
	}
}
