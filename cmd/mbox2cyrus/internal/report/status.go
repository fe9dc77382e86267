package report

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Status is how far a run has come: a status line of the JSON Lines, and what the
// status file holds.
type Status struct {
	State    string // "running"; in the last one "finished", "stopped" or "failed"
	ExitCode *int   // nil while it runs

	Bytes, BytesTotal int64 // of the source, that this run reads
	Messages          int64 // read
	MessagesTotal     int64 // expected: counted by an earlier pass, else guessed from those read so far
	Users, UsersTotal int64 // finished
	Seconds           float64

	MessagesPerSecond, BytesPerSecond float64 // in the last half minute
	SecondsLeft                       float64 // negative: nobody can tell yet

	Running []UserStatus
	Waiting int64 // users who are read, and whose mailboxes Cyrus's programs work on
}

// UserStatus is how far a user is read.
type UserStatus struct {
	User              string
	Bytes, BytesTotal int64
}

func (s Status) object() map[string]any {
	m := map[string]any{"message_type": "status", "state": s.State, "bytes_done": s.Bytes, "bytes_total": s.BytesTotal,
		"messages": s.Messages, "messages_expected": s.MessagesTotal, "users_done": s.Users, "users_total": s.UsersTotal,
		"users_waiting": s.Waiting, "seconds": s.Seconds,
		"messages_per_second": s.MessagesPerSecond, "bytes_per_second": s.BytesPerSecond, "seconds_left": nil, "exit_code": nil}
	if s.SecondsLeft >= 0 {
		m["seconds_left"] = s.SecondsLeft
	}
	if s.ExitCode != nil {
		m["exit_code"] = *s.ExitCode
	}
	running := []map[string]any{}
	for _, u := range s.Running {
		one := map[string]any{"bytes_done": u.Bytes, "bytes_total": u.BytesTotal}
		AddName(one, "user", u.User)
		running = append(running, one)
	}
	m["running"] = running
	return m
}

// Status reports progress: JSON only, people see the progress display.
func (r *Reporter) Status(s Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emit(Debug, s.object())
}

// StatusFile returns what a status file holds: the fields of a status line, and which
// process wrote it, for what, when. It ends with a line end.
func (r *Reporter) StatusFile(s Status) ([]byte, error) {
	m := s.object()
	m["command"], m["pid"] = r.opts.Command, os.Getpid()
	m["started"], m["updated"] = r.start.UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339)
	AddName(m, "source_root", r.opts.SourceRoot)
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	return append(b, '\n'), nil
}
