package main

import (
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/metrics"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// gauges writes the counters of a run to the file of --metrics-file: at its beginning,
// every quarter of a minute and at its end. A nil one writes nothing.
type gauges struct {
	path string
	run  metrics.Run
	rep  *report.Reporter
	stop chan struct{}
	done sync.WaitGroup
	err  error // of writing meanwhile, the first one
}

const gaugesInterval = 15 * time.Second

func (s *session) startGauges(c *cli.Context) error {
	path := c.String(flagMetrics)
	if path == "" {
		return nil
	}
	g := &gauges{path: path, rep: s.report, stop: make(chan struct{}), run: metrics.Run{Command: c.Command.Name, Host: s.opts.host.Root,
		Shard: c.String(flagShard), Start: now(), Users: int64(len(s.plan.Users))}}
	if err := metrics.Write(path, g.run, s.report.Totals()); err != nil {
		return err
	}
	g.done.Go(func() {
		t := time.NewTicker(gaugesInterval)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				if err := metrics.Write(path, g.run, s.report.Totals()); err != nil && g.err == nil {
					g.err = err
				}
			case <-g.stop:
				return
			}
		}
	})
	s.gauges = g
	return nil
}

// end writes the counters of a run that ended with code.
func (g *gauges) end(code int) error {
	if g == nil {
		return nil
	}
	close(g.stop)
	g.done.Wait()
	g.run.End = now()
	sum := g.rep.Totals()
	sum.ExitCode = code
	if err := metrics.Write(g.path, g.run, sum); err != nil {
		return err
	}
	return g.err
}
