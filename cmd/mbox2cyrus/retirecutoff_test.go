package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRetireCutOff runs retire again where a run was cut off after its last rename: when
// that of an INBOX was not recorded yet, and when a list of subscriptions was still to go.
func TestRetireCutOff(t *testing.T) {
	list := filepath.Join("home", "joe", ".mailboxlist")
	for _, tt := range []struct {
		name string
		line func(line string) (in bool) // the record
	}{
		{"INBOX not recorded", func(line string) bool {
			return !strings.Contains(line, ".mailboxlist") && !(strings.Contains(line, `"var/mail/joe"`) && strings.Contains(line, `"moved"`))
		}},
		{"subscriptions left", func(line string) bool { return !strings.Contains(line, ".mailboxlist") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv, root, state, archive := retireHost(t, 1)
			flags := append(flagsFor(srv, root, state), "--archive", archive)
			if r := runJSON(t, append([]string{"retire"}, flags...)...); r.code != 0 {
				t.Fatalf("exit code %d\n%s", r.code, r.stderr)
			}
			if err := os.Rename(filepath.Join(archive, list), filepath.Join(root, list)); err != nil {
				t.Fatal(err)
			}
			record := filepath.Join(state, "retired.jsonl")
			b, err := os.ReadFile(record)
			if err != nil {
				t.Fatal(err)
			}
			before := strings.SplitAfter(string(b), "\n")
			lines := slices.DeleteFunc(slices.Clone(before), func(line string) bool { return !tt.line(line) })
			if len(lines) == len(before) {
				t.Fatalf("no such line in %s", b)
			}
			if err := os.WriteFile(record, []byte(strings.Join(lines, "")), 0o600); err != nil {
				t.Fatal(err)
			}
			if r := runJSON(t, append([]string{"retire"}, flags...)...); r.code != 0 {
				t.Errorf("again: exit code %d\n%s", r.code, r.stderr)
			}
			for _, path := range []string{list, "var/mail/joe"} {
				if info, err := os.Lstat(filepath.Join(archive, path)); err != nil || !info.Mode().IsRegular() {
					t.Errorf("%s is not in the archive: %v", path, err)
				}
			}
			if r := runJSON(t, "retire", "--restore", "--state", state); r.code != 0 {
				t.Errorf("restore: exit code %d\n%s", r.code, r.stderr)
			}
		})
	}
}

// TestRetireCutOffBeforeMove: retire, or its way back, was killed when the record said already that
// the INBOX moves, and it had not. Both find where it is, and leave no more than it.
func TestRetireCutOffBeforeMove(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can have the directory of the INBOXes")
	}
	for _, back := range []bool{false, true} {
		c := newCutHost(t)
		archive, retire := c.cutArchive()
		restore := []string{"retire", "--restore", "--state", c.state}
		inbox, list := "var/mail/joe", "home/joe/mail/lists"
		c.write(inbox, letter(1))
		c.write(list, letter(2))
		if err := os.Chown(filepath.Join(c.root, "var/mail"), 0, 0); err != nil { // so that a directory keeps its place
			t.Fatal(err)
		}
		c.pass(0, c.migrate()...)
		c.killAt("renameat2", filepath.Join(c.root, "var/mail"), append(retire, "--quiet")...)
		mustRead(t, filepath.Join(c.root, inbox))
		mustRead(t, filepath.Join(archive, list))
		if !back {
			c.pass(0, retire...)
			for _, path := range []string{inbox, list} {
				mustRead(t, filepath.Join(archive, path))
			}
			c.killAt("renameat2", filepath.Join(c.root, "var/mail"), append(restore, "--quiet")...)
			mustRead(t, filepath.Join(archive, inbox))
		}
		c.pass(0, restore...)
		if left, err := os.ReadDir(archive); err != nil || len(left) > 0 {
			t.Errorf("in the archive is %v, %v", left, err)
		}
		c.pass(0, c.migrate()...)
		c.proved()
	}
}

// TestRetireCutOffInBothPlaces: the power went between the syncs of the two directories of a
// rename, and the file has both names, as on btrfs. The next run leaves it the new one.
func TestRetireCutOffInBothPlaces(t *testing.T) {
	c := newCutHost(t)
	archive, retire := c.cutArchive()
	restore := []string{"retire", "--restore", "--state", c.state}
	c.write("var/mail/joe", letter(1))
	c.write("home/joe/mail/lists", letter(2))
	c.pass(0, c.migrate()...)
	place, archived := filepath.Join(c.root, "home/joe/mail/lists"), filepath.Join(archive, "home/joe/mail/lists")
	link := func(from, to string) {
		t.Helper()
		if err := os.Link(from, to); err != nil {
			t.Fatal(err)
		}
	}
	onlyAt := func(path, other string) {
		t.Helper()
		if b := mustRead(t, path); string(b) != letter(2) {
			t.Errorf("%s: %q", path, b)
		}
		if _, err := os.Lstat(other); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", other, err)
		}
	}
	c.killAt("fsync", filepath.Dir(place), append(retire, "--quiet")...)
	link(archived, place)
	c.pass(2, retire...) // it was in the plan of this run, and another link changes what it is
	onlyAt(archived, place)
	c.pass(0, retire...)
	c.killAt("fsync", filepath.Dir(place), append(restore, "--quiet")...)
	link(place, archived)
	c.pass(0, restore...)
	onlyAt(place, archived)
	c.pass(0, c.migrate()...)
	c.proved()
}

// TestRetireCutOffOfAll: what a run was moving when it was cut off was all that its user had.
// He is not taken for one whose mail is gone.
func TestRetireCutOffOfAll(t *testing.T) {
	c := newCutHost(t)
	archive, retire := c.cutArchive()
	c.write("var/mail/joe", letter(1))
	c.pass(0, c.migrate()...)
	c.pass(0, retire...)
	record := filepath.Join(c.state, "retired.jsonl")
	lines := strings.SplitAfter(string(mustRead(t, record)), "\n")
	left := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.Contains(line, `"moved"`) })
	if len(left) == len(lines) {
		t.Fatalf("nothing was moved: %q", lines)
	}
	if err := os.WriteFile(record, []byte(strings.Join(left, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	o := c.pass(1, append([]string{"plan"}, flagsFor(c.srv, c.root, c.state)...)...)
	if len(o.problems("retire-cut-off")) != 1 || len(o.problems("source-gone")) != 0 {
		t.Errorf("plan: %v", o.severe())
	}
	c.pass(0, retire...)
	mustRead(t, filepath.Join(archive, "var/mail/joe"))
}

// cutArchive is a directory beside a cutHost for what is retired, and the command for it.
func (c *cutHost) cutArchive() (archive string, retire []string) {
	c.t.Helper()
	archive = makeArchive(c.t, filepath.Dir(c.root))
	return archive, append([]string{"retire", "--archive", archive}, flagsFor(c.srv, c.root, c.state)...)
}

// TestRetireCutOffThenMigrate: retire was cut off behind a rename, and somebody writes a new
// file where the folder was. It does not become the mailbox, whatever is run first.
func TestRetireCutOffThenMigrate(t *testing.T) {
	c := newCutHost(t)
	archive, retire := c.cutArchive()
	c.write("var/mail/joe", letter(1))
	c.write("home/joe/mail/lists", letter(1)+letter(2)+letter(3))
	c.pass(0, c.migrate()...)
	c.killAt("fsync", filepath.Join(c.root, "home/joe/mail"), append(retire, "--quiet")...)
	mustRead(t, filepath.Join(archive, "home/joe/mail/lists"))
	served := describe(serve(t, c.srv)["lists"])
	same := func() {
		t.Helper()
		if now := describe(serve(t, c.srv)["lists"]); !slices.Equal(now, served) {
			t.Errorf("lists is %q, was %q", now, served)
		}
	}
	plan := append([]string{"plan"}, flagsFor(c.srv, c.root, c.state)...)
	for _, write := range []bool{false, true} {
		if write {
			c.write("home/joe/mail/lists", letter(9))
		}
		for _, args := range [][]string{c.migrate(), plan, c.migrate("--dry-run")} {
			if o := c.pass(1, args...); len(o.problems("retire-cut-off")) != 1 {
				t.Errorf("%s: %v", args[0], o.severe())
			}
		}
		same()
	}
	// To its end, or back: then it is known whose the file is.
	c.pass(2, retire...)
	if o := c.pass(2, c.migrate()...); len(o.problems("retired-place")) != 1 {
		t.Errorf("%v", o.severe())
	}
	same()
	if err := os.Remove(filepath.Join(c.root, "home/joe/mail/lists")); err != nil {
		t.Fatal(err)
	}
	c.pass(0, "retire", "--restore", "--state", c.state)
	c.pass(0, c.migrate()...)
	same()
	c.proved()
}
