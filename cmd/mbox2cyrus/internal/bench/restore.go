package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// An archive is a finished spool in tar files, with what Cyrus's mailboxes.db says of it.
type archive struct {
	full    string // tar file: all of the spool
	bare    string // tar file: the same without cache records
	entries string // as ctl_mboxlist dumps and reads them
}

// noRecords are the contents of a cyrus.cache that has none: the generation number alone.
var noRecords = make([]byte, 4)

// pack makes the archive of a spool that a migration finished. It spoils the spool.
func pack(srv *cyrustest.Server, dir string) (a archive, err error) {
	if a.entries, err = srv.Run(context.Background(), "ctl_mboxlist", "-d"); err != nil {
		return a, err
	}
	a.full, a.bare = filepath.Join(dir, "full.tar"), filepath.Join(dir, "bare.tar")
	if err := command("tar", "cf", a.full, "-C", srv.Spool, "."); err != nil {
		return a, err
	}
	err = filepath.WalkDir(srv.Spool, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "cyrus.cache" {
			return err
		}
		return os.WriteFile(path, noRecords, 0o600)
	})
	if err != nil {
		return a, err
	}
	return a, command("tar", "cf", a.bare, "-C", srv.Spool, ".")
}

// restored are the steps of the machine's own way: unpacking, and what Cyrus then does.
type restored struct{ tar, enter, reconstruct sample }

// restore unpacks a tar file into the spool of a new Cyrus and has all users
// reconstructed, as many at a time as the program had jobs. The files are in the page
// cache then, as they are when an administrator does one after the other.
func (b *bench) restore(state cacheState, dir, tarFile, entries string) (r restored, err error) {
	srv, err := cyrustest.New(dir, cyrustest.Options{})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	r.tar, err = b.timed(state, []string{tarFile}, func() (sample, error) {
		s, _, err := run(exec.Command("tar", "xpf", tarFile, "-C", srv.Spool, "--same-owner"))
		if err != nil {
			return s, err
		}
		s.wall = 0 // with the sync
		s.peak = 0
		return s, b.sync()
	})
	if err != nil {
		return r, err
	}
	// The tree that was just unpacked is in the page cache, also where the steps began cold:
	// nothing is emptied within what is one job.
	r.enter, err = b.timed(warm, nil, func() (sample, error) {
		cmd := exec.Command(filepath.Join(cyrustest.BinDir, "ctl_mboxlist"), "-C", srv.Conf, "-u")
		cmd.Stdin = strings.NewReader(entries)
		s, _, err := run(cmd)
		return s, err
	})
	if err != nil {
		return r, err
	}
	users := userIDs(entries)
	r.reconstruct, err = b.timed(warm, nil, func() (sample, error) { return b.reconstruct(srv, users) })
	return r, err
}

// usersPerCall is how many users one reconstruct is given: one call a user takes a third
// longer, so that the program would be compared with something slower than need be.
const usersPerCall = 10

// reconstruct runs reconstruct over users, jobs calls at a time.
func (b *bench) reconstruct(srv *cyrustest.Server, users []string) (sample, error) {
	if len(users) == 0 {
		return sample{}, errors.New("reconstruct: there are no users in mailboxes.db")
	}
	// As many calls as all jobs have work with to the end.
	n := roundUp(roundUp(len(users), usersPerCall)/usersPerCall, b.jobs)
	calls := slices.Collect(slices.Chunk(users, roundUp(len(users), n)/n))
	costs := make([]sample, len(calls))
	err := b.parallel(len(calls), func(i int) error {
		args := append([]string{"-C", srv.Conf, "-u"}, calls[i]...)
		cmd := exec.Command(filepath.Join(cyrustest.BinDir, "reconstruct"), args...)
		var err error
		costs[i], _, err = run(cmd)
		return err
	})
	var all sample
	for _, s := range costs {
		all.cpu += s.cpu
	}
	return all, err
}

// roundUp returns the least multiple of unit that is not below n.
func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }

// parallel does n things, jobs at a time.
func (b *bench) parallel(n int, do func(i int) error) error {
	var g errgroup.Group
	g.SetLimit(b.jobs)
	for i := range n {
		g.Go(func() error { return do(i) })
	}
	return g.Wait()
}

// userIDs finds the owners in a dump of mailboxes.db.
func userIDs(dump string) (ids []string) {
	for line := range strings.Lines(dump) {
		name, ok := strings.CutPrefix(line, `"user.`)
		if !ok {
			continue
		}
		id, _, _ := strings.Cut(name, `"`)
		if !strings.Contains(id, ".") {
			ids = append(ids, id)
		}
	}
	return ids
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
