package reconstruct

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorded is a script that appends its arguments, after the -C FILE that all programs
// get, and its standard input to the file "calls" beside it, and then runs script.
func recorded(script string) string {
	return `shift 2; { echo "$@"; cat; } >> "$(dirname "$0")/calls"` + "\n" + script
}

func calls(t *testing.T, p *Programs) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.Dir, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRecountQuota(t *testing.T) {
	const table = "echo '   Quota   % Used'; "
	for _, tt := range []struct {
		name, script, calls, err string
	}{
		{"one user at a time", table + "echo 'user.joe.a: quota root (none) --> user.joe' >&2; echo 'user.joe: X-NUM-FOLDERS usage was 0, now 2' >&2",
			"-f -u -- joe\n-f -u -- ann@example.org\n", ""},
		{"before 3.2 all users at once", `[ "$2" = -u ] && { echo 'usage: quota [-f] [mailbox-spec]' >&2; exit 64; }; ` + table + "echo 'user.joe: usage was 1, now 2' >&2",
			"-f -u -- joe\n-f\n", ""},
		{"a complaint", "echo 'quota: reading user.joe: Mailbox does not exist' >&2", "-f -u -- joe\n", "Mailbox does not exist"},
		{"a failure", "exit 75", "-f -u -- joe\n", "exit status 75"},
	} {
		p := fake(t, map[string]string{"quota": recorded(tt.script)})
		err := p.RecountQuota(context.Background(), []string{"joe", "ann@example.org"})
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
		if diff := cmp.Diff(tt.calls, calls(t, p)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestQuotaRoots(t *testing.T) {
	db := QuotaDB{Path: "/conf/quotas.db", Type: "quotalegacy"}
	p := fake(t, map[string]string{"cyr_dbtool": recorded("[ $3 != show ] || printf 'user.joe\\t%%(S (0 10))\\nuser.ann\\t5\\n10\\nd.org!user.x\\t%%(S (8216 2) M (1) AS (0) NF (1 7) MODSEQ 2)\\n'")})
	roots, err := p.Quotas(context.Background(), db)
	if err != nil {
		t.Fatal(err)
	}
	none := Resource{Limit: -1}
	if diff := cmp.Diff([]Quota{
		{Root: "user.joe", Storage: Resource{0, 10 << 10}, Messages: none, Folders: none},
		{Root: "user.ann", Storage: Resource{5, 10 << 10}, Messages: none, Folders: none},
		{Root: "d.org!user.x", Storage: Resource{8216, 2 << 10}, Messages: Resource{1, -1}, Folders: Resource{1, 7}},
	}, roots); diff != "" {
		t.Error(diff)
	}
	if err := p.SetQuotas(context.Background(), db, map[string]int64{"user.joe": 7, "user.ann": 8}); err != nil {
		t.Error(err)
	}
	db.Lines = true
	if err := p.SetQuotas(context.Background(), db, map[string]int64{"-user.joe": 7}); err != nil {
		t.Error(err)
	}
	if err := p.SetQuotas(context.Background(), db, map[string]int64{"user.*": 7}); err == nil {
		t.Error("a pattern was taken for a root")
	}
	if err := p.RemoveQuotas(context.Background(), db, []string{"user.joe", "user.ann"}); err != nil {
		t.Error(err)
	}
	want := "/conf/quotas.db quotalegacy show\n/conf/quotas.db quotalegacy show\n/conf/quotas.db quotalegacy set\nuser.ann\t%(S (0 8))\nuser.joe\t%(S (0 7))\n/conf/quotas.db quotalegacy set\n-user.joe\t0 7\n/conf/quotas.db quotalegacy delete\nuser.joe\nuser.ann\n"
	if diff := cmp.Diff(want, calls(t, p)); diff != "" {
		t.Error(diff)
	}
}

func TestSetSpecialUse(t *testing.T) {
	p := fake(t, map[string]string{"cvt_xlist_specialuse": says("will set \\sent for folders named sent-mail\n" +
		"set specialuse \\sent for user.joe.sent-mail\n" +
		"not setting specialuse \\sent for user.ann.sent-mail, already exists as user.ann.Sent\n")})
	uses, err := p.SetSpecialUse(context.Background(), []string{"user/joe/sent-mail", "user/ann/sent-mail", "user/bob/sent-mail"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(SpecialUses{Set: []string{"user.joe.sent-mail"}, Kept: []string{"user.ann.sent-mail"}}, uses); diff != "" {
		t.Error(diff)
	}
	p = fake(t, map[string]string{"cvt_xlist_specialuse": "echo 'failed to set specialuse \\sent for user.joe.x: System I/O error' >&2"})
	if _, err := p.SetSpecialUse(context.Background(), []string{"user/joe/x"}); err == nil || !strings.Contains(err.Error(), "System I/O error") {
		t.Errorf("%v", err)
	}
}

func TestIndexForSearch(t *testing.T) {
	p := fake(t, map[string]string{"squatter": recorded("echo 'squatter[5]: indexing mailboxes' >&2"), "ctl_conversationsdb": recorded("echo user.joe; echo user.joe.Sent")})
	if err := p.IndexForSearch(context.Background(), []string{"joe", "ann"}); err != nil {
		t.Error(err)
	}
	if err := p.BuildConversations(context.Background(), "joe"); err != nil {
		t.Error(err)
	}
	if err := p.RecountConversations(context.Background(), "joe", []string{"user.joe", "user.joe.Sent"}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff("-i -u -- joe ann\n-b -- joe\n-R -v -- joe\n", calls(t, p)); diff != "" {
		t.Error(diff)
	}
	if err := p.RecountConversations(context.Background(), "joe", []string{"user.joe", "user.joe.zz"}); err == nil || !strings.Contains(err.Error(), "user.joe.zz") {
		t.Errorf("a mailbox that is not counted: %v", err)
	}
	p = fake(t, map[string]string{"squatter": "echo 'usage: squatter [-r] mailbox' >&2; exit 64"})
	if err := p.IndexForSearch(context.Background(), []string{"joe"}); !errors.Is(err, ErrOption) {
		t.Errorf("%v", err)
	}
	p = fake(t, nil)
	if err := p.BuildConversations(context.Background(), "joe"); !errors.Is(err, ErrNoProgram) {
		t.Errorf("%v", err)
	}
}

// TestQuotaRootsWrittenMeanwhile: a list that ended early, as somebody wrote a quota root, is not
// taken for all, and one that is another each time for none.
func TestQuotaRootsWrittenMeanwhile(t *testing.T) {
	db := QuotaDB{Path: "/conf/quotas.db", Type: "quotalegacy"}
	count := "n=$(cat ${0%/*}/n 2>/dev/null); n=$((n+1)); echo $n > ${0%/*}/n; "
	p := fake(t, map[string]string{"cyr_dbtool": count + "printf 'user.ann\\t%%(S (0 10))\\n'; [ $n = 2 ] || printf 'user.joe\\t%%(S (0 10))\\n'"})
	roots, err := p.Quotas(t.Context(), db)
	if err != nil || len(roots) != 2 {
		t.Errorf("%v, %v", roots, err)
	}
	p = fake(t, map[string]string{"cyr_dbtool": count + "printf 'user.%s\\t%%(S (0 10))\\n' $n"})
	if roots, err := p.Quotas(t.Context(), db); err == nil {
		t.Errorf("%v", roots)
	}
	db.Type = "twoskip" // which has one file
	if roots, err := p.Quotas(t.Context(), db); err != nil || len(roots) != 1 {
		t.Errorf("%v, %v", roots, err)
	}
}
