package source

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/mbox"
)

const fromLine = "From a@example.org Mon Jun  2 10:11:12 2003\n"

// readText reads a mailbox of the given text.
func readText(t *testing.T, text string) Result {
	t.Helper()
	path := filepath.Join(t.TempDir(), "folder")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	res, err := (&Source{}).ReadFolder(context.Background(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestFindingsHaveTheirLines compares each line number with one that is counted
// from the text as a whole.
func TestFindingsHaveTheirLines(t *testing.T) {
	filler := strings.Repeat("some text of a line\n", 30_000) // more than is read at a time
	text := fromLine + "Subject: one\n\nFrom here on it is text\n" + filler +
		"a\x00b\n\n" + fromLine + "Subject: two\n\nFrom me\nFrom you\nthe end without a line end"
	res := readText(t, text)
	kinds := map[string]int{}
	for _, p := range res.Problems {
		kinds[p.Kind]++
		if want := int64(1 + strings.Count(text[:p.Offset], "\n")); p.Line != want {
			t.Errorf("%s at offset %d: line %d, want %d", p.Kind, p.Offset, p.Line, want)
		}
		if p.UW == "" || p.Others == "" {
			t.Errorf("%s: nothing is said of UW or of others", p.Kind)
		}
	}
	if kinds["from-lookalike"] != 3 || kinds["nul"] != 1 || kinds["no-final-newline"] != 1 {
		t.Errorf("kinds: %v", kinds)
	}
	if res.Doubts["from-lookalike"] != 3 {
		t.Errorf("doubts: %v", res.Doubts)
	}
}

func TestFindingAtOffsetZero(t *testing.T) {
	res := readText(t, "\n"+fromLine+"Subject: a\n\nb\n\n")
	if len(res.Problems) != 1 || res.Problems[0].Kind != "leading-blank" || res.Problems[0].Line != 1 {
		t.Errorf("problems: %+v", res.Problems)
	}
}

// TestManyFindingsAreCounted: a folder of as many findings as messages is told
// in bounded memory, and the numbers are right.
func TestManyFindingsAreCounted(t *testing.T) {
	const messages = maxFindings + 234
	var text strings.Builder
	for i := range messages {
		fmt.Fprintf(&text, "%sSubject: %d\n\nnul: \x00\n\n", fromLine, i)
	}
	res := readText(t, text.String())
	var told, listed int64
	for _, p := range res.Problems {
		if p.Kind != "nul" {
			continue
		}
		listed++
		told += max(1, p.Count)
	}
	if listed != maxFindings+1 || told != messages || res.Doubts["nul"] != messages {
		t.Errorf("%d problems stand for %d findings, %d counted, want %d", listed, told, res.Doubts["nul"], messages)
	}
	rep := report.New(report.Options{Stdout: &strings.Builder{}, Stderr: &strings.Builder{}, Command: "plan"})
	for _, p := range res.Problems {
		rep.Problem(p)
	}
	if n := rep.Totals().ByKind["nul"]; n != messages {
		t.Errorf("the summary counts %d, want %d", n, messages)
	}
}

func TestDamageNeedsAPerson(t *testing.T) {
	var f findings
	f.add(mbox.Finding{Kind: mbox.KindDamage, File: "x", Offset: 7, Text: "bytes"})
	p := f.result()[0]
	if p.Severity != report.Attention || p.File != "x" || p.Offset != 7 {
		t.Errorf("%+v", p)
	}
}
