package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a migration host may lack the zone files of the old host's zone

	"github.com/urfave/cli/v2"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"

	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/mbox"
	"mbox2cyrus/reconstruct"
)

// Flag names that appear in more than one place.
const (
	flagDryRun  = "dry-run"
	flagNoCache = "no-cache"
	flagState   = "state"
	flagLevel   = "level"

	flagSameHost = "same-host"

	flagFromDates = "from-dates"
	flagUWVersion = "uw-version"
	flagRepair    = "repair"
	flagHoldAbove = "hold-above"

	flagShard      = "shard"
	flagOnlyFailed = "only-failed"
	flagMetrics    = "metrics-file"

	flagDomain     = "domain"
	flagACL        = "acl"
	flagQuota      = "quota"
	flagSpecialUse = "special-use"
	flagMap        = "map"
	flagHelpDesk   = "help-desk"
	flagOut        = "out"
)

// inspectName is the command that shows every doubt of a file.
const inspectName = "inspect"

func env(name string) []string {
	return []string{"MBOX2CYRUS_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))}
}

func stringFlag(name, value, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Value: value, Usage: usage, EnvVars: env(name)}
}

func boolFlag(name, usage string) cli.Flag {
	return &cli.BoolFlag{Name: name, Usage: usage, EnvVars: env(name)}
}

// sourceFlags say where the UW host is and whose mail is meant.
func sourceFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("source-root", "/", "the UW host's `DIR`: /, or a mounted or copied host"),
		stringFlag("passwd", "", "passwd `FILE` of the UW host, below the source root unless absolute, or getent to ask this machine (default: etc/passwd)"),
		stringFlag("inbox-dir", "", "`DIR` of the INBOXes below the source root (default: var/mail)"),
		stringFlag("inbox-template", "", "`PATH` of each INBOX: /var/mail/%1u/%2u/%u (name, its first byte, second), ~/Mailbox"),
		&cli.StringSliceFlag{Name: "inbox-extra", Usage: "mail of `PATH` below each home is in the INBOX too: INBOX, say, which UW hides if it is mbox", EnvVars: env("inbox-extra")},
		stringFlag("mail-dir", "", "`NAME` of the folder directory below each home, . for the home itself (default: mail)"),
		boolFlag("ignore-c-client-cf", "the UW host's UW IMAP did not obey its etc/c-client.cf"),
		&cli.StringSliceFlag{Name: "user", Usage: "only this `NAME` (may be repeated)", EnvVars: env("user")},
		stringFlag("users-from", "", "only the users named in `FILE`, one a line"),
		&cli.StringSliceFlag{Name: "exclude-user", Usage: "not this `NAME` (may be repeated)", EnvVars: env("exclude-user")},
		stringFlag(flagShard, "", "only the `K/N` part of the users, the same on every machine: 1/3, 2/3 and 3/3 are all"),
		&cli.IntFlag{Name: "min-uid", Value: 500, Usage: "users from this uid `N` on", EnvVars: env("min-uid")},
		timezoneFlag(),
		fromDatesFlag(),
		uwVersionFlag(),
		repairFlag(),
		&cli.Int64Flag{Name: flagHoldAbove, Value: cyrusspool.MaxMessageSize, EnvVars: env(flagHoldAbove), Usage: "hold messages of more than `BYTES`, at most as large as Cyrus's index can say (see approve)"},
		stringFlag("filename-charset", "ISO-8859-1", "`CHARSET` of 8-bit folder names that are not UTF-8"),
		stringFlag("names", "", "give folders the names that `FILE` says: a file written by --map and edited"),
		&cli.IntFlag{Name: "jobs", Value: runtime.NumCPU(), Usage: "users at a time `N` (default: one a processor)", EnvVars: env("jobs")},
	}
}

func timezoneFlag() cli.Flag {
	return stringFlag("source-timezone", "", "`ZONE` of the UW host, as in Europe/Vienna, for dates that name none (default: this machine's)")
}

func fromDatesFlag() cli.Flag {
	return stringFlag(flagFromDates, "local", "From_ dates that name no zone are `WHAT`: local (to the UW host) or utc; plan measures it")
}

func uwVersionFlag() cli.Flag {
	return &cli.IntFlag{Name: flagUWVersion, Value: int(mbox.UW2007), EnvVars: env(flagUWVersion),
		Usage: "`YEAR` of the UW IMAP whose rules hold where they differ: 2007, or 2002 for releases before 2006"}
}

func repairFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: flagRepair, EnvVars: env(flagRepair),
		Usage: "put `NAME` right although UW did not (may be repeated): " + strings.Join(mbox.Repairs(^mbox.Repairs(0)).Names(), ", ")}
}

// parseRules are the values of uwVersionFlag and repairFlag.
func parseRules(c *cli.Context) (r source.Rules, err error) {
	switch r.UWVersion = mbox.UWVersion(c.Int(flagUWVersion)); r.UWVersion {
	case mbox.UW2007, mbox.UW2002:
	default:
		return r, usagef("--%s %d: 2007 or 2002", flagUWVersion, r.UWVersion)
	}
	for _, name := range c.StringSlice(flagRepair) {
		repair, err := mbox.ParseRepair(name)
		if err != nil {
			return r, usagef("--%s: %v; there are\n  %s", flagRepair, err, strings.Join(mbox.RepairHelp(), "\n  "))
		}
		r.Repairs |= repair
	}
	// They change dates just as the others change messages.
	r.Timezone, r.UTC = c.String("source-timezone"), c.String(flagFromDates) == "utc"
	return r, nil
}

func mapFlag() cli.Flag {
	return stringFlag(flagMap, "", "write every folder's old name, new name and why to `FILE`: CSV, or JSON if it ends in .json")
}

func helpDeskFlag() cli.Flag {
	return stringFlag(flagHelpDesk, "", "write what changes for which user to `FILE`: text, or CSV if it ends in .csv")
}

// cyrusFlags say which Cyrus is meant and where the record of the work lies.
func cyrusFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("imapd-conf", "/etc/imapd.conf", "Cyrus's configuration `FILE`"),
		stringFlag("cyrus-bin", "", "`DIR` of Cyrus's programs (default: found by itself)"),
		stringFlag("partition", "", "`NAME` of the Cyrus partition (default: Cyrus's default)"),
		stringFlag("partition-map", "", "CSV `FILE` of users and their partitions: user,partition"),
		stringFlag(flagDomain, "", "virtual domain `D` of the users (virtdomains): joe becomes joe@D"),
		&cli.StringSliceFlag{Name: flagACL, Usage: "`ID:RIGHTS` in every new mailbox besides the owner's, as backup:lrs (may be repeated)", EnvVars: env(flagACL)},
		stringFlag(flagQuota, "none", "quota of each user: `BYTES` (also 500M, 2G), or a CSV file: user,bytes"),
		stringFlag(flagSpecialUse, "auto", "folders for sent mail, drafts, trash, junk: `WHAT` is auto (by their names), off, or a CSV file: use,folder"),
		stateFlag(),
	}
}

// installedFlags say which Cyrus is meant, for commands that put no new mail there.
func installedFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("imapd-conf", "/etc/imapd.conf", "Cyrus's configuration `FILE`"),
		stringFlag("cyrus-bin", "", "`DIR` of Cyrus's programs (default: found by itself)"),
		stringFlag("partition", "", "`NAME` of any Cyrus partition, where Cyrus has no default"),
	}
}

func stateFlag() cli.Flag {
	return stringFlag(flagState, "/var/lib/mbox2cyrus", "`DIR` of the ledger, the record of what was done")
}

// accountFlags are those of the commands that do or prove the job.
func accountFlags() []cli.Flag {
	return []cli.Flag{
		boolFlag(flagOnlyFailed, "only users whom report does not call proved: who failed, need a person, or were not finished"),
		stringFlag(flagMetrics, "", "write counters to `FILE`, for the textfile collector of Prometheus's node exporter"),
	}
}

func outputFlags() []cli.Flag {
	return []cli.Flag{
		boolFlag("json", "JSON Lines on standard output"),
		boolFlag("quiet", "only problems that are more than notes, and the summary"),
		stringFlag("log-file", "", "append the JSON Lines to `FILE` too"),
		stringFlag("log-level", "info", "what goes to the log file: `L` is debug, info, warn or error"),
	}
}

// sourceOptions are the values of sourceFlags, checked.
type sourceOptions struct {
	host      mbox.HostOptions
	selection plan.Selection
	zone      *time.Location // of the host
	location  *time.Location // that From_ dates are read in: zone, or UTC
	rules     source.Rules
	charset   encoding.Encoding // of folder names
	acl       []reconstruct.ACL // besides the owner's
	jobs      int
}

// parseSelection reads whose mail is meant.
func parseSelection(c *cli.Context) (s plan.Selection, err error) {
	s = plan.Selection{Users: c.StringSlice("user"), Exclude: c.StringSlice("exclude-user")}
	if file := c.String("users-from"); file != "" {
		names, err := readNames(file)
		if err != nil {
			return s, err
		}
		if len(names) == 0 {
			return s, usagef("--users-from %s names no user", file)
		}
		s.Users = append(s.Users, names...)
	}
	if text := c.String(flagShard); text != "" {
		if s.Shard, err = plan.ParseShard(text); err != nil {
			return s, usagef("--%s: %v", flagShard, err)
		}
	}
	slices.Sort(s.Users)
	s.Users = slices.Compact(s.Users)
	return s, nil
}

func parseSource(c *cli.Context) (o sourceOptions, err error) {
	o.host = mbox.HostOptions{Root: c.String("source-root"), Passwd: c.String("passwd"),
		InboxDir: c.String("inbox-dir"), InboxTemplate: c.String("inbox-template"), InboxExtra: c.StringSlice("inbox-extra"),
		MailDir: c.String("mail-dir"), MinUID: c.Int("min-uid"), IgnoreConfig: c.Bool("ignore-c-client-cf")}
	if o.host.Passwd == "getent" { // a file of that name is ./getent
		o.host.Passwd, o.host.Getent = "", true
	}
	if o.selection, err = parseSelection(c); err != nil {
		return o, err
	}
	if o.zone, o.location, err = parseZone(c); err != nil {
		return o, err
	}
	if o.rules, err = parseRules(c); err != nil {
		return o, err
	}
	if o.rules.HoldAbove = c.Int64(flagHoldAbove); o.rules.HoldAbove < 1 || o.rules.HoldAbove > cyrusspool.MaxMessageSize {
		return o, usagef("--%s %d: from 1 to %d", flagHoldAbove, o.rules.HoldAbove, int64(cyrusspool.MaxMessageSize))
	}
	charset, err := ianaindex.IANA.Encoding(c.String("filename-charset"))
	if err != nil || charset == nil {
		return o, usagef("--filename-charset %s: no such charset is known", c.String("filename-charset"))
	}
	o.charset = charset
	if o.acl, err = parseACL(c.StringSlice(flagACL)); err != nil {
		return o, err
	}
	if o.jobs = c.Int("jobs"); o.jobs < 1 {
		return o, usagef("--jobs must be at least 1")
	}
	return o, nil
}

// parseZone returns the zone of the host and the one that its From_ dates are in.
func parseZone(c *cli.Context) (zone, location *time.Location, err error) {
	if zone, err = sourceZone(c); err != nil {
		return nil, nil, err
	}
	switch what := c.String(flagFromDates); what {
	case "local":
		return zone, zone, nil
	case "utc":
		return zone, time.UTC, nil
	default:
		return nil, nil, usagef("--%s %s: local or utc", flagFromDates, what)
	}
}

// sourceZone returns the zone of the host: that of --source-timezone, else this machine's.
func sourceZone(c *cli.Context) (*time.Location, error) {
	if name := c.String("source-timezone"); name != "" {
		zone, err := time.LoadLocation(name)
		if err != nil {
			return nil, usagef("--source-timezone %s: %v", name, err)
		}
		return zone, nil
	}
	// Package time takes a TZ that it cannot read, such as POSIX's CET-1CEST, for UTC, and
	// tells nobody. Other programs know it, so dates would be wrong by hours.
	switch tz := os.Getenv("TZ"); strings.TrimPrefix(tz, ":") {
	case "", "UTC", "UTC0":
	default:
		if time.Local.String() == "UTC" {
			return nil, usagef("this machine's zone is TZ=%s, which is not known by that name here: give --source-timezone, as in Europe/Vienna", tz)
		}
	}
	return time.Local, nil
}

func readNames(path string) (names []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: --users-from: %w", target.ErrConfig, err)
	}
	defer f.Close() // read only: nothing can be lost
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		if name := strings.TrimSpace(sc.Text()); name != "" && !strings.HasPrefix(name, "#") {
			names = append(names, name)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("%w: --users-from %s: %w", target.ErrConfig, path, err)
	}
	return names, nil
}

// reporter makes the reporter of a command, and what closes its log.
func (p *program) reporter(c *cli.Context) (*report.Reporter, func() error, error) {
	opts := report.Options{Stdout: p.stdout, Stderr: p.stderr, JSON: c.Bool("json"), Quiet: c.Bool("quiet"),
		Command: c.Command.Name, SourceRoot: c.String("source-root"), DryRun: c.Bool(flagDryRun),
		Everything: c.Command.Name == inspectName}
	level, ok := report.ParseLevel(c.String("log-level"))
	if !ok && c.IsSet("log-level") {
		return nil, nil, usagef("--log-level %s: debug, info, warn or error", c.String("log-level"))
	}
	opts.LogLevel = level
	closeLog := func() error { return nil }
	if path := c.String("log-file"); path != "" {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: --log-file: %w", target.ErrConfig, err)
		}
		opts.Log, closeLog = io.Writer(f), f.Close
	}
	return report.New(opts), closeLog, nil
}

func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return abs, nil
}
