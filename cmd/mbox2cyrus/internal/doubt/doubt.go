// Package doubt says what each kind of finding means: who must look at it, what
// UW does in such a place, and what other readers do. It is one table, [Entries];
// docs/doubts.md shows it.
package doubt

import (
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/mbox"
)

// Entry is what is known of one kind of finding.
type Entry struct {
	Kind mbox.Kind
	// Severity is Attention where mail or marks may be missing, so that a person must
	// look; else Note.
	Severity report.Severity
	// Routine is what nearly every folder has.
	Routine bool
	// What UW does there and what other readers do: a sentence each, without its
	// subject and its full stop.
	UW, Others string
}

// Of returns the entry of a kind. One that is not in the table needs a person.
func Of(kind mbox.Kind) Entry {
	if e, ok := byKind[kind]; ok {
		return e
	}
	return Entry{Kind: kind, Severity: report.Attention}
}

// Problem is a finding as it is reported, without its user, its folder and its
// line.
func Problem(f mbox.Finding) report.Problem {
	e := Of(f.Kind)
	return report.Problem{Severity: e.Severity, File: f.File, Offset: f.Offset, Kind: string(f.Kind), Text: f.Text,
		UW: e.UW, Others: e.Others, Routine: e.Routine}
}

var byKind = func() map[mbox.Kind]Entry {
	m := make(map[mbox.Kind]Entry, len(Entries))
	for _, e := range Entries {
		m[e.Kind] = e
	}
	return m
}()
