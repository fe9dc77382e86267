package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// How many problems of one kind people are shown one by one. The others are
// counted for them; JSON and the log file have all.
const (
	notesOfUser      = 3  // of one user
	notesOfHost      = 50 // of all users together
	attentionsOfUser = 10 // of one user; of all together there is no limit
)

// alike keeps what people read short where many problems are alike. Failures
// and differences are always shown.
type alike struct {
	explained map[string]bool             // kinds
	users     map[string]map[string]tally // by user who is being worked on, by kind
	notes     map[string]tally            // of all users, by kind
	hid       bool                        // something was not shown, and said so
}

// tally counts problems that were shown, and others that were not.
type tally struct{ shown, hidden int64 }

func newAlike() alike {
	return alike{explained: map[string]bool{}, users: map[string]map[string]tally{}, notes: map[string]tally{}}
}

// first reports whether it is asked about the kind for the first time.
func (a *alike) first(kind string) bool {
	first := !a.explained[kind]
	a.explained[kind] = true
	return first
}

// show reports whether people are to see p, and counts it.
func (a *alike) show(p Problem) bool {
	if p.Severity > Attention {
		return true
	}
	note := p.Severity == Note
	host := a.notes[p.Kind]
	if note && host.shown >= notesOfHost {
		host.hidden += p.count()
		a.notes[p.Kind] = host
		return false
	}
	if p.User != "" && !a.showUser(p) {
		return false
	}
	if note {
		host.shown++
		a.notes[p.Kind] = host
	}
	return true
}

func (a *alike) showUser(p Problem) bool {
	kinds := a.users[p.User]
	if kinds == nil {
		kinds = map[string]tally{}
		a.users[p.User] = kinds
	}
	limit := int64(notesOfUser)
	if p.Severity == Attention {
		limit = attentionsOfUser
	}
	t := kinds[p.Kind]
	show := t.shown < limit
	if show {
		t.shown++
	} else {
		t.hidden += p.count()
	}
	kinds[p.Kind] = t
	return show
}

// endUser forgets a user and says how much was not shown of him; "" if nothing.
func (a *alike) endUser(name string) string {
	kinds := a.users[name]
	delete(a.users, name)
	hidden := hiddenOf(kinds)
	if hidden == "" {
		return ""
	}
	a.hid = true
	return fmt.Sprintf("mbox2cyrus: user %s: more of the same, not shown:%s", Quote(name), hidden)
}

// end says how much was not shown otherwise.
func (a *alike) end() (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(a.users)) {
		if line := a.endUser(name); line != "" {
			lines = append(lines, line)
		}
	}
	if hidden := hiddenOf(a.notes); hidden != "" {
		lines = append(lines, fmt.Sprintf("mbox2cyrus: notes beyond the first %d of a kind, not shown:%s", notesOfHost, hidden))
		a.hid = true
	}
	if a.hid {
		lines = append(lines, "mbox2cyrus: --json and --log-file have every problem")
	}
	return lines
}

// hiddenOf lists the kinds of which something was not shown.
func hiddenOf(kinds map[string]tally) string {
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if n := kinds[kind].hidden; n > 0 {
			fmt.Fprintf(&b, " %s %d", kind, n)
		}
	}
	return b.String()
}
