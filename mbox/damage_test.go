package mbox

import (
	"cmp"
	"slices"
	"testing"
)

// checkDamage holds a reader to its promise that every byte it counts under ReasonDamage or
// ReasonUnreadable is in one finding, and no other byte is.
func checkDamage(t testing.TB, account Account, findings []Finding) {
	t.Helper()
	var total int64
	ranges := map[string][]Finding{}
	for _, f := range findings {
		if f.Length < 0 || f.Length > 0 && f.Offset < 0 {
			t.Errorf("finding %+v: no range of a file", f)
		}
		if f.Length > 0 {
			total += f.Length
			ranges[f.File] = append(ranges[f.File], f)
		}
	}
	if want := account[ReasonDamage] + account[ReasonUnreadable]; total != want {
		t.Errorf("findings have %d bytes of damage, the account has %d: %v", total, want, findings)
	}
	for file, list := range ranges {
		slices.SortFunc(list, func(a, b Finding) int { return cmp.Compare(a.Offset, b.Offset) })
		for i := 1; i < len(list); i++ {
			if before := list[i-1]; before.Offset+before.Length > list[i].Offset {
				t.Errorf("%q: bytes %d to %d and from %d are damage twice", file, before.Offset, before.Offset+before.Length, list[i].Offset)
			}
		}
	}
}

// TestDamageHasNoLimit: of findings that are alike only the first are told, but those that
// hold bytes are told all.
func TestDamageHasNoLimit(t *testing.T) {
	var told []Finding
	l := newLimitedFindings(func(f Finding) { told = append(told, f) })
	const n = 3 * maxOfKind
	for i := range int64(n) {
		l.find(Finding{Kind: KindDamage, Offset: i, Length: 1})
		l.find(Finding{Kind: KindDamage})
	}
	l.close()
	if want := n + maxOfKind + 1; len(told) != want {
		t.Errorf("%d findings, want %d", len(told), want)
	}
	checkDamage(t, Account{ReasonDamage: n}, told)
}
