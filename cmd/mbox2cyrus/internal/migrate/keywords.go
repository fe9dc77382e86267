package migrate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/internal/plural"
)

// keywords is how a UW folder's keywords became the flags of a Cyrus mailbox.
type keywords struct {
	header  []string // flags for cyrus.header: those that were there, then the folder's
	names   []string // of keyword n, as Cyrus has it; "": it has none
	bits    []int    // of keyword n: number of its flag in the header; -1: a hole, or left out
	left    []string // names of those for which the header has no place
	changes []keywordChange
}

type keywordChange struct{ from, to, why string }

// placeKeywords gives every keyword a flag. Cyrus wants atoms (lib/imparse.c,
// imparse_isatom) and compares them without case; UW took any bytes but a
// space. A name that had to be changed never falls together with another one,
// so that no message gains a keyword that it did not have. Later passes and merges find
// flags in the header; where those and the folder's are too many, the last are left out.
// Of those that are there, ours are what an earlier pass made of the folder's: a name that
// had to be changed becomes again what it was.
func placeKeywords(names, existing, ours []string) *keywords {
	k := &keywords{header: slices.Clone(existing)}
	wanted := map[string]bool{}
	for _, name := range names {
		if cyrusspool.Keyword(name) == name {
			wanted[strings.ToLower(name)] = true
		}
	}
	find := func(name string) int {
		return slices.IndexFunc(k.header, func(have string) bool { return strings.EqualFold(have, name) })
	}
	taken := func(name string) bool {
		bit := find(name)
		return wanted[strings.ToLower(name)] || bit >= 0 && (slices.Contains(k.bits, bit) || !slices.Contains(ours, k.header[bit]))
	}
	for _, name := range names {
		if name == "" { // UW's hole: no message can have it (uw-mbox 3.3)
			k.place("", -1)
			continue
		}
		as := cyrusspool.Keyword(name)
		if base := as; base != name {
			for n := 2; taken(as); n++ {
				as = base + "-" + strconv.Itoa(n)
			}
		}
		bit := find(as)
		if bit < 0 && len(k.header) < cyrusspool.MaxUserFlags {
			bit = len(k.header)
			k.header = append(k.header, as)
		} else if bit < 0 {
			if bit = slices.Index(k.header, ""); bit < 0 { // else of one that Cyrus removed (cyr_expire -t)
				k.left = append(k.left, name)
				k.place("", -1)
				continue
			}
			k.header[bit] = as
		}
		if as != name {
			k.changes = append(k.changes, keywordChange{name, as, "IMAP allows only atoms as keywords"})
		}
		k.place(k.header[bit], bit)
	}
	return k
}

// place says what became of the next keyword.
func (k *keywords) place(name string, bit int) {
	k.names, k.bits = append(k.names, name), append(k.bits, bit)
}

// problems are what is to be told of the keywords of a folder.
func (k *keywords) problems(u *plan.User, m *mailbox) (all []report.Problem) {
	tell := func(severity report.Severity, kind, text string) {
		all = append(all, report.Problem{Severity: severity, User: u.Name, Folder: m.folderName(), Mailbox: m.rec.Name, Offset: -1, Kind: kind, Text: text})
	}
	for _, c := range k.changes {
		tell(report.Note, "keyword-changed", fmt.Sprintf("keyword %s became %s: %s", report.Quote(c.from), c.to, c.why))
	}
	if len(k.left) > 0 {
		tell(report.Attention, "keywords-full", fmt.Sprintf("%s has %d keywords, more than which Cyrus cannot hold in a mailbox, those of earlier passes and its own among them: "+
			"messages arrive without %s of the folder, %s. If this user is undone first, migrate gives the mailbox only those that the folder has now",
			m.rec.Name, cyrusspool.MaxUserFlags, plural.Count(len(k.left), "keyword"), quoteAll(k.left)))
	}
	return all
}

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = report.Quote(name)
	}
	return strings.Join(quoted, ", ")
}

// userFlags turns UW's keyword bits into those of a Cyrus index record.
func (k *keywords) userFlags(bits uint64) (flags [4]uint32) {
	for n, bit := range k.bits {
		if bits&(1<<n) != 0 && bit >= 0 {
			flags[bit/32] |= 1 << (bit % 32)
		}
	}
	return flags
}
