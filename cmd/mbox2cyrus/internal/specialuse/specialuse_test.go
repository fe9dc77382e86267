package specialuse

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// choice is what became of folders, by name.
func choice(r Rules, folders ...Folder) (map[string]Use, []string) {
	chosen, passed := r.Choose(folders)
	byName := map[string]Use{}
	for i, use := range chosen {
		byName[folders[i].Name] = use
	}
	var lost []string
	for _, p := range passed {
		lost = append(lost, folders[p.Folder].Name+" to "+folders[p.For].Name)
	}
	return byName, lost
}

func TestChoose(t *testing.T) {
	for _, tt := range []struct {
		name    string
		folders []Folder
		want    map[string]Use
		passed  []string
	}{
		{"Pine", []Folder{{"sent-mail", 5}, {"postponed-msgs", 1}, {"saved-messages", 9}, {"sent-mail-jun-2003", 9}},
			map[string]Use{"sent-mail": Sent, "postponed-msgs": Drafts}, nil},
		{"the one that was used", []Folder{{"Sent", 10}, {"sent-mail", 500}, {"Sent Items", 20}},
			map[string]Use{"sent-mail": Sent}, []string{"Sent Items to sent-mail", "Sent to sent-mail"}},
		{"equal ones", []Folder{{"sent-mail", 0}, {"Sent", 0}}, map[string]Use{"Sent": Sent}, []string{"sent-mail to Sent"}},
		{"one name in two spellings", []Folder{{"SENT", 0}, {"Sent", 0}}, map[string]Use{"SENT": Sent}, []string{"Sent to SENT"}},
		{"capitals and accents", []Folder{{"DRAFTS", 0}, {"ENTWU\u0308RFE", 1}, {"gelöschte elemente", 1}},
			map[string]Use{"ENTWU\u0308RFE": Drafts, "gelöschte elemente": Trash}, []string{"DRAFTS to ENTWU\u0308RFE"}},
		{"Apple", []Folder{{"Sent Messages", 1}, {"Deleted Messages", 1}, {"Junk", 1}, {"Drafts", 1}, {"Archive", 1}},
			map[string]Use{"Sent Messages": Sent, "Deleted Messages": Trash, "Junk": Junk, "Drafts": Drafts, "Archive": Archive}, nil},
		{"none", []Folder{{"sent to ann", 1}, {"work", 1}, {"", 1}}, map[string]Use{}, nil},
	} {
		got, passed := choice(Auto(), tt.folders...)
		if diff := cmp.Diff(tt.want, got) + cmp.Diff(tt.passed, passed); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestPrefer(t *testing.T) {
	r := Auto()
	r.Prefer("sent", "Ausgang")
	r.Prefer("flagged", "Wichtig")
	got, _ := choice(r, Folder{"Sent", 0}, Folder{"Ausgang", 0}, Folder{"Wichtig", 0})
	if diff := cmp.Diff(map[string]Use{"Ausgang": Sent}, got); diff != "" {
		t.Error(diff)
	}
}

// TestKnownNames: no name is of two uses, and all could be names of folders.
func TestKnownNames(t *testing.T) {
	seen := map[string]Use{}
	for use, names := range known {
		for _, name := range names {
			if other, twice := seen[fold(name)]; twice && other != use {
				t.Errorf("%q is of use %s and of use %s", name, other, use)
			}
			seen[fold(name)] = use
			if strings.ContainsAny(name, "/.") || strings.TrimSpace(name) != name {
				t.Errorf("%q cannot be asked of Cyrus", name)
			}
		}
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "uses.csv")
	for _, tt := range []struct {
		text string
		want map[string]Use
		says string
	}{
		{"use,folder\n# ours\nSent,Ausgang\n\\trash,\"Müll, alt\"\n", map[string]Use{"Ausgang": Sent, "Müll, alt": Trash}, ""},
		{"", map[string]Use{}, ""},
		{"Outbox,Ausgang\n", nil, `:1: "Outbox" is none of Sent`},
		{"Sent,a/b\n", nil, ":1: the name of a folder on the first level"},
		{"Sent,a\nDrafts,A\n", nil, `:2: "A" is there twice`},
		{"Sent\n", nil, "line 1"},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := ReadFile(path)
		if tt.says != "" {
			if !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%q: %v, want %q", tt.text, err, tt.says)
			}
			continue
		}
		got, _ := choice(r, Folder{"Sent", 1}, Folder{"Ausgang", 1}, Folder{"Müll, alt", 1})
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%q: %v, %s", tt.text, err, diff)
		}
	}
}
