package history

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// randomRun says of some users what runs say: it reads folders or finds them unchanged, leaves some
// out, tells of findings, and comes to an end or does not.
func randomRun(t *testing.T, rnd *rand.Rand, r *Recorder, command string) {
	t.Helper()
	oneOf := func(all ...string) string { return all[rnd.IntN(len(all))] }
	severity := func() report.Severity { return report.Severity(max(0, rnd.IntN(8)-4)) } // most are notes
	rep := report.New(report.Options{Stdout: discard{}, Stderr: discard{}, Command: command})
	rep.SetRecord(r)
	kinds := []string{"nul", "keywords-lost", "truncated", "busy", "name-dot", "user-failed"}
	for range rnd.IntN(3) {
		rep.Problem(report.Problem{Severity: severity(), Folder: oneOf("", "stray"), Kind: oneOf("no-locks", "time-is-up", "run-failed"), Offset: -1})
	}
	stopped := rnd.IntN(4) == 0
	for _, user := range []string{"ann", "bob", "caf\xe9"} {
		if rnd.IntN(4) == 0 {
			continue // not in this run
		}
		for _, box := range []string{"user.u", "user.u.INBOX^saved", "user.u.g"} {
			folder := "INBOX"
			if box == "user.u.g" {
				folder = "g"
			}
			read := rnd.IntN(2) == 0
			for range rnd.IntN(3) {
				p := report.Problem{Severity: severity(), User: user, Folder: oneOf(folder, folder, ""), Kind: oneOf(kinds...), Offset: int64(rnd.IntN(9)), HeldID: oneOf("", "", "", "", "1")}
				if p.Folder != "" {
					p.Mailbox = box
				}
				rep.Problem(p)
			}
			if rnd.IntN(2) == 0 {
				rep.Folder(report.Folder{User: user, Folder: folder, Mailbox: box, Read: read, Unchanged: !read, Found: int64(rnd.IntN(9))})
			}
		}
		rep.Problem(report.Problem{User: user, Folder: "home/no-folder", Kind: "directory", Offset: -1})
		if rnd.IntN(3) == 0 {
			rep.POP3(report.POP3{User: user, Mailbox: "user.u", Messages: int64(rnd.IntN(9))})
		}
		if rnd.IntN(4) > 0 {
			rep.User(user)
		}
	}
	if rnd.IntN(5) > 0 {
		if _, err := rep.Finish([]int{0, 0, report.ExitInterrupt, report.ExitTerminated}[rnd.IntN(4)]); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(stopped); err != nil {
		t.Fatal(err)
	}
}

// said is all that a reader learns of a history.
func said(t *testing.T, path, command string) (all []string) {
	t.Helper()
	l, err := read(path, command)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Each(func(ln Line) error {
		all = append(all, string(ln.raw))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"ann", "bob", "caf\xe9"} {
		all = append(all, fmt.Sprintf("%+v", l.Users[user]), fmt.Sprint(l.HadTurn(user)))
	}
	for _, run := range l.Runs {
		all = append(all, fmt.Sprintf("%d %s %t, ended %t, %d samples", run.Number, run.Shard, run.Chosen, run.End != nil, len(run.Samples)))
	}
	before, err := standings(path)
	if err != nil {
		t.Fatal(err)
	}
	return append(all, fmt.Sprint(before))
}

// TestNothingIsMissed: a history from which obsolete lines are removed says the same, then and after
// any runs that follow, as one that has all its lines.
func TestNothingIsMissed(t *testing.T) {
	for _, command := range []string{Migrate, Verify} {
		for seed := range uint64(8) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			state := t.TempDir()
			path, whole := Path(state, command), filepath.Join(t.TempDir(), "whole")
			var lines []byte // of all runs
			for n := range 5 * compactEvery {
				begun := Run{Command: command, Start: start, Chosen: rnd.IntN(2) == 0, Shard: []string{"", "1/2", "2/2"}[rnd.IntN(3)]}
				r, err := Begin(state, begun)
				if err != nil {
					t.Fatal(err)
				}
				at, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				begins := bytes.LastIndexByte(at[:len(at)-1], '\n') + 1 // the line that says how the run began
				randomRun(t, rnd, r, command)
				now, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				lines = append(lines, now[begins:]...)
				if err := os.WriteFile(whole, lines, 0o600); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(said(t, whole, command), said(t, path, command)); diff != "" {
					t.Fatalf("%s, seed %d, run %d (- all lines, + without obsolete ones):\n%s", command, seed, n+1, diff)
				}
			}
		}
	}
}
