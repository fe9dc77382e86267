// Package held keeps what of a folder cannot be carried into Cyrus: its original bytes,
// where they were and why, in the state directory, until a person has approved of it and
// after.
//
//	held/ID.jsonl   the list: one [Item] a line, of the mailbox with that unique id
//	held/ID.mbox    their bytes, one message an item, see [Writer]
//
// docs/held.md describes both.
package held

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
)

// TooLarge is the reason of a message that Cyrus's index cannot describe, or that is
// larger than the administrator wants it. Other reasons are kinds of an mbox.Finding.
const TooLarge = "too-large"

// Item is one thing that is held: a range of bytes of a file, or a file that must not be
// opened.
type Item struct {
	ID     string         `json:"id"`
	User   ledger.RawName `json:"user"`
	Folder ledger.RawName `json:"folder"`
	Source ledger.RawName `json:"source"`         // path below the source root
	File   ledger.RawName `json:"file,omitempty"` // which file of a folder that has several
	Offset int64          `json:"offset"`
	Length int64          `json:"length"` // bytes
	Reason string         `json:"reason"`
	Text   string         `json:"text"`
	// SHA1 is of the bytes, in hexadecimal; "" where there are none, because the file
	// must not be opened.
	SHA1 string `json:"sha1,omitempty"`
}

// identify gives the item its id: the same for the same bytes at the same place held for
// the same reason, whenever and wherever the program runs.
func (it *Item) identify() error {
	all := *it
	all.ID = ""
	if all.SHA1 != "" {
		all.Text = "" // wording may change; the bytes tell
	}
	b, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("held item: %w", err)
	}
	sum := sha256.Sum256(b)
	it.ID = hex.EncodeToString(sum[:idBytes])
	return nil
}

// idBytes is how many bytes of the digest an id shows: few enough for a person to copy. Two
// of a million items are alike once in 30 million hosts.
const idBytes = 8
