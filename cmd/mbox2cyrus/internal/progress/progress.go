// Package progress shows how far a run has come: bars on a terminal, a line a
// minute elsewhere, status lines for programs.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// Display shows the progress of one run.
type Display struct {
	bytes, messages, users atomic.Int64
	totalBytes, totalUsers int64

	bars  *mpb.Progress // nil: not on a terminal
	total *mpb.Bar
	mu    sync.Mutex
	each  map[string]*mpb.Bar
	stop  chan struct{}
	done  sync.WaitGroup
}

// Start begins to show progress. On a terminal the reporter's text goes above
// the bars from now on.
func Start(stderr io.Writer, rep *report.Reporter, json, quiet bool, totalBytes, totalUsers int64) *Display {
	d := &Display{totalBytes: totalBytes, totalUsers: totalUsers, each: map[string]*mpb.Bar{}, stop: make(chan struct{})}
	if f, ok := stderr.(*os.File); ok && !quiet && term.IsTerminal(int(f.Fd())) {
		d.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40), mpb.WithRefreshRate(200*time.Millisecond))
		d.total = d.bars.AddBar(max(1, totalBytes), mpb.BarPriority(1<<20),
			mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
				return fmt.Sprintf("%d of %d users, %d messages", d.users.Load(), totalUsers, d.messages.Load())
			})),
			mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)))
		rep.SetPeople(d.bars)
	}
	if json {
		d.every(time.Second, func() {
			rep.Status(d.bytes.Load(), totalBytes, d.messages.Load(), d.users.Load(), totalUsers)
		})
	}
	if d.bars == nil && !quiet {
		d.every(time.Minute, func() {
			fmt.Fprintf(stderr, "mbox2cyrus: %d of %d users, %d messages, %.0f %% of the bytes\n",
				d.users.Load(), totalUsers, d.messages.Load(), 100*float64(d.bytes.Load())/float64(max(1, totalBytes)))
		})
	}
	return d
}

func (d *Display) every(interval time.Duration, f func()) {
	d.done.Go(func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				f()
			case <-d.stop:
				return
			}
		}
	})
}

// Add counts source bytes read and messages.
func (d *Display) Add(bytes, messages int64) {
	d.bytes.Add(bytes)
	d.messages.Add(messages)
	if d.total != nil && bytes > 0 {
		d.total.IncrInt64(bytes)
	}
}

// UserStarted shows that a user is being worked on.
func (d *Display) UserStarted(name string, bytes int64) {
	if d.bars == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.each[name] = d.bars.New(1, mpb.SpinnerStyle(), mpb.BarRemoveOnComplete(),
		mpb.AppendDecorators(decor.Name(fmt.Sprintf(" %s (%.1f MB)", report.Quote(name), float64(bytes)/1e6))))
}

// UserDone counts a finished user.
func (d *Display) UserDone(name string) {
	d.users.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if bar := d.each[name]; bar != nil {
		bar.Abort(true)
		delete(d.each, name)
	}
}

// Stop ends the display; the reporter's text goes to w again.
func (d *Display) Stop(rep *report.Reporter, w io.Writer) {
	close(d.stop)
	d.done.Wait()
	if d.bars != nil {
		d.total.Abort(false)
		d.bars.Wait()
		rep.SetPeople(w)
	}
}
