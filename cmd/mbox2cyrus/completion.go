package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/review"
	"mbox2cyrus/mbox"
)

// choices are the values that flags know.
var choices = map[string][]string{
	"lock":        {"auto", "yes", "no"},
	"level":       {"count", "index", "content"},
	"log-level":   {"debug", "info", "warn", "error"},
	"on-conflict": {"skip", "append"},
	"format":      {"text", "json", "csv", "html"},
	"table":       review.Tables,
	flagFromDates: {"local", "utc"},
	flagUWVersion: {"2007", "2002"},
	flagRepair:    mbox.Repairs(^mbox.Repairs(0)).Names(),
}

// takesPath reports whether the value of a flag is a file or a directory.
func takesPath(f cli.Flag) bool {
	head, _ := flagTexts(f)
	_, argument, _ := strings.Cut(head, " ")
	return argument == "FILE" || argument == "DIR"
}

func takesValue(f cli.Flag) bool {
	doc, ok := f.(cli.DocGenerationFlag)
	return ok && doc.TakesValue()
}

// sortedFlags are the names of the flags of all commands.
func (p *program) sortedFlags() []string { return slices.Sorted(maps.Keys(p.flagNames())) }

// flag returns a flag of any command.
func (p *program) flag(name string) cli.Flag {
	for _, cmd := range p.commands {
		for _, f := range allFlags(cmd) {
			if f.Names()[0] == name {
				return f
			}
		}
	}
	return nil
}

// allFlags are the flags of a command and of those below it, without the --help that
// the library adds in its own time.
func allFlags(cmd *cli.Command) []cli.Flag {
	flags := slices.Clone(cmd.Flags)
	for _, sub := range cmd.Subcommands {
		flags = append(flags, sub.Flags...)
	}
	return slices.DeleteFunc(flags, func(f cli.Flag) bool { return f.Names()[0] == "help" })
}

// The completions are made of fixed words: to complete a line never runs the program,
// and never what the line says.

func (p *program) bashCompletion(w io.Writer) {
	fmt.Fprint(w, `# bash completion for mbox2cyrus
_mbox2cyrus() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} flags=
    COMPREPLY=()
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $prev == "=" ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    case $prev in
`)
	var paths, words []string
	for _, name := range p.sortedFlags() {
		f := p.flag(name)
		switch {
		case choices[name] != nil:
			fmt.Fprintf(w, "    --%s) mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$cur\"); return ;;\n", name, strings.Join(choices[name], " "))
		case takesPath(f):
			paths = append(paths, "--"+name)
		case takesValue(f):
			words = append(words, "--"+name)
		}
	}
	fmt.Fprintf(w, "    %s) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n", strings.Join(paths, "|"))
	fmt.Fprintf(w, "    %s) return ;;\n    esac\n", strings.Join(words, "|"))
	fmt.Fprint(w, "    if [[ $COMP_CWORD == 1 ]]; then\n        mapfile -t COMPREPLY < <(compgen -W '")
	for _, cmd := range p.visible() {
		fmt.Fprint(w, cmd.Name+" ")
	}
	fmt.Fprint(w, "--help --version' -- \"$cur\")\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n")
	for _, cmd := range p.visible() {
		fmt.Fprintf(w, "    %s) flags='", cmd.Name)
		for _, sub := range cmd.Subcommands {
			fmt.Fprint(w, sub.Name+" ")
		}
		for _, f := range allFlags(cmd) {
			fmt.Fprint(w, "--"+f.Names()[0]+" ")
		}
		fmt.Fprint(w, "--help' ;;\n")
	}
	fmt.Fprint(w, `    esac
    if [[ $cur == -* || ${COMP_WORDS[1]} == config ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
    elif [[ ${COMP_WORDS[1]} == inspect ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
} &&
complete -F _mbox2cyrus mbox2cyrus
`)
}

// zshQuote quotes text that is inside the brackets of an _arguments specification, which
// is inside single quotes.
func zshQuote(text string) string {
	return strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, ":", `\:`, "'", `'\''`).Replace(text)
}

func (p *program) zshCompletion(w io.Writer) {
	fmt.Fprint(w, "#compdef mbox2cyrus\n\n_mbox2cyrus() {\n    local -a commands\n    commands=(\n")
	for _, cmd := range p.visible() {
		fmt.Fprintf(w, "        '%s:%s'\n", cmd.Name, zshQuote(cmd.Usage))
	}
	fmt.Fprint(w, "    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n    local command=$words[2]\n    (( CURRENT-- ))\n    shift words\n    case $command in\n")
	for _, cmd := range p.visible() {
		fmt.Fprintf(w, "    %s)\n        _arguments", cmd.Name)
		if len(cmd.Subcommands) > 0 {
			fmt.Fprint(w, " \\\n            '1:command:(")
			for i, sub := range cmd.Subcommands {
				fmt.Fprint(w, strings.Repeat(" ", min(i, 1))+sub.Name)
			}
			fmt.Fprint(w, ")'")
		} else if cmd.Name == inspectName {
			fmt.Fprint(w, " \\\n            '*:file:_files'")
		}
		for _, f := range allFlags(cmd) {
			name := f.Names()[0]
			_, usage := flagTexts(f)
			value := valueForm(f, ":value:(%s)", ":file:_files", ":value: ")
			equals := ""
			if value != "" {
				equals = "="
			}
			fmt.Fprintf(w, " \\\n            '*--%s%s[%s]%s'", name, equals, zshQuote(usage), value)
		}
		fmt.Fprint(w, "\n        ;;\n")
	}
	fmt.Fprint(w, "    esac\n}\n\n_mbox2cyrus \"$@\"\n")
}

// valueForm is how a shell is told of the value of a flag: one of some, with %s for them,
// a path, any; "" if it takes none.
func valueForm(f cli.Flag, oneOf, path, any string) string {
	switch words := choices[f.Names()[0]]; {
	case words != nil:
		return fmt.Sprintf(oneOf, strings.Join(words, " "))
	case takesPath(f):
		return path
	case takesValue(f):
		return any
	}
	return ""
}

// fishQuote quotes text for fish, inside single quotes.
func fishQuote(text string) string {
	return strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text)
}

func (p *program) fishCompletion(w io.Writer) {
	fmt.Fprint(w, "# fish completion for mbox2cyrus\ncomplete -c mbox2cyrus -f\ncomplete -c mbox2cyrus -n __fish_use_subcommand -l help -d 'show help'\ncomplete -c mbox2cyrus -n __fish_use_subcommand -l version -d 'show the version'\n")
	for _, cmd := range p.visible() {
		fmt.Fprintf(w, "complete -c mbox2cyrus -n __fish_use_subcommand -a %s -d '%s'\n", cmd.Name, fishQuote(cmd.Usage))
		seen := "'__fish_seen_subcommand_from " + cmd.Name + "'"
		for _, sub := range cmd.Subcommands {
			fmt.Fprintf(w, "complete -c mbox2cyrus -n %s -a %s -d '%s'\n", seen, sub.Name, fishQuote(sub.Usage))
		}
		if cmd.Name == inspectName {
			fmt.Fprintf(w, "complete -c mbox2cyrus -n %s -F\n", seen)
		}
		for _, f := range allFlags(cmd) {
			name := f.Names()[0]
			_, usage := flagTexts(f)
			value := valueForm(f, " -x -a '%s'", " -r -F", " -x")
			fmt.Fprintf(w, "complete -c mbox2cyrus -n %s -l %s%s -d '%s'\n", seen, name, value, fishQuote(usage))
		}
	}
}
