package reconstruct

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A QuotaDB is where and how Cyrus keeps its quota roots. Backend "quotalegacy", the
// usual one, has a file for each root, in a place that only Cyrus need know.
type QuotaDB struct {
	Path string // absolute; of the database, <configdirectory>/quotas.db unless quota_db_path is set
	Type string // backend (quota_db)
	// Lines says that a root is kept as two numbers, as up to 2.4.
	Lines bool
}

// maxQuotaRoots bounds the list of quota roots: some 100 bytes each.
const maxQuotaRoots = 64 << 20

// Quota is one quota root. Limits that are not set are -1.
type Quota struct {
	Root     string   // internal name of a mailbox
	Storage  Resource // bytes
	Messages Resource
	Folders  Resource // mailboxes
}

// Resource is how much of something mailboxes use and may use.
type Resource struct{ Used, Limit int64 }

// Over reports by how much the limit is passed with more on top; 0: it is not.
func (r Resource) Over(more int64) int64 {
	if r.Limit < 0 {
		return 0
	}
	return max(0, r.Used+more-r.Limit)
}

// quotaResource is one resource of a root's value (imap/quota_db.c, quota_db_names); one
// without a limit has a single number.
var quotaResource = regexp.MustCompile(`\b(S|M|NF) \((-?\d+)(?: (-?\d+))?\)`)

// kib is the unit of limits of storage (imap/quota_db.c, quota_units).
const kib = 1024

// parse reads a root's value: in one line from 2.5 on, before that the number of bytes
// used, and in a line of its own the limit in KiB.
func (q *Quota) parse(value string) {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		q.Storage.Used = n
		return
	}
	for _, m := range quotaResource.FindAllStringSubmatch(value, -1) {
		r := map[string]*Resource{"S": &q.Storage, "M": &q.Messages, "NF": &q.Folders}[m[1]]
		// Digits alone: a number that is too great stays 0 or -1, which tells nothing.
		if n, err := strconv.ParseInt(m[2], 10, 64); err == nil {
			r.Used = n
		}
		if n, err := strconv.ParseInt(m[3], 10, 64); err == nil {
			r.Limit = n
		}
		if r == &q.Storage && r.Limit >= 0 {
			r.Limit *= kib
		}
	}
}

// parseLimit reads the second line of a root of before 2.5.
func (q *Quota) parseLimit(line string) {
	if n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64); err == nil && n >= 0 {
		q.Storage.Limit = n * kib
	}
}

// QuotaLegacy is the backend that has a file for each root.
const QuotaLegacy = "quotalegacy"

// quotaTries is how often quota roots are listed until two lists agree.
const quotaTries = 6

// Quotas returns all quota roots. Where each has a file, Cyrus's list ends early, and says
// nothing, if another process writes one of them meanwhile (seen on 3.6.1: 1 list of 150): so
// it is believed when it comes twice.
func (p *Programs) Quotas(ctx context.Context, db QuotaDB) ([]Quota, error) {
	roots, err := p.listQuotas(ctx, db)
	for try := 1; err == nil && db.Type == QuotaLegacy; try++ {
		before := roots
		roots, err = p.listQuotas(ctx, db)
		if err == nil && slices.EqualFunc(before, roots, func(a, b Quota) bool { return a.Root == b.Root }) {
			break
		}
		if err == nil && try == quotaTries {
			err = errors.New("quota roots: they are others each time that Cyrus lists them; stop what changes them, and run again")
		}
	}
	return roots, err
}

// listQuotas returns the quota roots as cyr_dbtool shows them once.
func (p *Programs) listQuotas(ctx context.Context, db QuotaDB) ([]Quota, error) {
	out := &limited{most: maxQuotaRoots}
	said, err := p.run(ctx, call{program: "cyr_dbtool", args: []string{db.Path, db.Type, "show"}, stdout: out})
	if err != nil {
		return nil, fmt.Errorf("quota roots: %w", err)
	}
	if said = withoutUpkeep(said); said != "" {
		return nil, fmt.Errorf("quota roots: cyr_dbtool: %q", said)
	}
	var roots []Quota
	for s := bufio.NewScanner(bytes.NewReader(out.Bytes())); s.Scan(); {
		root, value, ok := strings.Cut(s.Text(), "\t")
		switch {
		case ok:
			roots = append(roots, Quota{Root: root, Storage: Resource{Limit: -1}, Messages: Resource{Limit: -1}, Folders: Resource{Limit: -1}})
			roots[len(roots)-1].parse(value)
		case len(roots) > 0: // the second line of a root in two lines has no tab
			roots[len(roots)-1].parseLimit(s.Text())
		}
	}
	return roots, nil
}

// SetQuotas makes quota roots with limits of storage in KiB, and nothing used so far:
// [Programs.RecountQuota] counts. Roots of these names are replaced.
func (p *Programs) SetQuotas(ctx context.Context, db QuotaDB, limits map[string]int64) error {
	var lines []string
	for _, root := range slices.Sorted(maps.Keys(limits)) {
		limit := limits[root]
		if err := checkName(root); err != nil {
			return fmt.Errorf("quota root: %w", err)
		}
		if limit < 0 {
			return fmt.Errorf("quota root %s: limit of %d KiB", root, limit)
		}
		value := fmt.Sprintf("%%(S (0 %d))", limit)
		if db.Lines {
			value = fmt.Sprintf("0 %d", limit)
		}
		lines = append(lines, root+"\t"+value)
	}
	return p.changeQuotas(ctx, db, "set", lines)
}

// changeQuotas gives cyr_dbtool a line about each of some quota roots (imap/cyr_dbtool.c, main:
// it takes one after the other). On standard input a name cannot be taken for an option.
func (p *Programs) changeQuotas(ctx context.Context, db QuotaDB, verb string, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	said, err := p.run(ctx, call{program: "cyr_dbtool", args: []string{db.Path, db.Type, verb}, stdin: strings.NewReader(strings.Join(lines, "\n") + "\n")})
	what, _, _ := strings.Cut(lines[0], "\t")
	if n := len(lines) - 1; n > 0 {
		what += fmt.Sprintf(" and %d more", n)
	}
	if err != nil {
		return fmt.Errorf("quota root %s: %w", what, err)
	}
	if said = withoutUpkeep(said); said != "" {
		return fmt.Errorf("quota root %s: cyr_dbtool: %q", what, said)
	}
	return nil
}

// RemoveQuotas removes quota roots. That mailboxes say they are of them is for
// [Programs.RecountQuota] to put right.
func (p *Programs) RemoveQuotas(ctx context.Context, db QuotaDB, roots []string) error {
	for _, root := range roots {
		if err := checkName(root); err != nil {
			return fmt.Errorf("quota root: %w", err)
		}
	}
	return p.changeQuotas(ctx, db, "delete", roots)
}

// RecountQuota counts what the quota roots of users hold, and tells their mailboxes of
// which root they are (quota -f -u, from 3.2; before, quota -f for all users). 3.2.6 removes
// roots whose names begin with that of a user's INBOX and are not his: where there are such,
// [Programs.RecountAllQuotas] is right.
func (p *Programs) RecountQuota(ctx context.Context, userids []string) error {
	for _, id := range userids {
		if err := checkName(id); err != nil {
			return fmt.Errorf("quota: user: %w", err)
		}
	}
	// One at a time: of several that are not in the order of mailboxes.db, 3.6.1 counts
	// the first and removes the quota roots of the others.
	for i := range userids {
		err := p.recount(ctx, []string{"-f", "-u"}, userids[i:i+1])
		if errors.Is(err, ErrOption) {
			return p.RecountAllQuotas(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// RecountAllQuotas counts what all quota roots hold (quota -f). Only so Cyrus counts a root
// above the INBOXes of several users.
func (p *Programs) RecountAllQuotas(ctx context.Context) error {
	return p.recount(ctx, []string{"-f"}, nil)
}

// recounted are the lines in which quota -f tells what it put right (imap/quota.c,
// fixquota_dopass and fixquota_finish).
var recounted = regexp.MustCompile(`: (?:quota root .+ --> .+|[A-Z-]+ usage was -?\d+, now -?\d+|usage was -?\d+, now -?\d+|removed)$`)

func (p *Programs) recount(ctx context.Context, args, users []string) error {
	var other []string
	says := &lines{each: func(line string) {
		if withoutUpkeep(line) != "" && !recounted.MatchString(line) && len(other) < 10 {
			other = append(other, clip(line))
		}
	}}
	_, err := p.run(ctx, call{program: "quota", args: args, names: users, stderr: says})
	says.close()
	var exit *ExitError
	if errors.As(err, &exit) && exit.Signal == 0 && usage(exit.Stderr) {
		return fmt.Errorf("quota %s: %w", strings.Join(args, " "), ErrOption)
	}
	if err != nil {
		return err
	}
	if len(other) > 0 {
		return fmt.Errorf("quota %s: %q", strings.Join(args, " "), strings.Join(other, "\n"))
	}
	return nil
}
