package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// One folder in a hundred gets a message and is, afterwards, what it was.
func TestChange(t *testing.T) {
	h, err := makeHost(filepath.Join(t.TempDir(), "host"), 12, 300, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	paths := h.changing()
	if want := (h.folders() + oneIn/2) / oneIn; len(paths) != want {
		t.Errorf("%d of %d folders change; want %d", len(paths), h.folders(), want)
	}
	state := func() (all []string) {
		for _, p := range paths {
			data, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			fi, err := os.Stat(p)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fi.ModTime().String()+string(data))
		}
		return all
	}
	before := state()
	count := func() (n int) {
		m, err := h.mail()
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range m {
			n += len(b.letters)
		}
		return n
	}
	undo, err := h.change()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := count(), h.messages+len(paths); got != want {
		t.Errorf("%d messages after the change; want %d", got, want)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(state(), before) {
		t.Error("a folder is not what it was")
	}
}

// A single folder changes too.
func TestChangeOfOne(t *testing.T) {
	h, err := makeHost(filepath.Join(t.TempDir(), "host"), 1, 5, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(h.changing()); n != 1 || h.folders() != 1 || h.messages != 5 {
		t.Errorf("%d of %d folders with %d messages change; want 1 of 1 with 5", n, h.folders(), h.messages)
	}
}

// What is no longer needed stays while there is room, and goes when there is none.
func TestRoom(t *testing.T) {
	b := bench{scratch: t.TempDir(), left: &leftovers{}, started: time.Now()}
	old := filepath.Join(b.scratch, "old")
	if err := os.Mkdir(old, 0o755); err != nil {
		t.Fatal(err)
	}
	b.done(old)
	if err := b.room(1, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); err != nil {
		t.Errorf("it was removed although there was room: %v", err)
	}
	if err := b.room(1<<62, 1); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("room for 4 EB: %v", err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("it is still there although there was no room: %v", err)
	}
}

// A ratio is of one round, and the median of the ratios counts: not the ratio of medians.
func TestRatios(t *testing.T) {
	of := func(seconds ...int) (all []sample) {
		for _, s := range seconds {
			all = append(all, sample{wall: time.Duration(s) * time.Second})
		}
		return all
	}
	r := map[string][]sample{"a": of(2, 30, 4), "b": of(1, 20, 4), "c": of(3, 40, 4)}
	got := ratios(r, "a", []string{"b", "c"})
	if want := []float64{0.5, 0.5, 0.5}; !slices.Equal(got, want) {
		t.Errorf("ratios %v; want %v", got, want)
	}
	if m := median([]float64{9, 1, 2}); m != 2 {
		t.Errorf("median of 9, 1, 2: %v", m)
	}
	if m := median([]float64{9, 1}); m != 5 {
		t.Errorf("median of 9, 1: %v", m)
	}
}

// The uploader brings everything that IMAP can bring, folders of more than one APPEND too.
func TestUpload(t *testing.T) {
	if err := cyrustest.Available(); errors.Is(err, cyrustest.ErrNotHere) {
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("", "bench-test-") // cyrus has to get in
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h, err := makeHost(filepath.Join(dir, "host"), 1, appendMessages+50, 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	want, err := h.mail()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{ctx: t.Context(), scratch: dir, jobs: 2, connections: 2, left: &leftovers{}, started: time.Now()}
	c := &contest{bench: b, dir: filepath.Join(dir, "cyrus"), host: h, copy: h.root}
	_, got, err := c.hold(rival{into: runningCyrus, move: (*contest).upload})
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Split(lost(want, got), ", ") {
		name, _, _ := strings.Cut(word, " ")
		// Cyrus numbers anew, and replaces 8-bit bytes in headers.
		if !slices.Contains([]string{"UIDVALIDITY", "UIDs", "bytes"}, name) {
			t.Errorf("lost: %s", word)
		}
	}
}

// Each step of the job can be measured, also the conversion alone, which is done by code that no
// command runs by itself.
func TestEveryStep(t *testing.T) {
	if err := cyrustest.Available(); errors.Is(err, cyrustest.ErrNotHere) {
		t.Skip(err)
	}
	dir := t.TempDir()
	bin := func(name, pkg string) string {
		path := filepath.Join(dir, name)
		if out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", pkg, err, out)
		}
		return path
	}
	bench, program := bin("bench", "."), bin("mbox2cyrus", "mbox2cyrus/cmd/mbox2cyrus")
	cmd := exec.Command(bench, "-program", program, "-users", "3", "-messages", "60", "-mb", "1", "-rounds", "1", "-big-mb", "1", "-huge-mb", "1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	for _, row := range []string{
		"| conversion alone (scan, hash, write, index, sync) ",
		"| conversion with cache records ",
		"| whole migrate, verified ",
		"| the same again, nothing changed ",
		"| the same again, a message more in 1 of 27 folders ",
		"| the same again, a message more in 1 of 1 folders ",
		"| verify --level content ",
		"| with a message of 1 MB ",
	} {
		if !strings.Contains(string(out), row) {
			t.Errorf("no line %q in\n%s", row, out)
		}
	}
}
