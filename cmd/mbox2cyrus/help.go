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
	{"reading", []string{"source-timezone", "from-dates", "uw-version", "repair", "filename-charset", "names"}},
	{"Cyrus", []string{"imapd-conf", "cyrus-bin", "partition", "partition-map", "domain", "acl", "special-use", "quota", "subscribe"}},
	{"the run", []string{"state", "jobs", flagMaxDuration, flagBWLimit, "config"}},
	{"what it says", []string{"json", "quiet", "log-file", "log-level", "status-file", flagMetrics}},
}

// commandHelp is the help of one command, a line a flag. Environment variables are told
// once: they all have the name of their flag.
func commandHelp(cmd *cli.Command) string {
	return "mbox2cyrus " + cmd.Name + " - " + cmd.Usage + "\n\nUSAGE: mbox2cyrus " + cmd.Name + " [flags] " + cmd.ArgsUsage + "\n\n" +
		strings.Join(groupedFlags(cmd.Flags), "\n") + `

Each flag is also an environment variable (--source-root: MBOX2CYRUS_SOURCE_ROOT)
and a key of the file that --config names.
`
}

// groupedFlags are the lines of help about flags.
func groupedFlags(flags []cli.Flag) (lines []string) {
	group := func(title string, member func(name string) bool) {
		first := true
		for _, f := range flags {
			if !member(f.Names()[0]) {
				continue
			}
			if first {
				lines = append(lines, title+":")
				first = false
			}
			lines = append(lines, flagLine(f))
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
	return lines
}

// flagWidth is where the words begin behind a flag.
const flagWidth = 27

func flagLine(f cli.Flag) string {
	doc, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return "  --" + f.Names()[0]
	}
	usage := doc.GetUsage()
	argument := ""
	if before, rest, found := strings.Cut(usage, "`"); found {
		if name, after, found := strings.Cut(rest, "`"); found {
			argument, usage = " "+name, before+name+after
		}
	}
	if v := doc.GetValue(); v != "" && v != "false" && doc.TakesValue() && !strings.Contains(usage, "default") && v != "[]" {
		usage += " (default: " + v + ")"
	}
	return fmt.Sprintf("  %-*s %s", flagWidth, "--"+f.Names()[0]+argument, usage)
}
