package history

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// Line is one line of a history. Which fields it has depends on its type.
type Line struct {
	Run  int    `json:"run"` // number of the run, from 1
	Type string `json:"message_type"`

	User       string `json:"user"`
	UserRaw    []byte `json:"user_b64"`
	Folder     string `json:"folder"`
	FolderRaw  []byte `json:"folder_b64"`
	File       string `json:"file"`
	FileRaw    []byte `json:"file_b64"`
	ShownAs    string `json:"shown_as"`    // folder: the name that users see, where it is another one
	RenamedWhy string `json:"renamed_why"` // folder: in plain words
	Mailbox    string `json:"mailbox"`     // problem: of its folder, where it is told

	// folder, user and summary
	Found     int64 `json:"messages_found"`
	Written   int64 `json:"messages_written"`
	Verified  int64 `json:"messages_verified"`
	Held      int64 `json:"messages_held"`
	Bytes     int64 `json:"bytes"`
	Folders   int64 `json:"folders"`
	Unchanged bool  `json:"unchanged"`
	Read      bool  `json:"read"` // folder: its findings are among the problems of this run

	// problem
	Severity string `json:"severity"`
	Kind     string `json:"kind"`
	Text     string `json:"text"`
	Offset   *int64 `json:"offset"`
	SourceLn int64  `json:"line"`
	Count    int64  `json:"count"`
	HeldID   string `json:"held_id"`
	Unlisted bool   `json:"unlisted"` // stands for those beyond the first of its kind, severity and user
	OfHeld   bool   `json:"held"`     // unlisted: they are of what is held

	// user: what was said of him
	Time        time.Time `json:"time"`
	Notes       int64     `json:"notes"`
	Attentions  int64     `json:"attentions"`
	Failures    int64     `json:"failures"`
	Differences int64     `json:"differences"`

	// pop3
	UIDL          string `json:"uidl_format"`
	Messages      int64  `json:"messages"` // also status
	Again         int64  `json:"messages_again"`
	AgainBytes    int64  `json:"bytes_again"`
	HiddenFromPOP int64  `json:"messages_hidden"`

	// status: what was read until then
	Seconds   float64 `json:"seconds"` // from the start of the run; also summary
	BytesDone int64   `json:"bytes_done"`

	ExitCode int              `json:"exit_code"` // summary
	Problems map[string]int64 `json:"problems"`  // summary: how many, by kind

	raw json.RawMessage
}

// parse reads one line.
func parse(b []byte) (l Line, err error) {
	if err := json.Unmarshal(b, &l); err != nil {
		return l, err
	}
	if l.Run < 1 || l.Type == "" {
		return l, fmt.Errorf("a line without run or message_type")
	}
	l.User, l.Folder, l.File = name(l.User, l.UserRaw), name(l.Folder, l.FolderRaw), name(l.File, l.FileRaw)
	l.raw = b
	return l, nil
}

func name(text string, raw []byte) string {
	if raw != nil {
		return string(raw)
	}
	return text
}

// saidAnew are kinds of what each migrate says of a folder as long as it is so: why it is
// left alone, and what the plan has of it. Whatever begins name- or user- is, too.
var saidAnew = []string{"busy", "cut-off", "cyrus-changed", "hard-link", "other-rules", "retired", "retired-place", "source-changed", "source-gone", "special-use-other"}

// leftUsers are kinds of what is told of no user where a run ended before it came to all of them.
var leftUsers = []string{"time-is-up", "run-failed"}

// IsHeld reports whether a problem is of what is held.
func (l Line) IsHeld() bool { return l.HeldID != "" || l.OfHeld }

// lasting reports whether a problem that migrate told stays true as long as its folder is not
// read again: findings of the reader. What is held of it is said anew by each run, too.
func (l Line) lasting() bool {
	return l.Type == "problem" && l.Folder != "" && !l.IsHeld() && (l.Severity == "note" || l.Severity == "attention") &&
		!strings.HasPrefix(l.Kind, "name-") && !strings.HasPrefix(l.Kind, "user-") && !slices.Contains(saidAnew, l.Kind)
}

// Run is how a run began, and how it ended.
type Run struct {
	Number     int       `json:"run"`
	Type       string    `json:"message_type"` // "run"
	Command    string    `json:"command"`
	Start      time.Time `json:"start"`
	Host       string    `json:"host"` // name of the machine
	Program    string    `json:"program"`
	Binary     string    `json:"program_sha256"` // SHA-256 of the program's file, hexadecimal
	Plan       string    `json:"plan,omitempty"` // file of --plan
	PlanSHA256 string    `json:"plan_sha256,omitempty"`
	SourceRoot string    `json:"source_root"`
	IMAPDConf  string    `json:"imapd_conf"`
	Cyrus      string    `json:"cyrus"`
	Level      string    `json:"level,omitempty"` // of verify
	Shard      string    `json:"shard,omitempty"`
	Chosen     bool      `json:"chosen,omitempty"`    // the run was for some users, who were named or are those of a plan
	Compacted  int       `json:"compacted,omitempty"` // the last run when obsolete lines were removed

	// End is the summary of the run, nil if it was cut off.
	End *Line `json:"-"`
	// Samples say how much was read by then, in the order of time.
	Samples []Sample `json:"-"`
}

// Sample is how much a run had read some seconds after its start.
type Sample struct {
	Seconds         float64
	Bytes, Messages int64
}

// cameToAll reports whether the run came to all of its users.
func (r *Run) cameToAll() bool {
	return r.End != nil && r.End.ExitCode != report.ExitInterrupt && r.End.ExitCode != report.ExitTerminated &&
		!slices.ContainsFunc(leftUsers, func(kind string) bool { return r.End.Problems[kind] > 0 })
}
