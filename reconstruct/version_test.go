package reconstruct

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVersion(t *testing.T) {
	for name, tt := range map[string]struct{ script, want string }{
		"debian":     {"echo cyrus-imapd 3.6.1-Debian-3.6.1-4+deb12u5", "3.6.1"},
		"plain":      {"echo cyrus-imapd 3.12.4", "3.12.4"},
		"2.5 cannot": {"echo 'Usage: cyr_info [-C <altconfig>] command' >&2; exit 255", ""},
		"other text": {"echo cyrus-imapd, unknown", ""},
	} {
		p := fake(t, map[string]string{"cyr_info": `[ "$3" = version ] || exit 1; ` + tt.script})
		if got, err := p.Version(t.Context()); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got, err := fake(t, nil).Version(t.Context()); err != nil || got != "" {
		t.Errorf("without cyr_info: %q, %v", got, err)
	}
	p := fake(t, map[string]string{"cyr_info": "echo \"fatal error: can't open configuration file\" >&2; exit 78"})
	if _, err := p.Version(t.Context()); err == nil || !strings.Contains(err.Error(), "can't open") {
		t.Errorf("bad configuration: %v", err)
	}
}

func TestSettings(t *testing.T) {
	p := fake(t, map[string]string{"cyr_info": says("altnamespace: yes\ncyrus_user: \npartition-default: /var/spool: cyrus\nxlist-sent:\n")})
	got, err := p.Settings(t.Context())
	want := map[string]string{"altnamespace": "yes", "cyrus_user": "", "partition-default": "/var/spool: cyrus", "xlist-sent": ""}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for name, script := range map[string]string{
		"exit status": "echo 'a: b'; exit 78",
		"no setting":  "echo 'a: b'; echo nonsense; yes | head -c 1000000",
		"one line":    "head -c 3000000 /dev/zero",
		"too many":    "seq 200000 | sed 's/$/: x/'",
	} {
		p := fake(t, map[string]string{"cyr_info": script})
		if got, err := p.Settings(t.Context()); err == nil {
			t.Errorf("%s: %d settings", name, len(got))
		}
	}
}
