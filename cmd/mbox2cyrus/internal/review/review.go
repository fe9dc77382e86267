package review

import (
	"errors"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/history"
	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// Version of the JSON form.
const Version = 1

// Review is what several state directories say.
type Review struct {
	Version int       `json:"mbox2cyrus_report"`
	Made    time.Time `json:"made"`
	Program string    `json:"program"`
	// Binary is the SHA-256 of the program that made the report, hexadecimal.
	Binary string   `json:"program_sha256"`
	Totals Totals   `json:"totals"`
	Hosts  []*Host  `json:"hosts"`
	Users  []*User  `json:"users"`
	Names  []Rename `json:"names_changed"`
	POP3   []POP3   `json:"pop3"`
	Held   []Held   `json:"held"`
	Kinds  []*Kind  `json:"problems_by_kind"`
}

// Totals are sums over all hosts.
type Totals struct {
	Hosts         int64           `json:"hosts"`
	Users         int64           `json:"users"`
	ByState       map[State]int64 `json:"users_by_state"`
	Folders       int64           `json:"folders"` // mailboxes that were made as parents alone are not among them
	Messages      int64           `json:"messages"`
	Verified      int64           `json:"messages_verified"` // in mailboxes that are verified
	Bytes         int64           `json:"bytes"`             // of the messages in Cyrus
	Held          int64           `json:"held_items"`        // messages, and bytes that make none
	HeldBytes     int64           `json:"held_bytes"`
	Renamed       int64           `json:"folders_renamed"`
	POP3Users     int64           `json:"pop3_users_again"`
	POP3Messages  int64           `json:"pop3_messages_again"`
	POP3Bytes     int64           `json:"pop3_bytes_again"`
	Seconds       float64         `json:"seconds"` // of all runs of migrate
	ExitCode      int             `json:"exit_code"`
	ProblemsTotal int64           `json:"problems"`
}

// State says who must act for a user.
type State string

// States, the best first.
const (
	Proved     State = "proved"     // all of it arrived, and nothing needs a person
	Attention  State = "attention"  // arrived, but something needs a person
	Unfinished State = "unfinished" // a run that would have brought it was cut off, or it was undone
	Failed     State = "failed"
	Differs    State = "difference" // verification found a difference
)

// States are all of them.
var States = []State{Proved, Attention, Unfinished, Failed, Differs}

// exitCode is what a run that ends so ends with.
func (s State) exitCode() int {
	switch s {
	case Proved:
		return report.ExitOK
	case Attention:
		return report.ExitAttention
	case Differs:
		return report.ExitDifference
	}
	return report.ExitFailed
}

// Host is what one state directory says.
type Host struct {
	Name       string  `json:"host"` // of the machine that migrated it, or of the directory
	Dir        string  `json:"state"`
	SourceRoot string  `json:"source_root"`
	Cyrus      string  `json:"cyrus"`
	State      State   `json:"state_of_host"`
	Why        string  `json:"why,omitempty"` // of the host as a whole, where it is not all right
	Users      int64   `json:"users"`
	Messages   int64   `json:"messages"`
	Bytes      int64   `json:"bytes"`
	Runs       []Run   `json:"runs"`
	Timeline   []Point `json:"timeline"`
	Digests    Digests `json:"certificate"`

	migrate, verify *history.Log
	ledger          *ledger.Ledger
}

// Close closes the ledgers that the review is of.
func (r *Review) Close() error {
	var errs []error
	for _, h := range r.Hosts {
		errs = append(errs, h.ledger.Close())
	}
	return errors.Join(errs...)
}

// Digests are what a change record quotes of a host, SHA-256 in hexadecimal.
type Digests struct {
	Ledger      string `json:"ledger_sha256"`
	LedgerBytes int64  `json:"ledger_bytes"`
	// Manifests is of all files below manifests/ one after the other, sorted by name.
	Manifests     string `json:"manifests_sha256"`
	ManifestFiles int64  `json:"manifests"`
	ManifestBytes int64  `json:"manifests_bytes"`

	Plan       string    `json:"plan,omitempty"` // file that the last run of migrate applied
	PlanSHA256 string    `json:"plan_sha256,omitempty"`
	Binary     string    `json:"migrate_sha256,omitempty"` // program of the last run of migrate
	Verified   time.Time `json:"verified,omitzero"`        // end of the last run of verify, if one was recorded
	Level      string    `json:"verify_level,omitempty"`
	VerifyCode int       `json:"verify_exit_code"`
	VerifySum  string    `json:"verify_sha256,omitempty"` // its program
}

// Run is one run of migrate or verify.
type Run struct {
	Command  string    `json:"command"`
	Start    time.Time `json:"start"`
	Seconds  float64   `json:"seconds"`
	ExitCode int       `json:"exit_code"` // -1: it was cut off, or goes on
	Program  string    `json:"program"`
	Written  int64     `json:"messages_written"`
	Read     int64     `json:"bytes_read"` // of the source
	Level    string    `json:"level,omitempty"`
	Shard    string    `json:"shard,omitempty"`
}

// Point is how fast a run read the source between two samples.
type Point struct {
	Run      int       `json:"run"` // index in Runs
	From, To time.Time `json:"-"`
	Time     time.Time `json:"time"` // end
	Seconds  float64   `json:"seconds"`
	Bytes    int64     `json:"bytes"`
	Messages int64     `json:"messages"`
}

// User is what became of one user.
type User struct {
	Host       string         `json:"host"`
	Name       ledger.RawName `json:"user"`
	State      State          `json:"state"`
	Folders    int64          `json:"folders"`
	Messages   int64          `json:"messages"`
	Verified   int64          `json:"messages_verified"`
	Held       int64          `json:"held_items"`
	Bytes      int64          `json:"bytes"`
	Renamed    int64          `json:"folders_renamed"`
	Again      int64          `json:"pop3_messages_again"`
	Notes      int64          `json:"notes"`
	Attentions int64          `json:"attentions"`
	Failures   int64          `json:"failures"`
	Diffs      int64          `json:"differences"`
	Finished   time.Time      `json:"finished,omitzero"` // by the last run that finished him

	host *Host
}

// Rename is a folder that users find under another name.
type Rename struct {
	Host string         `json:"host"`
	User ledger.RawName `json:"user"`
	Old  ledger.RawName `json:"old_name"`
	New  string         `json:"new_name"`
	Why  string         `json:"why"`

	mailbox string // Cyrus's internal name: a folder of the name INBOX is not the inbox
}

// POP3 is what POP3 clients of a user who leave mail on the server fetch again at most.
type POP3 struct {
	Host       string         `json:"host"`
	User       ledger.RawName `json:"user"`
	Messages   int64          `json:"messages"`
	Again      int64          `json:"messages_again"`
	AgainBytes int64          `json:"bytes_again"`
	Hidden     int64          `json:"messages_hidden"` // marked deleted: UW's POP3 server did not show them
	Format     string         `json:"uidl_format"`
}

// Held is a folder of which something was set aside. The problems of the user tell each
// item, and whether it waits for approve.
type Held struct {
	Host     string         `json:"host"`
	User     ledger.RawName `json:"user"`
	Folder   ledger.RawName `json:"folder"`
	Mailbox  string         `json:"mailbox"`
	Items    int64          `json:"held_items"`
	Messages int64          `json:"held_messages"` // those of the items that are messages
	Bytes    int64          `json:"held_bytes"`    // of the source
}

// Problem is one finding.
type Problem struct {
	Host     string         `json:"host"`
	User     ledger.RawName `json:"user"`
	Folder   ledger.RawName `json:"folder"`
	File     ledger.RawName `json:"file,omitempty"`
	Command  string         `json:"command"` // that said so
	Severity string         `json:"severity"`
	Kind     string         `json:"kind"`
	Offset   *int64         `json:"offset,omitempty"`
	Line     int64          `json:"line,omitempty"`
	Count    int64          `json:"count"`
	Text     string         `json:"text"`
}

// Kind are the problems of one kind.
type Kind struct {
	Kind     string `json:"kind"`
	Severity string `json:"severity"`
	Count    int64  `json:"count"`
	Users    int64  `json:"users"`
	// Listed are some of them, the first that were said; see Review.Problems for all.
	Listed []Problem `json:"-"`

	users map[*User]bool
}

// severities, the mildest first, as report.Severity has them.
var severities = []string{report.Note.String(), report.Attention.String(), report.Failure.String(), report.Difference.String()}
