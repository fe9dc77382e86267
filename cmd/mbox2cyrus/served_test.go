package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/reconstruct"
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

// imapdOnPipe reports whether this release's imapd speaks on a pipe: from 3.0 on it must.
var imapdOnPipe = sync.OnceValues(func() (bool, error) {
	srv, err := cyrustest.New("", cyrustest.Options{})
	if err != nil {
		return false, err
	}
	programs := reconstruct.Programs{Dir: cyrustest.BinDir, Conf: srv.Conf,
		Credential: &syscall.Credential{Uid: uint32(srv.UID), Gid: uint32(srv.GID)}}
	version, err := programs.Version(context.Background())
	return version != "" && !strings.HasPrefix(version, "2."), errors.Join(err, srv.Close())
})

// TestServedByRunningCyrus: a Cyrus that runs is not asked on a pipe.
func TestServedByRunningCyrus(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	if asks, err := imapdOnPipe(); err != nil {
		t.Fatal(err)
	} else if !asks {
		t.Skip("imapd speaks on a pipe from Cyrus 3.0 on")
	}
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
	if code != report.ExitConfig || !strings.Contains(stderr.String(), "while Cyrus is running") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	if o := runJSON(t, append([]string{"verify", "--imap"}, flags...)...); o.code != 0 || o.served() != 1 {
		t.Errorf("stopped: exit code %d, %v served: %v", o.code, o.served(), o.severe())
	}
}
