package mbox

import (
	"fmt"
	"strings"
)

// UWVersion is the release whose view of unix and mmdf mailboxes is read. Two rules differ
// in what follows from them for mail, and one for keywords (uw-mbox 11.1):
//
//	                          2007                       2002
//	a CR that ends no line    is left out                stays
//	X-UID above the last UID  is the new last UID        UIDVALIDITY is lost
//	long keywords             more than 50 bytes: a      more than 63 bytes: no message
//	                          hole, all after it lost    has it
type UWVersion int

// The versions. The zero value means UW2007, which stands for all releases from 2006 on.
const (
	UW2007 UWVersion = 2007
	UW2002 UWVersion = 2002
)

// Repairs are things that a Reader does which change what UW showed: a set. They are off
// unless they are asked for. Each use is reported with a [Finding].
type Repairs uint8

// The repairs.
const (
	RepairUIDs     Repairs = 1 << iota // uid-sort
	RepairSplit                        // split-header
	RepairJoin                         // join-dateless
	RepairLoose                        // loose-from
	RepairMozilla                      // mozilla-flags
	RepairKeywords                     // keywords
	RepairUnquote                      // unquote-from
	endOfRepairs
)

// repairs has their names and what they do, in one line each.
var repairs = [...]struct {
	repair Repairs
	name   string
	does   string
}{
	{RepairUIDs, "uid-sort", "where UW would renumber a folder whose UIDs are out of order, keep the UIDs that are unique, order by them, and give new ones to the rest"},
	{RepairSplit, "split-header", "begin a new message at a From_ line inside a header"},
	{RepairJoin, "join-dateless", "begin no message at a From_ line whose date is impossible, if no header field follows it"},
	{RepairLoose, "loose-from", "begin a message also at a From_ line with a zone of four letters (CEST) or a day of one column (Jun 2)"},
	{RepairMozilla, "mozilla-flags", "take the flags of X-Mozilla-Status in messages that have neither Status nor X-UID"},
	{RepairKeywords, "keywords", "show keywords that UW lost: not listed, listed too late or too long, folded, or parted by tabs"},
	{RepairUnquote, "unquote-from", "take the > off body lines that begin \">From \""},
}

// Has reports whether all repairs of s are in r.
func (r Repairs) Has(s Repairs) bool { return r&s == s }

// Names returns the names of the repairs in r, always in the same order.
func (r Repairs) Names() (names []string) {
	for _, x := range repairs {
		if r.Has(x.repair) {
			names = append(names, x.name)
		}
	}
	return names
}

// String returns the names, separated by commas.
func (r Repairs) String() string { return strings.Join(r.Names(), ",") }

// ParseRepair returns the repair of that name.
func ParseRepair(name string) (Repairs, error) {
	for _, x := range repairs {
		if x.name == name {
			return x.repair, nil
		}
	}
	return 0, fmt.Errorf("there is no repair %q", name)
}

// RepairHelp returns a line for each repair: its name and what it does.
func RepairHelp() (lines []string) {
	for _, x := range repairs {
		lines = append(lines, fmt.Sprintf("%-14s %s", x.name, x.does))
	}
	return lines
}
