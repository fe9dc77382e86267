package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// The steps that are measured, by name. Each name is one series of samples.
const (
	stepConvert      = "convert"            // messages and index
	stepConvertCache = "convert, cache"     // cache records too
	stepTar          = "tar"                // of messages and index
	stepTarCache     = "tar, cache"         // of the whole finished spool
	stepEnter        = "enter"              // ctl_mboxlist -u
	stepParse        = "reconstruct"        // that parses every message
	stepReconstruct  = "reconstruct, cache" // that finds everything done
	stepMigrate      = "migrate"
	stepNoCache      = "migrate --no-cache"
	stepAgain        = "again"
	stepChanged      = "changed"
	stepIndex        = "verify index"
	stepContent      = "verify content"
	stepReadInTurn   = "read in turn" // source and spool, one after the other
	stepReadBeside   = "read beside"  // both at the same time
	stepTenth        = "migrate a tenth"
)

// records has the samples of each step, one a round, for each state of the page cache.
type records map[cacheState]map[string][]sample

func (r records) add(state cacheState, step string, s sample) {
	if r[state] == nil {
		r[state] = map[string][]sample{}
	}
	r[state][step] = append(r[state][step], s)
}

// A round measures everything once, for one state of the page cache, in directories of its
// own: one from which much was deleted is slow for a while on ext4.
type round struct {
	*bench
	state       cacheState
	dir         string
	host, tenth *host
	archive     archive
	records     records
}

// roundsOf does all rounds over a host and a tenth of it. The order of what is measured is
// turned around each time, and so is that of the states, so that nothing always comes first.
func (b *bench) roundsOf(h, tenth *host) (records, error) {
	prepared, err := b.finished(h)
	if err != nil {
		return nil, err
	}
	all := records{}
	for n := range b.rounds {
		states := slices.Clone(b.states)
		if n%2 == 1 {
			slices.Reverse(states)
		}
		for _, state := range states {
			r := round{bench: b, state: state, dir: filepath.Join(b.scratch, fmt.Sprintf("round%d-%s", n+1, state)),
				host: h, tenth: tenth, archive: prepared, records: all}
			if err := b.roomFor(h, roundSpools, 0); err != nil {
				return nil, err
			}
			if err := r.all(n%2 == 1); err != nil {
				return nil, fmt.Errorf("round %d, %s: %w", n+1, state, err)
			}
			b.progress("round %d of %d, %s cache", n+1, b.rounds, state)
			b.done(r.dir)
		}
	}
	b.done(filepath.Dir(prepared.full))
	return all, nil
}

// roundSpools are the spools that a round leaves, one of them of a tenth.
const roundSpools = 7

// finished migrates a host, without measuring, and archives the spool.
func (b *bench) finished(h *host) (a archive, err error) {
	if err := b.roomFor(h, 1, 2); err != nil {
		return a, err
	}
	dir, tars := filepath.Join(b.scratch, "finished"), filepath.Join(b.scratch, "tars")
	if err := os.Mkdir(tars, 0o755); err != nil {
		return a, err
	}
	srv, err := cyrustest.New(dir, cyrustest.Options{})
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	if _, err := b.program(b.migration("migrate", h.root, srv.Conf, filepath.Join(dir, "state"))...); err != nil {
		return a, err
	}
	b.done(dir)
	return pack(srv, tars)
}

func (r *round) all(reverse bool) error {
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		return err
	}
	parts := []func() error{
		func() error { return r.convert(stepConvert, false) },
		func() error { return r.restore(stepTar, stepParse, r.archive.bare) },
		r.passes,
		func() error { return r.restore(stepTarCache, stepReconstruct, r.archive.full) },
		func() error { return r.convert(stepConvertCache, true) },
		func() error { return r.migrate(stepTenth, r.tenth) },
	}
	if r.noCache {
		parts = append(parts, func() error { return r.migrate(stepNoCache, r.host, "--no-cache") })
	}
	if reverse {
		slices.Reverse(parts)
	}
	for _, part := range parts {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// measure does a step that reads these files, and keeps what it cost.
func (r *round) measure(step string, reads []string, do func() (sample, error)) error {
	s, err := r.timed(r.state, reads, do)
	if err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	r.records.add(r.state, step, s)
	return nil
}

// in returns a new Cyrus and a directory for the ledger, both in one directory of the round.
func (r *round) in(step string) (srv *cyrustest.Server, state string, err error) {
	dir := filepath.Join(r.dir, step)
	srv, err = cyrustest.New(dir, cyrustest.Options{})
	return srv, filepath.Join(dir, "state"), err
}

func (r *round) convert(step string, cache bool) (err error) {
	srv, state, err := r.in(step)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	c := conversion{host: r.host.root, conf: srv.Conf, state: state, jobs: r.jobs, cache: cache}
	if cache {
		c.profile = r.profile
	}
	return r.measure(step, []string{r.host.root}, c.convert)
}

func (r *round) migrate(step string, h *host, more ...string) (err error) {
	srv, state, err := r.in(step)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	return r.measure(step, []string{h.root}, func() (sample, error) {
		return r.program(r.migration("migrate", h.root, srv.Conf, state, more...)...)
	})
}

// restore is the machine's own way to the same spool.
func (r *round) restore(tar, reconstruct, tarFile string) error {
	cost, err := r.bench.restore(r.state, filepath.Join(r.dir, tar), tarFile, r.archive.entries)
	if err != nil {
		return fmt.Errorf("%s: %w", tar, err)
	}
	r.records.add(r.state, tar, cost.tar)
	r.records.add(r.state, stepEnter, cost.enter)
	r.records.add(r.state, reconstruct, cost.reconstruct)
	return nil
}

// passes migrates, verifies, migrates again with nothing changed, and with some changed.
func (r *round) passes() (err error) {
	srv, state, err := r.in(stepMigrate)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	do := func(step, name string, reads []string, more ...string) error {
		return r.measure(step, reads, func() (sample, error) {
			return r.program(r.migration(name, r.host.root, srv.Conf, state, more...)...)
		})
	}
	source := []string{r.host.root}
	both := []string{r.host.root, srv.Spool}
	if err := do(stepMigrate, "migrate", source); err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return do(stepAgain, "migrate", both) },
		func() error { return do(stepIndex, "verify", both, "--level", "index") },
		func() error {
			return r.measure(stepReadInTurn, both, func() (sample, error) { return sample{}, checksum(1, both...) })
		},
		func() error { return do(stepContent, "verify", both, "--level", "content") },
		func() error {
			return r.measure(stepReadBeside, both, func() (sample, error) { return sample{}, checksum(len(both), both...) })
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	undo, err := r.host.change()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, undo()) }()
	if err := do(stepChanged, "migrate", both); err != nil {
		return err
	}
	// That pass has to have brought them.
	_, err = r.program(r.migration("verify", r.host.root, srv.Conf, state, "--level", "index")...)
	return err
}

// checksum reads all files below directories and has sha1sum sum them, so many directories
// at a time. SHA-1 is what the index holds of each message, so verifying computes it too.
func checksum(atATime int, dirs ...string) error {
	b := bench{jobs: atATime}
	return b.parallel(len(dirs), func(i int) error {
		return command("sh", "-c", `find "$1" -type f -print0 | xargs -0 cat | sha1sum`, "sh", dirs[i])
	})
}
