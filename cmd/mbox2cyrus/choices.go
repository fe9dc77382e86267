package main

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/cmd/mbox2cyrus/internal/specialuse"
	"mbox2cyrus/cyrusspool"
	"mbox2cyrus/reconstruct"
)

// aclRights are the rights of IMAP ACLs that Cyrus knows, and its ten for sites to use
// (RFC 4314; lib/acl.h).
const aclRights = "lrswipkxtecdan0123456789"

// parseACL reads "ID:RIGHTS". An ID may have colons ("group:staff:lrs").
func parseACL(all []string) (acl []reconstruct.ACL, err error) {
	for _, s := range all {
		colon := strings.LastIndexByte(s, ':')
		if colon < 1 || colon == len(s)-1 || strings.Trim(s[colon+1:], aclRights) != "" {
			return nil, usagef("--%s %s: an identifier, a colon and rights out of %s are wanted, as backup:lrs", flagACL, s, aclRights)
		}
		a := reconstruct.ACL{ID: s[:colon], Rights: s[colon+1:]}
		if slices.ContainsFunc(acl, func(o reconstruct.ACL) bool { return strings.EqualFold(o.ID, a.ID) }) {
			return nil, usagef("--%s %s: %s has rights already", flagACL, s, a.ID)
		}
		acl = append(acl, a)
	}
	return acl, nil
}

// choose puts into the plan what the administrator chose for the users.
func (s *session) choose(c *cli.Context) error {
	return errors.Join(s.choosePartitions(c), s.chooseQuota(c), s.chooseSpecialUses(c))
}

// chooseSpecialUses reads --special-use: auto, off, or a file of names.
func (s *session) chooseSpecialUses(c *cli.Context) error {
	var rules specialuse.Rules
	switch what := c.String(flagSpecialUse); what {
	case "off":
		return nil
	case "auto":
		rules = specialuse.Auto()
		for use, name := range s.cyrus.SpecialUseNames() {
			rules.Prefer(use, name)
		}
	default:
		var err error
		if rules, err = specialuse.ReadFile(what); err != nil {
			return err
		}
	}
	s.plan.ChooseSpecialUses(rules, s.cyrus.Rules)
	return nil
}

// chooseQuota reads --quota: none, a number of bytes, or a file with one for each user.
func (s *session) chooseQuota(c *cli.Context) error {
	what := c.String(flagQuota)
	if bytes, err := parseBytes(what); err == nil {
		if bytes > 0 {
			s.plan.ChooseQuota(func(string) int64 { return bytes })
		}
		return nil
	}
	limits, err := plan.ReadPerUser(what)
	if err != nil {
		return fmt.Errorf("--%s is none, a number of bytes, or a file: %w", flagQuota, err)
	}
	bytes := map[string]int64{}
	for login, limit := range limits {
		if bytes[login], err = parseBytes(limit); err != nil {
			return usagef("--%s %s: user %s: %v", flagQuota, what, login, err)
		}
	}
	s.plan.ChooseQuota(func(login string) int64 {
		delete(limits, login)
		return bytes[login]
	})
	s.sayUnused("--"+flagQuota, limits)
	return nil
}

// parseBytes reads a number of bytes, with K, M, G or T behind it for powers of 1024;
// "none" is 0.
func parseBytes(s string) (int64, error) {
	if s == "none" {
		return 0, nil
	}
	number, shift := s, 0
	if i := strings.IndexAny("KMGT", s[max(0, len(s)-1):]); i >= 0 && s != "" {
		number, shift = s[:len(s)-1], 10*(i+1)
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is no number of bytes", s)
	}
	return n << shift, nil
}

// choosePartitions gives each user the partition of his new mailboxes: the one that was
// named for him, else the one that his INBOX is on, else the one of new users.
func (s *session) choosePartitions(c *cli.Context) error {
	var chosen plan.PerUser
	if path := c.String("partition-map"); path != "" {
		var err error
		if chosen, err = plan.ReadPerUser(path); err != nil {
			return err
		}
	}
	checked := map[string]error{}
	for _, u := range s.plan.Users {
		name, named := chosen[u.Name]
		delete(chosen, u.Name)
		switch inbox, ok := s.cyrus.Entered(cyrusspool.InboxName(u.ID)); {
		case named:
			u.Partition = strings.ToLower(name)
		case c.IsSet("partition"):
			u.Partition, named = s.cyrus.Partition, true
		case ok:
			u.Partition = inbox.Partition
		default:
			u.Partition = s.cyrus.Partition
		}
		u.PartitionChosen = named
		err, known := checked[u.Partition]
		if !known {
			err = s.cyrus.CheckPartition(u.Partition)
			checked[u.Partition] = err
		}
		if err != nil {
			return fmt.Errorf("user %s: %w", report.Quote(u.Name), err)
		}
	}
	s.sayUnused("--partition-map", chosen)
	return nil
}

// sayUnused tells of users in a file who are not in the plan.
func (s *session) sayUnused(flag string, left plan.PerUser) {
	for _, name := range slices.Sorted(maps.Keys(left)) {
		s.plan.Problems = append(s.plan.Problems, report.Problem{Severity: report.Note, User: name, Offset: -1, Kind: "not-in-this-run",
			Text: "is in the file of " + flag + ", but not among the users of this run who have mail"})
	}
}
