package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// killCalls are the system calls with which the program changes something on a disk, or
// makes sure that it is there.
var killCalls = []string{"openat", "write", "pwrite64", "copy_file_range", "mkdirat", "linkat", "symlinkat", "renameat", "renameat2",
	"unlinkat", "ftruncate", "fallocate", "fchown", "fchownat", "fchmod", "fchmodat", "utimensat", "fsync", "fdatasync", "syncfs"}

// atRandom stands for a system call where the moment is chosen by the clock.
const atRandom = "(at random times)"

// randomKills is how many kills at random times a phase gets in the whole matrix.
const randomKills = 25

// killStride thins out the kills at calls most of which change nothing that stays: openat
// only reads mostly (and what makes a file is followed by a call that writes, syncs or
// names it, at which the program is killed too), unlinkat clears scratch directories.
var killStride = map[string]int{"openat": 8, "unlinkat": 3}

// kill is one place in the matrix.
type kill struct {
	phase phase
	call  string
	n     int // which call of one thread, from 1; of the random kills, which of them

	chosen bool // of a power cut: the run is for joe alone, and the kernel writes its journals just before
}

// matrixRow is what became of the kills in one row.
type matrixRow struct{ tried, kills, again, equal, closes, lost, twice, rewritten int }

func (r *matrixRow) add(o matrixRow) {
	r.tried += o.tried
	r.kills += o.kills
	r.again += o.again
	r.equal += o.equal
	r.closes += o.closes
	r.lost += o.lost
	r.twice += o.twice
	r.rewritten += o.rewritten
}

// TestKillMatrix kills every kind of run at its system calls, each in turn, and at random
// times, and runs it again. Each time everything must be as after a run that nobody
// disturbed. Without MBOX2CYRUS_EVERY_FAULT it takes a sample, of which every kind of run
// has its part. The tables are logged, and written below the directory that
// MBOX2CYRUS_KILL_MATRIX names.
func TestKillMatrix(t *testing.T) {
	needStrace(t)
	if err := cyrustest.Available(); err != nil {
		t.Skip(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	matrix := newKillMatrix(seed)
	byRun := make([][]kill, len(phases))
	well := t.Run("undisturbed", func(t *testing.T) {
		for i, p := range phases {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				u := p.undisturbed(t, func(g *ground, args []string) { byRun[i] = matrix.count(g, p, args) })
				matrix.mu.Lock()
				defer matrix.mu.Unlock()
				matrix.want[p.name] = u
			})
		}
	})
	if !well {
		return
	}
	kills := slices.Concat(byRun...)
	if !everyFault {
		kills = sample(byRun, rand.New(rand.NewPCG(seed, 1)))
	}
	t.Logf("%d places", len(kills))
	t.Run("kills", func(t *testing.T) {
		for _, k := range kills {
			t.Run(fmt.Sprintf("%s/%s/%d", k.phase.name, k.call, k.n), func(t *testing.T) {
				t.Parallel()
				matrix.try(t, k)
			})
		}
	})
	matrix.show(t, "kill", "kill-matrix.md")
}

// sample takes two kills at system calls of each kind of run and one at a random time.
func sample(byRun [][]kill, rnd *rand.Rand) (chosen []kill) {
	for _, kills := range byRun {
		at := slices.IndexFunc(kills, func(k kill) bool { return k.call == atRandom }) // they come last
		for _, i := range rnd.Perm(at)[:2] {
			chosen = append(chosen, kills[i])
		}
		chosen = append(chosen, kills[at])
	}
	return chosen
}

// killMatrix collects what becomes of kills.
type killMatrix struct {
	seed uint64
	want map[string]undisturbed // by phase

	mu   sync.Mutex
	rows map[[2]string]*matrixRow // by phase and system call
}

func newKillMatrix(seed uint64) *killMatrix {
	return &killMatrix{seed: seed, rows: map[[2]string]*matrixRow{}, want: map[string]undisturbed{}}
}

// show logs the tables, and writes them to a file if they are wanted.
func (m *killMatrix) show(t *testing.T, what, name string) {
	t.Helper()
	table := m.table(what)
	t.Logf("\n%s", table)
	if dir := os.Getenv("MBOX2CYRUS_KILL_MATRIX"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(table), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// count runs the program, which nobody kills, and lists where it can be.
func (m *killMatrix) count(g *ground, p phase, args []string) (kills []kill) {
	g.t.Helper()
	log := filepath.Join(g.t.TempDir(), "trace")
	cmd := exec.Command("strace", append([]string{"-f", "-b", "execve", "-qq", "-o", log, "-e", "trace=" + strings.Join(killCalls, ","), "mbox2cyrus"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		g.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	f, err := os.Open(log)
	if err != nil {
		g.t.Fatal(err)
	}
	defer f.Close() // read only
	byThread, most := map[string]int{}, map[string]int{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		call := tracedCall.FindStringSubmatch(sc.Text())
		if call == nil {
			continue
		}
		byThread[call[0]]++
		most[call[2]] = max(most[call[2]], byThread[call[0]])
	}
	for _, call := range killCalls {
		for n := 1; n <= most[call]; n += max(1, killStride[call]) {
			kills = append(kills, kill{phase: p, call: call, n: n})
		}
	}
	for n := range randomKills {
		kills = append(kills, kill{phase: p, call: atRandom, n: n + 1})
	}
	return kills
}

// tracedCall finds thread and call in a line of strace.
var tracedCall = regexp.MustCompile(`^([0-9]+) +([a-z0-9_]+)\(`)

// rand returns random numbers that depend on the seed and the kill only.
func (m *killMatrix) rand(k kill) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %s %d", k.phase.name, k.call, k.n)
	return rand.New(rand.NewPCG(m.seed, h.Sum64()))
}

// note adds what became of a kill.
func (m *killMatrix) note(k kill, row matrixRow) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := [2]string{k.phase.name, k.call}
	if m.rows[key] == nil {
		m.rows[key] = &matrixRow{}
	}
	m.rows[key].add(row)
}

// try kills a run, runs it again and compares everything.
func (m *killMatrix) try(t *testing.T, k kill) {
	row := matrixRow{tried: 1}
	defer func() { m.note(k, row) }()
	rnd, want := m.rand(k), m.want[k.phase.name]
	g := newGround(t, "", "", "")
	g.begin(k.phase)
	args := k.phase.args(g)
	if k.call == atRandom {
		if killedAfter(t, time.Duration(rnd.Int64N(int64(want.lasts)+1)), args...) {
			row.kills++
		}
	} else {
		switch code, stderr := runWithFault(t, "signal=KILL", k.call, k.n, args...); code {
		case -1:
			row.kills++
		case 0: // this time no thread came to so many calls
		default:
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
	}
	done := g.written()
	if rnd.IntN(4) == 0 { // what puts it right is killed too
		if killedAfter(t, time.Duration(rnd.Int64N(int64(want.lasts)+1)), args...) {
			row.kills++
		}
	}
	m.again(g, k, want, args, &row)
	for path, ino := range done {
		if st, err := os.Lstat(path); err == nil && st.Sys().(*syscall.Stat_t).Ino != ino {
			row.rewritten++
			t.Errorf("%s was written again, although the ledger said that it is there", path)
		}
	}
	if k.call == atRandom && k.n%5 == 1 {
		if d := diffTrees(want.clients, g.clientFacts()); d != "" {
			row.equal = 0
			t.Errorf("clients see something else:\n%s", d)
		}
	}
}

// again runs what was cut off to its end, and compares everything.
func (m *killMatrix) again(g *ground, k kill, want undisturbed, args []string, row *matrixRow) {
	t := g.t
	t.Helper()
	if code, stderr := g.command(args...); code == 0 {
		row.again = 1
	} else {
		t.Errorf("run again: exit code %d\n%s", code, stderr)
	}
	if err := g.ledgerCloses(k.phase); err == nil {
		row.closes = 1
	} else {
		t.Error(err)
	}
	have := g.facts()
	row.lost += missing(want.facts.mail, have.mail)
	row.twice += missing(have.mail, want.facts.mail)
	diff := diffTrees(want.facts.of, have.of)
	if !k.phase.moves {
		if d := diffSnapshots(g.source, snapshotFiles(t, g.host.root)); d != "" {
			diff += "\nthe source was changed: " + d
		}
	}
	if left := g.leftLocks(); len(left) > 0 {
		diff += fmt.Sprintf("\nlocks were left: %q", left)
	}
	if diff == "" {
		row.equal = 1
	} else {
		t.Errorf("not as after a run that nobody disturbed:\n%s", diff)
	}
}

// killedAfter starts the program and kills it after some time. It reports whether it still
// ran then. The Cyrus programs that it started have groups of their own, and go on.
func killedAfter(t *testing.T, d time.Duration, args ...string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mbox2cyrus", args...)
	cmd.Env = withScratch(t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); errors.Is(err, context.DeadlineExceeded) {
		return false
	} else if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, or done before
	return cmd.ProcessState.ExitCode() == -1
}

// table is the matrix for people, in Markdown: by kind of run, by system call, and both.
// What was done is a "kill" or a "cut".
func (m *killMatrix) table(what string) string {
	var b strings.Builder
	byRun, byCall := map[string]*matrixRow{}, map[string]*matrixRow{}
	sum := func(rows map[string]*matrixRow, name string, r matrixRow) {
		if rows[name] == nil {
			rows[name] = &matrixRow{}
		}
		rows[name].add(r)
	}
	calls := append(slices.Clone(killCalls), atRandom)
	var runs []string
	for _, p := range phases {
		runs = append(runs, p.name)
		for _, call := range calls {
			if r := m.rows[[2]string{p.name, call}]; r != nil {
				sum(byRun, p.name, *r)
				sum(byRun, "all", *r)
				sum(byCall, call, *r)
				sum(byCall, "all", *r)
			}
		}
	}
	part := func(title string, names []string, row func(name string) *matrixRow) {
		w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
		fmt.Fprintf(w, "| %s\t| places\t| %ss\t| run again, it ended well\t| all is as undisturbed\t| ledger closes\t| messages lost\t| there twice\t| files written twice\t|\n", title, what)
		fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
		for _, name := range names {
			if r := row(name); r != nil {
				fmt.Fprintf(w, "| %s\t| %d\t| %d\t| %d\t| %d\t| %d\t| %d\t| %d\t| %d\t|\n", name, r.tried, r.kills, r.again, r.equal, r.closes, r.lost, r.twice, r.rewritten)
			}
		}
		if err := w.Flush(); err != nil { // to memory
			panic(err)
		}
		b.WriteString("\n")
	}
	part("run", append(slices.Clone(runs), "all"), func(name string) *matrixRow { return byRun[name] })
	part(what+" at", append(slices.Clone(calls), "all"), func(name string) *matrixRow { return byCall[name] })
	for _, run := range runs {
		if byRun[run] == nil {
			continue
		}
		part(run+", "+what+" at", calls, func(name string) *matrixRow { return m.rows[[2]string{run, name}] })
	}
	return b.String()
}
