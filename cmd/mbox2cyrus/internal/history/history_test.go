package history

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

var start = time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC)

// run is one run: what a reporter says in it.
func run(t *testing.T, state, command string, stopped bool, say func(*report.Reporter)) {
	t.Helper()
	r, err := Begin(state, Run{Command: command, Start: start, Host: "old"})
	if err != nil {
		t.Fatal(err)
	}
	rep := report.New(report.Options{Stdout: discard{}, Stderr: discard{}, Command: command})
	rep.SetRecord(r)
	say(rep)
	if _, err := rep.Finish(0); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(stopped); err != nil {
		t.Fatal(err)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// holding are the lines that hold, in short.
func holding(t *testing.T, state, command string) []string {
	t.Helper()
	l, err := Read(state, command)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	if err := l.Each(func(ln Line) error {
		lines = append(lines, fmt.Sprintf("%s %s/%s %s x%d", ln.Type, ln.User, ln.Folder, ln.Kind, ln.Count))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

func note(user, folder, kind string, offset int64) report.Problem {
	return report.Problem{User: user, Folder: folder, Kind: kind, Text: kind, Offset: offset}
}

// TestVerifySaysAllAnew: it reads no folder as migrate does, and all that it says of a user is
// true of that run alone.
func TestVerifySaysAllAnew(t *testing.T) {
	state := t.TempDir()
	for n := range 2 * compactEvery {
		run(t, state, Verify, false, func(r *report.Reporter) {
			if n != 1 {
				r.Problem(report.Problem{Severity: report.Attention, User: "ann", Folder: "f", Kind: "newer-mail", Offset: -1})
			}
			r.Folder(report.Folder{User: "ann", Folder: "f", Found: 3, Verified: 3})
			r.User("ann")
		})
		want := []string{"folder ann/f  x0"}
		if n != 1 {
			want = append(want, "problem ann/f newer-mail x0")
		}
		if diff := cmp.Diff(want, holding(t, state, Verify)); diff != "" {
			t.Errorf("after run %d:\n%s", n+1, diff)
		}
	}
}

func TestTheLastRunOfEachUserCounts(t *testing.T) {
	state := t.TempDir()
	run(t, state, Migrate, false, func(r *report.Reporter) {
		r.Problem(note("", "", "no-locks", -1))
		for _, user := range []string{"ann", "caf\xe9"} {
			r.Problem(note(user, "f", "name-dot", -1))
			r.Problem(note(user, "f", "nul", 7))
			r.Problem(report.Problem{Severity: report.Attention, User: user, Folder: "g", Kind: "busy", Offset: -1})
			r.Folder(report.Folder{User: user, Folder: "f", Found: 3, Written: 3, Read: true})
			r.Folder(report.Folder{User: user, Folder: "g", Found: 1, Written: 1, Read: true})
			r.User(user)
		}
	})
	want := []string{
		"folder ann/f  x0", "folder ann/g  x0", "folder caf\xe9/f  x0", "folder caf\xe9/g  x0",
		"problem / no-locks x0",
		"problem ann/f name-dot x0", "problem ann/f nul x0", "problem ann/g busy x0",
		"problem caf\xe9/f name-dot x0", "problem caf\xe9/f nul x0", "problem caf\xe9/g busy x0",
	}
	if diff := cmp.Diff(want, holding(t, state, Migrate)); diff != "" {
		t.Errorf("after one run:\n%s", diff)
	}

	// Ann's folder f has not changed: it was not read, and what was found in it is
	// still true. Whatever the plan says is said anew, or no longer.
	run(t, state, Migrate, false, func(r *report.Reporter) {
		r.Folder(report.Folder{User: "ann", Folder: "f", Found: 3, Unchanged: true})
		r.Folder(report.Folder{User: "ann", Folder: "g", Found: 1, Written: 1, Read: true})
		r.User("ann")
	})
	// The third one is stopped: it says something of ann, but does not finish her.
	run(t, state, Migrate, true, func(r *report.Reporter) {
		r.Problem(report.Problem{Severity: report.Failure, User: "ann", Kind: "half", Offset: -1})
	})
	want = []string{
		"folder ann/f  x0", "folder ann/g  x0", "folder caf\xe9/f  x0", "folder caf\xe9/g  x0",
		"problem ann/f nul x0",
		"problem caf\xe9/f name-dot x0", "problem caf\xe9/f nul x0", "problem caf\xe9/g busy x0",
	}
	if diff := cmp.Diff(want, holding(t, state, Migrate)); diff != "" {
		t.Errorf("after three runs:\n%s", diff)
	}

	// Read again, it has nothing doubtful any more.
	run(t, state, Migrate, false, func(r *report.Reporter) {
		r.Folder(report.Folder{User: "ann", Folder: "f", Found: 3, Read: true})
		r.User("ann")
	})
	run(t, state, Migrate, false, func(r *report.Reporter) {
		r.Folder(report.Folder{User: "ann", Folder: "f", Found: 3, Unchanged: true})
		r.User("ann")
	})
	if got := holding(t, state, Migrate); slices.Contains(got, "problem ann/f nul x0") {
		t.Errorf("a finding of a folder that was read again is still there: %q", got)
	}
	l, err := Read(state, Migrate)
	if err != nil {
		t.Fatal(err)
	}
	fine := func(l Line) bool { return l.Attentions == 0 && l.Failures == 0 && l.Differences == 0 && l.Held == 0 }
	if ann, other := l.Users["ann"], l.Users["caf\xe9"]; !fine(ann) || ann.Run != 5 || fine(other) || other.Run != 1 {
		t.Errorf("ann: %+v, the other: %+v", ann, other)
	}
	if len(l.Runs) != 5 || l.Last().End == nil || l.Last().Host != "old" || len(l.Last().Samples) == 0 {
		t.Errorf("runs: %+v", l.Runs)
	}
}

func TestObsoleteLinesAreRemoved(t *testing.T) {
	state := t.TempDir()
	size := func() int64 {
		st, err := os.Stat(Path(state, Migrate))
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	var first int64
	for n := range keptRuns + 20 {
		run(t, state, Migrate, false, func(r *report.Reporter) {
			for i := range 100 {
				r.Problem(note("ann", "f", "nul", int64(i)))
			}
			r.Folder(report.Folder{User: "ann", Folder: "f", Found: 3, Read: true})
			r.User("ann")
		})
		if n == 0 {
			first = size()
		}
	}
	if l, err := Read(state, Migrate); err != nil || len(l.Runs) != keptRuns || l.Last().Number != keptRuns+20 {
		t.Errorf("%d runs, %v", len(l.Runs), err)
	}
	if now, limit := size(), 2*first+keptRuns*2000; now > limit {
		t.Errorf("the file has %d bytes, after the first run it had %d: that is more than %d", now, first, limit)
	}
}

// TestFindingsOutliveARunThatSaidNothingOfTheirFolder: where the last run before a history is
// written anew failed a user, or left a folder that was locked, what was found in the folder is
// still true when the next one finds it unchanged.
func TestFindingsOutliveARunThatSaidNothingOfTheirFolder(t *testing.T) {
	for _, fails := range []bool{false, true} { // Cyrus's programs for this user, in the first run too
		state := t.TempDir()
		unchanged := func(r *report.Reporter) {
			r.Folder(report.Folder{User: "ann", Folder: "f", Mailbox: "user.ann.f", Found: 3, Unchanged: true})
			r.User("ann")
		}
		failed := func(r *report.Reporter) {
			r.Problem(report.Problem{Severity: report.Failure, User: "ann", Kind: "user-failed", Offset: -1})
			r.User("ann")
		}
		run(t, state, Migrate, false, func(r *report.Reporter) {
			r.Problem(report.Problem{Severity: report.Attention, User: "ann", Folder: "f", Mailbox: "user.ann.f", Kind: "keywords-lost", Offset: 7})
			if fails {
				failed(r)
				return
			}
			r.Folder(report.Folder{User: "ann", Folder: "f", Mailbox: "user.ann.f", Found: 3, Written: 3, Read: true})
			r.User("ann")
		})
		for range compactEvery {
			run(t, state, Migrate, false, failed)
		}
		want := []string{"folder ann/f  x0", "problem ann/f keywords-lost x0"}
		for range compactEvery {
			run(t, state, Migrate, false, unchanged)
			if diff := cmp.Diff(want, holding(t, state, Migrate)); diff != "" {
				t.Fatalf("it failed in the first run %t: %s", fails, diff)
			}
		}
	}
}

// TestUnfinishedIsRemoved: what a run left that was killed while it wrote the history anew
// goes with the next one, and nothing else.
func TestUnfinishedIsRemoved(t *testing.T) {
	state := t.TempDir()
	once := func() { run(t, state, Migrate, false, func(r *report.Reporter) { r.User("ann") }) }
	once()
	dir := filepath.Dir(Path(state, Migrate))
	for _, name := range []string{".migrate.jsonl3287105666", ".verify.jsonl12", ".migrate.jsonl.bak"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	once()
	entries, err := os.ReadDir(dir)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{".migrate.jsonl.bak", ".verify.jsonl12", "migrate.jsonl"}; err != nil || !slices.Equal(left, want) {
		t.Errorf("%q, %v; want %q", left, err, want)
	}
}

// TestManyAlikeAreCounted: they are, as long as the folder that has them is as it was.
func TestManyAlikeAreCounted(t *testing.T) {
	state := t.TempDir()
	folder := report.Folder{User: "ann", Folder: "caf\xe9", Mailbox: "user.ann.f"}
	for n := range int64(compactEvery + 2) {
		run(t, state, Migrate, false, func(r *report.Reporter) {
			folder.Read, folder.Unchanged = n == 0, n > 0
			for i := range maxAlike + 50 {
				p := note(folder.User, folder.Folder, "nul", int64(i))
				p.Mailbox, p.Count = folder.Mailbox, 2
				if folder.Read {
					r.Problem(p)
				}
			}
			if folder.Read { // for a person: not among the notes
				r.Problem(report.Problem{Severity: report.Attention, User: folder.User, Folder: folder.Folder, Mailbox: folder.Mailbox, Kind: "nul", Text: "look", Offset: 1})
			}
			r.Folder(folder)
			r.User("ann")
		})
		var listed, count, look int64
		l, err := Read(state, Migrate)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Each(func(ln Line) error {
			switch {
			case ln.Text == "look":
				look++
			case ln.Type == "problem":
				listed++
				count += max(1, ln.Count)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if look != 1 || listed != maxAlike+1 || count != 2*(maxAlike+50) || n == 0 && l.Users["ann"].Notes != count {
			t.Errorf("after run %d: %d lines stand for %d, the user has %d", n+1, listed, count, l.Users["ann"].Notes)
		}
	}
}

// TestManyAlikeOutliveAnUnchangedFolder: what was found in a folder beyond those that are kept one by
// one is still true as long as the folder does not change, and no longer. What is held is said anew
// by each run, and counted once.
func TestManyAlikeOutliveAnUnchangedFolder(t *testing.T) {
	state := t.TempDir()
	counts := func() map[string]int64 {
		t.Helper()
		l, err := Read(state, Migrate)
		if err != nil {
			t.Fatal(err)
		}
		counts := map[string]int64{}
		if err := l.Each(func(ln Line) error {
			if ln.Type == "problem" {
				counts[ln.Folder+" "+ln.Kind+" "+ln.Severity] += max(1, ln.Count)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return counts
	}
	pass := func(first, second bool) {
		run(t, state, Migrate, false, func(r *report.Reporter) {
			for i := range int64(maxAlike + 50) {
				if first {
					r.Problem(report.Problem{Severity: report.Attention, User: "ann", Folder: "\xe9", Mailbox: "user.ann.e", Kind: "truncated", Offset: i})
				}
				r.Problem(report.Problem{Severity: report.Attention, User: "ann", Folder: "b", Kind: "damage", Offset: i, HeldID: fmt.Sprint(i)})
			}
			if second {
				r.Problem(report.Problem{Severity: report.Attention, User: "ann", Folder: "b", Kind: "truncated", Offset: 7})
			}
			r.Folder(report.Folder{User: "ann", Folder: "\xe9", Mailbox: "user.ann.e", Read: first, Unchanged: !first})
			r.Folder(report.Folder{User: "ann", Folder: "b", Mailbox: "user.ann.b", Read: second, Unchanged: !second})
			r.User("ann")
		})
	}
	pass(true, true)
	want := map[string]int64{"\xe9 truncated attention": maxAlike + 50, "b truncated attention": 1, "b damage attention": maxAlike, " damage attention": 50}
	for range compactEvery + 1 {
		if diff := cmp.Diff(want, counts()); diff != "" {
			t.Fatal(diff)
		}
		pass(false, false)
	}
	run(t, state, Migrate, false, func(r *report.Reporter) { // the first is mended, and nothing is held any more
		r.Folder(report.Folder{User: "ann", Folder: "\xe9", Mailbox: "user.ann.e", Read: true})
		r.Folder(report.Folder{User: "ann", Folder: "b", Mailbox: "user.ann.b", Unchanged: true})
		r.User("ann")
	})
	if diff := cmp.Diff(map[string]int64{"b truncated attention": 1}, counts()); diff != "" {
		t.Error(diff)
	}
}

// TestManyFilesThatAreNoFolders: a user who has many files among his folders that are none does not
// make the history longer by a line for each.
func TestManyFilesThatAreNoFolders(t *testing.T) {
	state := t.TempDir()
	const more = 1000
	for range 2 {
		run(t, state, Migrate, false, func(r *report.Reporter) {
			for i := range maxAlike + more {
				r.Problem(note("ann", fmt.Sprint("home/ann/mail/junk-", i), "not-a-folder", -1))
			}
			r.Folder(report.Folder{User: "ann", Folder: "b", Mailbox: "user.ann.b", Read: true})
			r.User("ann")
		})
		have := holding(t, state, Migrate)
		if one := fmt.Sprintf("problem ann/ not-a-folder x%d", more); len(have) != maxAlike+2 || !slices.Contains(have, one) {
			t.Errorf("%d lines, want %d and among them %q", len(have), maxAlike+2, one)
		}
	}
}

func TestATornLineIsDroppedAndDamageIsNot(t *testing.T) {
	state := t.TempDir()
	say := func(r *report.Reporter) { r.User("ann") }
	run(t, state, Migrate, false, say)
	tail := func(text string) {
		f, err := os.OpenFile(Path(state, Migrate), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	tail(`{"run":1,"mess`)
	run(t, state, Migrate, false, say)
	if l, err := Read(state, Migrate); err != nil || l.Users["ann"].Run != 2 {
		t.Errorf("after a torn line: %+v, %v", l, err)
	}
	tail("{\"run\":\n{\"run\":3,\"message_type\":\"user\",\"user\":\"ann\"}\n")
	if _, err := Read(state, Migrate); err == nil {
		t.Error("damage in the middle is not noticed")
	}
}

func TestOneVerifyIsRecordedAtATime(t *testing.T) {
	state := t.TempDir()
	r, err := Begin(state, Run{Command: Verify})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Begin(state, Run{Command: Verify}); !errors.Is(err, ErrBusy) {
		t.Errorf("a second one: %v", err)
	}
	if err := r.Close(false); err != nil {
		t.Fatal(err)
	}
	run(t, state, Verify, false, func(r *report.Reporter) { r.User("ann") })
}

// TestTwoFoldersOfOneName: a finding that does not say of which of two it is, as earlier versions
// wrote them, stays until both are read again.
func TestTwoFoldersOfOneName(t *testing.T) {
	state := t.TempDir()
	pass := func(inbox, folder bool, found ...report.Problem) []string {
		run(t, state, Migrate, false, func(r *report.Reporter) {
			for _, p := range found {
				r.Problem(p)
			}
			r.Folder(report.Folder{User: "ann", Folder: "INBOX", Mailbox: "user.ann", Read: inbox, Unchanged: !inbox})
			r.Folder(report.Folder{User: "ann", Folder: "INBOX", Mailbox: "user.ann.INBOX^saved", Read: folder, Unchanged: !folder})
			r.User("ann")
		})
		return slices.DeleteFunc(holding(t, state, Migrate), func(line string) bool { return strings.HasPrefix(line, "folder") })
	}
	said := note("ann", "INBOX", "nul", 9)
	said.Mailbox = "user.ann.INBOX^saved"
	want := []string{"problem ann/INBOX nul x0", "problem ann/INBOX truncated x0"}
	if diff := cmp.Diff(want, pass(true, true, note("ann", "INBOX", "truncated", 7), said)); diff != "" {
		t.Error(diff)
	}
	for range compactEvery + 1 {
		if diff := cmp.Diff(want, pass(true, false)); diff != "" {
			t.Error(diff)
		}
	}
	if diff := cmp.Diff([]string{}, pass(true, true)); diff != "" {
		t.Error(diff)
	}
}

// TestRunsForNamedUsersDoNotEndOneForAll: that a run for all users did not come to all of them is
// known until another one does, however many for named users come after it.
func TestRunsForNamedUsersDoNotEndOneForAll(t *testing.T) {
	state := t.TempDir()
	begin := func(chosen bool, problem string) {
		t.Helper()
		r, err := Begin(state, Run{Command: Migrate, Start: start, Chosen: chosen})
		if err != nil {
			t.Fatal(err)
		}
		rep := report.New(report.Options{Stdout: discard{}, Stderr: discard{}, Command: Migrate})
		rep.SetRecord(r)
		if problem != "" {
			rep.StoppedEarly(problem, "of it all")
		}
		if _, err := rep.Finish(0); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(problem != ""); err != nil {
			t.Fatal(err)
		}
	}
	begin(false, "time-is-up")
	for range keptRuns + compactEvery {
		begin(true, "")
	}
	if diff := cmp.Diff([]string{"problem / time-is-up x0"}, holding(t, state, Migrate)); diff != "" {
		t.Error(diff)
	}
	l, err := Read(state, Migrate)
	if err != nil {
		t.Fatal(err)
	}
	if wholes := l.Wholes(); len(wholes) != 1 || wholes[0].Number != 1 || wholes[0].End == nil || len(l.Runs) != keptRuns {
		t.Errorf("%d runs, those for all are %+v", len(l.Runs), wholes)
	}
	begin(false, "")
	if got := holding(t, state, Migrate); len(got) != 0 {
		t.Errorf("after a run for all that came to its end: %q", got)
	}
}

// TestRunsForShardsDoNotEndOneAnother: a run for a shard does not do what was left of another shard,
// or of all users; one for all does, or those for all shards together.
func TestRunsForShardsDoNotEndOneAnother(t *testing.T) {
	for _, test := range []struct {
		shards string // of the runs, in their order
		want   []int
	}{
		{"1/2 2/2", []int{2, 1}},
		{"1/2 2/2 1/2", []int{3, 2}},
		{"all 1/2", []int{2, 1}},
		{"all 1/2 2/2", []int{3, 2}},
		{"1/2 all", []int{2}},
		{"1/2 1/3 3/3", []int{3, 2, 1}},
		{"1/2 1/3 3/3 2/3", []int{4, 3, 2}},
	} {
		l := &Log{}
		for i, shard := range strings.Fields(test.shards) {
			l.Runs = append(l.Runs, Run{Number: i + 1, Shard: strings.TrimPrefix(shard, "all")})
		}
		var got []int
		for _, run := range l.Wholes() {
			got = append(got, run.Number)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.shards, diff)
		}
	}
}

// TestWhoIsLeftOutAfterACutOff: what was last told of a user who had no folder done stays told when
// he is left out, whatever a run that was cut off began to tell of him since.
func TestWhoIsLeftOutAfterACutOff(t *testing.T) {
	for _, runs := range [][]bool{{false}, {false, true}} { // cut off or not
		state := t.TempDir()
		for _, cutOff := range runs {
			run(t, state, Migrate, cutOff, func(r *report.Reporter) {
				r.Problem(report.Problem{Severity: report.Attention, User: "ann", Folder: "INBOX", Kind: "busy", Offset: -1})
				if !cutOff {
					r.User("ann")
				}
			})
		}
		r, err := Begin(state, Run{Command: Migrate, Start: start})
		if err != nil {
			t.Fatal(err)
		}
		r.Beside(func(string) bool { return true }, func(_ string, own bool) bool { return own })
		rep := report.New(report.Options{Stdout: discard{}, Stderr: discard{}})
		rep.SetRecord(r)
		rep.Problem(note("ann", "var/mail/ann", "excluded", -1))
		if err := r.Close(false); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"problem ann/INBOX busy x0"}, holding(t, state, Migrate)); diff != "" {
			t.Errorf("runs that were cut off or not %v: %s", runs, diff)
		}
	}
}
