package reconstruct

import (
	"fmt"
	"io"
	"strings"
)

// A Command is one run of a Cyrus program, told instead of done.
type Command struct {
	Path  string   // of the program
	Args  []string // without the program's name
	Stdin string   // what it would read
}

// String returns the command as a shell would take it, with what it reads as a
// here-document.
func (c Command) String() string {
	words := make([]string, 0, 1+len(c.Args))
	for _, word := range append([]string{c.Path}, c.Args...) {
		words = append(words, shellWord(word))
	}
	s := strings.Join(words, " ")
	if c.Stdin != "" {
		s += " <<'END'\n" + strings.TrimSuffix(c.Stdin, "\n") + "\nEND"
	}
	return s
}

// shellWord quotes a word where a shell would read it as something else.
func shellWord(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@^"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Dry returns programs that are not run: tell is given each command that would
// be. They answer nothing, as if they had nothing to say; a report of
// [Programs.Reconstruct] then complains of every mailbox.
func (p *Programs) Dry(tell func(Command)) *Programs {
	dry := *p
	dry.tell = tell
	return &dry
}

// told gives a call to whoever wants to know instead of running it.
func (p *Programs) told(c call, args []string) error {
	command := Command{Path: p.path(c.program), Args: args}
	if c.stdin != nil {
		text, err := io.ReadAll(c.stdin)
		if err != nil {
			return fmt.Errorf("%s: %w", c.program, err)
		}
		command.Stdin = string(text)
	}
	p.tell(command)
	return nil
}
