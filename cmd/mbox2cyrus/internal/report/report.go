// Package report is what the program says: one finding, one finished folder,
// one summary at a time, as JSON Lines for programs or as text for people.
//
// It also keeps the one account that decides the exit code: whatever was said
// is counted, so no command can end with 0 after it reported a failure.
package report

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"
)

// Severity says who must act on a problem, and so decides the exit code.
type Severity int

const (
	// Note: worth knowing, nothing to do. A repaired byte, a name written differently.
	Note Severity = iota
	// Attention: the run is done, but a person must look: a folder left out,
	// a user renamed.
	Attention
	// Failure: a user or folder was not migrated.
	Failure
	// Difference: verification found that Cyrus does not hold what the source holds.
	Difference
)

var severityNames = [...]string{"note", "attention", "failure", "difference"}

func (s Severity) String() string { return severityNames[s] }

// Exit codes of the program, the same for every command.
const (
	ExitOK         = 0
	ExitFailed     = 1
	ExitAttention  = 2
	ExitDifference = 3
	ExitUsage      = 64
	ExitPermission = 77
	ExitConfig     = 78
	ExitInterrupt  = 130
	ExitTerminated = 143
)

// Problem is one finding. Folder is the raw name on the UW host.
type Problem struct {
	Severity Severity
	User     string
	Folder   string
	Mailbox  string // Cyrus's internal name of what it becomes, where that is known
	File     string // raw, which file of a folder that has several
	Offset   int64  // byte offset in the folder's file; negative: of no place
	Line     int64  // line of that offset, the first is 1; 0: not known, or the file is no text
	Kind     string
	Text     string
	UW       string // what UW does there, and
	Others   string // what other readers do; both "" where the kind says it all
	Count    int64  // how many findings this one stands for; 0 is 1
	HeldID   string // of what is held; "" for other problems
	Routine  bool   // what nearly every folder has: in JSON and in the counts, not shown to people
}

// count is how many findings p stands for.
func (p Problem) count() int64 { return max(1, p.Count) }

// Folder is one finished folder.
type Folder struct {
	User      string
	Folder    string // raw name on the UW host; empty: a mailbox made only as a parent
	Mailbox   string // Cyrus's internal name
	Found     int64  // messages found in the source
	Written   int64  // message files written in this run
	Verified  int64  // messages that Cyrus's index confirms
	Held      int64  // items set aside: messages, and bytes that make none
	HeldBytes int64  // of the source
	HeldMail  int64  // of the items, those that are messages; they are among those found
	Bytes     int64  // of the messages as stored in Cyrus
	Unchanged bool   // nothing to do: done by an earlier run
	Read      bool   // by this run, which reported every finding in it
	NoFolder  bool   // something beside the folders: a list of subscriptions; not counted as one
	Outcome   string // what became of it, where counters do not say it: "removed", "archived in …"
	// ShownAs is the name that users see, and RenamedWhy why, where it is not Folder.
	ShownAs, RenamedWhy string
	// SpecialUse is the attribute that the mailbox gets (RFC 6154), without its backslash.
	SpecialUse string

	// Doubts has the number of the reader's findings by kind.
	Doubts map[string]int64

	UIDValidity uint32
	UIDNext     uint32
}

// AddName adds a name to a JSON object: as it is where it is UTF-8, else
// with replacement characters and its true bytes in a "_b64" twin.
func AddName(m map[string]any, key, name string) {
	if utf8.ValidString(name) {
		m[key] = name
		return
	}
	m[key] = toValidUTF8(name)
	m[key+"_b64"] = base64.StdEncoding.EncodeToString([]byte(name))
}

// RawName is the name that was added to an object.
func RawName(m map[string]any, key string) string {
	if b64, ok := m[key+"_b64"].(string); ok {
		if raw, err := base64.StdEncoding.DecodeString(b64); err == nil {
			return string(raw)
		}
	}
	name, _ := m[key].(string)
	return name
}

func toValidUTF8(s string) string { return string([]rune(s)) }

func (p Problem) object() map[string]any {
	m := map[string]any{"message_type": "problem", "kind": p.Kind, "text": toValidUTF8(p.Text), "severity": p.Severity.String()}
	AddName(m, "user", p.User)
	AddName(m, "folder", p.Folder)
	if p.Mailbox != "" {
		m["mailbox"] = p.Mailbox
	}
	if p.File != "" {
		AddName(m, "file", p.File)
	}
	if p.Offset >= 0 {
		m["offset"] = p.Offset
	}
	if p.Line > 0 {
		m["line"] = p.Line
	}
	if p.Count > 1 {
		m["count"] = p.Count
	}
	if p.HeldID != "" {
		m["held_id"] = p.HeldID
	}
	if p.UW != "" {
		m["uw"], m["other_readers"] = p.UW, p.Others
	}
	return m
}

// doubts is how many findings the reader had, without those of some kinds.
func (f Folder) doubts(without map[string]bool) (n int64) {
	for kind, of := range f.Doubts {
		if !without[kind] {
			n += of
		}
	}
	return n
}

func (f Folder) object() map[string]any {
	m := map[string]any{
		"message_type": "folder", "mailbox": f.Mailbox,
		"messages_found": f.Found, "messages_written": f.Written, "messages_verified": f.Verified, "messages_held": f.Held,
		"bytes_held": f.HeldBytes, "bytes": f.Bytes, "uidvalidity": f.UIDValidity, "uidnext": f.UIDNext, "unchanged": f.Unchanged, "doubts": f.doubts(nil), "doubts_by_kind": f.Doubts,
	}
	if f.Read {
		m["read"] = true
	}
	if f.ShownAs != "" {
		AddName(m, "shown_as", f.ShownAs)
		AddName(m, "renamed_why", f.RenamedWhy)
	}
	if f.SpecialUse != "" {
		m["special_use"] = `\` + f.SpecialUse
	}
	if f.Doubts == nil {
		m["doubts_by_kind"] = map[string]int64{}
	}
	if f.Outcome != "" {
		AddName(m, "outcome", f.Outcome)
	}
	AddName(m, "user", f.User)
	AddName(m, "folder", f.Folder)
	return m
}

func appendLine(m map[string]any) ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}
