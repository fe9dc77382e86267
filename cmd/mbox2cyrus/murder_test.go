package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// TestMurder migrates one host into the two back ends of a Cyrus Murder, a shard each,
// while nothing of it runs. Once it is started, its front end serves everybody.
func TestMurder(t *testing.T) {
	m := cyrustest.MurderForTest(t, 2, cyrustest.Options{Extra: []string{"conversations: yes"}})
	root := filepath.Join(t.TempDir(), "host")
	truth, err := samplehost.Write(root, samplehost.Options{Seed: 11, Users: 6, Messages: 150, Location: newYork(t)})
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for i, back := range m.Back {
		states = append(states, filepath.Join(t.TempDir(), "state"))
		flags := append(flagsFor(back, root, states[i]), "--shard", fmt.Sprintf("%d/%d", i+1, len(m.Back)))
		got := runJSON(t, append([]string{"migrate"}, flags...)...)
		sum := got.summary(t)
		if got.code != 0 && got.code != 2 || sum["messages_found"] != sum["messages_verified"] || sum["messages_found"] == 0.0 {
			t.Fatalf("back end %d: exit code %d, %v\n%s", i, got.code, sum, got.stderr)
		}
		if told := got.problems("special-use"); len(told) > 0 {
			t.Errorf("back end %d: %v", i, told)
		}
		t.Logf("back end %d: %v users, %v messages", i, sum["users"], sum["messages_verified"])
		for _, level := range []string{"--level=content", "--imap"} {
			if v := runJSON(t, append([]string{"verify", level}, flags...)...); v.code != got.code {
				t.Errorf("back end %d: verify %s: exit code %d\n%s", i, level, v.code, strings.Join(v.severe(), "\n"))
			}
		}
	}

	rules := cyrusspool.NameRules{UnixHierarchySep: true, UsernameToLower: true}
	addUsers(t, m.Front, truth, rules)
	if err := m.Master.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, back := range m.Back {
		said, err := back.Run(t.Context(), "ctl_mboxlist", "-m", "-w")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("back end %d: ctl_mboxlist -mw:\n%s", i, said)
	}
	if err := m.Front.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, back := range m.Back {
		if err := back.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{}
	for _, back := range m.Back {
		maps.Copy(want, servers(t, back))
	}
	waitForList(t, m.Front, want)
	compareIMAP(t, m.Front, cyrustest.Options{}, truth, rules)

	// What is taken back goes from the master too, when that back end is started.
	last := len(m.Back) - 1
	back := m.Back[last]
	if err := back.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := runJSON(t, "undo", "--all", "--imapd-conf", back.Conf, "--state", states[last]); got.code != 0 {
		t.Errorf("undo: exit code %d\n%s%s", got.code, got.stderr, strings.Join(got.severe(), "\n"))
	}
	said, err := back.Run(t.Context(), "ctl_mboxlist", "-m", "-w")
	t.Logf("after undo: %v\n%s", err, said)
	if err := back.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitForList(t, m.Front, servers(t, m.Back[0]))
	if err := back.Stop(); err != nil {
		t.Fatal(err)
	}
	got := runJSON(t, append([]string{"migrate", "--user", "kim"}, flagsFor(back, root, filepath.Join(t.TempDir(), "state"))...)...)
	t.Log(got.code, got.severe())
	said, err = back.Run(t.Context(), "ctl_mboxlist", "-m", "-w")
	t.Logf("after overlap: %v\n%s", err, said)
	if err := back.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw, err := back.Run(t.Context(), "ctl_mboxlist", "-d")
	t.Log(raw, err)
}

// servers tells which server of a murder has each mailbox that srv knows.
func servers(t *testing.T, srv *cyrustest.Server) map[string]string {
	t.Helper()
	programs, err := reconstruct.Find(cyrustest.BinDir, srv.Conf)
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := programs.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]string{}
	for _, e := range list {
		at[e.Name] = e.Server
		if e.Server == "" {
			at[e.Name] = srv.IMAPAddr()
		}
	}
	return at
}

// waitForList waits until the front end has heard from the master of all mailboxes.
func waitForList(t *testing.T, front *cyrustest.Server, want map[string]string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		have := servers(t, front)
		if maps.Equal(have, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the front end knows %d mailboxes of %d: %v", len(have), len(want), slices.Sorted(maps.Keys(have)))
		}
	}
}
