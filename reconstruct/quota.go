package reconstruct

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
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

// QuotaRoots returns the names of all quota roots, which are internal names of
// mailboxes (cyr_dbtool show).
func (p *Programs) QuotaRoots(ctx context.Context, db QuotaDB) ([]string, error) {
	out := &limited{most: maxQuotaRoots}
	said, err := p.run(ctx, call{program: "cyr_dbtool", args: []string{db.Path, db.Type, "show"}, stdout: out})
	if err != nil {
		return nil, fmt.Errorf("quota roots: %w", err)
	}
	if said = withoutUpkeep(said); said != "" {
		return nil, fmt.Errorf("quota roots: cyr_dbtool: %q", said)
	}
	var roots []string
	for s := bufio.NewScanner(bytes.NewReader(out.Bytes())); s.Scan(); {
		// The second line of a root in two lines has no tab.
		if root, _, ok := strings.Cut(s.Text(), "\t"); ok {
			roots = append(roots, root)
		}
	}
	return roots, nil
}

// SetQuota makes a quota root with a limit of storage in KiB, and nothing used so far:
// [Programs.RecountQuota] counts. A root of that name is replaced.
func (p *Programs) SetQuota(ctx context.Context, db QuotaDB, root string, limit int64) error {
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
	return p.changeQuota(ctx, db, root, "set", root+"\t"+value)
}

// changeQuota gives cyr_dbtool a line about a quota root. On standard input a name cannot
// be taken for an option.
func (p *Programs) changeQuota(ctx context.Context, db QuotaDB, root, verb, line string) error {
	said, err := p.run(ctx, call{program: "cyr_dbtool", args: []string{db.Path, db.Type, verb}, stdin: strings.NewReader(line + "\n")})
	if err != nil {
		return fmt.Errorf("quota root %s: %w", root, err)
	}
	if said = withoutUpkeep(said); said != "" {
		return fmt.Errorf("quota root %s: cyr_dbtool: %q", root, said)
	}
	return nil
}

// RemoveQuota removes a quota root. That mailboxes say they are of it is for
// [Programs.RecountQuota] to put right.
func (p *Programs) RemoveQuota(ctx context.Context, db QuotaDB, root string) error {
	if err := checkName(root); err != nil {
		return fmt.Errorf("quota root: %w", err)
	}
	return p.changeQuota(ctx, db, root, "delete", root)
}

// RecountQuota counts what the quota roots of users hold, and tells their mailboxes of
// which root they are (quota -f -u, from 3.2; before, quota -f for all users).
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
			return p.recount(ctx, []string{"-f"}, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
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
