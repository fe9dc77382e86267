package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagGroups are the flags as help shows them. What is in none of them is the
// command's own.
var flagGroups = []struct {
	title string
	names []string
}{
	{"the UW host", []string{"source-root", "passwd", "inbox-dir", "inbox-template", "inbox-extra", "mail-dir", "ignore-c-client-cf", "lock", "lock-wait"}},
	{"whose mail", []string{"user", "users-from", "exclude-user", flagOnlyFailed, flagShard, "min-uid"}},
	{"reading", []string{"source-timezone", "from-dates", "uw-version", "repair", "filename-charset", "names", flagHoldAbove}},
	{"Cyrus", []string{"imapd-conf", "cyrus-bin", "partition", "partition-map", "domain", "acl", "special-use", "quota"}},
	{"the run", []string{"state", "jobs", flagMaxDuration, flagBWLimit, "config"}},
	{"what it says", []string{"json", "quiet", "log-file", "log-level", "status-file", flagMetrics}},
}

// commandHelp is the help of one command, a line a flag. Environment variables are told
// once: they all have the name of their flag.
// name is that of the command with those that it is below: "config show".
func commandHelp(name string, cmd *cli.Command) string {
	return "mbox2cyrus " + name + " - " + cmd.Usage + "\n\nUSAGE: " + strings.TrimSpace("mbox2cyrus "+name+" [flags] "+cmd.ArgsUsage) + "\n\n" +
		strings.Join(flagHelp(cmd.Flags), "\n") + `

Each flag is also an environment variable (--source-root: MBOX2CYRUS_SOURCE_ROOT)
and a key of the file that --config names` + mustBeSaid(cmd.Flags) + ".\n"
}

// mustBeSaid names the flags that are no settings.
func mustBeSaid(flags []cli.Flag) string {
	var names []string
	for _, f := range flags {
		if !isSetting(f) {
			names = append(names, "--"+f.Names()[0])
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ", but for " + strings.Join(names, " and ")
}

// flagGroup are flags that belong together.
type flagGroup struct {
	title string
	flags []cli.Flag
}

// groupedFlags are flags in their groups, the command's own first.
func groupedFlags(flags []cli.Flag) (groups []flagGroup) {
	group := func(title string, member func(name string) bool) {
		g := flagGroup{title: title}
		for _, f := range flags {
			if member(f.Names()[0]) {
				g.flags = append(g.flags, f)
			}
		}
		if len(g.flags) > 0 {
			groups = append(groups, g)
		}
	}
	group("this command", func(name string) bool {
		for _, g := range flagGroups {
			if slices.Contains(g.names, name) {
				return false
			}
		}
		return true
	})
	for _, g := range flagGroups {
		group(g.title, func(name string) bool { return slices.Contains(g.names, name) })
	}
	return groups
}

// flagHelp are the lines of help about flags.
func flagHelp(flags []cli.Flag) (lines []string) {
	for _, g := range groupedFlags(flags) {
		lines = append(lines, g.title+":")
		for _, f := range g.flags {
			flag, usage := flagTexts(f)
			lines = append(lines, fmt.Sprintf("  %-*s %s", flagWidth, flag, usage))
		}
	}
	return lines
}

// flagWidth is where the words begin behind a flag.
const flagWidth = 27

// flagTexts are a flag with the name of its value, and what it means.
func flagTexts(f cli.Flag) (flag, usage string) {
	flag = "--" + f.Names()[0]
	doc, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return flag, ""
	}
	usage = doc.GetUsage()
	if before, rest, found := strings.Cut(usage, "`"); found {
		if name, after, found := strings.Cut(rest, "`"); found {
			flag, usage = flag+" "+name, before+name+after
		}
	}
	if v := doc.GetValue(); v != "" && v != "false" && doc.TakesValue() && !strings.Contains(usage, "default") && v != "[]" && v != "0s" {
		usage += " (default: " + v + ")"
	}
	return flag, usage
}
