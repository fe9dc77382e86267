package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestLogrotateLosesNothing lets logrotate work with the packaged configuration in the midst
// of a run. Every line of that run, of the one before and of the one after is in one of the
// files, whole, in order.
func TestLogrotateLosesNothing(t *testing.T) {
	if _, err := exec.LookPath("logrotate"); err != nil {
		t.Skipf("%v (on Debian: logrotate)", err)
	}
	packaged, err := os.ReadFile(filepath.Join("..", "..", "packaging", "logrotate"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log, conf, state := filepath.Join(dir, "mbox2cyrus.log"), filepath.Join(dir, "logrotate.conf"), filepath.Join(dir, "logrotate.state")
	ours := strings.Replace(string(packaged), "/var/log/mbox2cyrus.log", log, 1)
	if ours == string(packaged) {
		t.Fatal("the packaged configuration is of another log")
	}
	if err := os.WriteFile(conf, []byte(ours), 0o644); err != nil {
		t.Fatal(err)
	}
	rotate := func() {
		t.Helper()
		if out, err := exec.Command("logrotate", "--force", "--state", state, conf).CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("logrotate: %v\n%s", err, out)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	rotate() // before there is a log

	srv := cyrustest.ForTest(t, cyrustest.Options{})
	flags := append(slowHost(t, srv), "--log-file", log)
	migrate := func(more ...string) (*exec.Cmd, *bytes.Buffer) {
		t.Helper()
		var stdout bytes.Buffer
		cmd := exec.Command("mbox2cyrus", append(append([]string{"migrate", "--json"}, more...), flags...)...)
		cmd.Stdout = &stdout
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, &stdout
	}
	wait := func(cmd *exec.Cmd) {
		t.Helper()
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}

	cmd, before := migrate("--dry-run")
	wait(cmd)
	first := read(log)

	cmd, during := migrate("--bwlimit", "200k", "--log-level", "debug") // which is told of progress too
	for deadline := time.Now().Add(time.Minute); !bytes.Contains(read(log)[len(first):], []byte(`"bytes_done"`)); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no progress is logged")
		}
	}
	rotate()
	if info, err := os.Stat(log); err != nil || info.Size() != 0 || info.Mode().Perm() != 0o600 {
		t.Errorf("the new log: %v, %v", info, err)
	}
	half := len(read(log + ".1"))
	wait(cmd)
	if late := len(read(log+".1")) - half; late <= 0 {
		t.Fatalf("nothing was written after the rotation: that proves nothing")
	}

	cmd, after := migrate()
	wait(cmd)
	rotate()
	zipped, err := gzip.NewReader(bytes.NewReader(read(log + ".2.gz")))
	if err != nil {
		t.Fatal(err)
	}
	older, err := io.ReadAll(zipped)
	if err != nil {
		t.Fatal(err)
	}
	if want := lastingLines(before.String() + during.String()); lastingLines(string(older)) != want || !strings.Contains(want, `"users":6`) {
		t.Errorf("the log of the runs before and during the rotation:\n%s\nthey said:\n%s", older, want)
	}
	if newer, want := read(log+".1"), lastingLines(after.String()); lastingLines(string(newer)) != want {
		t.Errorf("the log of the run after the rotation:\n%s\nit said:\n%s", newer, want)
	}
}

// lastingLines are those without status lines: progress is not for the log, and the log is
// told some things alone.
func lastingLines(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		if !strings.Contains(line, `"message_type":"status"`) {
			b.WriteString(line)
		}
	}
	return b.String()
}
