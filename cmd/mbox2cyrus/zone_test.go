package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestAnotherZone: a later pass runs where TZ is another one, and nobody named a zone. The dates
// of what is in Cyrus must not change.
func TestAnotherZone(t *testing.T) {
	srv := cyrustest.ForTest(t, cyrustest.Options{})
	h := newPassHost(t)
	h.write("var/mail/joe", letter(1))
	flags := []string{"--source-root", h.root, "--imapd-conf", srv.Conf, "--state", filepath.Join(t.TempDir(), "state")}
	in := func(zone string, code int, args ...string) string {
		t.Helper()
		cmd := exec.Command("mbox2cyrus", slices.Concat(args, flags)...)
		cmd.Env = append(withScratch(t), "TZ="+zone)
		said, _ := cmd.CombinedOutput() // the exit code tells
		if is := cmd.ProcessState.ExitCode(); is != code {
			t.Errorf("%v in %s: exit code %d, want %d\n%s", args, zone, is, code, said)
		}
		return string(said)
	}
	in("America/New_York", 0, "migrate")
	h.write("var/mail/joe", letter(1)+letter(2))
	for _, args := range [][]string{{"plan"}, {"migrate", "--dry-run"}, {"migrate"}} {
		if said := in("Europe/Vienna", 78, args...); !strings.Contains(said, "-05:00/-04:00 from UTC") {
			t.Errorf("%v says %s", args, said)
		}
	}
	in("US/Eastern", 0, "migrate") // the same by another name
	if said := in("Europe/Vienna", 78, "verify", "--level", "content"); !strings.Contains(said, "-05:00/-04:00 from UTC") {
		t.Errorf("verify says %s", said)
	}
	// The same zone, but named: what an earlier pass brought without is left alone, and it is
	// told what to do.
	for _, args := range [][]string{{"plan"}, {"migrate"}, {"verify"}} {
		code := 2
		if args[0] == "verify" {
			code = 78
		}
		if said := in("US/Eastern", code, append(args, "--source-timezone", "US/Eastern")...); !strings.Contains(said, "leave out --source-timezone US/Eastern, which") {
			t.Errorf("%v says %s", args, said)
		}
	}
	report := exec.Command("mbox2cyrus", slices.Concat([]string{"report"}, flags[4:])...)
	report.Env = withScratch(t)
	if said, err := report.CombinedOutput(); strings.Contains(string(said), "cut off") || !strings.Contains(string(said), "2 of them verified") {
		t.Errorf("report after a verify that was refused: %v\n%s", err, said)
	}
	in("Europe/Vienna", 0, "verify") // which reads no date of the source
	in("US/Eastern", 0, "verify", "--level", "content")
	for i, m := range serve(t, srv)["INBOX"].Messages {
		if want := time.Date(2003, 6, 2, 14, 11, i+1, 0, time.UTC); !m.InternalDate.Equal(want) {
			t.Errorf("UID %d is of %v, want %v", m.UID, m.InternalDate, want)
		}
	}
}
