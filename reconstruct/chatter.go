package reconstruct

import "strings"

// A Kind says what a line of reconstruct's output is about.
type Kind string

// Kinds of harmless lines: they come for a mailbox whose index was written by
// somebody who left to reconstruct what derives from the messages, and lose
// nothing. They are counted, not kept.
const (
	// KindName is the name of a mailbox that was gone through.
	KindName Kind = "name"
	// KindDerived is a field of the index computed anew: sent date, size of
	// the header, and the like.
	KindDerived Kind = "derived"
	// KindCache is a cache record or file made.
	KindCache Kind = "cache"
	// KindTotals is a sum in the index header computed anew.
	KindTotals Kind = "totals"
	// KindEntry is the mailboxes.db entry brought in line with the mailbox.
	KindEntry Kind = "entry"
	// KindVersion is an index converted to another minor version.
	KindVersion Kind = "version"
	// KindAdvice is a hint that follows another line.
	KindAdvice Kind = "advice"
)

// Kinds of complaints.
const (
	// KindIndexLost: the index could not be read and a new one was made; all
	// flags, UIDVALIDITY and UIDNEXT are gone.
	KindIndexLost Kind = "index lost"
	// KindHeader: cyrus.header could not be read, or does not fit the index
	// or mailboxes.db (unique id, access control list, flag names).
	KindHeader Kind = "header"
	// KindMissing: a message that the index has is not there, or empty.
	KindMissing Kind = "message missing"
	// KindContent: a message is not the one that the index describes (GUID,
	// size), or cannot be parsed.
	KindContent Kind = "message differs"
	// KindRecord: the index record itself was bad or was changed in what does
	// not derive from the message (dates, flags).
	KindRecord Kind = "record changed"
	// KindAdded: a message file that the index does not have was added under
	// the UID of its name; it has no flags.
	KindAdded Kind = "message added"
	// KindRenumbered: such a file, with a UID that was used up, got a new one.
	KindRenumbered Kind = "message renumbered"
	// KindUIDValidity: the mailbox was given the UIDVALIDITY of mailboxes.db.
	KindUIDValidity Kind = "uidvalidity changed"
	// KindUIDNext: the index's last UID was too low.
	KindUIDNext Kind = "uidnext changed"
	// KindOddFile: a file in the mailbox's directory that Cyrus has no use for.
	KindOddFile Kind = "odd file"
	// KindFailed: something that Cyrus could not do.
	KindFailed Kind = "failed"
	// KindStderr: a line on standard error.
	KindStderr Kind = "standard error"
	// KindUnknown: a line that this package does not know.
	KindUnknown Kind = "unknown line"
	// KindUnvisited: a mailbox that was asked for and never named.
	KindUnvisited Kind = "not visited"
)

// Harmless reports whether lines of this kind are ordinary chatter.
func (k Kind) Harmless() bool {
	switch k {
	case KindName, KindDerived, KindCache, KindTotals, KindEntry, KindVersion, KindAdvice:
		return true
	}
	return false
}

// The lines of reconstruct, 2.4 to 3.12, as imap/mailbox.c and
// imap/reconstruct.c print them. Mailbox names are chosen by users and may
// hold any of these words. So each line is known by its fixed end, or by what
// comes after the last of its marks, never by words in its middle.

// ofMessage are lines "NAME uid N …".
var ofMessage = map[string]Kind{
	"mismatch: sentdate":      KindDerived,
	"mismatch: header_size":   KindDerived,
	"mismatch: gmtime":        KindDerived,
	"mismatch: content_lines": KindDerived,

	"mismatch: size":          KindContent,
	"mismatch: guid":          KindContent,
	"guid mismatch":           KindContent,
	"failed to parse":         KindContent,
	"marking for uid upgrade": KindContent,

	"mismatch: internaldate":  KindRecord,
	"mismatch: savedate":      KindRecord,
	"mismatch: createdmodseq": KindRecord,
	"mismatch: systemflags":   KindRecord,
	"mismatch: internalflags": KindRecord,
	"mismatch: userflags":     KindRecord,
	"snoozed mismatch":        KindRecord,

	"not found":                      KindMissing,
	"already expunged, unlinking":    KindMissing,
	"unlinking as requested with -U": KindMissing,
	"found - adding":                 KindAdded,
	"rediscovered - appending":       KindRenumbered,
}

// ofMailbox are lines "NAME: …".
var ofMailbox = map[string]Kind{
	"failed to read index header":          KindIndexLost,
	"failed to read header file":           KindHeader,
	"header file CRC mismatch, correcting": KindHeader,
	"missing cache file, recreating":       KindCache,
}

// ofTotals are lines "NAME: updating … A => B".
var ofTotals = []string{
	" updating quota_mailbox_used: ",
	" updating quota_annot_used: ",
	" updating quota_deleted_used: ",
	" updating quota_expunged_used: ",
	": updating answered ",
	": updating flagged ",
	": updating deleted ",
	": updating exists ",
	": updating unseen ",
	": updating sync_crc ",
	": updating sync_crc_annot ",
}

// noUniqueID ends the only line besides a name's own that begins with the
// external name (3.4, with -V or -n).
const noUniqueID = " has no uniqueid, needs real reconstruct"

// whole are lines that are always the same.
var whole = map[string]Kind{
	"run reconstruct with -O to remove odd files":    KindAdvice,
	"run reconstruct with -R to fix or -U to remove": KindAdvice,
	// Follows "update acl from header", which is the complaint.
	"XXX - this is a noop right now - needs to update mailboxes.db": KindAdvice,
}

// ofEntry are lines that begin with fixed words, then name the mailbox, up to
// the last of the given marks.
var ofEntry = []struct {
	prefix, end string
	kind        Kind
}{
	// mailboxes.db follows the index: what we want.
	{"Wrong uidvalidity in mbentry, fixing ", " (", KindEntry},
	// The index follows mailboxes.db: with -M, or when it had 0.
	{"Wrong uidvalidity in mailbox, fixing ", " (", KindUIDValidity},
	{"Wrong uniqueid in mbentry, fixing ", " (", KindHeader},
	{"Wrong uniqueid! ", " (", KindHeader},
	{"uniqueid clash with ", " for ", KindHeader},
	{"Missing mboxlist entry for uniqueid - will rewrite ", " (", KindEntry},
	{"mismatched uidvalidity byid ", " (", KindEntry},
	{"mismatched mbtype byid ", " (", KindHeader},
	{"mismatched partition byid ", " (", KindHeader},
	{"mismatched server byid ", " (", KindHeader},
	{"mismatched acl byid ", " (", KindHeader},
	{"Wrong acl in mbentry ", " (", KindHeader},
	{"Converted ", " version ", KindVersion},
	{"Repacked ", " to version ", KindVersion},
	{"FAILED TO REPACK ", " with new version ", KindFailed},
	{"Failed to re-read ", "!", KindFailed},
	{"Error reading mailboxesdb for ", "", KindFailed},
	{"failed to open mailbox ", " (", KindFailed},
}

// A finding is what one line says.
type finding struct {
	kind    Kind
	mailbox string // as printed: external for KindName and KindVersion, else internal
	uid     uint32 // 0 when the line is not about one message
}

// classify reads one line of standard output that is not the name of a mailbox.
func classify(line string) finding {
	if kind, ok := whole[line]; ok {
		return finding{kind: kind}
	}
	// An internal name has no slash, so that the mark of this line cannot be
	// part of a name; its tail, a file's name, could be anything.
	if name, _, ok := strings.Cut(line, " odd file /"); ok {
		return finding{kind: KindOddFile, mailbox: name}
	}
	for _, e := range ofEntry {
		if rest, ok := strings.CutPrefix(line, e.prefix); ok {
			return finding{kind: e.kind, mailbox: named(rest, e.end)}
		}
	}
	for _, read := range []func(string) (finding, bool){readMessage, readMailbox, readTotals, readCache, readRest} {
		if f, ok := read(line); ok {
			return f
		}
	}
	return finding{kind: KindUnknown}
}

// named cuts a name off what follows it.
func named(rest, end string) string {
	if i := strings.LastIndex(rest, end); i >= 0 && end != "" {
		return rest[:i]
	}
	return rest
}

func readMessage(line string) (finding, bool) {
	name, after, ok := cutLast(line, " uid ")
	if !ok {
		return finding{}, false
	}
	uid, what, ok := cutNumber(after)
	if !ok || !strings.HasPrefix(what, " ") {
		return finding{}, false
	}
	what = what[1:]
	if kind, ok := ofMessage[what]; ok {
		return finding{kind, name, uid}, true
	}
	if rest, ok := strings.CutPrefix(what, "future modseq "); ok {
		if _, tail, ok := cutNumber64(rest); ok && tail == " found" {
			return finding{KindTotals, name, uid}, true
		}
	}
	return finding{}, false
}

func readMailbox(line string) (finding, bool) {
	if name, what, ok := cutLast(line, ": "); ok {
		if kind, ok := ofMailbox[what]; ok {
			return finding{kind: kind, mailbox: name}, true
		}
	}
	return finding{}, false
}

// readTotals reads "NAME: updating exists 1 => 3", and of 2.4
// "NAME: updating sync_crc 0000A1B2 => 00C0FFEE".
func readTotals(line string) (finding, bool) {
	for _, mark := range ofTotals {
		name, numbers, ok := cutLast(line, mark)
		if !ok {
			continue
		}
		before, after, ok := strings.Cut(numbers, " => ")
		if ok && number(before) && number(after) {
			return finding{kind: KindTotals, mailbox: name}, true
		}
	}
	return finding{}, false
}

// readCache reads "NAME rewrote cache for 7 (offset 0 to 4, crc 0 to 1/1)".
func readCache(line string) (finding, bool) {
	name, after, ok := cutLast(line, " rewrote cache for ")
	if !ok {
		return finding{}, false
	}
	uid, what, ok := cutNumber(after)
	if !ok || !strings.HasPrefix(what, " (offset ") || !strings.HasSuffix(what, ")") {
		return finding{}, false
	}
	return finding{KindCache, name, uid}, true
}

// readRest reads the lines of other shapes.
func readRest(line string) (finding, bool) {
	if name, after, ok := cutLast(line, " future uid "); ok {
		if uid, what, ok := cutNumber(after); ok && what == " found" {
			return finding{KindUIDNext, name, uid}, true
		}
	}
	// 2.4 and 2.5: the record's CRC is wrong.
	if name, after, ok := cutLast(line, ": record corrupted "); ok {
		if _, what, ok := cutNumber(after); ok && strings.HasPrefix(what, " (maybe uid ") {
			uid, _, _ := cutNumber(strings.TrimPrefix(what, " (maybe uid "))
			return finding{KindRecord, name, uid}, true
		}
	}
	// 3.0 to 3.4: an entry made from a line has no unique id, so that the
	// header's is taken. Any other change is not ours.
	if name, ids, ok := cutLast(line, ": update uniqueid from header "); ok {
		if strings.HasPrefix(ids, "(null) => ") {
			return finding{kind: KindEntry, mailbox: name}, true
		}
		return finding{kind: KindHeader, mailbox: name}, true
	}
	if name, _, ok := cutLast(line, ": update acl from header "); ok {
		return finding{kind: KindHeader, mailbox: name}, true
	}
	if name, ok := strings.CutSuffix(line, noUniqueID); ok {
		return finding{kind: KindHeader, mailbox: name}, true
	}
	if name, _, ok := cutLast(line, ": bogus flag name "); ok {
		return finding{kind: KindHeader, mailbox: name}, true
	}
	return finding{}, false
}

// cutLast cuts s around the last mark.
func cutLast(s, mark string) (before, after string, found bool) {
	i := strings.LastIndex(s, mark)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(mark):], true
}

// cutNumber cuts a UID off the front of s.
func cutNumber(s string) (n uint32, rest string, ok bool) {
	wide, rest, ok := cutNumber64(s)
	return uint32(wide), rest, ok && wide <= 1<<32-1
}

func cutNumber64(s string) (n uint64, rest string, ok bool) {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' && i < 20 {
		n = n*10 + uint64(s[i]-'0')
		i++
	}
	return n, s[i:], i > 0
}

// number reports whether s is one number, decimal with a sign or hexadecimal
// in capitals.
func number(s string) bool {
	s = strings.TrimPrefix(s, "-")
	for i := 0; i < len(s); i++ {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'A' || s[i] > 'F') {
			return false
		}
	}
	return s != ""
}
