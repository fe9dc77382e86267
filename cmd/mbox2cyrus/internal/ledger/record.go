package ledger

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// State is how far a mailbox has come. Each state is durable before the next
// is begun.
type State string

const (
	// Begun: its unique id is chosen; its directory may hold anything.
	Begun State = "begun"
	// Filled: message files, header, index and manifest are complete on disk,
	// but Cyrus may not know of it yet.
	Filled State = "filled"
	// Verified: Cyrus rebuilt its index and the index says what the source said.
	Verified State = "verified"
	// Undoing: the mailbox is being taken out of Cyrus again and may be half gone.
	Undoing State = "undoing"
	// Undone: Cyrus is as it was before the mailbox was begun. It is forgotten.
	Undone State = "undone"
)

// RawName is a name from the UW host, any bytes. In JSON it is a string where
// it is UTF-8, else {"b64": …}.
type RawName string

// MarshalJSON implements json.Marshaler.
func (n RawName) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal(map[string]string{"b64": base64.StdEncoding.EncodeToString([]byte(n))})
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *RawName) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err == nil {
		*n = RawName(s)
		return nil
	}
	var m struct {
		B64 []byte `json:"b64"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	*n = RawName(m.B64)
	return nil
}

// Mailbox is the state of one Cyrus mailbox that this program makes.
type Mailbox struct {
	State     State   `json:"state"`
	User      RawName `json:"user"`   // login on the UW host
	Folder    RawName `json:"folder"` // name on the UW host; "" for a mailbox made only as a parent
	Name      string  `json:"mailbox"`
	UniqueID  string  `json:"uniqueid"`
	Partition string  `json:"partition"`
	Dir       string  `json:"dir"` // below the partition
	Adopted   bool    `json:"adopted,omitempty"`
	// Recognised: the state directory was lost, and the mailbox was found to hold what the
	// folder holds. Whether this program made it is not known.
	Recognised bool `json:"recognised,omitempty"`
	// Merged: messages were appended to mail that Cyrus had, of which Original is what it
	// was, and nobody changed it between the passes.
	Merged   bool `json:"merged,omitempty"`
	QuotaSet bool `json:"quota_set,omitempty"` // of one of his mailboxes: the user had no quota, and was given one

	Source     RawName          `json:"source,omitempty"` // path below the source root
	SourceID   *FileID          `json:"source_id,omitempty"`
	Rules      string           `json:"rules,omitempty"`        // flags that changed what was read of it; "": none
	Bytes      map[string]int64 `json:"source_bytes,omitempty"` // bytes of the source by reason; they add up to its size
	Held       *Held            `json:"held,omitempty"`         // nil: nothing
	Messages   int64            `json:"messages"`
	Size       int64            `json:"size"` // bytes of all messages in Cyrus
	Keywords   []string         `json:"keywords,omitempty"`
	Manifest   string           `json:"manifest,omitempty"` // file below manifests/
	UIDValid   uint32           `json:"uidvalidity,omitempty"`
	UIDNext    uint32           `json:"uidnext,omitempty"`
	IndexID    *FileID          `json:"index_id,omitempty"`        // cyrus.index as verified
	NewUIDVald bool             `json:"new_uidvalidity,omitempty"` // the source had none that could be kept
	Assigned   bool             `json:"assigned,omitempty"`        // UIDs are not the source's: those of an earlier pass were kept
	FirstUID   uint32           `json:"first_uid,omitempty"`       // of our messages, in a mailbox to which they were appended
	Previous   string           `json:"previous,omitempty"`        // manifest of the pass before, until this one is verified
	// Mixed: runs that were cut off wrote an index that Cyrus changed since, and what is new is
	// being appended to that. Until it is verified.
	Mixed bool `json:"mixed,omitempty"`

	// What undo must know of the time before.
	MadeDirs  []MadeDir   `json:"made_dirs,omitempty"`  // those above Dir that were not there
	Original  *Original   `json:"original,omitempty"`   // of an adopted mailbox
	UserFiles []UserFiles `json:"user_files,omitempty"` // of an INBOX: what its user had besides mailboxes; the first has the subscriptions
	Stamp     *FileID     `json:"stamp,omitempty"`      // of a merged mailbox: Cyrus's stamp of its last start, before the first append
	Keep      *Counters   `json:"keep,omitempty"`       // of a merged mailbox that is undone: what clients may have seen
}

// Manifests are the names that the manifest of a mailbox can have. A pass writes the one
// that the index, as it is, is not of: that one is needed until the new index is verified.
func (m Mailbox) Manifests() []string { return []string{m.UniqueID + ".tsv", m.UniqueID + ".1.tsv"} }

// OtherManifest is the name that is not this one.
func (m Mailbox) OtherManifest(name string) string {
	names := m.Manifests()
	if name == names[0] {
		return names[1]
	}
	return names[0]
}

// Held is how much of a folder is in no message, and listed in HeldDir.
type Held struct {
	Items    int64 `json:"items"`
	Bytes    int64 `json:"bytes"`
	Messages int64 `json:"messages,omitempty"` // items that are messages, but larger than Cyrus's index can say
	// Of the file with the bytes; "" and 0: not known.
	MboxSize int64  `json:"mbox_size,omitempty"`
	MboxSHA1 string `json:"mbox_sha1,omitempty"`
}

// Counters are what of a mailbox may never go back once a client has seen it.
type Counters struct {
	UIDNext       uint32 `json:"uidnext"`
	HighestModSeq uint64 `json:"highestmodseq"`
}

// Run marks where a run began and with what.
type Run struct {
	Start      time.Time `json:"start"`
	Program    string    `json:"program"`
	SourceRoot string    `json:"source_root"`
	IMAPDConf  string    `json:"imapd_conf"`
	Cyrus      string    `json:"cyrus"`
	// Marks are what the UW host is told by from others (mbox.Host.Marks).
	Marks map[string]string `json:"marks,omitempty"`
	// Zone is this machine's, by its offsets from UTC, if dates that name no zone were read in it.
	Zone string `json:"zone,omitempty"`
}

// End marks how a run ended.
type End struct {
	Time     time.Time `json:"time"`
	ExitCode int       `json:"exit_code"`
	Bytes    int64     `json:"bytes,omitempty"`   // of the folders that were read, because they were new or changed
	Seconds  float64   `json:"seconds,omitempty"` // from the start
}
