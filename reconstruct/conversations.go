package reconstruct

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// BuildConversations puts each message of a user that is in no conversation yet into
// one (ctl_conversationsdb -b), which Cyrus needs where "conversations" is on. What the
// messages say, their UIDs, dates and flags stay.
//
// That it exits with 0 and says nothing proves nothing (imap/ctl_conversationsdb.c, main: it
// leaves out of account what came of it, as with a database that cannot be opened): the
// records of the index say which conversation each message is in.
func (p *Programs) BuildConversations(ctx context.Context, userid string) error {
	return p.conversations(ctx, userid, nil, "-b")
}

// RecountConversations counts anew what a user's conversations have
// (ctl_conversationsdb -R), for mailboxes that were changed while Cyrus did not run: -b
// takes in what is new without its subjects, by which Cyrus tells whether a reply belongs to a
// conversation, and knows nothing of messages that are gone or of other flags. (Nor
// does the audit, -A, of 3.6.) mailboxes are internal names that it must come to: with -v it
// names each that it begins to count, and of a failure it says nothing.
func (p *Programs) RecountConversations(ctx context.Context, userid string, mailboxes []string) error {
	missing := map[string]bool{}
	for _, name := range mailboxes {
		missing[name] = true
	}
	out := &lines{each: func(line string) { delete(missing, line) }}
	err := p.conversations(ctx, userid, out, "-R", "-v")
	out.close()
	if err != nil || len(missing) == 0 || p.tell != nil {
		return err
	}
	return fmt.Errorf("ctl_conversationsdb -R did not count %s and did not say why: the conversations database of the user may be damaged, or Cyrus may not open it",
		slices.Min(slices.Collect(maps.Keys(missing))))
}

func (p *Programs) conversations(ctx context.Context, userid string, stdout io.Writer, options ...string) error {
	if err := checkName(userid); err != nil {
		return fmt.Errorf("conversations: user: %w", err)
	}
	said, err := p.run(ctx, call{program: "ctl_conversationsdb", args: options, names: []string{userid}, stdout: stdout})
	if err != nil {
		return err
	}
	if said = withoutUpkeep(said); said != "" {
		return fmt.Errorf("ctl_conversationsdb %s: %q", options[0], said)
	}
	return nil
}

// IndexForSearch brings the search index of users up to date (squatter -i -u, from 3.0;
// the error wraps [ErrOption] before). It tells of its work on standard error, which
// says nothing of whether it did it.
func (p *Programs) IndexForSearch(ctx context.Context, userids []string) error {
	for _, id := range userids {
		if err := checkName(id); err != nil {
			return fmt.Errorf("search index: user: %w", err)
		}
	}
	for _, batch := range batches(userids) {
		_, err := p.run(ctx, call{program: "squatter", args: []string{"-i", "-u"}, names: batch})
		var exit *ExitError
		if errors.As(err, &exit) && exit.Signal == 0 && usage(exit.Stderr) {
			err = fmt.Errorf("squatter -u: %w: %w", ErrOption, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
