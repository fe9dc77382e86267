package reconstruct

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrExists is the cause when a mailbox is to be created that is there already.
var ErrExists = errors.New("the mailbox exists already")

// Create makes one empty mailbox on a partition, with its entry in
// mailboxes.db (reconstruct -x -p). The name is external. A user's INBOX must
// come first; other parents that are lacking are made too from 3.6 on.
// Releases 2.4 and 2.5 want the mailbox's directory to be there, with a file
// cyrus.header, which may be empty.
//
// A mailbox that exists is left alone; the error wraps [ErrExists].
func (p *Programs) Create(ctx context.Context, partition, name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("create mailbox: %w", err)
	}
	if !word(partition) {
		return fmt.Errorf("create mailbox %q: partition %q is not a word", name, partition)
	}
	created := false
	out := &lines{each: func(line string) { created = created || line == name }}
	said, err := p.run(ctx, call{
		program: "reconstruct",
		args:    []string{"-x", "-p", partition},
		names:   []string{name},
		stdout:  out,
	})
	out.close()
	said = withoutUpkeep(said)
	switch {
	case strings.Contains(said, "already exists"):
		return fmt.Errorf("create mailbox %q: %w", name, ErrExists)
	case err != nil:
		return fmt.Errorf("create mailbox %q: %w", name, err)
	case said != "":
		return fmt.Errorf("create mailbox %q: %q", name, said)
	case !created:
		return fmt.Errorf("create mailbox %q: reconstruct did not say that it was made", name)
	}
	return nil
}
