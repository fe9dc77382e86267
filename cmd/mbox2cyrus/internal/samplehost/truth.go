package samplehost

import (
	"crypto/sha256"
	"time"
)

// Truth is what a host holds, as UW IMAP would serve it.
type Truth struct {
	Root  string // the directory that plays the host's root
	Users []User // in the order of etc/passwd
	// Strays are files in var/mail that belong to no user, relative to Root.
	Strays []string
}

// User is one account of etc/passwd that people log in to.
type User struct {
	Name     string
	UID, GID int
	Home     string // relative to the root, "" if the home directory is missing
	Folders  []Folder
	NotMail  []NotMail
	// Subscribed names the folders that .mailboxlist subscribes, in its order:
	// "INBOX" or a name below the mail directory, each once, all existing.
	Subscribed []string
	// SubscribedElsewhere are the lines of .mailboxlist that name no folder of
	// this user: folders removed long ago, other hosts ("{host}x"), news
	// ("#news.x").
	SubscribedElsewhere []string
}

// Folder is one UW mailbox file.
type Folder struct {
	// Name is the UW name below the mail directory with "/" between levels,
	// in the file system's bytes; "INBOX" for the inbox.
	Name string
	// Inbox tells the inbox from a folder called INBOX below the mail directory.
	Inbox bool
	Path  string // relative to the root
	// UIDValidity is 0 if the file records none: UW then makes one up each time.
	UIDValidity uint32
	UIDNext     uint32
	Keywords    []string // the mailbox's keyword list, in its order
	Count       int      // number of messages
	Bytes       int64    // sum of the messages' sizes (RFC822.SIZE)
	// Messages has Count entries in file order, or none if
	// [Options].OmitMessages was set.
	Messages []Message
}

// Message is what UW IMAP serves for one message. Flags and Keywords are
// shared between messages: treat them as read-only.
type Message struct {
	Offset       int64 // of its From_ line in the folder's file
	UID          uint32
	Flags        []string // system flags other than \Recent, sorted
	Keywords     []string // in the order of the mailbox's keyword list
	InternalDate time.Time
	Size         int64             // octets of BODY[]
	SHA256       [sha256.Size]byte // of BODY[]
}

// NotMail is a file among the folders that is no mailbox.
type NotMail struct {
	Path string // relative to the root
	Why  string
}

// The five system flags that UW keeps in Status and X-Status, as bits.
const (
	answered = 1 << iota
	deleted
	draft
	flagged
	seen
)

// flagNames has the IMAP names of a set of flag bits, for each of the 32 sets.
var flagNames = func() (sets [32][]string) {
	names := []string{`\Answered`, `\Deleted`, `\Draft`, `\Flagged`, `\Seen`}
	for set := range sets {
		for bit, name := range names {
			if set&(1<<bit) != 0 {
				sets[set] = append(sets[set], name)
			}
		}
	}
	return sets
}()
