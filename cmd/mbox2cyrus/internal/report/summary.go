package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mbox2cyrus/internal/plural"
)

// Summary is the last word of a run.
type Summary struct {
	Users, Folders        int64
	Found, Written        int64
	Verified, Held        int64
	HeldBytes             int64
	Bytes                 int64
	UnchangedFolders      int64
	Notes, Attentions     int64
	Failures, Differences int64
	ByKind                map[string]int64
	Elapsed               time.Duration
	DryRun                bool
	StoppedEarly          bool  // before the work was done, at a safe point, not by a signal
	NobodyLeft            bool  // all users were proved before (--only-failed)
	LeftFolders           int64 // not brought, though there is something to bring
	ExitCode              int
	Command, SourceRoot   string
	FailedUsers           []string

	POP3Users, POP3Messages, POP3Bytes int64 // fetched again at most by POP3 clients, as far as this run knows
}

func (s Summary) object() map[string]any {
	m := map[string]any{
		"message_type": "summary", "command": s.Command, "users": s.Users, "folders": s.Folders,
		"messages_found": s.Found, "messages_written": s.Written, "messages_verified": s.Verified, "messages_held": s.Held,
		"bytes_held": s.HeldBytes, "bytes": s.Bytes, "seconds": s.Elapsed.Seconds(), "dry_run": s.DryRun, "exit_code": s.ExitCode,
		"pop3_users_again": s.POP3Users, "pop3_messages_again": s.POP3Messages, "pop3_bytes_again": s.POP3Bytes,
		"folders_unchanged": s.UnchangedFolders, "problems": s.ByKind,
		"notes": s.Notes, "attentions": s.Attentions, "failures": s.Failures, "differences": s.Differences,
		"stopped_early": s.StoppedEarly, "failed_users": s.FailedUsers, "finished": time.Now().UTC().Format(time.RFC3339),
	}
	if s.ByKind == nil {
		m["problems"] = map[string]int64{}
	}
	if s.FailedUsers == nil {
		m["failed_users"] = []string{}
	}
	return m
}

// wayBack are the commands that bring no mail to Cyrus, and what they say.
var wayBack = map[string]struct{ done, verdict string }{
	"undo":   {"undone", "Cyrus is as it was before"},
	"export": {"exported", "everything was written and read back"},
	"retire": {"in the archive or back from it", "done"},
}

// text is the summary for people.
func (s Summary) text() string {
	var b strings.Builder
	switch {
	case s.Command == "migrate" && !s.DryRun:
		fmt.Fprintf(&b, "%s, %s: %s found, %d written, %d verified in Cyrus's index, %d held; %d bytes",
			plural.Count(s.Users, "user"), plural.Count(s.Folders, "folder"), plural.Count(s.Found, "message"), s.Written, s.Verified, s.Held, s.Bytes)
		if s.nothingToDo() {
			b.WriteString("\nnothing to do: every folder was migrated by an earlier run and has not changed since")
		}
	case s.Command == "verify":
		fmt.Fprintf(&b, "%s, %s: %s found, %d verified; %d bytes",
			plural.Count(s.Users, "user"), plural.Count(s.Folders, "folder"), plural.Count(s.Found, "message"), s.Verified, s.Bytes)
	case s.Command == "approve":
		fmt.Fprintf(&b, "held: %d, of which nobody approved: %d; %d bytes", s.Held, s.Attentions, s.HeldBytes)
	case s.Command == "retire" && !s.DryRun:
		fmt.Fprintf(&b, "%s, %s: %d bytes %s", plural.Count(s.Users, "user"), plural.Count(s.Folders, "folder"), s.Bytes, wayBack[s.Command].done)
	case s.Command == "retire":
		fmt.Fprintf(&b, "%s, %s: %d bytes; nothing was moved", plural.Count(s.Users, "user"), plural.Count(s.Folders, "folder"), s.Bytes)
	case wayBack[s.Command].done != "" && !s.DryRun:
		fmt.Fprintf(&b, "%s, %s: %s, %d bytes %s",
			plural.Count(s.Users, "user"), plural.Count(s.Folders, "folder"), plural.Count(s.Found, "message"), s.Bytes, wayBack[s.Command].done)
	case s.Command == "inspect":
		fmt.Fprintf(&b, "%s: %s, %d bytes", plural.Count(s.Folders, "mailbox file"), plural.Count(s.Found, "message"), s.Bytes)
	default:
		fmt.Fprintf(&b, "%s, %s: %s, %d bytes; nothing was written",
			plural.Count(s.Users, "user"), plural.Count(s.Folders, "folder"), plural.Count(s.Found, "message"), s.Bytes)
	}
	if s.POP3Users > 0 {
		fmt.Fprintf(&b, "\nPOP3 clients that leave mail on the server fetch up to %s of %s again, %d bytes (docs/pop3.md)",
			plural.Count(s.POP3Messages, "message"), plural.Count(s.POP3Users, "user"), s.POP3Bytes)
	}
	if len(s.ByKind) > 0 {
		b.WriteString("\nproblems by kind:")
		for _, k := range slices.Sorted(maps.Keys(s.ByKind)) {
			fmt.Fprintf(&b, " %s %d", k, s.ByKind[k])
		}
	}
	if len(s.FailedUsers) > 0 {
		b.WriteString("\nusers not migrated:")
		for _, user := range s.FailedUsers {
			b.WriteString(" " + Quote(user))
		}
	}
	fmt.Fprintf(&b, "\n%s in %.1f s (exit code %d)", s.verdict(), s.Elapsed.Seconds(), s.ExitCode)
	return b.String()
}

// nothingToDo reports whether a migrate came to its end and found every folder as an earlier
// one had left it. Who failed, and what was left, is not among the folders that it counts.
func (s Summary) nothingToDo() bool {
	return s.Folders > 0 && s.UnchangedFolders == s.Folders && s.LeftFolders == 0 && !s.StoppedEarly &&
		(s.ExitCode == ExitOK || s.ExitCode == ExitAttention)
}

func (s Summary) verdict() string {
	switch s.ExitCode {
	case ExitOK:
		if s.Command == "plan" || s.DryRun {
			return "planned"
		}
		if way, ok := wayBack[s.Command]; ok {
			return way.verdict
		}
		switch s.Command {
		case "inspect":
			return "read"
		case "approve":
			return "nothing waits for approval"
		}
		if s.NobodyLeft {
			return "nobody was left to do: report calls every user proved whom this run would take; nothing was looked at,"
		}
		return "everything arrived and was proved"
	case ExitAttention:
		if s.StoppedEarly {
			return "NOT FINISHED; run the same command again to go on: stopped at a safe point when its time was up,"
		}
		if s.Command == "approve" {
			return "something waits for approval"
		}
		return "done, but something needs a person: see the problems marked attention"
	case ExitDifference:
		return "VERIFICATION FOUND A DIFFERENCE: see the problems marked difference"
	case ExitInterrupt, ExitTerminated:
		if s.Command == "export" { // which goes on with nothing
			return "NOT FINISHED; remove what is left of it (its name ends in .partial), if anything, and run the same command again: stopped by a signal"
		}
		return "NOT FINISHED; run the same command again to go on: stopped by a signal at a safe point"
	}
	return "FAILED: see the problems marked failure"
}
