package review

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"mbox2cyrus/cmd/mbox2cyrus/internal/history"
)

// order sorts everything, the worst first, so that a report of the same is the same.
func (r *Review) order(kinds map[string]*Kind) {
	r.Kinds = slices.SortedFunc(maps.Values(kinds), func(a, b *Kind) int {
		return cmp.Or(slices.Index(severities, b.Severity)-slices.Index(severities, a.Severity), strings.Compare(a.Kind, b.Kind))
	})
	slices.SortFunc(r.Users, func(a, b *User) int {
		return cmp.Or(slices.Index(States, b.State)-slices.Index(States, a.State), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(r.Names, func(a, b Rename) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.User, b.User), cmp.Compare(a.Old, b.Old))
	})
	slices.SortFunc(r.POP3, func(a, b POP3) int {
		return cmp.Or(cmp.Compare(b.AgainBytes, a.AgainBytes), cmp.Compare(a.Host, b.Host), cmp.Compare(a.User, b.User))
	})
	slices.SortFunc(r.Held, func(a, b Held) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.User, b.User), cmp.Compare(a.Folder, b.Folder))
	})
	for _, k := range r.Kinds {
		slices.SortStableFunc(k.Listed, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.User, b.User), cmp.Compare(a.Folder, b.Folder))
		})
	}
}

// sum adds everything up.
func (r *Review) sum() {
	t := &r.Totals
	t.ByState = map[State]int64{}
	state := Proved
	for _, h := range r.Hosts {
		t.Hosts++
		state = worse(state, h.State)
		for _, run := range h.Runs {
			if run.Command == history.Migrate {
				t.Seconds += run.Seconds
			}
		}
	}
	for _, u := range r.Users {
		t.Users++
		t.ByState[u.State]++
		t.Folders += u.Folders
		t.Messages += u.Messages
		t.Verified += u.Verified
		t.Bytes += u.Bytes
		t.Held += u.Held
		t.Renamed += u.Renamed
	}
	for _, p := range r.POP3 {
		if p.Again > 0 {
			t.POP3Users++
			t.POP3Messages += p.Again
			t.POP3Bytes += p.AgainBytes
		}
	}
	for _, held := range r.Held {
		t.HeldBytes += held.Bytes
	}
	for _, k := range r.Kinds {
		t.ProblemsTotal += k.Count
	}
	t.ExitCode = state.exitCode()
}
