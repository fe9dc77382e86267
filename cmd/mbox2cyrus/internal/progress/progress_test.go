package progress

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

func TestPaceForetellsByBytesAndMessages(t *testing.T) {
	start := time.Unix(1e9, 0)
	after := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	for _, tt := range []struct {
		what  string
		total Amount
		now   sample
		want  time.Duration
	}{
		{"too early", Amount{Bytes: 1e9, New: 1e9}, sample{after(2), 1e6, 100}, -1},
		{"nothing read", Amount{Bytes: 1e9, New: 1e9}, sample{after(60), 0, 0}, -1},
		{"a quarter", Amount{Bytes: 4e6, New: 4e6}, sample{after(10), 1e6, 100}, 30 * time.Second},
		{"all", Amount{Bytes: 4e6, New: 4e6}, sample{after(10), 4e6, 100}, 0},
		// Half of the bytes, but few of the messages: small ones are to come.
		{"small ones to come", Amount{Bytes: 2e6, Messages: 450}, sample{after(10), 1e6, 50}, 45 * time.Second},
	} {
		p := pace{start: start}
		if got := p.left(tt.total, tt.now).Round(time.Millisecond); got != tt.want && !(got < 0 && tt.want < 0) {
			t.Errorf("%s: %v left, want %v", tt.what, got, tt.want)
		}
	}
}

func TestRatesAreOfTheLastHalfMinute(t *testing.T) {
	start := time.Unix(1e9, 0)
	p := pace{start: start}
	at := func(s int) sample {
		n := int64(s)
		if s > 60 { // ten times as fast
			n = 60 + 10*(n-60)
		}
		return sample{start.Add(time.Duration(s) * time.Second), 1000 * n, n}
	}
	for s := range 101 {
		p.add(at(s).at, at(s).bytes, at(s).messages)
	}
	if bytes, messages := p.rates(at(100)); bytes != 10000 || messages != 10 {
		t.Errorf("%v bytes and %v messages a second, want 10000 and 10", bytes, messages)
	}
	if n := len(p.samples); n > 32 {
		t.Errorf("%d samples are kept", n)
	}
}

func TestWordsForPeople(t *testing.T) {
	for n, want := range map[float64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 12345678: "12.3 MB", 123456789: "123 MB", 2.5e12: "2.5 TB"} {
		if got := size(n); got != want {
			t.Errorf("%v bytes: %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{8 * time.Second: "8 s", 3 * time.Minute: "3 min", 125 * time.Minute: "2 h 05 min", 119*time.Minute + 59*time.Second: "2 h 00 min"} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// TestStatusFileAndLine follows one run: what the status file says is all of a JSON
// object each time, and who asks by a signal gets a line for each user who is read and
// one for the total.
func TestStatusFileAndLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status.json")
	var out, people bytes.Buffer
	rep := report.New(report.Options{Stdout: &out, Stderr: &people, Command: "migrate", Quiet: true})
	asked := make(chan os.Signal)
	d, err := Start(Options{Stdout: &out, Stderr: &people, Report: rep, Quiet: true, StatusFile: path, Asked: asked,
		Users: map[string]Amount{"joe": {Bytes: 1000, New: 1000}, "ann": {Bytes: 500, New: 500}, "bob\x1b": {}}})
	if err != nil {
		t.Fatal(err)
	}
	status := func() (m map[string]any) {
		t.Helper()
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		return m
	}
	if m := status(); m["state"] != "running" || m["exit_code"] != nil || m["bytes_total"] != 1500.0 || m["users_total"] != 3.0 || m["pid"] != float64(os.Getpid()) {
		t.Errorf("at first: %v", m)
	}
	d.UserStarted("joe", 1000)
	d.UserStarted("ann", 500)
	d.UserStarted("bob\x1b", 0)
	d.Add("joe", "work", 250, 2)
	d.Add("ann", "INBOX", 900, 1) // read twice: no more than all of it counts
	d.UserRead("ann")
	asked <- syscall.SIGUSR1
	asked <- syscall.SIGUSR1 // once this is taken, the first one is answered
	d.UserDone("ann")
	d.Stop()
	lines := strings.Split(people.String(), "\n")
	for i, want := range []string{
		"mbox2cyrus: [#####...............]  25% of   1.0 kB  joe  work",
		`mbox2cyrus: [####################] 100% of      0 B  "bob\x1b"  `,
		"mbox2cyrus: 0/3 users, 3 messages, 50% of 1.5 kB, ",
	} {
		if len(lines) <= i || !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d does not begin %q:\n%s", i, want, people.String())
		}
	}
	if err := d.End(2); err != nil {
		t.Fatal(err)
	}
	if m := status(); m["state"] != "finished" || m["exit_code"] != 2.0 || m["users_done"] != 1.0 || m["bytes_done"] != 750.0 {
		t.Errorf("in the end: %v", m)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("beside the status file: %v, %v", entries, err)
	}
	if out.Len() > 0 {
		t.Errorf("standard output got %q", out.String())
	}
}

// TestStatusFileFollowsNoLink replaces a symbolic link, and writes nothing where it
// leads: the file may lie in a directory where others may write.
func TestStatusFileFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "status.json")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, path); err != nil {
		t.Fatal(err)
	}
	if err := replace(path, []byte("{}\n")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(victim); err != nil || string(got) != "precious" {
		t.Errorf("the link's target holds %q, %v", got, err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "{}\n" {
		t.Errorf("the status file holds %q, %v", got, err)
	}
	if err := replace(filepath.Join(dir, "nowhere", "status.json"), nil); err == nil {
		t.Error("a status file in no directory was written")
	}
}
