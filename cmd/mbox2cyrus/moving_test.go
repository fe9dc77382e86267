package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/plan"
	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
)

// TestSayMoving: mail that is delivered is told apart from folders that somebody uses, and of many
// some are named and all counted.
func TestSayMoving(t *testing.T) {
	var out, errs bytes.Buffer
	s := &session{report: report.New(report.Options{Stdout: &out, Stderr: &errs, Everything: true})}
	folders := []plan.Moved{{User: "ann", Folder: "INBOX", Inbox: true}, {User: "ann", Folder: "work", Grew: true}}
	for i := range movingNamed + 5 {
		folders = append(folders, plan.Moved{User: fmt.Sprint("u", i), Folder: "INBOX", Inbox: true, Grew: true})
	}
	s.sayMoving(folders)
	if n := s.report.Totals().ByKind; n["delivery-running"] != movingNamed || n["source-changing"] != 2 {
		t.Errorf("%v", n)
	}
	if text := out.String(); !strings.Contains(text, fmt.Sprintf("INBOXes that grew while this was planned: %d;", movingNamed+5)) || !strings.Contains(text, "folders that changed while this was planned: 2;") {
		t.Errorf("%s", text)
	}
	if !strings.Contains(errs.String(), "ann: INBOX: changed") || !strings.Contains(errs.String(), "ann: work: changed") {
		t.Errorf("%s", errs.String())
	}
}
