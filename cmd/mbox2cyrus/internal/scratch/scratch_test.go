package scratch

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestSweep: what a killed run left goes, but nothing that is in use, that is another's or
// that only has such a name, and nothing that a link leads to.
func TestSweep(t *testing.T) {
	tmp, elsewhere := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	leave := func(what string) *Dir {
		t.Helper()
		d, err := Make(what)
		must(err)
		must(os.MkdirAll(filepath.Join(d.Path, "spool", "user"), 0o755))
		must(os.WriteFile(filepath.Join(d.Path, "spool", "user", "1."), []byte("x"), 0o600))
		return d
	}
	precious := filepath.Join(elsewhere, "precious")
	must(os.WriteFile(precious, []byte("x"), 0o600))

	left := []*Dir{leave(Probe), leave(SpecialUse), leave(IMAPD)}
	must(os.Symlink(elsewhere, filepath.Join(left[0].Path, "spool", "link")))
	must(os.Symlink(elsewhere, filepath.Join(left[0].Path, "link")))
	empty, err := os.MkdirTemp("", "mbox2cyrus-scratch-probe-") // killed before it came to more
	must(err)

	orphaned := leave(Probe)
	program := exec.Command("sleep", "600")
	program.ExtraFiles = []*os.File{orphaned.File}
	must(program.Start())
	defer func() {
		_ = program.Process.Kill() // or it has ended
		_ = program.Wait()         // killed
	}()
	for _, d := range append(left, orphaned) { // as when the run is killed
		must(d.File.Close())
	}

	mine := leave(Probe)
	defer mine.File.Close() // it goes with tmp
	want := []string{filepath.Base(orphaned.Path), filepath.Base(mine.Path)}
	other := func(name string) string {
		path := filepath.Join(tmp, name)
		want = append(want, name)
		must(os.MkdirAll(filepath.Join(path, "x"), 0o755))
		return path
	}
	other("mbox2cyrus-scratch-probe-")
	other("mbox2cyrus-demo-1")
	other("mbox2cyrus-probe-1")
	other("mbox2cyrus-scratch-probe-1-of-joe")
	must(os.Chmod(other("mbox2cyrus-scratch-probe-2"), 0o777)) // anybody may have put into it what he likes
	if os.Geteuid() == 0 {
		must(os.Chown(other("mbox2cyrus-scratch-probe-3"), 65534, 65534))
	}
	must(os.Symlink(elsewhere, filepath.Join(tmp, "mbox2cyrus-scratch-probe-4")))
	must(os.Symlink("mbox2cyrus-scratch-probe-", filepath.Join(tmp, "mbox2cyrus-scratch-probe-5")))
	must(os.WriteFile(filepath.Join(tmp, "mbox2cyrus-scratch-probe-6"), nil, 0o600))
	want = append(want, "mbox2cyrus-scratch-probe-4", "mbox2cyrus-scratch-probe-5", "mbox2cyrus-scratch-probe-6")

	check := func(when string) {
		t.Helper()
		must(Sweep())
		entries, err := os.ReadDir(tmp)
		must(err)
		var have []string
		for _, e := range entries {
			have = append(have, e.Name())
		}
		slices.Sort(want)
		if !slices.Equal(have, want) {
			t.Errorf("%s: there are\n%q, want\n%q (%s was empty)", when, have, want, empty)
		}
		for _, path := range []string{precious, filepath.Join(tmp, "mbox2cyrus-scratch-probe-", "x"), filepath.Join(mine.Path, "spool", "user", "1."), filepath.Join(orphaned.Path, "spool", "user", "1.")} {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
	}
	check("while a program is at work")
	must(mine.Remove())
	must(program.Process.Kill())
	_ = program.Wait() // killed
	must(Sweep())
	for _, d := range []*Dir{mine, orphaned} {
		if _, err := os.Lstat(d.Path); !os.IsNotExist(err) {
			t.Errorf("%s is there: %v", d.Path, err)
		}
	}
}
