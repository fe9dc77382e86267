package report

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestFieldsAreDocumented wants every key of JSON Lines and of the status file in
// docs/reports.md.
func TestFieldsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/reports.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "## For programs")
	if !found {
		t.Fatal("docs/reports.md has no section for programs")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	code := 0
	status := Status{SecondsLeft: 1, ExitCode: &code, Running: []UserStatus{{}}}
	for what, object := range map[string]map[string]any{
		"folder":  Folder{Read: true, ShownAs: "a", SpecialUse: "Sent", Outcome: "removed"}.object(),
		"problem": Problem{Mailbox: "user.a", File: "a", Line: 1, Count: 2, HeldID: "a", UW: "a"}.object(),
		"pop3":    POP3{}.object(),
		"held":    Held{File: "a"}.object(), "summary": Summary{}.object(), "status": status.object(),
	} {
		for _, key := range slices.Sorted(maps.Keys(object)) {
			if !strings.Contains(section, "`"+key+"`") {
				t.Errorf("%s: %s is not in docs/reports.md", what, key)
			}
		}
	}
}
