package main

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/cyrustest"
)

// TestUndoSearch: Cyrus indexes what is migrated for searching. Undo removes the file that says
// where a user's index is if he had none before, leaves it if he had, and says what else there is.
func TestUndoSearch(t *testing.T) {
	for _, tt := range []struct {
		name   string
		byName bool
		had    string // what joe has in Cyrus before
	}{
		{"by id", false, "nothing"}, {"by id, account", false, "account"}, {"by id, index", false, "index"},
		{"by name", true, "nothing"}, {"by name, index", true, "index"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := cyrustest.ForTest(t, cyrustest.Options{LegacyDirs: tt.byName,
				Extra: []string{"conversations: yes", "search_engine: xapian", "defaultsearchtier: t1"}})
			search := filepath.Join(srv.Dir, "search")
			if err := os.Mkdir(search, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(search, srv.UID, srv.GID); err != nil {
				t.Fatal(err)
			}
			appendConf(t, srv, "t1searchpartition-default: "+search)
			if tt.had != "nothing" {
				create(t, srv, "user/joe")
			}
			if tt.had == "index" {
				useCyrus(t, srv, appendAndFlag)
				if out, err := srv.Run(t.Context(), "squatter", "-i", "-u", "joe"); err != nil {
					t.Fatal(err, out)
				}
			}
			h := newPassHost(t)
			h.write("var/mail/joe", letter(1)+letter(2))
			h.write("home/joe/mail/work", letter(3))
			state := filepath.Join(t.TempDir(), "state")
			before := cyrusTree(t, srv)
			for range 2 {
				if o := runJSON(t, append([]string{"migrate", "--merge"}, flagsFor(srv, h.root, state)...)...); o.code != 0 {
					t.Fatalf("migrate: exit code %d\n%s", o.code, o.stderr)
				}
				made := cyrusTree(t, srv)
				maps.DeleteFunc(made, func(path, _ string) bool { return !strings.Contains(path, "xapianactive") })
				if len(made) != 1 {
					t.Fatalf("Cyrus indexed nothing: %v", made)
				}
				o := runJSON(t, append([]string{"undo", "--all"}, cyrusFlagsFor(srv, state)...)...)
				if said := o.problems("search-index"); o.code != 0 || len(said) != 1 {
					t.Fatalf("undo: exit code %d, %v\n%s", o.code, said, o.stderr)
				}
				if diff := diffTrees(before, cyrusTree(t, srv)); diff != "" {
					t.Errorf("Cyrus is not as it was:\n%s", diff)
				}
			}
			if tt.had != "index" {
				return
			}
			// What it says to do.
			for path := range before {
				if strings.Contains(path, "xapianactive") {
					if err := errors.Join(os.Remove(filepath.Join(srv.Dir, path)), os.RemoveAll(filepath.Join(search, "user")), os.RemoveAll(filepath.Join(search, "j"))); err != nil {
						t.Fatal(err)
					}
				}
			}
			if out, err := srv.Run(t.Context(), "squatter", "-i", "-u", "joe"); err != nil {
				t.Fatal(err, out)
			}
			if diff := diffTrees(before, cyrusTree(t, srv)); diff != "" {
				t.Errorf("indexed anew, Cyrus is not as it was:\n%s", diff)
			}
		})
	}
}
