package reconstruct

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunning(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "imapd.conf")
	if err := os.WriteFile(conf, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(conf, filepath.Join(dir, "link.conf")); err != nil {
		t.Fatal(err)
	}
	const cyrus, postfix = "/usr/lib/cyrus/bin/master", "/usr/lib/postfix/sbin/master"
	for name, tt := range map[string]struct {
		exe     string // "" when it cannot be read
		cmdline []string
		conf    string // of Programs
		want    bool
	}{
		"same file":              {cyrus, []string{"/usr/sbin/cyrmaster", "-d", "-C", conf}, conf, true},
		"by a link":              {cyrus, []string{"cyrmaster", "-C", filepath.Join(dir, "link.conf")}, conf, true},
		"from its directory":     {cyrus, []string{"cyrmaster", "-C", "imapd.conf"}, conf, true},
		"in one argument":        {cyrus, []string{"cyrmaster", "-dC" + conf, "-l", "32"}, conf, true},
		"program was upgraded":   {cyrus + " (deleted)", []string{"x", "-C", conf}, conf, true},
		"exe cannot be read":     {"", []string{cyrus, "-C", conf}, conf, true},
		"default":                {cyrus, []string{"cyrmaster", "-l", "32", "-d"}, DefaultConf, true},
		"other configuration":    {cyrus, []string{"cyrmaster", "-C", "/etc/other.conf"}, conf, false},
		"default, we have other": {cyrus, []string{"cyrmaster", "-d"}, conf, false},
		"-C is a value":          {cyrus, []string{"cyrmaster", "-l", "-C", conf}, conf, false},
		"postfix":                {postfix, []string{postfix, "-w"}, DefaultConf, false},
		"a server left behind":   {"/usr/lib/cyrus/bin/imapd", []string{"imapd", "-C", conf}, conf, true},
		"its default":            {"/usr/lib/cyrus/bin/lmtpd", []string{"lmtpd", "-a"}, DefaultConf, true},
		"one of another":         {"/usr/lib/cyrus/bin/imapd", []string{"imapd", "-C", "/etc/other.conf"}, conf, false},
		"UW's imapd":             {"/usr/sbin/imapd", []string{"imapd"}, DefaultConf, false},
		"another program":        {"/usr/lib/cyrus/bin/reconstruct", []string{"reconstruct", "-C", conf}, conf, false},
		"zombie":                 {"", nil, conf, false},
	} {
		t.Run(name, func(t *testing.T) {
			proc := t.TempDir()
			p := &Programs{Conf: tt.conf, Dir: "/usr/lib/cyrus/bin"}
			pdir := filepath.Join(proc, "4711")
			for _, d := range []string{pdir, filepath.Join(proc, "self"), filepath.Join(proc, "1")} {
				if err := os.Mkdir(d, 0o755); err != nil { // 1 ends while we look
					t.Fatal(err)
				}
			}
			cmdline := strings.Join(tt.cmdline, "\x00")
			if cmdline != "" {
				cmdline += "\x00"
			}
			if err := os.WriteFile(filepath.Join(pdir, "cmdline"), []byte(cmdline), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(dir, filepath.Join(pdir, "cwd")); err != nil {
				t.Fatal(err)
			}
			if tt.exe != "" {
				if err := os.Symlink(tt.exe, filepath.Join(pdir, "exe")); err != nil {
					t.Fatal(err)
				}
			}
			pid, running, err := p.running(t.Context(), proc)
			if err != nil || running != tt.want || running && pid != 4711 {
				t.Errorf("%d, %v, %v", pid, running, err)
			}
		})
	}
	p := &Programs{Conf: conf}
	if _, _, err := p.running(t.Context(), filepath.Join(dir, "nowhere")); err == nil {
		t.Error("nothing to look at is taken for not running")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := p.Running(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
