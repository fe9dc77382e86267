package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// documentation writes the manual pages and completions into a directory.
func documentation(t *testing.T) (dir string, commands []*cli.Command) {
	t.Helper()
	dir = t.TempDir()
	p := &program{}
	p.app()
	if err := p.writeDocumentation(dir); err != nil {
		t.Fatal(err)
	}
	return dir, p.visible()
}

// TestManualPages wants a page for each command, with all its flags, and none that the
// formatter warns about.
func TestManualPages(t *testing.T) {
	dir, commands := documentation(t)
	for _, cmd := range commands {
		page, err := os.ReadFile(filepath.Join(dir, "man/man8/mbox2cyrus-"+cmd.Name+".8"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range allFlags(cmd) {
			if flag := roff("--" + f.Names()[0]); !strings.Contains(string(page), flag) {
				t.Errorf("the page of %s does not tell of %s", cmd.Name, flag)
			}
		}
	}
	if _, err := exec.LookPath("man"); err != nil {
		t.Skip("no man here")
	}
	pages := 0
	err := filepath.WalkDir(filepath.Join(dir, "man"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		pages++
		cmd := exec.Command("man", "--warnings", "--local-file", "--encoding=UTF-8", path)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80", "PAGER=cat", "MANROFFSEQ=")
		var warnings strings.Builder
		cmd.Stderr = &warnings
		out, err := cmd.Output()
		if err != nil || warnings.Len() > 0 {
			t.Errorf("%s: %v %s", filepath.Base(path), err, warnings.String())
		}
		if len(out) < 500 {
			t.Errorf("%s is shown as %q", filepath.Base(path), out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := len(commands) + 2; pages != want {
		t.Errorf("%d pages, want %d", pages, want)
	}
}

// TestExamplesAreRight wants flags in examples that their commands have, and examples
// for every command.
func TestExamplesAreRight(t *testing.T) {
	_, commands := documentation(t)
	for _, cmd := range commands {
		if len(examples[cmd.Name]) == 0 {
			t.Errorf("%s has no example", cmd.Name)
		}
		for _, e := range examples[cmd.Name] {
			for line := range strings.SplitSeq(e.line, "\n") {
				words := strings.Fields(line)
				at := slices.Index(words, "mbox2cyrus")
				if at < 0 || len(words) < at+2 || words[at+1] != cmd.Name {
					t.Errorf("%q is no example of %s", line, cmd.Name)
					continue
				}
				for _, w := range words[at+2:] {
					if name, found := strings.CutPrefix(w, "--"); found && !hasFlag(allFlags(cmd), name) {
						t.Errorf("%q: %s has no flag --%s", line, cmd.Name, name)
					}
				}
			}
		}
	}
}

func hasFlag(flags []cli.Flag, name string) bool {
	return slices.ContainsFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
}

// TestChoicesAreFlags: a choice that belongs to no flag is misspelt.
func TestChoicesAreFlags(t *testing.T) {
	p := &program{}
	p.app()
	for name := range choices {
		if p.flag(name) == nil {
			t.Errorf("there is no flag --%s", name)
		}
	}
}

// TestBashCompletion completes lines as bash does.
func TestBashCompletion(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash here")
	}
	dir, _ := documentation(t)
	script := filepath.Join(dir, "bash-completion/completions/mbox2cyrus")
	for _, tt := range []struct{ line, want string }{
		{"mig", "migrate"},
		{"verify --lev", "--level"},
		{"verify --level c", "count content"},
		{"verify --level = co", "count content"},
		{"plan --max", "--max-duration"},
		{"undo --max", ""},
		{"config s", "show"},
		{"migrate --users-from /etc/passw", "/etc/passwd"},
		{"migrate --user $(echo$IFS/tmp)", ""},
	} {
		cmd := exec.Command("bash", "--norc", "-c", `compopt() { :; }; . "$1"; shift; COMP_WORDS=(mbox2cyrus "$@"); COMP_CWORD=$#; _mbox2cyrus; echo "${COMPREPLY[*]}"`,
			"bash", script)
		cmd.Args = append(cmd.Args, strings.Fields(tt.line)...)
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != tt.want && !(tt.want == "/etc/passwd" && strings.HasPrefix(got, tt.want)) {
			t.Errorf("%q: %q, %v; want %q", tt.line, got, err, tt.want)
		}
	}
}
