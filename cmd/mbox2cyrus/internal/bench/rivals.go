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
	"syscall"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
	"mbox2cyrus/cmd/mbox2cyrus/internal/samplehost"
)

// A rival is a way to move the mail of a host.
type rival struct {
	name          string
	needs, debian string // a program, and the Debian package that has it
	into          into
	move          func(c *contest) error
	// read reads what became of the mail; where it ended in a Cyrus that is done over IMAP.
	read func(c *contest) (mail, error)
}

// into is where a rival moves mail.
type into int

const (
	elsewhere    into = iota // to files of another format: half of the way
	stoppedCyrus             // into the spool of a Cyrus that does not run
	runningCyrus             // into a running Cyrus, over IMAP
)

// allRivals come in this order in the first round. The first is the program itself.
var allRivals = []rival{
	{name: "mbox2cyrus migrate", into: stoppedCyrus, move: (*contest).migrate},
	{name: "mb2md, to Maildir", needs: "mb2md", debian: "mb2md", move: (*contest).mb2md, read: (*contest).maildirs},
	{name: "mailutil copy, to mix", needs: "mailutil", debian: "uw-mailutils", move: (*contest).mailutilMix, read: (*contest).mixes},
	{name: "formail and reconstruct (as uwimap2cyrus)", needs: "formail", debian: "procmail", into: stoppedCyrus, move: (*contest).formail},
	{name: "mailutil, over IMAP", needs: "mailutil", debian: "uw-mailutils", into: runningCyrus, move: (*contest).mailutilIMAP},
	{name: "pipelined upload over IMAP", into: runningCyrus, move: (*contest).upload},
}

// rivalsHere says which programs are missing.
func rivalsHere() error {
	var errs []error
	for _, r := range allRivals {
		if r.needs == "" {
			continue
		}
		if _, err := exec.LookPath(r.needs); err != nil {
			errs = append(errs, fmt.Errorf("-rivals: %w: apt-get install %s", err, r.debian))
		}
	}
	return errors.Join(errs...)
}

// password is that of all users of the private Cyruses.
const password = "secret"

// A contest is one rival at work in one round.
type contest struct {
	*bench
	dir  string
	host *host // as it is
	// copy is a host with the same files, all of which belong to the user cyrus: the rivals
	// run as one user, and UW's programs refuse to be root.
	copy string
	srv  *cyrustest.Server
}

// rivals measures them all on one host, beside the program, with a warm page cache.
func (b *bench) rivals(h *host) error {
	want, err := h.mail()
	if err != nil {
		return err
	}
	if err := b.room(h.bytes+h.bytes/10, 0); err != nil {
		return err
	}
	copied := filepath.Join(b.scratch, "copy")
	if err := command("cp", "-a", h.root, copied); err != nil {
		return err
	}
	if err := command("chown", "-R", "cyrus:", copied); err != nil {
		return err
	}
	costs := map[string][]sample{}
	losses := map[string]string{}
	for n := range b.rivalRounds {
		if err := b.roomFor(h, int64(len(allRivals)), 0); err != nil {
			return err
		}
		order := slices.Clone(allRivals)
		if n%2 == 1 {
			slices.Reverse(order)
		}
		dir := filepath.Join(b.scratch, fmt.Sprintf("rivals%d", n+1))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		for i, r := range order {
			c := &contest{bench: b, dir: filepath.Join(dir, fmt.Sprint(i)), host: h, copy: copied}
			cost, got, err := c.hold(r)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			costs[r.name] = append(costs[r.name], cost)
			losses[r.name] = lost(want, got)
			b.progress("rivals, round %d of %d: %s took %.1f s", n+1, b.rivalRounds, r.name, cost.wall.Seconds())
		}
		b.done(dir)
	}
	fmt.Printf("\nHost: %s. %d users at a time, %d IMAP connections of the uploader, warm page cache, medians of %d rounds.\n\n",
		h, b.jobs, b.connections, b.rivalRounds)
	t := table{{"way", "seconds", "messages/s", "× migrate", "ends in", "lost on the way"}}
	for _, r := range allRivals {
		ratio := ratios(costs, r.name, []string{allRivals[0].name})
		m := median(seconds(costs[r.name]))
		t = append(t, []string{r.name, fmt.Sprintf("%.2f", m), fmt.Sprintf("%.0f", float64(h.messages)/m), digits(median(ratio)) + spread(ratio),
			[]string{"files", "Cyrus", "Cyrus"}[r.into], losses[r.name]})
	}
	t.print()
	return nil
}

// hold makes everything ready for a rival, measures it, and reads what became of the mail.
func (c *contest) hold(r rival) (cost sample, got mail, err error) {
	if c.srv, err = cyrustest.New(c.dir, cyrustest.Options{}); err != nil {
		return cost, nil, err
	}
	defer func() { err = errors.Join(err, c.srv.Close()) }()
	for _, u := range append([]string{"cyrus"}, c.userNames()...) {
		if err := c.srv.AddUser(u, password); err != nil {
			return cost, nil, err
		}
	}
	if r.into == runningCyrus {
		if err := c.srv.Start(context.Background()); err != nil {
			return cost, nil, err
		}
	}
	cost, err = c.timed(warm, []string{c.host.root, c.copy}, func() (sample, error) {
		if err := r.move(c); err != nil {
			return sample{}, err
		}
		// What is to be kept is on the disk at the end, whatever the way.
		return sample{}, c.sync()
	})
	if err != nil {
		return cost, nil, err
	}
	if r.read != nil {
		got, err = r.read(c)
		return cost, got, err
	}
	if r.into == stoppedCyrus {
		if err := c.srv.Start(context.Background()); err != nil {
			return cost, nil, err
		}
	}
	got, err = c.host.served(c.srv)
	return cost, got, err
}

func (c *contest) userNames() (names []string) {
	for _, u := range c.host.users {
		names = append(names, u.Name)
	}
	return names
}

func (c *contest) migrate() error {
	_, err := c.program(c.migration("migrate", c.host.root, c.srv.Conf, filepath.Join(c.dir, "state"))...)
	return err
}

// eachUser does something for every user, jobs at a time.
func (c *contest) eachUser(do func(u samplehost.User) error) error {
	return c.parallel(len(c.host.users), func(i int) error { return do(c.host.users[i]) })
}

// as makes a command that runs as the user cyrus with the scratch directory as his home:
// c-client opens nothing outside of it.
func (c *contest) as(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = c.scratch
	cmd.Env = []string{"HOME=" + c.scratch, "TZ=UTC", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(c.srv.UID), Gid: uint32(c.srv.GID)}}
	return cmd
}

// below is the name of a file below that home.
func (c *contest) below(path string) (string, error) { return filepath.Rel(c.scratch, path) }

// mkdir makes a directory for files of the user cyrus.
func (c *contest) mkdir(name ...string) (string, error) {
	dir := filepath.Join(append([]string{c.dir}, name...)...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, os.Chown(dir, c.srv.UID, c.srv.GID)
}

// do runs a command whose output is of interest only when it fails.
func do(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
