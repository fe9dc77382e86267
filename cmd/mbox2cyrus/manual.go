package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// exitCodes is what the program's exit codes mean, for help and manual.
var exitCodes = []struct{ codes, meaning string }{
	{"0", "everything arrived and was proved"},
	{"1", "failed: a user, a folder or the run"},
	{"2", "done, but something needs a person, or --max-duration is over"},
	{"3", "verification found a difference"},
	{"64, 77, 78", "usage, permission, configuration"},
	{"130, 143", "stopped by SIGINT or SIGTERM at a safe point; run again to go on"},
	{"134", "crashed by a fault of the program (SIGABRT); run again to go on"},
}

// exitStatusHelp is the table of exit codes as help shows it.
func exitStatusHelp() string {
	var b strings.Builder
	b.WriteString("\nEXIT STATUS:\n")
	for _, e := range exitCodes {
		b.WriteString(wrap(fmt.Sprintf("   %-11s %s", e.codes, e.meaning), screenWidth, 15) + "\n")
	}
	return b.String()
}

// example is a command line with what it is good for.
type example struct{ why, line string }

var examples = map[string][]example{
	"plan": {
		{"What a run would do, with a list for the help desk and the new names of folders:", "mbox2cyrus plan --help-desk help-desk.csv --map names.csv"},
		{"The same for a copy of the old host, whose clock was in Vienna:", "mbox2cyrus plan --source-root /mnt/oldhost --source-timezone Europe/Vienna"},
	},
	"migrate": {
		{"Days before, while UW IMAP still serves, beside other work, for at most two hours:", "nice ionice -c 3 mbox2cyrus migrate --bwlimit 20M --max-duration 2h"},
		{"In the maintenance window, with a log and a file to watch:", "mbox2cyrus migrate --log-file /var/log/mbox2cyrus.log --status-file /run/mbox2cyrus.json"},
		{"Two users of whom one failed:", "mbox2cyrus migrate --user joe --user ann"},
	},
	"verify": {
		{"Every message in Cyrus's index, then every byte:", "mbox2cyrus verify\nmbox2cyrus verify --level content"},
	},
	"inspect": {
		{"What one file holds, message by message:", "mbox2cyrus inspect /var/mail/joe"},
		{"What Cyrus has of it:", "mbox2cyrus inspect --cyrus user/joe"},
	},
	"report": {
		{"One page of what was done on two hosts:", "mbox2cyrus report --format html --out report.html /srv/ledgers/host1 /srv/ledgers/host2"},
	},
	"doctor": {
		{"Whether everything is ready, and what mends what is not:", "mbox2cyrus doctor"},
	},
	"notify": {
		{"A letter for each user whose folders have other names, say:", "mbox2cyrus notify --output /root/letters"},
	},
	"undo": {
		{"What would be removed, then the removal, with Cyrus stopped:", "mbox2cyrus undo --all --dry-run\nmbox2cyrus undo --all"},
	},
	"export": {
		{"All of a user's mail back to mbox, as a home directory of the UW host has it:", "mbox2cyrus export --user joe --owner 1001:100 --output /srv/back/joe"},
	},
	"retire": {
		{"Move the old folders away, after a clean verify, and back:", "mbox2cyrus retire --archive /var/mail-archive\nmbox2cyrus retire --restore"},
	},
	"approve": {
		{"What is held, and that it is known:", "mbox2cyrus approve --list\nmbox2cyrus approve --all --by \"the postmaster\""},
	},
	"config": {
		{"What a run would go by, and where each setting is from:", "mbox2cyrus config show --effective"},
	},
}

// files are those that an administrator meets.
var files = []struct{ path, what string }{
	{"/etc/imapd.conf", "Cyrus's configuration, which says where mail goes (--imapd-conf)"},
	{"/var/lib/mbox2cyrus", "the ledger: where each message went (--state). Keep it: verify, undo, retire and later passes go by it"},
	{"/etc/mbox2cyrus/mbox2cyrus.toml", "an example of a file of settings, for --config and for the systemd unit"},
	{"/etc/passwd, /var/mail, ~/mail, ~/.mailboxlist", "what is read of the UW host, below --source-root"},
}

const signalsText = `SIGINT and SIGTERM let the run come to a safe point; a second one ends it at once. Both are safe, as is SIGKILL: the same command goes on from there. SIGHUP, and a terminal or pipe that is gone, do not stop a run. SIGUSR1 prints how far it is.`

// documentationCommand writes what a package has beside the program. It is for the
// packaging of this program alone, and so not shown.
func (p *program) documentationCommand() *cli.Command {
	return &cli.Command{
		Name:      "documentation",
		Hidden:    true,
		Usage:     "write manual pages and shell completions below a directory, as in /usr/share",
		ArgsUsage: "DIR",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("documentation wants one directory")
			}
			return p.writeDocumentation(c.Args().First())
		},
	}
}

func (p *program) writeDocumentation(dir string) error {
	out := map[string]func(w io.Writer){
		"man/man8/mbox2cyrus.8":                     p.manual,
		"man/man5/mbox2cyrus.toml.5":                p.configManual,
		"bash-completion/completions/mbox2cyrus":    p.bashCompletion,
		"zsh/vendor-completions/_mbox2cyrus":        p.zshCompletion,
		"fish/vendor_completions.d/mbox2cyrus.fish": p.fishCompletion,
	}
	for _, cmd := range p.visible() {
		out["man/man8/mbox2cyrus-"+cmd.Name+".8"] = func(w io.Writer) { p.commandManual(w, cmd) }
	}
	for name, write := range out {
		path := filepath.Join(dir, name)
		var b strings.Builder
		write(&b)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// visible are the commands that people see.
func (p *program) visible() (commands []*cli.Command) {
	for _, cmd := range p.commands {
		if !cmd.Hidden {
			commands = append(commands, cmd)
		}
	}
	return commands
}

// roff escapes text for man(7).
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "~", `\(ti`, "^", `\(ha`, "`", `\(ga`, "'", `\(aq`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

func (p *program) title(w io.Writer, name string, section int, what string) {
	day, _, _ := strings.Cut(date, "T")
	fmt.Fprintf(w, ".\\\" Made from the text of mbox2cyrus \\-\\-help.\n.TH %s %d %s \"mbox2cyrus %s\" \"mbox2cyrus\"\n.nh\n.SH NAME\n%s \\- %s\n",
		strings.ToUpper(roff(name)), section, roff(day), roff(version), roff(name), roff(what))
}

func paragraph(w io.Writer, text string) { fmt.Fprintf(w, ".PP\n%s\n", roff(text)) }

func item(w io.Writer, head, text string) { fmt.Fprintf(w, ".TP\n%s\n%s\n", head, roff(text)) }

func (p *program) exitStatusManual(w io.Writer) {
	fmt.Fprint(w, ".SH EXIT STATUS\n")
	for _, e := range exitCodes {
		item(w, ".B "+roff(e.codes), e.meaning)
	}
}

func examplesManual(w io.Writer, commands ...string) {
	fmt.Fprint(w, ".SH EXAMPLES\n")
	for _, name := range commands {
		for _, e := range examples[name] {
			paragraph(w, e.why)
			fmt.Fprintf(w, ".PP\n.RS 4\n.nf\n%s\n.fi\n.RE\n", roff(e.line))
		}
	}
}

func seeAlso(w io.Writer, names ...string) {
	fmt.Fprint(w, ".SH SEE ALSO\n")
	for i, name := range names {
		base, section, _ := strings.Cut(name, "(")
		comma := ","
		if i == len(names)-1 {
			comma = ""
		}
		fmt.Fprintf(w, ".BR %s (%s%s\n", roff(base), section, comma)
	}
}

// manual is mbox2cyrus(8).
func (p *program) manual(w io.Writer) {
	app := p.root
	p.title(w, app.Name, 8, app.Usage)
	fmt.Fprint(w, ".SH SYNOPSIS\n.B mbox2cyrus\n.I command\n.RI [ flags ]\n.SH DESCRIPTION\n")
	fmt.Fprintln(w, roff(app.Description))
	paragraph(w, "Each command has a page of its own. Flags come before arguments.")
	fmt.Fprint(w, ".SH COMMANDS\n")
	others := []string{}
	for _, cmd := range p.visible() {
		item(w, fmt.Sprintf(".BR mbox2cyrus\\-%s (8)", roff(cmd.Name)), cmd.Usage)
		others = append(others, "mbox2cyrus-"+cmd.Name+"(8)")
	}
	p.exitStatusManual(w)
	fmt.Fprint(w, ".SH SIGNALS\n")
	fmt.Fprintln(w, roff(signalsText))
	environmentManual(w)
	fmt.Fprint(w, ".SH FILES\n")
	for _, f := range files {
		item(w, ".I "+roff(f.path), f.what)
	}
	examplesManual(w, "plan", "migrate", "verify")
	seeAlso(w, append(others, "mbox2cyrus.toml(5)", "imapd.conf(5)", "reconstruct(8)", "ctl_mboxlist(8)")...)
}

func environmentManual(w io.Writer) {
	fmt.Fprint(w, ".SH ENVIRONMENT\n")
	item(w, ".BI MBOX2CYRUS_ FLAG", "The value of a flag that is not given on the command line: --source-root is MBOX2CYRUS_SOURCE_ROOT. It counts before the file of --config.")
	item(w, ".B TZ", "The zone of dates that name none, if --source-timezone does not say it.")
	item(w, ".B TERM", "If it is unset or \"dumb\", progress is a line a minute. No colours are used, so NO_COLOR changes nothing.")
}

// commandManual is the page of one command: the text of its help.
func (p *program) commandManual(w io.Writer, cmd *cli.Command) {
	p.title(w, "mbox2cyrus-"+cmd.Name, 8, cmd.Usage)
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B mbox2cyrus %s\n.RI [ flags ]\n", roff(cmd.Name))
	if cmd.ArgsUsage != "" {
		fmt.Fprintf(w, ".I %s\n", roff(cmd.ArgsUsage))
	}
	for _, sub := range cmd.Subcommands {
		fmt.Fprintf(w, ".br\n.B mbox2cyrus %s %s\n.RI [ flags ]\n", roff(cmd.Name), roff(sub.Name))
	}
	fmt.Fprint(w, ".SH DESCRIPTION\n")
	fmt.Fprintln(w, roff(strings.ToUpper(cmd.Usage[:1])+cmd.Usage[1:]+"."))
	if cmd.Description != "" {
		paragraph(w, cmd.Description)
	}
	for _, sub := range cmd.Subcommands {
		item(w, ".B "+roff(sub.Name), sub.Usage)
	}
	fmt.Fprint(w, ".SH OPTIONS\n")
	for _, g := range groupedFlags(allFlags(cmd)) {
		fmt.Fprintf(w, ".SS %s\n", roff(strings.ToUpper(g.title[:1])+g.title[1:]))
		for _, f := range g.flags {
			flag, usage := flagTexts(f)
			head := ".BR " + roff(flag)
			if name, argument, ok := strings.Cut(flag, " "); ok {
				head = fmt.Sprintf(".BI \"%s \" \"%s\"", roff(name), roff(argument))
			}
			item(w, head, usage)
		}
	}
	p.exitStatusManual(w)
	environmentManual(w)
	if len(examples[cmd.Name]) > 0 {
		examplesManual(w, cmd.Name)
	}
	seeAlso(w, "mbox2cyrus(8)", "mbox2cyrus.toml(5)")
}

// configManual is the page of the file of --config.
func (p *program) configManual(w io.Writer) {
	p.title(w, "mbox2cyrus.toml", 5, "settings of mbox2cyrus")
	fmt.Fprint(w, ".SH DESCRIPTION\n")
	fmt.Fprintln(w, roff("The file that --config names is TOML: a line \"key = value\" for a setting. Every flag is a key, but for --all, --recognised and --restore, which must be said, and --config, --cyrus and --effective; values are text in quotes, numbers, true and false, or lists of those for flags that may be repeated. What is for another command is passed over; a key that is no flag is an error."))
	paragraph(w, "Flags count before the environment, the environment before the file. \"mbox2cyrus config show --effective\" shows what a run would go by, and where each setting is from.")
	fmt.Fprint(w, ".SH KEYS\n")
	for _, name := range slices.Sorted(maps.Keys(p.settings())) {
		f := p.flag(name)
		_, usage := flagTexts(f)
		item(w, ".B "+roff(name), usage)
	}
	fmt.Fprint(w, ".SH FILES\n")
	item(w, ".I "+roff("/etc/mbox2cyrus/mbox2cyrus.toml"), "an example, and the file that the systemd unit reads")
	fmt.Fprint(w, ".SH EXAMPLES\n.PP\n.RS 4\n.nf\n")
	fmt.Fprint(w, roff("source-root = \"/mnt/oldhost\"\nsource-timezone = \"Europe/Vienna\"\nexclude-user = [\"backup\", \"nagios\"]\njobs = 4")+"\n.fi\n.RE\n")
	seeAlso(w, "mbox2cyrus(8)")
}
