package reconstruct

import (
	"os"
	"path/filepath"
	"testing"
)

// fake returns Programs that are shell scripts. Those that a test does not
// give say nothing and exit with 0, as Cyrus's do so often.
func fake(t testing.TB, scripts map[string]string) *Programs {
	t.Helper()
	dir := t.TempDir()
	for _, name := range required {
		if _, ok := scripts[name]; !ok {
			writeScript(t, dir, name, "exit 0")
		}
	}
	for name, script := range scripts {
		writeScript(t, dir, name, script)
	}
	conf := filepath.Join(dir, "imapd.conf")
	if err := os.WriteFile(conf, []byte("configdirectory: /nonexistent\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := Find(dir, conf)
	if err != nil {
		t.Fatal(err)
	}
	p.Credential = nil // the test's directory is closed to the user cyrus
	return p
}

func writeScript(t testing.TB, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// says is a script that prints text.
func says(text string) string { return "cat <<'END'\n" + text + "END" }
