package target

import (
	"os"
	"path/filepath"
	"testing"

	"mbox2cyrus/cyrusspool"
)

func TestRefused(t *testing.T) {
	for _, tt := range []struct{ conf, want string }{
		{"", ""},
		{"archive_enabled: no", ""},
		{"archive_enabled: yes", "archive_enabled"},
		{"object_storage_enabled: on", "object_storage_enabled"},
		{"proxyservers: proxy", ""},
		{"mupdate_server: m.example.org\nproxyservers: proxy", ""},
		{"mupdate_server: m.example.org\nproxyservers: proxy\nmupdate_config: standard", ""},
		{"mupdate_server: m.example.org", "mupdate_server"},
		{"mupdate_server: m.example.org\nproxyservers: proxy\nmupdate_config: unified", "mupdate_config"},
		{"mupdate_server: m.example.org\nproxyservers: proxy\nmupdate_config: replicated", "mupdate_config"},
	} {
		path := filepath.Join(t.TempDir(), "imapd.conf")
		if err := os.WriteFile(path, []byte("configdirectory: /var/lib/cyrus\n"+tt.conf+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		conf, err := cyrusspool.ParseConf(path)
		if err != nil {
			t.Fatal(err)
		}
		keys := ""
		for _, r := range Refused(conf) {
			keys += r.Key
			if r.Why == "" || r.Fix == "" || r.Value == "" {
				t.Errorf("%q: %+v says too little", tt.conf, r)
			}
		}
		if keys != tt.want {
			t.Errorf("%q: refused for %q, want %q", tt.conf, keys, tt.want)
		}
	}
}
