package samplehost

import "time"

// Options say what host to write. The zero value is a small host with four
// ordinary users, about 200 messages and every oddity that [Write] knows.
type Options struct {
	Seed uint64

	// Users is the number of ordinary users, each with a full set of folders
	// (default 4). The oddities add a few more.
	Users int

	// Messages is the number of messages in all ordinary folders together
	// (default 50 a user, or what Bytes asks for).
	Messages int

	// Bytes is the wished size of all ordinary folders together, 0 for mail
	// of natural size. It is met within a few per cent on hosts of some
	// thousand messages. With Messages set, the bodies are made longer or
	// shorter; without, there are more or fewer messages.
	Bytes int64

	// Plain leaves the oddities away: strange folder names, files that are no
	// mail, the trap mailbox, CRLF files, users without home or inbox. What
	// remains is what a benchmark wants.
	Plain bool

	// InboxOnly puts all messages of an ordinary user into the inbox.
	InboxOnly bool

	// CapitalUsers adds the users "John.Smith" and "MaryAnn".
	CapitalUsers bool

	// Location is the host's time zone, in which From_ lines without a zone
	// are written (default UTC).
	Location *time.Location

	// FirstUID is the numeric id of the first user, the others follow
	// (default 1001). When the caller is root, files are given to their users.
	FirstUID int

	// OmitMessages keeps Folder.Messages empty: a host of many gigabytes then
	// needs no memory for its truth.
	OmitMessages bool
}

// withDefaults fills what was left zero.
func (o Options) withDefaults() Options {
	if o.Users == 0 {
		o.Users = 4
	}
	if o.Messages == 0 {
		o.Messages = 50 * o.Users
		if o.Bytes > 0 {
			o.Messages = max(1, int(o.Bytes/meanMessage))
		}
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.FirstUID == 0 {
		o.FirstUID = 1001
	}
	return o
}

// bodyScale is the factor on the length of bodies that meets Bytes.
func (o Options) bodyScale() float64 {
	if o.Bytes <= 0 {
		return 1
	}
	body := float64(o.Bytes)/float64(o.Messages) - meanHeader
	return max(0.01, body/(meanMessage-meanHeader))
}
