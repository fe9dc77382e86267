package mbox

import (
	"cmp"
	"fmt"
	"slices"
)

// Skipped is one thing on the host that is not delivered as a folder, with the
// reason. Whatever is found and not returned as mail is returned as one of these:
// nothing is passed over in silence.
type Skipped struct {
	User         string   // name of the user it concerns, "" if none is known
	Path         string   // raw path below the source root
	Kind         SkipKind // stable, for programs
	Text         string   // what it is and what to do about it, for an administrator; printable
	MayHoldMail  bool     // it may hold mail that is not converted: a person should look
	Subscription string   // for [SkipSubscription]: the line of the subscription file, raw
}

// SkipKind says why something was skipped. The values are stable.
type SkipKind string

// The kinds of [Skipped].
const (
	SkipPasswdLine       SkipKind = "passwd-line"          // a line of passwd that names no user
	SkipUserName         SkipKind = "user-name"            // a user name that is no safe file name
	SkipDuplicateUser    SkipKind = "duplicate-user"       // a second line for one name
	SkipNoMail           SkipKind = "no-mail"              // a user with neither inbox nor home
	SkipNoHome           SkipKind = "no-home"              // a user with an inbox whose home is missing
	SkipConfig           SkipKind = "c-client-config"      // what c-client's configuration says about the layout
	SkipHidden           SkipKind = "hidden"               // a mailbox that UW does not list, as its name begins with a dot
	SkipNoUser           SkipKind = "no-user"              // in the inbox directory, but no user of that name
	SkipSystemUser       SkipKind = "system-user"          // mail of a user below the least uid
	SkipInboxElsewhere   SkipKind = "inbox-elsewhere"      // a place for INBOX mail that UW does not show as INBOX
	SkipLockFile         SkipKind = "lock-file"            // *.lock, no mail in it
	SkipDotFile          SkipKind = "dot-file"             // in the inbox directory
	SkipBogus            SkipKind = "bogus-file"           // BOGUS.*: mail.local put it aside
	SkipDirectory        SkipKind = "directory"            // a directory where a file belongs
	SkipFormat           SkipKind = "format-not-supported" // mail, in a format that is not read
	SkipNotFolder        SkipKind = "not-a-folder"         // a file in no mailbox format
	SkipSubscriptionFile SkipKind = "subscription-file"    // .mailboxlist, .mlbxlsttmp
	SkipSubscription     SkipKind = "subscription"         // one name of it that is not kept
	SkipOutside          SkipKind = "outside-mail-dir"     // a subscribed folder in the home, not below the mail directory
	SkipHomeMail         SkipKind = "mail-in-home"         // mailboxes in the home, not subscribed to, not below the mail directory
	SkipSymlink          SkipKind = "symlink"              // never followed below a home
	SkipFIFO             SkipKind = "fifo"                 // never opened
	SkipSocket           SkipKind = "socket"               // never opened
	SkipDevice           SkipKind = "device"               // never opened
	SkipWrongOwner       SkipKind = "wrong-owner"          // not the user's, or root's and private
	SkipSparse           SkipKind = "sparse"               // mail with gigabytes of holes, which would take hours to read
	SkipTooDeep          SkipKind = "too-deep"             // directories nested beyond maxDepth
	SkipUnreadable       SkipKind = "unreadable"           // the system refused to read it
	SkipChanged          SkipKind = "changed"              // replaced while it was looked at
	SkipApart            SkipKind = "server-directory"     // a directory of the mail server that is written to
	SkipLimit            SkipKind = "limit"                // more than the reader is willing to hold
)

// maxSkipped bounds what a hostile directory can make us remember. Beyond it the
// entries are only counted by kind.
const maxSkipped = 10_000

// skipList gathers Skipped in bounded memory.
type skipList struct {
	list []Skipped
	more map[SkipKind]*overflow
}

// overflow counts the entries of one kind that found no more room.
type overflow struct {
	n    int
	mail bool
}

func (l *skipList) add(s Skipped) {
	if len(l.list) < maxSkipped {
		l.list = append(l.list, s)
		return
	}
	if l.more == nil {
		l.more = make(map[SkipKind]*overflow)
	}
	o := l.more[s.Kind]
	if o == nil {
		o = &overflow{}
		l.more[s.Kind] = o
	}
	o.n++
	o.mail = o.mail || s.MayHoldMail
}

// result returns what was gathered, sorted by path, with one closing entry for
// each kind that overflowed. user and path label those.
func (l *skipList) result(user, path string) []Skipped {
	slices.SortStableFunc(l.list, func(a, b Skipped) int { return cmp.Compare(a.Path, b.Path) })
	kinds := make([]SkipKind, 0, len(l.more))
	for k := range l.more {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	list := l.list
	for _, k := range kinds {
		o := l.more[k]
		list = append(list, Skipped{
			User: user, Path: path, Kind: SkipLimit, MayHoldMail: o.mail,
			Text: fmt.Sprintf("%d more entries of kind %s are not listed one by one", o.n, k),
		})
	}
	return list
}
