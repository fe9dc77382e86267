package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

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

// screen is what help fits on.
const (
	screenWidth  = 80
	screenHeight = 40
)

// flagHelpAll is another name of --help, which shows all flags of a command.
const flagHelpAll = "help-all"

// everyday are the flags that --help shows beside a command's own, and seldom those of its own
// that it does not, if all are more than fit on a screen.
var seldom = []string{flagSameHost, flagNoCache, "on-conflict"}
var everyday = []string{"source-root", "mail-dir", "user", "source-timezone", "imapd-conf", "partition", flagState, "jobs", "config", "log-file", "quiet"}

// commandHelp is the help of one command. Environment variables are told once: they all have the
// name of their flag. all says that every flag is wanted.
// name is that of the command with those that it is below: "config show".
func commandHelp(name string, cmd *cli.Command, all bool) string {
	help := helpOf(name, cmd, cmd.Flags, "")
	if all || strings.Count(help, "\n") < screenHeight {
		return help
	}
	shown := slices.DeleteFunc(slices.Clone(cmd.Flags), func(f cli.Flag) bool {
		name := f.Names()[0]
		return isGrouped(name) && !slices.Contains(everyday, name) || slices.Contains(seldom, name)
	})
	return helpOf(name, cmd, shown, fmt.Sprintf("These are %d of %d flags. mbox2cyrus %s --%s shows all.\n", len(shown), len(cmd.Flags), name, flagHelpAll))
}

func helpOf(name string, cmd *cli.Command, flags []cli.Flag, more string) string {
	return wrap("mbox2cyrus "+name+" - "+cmd.Usage, screenWidth, 4) + "\n\nUSAGE: " + strings.TrimSpace("mbox2cyrus "+name+" [flags] "+cmd.ArgsUsage) + "\n\n" +
		strings.Join(flagHelp(flags), "\n") + "\n\n" + more +
		"Each flag is also an environment variable (--source-root: MBOX2CYRUS_SOURCE_ROOT)\n" +
		"and a key of the file that --config names" + mustBeSaid(cmd.Flags) + ".\n"
}

// wrap breaks text at spaces into lines of at most width columns, but for longer words. All but
// the first line are indented.
func wrap(text string, width, indent int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Split(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
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
	group("this command", func(name string) bool { return !isGrouped(name) })
	for _, g := range flagGroups {
		group(g.title, func(name string) bool { return slices.Contains(g.names, name) })
	}
	return groups
}

// isGrouped reports whether a flag is in one of flagGroups.
func isGrouped(name string) bool {
	for _, g := range flagGroups {
		if slices.Contains(g.names, name) {
			return true
		}
	}
	return false
}

// flagHelp are the lines of help about flags.
func flagHelp(flags []cli.Flag) (lines []string) {
	width := 0 // of the flags
	for _, f := range flags {
		flag, _ := flagTexts(f)
		width = max(width, len(flag))
	}
	for _, g := range groupedFlags(flags) {
		lines = append(lines, g.title+":")
		for _, f := range g.flags {
			flag, usage := flagTexts(f)
			lines = append(lines, wrap(fmt.Sprintf("  %-*s  %s", width, flag, usage), screenWidth, width+4))
		}
	}
	return lines
}

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
