package migrate

import (
	"slices"
	"strconv"
	"strings"
)

// keywords is how a UW folder's keywords became the flags of a Cyrus mailbox.
type keywords struct {
	header  []string // flags for cyrus.header: those that were there, then the folder's
	names   []string // of keyword n, as Cyrus has it
	bits    []int    // of keyword n: number of its flag in the header; -1: a hole
	changes []keywordChange
}

type keywordChange struct{ from, to, why string }

// placeKeywords gives every keyword a flag. Cyrus wants atoms (lib/imparse.c,
// imparse_isatom) and compares them without case; UW took any bytes but a
// space. A name that had to be changed never falls together with another one,
// so that no message gains a keyword that it did not have.
func placeKeywords(names, existing []string) *keywords {
	k := &keywords{header: slices.Clone(existing)}
	wanted := map[string]bool{}
	for _, name := range names {
		if isAtom(name) {
			wanted[strings.ToLower(name)] = true
		}
	}
	find := func(name string) int {
		return slices.IndexFunc(k.header, func(have string) bool { return strings.EqualFold(have, name) })
	}
	for _, name := range names {
		if name == "" { // UW's hole: no message can have it (uw-mbox 3.3)
			k.names, k.bits = append(k.names, ""), append(k.bits, -1)
			continue
		}
		as := name
		if !isAtom(name) {
			as = toAtom(name)
			base := as
			for n := 2; wanted[strings.ToLower(as)] || find(as) >= 0; n++ {
				as = base + "-" + strconv.Itoa(n)
			}
			k.changes = append(k.changes, keywordChange{name, as, "IMAP allows only atoms as keywords"})
		}
		bit := find(as)
		if bit < 0 {
			bit = len(k.header)
			k.header = append(k.header, as)
		}
		k.names, k.bits = append(k.names, k.header[bit]), append(k.bits, bit)
	}
	return k
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

func atomByte(c byte) bool {
	return c > ' ' && c < 0x7f && !strings.ContainsRune(`(){%*"\]`, rune(c))
}

func isAtom(s string) bool {
	for i := range len(s) {
		if !atomByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func toAtom(s string) string {
	b := []byte(s)
	for i, c := range b {
		if !atomByte(c) {
			b[i] = '_'
		}
	}
	return string(b)
}
