package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestPeopleSeeTheFirstOfManyAlike(t *testing.T) {
	var out, errs, log bytes.Buffer
	r := New(Options{Stdout: &out, Stderr: &errs, Log: &log, LogLevel: Info, Command: "plan"})
	const users, each = 40, 20
	for u := range users {
		name := fmt.Sprintf("user%d", u)
		for i := range each {
			r.Problem(Problem{Severity: Note, User: name, Offset: int64(i), Line: 1, Kind: "nul", Text: "a note", UW: "does this", Others: "do that"})
			r.Problem(Problem{Severity: Attention, User: name, Offset: int64(i), Kind: "damage", Text: "an attention"})
			r.Problem(Problem{Severity: Failure, User: name, Offset: -1, Kind: "unreadable", Text: "a failure"})
		}
		r.User(name)
	}
	if _, err := r.Finish(0); err != nil {
		t.Fatal(err)
	}
	text := errs.String()
	for what, want := range map[string]int{
		"a note":               notesOfHost,
		"an attention":         users * attentionsOfUser,
		"a failure":            users * each,
		"UW does this.":        1,
		"more of the same":     users,
		"damage 10":            users,
		"nul 17 damage":        0, // kinds are sorted
		"notes beyond the":     1,
		"offset 3, line 1:":    0,
		"offset 2, line 1:":    notesOfHost / notesOfUser,
		"Other readers: do th": 1,
	} {
		if got := strings.Count(text, what); got != want {
			t.Errorf("%q comes %d times, want %d", what, got, want)
		}
	}
	if got := strings.Count(log.String(), `"kind":"nul"`); got != users*each {
		t.Errorf("the log has %d notes, want %d", got, users*each)
	}
	s := r.Totals()
	if s.ByKind["nul"] != users*each || s.Attentions != users*each {
		t.Errorf("summary: %+v", s)
	}
}

// TestNothingIsHiddenAndForgotten: shown and hidden add up to all, whatever comes.
func TestNothingIsHiddenAndForgotten(t *testing.T) {
	a := newAlike()
	var shown, all int64
	for i := range 3000 {
		p := Problem{Severity: Severity(i % 2), User: fmt.Sprintf("u%d", i%17), Kind: fmt.Sprintf("k%d", i%4), Count: int64(i % 3)}
		all += p.count()
		if a.show(p) {
			shown += p.count()
		}
	}
	var hidden int64
	for _, line := range a.end() {
		_, list, _ := strings.Cut(line, "not shown:")
		fields := strings.Fields(list)
		for i := 1; i < len(fields); i += 2 {
			var n int64
			if _, err := fmt.Sscan(fields[i], &n); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			hidden += n
		}
	}
	if shown+hidden != all || hidden == 0 || shown == 0 {
		t.Errorf("%d shown, %d hidden, %d in all", shown, hidden, all)
	}
}

func TestEverythingIsShownWhenAsked(t *testing.T) {
	var out, errs bytes.Buffer
	r := New(Options{Stdout: &out, Stderr: &errs, Everything: true, Command: "inspect"})
	for i := range 200 {
		r.Problem(Problem{Severity: Note, Folder: "f", File: ".mix1", Offset: int64(i), Kind: "nul", Text: "a note", UW: "does this", Others: "do that"})
	}
	if got := strings.Count(errs.String(), "f: .mix1: offset"); got != 200 {
		t.Errorf("%d notes are shown", got)
	}
	if got := strings.Count(errs.String(), "UW does this"); got != 1 {
		t.Errorf("explained %d times", got)
	}
}

func TestProblemInJSON(t *testing.T) {
	m := Problem{Folder: "box", File: "caf\xe9", Offset: 0, Line: 1, Kind: "k", Text: "t", UW: "u", Others: "o", Count: 3}.object()
	if m["file_b64"] != "Y2Fm6Q==" || m["line"] != int64(1) || m["uw"] != "u" || m["other_readers"] != "o" || m["count"] != int64(3) {
		t.Errorf("%v", m)
	}
	m = Problem{Offset: -1, Kind: "k"}.object()
	for _, key := range []string{"file", "line", "offset", "uw", "count"} {
		if _, has := m[key]; has {
			t.Errorf("%s is there for a problem of no place", key)
		}
	}
}
