package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/progress"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/served"
	"mbox2cyrus/cmd/mbox2cyrus/internal/source"
	"mbox2cyrus/cmd/mbox2cyrus/internal/specialuse"
	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
	"mbox2cyrus/mbox"
)

// run is the whole program but for os.Exit: arguments in, exit code out.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	caught := stopSignal{stop: stop}
	watched := make(chan os.Signal, 2)
	signal.Notify(watched, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(watched)
	go caught.watch(watched)
	// A run goes on when the connection drops that it was started over. So do Cyrus's
	// programs, which inherit this.
	signal.Ignore(syscall.SIGHUP)
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	defer signal.Stop(asked)

	p := &program{args: args, stdout: stdout, stderr: stderr, caught: &caught, asked: asked}
	code := p.exit(p.app().RunContext(ctx, args))
	if p.display != nil {
		if err := p.display.End(code); err != nil {
			p.sayError(err, max(code, report.ExitFailed))
			return max(code, report.ExitFailed)
		}
	}
	return code
}

// exit tells of a command's error and returns the program's exit code.
func (p *program) exit(err error) int {
	if err == nil {
		return p.code
	}
	code := exitCode(err)
	switch {
	case !errors.Is(err, context.Canceled):
	case p.code != 0:
		code = p.code
	case p.caught.exitCode() != 0: // before the first user was begun
		code = p.caught.exitCode()
	case p.timeUp.Load():
		code = report.ExitAttention
		err = fmt.Errorf("--%s is over before the first user was begun; run the same command again: %w", flagMaxDuration, err)
	}
	p.sayError(err, code)
	return code
}

// program is one run of the program.
type program struct {
	args           []string
	stdout, stderr io.Writer
	caught         *stopSignal
	json           bool
	root           *cli.App
	commands       []*cli.Command
	asked          <-chan os.Signal  // for progress, now
	display        *progress.Display // nil: the command has none
	timeUp         atomic.Bool       // --max-duration is over
	configured     map[string]bool   // flags that the configuration file gave
	code           int               // exit code of a command that ran to its end
}

func (p *program) app() *cli.App {
	cli.HelpFlag = &cli.BoolFlag{Name: "help", Aliases: []string{"h", flagHelpAll}, Usage: "show help; with --" + flagHelpAll + " every flag of a command", DisableDefaultText: true}
	all := slices.Contains(p.args, "--"+flagHelpAll)
	app := &cli.App{
		Name:            "mbox2cyrus",
		Usage:           "move a UW IMAP host into Cyrus IMAP, and prove that all arrived",
		Version:         fmt.Sprintf("%s (commit %s, %s)", version, commit, date),
		Description:     "Reads the mbox files of a UW IMAP host (or a copy of it) and writes them into a\nCyrus partition. No IMAP daemon runs on either side. The source is only read.",
		Writer:          p.stdout,
		ErrWriter:       p.stderr,
		Commands:        []*cli.Command{p.planCommand(), p.migrateCommand(), p.verifyCommand(), p.reportCommand(), p.doctorCommand(), p.inspectCommand(), p.approveCommand(), p.undoCommand(), p.exportCommand(), p.notifyCommand(), p.retireCommand(), p.configCommand(), p.documentationCommand()},
		Suggest:         true,
		HideHelpCommand: true,
		// Exit codes are given by run alone, so that everything is closed first.
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   usageError,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("there is no command %q; see mbox2cyrus --help", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
		CustomAppHelpTemplate: cli.AppHelpTemplate + exitStatusHelp(),
	}
	for _, cmd := range app.Commands {
		cmd.OnUsageError = usageError
		cmd.HideHelpCommand = true
		if len(cmd.Subcommands) > 0 {
			for _, sub := range cmd.Subcommands {
				sub.CustomHelpTemplate = commandHelp(cmd.Name+" "+sub.Name, sub, all)
			}
			continue
		}
		cmd.Flags = append(cmd.Flags, configFlag())
		cmd.Before = p.before
		cmd.CustomHelpTemplate = commandHelp(cmd.Name, cmd, all)
	}
	p.root, p.commands = app, app.Commands
	return app
}

// before is done before each command.
func (p *program) before(c *cli.Context) error {
	outlivePipe(c.Command.Name)
	err := p.applyConfig(c)
	p.json = c.Bool("json")
	if err != nil {
		return err
	}
	return p.flagsFirst(c)
}

// usage is an error in how the program was called.
type usage struct{ msg string }

func (u usage) Error() string { return u.msg }

func usagef(format string, args ...any) error { return usage{fmt.Sprintf(format, args...)} }

func usageError(c *cli.Context, err error, _ bool) error {
	// As package flag says it, with one hyphen and without the command.
	if name, found := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); found {
		return usagef("there is no flag --%s; see mbox2cyrus%s --help", strings.TrimPrefix(name, "-"), strings.TrimPrefix(c.Command.HelpName, "mbox2cyrus"))
	}
	return usagef("%v", err)
}

// flagsFirst refuses flags after the first argument: the library would take
// them for arguments without a word, and a dry run would become a real one.
func (p *program) flagsFirst(c *cli.Context) error {
	if slices.Contains(p.args, "--") {
		return nil
	}
	for _, a := range c.Args().Slice() {
		if strings.HasPrefix(a, "-") && a != "-" {
			return usagef("flags must come before arguments: move %s to the front (or put -- before the arguments)", a)
		}
	}
	return nil
}

// exitCode is the one place where an error becomes an exit code.
func exitCode(err error) int {
	var u usage
	switch {
	case errors.As(err, &u), errors.Is(err, plan.ErrUnknownUser), errors.Is(err, source.ErrUsage):
		return report.ExitUsage
	case errors.Is(err, target.ErrPermission), errors.Is(err, fs.ErrPermission):
		return report.ExitPermission
	case errors.Is(err, target.ErrConfig), errors.Is(err, mbox.ErrConfig), errors.Is(err, plan.ErrNames), errors.Is(err, errOtherHost), errors.Is(err, plan.ErrPerUser), errors.Is(err, plan.ErrFile),
		errors.Is(err, source.ErrRules), errors.Is(err, source.ErrPlace), errors.Is(err, specialuse.ErrFile), errors.Is(err, served.ErrNotPossible):
		return report.ExitConfig
	}
	return report.ExitFailed
}

func (p *program) sayError(err error, code int) {
	// Some say several things, or list what may be given. What is below the first line is
	// indented: a line end in the name of a file must not begin a line like one of ours.
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = report.Printable(line)
	}
	fmt.Fprintf(p.stderr, "mbox2cyrus: %s\n", strings.Join(lines, "\n    "))
	if p.json {
		line, merr := json.Marshal(map[string]any{"message_type": "exit_error", "exit_code": code, "text": err.Error()})
		if merr == nil {
			fmt.Fprintf(p.stdout, "%s\n", line)
		}
	}
}
