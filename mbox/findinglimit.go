package mbox

import (
	"fmt"
	"maps"
	"slices"
)

// maxOfKind is how many findings of one kind a mailbox in a directory has: every one of a
// million files may deserve the same. Those about bytes or files that are in no message are
// not limited.
const maxOfKind = 100

// limitedFindings passes the first maxOfKind findings of each kind on and counts the rest.
type limitedFindings struct {
	to func(Finding) // nil: nobody wants them
	n  map[Kind]int
}

func newLimitedFindings(to func(Finding)) limitedFindings {
	return limitedFindings{to: to, n: map[Kind]int{}}
}

func (l *limitedFindings) find(f Finding) {
	if f.Length > 0 || f.Refused {
		if l.to != nil {
			l.to(f)
		}
		return
	}
	l.n[f.Kind]++
	if l.to != nil && l.n[f.Kind] <= maxOfKind {
		l.to(f)
	}
}

// close tells how many of each kind there were in all, where some were left out.
func (l *limitedFindings) close() {
	for _, kind := range slices.Sorted(maps.Keys(l.n)) {
		if n := l.n[kind]; l.to != nil && n > maxOfKind {
			l.to(Finding{Kind: kind, Text: fmt.Sprintf("%d more of this kind in the mailbox", n-maxOfKind)})
		}
	}
}
