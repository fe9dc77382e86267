package main

import (
	"context"
	"path/filepath"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/pop3"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
)

// TestPOP3Truth migrates, and asks Cyrus's POP3 server in each of its formats for the
// UIDLs that were foretold.
func TestPOP3Truth(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{Extra: []string{"uidl_format: uidonly"}})
	root, state := filepath.Join(t.TempDir(), "host"), filepath.Join(t.TempDir(), "state")
	truth, err := samplehost.Write(root, samplehost.Options{Seed: 5, Users: 2, Messages: 100, Plain: true, Location: newYork(t)})
	if err != nil {
		t.Fatal(err)
	}
	plan := runJSON(t, append([]string{"plan"}, flagsFor(srv, root, state)...)...)
	done := runJSON(t, append([]string{"migrate"}, flagsFor(srv, root, state)...)...)
	if done.code != 0 {
		t.Fatalf("exit code %d\n%s", done.code, done.stderr)
	}
	foretold := pop3Lines(plan)
	for user, line := range pop3Lines(done) {
		for _, key := range []string{"uw_uidl", "messages", "bytes", "messages_again", "bytes_again"} {
			if foretold[user][key] != line[key] {
				t.Errorf("%s of %s: planned %v, came to %v", key, user, foretold[user][key], line[key])
			}
		}
	}
	was := "uidl_format: uidonly"
	for _, format := range []pop3.Format{pop3.UIDOnly, pop3.Cyrus, pop3.Dovecot, pop3.Courier} {
		now := "uidl_format: " + string(format)
		setConf(t, srv, was, now)
		was = now
		foretold := pop3Lines(runJSON(t, append([]string{"plan"}, flagsFor(srv, root, state)...)...))
		for _, u := range truth.Users {
			if err := srv.AddUser(u.Name, "secret"); err != nil {
				t.Fatal(err)
			}
		}
		if err := srv.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		messages, again := 0, 0.0
		for _, u := range truth.Users {
			messages += checkUIDLs(t, srv, format, u, foretold[u.Name])
			again += foretold[u.Name]["messages_again"].(float64)
		}
		if err := srv.Stop(); err != nil {
			t.Fatal(err)
		}
		if messages == 0 || again == 0 {
			t.Errorf("%s: %d messages compared, %v fetched again: that proves little", format, messages, again)
		}
	}
}

func pop3Lines(o outcome) map[string]map[string]any {
	lines := map[string]map[string]any{}
	for _, line := range o.lines {
		if line["message_type"] == "pop3" {
			lines[line["user"].(string)] = line
		}
	}
	return lines
}

// checkUIDLs compares what the POP3 server says of a user's INBOX with what was
// foretold, and returns the number of messages.
func checkUIDLs(t *testing.T, srv *cyrustest.Server, format pop3.Format, u samplehost.User, foretold map[string]any) int {
	t.Helper()
	views, err := cyrustest.ReadPOP3(srv.POP3Addr(), u.Name, "secret")
	if err != nil {
		t.Fatalf("%s: %v", u.Name, err)
	}
	for _, f := range u.Folders {
		if !f.Inbox {
			continue
		}
		if len(views) != len(f.Messages) {
			t.Fatalf("%s: %d messages over POP3, want %d", u.Name, len(views), len(f.Messages))
		}
		shown, read, first := 0.0, 0.0, ""
		for i, m := range f.Messages {
			want, _ := format.UIDL(f.UIDValidity, m.UID)
			if views[i].UIDL != want {
				t.Errorf("%s: %s: UIDL %s, want %s", format, u.Name, views[i].UIDL, want)
			}
			flags := map[string]bool{}
			for _, flag := range m.Flags {
				flags[flag] = true
			}
			if flags[`\Deleted`] {
				continue
			}
			if shown++; first == "" {
				first = views[i].UIDL
			}
			if flags[`\Seen`] {
				read++
			}
		}
		if foretold["messages"] != shown || foretold["messages_again"] != read || foretold["cyrus_uidl"] != first {
			t.Errorf("%s: %s: foretold %v; over POP3 %v messages, %v read, the first UIDL is %s", format, u.Name, foretold, shown, read, first)
		}
	}
	return len(views)
}
