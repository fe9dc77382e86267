package metrics

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// sample is one line of a metric in the text format.
var sample = regexp.MustCompile(`^[a-z0-9_]+\{([a-z_]+="([^"\\\n]|\\[\\"n])*",?)+\} [0-9.]+$`)

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox2cyrus.prom")
	run := Run{Command: "migrate", Host: "/srv/\"odd\"\n\xff", Shard: "1/3", Start: time.UnixMilli(1500), Users: 9}
	s := report.Summary{Users: 4, Found: 70, Attentions: 2, FailedUsers: []string{"joe"}}
	read := func() string {
		t.Helper()
		if err := Write(path, run, s); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			line = strings.TrimSuffix(line, "\n")
			if !strings.HasPrefix(line, "# ") && !sample.MatchString(line) {
				t.Errorf("no line of the text format: %s", line)
			}
		}
		return string(b)
	}
	labels := `command="migrate",source_root="/srv/\"odd\"\n` + "\ufffd" + `",shard="1/3"`
	text := read()
	for _, want := range []string{"mbox2cyrus_running{" + labels + "} 1\n", "mbox2cyrus_start_time_seconds{" + labels + "} 1.500\n",
		"mbox2cyrus_users_failed{" + labels + "} 1\n", "mbox2cyrus_problems{" + labels + `,severity="attention"} 2` + "\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "exit_code") {
		t.Error("a run that goes on has an exit code")
	}
	run.End, s.ExitCode = time.UnixMilli(2500), 2
	if text = read(); !strings.Contains(text, "mbox2cyrus_exit_code{"+labels+"} 2\n") || !strings.Contains(text, "mbox2cyrus_running{"+labels+"} 0\n") {
		t.Error(text)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}
