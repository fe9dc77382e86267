package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/scratch"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// Fresh is what a new mailbox looks like when this Cyrus itself makes it.
type Fresh struct {
	IndexVersion cyrusspool.Version
	HeaderForm   cyrusspool.HeaderForm
	Type         string   // mbtype: "e", or "el" for the layout by name
	Rights       string   // of the owner
	Flags        []string // mailbox_initial_flags, if set
	Owner        cyrusspool.Owner
	ListForm     reconstruct.ListForm
	// SubscriptionForm is the form in which this Cyrus writes subscriptions.
	SubscriptionForm cyrusspool.SubscriptionForm

	hashing cyrusspool.Hashing
	// byMailbox: reconstruct takes no users, only mailboxes, up to 2.4.
	byMailbox bool
}

// byName reports whether a mailbox of that type lies in a directory by name.
func (f Fresh) byName(mbtype string) bool {
	return f.ListForm != reconstruct.FormJSON || strings.Contains(mbtype, "l")
}

// probed are the settings that decide how a new mailbox looks and which names
// Cyrus takes. The probe copies them; everything that names a place does not
// come along, so that the probe cannot touch the real Cyrus.
var probed = []string{
	"unixhierarchysep", "altnamespace", "virtdomains", "defaultdomain", "username_tolower",
	"hashimapspool", "fulldirhash", "mailbox_legacy_dirs", "umask", "defaultacl", "implicit_owner_rights",
	"mailbox_initial_flags", "mailbox_default_options", "metapartition_files", "cyrus_user", "cyrus_group", "admins",
	"mboxlist_db", "annotation_db", "quota_db", "seenstate_db", "subscription_db", "mboxkey_db",
	"duplicate_db", "tlscache_db", "ptscache_db", "statuscache_db",
	"conversations", "delete_mode", "expunge_mode", "improved_mboxlist_sort",
	"maxheaderlines", "rfc2046_strict", "boundary_limit", "rfc2047_utf8", "search_whitespace", "search_skipdiacrit", "search_skiphtml",
}

const probeUser = "mbox2cyrusprobe"

// A probe is a mailbox that this Cyrus made by itself in a scratch directory.
type probe struct {
	programs *reconstruct.Programs // of the Cyrus of the scratch directory
	conf     *cyrusspool.Conf      // its configuration
	entry    reconstruct.Entry
	form     reconstruct.ListForm
	planted  bool // into a directory that was ours
}

// probe has Cyrus make a mailbox in a scratch directory and calls look with it. Nothing of it is
// left on return.
func (c *Cyrus) probe(ctx context.Context, look func(*probe) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("probing Cyrus: %w", err)
		}
	}()
	dir, err := scratch.Make(scratch.Probe)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Remove()) }()
	path, err := c.writeProbe(dir.Path)
	if err != nil {
		return err
	}
	programs := *c.Programs
	programs.Conf, programs.Hold = path, append(slices.Clone(programs.Hold), dir.File)
	p := &probe{programs: &programs}
	if p.conf, err = cyrusspool.ParseConf(path); err != nil {
		return err
	}
	name := cyrusspool.InboxName(probeUser)
	if p.planted, err = c.makeProbe(ctx, &programs, name, dir.Path); err != nil {
		return err
	}
	var list []reconstruct.Entry
	if list, p.form, err = programs.List(ctx); err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(e reconstruct.Entry) bool { return e.Name == string(name) })
	if i < 0 {
		return fmt.Errorf("it made no mailbox %s when asked to (%d others)", name, len(list))
	}
	p.entry = list[i]
	return look(p)
}

// place is where the mailbox is.
func (p *probe) place(c *Cyrus) cyrusspool.Place { return p.conf.Roots()["default"].At(c.Dir(p.entry)) }

// learnFresh learns from a probe what a new mailbox looks like.
func (c *Cyrus) learnFresh(ctx context.Context, p *probe) error {
	c.Fresh.ListForm = p.form
	if p.form != reconstruct.FormJSON {
		_, err := p.programs.Reconstruct(ctx, reconstruct.Job{Users: []string{probeUser}})
		c.Fresh.byMailbox = errors.Is(err, reconstruct.ErrOption)
		if err != nil && !c.Fresh.byMailbox {
			return err
		}
	}
	if err := c.readProbe(p); err != nil {
		return err
	}
	if p.planted {
		// The directory is ours: who may read files may search directories.
		mode := c.Fresh.Owner.FileMode
		c.Fresh.Owner.DirMode = mode | mode&0o444>>2
	}
	return nil
}

// askSettings asks Cyrus for its settings. Before 2.5 it cannot be asked: what
// conf leaves out has the defaults of those releases (lib/imapoptions of 2.2 to
// 2.4; 2.1 had the same in its code).
func (c *Cyrus) askSettings(ctx context.Context, conf *cyrusspool.Conf) error {
	settings, err := c.Programs.Settings(ctx)
	// A setting of 3.0 and later, when users' names began to be hashed with
	// their dots.
	_, dots := settings["archive_enabled"]
	c.Fresh.hashing.Carets = !dots
	if errors.Is(err, reconstruct.ErrNoProgram) {
		err = nil
		settings = map[string]string{"unixhierarchysep": "no", "username_tolower": "yes", "hashimapspool": "no", "fulldirhash": "no",
			"virtdomains": "off", "userprefix": "Other Users", "sharedprefix": "Shared Folders"}
		for _, key := range conf.Keys() {
			settings[key], _ = conf.Get(key)
		}
	}
	if err != nil {
		return err
	}
	c.settings = settings
	return c.takeSettings(settings)
}

// makeProbe has Cyrus make the probe mailbox: by itself, or from 2.3 to 2.5 in a
// directory that was planted with an empty cyrus.header. 2.1 and 2.2 can only be
// told of a mailbox and rebuild its index.
func (c *Cyrus) makeProbe(ctx context.Context, programs *reconstruct.Programs, name cyrusspool.Name, scratch string) (planted bool, err error) {
	external := name.External(c.Rules.Separator())
	err = programs.Create(ctx, "default", external)
	var missing *reconstruct.NoHeaderError
	if errors.As(err, &missing) {
		if err := plant(scratch, filepath.Dir(missing.Path), nil, c.owner); err != nil {
			return true, err
		}
		return true, programs.Create(ctx, "default", external)
	}
	if !errors.Is(err, reconstruct.ErrOption) {
		return false, err
	}
	entry := reconstruct.Entry{Name: string(name), Partition: "default", ACL: []reconstruct.ACL{{ID: probeUser, Rights: oldRights}}}
	// The one form that every release before 3.6 reads.
	if err := programs.Enter(ctx, reconstruct.FormBare, []reconstruct.Entry{entry}); err != nil {
		return true, err
	}
	paths, err := programs.Paths(ctx, []string{external})
	if err != nil {
		return true, err
	}
	header, err := (&cyrusspool.Header{UniqueID: "0123456789abcdef", ACL: []cyrusspool.ACLEntry{{ID: probeUser, Rights: oldRights}}}).Append(nil)
	if err != nil {
		return true, err
	}
	if err := plant(scratch, paths[external].Data, header, c.owner); err != nil {
		return true, err
	}
	// What it says of the index, which is not there, does not matter.
	_, err = programs.Reconstruct(ctx, reconstruct.Job{Mailboxes: []string{external}})
	return true, err
}

// oldRights are the rights that 2.1 and 2.2 give an owner (imap/mboxlist.c,
// mboxlist_createmailbox).
const oldRights = "lrswipcda"

// plant makes the directory dir, which is below scratch, and in it a cyrus.header.
func plant(scratch, dir string, header []byte, owner cyrusspool.Owner) (err error) {
	rel, err := filepath.Rel(scratch, dir)
	if err != nil {
		return fmt.Errorf("mailbox in %s: %w", dir, err)
	}
	// Cyrus's user may write there, and must not lead us elsewhere.
	root, err := os.OpenRoot(scratch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := root.MkdirAll(rel, 0o700); err != nil {
		return err
	}
	file := filepath.Join(rel, "cyrus.header")
	if err := root.WriteFile(file, header, 0o600); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	for at := file; at != "."; at = filepath.Dir(at) {
		if err := root.Lchown(at, owner.UID, owner.GID); err != nil {
			return err
		}
	}
	return nil
}

// writeProbe fills the directory scratch of a Cyrus that has its own
// configdirectory and partition and otherwise the settings of conf. What the chosen
// partition has elsewhere is elsewhere there too.
func (c *Cyrus) writeProbe(scratch string) (confPath string, err error) {
	var text strings.Builder
	fmt.Fprintf(&text, "configdirectory: %s/conf\npartition-default: %s/spool\ndefaultpartition: default\n", scratch, scratch)
	fmt.Fprintf(&text, "proc_path: %s/conf/proc\nmboxname_lockpath: %s/conf/lock\nsievedir: %s/conf/sieve\n", scratch, scratch, scratch)
	dirs := []string{"spool", "conf", "conf/db", "conf/socket", "conf/proc", "conf/lock", "conf/log", "conf/msg", "conf/user", "conf/quota"}
	for _, key := range []string{"metapartition-", "metadir-header-", "metadir-index-", "metadir-cache-"} {
		if _, ok := c.conf.Get(key + c.Partition); ok {
			dir := strings.TrimSuffix(key, "-")
			dirs = append(dirs, dir)
			fmt.Fprintf(&text, "%sdefault: %s/%s\n", key, scratch, dir)
		}
	}
	for _, key := range probed {
		if value, ok := c.conf.Get(key); ok {
			fmt.Fprintf(&text, "%s: %s\n", key, value)
		}
	}
	confPath = filepath.Join(scratch, "imapd.conf")
	if err := os.WriteFile(confPath, []byte(text.String()), 0o644); err != nil {
		return "", err
	}
	if err := os.Chmod(confPath, 0o644); err != nil { // whatever the umask
		return "", err
	}
	for i, dir := range dirs {
		dirs[i] = filepath.Join(scratch, dir)
		if err := os.Mkdir(dirs[i], 0o755); err != nil {
			return "", err
		}
		if err := os.Chmod(dirs[i], 0o755); err != nil {
			return "", err
		}
	}
	if os.Geteuid() != 0 {
		return confPath, nil
	}
	// Only when all are there, and each before the one that it is in: from then on Cyrus's
	// user can put a link to anything in the place of what is in it.
	for _, dir := range slices.Backward(dirs) {
		if err := os.Lchown(dir, c.owner.UID, c.owner.GID); err != nil {
			return "", err
		}
	}
	return confPath, nil
}

// takeSettings reads from Cyrus's own list of its effective settings, defaults
// included, those that decide names and directories.
func (c *Cyrus) takeSettings(settings map[string]string) error {
	for key, to := range map[string]*bool{
		"unixhierarchysep": &c.Rules.UnixHierarchySep,
		"username_tolower": &c.Rules.UsernameToLower,
		"hashimapspool":    &c.Fresh.hashing.Spool,
		"fulldirhash":      &c.Fresh.hashing.Full,
	} {
		value, ok := settings[key]
		if !ok {
			return fmt.Errorf("%w: Cyrus does not say its setting of %s", ErrConfig, key)
		}
		switch value {
		case "yes", "on", "1", "t", "true":
			*to = true
		case "no", "off", "0", "f", "false":
		default:
			return fmt.Errorf("%w: Cyrus's setting of %s is %q, neither yes nor no", ErrConfig, key, value)
		}
	}
	c.Rules.Admins = strings.Fields(settings["admins"])
	c.Rules.Prefixes = nil
	if c.AltNamespace() {
		for _, key := range []string{"userprefix", "sharedprefix", "altprefix"} { // the last from 3.0 on
			if prefix := settings[key]; prefix != "" {
				c.Rules.Prefixes = append(c.Rules.Prefixes, prefix)
			}
		}
	}
	return nil
}

// readProbe reads the files of the probe mailbox where they must be.
func (c *Cyrus) readProbe(p *probe) (err error) {
	place, e := p.place(c), p.entry
	header, err := place.ReadHeader()
	if err != nil {
		return fmt.Errorf("its new mailbox is not where expected: %w", err)
	}
	// Cyrus's user may write there, and must not lead us elsewhere.
	f, err := cyrusspool.OpenFile(place.Roots.Index, place.IndexFile())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var file, folder unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &file); err != nil {
		return err
	}
	r, err := cyrusspool.NewIndexReader(f)
	if err != nil {
		return fmt.Errorf("%w: this Cyrus (%s) makes an index that this version of mbox2cyrus does not know: %w; take a newer mbox2cyrus, or migrate into a release that it knows and upgrade that afterwards", ErrConfig, c.Version, err)
	}
	c.Fresh.IndexVersion = r.Header().Version
	c.Fresh.HeaderForm = header.Form
	c.Fresh.Flags = header.Flags
	c.Fresh.Type = e.Type
	// In every layout: Cyrus would rewrite the old form when a client first asks for the list
	// (imapd 3.6.1), and the file would look as if the user had changed it.
	if c.Fresh.ListForm == reconstruct.FormJSON {
		c.Fresh.SubscriptionForm = cyrusspool.SubscriptionDBNames
	}
	for _, a := range e.ACL {
		if a.ID == probeUser {
			c.Fresh.Rights = a.Rights
		}
	}
	if c.Fresh.Rights == "" {
		return errors.New("the owner has no rights in the mailbox that it made")
	}
	d, err := cyrusspool.OpenDir(place.Roots.Data, place.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := unix.Fstat(int(d.Fd()), &folder); err != nil {
		return err
	}
	c.Fresh.Owner = cyrusspool.Owner{
		UID: int(file.Uid), GID: int(file.Gid),
		FileMode: os.FileMode(file.Mode & 0o777), DirMode: os.FileMode(folder.Mode & 0o777),
	}
	return nil
}
