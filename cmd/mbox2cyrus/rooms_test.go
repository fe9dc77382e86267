package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestRoomsAreApart holds the architecture: the three libraries import nothing
// of ours but their own insides and what is below internal, which itself imports nothing of ours, and
// the command line's library is imported by the command alone.
func TestRoomsAreApart(t *testing.T) {
	const module = "mbox2cyrus/"
	root := filepath.Join("..", "..")
	checked := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		room, _, _ := strings.Cut(rel, "/")
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			checked++
			if strings.HasPrefix(imported, "github.com/urfave/cli") && filepath.Dir(rel) != "cmd/mbox2cyrus" {
				t.Errorf("%s imports %s: only the command may", rel, imported)
			}
			ours, found := strings.CutPrefix(imported, module)
			if !found || room == "cmd" || room != "internal" && strings.HasPrefix(ours, "internal/") {
				continue
			}
			if owner, _, _ := strings.Cut(ours, "/"); owner != room || room == "internal" {
				t.Errorf("%s imports %s: a library imports nothing of ours but its own insides", rel, imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 100 {
		t.Errorf("only %d imports were looked at: is the test in the right place?", checked)
	}
}
