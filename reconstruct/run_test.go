package reconstruct

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestEnvironment(t *testing.T) {
	t.Setenv("CYRUS_USER", "mallory")
	t.Setenv("LD_PRELOAD", "")
	p := fake(t, map[string]string{"reconstruct": `pwd; tr '\0' '\n' < /proc/$$/environ`})
	var out bytes.Buffer
	if _, err := p.run(t.Context(), call{program: "reconstruct", stdout: &out}); err != nil {
		t.Fatal(err)
	}
	want := "/\nPATH=" + p.Dir + ":/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C\nHOME=/\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestOperandsAreNoOptions(t *testing.T) {
	p := fake(t, map[string]string{"mbpath": `printf '<%s>' "$@"`})
	var out bytes.Buffer
	_, err := p.run(t.Context(), call{program: "mbpath", args: []string{"-j"}, names: []string{"-x", "a; b", "c\nd"}, stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	if want := "<-C><" + p.Conf + "><-j><--><-x><a; b><c\nd>"; out.String() != want {
		t.Errorf("got %s, want %s", out.String(), want)
	}
}

func TestExitErrors(t *testing.T) {
	for _, tt := range []struct {
		script string
		code   int
		signal syscall.Signal
		text   string
	}{
		{"echo 'fatal error: no partition' >&2; exit 75", 75, 0, `reconstruct: exit status 75: "fatal error: no partition"`},
		{"kill -SEGV $$", -1, syscall.SIGSEGV, "reconstruct: ended by signal 11 (segmentation fault)"},
		{"echo half a line; kill -KILL $$", -1, syscall.SIGKILL, "reconstruct: ended by signal 9 (killed)"},
	} {
		p := fake(t, map[string]string{"reconstruct": tt.script})
		r, err := p.Reconstruct(t.Context(), Job{Users: []string{"joe"}})
		var exit *ExitError
		if !errors.As(err, &exit) {
			t.Errorf("%s: %v", tt.script, err)
			continue
		}
		if exit.Code != tt.code || exit.Signal != tt.signal || err.Error() != tt.text {
			t.Errorf("%s: %+v\n%v", tt.script, exit, err)
		}
		if r.Counts[KindUnvisited] != 1 {
			t.Errorf("%s: report %+v", tt.script, r)
		}
	}
}

func TestNoProgram(t *testing.T) {
	p := fake(t, nil)
	if _, err := p.Settings(t.Context()); !errors.Is(err, ErrNoProgram) {
		t.Errorf("Settings without cyr_info: %v", err)
	}
	if err := os.Remove(p.path("reconstruct")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Reconstruct(t.Context(), Job{Users: []string{"joe"}}); !errors.Is(err, ErrNoProgram) {
		t.Errorf("Reconstruct without reconstruct: %v", err)
	}
}

func TestContext(t *testing.T) {
	defer func(d time.Duration) { termWait = d }(termWait)
	termWait = 300 * time.Millisecond
	for name, script := range map[string]string{
		"hangs":               "echo user/joe; exec sleep 60",
		"ignores SIGTERM":     "trap '' TERM; echo user/joe; while :; do sleep 1; done",
		"child keeps pipes":   "sleep 2 & echo user/joe; wait",
		"prints without end":  "exec yes user/joe",
		"reads without input": "echo user/joe; exec cat - /dev/zero",
	} {
		t.Run(name, func(t *testing.T) {
			p := fake(t, map[string]string{"reconstruct": script})
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := p.Reconstruct(ctx, Job{Users: []string{"joe"}})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestChildKeepsOutput: a program that ended is not waited for without end, and what it said is
// not taken for all.
func TestChildKeepsOutput(t *testing.T) {
	defer func(d time.Duration) { termWait = d }(termWait)
	termWait = 100 * time.Millisecond
	p := fake(t, map[string]string{"reconstruct": "echo user/joe; sleep 2 &"})
	_, err := p.Reconstruct(t.Context(), Job{Users: []string{"joe"}})
	if err == nil || !strings.Contains(err.Error(), "reconstruct: it ended, but a process that it started") {
		t.Errorf("error %v", err)
	}
}

// Whatever a program prints, memory stays bounded and the program ends.
func TestMuchOutput(t *testing.T) {
	const size = 100_000_000
	repeat := func(line string) (script string, lines int64) {
		return fmt.Sprintf("yes '%s' | head -c %d", line, size/2), int64(size / 2 / (len(line) + 1))
	}
	chatter, chatterLines := repeat("user.joe.Sent uid 17 mismatch: sentdate")
	complaint, complaintLines := repeat("user.joe uid 1 guid mismatch")
	words, wordsLines := repeat("IOERROR: disk")
	for name, tt := range map[string]struct {
		script string
		kind   Kind
		lines  int64
	}{
		"chatter":    {chatter, KindDerived, chatterLines},
		"complaints": {complaint, KindContent, complaintLines},
		"stderr":     {words + " >&2", KindStderr, wordsLines},
		"one line":   {fmt.Sprintf("head -c %d /dev/zero | tr '\\0' x; echo", size), KindUnknown, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := fake(t, map[string]string{"reconstruct": tt.script + "\necho user/joe"})
			peak, stop := watchHeap()
			r, err := p.Reconstruct(t.Context(), Job{Users: []string{"joe"}})
			stop()
			if err != nil {
				t.Fatal(err)
			}
			// head -c may cut the last line, which hangs on to the next one then.
			if n := r.Counts[tt.kind]; n < tt.lines || n > tt.lines+1 {
				t.Errorf("%d lines of kind %s, want %d", n, tt.kind, tt.lines)
			}
			if len(r.Complaints) > MaxComplaints {
				t.Errorf("%d complaints kept", len(r.Complaints))
			}
			if *peak > 48<<20 {
				t.Errorf("heap grew to %d MB", *peak>>20)
			}
		})
	}
}

// watchHeap samples the size of the heap until stopped.
func watchHeap() (peak *uint64, stop func()) {
	runtime.GC() // what earlier tests left
	peak = new(uint64)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			*peak = max(*peak, m.HeapAlloc)
			select {
			case <-quit:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return peak, func() { close(quit); <-done }
}

func TestExcerpt(t *testing.T) {
	for _, n := range []int{0, 10, headSize, headSize + 1, headSize + tailSize, headSize + tailSize + 1, 100_000} {
		text := strings.Repeat("0123456789", n/10+1)[:n]
		for _, step := range []int{1, 7, 5000, n + 1} {
			x := new(excerpt)
			for piece := range slices.Chunk([]byte(text), step) {
				if _, err := x.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			want := text
			if n > headSize+tailSize {
				want = fmt.Sprintf("%s\n[%d bytes left out]\n%s", text[:headSize], n-headSize-tailSize, text[n-tailSize:])
			}
			if x.String() != want {
				t.Errorf("%d bytes in steps of %d: got %d bytes, want %d", n, step, len(x.String()), len(want))
			}
		}
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"a\nb\n", []string{"a", "b"}},
		{"a\n\nb", []string{"a", "", "b"}},
		{long + "\n", []string{long}},
		{long + "yz\nb\n" + long + "y", []string{long + clipMark, "b", long + clipMark}},
	} {
		for _, step := range []int{1, 3, 1 << 20} {
			var got []string
			l := &lines{each: func(line string) { got = append(got, line) }}
			for piece := range slices.Chunk([]byte(tt.text), step) {
				if _, err := l.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			l.close()
			if !slices.Equal(got, tt.want) {
				t.Errorf("%.20q in steps of %d: %.20q", tt.text, step, got)
			}
		}
	}
}
