// Package target is the installed Cyrus as the application sees it: its
// settings, what a mailbox that it makes looks like, and the few things that
// it is asked to do. Nothing is concluded from a version number: a private
// probe mailbox, made by Cyrus's own programs in a scratch directory with the
// settings that matter, shows the index version, the form of the header, the
// directory layout, the owner and the modes (see probe.go).
package target

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// ErrConfig marks what the administrator must put right in the configuration.
var ErrConfig = errors.New("configuration")

// ErrPermission marks what this user is not allowed to do.
var ErrPermission = errors.New("permission")

// Options say which Cyrus is meant.
type Options struct {
	IMAPDConf string // absolute path
	BinDir    string // "": found by itself
	Partition string // "": the configured default
	Domain    string // virtual domain of the users, "" for Cyrus's default domain
	// ACL are rights that are given besides the owner's, in every mailbox that is made.
	ACL []reconstruct.ACL
	// Writes says that Lock will be wanted.
	Writes bool
}

// Cyrus is the installed Cyrus.
type Cyrus struct {
	Programs  *reconstruct.Programs
	Version   string // as Cyrus says it, "" when it does not
	IMAPDConf string
	ConfigDir string
	Rules     cyrusspool.NameRules
	Partition string // name of the partition that mailboxes go to
	Fresh     Fresh
	// Alone says that no server of this Cyrus runs.
	Alone bool

	roots    map[string]cyrusspool.Roots // of the partitions
	conf     *cyrusspool.Conf
	settings map[string]string // all of them, as Cyrus understands them
	acl      []reconstruct.ACL
	owner    cyrusspool.Owner         // of the configdirectory
	entries  []reconstruct.Entry      // sorted by name
	nameByID func() map[string]string // of entries
	known    *knownList               // mailboxes.db as of entries and what was entered since
	noCopies *atomic.Bool             // see aside
	lock     *os.File                 // nil: not taken
	longList int64                    // longMailboxList, but for tests
}

// OwnDirectories returns the directories in which the Cyrus of an imapd.conf keeps mail and what
// it knows of it.
func OwnDirectories(imapdConf string) ([]string, error) {
	conf, err := cyrusspool.ParseConf(imapdConf)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	var dirs []string
	if dir, ok := conf.Get("configdirectory"); ok {
		dirs = append(dirs, dir)
	}
	for _, roots := range conf.Roots() {
		dirs = append(dirs, roots.All()...)
	}
	return dirs, nil
}

// Open learns everything about the Cyrus of opts. It changes nothing there.
func Open(ctx context.Context, opts Options) (*Cyrus, error) {
	conf, err := cyrusspool.ParseConf(opts.IMAPDConf)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c := &Cyrus{IMAPDConf: opts.IMAPDConf, conf: conf, roots: conf.Roots(), acl: opts.ACL, noCopies: new(atomic.Bool), known: new(knownList), longList: longMailboxList}
	var ok bool
	if c.ConfigDir, ok = conf.Get("configdirectory"); !ok {
		return nil, fmt.Errorf("%w: %s: configdirectory is not set", ErrConfig, opts.IMAPDConf)
	}
	if err := c.refuseUnsupported(conf); err != nil {
		return nil, err
	}
	if c.Partition, err = c.choosePartition(conf, opts.Partition); err != nil {
		return nil, err
	}
	if err := c.CheckPartition(c.Partition); err != nil {
		return nil, err
	}
	if c.owner, err = ownerOf(c.ConfigDir); err != nil {
		return nil, fmt.Errorf("%w: configdirectory of %s: %w", ErrConfig, opts.IMAPDConf, err)
	}
	if uid := os.Geteuid(); uid != 0 && uid != c.owner.UID {
		return nil, fmt.Errorf("%w: run as root or as the owner of %s (uid %d)", ErrPermission, c.ConfigDir, c.owner.UID)
	}
	if c.Programs, err = reconstruct.Find(opts.BinDir, opts.IMAPDConf); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if os.Geteuid() == 0 {
		c.Programs.Credential = &syscall.Credential{Uid: uint32(c.owner.UID), Gid: uint32(c.owner.GID)}
	}
	if opts.Writes { // before it is asked for its mailboxes, so that Lock need not ask again
		if err := c.takeLock(0); err != nil && !errors.Is(err, ErrBusy) {
			return nil, err
		}
	}
	if err := c.ask(ctx, conf, opts.Domain); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// ask asks Cyrus's programs for all that is to be known.
func (c *Cyrus) ask(ctx context.Context, conf *cyrusspool.Conf, domain string) error {
	// Each program that is asked takes some time to start: two at a time.
	if err := both(
		func() (err error) { c.Version, err = c.Programs.Version(ctx); return err },
		func() error { return c.askSettings(ctx, conf) },
	); err != nil {
		return err
	}
	if err := c.chooseDomain(domain); err != nil {
		return err
	}
	var form reconstruct.ListForm
	if err := both(
		func() error { return c.probe(ctx, func(p *probe) error { return c.learnFresh(ctx, p) }) },
		func() (err error) { form, err = c.askList(ctx); return err },
	); err != nil {
		return err
	}
	if err := c.checkList(form); err != nil {
		return err
	}
	if err := c.checkRelease(ctx); err != nil {
		return err
	}
	return c.checkSeen()
}

// both calls two functions at once, and returns the error of the first that has one.
func both(one, other func() error) error {
	done := make(chan error, 1)
	go func() { done <- other() }()
	return cmp.Or(one(), <-done)
}

// A Refusal is a setting under which writing would go wrong.
type Refusal struct {
	Key, Value string
	Why        string // what is the matter with it
	Fix        string // what to do instead
}

// Refused returns the settings of conf under which writing would go wrong.
func Refused(conf *cyrusspool.Conf) (all []Refusal) {
	for _, key := range []string{"archive_enabled", "object_storage_enabled"} {
		if value, ok := conf.Get(key); ok {
			if on, err := conf.Bool(key, false); err != nil || on {
				all = append(all, Refusal{key, value, "mbox2cyrus does not write for it",
					"give --imapd-conf a copy without that line, if mail may be written so; docs/support.md tells of each"})
			}
		}
	}
	master, _ := conf.Get("mupdate_server")
	if master == "" {
		return all
	}
	// Cyrus tells apart by this who has mailboxes (imap/mboxlist.c, mbentry_is_local_mailbox).
	if proxies, _ := conf.Get("proxyservers"); proxies == "" {
		all = append(all, Refusal{"mupdate_server", master, "without proxyservers it makes this host a front end of a Cyrus Murder, which has no mail of its own",
			"migrate on the back ends: docs/murder.md"})
	}
	if kind, _ := conf.Get("mupdate_config"); kind != "" && kind != "standard" {
		all = append(all, Refusal{"mupdate_config", kind, "mbox2cyrus knows standard murders only",
			"migrate into a Cyrus that is in no murder yet, and let it join afterwards: docs/murder.md"})
	}
	return all
}

// refuseUnsupported refuses them before anything is written.
func (c *Cyrus) refuseUnsupported(conf *cyrusspool.Conf) error {
	for _, r := range Refused(conf) {
		return c.refuse(r)
	}
	return nil
}

func (c *Cyrus) refuse(r Refusal) error {
	return fmt.Errorf("%w: %s: %s: %s is set: %s; nothing was changed; %s", ErrConfig, c.IMAPDConf, r.Key, r.Value, r.Why, r.Fix)
}

// choosePartition returns the partition that is named, or the one that new users have.
func (c *Cyrus) choosePartition(conf *cyrusspool.Conf, name string) (string, error) {
	if name == "" {
		name = conf.DefaultPartition()
	}
	if name == "" && len(c.roots) == 1 {
		name = slices.Collect(maps.Keys(c.roots))[0]
	}
	if name == "" {
		return "", fmt.Errorf("%w: %s names no default partition: use --partition", ErrConfig, c.IMAPDConf)
	}
	return name, nil
}

// CheckPartition refuses a partition that is not configured, or whose directories are
// not there.
func (c *Cyrus) CheckPartition(name string) error {
	roots, ok := c.roots[name]
	if !ok {
		return fmt.Errorf("%w: %s has no partition-%s", ErrConfig, c.IMAPDConf, name)
	}
	for _, dir := range roots.All() {
		if st, err := os.Stat(dir); err != nil {
			return fmt.Errorf("%w: partition %s: %w; Cyrus's makedirs or mkimap makes it", ErrConfig, name, err)
		} else if !st.IsDir() {
			return fmt.Errorf("%w: partition %s: %s is not a directory", ErrConfig, name, dir)
		}
	}
	return nil
}

// HasPartition reports whether a partition is configured.
func (c *Cyrus) HasPartition(partition string) bool {
	_, ok := c.roots[partition]
	return ok
}

// Place returns where the files of a mailbox are; dir is its directory as Dir returns it.
func (c *Cyrus) Place(partition, dir string) cyrusspool.Place { return c.roots[partition].At(dir) }

// Dir returns the directory of a mailbox below its partition, by the layout
// that its entry's type says (cyrus-format 1.3).
func (c *Cyrus) Dir(e reconstruct.Entry) string {
	if c.Fresh.byName(e.Type) {
		return c.Fresh.hashing.Dir(cyrusspool.Name(e.Name))
	}
	return cyrusspool.DirByID(e.UniqueID)
}

// Header describes the cyrus.header of the mailbox of an entry.
func (c *Cyrus) Header(e reconstruct.Entry) cyrusspool.Header {
	h := cyrusspool.Header{Form: c.Fresh.HeaderForm, UniqueID: e.UniqueID, Name: cyrusspool.Name(e.Name), Type: e.Type,
		Flags: slices.Clone(c.Fresh.Flags)}
	for _, a := range e.ACL {
		h.ACL = append(h.ACL, cyrusspool.ACLEntry{ID: a.ID, Rights: a.Rights})
	}
	return h
}

// Enter makes Cyrus know mailboxes whose directories are complete, and checks
// that it does, and that it will look where they are. For each user whose INBOX
// is among them it returns the path of his subscriptions.
func (c *Cyrus) Enter(ctx context.Context, entries []reconstruct.Entry) (subscriptions map[string]string, err error) {
	if err := c.stillSo(); err != nil {
		return nil, err
	}
	if err := c.stillNew(ctx, entries); err != nil {
		return nil, err
	}
	enter := func(ctx context.Context, p *reconstruct.Programs) error {
		return p.Enter(ctx, c.Fresh.ListForm, entries)
	}
	done, err := c.aside(ctx, c.conf.All(), []database{mailboxList}, enter)
	if !done && err == nil {
		err = enter(ctx, c.Programs)
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = c.operand(cyrusspool.Name(e.Name))
	}
	paths, err := c.Programs.Paths(ctx, names)
	if err != nil {
		return nil, err
	}
	subscriptions = map[string]string{}
	for i, e := range entries {
		want := c.Place(e.Partition, c.Dir(e)).Messages()
		p, ok := paths[names[i]]
		if !ok {
			return nil, fmt.Errorf("%s was entered, but Cyrus does not know it", e.Name)
		}
		if filepath.Clean(p.Data) != want {
			return nil, fmt.Errorf("%s was written to %s, but Cyrus looks in %s", e.Name, want, p.Data)
		}
		if name := cyrusspool.Name(e.Name); len(name.Folder()) == 0 {
			if subscriptions[name.User()], err = c.subscriptions(name, p); err != nil {
				return nil, err
			}
		}
	}
	return subscriptions, nil
}

// subscriptions returns the path of a user's subscriptions. Cyrus names the
// file from 3.6 on, in 3.2 and 3.4 the directory, and before neither.
func (c *Cyrus) subscriptions(inbox cyrusspool.Name, p reconstruct.Path) (string, error) {
	if p.Sub != "" {
		return p.Sub, nil
	}
	if c.Fresh.ListForm == reconstruct.FormJSON {
		return "", fmt.Errorf("Cyrus does not say where the subscriptions of %s are", inbox)
	}
	path := filepath.Join(c.ConfigDir, c.Fresh.hashing.UserFile(inbox, "sub"))
	if dir := filepath.Dir(path); p.UserDir != "" && filepath.Clean(p.UserDir) != dir {
		return "", fmt.Errorf("the subscriptions of %s belong into %s, but Cyrus has the user's files in %s", inbox, dir, p.UserDir)
	}
	return path, nil
}

// Reconstruct has Cyrus rebuild the mailboxes of entries, which it knows. All of a user's
// are done at once, but where he has others too only those: even one that needs nothing
// gets a new index file.
func (c *Cyrus) Reconstruct(ctx context.Context, entries map[string][]reconstruct.Entry) (reconstruct.Report, error) {
	var whole, some reconstruct.Job
	for _, id := range slices.Sorted(maps.Keys(entries)) {
		names := map[string]string{} // as printed -> as asked for
		for _, e := range entries[id] {
			names[cyrusspool.Name(e.Name).External(c.Rules.Separator())] = c.operand(cyrusspool.Name(e.Name))
		}
		all := true
		for _, e := range c.UserEntries(id) {
			all = all && names[cyrusspool.Name(e.Name).External(c.Rules.Separator())] != ""
		}
		all = all && !c.Fresh.byMailbox
		expect := &some.Expect
		if all {
			whole.Users = append(whole.Users, id)
			expect = &whole.Expect
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			*expect = append(*expect, name)
			if !all {
				some.Mailboxes = append(some.Mailboxes, names[name])
			}
		}
	}
	var rep reconstruct.Report
	if err := c.stillSo(); err != nil { // before it makes indexes where there are none
		return rep, err
	}
	for _, job := range []reconstruct.Job{whole, some} {
		if len(job.Users) == 0 && len(job.Mailboxes) == 0 {
			continue
		}
		r, err := c.Programs.Reconstruct(ctx, job)
		rep.Complaints = append(rep.Complaints, r.Complaints...)
		if err != nil {
			return rep, err
		}
	}
	return rep, c.stillSo()
}

// Directories returns the directories of all partitions that are there.
func (c *Cyrus) Directories() (dirs []string) {
	for _, roots := range c.roots {
		for _, dir := range roots.All() {
			if st, err := os.Stat(dir); err == nil && st.IsDir() {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// MessagesRoot returns the directory of the messages of a partition.
func (c *Cyrus) MessagesRoot(partition string) string { return c.roots[partition].Data }

func ownerOf(dir string) (cyrusspool.Owner, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return cyrusspool.Owner{}, fmt.Errorf("%s: %w", dir, err)
	}
	return cyrusspool.Owner{UID: int(st.Uid), GID: int(st.Gid)}, nil
}
