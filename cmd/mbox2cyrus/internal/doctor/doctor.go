// Package doctor looks at an installation before the night and says what is wrong with it
// and what mends it. It changes nothing.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mbox2cyrus/cmd/mbox2cyrus/internal/ledger"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/resources"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
	"mbox2cyrus/reconstruct"
)

// State of what was looked at.
type State string

const (
	OK      State = "ok"
	Warning State = "warning" // migrate would work, but not as one may wish
	Wrong   State = "wrong"   // migrate would refuse
)

// Check is one thing that was looked at.
type Check struct {
	Name  string `json:"check"`
	State State  `json:"state"`
	Text  string `json:"text"`
	Fix   string `json:"fix,omitempty"` // what mends it: a command, or what to do
	Code  int    `json:"-"`             // exit code that migrate would refuse with; 0: another one than these
}

// Patient is what is looked at.
type Patient struct {
	Source    mbox.HostOptions
	Zone      *time.Location // that dates of the source are read in
	ZoneGiven bool           // by the administrator
	Cyrus     target.Options
	State     string // directory
	Jobs      int    // users at a time
}

// Examine looks at everything, whatever else is wrong.
func Examine(ctx context.Context, p Patient) []Check {
	x := &examination{Patient: p}
	x.who()
	x.cyrus(ctx)
	x.source()
	x.stateDir()
	x.limits()
	x.system()
	return x.checks
}

// examination gathers checks.
type examination struct {
	Patient
	checks []Check
}

func (x *examination) ok(name, format string, args ...any) {
	x.checks = append(x.checks, Check{Name: name, State: OK, Text: fmt.Sprintf(format, args...)})
}

func (x *examination) warn(name, fix, format string, args ...any) {
	x.checks = append(x.checks, Check{Name: name, State: Warning, Text: fmt.Sprintf(format, args...), Fix: fix})
}

func (x *examination) wrong(name string, code int, fix, format string, args ...any) {
	x.checks = append(x.checks, Check{Name: name, State: Wrong, Text: fmt.Sprintf(format, args...), Fix: fix, Code: code})
}

func (x *examination) who() {
	if os.Geteuid() != 0 {
		x.warn("user", "run it by sudo", "runs as uid %d: only root can read everybody's mail", os.Geteuid())
		return
	}
	x.ok("user", "runs as root")
}

// cyrus looks at imapd.conf, programs, directories and databases of Cyrus, in the order
// in which migrate would stumble over them.
func (x *examination) cyrus(ctx context.Context) {
	conf, err := cyrusspool.ParseConf(x.Cyrus.IMAPDConf)
	if err != nil {
		x.wrong("imapd.conf", report.ExitConfig, "name Cyrus's configuration by --imapd-conf FILE, or mend that line", "%v", err)
		return
	}
	refused := target.Refused(conf)
	for _, r := range refused {
		x.wrong("imapd.conf", report.ExitConfig, r.Fix, "%s: %s is set: %s", r.Key, r.Value, r.Why)
	}
	if len(refused) == 0 {
		x.ok("imapd.conf", "%s: nothing in it is refused", x.Cyrus.IMAPDConf)
	}
	dir, ok := conf.Get("configdirectory")
	if !ok {
		x.wrong("configdirectory", report.ExitConfig, "set configdirectory in imapd.conf", "is not set")
		return
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		x.wrong("configdirectory", report.ExitConfig, "let Cyrus make it: its makedirs or mkimap, or start Cyrus once", "%s: %v", dir, err)
		return
	}
	x.ok("configdirectory", "%s, of user %s", dir, userName(st.Uid))
	if st.Uid == 0 {
		x.warn("configdirectory", "chown -R cyrus:mail "+dir, "%s belongs to root, and so would the mail", dir)
	}
	x.space("configdirectory", dir, st.Uid, "")
	x.partitions(conf, st.Uid)
	programs, err := reconstruct.Find(x.Cyrus.BinDir, x.Cyrus.IMAPDConf)
	if err != nil {
		x.wrong("programs", report.ExitConfig, "install Cyrus (Debian: apt install cyrus-imapd), or name the directory by --cyrus-bin DIR", "%v", err)
		return
	}
	x.ok("programs", "in %s", programs.Dir)
	x.running(ctx, programs)
	if len(refused) > 0 {
		return // Open refuses for what was told
	}
	c, err := target.Open(ctx, x.Cyrus)
	switch {
	case errors.Is(err, target.ErrPermission):
		x.wrong("Cyrus", report.ExitPermission, "run it by sudo", "%v", err)
	case err != nil:
		x.wrong("Cyrus", report.ExitConfig, "su -s /bin/sh "+userName(st.Uid)+" -c '"+filepath.Join(programs.Dir, "ctl_mboxlist")+" -C "+x.Cyrus.IMAPDConf+" -d' shows whether its databases can be read", "%v", err)
	default:
		x.ok("Cyrus", "version %s makes mailboxes of index version %d; mailboxes.db is readable, with %d mailboxes", c.Version, c.Fresh.IndexVersion, c.Mailboxes())
		if r := c.LocksRefused(); r != nil {
			x.wrong("locks", report.ExitConfig, r.Fix, "%s: %s is set: %s", r.Key, r.Value, r.Why)
		}
	}
}

// partitions looks at every partition. owner is Cyrus's user.
func (x *examination) partitions(conf *cyrusspool.Conf, owner uint32) {
	all := conf.Partitions()
	names := []string{}
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) == 0 {
		x.wrong("partitions", report.ExitConfig, "set partition-default in imapd.conf", "there is none")
	}
	for _, name := range names {
		dir := all[name]
		what := "partition " + name
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			x.wrong(what, report.ExitConfig, "let Cyrus make it: its makedirs or mkimap", "%s: %v", dir, err)
			continue
		}
		if st.Uid != owner {
			x.wrong(what, report.ExitConfig, fmt.Sprintf("chown %s %s", userName(owner), dir), "%s belongs to %s, not to Cyrus's user %s, who could not write there", dir, userName(st.Uid), userName(owner))
			continue
		}
		x.space(what, dir, owner, ", or choose other partitions by --partition or --partition-map")
	}
}

// Below these a file system is called short: one hundredth of it, and a gigabyte.
const (
	shortShare = 100
	shortBytes = 1 << 30
)

// space tells how much room the file system of a directory has for a user, and what other
// there is to choose than to make some.
func (x *examination) space(what, dir string, uid uint32, other string) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		x.wrong(what, 0, "", "%s: %v", dir, err)
		return
	}
	room, err := resources.RoomIn(dir, int(uid))
	if err != nil {
		x.wrong(what, 0, "", "%v", err)
		return
	}
	inodes := "any number of files"
	if room.Inodes != resources.Unlimited {
		inodes = fmt.Sprintf("%d inodes", room.Inodes)
	}
	text := fmt.Sprintf("%s: %.1f GB and %s free; plan says whether that is enough", dir, float64(room.Bytes)/1e9, inodes)
	if room.By != "" {
		text += " (" + room.By + ")"
	}
	if room.Bytes < shortBytes || st.Bavail < st.Blocks/shortShare || st.Files > 0 && st.Ffree < st.Files/shortShare {
		x.warn(what, "make room"+other, "%s", text)
		return
	}
	x.ok(what, "%s", text)
}

func (x *examination) running(ctx context.Context, programs *reconstruct.Programs) {
	pid, running, err := programs.Running(ctx)
	switch {
	case err != nil:
		x.wrong("running", 0, "", "%v", err)
	case running:
		x.warn("running", "before the last pass: systemctl stop cyrus-imapd (or its name here)",
			"Cyrus runs as process %d: a pass makes new mailboxes beside it, but leaves those that it would have to change", pid)
	default:
		x.ok("running", "no Cyrus serves this configuration now")
	}
}

// source looks whether the source root is a UW host.
func (x *examination) source() {
	h, err := source.OpenHost(x.Source)
	if err != nil {
		code := 0
		switch {
		case errors.Is(err, source.ErrUsage):
			code = report.ExitUsage
		case errors.Is(err, mbox.ErrConfig), errors.Is(err, source.ErrPlace):
			code = report.ExitConfig
		case errors.Is(err, fs.ErrPermission):
			code = report.ExitPermission
		}
		x.wrong("source", code, "give --source-root, --passwd and --inbox-dir as the host has them", "%v", err)
		return
	}
	users, _, err := h.Users()
	if err := errors.Join(err, h.Close()); err != nil {
		x.wrong("source", 0, "", "%v", err)
		return
	}
	inboxes, homes := 0, 0
	for _, u := range users {
		if u.HasInbox {
			inboxes++
		}
		if u.HasHome {
			homes++
		}
	}
	text := fmt.Sprintf("%s: %d users from uid %d on, %d of them with an INBOX, %d with a home", x.Source.Root, len(users), x.Source.MinUID, inboxes, homes)
	switch {
	case len(users) == 0:
		x.wrong("source", 0, "give --passwd the file of the UW host, or a smaller --min-uid", "%s", text)
	case inboxes == 0:
		x.warn("source", "give --inbox-dir or --inbox-template: where are the INBOX files?", "%s", text)
	case homes == 0:
		x.warn("source", "mount or copy the homes too: folders are there", "%s", text)
	default:
		x.ok("source", "%s", text)
	}
	x.zone()
}

// zone compares the zone that dates are read in with what the source root says of its
// own: etc/timezone, or where etc/localtime leads.
func (x *examination) zone() {
	own, err := zoneOf(x.Source.Root)
	switch {
	case err != nil && x.ZoneGiven:
		x.ok("time zone", "%s, as --source-timezone says; the source does not say its own", x.Zone)
	case err != nil:
		x.warn("time zone", "give --source-timezone the zone of the UW host", "the source does not say its own (%v); dates without a zone are read in this machine's", err)
	case sameZone(own, x.Zone):
		x.ok("time zone", "%s, as the source says of itself", own)
	case x.ZoneGiven:
		x.warn("time zone", "", "--source-timezone %s, but the source says of itself %s", x.Zone, own)
	default:
		x.warn("time zone", "--source-timezone "+own, "the source says of itself %s, but dates without a zone would be read in this machine's", own)
	}
}

// zoneOf returns the name of a host's time zone.
func zoneOf(dir string) (name string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if name, err := readZone(root); err == nil {
		return name, nil
	}
	link, err := root.Readlink("etc/localtime")
	if err != nil {
		return "", err
	}
	_, name, ok := strings.Cut(link, "zoneinfo/")
	if !ok {
		return "", fmt.Errorf("etc/localtime leads to %s", report.Quote(link))
	}
	_, err = time.LoadLocation(name)
	return name, err
}

// readZone reads etc/timezone, as Debian has it.
func readZone(root *os.Root) (name string, err error) {
	f, err := root.OpenFile("etc/timezone", os.O_RDONLY|unix.O_NONBLOCK, 0) // it may be anything
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(f, 200))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	name = strings.TrimSpace(string(b))
	if name == "" {
		return "", errors.New("etc/timezone is empty")
	}
	_, err = time.LoadLocation(name)
	return name, err
}

// sameZone reports whether a zone has the same time all through the years of UW IMAP as
// another.
func sameZone(name string, other *time.Location) bool {
	zone, err := time.LoadLocation(name)
	if err != nil {
		return false
	}
	for t := time.Date(1990, 1, 1, 12, 0, 0, 0, time.UTC); t.Year() < 2030; t = t.AddDate(0, 0, 7) {
		_, a := t.In(zone).Zone()
		_, b := t.In(other).Zone()
		if a != b {
			return false
		}
	}
	return true
}

// stateDir looks at the directory of the ledger, or where it will be.
func (x *examination) stateDir() {
	var st unix.Stat_t
	err := unix.Stat(x.State, &st)
	if errors.Is(err, fs.ErrNotExist) {
		above := x.State
		for errors.Is(err, fs.ErrNotExist) && above != "/" {
			above = filepath.Dir(above)
			err = unix.Stat(above, &st)
		}
		if err != nil {
			x.wrong("state", 0, "", "%s: %v", above, err)
			return
		}
		x.space("state, still to be made in "+above, above, uint32(os.Geteuid()), ", or choose another directory by --state")
		return
	}
	switch {
	case err != nil:
		x.wrong("state", 0, "", "%s: %v", x.State, err)
		return
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		x.wrong("state", 0, "give --state a directory", "%s is none", x.State)
		return
	case st.Uid != 0 && st.Uid != uint32(os.Geteuid()) || st.Mode&0o022 != 0:
		x.warn("state", fmt.Sprintf("chown root %s; chmod 700 %s", x.State, x.State), "%s can be written by others than the one who runs this", x.State)
	}
	l, err := ledger.Read(x.State)
	if errors.Is(err, fs.ErrPermission) {
		x.wrong("state", report.ExitPermission, "run it by sudo", "%v", err)
		return
	}
	if err != nil {
		x.wrong("state", 0, "keep it as it is, and ask; migrate can make its records anew in an empty state directory (docs/passes.md)", "%v", err)
		return
	}
	n := l.Len()
	if err := l.Close(); err != nil {
		x.wrong("state", 0, "", "%v", err)
		return
	}
	x.ok("state", "%s: the ledger can be read, %d mailboxes", x.State, n)
	x.space("state", x.State, uint32(os.Geteuid()), "")
}

// limits looks at what this process may have: those of a service or of another shell may
// be others.
func (x *examination) limits() {
	p, err := resources.Limits()
	if err != nil {
		x.wrong("limits", 0, "", "%v", err)
		return
	}
	switch n, why := p.Jobs(x.Jobs, !cyrusspool.SyncFSReports()); {
	case n == 0:
		x.wrong("limits", 0, "raise that limit", "not even one user at a time can be worked on: %s", why)
	case n < x.Jobs:
		x.warn("limits", "raise that limit, or be content with fewer at a time", "%s: %d at a time then", why, n)
	default:
		x.ok("limits", "open files and memory allow %d users at a time", x.Jobs)
	}
	if p.FileSize != resources.Unlimited {
		x.warn("file size", "ulimit -f unlimited", "a file may have %d bytes at most: a larger folder may hold a larger message", p.FileSize)
	}
}

// system looks at the kernel and the locale.
func (x *examination) system() {
	if cyrusspool.SyncFSReports() {
		x.ok("kernel", "syncfs reports failed writes: one call makes a batch of mailboxes durable")
	} else {
		x.warn("kernel", "Linux 5.8 or later is faster", "syncfs does not report failed writes (before 5.8): every file is synced by itself")
	}
	locale := os.Getenv("LC_ALL")
	for _, name := range []string{"LC_CTYPE", "LANG"} {
		if locale == "" {
			locale = os.Getenv(name)
		}
	}
	if upper := strings.ToUpper(locale); strings.Contains(upper, "UTF-8") || strings.Contains(upper, "UTF8") {
		x.ok("locale", "%s", locale)
	} else {
		x.warn("locale", "export LC_ALL=C.UTF-8", "%q is not UTF-8: names of folders may look wrong on this terminal; what is written does not depend on it", locale)
	}
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	u, err := user.LookupId(id)
	if err != nil {
		return id // a user whom this machine does not know has a number only
	}
	return u.Username
}
