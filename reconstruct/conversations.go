package reconstruct

import (
	"context"
	"errors"
	"fmt"
)

// BuildConversations puts each message of a user that is in no conversation yet into
// one (ctl_conversationsdb -b), which Cyrus needs where "conversations" is on. What the
// messages say, their UIDs, dates and flags stay.
func (p *Programs) BuildConversations(ctx context.Context, userid string) error {
	return p.conversations(ctx, "-b", userid)
}

// RecountConversations counts anew what a user's conversations have
// (ctl_conversationsdb -R), for mailboxes that were changed while Cyrus did not run: -b
// takes in what is new, but knows nothing of messages that are gone or of other flags. (Nor
// does the audit, -A, of 3.6.)
func (p *Programs) RecountConversations(ctx context.Context, userid string) error {
	return p.conversations(ctx, "-R", userid)
}

func (p *Programs) conversations(ctx context.Context, option, userid string) error {
	if err := checkName(userid); err != nil {
		return fmt.Errorf("conversations: user: %w", err)
	}
	said, err := p.run(ctx, call{program: "ctl_conversationsdb", args: []string{option}, names: []string{userid}})
	if err != nil {
		return err
	}
	if said = withoutUpkeep(said); said != "" {
		return fmt.Errorf("ctl_conversationsdb %s: %q", option, said)
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
