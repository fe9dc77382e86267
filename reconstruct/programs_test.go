package reconstruct

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	full, part, empty := t.TempDir(), t.TempDir(), t.TempDir()
	for _, name := range required {
		writeScript(t, full, name, "exit 0")
	}
	writeScript(t, part, "reconstruct", "exit 0")
	if err := os.WriteFile(filepath.Join(part, "mbpath"), nil, 0o644); err != nil { // not executable
		t.Fatal(err)
	}
	conf := filepath.Join(full, "imapd.conf")
	if err := os.WriteFile(conf, nil, 0o644); err != nil {
		t.Fatal(err)
	}

	t.Run("there", func(t *testing.T) {
		p, err := Find(full, conf)
		if err != nil {
			t.Fatal(err)
		}
		if p.Dir != full || p.Conf != conf || p.Has("quota") || !p.Has("mbpath") {
			t.Errorf("%+v", p)
		}
	})
	t.Run("incomplete", func(t *testing.T) {
		_, err := Find(part, conf)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), part+" (there is no ctl_mboxlist, mbpath)") {
			t.Errorf("%v", err)
		}
	})
	t.Run("no configuration", func(t *testing.T) {
		missing := filepath.Join(full, "nope.conf")
		_, err := Find(full, missing)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
			t.Errorf("%v", err)
		}
	})
	t.Run("on the path", func(t *testing.T) {
		// Neither a directory relative to where we stand nor one that has
		// only some of the programs is taken.
		t.Chdir(full)
		t.Setenv("PATH", strings.Join([]string{"", ".", part, empty, full}, ":"))
		dirs, err := candidates("")
		if err != nil {
			t.Fatal(err)
		}
		if want := append(slices.Clone(knownDirs), part, empty, full); !slices.Equal(dirs, want) {
			t.Errorf("places: %q", dirs)
		}
	})
}

func TestCredential(t *testing.T) {
	c, err := cyrusCredential([]string{"no-such-user-here", "root"})
	if err != nil || c == nil || c.Uid != 0 || c.Gid != 0 || len(c.Groups) == 0 {
		t.Errorf("root: %+v, %v", c, err)
	}
	if c, err := cyrusCredential([]string{"no-such-user-here"}); c != nil || err != nil {
		t.Errorf("nobody: %+v, %v", c, err)
	}
	if _, err := credential("S-1-5", "0", nil); err == nil {
		t.Error("an id that is no number was taken")
	}
}
