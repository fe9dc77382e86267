package review

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// load reads the two hosts of testdata: of one there is everything, of the other only a
// ledger.
func load(t *testing.T, hosts ...string) *Review {
	t.Helper()
	var dirs []string
	for _, h := range hosts {
		dirs = append(dirs, filepath.Join("testdata", h))
	}
	r, err := Load(dirs, time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	r.Program, r.Binary = "1.0 abc", strings.Repeat("44", 32)
	for _, h := range r.Hosts { // of the machine that runs the test
		h.Dir = "/state/" + filepath.Base(h.Dir)
	}
	return r
}

func golden(t *testing.T, name string, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-update writes it anew):\n%s", name, diff)
	}
	return b.String()
}

func TestForms(t *testing.T) {
	r := load(t, "north", "south")
	golden(t, "report.txt", r.WriteText)
	golden(t, "report.json", r.WriteJSON)
	golden(t, "report.html", r.WriteHTML)
	for _, table := range Tables {
		golden(t, table+".csv", func(w io.Writer) error { return r.WriteCSV(w, table) })
	}
}

func TestWhatUsersAre(t *testing.T) {
	r := load(t, "north")
	got := map[string]State{}
	for _, u := range r.Users {
		got[string(u.Name)] = u.State
	}
	want := map[string]State{
		"ann":     Proved,
		"bob":     Attention,  // damage that is held, of which a part was approved
		"caf\xe9": Attention,  // his name is not UTF-8
		"dan":     Differs,    // migrate was content, verify was not
		"eve":     Unfinished, // in the ledger alone, and there not verified
		"fred":    Failed,     // in the history alone
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, u := range r.Users {
		if u.Name == "bob" && (u.Attentions != 1 || u.Notes != 1 || u.Held != 2) {
			t.Errorf("bob: %+v", u)
		}
	}
	if r.Totals.ExitCode != 3 || r.Totals.Verified != 17 || r.Totals.Messages != 22 || r.Totals.Held != 2 || r.Totals.POP3Messages != 3 {
		t.Errorf("%+v", r.Totals)
	}
	damage := map[string]int64{}
	for _, k := range r.Kinds {
		if k.Kind == "damage" {
			damage[k.Severity] += k.Count
		}
	}
	// Both migrate and verify said so. What was approved of must not stand among what was not.
	if diff := cmp.Diff(map[string]int64{"attention": 1, "note": 1}, damage); diff != "" {
		t.Error(diff)
	}
}

func TestJSONIsWhole(t *testing.T) {
	var b bytes.Buffer
	if err := load(t, "north", "south").WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var v struct {
		Problems []Problem
		Users    []User
		Totals   Totals
	}
	if err := json.Unmarshal(b.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, p := range v.Problems {
		sum += p.Count
	}
	if sum != v.Totals.ProblemsTotal || sum != 7 || len(v.Users) != 7 {
		t.Errorf("%d problems of %d, %d users", sum, v.Totals.ProblemsTotal, len(v.Users))
	}
}

func TestNoCellIsAFormula(t *testing.T) {
	for _, table := range Tables {
		var b bytes.Buffer
		if err := load(t, "north").WriteCSV(&b, table); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			for _, cell := range row {
				if strings.IndexAny(cell, "=+-@\t") == 0 {
					t.Errorf("%s: cell %q", table, cell)
				}
			}
		}
	}
}

// TestThePageNeedsNothingElse: no other file, no network, no script of anybody else.
func TestThePageNeedsNothingElse(t *testing.T) {
	var b bytes.Buffer
	if err := load(t, "north").WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, bad := range []string{"<script>alert", "http:", "https:", "src=", "<link", "@import", "url(", "\x1b"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if n := strings.Count(text, "<script"); n != 1 {
		t.Errorf("%d scripts", n)
	}
	for _, link := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if id, ok := strings.CutPrefix(link[1], "#"); !ok || !strings.Contains(text, `id="`+id+`"`) {
			t.Errorf("%s leads nowhere", link[0])
		}
	}
	// Without its script all is there to read.
	for _, want := range []string{"&lt;script&gt;alert(1)", "40112 (line 900)", "a^b", "fred", strings.Repeat("22", 32)} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestTheChartHasAllThatWasRead(t *testing.T) {
	from := time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC)
	var points []Point
	for i := range 1000 { // more than columns
		points = append(points, Point{From: from.Add(time.Duration(i) * time.Second), To: from.Add(time.Duration(i+1) * time.Second), Bytes: 100})
	}
	c := draw("h", Run{Start: from, Seconds: 1000}, points)
	if c.Peak != "100 bytes/s" {
		t.Errorf("peak %s of an even 100 bytes/s", c.Peak)
	}
	if n := strings.Count(c.Path, "L"); n != 2*maxColumns+1 {
		t.Errorf("%d points of the path", n)
	}
}

func TestDirectories(t *testing.T) {
	if _, err := Load([]string{t.TempDir()}, time.Now()); !errors.Is(err, ErrNoLedger) {
		t.Errorf("an empty directory: %v", err)
	}
	if _, err := Load([]string{"testdata/south", "testdata/south/ledger.jsonl"}, time.Now()); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("the same twice: %v", err)
	}
	// Shards of one host are told apart.
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS("testdata/north")); err != nil {
		t.Fatal(err)
	}
	r, err := Load([]string{"testdata/north", copied}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	names := []string{r.Hosts[0].Name, r.Hosts[1].Name}
	if slices.Sort(names); names[0] == names[1] {
		t.Errorf("both are called %s", names[0])
	}
}
