package doubt

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mbox2cyrus/cmd/mbox2cyrus/internal/report"
	"mbox2cyrus/mbox"
)

var update = flag.Bool("update", false, "write the table into docs/doubts.md")

const root = "../../../.."

// kindsOfMbox returns the values of all constants of type Kind, from the source of
// package mbox: a new one is found whether or not anybody thought of the table.
func kindsOfMbox(t *testing.T) map[mbox.Kind]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "mbox", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[mbox.Kind]bool{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != "Kind" {
				return true
			}
			for _, v := range spec.Values {
				lit, ok := v.(*ast.BasicLit)
				if !ok {
					continue
				}
				value, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				kinds[mbox.Kind(value)] = true
			}
			return true
		})
	}
	if len(kinds) < 30 {
		t.Fatalf("only %d kinds were found: is the test in the right place?", len(kinds))
	}
	return kinds
}

func TestEveryKindHasItsEntry(t *testing.T) {
	kinds := kindsOfMbox(t)
	seen := map[mbox.Kind]bool{}
	for _, e := range Entries {
		if seen[e.Kind] {
			t.Errorf("%s is in the table twice", e.Kind)
		}
		seen[e.Kind] = true
		if !kinds[e.Kind] {
			t.Errorf("%s is in the table, but mbox has no such kind", e.Kind)
		}
		for _, s := range []string{e.UW, e.Others} {
			if len(s) < 15 || strings.HasSuffix(s, ".") || strings.ContainsAny(s, "\n|") {
				t.Errorf("%s: %q is no sentence as the table wants it", e.Kind, s)
			}
		}
		if e.Severity != report.Note && e.Severity != report.Attention || e.Routine && e.Severity != report.Note {
			t.Errorf("%s: severity %v, routine %v", e.Kind, e.Severity, e.Routine)
		}
	}
	for kind := range kinds {
		if !seen[kind] {
			t.Errorf("%s is not in the table: say what UW does, what other readers do and who must look", kind)
		}
	}
}

// TestMissingMailNeedsAPerson holds the decision that changes the exit code.
func TestMissingMailNeedsAPerson(t *testing.T) {
	for kind, want := range map[mbox.Kind]report.Severity{
		mbox.KindDamage: report.Attention, mbox.KindTruncated: report.Attention, mbox.KindKeywordsLost: report.Attention,
		mbox.KindKeywordHole: report.Attention, mbox.KindInternalCut: report.Attention,
		mbox.KindNUL: report.Note, mbox.KindFromLookalike: report.Note, mbox.KindExpunged: report.Note, mbox.KindDateZone: report.Note,
		"a kind that nobody knows": report.Attention,
	} {
		if p := Problem(mbox.Finding{Kind: kind}); p.Severity != want {
			t.Errorf("%s: %v, want %v", kind, p.Severity, want)
		}
	}
}

// TestDocument keeps docs/doubts.md the same as the table.
func TestDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString("| kind | who must look | UW | other readers |\n|---|---|---|---|\n")
	for _, e := range Entries {
		who := "nobody"
		if e.Severity == report.Attention {
			who = "a person"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", e.Kind, who, e.UW, e.Others)
	}
	path := filepath.Join(root, "docs", "doubts.md")
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(doc), "| kind |")
	if !found {
		t.Fatalf("%s has no table of kinds", path)
	}
	_, after, found := strings.Cut(rest, "\n\n")
	if found {
		after = "\n" + after
	}
	want := before + b.String() + after
	if want == string(doc) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the table says; go test ./cmd/mbox2cyrus/internal/doubt -update writes it", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestRepairsAreDescribed keeps the list of repairs in docs/doubts.md complete.
func TestRepairsAreDescribed(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "doubts.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range mbox.RepairHelp() {
		name, does, _ := strings.Cut(line, " ")
		if want := "| `" + name + "` | " + strings.TrimSpace(does) + " |\n"; !strings.Contains(string(doc), want) {
			t.Errorf("docs/doubts.md lacks %s", want)
		}
	}
}
