package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2/imapclient"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestUndoAfterMove: Cyrus's files were moved to another directory after mail was appended to
// what a user had. Undo knows what that was by the old place: it leaves all as it is until
// imapd.conf has that again, a link to the new one.
func TestUndoAfterMove(t *testing.T) {
	move := func(t *testing.T, from string) (to string) {
		t.Helper()
		to = from + "-new"
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		return to
	}
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, srv *cyrustest.Server) (back func())
	}{
		{"partition", func(t *testing.T, srv *cyrustest.Server) func() {
			to := move(t, srv.Spool)
			setConf(t, srv, "partition-default: "+srv.Spool, "partition-default: "+to)
			return func() {
				setConf(t, srv, "partition-default: "+to, "partition-default: "+srv.Spool)
				if err := os.Symlink(to, srv.Spool); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"configdirectory", func(t *testing.T, srv *cyrustest.Server) func() {
			to := move(t, srv.ConfigDir)
			was, err := os.ReadFile(srv.Conf)
			if err == nil {
				err = os.WriteFile(srv.Conf, []byte(strings.ReplaceAll(string(was), srv.ConfigDir, to)), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.WriteFile(srv.Conf, was, 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(to, srv.ConfigDir); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := newInUse(t, cyrustest.Options{LegacyDirs: true})
			useCyrus(t, u.srv, func(c *imapclient.Client) error { return c.Subscribe("work").Wait() })
			was := serve(t, u.srv)
			u.merge(t)
			back := tt.change(t, u.srv)
			before := snapshot(t, u.srv.Dir)
			o := u.undo(t)
			if p := o.problems("changed-since"); o.code != 2 || len(p) == 0 || !strings.Contains(p[0]["text"].(string), "if only for undo") {
				t.Errorf("undo: exit code %d\n%s", o.code, o.stderr)
			}
			if diff := diffSnapshots(before, snapshot(t, u.srv.Dir)); diff != "" {
				t.Fatalf("undo changed Cyrus: %s", diff)
			}
			back()
			if o := u.undo(t); o.code != 0 {
				t.Fatalf("undo with the old place: exit code %d\n%s", o.code, o.stderr)
			}
			now := serve(t, u.srv)
			for name := range was {
				if got, want := describe(now[name]), describe(was[name]); !slices.Equal(got, want) {
					t.Errorf("%s has %q, had %q", name, got, want)
				}
			}
			if len(now) != len(was) {
				t.Errorf("%d mailboxes, there were %d", len(now), len(was))
			}
		})
	}
}
