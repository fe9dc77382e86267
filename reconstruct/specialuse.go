package reconstruct

import (
	"context"
	"fmt"
	"strings"
)

// SpecialUses are what [Programs.SetSpecialUse] said: internal names.
type SpecialUses struct {
	Set []string // has the use now
	// Kept has the mailboxes that did not get one, because another of the user's has it.
	Kept []string
}

// SetSpecialUse marks mailboxes as those for sent mail, drafts and so on (RFC 6154):
// each gets the use whose setting "xlist-USE" in the configuration names its last
// component (cvt_xlist_specialuse, from 3.0). The names are external, of mailboxes on
// the first level below an INBOX; others are passed over by Cyrus without a word.
func (p *Programs) SetSpecialUse(ctx context.Context, names []string) (SpecialUses, error) {
	var uses SpecialUses
	for _, name := range names {
		if err := checkName(name); err != nil {
			return uses, fmt.Errorf("special use: %w", err)
		}
	}
	for _, batch := range batches(names) {
		out := &lines{each: func(line string) {
			// imap/cvt_xlist_specialuse.c, set_specialuse: "set specialuse \sent for
			// user.joe.Sent", "not setting specialuse \sent for user.joe.Sent, already
			// exists as user.joe.sent-mail".
			if rest, ok := strings.CutPrefix(line, "set specialuse "); ok {
				if _, name, ok := strings.Cut(rest, " for "); ok {
					uses.Set = append(uses.Set, name)
				}
			}
			if rest, ok := strings.CutPrefix(line, "not setting specialuse "); ok {
				if _, names, ok := strings.Cut(rest, " for "); ok {
					name, _, _ := strings.Cut(names, ", already exists as ")
					uses.Kept = append(uses.Kept, name)
				}
			}
		}}
		said, err := p.run(ctx, call{program: "cvt_xlist_specialuse", args: []string{"-v"}, names: batch, stdout: out})
		out.close()
		if err != nil {
			return uses, err
		}
		if said = withoutUpkeep(said); said != "" {
			return uses, fmt.Errorf("cvt_xlist_specialuse: %q", said)
		}
	}
	return uses, nil
}
