package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/target"
)

const flagConfig = "config"

// configFlag names a file whose keys are flags. What is given as a flag or in the
// environment counts before it.
func configFlag() cli.Flag {
	return stringFlag(flagConfig, "", "settings from `FILE`, in TOML: every flag is a key")
}

// applyConfig gives flags that were not given the values of the configuration file.
func (p *program) applyConfig(c *cli.Context) error {
	path := c.String(flagConfig)
	if path == "" {
		return nil
	}
	settings, err := readConfig(path, p.settings())
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		at := slices.IndexFunc(c.Command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), key) })
		if at < 0 || !isSetting(c.Command.Flags[at]) || c.IsSet(key) {
			continue // it is for another command, or was given
		}
		for _, value := range settings[key] {
			if err := c.Set(key, value); err != nil {
				return fmt.Errorf("%w: %s: %s: %q cannot be that: %w", target.ErrConfig, path, key, value, err)
			}
		}
		if p.configured == nil {
			p.configured = map[string]bool{}
		}
		p.configured[key] = true
	}
	return nil
}

// readConfig reads a configuration file. A key that is no flag is an error: a setting
// that is misspelt must not be passed over.
func readConfig(path string, known map[string]bool) (map[string][]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: --%s: %w", target.ErrConfig, flagConfig, err)
	}
	var values map[string]any
	if err := toml.Unmarshal(raw, &values); err != nil {
		var perr toml.ParseError
		if errors.As(err, &perr) {
			return nil, fmt.Errorf("%w: %s: line %d: %s", target.ErrConfig, path, perr.Position.Line, perr.Message)
		}
		return nil, fmt.Errorf("%w: %s: %w", target.ErrConfig, path, err)
	}
	settings := map[string][]string{}
	for key, value := range values {
		if !known[key] {
			return nil, fmt.Errorf("%w: %s: there is no setting %q", target.ErrConfig, path, key)
		}
		if settings[key], err = settingTexts(value); err != nil {
			return nil, fmt.Errorf("%w: %s: %s: %w", target.ErrConfig, path, key, err)
		}
	}
	return settings, nil
}

// settingTexts are the values of a key, as a flag takes them.
func settingTexts(value any) ([]string, error) {
	switch v := value.(type) {
	case string:
		return []string{v}, nil
	case bool:
		return []string{strconv.FormatBool(v)}, nil
	case int64:
		return []string{strconv.FormatInt(v, 10)}, nil
	case []any:
		texts := []string{}
		for _, one := range v {
			t, err := settingTexts(one)
			if err != nil {
				return nil, err
			}
			texts = append(texts, t...)
		}
		return texts, nil
	}
	return nil, fmt.Errorf("%v is neither text, number, true, false nor a list of those", value)
}

// flagNames are the flags of all commands.
func (p *program) flagNames() map[string]bool {
	names := map[string]bool{}
	for _, cmd := range p.commands {
		for _, f := range allFlags(cmd) {
			names[f.Names()[0]] = true
		}
	}
	return names
}

// settings are the flags that may also be given in the environment or by a file.
func (p *program) settings() map[string]bool {
	names := map[string]bool{}
	for _, cmd := range p.commands {
		for _, f := range allFlags(cmd) {
			if isSetting(f) {
				names[f.Names()[0]] = true
			}
		}
	}
	delete(names, flagConfig) // it names the file
	return names
}

// isSetting reports whether a flag is a setting. One without an environment variable must
// be said each time: a file that is left behind must not undo anything.
func isSetting(f cli.Flag) bool {
	doc, ok := f.(cli.DocGenerationFlag)
	return ok && len(doc.GetEnvVars()) > 0
}

// configCommand shows what a run would go by.
func (p *program) configCommand() *cli.Command {
	flags := []cli.Flag{&cli.BoolFlag{Name: "effective", Usage: "show settings that nobody gave too, with defaults"}}
	for _, f := range p.migrateCommand().Flags {
		if n := f.Names()[0]; n != flagConfig {
			flags = append(flags, f)
		}
	}
	return &cli.Command{
		Name:  "config",
		Usage: "show the settings that a run would go by",
		Subcommands: []*cli.Command{{
			Name:         "show",
			Usage:        "settings of migrate as a file, and where each is from",
			Flags:        append(flags, configFlag()),
			OnUsageError: usageError,
			Before:       p.before,
			Action: func(c *cli.Context) error {
				for _, f := range flags[1:] {
					if err := p.showSetting(c, f); err != nil {
						return err
					}
				}
				return nil
			},
		}},
	}
}

// isArgument reports whether a flag was given among the arguments, and not as a setting.
func (p *program) isArgument(c *cli.Context, name string) bool {
	return c.IsSet(name) && !p.configured[name] && slices.ContainsFunc(p.args, func(a string) bool {
		a, _, _ = strings.Cut(a, "=")
		return strings.TrimLeft(a, "-") == name
	})
}

func (p *program) showSetting(c *cli.Context, f cli.Flag) error {
	name := f.Names()[0]
	from := "default"
	switch {
	case p.configured[name]:
		from = c.String(flagConfig)
	case p.isArgument(c, name):
		from = "flag"
	case c.IsSet(name):
		from = env(name)[0]
	}
	if from == "default" && !c.Bool("effective") {
		return nil
	}
	if _, ok := f.(*cli.DurationFlag); ok && c.Duration(name) == 0 { // no limit, which cannot be said
		_, err := fmt.Fprintf(p.stdout, "# %s is not set # %s\n", name, from)
		return err
	}
	var value string
	switch f.(type) {
	case *cli.BoolFlag:
		value = strconv.FormatBool(c.Bool(name))
	case *cli.IntFlag:
		value = strconv.Itoa(c.Int(name))
	case *cli.Int64Flag:
		value = strconv.FormatInt(c.Int64(name), 10)
	case *cli.StringSliceFlag:
		quoted := []string{}
		for _, s := range c.StringSlice(name) {
			quoted = append(quoted, strconv.Quote(s))
		}
		value = "[" + strings.Join(quoted, ", ") + "]"
	case *cli.DurationFlag:
		value = strconv.Quote(c.Duration(name).String())
	default:
		value = strconv.Quote(c.String(name))
	}
	_, err := fmt.Fprintf(p.stdout, "%s = %s # %s\n", name, value, from)
	return err
}
