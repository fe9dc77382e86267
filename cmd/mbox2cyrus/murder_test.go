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
	truth, err := samplehost.Write(root, samplehost.Options{Seed: 11, Users: 4, Messages: 100, Location: newYork(t)})
	if err != nil {
		t.Fatal(err)
	}
	states := migrateShards(t, m, root, func(back int, flags []string, got outcome) {
		if told := got.problems("special-use"); len(told) > 0 {
			t.Errorf("back end %d: %v", back, told)
		}
		if len(got.problems("murder")) != 1 {
			t.Errorf("back end %d: nothing is said of the master", back)
		}
		for _, level := range []string{"--level=content", "--imap"} {
			if v := runJSON(t, append([]string{"verify", level}, flags...)...); v.code != got.code {
				t.Errorf("back end %d: verify %s: exit code %d\n%s", back, level, v.code, strings.Join(v.severe(), "\n"))
			}
		}
	})
	if got := runJSON(t, append([]string{"migrate"}, flagsFor(m.Front, root, states[0])...)...); got.code != 78 || !strings.Contains(got.stderr, "front end") {
		t.Errorf("into the front end: exit code %d, %s", got.code, got.stderr)
	}

	rules := cyrusspool.NameRules{UnixHierarchySep: true, UsernameToLower: true}
	addUsers(t, m.Front, truth, rules)
	if said, err := m.Back[0].Run(t.Context(), "ctl_mboxlist", "-m", "-w"); err == nil || !strings.Contains(said, "couldn't connect to mupdate server") {
		t.Errorf("without a master ctl_mboxlist says %q, %v", said, err)
	}
	if err := m.Master.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, back := range m.Back {
		own := servers(t, back)
		wouldDo(t, back, "Force Activate: ", slices.Collect(maps.Keys(own)))
		maps.Copy(want, own)
	}
	// By hand on one, at its start on the other.
	if said, err := m.Back[0].Run(t.Context(), "ctl_mboxlist", "-m"); err != nil || said != "" {
		t.Errorf("ctl_mboxlist -m: %q, %v", said, err)
	}
	wouldDo(t, m.Back[0], "", nil)
	for _, s := range append([]*cyrustest.Server{m.Front}, m.Back...) {
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	waitForList(t, m.Front, want)
	compareIMAP(t, m.Front, cyrustest.Options{}, truth, rules)

	// What is taken back goes from the master too, when that back end is started.
	last := len(m.Back) - 1
	back, others := m.Back[last], servers(t, m.Back[0])
	own := slices.Collect(maps.Keys(servers(t, back)))
	if err := back.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := runJSON(t, "undo", "--all", "--imapd-conf", back.Conf, "--state", states[last]); got.code != 0 {
		t.Errorf("undo: exit code %d\n%s%s", got.code, got.stderr, strings.Join(got.severe(), "\n"))
	}
	wouldDo(t, back, "Remove from MUPDATE: ", own)
	if err := back.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitForList(t, m.Front, others)
	if err := back.Stop(); err != nil {
		t.Fatal(err)
	}

	// Cyrus removes what another back end has, and says so beforehand if it is asked.
	twice := ""
	for _, u := range truth.Users {
		if _, there := others[string(cyrusspool.InboxName(u.Name))]; there && len(u.Folders) > 1 {
			twice = u.Name
		}
	}
	runJSON(t, append([]string{"migrate", "--user", twice}, flagsFor(back, root, filepath.Join(t.TempDir(), "state"))...)...)
	if own = slices.Collect(maps.Keys(servers(t, back))); len(own) < 2 {
		t.Fatalf("%s has %v", twice, own)
	}
	wouldDo(t, back, "Remove Local Mailbox: ", own)
}

// TestMurderPOP3 does the same for POP3 clients: the front end's pop3d has nothing itself and
// asks the back ends' for everything.
func TestMurderPOP3(t *testing.T) {
	m := cyrustest.MurderForTest(t, 2, cyrustest.Options{})
	root := filepath.Join(t.TempDir(), "host")
	truth, err := samplehost.Write(root, samplehost.Options{Seed: 5, Users: 4, Messages: 50, Location: newYork(t)})
	if err != nil {
		t.Fatal(err)
	}
	migrateShards(t, m, root, func(int, []string, outcome) {})
	rules := cyrusspool.NameRules{UnixHierarchySep: true, UsernameToLower: true}
	addUsers(t, m.Front, truth, rules)
	want := map[string]string{}
	for _, back := range m.Back {
		maps.Copy(want, servers(t, back))
	}
	if err := m.StartPOP3(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitForList(t, m.Front, want)
	users, messages := map[string]int{}, map[string]int{} // by back end
	for _, u := range truth.Users {
		id, _ := rules.UserID(u.Name)
		if n := comparePOP3(t, m.Front, id, u); n > 0 {
			back := want[string(cyrusspool.InboxName(id))]
			users[back]++
			messages[back] += n
		}
	}
	for _, back := range m.Back {
		if messages[back.Name()] == 0 {
			t.Errorf("nothing that back end %s has was compared", back.Name())
		}
		t.Logf("back end %s: compared %d messages of %d users over POP3", back.Name(), messages[back.Name()], users[back.Name()])
	}
	// It was the back end that answered: without it there is no mail.
	gone := m.Back[0]
	if err := gone.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, u := range truth.Users {
		id, _ := rules.UserID(u.Name)
		if want[string(cyrusspool.InboxName(id))] != gone.Name() {
			continue
		}
		if views, err := cyrustest.ReadPOP3(m.Front.POP3Addr(), id, "secret"); err == nil {
			t.Errorf("%s: %d messages over POP3 while the back end is stopped", u.Name, len(views))
		}
	}
}

// migrateShards migrates a host into the back ends of a murder, a shard each, and returns
// their state directories. check gets the flags and the outcome for each.
func migrateShards(t *testing.T, m *cyrustest.Murder, root string, check func(back int, flags []string, got outcome)) []string {
	t.Helper()
	states := make([]string, len(m.Back))
	for i, back := range m.Back {
		states[i] = filepath.Join(t.TempDir(), "state")
		flags := append(flagsFor(back, root, states[i]), "--shard", fmt.Sprintf("%d/%d", i+1, len(m.Back)))
		got := runJSON(t, append([]string{"migrate"}, flags...)...)
		sum := got.summary(t)
		if got.code != 0 && got.code != 2 || sum["messages_found"] != sum["messages_verified"] || sum["messages_found"] == 0.0 {
			t.Fatalf("back end %d: exit code %d, %v\n%s", i, got.code, sum, got.stderr)
		}
		t.Logf("back end %d: %v users, %v messages", i, sum["users"], sum["messages_verified"])
		check(i, flags, got)
	}
	return states
}

// wouldDo compares what ctl_mboxlist -m would do with mailboxes.
func wouldDo(t *testing.T, srv *cyrustest.Server, what string, names []string) {
	t.Helper()
	said, err := srv.Run(t.Context(), "ctl_mboxlist", "-m", "-w")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range names {
		want = append(want, what+name+"\n")
	}
	have := slices.Sorted(strings.Lines(said))
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("ctl_mboxlist -mw says\n%s\nwant\n%s", said, strings.Join(want, ""))
	}
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
		switch {
		case e.Deleted():
		case e.Server == "":
			at[e.Name] = srv.Name()
		default:
			at[e.Name] = e.Server
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
