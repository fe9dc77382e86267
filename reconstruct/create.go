package reconstruct

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// ErrExists is the cause when a mailbox is to be created that is there already.
var ErrExists = errors.New("the mailbox exists already")

// A NoHeaderError says that the release creates a mailbox only where its
// directory and a file cyrus.header, which may be empty, are there already: 2.3
// to 2.5.
type NoHeaderError struct {
	Path string // of the cyrus.header, as Cyrus says it
}

func (e *NoHeaderError) Error() string { return "there is no " + e.Path }

// noHeader is what reconstruct 2.3 to 2.5 say then (Cyrus imap/reconstruct.c,
// do_reconstruct).
var noHeader = regexp.MustCompile(`^(.*) does not appear to be a mailbox \(no (/.*/cyrus\.header)\)\.$`)

// Create makes one empty mailbox on a partition, with its entry in
// mailboxes.db (reconstruct -x -p). The name is external. A user's INBOX must
// come first; other parents that are lacking are made too from 3.6 on.
//
// A mailbox that exists is left alone; the error wraps [ErrExists]. From 2.3 to
// 2.5 the error is a [NoHeaderError] unless what that wants is there, and 2.1
// cannot create at all: the error wraps [ErrOption].
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
	var exit *ExitError
	missing := noHeader.FindStringSubmatch(said)
	switch {
	case missing != nil && missing[1] == name:
		return fmt.Errorf("create mailbox %q: %w", name, &NoHeaderError{Path: missing[2]})
	case errors.As(err, &exit) && exit.Signal == 0 && usage(said):
		return fmt.Errorf("create mailbox %q: %w: %w", name, ErrOption, err)
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
