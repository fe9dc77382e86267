// Package metrics writes the counters of a run as the textfile collector of Prometheus's
// node exporter reads them: a file NAME.prom, replaced whole
// (https://github.com/prometheus/docs, exposition_formats: the text format, version 0.0.4).
package metrics

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// Run is a run whose counters are written.
type Run struct {
	Command string
	Host    string // source root, which tells runs of one machine apart
	Shard   string
	Start   time.Time
	Users   int64     // that the run is to do
	End     time.Time // zero while it goes on
}

// Write replaces the file at path by the counters of a run. Everybody may read it: the
// node exporter is not root.
func Write(path string, run Run, s report.Summary) error {
	if err := renameio.WriteFile(path, text(run, s), 0o644, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// text is the whole file.
func text(run Run, s report.Summary) []byte {
	labels := fmt.Sprintf("command=%q,source_root=%s", run.Command, quote(run.Host))
	if run.Shard != "" {
		labels += ",shard=" + quote(run.Shard)
	}
	var b bytes.Buffer
	metric := func(name, kind, help string) {
		fmt.Fprintf(&b, "# HELP mbox2cyrus_%s %s\n# TYPE mbox2cyrus_%s %s\n", name, help, name, kind)
	}
	one := func(name, help string, value any) {
		metric(name, "gauge", help)
		fmt.Fprintf(&b, "mbox2cyrus_%s{%s} %v\n", name, labels, value)
	}
	running := 1
	if !run.End.IsZero() {
		running = 0
	}
	one("running", "Whether the run goes on (1) or ended (0).", running)
	one("start_time_seconds", "When the run began, seconds since 1970.", unix(run.Start))
	if running == 0 {
		one("end_time_seconds", "When the run ended, seconds since 1970.", unix(run.End))
		one("exit_code", "How the run ended: 0 proved, 1 failed, 2 needs a person, 3 difference.", s.ExitCode)
	}
	one("users_planned", "Users that the run is to do.", run.Users)
	one("users_done", "Users that the run finished.", s.Users)
	one("users_failed", "Users who failed.", len(s.FailedUsers))
	one("folders_done", "Folders that the run finished.", s.Folders)
	one("folders_unchanged", "Folders that needed nothing.", s.UnchangedFolders)
	one("messages_found", "Messages in the finished folders.", s.Found)
	one("messages_written", "Messages that the run wrote.", s.Written)
	one("messages_verified", "Messages that Cyrus's index confirms.", s.Verified)
	one("messages_held", "Messages that were set aside.", s.Held)
	one("message_bytes", "Bytes of the messages in the finished folders, as in Cyrus.", s.Bytes)
	metric("problems", "gauge", "Findings by severity.")
	for _, of := range []struct {
		severity report.Severity
		n        int64
	}{{report.Note, s.Notes}, {report.Attention, s.Attentions}, {report.Failure, s.Failures}, {report.Difference, s.Differences}} {
		fmt.Fprintf(&b, "mbox2cyrus_problems{%s,severity=%q} %d\n", labels, of.severity, of.n)
	}
	return b.Bytes()
}

func unix(t time.Time) string { return fmt.Sprintf("%.3f", float64(t.UnixMilli())/1000) }

// quote writes the value of a label: UTF-8, with backslash, quote and newline escaped.
func quote(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
