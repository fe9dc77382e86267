package reconstruct

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		line string
		want finding
	}{
		// Each shape of line once; what is not here is in testdata.
		{"user.joe uid 7 mismatch: size", finding{KindContent, "user.joe", 7}},
		{"user.joe uid 7 mismatch: guid", finding{KindContent, "user.joe", 7}},
		{"user.joe uid 7 failed to parse", finding{KindContent, "user.joe", 7}},
		{"user.joe uid 7 mismatch: internaldate", finding{KindRecord, "user.joe", 7}},
		{"user.joe uid 7 mismatch: systemflags", finding{KindRecord, "user.joe", 7}},
		{"user.joe uid 7 mismatch: userflags", finding{KindRecord, "user.joe", 7}},
		{"user.joe uid 7 snoozed mismatch", finding{KindRecord, "user.joe", 7}},
		{"user.joe uid 7 already expunged, unlinking", finding{KindMissing, "user.joe", 7}},
		{"user.joe uid 4294967295 rediscovered - appending", finding{KindRenumbered, "user.joe", 4294967295}},
		{"user.joe: failed to read header file", finding{KindHeader, "user.joe", 0}},
		{"user.joe: header file CRC mismatch, correcting", finding{KindHeader, "user.joe", 0}},
		{"user.joe: bogus flag name 3:bad flag", finding{KindHeader, "user.joe", 0}},
		{"Wrong uidvalidity in mailbox, fixing user.joe (1795445362 -> 1100000000)", finding{KindUIDValidity, "user.joe", 0}},
		{"Wrong uniqueid in mbentry, fixing user.joe (aa -> bb)", finding{KindHeader, "user.joe", 0}},
		{"uniqueid clash with user.kim for user.joe (aa)", finding{KindHeader, "user.kim", 0}},
		{"Missing mboxlist entry for uniqueid - will rewrite user.joe (aa)", finding{KindEntry, "user.joe", 0}},
		{"Repacked user/joe to version 13", finding{KindVersion, "user/joe", 0}},
		{"Failed to re-read user.joe!", finding{KindFailed, "user.joe", 0}},

		// Words of lines as names of mailboxes, chosen by users.
		{"user.joe.uid 3 not found uid 7 mismatch: gmtime", finding{KindDerived, "user.joe.uid 3 not found", 7}},
		{"user.joe.x uid 3 mismatch: gmtime uid 7 not found", finding{KindMissing, "user.joe.x uid 3 mismatch: gmtime", 7}},
		{"user.joe.x: updating exists 1 => 3: failed to read index header", finding{KindIndexLost, "user.joe.x: updating exists 1 => 3", 0}},
		{"user.joe.x rewrote cache for 1 (offset 0 uid 2 guid mismatch", finding{KindContent, "user.joe.x rewrote cache for 1 (offset 0", 2}},
		{"user.joe odd file /spool/x uid 3 mismatch: sentdate", finding{KindOddFile, "user.joe", 0}},

		// What only resembles a line.
		{"", finding{kind: KindUnknown}},
		{"user.joe uid  mismatch: sentdate", finding{kind: KindUnknown}},
		{"user.joe uid 4294967296 mismatch: sentdate", finding{kind: KindUnknown}},
		{"user.joe uid 99999999999999999999999 mismatch: sentdate", finding{kind: KindUnknown}},
		{"user.joe uid 7 mismatch: sentdate!", finding{kind: KindUnknown}},
		{"user.joe uid 7mismatch: sentdate", finding{kind: KindUnknown}},
		{"user.joe uid 7 mismatch: colour", finding{kind: KindUnknown}},
		{"user.joe: updating exists many => 3", finding{kind: KindUnknown}},
		{"user.joe: updating mood 1 => 3", finding{kind: KindUnknown}},
		{"user.joe rewrote cache for 1", finding{kind: KindUnknown}},
		{"fatal error: Internal error: assertion failed: upgrade_index.c: 109: record_size <= INDEX_RECORD_SIZE", finding{kind: KindUnknown}},
		{"user.joe: Mailbox format corruption detected (null)", finding{kind: KindUnknown}},
	} {
		if got := classify(tt.line); got != tt.want {
			t.Errorf("%q:\ngot  %+v\nwant %+v", tt.line, got, tt.want)
		}
	}
}

// reports are what comes of the output of real releases.
var reports = []struct {
	file      string
	job       Job
	mailboxes string // joined by spaces
	harmless  string // counts, sorted
	complains string // "kind mailbox uid", joined by "; "
}{
	{"3.6.1-fresh.txt", Job{Users: []string{"joe"}}, "user/joe user/joe/a user/joe/a/b",
		"cache:3 derived:9 entry:1 name:3 totals:3", ""},
	{"3.6.1-again.txt", Job{Users: []string{"joe"}}, "user/joe user/joe/a user/joe/a/b", "name:3", ""},
	{"3.6.1-again.txt", Job{Users: []string{"joe", "kim"}, Expect: []string{"user/joe", "user/kim", "user/joe/c"}},
		"user/joe user/joe/a user/joe/a/b", "name:3", "not visited user/kim 0; not visited user/joe/c 0"},
	{"3.6.1-again.txt", Job{Users: []string{"jo", "joe.a"}}, "", "",
		"unknown line  0; unknown line  0; unknown line  0; not visited jo 0; not visited joe.a 0"},
	{"3.6.1-again.txt", Job{Mailboxes: []string{"user/joe", "user/joe/a"}}, "user/joe user/joe/a", "name:2", "unknown line  0"},
	{"3.6.1-nocache.txt", Job{Users: []string{"joe"}}, "user/joe user/joe/a user/joe/a/b", "cache:3 name:3", ""},
	{"3.6.1-damaged.txt", Job{Users: []string{"joe"}}, "user/joe user/joe/a user/joe/a/b", "advice:2 name:3",
		"odd file user.joe 0; message differs user.joe 1; message missing user.joe 2; message missing user.joe 3; message added user.joe 9"},
	{"3.6.1-index.txt", Job{Users: []string{"joe"}}, "user/joe user/joe/a user/joe/a/b", "entry:1 name:3",
		"index lost user.joe 0; message added user.joe 1; message added user.joe 9"},
	{"2.4.22-nocache.txt", Job{Mailboxes: []string{"user.joe", "user.joe.Sent"}}, "user.joe user.joe.Sent",
		"derived:3 name:2 totals:1", "record changed user.joe 4294967295"},
	{"2.4.22-nocache.txt", Job{Users: []string{"joe"}}, "user.joe",
		"derived:3 name:1 totals:1", "record changed user.joe 4294967295; unknown line  0"},
	{"2.5.17.txt", Job{Users: []string{"joe"}}, "user.joe", "cache:1 derived:1 name:1 totals:2", ""},
	{"3.0.18.txt", Job{Users: []string{"joe"}}, "user/joe user/joe/Sent", "entry:1 name:2 totals:1", "header user.joe.Sent 0"},
	{"3.4.9-convert.txt", Job{Users: []string{"joe"}, Version: "max"}, "user/joe",
		"name:1 version:1", "failed user/joe/Sent 0; header user/joe/old 0"},
	{"3.4.9-convert.txt", Job{Mailboxes: []string{"user/joe"}, Version: "max"}, "user/joe",
		"name:1 version:1", "failed user/joe/Sent 0; header user/joe/old 0"},
	{"3.12.4.txt", Job{Users: []string{"joe"}}, "user/joe", "advice:1 name:1 totals:3",
		"uidnext changed user.joe 9; header user.joe 0"},
}

func TestReports(t *testing.T) {
	for _, tt := range reports {
		t.Run(fmt.Sprintf("%s %v", tt.file, tt.job), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", "reconstruct", tt.file))
			if err != nil {
				t.Fatal(err)
			}
			p := fake(t, map[string]string{"reconstruct": says(string(text))})
			r, err := p.Reconstruct(t.Context(), tt.job)
			if err != nil {
				t.Fatal(err)
			}
			var complains, harmless []string
			for _, c := range r.Complaints {
				complains = append(complains, fmt.Sprintf("%s %s %d", c.Kind, c.Mailbox, c.UID))
			}
			for _, kind := range slices.Sorted(maps.Keys(r.Counts)) {
				if kind.Harmless() {
					harmless = append(harmless, fmt.Sprintf("%s:%d", kind, r.Counts[kind]))
				}
			}
			got := []string{strings.Join(r.Mailboxes, " "), strings.Join(harmless, " "), strings.Join(complains, "; ")}
			if diff := cmp.Diff([]string{tt.mailboxes, tt.harmless, tt.complains}, got); diff != "" {
				t.Error(diff)
			}
			if r.Clean() != (tt.complains == "") {
				t.Errorf("Clean is %v", r.Clean())
			}
		})
	}
}

// A file that vanishes while Cyrus works makes it print a line without its end
// (imap/mailbox.c, mailbox_reconstruct_append).
func TestUnendedLine(t *testing.T) {
	p := fake(t, map[string]string{"reconstruct": "printf 'user.joe uid 5 not founduser/joe\n'"})
	r, err := p.Reconstruct(t.Context(), Job{Users: []string{"joe"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Complaint{{KindMissing, "user.joe", 5, "user.joe uid 5 not found"}}
	if diff := cmp.Diff(want, r.Complaints); diff != "" || !slices.Equal(r.Mailboxes, []string{"user/joe"}) {
		t.Errorf("%q\n%s", r.Mailboxes, diff)
	}
}

// A mailbox may be called like a complaint, or like chatter.
func TestHostileNames(t *testing.T) {
	names := []string{"user/joe/x uid 3 not found", "user/joe/y uid 3 mismatch: gmtime", "user/joe/z: failed to read index header"}
	p := fake(t, map[string]string{"reconstruct": says(strings.Join(names, "\n") + "\n")})
	for _, job := range []Job{{Mailboxes: names}, {Users: []string{"joe"}}, {Users: []string{"joe"}, Expect: names}} {
		r, err := p.Reconstruct(t.Context(), job)
		if err != nil || !r.Clean() || !slices.Equal(r.Mailboxes, names) {
			t.Errorf("%v: %+v, %v", job, r, err)
		}
	}
	dotted := []string{"user.joe.x uid 3 mismatch: gmtime"}
	p = fake(t, map[string]string{"reconstruct": says(dotted[0] + "\n")})
	r, err := p.Reconstruct(t.Context(), Job{Users: []string{"joe"}, Expect: dotted})
	if err != nil || !r.Clean() || !slices.Equal(r.Mailboxes, dotted) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestVirtualDomain(t *testing.T) {
	p := fake(t, map[string]string{"reconstruct": says("user/joe@example.org\nuser/joe/Sent@example.org\nuser/joe/Sent@example.net\n")})
	r, err := p.Reconstruct(t.Context(), Job{Users: []string{"joe@example.org"}})
	if err != nil || len(r.Mailboxes) != 2 || r.Counts[KindUnknown] != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestStderrIsComplaint(t *testing.T) {
	p := fake(t, map[string]string{"reconstruct": "echo user/joe; echo >&2; echo 'user.joe: Mailbox format corruption detected (null)' >&2"})
	r, err := p.Reconstruct(t.Context(), Job{Users: []string{"joe"}})
	want := []Complaint{{Kind: KindStderr, Text: "user.joe: Mailbox format corruption detected (null)"}}
	if diff := cmp.Diff(want, r.Complaints); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestJobArguments(t *testing.T) {
	args := `shift 2; echo "ARGS $*"`
	for _, tt := range []struct {
		job  Job
		want string
	}{
		{Job{Users: []string{"joe", "kim"}}, "ARGS -u -- joe kim"},
		{Job{Mailboxes: []string{"user/joe"}, Version: "max"}, "ARGS -V max -- user/joe"},
	} {
		p := fake(t, map[string]string{"reconstruct": args})
		r, err := p.Reconstruct(t.Context(), tt.job)
		if err != nil || len(r.Complaints) == 0 || r.Complaints[0].Text != tt.want {
			t.Errorf("%+v: %+v, %v", tt.job, r, err)
		}
	}

	// None of these reaches the program; without operands it would do
	// every mailbox there is.
	p := fake(t, map[string]string{"reconstruct": "exit 1"})
	for _, job := range []Job{
		{Users: []string{"joe"}, Mailboxes: []string{"user/joe"}},
		{Mailboxes: []string{"user/*"}},
		{Users: []string{""}},
		{Users: []string{"joe\nkim"}},
		{Users: []string{"joe"}, Version: "max -x"},
	} {
		if _, err := p.Reconstruct(t.Context(), job); err == nil || strings.Contains(err.Error(), "exit status") {
			t.Errorf("%+v: %v", job, err)
		}
	}
	if r, err := p.Reconstruct(t.Context(), Job{}); err != nil || !r.Clean() {
		t.Errorf("nothing to do: %+v, %v", r, err)
	}
}

// Many operands go in several calls, and are all accounted for.
func TestBatches(t *testing.T) {
	p := fake(t, map[string]string{"reconstruct": `while [ "$1" != -- ]; do shift; done; shift; echo call >&2; printf '%s\n' "$@"`})
	var names []string
	for i := range 2500 {
		names = append(names, fmt.Sprintf("user/u%d", i))
	}
	r, err := p.Reconstruct(t.Context(), Job{Mailboxes: names})
	if err != nil || !slices.Equal(r.Mailboxes, names) || r.Counts[KindStderr] != 3 {
		t.Errorf("%d mailboxes, %v, %v", len(r.Mailboxes), r.Counts, err)
	}
	long := strings.Repeat("x", maxName)
	var all []string
	for _, batch := range batches(slices.Repeat([]string{long}, 1000)) {
		if n := len(strings.Join(batch, " ")); n > 110<<10 {
			t.Errorf("a batch of %d bytes", n)
		}
		all = append(all, batch...)
	}
	if len(all) != 1000 {
		t.Errorf("%d names in the batches", len(all))
	}
}

func TestCreate(t *testing.T) {
	p := fake(t, map[string]string{"reconstruct": `shift 2; [ "$*" = "-x -p default -- user/joe" ] && echo user/joe`})
	if err := p.Create(t.Context(), "default", "user/joe"); err != nil {
		t.Error(err)
	}
	for name, tt := range map[string]struct{ script, box, want string }{
		"exists":         {"echo 'Mailbox user/joe already exists.  Cannot specify -p.' >&2; exit 64", "user/joe", ErrExists.Error()},
		"said, exit 0":   {"echo 'could not create user/joe' >&2", "user/joe", "could not create"},
		"said nothing":   {"exit 0", "user/joe", "did not say"},
		"said and named": {"echo user/joe; echo 'createmailbox user.joe: Invalid mailbox name' >&2", "user/joe", "Invalid mailbox name"},
		"pattern":        {"echo 'user/*'", "user/*", errName.Error()},
		"crash":          {"echo user/joe; kill -SEGV $$", "user/joe", "signal 11"},
	} {
		p := fake(t, map[string]string{"reconstruct": tt.script})
		if err := p.Create(t.Context(), "default", tt.box); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.Create(t.Context(), "", "user/joe"); err == nil {
		t.Error("created without a partition")
	}
}

// Any output is accounted for: each line is counted once, and what is not
// known is never taken for harmless.
func FuzzReport(f *testing.F) {
	for _, tt := range reports {
		text, err := os.ReadFile(filepath.Join("testdata", "reconstruct", tt.file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := newReader(Job{Users: []string{"joe"}, Expect: []string{"user/joe", "user/joe/Sent"}})
		l := &lines{each: r.line}
		if _, err := l.Write(text); err != nil {
			t.Fatal(err)
		}
		l.close()
		var counted int64
		for _, n := range r.report.Counts {
			counted += n
		}
		printed := int64(bytes.Count(text, []byte("\n")))
		if len(text) > 0 && text[len(text)-1] != '\n' {
			printed++
		}
		if counted < printed {
			t.Errorf("%d lines counted of %d", counted, printed)
		}
		report := r.end()
		if !report.Clean() && len(report.Complaints) == 0 {
			t.Errorf("not clean and no complaint: %v", report.Counts)
		}
		for _, name := range []string{"user/joe", "user/joe/Sent"} {
			visited := slices.Contains(report.Mailboxes, name)
			missed := slices.ContainsFunc(report.Complaints, func(c Complaint) bool { return c.Kind == KindUnvisited && c.Mailbox == name })
			if visited == missed && len(report.Complaints) < MaxComplaints {
				t.Errorf("%s: visited %v, missed %v", name, visited, missed)
			}
		}
	})
}
