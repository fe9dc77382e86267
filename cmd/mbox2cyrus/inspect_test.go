package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestFieldsOfInspectAreDocumented wants every key of inspect --json in docs/reports.md.
func TestFieldsOfInspectAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/reports.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{inspected{}, mailboxView{}, recordView{}} {
		kind := "`message`"
		if _, ok := v.(inspected); !ok {
			kind = "`mailbox`, `record`"
		}
		_, row, found := strings.Cut(string(page), "\n| "+kind+" | ")
		if row, _, _ = strings.Cut(row, "\n"); !found {
			t.Errorf("docs/reports.md has no row for %s", kind)
		}
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if key != "message_type" && !strings.Contains(row, "`"+key+"`") {
				t.Errorf("%s: %s is not in docs/reports.md", kind, key)
			}
		}
	}
}
